"""Parameters of an operation, checked against the catalogue before anything is sent."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.models import Operation, Parameter, Service

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (Mapping,),
    "array": (list, tuple),
}

_FILE_BODIES = ("multipart", "raw", "related")


def find_operation(service: Service, operation_id: str) -> Operation:
    """Return the operation of this id; raises UnknownNameError with the nearest ones."""
    operation = service.operation(operation_id)
    if operation is None:
        nearest = difflib.get_close_matches(operation_id, [op.id for op in service.operations], n=3)
        raise UnknownNameError(f"operation of {service.name}", operation_id, tuple(nearest))
    return operation


def check_parameters(
    service: Service,
    operation: Operation,
    parameters: Mapping[str, Any],
    held: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the parameters to send, defaults filled in and Nones left out.

    ``held`` is what the connection holds; a tenant or account that the call does not give comes from there.
    Raises UnknownNameError for a parameter the operation does not have, UsageError for one that is
    missing or has the wrong type; both name the parameter.
    """
    known = {parameter.name: parameter for parameter in operation.parameters}
    for name in parameters:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=3)
            raise UnknownNameError(f"parameter of {service.id}.{operation.id}", name, tuple(nearest))
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, parameter in known.items():
        if parameter.default is not None:
            given.setdefault(name, parameter.default)
        elif parameter.held and held is not None and held.get(parameter.held):
            given.setdefault(name, held[parameter.held])
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    unheld = [name for name, parameter in known.items() if parameter.held and name not in given]
    if unheld:
        told = ", ".join(f"{known[name].held!r}{_said(known[name])}" for name in unheld)
        msg = f"The connection to {service.name} holds no {told}; add it to the connection."
        raise UsageError(msg)
    if missing:
        plural = "s" if len(missing) > 1 else ""
        told = ", ".join(repr(name) + _said(known[name]) for name in missing)
        msg = f"{service.id}.{operation.id} needs the parameter{plural} {told}."
        raise UsageError(msg)
    return {name: _checked(service, operation, known[name], value) for name, value in given.items()}


def _said(parameter: Parameter) -> str:
    """Return what a parameter is, in brackets behind its name; nothing where nobody has said it."""
    told = parameter.description.rstrip(".")
    return f" ({told[:1].lower() if told[1:2].islower() else told[:1]}{told[1:]})" if told else ""


def _checked(service: Service, operation: Operation, parameter: Parameter, value: Any) -> Any:
    where = f"The parameter {parameter.name!r} of {service.id}.{operation.id}"
    in_address = parameter.location in ("path", "query", "header")
    if in_address and parameter.type == "string" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a numeric id is the same text in an address
    if not in_address and operation.body in _FILE_BODIES and isinstance(value, (bytes, PurePath)):
        return value
    wanted = _TYPES.get(parameter.type)
    wrong = wanted is not None and not isinstance(value, wanted)
    if wrong or (isinstance(value, bool) and parameter.type in ("integer", "number")):
        msg = f"{where} must be of type {parameter.type}, not {type(value).__name__}{_said(parameter)}."
        raise UsageError(msg)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{where} must be a finite number, not {value}."
        raise UsageError(msg)
    if parameter.choices and str(value) not in parameter.choices:
        msg = f"{where} must be one of {', '.join(parameter.choices)}{_said(parameter)}."
        raise UsageError(msg)
    if parameter.location == "path" and str(value) in ("", ".", ".."):
        msg = f"{where} stands in the address and must not be empty or dots."
        raise UsageError(msg)
    return value
