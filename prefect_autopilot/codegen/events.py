"""What the event of a trigger looks like to a flow: its Prefect name, its fields and what they mean."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field

from prefect_autopilot import services
from prefect_autopilot.codegen.names import slug
from prefect_autopilot.models import JSONDict, Service, ServiceTrigger, Value

PREFIX = "prefect-autopilot"

Operator = Literal[
    "includes", "equals", "over", "from", "under", "to", "present", "mentions", "is", "finds", "says"
]
"""over and under are strict, from and to include the bound; mentions looks into text; is compares texts
without regard to case.

finds and says are about the answer of an earlier step: whether its list has rows, whether its text is a yes.
"""


class Amount(Value):
    """The field that holds a sum: ``scale`` units of the field make one of the currency."""

    path: str
    services: tuple[str, ...] = ()
    scale: int = 1
    text: bool = False
    """True where the service writes the sum as text."""
    currency: str | None = None


class Word(Value):
    """A word of a condition that stands for a fixed value of a field; ``*`` is every service."""

    words: tuple[str, ...]
    services: tuple[str, ...]
    paths: tuple[str, ...]
    """Names the field may have; the first that the event offers is meant."""
    operator: Operator
    value: Any = None


class _Table(Value):
    meaning: dict[str, tuple[str, ...]]
    amount: tuple[Amount, ...]
    word: tuple[Word, ...]
    fields: dict[str, Any]


class Shape(Value):
    """A sample of an event and which of its fields mean what."""

    sample: JSONDict = Field(default_factory=dict)
    named: tuple[str, ...] = ()
    """The fields the trigger gives names to; the rest of the sample is the service's own row."""
    is_known: bool = False
    """True where the catalogue tells what the event holds, so that a field it lacks is a mistake."""
    text: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    amount: Amount | None = None
    words: tuple[Word, ...] = ()
    is_open: bool = False
    """True where nobody described the event that starts the flow: its fields are named as it is said."""
    answers: str = ""
    """The field that holds the answers of a form by the reference of their question."""


@cache
def _table() -> _Table:
    text = resources.files(__package__).joinpath("events.toml").read_text("utf-8")
    return _Table.model_validate(tomllib.loads(text))


def event_name(service: str, event: str) -> str:
    """Return the name of the Prefect event that announces ``event`` of ``service``."""
    return f"{PREFIX}.{slug(service)}.{slug(event)}"


def trigger_of(service: Service | None, event: str | None) -> ServiceTrigger | None:
    """Return the trigger that ``event`` names, or the only one a service has."""
    if service is None:
        return None
    if event is None:
        return service.triggers[0] if len(service.triggers) == 1 else None
    return next((one for one in service.triggers if slug(one.event) == slug(event)), None)


def shape_of(service: Service | None, event: str | None = None) -> Shape:
    """Return what is known of an event; an empty shape where that is nothing."""
    trigger = trigger_of(service, event)
    if service is None or trigger is None:
        return Shape()
    answers = next((name for name, path in trigger.fields.items() if path.endswith("}")), "")
    made_up = {field: _value_for(field) for field in trigger.fields} | ({answers: {}} if answers else {})
    known = services.sample_event(service, trigger.event)
    sample = made_up | {field: value for field, value in known.items() if value is not None}
    meaning = {key: tuple(one for one in names if one in sample) for key, names in _table().meaning.items()}
    amount = next((one for one in _table().amount if service.id in one.services and one.path in sample), None)
    if amount is not None and amount.text:
        sample[amount.path] = str(sample[amount.path])
    elif amount is not None and isinstance(sample[amount.path], str):
        sample[amount.path] = _table().fields["amount"]
    return Shape(
        sample=sample,
        named=tuple(trigger.fields),
        is_known=bool(sample),
        text=tuple(one for one in meaning["text"] if isinstance(sample[one], str)),
        sender=tuple(one for one in meaning["sender"] if isinstance(sample[one], str)),
        labels=tuple(one for one in meaning["labels"] if _is_list_of_text(sample[one])),
        amount=amount,
        words=tuple(one for one in _table().word if {service.id, "*"} & set(one.services)),
        answers=answers,
    )


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def sample_event(shape: Shape, paths: Iterable[str] = ()) -> JSONDict:
    """Return an event of this shape with its named fields, and every dotted path of ``paths`` filled."""
    wanted = [path.split(".") for path in paths if path]
    shown = {*shape.named, *(head for head, *_ in wanted)} if shape.named else set(shape.sample)
    sample = {key: copy.deepcopy(value) for key, value in shape.sample.items() if key in shown}
    for segments in wanted:
        _fill(sample, segments)
    return sample


def _fill(sample: JSONDict, segments: list[str]) -> None:
    """Walk ``segments`` down and make what is missing; a number is a place in a list."""
    spot: Any = sample
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        content: Any = _value_for(segment) if following is None else [] if following.isdigit() else {}
        if isinstance(spot, list):
            if not segment.isdigit():
                return
            spot += [copy.deepcopy(content) for _ in range(int(segment) + 1 - len(spot))]
            spot = spot[int(segment)]
        elif isinstance(spot, dict):
            spot = spot.setdefault(segment, content)


def _value_for(segment: str) -> Any:
    last_word = slug(segment).rsplit("_", 1)[-1]
    return _table().fields.get(last_word, f"Preview {slug(segment).replace('_', ' ')}".strip())


def write(sample: JSONDict, path: str, value: Any) -> None:
    """Set the dotted ``path`` of ``sample``, which must be there, to ``value``."""
    *parents, last = path.split(".")
    spot: Any = sample
    for segment in parents:
        spot = spot[int(segment)] if isinstance(spot, list) else spot[segment]
    spot[int(last) if isinstance(spot, list) else last] = value
