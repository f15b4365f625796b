"""Measure what the diagnosis of a run costs beside the calls of the Prefect API that it makes.

    python benchmarks/diagnosis_calls.py [--runs 40] [--lines 300]

A Prefect server of its own on the loopback gets failed runs with logs; each is read and diagnosed. What is
told is the whole time of a run's diagnosis against the time that was spent in its calls.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from prefect_autopilot.adapters.embedded import running_server
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.known_around import Onlooker, understand

TRACEBACK = """Encountered exception during execution:
Traceback (most recent call last):
  File "/srv/flows/nightly.py", line 31, in load
    rows = client.get(url, timeout=30).json()
{error}"""
ERRORS = (
    "httpx.ConnectTimeout: timed out",
    "KeyError: 'net_amount'",
    'psycopg2.OperationalError: FATAL: too many connections for role "etl"',
    "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://api.shop.test/orders",
    "MemoryError: Unable to allocate 4.1 GiB for an array",
)
FLOW = "nightly"
MOST = 0.95


class TimedAPI(PrefectAPI):
    """Counts the seconds that its calls take."""

    spent = 0.0

    async def request(self, method: str, path: str, body: Any = None, *, once: bool = False) -> Any:
        """Send one call as ever."""
        began = time.perf_counter()
        try:
            return await super().request(method, path, body, once=once)
        finally:
            self.spent += time.perf_counter() - began


async def failed_runs(api: PrefectAPI, count: int, lines: int) -> list[str]:
    """Create failed runs with their logs and return their ids."""
    flow = await api.request("POST", "/flows/", {"name": FLOW})
    deployment = await api.request(
        "POST",
        "/deployments/",
        {"name": "prod", "flow_id": flow["id"], "entrypoint": "flows/nightly.py:nightly"},
    )
    found = []
    for number in range(count):
        error = ERRORS[number % len(ERRORS)]
        state = {"type": "FAILED", "name": "Failed", "message": f"Flow run encountered an exception: {error}"}
        body = {"flow_id": flow["id"], "deployment_id": deployment["id"], "state": state}
        run = (await api.request("POST", "/flow_runs/", body))["id"]
        now = datetime.now(UTC)
        said = [f"part {n} of the export is written" for n in range(lines)] + [TRACEBACK.format(error=error)]
        logs = [
            {
                "name": "prefect.flow_runs",
                "level": 20 if place < lines else 40,
                "message": text,
                "timestamp": (now + timedelta(milliseconds=place)).isoformat(),
                "flow_run_id": run,
            }
            for place, text in enumerate(said)
        ]
        await api.request("POST", "/logs/", logs)
        found.append(run)
    return found


async def nobody(_: str) -> bool | None:
    """Ask no service: what it takes to answer is not ours."""
    return None


async def measured(url: str, runs: list[str]) -> list[tuple[float, float, int]]:
    """Return for each run the seconds of its diagnosis, those spent in calls, and the calls."""
    told = []
    async with TimedAPI(url) as api:
        for run in runs:
            began, spent, calls = time.perf_counter(), api.spent, api.calls
            await understand(Onlooker(api, lambda: datetime.now(UTC), nobody), run)
            told.append((time.perf_counter() - began, api.spent - spent, api.calls - calls))
    return told


async def figures(runs: int, lines: int) -> list[str]:
    """Return the lines that tell what a diagnosis costs; the first run, which loads the data, apart."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_server(Path(folder)) as server:
            async with PrefectAPI(server.url) as api:
                idents = await failed_runs(api, runs + 1, lines)
            first, *rest = await measured(server.url, idents)
    ratios = sorted(whole / calls for whole, calls, _ in rest)
    wholes = sorted(whole * 1000 for whole, _, _ in rest)
    place = min(int(MOST * len(rest)), len(rest) - 1)
    return [
        f"diagnosis of a run   {median(wholes):.1f} ms, p95 {wholes[place]:.1f} ms (n={len(rest)})",
        f"  log lines          {lines}",
        f"  to its API calls   {median(ratios):.2f} times their time, p95 {ratios[place]:.2f}",
        f"  calls a run        {median(c for _, _, c in rest):.0f}, {max(c for _, _, c in rest)} at most",
        f"  calls of the first {first[2]}, which learns names",
        f"  the first run      {first[0] * 1000:.0f} ms, which loads what is known",
    ]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--lines", type=int, default=300)
    options = parser.parse_args()
    sys.stdout.write("\n".join(asyncio.run(figures(options.runs, options.lines))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
