"""A monitor that goes on from what was kept says what one says that saw all the runs."""

from __future__ import annotations

import random
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from prefect_autopilot.models import HistoryRun, RunSeries
from prefect_autopilot.monitoring import Monitor, detect
from prefect_autopilot.monitoring.checkpoint import freeze, thaw
from prefect_autopilot.monitoring.detection import Memory, resume

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = {"interval": 3600, "anchor_date": BEGIN.isoformat(), "timezone": "UTC"}


def a_series(kind: str, runs: int = 400) -> RunSeries:
    """Return hourly runs in whose last quarter something is wrong."""
    chance = random.Random(kind)
    history = []
    for i in range(runs):
        wrong = i >= runs * 3 // 4
        took = 60 * chance.lognormvariate(0, 0.1)
        if wrong and (kind == "shift" or (kind == "spike" and i % 20 == 0)):
            took *= 4
        state = "FAILED" if wrong and kind == "failures" and i % 2 else "COMPLETED"
        if kind == "missed" and runs * 3 // 4 <= i < runs * 3 // 4 + 5:
            continue
        history.append(
            HistoryRun(
                start=BEGIN + i * HOUR + timedelta(seconds=2),
                expected_start=BEGIN + i * HOUR,
                state=state,
                duration_s=took,
                retries=1 if wrong and kind == "retries" else 0,
                rows=0 if wrong and kind == "rows" and i % 9 == 0 else 1000 + chance.randrange(100),
                memory_mb=(500 + (4 * (i - runs * 3 // 4) if wrong and kind == "memory" else 0))
                * chance.lognormvariate(0, 0.02),
            )
        )
    limits = {"memory_mb": 1000.0}
    return RunSeries(
        id=kind, schedule=HOURLY, limits=limits, runs=tuple(history), now=history[-1].start + HOUR
    )


def in_passes(series: RunSeries, step: int) -> list[tuple[str, str]]:
    """Return what is found when the runs come ``step`` at a time."""
    memory: Memory | None = None
    found = None
    for end in range(step, len(series.runs) + step, step):
        seen = series.runs[:end]
        last = end >= len(series.runs)
        now = series.now if last else seen[-1].start + timedelta(minutes=20)
        found = resume(series.model_copy(update={"runs": seen, "now": now}), memory)
        assert found is not None
        memory = found.memory
    assert found is not None
    return [(one.kind, one.as_anomaly().start.isoformat()) for one in found.monitor.findings]


KINDS = ("quiet", "spike", "shift", "failures", "retries", "rows", "memory", "missed")


@pytest.mark.parametrize("step", [13, 90])
@pytest.mark.parametrize("kind", KINDS)
def test_passes_find_what_one_look_at_everything_finds(kind: str, step: int) -> None:
    series = a_series(kind)
    at_once = [(one.kind, one.start.isoformat()) for one in detect([series])[kind]]
    assert in_passes(series, step) == at_once
    assert bool(at_once) == (kind != "quiet")


def test_a_run_under_way_is_judged_anew_until_it_ends() -> None:
    series = a_series("quiet", 60)
    running = HistoryRun(start=series.runs[-1].start + HOUR, state="RUNNING")
    now = running.start + timedelta(minutes=30)
    found = resume(series.model_copy(update={"runs": (*series.runs, running), "now": now}), None)
    assert found is not None
    assert found.memory is not None
    assert found.memory.through == series.runs[-1].start
    assert [one.kind for one in found.monitor.findings] == ["stuck_run"]


def test_a_young_run_may_still_get_another_before_it() -> None:
    series = a_series("quiet", 60)
    found = resume(series.model_copy(update={"now": series.runs[-1].start + timedelta(minutes=5)}), None)
    assert found is not None
    assert found.memory is not None
    assert found.memory.through == series.runs[-2].start


def test_runs_of_one_start_are_settled_together() -> None:
    series = a_series("quiet", 60)
    twin = series.runs[-1].model_copy(update={"state": "RUNNING", "duration_s": None})
    runs = (*series.runs, twin)
    found = resume(series.model_copy(update={"runs": runs}), None)
    assert found is not None
    assert found.memory is not None
    assert found.memory.through == series.runs[-2].start


def test_without_settled_runs_nothing_is_kept() -> None:
    series = a_series("quiet", 1)
    found = resume(series.model_copy(update={"now": series.runs[0].start}), None)
    assert found is not None
    assert found.memory is None


def test_what_is_kept_does_not_grow_with_the_runs() -> None:
    sizes = []
    for count in (600, 1500):
        series = a_series("spike", count)
        found = resume(series, None)
        assert found is not None
        assert found.memory is not None
        sizes.append(len(found.memory.state))
    assert sizes[1] < 1.35 * sizes[0]


def frozen(series: RunSeries) -> bytes:
    """Return the state of a monitor that saw the series."""
    monitor = Monitor(series)
    for run in series.runs:
        monitor.observe(run)
    return freeze(monitor, series)


UNUSABLE = {
    "empty": b"",
    "no-archive": b"{}",
    "no-json": zlib.compress(b"\xff"),
    "no-object": zlib.compress(b"[]"),
    "other-version": zlib.compress(b'{"version": 0, "settings": "", "state": {}}'),
}


@pytest.mark.parametrize("held", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_bytes_that_cannot_be_used_are_not_used(held: bytes) -> None:
    assert thaw(held, a_series("quiet", 5)) is None


def test_a_state_that_lacks_a_part_is_not_used() -> None:
    series = a_series("quiet", 5)
    text = zlib.decompress(frozen(series))
    assert thaw(zlib.compress(text.replace(b'"_incidents"', b'"_others"')), series) is None


@pytest.mark.parametrize(
    "change",
    [{"schedule": None}, {"limits": {}}, {"schedule": {**HOURLY, "interval": 60}}],
    ids=["no-schedule", "no-limit", "other-interval"],
)
def test_other_settings_need_a_new_monitor(change: dict[str, object]) -> None:
    series = a_series("quiet", 30)
    assert thaw(frozen(series), series) is not None
    assert thaw(frozen(series), series.model_copy(update=change)) is None


def test_an_unusable_memory_asks_for_all_the_runs() -> None:
    series = a_series("quiet", 30)
    assert resume(series, Memory(series.runs[3].start, b"torn")) is None
