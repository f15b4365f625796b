"""Hooks in users' flows: runs are taken in at once, failures diagnosed, and nothing is raised into a run."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from prefect_autopilot import hooks
from prefect_autopilot.hooks import on_completion, on_crashed, on_failure, watch
from prefect_autopilot.models import StateRecord

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


def test_a_watched_flow_keeps_its_own_hooks_and_gets_each_of_ours_once() -> None:
    def theirs(*_: Any) -> None:
        """A hook of the user's."""

    @flow(on_failure=[theirs])
    def work() -> int:
        return 1

    watched = watch(watch(work))
    assert watched.on_failure_hooks == [theirs, on_failure]
    assert watched.on_completion_hooks == [on_completion]
    assert watched.on_crashed_hooks == [on_crashed]
    assert work.on_failure_hooks == [theirs], "the flow itself is left as it is"
    assert watched.name == work.name


def test_runs_of_a_watched_flow_are_in_the_store_when_they_end(server: Any) -> None:
    @watch
    @flow(name="watched-orders")
    def work(fails: bool) -> int:  # noqa: FBT001 - a parameter of a flow
        if fails:
            raise KeyError("total")
        return 7

    assert work(fails=False) == 7
    with pytest.raises(KeyError, match="total"):
        work(fails=True)
    runs = server.stored(lambda store: store.runs(flow_name="watched-orders"))
    assert sorted(run.state.type for run in runs) == ["COMPLETED", "FAILED"]
    sessions = server.stored(lambda store: store.sessions(workflow_id="watched-orders"))
    assert [session.origin for session in sessions] == ["flow"]
    assert sessions[0].diagnosis is not None
    assert "KeyError" in (sessions[0].diagnosis.exception or "")


def test_hooks_work_within_a_loop(server: Any) -> None:
    @flow(name="watched-async", on_completion=[on_completion])
    async def work() -> int:
        return 5

    assert asyncio.run(work()) == 5
    runs = server.stored(lambda store: store.runs(flow_name="watched-async"))
    assert [run.state.type for run in runs] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_AUTOPILOT_STORE_URL", "mysql://nobody"),
        ("PREFECT_AUTOPILOT_STORE_URL", "sqlite:////proc/none/autopilot.db"),
        ("PREFECT_AUTOPILOT_POLL_INTERVAL_S", "often"),
    ],
    ids=["an unknown database", "a database that cannot be written", "a wrong setting"],
)
def test_nothing_is_raised_into_the_run(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    @watch
    @flow(name="watched-anyway")
    def work() -> int:
        return 3

    with caplog.at_level(logging.WARNING, logger="prefect_autopilot.hooks"):
        assert work() == 3
    assert "was not taken in" in caplog.text
    assert not server.home.joinpath("autopilot.db").exists()


def test_what_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def hangs(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(hooks, "WITHIN_S", 0.05)
    monkeypatch.setattr(hooks, "_record", hangs)
    from datetime import UTC, datetime

    state = StateRecord(
        id="s", type="COMPLETED", name="Completed", timestamp=datetime(2026, 3, 2, tzinfo=UTC)
    )
    with caplog.at_level(logging.WARNING, logger="prefect_autopilot.hooks"):
        hooks._to_its_end("run-1", state, {})
    assert "run-1 was not taken in within" in caplog.text


def test_our_own_flows_are_not_taken_in(server: Any) -> None:
    @watch
    @flow(name="autopilot-something")
    def work() -> int:
        return 1

    assert work() == 1
    assert not Path(server.home / "autopilot.db").exists()
