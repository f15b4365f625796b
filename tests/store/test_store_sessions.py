"""Sessions: claimed with their run, saved only on top of what was read, deleted but not forgotten."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import ResolutionStatus, TroubleshootingSession
from prefect_autopilot.store import Store, run_claim

pytestmark = pytest.mark.anyio
Session = TroubleshootingSession


def changed(session: Session, **fields: object) -> Session:
    return session.model_copy(update=fields)


async def test_a_session_comes_back_as_it_was(store: Store, failed: Session) -> None:
    assert await store.save_session(failed, None) == 1
    assert await store.session("session-1") == failed
    assert await store.load_session("session-1") == (failed, 1)
    assert await store.session("session-2") is None
    with pytest.raises(UnknownNameError, match="session-2"):
        await store.load_session("session-2")


async def test_a_session_is_saved_on_top_of_the_version_that_was_read(
    store: Store, other: Store, failed: Session
) -> None:
    await store.save_session(failed, None)
    assert await other.save_session(changed(failed, trail=("b",)), 1) == 2
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await store.save_session(changed(failed, trail=("a",)), 1)
    assert await store.load_session("session-1") == (changed(failed, trail=("b",)), 2)


async def test_a_new_session_does_not_replace_one(store: Store, failed: Session) -> None:
    await store.save_session(failed, None)
    with pytest.raises(ConflictError, match="exists already"):
        await store.save_session(changed(failed, trail=("x",)), None)
    assert await store.session("session-1") == failed


async def test_a_deleted_session_is_not_saved_again_by_who_still_holds_it(
    store: Store, failed: Session, now: datetime
) -> None:
    version = await store.save_session(failed, None)
    await store.delete_session("session-1", "me", now)
    with pytest.raises(ConflictError):
        await store.save_session(failed, version)
    assert await store.session("session-1") is None


async def test_a_session_takes_another_one_in_or_both_stay_as_they_were(
    store: Store, failed: Session, now: datetime
) -> None:
    gone = changed(failed, session_id="session-2", flow_run_id="run-2", related_runs=("run-2",))
    for one in (failed, gone):
        await store.save_session(one, None)
    both = changed(failed, related_runs=("run-1", "run-2"), further_runs=1)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await store.merge_session(both, 7, gone, "me", now)
    assert (await store.session("session-1"), await store.session("session-2")) == (failed, gone)
    await store.merge_session(both, 1, gone, "me", now)
    assert (await store.session("session-1"), await store.session("session-2")) == (both, None)
    assert await store.session_for_run("run-2") == both
    assert [one.action for one in await store.audit_trail("session-2")] == ["joined"]
    known = await store.recurrence(failed.fingerprint, failed.workflow_id, besides="another")
    assert known.times == 3, "both failures, and the one that asks"


async def test_a_claim_is_passed_on_by_its_holder_only(store: Store, now: datetime) -> None:
    await store.claim("cause", "a", now)
    assert not await store.pass_claim("cause", "b", "c", now)
    assert await store.pass_claim("cause", "a", "b", now)
    assert await store.claimed_by("cause") == "b"


async def test_of_many_who_save_at_once_exactly_one_wins(store: Store, other: Store, failed: Session) -> None:
    await store.save_session(failed, None)
    saves = [
        side.save_session(changed(failed, trail=(f"{n}",)), 1) for n in range(6) for side in (store, other)
    ]
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert results.count(2) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 11


async def test_a_run_is_claimed_together_with_its_session(
    store: Store, other: Store, failed: Session, now: datetime
) -> None:
    assert await store.claim_session(failed, "a", now)
    assert not await other.claim_session(changed(failed, session_id="session-2"), "b", now)
    assert await other.session("session-2") is None
    assert await other.claimed_by(run_claim("run-1", 1)) == "a"
    again = changed(failed, session_id="session-3", run_count=2)
    assert await other.claim_session(again, "b", now), "the next attempt of the run is another failure"


async def test_a_claim_is_not_kept_when_its_session_cannot_be_written(
    store: Store, failed: Session, now: datetime
) -> None:
    await store.save_session(failed, None)
    with pytest.raises(ConflictError):
        await store.claim_session(failed, "a", now)
    assert await store.claimed_by(run_claim("run-1", 1)) is None


async def test_of_many_who_claim_a_run_exactly_one_gets_a_session(
    store: Store, other: Store, failed: Session, now: datetime
) -> None:
    claims = [
        side.claim_session(changed(failed, session_id=f"{name}{n}"), name, now)
        for n in range(6)
        for name, side in (("a", store), ("b", other))
    ]
    assert (await asyncio.gather(*claims)).count(True) == 1
    assert len(await store.sessions()) == 1


async def test_a_session_without_a_run_cannot_be_claimed(
    store: Store, failed: Session, now: datetime
) -> None:
    with pytest.raises(ConflictError):
        await store.claim_session(changed(failed, flow_run_id=None), "a", now)


async def test_sessions_are_listed_latest_first_by_workflow_and_status(
    store: Store, failed: Session, now: datetime
) -> None:
    for n, status in enumerate(("in_progress", "escalated", "closed", "in_progress")):
        await store.save_session(
            changed(
                failed,
                session_id=f"s{n}",
                workflow_id=f"w{n % 2}",
                resolution_status=ResolutionStatus(status),
                start_time=now + timedelta(minutes=n),
            ),
            None,
        )

    async def ids(**filters: object) -> list[str]:
        return [session.session_id for session in await store.sessions(**filters)]  # type: ignore[arg-type]

    assert await ids() == ["s3", "s2", "s1", "s0"]
    assert await ids(workflow_id="w1") == ["s3", "s1"]
    assert await ids(status=ResolutionStatus.IN_PROGRESS) == ["s3", "s0"]
    assert await ids(limit=2, offset=1) == ["s2", "s1"]
    assert await ids(workflow_id="w9") == []


async def test_only_sessions_whose_time_has_come_are_due(
    store: Store, failed: Session, now: datetime
) -> None:
    for name, due in (("past", -5), ("now", 0), ("future", 5)):
        due_at = now + timedelta(minutes=due)
        await store.save_session(changed(failed, session_id=name, due_at=due_at), None)
    await store.save_session(changed(failed, session_id="never", due_at=None), None)
    assert [session.session_id for session in await store.due_sessions(now)] == ["past", "now"]
    assert [session.session_id for session in await store.due_sessions(now, limit=1)] == ["past"]


async def test_the_next_time_that_comes_is_told(store: Store, failed: Session, now: datetime) -> None:
    assert await store.next_due() is None
    await store.save_session(changed(failed, session_id="never", due_at=None), None)
    assert await store.next_due() is None
    for minutes in (9, 5, 7):
        due_at = now + timedelta(minutes=minutes)
        await store.save_session(changed(failed, session_id=f"in-{minutes}", due_at=due_at), None)
    assert await store.next_due() == now + timedelta(minutes=5)


async def test_a_run_finds_its_session_as_its_own_or_a_related_one(
    store: Store, failed: Session, now: datetime
) -> None:
    version = await store.save_session(changed(failed, related_runs=("run-2",)), None)
    for run_id in ("run-1", "run-2"):
        found = await store.session_for_run(run_id)
        assert found is not None
        assert found.session_id == "session-1"
    assert await store.session_for_run("run-3") is None
    await store.save_session(changed(failed, related_runs=("run-2", "run-3")), version)
    assert await store.session_for_run("run-3") is not None
    many = [f"other-{number}" for number in range(1200)]
    assert await store.runs_with_session(["run-1", *many, "run-3"]) == {"run-1", "run-3"}
    assert await store.runs_with_session([]) == set()
    later = changed(failed, session_id="session-2", start_time=now + timedelta(hours=1))
    await store.save_session(later, None)
    assert await store.session_for_run("run-1") == later


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, 1),
        ({"resolution_status": ResolutionStatus.ESCALATED}, 1),
        ({"resolution_status": ResolutionStatus.MANUAL}, 1),
        ({"resolution_status": ResolutionStatus.AUTO_RESOLVED}, 0),
        ({"resolution_status": ResolutionStatus.RESOLVED}, 0),
        ({"resolution_status": ResolutionStatus.CLOSED}, 0),
        ({"end_time": datetime.fromisoformat("2026-03-02T04:00:00+00:00")}, 0),
        ({"fingerprint": "another"}, 0),
    ],
    ids=["in-progress", "escalated", "manual", "auto-resolved", "resolved", "closed", "ended", "other-cause"],
)
async def test_an_open_session_of_a_cause_is_found_until_it_ends(
    store: Store, failed: Session, fields: dict[str, object], found: int
) -> None:
    session = changed(failed, **fields)
    await store.save_session(session, None)
    expected = session if found else None
    assert await store.open_session_for("cause-1", "deployment-1") == expected
    assert await store.open_session_for("cause-1") == expected
    assert await store.open_session_for("cause-1", "deployment-2") is None


async def test_a_deleted_session_leaves_its_audit_trail_and_journal(
    store: Store, failed: Session, now: datetime
) -> None:
    from prefect_autopilot.models import RetryRun

    await store.save_session(failed, None)
    await store.audit("watcher", "session.opened", "session-1", {}, now)
    retry = RetryRun(flow_run_id="run-1", delay_s=0)
    assert await store.journal_intent("session-1", "run-1", "st", 1, retry, None, now) is not None
    assert await store.delete_session("session-1", "ana", now)
    assert not await store.delete_session("session-1", "ana", now)
    assert await store.session_for_run("run-1") is None
    trail = await store.audit_trail("session-1")
    assert [(entry.actor, entry.action) for entry in trail] == [
        ("watcher", "session.opened"),
        ("ana", "session.deleted"),
    ]
    assert await store.journal_intent("session-1", "run-1", "st", 1, retry, None, now) is None


async def test_a_session_is_stored_without_secrets(store: Store, failed: Session) -> None:
    text = "connecting to postgres://app:hunter2@db/orders failed"
    await store.save_session(changed(failed, trail=(text,), recommendations=(text,)), None)
    session = await store.session("session-1")
    assert session is not None
    assert "hunter2" not in session.model_dump_json()
    assert session.trail == ("connecting to postgres://app:…(redacted)@db/orders failed",)


async def test_the_next_due_moment_is_that_of_the_earliest_waiting_session(
    store: Store, failed: Session, now: datetime
) -> None:
    assert await store.next_due() is None
    later = changed(failed, session_id="later", due_at=now + timedelta(seconds=60))
    for session in (
        later,
        changed(failed, due_at=now + timedelta(seconds=5)),
        changed(failed, session_id="over", due_at=None),
    ):
        await store.save_session(session.model_copy(update={"flow_run_id": session.session_id}), None)
    assert await store.next_due() == now + timedelta(seconds=5)
