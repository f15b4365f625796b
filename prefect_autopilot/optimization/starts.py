"""Where a flow calls or starts tasks, and where code repeats a call: what several rules look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.effects import Function, FunctionEffect, Level, Touch, walked
from prefect_autopilot.optimization.plan import FlowFile

LOOPS = (ast.For, ast.AsyncFor, ast.While)
_ROUNDS = (*LOOPS, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SECONDS_A_MONTH = 30 * 86400


@dataclass(frozen=True)
class Start:
    """One call of a task in a flow."""

    call: ast.Call
    task: Function
    how: Literal["call", "submit", "map"]
    many: bool
    """Whether it may be made more than once in a run."""


def starts(file: FlowFile, flow: Function) -> tuple[Start, ...]:
    """Return the calls of tasks in a flow, in order of the source."""
    repeated = {id(call) for loop in _loops(flow.node) for call in _repeated(loop)}
    found: list[Start] = []
    for call in (part for part in walked(flow.node) if isinstance(part, ast.Call)):
        task = file.reader.called(call, flow)
        if task is None or task.kind != "task":
            continue
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        how: Literal["call", "submit", "map"] = "call"
        if method in {"submit", "map"}:
            how = "submit" if method == "submit" else "map"
        found.append(Start(call, task, how, how == "map" or id(call) in repeated))
    return tuple(sorted(found, key=lambda one: (one.call.lineno, one.call.col_offset)))


def _loops(node: ast.AST) -> Iterator[ast.AST]:
    return (part for part in walked(node) if isinstance(part, _ROUNDS))


def _repeated(loop: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that are made once for each round, not those that make the items."""
    once: set[int] = set()
    if isinstance(loop, ast.For | ast.AsyncFor):
        once = {id(part) for part in walked(loop.iter)}
    elif isinstance(loop, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        once = {id(part) for part in walked(loop.generators[0].iter)}
    return (part for part in walked(loop) if isinstance(part, ast.Call) and id(part) not in once)


def repeated_touches(file: FlowFile, function: Function) -> Iterator[tuple[ast.Call, Touch]]:
    """Yield what library calls in the loops of a function do, each once, in order of the source."""
    seen: set[int] = set()
    for loop in _loops(function.node):
        for call in _repeated(loop):
            if id(call) in seen or file.reader.called(call, function) is not None:
                continue
            seen.add(id(call))
            yield from ((call, touch) for touch in file.reader.own_touches(call, function))


def computes_alone(file: FlowFile, task: Function) -> str:
    """Say what a task shares with others or leaves behind; empty where it only computes from its input."""
    effect, name = file.reader.effect(task), task.node.name
    told = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    variables = file.reader.module_of(task).variables
    memory = (touch.told for touch in effect.touches if touch.resource.startswith("memory:"))
    checks: tuple[tuple[bool, str], ...] = (
        (effect.level is not Level.PURE, f"{name} does more than compute ({told})"),
        (effect.marked == "keep", f"{name} is marked keep"),
        (effect.nondeterministic or effect.paced, f"{name} reads the clock or chance, or pauses"),
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        (any(True for _ in memory), f"{name} uses memory that it shares with others"),
        (bool(set(effect.mutates) & variables), f"{name} changes a variable of the module"),
        ("." in task.name, f"{name} is a method"),
    )
    return next((reason for holds, reason in checks if holds), "")


def in_this_file(file: FlowFile, function: Function) -> bool:
    """Tell whether a function stands at module level of the file that is rewritten."""
    own = file.module.functions.get(function.name)
    return own is function and own.node in file.module.tree.body


def monthly_runs(file: FlowFile) -> float | None:
    """Return how often the flow runs in 30 days, None where no history tells."""
    per_day = file.history.runs_per_day if file.history else None
    return None if per_day is None else per_day * _SECONDS_A_MONTH / 86400


def first_evidence(effect: FunctionEffect) -> str:
    """Return the line that decides what a function does."""
    return effect.evidence[0] if effect.evidence else f"line {effect.line}"
