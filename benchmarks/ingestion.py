"""Measure what watching costs: calls of the API, failures seen and how soon, a scrape, memory.

The Prefect server is a function that answers pages of a history made by arithmetic, at the speed of this
process: what is measured is ours. Time is told, not waited for, except in ``detection`` and ``idle``.

Usage: python benchmarks/ingestion.py [--runs RUNS] [PART ...]

    accuracy   what the monitors find on generated histories (benchmarks/monitoring.py; 5 min)
    calls      calls of the API for good runs at 100 a minute (30 s)
    failures   failures seen under 600 ended runs a second, the stream telling a third or cut (2 min)
    detection  seconds from the end of a failed run to its session at 100 ended runs a second (1 min)
    scrape     /metrics over 1,000 deployments (15 s)
    idle       resident memory of ``prefect-autopilot watch`` with nothing to do (40 s)
    memory     resident memory while RUNS of history are read (1 min for each 100,000)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.policy import policy_in_force
from prefect_autopilot.journeys.reading import Progress, backfill
from prefect_autopilot.models import RemedyPolicy, RunRecord
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store, run_claim
from prefect_autopilot.watcher import Watcher

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
DEPLOYMENTS = 200
SMALL = 10_000
MOST_GROWTH = 5.0
"""Percent by which resident memory may rise over a long history."""
KINDS = ("run", "flow", "deployment", "state")


def known(kind: str, number: int) -> str:
    """Return an id that is the same at every call."""
    return str(uuid.UUID(int=(KINDS.index(kind) + 1) << 64 | number))


class Server:
    """A Prefect server on which a run ends every ``1 / rate`` seconds; every ``failing``-th fails."""

    def __init__(self, rate: float, *, failing: int = 50) -> None:
        self.rate, self.failing = rate, failing
        self.now = FIRST
        self.last = 10**12

    def ended(self, number: int) -> datetime:
        """Return when a run ended."""
        return FIRST + timedelta(seconds=number / self.rate)

    def happened(self) -> int:
        """Return how many runs have ended by now."""
        return int((self.now - FIRST).total_seconds() * self.rate)

    def failed(self, number: int) -> bool:
        """Tell whether a run failed."""
        return number % self.failing == 0

    def __call__(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - a routing table
        """Answer a call of the API."""
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        if path == "/flow_runs/filter":
            return httpx.Response(200, json=self._page(body))
        if path == "/flow_runs/count":
            low, high = self._span(body["flow_runs"]["end_time"])
            return httpx.Response(200, json=max(0, high - low + 1))
        if path in {"/flows/filter", "/deployments/filter"}:
            # One answer a name: what is asked for exists.
            ids = body.get(path.split("/")[1], {}).get("id", {}).get("any_", [])
            return httpx.Response(200, json=[{"id": one, "name": f"n{one[-4:]}"} for one in ids])
        if path.startswith("/flow_runs/"):
            number = uuid.UUID(path.split("/")[2]).int & (2**64 - 1)
            return httpx.Response(200, json=self._run(number))
        if path.startswith("/block_types/slug/autopilot-policy/"):
            return httpx.Response(200, json={"data": {"mode": "propose"}})
        if path.startswith(("/deployments/", "/block_")):
            return httpx.Response(404)
        if path == "/artifacts/":
            return httpx.Response(200, json={"id": "artifact"})
        if path == "/events/filter":
            return httpx.Response(200, json={"events": [], "next_page": None})
        return httpx.Response(200, json=[])

    def _span(self, window: dict[str, str]) -> tuple[int, int]:
        first = (datetime.fromisoformat(window["after_"]) - FIRST).total_seconds() * self.rate
        until = min(self.now, datetime.fromisoformat(window.get("before_") or self.now.isoformat()))
        last = (until - FIRST).total_seconds() * self.rate
        return max(0, -int(-first // 1)), min(self.last, int(last + 1e-6))

    def _page(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body["flow_runs"]
        if "end_time" not in wanted:
            return []
        low, high = self._span(wanted["end_time"])
        only_failed = "COMPLETED" not in wanted["state"]["type"]["any_"]
        step = self.failing if only_failed else 1
        start = high - high % step if only_failed else high
        numbers = range(start, low - 1, -step)[: body["limit"]]
        return [self._run(number) for number in numbers]

    def _run(self, number: int) -> dict[str, Any]:
        end = self.ended(number)
        kind = "FAILED" if self.failed(number) else "COMPLETED"
        deployment = number % DEPLOYMENTS
        return {
            "id": known("run", number),
            "name": f"run-{number}",
            "flow_id": known("flow", deployment),
            "deployment_id": known("deployment", deployment),
            "work_pool_name": "pool",
            "run_count": 1,
            "parameters": {"day": end.date().isoformat()},
            "state_type": kind,
            "state": {
                "id": known("state", number), "type": kind, "name": kind.title(),
                "timestamp": end.isoformat(),
                "message": "KeyError: 'total'" if kind == "FAILED" else None,
            },
            "start_time": (end - timedelta(seconds=30 + number % 7)).isoformat(),
            "end_time": end.isoformat(),
            "expected_start_time": (end - timedelta(seconds=31 + number % 7)).isoformat(),
        }  # fmt: skip


def rss_mb(process: int | str = "self") -> float:
    """Return the resident memory of a process, this one by default."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def memory(folder: Path, runs: int) -> None:
    """Read a history back, and tell resident memory after the first runs and at the end."""
    server = Server(rate=1.0)
    server.last = runs
    server.now = server.ended(runs) + timedelta(minutes=1)
    seen: dict[int, float] = {}
    marks = sorted({SMALL, *(runs * part // 10 for part in range(1, 11))})
    began = time.perf_counter()

    def look(progress: Progress) -> None:
        while marks and progress.read >= marks[0]:
            seen[marks.pop(0)] = rss_mb()

    async with (
        PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server)) as api,
        Store.open(f"sqlite:///{folder / 'memory.db'}") as store,
    ):
        written = await backfill(api, store, server.now, FIRST, look)
        seconds = time.perf_counter() - began
        calls = api.calls
    base = seen[SMALL]
    worst = max(seen.values())
    pace, more = written / seconds, 100 * (worst / base - 1)
    print(f"history of {written:,} runs read in {seconds:.0f} s ({pace:.0f} runs/s), {calls} calls")
    print(f"  resident after {SMALL:,}: {base:.1f} MB; at most {worst:.1f} MB ({more:+.1f} %)")
    if more > MOST_GROWTH:
        sys.exit(f"Resident memory grew by more than {MOST_GROWTH:g} %.")


async def calls(folder: Path, rate: float = 100 / 60, minutes: float = 30) -> None:
    """Let a watcher with a policy block look, no run failing, and count its calls after the first minute."""
    server, settings = Server(rate, failing=10**12), load_settings(home=folder)
    async with (
        PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server)) as api,
        Store.open(f"sqlite:///{folder / 'calls.db'}") as store,
    ):
        server.now = FIRST + timedelta(hours=1)

        async def reread() -> RemedyPolicy:
            return await policy_in_force(api, store, settings, server.now)

        watcher = Watcher(Desk(api=api, store=store, clock=lambda: server.now, reread=reread))
        await watcher.tick()
        before, first = api.calls, server.happened()
        for _ in range(round(60 * minutes / watcher.poll_interval_s)):
            server.now += timedelta(seconds=watcher.poll_interval_s)
            await watcher.tick()
        made, good = api.calls - before, server.happened() - first
    print(f"{60 * rate:.0f} runs a minute, a look every {watcher.poll_interval_s:g} s:")
    print(f"  {made} calls for {good} good runs ({made / good:.4f} a run)")


