"""Checks on the event as Python expressions a person would write."""

from __future__ import annotations

import ast
from collections.abc import Callable

from prefect_autopilot.codegen import nodes
from prefect_autopilot.codegen.conditions import Check

_COMPARISONS: dict[str, tuple[type[ast.cmpop], type[ast.cmpop]]] = {
    "includes": (ast.In, ast.NotIn),
    "mentions": (ast.In, ast.NotIn),
    "equals": (ast.Eq, ast.NotEq),
    "is": (ast.Eq, ast.NotEq),
    "over": (ast.Gt, ast.LtE),
    "from": (ast.GtE, ast.Lt),
    "under": (ast.Lt, ast.GtE),
    "to": (ast.LtE, ast.Gt),
}


def expression(
    check: Check, field: Callable[[str], ast.expr], *, opposite: bool, text: ast.expr | None = None
) -> ast.expr:
    """Return ``check`` as an expression, or its opposite; ``field`` reads a path of what it looks at.

    ``text`` stands for the joined fields where words are looked for in more than one, or for an answer.
    """
    turned = opposite != check.negated
    if check.operator in {"present", "finds", "says"}:
        value = text if text and check.operator == "says" else field(check.path)
        if check.operator == "says":
            plain = nodes.method(nodes.method(value, "strip"), "casefold")
            value = nodes.method(plain, "startswith", ast.Constant("yes"))
        return ast.UnaryOp(ast.Not(), value) if turned else value
    comparison = _COMPARISONS[check.operator][turned]()
    wanted = nodes.literal(check.value)
    match check.operator:
        case "includes":
            return nodes.compare(wanted, comparison, field(check.path))
        case "mentions":
            return nodes.compare(wanted, comparison, text or nodes.method(_read(check, field), "casefold"))
        case "equals":
            return nodes.compare(field(check.path), comparison, wanted)
        case "is":
            return nodes.compare(nodes.method(_read(check, field), "casefold"), comparison, wanted)
    value = _read(check, field)
    if check.number_from_text:
        value = nodes.call(nodes.name("float"), value)
    if check.scale != 1 and not isinstance(value, ast.Name):  # a variable holds it in the currency already
        value = ast.BinOp(value, ast.Div(), ast.Constant(check.scale))
    return nodes.compare(value, comparison, wanted)


def _read(check: Check, field: Callable[[str], ast.expr]) -> ast.expr:
    """Return the field of ``check``; one that may be missing is read with what stands for it then."""
    if check.missing is None:
        return field(check.path)
    holder, _, name = check.path.rpartition(".")
    return nodes.method(field(holder), "get", ast.Constant(name), nodes.literal(check.missing))


def joined_text(check: Check, field: Callable[[str], ast.expr]) -> ast.expr:
    """Return the fields of ``check`` as one case-folded text."""
    fields = ast.List([field(path) for path in check.paths], ast.Load())
    return nodes.method(nodes.method(ast.Constant(" "), "join", fields), "casefold")
