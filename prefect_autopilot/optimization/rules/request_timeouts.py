"""Give ``requests`` reads a timeout: without one they may wait for ever.

Before::

    requests.get(url)

After::

    requests.get(url, timeout=60)
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level, walked
from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization.decorators import add_argument
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule

_NAME = "request_timeouts"
_READS = frozenset(f"requests.{verb}" for verb in ("get", "head", "options"))
_DEFAULT_S = 60
_TIMES_P95 = 3


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a timeout for each read with ``requests`` that has none, in tasks and flows."""
    for function in [*file.tasks, *file.flows]:
        if file.reader.effect(function).level is Level.UNKNOWN:
            continue
        for node in walked(function.node):
            if not isinstance(node, ast.Call) or any(isinstance(one, ast.Starred) for one in node.args):
                continue
            name = file.module.qualified(node.func, file.reader.scope(function).names)
            given = {word.arg for word in node.keywords}
            if name not in _READS or given & {"timeout", None} or not node.args:
                continue
            seconds = _seconds(file, function)
            yield Proposal(
                rule=_NAME,
                line=node.lineno,
                reason=f"{name} without a timeout may wait for ever; {seconds} s is "
                + (
                    "three times the 95th percentile of its task"
                    if seconds != _DEFAULT_S
                    else "a generous bound"
                ),
                edits=(add_argument(file, node, f"timeout={seconds}"),),
                evidence=(f"line {node.lineno}: {name}",),
                preconditions=("no answer takes longer than that and is still wanted",),
                undo="remove the timeout",
            )


def _seconds(file: FlowFile, function: Function) -> int:
    """Return three times the p95 of the task's runs, at least the default."""
    timing = file.timing(function)
    p95 = timing.p95_s if timing else None
    return max(_DEFAULT_S, math.ceil(_TIMES_P95 * p95)) if p95 else _DEFAULT_S


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=45)
