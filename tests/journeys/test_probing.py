"""A service that is down is waited for without spending attempts, asked gently, and only where it may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.health import answers
from prefect_autopilot.journeys import probing, resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.known_around import onlooker, read_around
from prefect_autopilot.journeys.probing import address_of
from prefect_autopilot.models import (
    Diagnosis,
    IssueCategory,
    RemedyPolicy,
    ResolutionStatus,
    Severity,
    TroubleshootingSession,
)

DOWN = "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"


class Service:
    """What the desk asks; ``up`` as the test says, None where it may not be asked."""

    def __init__(self) -> None:
        self.up: bool | None = False
        self.asked: list[tuple[str, bool]] = []

    async def __call__(self, url: str, private: bool) -> bool | None:  # noqa: FBT001  # the desk's interface
        self.asked.append((url, private))
        return self.up


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def asking(make_desk: Callable[..., Desk], service: Service) -> Callable[..., Desk]:
    return lambda **policy: make_desk(probe=service, policy=RemedyPolicy(mode="auto", **policy))


async def after_a_failed_retry(desk: Desk, prefect: Any) -> TroubleshootingSession:
    prefect.fail("run-1", error=DOWN)
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    assert len(session.attempts) == 1
    desk.clock.forward(20)  # type: ignore[attr-defined]
    prefect.fail("run-1", error=DOWN)
    return await on(desk, session, 10, times=2)


async def on(desk: Desk, session: TroubleshootingSession, seconds: float, *, times: int = 1) -> Any:
    for _ in range(times):
        desk.clock.forward(seconds)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    return session


async def test_while_a_service_is_down_no_attempt_is_spent_and_then_the_run_is_resolved(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking()
    session = await after_a_failed_retry(desk, prefect)
    session = await on(desk, session, 60, times=30)
    assert session.resolution_status is ResolutionStatus.IN_PROGRESS
    assert len(prefect.retries) == 1, "half an hour down, and no attempt was spent"
    assert session.decision.action == "wait"
    assert "api.shop.test" in session.decision.reason
    assert 5 < len(service.asked) < 20, "asked more and more seldom"
    service.up = True
    session = await on(desk, session, 320)
    assert len(prefect.retries) == 2
    assert session.attempts[-1].remedy.delay_s == session.attempts[0].remedy.delay_s, "it is seen to be over"
    prefect.finish("run-1")
    session = await on(desk, session, 60)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED


async def test_before_the_first_retry_a_service_is_asked_for_the_evidence_and_holds_nothing_up(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking()
    prefect.fail("run-1", error=DOWN)
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    session = await on(desk, session, 5)
    assert service.asked == [("https://api.shop.test/", False)]
    assert len(prefect.retries) == 1
    assert any("it does not answer now, either (service api.shop.test)" in one for one in session.facts)


POOL = (
    "requests.exceptions.ConnectionError: HTTPConnectionPool(host='a.shop.test', port=8080): Read timed out."
)
NAMED = "httpx.ConnectError: no answer from http://a.shop.test:8080/x?key=s, https://b.shop.test and https://c.shop.test"


@pytest.mark.parametrize(
    ("up", "said"),
    [
        pytest.param(True, "it answers now", id="up"),
        pytest.param(False, "it does not answer now, either", id="down"),
        pytest.param(None, None, id="may not be asked"),
    ],
)
async def test_the_first_two_services_a_failure_names_are_asked_at_their_roots(
    asking: Any,
    service: Service,
    prefect: Any,
    up: bool | None,  # noqa: FBT001  # a column
    said: str | None,
) -> None:
    service.up = up
    desk = asking()
    prefect.fail("run-1", error=NAMED)
    found = {
        line.where: line.text
        for line in (await read_around(onlooker(desk), await desk.api.run("run-1"))).surroundings
    }
    assert [url for url, _ in service.asked] == ["http://a.shop.test:8080/", "https://b.shop.test/"]
    assert found.get("service a.shop.test:8080") == found.get("service b.shop.test") == said


async def test_a_service_that_urllib3_names_by_its_pool_is_asked(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking()
    prefect.fail("run-1", error=POOL)
    await read_around(onlooker(desk), await desk.api.run("run-1"))
    assert service.asked == [("http://a.shop.test:8080/", False)]


async def test_a_failure_that_names_no_address_has_nobody_asked(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking()
    prefect.fail("run-1", error="KeyError: 'total'")
    await read_around(onlooker(desk), await desk.api.run("run-1"))
    assert service.asked == []


async def test_a_service_that_keeps_us_waiting_is_said_not_to_answer(
    make_desk: Callable[..., Desk], prefect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(url: str, private: bool) -> bool:  # noqa: FBT001  # the desk's interface
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(probing, "ASKED_WITHIN_S", 0.01)
    prefect.fail("run-1", error=DOWN)
    desk = make_desk(probe=never)
    lines = (await read_around(onlooker(desk), await desk.api.run("run-1"))).surroundings
    assert [line.text for line in lines if line.where == "service api.shop.test"] == [
        "it does not answer now, either"
    ]


async def test_after_the_longest_wait_the_attempts_that_are_left_are_made_and_a_person_is_told(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking(max_wait_s=600)
    session = await after_a_failed_retry(desk, prefect)
    for _ in range(40):
        if prefect.runs["run-1"]["state_type"] == "SCHEDULED":
            prefect.fail("run-1", error=DOWN)
        session = await on(desk, session, 60)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert len(prefect.retries) == 3


async def test_a_service_that_may_not_be_asked_holds_nothing_up(
    asking: Any, service: Service, prefect: Any
) -> None:
    service.up = None
    await after_a_failed_retry(asking(), prefect)
    assert len(prefect.retries) == 2


async def test_who_fixes_the_run_meanwhile_ends_the_waiting(
    asking: Any, service: Service, prefect: Any
) -> None:
    desk = asking()
    session = await after_a_failed_retry(desk, prefect)
    prefect.add_state("run-1", "CANCELLED", "Cancelled", "not needed any more")
    session = await on(desk, session, 400)
    assert session.due_at is None
    assert len(prefect.retries) == 1


@pytest.mark.parametrize(("hosts", "private"), [((), False), (("api.shop.test",), True)])
async def test_private_hosts_are_asked_only_where_the_policy_names_them(
    asking: Any, service: Service, prefect: Any, hosts: tuple[str, ...], *, private: bool
) -> None:
    await after_a_failed_retry(asking(probe_hosts=hosts), prefect)
    assert {one for _, one in service.asked} == {private}


def outage(**changes: Any) -> Diagnosis:
    told: dict[str, Any] = {
        "category": IssueCategory.EXTERNAL_SERVICE,
        "confidence": 0.9,
        "severity": Severity.MEDIUM,
        "transient": True,
        "remedy": "retry_backoff",
        "root_cause": "The service is down",
        "effect": "safe",
    }
    return Diagnosis(**told | changes)


@pytest.mark.parametrize(
    ("said", "changes", "address"),
    [
        ("503 for url 'https://api.shop.test/orders?key=s3cret#x'", {}, "https://api.shop.test/orders"),
        ("503 for https://ada:pw@api.shop.test:8443/orders.", {}, "https://api.shop.test:8443/orders"),
        ("503 for https://api.shop.test/orders", {"effect": "unsafe"}, "https://api.shop.test/"),
        ("503 for https://api.shop.test/orders", {"effect": "unknown"}, "https://api.shop.test/"),
        ("503 for http://[2001:db8::1]:80/x", {}, "http://[2001:db8::1]:80/x"),
        (
            "HTTPSConnectionPool(host='api.shop.test', port=443): x with url: /orders?key=s",
            {},
            "https://api.shop.test:443/",
        ),
        (
            "HTTPConnectionPool(host='a.test', port=80): x HTTPConnectionPool(host='b.test', port=80): x",
            {},
            None,
        ),
        ("https://a.test/x and https://b.test/x", {}, None),
        ("https://api.shop.test/orders", {"transient": False}, None),
        ("https://api.shop.test/orders", {"remedy": "wait_rate_limit"}, None),
        ("https://api.shop.test/orders", {"remedy": "refresh_credentials"}, None),
        ("https://[broken/", {}, None),
        ("https://host:99999999/x", {}, None),
        ("file:///etc/passwd ftp://a.test/x", {}, None),
        ("nothing", {}, None),
        ("", {}, None),
    ],
)
def test_what_is_asked_is_the_one_address_without_secrets_and_only_reads_are_made_again(
    said: str, changes: dict[str, Any], address: str | None
) -> None:
    assert address_of(outage(**changes), said) == address


@pytest.mark.parametrize(
    ("status", "good"),
    [
        (200, True),
        (301, True),
        (401, True),
        (404, True),
        (408, False),
        (429, False),
        (500, False),
        (503, False),
    ],
)
async def test_a_service_answers_unless_it_says_itself_that_it_does_not(status: int, *, good: bool) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, headers={"Location": "http://169.254.169.254/"})

    assert await answers("https://api.shop.test/orders", transport=httpx.MockTransport(answer)) is good
    (request,) = seen
    assert request.method == "GET"
    assert "authorization" not in request.headers


async def test_a_service_that_cannot_be_reached_does_not_answer() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert await answers("https://api.shop.test/", transport=httpx.MockTransport(broken)) is False


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/latest", "http://db.internal/"]
)
async def test_a_private_address_is_not_asked_unless_named(url: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200)

    transport = httpx.MockTransport(answer)
    assert await answers(url, transport=transport) is None
    assert asked == []
    assert await answers(url, allow_private=True, transport=transport) is True
