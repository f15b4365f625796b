"""The API in this process, with and without a small Prefect server in memory; time stands still."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.api import create_app
from prefect_autopilot.errors import ProofError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import OptimizationPlan, Proof, RemedyPolicy, RunRecord, StateRecord
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ADDRESS = "http://127.0.0.1:8642"
ENHANCED = "/workflows/enhanced"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
DEPLOYMENT = "5f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11"
FLOW = "0f4ab1c2-3a0b-4d0c-9b53-8e9c3f520f4f"

SLOW_FLOW = """import httpx
from prefect import flow, task


@task
def fetch(page: int) -> list[int]:
    response = httpx.get(f"https://api.shop.test/orders/{page}", timeout=10)
    response.raise_for_status()
    return response.json()


@flow
def orders() -> int:
    first = fetch(1)
    second = fetch(2)
    return len(first) + len(second)
"""

EQUAL = Proof(equal=True, n=3, before_s=2, after_s=1, reason="the same result")

Client = httpx.AsyncClient
Start = Callable[..., Awaitable[Client]]


class Clock:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def run_record(number: int, *, state: str = "COMPLETED", at: datetime = NOW, **fields: Any) -> RunRecord:
    """One run of the deployment orders/prod that took a minute."""
    ended = StateRecord(
        id=f"state-{number}", type=state, name=state.title(), timestamp=at + timedelta(minutes=1)
    )
    return RunRecord.model_validate(
        {
            "id": f"run-{number}",
            "name": f"blue-owl-{number}",
            "flow_name": "orders",
            "deployment_id": DEPLOYMENT,
            "deployment_name": "prod",
            "run_count": 1,
            "state": ended,
            "expected_start": at,
            "start": at,
            "end": at + timedelta(minutes=1),
            "duration_s": 60.0,
            **fields,
        }
    )


class PrefectInMemory:
    """Answers the routes of the Prefect API that these calls use; records are plain dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[dict[str, Any]] = []
        self.down = False
        self.retries: list[dict[str, Any]] = []
        self.proof: Proof | ProofError = EQUAL
        self.proved: list[tuple[str, dict[str, Any]]] = []
        self.proving: Callable[[], Awaitable[None]] | None = None
        (folder / "orders.py").write_text(SLOW_FLOW, encoding="utf-8")

    def add(self, number: int, *, state: str, at: datetime, message: str = "") -> dict[str, Any]:
        ended = at + timedelta(minutes=1)
        told = {
            "id": f"0000000{number}-0000-4000-8000-000000000000",
            "name": f"blue-owl-{number}",
            "flow_id": FLOW,
            "deployment_id": DEPLOYMENT,
            "run_count": 1,
            "state_type": state,
            "state": {
                "id": f"state-{number}",
                "type": state,
                "name": state.title(),
                "timestamp": ended.isoformat(),
                "message": message,
            },
            "expected_start_time": at.isoformat(),
            "start_time": at.isoformat(),
            "end_time": ended.isoformat(),
            "updated": ended.isoformat(),
            "total_run_time": 60.0,
        }
        self.runs.append(told)
        return told

    async def prove(
        self, plan: OptimizationPlan, original: str, function: str, parameters: dict[str, Any], path: Path
    ) -> Proof:
        """Stand for the proof, which runs a flow for a minute; keeps what it was asked."""
        assert (path.name, plan.source != original) == ("orders.py", True)
        self.proved.append((function, parameters))
        if self.proving is not None:
            await self.proving()
        if isinstance(self.proof, ProofError):
            raise self.proof
        return self.proof

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        path = request.url.path.removeprefix("/api").strip("/")
        body = json.loads(request.content) if request.content else {}
        answer = self._answer(path.split("/"), body)
        return httpx.Response(404) if answer is None else httpx.Response(200, json=answer)

    def _answer(self, parts: list[str], body: Any) -> Any:  # noqa: C901, PLR0911 - a routing table
        deployment = {
            "id": DEPLOYMENT,
            "name": "prod",
            "flow_id": FLOW,
            "path": str(self.folder),
            "entrypoint": "orders.py:orders",
            "parameters": {"day": "monday", "pages": 2},
        }
        match parts:
            case ["admin", "version"]:
                return "3.8.8"
            case ["flow_runs", "filter"]:
                return self._filtered(body)
            case ["flow_runs", run_id]:
                return next((run for run in self.runs if run["id"] == run_id), None)
            case ["flow_runs", run_id, "set_state"]:
                self.retries.append({"run": run_id, **body})
                return {"status": "ACCEPT", "details": {}}
            case ["flows", "filter"]:
                wanted = body.get("flows", {}).get("name", {}).get("any_", ["orders"])
                return [{"id": FLOW, "name": "orders"}] if "orders" in wanted else []
            case ["flows", _]:
                return {"id": FLOW, "name": "orders"}
            case ["deployments", "filter"]:
                flows, wanted = body.get("flows", {}), body.get("deployments", {})
                known = (
                    FLOW in flows.get("id", {}).get("any_", [FLOW]),
                    "orders" in flows.get("name", {}).get("any_", ["orders"]),
                    DEPLOYMENT in wanted.get("id", {}).get("any_", [DEPLOYMENT]),
                    "prod" in wanted.get("name", {}).get("any_", ["prod"]),
                )
                return [deployment] if all(known) else []
            case ["deployments", ident]:
                return deployment if ident == DEPLOYMENT else None
            case ["flow_run_states" | "artifacts"]:
                return {"id": "artifact"} if parts[0] == "artifacts" else []
            case ["task_runs", "filter"]:
                return [
                    {
                        "id": f"{run['id']}-{page}",
                        "flow_run_id": run["id"],
                        "name": f"fetch-{page}",
                        "task_key": "fetch-1a2b3c4d",
                        "state_type": "COMPLETED",
                        "run_count": 1,
                        "total_run_time": 20.0,
                        "start_time": run["start_time"],
                    }
                    for run in self.runs
                    for page in (1, 2)
                    if body.get("offset", 0) == 0
                ]
            case ["logs", "filter"]:
                return []
        return None

    def _filtered(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body["flow_runs"]
        types = wanted.get("state", {}).get("type", {}).get("any_")
        found = [run for run in self.runs if types is None or run["state_type"] in types]
        if "flows" in body:
            found = [run for run in found if "orders" in body["flows"]["name"]["any_"]]
        if "end_time" in wanted:
            after = datetime.fromisoformat(wanted["end_time"]["after_"])
            found = [run for run in found if datetime.fromisoformat(run["end_time"]) >= after]
        return sorted(found, key=lambda run: run["end_time"], reverse=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine on which no Prefect server is known."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return load_settings(home=tmp_path / "autopilot")


@pytest.fixture
def prefect(tmp_path: Path) -> PrefectInMemory:
    return PrefectInMemory(tmp_path)


def desks(prefect: PrefectInMemory, clock: Clock, mode: str = "propose") -> Callable[[Settings], Any]:
    """Return the factory of desks that talk to a Prefect server in memory."""

    async def no_sleep(_seconds: float) -> None:
        return

    @asynccontextmanager
    async def factory(settings: Settings) -> AsyncIterator[Desk]:
        transport = httpx.MockTransport(prefect)
        async with (
            PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, tries=2) as api,
            Store.open(settings.store_url.get_secret_value()) as store,
        ):
            policy = RemedyPolicy.model_validate({"mode": mode})
            yield Desk(
                api=api, store=store, policy=policy, clock=clock, jitter=lambda: 0.5, prove=prefect.prove
            )

    return factory


@pytest.fixture
async def start(
    settings: Settings, clock: Clock, lay_database: Callable[[str], None]
) -> AsyncIterator[Start]:
    """Return a function that starts the application and gives a client of it; ended with the test."""
    async with AsyncExitStack() as stack:

        async def started(**parts: Any) -> Client:
            chosen = parts.pop("settings", settings)
            lay_database(chosen.store_url.get_secret_value())
            app = create_app(chosen, **{"clock": clock, **parts})
            return await stack.enter_async_context(serving(app))

        yield started


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[Client]:
    """Run an application's life cycle and give a client that talks to it in this process."""
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), Client(transport=transport, base_url=ADDRESS) as client:
        app.state.context.live.longest_s = 0.0  # the transport waits for the end of an answer
        yield client


