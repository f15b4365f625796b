"""JSON Schemas of a document, across its files, reduced to names and types."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

LEVELS = 4
WIDTH = 60
MOST_NAMES = 400
"""Names of one shape; beyond that it is recorded with fewer levels."""

Shape = dict[str, Any]
BY_ID = re.compile(r"(?i)\d+|[0-9a-f]{8}-[0-9a-f-]{27}")
"""Names of an example that are ids of things: of others the answer will have others."""


class UnknownReferenceError(LookupError):
    """A reference of the document leads nowhere."""


@lru_cache(maxsize=64)
def read_document(file: Path) -> Any:
    """Return what stands in a JSON or YAML file, also in a packed one."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")
    if file.suffix == ".json" or text.lstrip()[:1] == "{":
        return json.loads(text)
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class Node:
    """A value of a document together with the file it stands in, so that references can be followed."""

    def __init__(self, value: Any, file: Path, *, named: str | None = None) -> None:
        self.value = value
        self.file = file
        self.named = named
        """Where schemas are named without an address (Google's discovery documents), the table of them."""

    def follow(self) -> Node:
        """Return the value a chain of references leads to."""
        node = self
        for _ in range(20):
            reference = node.value.get("$ref") if isinstance(node.value, Mapping) else None
            if not isinstance(reference, str):
                return node
            node = node.at(reference)
        raise UnknownReferenceError(str(self.value))

    def at(self, reference: str) -> Node:
        """Return the node a reference names."""
        if self.named is not None:
            return Node(read_document(self.file)[self.named][reference], self.file, named=self.named)
        place, _, pointer = reference.partition("#")
        file = (self.file.parent / place).resolve() if place else self.file
        if "://" in place:
            # Vendors name their own files by a public address; what lies elsewhere is not known.
            file = self.file.parent / place.rpartition("/")[2]
            if not file.exists():
                return Node({}, self.file)
        value = read_document(file)
        for step in [unquote(step) for step in pointer.split("/") if step]:
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, ValueError, IndexError):
                try:
                    value = value[int(key)]  # YAML reads a status code as a number
                except (KeyError, ValueError, TypeError):
                    raise UnknownReferenceError(reference) from None
        return Node(value, file)

    def get(self, key: str) -> Node | None:
        """Return the value of a key with its references followed, None where there is none."""
        value = self.value.get(key) if isinstance(self.value, Mapping) else None
        return None if value is None else Node(value, self.file, named=self.named).follow()

    def items(self, key: str, wanted: Callable[[str], bool] = bool) -> list[tuple[str, Node]]:
        """Return the entries of an object below ``key`` whose names are wanted, references followed."""
        inner = self.get(key)
        if inner is None or not isinstance(inner.value, Mapping):
            return []
        named = ((str(name), value) for name, value in inner.value.items())
        return [(n, Node(v, inner.file, named=self.named).follow()) for n, v in named if wanted(n)]

    def each(self, key: str) -> list[Node]:
        """Return the entries of a list below ``key``, references followed."""
        inner = self.get(key)
        if inner is None or not isinstance(inner.value, list):
            return []
        return [Node(value, inner.file, named=self.named).follow() for value in inner.value]


def shape_of(schema: Node | None, *, writing: bool = False) -> Shape:
    """Return names and types of a schema; ``writing`` leaves out what the service alone sets."""
    shape: Shape = {"type": "any"}
    for levels in range(LEVELS, 0, -1):
        shape = _shape(schema, levels, writing=writing)
        if count_names(shape) <= MOST_NAMES:
            break
    return shape


def count_names(shape: Shape) -> int:
    """Return how many names a shape holds on all levels."""
    inner = list(shape.get("properties", {}).values()) + [shape[k] for k in ("items",) if k in shape]
    return len(shape.get("properties", {})) + sum(map(count_names, inner))


def _shape(schema: Node | None, levels: int, *, writing: bool) -> Shape:
    if schema is None or not isinstance(schema.value, Mapping):
        return {"type": "any"}
    node = schema.follow()
    shape = _plain(node, levels, writing=writing)
    for part in node.each("allOf"):
        shape = _merged(shape, _shape(part, levels, writing=writing))
    for key in ("oneOf", "anyOf"):
        choices = [
            _shape(part, levels, writing=writing)
            for part in node.each(key)
            if part.value.get("type") != "null"
        ]
        if choices:
            shape = _merged(shape, _united(choices))
    return shape


def _plain(node: Node, levels: int, *, writing: bool) -> Shape:
    value = node.value
    kind = _type_of(value)
    if kind == "array":
        item = _shape(node.get("items"), levels, writing=writing)
        return {"type": "array"} if item == {"type": "any"} else {"type": "array", "items": item}
    if kind != "object":
        return {"type": kind}
    properties = node.items("properties")
    if writing:
        properties = [(name, one) for name, one in properties if not _set_by_service(one.value)]
    shape: Shape = {"type": "object"}
    extra = value.get("additionalProperties")
    if not properties or levels == 0 or extra not in (None, False):
        shape["open"] = True
    if properties and levels:
        names = {name for name, _ in properties}
        required = value.get("required")
        listed = required if isinstance(required, list) else []
        # OData's annotations are control information that a request may leave out (JSON Format 4.01, 4.5).
        needed = sorted({str(name) for name in listed if not str(name).startswith("@odata.")} & names)
        if needed:
            shape["required"] = needed
        kept = sorted(properties, key=lambda named: named[0] not in needed)[:WIDTH]
        if len(kept) < len(properties):
            shape["open"] = True
        shape["properties"] = {name: _shape(one, levels - 1, writing=writing) for name, one in kept}
    return shape


