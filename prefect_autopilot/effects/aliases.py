"""Which variables' objects a value may be, be part of, or have inside: two names can mean one object."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_autopilot.effects.scope import Scope

# Methods whose result is a part of the receiver, not a new object.
_PARTS = frozenset({"get", "setdefault", "values", "items", "pop", "popitem", "__getitem__", "result"})
_NUMPY_VIEWS = frozenset({"reshape", "ravel", "view", "squeeze", "transpose", "swapaxes", "diagonal"})
_PASSING = "iter reversed enumerate zip map filter next getattr type max min"
_SAME = frozenset(f"builtins.{name}" for name in _PASSING.split()) | {
    f"numpy.{name}" for name in ("asarray", "asanyarray", "atleast_1d", "squeeze", "reshape", "ravel")
}
# These make a new object with the old one's items.
_COPIES = frozenset({f"builtins.{name}" for name in ("list", "tuple", "set", "frozenset", "dict", "sorted")})
_CONTAINERS = (
    "collections.",
    "itertools.",
    "types.",
    "copy.copy",
    "copy.replace",
    "dataclasses.replace",
    "attrs.evolve",
)
_COPY_METHODS = frozenset({"copy", "keys", "values", "items", "model_copy", "_replace"})
_PUT = frozenset(
    [
        "append",
        "extend",
        "add",
        "insert",
        "update",
        "setdefault",
        "appendleft",
        "extendleft",
        "put",
        "__setitem__",
    ]
)


def roots(node: ast.expr, scope: Scope) -> set[str]:
    """Return the names whose objects an expression's value may be, or be part of."""
    if isinstance(node, ast.Name):
        return {node.id} | scope.origins.get(node.id, set())
    if isinstance(node, ast.Call):
        parts = _parts_of_call(node, scope)
        return set(scope.handed(node, scope)[0]) if parts is None else reached(parts, scope)
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        return reached([node.value], scope)
    return _union(roots(one, scope) for one in _same(node))


def _parts_of_call(node: ast.Call, scope: Scope) -> list[ast.expr] | None:
    """Return what the value of a library's or a data type's call may be part of, None for other calls."""
    if isinstance(node.func, ast.Attribute):
        owner, name = node.func.value, node.func.attr
        if name in _PARTS or (name in _NUMPY_VIEWS and scope.type_of(owner).startswith("numpy.")):
            return [owner]
    qualified = scope.module.qualified(node.func, scope.names)
    skipped = qualified in {"builtins.map", "builtins.filter"}  # the first is a function
    return node.args[skipped:] if qualified in _SAME else None


def held(node: ast.expr, scope: Scope) -> set[str]:
    """Return the names whose objects may be inside an expression's value, at any depth."""
    if isinstance(node, ast.Name):
        return scope.holds.get(node.id, set())
    if isinstance(node, ast.Call):
        return _held_by_call(node, scope)
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        return held(node.value, scope)
    return reached(_items(node), scope) | _union(held(one, scope) for one in _same(node))


def _same(node: ast.expr) -> list[ast.expr]:
    """Return the expressions whose value an expression has as its own."""
    if isinstance(node, ast.Await | ast.NamedExpr):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    return node.values if isinstance(node, ast.BoolOp) else []


def _items(node: ast.expr) -> list[ast.expr]:
    """Return the expressions whose values an expression puts into a new object."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return node.elts
    if isinstance(node, ast.Dict):
        return node.values
    if isinstance(node, ast.BinOp):  # of two lists
        return [node.left, node.right]
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        made = node.value if isinstance(node, ast.DictComp) else node.elt
        return [made, *(one.iter for one in node.generators)]
    return []


def reached(nodes: Iterable[ast.expr], scope: Scope) -> set[str]:
    """Return what some expressions may be, be part of, or have inside."""
    return _union(roots(node, scope) | held(node, scope) for node in nodes)


def puts(part: ast.AST, scope: Scope) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """Yield the object that a statement or call puts something into, with what it puts there."""
    if isinstance(part, ast.Assign):
        for target in part.targets:
            if isinstance(target, ast.Attribute | ast.Subscript):
                yield target.value, [part.value]
    elif isinstance(part, ast.AugAssign):
        yield part.target, [part.value]
    elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
        owner = part.func.value
        if part.func.attr in _PUT or scope.type_of(owner).startswith("."):
            yield owner, [*part.args, *(word.value for word in part.keywords)]


def _held_by_call(node: ast.Call, scope: Scope) -> set[str]:
    given = [*node.args, *(word.value for word in node.keywords)]
    qualified = scope.module.qualified(node.func, scope.names) or ""
    if qualified in _COPIES or qualified.startswith(_CONTAINERS):
        return reached(given, scope)
    if isinstance(node.func, ast.Name) and node.func.id in scope.module.classes:
        return reached(given, scope)
    if isinstance(node.func, ast.Attribute) and node.func.attr in _COPY_METHODS - _PARTS:
        return reached([node.func.value], scope)
    parts = _parts_of_call(node, scope)
    if parts is not None:
        return _union(held(one, scope) for one in parts)
    return set(scope.handed(node, scope)[1])


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set[str]().union(*sets)
