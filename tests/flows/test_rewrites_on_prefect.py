"""A rewrite whose runs fail on a real Prefect server is put back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys import aftermath, improve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import AppliedRewrite, Strategy
from prefect_autopilot.store import Store

SOURCE = """import requests
from prefect import flow, task


@task(retries=1, retry_delay_seconds=1)
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=9).json()


@flow
def watched():
    return [read(key) for key in "ab"]
"""


async def run_once(client: httpx.AsyncClient, deployment: str, state: str) -> None:
    """Make one run of the deployment that begins now and ends as told."""
    run = (await posted(client, f"/deployments/{deployment}/create_flow_run", {}))["id"]
    for type_ in ("RUNNING", state):
        told = {"type": type_, "name": type_.title()}
        answer = await posted(client, f"/flow_runs/{run}/set_state", {"state": told, "force": True})
        assert answer["status"] == "ACCEPT"


async def posted(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post as often as the server, on SQLite, says that it is busy."""
    while True:
        answer = await client.post(path, json=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            found: dict[str, Any] = answer.raise_for_status().json()
            return found
        await asyncio.sleep(0.5)


async def story(url: str, folder: Path) -> tuple[AppliedRewrite, str, str, str]:
    """Apply a rewrite after ten good runs, let four fail, look after it."""
    path = folder / "watched.py"
    path.write_text(SOURCE, encoding="utf-8")  # a few bytes in a test
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        flow = (await client.post("/flows/", json={"name": "watched"})).json()["id"]
        asked = {"name": "prod", "flow_id": flow, "entrypoint": "watched.py:watched", "version": "before"}
        deployment = (await client.post("/deployments/", json=asked | {"path": str(folder)})).json()
        for _ in range(10):
            await run_once(client, deployment["id"], "COMPLETED")
        async with PrefectAPI(url) as api, Store.open(f"sqlite:///{folder / 'autopilot.db'}") as store:
            desk = Desk(api=api, store=store, clock=lambda: datetime.now(UTC))
            plan = improve.plan(path, Strategy.PERFORMANCE)
            await aftermath.apply_and_watch(
                desk, plan, path, SOURCE, by="ada", flow_name="watched", deployment=deployment
            )
            during = (await client.get(f"/deployments/{deployment['id']}")).json()["version"]
            assert await aftermath.look_after(desk) == ()
            for _ in range(4):
                await run_once(client, deployment["id"], "FAILED")
            (ended,) = await aftermath.look_after(desk)
        after = (await client.get(f"/deployments/{deployment['id']}")).json()["version"]
    return ended, path.read_text(encoding="utf-8"), during, after  # a few bytes in a test


@pytest.mark.usefixtures("prefect_harness")
def test_a_rewrite_whose_runs_fail_on_a_real_server_is_put_back(tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    ended, source, during, after = asyncio.run(story(str(PREFECT_API_URL.value()), tmp_path))
    assert ended.status == "reverted"
    assert "4 of 4 runs failed, before 0 of 10" in ended.reason
    assert source == SOURCE
    assert (during, after) == (ended.after_sha256[:12], "before")
