"""What remedies do to a real Prefect server: accepted as we send it, seen as we read it, taken back."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters import deployed_code, run_changes, run_life
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError, PrefectError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.left_open import left_open
from prefect_autopilot.journeys.remedies import apply_once
from prefect_autopilot.journeys.taking_back import take_back_once
from prefect_autopilot.models import (
    Attempt,
    MoreMemory,
    Remedy,
    RetryRun,
    SessionStep,
    TroubleshootingSession,
)
from prefect_autopilot.store import Store

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

TEMPLATE = {
    "job_configuration": {"memory": "{{ memory }}"},
    "variables": {"type": "object", "properties": {"memory": {"type": "integer", "default": 1024}}},
}


@pytest.fixture
async def api(live_prefect: Any) -> AsyncIterator[PrefectAPI]:
    async with PrefectAPI(live_prefect.url, tries=10) as opened:
        yield opened


@pytest.fixture
async def desk(api: PrefectAPI, tmp_path: Path) -> AsyncIterator[Desk]:
    async with Store.open(f"sqlite+aiosqlite:///{tmp_path / 'autopilot.db'}") as store:
        yield Desk(api=api, store=store, holder="test", jitter=lambda: 0.5)


@pytest.fixture
async def deployment(api: PrefectAPI) -> dict[str, Any]:
    """A deployment in a pool of its own that no worker serves, with one job variable for memory."""
    name = f"acts-{uuid.uuid4().hex[:8]}"
    pool = {"name": name, "type": "process", "base_job_template": TEMPLATE}
    await api.request("POST", "/work_pools/", pool)
    flow = await api.request("POST", "/flows/", {"name": name})
    told = {"name": "daily", "flow_id": flow["id"], "work_pool_name": name, "entrypoint": "work.py:work"}
    made: dict[str, Any] = await api.request(
        "POST", "/deployments/", told | {"path": "/srv/new", "concurrency_limit": 8}
    )
    return made | {"pool": name}


async def put(api: PrefectAPI, run_id: str, *kinds: str) -> None:
    for kind in kinds:
        body = {"state": {"type": kind, "name": kind.title(), "message": "by the test"}, "force": True}
        assert (await api.request("POST", f"/flow_runs/{run_id}/set_state", body))["status"] == "ACCEPT"


@pytest.fixture
async def failed(api: PrefectAPI, deployment: dict[str, Any]) -> str:
    run = await api.start_run(deployment["id"], parameters={})
    await put(api, run.id, "RUNNING", "FAILED")
    return run.id


async def begun(desk: Desk, run_id: str) -> tuple[TroubleshootingSession, int, str]:
    run = await desk.api.run(run_id)
    session = await resolve.take_up(desk, run)
    assert session is not None
    lease = f"session:{session.session_id}"
    token = await desk.store.acquire_lease(lease, "test", 60, desk.clock())
    assert token is not None
    return session, token, lease


async def act(desk: Desk, remedy: Remedy) -> tuple[TroubleshootingSession, Attempt, int, str]:
    session, token, lease = await begun(desk, remedy.flow_run_id)
    state_id = (await desk.api.run(remedy.flow_run_id)).state.id
    attempt = await apply_once(desk, session, remedy, state_id=state_id, token=token, lease=lease)
    return session.model_copy(update={"attempts": (attempt,)}), attempt, token, lease


def memory(run_id: str) -> MoreMemory:
    return MoreMemory(
        flow_run_id=run_id, place="job_variables", name="memory", amount=2048, most=4096, delay_s=120
    )


async def test_a_failed_run_gets_its_memory_while_it_waits_and_a_person_takes_both_back(
    desk: Desk, failed: str
) -> None:
    with pytest.raises(PrefectError, match="cannot be updated"):
        await run_changes.move_value(desk.api, failed, "job_variables", "memory", before=None, after=2048)
    session, attempt, token, lease = await act(desk, memory(failed))
    assert attempt.error is None
    run = await desk.api.run(failed)
    assert (run.state.name, run.job_variables) == ("AwaitingRetry", {"memory": 2048})
    what = await take_back_once(desk, session, token=token, lease=lease, person="ada")
    assert what == "retry, and memory of the run,"
    run = await desk.api.run(failed)
    assert (run.state.type, run.job_variables) == ("FAILED", {})
    assert await take_back_once(desk, session, token=token, lease=lease, person="ada") is None


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "a person's"])
async def test_a_retry_left_without_a_result_is_told_from_a_persons(
    desk: Desk, failed: str, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    async def killed(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "journal_result", killed)
        if not ours:
            patch.setattr(desk.api, "retry_run", killed)
        with pytest.raises(KeyboardInterrupt):
            await act(desk, RetryRun(flow_run_id=failed, delay_s=60))
    if not ours:
        await put(desk.api, failed, "SCHEDULED")
    await put(desk.api, failed, "RUNNING", "COMPLETED")
    session = await desk.store.session_for_run(failed)
    assert session is not None
    session = session.model_copy(update={"current_step": SessionStep.RESOLUTION})
    after = await left_open(desk, session, await desk.api.run(failed))
    (entry,) = await desk.store.journal(session.session_id)
    assert entry.outcome == ("applied" if ours else "skipped")
    assert (after is not None) is ours


async def test_a_run_is_found_by_its_key_and_by_no_other(api: PrefectAPI, deployment: dict[str, Any]) -> None:
    key = uuid.uuid4().hex
    run = await api.start_run(deployment["id"], parameters={}, idempotency_key=key)
    again = await api.start_run(deployment["id"], parameters={}, idempotency_key=key)
    assert again.id == run.id == await api.run_by_key(key)
    assert await api.run_by_key(f"{key}x") is None


async def test_limits_of_every_kind_are_lowered_and_put_back(
    api: PrefectAPI, deployment: dict[str, Any]
) -> None:
    pool, tag = deployment["pool"], f"tag-{deployment['pool']}"
    limit = {"name": f"tag:{tag}", "limit": 8, "active": True}
    await api.request("POST", "/v2/concurrency_limits/", limit)
    queue = run_changes.queue_limit(pool, "default")
    await api.request("PATCH", queue, {"concurrency_limit": 8})
    paths = (run_changes.deployment_limit(deployment["id"]), run_changes.global_limit(f"tag:{tag}"), queue)
    for path in paths:
        for before, after in ((8, 4), (4, 8)):
            await run_changes.set_limit(api, path, limit=after, before=before)
            assert await run_changes.read_limit(api, path) == after
        with pytest.raises(ConflictError):
            await run_changes.set_limit(api, path, limit=2, before=5)


async def test_slots_that_nobody_holds_are_given_back_and_no_more(api: PrefectAPI) -> None:
    name = f"slots-{uuid.uuid4().hex[:8]}"
    await api.request("POST", "/v2/concurrency_limits/", {"name": name, "limit": 3, "active": True})
    await api.request("POST", "/v2/concurrency_limits/increment", {"names": [name], "slots": 2})
    with pytest.raises(ConflictError):
        await api.release_slots(name, 2, expected_active=3)
    await api.release_slots(name, 2, expected_active=2)
    told = await api.request("GET", f"/v2/concurrency_limits/{name}")
    assert (told["active_slots"], told["limit"]) == (0, 3)


async def test_a_deployment_is_paused_resumed_and_given_its_code_back(
    api: PrefectAPI, deployment: dict[str, Any]
) -> None:
    ident = deployment["id"]
    for paused in (True, False):
        await run_life.set_paused(api, ident, paused=paused)
        assert (await api.deployment(ident))["paused"] is paused
        with pytest.raises(ConflictError):
            await run_life.set_paused(api, ident, paused=paused)
    with pytest.raises(ConflictError, match="gone"):
        await run_life.set_schedule_active(api, ident, str(uuid.uuid4()), active=False)
    hourly = {"schedule": {"interval": 3600}, "active": True, "parameters": {"part": "north"}}
    (made,) = await api.request("POST", f"/deployments/{ident}/schedules", [hourly])
    for active in (False, True):
        await run_life.set_schedule_active(api, ident, made["id"], active=active)
        stands = run_life.schedule_in(await api.deployment(ident), made["id"])
        assert stands is not None
        assert (stands["active"], stands["parameters"]) == (active, {"part": "north"})
        with pytest.raises(ConflictError, match="already"):
            await run_life.set_schedule_active(api, ident, made["id"], active=active)
    now = deployed_code.code_of(await api.deployment(ident))
    old = {**now, "path": "/srv/old", "version": "1"}
    await deployed_code.set_code(api, ident, before=now, after=old)
    assert (await api.deployment(ident))["path"] == "/srv/old"
    await deployed_code.set_code(api, ident, before=old, after=now)
    assert deployed_code.code_of(await api.deployment(ident)) == now


async def test_a_run_said_to_run_is_ended_once_and_its_signs_of_life_are_read(
    api: PrefectAPI, deployment: dict[str, Any]
) -> None:
    run_id = (await api.start_run(deployment["id"], parameters={})).id
    await put(api, run_id, "RUNNING")
    state_id = (await api.run(run_id)).state.id
    assert await run_life.last_task_sign(api, run_id) is None
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert await run_life.last_heartbeat(api, run_id, an_hour_ago) is None
    assert await run_life.infrastructure_end(api, run_id, an_hour_ago) is None
    await run_life.end_run(api, run_id, expected_state_id=state_id, message="autopilot: ended, worker lost")
    assert (await api.run(run_id)).state.type == "CRASHED"
    with pytest.raises(ConflictError):
        await run_life.end_run(api, run_id, expected_state_id=state_id, message="once more")
