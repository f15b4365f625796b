"""Notices reach people: at least once, redacted, harmless to show, and on record."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from prefect_autopilot.adapters.channels import (
    Channel,
    configured_channels,
    deliver,
    deliver_pending,
    payload,
    plain,
    retry_after,
)
from prefect_autopilot.errors import DeliveryError
from prefect_autopilot.models import Notice
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio

HOOK = Channel(name="chat", kind="webhook", url=SecretStr("https://hooks.example.com/hunter2"))
MAIL = Channel(name="mail", kind="webhook", url=SecretStr("https://mail.example.com/x"))
NOTICE = Notice(
    notice_id="n-1",
    outcome="escalated",
    title="nightly-orders failed",
    text="The CRM refused the call.",
    flow_run_id="run-1",
    deployment_id="deployment-1",
    session_id="session-1",
    action="Renew the credentials of crm.",
)


class Receiver(httpx.MockTransport):
    """A receiver that answers what it is told to, by host, and keeps what arrived."""

    def __init__(self, **answers: list[int | Exception]) -> None:
        super().__init__(self._answer)
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        planned = self.answers.get(request.url.host.split(".")[0], [])
        answer = planned.pop(0) if planned else 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"location": "https://elsewhere.example.com"})

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(request.content) for request in self.requests]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


async def test_a_webhook_receives_ids_outcome_and_words() -> None:
    receiver = Receiver()
    await deliver(NOTICE, HOOK, transport=receiver)
    (request,) = receiver.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "n-1"
    assert receiver.bodies == [
        {
            "notice_id": "n-1",
            "flow_run_id": "run-1",
            "deployment_id": "deployment-1",
            "session_id": "session-1",
            "outcome": "escalated",
            "title": "nightly-orders failed",
            "text": "The CRM refused the call.",
            "action": "Renew the credentials of crm.",
        }
    ]


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (400, True), (401, True), (403, True), (404, True), (410, True), (301, True), (308, True),
        (408, False), (429, False), (500, False), (502, False), (503, False), (504, False),
        (httpx.ConnectError("no route to hooks.example.com/hunter2"), False),
        (httpx.ReadTimeout("late"), False),
        (httpx.RemoteProtocolError("gone"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)  # fmt: skip
async def test_a_refusal_says_whether_trying_again_makes_sense(
    answer: int | Exception, permanent: object
) -> None:
    receiver = Receiver(hooks=[answer])
    with pytest.raises(DeliveryError) as caught:
        await deliver(NOTICE, HOOK, transport=receiver)
    assert caught.value.permanent is permanent
    assert "chat" in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert len(receiver.requests) == 1, "neither repeated nor redirected: that is the outbox's decision"


@pytest.mark.parametrize("url", ["not a url", "ftp://x/y", "http://", "http://[::1"])
async def test_a_url_that_cannot_work_is_permanent(url: str) -> None:
    channel = Channel(name="chat", kind="webhook", url=SecretStr(url))
    with pytest.raises(DeliveryError) as caught:
        await deliver(NOTICE, channel)
    assert caught.value.permanent


async def test_nothing_secret_leaves() -> None:
    receiver = Receiver()
    leaking = NOTICE.model_copy(
        update={
            "title": "password=hunter2",
            "text": "tried postgres://app:hunter2@db/x with Bearer hunter2hunter2",
            "action": "export API_KEY=hunter2",
        }
    )
    await deliver(leaking, HOOK, transport=receiver)
    assert b"hunter2" not in receiver.requests[0].content
    assert receiver.bodies[0]["title"] == "password=…(redacted)"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("@channel wake up", "@channel"),
        ("@everyone", "@everyone"),
        ("<!here> <@U012> <#C1>", "<"),
        ("<https://evil.example|click>", "https://"),
        ("[click](https://evil.example)", "]("),
        ("see http://evil.example", "http://"),
        ("```\nend of fence", "`"),
        ("<script>alert(1)</script>", "<"),
        ("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07", "\x1b"),
        ("a\u202egnp.exe\u202c", "\u202e"),
        ("line\x00\x08\x7f", "\x00"),
        ("zero\u200bwidth", "\u200b"),
    ],
    ids=["channel", "everyone", "slack", "slack-link", "markdown-link", "link", "fence", "html", "ansi",
         "bidi", "control", "zero-width"],
)  # fmt: skip
def test_text_from_outside_can_neither_call_nor_lead_anybody(text: str, forbidden: str) -> None:
    assert forbidden not in plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "Run 12 of nightly-orders failed after 3.5 s.",
        "KeyError: 'rows[0]'",
        "ana@example.com",
        "a\nb\tc",
        "50 % * 2",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@given(st.text())
def test_what_is_plain_stays_plain(text: str) -> None:
    assert plain(plain(text)) == plain(text)


def test_long_text_is_cut() -> None:
    shown = payload(NOTICE.model_copy(update={"title": "x " * 5000, "text": "y " * 50_000}))
    assert len(shown["title"]) == 200
    assert len(shown["text"]) == 3000
    assert shown["text"].endswith("…")


def test_pauses_grow_up_to_an_hour() -> None:
    pauses = [retry_after(n).total_seconds() for n in range(1, 13)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3600
    assert retry_after(10_000) == timedelta(hours=1)


async def test_what_waits_is_delivered_to_every_channel_once(store: Store, now: datetime) -> None:
    await store.queue_notice(NOTICE, now)
    receiver = Receiver()
    assert await deliver_pending(store, [HOOK, MAIL], now, receiver) == 2
    assert sorted(request.url.host for request in receiver.requests) == [
        "hooks.example.com",
        "mail.example.com",
    ]
    assert await deliver_pending(store, [HOOK, MAIL], now, receiver) == 0
    assert len(receiver.requests) == 2


async def test_a_failed_delivery_is_repeated_later_until_it_arrives(store: Store, now: datetime) -> None:
    await store.queue_notice(NOTICE, now)
    receiver = Receiver(hooks=[503, httpx.ConnectError("down")])
    moments = [0, 4, 5, 14, 15, 60]
    arrived = [
        await deliver_pending(store, [HOOK], now + timedelta(seconds=second), receiver) for second in moments
    ]
    assert arrived == [0, 0, 0, 0, 1, 0]
    assert len(receiver.requests) == 3
    errors = [delivery.error for delivery in await store.deliveries("n-1")]
    assert errors == [
        "Channel chat answered 503; it is tried again.",
        "Channel chat could not be reached (ConnectError); it is tried again.",
        None,
    ]


async def test_a_channel_that_fails_does_not_hold_up_the_other(store: Store, now: datetime) -> None:
    await store.queue_notice(NOTICE, now)
    receiver = Receiver(hooks=[503])
    assert await deliver_pending(store, [HOOK, MAIL], now, receiver) == 1
    assert [delivery.channel for delivery in await store.deliveries("n-1") if delivery.error is None] == [
        "mail"
    ]


async def test_a_permanent_refusal_is_given_up_and_the_next_notice_goes_out(
    store: Store, now: datetime
) -> None:
    await store.queue_notice(NOTICE, now)
    await store.queue_notice(NOTICE.model_copy(update={"notice_id": "n-2"}), now + timedelta(seconds=1))
    receiver = Receiver(hooks=[404])
    later = now + timedelta(seconds=2)
    assert await deliver_pending(store, [HOOK], later, receiver) == 1
    assert await deliver_pending(store, [HOOK], later + timedelta(days=1), receiver) == 0
    assert [body["notice_id"] for body in receiver.bodies] == ["n-1", "n-2"]
    (attempt,) = await store.deliveries("n-1")
    assert attempt.retry_at is None


async def test_a_closed_door_is_knocked_at_once_per_turn(store: Store, now: datetime) -> None:
    for n in range(5):
        await store.queue_notice(NOTICE.model_copy(update={"notice_id": f"n-{n}"}), now)
    receiver = Receiver(hooks=[503] * 5)
    assert await deliver_pending(store, [HOOK], now, receiver) == 0
    assert len(receiver.requests) == 1


async def test_after_many_failures_a_notice_is_given_up(store: Store, now: datetime) -> None:
    await store.queue_notice(NOTICE, now)
    receiver = Receiver(hooks=[503] * 50)
    for hour in range(30):
        await deliver_pending(store, [HOOK], now + timedelta(hours=hour), receiver)
    assert len(receiver.requests) == 20
    assert (await store.deliveries("n-1"))[-1].retry_at is None


async def test_without_channels_notices_wait(store: Store, now: datetime) -> None:
    await store.queue_notice(NOTICE, now)
    assert await deliver_pending(store, [], now) == 0
    assert len(await store.pending_notices(now, "chat")) == 1


@pytest.fixture
def json_receiver() -> Iterator[tuple[int, list[dict[str, object]], Callable[[int], None]]]:
    """A real server on loopback: Apprise brings its own HTTP client."""
    arrived: list[dict[str, object]] = []
    status = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port, arrived, lambda code: status.__setitem__(0, code)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_apprise_takes_the_same_words(
    json_receiver: tuple[int, list[dict[str, object]], Callable[[int], None]],
) -> None:
    port, arrived, answer = json_receiver
    channel = Channel(name="team", kind="apprise", url=SecretStr(f"json://127.0.0.1:{port}/hunter2"))
    await deliver(NOTICE.model_copy(update={"text": "password=hunter2 @channel"}), channel)
    assert arrived[0]["title"] == "nightly-orders failed"
    message = str(arrived[0]["message"])
    assert "hunter2" not in message
    assert "@channel" not in message
    assert "Renew the credentials of crm." in message
    answer(500)
    with pytest.raises(DeliveryError, match="did not take the notice") as caught:
        await deliver(NOTICE, channel)
    assert not caught.value.permanent


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("url", ["nonsense", "nosuchservice://hunter2"])
async def test_an_address_apprise_does_not_know_is_permanent(url: str) -> None:
    channel = Channel(name="team", kind="apprise", url=SecretStr(url))
    with pytest.raises(DeliveryError) as caught:
        await deliver(NOTICE, channel)
    assert caught.value.permanent
    assert "hunter2" not in caught.value.message


def test_the_channels_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, notify_webhook="https://a.example.com", notify_apprise=["json://b", "json://c"]
    )
    assert [(channel.name, channel.kind) for channel in configured_channels(settings)] == [
        ("webhook", "webhook"),
        ("apprise-1", "apprise"),
        ("apprise-2", "apprise"),
    ]
    assert configured_channels(load_settings(home=tmp_path, notify_webhook=None)) == ()
    assert "a.example.com" not in repr(configured_channels(settings))


@pytest.mark.parametrize(
    ("more", "kind", "taken"),
    [
        ({"outcome": "escalated"}, "webhook", True),
        ({"outcome": "info"}, "webhook", False),
        ({"outcome": "resolved"}, "webhook", False),
        ({"outcome": "info", "escalated": True}, "webhook", True),
        ({"outcome": "proposal"}, "incidents", False),
        ({"outcome": "resolved"}, "incidents", True),
    ],
    ids=[
        "escalated",
        "news",
        "a failure over",
        "over what was escalated",
        "a question",
        "closes its incident",
    ],
)
async def test_who_is_told_what_is_escalated_is_told_nothing_else(
    more: dict[str, object],
    kind: str,
    taken: bool,  # noqa: FBT001
) -> None:
    receiver = Receiver()
    url = SecretStr("pagerduty://key" if kind == "incidents" else "https://hooks.example.com/night")
    channel = Channel(name="night", kind=kind, url=url, escalated_only=True)
    notice = NOTICE.model_copy(update=more)
    if taken:
        await deliver(notice, channel, transport=receiver)
    else:
        with pytest.raises(DeliveryError, match="Passed over") as refused:
            await deliver(notice, channel, transport=receiver)
        assert refused.value.permanent
    assert len(receiver.requests) == taken


def test_addresses_for_what_is_escalated_become_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_NOTIFY", '["ntfy://everybody"]')
    monkeypatch.setenv("PREFECT_AUTOPILOT_NOTIFY_ESCALATED", '["pagerduty://key", "https://x.example/y"]')
    found = configured_channels(load_settings())
    assert [(one.name, one.kind, one.escalated_only) for one in found] == [
        ("notify-1", "apprise", False),
        ("escalated-1", "incidents", True),
        ("escalated-2", "webhook", True),
    ]
