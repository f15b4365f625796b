"""What a loop runs over: how many items there are, and whether all can be had before its first round."""

from __future__ import annotations

import ast

from prefect_autopilot.effects import Function, walked
from prefect_autopilot.optimization.plan import FlowFile

_ENDLESS = frozenset({"itertools.count", "itertools.cycle"})
_PASSING = frozenset(
    {"builtins.enumerate", "builtins.filter", "builtins.map", "itertools.chain", "itertools.accumulate"}
)


def not_at_once(file: FlowFile, flow: Function, items: ast.expr) -> str:
    """Return why not all items can be asked for before the first round; empty where they can."""
    called = items.func if isinstance(items, ast.Call) else items
    if file.module.qualified(called, file.reader.scope(flow).names) == "itertools.groupby":
        return "a group is gone when the next one is asked for"
    if _is_endless(file, flow, items):
        return f"{ast.unparse(items)} has no end of its own: only a round ends the loop"
    return ""


def _is_endless(file: FlowFile, flow: Function, items: ast.expr) -> bool:
    scope = file.reader.scope(flow)
    node = scope.value_of(items)
    if not isinstance(node, ast.Call):
        return False
    function = file.reader.called(node, flow)
    if function is not None:
        return file.reader.effect(function).is_generator and _loops_for_ever(function)
    name = file.module.qualified(node.func, scope.names)
    given = len(node.args) + len(node.keywords)
    if name == "builtins.zip":
        return bool(node.args) and all(_is_endless(file, flow, one) for one in node.args)
    if name in _PASSING:
        return any(_is_endless(file, flow, one) for one in node.args)
    return name in _ENDLESS or (name, given) in {("itertools.repeat", 1), ("builtins.iter", 2)}


def _loops_for_ever(function: Function) -> bool:
    loops = (part for part in walked(function.node) if isinstance(part, ast.While))
    return any(
        isinstance(loop.test, ast.Constant)
        and bool(loop.test.value)
        and not any(isinstance(part, ast.Break | ast.Return) for part in walked(loop))
        for loop in loops
    )


def fan_out_size(flow: Function, items: ast.expr) -> int:
    """Return how many items there are where the source tells: a range, a literal, a parameter's default."""
    if isinstance(items, ast.List | ast.Tuple | ast.Set):
        return len(items.elts)
    if not (isinstance(items, ast.Call) and isinstance(items.func, ast.Name) and items.func.id == "range"):
        return 0
    spec = flow.node.args
    named = [*spec.posonlyargs, *spec.args]
    defaults = dict(zip([one.arg for one in named[::-1]], spec.defaults[::-1], strict=False))
    defaults |= {
        one.arg: value for one, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if value
    }
    bounds: list[int] = []
    for one in items.args:
        value = defaults.get(one.id) if isinstance(one, ast.Name) else one
        if not (isinstance(value, ast.Constant) and isinstance(value.value, int)):
            return 0
        bounds.append(value.value)
    return len(range(*bounds)) if bounds and 0 not in bounds[2:] else 0