async def failures(folder: Path, rate: float, minutes: float, heard: int) -> None:
    """Let a watcher look every ten seconds of told time, and count the failures seen.

    Every ``heard``-th failure is told by the event stream as well; 0: the stream is cut. Exits where one was
    not seen.
    """
    server = Server(rate, failing=1000)
    async with (
        PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server)) as api,
        Store.open(f"sqlite:///{folder / f'watch-{rate}-{heard}.db'}") as store,
    ):
        server.now = FIRST + timedelta(minutes=1)
        desk = Desk(api=api, store=store, clock=lambda: server.now)
        watcher = Watcher(desk)
        await watcher.tick()
        first = int(60 * rate)
        ticks: list[float] = []
        while server.now < FIRST + timedelta(minutes=1 + minutes):
            before, server.now = server.now, server.now + timedelta(seconds=10)
            for number in range(
                int((before - FIRST).total_seconds() * rate), int((server.now - FIRST).total_seconds() * rate)
            ):
                if heard and server.failed(number) and number // server.failing % heard == 0:
                    watcher.hint.tell(f"prefect.flow-run.{known('run', number)}")
            began = time.perf_counter()
            await watcher.tick()
            ticks.append(time.perf_counter() - began)
        last = server.happened()
        gold = {known("run", number) for number in range(first, last + 1) if server.failed(number)}
        seen = {ident for ident in gold if await store.claimed_by(run_claim(ident, 1)) is not None}
    share = "cut" if not heard else f"tells 1 of {heard}"
    print(f"{rate:g} runs/s, stream {share}: {len(seen)} of {len(gold)} failures taken up")
    print(f"  a look took {median(ticks):.2f} s, {max(ticks):.2f} s at most (n = {len(ticks)})")
    if seen != gold:
        sys.exit(f"{len(gold - seen)} failures were not seen.")


