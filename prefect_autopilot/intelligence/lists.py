"""What the items of a list hold, and how they fill the rows of a table or the steps of a loop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_autopilot.intelligence.arguments import CELLS, HOLDERS, MOST_CELLS, role_of
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromParameter,
    FromStep,
    Operation,
    Service,
    ServiceTrigger,
    StepSpec,
    Text,
)
from prefect_autopilot.services import listed_fields, pick, resource_of, sample_rows

_COLUMNS = re.compile(
    r"\bwith (?:only |just )?(?:the |their |its )*(?:columns? |fields? )?"
    r"((?:[\w -]{2,40}, ){0,6}[\w-]{2,40}(?:,? (?:and|&) [\w-]{2,40})+)(?=[.,;]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Items:
    """The fields of a list's items by name, each with its path, and those that every item has."""

    step: StepSpec
    fields: Mapping[str, str]
    certain: frozenset[str]
    label: str
    """What is listed, in words: "GitHub issues"."""
    is_query: bool = False
    """The fields are those the statement asks for, which only the person knows."""


def items_of(step: StepSpec, service: Service, operation: Operation) -> Items:
    """Return what is known of the items that a step lists."""
    resource = resource_of(service.id, operation.id)
    rows = sample_rows(service.id).get(resource, [])
    listed = listed_fields(service.id, resource)
    trigger = next((t for t in service.triggers if _tells_of(service, t, operation, resource)), None)
    if trigger is not None:
        known = {name: path for name, path in trigger.fields.items() if "[" not in path}
    else:
        known = {name: name for name in (rows[0] if rows else {})}
    if listed:
        known = {name: path for name, path in known.items() if path.split(".")[0] in listed}
    label = f"{service.name} {operation.id.partition('_')[2].replace('_', ' ') or 'rows'}"
    is_query = trigger is None and "database" in service.kinds and "spreadsheet" not in service.kinds
    if is_query:
        return Items(step, {}, frozenset(), label, is_query=True)
    return Items(step, known, frozenset(path for path in known.values() if _is_there(path, rows)), label)


def _tells_of(service: Service, trigger: ServiceTrigger, operation: Operation, resource: str) -> bool:
    """Tell whether the fields of an event are those of the items of a list."""
    if trigger.detail:
        return False
    same = trigger.operation is not None and resource_of(service.id, trigger.operation) == resource
    return trigger.operation == operation.id or same or resource in trigger.event.split("_")


def _is_there(path: str, rows: list[dict[str, Any]]) -> bool:
    if rows:
        return all(_is_plain(pick(row, path)) for row in rows)
    head, _, rest = path.partition(".")
    return "." not in rest if head in HOLDERS and rest else not rest and head not in HOLDERS


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def filled_from(step: StepSpec, service: Service, said: str, items: Items) -> StepSpec:
    """Return a step with what its parameters were to ask for taken from the items of the list before it.

    A table gets a row for each item, with the columns that are said, else with the fields every item has; in
    a loop a title or an address is the one of the item.
    """
    source, fields = items.step.id, items.fields
    arguments = dict(step.arguments)
    for name, value in step.arguments.items():
        told = _told_of(name, value, service, step, items)
        if told is not None:
            arguments[name] = told
        if not isinstance(value, FromParameter):
            continue
        if role_of(name) == "title" and "email" in service.kinds and step.for_each != source:
            arguments[name] = Constant(value=items.label)
        elif name == CELLS and "spreadsheet" in service.kinds:
            columns = [""] if items.is_query and step.for_each != source else _columns(said, items)
            cells = tuple(FromStep(step=source, path=path) for path in columns)
            if cells:
                arguments[name] = Text(parts=cells, form="row" if step.for_each == source else "rows")
        elif step.for_each == source and (path := _field_for(name, fields)):
            arguments[name] = FromStep(step=source, path=path)
    return step.model_copy(update={"arguments": arguments})


def _told_of(
    name: str, value: Argument, service: Service, step: StepSpec, items: Items
) -> Text | FromStep | None:
    """Return what a text says of the items: a line for each, in a loop the telling fields of the one.

    None where it is no text, or nothing is known to tell of every item; a model reads them as they are.
    """
    source = items.step.id
    if value != FromStep(step=source) or role_of(name) != "text" or "llm" in service.kinds:
        return None
    is_one = step.for_each == source
    words = table("arguments")["message"]
    is_titled = is_one and any(role_of(one) == "title" for one in step.arguments)
    kinds = ("text", "link") if is_titled else ("title", "text", "link") if is_one else ("title", "link")
    named = {k: _names_of_one() if k == "title" else words[k] for k in kinds}
    offered = [next((items.fields[n] for n in named[k] if n in items.fields), None) for k in kinds]
    paths = list(dict.fromkeys(path for path in offered if path in items.certain and path))
    if not paths or (not is_titled and offered[0] != paths[0]):
        return None
    parts = [FromStep(step=source, path=path) for path in paths]
    if not is_one:
        return Text(parts=tuple(parts), form="lines")
    joined: list[Constant | FromStep] = [parts[0]]
    for part in parts[1:]:
        joined += [Constant(value="\n"), part]
    return parts[0] if len(parts) == 1 else Text(parts=tuple(joined))


def _names_of_one() -> list[str]:
    """Return the fields that an item is called by, its title before the address of whom it is about."""
    words = table("arguments")["message"]
    return [*words["title"], *words["whose"]]


def _columns(said: str, items: Items) -> list[str]:
    """Return the paths of the columns; none where one is said that the items are not known to have."""
    told = _COLUMNS.search(said)
    if told is None:
        return [path for path in items.fields.values() if path in items.certain][:MOST_CELLS]
    by_name = {_plain(path.rsplit(".", 1)[-1]): path for path in items.fields.values()}
    by_name |= {_plain(name): path for name, path in items.fields.items()}
    wanted = [_plain(one) for one in re.split(r",| and | & ", told[1]) if _plain(one)]
    return [by_name[one] for one in wanted] if all(one in by_name for one in wanted) else []


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _field_for(parameter: str, fields: Mapping[str, str]) -> str | None:
    role = role_of(parameter)
    if role == "title":
        offered = _names_of_one()
    elif role == "recipient" and "mail" in parameter.lower():
        offered = ["email"]
    else:
        return None
    return next((fields[one] for one in offered if one in fields), None)
