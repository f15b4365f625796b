"""Retries in a task's decorator: whether it has them, what is added, and what a repetition may not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, FunctionEffect
from prefect_autopilot.effects.module import children
from prefect_autopilot.effects.reader import EffectReader

_DELAYS = (2, 4, 8)
_RETRIES = {"retries": "3"}
_CATCH_ALL = frozenset({"Exception", "BaseException"})
_RECOVERING = ("http", "aws", "slack", "cloud", "llm")


def has_retries(task: Function) -> bool:
    """Tell whether a task is retried."""
    value = task.options.get("retries")
    return value is not None and not (isinstance(value, ast.Constant) and value.value in {0, None})


def missing_words(task: Function) -> dict[str, str]:
    """Return the options that a task lacks for retries with growing, jittered delays."""
    options = task.options
    delay: dict[str, str] = {}
    if "retry_delay_seconds" not in options:
        delay["retry_delay_seconds"] = str(list(_DELAYS[: _known_retries(options.get("retries"))]))
        if "retry_jitter_factor" not in options:
            delay["retry_jitter_factor"] = "0.5"
    if "retries" in options:
        # Retries set to 0 are the owner's decision.
        return delay if has_retries(task) else {}
    return _RETRIES | delay


def _known_retries(given: ast.expr | None) -> int:
    """Return for how many retries a delay is told: as many as there are, else all."""
    if isinstance(given, ast.Constant) and type(given.value) is int and 0 < given.value < len(_DELAYS):
        return given.value
    return len(_DELAYS)


def met_elsewhere(reader: EffectReader, task: Function) -> str:
    """Return where every fault of what a task waits for is met already; empty where one may end the task.

    In another task, which is retried itself, or in a handler that catches whatever comes and raises nothing.
    """
    met = list(_meeting(reader, task, task.node, caught=False))
    if not met or "" in met:
        return ""
    return met[0]


def _meeting(reader: EffectReader, task: Function, node: ast.AST, *, caught: bool) -> Iterator[str]:
    """Yield for each call that waits what meets its faults, empty where nothing does."""
    if isinstance(node, ast.Try):
        ends_here = caught or any(_catches_all(one) for one in node.handlers)
        for part in node.body:
            yield from _meeting(reader, task, part, caught=ends_here)
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            yield from _meeting(reader, task, other, caught=caught)
        return
    if isinstance(node, ast.Call):
        called = reader.called(node, task)
        touches = reader.effect(called).touches if called else reader.own_touches(node, task)
        if any(touch.waits for touch in touches):
            if called is not None and called.kind == "task":
                yield f"what it waits for is done by the task {called.node.name}, which has its own retries"
            else:
                yield f"line {node.lineno} catches whatever goes wrong" if caught else ""
    for child in children(node):
        yield from _meeting(reader, task, child, caught=caught)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler takes every exception and raises none."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    takes = any(one is None or (isinstance(one, ast.Name) and one.id in _CATCH_ALL) for one in kinds)
    return takes and not any(isinstance(one, ast.Raise) for one in ast.walk(handler))


def never_repeated(task: Function, effect: FunctionEffect) -> str:
    """Return why a task is not to be repeated whatever it reads or writes; empty where it may."""
    name, options = task.node.name, task.options
    # A client of HTTP opens a new connection after a fault; a database's one may be in a broken transaction.
    shared = (one for one in effect.touches if one.shares and not one.resource.startswith(_RECOVERING))
    fragile = tuple(dict.fromkeys(one.shares for one in shared))
    checks: tuple[tuple[bool, str], ...] = (
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        (bool(fragile), f"{name} uses {', '.join(fragile)}, which a fault may leave broken"),
        ("**" in options or "retry_condition_fn" in options, f"{name} decides on its retries itself"),
    )
    return next((reason for holds, reason in checks if holds), "")
