"""Webhooks at the door: what is signed becomes events, once; what is not leaves no trace."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.catalogue import store_service
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.api import create_app
from prefect_autopilot.api.connections import FRESH, STALE, Connections, Known
from prefect_autopilot.api.hooks import send_outbox
from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.hooks import expect_secret
from prefect_autopilot.models import Service
from prefect_autopilot.services import sign
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

SECRET = "a-secret-of-github"  # made up
ISSUE = {"action": "opened", "issue": {"id": 7, "number": 1, "title": "It burns", "user": {"login": "ada"}}}
GITHUB = "/hooks/github-default"


@dataclass
class Blocks:
    """The connections of a Prefect server, which may be down."""

    held: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    down: bool = False
    reads: int = 0

    async def read(self, name: str, now: Any) -> Known:
        self.reads += 1
        if self.down:
            raise PrefectError("The connection cannot be read; check that the server runs.", permanent=False)
        if name not in self.held:
            raise UnknownNameError("service connection block", name)
        service, credentials = self.held[name]
        return Known(service, {key: SecretStr(value) for key, value in credentials.items()}, now)

    async def remember(self, name: str, secret: str) -> None:
        service, credentials = self.held[name]
        self.held[name] = (service, {**credentials, "webhook_secret": secret})


class KnownConnections(Connections):
    """Connections read from ``Blocks`` instead of a server."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self._blocks = blocks

    async def read(self, name: str, now: Any) -> Known:
        return await self._blocks.read(name, now)

    async def remember(self, name: str, secret: str) -> None:
        await self._blocks.remember(name, secret)
        self._kept.pop(name, None)


@dataclass
class Door:
    """The application, the connections behind it, and the events Prefect took."""

    client: httpx.AsyncClient
    app: Any
    blocks: Blocks
    events: list[dict[str, Any]]
    outside: dict[str, Any]
    clock: Any

    async def post(
        self, body: Any, path: str = GITHUB, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=dict(headers or {}), **more)

    async def github(self, body: Any, *, secret: str = SECRET, delivery: str = "d-1") -> httpx.Response:
        content = json.dumps(body).encode()
        headers = {
            "X-Hub-Signature-256": "sha256=" + sign(secret, content),
            "X-GitHub-Delivery": delivery,
            "X-GitHub-Event": "issues",
            "Content-Type": "application/json",
        }
        return await self.post(content, headers=headers)

    async def settle(self) -> None:
        """Send what waits, as the outbox does every few seconds."""
        await send_outbox(self.app.state.context)

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events]


@asynccontextmanager
async def opened(settings: Settings, clock: Any) -> AsyncIterator[Door]:
    events: list[dict[str, Any]] = []
    outside: dict[str, Any] = {"status": 200}

    def prefect(request: httpx.Request) -> httpx.Response:
        if outside["status"] == 0:
            raise httpx.ConnectError("refused", request=request)
        if outside["status"] == 200:
            events.extend(json.loads(request.content))
        return httpx.Response(outside["status"], json={})

    async def no_sleep(_seconds: float) -> None:
        return

    @asynccontextmanager
    async def desks(known: Settings) -> AsyncIterator[Desk]:
        transport = httpx.MockTransport(prefect)
        async with (
            PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, tries=1) as api,
            Store.open(known.store_url.get_secret_value()) as store,
        ):
            yield Desk(api=api, store=store, clock=clock)

    blocks = Blocks({"github-default": ("github", {"token": "t", "webhook_secret": SECRET})})
    app = create_app(settings, clock=clock, desk_factory=desks)
    app.state.context.connections = KnownConnections(blocks)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8642")
        await stack.enter_async_context(client)
        yield Door(client, app, blocks, events, outside, clock)


@pytest.fixture
async def door(settings: Settings, clock: Any) -> AsyncIterator[Door]:
    async with opened(settings, clock) as one:
        yield one


