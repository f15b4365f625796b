"""What is looked up before something is made ("if there is none, create one"), and by which value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.models import (
    Argument,
    FromTrigger,
    Operation,
    Question,
    Service,
    ServiceTrigger,
    StepSpec,
    TriggerSpec,
)
from prefect_autopilot.models.conditions import ANSWER, FINDS_NOTHING, FINDS_SOMETHING
from prefect_autopilot.services import Catalogue

_BY = re.compile(
    r"\b(?:by|with|via|using|matching|whose|same) (?:the |their |his |her |its |same |this |that )*"
    r"(e-?mail|name|phone|id|title|subject|number|key|domain)\b"
)


def lookup_of(service: Service, operation: Operation) -> Operation:
    """Return the operation that finds one thing, where the one chosen lists all of them."""
    if not reads(operation) or _criterion(operation):
        return operation
    thing = operation.id.partition("_")[2]
    others = (o for o in service.operations if reads(o) and o.list_at and o.id.partition("_")[2] == thing)
    return next((o for o in others if _criterion(o)), operation)


def looked_up_by(operation: Operation, event: ServiceTrigger | None, said: str) -> dict[str, Argument]:
    """Return what is looked for: the field of the event that was said, or its address; nothing is guessed."""
    name = _criterion(operation)
    found = _BY.search(said)
    field = found[1].replace("-", "") if found else "email"
    is_offered = event is not None and field in event.fields
    if name is None or not (is_offered or (found and (event is None or not event.fields))):
        return {}
    return {name: FromTrigger(path=field)}


def lookup_questions(
    steps: Sequence[StepSpec], start: TriggerSpec | None, catalogue: Catalogue
) -> list[Question]:
    """Ask by which value of the event something is looked up whose being found decides on a later step."""
    asked: list[Question] = []
    if start is None or start.type in {"schedule", "manual"}:
        return asked
    for named in (ANSWER.fullmatch(step.condition or "") for step in steps):
        looked = next((one for one in steps if named and one.id == named["step"]), None)
        if looked is None or named is None or named["told"] not in {FINDS_SOMETHING, FINDS_NOTHING}:
            continue
        service = catalogue.get(looked.service)
        operation = service.operation(looked.operation)
        name = _criterion(operation) if operation else None
        if name and name not in looked.arguments:
            text = f"By which value of the event is it looked up in {service.name}: by email, or by what?"
            asked.append(Question(id=f"lookup_{looked.id}", text=text))
    return asked


def _criterion(operation: Operation) -> str | None:
    """Return the parameter that takes the plain value looked for; one in a language of queries is none."""
    known = {p.name: p for p in operation.parameters if p.type in {"string", "any"} and not p.choices}
    for name in table("arguments")["lookup"]["by"]:
        if name in known:
            return str(name)
    return None
