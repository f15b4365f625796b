"""The further runs of a storm: claimed once, moved from stage to stage, never another session's."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from prefect_autopilot.store import Store, run_claim

pytestmark = pytest.mark.anyio
RUNS = [(f"run-{number:03}", 1) for number in range(450)]


async def test_runs_are_joined_once_and_in_number(store: Store, now: datetime) -> None:
    assert await store.join_storm("s", RUNS, now) == 450
    assert await store.join_storm("s", RUNS, now) == 0
    assert await store.storm_counts("s") == {"waiting": 450}
    assert await store.claimed_by(run_claim("run-007", 1)) == "storm:s:waiting"


async def test_what_somebody_claimed_before_is_not_the_storms(store: Store, now: datetime) -> None:
    await store.claim(run_claim("run-000", 1), "watcher", now)
    assert await store.join_storm("s", RUNS[:3], now) == 2
    assert await store.storm_runs("s", "waiting", 10) == (("run-001", 1), ("run-002", 1))


async def test_another_start_of_the_same_run_is_another_failure(store: Store, now: datetime) -> None:
    await store.join_storm("s", [("run-1", 1)], now)
    assert await store.join_storm("s", [("run-1", 2)], now) == 1
    assert await store.storm_runs("s", "waiting", 10) == (("run-1", 1), ("run-1", 2))


async def test_runs_move_from_stage_to_stage(store: Store, now: datetime) -> None:
    await store.join_storm("s", RUNS, now)
    await store.move_storm_runs("s", RUNS[:300], "released", now + timedelta(seconds=1))
    await store.move_storm_runs("s", RUNS[:10], "resolved", now + timedelta(seconds=2))
    await store.move_storm_runs("s", RUNS[10:11], "failed", now + timedelta(seconds=2))
    assert await store.storm_counts("s") == {"waiting": 150, "released": 289, "resolved": 10, "failed": 1}
    assert await store.storm_runs("s", "waiting", 1) == (RUNS[300],)
    assert await store.storm_runs("s", "left", 10) == ()


async def test_a_storm_moves_no_other_storms_runs(store: Store, now: datetime) -> None:
    await store.join_storm("one", RUNS[:2], now)
    await store.join_storm("two", RUNS[2:4], now)
    await store.move_storm_runs("one", RUNS[:4], "left", now)
    assert await store.storm_counts("one") == {"left": 2}
    assert await store.storm_counts("two") == {"waiting": 2}


async def test_a_run_of_a_storm_leads_to_its_session(store: Store, now: datetime) -> None:
    from prefect_autopilot.troubleshooting import session as steps

    opened = steps.start("s", "dep-1", flow_run_id="canary", run_count=1, now=now)
    assert await store.claim_session(opened, "watcher", now)
    await store.join_storm("s", RUNS[:2], now)
    found = await store.session_for_run("run-001")
    assert found is not None
    assert found.session_id == "s"


async def test_no_runs_are_no_storm(store: Store, now: datetime) -> None:
    assert await store.join_storm("s", [], now) == 0
    assert await store.storm_counts("s") == {}
