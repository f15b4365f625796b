"""Remedies at most once: an intent is written before, its result after, and nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import AskOwner, RefreshCredentials, RetryRun
from prefect_autopilot.store import Store

pytestmark = pytest.mark.anyio


async def intend(
    store: Store, remedy: RetryRun, now: datetime, *, token: int | None = None, state: str = "st"
) -> int | None:
    return await store.journal_intent("s", remedy.flow_run_id, state, 1, remedy, token, now)


async def test_an_intent_and_its_result_are_read_back(store: Store, remedy: RetryRun, now: datetime) -> None:
    entry_id = await intend(store, remedy, now)
    assert entry_id is not None
    (entry,) = await store.open_intents()
    assert (entry.id, entry.remedy, entry.intended_at, entry.outcome) == (entry_id, remedy, now, None)
    await store.journal_result(entry_id, "applied", "state accepted", now + timedelta(seconds=1))
    assert await store.open_intents() == ()
    (entry,) = await store.journal("s")
    assert (entry.outcome, entry.detail) == ("applied", "state accepted")
    assert entry.finished_at == now + timedelta(seconds=1)


async def test_the_same_remedy_for_the_same_state_is_intended_once(
    store: Store, other: Store, remedy: RetryRun, now: datetime
) -> None:
    assert await intend(store, remedy, now) is not None
    assert await intend(other, remedy, now) is None
    assert await intend(other, remedy.model_copy(update={"delay_s": 60}), now) is None, "whatever its delay"


async def test_a_finished_remedy_is_not_intended_again(store: Store, remedy: RetryRun, now: datetime) -> None:
    entry_id = await intend(store, remedy, now)
    assert entry_id is not None
    await store.journal_result(entry_id, "failed", "503", now)
    assert await intend(store, remedy, now + timedelta(days=1)) is None


async def test_a_new_state_or_another_kind_of_remedy_is_another_intent(
    store: Store, remedy: RetryRun, now: datetime
) -> None:
    refresh = RefreshCredentials(flow_run_id="run-1", connection="crm")
    assert await intend(store, remedy, now) is not None
    assert await intend(store, remedy, now, state="st-2") is not None
    assert await store.journal_intent("s", "run-1", "st", 1, refresh, None, now) is not None


async def test_of_many_intents_at_once_exactly_one_is_written(
    store: Store, other: Store, remedy: RetryRun, now: datetime
) -> None:
    attempts = [intend(side, remedy, now) for _ in range(10) for side in (store, other)]
    ids = await asyncio.gather(*attempts)
    assert len([entry_id for entry_id in ids if entry_id is not None]) == 1
    assert len(await store.open_intents()) == 1


async def test_an_outdated_token_is_refused_and_writes_nothing(
    store: Store, other: Store, remedy: RetryRun, now: datetime
) -> None:
    stale = await store.acquire_lease("watcher", "a", 30, now)
    later = now + timedelta(seconds=60)
    fresh = await other.acquire_lease("watcher", "b", 30, later)
    with pytest.raises(ConflictError, match="no longer ours"):
        await intend(store, remedy, later, token=stale)
    assert await store.open_intents() == ()
    assert await intend(other, remedy, later, token=fresh) is not None


@pytest.mark.parametrize("token", [0, 1, 99], ids=str)
async def test_a_token_of_a_lease_that_nobody_took_is_refused(
    store: Store, remedy: RetryRun, now: datetime, token: int
) -> None:
    with pytest.raises(ConflictError):
        await intend(store, remedy, now, token=token)
    assert await store.attempts_for("run-1") == 0


async def test_a_lease_that_ran_out_is_refused_even_if_nobody_took_it(
    store: Store, remedy: RetryRun, now: datetime
) -> None:
    token = await store.acquire_lease("watcher", "a", 30, now)
    with pytest.raises(ConflictError):
        await intend(store, remedy, now + timedelta(seconds=30), token=token)
    assert await store.open_intents() == ()


async def test_a_released_lease_is_refused(store: Store, remedy: RetryRun, now: datetime) -> None:
    token = await store.acquire_lease("watcher", "a", 30, now)
    assert token is not None
    await store.release_lease("watcher", token)
    with pytest.raises(ConflictError):
        await intend(store, remedy, now, token=token)


async def test_a_result_is_written_once(store: Store, remedy: RetryRun, now: datetime) -> None:
    entry_id = await intend(store, remedy, now)
    assert entry_id is not None
    await store.journal_result(entry_id, "unknown", "crashed in between", now)
    with pytest.raises(ConflictError, match="already ended as unknown"):
        await store.journal_result(entry_id, "applied", "", now)


async def test_a_result_without_an_intent_is_refused(store: Store, now: datetime) -> None:
    with pytest.raises(UnknownNameError):
        await store.journal_result(7, "applied", "", now)


async def test_acts_are_counted_and_questions_are_not(store: Store, remedy: RetryRun, now: datetime) -> None:
    first = await intend(store, remedy, now - timedelta(minutes=5))
    await intend(store, remedy, now, state="st-2")
    skipped = await intend(store, remedy, now, state="st-3")
    await store.journal_intent("s", "run-1", "st", 1, AskOwner(flow_run_id="run-1", advice="x"), None, now)
    assert first is not None
    assert skipped is not None
    await store.journal_result(first, "failed", "", now)
    await store.journal_result(skipped, "skipped", "a person acted first", now)
    assert await store.attempts_for("run-1") == 2
    assert await store.attempts_for("run-2") == 0
    assert await store.remedies_since(now - timedelta(minutes=1)) == 1
    assert await store.remedies_since(now - timedelta(hours=1)) == 2


async def test_the_journal_holds_no_secret(store: Store, now: datetime) -> None:
    ask = AskOwner(flow_run_id="run-1", advice="log in with password=hunter2")
    entry_id = await store.journal_intent("s", "run-1", "st", 1, ask, None, now)
    assert entry_id is not None
    await store.journal_result(entry_id, "failed", "Authorization: Bearer abcd1234abcd1234", now)
    (entry,) = await store.journal("s")
    assert "hunter2" not in entry.model_dump_json()
    assert entry.detail == "Authorization: Bearer …(redacted)"


async def test_failed_verifications_count_since_the_last_good_one(store: Store, now: datetime) -> None:
    async def found(attempt: int, outcome: str, deployment: str | None = "d") -> None:
        at = now + timedelta(minutes=attempt)
        await store.record_verification("s", attempt, "cause", deployment, outcome, at)  # type: ignore[arg-type]

    await found(1, "failed")
    await found(2, "failed")
    await found(3, "unverified")
    assert await store.failed_verifications("cause", "d") == 2
    assert await store.failed_verifications("cause", "other") == 0
    assert await store.failed_verifications("other", "d") == 0
    await found(4, "verified")
    assert await store.failed_verifications("cause", "d") == 0
    await found(5, "failed")
    await found(5, "failed")
    assert await store.failed_verifications("cause", "d") == 1, "one attempt counts once"
    await found(6, "failed", None)
    assert await store.failed_verifications("cause", None) == 1


CRASH = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from prefect_autopilot.models import RetryRun
from prefect_autopilot.store import Store

async def main():
    now = datetime(2026, 3, 2, tzinfo=UTC)
    async with Store.open(sys.argv[1]) as store:
        remedy = RetryRun(flow_run_id="run-1", delay_s=0)
        await store.journal_intent("s", "run-1", "st", 1, remedy, None, now)
        if sys.argv[2] == "inside":
            async with store._database.write() as connection:
                from prefect_autopilot.store import tables
                await connection.execute(tables.journal.update().values(outcome="applied"))
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("point", ["after", "inside"])
async def test_a_crash_between_intent_and_result_leaves_an_open_intent(
    url: str, remedy: RetryRun, now: datetime, tmp_path: Path, point: str
) -> None:
    script = tmp_path / "crash.py"
    script.write_text(textwrap.dedent(CRASH))
    crashed = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(script), url, point], check=False, env=os.environ
    )
    assert crashed.returncode == -signal.SIGKILL
    async with Store.open(url) as store:
        (entry,) = await store.open_intents()
        assert (entry.flow_run_id, entry.outcome) == ("run-1", None)
        assert await intend(store, remedy, now) is None, "nobody repeats what may have happened"


@pytest.mark.parametrize("seconds", [0, 59], ids=["at once", "within the minute"])
async def test_sessions_side_by_side_do_not_spend_the_same_budget(
    store: Store, other: Store, now: datetime, seconds: int
) -> None:
    async def spend(opened: Store, number: int, at: datetime) -> int | None:
        remedy = RetryRun(flow_run_id=f"run-{number}", delay_s=0)
        return await opened.journal_intent(
            "s", remedy.flow_run_id, "st", 1, remedy, None, at, most_per_minute=2
        )

    assert await spend(store, 1, now) is not None
    assert await spend(other, 2, now) is not None
    later = now + timedelta(seconds=seconds)
    with pytest.raises(ConflictError, match="2 of 2") as told:
        await spend(other, 3, later)
    assert not told.value.permanent
    assert len(await store.journal("s")) == 2
    assert await spend(other, 3, now + timedelta(seconds=61)) is not None


async def test_of_many_that_spend_at_once_no_more_than_the_budget_succeed(
    store: Store, now: datetime
) -> None:
    async def spend(number: int) -> bool:
        remedy = RetryRun(flow_run_id=f"run-{number}", delay_s=0)
        try:
            return (
                await store.journal_intent(
                    "s", remedy.flow_run_id, "st", 1, remedy, None, now, most_per_minute=3
                )
                is not None
            )
        except ConflictError:
            return False

    assert sum(await asyncio.gather(*(spend(number) for number in range(10)))) == 3
