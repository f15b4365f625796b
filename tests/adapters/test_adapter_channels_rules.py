"""Notices on their way: what is sent, what an answer means, when it is tried again, and what stays secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from prefect_autopilot.adapters.channels import (
    KIND_OF_SCHEME,
    SENDERS,
    Channel,
    channel_at,
    configured_channels,
    deliver,
    deliver_pending,
    payload,
    plain,
    retry_after,
)
from prefect_autopilot.errors import DeliveryError
from prefect_autopilot.models import Notice
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio

SECRET_URL = "https://hooks.example.com/services/T0/B0/open-sesame-17"
CHAT = Channel(name="chat", kind="webhook", url=SecretStr(SECRET_URL))
PAGER = Channel(name="pager", kind="webhook", url=SecretStr("https://pager.example.com/open-sesame-18"))


def notice(number: int = 1, **changes: Any) -> Notice:
    fields: dict[str, Any] = {"notice_id": f"n{number}", "outcome": "info", "title": "t", "text": "x"}
    return Notice.model_validate(fields | changes)


class Door(httpx.MockTransport):
    """A receiver that answers as ``rule`` says and keeps the ids of what it was given."""

    def __init__(self, rule: Callable[[str, str], int | Exception]) -> None:
        super().__init__(self._answer)
        self.rule = rule
        self.given: list[tuple[str, str]] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host.split(".")[0]
        notice_id = request.headers["idempotency-key"]
        self.given.append((name, notice_id))
        answer = self.rule(name, notice_id)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


# --- What is sent.


@pytest.mark.parametrize("outcome", ["resolved", "proposal", "escalated", "no_action", "info"])
def test_programs_find_every_field_of_the_notice(outcome: str) -> None:
    made = notice(outcome=outcome, flow_run_id="r", deployment_id="d", session_id="s", action="do it")
    body = payload(made)
    left_out = {"incidents", "escalated"}  # for incident services, and for who is told
    assert set(body) == set(Notice.model_fields) - left_out
    assert (body["outcome"], body["flow_run_id"], body["deployment_id"]) == (outcome, "r", "d")
    assert json.loads(json.dumps(body)) == body


def test_an_action_that_is_none_stays_none() -> None:
    assert payload(notice())["action"] is None
    assert payload(notice(action=""))["action"] == ""


@given(title=st.text(max_size=300), text=st.text(max_size=300), action=st.none() | st.text(max_size=100))
@settings(max_examples=80, deadline=None)
def test_any_words_become_words_that_do_nothing(title: str, text: str, action: str | None) -> None:
    body = payload(notice(title=title, text=text, action=action))
    for shown in (body["title"], body["text"], body["action"] or ""):
        for sign in "<>`\x00\x1b\x07\u202e\u200b":
            assert sign not in shown
        assert "://" not in shown
        assert "](" not in shown
    json.dumps(body).encode("utf-8")


@pytest.mark.parametrize(
    ("length", "limit"), [(1, 10), (9, 10), (10, 10), (11, 10), (10_000, 10), (3000, 3000), (3001, 3000)]
)
def test_a_text_is_cut_only_where_it_is_longer(length: int, limit: int) -> None:
    shown = plain("x" * length, limit)
    assert len(shown) == min(length, limit)
    assert shown.endswith("…") is (length > limit)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("a\rb", "ab"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("mail a@b.example", "mail a@b.example"),
        ("(@ann)", "(@\u2060ann)"),
        ("a @ b", "a @ b"),
        ("x -> y", "x -› y"),
        ("`rm -rf`", "'rm -rf'"),
        ("", ""),
    ],
    ids=repr,
)
def test_each_sign_that_does_something_is_made_harmless(text: str, shown: str) -> None:
    assert plain(text) == shown


# --- What an answer means.


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_good_status_is_an_arrival(status: int) -> None:
    await deliver(notice(), CHAT, transport=Door(lambda *_: status))


@pytest.mark.parametrize("status", [300, 302, 400, 404, 405, 410, 413, 422, 451])
async def test_a_refusal_for_good_says_what_to_check(status: int) -> None:
    with pytest.raises(DeliveryError, match=f"answered {status}; check its URL") as caught:
        await deliver(notice(), CHAT, transport=Door(lambda *_: status))
    assert caught.value.permanent


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
async def test_a_refusal_for_now_says_that_it_is_tried_again(status: int) -> None:
    with pytest.raises(DeliveryError, match=f"answered {status}; it is tried again") as caught:
        await deliver(notice(), CHAT, transport=Door(lambda *_: status))
    assert not caught.value.permanent


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError(f"no route to {SECRET_URL}"),
        httpx.ConnectTimeout(SECRET_URL),
        httpx.ReadTimeout(SECRET_URL),
        httpx.WriteError(SECRET_URL),
        httpx.ProxyError(SECRET_URL),
        httpx.RemoteProtocolError(SECRET_URL),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_broken_line_never_tells_the_url(error: Exception) -> None:
    with pytest.raises(DeliveryError, match="could not be reached") as caught:
        await deliver(notice(), CHAT, transport=Door(lambda *_: error))
    assert "sesame" not in caught.value.message
    assert caught.value.__cause__ is None
    assert not caught.value.permanent


def test_neither_a_channel_nor_its_error_shows_the_url() -> None:
    assert "sesame" not in repr(CHAT)
    assert "sesame" not in str(CHAT.model_dump(mode="json"))


# --- When it is tried again.


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        (-1, 5),
        (0, 5),
        (1, 5),
        (2, 10),
        (3, 20),
        (10, 2560),
        (11, 3600),
        (17, 3600),
        (18, 3600),
        (10**9, 3600),
    ],
)
def test_a_pause_doubles_from_five_seconds_to_an_hour(attempts: int, seconds: int) -> None:
    assert retry_after(attempts) == timedelta(seconds=seconds)


async def test_a_storm_of_notices_meets_a_closed_door_once_a_turn(store: Store, now: datetime) -> None:
    for number in range(30):
        await store.queue_notice(notice(number), now + timedelta(milliseconds=number))
    door = Door(lambda *_: 503)
    later = now + timedelta(seconds=1)
    assert await deliver_pending(store, [CHAT], later, door) == 0
    assert door.given == [("hooks", "n0")]


async def test_the_pause_of_a_channel_grows_with_its_failures(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    door = Door(lambda *_: 503)
    moments = [now + timedelta(seconds=second) for second in range(1, 80)]
    for moment in moments:
        await deliver_pending(store, [CHAT], moment, door)
    tried = [round((one.at - now).total_seconds()) for one in await store.deliveries("n1")]
    assert tried == [1, 6, 16, 36, 76]


async def test_a_notice_refused_for_good_makes_room_for_the_next(store: Store, now: datetime) -> None:
    for number in range(3):
        await store.queue_notice(notice(number), now + timedelta(seconds=number))
    door = Door(lambda _, notice_id: 404 if notice_id == "n1" else 200)
    assert await deliver_pending(store, [CHAT], now + timedelta(minutes=1), door) == 2
    assert [one for _, one in door.given] == ["n0", "n1", "n2"]
    assert await deliver_pending(store, [CHAT], now + timedelta(days=1), door) == 0


async def test_a_channel_that_fails_leaves_the_record_of_the_other_alone(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    door = Door(lambda name, _: 503 if name == "hooks" else 200)
    later = now + timedelta(seconds=1)
    assert await deliver_pending(store, [CHAT, PAGER], later, door) == 1
    assert await deliver_pending(store, [CHAT, PAGER], later + timedelta(seconds=5), door) == 0
    assert [name for name, _ in door.given].count("pager") == 1
    assert [name for name, _ in door.given].count("hooks") == 2


async def test_after_a_restart_only_what_did_not_arrive_is_sent(tmp_path: Path, now: datetime) -> None:
    url = f"sqlite:///{tmp_path / 'autopilot.db'}"
    door = Door(lambda _, notice_id: httpx.ReadTimeout("late") if notice_id == "n1" else 200)
    async with Store.open(url) as first:
        for number in (0, 1):
            await first.queue_notice(notice(number), now)
        await deliver_pending(first, [CHAT], now, door)
    door.rule = lambda *_: 200
    async with Store.open(url) as second:
        await deliver_pending(second, [CHAT], now + timedelta(hours=2), door)
    assert [one for _, one in door.given] == ["n0", "n1", "n1"]


async def test_a_crash_after_the_sending_sends_again_with_the_same_id(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.queue_notice(notice(), now)
    door = Door(lambda *_: 200)

    async def crash(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr(store, "notice_delivered", crash)
        with pytest.raises(asyncio.CancelledError):
            await deliver_pending(store, [CHAT], now, door)
    assert await deliver_pending(store, [CHAT], now, door) == 1
    assert [one for _, one in door.given] == ["n1", "n1"]


async def test_errors_on_record_hold_no_secret(store: Store, now: datetime) -> None:
    await store.queue_notice(notice(), now)
    await deliver_pending(store, [CHAT], now, Door(lambda *_: httpx.ConnectError(SECRET_URL)))
    (attempt,) = await store.deliveries("n1")
    assert attempt.error is not None
    assert "sesame" not in attempt.error


# --- Which channels there are.


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, []),
        ({"notify_webhook": SecretStr("https://a.example")}, ["webhook"]),
        ({"notify_apprise": (SecretStr("json://a"), SecretStr("json://b"))}, ["apprise-1", "apprise-2"]),
        (
            {"notify_webhook": SecretStr("https://a.example"), "notify_apprise": (SecretStr("json://a"),)},
            ["webhook", "apprise-1"],
        ),
    ],
    ids=["none", "webhook", "apprise", "both"],
)
def test_each_setting_is_one_channel_with_a_name_of_its_own(
    tmp_path: Path, given: dict[str, Any], names: list[str]
) -> None:
    channels = configured_channels(Settings(home=tmp_path, **given))
    assert [one.name for one in channels] == names
    assert len({one.name for one in channels}) == len(channels)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://hooks.example.com/a", "webhook"),
        ("HTTP://hooks.example.com/a", "webhook"),
        ("pagerduty://KEY", "incidents"),
        ("opsgenie://KEY@api.eu.opsgenie.com", "incidents"),
        ("ntfy://topic", "apprise"),
        ("mailto://user:word@example.com", "apprise"),
    ],
)
def test_an_address_tells_its_kind_by_its_scheme(address: str, kind: str) -> None:
    found = channel_at("notify-1", SecretStr(address))

    assert (found.name, found.kind, found.url.get_secret_value()) == ("notify-1", kind, address)


def test_a_block_is_named_by_its_place() -> None:
    found = channel_at("notify-1", SecretStr("block://slack-webhook/ops"))

    assert (found.name, found.kind, found.block) == ("slack-webhook/ops", "block", "slack-webhook/ops")


def test_every_kind_an_address_can_have_is_delivered() -> None:
    assert {*KIND_OF_SCHEME.values()} <= {*SENDERS}


def test_one_setting_names_channels_of_every_kind(tmp_path: Path) -> None:
    addresses = tuple(map(SecretStr, ("https://a.example/b", "ntfy://topic", "pagerduty://KEY")))

    found = configured_channels(Settings(home=tmp_path, notify=addresses))

    assert [(one.name, one.kind) for one in found] == [
        ("notify-1", "webhook"),
        ("notify-2", "apprise"),
        ("notify-3", "incidents"),
    ]
    assert not any(secret.get_secret_value() in repr(found) for secret in addresses)


@pytest.mark.parametrize("address", ["", "ops", "https:/x", "://x", "pagerduty://a b", "opsgenie://"])
def test_what_is_no_address_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        Settings(home=tmp_path, notify=(SecretStr(address),))

    assert not address or f"'{address}'" not in str(caught.value)
