"""What is read around a failure reaches its session, through the journey that the watcher takes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from prefect_autopilot.journeys import resolve
from prefect_autopilot.models import FindingPattern

RAW = "22222222-0000-4000-8000-000000000000"
BUG = "KeyError: 'total'"
REFUSED = "PermissionError: 401 Unauthorized: the token was rejected"


async def session_of(desk: Any, run: str) -> Any:
    taken = await resolve.take_up(desk, await desk.api.run(run))
    assert taken is not None
    desk.clock.forward(40)
    return await resolve.advance(desk, taken.session_id)


def chained(prefect: Any) -> None:
    match = {"prefect.resource.id": f"prefect.deployment.{RAW}"}
    trigger = {"expect": ["prefect.flow-run.Completed"], "match_related": match}
    action = {"type": "run-deployment", "deployment_id": "dep-1"}
    prefect.automations = [{"name": "chain", "enabled": True, "trigger": trigger, "actions": [action]}]
    prefect.other_deployments = [{"id": RAW, "name": "raw"}]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "not tied"])
async def test_failures_of_what_waits_for_stale_input_name_the_workflow_before(
    desk: Any, prefect: Any, *, tied: bool
) -> None:
    if tied:
        chained(prefect)
    for number in range(9):
        desk.clock.forward(1800)
        if number < 6:
            prefect.finish(f"raw-{number}")
            prefect.runs[f"raw-{number}"]["deployment_id"] = RAW
        desk.clock.forward(60)
        (prefect.finish if number < 6 else prefect.fail)(
            f"run-{number}", **({"error": BUG} if number > 5 else {})
        )
    session = await session_of(desk, "run-8")
    chain = [one for one in session.findings if one.pattern is FindingPattern.DEPENDENCY_CHAIN]
    assert len(chain) == tied
    if tied:
        assert "upstream = raw" in chain[0].description
        assert any("this one comes after it (automation 'chain')" in one for one in session.facts)


async def test_the_error_of_an_earlier_attempt_is_not_the_one_of_this_one(desk: Any, prefect: Any) -> None:
    prefect.fail("run-1", error=REFUSED)
    desk.clock.forward(600)
    prefect.start("run-1")
    line = {"level": 40, "message": "Finished in state Failed()", "name": "prefect.flow_runs"}
    prefect.logs["run-1"].append(line | {"timestamp": desk.clock().isoformat()})
    prefect.add_state("run-1", "FAILED", "Failed", "")
    session = await session_of(desk, "run-1")
    assert "401" not in session.diagnosis.model_dump_json()


async def test_who_else_uses_the_data_reaches_the_advice(desk_over: Any, prefect: Any) -> None:
    def with_events(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events/filter"):
            return httpx.Response(200, json={"events": [], "next_page": None})
        answer: httpx.Response = prefect(request)
        return answer

    place = "s3://lake/raw/orders"
    prefect.other_deployments = [{"id": RAW, "name": "ingest", "parameters": {"target": place}}]
    prefect.fail(
        "run-1", error="pandas.errors.ParserError: Error tokenizing data. C error: Expected 3 fields"
    )
    prefect.runs["run-1"]["parameters"] = {"source": place}
    session = await session_of(desk_over(with_events), "run-1")
    assert any("which its parameter source names, too" in one for one in session.facts)
