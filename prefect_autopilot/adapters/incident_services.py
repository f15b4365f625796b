"""Services that keep incidents: PagerDuty (Events API v2) and Opsgenie (Alert API v2).

Each incident has a key of ours: the same trigger twice is one incident there, and its end resolves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from prefect_autopilot.errors import DeliveryError
from prefect_autopilot.models import IncidentEvent, JSONDict, Notice, Severity

_TIMEOUT_S = 10
_OK = range(200, 300)
WORTH_RETRYING = frozenset({408, 409, 425, 429, *range(500, 600)})
"""Statuses with which a receiver of notices says: not now, or not yet."""
_LONGEST_SUMMARY = 1024
_LONGEST_MESSAGE = 130
_HOSTS = {"pagerduty": "events.pagerduty.com", "opsgenie": "api.opsgenie.com"}
_PAGERDUTY_SEVERITY = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
    Severity.INFO: "info",
}
_OPSGENIE_PRIORITY = {
    Severity.CRITICAL: "P1",
    Severity.HIGH: "P2",
    Severity.MEDIUM: "P3",
    Severity.LOW: "P4",
    Severity.INFO: "P5",
}
_OPSGENIE_PATH = {"acknowledge": "/acknowledge", "resolve": "/close"}
_SESSION_ACTION = {"escalated": "trigger", "proposal": "trigger", "resolved": "resolve"}
"""What the end of a troubleshooting session means for its incident."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to such a service."""

    url: str
    body: JSONDict
    headers: dict[str, str] = field(default_factory=dict)


def events_of(notice: Notice) -> tuple[IncidentEvent, ...]:
    """Return what a notice means for incidents; nothing where no person is needed."""
    if notice.incidents:
        return notice.incidents
    action = _SESSION_ACTION.get(notice.outcome)
    key = notice.session_id or notice.flow_run_id
    if action is None or key is None:
        return ()
    severity = Severity.HIGH if notice.outcome == "escalated" else Severity.MEDIUM
    source = notice.deployment_id or notice.flow_run_id or "prefect-autopilot"
    event = {"action": action, "key": key, "title": notice.title, "severity": severity, "source": source}
    return (IncidentEvent.model_validate(event),)


async def tell_service(
    events: tuple[IncidentEvent, ...],
    text: str,
    name: str,
    url: SecretStr,
    transport: httpx.AsyncBaseTransport | None,
) -> None:
    """Send every event, in order; raises DeliveryError, permanent where it will be refused again.

    A try that failed half-way is made again from the first event; the keys make that harmless.
    """
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
        for event in events:
            call = request_for(event, text, url)
            try:
                answer = await client.post(call.url, json=call.body, headers=call.headers)
            except httpx.InvalidURL:
                raise DeliveryError(
                    f"Channel {name} has an address that cannot be used; correct it."
                ) from None
            except httpx.HTTPError as error:
                kind = type(error).__name__
                raise DeliveryError(
                    f"Channel {name} could not be reached ({kind}); it is tried again.", permanent=False
                ) from None
            _judge(answer, event, name)


def request_for(event: IncidentEvent, text: str, url: SecretStr) -> Call:
    """Return the request that tells a service, ``pagerduty://KEY[@HOST]`` or ``opsgenie://…``, an event."""
    parts = urlsplit(url.get_secret_value())
    key, at, host = parts.netloc.rpartition("@")
    if not at:
        key, host = parts.netloc, _HOSTS[parts.scheme]
    base = f"https://{host}"
    return (
        _pagerduty(event, text, key, base)
        if parts.scheme == "pagerduty"
        else _opsgenie(event, text, key, base)
    )


def _pagerduty(event: IncidentEvent, text: str, key: str, base: str) -> Call:
    body: JSONDict = {"routing_key": key, "event_action": event.action, "dedup_key": event.key}
    if event.action == "trigger":
        body["payload"] = {
            "summary": event.title[:_LONGEST_SUMMARY],
            "source": event.source or "prefect-autopilot",
            "severity": _PAGERDUTY_SEVERITY[event.severity],
            "custom_details": {"text": text},
        }
        body["client"] = "prefect-autopilot"
    return Call(f"{base}/v2/enqueue", body)


def _opsgenie(event: IncidentEvent, text: str, key: str, base: str) -> Call:
    headers = {"Authorization": f"GenieKey {key}"}
    if event.action == "trigger":
        body: JSONDict = {
            "message": event.title[:_LONGEST_MESSAGE],
            "alias": event.key,
            "description": text,
            "priority": _OPSGENIE_PRIORITY[event.severity],
            "source": "prefect-autopilot",
            "entity": event.source,
        }
        return Call(f"{base}/v2/alerts", body, headers)
    path = f"/v2/alerts/{quote(event.key, safe='')}{_OPSGENIE_PATH[event.action]}?identifierType=alias"
    ended: dict[str, Any] = {"source": "prefect-autopilot", "note": text}
    return Call(f"{base}{path}", ended, headers)


def _judge(answer: httpx.Response, event: IncidentEvent, name: str) -> None:
    status = answer.status_code
    gone = status == httpx.codes.NOT_FOUND and event.action != "trigger"
    if status in _OK or gone:
        return  # nothing there to close is what was wanted
    later = status in WORTH_RETRYING
    advice = "it is tried again" if later else "check its key"
    raise DeliveryError(f"Channel {name} answered {status}; {advice}.", permanent=not later)
