"""Polling: every new thing is announced, in order, and nothing is announced that was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ServiceError, UnknownNameError, UsageError
from prefect_autopilot.journeys.poll import Announcement, PollResult, check_polling, poll_once
from prefect_autopilot.models import JSONDict, Operation, Parameter, Service, ServiceTrigger
from prefect_autopilot.services import load_catalogue, simulated_credentials
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


@dataclass
class Mailbox:
    """Gmail as the simulator plays it, and what was announced of it."""

    simulator: Simulator
    store: Store
    told: list[Announcement] = field(default_factory=list)
    connection: str = "gmail-default"

    async def look(self, emit: Callable[[Announcement], None] | None = None) -> PollResult:
        service = load_catalogue().get("gmail")
        secrets = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
        transport = httpx.ASGITransport(app=self.simulator)
        async with ServiceClient(
            service, secrets, base_url="http://simulator/gmail", transport=transport
        ) as client:

            async def call(operation: str, parameters: JSONDict) -> Any:
                return await client.call(operation, parameters)

            return await poll_once(
                service,
                "new_message",
                self.connection,
                call=call,
                emit=emit or self.told.append,
                store=self.store,
                now=NOW,
            )

    def receive(self, subject: str) -> str:
        headers = [{"name": "Subject", "value": subject}, {"name": "From", "value": "a@b.example"}]
        row = self.simulator.seed(
            "gmail", "message", {"payload": {"headers": headers}, "labelIds": ["INBOX"], "snippet": subject}
        )
        return str(row["id"])

    @property
    def subjects(self) -> list[str]:
        return [one.payload["subject"] for one in self.told]


def in_mailbox(tmp_path: Path, story: Callable[[Mailbox], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
            await story(Mailbox(Simulator(), store))

    asyncio.run(run())


def test_the_first_look_remembers_and_announces_nothing(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        result = await mailbox.look()
        assert result.first
        assert result.found > 0
        assert result.announced == 0
        assert mailbox.told == []

    in_mailbox(tmp_path, story)


def test_what_is_new_is_announced_once_and_in_order(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        await mailbox.look()
        mailbox.receive("first")
        mailbox.receive("second")
        result = await mailbox.look()
        assert (result.first, result.announced) == (False, 2)
        assert mailbox.subjects == ["first", "second"]
        assert (await mailbox.look()).announced == 0
        assert mailbox.subjects == ["first", "second"]

    in_mailbox(tmp_path, story)


def test_the_payload_is_the_message_in_full_with_its_named_fields(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        await mailbox.look()
        new = mailbox.receive("Hello")
        await mailbox.look()
        (told,) = mailbox.told
        assert told.event == "prefect-autopilot.gmail.new_message"
        assert told.payload["id"] == new
        assert told.payload["subject"] == "Hello"
        assert told.payload["from"] == "a@b.example"
        assert told.payload["labels"] == ["INBOX"]
        assert "gmail-default" in told.resource

    in_mailbox(tmp_path, story)


def test_a_crash_before_remembering_announces_again_with_the_same_id(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        await mailbox.look()
        mailbox.receive("precious")

        def crash(told: Announcement) -> None:
            mailbox.told.append(told)
            raise RuntimeError("power cut")

        with pytest.raises(RuntimeError):
            await mailbox.look(crash)
        await mailbox.look()
        assert mailbox.subjects == ["precious", "precious"]
        assert mailbox.told[0].event_id == mailbox.told[1].event_id

    in_mailbox(tmp_path, story)


def test_a_service_that_fails_loses_nothing(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        await mailbox.look()
        mailbox.receive("kept")
        mailbox.simulator.fail("gmail", "get_message", times=1)
        with pytest.raises(ServiceError):
            await mailbox.look()
        await mailbox.look()
        assert mailbox.subjects == ["kept"]

    in_mailbox(tmp_path, story)


def test_a_first_look_that_fails_is_not_taken_for_one(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        mailbox.simulator.fail("gmail", "list_messages", times=1)
        with pytest.raises(ServiceError):
            await mailbox.look()
        assert (await mailbox.look()).first
        assert mailbox.told == []

    in_mailbox(tmp_path, story)


def test_connections_are_looked_at_apart(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        await mailbox.look()
        mailbox.receive("for both")
        mailbox.connection = "gmail-other"
        assert (await mailbox.look()).first
        mailbox.connection = "gmail-default"
        assert (await mailbox.look()).announced == 1

    in_mailbox(tmp_path, story)


def polled(**trigger: object) -> Service:
    fields = {"event": "new", "kind": "poll", "operation": "list_things", "id_field": "id"} | trigger
    operations = (
        Operation(
            id="list_things",
            method="GET",
            path="/{place}/things",
            list_at="$",
            parameters=(Parameter(name="place", location="path", required=True),),
        ),
        Operation(
            id="get_thing",
            method="GET",
            path="/{place}/things/{id}",
            parameters=(
                Parameter(name="place", location="path", required=True),
                Parameter(name="id", location="path", required=True),
            ),
        ),
    )
    return Service(
        id="things", name="Things", operations=operations, triggers=(ServiceTrigger.model_validate(fields),)
    )


@pytest.mark.parametrize(
    ("service", "event", "parameters", "error", "told"),
    [
        (polled(kind="webhook"), "new", {}, UsageError, "comes by webhook"),
        (polled(operation=None), "new", {}, UsageError, "not found by polling"),
        (polled(id_field=None), "new", {}, UsageError, "not found by polling"),
        (polled(), "old", {}, UnknownNameError, "old"),
        (polled(), "new", {}, UsageError, "Which 'place'"),
        (polled(operation="list_all"), "new", {}, UnknownNameError, "list_all"),
    ],
    ids=["webhook", "no list", "no id", "no such event", "open place", "no such list"],
)
def test_what_cannot_be_polled_is_refused(
    service: Service, event: str, parameters: JSONDict, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        check_polling(service, event, parameters)


def look_at_things(
    store: Store, service: Service, rows: list[Any], asked: list[Any]
) -> Awaitable[PollResult]:
    async def call(operation: str, parameters: JSONDict) -> Any:
        asked.append((operation, parameters))
        return rows if operation == "list_things" else {"id": parameters["id"], "text": "in full"}

    told: list[Announcement] = []
    return poll_once(
        service,
        "new",
        "things-default",
        call=call,
        emit=told.append,
        store=store,
        now=NOW,
        parameters={"place": "attic"},
    )


def test_the_place_is_asked_for_in_list_and_detail(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        service, asked = polled(detail="get_thing"), []
        await look_at_things(mailbox.store, service, [], asked)
        result = await look_at_things(mailbox.store, service, [{"id": 7}], asked)
        assert result.announced == 1
        assert asked[-1] == ("get_thing", {"place": "attic", "id": "7"})

    in_mailbox(tmp_path, story)


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": {"a": 1}}, {"id": [1]}, "text"], ids=repr)
def test_a_row_without_an_id_is_told_and_not_announced_for_ever(tmp_path: Path, row: object) -> None:
    async def story(mailbox: Mailbox) -> None:
        with pytest.raises(UsageError, match="has no id"):
            await look_at_things(mailbox.store, polled(), [row], [])

    in_mailbox(tmp_path, story)


def test_a_list_that_comes_in_one_answer_is_looked_at_whole(tmp_path: Path) -> None:
    async def story(mailbox: Mailbox) -> None:
        result = await look_at_things(mailbox.store, polled(), [{"id": n} for n in range(500)], [])
        assert result.found == 500

    in_mailbox(tmp_path, story)
