"""Histories as the tests need them: seeded noise, one change at a time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.models import RunRecord, RunSeries, StateRecord

FIRST = datetime(2026, 1, 5, tzinfo=UTC)

Change = Callable[[int, dict[str, Any]], dict[str, Any] | None]


def make_history(
    n: int = 240,
    *,
    change: Change | None = None,
    interval: float = 3600,
    seed: int = 7,
    noise: float = 0.08,
    schedule: dict[str, Any] | None = None,
    **more: Any,
) -> RunSeries:
    """A healthy history of ``n`` runs; ``change`` alters run i, or drops it with None."""
    rng = random.Random(seed)
    runs: list[dict[str, Any]] = []
    ends: list[datetime] = []
    for i in range(n):
        expected = FIRST + timedelta(seconds=interval * i)
        run: dict[str, Any] = {
            "start": expected + timedelta(seconds=rng.uniform(1, 4)),
            "expected_start": expected,
            "state": "COMPLETED",
            "duration_s": 60 * rng.lognormvariate(0, noise),
            "version": "v1",
            "retries": 0,
            "rows": round(10_000 * rng.lognormvariate(0, 0.05)),
            "memory_mb": 500 * rng.lognormvariate(0, 0.02),
        }
        changed = run if change is None else change(i, run)
        if changed is not None:
            runs.append(changed)
            lasted = changed["duration_s"] or 0
            ends.append(changed["start"] + timedelta(seconds=lasted if math.isfinite(lasted) else 0))
    default = {"interval": interval, "anchor_date": FIRST.isoformat(), "timezone": "UTC"}
    row = {"id": "s", "deployment": "d", "schedule": schedule or default, "runs": runs} | more
    row.setdefault("now", max(ends, default=FIRST) + timedelta(seconds=1))
    return RunSeries.model_validate(row)


@pytest.fixture(scope="session")
def history() -> Callable[..., RunSeries]:
    return make_history


def make_record(
    number: int,
    state: str = "COMPLETED",
    *,
    start: datetime,
    duration: float | None = 60.0,
    late: float = 2.0,
    **more: Any,
) -> RunRecord:
    """One stored run."""
    end = None if duration is None else start + timedelta(seconds=duration)
    fields: dict[str, Any] = {
        "id": f"run-{number}",
        "flow_name": "orders",
        "deployment_id": "dep-1",
        "deployment_name": "prod",
        "work_pool": "pool",
        "run_count": 1,
        "state": StateRecord(
            id=f"state-{number}-{state}", type=state, name=state.title(), timestamp=end or start
        ),
        "start": start,
        "expected_start": start - timedelta(seconds=late),
        "end": end,
        "duration_s": duration,
    }
    return RunRecord.model_validate(fields | more)


@pytest.fixture(scope="session")
def record() -> Callable[..., RunRecord]:
    return make_record


@pytest.fixture(scope="session")
def records(now: datetime) -> Callable[..., list[RunRecord]]:
    """Hourly runs up to an hour before now, from a list of states."""

    def build(states: Iterable[str], *, seed: int = 3, **more: Any) -> list[RunRecord]:
        rng = random.Random(seed)
        given = list(states)
        return [
            make_record(
                i,
                state,
                start=now - timedelta(hours=len(given) - i),
                **({"duration": 60 * rng.lognormvariate(0, 0.08)} | more),
            )
            for i, state in enumerate(given)
        ]

    return build
