"""Keep a service's published rate where its calls are started many at a time.

Before::

    @task
    def read_page(page): ...

After::

    @task
    def read_page(page):
        rate_limit("notion")
        ...

Opt-in: it does nothing until the limit of that name exists on the Prefect server, and then each call waits
for its turn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, FunctionEffect, Touch
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.starts import in_this_file, starts

_NAME = "limit_rate"
_MODULES = {False: "prefect.concurrency.sync", True: "prefect.concurrency.asyncio"}


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a limit for each task that calls a service of known rate and is started many times."""
    seen: set[str] = set()
    for flow in file.flows:
        for start in starts(file, flow):
            task = start.task
            if start.how == "call" or not start.many or task.name in seen:
                continue
            effect = file.reader.effect(task)
            known = _limited(file, effect)
            if known is None:
                continue
            seen.add(task.name)
            reason = _refusal(file, task, effect)
            if reason:
                yield Rejection(rule=_NAME, line=task.node.lineno, reason=reason)
            else:
                yield _proposal(file, task, start.call.lineno, *known)


def _limited(file: FlowFile, effect: FunctionEffect) -> tuple[Touch, str, float] | None:
    """Return what of a task calls a service of known rate, with the service and calls per second."""
    for touch in effect.touches:
        place = touch.resource.removeprefix("http:").removeprefix("service:")
        if place in file.rates:
            return touch, *file.rates[place]
    return None


def _refusal(file: FlowFile, task: Function, effect: FunctionEffect) -> str:
    body = _first_statement(task)
    checks: tuple[tuple[bool, str], ...] = (
        (effect.paced, f"{task.node.name} pauses or is limited already"),
        (effect.marked == "keep", f"{task.node.name} is marked keep"),
        (effect.is_generator, f"{task.node.name} is a generator"),
        (not in_this_file(file, task), f"{task.node.name} does not stand at module level of this file"),
        (body is None or not file.text.starts_line(body), f"{task.node.name} stands on one line"),
    )
    return next((reason for holds, reason in checks if holds), "")


def _first_statement(task: Function) -> ast.stmt | None:
    """Return the statement behind the docstring, None where there is none or it shares the head's line."""
    body = task.node.body
    has_doc = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    rest = body[1:] if has_doc and isinstance(getattr(body[0], "value", None), ast.Constant) else body
    return rest[0] if rest and rest[0].lineno > task.node.lineno else None


def _proposal(
    file: FlowFile, task: Function, line: int, touch: Touch, service: str, per_second: float
) -> Proposal:
    first = _first_statement(task)
    assert first is not None
    is_async = isinstance(task.node, ast.AsyncFunctionDef)
    called, imports = file.imported("rate_limit", _MODULES[is_async])
    text = f'{"await " if is_async else ""}{called}("{service}")'
    edit = _before(file, first, text)
    slots = max(1, round(per_second))
    command = f"prefect gcl create {service} --limit {slots} --slot-decay-per-second {per_second:g}"
    return Proposal(
        rule=_NAME,
        line=task.node.lineno,
        reason=f"line {line} starts {task.node.name} for many items; {service} takes {per_second:g} a second",
        edits=(edit,),
        evidence=(touch.told,),
        preconditions=(f"the limit exists: {command}",),
        undo=f"remove {text} from {task.node.name}",
        imports=imports,
        risk="opt_in",
    )


def _before(file: FlowFile, first: ast.stmt, text: str) -> TextEdit:
    decorated = getattr(first, "decorator_list", [])
    at = min([first, *decorated], key=lambda node: node.lineno)
    start = file.text.line_start(at.lineno)
    return TextEdit(start, start, f"{file.text.indent(first)}{text}{file.text.newline}")


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY}), find=find, order=68)
"""A service's rate is kept."""
