"""What a service's event offers to a flow, read from the row that announced it; samples for previews."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import Hook, JSONDict, Service, ServiceTrigger
from prefect_autopilot.services.paths import pick

_NOTES = ("resources", "listed", "answers")


@lru_cache(maxsize=1)
def _samples() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("prefect_autopilot.services").joinpath("samples.toml").read_text("utf-8")
    return tomllib.loads(text)


def sample_rows(service_id: str) -> dict[str, list[JSONDict]]:
    """Return made-up rows of the service by resource, as the service itself would answer them."""
    kinds = _samples().get(service_id, {})
    return {
        resource: [dict(row) for row in rows] for resource, rows in kinds.items() if resource not in _NOTES
    }


def listed_fields(service_id: str, resource: str) -> tuple[str, ...]:
    """Return the fields a list of the resource shows; empty where a list shows whole rows."""
    return tuple(_samples().get(service_id, {}).get("listed", {}).get(resource, ()))


def answer_text(service_id: str, operation_id: str) -> str | None:
    """Return where the text stands in what an operation answers, None where that is not known."""
    found = _samples().get(service_id, {}).get("answers", {}).get(operation_id)
    return found if isinstance(found, str) else None


def event_payload(trigger: ServiceTrigger, row: Mapping[str, Any]) -> JSONDict:
    """Return the row with the fields of the trigger beside it, so that a flow reads ``event["subject"]``."""
    read = {name: pick(row, path) for name, path in trigger.fields.items()}
    return {**row, **{name: value for name, value in read.items() if value is not None}}


def read_posted(body: bytes, content_type: str) -> Any:
    """Return what a webhook posted: JSON, form fields (JSON in a lone ``payload``), else text as ``text``."""
    text = body.decode("utf-8", "replace")
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        fields = parse_qs(text, keep_blank_values=True)
        plain = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
        inner = plain.get("payload")
        return _json(inner) or plain if len(plain) == 1 and isinstance(inner, str) else plain
    read = _json(text)
    return {"text": text} if read is None else read


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def announced(
    service: Service, posted: Any, headers: Mapping[str, str]
) -> tuple[tuple[ServiceTrigger, JSONDict], ...]:
    """Return the events a webhook announces, each with its payload; ``headers`` have lower-case names."""
    found: list[tuple[ServiceTrigger, JSONDict]] = []
    for trigger in service.triggers:
        if trigger.hook is None:
            continue
        at = pick(posted, trigger.hook.row_at)
        rows = [row for row in (at if isinstance(at, list) else [at]) if isinstance(row, dict)]
        fitting = (row for row in rows if _fits(trigger.hook, posted, row, headers))
        found += [(trigger, event_payload(trigger, row)) for row in fitting]
    return tuple(found)


def _fits(hook: Hook, posted: Any, row: Any, headers: Mapping[str, str]) -> bool:
    for place, values in hook.match.items():
        if place.startswith("header:"):
            value: Any = headers.get(place.removeprefix("header:").lower())
        elif place.startswith("row."):
            value = pick(row, place.removeprefix("row."))
        else:
            value = pick(posted, place)
        said = str(value).lower() if isinstance(value, bool) else str(value)
        if value is None or said not in values:
            return False
    return True


def find_trigger(service: Service, event: str) -> ServiceTrigger:
    """Return the service's trigger of this event; raises UnknownNameError with those it has."""
    for trigger in service.triggers:
        if trigger.event == event:
            return trigger
    raise UnknownNameError(f"event of {service.name}", event, tuple(t.event for t in service.triggers))


def resource_of(service_id: str, operation_id: str) -> str:
    """Return the singular thing an operation is about: ``message`` for ``list_messages``."""
    named = _samples().get(service_id, {}).get("resources", {})
    if operation_id in named:
        return str(named[operation_id])
    noun = operation_id.partition("_")[2] or operation_id
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("sses", "xes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun


def sample_event(service: Service, event: str) -> JSONDict:
    """Return an event a preview may start a flow with; empty where no sample is known."""
    trigger = find_trigger(service, event)
    resource = resource_of(service.id, trigger.detail or trigger.operation or event)
    rows = sample_rows(service.id).get(resource, [])
    return event_payload(trigger, rows[0]) if rows else {}
