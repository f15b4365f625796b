"""Which of many literals stand in a text: most begin like nothing in it, which costs one look-up for all."""

from __future__ import annotations

from collections.abc import Iterable

BEGINNING = 4


class Literals:
    """A set of lower-case literals to be looked for together."""

    def __init__(self, literals: Iterable[str]) -> None:
        self._by_beginning: dict[str, set[str]] = {}
        for literal in literals:
            self._by_beginning.setdefault(literal[:BEGINNING], set()).add(literal)
        self._short = {beginning for beginning in self._by_beginning if len(beginning) < BEGINNING}

    def found_in(self, lowered: str) -> frozenset[str]:
        """Return those that stand in a text in lower case."""
        known = self._by_beginning
        pieces = {lowered[start : start + BEGINNING] for start in range(len(lowered))} | self._short
        return frozenset(
            literal for piece in pieces & known.keys() for literal in known[piece] if literal in lowered
        )
