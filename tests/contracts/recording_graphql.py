"""Record GraphQL calls from the types that a vendor's SDK is generated with.

    python tests/contracts/recording_graphql.py --root npm:@linear/sdk=FOLDER ... [--only ID]

The plan (``graphql_plan.toml``) names for each operation the field, the type of its arguments, and the paths
of the answer that may be asked for; nothing is recorded that the types do not say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recorded_documents import Fact
from recording import Sources, stated
from recording_command import WrongPlanError, arguments_of, carry_out

PLAN = Path(__file__).parent / "graphql_plan.toml"
FIELD = re.compile(r"^\s+(\w+)(\??): (.+);$", re.MULTILINE)


class Types:
    """The type declarations of a TypeScript file, as GraphQL types."""

    def __init__(self, text: str) -> None:
        """Index the declarations of ``text``."""
        found = re.finditer(r"(?ms)^\s*(?:export )?type (\w+) = (?:\w+ & )*\{\n(.*?)^\s*\};", text)
        self._bodies = {one[1]: one[2] for one in found}

    def fields(self, name: str) -> dict[str, str]:
        """Return the fields of a type with their GraphQL types; raises WrongPlanError for an unknown one."""
        if name not in self._bodies:
            msg = f"the source has no type {name}"
            raise WrongPlanError(msg)
        return {
            one[1]: written(one[3]).removesuffix("!") + ("" if one[2] or "Maybe<" in one[3][:11] else "!")
            for one in FIELD.finditer(self._bodies[name])
        }

    def known(self, name: str) -> bool:
        """Tell whether there is an object type of this name."""
        return name in self._bodies


def written(told: str) -> str:
    """Return a TypeScript type as GraphQL writes it, not null."""
    told = told.strip()
    if maybe := re.fullmatch(r"(?:Input)?Maybe<(.*)>", told):
        return written(maybe[1]).removesuffix("!")
    if array := re.fullmatch(r"Array<(.*)>", told):
        return f"[{written(array[1])}]!"
    if scalar := re.match(r"Scalars\[[\"'](\w+)[\"']\]", told):
        return f"{scalar[1]}!"
    return f"{told}!"


def bare(kind: str) -> str:
    """Return the name within a type."""
    return re.sub(r"[\[\]!]", "", kind)


def operation(asked: Mapping[str, Any], types: Types, server: Mapping[str, Any]) -> Fact:
    """Return a call of the plan as fixtures hold it."""
    root = types.fields(asked["kind"].capitalize())
    arguments = types.fields(asked["arguments"]) if "arguments" in asked else {}
    answer: dict[str, Any] = {}
    shape: dict[str, Any] = {"type": "object", "properties": {}}
    for path in asked["answer"]:
        _add(path.split(">"), bare(root[asked["field"]]), types, answer)
    wanted = {bare(kind) for kind in arguments.values()}
    inputs = {name: types.fields(name) for name in wanted if name.endswith(("CreateInput", "UpdateInput"))}
    shape["properties"]["data"] = {
        "type": "object",
        "properties": {asked["field"]: _shape(root[asked["field"]], answer, types)},
    }
    properties = {"query": {"type": "string"}, "variables": {"type": "object", "open": True}}
    return {
        "source": 0,
        "at": f"{asked['kind']} {asked['field']}",
        "method": "POST",
        "path": server["path"],
        "server": 0,
        "parameters": [],
        "body": {
            "content": ["application/json"],
            "root": "object",
            "properties": properties,
            "required": ["query"],
            "open": False,
        },
        "responses": {"200": {"content": "application/json", "shape": shape}},
        "graphql": {
            "kind": asked["kind"],
            "field": asked["field"],
            "arguments": arguments,
            "inputs": inputs,
            "answer": answer,
            "inner": {name: types.fields(kind) for name, kind in asked.get("inner", {}).items()},
        },
        **{key: asked[key] for key in ("paging", "repeatable") if key in asked},
    }


def _add(names: Sequence[str], kind: str, types: Types, answer: dict[str, Any]) -> None:
    if names[0] not in types.fields(kind):
        msg = f"{kind} has no field {names[0]}"
        raise WrongPlanError(msg)
    below = answer.setdefault(names[0], {})
    if names[1:]:
        _add(names[1:], bare(types.fields(kind)[names[0]]), types, below)


def _shape(kind: str, asked: Mapping[str, Any], types: Types) -> dict[str, Any]:
    name = bare(kind)
    inner: dict[str, Any] = {"type": {"String": "string", "ID": "string", "Int": "integer"}.get(name, "any")}
    if asked:
        told = {one: _shape(types.fields(name)[one], below, types) for one, below in asked.items()}
        inner = {"type": "object", "properties": told}
    return {"type": "array", "items": inner} if kind.startswith("[") else inner


def record(service: str, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> Fact:
    """Return the fixture of a service."""
    sources = Sources(plan["sources"], roots, today)
    types = Types(sources.files[0].read_text("utf-8"))
    return {
        "service": service,
        "sources": sources.facts,
        "servers": stated(plan["servers"], sources),
        "auth": stated(plan["auth"], sources),
        "operations": {name: operation(told, types, plan) for name, told in plan["operations"].items()},
    }


def main(arguments: Sequence[str]) -> int:
    """Record what the plan asks for; say what it claims without proof."""
    return carry_out(arguments_of(__doc__, [PLAN]).parse_args(arguments), record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
