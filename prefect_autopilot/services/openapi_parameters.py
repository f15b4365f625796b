"""What an imported operation takes: parameters of address and headers, and the fields of its body."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect_autopilot.models import Auth, Parameter
from prefect_autopilot.services.openapi_names import plain_text
from prefect_autopilot.services.openapi_schema import (
    NotImportableError,
    Schemas,
    Shape,
    listed,
    mapping,
    places_of,
    text,
)

Location = Literal["path", "query", "header", "body"]
BodyKind = Literal["none", "json", "form", "multipart", "raw"]
Style = Literal["plain", "repeat", "comma", "space", "pipe", "deep"]

MOST_PARAMETERS = 1_000
"""An operation with more is not imported."""

_NEVER = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3: such parameters are ignored
_IDEMPOTENCY = re.compile(r"(?i)(?:x-)?(?:idempoten(?:cy|ce|t)[-_]?(?:key|token|id)?)")
_COLLECTION: Mapping[str, Style] = {"csv": "comma", "ssv": "space", "pipes": "pipe", "multi": "plain"}
_STYLES: Mapping[str, Style] = {"spaceDelimited": "space", "pipeDelimited": "pipe", "deepObject": "deep"}
_ORDER: tuple[tuple[BodyKind, re.Pattern[str]], ...] = (
    ("json", re.compile(r"application/json\b.*|.*\+json\b.*|text/json\b.*|\*/\*|application/\*")),
    ("form", re.compile(r"application/x-www-form-urlencoded\b.*")),
    ("multipart", re.compile(r"multipart/.*")),
    ("raw", re.compile(r"(?:text|image|audio|video|application)/.*")),
)
_TOKEN_NAME = re.compile(r"(?i)(?:access|api|auth)?[-_]?(?:token|key)")
_TOKEN_WORDS = ("authentication token", "access token", "api key", "api token")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass
class Taken:
    """What one operation takes, while it is being read."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    body: BodyKind = "none"
    body_at: str | None = None
    idempotency_header: str | None = None

    def add(self, parameter: Parameter) -> None:
        """Add a parameter; one whose name is taken gets its place in front: ``body_id``."""
        name = parameter.name
        if name in self.parameters:
            wire = parameter.at or name
            parameter = parameter.model_copy(update={"name": f"{parameter.location}_{name}", "at": wire})
            if parameter.location == "path" or "." in wire or parameter.name in self.parameters:
                raise NotImportableError("two of its parameters have one name")
        if len(self.parameters) >= MOST_PARAMETERS:
            raise NotImportableError(f"takes more than {MOST_PARAMETERS} parameters")
        self.parameters[parameter.name] = parameter


def read_parameters(
    schemas: Schemas,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
    path: str,
    *,
    consumes: Any = None,
    auth: Auth | None = None,
) -> Taken:
    """Return what an operation takes; raises NotImportableError with the reason where it cannot be called.

    What already proves who asks (``auth``) is no parameter.
    """
    told: dict[tuple[str, str], Mapping[str, Any]] = {}
    for value in (*listed(item.get("parameters")), *listed(operation.get("parameters"))):
        parameter = schemas.resolve(value)
        if not _proves(parameter, auth):
            told[text(parameter.get("name")), text(parameter.get("in"))] = parameter
    taken = Taken()
    for name in dict.fromkeys(places_of(path)):
        taken.add(_in_path(schemas, name, told.get((name, "path"), {})))
    for (name, where), parameter in told.items():
        if where in ("query", "header", "cookie") and name:
            _beside(schemas, taken, name, where, parameter)
    _read_body(schemas, taken, operation, list(told.values()), consumes)
    return taken


def _proves(parameter: Mapping[str, Any], auth: Auth | None) -> bool:
    """Tell whether a parameter repeats the sign-in of the service."""
    name, where = text(parameter.get("name")), parameter.get("in")
    if auth is None or auth.scheme == "none" or where not in ("header", "query", "formData"):
        return False
    if where == auth.scheme:
        return name.lower() in auth.name.lower().split("+")
    told = text(parameter.get("description"))[:200].lower()
    return bool(_TOKEN_NAME.fullmatch(name)) and any(word in told for word in _TOKEN_WORDS)


