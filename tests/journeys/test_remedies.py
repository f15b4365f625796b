"""One remedy, once: the intent before the act, the result after it, and no journal, no remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError, PrefectError, ServiceError, StoreError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.remedies import apply_once
from prefect_autopilot.models import (
    AskOwner,
    Attempt,
    RefreshCredentials,
    RemedyClass,
    RetryRun,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK

LEASE = "session:s-1"
REFRESH = RefreshCredentials(flow_run_id="run-1", connection="asana-default", delay_s=2)


def retry(delay_s: float = 30, because: RemedyClass = "retry_backoff") -> RetryRun:
    return RetryRun(flow_run_id="run-1", delay_s=delay_s, because=because)


def session(now: datetime, attempts: int = 0) -> TroubleshootingSession:
    before = tuple(
        Attempt(number=number, remedy=retry(), state_id_before=f"earlier-{number}")
        for number in range(1, attempts + 1)
    )
    return TroubleshootingSession(
        session_id="s-1", workflow_id="dep-1", flow_run_id="run-1", start_time=now, attempts=before
    )


async def apply(desk: Desk, remedy: Any = None, *, attempts: int = 0, token: int | None = None) -> Attempt:
    """Apply a remedy to the run as it stands, under a lease of this test."""
    now = desk.clock()
    held = token if token is not None else await desk.store.acquire_lease(LEASE, "test", 30, now)
    assert held is not None
    run = await desk.api.run("run-1")
    return await apply_once(
        desk,
        session(now, attempts),
        remedy or retry(),
        state_id=run.state.id,
        token=held,
        lease=LEASE,
    )


@pytest.fixture
def failed(prefect: Any) -> Any:
    prefect.fail("run-1")
    return prefect


async def test_a_retry_resumes_the_same_run_later_and_says_who_did_it_and_why(
    desk: Desk, failed: Any, clock: Any
) -> None:
    before = failed.runs["run-1"]["state"]["id"]
    attempt = await apply(desk, retry(30, "wait_rate_limit"))
    (made,) = failed.retries
    assert made["run"] == "run-1"
    assert made["force"] is False
    assert made["state"]["name"] == "AwaitingRetry"
    assert made["state"]["message"] == "autopilot: attempt 1 of session s-1, wait rate limit"
    due = datetime.fromisoformat(made["state"]["state_details"]["scheduled_time"])
    assert due == clock.now + timedelta(seconds=30)
    assert (attempt.number, attempt.state_id_before, attempt.error) == (1, before, None)
    assert attempt.applied_at == clock.now
    assert attempt.verification is None, "an act is no proof"


async def test_every_state_of_ours_begins_with_our_mark(desk: Desk, failed: Any) -> None:
    await apply(desk)
    assert failed.runs["run-1"]["state"]["message"].startswith(f"{MARK}:")


async def test_intent_and_result_are_journalled(desk: Desk, failed: Any) -> None:
    await apply(desk)
    (entry,) = await desk.store.journal("s-1")
    assert (entry.outcome, entry.flow_run_id, entry.attempt) == ("applied", "run-1", 1)
    assert entry.remedy == retry()
    assert await desk.store.open_intents() == ()


async def test_the_intent_stands_before_the_act_begins(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    act = desk.api.retry_run

    async def looked(*args: Any, **named: Any) -> None:
        seen.append(len(await desk.store.open_intents()))
        await act(*args, **named)

    monkeypatch.setattr(desk.api, "retry_run", looked)
    await apply(desk)
    assert seen == [1]


async def test_the_number_of_an_attempt_follows_those_before(desk: Desk, failed: Any) -> None:
    attempt = await apply(desk, attempts=2)
    assert attempt.number == 3
    assert "attempt 3 of" in failed.retries[0]["state"]["message"]


async def test_a_second_try_for_the_same_state_is_refused_and_nothing_is_done(
    desk: Desk, failed: Any
) -> None:
    state = failed.runs["run-1"]["state"]
    await apply(desk)
    failed.runs["run-1"]["state"] = state
    again = await apply(desk)
    assert len(failed.retries) == 1
    assert again.applied_at is None
    assert again.error is not None
    assert "before for this state" in again.error


async def test_after_the_run_failed_anew_it_may_be_retried_anew(desk: Desk, failed: Any) -> None:
    await apply(desk)
    failed.fail("run-1")
    second = await apply(desk, attempts=1)
    assert second.error is None
    assert len(failed.retries) == 2


async def test_of_many_tries_at_once_one_acts(desk: Desk, failed: Any) -> None:
    token = await desk.store.acquire_lease(LEASE, "test", 30, desk.clock())
    attempts = await asyncio.gather(*(apply(desk, token=token) for _ in range(8)))
    assert len(failed.retries) == 1
    assert sum(attempt.applied_at is not None for attempt in attempts) == 1


async def test_a_person_who_moved_the_run_first_wins(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journalled = desk.store.journal_intent

    async def slowly(*args: Any, **named: Any) -> int | None:
        entry = await journalled(*args, **named)
        failed.add_state("run-1", "SCHEDULED", "AwaitingRetry", "retried in the UI")
        return entry

    monkeypatch.setattr(desk.store, "journal_intent", slowly)
    attempt = await apply(desk)
    assert failed.retries == []
    assert attempt.applied_at is None
    assert "somebody acted first" in (attempt.error or "")
    (entry,) = await desk.store.journal("s-1")
    assert entry.outcome == "failed"


async def test_a_retry_that_prefect_rejects_is_told_and_journalled(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rejected(_run_id: str, _body: Any) -> dict[str, Any]:
        return {"status": "REJECT", "details": {"reason": "the concurrency limit is full"}, "state": None}

    monkeypatch.setattr(failed, "_set_state", rejected)
    attempt = await apply(desk)
    assert "the concurrency limit is full" in (attempt.error or "")
    (entry,) = await desk.store.journal("s-1")
    assert (entry.outcome, "concurrency" in entry.detail) == ("failed", True)


async def test_without_a_journal_there_is_no_remedy(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_args: object, **_named: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(desk.store, "journal_intent", full)
    with pytest.raises(StoreError):
        await apply(desk)
    assert failed.retries == []


async def test_who_lost_the_lease_does_not_act(desk: Desk, failed: Any, clock: Any) -> None:
    old = await desk.store.acquire_lease(LEASE, "paused for long", 30, clock.now)
    clock.forward(31)
    assert await desk.store.acquire_lease(LEASE, "successor", 30, clock.now) is not None
    with pytest.raises(ConflictError, match="no longer ours"):
        await apply(desk, token=old)
    assert failed.retries == []


async def test_a_lease_that_ran_out_does_not_act_even_if_nobody_took_it(
    desk: Desk, failed: Any, clock: Any
) -> None:
    token = await desk.store.acquire_lease(LEASE, "test", 30, clock.now)
    clock.forward(31)
    with pytest.raises(ConflictError):
        await apply(desk, token=token)
    assert failed.retries == []


async def test_the_result_of_an_act_whose_answer_was_lost_is_not_called_applied(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_args: object, **_named: object) -> None:
        raise PrefectError("The connection broke.", permanent=False)

    monkeypatch.setattr(desk.api, "retry_run", lost)
    with pytest.raises(PrefectError, match="broke"):
        await apply(desk)
    (entry,) = await desk.store.open_intents()
    assert entry.outcome is None, "nobody knows: whoever comes next looks at the run"


async def test_an_intent_left_open_is_gone_on_with_under_a_later_lease_only(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    async def silent(*_args: object, **_named: object) -> None:
        raise PrefectError("The server is gone.", permanent=False)

    with monkeypatch.context() as patch:
        patch.setattr(desk.api, "retry_run", silent)
        token = await desk.store.acquire_lease(LEASE, "first", 30, clock())
        with pytest.raises(PrefectError):
            await apply(desk, token=token)
    same = await apply(desk, token=token)
    assert (same.applied_at, failed.retries) == (None, []), "it may be under way in another task"
    clock.forward(31)
    done = await apply(desk)
    assert done.error is None
    assert len(failed.retries) == 1
    (entry,) = await desk.store.journal("s-1")
    assert entry.outcome == "applied"


async def test_what_must_not_be_begun_twice_is_not_gone_on_with(
    make_desk: Callable[..., Desk], failed: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    calls: list[str] = []

    async def refresh(connection: str, _now: datetime) -> None:
        calls.append(connection)
        raise ZeroDivisionError

    desk = make_desk(refresh=refresh)
    with pytest.raises(ZeroDivisionError):
        await apply(desk, REFRESH)
    clock.forward(31)
    again = await apply(desk, REFRESH)
    assert "begun before" in (again.error or "")
    assert calls == ["asana-default"]


async def test_a_process_that_slept_through_its_lease_does_not_act_when_it_wakes(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    journal = desk.store.journal_intent

    async def stopped_right_after(*args: Any, **named: Any) -> Any:
        entry = await journal(*args, **named)
        clock.forward(60)  # SIGSTOP, a suspended laptop, a long garbage collection
        return entry

    monkeypatch.setattr(desk.store, "journal_intent", stopped_right_after)
    attempt = await apply(desk)
    assert failed.retries == []
    assert "no longer ours" in (attempt.error or "")


async def test_a_mistake_of_ours_leaves_the_intent_open_for_whoever_comes_next(
    desk: Desk, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.api, "retry_run", broken)
    with pytest.raises(ZeroDivisionError):
        await apply(desk)
    (entry,) = await desk.store.open_intents()
    assert entry.session_id == "s-1"


async def test_a_token_is_refreshed_first_and_the_run_retried_then(
    make_desk: Callable[..., Desk], failed: Any, clock: Any
) -> None:
    order: list[str] = []

    async def refresh(connection: str, now: datetime) -> None:
        order.append(f"{connection} at {now.isoformat()}, {len(failed.retries)} retries")

    attempt = await apply(make_desk(refresh=refresh), REFRESH)
    assert order == [f"asana-default at {clock.now.isoformat()}, 0 retries"]
    assert attempt.error is None
    (made,) = failed.retries
    said = made["state"]["message"]
    assert said == "autopilot: attempt 1 of session s-1, new access token in asana-default"


async def test_a_token_that_is_not_renewed_retries_nothing(
    make_desk: Callable[..., Desk], failed: Any
) -> None:
    async def refused(_connection: str, _now: datetime) -> None:
        raise ServiceError(
            "the refresh token was revoked", service="asana", operation="token", effect="safe", permanent=True
        )

    desk = make_desk(refresh=refused)
    attempt = await apply(desk, REFRESH)
    assert failed.retries == []
    assert "revoked" in (attempt.error or "")
    (entry,) = await desk.store.journal("s-1")
    assert entry.outcome == "failed"


async def test_a_refresh_and_a_retry_of_one_state_are_two_kinds(
    make_desk: Callable[..., Desk], failed: Any
) -> None:
    async def refused(_connection: str, _now: datetime) -> None:
        raise ServiceError("no", service="asana", operation="token", effect="safe", permanent=True)

    desk = make_desk(refresh=refused)
    assert (await apply(desk, REFRESH)).error is not None
    assert (await apply(desk, retry())).error is None


async def test_asking_a_person_is_no_act(desk: Desk, failed: Any) -> None:
    with pytest.raises(AssertionError, match="no act"):
        await apply(desk, AskOwner(flow_run_id="run-1", advice="Look."))
    assert failed.retries == []


async def test_an_error_that_holds_a_secret_is_journalled_without_it(
    make_desk: Callable[..., Desk], failed: Any
) -> None:
    secret = "ghp_" + "a1B2" * 9

    async def leaky(_connection: str, _now: datetime) -> None:
        raise ServiceError(
            f"token {secret} refused", service="asana", operation="token", effect="safe", permanent=True
        )

    desk = make_desk(refresh=leaky)
    await apply(desk, REFRESH)
    (entry,) = await desk.store.journal("s-1")
    assert secret not in entry.detail
