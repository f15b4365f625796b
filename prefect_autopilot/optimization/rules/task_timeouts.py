"""Bound how long a reading task may take: three times the 95th percentile of its runs.

Before::

    @task
    def read_rates(day): ...

After::

    @task(timeout_seconds=60)
    def read_rates(day): ...

Opt-in: a run that would have ended late fails instead, and Prefect cannot stop a thread that hangs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from prefect_autopilot.effects import Level
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule

_NAME = "task_timeouts"
_LEAST_S = 60
_TIMES_P95 = 3
_LEAST_RUNS = 5


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a timeout for each reading task without one whose durations are known."""
    for task in file.tasks:
        timing, effect = file.timing(task), file.reader.effect(task)
        decided = "timeout_seconds" in task.options or "**" in task.options
        if decided or not effect.waits or timing is None or timing.p95_s is None:
            continue
        line = task.decorator.lineno if task.decorator else task.node.lineno
        if effect.level is not Level.READ:
            reason = f"{task.node.name} does more than read: a timeout would leave open what it had done"
            yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        if timing.n < _LEAST_RUNS:
            reason = f"{timing.n} runs are too few to bound {task.node.name} by; {_LEAST_RUNS} are needed"
            yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        seconds = max(_LEAST_S, math.ceil(_TIMES_P95 * timing.p95_s))
        edit = add_keywords(file, task, {"timeout_seconds": str(seconds)})
        if edit is not None:
            yield Proposal(
                rule=_NAME,
                line=line,
                reason=f"{task.node.name} may hang for ever; 95 of 100 runs took at most {timing.p95_s:g} s "
                f"(n = {timing.n})",
                edits=(edit,),
                evidence=effect.evidence,
                preconditions=("a run that takes longer than that is of no use",),
                undo=f"remove timeout_seconds from the decorator of {task.node.name}",
                risk="opt_in",
            )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=65)
