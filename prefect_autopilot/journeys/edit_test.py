"""The test beside a flow, brought up to what a change made of the flow: its calls and its parameters."""

from __future__ import annotations

import ast
import difflib

from prefect_autopilot.codegen import edit as source_edit
from prefect_autopilot.codegen.reading import Call, read_flow
from prefect_autopilot.effects.text import SourceText, TextEdit, apply_edits
from prefect_autopilot.services import Catalogue

_EXPECTED = "expected"


def updated_test(
    test: str, before: str, after: str, catalogue: Catalogue, function: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """Return the test for the changed flow, and what of it a person has to look at.

    Only what the change touched is written: calls in the list ``expected``, arguments of ``services.run``.
    A new call under a condition is left to the person, since whether it is made depends on the day or the
    event. Raises InvalidFlowError where one of the sources is no flow.
    """
    old, new = read_flow(before, catalogue, function), read_flow(after, catalogue, function)
    text, tree = SourceText(test), ast.parse(test)
    edits: list[TextEdit] = []
    notes: list[str] = []
    was, is_now = _known(old.calls), _known(new.calls)
    conditional = sorted({_name(c) for c in is_now if c.blocks} - {_name(c) for c in was})
    if conditional:
        notes.append(
            f"The test beside the flow does not know when {', '.join(conditional)} is called: look at it."
        )
    wanted = [_name(c) for c in is_now if _name(c) not in conditional]
    for listed in (_list_of(node) for node in ast.walk(tree)):
        if listed is None:
            continue
        calls = [str(one.value) for one in listed.elts if isinstance(one, ast.Constant)]
        moved = _moved(calls, [_name(c) for c in was], wanted)
        if moved != calls:
            shown = "[" + ", ".join(f'"{one}"' for one in moved) + "]"
            edits.append(TextEdit(text.start(listed), text.end(listed), shown))
    for run in (node for node in ast.walk(tree) if _is_run(node, old.flow.name, new.flow.node.name)):
        assert isinstance(run, ast.Call)
        given = {one.arg for one in run.keywords}
        for name, value in _new_arguments(before, after, new.flow.node.name).items():
            made = source_edit.set_keyword(text, run, name, value) if name not in given else None
            edits += [made] if made else []
    return (apply_edits(test, edits) if edits else test), tuple(notes)


def _known(calls: tuple[Call, ...]) -> list[Call]:
    return [call for call in calls if call.service is not None and call.operation is not None]


def _name(call: Call) -> str:
    assert call.service is not None
    assert call.operation is not None
    return f"{call.service.id}.{call.operation.id}"


def _list_of(node: ast.AST) -> ast.List | None:
    """Return the list of ``expected = ["slack.post_message"]``; an empty one stands for no call at all."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.List) and node.value.elts):
        return None
    (target, *_) = node.targets
    return node.value if isinstance(target, ast.Name) and target.id == _EXPECTED else None


def _moved(listed: list[str], before: list[str], after: list[str]) -> list[str]:
    """Return the list with what the flow lost taken out and what it gained put where the flow has it."""
    result = list(listed)
    steps = difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
    for tag, first, last, start, end in steps:
        if tag in {"delete", "replace"}:
            for gone in before[first:last]:
                if gone in result:
                    result.remove(gone)
        if tag in {"insert", "replace"}:
            earlier = after[start - 1] if start else None
            place = result.index(earlier) + 1 if earlier in result else (0 if start == 0 else len(result))
            result[place:place] = after[start:end]
    return result


def _is_run(node: ast.AST, name: str, function: str) -> bool:
    """Tell whether a call is ``services.run(the_flow, …)``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return False
    flow = node.args[0]
    return (
        node.func.attr in {"run", "calls_of"} and isinstance(flow, ast.Name) and flow.id in {name, function}
    )


def _new_arguments(before: str, after: str, function: str) -> dict[str, str]:
    """Return the arguments that only the changed file runs its flow by hand with, as source."""
    had, has = _by_hand(before, function), _by_hand(after, function)
    return {name: value for name, value in has.items() if name not in had}


def _by_hand(source: str, function: str) -> dict[str, str]:
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]
    return {
        one.arg: ast.get_source_segment(source, one.value) or ast.unparse(one.value)
        for call in calls[-1:]
        for one in call.keywords
        if one.arg
    }
