"""A failed run as it is read, with every part replaceable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import Evidence, LogRecord, RunRecord, StateRecord, TaskRunRecord

FAILED_AT = datetime(2026, 3, 2, 2, 59, 50, tzinfo=UTC)
BEGUN_AT = FAILED_AT - timedelta(seconds=20)


def make_state(
    kind: str = "FAILED", *, at: datetime = FAILED_AT, message: str | None = None, ident: str = "s1"
) -> StateRecord:
    return StateRecord(id=ident, type=kind, name=kind.title(), timestamp=at, message=message)


def make_run(**changes: Any) -> RunRecord:
    base: dict[str, Any] = {
        "id": "run-1",
        "flow_id": "flow-1",
        "flow_name": "load-orders",
        "deployment_id": "dep-1",
        "deployment_name": "load-orders/prod",
        "run_count": 1,
        "state": make_state(),
        "expected_start": BEGUN_AT,
        "start": BEGUN_AT,
    }
    return RunRecord(**(base | changes))


def make_log(message: str, *, level: int = 40, seconds: float = -1) -> LogRecord:
    return LogRecord(timestamp=FAILED_AT + timedelta(seconds=seconds), level=level, message=message)


def make_task(name: str, kind: str, *, message: str | None = None, attempt: int = 1) -> TaskRunRecord:
    return TaskRunRecord(
        id=name, name=name, state=make_state(kind, message=message), flow_run_run_count=attempt
    )


def make_evidence(message: str | None = None, **changes: Any) -> Evidence:
    run = changes.pop("run", None) or make_run(state=make_state(message=message))
    begun = make_state("RUNNING", at=BEGUN_AT, ident="s0")
    base: dict[str, Any] = {
        "run": run,
        "states": (begun, run.state),
        "read_at": FAILED_AT + timedelta(seconds=5),
    }
    return Evidence(**(base | changes))


@pytest.fixture(scope="session")
def state() -> Callable[..., StateRecord]:
    return make_state


@pytest.fixture(scope="session")
def run() -> Callable[..., RunRecord]:
    return make_run


@pytest.fixture(scope="session")
def log() -> Callable[..., LogRecord]:
    return make_log


@pytest.fixture(scope="session")
def task() -> Callable[..., TaskRunRecord]:
    return make_task


@pytest.fixture(scope="session")
def evidence() -> Callable[..., Evidence]:
    return make_evidence


@pytest.fixture(scope="session")
def failed_at() -> datetime:
    return FAILED_AT