@pytest.fixture
async def api(start: Start) -> Client:
    """The API on a machine on which no Prefect server is known."""
    return await start()


@pytest.fixture
async def api_with_prefect(start: Start, prefect: PrefectInMemory, clock: Clock) -> Client:
    return await start(desk_factory=desks(prefect, clock))


@pytest.fixture
async def store(settings: Settings, lay_database: Callable[[str], None]) -> AsyncIterator[Store]:
    """A second view of the store, to play the watcher and to look behind the API."""
    lay_database(settings.store_url.get_secret_value())
    async with Store.open(settings.store_url.get_secret_value()) as opened:
        yield opened


@pytest.fixture
async def session_id(api: Client) -> str:
    """A session on a refused credential."""
    body = {"workflow_id": "orders", "error_logs": ["ERROR 401 Unauthorized: token expired"]}
    answer = await api.post(f"{TROUBLESHOOTING}/sessions", json=body)
    ident: str = answer.json()["session_id"]
    return ident


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window, for the tests of one module."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        reason = "no Chromium is installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def served_beside_prefect(live_prefect: Any, tmp_path: Path) -> Iterator[str]:
    """Our API as its command serves it, beside a real Prefect server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Flows are written into the folder of the process, unless the settings name another.
    environment = live_prefect.environment | {"PREFECT_AUTOPILOT_HOME": str(tmp_path / "home")}
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "serve.log").open("wb") as log:
        command = [sys.executable, "-m", "prefect_autopilot", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not is_up(url):
                assert time.monotonic() < deadline, "the API does not answer"
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False
