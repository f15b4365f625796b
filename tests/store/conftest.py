"""Every test of the store runs on SQLite, and on PostgreSQL where a server is named."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefect_autopilot.models import RetryRun, RunRecord, StateRecord, TroubleshootingSession
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SERVER = os.environ.get("PREFECT_AUTOPILOT_TEST_POSTGRES_URL")


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database of its own for every test."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'autopilot.db'}"
        return
    if not SERVER:
        reason = "PREFECT_AUTOPILOT_TEST_POSTGRES_URL names no PostgreSQL server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    import asyncpg

    name = f"autopilot_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(SERVER)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield f"{SERVER.rsplit('/', 1)[0]}/{name}"
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture
async def store(url: str, lay_database: Callable[[str], None]) -> AsyncIterator[Store]:
    lay_database(url)
    async with Store.open(url) as opened:
        yield opened


@pytest.fixture
async def other(store: Store, url: str) -> AsyncIterator[Store]:
    """A second process's view: its own connections to the same database."""
    async with Store.open(url) as opened:
        yield opened


@pytest.fixture
def remedy() -> RetryRun:
    return RetryRun(flow_run_id="run-1", delay_s=2)


@pytest.fixture
def failed() -> TroubleshootingSession:
    return TroubleshootingSession(
        session_id="session-1",
        workflow_id="deployment-1",
        flow_run_id="run-1",
        run_count=1,
        fingerprint="cause-1",
        start_time=NOW,
        due_at=NOW,
    )


def record(
    run_id: str = "run-1", *, state: str = "COMPLETED", at: datetime = NOW, **fields: object
) -> RunRecord:
    return RunRecord.model_validate(
        {
            "id": run_id,
            "flow_name": "nightly-orders",
            "state": StateRecord(id=f"{run_id}-{state}", type=state, name=state.title(), timestamp=at),
            **fields,
        }
    )


@pytest.fixture
def make_run() -> object:
    return record
