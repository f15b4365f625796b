"""Read the API at a fixed rate with many runs in the store; compare it with a bare handler of the same query.

Usage: python benchmarks/api_load.py [--runs 100000] [--rate 200] [--seconds 30]

Requests begin on time whether or not earlier ones were answered (an open loop), so waiting is counted. Exit
code 1 where the p95 of all reads is above 20 ms, one read takes more than 1.3 times the bare handler, or one
failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

MOST_P95_MS = 20.0
MOST_OVERHEAD = 1.3
WORKFLOWS = 100
SAMPLES = 300
NOW = datetime.now(UTC)
HEALTH = "/workflows/enhanced/monitoring/health?workflow_id=dep-7"
PATHS = (
    HEALTH,
    "/api/workflow-troubleshooting/sessions?limit=20",
    "/workflows/enhanced/monitoring/alerts",
    "/api/workflow-troubleshooting/workflows/dep-11/health",
    "/healthz",
)


def run_of(number: int) -> Any:
    """Return one finished run; one in fifty failed."""
    from prefect_autopilot.models import RunRecord, StateRecord

    at, place = NOW - timedelta(minutes=number), number % WORKFLOWS
    state = "FAILED" if number % 50 == 0 else "COMPLETED"
    ended = StateRecord(id=f"s-{number}", type=state, name=state.title(), timestamp=at)
    return RunRecord(
        id=f"run-{number}", flow_name=f"flow-{place}", deployment_id=f"dep-{place}",
        deployment_name="prod", run_count=1, state=ended,
        expected_start=at, start=at, end=at, duration_s=60.0,
    )  # fmt: skip


def row_of(number: int) -> dict[str, Any]:
    """Return the row of a run, without the checks that a hundred thousand need not repeat."""
    run = run_of(number)
    return {
        "id": run.id, "flow_name": run.flow_name, "deployment_id": run.deployment_id,
        "deployment_name": run.deployment_name, "state_type": run.state.type, "state_at": run.state.timestamp,
        "updated": run.state.timestamp, "began": run.start, "digest": "",
        "body": run.model_dump(mode="json", exclude={"measures"}),
    }  # fmt: skip


def filled(folder: Path, runs: int) -> tuple[Any, str]:
    """Return settings of an own home with runs and some sessions in its store, and the id of a session."""
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["PREFECT_AUTOPILOT_HOME"] = str(folder / "home")
    from prefect_autopilot.settings import load_settings

    settings = load_settings()
    return settings, asyncio.run(fill(settings, runs))


async def fill(settings: Any, runs: int) -> str:
    """Put runs and some sessions into the store; return the id of a session."""
    from prefect_autopilot.journeys import sessions
    from prefect_autopilot.store import Store, tables

    async with Store.open(settings.store_url.get_secret_value()) as store:
        await store.upsert_runs([run_of(number) for number in range(WORKFLOWS)])
        rows = [row_of(number) for number in range(WORKFLOWS, runs)]
        async with store._database.write() as connection:  # noqa: SLF001  # no call writes so many at once
            for first in range(0, len(rows), 5000):
                await connection.execute(tables.runs.insert(), rows[first : first + 5000])
        for number in range(50):
            logs = ["ERROR 401 Unauthorized: token expired"]
            opened = await sessions.open_session(store, f"dep-{number}", logs, NOW, actor="benchmark")
    return opened.session_id


async def load(address: str, rate: float, seconds: float) -> dict[str, list[float]]:
    """Send reads at a rate and return how long each took, in ms, by path."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:

        async def one(path: str, due: float) -> None:
            answer = await client.get(path)
            answer.raise_for_status()
            took[path].append(1000 * (time.perf_counter() - due))

        begun, tasks = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(PATHS[number % len(PATHS)], due)))
        await asyncio.gather(*tasks)
    return took


async def overhead(settings: Any) -> tuple[float, float]:
    """Return the median ms of one read of the API and of a bare handler with the same query."""
    from fastapi import FastAPI

    from prefect_autopilot.api import create_app
    from prefect_autopilot.journeys.observe import HealthBook
    from prefect_autopilot.journeys.workflows import workflow_health
    from prefect_autopilot.models import HealthScore, ResolutionStatus
    from prefect_autopilot.store import Store

    async with Store.open(settings.store_url.get_secret_value()) as store:
        bare = FastAPI()

        waiting = (ResolutionStatus.IN_PROGRESS, ResolutionStatus.MANUAL, ResolutionStatus.PARTIAL)
        book = HealthBook()

        @bare.get("/health", response_model=HealthScore)
        async def health(workflow_id: str) -> Any:
            await store.has_tokens()
            found = await workflow_health(store, workflow_id, NOW, book)
            await store.sessions_of([workflow_id], waiting, 50)
            return found

        app = create_app(settings)
        async with app.router.lifespan_context(app), AsyncExitStack() as stack:
            await app.state.context.refresh_fleet()
            asked = []
            for wanted, path in ((app, HEALTH), (bare, "/health?workflow_id=dep-7")):
                transport = httpx.ASGITransport(wanted)
                client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
                asked.append((await stack.enter_async_context(client), path))
            # In turns, so that whatever else the machine does falls on both alike.
            took = [[await timed(client, path) for client, path in asked] for _ in range(SAMPLES)][20:]
    ours, theirs = (statistics.median(times) for times in zip(*took, strict=True))
    return ours, theirs


async def timed(client: httpx.AsyncClient, path: str) -> float:
    """Return how many ms one read took."""
    begun = time.perf_counter()
    (await client.get(path)).raise_for_status()
    return 1000 * (time.perf_counter() - begun)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def serve(port: int) -> subprocess.Popen[bytes]:
    """Start the API as people do and wait until it answers."""
    program = [sys.executable, "-m", "prefect_autopilot", "serve", "--port", str(port)]
    process = subprocess.Popen(program)
    for _ in range(120):
        try:
            # The metrics answer once the first pass over all runs is through.
            httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60)
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            return process
    process.kill()
    raise SystemExit("The API did not answer within a minute.")


def quantile(times: list[float], share: float) -> float:
    """Return a quantile of times."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> int:
    """Fill, load, compare, print; 1 where a limit is not held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings, _ = filled(Path(folder), wanted.runs)
        ours, bare = asyncio.run(overhead(settings))
        print(f"one read: {ours:.2f} ms, bare handler {bare:.2f} ms, {ours / bare:.2f} times")
        port = free_port()
        process = serve(port)
        try:
            took = asyncio.run(load(f"http://127.0.0.1:{port}", wanted.rate, wanted.seconds))
        finally:
            process.terminate()
            process.wait(timeout=30)
    everything = [one for times in took.values() for one in times]
    for name, times in (("all", everything), *took.items()):
        p50, p95 = quantile(times, 0.5), quantile(times, 0.95)
        print(f"{name}: n {len(times)}, p50 {p50:.1f} ms, p95 {p95:.1f} ms, most {max(times):.1f} ms")
    print(
        f"{wanted.runs} runs in the store, {wanted.rate:g} requests/s; load of the machine {os.getloadavg()}"
    )
    is_held = quantile(everything, 0.95) <= MOST_P95_MS and ours <= MOST_OVERHEAD * bare
    limits = f"p95 at most {MOST_P95_MS:g} ms, overhead at most {MOST_OVERHEAD:g}"
    print(f"{limits}: {'held' if is_held else 'NOT held'}")
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
