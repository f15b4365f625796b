"""Give reads over the network retries with growing, jittered delays; never anything that writes.

Before::

    @task
    def read_rates(day): ...

After::

    @task(retries=3, retry_delay_seconds=[2, 4, 8], retry_jitter_factor=0.5)
    def read_rates(day): ...
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, FunctionEffect, Level
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule

_NAME = "retry_reads"
_DELAY = {"retry_delay_seconds": "[2, 4, 8]", "retry_jitter_factor": "0.5"}
_RETRIES = {"retries": "3"}
_RECOVERING = ("http", "aws", "slack", "cloud", "llm")


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield retries for reads that lack them, and a warning for writes that have them."""
    for task in file.tasks:
        effect = file.reader.effect(task)
        line = task.decorator.lineno if task.decorator else task.node.lineno
        has = _has_retries(task)
        harmful = [one for one in effect.touches if one.level is Level.WRITE and not one.idempotent]
        if has and harmful:
            reason = (
                f"{task.node.name} is retried although it writes: {harmful[0].told}; a retry may do it twice"
            )
            yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        reason = _refusal(task, effect)
        if reason:
            if not has and effect.level is not Level.PURE:
                yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        words = _words(task, has=has)
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


def _has_retries(task: Function) -> bool:
    value = task.options.get("retries")
    return value is not None and not (isinstance(value, ast.Constant) and value.value in {0, None})


def _refusal(task: Function, effect: FunctionEffect) -> str:
    """Return why a task gets no retries; empty where it may."""
    name, options = task.node.name, task.options
    evidence = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    # A client of HTTP opens a new connection after a fault; a database's one may be in a broken transaction.
    shared = (one for one in effect.touches if one.shares and not one.resource.startswith(_RECOVERING))
    fragile = tuple(dict.fromkeys(one.shares for one in shared))
    checks: tuple[tuple[bool, str], ...] = (
        (effect.level is Level.UNKNOWN, f"what {name} does is not known ({evidence})"),
        (effect.level is Level.WRITE, f"{name} writes ({evidence})"),
        (not effect.waits, f"{name} reads nothing over a network"),
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        (bool(fragile), f"{name} uses {', '.join(fragile)}, which a fault may leave broken"),
        ("**" in options or "retry_condition_fn" in options, f"{name} decides on its retries itself"),
    )
    return next((reason for holds, reason in checks if holds), "")


def _words(task: Function, *, has: bool) -> dict[str, str]:
    options = task.options
    delay = {} if "retry_delay_seconds" in options else _DELAY
    if "retry_jitter_factor" in options:
        delay = {name: value for name, value in delay.items() if name != "retry_jitter_factor"}
    if "retries" in options:
        # Retries set to 0 are the owner's decision.
        return delay if has else {}
    return _RETRIES | delay


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=40)