def _in_path(schemas: Schemas, name: str, parameter: Mapping[str, Any]) -> Parameter:
    if text(parameter.get("style")) in ("matrix", "label"):
        raise NotImportableError("writes a path parameter in a style that is not known")
    shape = schemas.shape(_schema_of(parameter))
    style: Style = "comma" if shape.type == "array" else "plain"
    return _parameter(name, shape, "path", parameter, style=style).model_copy(update={"required": True})


def _beside(schemas: Schemas, taken: Taken, name: str, where: str, parameter: Mapping[str, Any]) -> None:
    required = parameter.get("required") is True
    if where == "cookie":
        if required:
            raise NotImportableError("needs a cookie")
        return
    if where == "header":
        if name.lower() in _NEVER:
            return
        if _IDEMPOTENCY.fullmatch(name):
            # Sent by the client with a key of its own; whoever calls may still give one.
            taken.idempotency_header, required = name, False
        if not _HEADER_NAME.fullmatch(name):
            raise NotImportableError("a header of it has no usable name")
    shape = schemas.shape(_schema_of(parameter))
    location: Location = "header" if where == "header" else "query"
    made = _parameter(name, shape, location, parameter, style=_style(parameter, shape, where))
    taken.add(made.model_copy(update={"required": required}))


def _schema_of(parameter: Mapping[str, Any]) -> Any:
    if "schema" in parameter:
        return parameter["schema"]
    if content := mapping(parameter.get("content")):
        return mapping(next(iter(content.values()))).get("schema")
    return parameter  # Swagger 2 writes the type beside the name


def _style(parameter: Mapping[str, Any], shape: Shape, where: str) -> Style:
    if "content" in parameter:
        return "plain"
    told = text(parameter.get("style"))
    if shape.type == "array":
        if "schema" not in parameter:
            return _COLLECTION.get(text(parameter.get("collectionFormat")), "comma")
        if told == "deepObject":
            return "deep"
        joined = where == "header" or parameter.get("explode") is False or told in _STYLES
        return _STYLES.get(told, "comma") if joined else "plain"
    if shape.type == "object" and where == "query":
        return "deep" if told == "deepObject" else "repeat"
    return "plain"


def _parameter(
    name: str, shape: Shape, location: Location, told: Mapping[str, Any], *, style: Style = "plain"
) -> Parameter:
    required = told.get("required") is True
    description = plain_text(text(told.get("description")) or text(shape.keywords.get("description")))
    default = _default(shape)
    if default is not None and not required and len(str(default)) <= _MOST_OF_DEFAULT:
        # The service fills it in by itself; sent along, an update would overwrite what is there.
        description = f"{description} Default: {default}.".strip()
    return Parameter.model_construct(
        name=name,
        location=location,
        type=shape.type,
        required=required,
        description=description,
        default=default if required else None,
        choices=_choices(shape),
        fields=(),
        at=None,
        style=style,
    )


_MOST_OF_DEFAULT = 40
_MOST_CHOICES = 500


def _choices(shape: Shape) -> tuple[str, ...]:
    if shape.type not in ("string", "integer", "number"):
        return ()
    told = [shape.keywords["const"]] if "const" in shape.keywords else listed(shape.keywords.get("enum"))
    values = [value for value in told[: _MOST_CHOICES + 1] if value is not None]
    usable = all(isinstance(value, (str, int, float)) and not isinstance(value, bool) for value in values)
    return tuple(dict.fromkeys(map(str, values))) if usable and len(values) <= _MOST_CHOICES else ()


