"""Our own flows, run for real on Prefect's temporary server, with a home of their own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import get_current_settings

from prefect_autopilot.journeys import verifying
from prefect_autopilot.store import Store


class Server:
    """The temporary server: what is on it, and flows run against it."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home

    def call(self, method: str, path: str, body: Any = None) -> Any:
        with httpx.Client(base_url=self.url, timeout=30) as http:
            answer = http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def artifacts(self, key: str) -> list[dict[str, Any]]:
        """Artifacts of a key, the newest first."""
        wanted = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC"}
        found: list[dict[str, Any]] = self.call("POST", "/artifacts/filter", wanted)
        return found

    def state_of(self, run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.call("GET", f"/flow_runs/{run_id}")["state"]
        return state

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a flow in a loop of its own."""
        return asyncio.run(work)

    def stored(self, look: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        """Return what our own database says."""

        async def read() -> Any:
            async with Store.open(f"sqlite:///{self.home / 'autopilot.db'}") as store:
                return await look(store)

        return asyncio.run(read())


@pytest.fixture
def server(prefect_harness: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    url = str(get_current_settings().api.url)
    home = tmp_path / "autopilot"
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(home))
    # Logs are on the server already when a flow of this process has ended.
    monkeypatch.setattr(verifying, "LOGS_SETTLE", timedelta(0))
    yield Server(url, home)
    # Here, while its warnings are ignored: Prefect leaves sockets of its clients to the garbage collector.
    gc.collect()
