"""What functions return: its type, and which objects of the caller it may be or have inside."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Handed:
    """What a function's value may be, in names of its parameters and of variables outside."""

    same: frozenset[str] = frozenset()
    """The object itself."""
    parts: frozenset[str] = frozenset()
    """A part of the object."""
    inside: frozenset[str] = frozenset()
    """Something new with the object inside."""

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self.same | self.parts | self.inside


class ReturnedValues:
    """What the functions seen from one file return; each is read once."""

    def __init__(self, reader: EffectReader) -> None:
        self._reader = reader
        self._types: dict[str, str] = {}
        self._names: dict[str, Handed] = {}
        self._puts: dict[str, dict[str, frozenset[str]]] = {}

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

    def names_of(self, function: Function) -> Handed:
        """Return which parameters and outer variables a function's value may be, and may have inside."""
        far = self._reader.foreign(function)
        if far is not None:
            return _seen_from_outside(far[0].values.names_of(far[1]), far[0].place, far[1])
        if function.name not in self._names:
            self._names[function.name] = Handed()  # a recursive call hands back nothing new
            self._names[function.name] = _returned(function, self._reader.scope(function))
        return self._names[function.name]

    def names_of_call(self, node: ast.Call, scope: Scope) -> Names:
        """Return which of the caller's objects the value of a call may be, and may have inside."""
        function = self._called(node, scope)
        handed = self.names_of(function) if function else Handed()
        if function is None or not handed.names:
            return _NONE
        given = received(node, function)
        values = {name: given.get(name, []) for name in handed.names}
        outer = {name for name in handed.names if name not in function.parameters}
        found = _union(roots(value, scope) for name in handed.same for value in values[name])
        found |= _union(reached(values[name], scope) for name in handed.parts)
        whole = handed.same | handed.parts
        inside = _union(held(value, scope) for name in whole for value in values[name])
        inside |= _union(reached(values[name], scope) for name in handed.inside)
        return found | (whole & outer), inside | (handed.inside & outer)

    def puts_of_call(self, node: ast.Call, scope: Scope) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
        """Yield the arguments that a called function puts others into, with those others."""
        function = self._called(node, scope)
        inner = self._puts_in(function) if function else {}
        if function is not None and inner:
            given = received(node, function)
            for box, names in inner.items():
                values = [value for name in sorted(names) for value in given.get(name, ())]
                yield from ((one, values) for one in given.get(box, ()))

    def _puts_in(self, function: Function) -> dict[str, frozenset[str]]:
        """Return, by parameter, the other parameters that a function puts into it."""
        far = self._reader.foreign(function)
        if far is not None:
            return far[0].values._puts_in(far[1])  # noqa: SLF001 - another of its own kind
        if function.name not in self._puts:
            self._puts[function.name] = {}  # a recursive call puts nothing else
            holds, own = self._reader.scope(function).holds, frozenset(function.parameters)
            found = {name: own & holds.get(name, set()) for name in own}
            self._puts[function.name] = {name: inside for name, inside in found.items() if inside}
        return self._puts[function.name]

    def _called(self, node: ast.Call, scope: Scope) -> Function | None:
        function = self._reader.named(node.func, scope)
        if function is None and isinstance(node.func, ast.Attribute) and node.func.attr in TASK_CALLS:
            return self._reader.named(node.func.value, scope)
        return function


def _seen_from_outside(handed: Handed, place: str, function: Function) -> Handed:
    """Return names as another module sees them: parameters as they are, variables in full."""

    def full(names: frozenset[str]) -> frozenset[str]:
        kept = {name for name in names if name in function.parameters or "." in name}
        return frozenset(kept | {f"{place}.{name}" for name in names - kept})

    return Handed(full(handed.same), full(handed.parts), full(handed.inside))


def _returned(function: Function, scope: Scope) -> Handed:
    same: set[str] = set()
    parts: set[str] = set()
    inside: set[str] = set()
    for part in walked(function.node):
        if not isinstance(part, ast.Return | ast.Yield | ast.YieldFrom) or part.value is None:
            continue
        kind = parts if isinstance(part, ast.Return) else inside
        (same if kind is parts and isinstance(part.value, ast.Name) else kind).update(
            roots(part.value, scope)
        )
        inside |= held(part.value, scope)
    own = scope.names - set(function.parameters)
    return Handed(frozenset(same - own), frozenset(parts - own), frozenset(inside - own))


def _union(sets: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
