"""Retry writes that leave the same when they are repeated: a PUT, a DELETE, an upsert, a file written anew.

Before::

    @task
    def put_prices(day, rows): ...

After::

    @task(retries=3, retry_delay_seconds=[2, 4, 8], retry_jitter_factor=0.5)
    def put_prices(day, rows): ...

Opt-in: the other side decides whether a repeated PUT is the same. Never what adds up, such as a POST, an
INSERT or a mail, and never what overwrites what it has read.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.effects import FunctionEffect, Level, read_then_written
from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.retries import has_retries, missing_words, never_repeated

_NAME = "retry_idempotent"


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield retries for tasks over a network whose writes may all be repeated."""
    for task in file.tasks:
        effect = file.reader.effect(task)
        if has_retries(task) or not _may_be_repeated(effect) or never_repeated(task, effect):
            continue
        words = missing_words(task)
        edit = add_keywords(file, task, words) if words else None
        if edit is not None:
            yield Proposal(
                rule=_NAME,
                line=task.decorator.lineno if task.decorator else task.node.lineno,
                reason=f"{task.node.name} leaves the same when it writes twice ({effect.evidence[0]}): "
                "a passing fault need not fail the run",
                edits=(edit,),
                evidence=effect.evidence,
                preconditions=("what is written to takes the same write twice as one",),
                undo=f"remove {', '.join(words)} from the decorator of {task.node.name}",
                risk="opt_in",
            )


def _may_be_repeated(effect: FunctionEffect) -> bool:
    """Tell whether all writes leave the same, at the same place, whenever they are repeated."""
    writes = [touch for touch in effect.touches if touch.level is Level.WRITE]
    outside = all(not touch.resource.startswith(("memory:", "process")) for touch in writes)
    same = all(touch.idempotent and touch.stable for touch in writes)
    moves = effect.nondeterministic or any(True for _ in read_then_written(effect.touches))
    return effect.level is Level.WRITE and effect.waits and outside and same and not moves


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY}), find=find, order=41)
"""What may be written twice may be tried twice."""
