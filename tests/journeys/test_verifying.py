"""How long a remedied run is waited for, and what its service says beside the proof."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from taken_runs import kinds, looked, taken

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import ResolutionStatus

UNAVAILABLE = (
    "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"
)


def good_runs(prefect: Any, *minutes: float) -> None:
    """Completed runs of the deployment that took so long."""
    for number, lasted in enumerate(minutes):
        prefect.start(f"good-{number}")
        prefect.runs[f"good-{number}"]["parameters"] = {"part": number}
        prefect.clock.forward(60 * lasted)
        prefect.add_state(f"good-{number}", "COMPLETED", "Completed")


@pytest.mark.parametrize(
    ("minutes", "waited", "status"),
    [
        ((), 14, ResolutionStatus.IN_PROGRESS),
        ((), 17, ResolutionStatus.ESCALATED),
        ((20, 200, 180), 190, ResolutionStatus.IN_PROGRESS),
        ((20, 200, 180), 220, ResolutionStatus.ESCALATED),
    ],
    ids=["new", "new, too long", "long runs", "long runs, too long"],
)
async def test_a_run_is_waited_for_as_long_as_good_ones_of_its_deployment_take(
    desk: Desk, prefect: Any, minutes: tuple[float, ...], waited: float, status: ResolutionStatus
) -> None:
    good_runs(prefect, *minutes)
    session = await taken(desk, prefect, UNAVAILABLE)
    assert kinds(session) == ["retry_run"]
    prefect.start("run-1")
    desk.clock.now += timedelta(minutes=waited)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is status


async def test_how_long_the_run_itself_took_until_it_failed_counts_as_well(desk: Desk, prefect: Any) -> None:
    prefect.start("run-1")
    prefect.clock.forward(2 * 3600)
    prefect.add_state("run-1", "FAILED", "Failed", UNAVAILABLE)
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    prefect.clock.forward(10)
    session = await resolve.advance(desk, session.session_id)
    assert session.attempts[0].lasts_s == 7200


@pytest.mark.parametrize(
    ("answer", "seen"),
    [(True, ["run", "api.shop.test answers"]), (False, ["run", "api.shop.test does not"]), (None, ["run"])],
    ids=["it answers", "it does not", "may not be asked"],
)
async def test_the_service_of_the_cause_is_asked_beside_the_proof_and_overturns_nothing(
    make_desk: Callable[..., Desk], prefect: Any, seen: list[str], *, answer: bool | None
) -> None:
    async def asked(_url: str, _private: bool) -> bool | None:  # noqa: FBT001  # the desk's interface
        return answer

    desk = make_desk(probe=asked)
    session = await taken(desk, prefect, UNAVAILABLE)
    prefect.finish("run-1")
    session = await looked(desk, session)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    verification = session.attempts[0].verification
    assert verification is not None
    told = [one.what for one in verification.observations]
    assert len(told) == len(seen)
    assert all(what.startswith(start) for what, start in zip(told, seen, strict=True))
    assert ("though" in verification.reason) is (answer is False)
