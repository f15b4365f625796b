"""A literal argument of a flow's step with another value: a channel, a recipient, a text."""

from __future__ import annotations

import ast
import re

from prefect_autopilot.codegen import edit as source_edit
from prefect_autopilot.codegen.reading import Call, FlowSource
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.intelligence.arguments import role_of
from prefect_autopilot.intelligence.changes import Change
from prefect_autopilot.journeys.edit_add import Made
from prefect_autopilot.journeys.edit_place import ask, find_step
from prefect_autopilot.services import Catalogue

_ROLES = {
    "channel": "place", "room": "place", "list": "place", "project": "place", "folder": "place",
    "recipient": "recipient", "address": "recipient", "email": "recipient", "subject": "title",
    "title": "title", "name": "title", "text": "text", "message": "text", "body": "text",
    "description": "text", "content": "text", "notes": "text",
}  # fmt: skip


def change_value(flow: FlowSource, change: Change, catalogue: Catalogue) -> Made:
    """Give a literal argument another value."""
    assert change.new is not None
    places = _literals(flow, change, catalogue)
    if not places:
        if change.old is not None and _holds(flow, change.new):
            return Made(notes=[f"The flow says {change.new!r} already."])
        raise ask(
            "value", f"Which value should become {change.new!r}? Say it as: use … instead of ….", _known(flow)
        )
    new = _alike(change.new, str(places[0][1].value))
    distinct = {str(node.value) for _, node in places}
    if change.old is None and distinct == {new}:
        return Made(notes=[f"It is {new!r} already."])
    if change.old is None and len(places) > 1:
        options = tuple(f"{call.name}: {node.value!s}" for call, node in places)
        raise ask("value", f"Which of them should become {new!r}?", options)
    edits = [
        TextEdit(flow.text.start(node), flow.text.end(node), source_edit.shown(new)) for _, node in places
    ]
    told = [f"{call.name}: {str(node.value)!r} becomes {new!r}." for call, node in places]
    return Made(edits=edits, changes=told)


def _literals(flow: FlowSource, change: Change, catalogue: Catalogue) -> list[tuple[Call, ast.Constant]]:
    role = next((_ROLES[word] for word in re.findall(r"[a-z]+", change.what.lower()) if word in _ROLES), None)
    meant = find_step(flow, change.what, catalogue, needed=False) if change.what and flow.calls else None
    found: list[tuple[Call, ast.Constant, str]] = []
    for call in flow.calls:
        for name, value in call.arguments.items():
            for node in _texts(value):
                if change.old is not None:
                    is_meant = _bare(str(node.value)) == _bare(change.old)
                else:
                    looks = _looks(str(node.value)) == _looks(change.new or "") != ""
                    is_meant = role_of(name) == role if role else (looks and (meant is None or meant is call))
                if is_meant:
                    found.append((call, node, name.lower()))
    if change.old is None and len(found) > 1:
        told = set(re.findall(r"[a-z]+", change.what.lower()))
        named = [one for one in found if one[2] in told]
        found = named or [one for one in found if one[0] is meant] or found
    return [(call, node) for call, node, _ in found]


def _texts(value: ast.expr) -> list[ast.Constant]:
    """Return the text constants of an argument, those of a list among them."""
    parts = value.elts if isinstance(value, ast.List) else [value]
    return [one for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def _looks(text: str) -> str:
    """Return what a value looks like: a channel, an address, a link, nothing special."""
    return "#" if text.startswith("#") else "@" if "@" in text else "://" if "://" in text else ""


def _bare(text: str) -> str:
    return text.casefold().strip().lstrip("#@")


def _alike(new: str, old: str) -> str:
    """Write a channel as the one before it is written."""
    return f"#{new}" if old.startswith("#") and re.fullmatch(r"[\w-]+", new) else new


def _holds(flow: FlowSource, text: str) -> bool:
    return any(
        _bare(str(node.value)) == _bare(text)
        for call in flow.calls
        for value in call.arguments.values()
        for node in _texts(value)
    )


def _known(flow: FlowSource) -> tuple[str, ...]:
    told = [str(n.value) for call in flow.calls for value in call.arguments.values() for n in _texts(value)]
    return tuple(dict.fromkeys(told))
