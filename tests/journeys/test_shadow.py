"""What would have been done is counted only where consent alone was missing, and by what was seen then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.cli import decide
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.shadow import fate, shadow_records, tell_of_shadow, would_have_done
from prefect_autopilot.models import (
    AskOwner,
    GateCheck,
    Remedy,
    RemedyDecision,
    RemedyPolicy,
    ResolutionStatus,
    RetryRun,
    TroubleshootingSession,
)

RETRY = RetryRun(flow_run_id="run-1", delay_s=5)


def proposal(*failed: str, remedy: Remedy = RETRY, action: Any = "propose", **more: Any) -> Any:
    checks = tuple(GateCheck(name=name, passed=False, reason="-") for name in failed)
    told = {
        "session_id": "s",
        "workflow_id": "w",
        "start_time": "2026-03-02T03:00Z",
        "decision": RemedyDecision(action=action, remedy=remedy, checks=checks, reason="-"),
    }
    return TroubleshootingSession.model_validate(told | more)


@pytest.mark.parametrize(
    ("session", "kind"),
    [
        (proposal("shadow"), "retry_run"),
        (proposal("mode"), "retry_run"),
        (proposal("mode", "shadow"), "retry_run"),
        (proposal("shadow", "repeatable"), None),
        (proposal("protected"), None),
        (proposal(), None),
        (proposal("mode", remedy=AskOwner(flow_run_id="run-1", advice="look")), None),
        (proposal("mode", action="wait"), None),
        (proposal("mode", action="escalate"), None),
    ],
    ids=["shadow", "mode", "both", "more", "protected", "nothing", "a question", "waiting", "escalated"],
)
def test_only_consent_was_missing(session: Any, kind: str | None) -> None:
    assert would_have_done(session) == kind


async def proposed(desk: Desk, prefect: Any, run_id: str) -> TroubleshootingSession:
    prefect.fail(run_id)
    session = await resolve.take_up(desk, await desk.api.run(run_id))
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


@pytest.fixture
def shadowed(make_desk: Callable[..., Desk], clock: Any) -> Desk:
    until: datetime = clock.now + timedelta(days=7)
    return make_desk(policy=RemedyPolicy(mode="auto", shadow_until=until))


async def test_what_people_did_instead_is_what_the_shadow_is_measured_by(
    shadowed: Desk, prefect: Any, clock: Any
) -> None:
    ids = [f"run-{number}" for number in range(1, 5)]
    found = []
    for number, run_id in enumerate(ids):
        found.append(await proposed(shadowed, prefect, run_id))
        prefect.runs[run_id]["parameters"] = {"part": number}
    assert prefect.retries == [], "nothing is done in the shadow"
    prefect.finish("run-1")
    prefect.add_state("run-2", "CANCELLED", "Cancelled")
    prefect.fail("run-3")
    clock.forward(3600)
    for session in found:
        await resolve.advance(shadowed, session.session_id)
    (record,) = await shadow_records(shadowed.store)
    assert (record.remedy, record.proposed) == ("retry_run", 4)
    seen = (record.completed_again, record.cancelled, record.failed_again, record.open)
    assert seen == (1, 1, 1, 1)
    low, high = record.helped
    assert low < 0.5 < high, "one good of two seen says little, and says so"


async def test_nothing_proposed_is_nothing_to_show(shadowed: Desk) -> None:
    assert await shadow_records(shadowed.store) == ()


@pytest.mark.parametrize(
    ("last", "status", "told"),
    [
        ("closed: denied by ada: month end", ResolutionStatus.CLOSED, "denied"),
        ("closed: something else", ResolutionStatus.CLOSED, "open"),
        ("decided to propose", ResolutionStatus.MANUAL, "open"),
    ],
)
def test_what_nobody_saw_is_not_counted_as_anything(last: str, status: Any, told: str) -> None:
    assert fate(proposal("mode", trail=(last,), resolution_status=status)) == told


async def test_the_shadow_has_nothing_to_reset() -> None:
    with pytest.raises(UsageError, match="--reset"):
        await decide.record(shadow=True, reset=True)


async def test_when_the_days_are_over_people_are_told_once_what_would_have_been_done(
    shadowed: Desk, prefect: Any, clock: Any
) -> None:
    session = await proposed(shadowed, prefect, "run-1")
    prefect.finish("run-1")
    clock.forward(3600)
    await resolve.advance(shadowed, session.session_id)
    assert not await tell_of_shadow(shadowed), "the days are not over"
    clock.forward(7 * 86400)
    assert await tell_of_shadow(shadowed)
    assert not await tell_of_shadow(shadowed)
    (notice,) = [
        one.notice for one in await shadowed.store.pending_notices(clock(), "x") if "acts" in one.notice.title
    ]
    assert notice.outcome == "info"
    assert "retry_run: proposed 1, started again and completed 1" in notice.text


async def test_nobody_is_told_of_days_that_never_were_or_ended_long_ago(
    make_desk: Callable[..., Desk], clock: Any
) -> None:
    assert not await tell_of_shadow(make_desk(policy=RemedyPolicy(mode="auto")))
    long_ago = clock.now - timedelta(days=30)
    assert not await tell_of_shadow(make_desk(policy=RemedyPolicy(mode="auto", shadow_until=long_ago)))
