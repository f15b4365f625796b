"""The typed client: our models come back, problem details are our errors, nothing is made twice."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from prefect_autopilot import client as module
from prefect_autopilot.api.routes import routes
from prefect_autopilot.client import APIError, AsyncClient, Client, calls
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    PrefectError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from prefect_autopilot.models import MonitoringRule, TroubleshootingSession

UNTIL = datetime(2036, 3, 2, tzinfo=UTC)
LOGS = ["ERROR 401 Unauthorized: token expired"]
RULE = MonitoringRule(workflow_id="orders", metric_name="error_rate", condition="greater_than", threshold=0.1)


@pytest.fixture
async def client(api: httpx.AsyncClient) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=api._transport) as opened:
        yield opened


def answering(answer: httpx.Response) -> Client:
    return Client(transport=httpx.MockTransport(lambda _: answer))


def told(kind: str, status: int, **headers: str) -> httpx.Response:
    body = {"type": f"urn:prefect-autopilot:problem:{kind}", "detail": "It is so; do that.", "status": status}
    return httpx.Response(status, json=body, headers=headers)


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(one)).split(" -> ")[0]
            for name, one in vars(kind).items()
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)
    assert len(methods(Client)) == 18
    assert module.__all__ == ["APIError", "AsyncClient", "Client", "Event", "calls"]


def test_every_call_of_the_api_can_be_made() -> None:
    made = {
        "str": "x-y", "datetime": UNTIL, "MonitoringRule": RULE,
        "Mapping[str, Any]": {}, "Mapping[str, float]": {}, "Sequence[str]": [],
    }  # fmt: skip
    known = set()
    for one in vars(calls).values():
        if inspect.isfunction(one) and one.__module__ == calls.__name__ and one.__name__[0] != "_":
            wanted = [
                made[parameter.annotation]
                for parameter in inspect.signature(one).parameters.values()
                if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
            ]
            call = one(*wanted)
            known.add((call.method, re.sub("/x-y(?=/|$)", "/{}", call.path)))
    asked_by_machines = {"healthz", "readyz", "prometheus_metrics", "stream_events"}
    assert known == {
        (route.method, re.sub(r"\{[^}]*\}", "{}", route.path))
        for route in routes()
        if route.endpoint.__name__ not in asked_by_machines
    }


async def test_calls_without_a_method_of_their_own_are_answered(client: AsyncClient) -> None:
    ident = await client.start_session("orders", LOGS)
    assert (await client.do(calls.issues(ident)))[0].workflow_id == "orders"
    assert (await client.do(calls.summary(ident)))["session_id"] == ident
    assert await client.do(calls.pause_remedies()) is True
    assert await client.do(calls.resume_remedies()) is False
    stored = await client.add_rule(RULE)
    assert [one.rule_id for one in await client.do(calls.rules("orders"))] == [stored.rule_id]
    assert (await client.do(calls.rehearse_rule(RULE)))["fired"] == 0
    quiet = await client.do(calls.silence(UNTIL, workflow="orders/*", reason="month end"))
    assert [one.silence_id for one in await client.do(calls.silences())] == [quiet.silence_id]
    assert await client.do(calls.end_silence(quiet.silence_id)) is True
    assert (await client.do(calls.metrics("orders")))["metrics"] == {}
    assert (await client.do(calls.workflow_health("a/b c")))["status"] == "unknown"
    assert (await client.do(calls.analyze_failure("orders", LOGS)))["root_causes"]
    assert (await client.do(calls.resolve("orders")))["remaining_issues"]
    assert await client.do(calls.troubleshoot("orders", LOGS))
    assert (await client.do(calls.try_step("slack", "list_channels")))["success"] is True
    assert (await client.do(calls.status()))["version"]
    flow = {"source": "from prefect import flow\n\n@flow\ndef f():\n    return 1\n"}
    assert (await client.do(calls.analyze_optimization(flow)))["success"] is True
    assert (await client.do(calls.apply_optimization(flow)))["optimized_workflow"]["changed"] is False
    for call in (calls.acknowledge("nothing"), calls.undo(ident)):
        with pytest.raises(AutopilotError):
            await client.do(call)


async def test_a_session_goes_from_report_to_deletion(client: AsyncClient) -> None:
    ident = await client.start_session("orders", LOGS)
    assert isinstance(await client.session(ident), TroubleshootingSession)
    assert (await client.analyze_metrics(ident, {"error_rate": 0.4}))[0].workflow_id == "orders"
    assert (await client.diagnose(ident))["root_causes"]
    assert (await client.recommendations(ident))[0]["evidence"]
    assert (await client.verify(ident))["outcome"] == "unverified"
    assert [one.session_id async for one in client.sessions("orders")] == [ident]
    assert await client.delete_session(ident) is True
    with pytest.raises(UnknownNameError, match=ident):
        await client.session(ident)


async def test_the_other_calls_are_answered(client: AsyncClient) -> None:
    assert (await client.analyze("every day at 9 post 'hi' to Slack #general"))["success"] is True
    assert (await client.generate("every day at 9 post 'hi' to Slack #general", timezone="UTC"))["workflow"]
    assert await client.start_monitoring("orders")
    assert (await client.health("orders"))["status"] == "unknown"
    assert (await client.add_rule(RULE)).rule_id
    assert await client.alerts("orders", open_only=True) == []


async def test_what_cannot_be_decided_is_our_error(client: AsyncClient) -> None:
    ident = await client.start_session("orders", LOGS)
    for call in (client.approve(ident, rerun=True), client.deny(ident, "no")):
        with pytest.raises(AutopilotError):
            await call


async def test_all_pages_are_read(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    idents = [await client.start_session("orders", LOGS) for _ in range(5)]
    assert sorted([one.session_id async for one in client.sessions()]) == sorted(idents)


@pytest.mark.parametrize("ident", ["../../healthz", "a/b", "?x=1", "", "ä"])
async def test_an_id_never_leads_to_another_call(client: AsyncClient, ident: str) -> None:
    with pytest.raises(AutopilotError):
        await client.session(ident)


@pytest.mark.parametrize(
    ("answer", "kind", "permanent"),
    [
        (told("unknown-name", 404), UnknownNameError, True),
        (told("usage", 422), UsageError, True),
        (told("invalid-request", 422), UsageError, True),
        (told("conflict", 409), ConflictError, True),
        (told("configuration", 503), ConfigurationError, True),
        (told("store", 503, **{"Retry-After": "5"}), StoreError, False),
        (told("prefect", 503, **{"Retry-After": "5"}), PrefectError, False),
        (told("unauthorised", 401), APIError, True),
        (told("too-many-requests", 429, **{"Retry-After": "1"}), APIError, False),
        (told("something-new", 500), APIError, True),
    ],
    ids=lambda value: str(value.status_code) if isinstance(value, httpx.Response) else None,
)
def test_problem_details_are_our_errors(
    answer: httpx.Response, kind: type[AutopilotError], *, permanent: bool
) -> None:
    with answering(answer) as client, pytest.raises(kind, match="do that") as caught:
        client.session("x")
    assert caught.value.permanent is permanent
    assert caught.value.message == "It is so; do that."


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"), httpx.Response(200, json=[]), httpx.Response(200, json={"a": 1}),
        httpx.Response(302, headers={"location": "http://evil.test/"}), httpx.Response(500, text="oops"),
        httpx.Response(404, json=[1]), httpx.Response(502, json={"error": "x"}),
    ],
    ids=["page", "list", "other", "redirect", "text", "list error", "no detail"],
)  # fmt: skip
def test_an_answer_of_somebody_else_is_told_as_that(answer: httpx.Response) -> None:
    with answering(answer) as client, pytest.raises(APIError):
        client.session("x")


def test_a_broken_connection_is_tried_again_with_the_same_key() -> None:
    keys: list[str] = []

    def broken(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < module.TRIES:
            raise httpx.ReadError("gone", request=request)
        return httpx.Response(200, json={"session_id": "s"})

    with Client(transport=httpx.MockTransport(broken)) as client:
        assert client.start_session("orders", LOGS) == "s"
    assert len(keys) == module.TRIES
    assert len(set(keys)) == 1


@pytest.mark.parametrize(("call", "times"), [("session", module.TRIES), ("delete_session", 1)])
def test_a_server_that_is_away_is_told_with_what_to_do(call: str, times: int) -> None:
    tried: list[Any] = []

    def away(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        raise httpx.ConnectError("refused", request=request)

    with (
        Client(transport=httpx.MockTransport(away)) as client,
        pytest.raises(APIError, match="serve") as caught,
    ):
        getattr(client, call)("x")
    assert not caught.value.permanent
    assert len(tried) == times


def test_the_token_goes_in_the_header_and_nowhere_else() -> None:
    seen: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return told("unauthorised", 401)

    with (
        Client(token="t0ken", transport=httpx.MockTransport(note)) as client,
        pytest.raises(APIError) as caught,
    ):
        client.health("orders")
    assert seen[0].headers["authorization"] == "Bearer t0ken"
    assert "t0ken" not in str(seen[0].url)
    assert "t0ken" not in str(caught.value)
