"""What passes the store's door: values become JSON without secrets, and come back as the same values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from prefect_autopilot.errors import StoreError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.redaction import redact_value

ModelT = TypeVar("ModelT", bound=BaseModel)


def dump(value: BaseModel, secrets: Iterable[str] = ()) -> JSONDict:
    """Return a value as JSON that both databases take, redacted."""
    body: JSONDict = clean(value.model_dump(mode="json", by_alias=True), secrets)
    return body


def load(model: type[ModelT], body: JSONDict) -> ModelT:
    """Return the value a row holds; raises StoreError where it does not fit this version."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise StoreError(
            f"A stored {model.__name__} cannot be read ({field}): another version of prefect-autopilot wrote"
            " it; use that version or remove the row."
        ) from None


def clean(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return nested JSON redacted and without what a database refuses: NUL, lone surrogates, NaN."""
    return redact_value(storable(value), secrets)


def storable(value: Any) -> Any:
    """Return nested JSON without what a database refuses; nothing is redacted."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable(key): storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    return value


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()
