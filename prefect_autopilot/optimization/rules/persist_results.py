"""Keep the results of a flow's tasks, so that a failed run goes on at the task that failed.

Before::

    @flow
    def main(day): ...

After::

    @flow(persist_result=True)
    def main(day): ...

Opt-in: results take room and must be picklable. Never where a task may be called twice with the same
arguments: its second call in the run would get the first one's result.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level, is_handle, walked
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule

_NAME = "persist_results"
_REPEATED = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DECIDED = ("persist_", "result_", "**")


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield the option for each flow of several tasks that does not decide on its results."""
    for flow in file.flows:
        if any(option.startswith(_DECIDED) for option in flow.options):
            continue
        calls = [part for part in walked(flow.node) if isinstance(part, ast.Call)]
        found = [(call, file.reader.called(call, flow)) for call in calls]
        tasks = [(call, task) for call, task in found if task is not None and task.kind == "task"]
        if len(tasks) < 2:  # noqa: PLR2004 - with one task there is nothing to go on from
            continue
        line = flow.decorator.lineno if flow.decorator else flow.node.lineno
        reason = _refusal(file, flow, tasks)
        edit = None if reason else add_keywords(file, flow, {"persist_result": "True"})
        if edit is None:
            yield Rejection(rule=_NAME, line=line, reason=reason or f"{flow.node.name} has no decorator")
            continue
        yield Proposal(
            rule=_NAME,
            line=line,
            reason=f"a retried run of {flow.node.name} does its {len(tasks)} tasks anew; with their results "
            "kept it goes on at the one that failed",
            edits=(edit,),
            evidence=tuple(f"line {call.lineno}: {task.node.name}" for call, task in tasks),
            preconditions=("results can be pickled, and all workers reach the storage of results",),
            undo=f"remove persist_result from the decorator of {flow.node.name}",
            risk="opt_in",
        )


def _refusal(file: FlowFile, flow: Function, tasks: list[tuple[ast.Call, Function]]) -> str:
    names = [task.name for _, task in tasks]
    twice = next((task.node.name for _, task in tasks if names.count(task.name) > 1), "")
    repeated = {
        id(call) for part in walked(flow.node) if isinstance(part, _REPEATED) for call in walked(part)
    }
    for call, task in tasks:
        effect = file.reader.effect(task)
        kind = file.reader.scope(flow).type_of(call)
        if effect.is_generator or is_handle(kind):
            return f"{task.node.name} returns what cannot be kept"
        mapped = isinstance(call.func, ast.Attribute) and call.func.attr == "map"
        in_loop = (mapped or id(call) in repeated) and effect.level is not Level.PURE
        if in_loop or (task.node.name == twice and effect.level is not Level.PURE):
            return f"{task.node.name} may be called twice with the same arguments and do something each time"
    return ""


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY}), find=find, order=66)
"""A failed run resumes where it failed."""
