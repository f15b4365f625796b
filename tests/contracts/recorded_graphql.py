"""What a GraphQL call asks for, held against the names and types recorded from a source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Fact = Mapping[str, Any]
TOKEN = re.compile(r"[A-Za-z_]\w*|\$\w+|[{}()\[\]:!]")
SCALARS: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "Int": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
    "ID": (str, int),
}


@dataclass
class Asked:
    """One field of a selection with its arguments and what is asked of its value."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)
    fields: list[Asked] = field(default_factory=list)


class Document:
    """A GraphQL document with one operation."""

    def __init__(self, text: str) -> None:
        """Read the document; raises ValueError where it is none."""
        self._tokens = TOKEN.findall(text)
        self._at = 0
        self.kind = self._next()
        self.variables: dict[str, str] = {}
        if self._peek() not in ("(", "{"):
            self._next()
        if self._peek() == "(":
            self._read_variables()
        self.fields = self._read_fields()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, wanted: str | None = None) -> str:
        token = self._peek()
        if not token or (wanted is not None and token != wanted):
            msg = f"{wanted or 'more'} is wanted, not {token or 'the end'}"
            raise ValueError(msg)
        self._at += 1
        return token

    def _read_variables(self) -> None:
        self._next("(")
        while self._peek() != ")":
            name = self._next()
            self._next(":")
            kind = ""
            while self._peek() != ")" and not self._peek().startswith("$"):
                kind += self._next()
            self.variables[name] = kind
        self._next(")")

    def _read_fields(self) -> list[Asked]:
        self._next("{")
        found = []
        while self._peek() != "}":
            one = Asked(self._next())
            if self._peek() == "(":
                self._next("(")
                while self._peek() != ")":
                    name = self._next()
                    self._next(":")
                    one.arguments[name] = self._next()
                self._next(")")
            if self._peek() == "{":
                one.fields = self._read_fields()
            found.append(one)
        self._next("}")
        return found


def root_of(body: bytes) -> str | None:
    """Return the name of the field a GraphQL request asks for, None where it is no such request."""
    try:
        return Document(json.loads(body)["query"]).fields[0].name
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def wrong_call(fact: Fact, body: bytes) -> Iterator[str]:
    """Tell what of a call its source does not know; ``fact`` is the ``graphql`` of an operation."""
    sent = json.loads(body)
    document, given = Document(sent["query"]), sent.get("variables", {})
    if document.kind != fact["kind"] or [one.name for one in document.fields] != [fact["field"]]:
        yield f"not the {fact['kind']} {fact['field']}"
        return
    asked = document.fields[0]
    yield from _wrong_arguments(asked, fact["arguments"], document)
    yield from _wrong_fields(asked, fact["answer"], fact, document)
    for name, value in given.items():
        kind = document.variables.get(f"${name}")
        if kind is None:
            yield f"the variable {name} is not declared"
        else:
            yield from _wrong_value(name, value, kind, fact["inputs"])
    for name, kind in document.variables.items():
        if kind.endswith("!") and name.removeprefix("$") not in given:
            yield f"the variable {name} is missing"


def _wrong_arguments(asked: Asked, known: Mapping[str, str], document: Document) -> Iterator[str]:
    for name, value in asked.arguments.items():
        declared, wanted = document.variables.get(value), known.get(name)
        if wanted is None:
            yield f"{asked.name} has no argument {name}"
        elif declared is None or declared.removesuffix("!") != wanted.removesuffix("!"):
            yield f"{asked.name}({name}) is {wanted}, {value} is {declared}"
        elif wanted.endswith("!") and not declared.endswith("!"):
            yield f"{asked.name}({name}) must be given, {value} need not"
    for name, wanted in known.items():
        if wanted.endswith("!") and name not in asked.arguments:
            yield f"{asked.name} needs the argument {name}"


def _wrong_fields(asked: Asked, known: Mapping[str, Any], fact: Fact, document: Document) -> Iterator[str]:
    for one in asked.fields:
        if one.name not in known:
            yield f"{asked.name} has no field {one.name}"
            continue
        yield from _wrong_arguments(one, fact.get("inner", {}).get(one.name, {}), document)
        yield from _wrong_fields(one, known[one.name], fact, document)


def _wrong_value(name: str, value: Any, kind: str, inputs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    bare = kind.removesuffix("!")
    if bare.startswith("["):
        # One value stands for a list of it.
        for one in value if isinstance(value, list) else [value]:
            yield from _wrong_value(name, one, bare[1:-1], inputs)
    elif bare in SCALARS:
        if not isinstance(value, SCALARS[bare]) or (isinstance(value, bool) and bare != "Boolean"):
            yield f"{name} is {bare}, not {value!r}"
    elif bare in inputs:
        for inner, told in value.items():
            if inner not in inputs[bare]:
                yield f"{bare} has no {inner}"
            else:
                yield from _wrong_value(f"{name}.{inner}", told, inputs[bare][inner], inputs)
        for inner, wanted in inputs[bare].items():
            if wanted.endswith("!") and inner not in value:
                yield f"{bare} needs {inner}"