async def test_a_signed_webhook_becomes_the_event_a_flow_listens_to(door: Door) -> None:
    answer = await door.github(ISSUE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["events"] == ["prefect-autopilot.github.new_issue"]
    await door.settle()
    (event,) = door.events
    assert event["event"] == "prefect-autopilot.github.new_issue"
    assert event["resource"]["prefect.resource.id"].endswith("github-default")
    assert event["payload"]["title"] == "It burns"
    assert event["payload"]["author"] == "ada"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": hmac.new(SECRET.encode(), b"other", hashlib.sha256).hexdigest()},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
        {"Authorization": f"Bearer {SECRET}"},
    ],
    ids=["none", "empty", "wrong", "no value", "no prefix", "the old header", "a token instead"],
)
async def test_what_is_not_signed_is_refused_and_leaves_no_trace(
    door: Door, store: Store, headers: dict[str, str]
) -> None:
    answer = await door.post(ISSUE, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "X-Hub-Signature-256" in answer.json()["detail"]
    assert SECRET not in answer.text
    await door.settle()
    assert door.events == []
    assert await store.waiting_events() == 0


async def test_a_service_that_was_imported_has_the_door_too(door: Door, settings: Settings) -> None:
    store_service(settings, Service(id="acme_widgets", name="Acme Widgets", base_url="https://a.example"))
    secret = "whsec_" + base64.b64encode(b"made up by a test").decode()
    door.blocks.held["acme-widgets-default"] = ("acme_widgets", {"webhook_secret": secret})
    content, at = b'{"widget": 7}', str(int(door.clock().timestamp()))
    signed = hmac.new(b"made up by a test", f"w-1.{at}.".encode() + content, hashlib.sha256)
    signature = "v1," + base64.b64encode(signed.digest()).decode()
    headers = {"webhook-id": "w-1", "webhook-timestamp": at, "webhook-signature": signature}

    answer = await door.post(content, "/hooks/acme-widgets-default", headers)

    assert answer.status_code == 200, answer.text
    assert answer.json()["events"] == ["prefect-autopilot.acme_widgets.webhook"]


async def test_a_changed_body_is_refused_byte_for_byte(door: Door) -> None:
    content = json.dumps(ISSUE).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + sign(SECRET, content)}
    for changed in (content + b" ", content.replace(b"burns", b"BURNS"), b""):
        assert (await door.post(changed, headers=headers)).status_code == 401
    assert (await door.post(content, headers=headers)).status_code == 200


async def test_a_repetition_is_answered_and_nothing_is_sent_again(door: Door) -> None:
    await door.github(ISSUE)
    again = await door.github(ISSUE)
    assert again.status_code == 200
    assert again.json()["status"] == "duplicate"
    assert "nothing was sent again" in again.json()["detail"]
    await door.settle()
    assert len(door.events) == 1


async def test_a_captured_webhook_cannot_be_replayed_under_another_id(door: Door) -> None:
    await door.github(ISSUE, delivery="d-1")
    assert (await door.github(ISSUE, delivery="d-2")).json()["status"] == "duplicate"
    await door.settle()
    assert len(door.events) == 1


async def test_many_repetitions_at_once_send_one_event(door: Door) -> None:
    answers = await asyncio.gather(*(door.github(ISSUE) for _ in range(8)))
    assert sorted(one.json()["status"] for one in answers) == ["accepted"] + ["duplicate"] * 7
    await door.settle()
    assert len(door.events) == 1


async def test_another_delivery_is_another_event(door: Door) -> None:
    await door.github(ISSUE)
    await door.github({**ISSUE, "issue": {"id": 8, "title": "Again"}}, delivery="d-2")
    await door.settle()
    assert [event["payload"]["id"] for event in door.events] == [7, 8]


async def test_deliveries_are_known_for_a_day_and_forgotten_after_two(
    door: Door, store: Store, clock: Any
) -> None:
    await door.github(ISSUE)
    clock.forward(hours=24)
    assert (await door.github(ISSUE)).json()["status"] == "duplicate"
    clock.forward(hours=25)
    await door.github({**ISSUE, "issue": {"id": 9}}, delivery="later")
    async with store._database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT count(*) FROM autopilot_hook_deliveries")).scalar()
    assert rows == 2  # id and digest of the last one


async def test_an_event_waits_while_prefect_is_down_and_is_sent_after(
    door: Door, store: Store, clock: Any
) -> None:
    door.outside["status"] = 0
    assert (await door.github(ISSUE)).status_code == 200
    await door.settle()
    assert await store.waiting_events() == 1
    door.outside["status"] = 200
    clock.forward(minutes=11)
    await door.settle()
    assert door.names == ["prefect-autopilot.github.new_issue"]
    assert await store.waiting_events() == 0
    await door.settle()
    assert len(door.events) == 1


