"""Tickets: found by their key, opened once, commented and closed, by the operations of the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import channels, tickets
from prefect_autopilot.adapters.channels import Channel, channel_at, deliver, deliver_pending
from prefect_autopilot.adapters.incident_services import events_of
from prefect_autopilot.adapters.tickets import key_of_ticket, ticket_services, told_by
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.errors import DeliveryError, UsageError
from prefect_autopilot.models import Notice
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.store import Store

ESCALATED = Notice(
    notice_id="n-1",
    session_id="4f1c",
    flow_run_id="run-1",
    outcome="escalated",
    title="orders/nightly: {key} no such column",
    text="What to do: {title} token=hunter2secret @channel",
)
RESOLVED = ESCALATED.model_copy(update={"notice_id": "n-2", "outcome": "resolved", "text": "It completed."})
KEY = key_of_ticket(events_of(ESCALATED)[0])
ADDRESSES = {
    "jira": "project=OPS&issue_type=Bug&done=31",
    "github": "owner=acme&repo=flows",
    "gitlab": "project=acme%2Fflows",
    "linear": "team_id=t1&done=s9",
    "servicenow": "assignment_group=data&done=6",
    "trello": "list=l1",
}
OWN = {"jira": {"site": "acme"}, "servicenow": {"instance": "acme"}}


class Desk:
    """A service that keeps tickets as the text of what opened them, and answers in the service's shape."""

    def __init__(self, service: str) -> None:
        self.service, self.known = service, ticket_services()[service]
        self.requests: list[httpx.Request] = []
        self.tickets: list[str] = []
        self.status = 200
        self.lost = 0
        """How many of the next openings are done while their answer is lost."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.status != 200:
            return httpx.Response(self.status, json={"message": "no"})
        body = request.content.decode()
        if self._is_search(request, body):
            return httpx.Response(200, json=self._rows())
        if self._opens(request, body):
            self.tickets.append(body)
            if self.lost:
                self.lost -= 1
                raise httpx.ReadError("cut")
        return httpx.Response(200, json={"id": "77", "data": {}, "result": {}})

    def _is_search(self, request: httpx.Request, body: str) -> bool:
        return request.method == "GET" or (self.service == "linear" and "IssueFilter" in body)

    def _opens(self, request: httpx.Request, body: str) -> bool:
        if self.service == "linear":
            return "issueCreate" in body
        return request.method == "POST" and request.url.path.rstrip("/").endswith(
            ("/issue", "/issues", "/incident", "/cards")
        )

    def _rows(self) -> Any:
        field = self.known.marked
        found: list[Any] = [
            {
                self.known.id: "77",
                "body": text,
                "description": text,
                "desc": text,
                "fields": {"labels": [KEY]},
            }
            for text in self.tickets
        ]
        if field is not None and field != "fields.labels":
            found.insert(0, {self.known.id: "1", field: None})
        rows: Any = found
        for part in reversed([] if self.known.rows == "$" else self.known.rows.split(".")):
            rows = {part: rows}
        return rows


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Deliver notices to a service's desk through a connection that no server has to keep."""

    async def told(desk: Desk, *notices: Notice, address: str | None = None) -> None:
        credentials = dict.fromkeys(("token", "api_key", "username", "password", "email", "key"), "key")
        connection = ServiceConnection.model_validate(
            {"service": desk.service, "credentials": credentials | OWN.get(desk.service, {})}
        )

        async def load(place: str) -> Any:
            assert place == "service-connection/ops"
            return connection

        monkeypatch.setattr(tickets, "load_block", load)
        address = address or f"ticket://ops?{ADDRESSES[desk.service]}"
        for notice in notices:
            await deliver(
                notice, channel_at("notify-1", SecretStr(address)), transport=httpx.MockTransport(desk)
            )

    return told


@pytest.mark.parametrize("service", ADDRESSES)
async def test_a_ticket_is_opened_once_then_commented_and_closed(tell: Any, service: str) -> None:
    desk = Desk(service)
    await tell(desk, ESCALATED)
    (opened,) = desk.tickets
    assert KEY in opened
    assert "no such column" in opened
    assert "hunter2secret" not in opened
    await tell(desk, ESCALATED.model_copy(update={"text": "Still."}), RESOLVED)
    assert len(desk.tickets) == 1
    said = [request for request in desk.requests if b"It completed." in request.content]
    assert len(said) == 1, "one comment says how it ended"
    last = desk.requests[-1]
    closes = ticket_services()[service].close is not None
    assert "77" in f"{last.url} {last.content!r}"
    assert (last is not said[0]) == closes