def _default(shape: Shape) -> Any:
    """Return the default where it is of the declared type and among the choices."""
    told = shape.keywords.get("const", shape.keywords.get("default"))
    kinds: Mapping[str, tuple[type, ...]] = {
        "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    }  # fmt: skip
    if not isinstance(told, kinds.get(shape.type, ())) or (
        isinstance(told, bool) and shape.type != "boolean"
    ):
        return None
    choices = _choices(shape)
    return told if not choices or str(told) in choices else None


def _read_body(
    schemas: Schemas,
    taken: Taken,
    operation: Mapping[str, Any],
    parameters: list[Mapping[str, Any]],
    consumes: Any,
) -> None:
    whole = next((one for one in parameters if one.get("in") == "body"), None)
    fields = [one for one in parameters if one.get("in") == "formData"]
    if fields:
        _read_form(schemas, taken, fields, [text(one) for one in listed(consumes)])
        return
    if whole is not None:
        medias = {text(one).lower(): whole for one in listed(consumes)} or {"application/json": whole}
        required = whole.get("required") is True
    else:
        told = schemas.resolve(operation.get("requestBody"))
        medias = {str(name).lower(): mapping(value) for name, value in mapping(told.get("content")).items()}
        required = told.get("required") is True
    if medias:
        kind, media = _preferred(list(medias), required=required)
        if kind != "none":
            _fields_of_body(schemas, taken, kind, media, medias[media], required=required)


def _preferred(medias: list[str], *, required: bool) -> tuple[BodyKind, str]:
    for kind, pattern in _ORDER:
        for media in medias:
            if pattern.fullmatch(media):
                return kind, media
    if not required:
        return "none", ""
    raise NotImportableError("takes a body in a format that is not written")


def _read_form(schemas: Schemas, taken: Taken, fields: list[Mapping[str, Any]], consumes: list[str]) -> None:
    is_file = any(one.get("type") == "file" for one in fields)
    multipart = is_file or any("multipart" in media for media in consumes)
    taken.body = "multipart" if multipart and "application/x-www-form-urlencoded" not in consumes else "form"
    for one in fields:
        shape = schemas.shape(one)
        style = _style(one, shape, "body")
        style = "repeat" if style == "plain" and shape.type == "array" else style
        taken.add(_parameter(text(one.get("name")) or "field", shape, "body", one, style=style))


def _fields_of_body(
    schemas: Schemas, taken: Taken, kind: BodyKind, media: str, content: Mapping[str, Any], *, required: bool
) -> None:
    shape = schemas.shape(content.get("schema"))
    taken.body = kind
    if kind == "raw" or not shape.properties:
        _whole_body(taken, kind, shape, required=required)
    else:
        wrapper = _wrapper(schemas, shape) if kind == "json" else None
        if wrapper is not None:
            taken.body_at, shape = wrapper
        encodings = mapping(content.get("encoding"))
        for parameter in _body_fields(schemas, shape, kind, encodings, required=required):
            taken.add(parameter)
    if kind == "raw" or (
        kind == "json" and media not in ("application/json", "*/*", "application/*", "text/json")
    ):
        written = media if kind == "raw" or "*" not in media else "application/json"
        taken.parameters.pop("Content-Type", None)
        taken.add(
            Parameter(name="Content-Type", location="header", default=written.partition(";")[0].strip())
        )


def _whole_body(taken: Taken, kind: BodyKind, shape: Shape, *, required: bool) -> None:
    if kind == "multipart":
        raise NotImportableError("does not say which fields its form has")
    if kind == "form":
        taken.body = "none"
        if required and shape.type not in ("object", "any"):
            raise NotImportableError("does not say which fields its form has")
        return
    kept = "string" if kind == "raw" else shape.type
    taken.add(Parameter(name="body", type=kept, required=required, at="$"))  # type: ignore[arg-type]  # one of the types


def _wrapper(schemas: Schemas, shape: Shape) -> tuple[str, Shape] | None:
    """Return the one object a body consists of, as Asana's ``data``, and its name."""
    if len(shape.properties) != 1:
        return None
    name, inner = next(iter(shape.properties.items()))
    found = schemas.shape(inner)
    return (name, found) if found.type == "object" and found.properties else None


def _body_fields(
    schemas: Schemas, shape: Shape, kind: BodyKind, encodings: Mapping[str, Any], *, required: bool
) -> Iterator[Parameter]:
    for name, schema in shape.properties.items():
        is_required = required and name in shape.required
        try:
            inner = schemas.shape(schema)
        except NotImportableError:
            if is_required:
                raise
            inner = Shape()
        if inner.keywords.get("readOnly") is True:
            continue
        told = {"required": is_required}
        yield _parameter(
            name, inner, "body", told, style=_form_style(kind, inner, mapping(encodings.get(name)))
        )


def _form_style(kind: BodyKind, shape: Shape, encoding: Mapping[str, Any]) -> Style:
    if kind == "json":
        return "plain"
    if text(encoding.get("style")) == "deepObject":
        return "deep"
    if shape.type == "array" and "json" not in text(encoding.get("contentType")):
        return "comma" if encoding.get("explode") is False else "repeat"
    return "plain"