async def test_an_event_survives_the_end_of_the_process(settings: Settings, clock: Any) -> None:
    async with opened(settings, clock) as first:
        first.outside["status"] = 0
        await first.github(ISSUE)
    clock.forward(hours=1)
    async with opened(settings, clock) as second:
        await second.settle()
        assert second.names == ["prefect-autopilot.github.new_issue"]
        assert (await second.github(ISSUE)).json()["status"] == "duplicate"


async def test_both_secrets_are_taken_while_keys_rotate_and_the_old_one_no_longer_after(door: Door) -> None:
    door.blocks.held["github-default"] = (
        "github",
        {"webhook_secret": "new", "webhook_secret_previous": SECRET},
    )
    assert (await door.github(ISSUE, secret=SECRET)).status_code == 200
    other = {**ISSUE, "issue": {"id": 8}}
    assert (await door.github(other, secret="new", delivery="d-2")).status_code == 200  # made up
    door.blocks.held["github-default"] = ("github", {"webhook_secret": "new"})
    door.clock.forward(seconds=FRESH.total_seconds() + 1)
    third = {**ISSUE, "issue": {"id": 9}}
    assert (await door.github(third, secret=SECRET, delivery="d-3")).status_code == 401


async def test_a_connection_nobody_knows_is_not_found(door: Door) -> None:
    answer = await door.post(ISSUE, "/hooks/github-nobody")
    assert answer.status_code == 404
    assert door.events == []


@pytest.mark.parametrize("credentials", [{}, {"webhook_secret": ""}, {"token": "t"}], ids=repr)
async def test_a_connection_without_a_secret_takes_nothing(door: Door, credentials: dict[str, str]) -> None:
    door.blocks.held["github-default"] = ("github", credentials)
    answer = await door.github(ISSUE, secret="")
    assert answer.status_code == 503
    assert "webhook_secret" in answer.json()["detail"]


async def test_a_webhook_is_taken_while_prefect_is_down_by_what_was_known_of_the_connection(
    door: Door, clock: Any
) -> None:
    await door.github(ISSUE)
    door.blocks.down = True
    clock.forward(hours=1)
    assert (await door.github({**ISSUE, "issue": {"id": 8}}, delivery="d-2")).status_code == 200
    clock.forward(seconds=STALE.total_seconds())
    refused = await door.github({**ISSUE, "issue": {"id": 9}}, delivery="d-3")
    assert refused.status_code == 503
    assert "retry-after" in refused.headers


async def test_a_connection_is_not_read_again_for_every_webhook(door: Door) -> None:
    for number in range(5):
        await door.github({**ISSUE, "issue": {"id": number}}, delivery=f"d-{number}")
    assert door.blocks.reads == 1


async def test_what_the_catalogue_has_no_name_for_is_an_event_as_well(door: Door) -> None:
    content = json.dumps({"zen": "Design for failure."}).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + sign(SECRET, content), "X-GitHub-Event": "ping"}
    await door.post(content, headers=headers)
    await door.settle()
    assert door.names == ["prefect-autopilot.github.webhook"]
    assert door.events[0]["payload"] == {"zen": "Design for failure."}


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/json", b"[1, 2]", {"items": [1, 2]}),
        ("application/json", b"{not json", {"text": "{not json"}),
        ("application/x-www-form-urlencoded", b"a=1&b=2&b=3", {"a": "1", "b": ["2", "3"]}),
        ("application/x-www-form-urlencoded", b"payload=%7B%22a%22%3A+1%7D", {"a": 1}),
        ("text/plain", b"hello", {"text": "hello"}),
        ("application/xml", b"<a/>", {"text": "<a/>"}),
        ("", b'{"a": "\\u0000"}', {"a": "\ufffd"}),
        ("application/json", b"[" * 2000, {"text": "[" * 2000}),
        ("application/json", b"\xff\xfe", {"text": "\ufffd\ufffd"}),
    ],
    ids=["json", "list", "no json", "form", "payload", "text", "xml", "no type", "deep", "no utf-8"],
)
async def test_every_content_type_is_read_or_kept_as_text(
    door: Door, content_type: str, body: bytes, payload: dict[str, Any]
) -> None:
    headers = {"X-Hub-Signature-256": "sha256=" + sign(SECRET, body), "Content-Type": content_type}
    answer = await door.post(body, headers=headers)
    assert answer.status_code == 200, answer.text
    await door.settle()
    assert door.events[0]["payload"] == payload


