"""Kill a resolving process at every point of the journal, let another one go on, and count the remedies.

    python benchmarks/faults/kill_points.py --times 20 --json out.json --docs

``--docs`` writes the table into docs/resolve.md. A Prefect edge in this process counts what it is told to do;
the processes that are killed, by SIGKILL, are real ones on a real store. Time runs five times as fast there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from fault_score import DOCUMENT, between
from fault_world import Answer, Call, Outside

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RemedyPolicy
from prefect_autopilot.store import Store

POINTS = (
    "claimed",
    "diagnosed",
    "intended",
    "changed",
    "on the wire",
    "acted",
    "journalled",
    "saved",
    "verified",
)
"""After claim, diagnosis, intent; between a change and its retry; while the act is under way; after it, its
result, its session, the end."""
FAST = 5.0
BEGIN = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
GIVE_UP_S = 180.0
RUN, DEPLOYMENT = "3c1b9f6e-5a0d-4f43-9d0a-1f2b7a8c9d10", "7d2f4a1b-0c3e-4b5a-8f6d-9e8c7b6a5d41"
LIMIT = 8
"""How many runs at once the deployment allows; a remedy that lowers that lets half as many."""
TOO_MANY = "psycopg.OperationalError: FATAL: sorry, too many clients already"
FAILED = "HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.garden.test/beds'"
SOURCE = """
import httpx
from prefect import flow

@flow
def beds() -> None:
    httpx.get("https://api.garden.test/beds", timeout=5).raise_for_status()
"""


@dataclass(frozen=True)
class Clock:
    """Time of the trial: fast, and the same in every process."""

    since: float

    def __call__(self) -> datetime:
        return BEGIN + timedelta(seconds=(time.time() - self.since) * FAST)


class Edge:
    """The routes of Prefect that one failed run touches; counts the retries it was told to make."""

    def __init__(self, clock: Clock, folder: Path, error: str) -> None:
        self.clock, self.folder = clock, folder
        self.acts = 0
        self.limits = [LIMIT]
        """What the deployment's limit was set to, one after another."""
        self.kill: int | None = None
        """The process to kill as soon as an act arrives, before it is carried out."""
        self.count = 1
        self.due: datetime | None = None
        (folder / "beds.py").write_text(SOURCE, encoding="utf-8")
        self.states = [self._state("FAILED", "Failed", error)]

    def _state(self, kind: str, name: str, message: str = "") -> dict[str, Any]:
        at = self.clock().isoformat()
        return {"id": f"s{time.time_ns()}", "type": kind, "name": name, "timestamp": at, "message": message}

    def _run(self) -> dict[str, Any]:
        if self.due is not None and self.clock() >= self.due:
            self.due, self.count = None, self.count + 1
            self.states += [self._state("RUNNING", "Running"), self._state("COMPLETED", "Completed")]
        state = self.states[-1]
        return {
            "id": RUN,
            "name": "green-bed",
            "flow_id": "flow-1",
            "deployment_id": DEPLOYMENT,
            "run_count": self.count,
            "state": state,
            "state_type": state["type"],
            "start_time": BEGIN.isoformat(),
            "end_time": state["timestamp"],
        }

    def __call__(self, call: Call) -> Answer:
        path = call.path.removeprefix("/api").partition("?")[0].strip("/")
        told = json.loads(call.body) if call.body else {}
        if path == f"flow_runs/{RUN}/set_state":
            return self._set_state(told["state"])
        if call.method == "PATCH":
            self.limits.append(told["concurrency_limit"])
            return Answer(204)
        fixed: dict[str, Any] = {
            f"flow_runs/{RUN}": self._run(),
            "flow_run_states": self.states,
            "flows/filter": [{"id": "flow-1", "name": "beds"}],
            "deployments/filter": [{"id": DEPLOYMENT, "name": "daily"}],
            f"deployments/{DEPLOYMENT}": {
                "id": DEPLOYMENT,
                "name": "daily",
                "path": str(self.folder),
                "entrypoint": "beds.py:beds",
                "concurrency_limit": self.limits[-1],
            },
            "artifacts": {"id": "artifact"},
        }
        return Answer(200, fixed.get(path, []))

    def _set_state(self, state: dict[str, Any]) -> Answer:
        if self.kill is not None:
            os.kill(self.kill, signal.SIGKILL)
            self.kill = None
        self.acts += 1
        self.states.append(self._state(state["type"], state["name"], state["message"]))
        self.due = datetime.fromisoformat(state["state_details"]["scheduled_time"])
        return Answer(200, {"status": "ACCEPT", "details": {}, "state": self.states[-1]})


def go_on(url: str, store_url: str, since: float, point: str) -> None:
    """Take the failed run up and on until it is settled; die at ``point``."""
    asyncio.run(_go_on(url, store_url, Clock(since), point))


