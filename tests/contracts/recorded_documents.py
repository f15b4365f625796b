"""Servers, authentication and operations as OpenAPI, Swagger and Google discovery documents state them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from recorded_shapes import Node, Shape, example_of, example_shape, read_document, shape_of

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
EMPTY = ("204", "205")
COUNTED = re.compile(r"(?i)^(?!.*(?:size|limit|per_)).*(?:page|offset|skip|start|index|from)")
"""Names of parameters that count pages or rows."""
NUMBERS = {"zero": 0, "0": 0, "0.0": 0, "one": 1, "1": 1, "1.0": 1}
BEGINS = (
    re.compile(r"\b(zero|one|0|1)[- ](?:based|indexed)\b"),
    re.compile(r"\b(?:start|begin)\w* (?:from|at|with) (zero|one|0|1)\b"),
    re.compile(r"\bdefaults?(?: value)?(?: to| is|:)? ?[`'\"]?([01])\b(?!\.\d)"),
    re.compile(r"\bfirst page is ([01])\b"),
)
Fact = dict[str, Any]


class Document(Protocol):
    """What every kind of document tells."""

    def servers(self) -> list[Fact]:
        """Return the addresses it names, each with its place."""

    def auth(self) -> list[Fact]:
        """Return the ways to prove who asks, each with its place."""

    def operation(self, name: str) -> Fact:
        """Return an operation by its id or by "METHOD path"."""


class UnknownOperationError(LookupError):
    """The document has no such operation."""


def open_document(file: Path) -> Document:
    """Return a reader for the kind of document that stands in the file."""
    content = read_document(file)
    if "metadata" in content and "shapes" in content:
        from recorded_models import ServiceModel

        return ServiceModel(file)
    if "discoveryVersion" in content:
        return Discovery(file)
    return Swagger(file) if "swagger" in content else OpenAPI(file)


class OpenAPI:
    """An OpenAPI document of version 3.0 or 3.1."""

    def __init__(self, file: Path) -> None:
        self.root = Node(read_document(file), file)

    def servers(self) -> list[Fact]:
        return [
            {"url": node.value["url"].rstrip("/"), "at": f"servers[{place}]"}
            for place, node in enumerate(self.root.each("servers"))
        ]

    def schemes(self) -> list[tuple[str, Node]]:
        components = self.root.get("components")
        return components.items("securitySchemes") if components else []

    def auth(self) -> list[Fact]:
        found = []
        for name, node in self.schemes():
            at = f"components.securitySchemes.{name}"
            found += [{**fact, "at": at, "scheme_name": name} for fact in _schemes(node.value)]
        return _together(found, self._requirements())

    def _requirements(self) -> Iterator[Mapping[str, Any]]:
        yield from self.root.value.get("security") or ()
        for _, _, node in self._operations():
            yield from node.value.get("security") or ()

    def _operations(self) -> Iterator[tuple[str, str, Node]]:
        for path, item in self.root.items("paths"):
            for method in METHODS:
                node = item.get(method)
                if node is not None:
                    yield method, path, node

    def find(self, name: str) -> tuple[str, str, Node]:
        for method, path, node in self._operations():
            if name in (node.value.get("operationId"), f"{method.upper()} {path}"):
                return method, path, node
        raise UnknownOperationError(name)

    def operation(self, name: str) -> Fact:
        method, path, node = self.find(name)
        item = self.root.get("paths").get(path)  # type: ignore[union-attr]
        parameters = _own_first([*node.each("parameters"), *item.each("parameters")])  # type: ignore[union-attr]
        address, fixed = _split(path)
        own = node.each("servers") or item.each("servers")  # type: ignore[union-attr]
        return {
            "at": name,
            "method": method.upper(),
            "path": address,
            "servers": [one.value["url"].rstrip("/") for one in own],
            "parameters": [*fixed, *(fact for one in parameters if (fact := self._parameter(one)))],
            **self._body(node),
            "responses": self._responses(node),
        }

    def _parameter(self, node: Node) -> Fact | None:
        value = node.value
        if value.get("in") not in ("path", "query", "header"):
            return None
        schema = node.get("schema")
        if schema is None:
            content = node.items("content")
            schema = content[0][1].get("schema") if content else None
            return _parameter_fact(value, schema, "json")
        return _parameter_fact(value, schema, _style(value))

    def _body(self, node: Node) -> Fact:
        request = node.get("requestBody")
        media = request.items("content") if request else []
        if not media:
            return {"body": {"content": [], "root": "none"}}
        # JSON first where the service takes several kinds: that is what its other calls speak.
        media.sort(key=lambda kind: ("json" not in kind[0], "form" not in kind[0]))
        content = media[0][1]
        shape = shape_of(content.get("schema"), writing=True)
        facts = body_fact([kind for kind, _ in media], shape)
        styles = {name: _style(one.value) for name, one in content.items("encoding")}
        if "form-urlencoded" in media[0][0] and any(styles.values()):
            facts["styles"] = {name: style for name, style in styles.items() if style}
        facts["needed"] = bool(request and request.value.get("required"))
        return {"body": facts}

    def _responses(self, node: Node) -> Fact:
        found = {}
        for status, response in node.items("responses", _is_good):
            media = response.items("content")
            media.sort(key=lambda kind: "json" not in kind[0])
            kind, shape = (media[0][0], shape_of(media[0][1].get("schema"))) if media else (None, None)
            # A document that describes no content says nothing of it, unless the status does.
            silent = {"type": "none" if status in EMPTY else "any"}
            found[status] = {"content": kind, "shape": shape or silent}
            if media and (shown := example_shape(shape, example_of(media[0][1]))):
                found[status] |= {"shape": shown, "from": "example"}
            if headers := sorted(name for name, _ in response.items("headers")):
                found[status]["headers"] = headers
        return _good(found)


class Swagger(OpenAPI):
    """A Swagger document of version 2."""

    def servers(self) -> list[Fact]:
        value = self.root.value
        path = (value.get("basePath") or "").rstrip("/")
        schemes = value.get("schemes") or ["https"]
        if not value.get("host"):
            return [{"url": path, "at": "basePath"}] if path else []
        kept = ["https"] if "https" in schemes else schemes
        return [{"url": f"{scheme}://{value['host']}{path}", "at": "host"} for scheme in kept]

    def schemes(self) -> list[tuple[str, Node]]:
        return self.root.items("securityDefinitions")

    def auth(self) -> list[Fact]:
        return [
            {**fact, "at": fact["at"].replace("components.securitySchemes", "securityDefinitions")}
            for fact in super().auth()
        ]

    def _parameter(self, node: Node) -> Fact | None:
        value = node.value
        if value.get("in") not in ("path", "query", "header"):
            return None
        style = {"multi": "repeat", "csv": "csv", "ssv": "ssv", "pipes": "pipes"}
        told = style.get(value.get("collectionFormat", "csv"), "csv")
        return _parameter_fact(value, node, told if value.get("type") == "array" else None)

    def _body(self, node: Node) -> Fact:
        path_item = next((item for _, _, item in self._operations() if item.value is node.value), node)
        consumes = node.value.get("consumes") or self.root.value.get("consumes") or []
        inputs = path_item.each("parameters")
        for one in inputs:
            if one.value.get("in") == "body":
                kinds = [kind for kind in consumes if "json" in kind] or consumes or ["application/json"]
                facts = body_fact(kinds, shape_of(one.get("schema"), writing=True))
                return {"body": {**facts, "needed": bool(one.value.get("required"))}}
        fields = [one.value for one in inputs if one.value.get("in") == "formData"]
        if not fields:
            return {"body": {"content": [], "root": "none"}}
        kinds = [kind for kind in consumes if "form" in kind] or ["application/x-www-form-urlencoded"]
        shape: Shape = {
            "type": "object",
            "properties": {one["name"]: shape_of(Node(one, node.file)) for one in fields},
            "required": sorted(one["name"] for one in fields if one.get("required")),
        }
        return {"body": {**body_fact(kinds, shape), "needed": bool(shape["required"])}}

    def _responses(self, node: Node) -> Fact:
        produces = node.value.get("produces") or self.root.value.get("produces") or ["application/json"]
        kind = next((one for one in produces if "json" in one), produces[0])
        found = {}
        for status, response in node.items("responses", _is_good):
            schema = response.get("schema")
            silent = {"type": "none" if status in EMPTY else "any"}
            shape = shape_of(schema) if schema else silent
            found[status] = {"content": kind if schema else None, "shape": shape}
            if shown := example_shape(shape, example_of(response, kind)):
                found[status] |= {"content": kind, "shape": shown, "from": "example"}
        return _good(found)


class Discovery:
    """A discovery document of a Google service."""

    def __init__(self, file: Path) -> None:
        self.root = Node(read_document(file), file, named="schemas")

    def servers(self) -> list[Fact]:
        value = self.root.value
        return [{"url": (value["rootUrl"] + value["servicePath"]).rstrip("/"), "at": "rootUrl + servicePath"}]

    def auth(self) -> list[Fact]:
        scopes = self.root.value.get("auth", {}).get("oauth2")
        return [oauth2(None, None, at="auth.oauth2")] if scopes else []

    def operation(self, name: str) -> Fact:
        """Return a method by its id; behind ``id upload`` it takes the content of a file, too."""
        name, _, upload = name.partition(" ")
        method = self._find(self.root.value, name)
        if method is None or (upload and not method.get("supportsMediaUpload")):
            raise UnknownOperationError(name)
        return self._uploading(name, method) if upload else self._plain(name, method)

    def _uploading(self, name: str, method: Mapping[str, Any]) -> Fact:
        """Return a method as it is called with its fields and a file in one body of two parts."""
        simple = method["mediaUpload"]["protocols"]["simple"]
        if not simple["multipart"]:
            raise UnknownOperationError(f"{name} with fields and a file")
        fact = self._plain(name, {**method, "path": simple["path"]})
        for parameter in fact["parameters"]:
            if parameter["name"] == "uploadType":
                parameter |= {"required": True, "fixed": "multipart"}
        fact["body"]["content"] = ["multipart/related"]
        return {**fact, "at": f"{name} mediaUpload", "servers": [self.root.value["rootUrl"].rstrip("/")]}

    def _plain(self, name: str, method: Mapping[str, Any]) -> Fact:
        path = method.get("flatPath", method["path"]) if "{+" in method["path"] else method["path"]
        flat = path != method["path"]
        told = {**self.root.value.get("parameters", {}), **method.get("parameters", {})}
        if flat:
            told = {n: one for n, one in told.items() if one["location"] != "path"}
            told |= {n: {"location": "path", "required": True, "type": "string"} for n in _slots(path)}
        request, answer = (self._schema(method.get(key)) for key in ("request", "response"))
        shape = shape_of(request, writing=True) if request else None
        facts = body_fact(["application/json"], shape) if shape else {"content": [], "root": "none"}
        if shape and request is not None:
            facts["required"] = sorted(
                named
                for named, one in request.items("properties")
                if name in one.value.get("annotations", {}).get("required", ())
            )
        return {
            "at": name,
            "method": method["httpMethod"],
            "path": "/" + path.lstrip("/"),
            "servers": [],
            "parameters": [self._parameter(n, one) for n, one in told.items()],
            "body": facts,
            "responses": {
                "200": {"content": "application/json", "shape": self._wrapped(shape_of(answer))}
                if answer
                else {"content": None, "shape": {"type": "none"}}
            },
        }

    def _wrapped(self, shape: Shape) -> Shape:
        wrapped = "dataWrapper" in self.root.value.get("features", ())
        return {"type": "object", "properties": {"data": shape}} if wrapped else shape

    def _schema(self, reference: Mapping[str, Any] | None) -> Node | None:
        return self.root.at(reference["$ref"]) if reference else None

    def _parameter(self, name: str, value: Mapping[str, Any]) -> Fact:
        repeated = value.get("repeated") is True
        fact = {
            "name": name,
            "in": value["location"],
            "required": value.get("required") is True,
            "type": "array" if repeated else value.get("type", "any"),
            "fixed": None,
        }
        return {**fact, "style": "repeat"} if repeated else fact

    def _find(self, level: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        for method in level.get("methods", {}).values():
            if method["id"] == name:
                return method  # type: ignore[no-any-return]
        for inner in level.get("resources", {}).values():
            found = self._find(inner, name)
            if found:
                return found
        return None


def _split(path: str) -> tuple[str, list[Fact]]:
    """Return the address alone and what a document writes into it as a query."""
    plain, _, query = path.partition("#")[0].partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair and "{" not in pair]
    return plain, [
        {"name": name, "in": "query", "required": True, "type": "string", "fixed": value or None}
        for name, _, value in pairs
    ]


def _slots(path: str) -> list[str]:
    return [part.partition("}")[0].lstrip("+") for part in path.split("{")[1:]]


def oauth2(token_url: str | None, refresh_url: str | None, **more: Any) -> Fact:
    """Return the fact that OAuth 2 is used, whatever of its addresses is known."""
    return {"type": "oauth2", "token_url": token_url, "refresh_url": refresh_url, **more}


def _schemes(value: Mapping[str, Any]) -> list[Fact]:
    kind = value.get("type")
    if kind == "apiKey":
        if "sigv4" in str(value.get("x-amazon-apigateway-authtype", "")).lower():
            return [{"type": "sigv4"}]
        return [{"type": "apiKey", "in": value["in"], "name": value["name"], "prefix": None}]
    if kind in ("http", "basic"):
        return [{"type": "http", "scheme": str(value.get("scheme", "basic")).lower()}]
    if kind == "oauth2":
        flows = value.get("flows") or {value.get("flow", ""): value}
        told = {kind: (flow.get("tokenUrl"), flow.get("refreshUrl")) for kind, flow in flows.items()}
        machine = {pair for kind, pair in told.items() if kind in ("clientCredentials", "application")}
        return [
            oauth2(*pair, **({"grants": ["client_credentials"]} if pair in machine else {}))
            for pair in dict.fromkeys(told.values())
        ]
    return [{"type": str(kind)}]


def _together(found: list[Fact], requirements: Iterator[Mapping[str, Any]]) -> list[Fact]:
    """Mark the schemes that are never asked for alone with their companions."""
    sets = [frozenset(requirement) for requirement in requirements if requirement]
    place = {fact["scheme_name"]: number for number, fact in reversed(list(enumerate(found)))}
    for fact in found:
        holding = [names for names in sets if fact["scheme_name"] in names]
        common = frozenset.intersection(*holding) if holding else frozenset()
        others = sorted(place[name] for name in common - {fact["scheme_name"]} if name in place)
        if others:
            fact["with"] = others
    return [{key: value for key, value in fact.items() if key != "scheme_name"} for fact in found]


def _own_first(parameters: list[Node]) -> list[Node]:
    seen: dict[tuple[str, str], Node] = {}
    for node in parameters:
        if isinstance(node.value, Mapping) and "name" in node.value:
            seen.setdefault((node.value["name"], node.value["in"]), node)
    return list(seen.values())


def _style(value: Mapping[str, Any]) -> str | None:
    """Return how a list or object is written: repeat, csv, deepObject, spaceDelimited …"""
    style = value.get("style", "form" if value.get("in", "query") == "query" else "simple")
    if style == "form":
        return "repeat" if value.get("explode", True) else "csv"
    return "csv" if style == "simple" else str(style)


def _parameter_fact(value: Mapping[str, Any], schema: Node | None, style: str | None) -> Fact:
    kind = shape_of(schema)["type"] if schema else "any"
    told = schema.value if schema else {}
    choices = told.get("enum") if isinstance(told, Mapping) else None
    fixed = choices[0] if isinstance(choices, list) and len(choices) == 1 else told.get("const")
    fact = {
        "name": value["name"],
        "in": value["in"],
        "required": value.get("required") is True or value["in"] == "path",
        "type": kind,
        "fixed": fixed,
    }
    if COUNTED.search(value["name"]) and (first := _first(value, told)) is not None:
        fact["first"] = first
    return {**fact, "style": style} if style and kind in ("array", "object", "any") else fact


def _first(value: Mapping[str, Any], schema: Mapping[str, Any]) -> int | None:
    """Return the number that a count of pages or rows begins with, None where nothing tells it.

    What is taken where nothing is asked is the first page; else what is said in words, or the least number;
    an example of 0 is none of a count from 1.
    """
    words = f"{value.get('description', '')} {schema.get('description', '')}".lower()
    said = [NUMBERS[found[1]] for known in BEGINS if (found := known.search(words))]
    shown = [one for one in (value.get("example"), schema.get("example")) if str(one) == "0"]
    told = (schema.get("default"), *said, schema.get("minimum"), *shown)
    return next((NUMBERS[str(one)] for one in told if str(one) in NUMBERS), None)


def body_fact(content: list[str], shape: Shape) -> Fact:
    """Return a body as fixtures hold it: the outermost level is told by itself."""
    root = shape["type"]
    facts: Fact = {"content": content, "root": root}
    if root == "array" and "items" in shape:
        facts["items"] = shape["items"]
    if root == "object":
        facts["required"] = shape.get("required", [])
        facts["properties"] = shape.get("properties", {})
        facts["open"] = bool(shape.get("open"))
    return facts


def _is_good(status: str) -> bool:
    return status.startswith("2") or status == "default"


def _good(responses: Fact) -> Fact:
    told = {status: fact for status, fact in responses.items() if status != "default"}
    return told or ({"200": responses["default"]} if "default" in responses else {})
