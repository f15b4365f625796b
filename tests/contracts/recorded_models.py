"""Operations as Amazon's service models state them (``service-2.json``), those that its SDKs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recorded_documents import Fact, UnknownOperationError, body_fact
from recorded_shapes import Shape, read_document

LEVELS = 4
"""Objects within objects whose fields are told."""
KINDS = {
    "string": "string",
    "character": "string",
    "blob": "string",
    "timestamp": "any",
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "list": "array",
    "map": "object",
    "structure": "object",
}


class ServiceModel:
    """A model of the protocols ``json`` (a header names the call) and ``query`` (a field of a form does)."""

    def __init__(self, file: Path) -> None:
        """Read the model of ``file``."""
        self.told: Mapping[str, Any] = read_document(file)
        self.about: Mapping[str, Any] = self.told["metadata"]

    def servers(self) -> list[Fact]:
        """Return nothing: a model does not say where its service is."""
        return []

    def auth(self) -> list[Fact]:
        """Return the signature, where the model names it."""
        signed = self.about.get("signatureVersion") == "v4"
        return [{"type": "sigv4", "at": "metadata.signatureVersion"}] if signed else []

    def operation(self, name: str) -> Fact:
        """Return an operation by its name; raises UnknownOperationError."""
        if name not in self.told["operations"]:
            raise UnknownOperationError(name)
        operation = self.told["operations"][name]
        asked = self._shape(operation["input"]["shape"]) if "input" in operation else {"type": "object"}
        answered = self._shape(operation["output"]["shape"]) if "output" in operation else {"type": "any"}
        if self.about["protocol"] == "json":
            kind = f"application/x-amz-json-{self.about['jsonVersion']}"
            target = f"{self.about['targetPrefix']}.{name}"
            parameters = [_fixed("X-Amz-Target", target)]
        else:
            kind, parameters = "application/x-www-form-urlencoded", []
            asked, answered = _as_form(asked, name, self.about["apiVersion"]), {"type": "any"}
        return {
            "at": name,
            "method": operation["http"]["method"],
            "path": operation["http"]["requestUri"],
            "servers": [],
            "parameters": parameters,
            "body": body_fact([kind], asked),
            "responses": {"200": {"content": kind, "shape": answered}},
        }

    def _shape(self, name: str, levels: int = LEVELS) -> Shape:
        told = self.told["shapes"][name]
        kind = KINDS[told["type"]]
        if told["type"] == "list":
            return {"type": kind, "items": self._shape(told["member"]["shape"], levels - 1)}
        if told["type"] != "structure" or levels < 1:
            return {"type": kind, "open": True} if kind == "object" else {"type": kind}
        inner = {field: self._shape(one["shape"], levels - 1) for field, one in told["members"].items()}
        return {"type": kind, "properties": inner, "required": sorted(told.get("required", ()))}


def _fixed(name: str, value: str) -> Fact:
    return {"name": name, "in": "header", "required": True, "type": "string", "fixed": value}


def _as_form(asked: Shape, name: str, version: str) -> Shape:
    """Return the fields of a form; lists and maps are written as numbered fields, which are not told."""
    told = asked.get("properties", {}).items()
    flat = {field: shape for field, shape in told if shape["type"] not in ("array", "object")}
    named = {"Action": {"type": "string", "value": name}, "Version": {"type": "string", "value": version}}
    required = ["Action", "Version", *asked.get("required", ())]
    return {"type": "object", "properties": {**named, **flat}, "required": sorted(required)}