async def test_places_in_what_is_told_are_data(tell: Any) -> None:
    desk = Desk("github")
    await tell(desk, ESCALATED)
    body = json.loads(desk.tickets[0])
    assert body["title"] == "orders/nightly: {key} no such column"
    assert body["body"].startswith("What to do: {title} ")


@pytest.mark.parametrize("service", ADDRESSES)
async def test_an_answer_that_was_lost_opens_no_second_ticket(tell: Any, service: str) -> None:
    desk = Desk(service)
    desk.lost = 1
    with pytest.raises(DeliveryError) as found:
        await tell(desk, ESCALATED)
    assert not found.value.permanent
    await tell(desk, ESCALATED)
    assert len(desk.tickets) == 1


@pytest.mark.parametrize(("status", "permanent"), [(401, True), (404, True), (503, False), (429, False)])
async def test_a_service_that_refuses_says_so_and_nothing_is_opened(
    tell: Any, status: int, *, permanent: bool
) -> None:
    desk = Desk("github")
    desk.status = status
    with pytest.raises(DeliveryError) as found:
        await tell(desk, ESCALATED)
    assert found.value.permanent is permanent
    assert "notify-1" in found.value.message
    assert all(request.method == "GET" for request in desk.requests)


async def test_what_needs_nobody_opens_nothing_and_what_was_never_open_is_not_closed(tell: Any) -> None:
    desk = Desk("trello")
    with pytest.raises(DeliveryError, match="needs nobody"):
        await tell(desk, ESCALATED.model_copy(update={"outcome": "info"}))
    assert not desk.requests
    await tell(desk, RESOLVED)
    assert [request.method for request in desk.requests] == ["GET"]


async def test_jira_is_closed_only_where_the_address_says_how(tell: Any) -> None:
    desk = Desk("jira")
    await tell(desk, ESCALATED, RESOLVED, address="ticket://ops?project=OPS")
    assert not any(request.url.path.endswith("/transitions") for request in desk.requests)
    await tell(desk, RESOLVED, address="ticket://ops?project=OPS&done=31")
    assert json.loads(desk.requests[-1].content) == {"transition": {"id": "31"}}


@pytest.mark.parametrize(
    ("service", "told", "said"),
    [
        ("github", {"owner": "acme"}, "lacks repo; it says owner, repo, [assignee]"),
        ("trello", {"list": "l", "board": "b"}, "has board; it says list"),
        ("slack", {}, "keeps no tickets that we can open; connect one of jira"),
    ],
)
def test_an_address_that_cannot_work_says_what_belongs_there(
    service: str, told: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError) as found:
        told_by(service, told)
    assert said in found.value.message


@pytest.mark.parametrize("service", sorted(ticket_services()))
def test_every_table_names_operations_and_parameters_of_the_catalogue(service: str) -> None:
    known, catalogue = ticket_services()[service], load_catalogue().get(service)
    operations = {operation.id: operation for operation in catalogue.operations}
    for step in (known.find, known.open, known.comment, known.close):
        if step is not None:
            names = {parameter.name for parameter in operations[step.operation].parameters}
            assert set(step.parameters) <= names
    assert set(known.passed_on) <= {one.name for one in operations[known.open.operation].parameters}
    assert operations[known.find.operation].effect.value == "safe"


async def test_who_delivers_at_the_same_time_leaves_a_ticket_to_the_other(
    monkeypatch: pytest.MonkeyPatch, lay_database: Callable[[str], None], tmp_path: Path, now: datetime
) -> None:
    sent: list[str] = []
    url = f"sqlite:///{tmp_path / 'autopilot.db'}"
    lay_database(url)

    async def send(notice: Notice, channel: Channel, _transport: object) -> None:
        sent.append(channel.name)
        if len(sent) == 1:
            async with Store.open(url) as other:
                assert await deliver_pending(other, (channel,), now) == 0

    monkeypatch.setitem(channels.SENDERS, "tickets", send)  # type: ignore[arg-type]
    ticket = Channel(name="t", kind="tickets", url=SecretStr("ticket://ops"))
    async with Store.open(url) as store:
        await store.queue_notice(ESCALATED, now)
        assert await deliver_pending(store, (ticket,), now) == 1
        assert await deliver_pending(store, (ticket,), now + timedelta(minutes=9)) == 0
    assert sent == ["t"]
