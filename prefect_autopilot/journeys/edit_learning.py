"""What a change of a flow tells of the person: the service meant by a kind, the place things go to."""

from __future__ import annotations

import ast

from prefect_autopilot.codegen.reading import Call, read_flow
from prefect_autopilot.intelligence.arguments import role_of
from prefect_autopilot.intelligence.remembered import place_key
from prefect_autopilot.services import Catalogue


def learned(before: str, after: str, catalogue: Catalogue, function: str | None = None) -> dict[str, str]:
    """Return choices by kind ("chat": "discord") and by place ("slack.channel": "#ops"), to be remembered.

    Only what one service took over from one other of its kind is a choice; a step that is merely new is none.
    """
    old, new = read_flow(before, catalogue, function).calls, read_flow(after, catalogue, function).calls
    found: dict[str, str] = {}
    gone = {c.service.id: c.service for c in old if c.service and not _has(new, c.service.id)}
    come = {c.service.id: c.service for c in new if c.service and not _has(old, c.service.id)}
    if len(gone) == len(come) == 1:
        (was,), (chosen,) = gone.values(), come.values()
        found |= dict.fromkeys(sorted(set(was.kinds) & set(chosen.kinds)), chosen.id)
    for one, two in zip(old, new, strict=False):
        same = one.service and two.service and one.service.id == two.service.id and one.name == two.name
        if same and one.service and len(old) == len(new):
            found |= _places(one, two, one.service.id)
    return found


def _has(calls: tuple[Call, ...], service: str) -> bool:
    return any(call.service is not None and call.service.id == service for call in calls)


def _places(one: Call, two: Call, service: str) -> dict[str, str]:
    changed: dict[str, str] = {}
    for name, value in two.arguments.items():
        was = one.arguments.get(name)
        both = isinstance(value, ast.Constant) and isinstance(was, ast.Constant)
        if not both or role_of(name) != "place":
            continue
        assert isinstance(value, ast.Constant)
        assert isinstance(was, ast.Constant)
        if isinstance(value.value, str) and value.value != was.value:
            changed[place_key(service, name)] = value.value
    return changed
