"""How fast a connection may call: our own bucket, and what a service tells of its limit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from prefect_autopilot.adapters.rates import LONGEST_WAIT_S, RateGate, gate_of, reset_after
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.services import load_catalogue, simulated_credentials

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ASANA = load_catalogue().get("asana")


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def gate(self, per_s: float | None = None) -> RateGate:
        return RateGate(per_s, time_s=self, sleep=self.sleep)


def enter(gate: RateGate, times: int) -> None:
    async def calls() -> None:
        for _ in range(times):
            await gate.enter()

    asyncio.run(calls())


@pytest.mark.parametrize(
    ("per_s", "times", "slept"),
    [
        (None, 50, []),
        (2, 2, []),
        (2, 4, [0.5, 0.5]),
        (0.5, 3, [2.0, 2.0]),
        (1, 3, [1.0, 1.0]),
        (2.5, 4, [0.2, 0.4]),
    ],
)
def test_calls_wait_for_their_place(per_s: float | None, times: int, slept: list[float]) -> None:
    time = Time()
    enter(time.gate(per_s), times)
    assert time.slept == slept


def test_a_pause_earns_no_more_than_one_second_of_calls() -> None:
    time = Time()
    gate = time.gate(3)
    enter(gate, 3)
    time.now += 3600
    enter(gate, 4)
    assert len(time.slept) == 1


@given(per_s=st.floats(0.2, 50), times=st.integers(1, 60))
def test_no_second_sees_more_calls_than_allowed(per_s: float, times: int) -> None:
    time = Time()
    gate = time.gate(per_s)
    at = []
    for _ in range(times):
        enter(gate, 1)
        at.append(time.now)
    burst = max(1.0, per_s)
    for place, moment in enumerate(at):
        later = sum(1 for other in at[place:] if other < moment + 1)
        assert later <= burst + per_s + 1


def test_calls_at_once_are_given_places_one_after_another() -> None:
    gate = Time().gate(1)
    assert [gate.reserve() for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"ratelimit-reset": "30"}, 30.0),
        ({"x-rate-limit-reset": f"{NOW.timestamp() + 5:.0f}"}, 5.0),
        ({"x-ratelimit-reset": f"{(NOW.timestamp() + 5) * 1000:.0f}"}, 5.0),
        ({"x-ratelimit-reset": f"{NOW.timestamp() - 5:.0f}"}, 0.0),
        ({"x-ratelimit-reset-after": "1.5", "x-ratelimit-reset": "900"}, 1.5),
        ({"x-ratelimit-reset": "-3"}, 0.0),
        ({"x-ratelimit-reset": "6m0s"}, None),
        ({"x-ratelimit-reset": "inf"}, None),
        ({"x-ratelimit-reset": "nan"}, None),
        ({}, None),
    ],
    ids=["seconds", "standard", "moment", "ms", "past", "after", "negative", "words", "inf", "nan", "none"],
)
def test_a_reset_is_read_as_services_write_it(headers: dict[str, str], seconds: float | None) -> None:
    assert reset_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4"}, [4.0]),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "4"}, [4.0]),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "4"}, []),
        ({"x-ratelimit-reset": "4"}, []),
        ({"x-ratelimit-remaining": "0"}, []),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{LONGEST_WAIT_S + 1}"}, []),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{LONGEST_WAIT_S}"}, [LONGEST_WAIT_S]),
        ({"x-ratelimit-remaining": "none", "x-ratelimit-reset": "4"}, []),
    ],
    ids=["none left", "standard", "one left", "untold", "no reset", "too long", "longest", "words"],
)
def test_the_next_call_waits_where_none_remains_and_the_wait_is_short(
    headers: dict[str, str], slept: list[float]
) -> None:
    time = Time()
    gate = time.gate()
    gate.learn(headers, lambda: NOW)
    enter(gate, 1)
    assert time.slept == slept
    enter(gate, 1)
    assert time.slept == slept, "the wait is over"


def test_a_limit_that_ends_soon_does_not_shorten_a_wait_after_a_refusal() -> None:
    gate = Time().gate()
    gate.close(30)
    gate.learn({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}, lambda: NOW)
    assert gate.reserve() == 30.0


def test_clients_of_one_connection_share_a_gate_and_others_do_not() -> None:
    assert gate_of("rates-a", 2.0) is gate_of("rates-a", 2.0)
    assert gate_of("rates-a", 2.0) is not gate_of("rates-b", 2.0)
    assert gate_of("rates-a", 3.0).per_s == 3.0


def calling(simulator: Simulator, time: Time, times: int) -> list[int]:
    async def calls() -> None:
        async with ServiceClient(
            ASANA,
            {name: SecretStr(value) for name, value in simulated_credentials(ASANA).items()},
            base_url="http://simulator/asana",
            transport=httpx.ASGITransport(simulator),
            gate=time.gate(),
            clock=lambda: NOW,
        ) as one:
            for n in range(times):
                await one.call("create_task", {"name": f"T{n}"})

    asyncio.run(calls())
    return [call.status for call in simulator.calls]


def test_a_client_that_is_told_its_limit_waits_instead_of_being_refused() -> None:
    time = Time()
    simulator = Simulator(clock=lambda: datetime.fromtimestamp(time.now, UTC))
    simulator.limit("asana", 2, 5.0)

    assert calling(simulator, time, 5) == [201] * 5
    assert time.slept == [5.0, 5.0]


def test_a_refused_call_is_not_waited_for_but_told() -> None:
    time = Time()
    simulator = Simulator()
    simulator.fail("asana", status=429, retry_after=7)

    with pytest.raises(ServiceError) as caught:
        calling(simulator, time, 1)
    assert (caught.value.retry_after_s, caught.value.permanent, time.slept) == (7.0, False, [])


def test_the_simulator_refuses_what_is_over_the_limit_until_the_window_ends() -> None:
    time = Time()
    simulator = Simulator(clock=lambda: datetime.fromtimestamp(time.now, UTC))
    simulator.limit("asana", 0, 60.0)

    with pytest.raises(ServiceError) as caught:
        calling(simulator, time, 1)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 60.0)
