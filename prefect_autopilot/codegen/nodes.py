"""Small constructors of syntax-tree nodes; every text from outside enters through ``literal``."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Sequence
from typing import Any

from prefect_autopilot.errors import UsageError

_MAX_DEPTH = 20


def literal(value: Any, depth: int = 0) -> ast.expr:
    """Return ``value`` (JSON) as constants; raises UsageError for what JSON cannot hold."""
    if depth > _MAX_DEPTH:
        raise UsageError(f"A literal value is nested more than {_MAX_DEPTH} levels deep; make it flatter.")
    match value:
        case None | bool() | str():
            return ast.Constant(value)
        case int() | float():
            if not math.isfinite(value):
                raise UsageError("A literal number is infinite or no number; write a finite one.")
            is_negative = math.copysign(1, value) < 0
            return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if is_negative else ast.Constant(value)
        case dict():
            keys: list[ast.expr | None] = [ast.Constant(str(key)) for key in value]
            return ast.Dict(keys, [literal(one, depth + 1) for one in value.values()])
        case list() | tuple():
            return ast.List([literal(one, depth + 1) for one in value], ast.Load())
    raise UsageError(
        f"A literal value is of type {type(value).__name__}; use text, numbers, lists or objects."
    )


def name(identifier: str) -> ast.Name:
    """Return a reference to ``identifier``."""
    return ast.Name(identifier, ast.Load())


def call(function: ast.expr, *arguments: ast.expr, **keywords: ast.expr) -> ast.Call:
    """Return a call with positional and named arguments."""
    return ast.Call(function, list(arguments), [ast.keyword(key, value) for key, value in keywords.items()])


def method(value: ast.expr, attribute: str, *arguments: ast.expr, **keywords: ast.expr) -> ast.Call:
    """Return a call of a method of ``value``."""
    return call(ast.Attribute(value, attribute, ast.Load()), *arguments, **keywords)


def item(value: ast.expr, path: Sequence[str]) -> ast.expr:
    """Return ``value[...][...]`` down ``path``; digits are places in a list."""
    for segment in path:
        key = int(segment) if segment.isascii() and segment.isdigit() else segment
        value = ast.Subscript(value, ast.Constant(key), ast.Load())
    return value


def subscript(value: str, *parts: ast.expr) -> ast.Subscript:
    """Return a generic type such as ``dict[str, Any]``."""
    inner = parts[0] if len(parts) == 1 else ast.Tuple(list(parts), ast.Load())
    return ast.Subscript(name(value), inner, ast.Load())


def assign(target: str, value: ast.expr) -> ast.Assign:
    """Return ``target = value``."""
    return ast.Assign([ast.Name(target, ast.Store())], value)


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.Compare:
    """Return a comparison of two values."""
    return ast.Compare(left, [operator], [right])


def joined(parts: Sequence[str | ast.Name], sums: Collection[str] = ()) -> ast.expr:
    """Return an f-string of texts and names, a plain constant where there are no names.

    Those of ``sums`` are sums of money and have two decimals.
    """
    values: list[ast.expr] = []
    pending = ""
    for part in parts:
        if isinstance(part, str):
            pending += part
            continue
        values += [ast.Constant(pending)] if pending else []
        decimals = ast.JoinedStr([ast.Constant(".2f")]) if part.id in sums else None
        values.append(ast.FormattedValue(part, -1, decimals))
        pending = ""
    if not values:
        return ast.Constant(pending)
    return ast.JoinedStr([*values, *([ast.Constant(pending)] if pending else [])])