async def _go_on(url: str, store_url: str, clock: Clock, point: str) -> None:
    async with PrefectAPI(url) as api, Store.open(store_url) as store:
        policy = RemedyPolicy(mode="auto", remedies={"lower_concurrency": "auto"})
        desk = Desk(api=api, store=store, policy=policy, holder=f"pid:{os.getpid()}", clock=clock)
        _die_at(point, desk)
        session = None
        while session is None:
            with suppress(AutopilotError):
                session = await resolve.take_up(desk, await api.run(RUN)) or await store.session_for_run(RUN)
        deadline = time.monotonic() + GIVE_UP_S
        while session is not None and session.due_at is not None and time.monotonic() < deadline:
            with suppress(AutopilotError):  # the watcher says so and tries again, too
                session = await resolve.advance(desk, session.session_id)
            await asyncio.sleep(0.05)


def _die_at(point: str, desk: Desk) -> None:
    """Put a SIGKILL behind the call that ends a part of the work."""
    saves = Counter[str]()

    def after(owner: Any, name: str, *, when: Callable[..., bool] = lambda *_: True) -> None:
        call: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def and_die(*args: Any, **named: Any) -> Any:
            answer = await call(*args, **named)
            if when(*args):
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        object.__setattr__(owner, name, and_die)

    def saved(session: Any, *_: Any) -> bool:
        saves[session.current_step.value] += 1
        return point == ("saved" if session.attempts else "diagnosed")

    behind = {
        "claimed": (desk.store, "claim_session"),
        "intended": (desk.store, "journal_intent"),
        "acted": (desk.api, "retry_run"),
        "journalled": (desk.store, "journal_result"),
        "verified": (desk.store, "queue_notice"),
    }
    if point == "changed":
        after(desk.api, "request", when=lambda method, *_: method == "PATCH")
    elif point in {"diagnosed", "saved"}:
        after(desk.store, "save_session", when=saved)
    elif point in behind:
        after(*behind[point])


@dataclass(frozen=True)
class Trial:
    """What came of one kill."""

    point: str
    killed: bool
    remedies: int
    changes: int
    status: str

    @property
    def good(self) -> bool:
        once = self.remedies == 1 and self.changes == (self.point == "changed")
        return self.killed and once and self.status == "auto_resolved"


def trial(point: str) -> Trial:
    """Kill one process at a point, let a second go on, and tell how many remedies there were."""
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory(prefix="killed-") as name:
        folder, since = Path(name), time.time()
        edge = Edge(Clock(since), folder, TOO_MANY if point == "changed" else FAILED)
        outside = Outside(edge)
        store_url = f"sqlite:///{folder / 'autopilot.db'}"
        told = (f"{outside.url}/api", store_url, since)
        first = context.Process(target=go_on, args=(*told, point))
        first.start()
        edge.kill = first.pid if point == "on the wire" else None
        first.join(GIVE_UP_S)
        killed = first.exitcode == -signal.SIGKILL
        second = context.Process(target=go_on, args=(*told, ""))
        second.start()
        second.join(GIVE_UP_S + 10)
        status = asyncio.run(_status(store_url))
        outside.close()
    return Trial(point, killed, edge.acts, len(edge.limits) - 1, status)


async def _status(store_url: str) -> str:
    async with Store.open(store_url) as store:
        session = await store.session_for_run(RUN)
    return session.resolution_status.value if session else "none"


def main() -> int:
    """Print a line for each point; 1 where it was not one remedy that helped each time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--times", type=int, default=20, help="kills at each point")
    parser.add_argument("--jobs", type=int, default=4, help="trials at a time")
    parser.add_argument("--json", type=Path, help="where the counts are written")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/resolve.md")
    told = parser.parse_args()
    # Once, before there are threads: children are then forked from a process that has read everything.
    multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__"])
    forkserver.ensure_running()
    figures: dict[str, dict[str, Any]] = {}
    for point in told.points:
        with ThreadPoolExecutor(told.jobs) as pool:
            trials = list(pool.map(trial, [point] * told.times))
        figures[point] = {
            "killed": sum(one.killed for one in trials),
            "one_remedy": sum(one.remedies == 1 for one in trials),
            "changes": dict(Counter(str(one.changes) for one in trials)),
            "remedies": dict(Counter(str(one.remedies) for one in trials)),
            "status": dict(Counter(one.status for one in trials)),
            "good": sum(one.good for one in trials),
            "n": len(trials),
        }
        print(f"{point:12} {figures[point]}", flush=True)
        if told.json:
            told.json.parent.mkdir(parents=True, exist_ok=True)
            told.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if told.docs and set(told.points) == set(POINTS):
        DOCUMENT.write_text(between(DOCUMENT.read_text(encoding="utf-8"), "kills", table(figures)), "utf-8")
    return int(any(one["good"] != one["n"] for one in figures.values()))


def table(figures: dict[str, dict[str, Any]]) -> str:
    """Return the counts as a Markdown table."""
    lines = ["| killed after | times | exactly one remedy, seen to help |", "|---|---|---|"]
    lines += [
        f"| {point} | {one['killed']} of {one['n']} | {one['good']} |" for point, one in figures.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
