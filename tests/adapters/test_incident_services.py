"""PagerDuty and Opsgenie: what is sent for which notice, and what their answers mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.channels import Channel, configured_channels, deliver
from prefect_autopilot.adapters.incident_services import events_of, request_for
from prefect_autopilot.errors import ConfigurationError, DeliveryError
from prefect_autopilot.models import IncidentEvent, Notice
from prefect_autopilot.settings import load_settings

PAGERDUTY = Channel(name="pagerduty-1", kind="incidents", url=SecretStr("pagerduty://routing-key-1"))
OPSGENIE = Channel(name="opsgenie-1", kind="incidents", url=SecretStr("opsgenie://api-key-1"))


def event(action: str = "trigger", **fields: Any) -> IncidentEvent:
    base = {
        "action": action,
        "key": "alert/1",
        "title": "prod: slow",
        "severity": "high",
        "source": "shop/prod",
    }
    return IncidentEvent.model_validate(base | fields)


def notice(*events: IncidentEvent, **fields: Any) -> Notice:
    base: dict[str, Any] = {
        "notice_id": "n",
        "outcome": "info",
        "title": "t",
        "text": "why",
        "incidents": events,
    }
    return Notice.model_validate(base | fields)


class Receiver:
    """Remembers each request and answers with what it is told to."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 202)


async def test_pagerduty_is_told_in_its_own_words() -> None:
    receiver = Receiver()
    await deliver(notice(event()), PAGERDUTY, transport=receiver.transport)
    assert str(receiver.requests[0].url) == "https://events.pagerduty.com/v2/enqueue"
    (body,) = receiver.bodies
    assert (body["routing_key"], body["event_action"], body["dedup_key"]) == (
        "routing-key-1",
        "trigger",
        "alert/1",
    )
    assert body["payload"] == {
        "summary": "prod: slow",
        "source": "shop/prod",
        "severity": "error",
        "custom_details": {"text": "why"},
    }


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
async def test_pagerduty_ends_an_incident_by_its_key(action: str) -> None:
    receiver = Receiver()
    await deliver(notice(event(action)), PAGERDUTY, transport=receiver.transport)
    assert receiver.bodies == [
        {"routing_key": "routing-key-1", "event_action": action, "dedup_key": "alert/1"}
    ]


async def test_opsgenie_is_told_in_its_own_words() -> None:
    receiver = Receiver()
    await deliver(notice(event()), OPSGENIE, transport=receiver.transport)
    (request,) = receiver.requests
    assert str(request.url) == "https://api.opsgenie.com/v2/alerts"
    assert request.headers["Authorization"] == "GenieKey api-key-1"
    (body,) = receiver.bodies
    assert (body["message"], body["alias"], body["priority"]) == ("prod: slow", "alert/1", "P2")


@pytest.mark.parametrize(("action", "path"), [("resolve", "close"), ("acknowledge", "acknowledge")])
async def test_opsgenie_ends_an_alert_by_its_alias(action: str, path: str) -> None:
    receiver = Receiver()
    await deliver(notice(event(action)), OPSGENIE, transport=receiver.transport)
    expected = f"https://api.opsgenie.com/v2/alerts/alert%2F1/{path}?identifierType=alias"
    assert str(receiver.requests[0].url) == expected


@pytest.mark.parametrize(
    ("severity", "pagerduty", "opsgenie"),
    [
        ("critical", "critical", "P1"),
        ("high", "error", "P2"),
        ("medium", "warning", "P3"),
        ("low", "info", "P4"),
        ("info", "info", "P5"),
    ],
)
def test_every_severity_has_its_counterpart(severity: str, pagerduty: str, opsgenie: str) -> None:
    one = event(severity=severity)
    assert request_for(one, "", PAGERDUTY.url).body["payload"]["severity"] == pagerduty
    assert request_for(one, "", OPSGENIE.url).body["priority"] == opsgenie


def test_another_host_may_be_named() -> None:
    call = request_for(event(), "", SecretStr("opsgenie://key@api.eu.opsgenie.com"))
    assert call.url == "https://api.eu.opsgenie.com/v2/alerts"
    assert call.headers["Authorization"] == "GenieKey key"


