"""What a flow measures of itself reaches our store: as an event, and as an artifact; nothing else does."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events.worker import EventsWorker

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.hooks import emit_metric, measured
from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.improve import history_of
from prefect_autopilot.models import RunRecord
from prefect_autopilot.store import Store

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


def test_what_a_flow_measures_is_read_with_its_run(server: Any) -> None:
    @task
    @measured
    def load(_day: str) -> None:
        emit_metric("rows", 1200)

    @flow(name="measured-orders")
    def work() -> list[bool]:
        load("monday")
        load("monday")
        create_table_artifact([{"order": 1}, {"order": 2}], key="metric-left-out")
        create_markdown_artifact("nobody counts this", key="notes")
        return [emit_metric("score", 0.5), emit_metric("score", 0.75), emit_metric("Score!", 1)]

    assert work() == [True, True, False]
    EventsWorker.instance().wait_until_empty()
    EventsWorker.instance().drain()

    async def read(store: Store) -> RunRecord:
        async with PrefectAPI(server.url) as api:
            now = datetime.now(UTC)
            await observe.ingest(api, store, now)
            for _ in range(150):  # the server writes events behind the scenes
                await observe.measure(api, store, datetime.now(UTC))
                (run,) = await store.runs(flow_name="measured-orders")
                if run.measures == told:
                    break
                await asyncio.sleep(0.2)
            timing = (await history_of(api, "measured-orders")).tasks["load"]
            assert timing.repeat_share == 0.5
            assert timing.cpu_share is not None
            assert 0 <= timing.cpu_share <= 1
        return run

    told = {"rows": 1200.0, "score": 0.75, "left_out": 2.0}
    assert server.stored(read).measures == told


def test_a_measured_function_does_what_it_did() -> None:
    @measured
    def first(rows: Iterator[int], *, default: int = 0) -> int:
        """Return the first."""
        return next(rows, default)

    @measured
    async def awaited(n: int) -> int:
        return n

    rows = iter([1, 2])
    assert (first(rows), first(rows), first(rows, default=7)) == (1, 2, 7), "nothing is consumed for a digest"
    assert first.__doc__ == "Return the first."
    assert inspect.iscoroutinefunction(awaited)
    assert asyncio.run(awaited(3)) == 3
    with pytest.raises(TypeError, match="not an iterator"):
        first(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "5", None])
def test_what_is_no_number_is_told_in_the_log_and_not_raised(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="prefect_autopilot.hooks"):
        assert emit_metric("rows", value) is False
    assert "needs a finite number" in caplog.text


def test_outside_of_a_run_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="prefect_autopilot.hooks"):
        assert emit_metric("rows", 5) is False
    assert "belongs into a flow or task" in caplog.text