async def test_a_body_too_large_is_refused(door: Door) -> None:
    body = b"x" * 1_000_001
    headers = {"X-Hub-Signature-256": "sha256=" + sign(SECRET, body)}
    assert (await door.post(body, headers=headers)).status_code == 413


async def test_the_door_answers_to_the_name_of_the_proxy_and_nothing_else_does(door: Door) -> None:
    content = json.dumps(ISSUE).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + sign(SECRET, content), "Host": "hooks.example"}
    assert (await door.post(content, headers=headers)).status_code == 200
    assert (await door.client.get("/healthz", headers={"Host": "hooks.example"})).status_code == 421


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_probe_learns_only_that_the_address_is_there(door: Door, method: str) -> None:
    door.blocks.held["trello-default"] = ("trello", {"webhook_secret": "s"})
    answer = await door.client.request(method, "/hooks/trello-default")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(door: Door, method: str) -> None:
    assert (await door.client.request(method, GITHUB)).status_code == 405


def slack_headers(body: bytes, at: int, secret: str = "s") -> dict[str, str]:  # made up
    content = b"v0:%d:" % at + body
    return {"X-Slack-Signature": "v0=" + sign(secret, content), "X-Slack-Request-Timestamp": str(at)}


async def test_the_question_of_slack_is_answered_once_it_is_signed(door: Door, clock: Any) -> None:
    door.blocks.held["slack-default"] = ("slack", {"webhook_secret": "s"})
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    refused = await door.post(body, "/hooks/slack-default")
    assert refused.status_code == 401
    headers = slack_headers(body, int(clock.now.timestamp()))
    answer = await door.post(body, "/hooks/slack-default", headers)
    assert answer.json() == {"challenge": "3eZbrw1a"}
    await door.settle()
    assert door.events == []


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24 * 365], ids=["old", "future", "a year old"])
async def test_a_webhook_out_of_time_is_refused(door: Door, clock: Any, minutes: int) -> None:
    door.blocks.held["slack-default"] = ("slack", {"webhook_secret": "s"})
    body = b'{"event_id": "Ev1", "event": {"type": "message"}}'
    at = int((clock.now + timedelta(minutes=minutes)).timestamp())
    answer = await door.post(body, "/hooks/slack-default", slack_headers(body, at))
    assert answer.status_code == 401
    assert "5 minutes" in answer.json()["detail"]
    await door.settle()
    assert door.events == []


async def test_slack_may_send_the_same_event_again_with_a_new_signature(door: Door, clock: Any) -> None:
    door.blocks.held["slack-default"] = ("slack", {"webhook_secret": "s"})
    body = b'{"event_id": "Ev1", "event": {"type": "message", "text": "hi", "ts": "1"}}'
    for _ in range(2):
        headers = slack_headers(body, int(clock.now.timestamp()))
        assert (await door.post(body, "/hooks/slack-default", headers)).status_code == 200
        clock.forward(minutes=1)
    await door.settle()
    assert door.names == ["prefect-autopilot.slack.message"]
    assert door.events[0]["payload"]["text"] == "hi"


async def test_asana_tells_its_secret_once_and_nobody_can_change_it(door: Door) -> None:
    door.blocks.held["asana-default"] = ("asana", {"access_token": "t"})
    path = "/hooks/asana-default"
    async with Store.open(door.app.state.context.settings.store_url.get_secret_value()) as store:
        await expect_secret(store, "asana-default", door.clock() + timedelta(minutes=15))
    answer = await door.post(b"", path, {"X-Hook-Secret": "first"})
    assert answer.status_code == 200
    assert answer.headers["X-Hook-Secret"] == "first"
    assert door.blocks.held["asana-default"][1]["webhook_secret"] == "first"
    taken = await door.post(b"", path, {"X-Hook-Secret": "of-an-intruder"})
    assert taken.status_code == 409
    assert "X-Hook-Secret" not in taken.headers
    assert door.blocks.held["asana-default"][1]["webhook_secret"] == "first"
    body = b'{"events": []}'
    signed = await door.post(body, path, {"X-Hook-Signature": sign("first", body)})
    assert signed.status_code == 200