async def detection(folder: Path, rate: float = 100.0, lasts_s: float = 30.0) -> None:
    """Run a watcher in real time, the event stream telling of every failure, and time each one's session."""
    server = Server(rate)
    server.now = start = FIRST + timedelta(seconds=10)
    began = 0.0

    def clock() -> datetime:
        if began:  # time begins to pass after the first look
            server.now = start + timedelta(seconds=time.monotonic() - began)
        return server.now

    async with (
        PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(server)) as api,
        Store.open(f"sqlite:///{folder / 'detection.db'}") as store,
    ):
        watcher = Watcher(Desk(api=api, store=store, clock=clock))
        await watcher.tick()
        began = time.monotonic()
        task = asyncio.create_task(watcher.run())
        told = server.happened()
        waiting: dict[str, datetime] = {}
        took: list[float] = []
        while (passed := (clock() - start).total_seconds()) < lasts_s or (waiting and passed < 3 * lasts_s):
            last = server.happened()
            if passed < lasts_s:
                for number in (n for n in range(told + 1, last + 1) if server.failed(n)):
                    waiting[known("run", number)] = server.ended(number)
                    watcher.hint.tell(f"prefect.flow-run.{known('run', number)}")
                told = last
            for ident, end in list(waiting.items()):
                if await store.claimed_by(run_claim(ident, 1)) is not None:
                    took.append((clock() - end).total_seconds())
                    del waiting[ident]
            await asyncio.sleep(0.02)
        watcher.stopped.set()
        await task
    took.sort()
    gold = len(took) + len(waiting)
    print(f"{rate:g} runs/s for {lasts_s:g} s, {len(took)} of {gold} failures taken up:")
    print(f"  seconds from end to session: median {median(took):.2f}, p95 {took[int(0.95 * len(took))]:.2f}")


def idle(folder: Path, lasts_s: float = 30.0) -> None:
    """Start the watcher as people do, against a server on which nothing happens, and read its memory."""
    server = Server(1.0)
    server.last = -1
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append(self.path)
            url, body = f"http://prefect.test{self.path}", self.rfile.read(length)
            answer = server(httpx.Request(self.command, url, content=body))
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815 - as above

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    environment = os.environ | {
        "PREFECT_API_URL": f"http://127.0.0.1:{listening.server_port}/api",
        "PREFECT_HOME": str(folder),
        "PREFECT_AUTOPILOT_HOME": str(folder),
        "PREFECT_AUTOPILOT_POLL_INTERVAL_S": "2",
    }
    command = [sys.executable, "-m", "prefect_autopilot", "watch"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        time.sleep(lasts_s)
        if process.poll() is not None:
            sys.exit(f"The watcher ended by itself with exit code {process.returncode}.")
        resident = rss_mb(process.pid)
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        process.send_signal(signal.SIGTERM)
    listening.shutdown()
    learning = "sklearn" in maps or "statsmodels" in maps
    print(f"idle watcher after {lasts_s:g} s and {len(asked)} calls: {resident:.1f} MB resident")
    print(f"  machine learning libraries loaded: {'yes' if learning else 'no'}")


def run_of(deployments: int, number: int) -> RunRecord:
    """Return a run as the store gives it back."""
    raw = Server(1.0)._run(number)  # noqa: SLF001 - one home for what a run looks like
    fields = {"id", "name", "run_count", "state"}
    record = {name: raw[name] for name in fields} | {
        "flow_name": f"flow-{number % deployments}",
        "deployment_id": f"d{number % deployments}",
        "deployment_name": f"prod-{number % deployments}",
        "work_pool": "pool",
        "start": raw["start_time"],
        "end": raw["end_time"],
        "expected_start": raw["expected_start_time"],
    }
    return RunRecord.model_validate(record)


def scrape(deployments: int = 1000, scrapes: int = 60) -> None:
    """Render /metrics over many deployments."""
    fleet = FleetMetrics()
    for number in range(deployments * 5):
        fleet.observe(run_of(deployments, number))
    fleet.render(FIRST)
    took = []
    for turn in range(scrapes):
        for number in range(100):  # a scrape a minute, and runs that ended meanwhile
            fleet.observe(run_of(deployments, deployments * 5 + turn * 100 + number))
        began = time.perf_counter()
        text = fleet.render(FIRST)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    high = took[int(0.95 * scrapes)]
    print(f"/metrics over {deployments} deployments, {len(text) / 1e6:.1f} MB:")
    print(f"  median {median(took):.1f} ms, p95 {high:.1f} ms (n = {scrapes})")


PARTS = ("accuracy", "calls", "failures", "detection", "scrape", "idle", "memory")


async def measure(part: str, folder: Path, runs: int) -> None:
    """Print one part's figures, each with its n."""
    if part == "accuracy":
        import monitoring

        monitoring.main()
    elif part == "calls":
        await calls(folder)
    elif part == "failures":
        await failures(folder, 600.0, 2, 3)
        await failures(folder, 600.0, 1, 0)
    elif part == "detection":
        await detection(folder)
    elif part == "scrape":
        scrape()
    elif part == "idle":
        idle(folder)
    else:
        await memory(folder, max(runs, 2 * SMALL))


def main(arguments: list[str]) -> int:
    """Print the figures of the parts that are asked for, all without one."""
    parser = argparse.ArgumentParser(description="Measure what watching costs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=100_000, help="of history, for memory; at least 20,000")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    print(f"on {os.cpu_count()} cores")
    for part in asked.parts or PARTS:
        with tempfile.TemporaryDirectory() as name:
            began = time.perf_counter()
            asyncio.run(measure(part, Path(name), asked.runs))
            print(f"  ({part}: {time.perf_counter() - began:.0f} s)\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
