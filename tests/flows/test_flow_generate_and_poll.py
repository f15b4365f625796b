"""A request in the Prefect UI becomes a flow or a question; a look at a service becomes events."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.flows import poll as poll_module
from prefect_autopilot.flows.generate import generate
from prefect_autopilot.flows.poll import announce, poll
from prefect_autopilot.models import Announcement

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("Send a message to the team when something happens", "clarify"),
        ("What is the capital of France?", "reject"),
    ],
    ids=["unclear", "no automation"],
)
def test_a_request_that_is_no_flow_yet_is_answered_and_nothing_is_written(
    server: Any, tmp_path: Any, request_text: str, status: str
) -> None:
    told = server.run(generate(request=request_text, wait_minutes=0))
    assert told["status"] == status
    assert bool(told["questions"]) is (status == "clarify")
    assert set(told) == {"status", "questions"}
    assert server.artifacts("autopilot-analysis")[0]["type"] == "markdown"


@pytest.mark.live
@pytest.mark.timeout(180)
def test_a_clear_request_is_written_and_tried_not_deployed_where_nobody_waits(
    server: Any,
) -> None:
    told = server.run(
        generate(
            request="When I receive important emails, create Asana tasks and notify Slack",
            connected_services=["gmail", "asana", "slack"],
            wait_minutes=0,
        )
    )
    assert told["status"] == "flow"
    assert told["preview_succeeded"] is True
    assert sorted(told["missing_connections"]) == ["asana-default", "gmail-default", "slack-default"]
    assert "deployment_id" not in told
    assert "def " in server.artifacts("autopilot-code")[0]["data"]
    assert "asana" in server.artifacts("autopilot-preview")[0]["data"].lower()
    flows = server.call("POST", "/flows/filter", {"flows": {"name": {"any_": [told["flow"]]}}})
    assert flows == []


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, server: Any) -> Iterator[Simulator]:
    simulated = Simulator()
    with serve_simulator(simulated) as url:
        monkeypatch.setenv("PREFECT_AUTOPILOT_SIMULATE", url)
        yield simulated


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[Announcement]:
    """Events that would go to Prefect."""
    events: list[Announcement] = []
    monkeypatch.setattr(poll_module, "announce", events.append)
    return events


def test_a_new_mail_is_announced_once_as_an_event(
    server: Any, mailbox: Simulator, emitted: list[Announcement]
) -> None:
    given = {"service": "gmail", "event": "new_message", "connection": "gmail-default"}
    mailbox.seed("gmail", "message", {"snippet": "was there before"})
    first = server.run(poll(**given))
    assert (first["first"], first["announced"], emitted) == (True, 0, [])
    mailbox.seed("gmail", "message", {"snippet": "please sign"})
    second = server.run(poll(**given))
    assert (second["first"], second["announced"]) == (False, 1)
    (event,) = emitted
    assert event.event.endswith("gmail.new_message")
    assert event.resource.endswith("gmail-default")
    assert server.run(poll(**given))["announced"] == 0
    assert len(emitted) == 1


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"service": "gmial", "event": "new_message"}, UnknownNameError),
        ({"service": "gmail", "event": "sunrise"}, UsageError),
    ],
    ids=["service", "event"],
)
def test_what_cannot_be_looked_at_fails_the_flow(
    server: Any, given: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        server.run(poll(connection="gmail-default", **given))


def test_an_announcement_is_on_the_server_when_it_is_told(server: Any) -> None:
    told = Announcement(
        event="prefect-autopilot.gmail.new_message",
        event_id=uuid.uuid4(),
        resource="prefect-autopilot.gmail.new_message.gmail-default",
        payload={"id": "1", "subject": "{{ not a template }}"},
    )
    server.run(announce(told))
    wanted = {"filter": {"id": {"id": [str(told.event_id)]}}}
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while not found and time.monotonic() < deadline:
        found = server.call("POST", "/events/filter", wanted)["events"]
    (event,) = found
    assert event["event"] == told.event
    assert event["resource"]["prefect.resource.id"] == told.resource
    assert event["payload"] == told.payload
