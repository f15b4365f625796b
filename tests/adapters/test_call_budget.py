"""The calls for one failed run are counted together, those of others apart, and one too many is not made."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from prefect_autopilot.adapters import call_budget
from prefect_autopilot.adapters.call_budget import MOST_CALLS, CallsSpentError, one_budget, take
from prefect_autopilot.adapters.prefect_api import PrefectAPI


class Prefect:
    """Answers each call with an empty list, a 503 where a test says so."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked = 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200, json=[])


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


def api_of(prefect: Prefect) -> PrefectAPI:
    return PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(prefect), sleep=at_once)


async def test_one_call_too_many_is_said_and_not_made() -> None:
    prefect = Prefect()
    async with api_of(prefect) as api:
        with one_budget() as budget:
            for _ in range(MOST_CALLS):
                await api.states("r1")
            with pytest.raises(CallsSpentError, match=f"left out: {MOST_CALLS} calls were made for this run"):
                await api.states("r1")
        assert (prefect.asked, budget.spent) == (MOST_CALLS, MOST_CALLS)
        await api.states("r1")
    assert prefect.asked == MOST_CALLS + 1, "outside of the block any number may be made"


async def test_a_call_that_is_sent_again_counts_once() -> None:
    prefect = Prefect(503, 429)
    async with api_of(prefect) as api:
        with one_budget() as budget:
            await api.states("r1")
    assert (prefect.asked, budget.spent) == (3, 1)


async def test_a_block_within_counts_on_the_budget_around_it() -> None:
    with one_budget() as around:
        take(4)
        with one_budget() as within:
            take(3)
        assert within is around
        take()
    assert around.spent == 8


async def test_runs_that_are_read_at_one_time_have_a_budget_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_budget, "MOST_CALLS", 3)
    prefect = Prefect()

    async def read(api: PrefectAPI, count: int) -> int:
        with one_budget() as budget:
            await asyncio.gather(*(api.states(f"r{number}") for number in range(count)))
            return budget.spent

    async with api_of(prefect) as api:
        assert await asyncio.gather(*(read(api, count) for count in (3, 2, 3))) == [3, 2, 3]
        with pytest.raises(CallsSpentError):
            await read(api, 4)


@pytest.mark.parametrize(
    ("spent", "calls", "fits"), [(0, 15, True), (13, 2, True), (14, 2, False), (15, 1, False)]
)
def test_several_calls_are_taken_together_or_not_at_all(spent: int, calls: int, *, fits: bool) -> None:
    with one_budget() as budget:
        take(spent)
        if fits:
            take(calls)
        else:
            with pytest.raises(CallsSpentError):
                take(calls)
        assert budget.spent == spent + (calls if fits else 0)
