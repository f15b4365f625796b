"""Bound a fan-out that has no bound: Prefect starts as many threads as there are items.

Before::

    @flow
    def main(pages):
        return fetch.map(pages).result()

After::

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=32))
    def main(pages):
        return fetch.map(pages).result()

Opt-in: with more items than workers some of them wait. 32 is the most threads that Python's own pool
starts by default (``concurrent.futures``).
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords, foreign_runner, runner_name
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.starts import starts

_NAME = "bound_fan_out"
_WORKERS = 32


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a bounded task runner for each flow that starts as many tasks as its data has items."""
    for flow in file.flows:
        many = [one for one in starts(file, flow) if one.many and one.how != "call"]
        if not many or "task_runner" in flow.options:
            continue
        line = flow.decorator.lineno if flow.decorator else flow.node.lineno
        name, imports = runner_name(file)
        reason = foreign_runner(file, flow)
        edit = (
            None if reason else add_keywords(file, flow, {"task_runner": f"{name}(max_workers={_WORKERS})"})
        )
        if edit is None:
            yield Rejection(rule=_NAME, line=line, reason=reason or f"{flow.node.name} has no decorator")
            continue
        tasks = ", ".join(dict.fromkeys(one.task.node.name for one in many))
        yield Proposal(
            rule=_NAME,
            line=line,
            reason=f"{flow.node.name} starts {tasks} once for each item, all at the same time",
            edits=(edit,),
            evidence=tuple(f"line {one.call.lineno}: {one.task.node.name}.{one.how}" for one in many),
            preconditions=("no task waits for another one that is started after it",),
            undo=f"remove task_runner from the decorator of {flow.node.name}",
            imports=imports,
            risk="opt_in",
        )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY}), find=find, order=67)
"""No fan-out without a bound."""
