"""Call a deterministic task once where it is called twice with the same arguments.

Before::

    total = score(rows)
    report(score(rows))

After::

    total = score(rows)
    report(total)

Never for what reads, for what a clock decides, or where one of the two values is changed later on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level, walked
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.calls import CallSite
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.statements import StatementReader, blocks

_NAME = "call_once"
_PLAIN_OPTIONS = frozenset({"name", "description", "log_prints", "version", "tags"})


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield an edit for each call that repeats an earlier one of its block."""
    for flow in file.flows:
        reader = file.statements(flow)
        for block in blocks(file.reader, flow):
            first: dict[str, tuple[int, str, CallSite]] = {}
            for place, node in enumerate(block):
                for site in reader.sites_of(node):
                    text = ast.dump(site.replaced)
                    if text in first:
                        yield _finding(file, flow, block, place, site, first[text])
                    elif name := _whole_value(node, site):
                        first[text] = (place, name, site)


def _whole_value(node: ast.stmt, site: CallSite) -> str:
    """Return the one name a statement binds to a call's value, empty where it does something else."""
    plain = isinstance(node, ast.Assign) and len(node.targets) == 1 and node.value is site.replaced
    target = node.targets[0] if plain and isinstance(node, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else ""


def _finding(
    file: FlowFile,
    flow: Function,
    block: list[ast.stmt],
    place: int,
    site: CallSite,
    earlier: tuple[int, str, CallSite],
) -> Finding:
    start, name, other = earlier
    line, task = site.call.lineno, site.task
    reader = file.statements(flow)
    between = [reader.read(node) for node in block[start + 1 : place]]
    reason = _of_task(file, task) or _of_file(file, flow) or _of_values(reader, name, site, block[place])
    names = site.names | {name}
    rebound = sorted(names & {one for statement in between for one in statement.binds})
    changed = [one for one in reader.read(block[start]).binds if one in site.names]
    if not reason and (rebound or changed):
        reason = f"{[*rebound, *changed][0]} is bound anew between the two calls"
    if reason:
        return Rejection(rule=_NAME, line=line, reason=reason)
    return Proposal(
        rule=_NAME,
        line=line,
        reason=f"{task.node.name} was called with the same arguments on line {other.call.lineno}; "
        "it computes the same again",
        edits=(TextEdit(file.text.start(site.replaced), file.text.end(site.replaced), name),),
        evidence=file.reader.effect(task).evidence,
        saving=file.saving(lambda duration: duration(task)),
        undo=f"call {task.node.name} again instead of using {name}",
    )


def _of_task(file: FlowFile, task: Function) -> str:
    """Return why two calls of a task need not give the same."""
    name, effect = task.node.name, file.reader.effect(task)
    told = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    decided = [one for one in task.options if one not in _PLAIN_OPTIONS]
    checks: tuple[tuple[bool, str], ...] = (
        (
            effect.level is not Level.PURE,
            f"{name} does more than compute ({told}): it may find something new",
        ),
        (effect.marked == "keep", f"{name} is marked keep"),
        (effect.nondeterministic or effect.paced, f"{name} reads the clock or chance"),
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        (bool(decided), f"{name} has the option {decided[0] if decided else ''}"),
    )
    return next((reason for holds, reason in checks if holds), "")


def _of_file(file: FlowFile, flow: Function) -> str:
    """Return what else may decide on a value: state of the module, or code that nobody knows."""
    for function in file.module.functions.values():
        for touch in file.reader.effect(function).touches:
            if touch.resource.startswith("memory:") or touch.mutates in file.module.variables - {""}:
                return f"{touch.told}: a task may see it"
    unknown = [one for one in file.reader.effect(flow).touches if one.level is Level.UNKNOWN]
    return f"{unknown[0].told}; it may change what both calls use" if unknown else ""


def _of_values(reader: StatementReader, name: str, site: CallSite, node: ast.stmt) -> str:
    """Return what would be seen if the two values were one object, or an argument changed in between."""
    watched = {name, *_bound(node), *site.names}
    for touch in reader.reader.effect(reader.flow).touches:
        if touch.mutates in watched:
            return f"{touch.mutates} is changed on line {touch.line}"
    for part in walked(reader.flow.node):
        if isinstance(part, ast.stmt) and part is not reader.flow.node:
            changed = [touch.mutates for touch in reader.reader.touches(part, reader.flow) if touch.mutates]
            if hit := sorted(watched & reader.reach(frozenset(changed))):
                return f"{hit[0]} is changed on line {part.lineno}"
    return ""


def _bound(node: ast.stmt) -> list[str]:
    return [
        part.id for part in walked(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    ]


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST}), find=find, order=15)
"""What is called twice is called once."""
