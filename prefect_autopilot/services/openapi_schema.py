"""Schemas of an OpenAPI document: references followed within it, compositions merged, recursion cut."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any
from urllib.parse import unquote

from prefect_autopilot.errors import UsageError

MOST_LEVELS = 40
"""Deeper compositions and longer chains of references are refused."""

_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array"})
_KEYWORDS = ("enum", "const", "default", "format", "description", "readOnly", "minimum")


class NotImportableError(UsageError):
    """Why an operation does not come through, without its name."""


@lru_cache(maxsize=1)
def vocabulary() -> Mapping[str, Any]:
    """Return the words by which documents are read."""
    room = resources.files("prefect_autopilot.services")
    return tomllib.loads(room.joinpath("openapi.toml").read_text("utf-8"))


@lru_cache(maxsize=32)
def words(name: str) -> frozenset[str]:
    """Return one list of the vocabulary to look words up in."""
    return frozenset(vocabulary()[name])


def mapping(value: Any) -> Mapping[str, Any]:
    """Return ``value`` where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """Return ``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def text(value: Any) -> str:
    """Return ``value`` where it is text, else an empty one."""
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema with its compositions merged: what a value of it looks like, one level deep."""

    type: str = "any"
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Any = None
    keywords: Mapping[str, Any] = field(default_factory=dict)


_ANYTHING = Shape()


class Schemas:
    """The schemas of one document; every reference is worked out once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Prepare reading ``document``; nothing is looked at yet."""
        self._document = document
        self._known: dict[str, Shape] = {}
        self._open: set[str] = set()

    def resolve(self, value: Any) -> Mapping[str, Any]:
        """Return the object that ``value`` is or refers to; raises NotImportableError where there is none."""
        found = mapping(value)
        for _ in range(MOST_LEVELS):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            found = mapping(self._at(reference))
        raise NotImportableError("a reference leads to itself")

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise NotImportableError("a reference leads out of the document and is not followed")
        place: Any = self._document
        for step in reference[1:].split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(place, Mapping) and key in place:
                place = place[key]
            elif isinstance(place, list) and key.isdecimal() and int(key[:9]) < len(place):
                place = place[int(key[:9])]
            else:
                raise NotImportableError("a reference names what the document does not hold")
        return place

    def shape(self, schema: Any, depth: int = 0) -> Shape:
        """Return the merged shape of a schema; raises NotImportableError for an unusable reference.

        A schema that holds itself is cut where it would begin again.
        """
        if depth > MOST_LEVELS:
            raise NotImportableError(f"a schema is composed in more than {MOST_LEVELS} levels")
        schema = mapping(schema)
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return self._merged(schema, depth)
        if reference not in self._known:
            if reference in self._open:
                return _ANYTHING
            self._open.add(reference)
            try:
                self._known[reference] = self.shape(self._at(reference), depth + 1)
            finally:
                self._open.discard(reference)
        return self._known[reference]

    def _merged(self, schema: Mapping[str, Any], depth: int) -> Shape:
        parts = [self.shape(part, depth + 1) for part in listed(schema.get("allOf"))]
        for word in ("oneOf", "anyOf"):
            branches = [b for b in listed(schema.get(word)) if mapping(b).get("type") != "null"]
            if branches:
                parts.append(_union([self.shape(branch, depth + 1) for branch in branches]))
        own = _own(schema)
        return _joined([*parts, own]) if parts else own


def _own(schema: Mapping[str, Any]) -> Shape:
    required = listed(schema.get("required"))
    keywords = {word: schema[word] for word in _KEYWORDS if word in schema}
    properties = mapping(schema.get("properties"))
    return Shape(
        type=_type(schema),
        properties={name: value for name, value in properties.items() if isinstance(name, str)},
        required=frozenset(name for name in required if isinstance(name, str)),
        items=schema.get("items"),
        keywords=keywords,
    )


def _type(schema: Mapping[str, Any]) -> str:
    told = schema.get("type")
    types = [one for one in (listed(told) or [told]) if one != "null"]
    if len(types) == 1 and isinstance(types[0], str):
        return types[0] if types[0] in _TYPES else "string" if types[0] == "file" else "any"
    if types == [None] or not types:
        if "properties" in schema or "additionalProperties" in schema:
            return "object"
        if "items" in schema:
            return "array"
        values = [*listed(schema.get("enum")), *([schema["const"]] if "const" in schema else [])]
        return "string" if values and all(isinstance(value, str) for value in values) else "any"
    return "any"


def _union(branches: list[Shape]) -> Shape:
    """Return what any of the branches may be; only what all of them require is required."""
    if len(branches) == 1:
        return branches[0]
    types = {branch.type for branch in branches}
    choices = [listed(branch.keywords.get("enum")) for branch in branches]
    enum = {"enum": [one for choice in choices for one in choice]} if all(choices) else {}
    return Shape(
        type=types.pop() if len(types) == 1 else "any",
        properties={name: value for branch in branches for name, value in branch.properties.items()},
        required=frozenset.intersection(*(branch.required for branch in branches)),
        items=next((branch.items for branch in branches if branch.items is not None), None),
        keywords=enum,
    )


def _joined(parts: list[Shape]) -> Shape:
    """Return what all of the parts together describe; the last has the last word."""
    told = [part.type for part in parts if part.type != "any"]
    return Shape(
        type=told[-1] if told else "any",
        properties={name: value for part in parts for name, value in part.properties.items()},
        required=frozenset().union(*(part.required for part in parts)),
        items=next((part.items for part in reversed(parts) if part.items is not None), None),
        keywords={word: value for part in parts for word, value in part.keywords.items()},
    )


def places_of(path: str) -> Iterator[str]:
    """Yield the names in braces of a path template, in order."""
    for piece in path.split("{")[1:]:
        name, brace, _ = piece.partition("}")
        if brace and name:
            yield name