async def test_a_digest_tells_every_incident() -> None:
    receiver = Receiver()
    events = [event(key=f"alert-{i}") for i in range(4)] + [event("resolve", key="alert-9")]
    await deliver(notice(*events), PAGERDUTY, transport=receiver.transport)
    assert [body["dedup_key"] for body in receiver.bodies] == [
        "alert-0",
        "alert-1",
        "alert-2",
        "alert-3",
        "alert-9",
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("escalated", "trigger"),
        ("proposal", "trigger"),
        ("resolved", "resolve"),
        ("no_action", None),
        ("info", None),
    ],
)
def test_the_end_of_a_session_means_something_for_its_incident(outcome: str, expected: str | None) -> None:
    events = events_of(notice(outcome=outcome, session_id="session-1"))
    assert [(one.action, one.key) for one in events] == ([(expected, "session-1")] if expected else [])


async def test_what_needs_nobody_is_passed_over_for_good_and_not_sent() -> None:
    receiver = Receiver()
    with pytest.raises(DeliveryError, match="Passed over") as caught:
        await deliver(notice(), PAGERDUTY, transport=receiver.transport)
    assert caught.value.permanent
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (401, True), (403, True), (429, False), (503, False)]
)
async def test_a_refusal_is_tried_again_only_where_that_helps(status: int, permanent: bool) -> None:  # noqa: FBT001
    with pytest.raises(DeliveryError) as caught:
        await deliver(notice(event()), OPSGENIE, transport=Receiver(status).transport)
    assert caught.value.permanent is permanent
    assert "api-key-1" not in caught.value.message


async def test_closing_what_is_not_there_is_no_error() -> None:
    await deliver(notice(event("resolve")), OPSGENIE, transport=Receiver(404).transport)
    with pytest.raises(DeliveryError):
        await deliver(notice(event("trigger")), OPSGENIE, transport=Receiver(404).transport)


async def test_a_try_that_failed_half_way_begins_again_with_the_first() -> None:
    receiver = Receiver(202, 503)
    events = (event(key="one"), event(key="two"))
    with pytest.raises(DeliveryError):
        await deliver(notice(*events), PAGERDUTY, transport=receiver.transport)
    await deliver(notice(*events), PAGERDUTY, transport=receiver.transport)
    assert [body["dedup_key"] for body in receiver.bodies] == ["one", "two", "one", "two"]


async def test_a_service_that_cannot_be_reached_is_tried_again() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(DeliveryError, match="ConnectError") as caught:
        await deliver(notice(event()), PAGERDUTY, transport=httpx.MockTransport(broken))
    assert not caught.value.permanent


async def test_titles_from_outside_are_plain_and_short() -> None:
    receiver = Receiver()
    await deliver(notice(event(title="<b>@all\x1b[31m " + "x" * 500)), OPSGENIE, transport=receiver.transport)
    message = receiver.bodies[0]["message"]
    assert len(message) <= 130
    assert not set("<>\x1b") & set(message)


def test_channels_are_named_after_their_service(tmp_path: Path) -> None:
    urls = ["pagerduty://abc", "opsgenie://def@api.eu.opsgenie.com"]
    channels = configured_channels(load_settings(home=tmp_path, notify_incidents=urls))
    assert [(one.name, one.kind) for one in channels] == [
        ("pagerduty-1", "incidents"),
        ("opsgenie-2", "incidents"),
    ]


@pytest.mark.parametrize(
    "url", ["slack://x", "pagerduty://a/b/c", "opsgenie://a b", "https://pagerduty.com/x"]
)
def test_another_address_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="NOTIFY_INCIDENTS") as caught:
        load_settings(home=tmp_path, notify_incidents=[url])
    assert url not in caught.value.message


async def test_a_webhook_sees_keys_and_actions() -> None:
    receiver = Receiver(200)
    hook = Channel(name="webhook", kind="webhook", url=SecretStr("https://hooks.example/x"))
    await deliver(notice(event()), hook, transport=receiver.transport)
    assert receiver.bodies[0]["incidents"] == [{"action": "trigger", "key": "alert/1", "severity": "high"}]
