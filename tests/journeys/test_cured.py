"""A failure that people were asked about is written down as over with the good run that shows it."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.cured import look_for_cures
from prefect_autopilot.models import ResolutionStatus
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting.report import recognised

BUG = "KeyError: 'total'"


async def handed_over(desk: Any, prefect: Any, run: str = "run-1") -> Any:
    prefect.fail(run, error=BUG)
    prefect.runs[run] |= {"deployment_version": "1.2", "parameters": {"region": "eu"}}
    session = await resolve.take_up(desk, await desk.api.run(run))
    assert session is not None
    desk.clock.forward(8)
    return await resolve.advance(desk, session.session_id)


async def good(desk: Any, prefect: Any, run: str, version: str = "1.2", region: str = "eu") -> None:
    desk.clock.forward(600)
    prefect.finish(run)
    prefect.runs[run] |= {"deployment_version": version, "parameters": {"region": region}}


async def look(desk: Any, prefect: Any) -> None:
    await desk.store.upsert_runs([await desk.api.run(run) for run in prefect.runs])
    await look_for_cures(desk)


async def test_the_next_good_run_is_told_with_its_version_and_recognised_when_the_cause_is_back(
    desk: Any, prefect: Any
) -> None:
    first = await handed_over(desk, prefect)
    await good(desk, prefect, "run-2", version="1.3", region="us")
    for _ in range(2):
        await look(desk, prefect)
    session = await desk.store.session(first.session_id)
    assert session.good_again.changed == ("version 1.2 to 1.3", "parameter region")
    assert session.resolution_status is ResolutionStatus.ESCALATED
    said = "good again since 2026-03-02 03:10 UTC on version 1.3, run run-2"
    assert said in session.trail[-1]
    assert said in prefect.artifacts[-1]["data"].replace("\\", "")
    told = [one.notice for one in await desk.store.pending_notices(desk.clock(), "webhook")]
    assert [one.outcome for one in told] == ["escalated", "info"]
    assert said in told[1].title
    trail = [one.action for one in await desk.store.audit_trail(first.session_id)]
    assert trail.count("good again") == 1
    back = await handed_over(desk, prefect, "run-3")
    assert back.session_id != first.session_id, "what was over and is back is news"
    assert f"seen 2 times on this workflow, before on 2026-03-02; {said}" in recognised(back)


@pytest.mark.parametrize(
    ("runs", "seen"),
    [
        pytest.param([], None, id="nothing ran"),
        pytest.param([("run-1", "1.2", "eu")], "run-1", id="the run itself, started again"),
        pytest.param([("run-2", "1.2", "eu")], "run-2", id="the same work"),
        pytest.param([("run-2", "1.2", "us")], None, id="other work, nothing changed"),
        pytest.param([(f"run-{n}", "1.2", "us") for n in (2, 3, 4)], "run-2", id="three in a row"),
        pytest.param([("run-2", "1.2", "eu"), "run-3"], None, id="failed since"),
    ],
)
async def test_a_good_run_counts_where_it_shows_that_the_cause_is_gone(
    desk: Any, prefect: Any, runs: list[Any], seen: str | None
) -> None:
    first = await handed_over(desk, prefect)
    for run in runs:
        if isinstance(run, str):
            prefect.fail(run, error=BUG)
        else:
            await good(desk, prefect, *run)
    await look(desk, prefect)
    session = await desk.store.session(first.session_id)
    assert (session.good_again and session.good_again.run_id) == seen


async def test_a_change_of_the_deployment_is_named(desk: Any, prefect: Any, store: Store) -> None:
    await store.updated({"dep-1": {"entrypoint": "a", "version": "1"}}, desk.clock())
    first = await handed_over(desk, prefect)
    await store.updated({"dep-1": {"entrypoint": "b", "version": "1"}}, desk.clock())
    await good(desk, prefect, "run-2", region="us")
    await look(desk, prefect)
    session = await store.session(first.session_id)
    assert session is not None
    assert session.good_again is not None
    assert session.good_again.changed == ("entrypoint of the deployment", "parameter region")
