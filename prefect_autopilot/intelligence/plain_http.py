"""A service nobody has described, called by a plain HTTP request to an address the person gives."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.arguments import quoted_text, written_address
from prefect_autopilot.intelligence.data import words
from prefect_autopilot.intelligence.deeds import asked, method_for
from prefect_autopilot.intelligence.named_values import parameter_name
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    ParameterSpec,
    Service,
    StepSpec,
)
from prefect_autopilot.services import connection_name

GENERIC = "http_request"
"""Operation of a step whose service has none that fits: a request by hand."""

_SERVICE, _OPERATION = "http", "request"
_URL, _BODY = "url", "json"


def plain_arguments(
    service: Service, said: str, *, is_read: bool, has_event: bool, earlier: FromStep | None
) -> dict[str, Argument]:
    """Return address, method and body: what the person quotes, else what is known by then, else asked for."""
    url: Argument = written_address(said) or FromParameter(name=parameter_name(service.id, _URL))
    method = Constant(value=method_for(asked(said), is_read=is_read))
    if method.value in {"GET", "DELETE"}:
        return {_URL: url, "method": method}
    body: Argument
    if (quoted := quoted_text(said)) is not None:
        body = Constant(value={"text": quoted.value})
    elif earlier is not None:
        body = earlier
    elif has_event:
        body = FromTrigger(path="")
    else:
        body = FromParameter(name=parameter_name(service.id, _BODY))
    return {_URL: url, "method": method, _BODY: body}


def is_reachable(service: Service) -> bool:
    """Tell whether an HTTP request can reach a service: a file server or a queue speaks something else."""
    return service.id not in words("arguments", "not_http")


def as_request(step: StepSpec) -> StepSpec:
    """Return a step without a described operation as a call of any HTTP address.

    The connection bears the service's name; its token goes to the host of its base URL only.
    """
    if step.operation != GENERIC or step.service == _SERVICE:
        return step.model_copy(update={"operation": _OPERATION}) if step.operation == GENERIC else step
    update = {
        "service": _SERVICE,
        "operation": _OPERATION,
        "connection": connection_name(_SERVICE, step.service),
    }
    return step.model_copy(update=update)


def described(name: str, service: Service) -> ParameterSpec | None:
    """Return the form field of a plain request's parameter, None for a parameter of something else."""
    if name == parameter_name(service.id, _URL):
        about = f"{service.name}: the whole address to call, https://api.example.com/items for one."
        return ParameterSpec(name=name, required=True, description=about)
    if name == parameter_name(service.id, _BODY):
        about = f"{service.name}: what to send, as JSON."
        return ParameterSpec(name=name, type="dict", required=True, description=about)
    return None


def title(step: StepSpec, service: Service) -> str:
    """Return what such a step is called in the Prefect UI."""
    method = step.arguments.get("method")
    reads = isinstance(method, Constant) and method.value == "GET"
    return re.sub(r"\s+", " ", f"{'Read from' if reads else 'Send to'} {service.name} over HTTP")
