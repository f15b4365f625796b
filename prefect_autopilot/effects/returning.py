"""What functions return: its type, and which objects of the caller it may be or have inside."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from prefect_autopilot.effects.aliases import held, reached, roots
from prefect_autopilot.effects.module import Function, walked
from prefect_autopilot.effects.passing import TASK_CALLS, received
from prefect_autopilot.effects.scope import OPAQUE, Scope

if TYPE_CHECKING:
    from prefect_autopilot.effects.reader import EffectReader

Names: TypeAlias = tuple[frozenset[str], frozenset[str]]
"""Names whose objects a value may be, and those whose objects it may have inside."""
_NONE: Names = (frozenset(), frozenset())


class ReturnedValues:
    """What the functions seen from one file return; each is read once."""

    def __init__(self, reader: EffectReader) -> None:
        self._reader = reader
        self._types: dict[str, str] = {}
        self._names: dict[str, Names] = {}

    def type_of(self, function: Function) -> str:
        """Return the type of what a function returns, empty where it is not known."""
        far = self._reader.foreign(function)
        if far is not None:
            kind = far[0].values.type_of(far[1])
            return kind if kind and not kind.startswith(".") else OPAQUE
        if function.name not in self._types:
            self._types[function.name] = ""  # a recursive function's type is not known
            scope = self._reader.scope(function)
            values = [
                part.value for part in walked(function.node) if isinstance(part, ast.Return) and part.value
            ]
            types = {scope.type_of(value) for value in values}
            self._types[function.name] = types.pop() if len(types) == 1 and not function.strange else ""
        return self._types[function.name]

    def names_of(self, function: Function) -> Names:
        """Return which parameters and outer variables a function's value may be, and may have inside."""
        far = self._reader.foreign(function)
        if far is not None:
            whole, parts = far[0].values.names_of(far[1])
            return _outside(whole, far[0].place, far[1]), _outside(parts, far[0].place, far[1])
        if function.name not in self._names:
            self._names[function.name] = _NONE  # a recursive call hands back nothing new
            self._names[function.name] = _returned(function, self._reader.scope(function))
        return self._names[function.name]

    def names_of_call(self, node: ast.Call, scope: Scope) -> Names:
        """Return which of the caller's objects the value of a call may be, and may have inside."""
        function = self._reader.named(node.func, scope)
        if function is None and isinstance(node.func, ast.Attribute) and node.func.attr in TASK_CALLS:
            function = self._reader.named(node.func.value, scope)
        whole, parts = self.names_of(function) if function else _NONE
        if function is None or not whole | parts:
            return _NONE
        given = received(node, function)
        outer = {name for name in whole | parts if name not in function.parameters}
        values = {name: given.get(name, []) for name in whole | parts}
        found = _union(roots(value, scope) for name in whole for value in values[name])
        inside = _union(held(value, scope) for name in whole for value in values[name])
        inside |= _union(reached(values[name], scope) for name in parts)
        return found | (whole & outer), inside | (parts & outer)


def _outside(names: frozenset[str], place: str, function: Function) -> frozenset[str]:
    """Return names as another module sees them: parameters as they are, variables in full."""
    kept = {name for name in names if name in function.parameters or "." in name}
    return frozenset(kept | {f"{place}.{name}" for name in names - kept})


def _returned(function: Function, scope: Scope) -> Names:
    whole: set[str] = set()
    parts: set[str] = set()
    for part in walked(function.node):
        if isinstance(part, ast.Return | ast.Yield | ast.YieldFrom) and part.value is not None:
            (whole if isinstance(part, ast.Return) else parts).update(roots(part.value, scope))
            parts |= held(part.value, scope)
    own = scope.names - set(function.parameters)
    return frozenset(whole - own), frozenset(parts - own)


def _union(sets: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
