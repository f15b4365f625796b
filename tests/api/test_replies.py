"""Unchanged reads are not sent again, and a repeated call is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from prefect_autopilot.api.replies import KEPT_S, MOST_KEPT, MOST_KEPT_BYTES, Replies

ENHANCED = "/workflows/enhanced"
SESSIONS = "/api/workflow-troubleshooting/sessions"
BODY = {"workflow_id": "orders", "error_logs": ["ERROR 401 Unauthorized: token expired"]}
READS = [SESSIONS, f"{ENHANCED}/monitoring/alerts", f"{ENHANCED}/monitoring/silences"]


async def count(api: httpx.AsyncClient) -> int:
    return len((await api.get(SESSIONS)).json()["sessions"])


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


@pytest.mark.parametrize("path", READS)
async def test_an_unchanged_read_is_not_sent_again(api: httpx.AsyncClient, path: str) -> None:
    first = await api.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    again = await api.get(path, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag
    assert "content-security-policy" in again.headers
    assert "content-length" not in again.headers


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{tag}", 304), ("W/{tag}", 304), ('"a", {tag}', 304), ("*", 304),
        ('"a"', 200), ("", 200), (",,,", 200), ("{bare}", 200), ("x" * 5000, 200),
    ],
    ids=["same", "weak", "one of two", "any", "another", "empty", "commas", "no quotes", "long"],
)  # fmt: skip
async def test_what_the_client_has_is_compared(api: httpx.AsyncClient, known: str, status: int) -> None:
    tag = (await api.get(SESSIONS)).headers["etag"]
    given = known.replace("{tag}", tag).replace("{bare}", tag.strip('"'))
    assert (await api.get(SESSIONS, headers={"If-None-Match": given})).status_code == status


async def test_a_changed_read_is_sent_with_another_tag(api: httpx.AsyncClient) -> None:
    tag = (await api.get(SESSIONS)).headers["etag"]
    await api.post(SESSIONS, json=BODY)
    changed = await api.get(SESSIONS, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert len(changed.json()["sessions"]) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", f"{SESSIONS}/nope"])
async def test_health_metrics_and_errors_have_no_tag(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path, headers={"If-None-Match": "*"})
    assert answer.status_code != 304
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


async def test_a_repeated_call_is_made_once_and_answered_alike(api: httpx.AsyncClient) -> None:
    first = await api.post(SESSIONS, json=BODY, headers=key("a"))
    again = await api.post(SESSIONS, json=BODY, headers=key("a"))
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["content-type"] == "application/json"
    assert await count(api) == 1


async def test_another_key_and_no_key_are_other_calls(api: httpx.AsyncClient) -> None:
    for headers in (key("a"), key("b"), {}, {}):
        assert (await api.post(SESSIONS, json=BODY, headers=headers)).status_code == 200
    assert await count(api) == 4


async def test_a_key_used_for_something_else_is_refused_and_nothing_done(api: httpx.AsyncClient) -> None:
    await api.post(SESSIONS, json=BODY, headers=key("a"))
    for path, body in (
        (SESSIONS, {**BODY, "workflow_id": "other"}),
        (f"{SESSIONS}?x=1", BODY),
        (f"{ENHANCED}/troubleshooting/analyze", BODY),
    ):
        answer = await api.post(path, json=body, headers=key("a"))
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert "another call" in answer.json()["detail"]
    assert await count(api) == 1


@pytest.mark.parametrize("value", ["", " ", "a b", "x" * 201, "schlüssel"])
async def test_a_key_that_is_none_is_refused(api: httpx.AsyncClient, value: str) -> None:
    headers = [(b"idempotency-key", value.encode())]
    assert (await api.post(SESSIONS, json=BODY, headers=headers)).status_code == 422
    assert await count(api) == 0


async def test_a_refused_call_may_be_made_again_with_its_key(api: httpx.AsyncClient) -> None:
    assert (await api.post(SESSIONS, json={}, headers=key("a"))).status_code == 422
    assert (await api.post(SESSIONS, json=BODY, headers=key("a"))).status_code == 200
    assert await count(api) == 1


async def test_a_body_too_large_is_refused_with_a_key_too(api: httpx.AsyncClient) -> None:
    async def large() -> Any:
        for _ in range(30):
            yield b"x" * 50_000

    answer = await api.post(SESSIONS, content=large(), headers=key("a"))
    assert answer.status_code == 413


async def test_two_calls_at_once_with_one_key_are_made_once(api: httpx.AsyncClient) -> None:
    calls = [api.post(SESSIONS, json=BODY, headers=key("a")) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    assert {one.status_code for one in answers} <= {200, 409}
    assert sum(one.status_code == 200 for one in answers) >= 1
    assert await count(api) == 1


class Slow:
    """An application that counts its calls and answers as it is told."""

    def __init__(self, body: bytes = b"{}", status: int = 200) -> None:
        self.calls = 0
        self.body = body
        self.status = status

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Asker:
    """Who asks."""

    def __init__(self, seal: str) -> None:
        self.seal = seal


Call = Callable[[str, str], Awaitable[int]]


def calling(app: Replies) -> Call:
    async def call(seal: str, value: str) -> int:
        statuses: list[int] = []
        scope = {
            "type": "http", "method": "POST", "path": "/api/x", "query_string": b"",
            "headers": [(b"idempotency-key", value.encode())], "state": {"principal": Asker(seal)},
        }  # fmt: skip

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await app(scope, receive, send)
        return statuses[0]

    return call


async def test_principals_do_not_share_keys() -> None:
    inner = Slow()
    call = calling(Replies(inner))
    assert [await call("a", "k"), await call("b", "k"), await call("a", "k")] == [200, 200, 200]
    assert inner.calls == 2


async def test_an_answer_is_kept_for_a_day() -> None:
    inner, now = Slow(), [0.0]
    call = calling(Replies(inner, clock=lambda: now[0]))
    for at in (0.0, KEPT_S - 1, KEPT_S + 1):
        now[0] = at
        await call("a", "k")
    assert inner.calls == 2


@pytest.mark.parametrize("size", [2, MOST_KEPT_BYTES // 3], ids=["many", "large"])
async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(size: int) -> None:
    inner = Slow(b"x" * size)
    call = calling(Replies(inner))
    number = MOST_KEPT + 1 if size < 1000 else 4
    for one in range(number):
        await call("a", f"k{one}")
    await call("a", f"k{number - 1}")
    assert inner.calls == number
    await call("a", "k0")
    assert inner.calls == number + 1


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
async def test_only_success_is_kept(status: int) -> None:
    inner = Slow(status=status)
    call = calling(Replies(inner))
    await call("a", "k")
    await call("a", "k")
    assert inner.calls == 2
