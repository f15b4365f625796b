"""Drop the retries of a task that only computes: what failed once fails again with the same input.

Before::

    @task(retries=3, retry_delay_seconds=60)
    def parse(text): ...

After::

    @task()
    def parse(text): ...

Never for what reads, waits, may run out of time, or sees a clock or chance.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule

_NAME = "drop_retries"
_WORDS = frozenset({"retries", "retry_delay_seconds", "retry_jitter_factor", "retry_condition_fn"})


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield an edit for each task that computes, always the same, and is retried."""
    for task in file.tasks:
        given = task.options.get("retries")
        if not isinstance(task.decorator, ast.Call) or given is None:
            continue
        if isinstance(given, ast.Constant) and not given.value:
            continue
        line, reason = task.decorator.lineno, _refusal(file, task)
        edit = None if reason else _without(file, task.decorator)
        if edit is None:
            why = reason or "the decorator has comments between its options"
            yield Rejection(rule=_NAME, line=line, reason=why)
            continue
        yield Proposal(
            rule=_NAME,
            line=line,
            reason=f"{task.node.name} only computes: a retry waits and then fails in the same way",
            edits=(edit,),
            undo=f"add {file.text.of(task.decorator)} again",
        )


def _refusal(file: FlowFile, task: Function) -> str:
    name, effect = task.node.name, file.reader.effect(task)
    told = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    checks: tuple[tuple[bool, str], ...] = (
        (effect.level is not Level.PURE, f"{name} does more than compute ({told})"),
        (effect.nondeterministic or effect.paced, f"{name} reads the clock or chance, or pauses"),
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        ("timeout_seconds" in task.options, f"{name} may run out of time, and not the next time"),
        ("**" in task.options, f"the options of {name} are unpacked"),
    )
    return next((reason for holds, reason in checks if holds), "")


def _without(file: FlowFile, node: ast.Call) -> TextEdit | None:
    """Return the edit that leaves the retries out of a decorator, None where a comment would get lost."""
    first = file.text.end(node.func)
    last = file.text.end(node)
    if "#" in file.source[first:last]:
        return None
    kept = [file.text.of(one) for one in node.args]
    kept += [f"{word.arg}={file.text.of(word.value)}" for word in node.keywords if word.arg not in _WORDS]
    return TextEdit(first, last, f"({', '.join(kept)})")


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST}), find=find, order=61)
"""No retries of what cannot come out otherwise."""