@pytest.mark.parametrize(
    "minutes", [None, 0, 15], ids=["never expected", "just over", "expected for one only"]
)
async def test_a_secret_that_nobody_expects_is_not_stored(door: Door, minutes: int | None) -> None:
    held: dict[str, str] = {"access_token": "t"}
    door.blocks.held["asana-default"] = ("asana", held)
    path, headers = "/hooks/asana-default", {"X-Hook-Secret": "of-an-intruder"}
    async with Store.open(door.app.state.context.settings.store_url.get_secret_value()) as store:
        if minutes is not None:
            await expect_secret(store, "asana-default", door.clock() + timedelta(minutes=minutes))
    if minutes:
        assert (await door.post(b"", path, {"X-Hook-Secret": "first"})).status_code == 200
        door.blocks.held["asana-default"] = ("asana", held)  # somebody removed the secret again
    refused = await door.post(b"", path, headers)
    assert refused.status_code == 409
    assert "expect-webhook" in refused.json()["detail"]
    assert "webhook_secret" not in door.blocks.held["asana-default"][1]


async def test_two_deliveries_of_one_body_are_two_where_a_token_stands_for_the_signature(door: Door) -> None:
    door.blocks.held["gitlab-default"] = ("gitlab", {"webhook_secret": "s"})
    told = []
    for mark in ("one", "two", "two"):
        headers = {"X-Gitlab-Token": "s", "X-Gitlab-Event-UUID": mark, "X-Gitlab-Event": "Push Hook"}
        answer = await door.post({"object_kind": "push"}, "/hooks/gitlab-default", headers)
        told.append(answer.json()["status"])
    assert told == ["accepted", "accepted", "duplicate"]


async def test_meta_is_answered_only_with_the_token_of_the_connection(door: Door) -> None:
    held = {"webhook_secret": "s", "webhook_verify_token": "ours"}
    door.blocks.held["whatsapp-default"] = ("whatsapp", held)
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "ours"}
    answer = await door.client.get("/hooks/whatsapp-default", params=query)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    wrong = await door.client.get("/hooks/whatsapp-default", params=query | {"hub.verify_token": "x"})
    assert wrong.status_code == 401
    assert "1158201444" not in wrong.text


async def test_a_service_that_signs_its_address_needs_the_public_one(
    settings: Settings, clock: Any, door: Door
) -> None:
    body = b'{"action": {"type": "createCard", "data": {"card": {"id": "c1", "name": "Buy"}}}}'
    held = ("trello", {"webhook_secret": "s"})
    door.blocks.held["trello-default"] = held
    refused = await door.post(body, "/hooks/trello-default", {"X-Trello-Webhook": "x"})
    assert refused.status_code == 503
    assert "PUBLIC_URL" in refused.json()["detail"]
    public = load_settings(home=settings.home, public_url="https://hooks.example/")
    async with opened(public, clock) as proxied:
        proxied.blocks.held["trello-default"] = held
        content = body + b"https://hooks.example/hooks/trello-default"
        good = sign("s", content, algorithm="sha1", encoding="base64")
        answer = await proxied.post(body, "/hooks/trello-default", {"X-Trello-Webhook": good})
        assert answer.status_code == 200, answer.text


async def test_an_unknown_service_signs_as_standard_webhooks_do(door: Door, clock: Any) -> None:
    secret = "whsec_" + base64.b64encode(b"k").decode()
    door.blocks.held["http-default"] = ("http", {"webhook_secret": secret})
    at = str(int(clock.now.timestamp()))
    body = b'{"type": "thing.made"}'
    made = sign("k", f"msg_1.{at}.".encode() + body, encoding="base64")
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{made}"}
    answer = await door.post(body, "/hooks/http-default", headers)
    assert answer.status_code == 200, answer.text
    await door.settle()
    assert door.names == ["prefect-autopilot.http.webhook"]


async def test_the_door_is_no_call_of_the_document(door: Door) -> None:
    document = (await door.client.get("/openapi.json")).json()
    assert not any(path.startswith("/hooks") for path in document["paths"])
