"""Whether a flow may be run again: safe when it only reads, idempotent when its writes may be repeated."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Literal

from prefect_autopilot.effects.module import Function, children
from prefect_autopilot.effects.project import Project
from prefect_autopilot.effects.reader import EffectReader
from prefect_autopilot.effects.scope import without_options
from prefect_autopilot.effects.values import (
    FunctionEffect,
    Level,
    OperationEffects,
    RerunVerdict,
    TaskCallEffect,
    Touch,
    worst,
)
from prefect_autopilot.errors import UnknownNameError

_HOW: dict[str, Literal["submit", "map"]] = {"submit": "submit", "map": "map"}


def function_effects(
    source: str,
    operations: OperationEffects | None = None,
    project: Project | None = None,
    place: str = "",
) -> dict[str, FunctionEffect]:
    """Return what each function of a file does; raises InvalidFlowError for text that is not Python.

    ``operations`` tells the effects of catalogue operations, for files that use ``call_service``; ``project``
    the modules beside it, of which it is ``place``.
    """
    reader = EffectReader.of(source, operations, project, place)
    return {name: reader.effect(function) for name, function in reader.module.functions.items()}


def flow_effects(
    source: str, function: str, operations: OperationEffects | None = None
) -> tuple[TaskCallEffect, ...]:
    """Return the calls in a flow's body in order: tasks, functions of the file, library calls with effects.

    Raises InvalidFlowError for text that is not Python, UnknownNameError for a function that is not there.
    """
    reader = EffectReader.of(source, operations)
    return tuple(_calls(reader, _find(reader, function)))


def may_rerun(
    source: str,
    function: str,
    operations: OperationEffects | None = None,
    project: Project | None = None,
    place: str = "",
) -> RerunVerdict:
    """Say whether running a flow again after it ran in part can do harm, with the lines that say so.

    ``unsafe``: a write that adds up (POST, INSERT, append, mail) or needs what it removes; ``unknown``: code
    that cannot be judged; ``idempotent``: every write leaves the same when repeated; ``safe``: no writes.
    Raises InvalidFlowError for text that is not Python, UnknownNameError for a function that is not there.
    """
    reader = EffectReader.of(source, operations, project, place)
    touches = reader.effect(_find(reader, function)).touches
    harmful = [touch.told for touch in touches if touch.level is Level.WRITE and not touch.idempotent]
    if harmful:
        return RerunVerdict(level="unsafe", evidence=tuple(dict.fromkeys(harmful)))
    unclear = [touch.told for touch in touches if touch.level is Level.UNKNOWN]
    unclear += [f"{touch.told}: another target on each run" for touch in touches if _moves(touch)]
    unclear += [
        f"{touch.told}: overwrites what the flow reads before" for touch in read_then_written(touches)
    ]
    if unclear:
        return RerunVerdict(level="unknown", evidence=tuple(dict.fromkeys(unclear)))
    writes = [
        touch.told
        for touch in touches
        if touch.level is Level.WRITE and not touch.resource.startswith("memory:")
    ]
    if writes:
        return RerunVerdict(level="idempotent", evidence=tuple(dict.fromkeys(writes)))
    reads = [touch.told for touch in touches if touch.level is Level.READ]
    return RerunVerdict(level="safe", evidence=tuple(dict.fromkeys(reads)))


def besides_services(
    source: str,
    function: str,
    operations: OperationEffects | None = None,
    project: Project | None = None,
    place: str = "",
) -> str:
    """Return the first thing that a flow reaches besides ``call_service``, with its line; empty for nothing.

    Raises InvalidFlowError for text that is not Python, UnknownNameError for a function that is not there.
    """
    reader = EffectReader.of(source, operations, project, place)
    touches = reader.effect(_find(reader, function)).touches
    others = (
        touch.told
        for touch in touches
        if touch.level is not Level.PURE
        and touch.resource != "service"
        and not touch.resource.startswith(("service:", "memory:"))
    )
    return next(others, "")


def _moves(touch: Touch) -> bool:
    return touch.level is Level.WRITE and not touch.stable


def read_then_written(touches: Iterable[Touch]) -> Iterator[Touch]:
    """Yield writes to a target that is read before: the second run reads what the first one wrote."""
    read: set[tuple[str, str]] = set()
    for touch in touches:
        if not touch.target or touch.resource.startswith(("memory:", "sql")):
            continue
        if touch.level is Level.READ and not touch.what.endswith((".exists", ".is_file", ".is_dir")):
            read.add((touch.resource, touch.target))
        elif (
            touch.level is Level.WRITE
            and (touch.resource, touch.target) in read
            and "delete" not in touch.what
        ):
            yield touch


def _find(reader: EffectReader, name: str) -> Function:
    functions = reader.module.functions
    if name in functions:
        return functions[name]
    import difflib

    raise UnknownNameError(
        "function of this file", name, tuple(difflib.get_close_matches(name, functions, n=2))
    )


def _calls(reader: EffectReader, flow: Function) -> Iterator[TaskCallEffect]:
    for node in _in_order(flow.node.body):
        if not isinstance(node, ast.Call):
            continue
        function = reader.called(node, flow)
        if function is not None:
            started = _HOW.get(node.func.attr) if isinstance(node.func, ast.Attribute) else None
            effect = reader.effect(function)
            yield TaskCallEffect(
                function=function.name, line=node.lineno, how=started or "call", effect=effect
            )
            continue
        touches = reader.own_touches(node, flow)
        level = worst(touch.level for touch in touches)
        if level is not Level.PURE:
            name = ast.unparse(without_options(node.func))
            effect = FunctionEffect(name=name, line=node.lineno, kind="call", level=level, touches=touches)
            yield TaskCallEffect(function=name, line=node.lineno, how="call", effect=effect)


def _in_order(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield nodes in the order of evaluation: arguments before the call that takes them."""
    for statement in body:
        yield from _evaluated(statement)


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    for child in children(node):
        yield from _evaluated(child)
    yield node
