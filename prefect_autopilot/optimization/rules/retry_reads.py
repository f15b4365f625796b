"""Give reads over the network retries with growing, jittered delays; never anything that writes.

Before::

    @task
    def read_rates(day): ...

After::

    @task(retries=3, retry_delay_seconds=[2, 4, 8], retry_jitter_factor=0.5)
    def read_rates(day): ...
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.effects import Function, FunctionEffect, Level
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.retries import has_retries, met_elsewhere, missing_words, never_repeated

_NAME = "retry_reads"


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield retries for reads that lack them, and a warning for writes that have them."""
    for task in file.tasks:
        effect = file.reader.effect(task)
        line = task.decorator.lineno if task.decorator else task.node.lineno
        has = has_retries(task)
        harmful = [one for one in effect.touches if one.level is Level.WRITE and not one.idempotent]
        if has and harmful:
            reason = (
                f"{task.node.name} is retried although it writes: {harmful[0].told}; a retry may do it twice"
            )
            yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        reason = _refusal(task, effect)
        if not reason and not has and (met := met_elsewhere(file.reader, task)):
            reason = f"{task.node.name} would never come to its retries: {met}"
        if reason:
            if not has and effect.level is not Level.PURE:
                yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        words = missing_words(task)
        edit = add_keywords(file, task, words) if words else None
        if edit is not None:
            yield Proposal(
                rule=_NAME,
                line=line,
                reason=f"{task.node.name} only reads ({effect.evidence[0]}): "
                + (
                    "its retries follow one another at once"
                    if has
                    else "a passing fault need not fail the run"
                ),
                edits=(edit,),
                evidence=effect.evidence,
                preconditions=("a repeated read does no harm at what is read",),
                undo=f"remove {', '.join(words)} from the decorator of {task.node.name}",
            )


def _refusal(task: Function, effect: FunctionEffect) -> str:
    """Return why a task gets no retries; empty where it may."""
    name = task.node.name
    evidence = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    checks: tuple[tuple[bool, str], ...] = (
        (effect.level is Level.UNKNOWN, f"what {name} does is not known ({evidence})"),
        (effect.level is Level.WRITE, f"{name} writes ({evidence})"),
        (not effect.waits, f"{name} reads nothing over a network"),
    )
    return next((reason for holds, reason in checks if holds), "") or never_repeated(task, effect)


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=40)
