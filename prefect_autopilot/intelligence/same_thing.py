"""What is done to the thing the event is about ("archive it", "close the ticket"): which one, which state."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromTrigger,
    Operation,
    Parameter,
    Service,
    ServiceTrigger,
)

_WORDS = re.compile(r"[a-z]+")
_ENDS = ("iid", "number", "key", "id")
"""Fields that name a thing, the more special first."""


def id_of_it(operation: Operation, parameter: Parameter, event: ServiceTrigger) -> FromTrigger | None:
    """Return the field of the event that says which thing is meant, None for a parameter of anything else."""
    things = {_singular(word) for word in _WORDS.findall(event.event.lower())}
    if things.isdisjoint(_things(operation, parameter)):
        return None
    name = re.sub(r"[^a-z]", "", parameter.name.lower())
    ends = [one for one in _ENDS if one in event.fields and (name.endswith(one) or one == "id")]
    return FromTrigger(path=ends[0]) if ends else None


def _things(operation: Operation, parameter: Parameter) -> set[str]:
    """Return what a parameter is the id of: by the path it stands in, else by its own name."""
    before = re.search(rf"/([a-z]+)/\{{{re.escape(parameter.name)}\}}", operation.path.lower())
    before = before or re.search(
        rf"/([a-z]+)/\{{{re.escape(parameter.name.lower())}\}}", operation.path.lower()
    )
    if before:
        return {_singular(before[1])}
    own = re.fullmatch(r"([a-z]+?)_?(?:id|gid|iid|key|number)", parameter.name.lower())
    return {own[1]} if own and parameter.required else set()


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def doing(service: Service, verb: str) -> Operation | None:
    """Return the operation of a service that does what a verb says to one of its things."""
    known = [o for o in service.operations if not reads(o)]
    own = next((o for o in known if verb in {phrase.split()[0] for phrase in o.verbs}), None)
    return own or next((o for o in known if new_state(service, o, verb)), None)


def doing_to(service: Service, verb: str, thing: str) -> Operation | None:
    """Return the writing operation of a service whose phrase is this verb with this thing."""
    return next(
        (
            o
            for o in service.operations
            if not reads(o)
            and any(
                {verb, thing} <= {p.split()[0], *p.split()[1:]} for p in (*o.verbs, o.id.replace("_", " "))
            )
        ),
        None,
    )


def new_state(service: Service, operation: Operation, said: str) -> dict[str, Argument]:
    """Return the values by which an operation does what its verb says ("archive" a card, "star" a mail)."""
    told = " ".join(_WORDS.findall(said.lower()))
    for one in table("states")["state"]:
        if one["operation"] == f"{service.id}.{operation.id}" and re.search(rf"\b(?:{one['verbs']})\b", told):
            return {name: Constant(value=value) for name, value in one["values"].items()}
    return {}


def changes_state(said: str, operation: Operation) -> bool:
    """Tell whether the words and the operation share a verb that changes a state and no content."""
    verbs = {phrase.split()[0] for phrase in operation.verbs}
    return not verbs.isdisjoint(words("states", "verbs") & set(_WORDS.findall(said.lower())))