def _set_by_service(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("readOnly") is True


def _type_of(value: Mapping[str, Any]) -> str:
    told = value.get("type")
    if isinstance(told, list):
        kinds = [kind for kind in told if kind != "null"]
        told = kinds[0] if len(kinds) == 1 else "any" if kinds else None
    if told in ("string", "integer", "number", "boolean", "object", "array"):
        return str(told)
    if told == "file":
        return "string"
    if "properties" in value or "additionalProperties" in value:
        return "object"
    if "items" in value:
        return "array"
    texts = value.get("enum")
    if told is None and isinstance(texts, list) and texts and all(isinstance(one, str) for one in texts):
        return "string"
    return "any"


def _merged(one: Shape, other: Shape) -> Shape:
    """Return what holds of both (allOf): every property, every requirement."""
    if other == {"type": "any"}:
        return one
    if one["type"] == "any":
        return other
    if one["type"] != other["type"]:
        return {"type": "any"}
    if one["type"] != "object":
        return {**one, **other}
    return _object(
        {**one.get("properties", {}), **other.get("properties", {})},
        {*one.get("required", ()), *other.get("required", ())},
        # A part that lists nothing says nothing of what else there may be.
        is_open=any(part.get("open") and part.get("properties") for part in (one, other))
        or not (one.get("properties") or other.get("properties")),
    )


def _united(choices: list[Shape]) -> Shape:
    """Return what any of the choices allows (oneOf, anyOf): every property, the common requirements."""
    kinds = {shape["type"] for shape in choices}
    if len(kinds) > 1:
        return {"type": "any"}
    if kinds != {"object"}:
        return choices[0] if all(choice == choices[0] for choice in choices) else {"type": kinds.pop()}
    properties: dict[str, Shape] = {}
    for choice in choices:
        for name, inner in choice.get("properties", {}).items():
            properties[name] = _united([properties[name], inner]) if name in properties else inner
    required = set.intersection(*(set(choice.get("required", ())) for choice in choices))
    return _object(properties, required, is_open=any(choice.get("open") for choice in choices))


def _object(properties: Mapping[str, Shape], required: Iterable[str], *, is_open: bool) -> Shape:
    shape: Shape = {"type": "object"}
    if properties:
        shape["properties"] = dict(properties)
    if needed := sorted(set(required) & set(properties)):
        shape["required"] = needed
    if is_open:
        shape["open"] = True
    return shape


def example_of(media: Node, kind: str | None = None) -> Any:
    """Return an example of an answer that a document shows with it, None where it shows none."""
    schema = media.get("schema")
    named = media.items("examples")
    shown = [media.value.get("example")]
    shown += [one.value.get("value") for _, one in named if isinstance(one.value, Mapping)]
    shown += [one.value for name, one in named if name == kind]
    shown += [schema.value.get("example")] if schema and isinstance(schema.value, Mapping) else []
    for one in shown:
        try:
            value = json.loads(one) if isinstance(one, str) else one
        except ValueError:
            continue
        if isinstance(value, (dict, list)) and value:
            return value
    return None


def example_shape(schema: Shape | None, example: Any) -> Shape | None:
    """Return names and types of an example, where the schema beside it says nothing of them."""
    told = schema or {"type": "any"}
    silent = told["type"] == "any" or not (told.get("properties") or told.get("items"))
    if example is None or not silent or (told["type"] == "object" and isinstance(example, list)):
        return None
    for levels in range(LEVELS, 0, -1):
        shape = _shown(example, levels)
        if count_names(shape) <= MOST_NAMES:
            return shape
    return None


def _shown(value: Any, levels: int) -> Shape:
    if isinstance(value, list):
        items = [_shown(one, levels) for one in value[:3] if one is not None]
        item = _united(items) if items else {"type": "any"}
        return {"type": "array"} if item == {"type": "any"} else {"type": "array", "items": item}
    if isinstance(value, Mapping):
        named = {str(name): one for name, one in list(value.items())[:WIDTH]}
        if not levels or not named or all(map(BY_ID.fullmatch, named)):
            return {"type": "object", "open": True}
        return {
            "type": "object",
            "properties": {name: _shown(one, levels - 1) for name, one in named.items()},
        }
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": kinds.get(type(value), "any")}


def shape_at(shape: Shape, path: str) -> Shape | None:
    """Return the shape at a dotted path; None where the source has none, anything where it is open."""
    properties = shape.get("properties", {})
    if path in ("", "$"):
        return shape
    if path in properties:
        return properties[path]  # type: ignore[no-any-return]
    step, _, rest = path.partition(".")
    if shape["type"] == "array" and step.isdigit():
        return shape_at(shape.get("items", {"type": "any"}), rest)
    if step in properties:
        return shape_at(properties[step], rest)
    is_open = shape["type"] == "any" or (shape["type"] == "object" and (shape.get("open") or not properties))
    return {"type": "any"} if is_open else None


def answer_shape(fact: Mapping[str, Any]) -> Shape:
    """Return the shape of the first good answer the source names."""
    for _, answer in sorted(fact["responses"].items()):
        return answer["shape"]  # type: ignore[no-any-return]
    return {"type": "any"}


def fits(value: Any, kind: str) -> bool:
    """Tell whether a JSON value is of a type."""
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "array": (list,),
        "object": (dict,),
    }
    return kind not in kinds or isinstance(value, kinds[kind])
