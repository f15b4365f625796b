"""What waits for a failed workflow, and what it waits for, is told of failures that last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.linked import with_linked
from prefect_autopilot.models import Evidence, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose, facts

AT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
OWN, MARTS, RAW, MAIL = (f"{n}" * 8 + "-0000-4000-8000-000000000000" for n in "1234")
LASTS = "Flow run encountered an exception: KeyError: 'WAREHOUSE_DSN' (environment variable is not set)"
PASSES = "Flow run encountered an exception: ConnectionRefusedError: [Errno 111] Connection refused"
Linked = Callable[..., Awaitable[Evidence]]


def chained(
    first: str, then: str, *, on: str = "Completed", name: str = "chain", **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "enabled": True,
        "trigger": {
            "expect": [f"prefect.flow-run.{on}"],
            "match_related": {"prefect.resource.id": f"prefect.deployment.{first}"},
        },
        "actions": [{"type": "run-deployment", "deployment_id": then}],
    } | more


class Prefect:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.answers: dict[str, Any] = {}
        self.names = {MARTS: "marts", RAW: "raw", MAIL: "mail"}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = request.content.decode()
        self.calls.append((path, body))
        if path == "/deployments/filter" and '"id"' in body:
            return httpx.Response(
                200, json=[{"id": key, "name": name} for key, name in self.names.items() if key in body]
            )
        answer = self.answers.get(path, [])
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def linked(prefect: Prefect) -> Linked:
    async def read(message: str = LASTS, *, deployment: str | None = OWN, kind: str = "FAILED") -> Evidence:
        state = StateRecord(id="s", type=kind, name=kind.title(), timestamp=AT, message=message)
        run = RunRecord(
            id="r", flow_name="load", deployment_name="prod", deployment_id=deployment, state=state,
            start=AT - timedelta(minutes=5),
        )  # fmt: skip
        evidence = Evidence(run=run, read_at=AT)
        transport = httpx.MockTransport(prefect)
        async with PrefectAPI("http://prefect.test/api", transport=transport, tries=1) as api:
            return await with_linked(api, evidence, diagnose(evidence))

    return read


def told(evidence: Evidence) -> dict[str, str]:
    return {line.where: line.text for line in evidence.surroundings}


def run_of(deployment: str, minutes: float, state: str) -> dict[str, Any]:
    at = (AT + timedelta(minutes=minutes)).isoformat()
    found = {"id": f"run-{state.lower()}", "deployment_id": deployment}
    return found | {"expected_start_time": at, "state": {"name": state}}


async def test_what_waits_for_the_failed_one_is_told_with_what_became_of_it(
    linked: Linked, prefect: Prefect
) -> None:
    prefect.answers["/automations/filter"] = [
        chained(OWN, MARTS),
        chained(OWN, MAIL, on="Failed", name="tell"),
    ]
    prefect.answers["/flow_runs/filter"] = [run_of(MAIL, 1, "Crashed"), run_of(MARTS, -900, "Completed")]
    evidence = await linked()
    assert told(evidence) == {
        "deployment marts": "runs when this one is Completed (automation 'chain'): it has not run since",
        "deployment mail": "runs when this one is Failed (automation 'tell'): its run run-crashed is Crashed",
    }
    assert any("it has not run since" in one for one in facts(diagnose(evidence), evidence))
    assert len(prefect.calls) == 4


async def test_what_the_failed_one_waits_for_is_told_with_its_newest_run(
    linked: Linked, prefect: Prefect
) -> None:
    prefect.answers["/automations/filter"] = [chained(RAW, OWN)]
    prefect.answers["/flow_runs/filter"] = [run_of(RAW, -30, "Failed"), run_of(RAW, -90, "Completed")]
    said = told(await linked())
    assert said == {
        "deployment raw": "this one comes after it (automation 'chain'): its newest run run-failed is Failed"
    }


async def test_a_tag_ties_workflows_too(linked: Linked, prefect: Prefect) -> None:
    prefect.answers["/deployments/filter"] = [{"id": MARTS, "name": "marts", "tags": ["after:load"]}]
    prefect.answers["/flow_runs/filter"] = [run_of(MARTS, 2, "Late")]
    assert "its run run-late is Late" in told(await linked())["deployment marts"]
    asked = next(body for path, body in prefect.calls if path == "/deployments/filter")
    assert all(f'"after:{name}"' in asked for name in ("load", "prod", "load/prod"))


@pytest.mark.parametrize(
    "automation",
    [
        pytest.param(chained(RAW, MARTS), id="of other workflows"),
        pytest.param(chained(OWN, OWN), id="of itself"),
        pytest.param(chained(OWN, MARTS, enabled=False), id="switched off"),
        pytest.param(chained(OWN, MARTS, actions=[{"type": "send-notification"}]), id="it runs nothing"),
        pytest.param({"enabled": True}, id="it says nothing"),
    ],
)
async def test_other_automations_tie_nothing(
    linked: Linked, prefect: Prefect, automation: dict[str, Any]
) -> None:
    prefect.answers["/automations/filter"] = [automation]
    assert told(await linked()) == {}
    assert len(prefect.calls) == 2


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"message": PASSES}, id="it passes"),
        pytest.param({"deployment": None}, id="no deployment"),
        pytest.param({"kind": "COMPLETED"}, id="it did not fail"),
    ],
)
async def test_nothing_is_asked_where_nothing_is_held_up(
    linked: Linked, prefect: Prefect, given: dict[str, Any]
) -> None:
    await linked(**given)
    assert prefect.calls == []


async def test_what_cannot_be_read_is_said(linked: Linked, prefect: Prefect) -> None:
    prefect.answers["/automations/filter"] = httpx.Response(403, json={"detail": "no"})
    evidence = await linked()
    assert told(evidence) == {}
    assert any(one.startswith("workflows before and after it (") for one in evidence.missing)
