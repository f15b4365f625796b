"""Retries in a task's decorator: whether it has them, what is added, and what a repetition may not touch."""

from __future__ import annotations

import ast

from prefect_autopilot.effects import Function, FunctionEffect

_DELAY = {"retry_delay_seconds": "[2, 4, 8]", "retry_jitter_factor": "0.5"}
_RETRIES = {"retries": "3"}
_RECOVERING = ("http", "aws", "slack", "cloud", "llm")


def has_retries(task: Function) -> bool:
    """Tell whether a task is retried."""
    value = task.options.get("retries")
    return value is not None and not (isinstance(value, ast.Constant) and value.value in {0, None})


def missing_words(task: Function) -> dict[str, str]:
    """Return the options that a task lacks for retries with growing, jittered delays."""
    options = task.options
    delay = {} if "retry_delay_seconds" in options else _DELAY
    if "retry_jitter_factor" in options:
        delay = {name: value for name, value in delay.items() if name != "retry_jitter_factor"}
    if "retries" in options:
        # Retries set to 0 are the owner's decision.
        return delay if has_retries(task) else {}
    return _RETRIES | delay


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
