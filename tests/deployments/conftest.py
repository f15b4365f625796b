"""A worker beside the live server, and a small HTTP service that can be told to fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI

READER = """
import json
import httpx
from prefect import flow, task

@task
def fetch(url: str) -> list[int]:
    response = httpx.get(url, timeout=30)
    response.raise_for_status()
    return response.json()

@flow
def {function}(url: str, out: str) -> None:
    numbers = fetch(url)
    with open(out, "w") as file:
        json.dump(numbers, file)
"""


def ask(live_prefect: Any, method: str, path: str, body: Any = None) -> Any:
    """Call the live server; a SQLite server that answers 503 under load is asked again."""

    async def call() -> Any:
        async with PrefectAPI(live_prefect.url, tries=10) as api:
            return await api.request(method, path, body)

    return asyncio.run(call())


@pytest.fixture
def call(live_prefect: Any) -> Callable[..., Any]:
    """Call the live server by method, path and body."""
    return lambda method, path, body=None: ask(live_prefect, method, path, body)


class Shop:
    """A loopback service: counts calls, answers 503 while it is down."""

    def __init__(self) -> None:
        shop = self
        self.calls = 0
        self.down = False

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.calls += 1
                status, body = (503, b'{"error": "overloaded"}') if shop.down else (200, b"[1, 2]")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/orders"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def live_pool(live_prefect: Any) -> Iterator[str]:
    """A process worker on a pool of the user's own."""
    pool = "users-pool"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    ask(live_prefect, "POST", "/work_pools/", {"name": pool, "type": "process"})
    with (live_prefect.home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=live_prefect.environment, stdout=log, stderr=log)
        try:
            yield pool
        finally:
            worker.terminate()
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


@pytest.fixture
def without_ours(call: Callable[..., Any]) -> Iterator[None]:
    """Neither before nor after the test does the server have anything of ours, whatever ran before."""
    _remove_ours(call)
    yield
    _remove_ours(call)


@pytest.fixture(scope="class")
def without_ours_here(live_prefect: Any) -> Iterator[None]:
    """Neither before nor after the tests of a class does the server have anything of ours."""

    def call(method: str, path: str, body: Any = None) -> Any:
        return ask(live_prefect, method, path, body)

    _remove_ours(call)
    yield
    _remove_ours(call)


def _remove_ours(call: Callable[..., Any]) -> None:
    for deployment in call("POST", "/deployments/filter", {}):
        if deployment["name"].startswith("autopilot-"):
            call("DELETE", f"/automations/owned-by/prefect.deployment.{deployment['id']}")
            call("DELETE", f"/deployments/{deployment['id']}")
    for flow in call("POST", "/flows/filter", {}):
        if flow["name"].startswith("autopilot-"):
            call("DELETE", f"/flows/{flow['id']}")
    for pool in call("POST", "/work_pools/filter", {"work_pools": {"name": {"any_": ["autopilot"]}}}):
        call("DELETE", f"/work_pools/{pool['name']}")


@pytest.fixture
def deploy(call: Callable[..., Any], live_pool: str, tmp_path: Path) -> Callable[..., str]:
    """Deploy a flow file of a user on the live server, and return the deployment's id."""

    def deployed(function: str, source: str = READER) -> str:
        (tmp_path / "users_flow.py").write_text(source.format(function=function), encoding="utf-8")
        name = function.replace("_", "-")
        flow = call("POST", "/flows/", {"name": name})
        body = {
            "name": "prod",
            "flow_id": flow["id"],
            "work_pool_name": live_pool,
            "path": str(tmp_path),
            "entrypoint": f"users_flow.py:{function}",
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}],
            "enforce_parameter_schema": False,
        }
        return str(call("POST", "/deployments/", body)["id"])

    return deployed


@pytest.fixture
def start(call: Callable[..., Any]) -> Callable[..., str]:
    """Start a run of a deployment and return its id."""

    def started(deployment_id: str, **parameters: Any) -> str:
        body = {"parameters": parameters, "state": {"type": "SCHEDULED", "name": "Scheduled"}}
        return str(call("POST", f"/deployments/{deployment_id}/create_flow_run", body)["id"])

    return started


@pytest.fixture
def state_of(call: Callable[..., Any]) -> Callable[[str], str]:
    """Return the state type of a run."""
    return lambda run_id: str(call("GET", f"/flow_runs/{run_id}")["state_type"])
