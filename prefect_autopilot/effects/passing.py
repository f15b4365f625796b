"""What a function does to what it is given, in the names of its caller."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from prefect_autopilot.effects.aliases import held, reached, roots
from prefect_autopilot.effects.module import Function
from prefect_autopilot.effects.scope import Scope, without_options
from prefect_autopilot.effects.values import Level, Touch

TASK_CALLS = frozenset({"submit", "map", "fn", "delay"})
_OWNERS = frozenset({"self", "cls"})


def received(node: ast.Call, function: Function) -> dict[str, list[ast.expr]]:
    """Return, by parameter, the expressions of a call that it may receive; without those left to defaults."""
    spec = function.node.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    found: dict[str, list[ast.expr]] = {}
    if names and names[0] in _OWNERS and "." in function.name:
        owner = _owner(node.func, function)
        found[names[0]] = [owner] if owner is not None else []
        names = names[1:]
    spread: list[ast.expr] = [one.value for one in node.args if isinstance(one, ast.Starred)]
    spread += [word.value for word in node.keywords if word.arg is None]
    first = next((at for at, one in enumerate(node.args) if isinstance(one, ast.Starred)), len(node.args))
    found |= {name: [value] for name, value in zip(names, node.args[:first], strict=False)}
    taken = {*names, *(one.arg for one in spec.kwonlyargs)}
    found |= {word.arg: [word.value] for word in node.keywords if word.arg in taken and word.arg}
    if spec.vararg:
        found[spec.vararg.arg] = node.args[len(names) :]
    if spec.kwarg:
        found[spec.kwarg.arg] = [word.value for word in node.keywords if word.arg not in taken]
    if spread:
        found |= dict.fromkeys(taken - set(found), spread)
    return found


def _owner(func: ast.expr, function: Function) -> ast.expr | None:
    """Return the object that a method is called on, None where the call makes it."""
    bare = without_options(func)
    if isinstance(bare, ast.Attribute) and bare.attr in TASK_CALLS and bare.attr != function.node.name:
        bare = without_options(bare.value)
    if not isinstance(bare, ast.Attribute) or bare.attr != function.node.name:
        return None
    if isinstance(bare.value, ast.Call) and ast.unparse(bare.value) == "super()":
        return ast.Name("self", ast.Load())
    return bare.value


def passed_on(touches: Iterable[Touch], node: ast.Call, function: Function, scope: Scope) -> Iterator[Touch]:
    """Yield what a called function does, with its parameters replaced by what the caller passes."""
    given = received(node, function)
    for touch in touches:
        key = "mutates" if touch.mutates else "shares"
        name = getattr(touch, key)
        if not name:
            yield touch
            continue
        for other, inside in sorted(_renamed(name, given, function, scope, inside=touch.inside).items()):
            update: dict[str, object] = {key: other, "inside": inside}
            if key == "mutates" and other and other not in scope.names and touch.level is Level.PURE:
                update |= {
                    "level": Level.WRITE,
                    "resource": f"memory:{other}",
                    "target": other,
                    "idempotent": True,
                }
            yield touch.model_copy(update=update)


def applied(
    touches: Iterable[Touch], function: Function, given: list[ast.expr], scope: Scope
) -> Iterator[Touch]:
    """Yield what a function does that is itself an argument: it may be called with any of the others."""
    others = sorted(reached([one for one in given if not isinstance(one, ast.Lambda)], scope))
    for touch in touches:
        if touch.mutates not in function.parameters:
            yield touch
        else:
            for name in others:
                yield touch.model_copy(update={"mutates": name, "inside": True})


def _renamed(
    name: str, given: dict[str, list[ast.expr]], function: Function, scope: Scope, *, inside: bool
) -> dict[str, bool]:
    """Return the caller's names for a parameter's object, and whether a part of it is meant.

    An empty name stands for an object that nobody else has.
    """
    if name not in function.parameters:
        return {name: inside}
    if name not in given:
        return {_default(function, name): inside}
    found: dict[str, bool] = {}
    for value in given[name]:
        for other in roots(value, scope):
            found[other] = inside or not (isinstance(value, ast.Name) and value.id == other)
        if inside:
            found |= dict.fromkeys(held(value, scope), True)
    return found or {"": inside}


def _default(function: Function, name: str) -> str:
    """Return what a parameter's default is known by: one object that all calls share; empty for constants."""
    spec = function.node.args
    named = [*spec.posonlyargs, *spec.args]
    values = dict(zip([one.arg for one in named[::-1]], spec.defaults[::-1], strict=False))
    values |= {one.arg: value for one, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if value}
    value = values.get(name)
    if value is None or isinstance(value, ast.Constant):
        return ""
    return value.id if isinstance(value, ast.Name) else f"{function.node.name}.{name}"
