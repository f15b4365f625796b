"""A small Prefect server in memory: runs with states, logs and deployments, driven by the tests."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import TERMINAL_STATES, JSONDict, RemedyPolicy, RunRecord
from prefect_autopilot.store import Store

sys.path.insert(0, str(Path(__file__).parent))  # what several modules here do with a run: taken_runs

TRACEBACK = """Encountered exception during execution: {error}
Traceback (most recent call last):
  File "/srv/flows/orders.py", line 12, in fetch
    response.raise_for_status()
{error}"""

UNAVAILABLE = (
    "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'"
)

READING_FLOW = """
import httpx
from prefect import flow, task

@task
def fetch() -> list[int]:
    response = httpx.get("https://api.shop.test/orders", timeout=10)
    response.raise_for_status()
    return response.json()

@flow
def orders() -> list[int]:
    return fetch()
"""


class Clock:
    """A clock the test moves."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class PrefectInMemory:
    """Answers the routes the adapter uses; ``fail``, ``finish`` and ``touch`` play the outside world."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.clock = clock
        self.folder = folder
        self.runs: dict[str, dict[str, Any]] = {}
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.task_runs: dict[str, list[dict[str, Any]]] = {}
        self.parents: dict[str, str] = {}
        self.other_deployments: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.retries: list[dict[str, Any]] = []
        self.automations: list[dict[str, Any]] = []
        self.flow_name = "orders"
        self.down = False
        self._ids = itertools.count(1)

    def deploy(self, source: str) -> None:
        (self.folder / "orders.py").write_text(source, encoding="utf-8")

    def add_state(self, run_id: str, type_: str, name: str, message: str = "") -> None:
        state = {
            "id": f"state-{next(self._ids)}",
            "type": type_,
            "name": name,
            "timestamp": self.clock.now.isoformat(),
            "message": message,
        }
        run = self.runs[run_id]
        run |= {"state": state, "state_type": type_, "updated": self.clock.now.isoformat()}
        run["end_time"] = self.clock.now.isoformat() if type_ in TERMINAL_STATES else None
        self.states.setdefault(run_id, []).append(state)

    def start(self, run_id: str) -> None:
        run = self.runs.setdefault(
            run_id,
            {"id": run_id, "name": "blue-owl", "flow_id": "flow-1", "deployment_id": "dep-1", "run_count": 0},
        )
        run["run_count"] += 1
        run["start_time"] = self.clock.now.isoformat()
        self.add_state(run_id, "RUNNING", "Running")

    def fail(self, run_id: str, error: str = UNAVAILABLE, type_: str = "FAILED") -> None:
        self.start(run_id)
        self.clock.forward(2)
        text = TRACEBACK.format(error=error)
        self.logs.setdefault(run_id, []).append(
            {
                "timestamp": self.clock.now.isoformat(),
                "level": 40,
                "message": text,
                "name": "prefect.flow_runs",
            }
        )
        message = f"Flow run encountered an exception: {error.removeprefix('httpx.')}"
        self.add_state(run_id, type_, type_.title(), message)

    def failed_task(self, run_id: str, key: str, **changes: Any) -> dict[str, Any]:
        """A task run of the run's present attempt that failed, unless ``changes`` say otherwise."""
        state = {
            "id": "task-state",
            "type": "FAILED",
            "name": "Failed",
            "timestamp": self.clock.now.isoformat(),
        }
        count = self.runs[run_id]["run_count"]
        return {
            "id": key,
            "name": key,
            "task_key": key,
            "state": state,
            "flow_run_run_count": count,
        } | changes

    def fail_within(self, run_id: str, child: str, error: str = UNAVAILABLE) -> None:
        """A run that fails with the sub-flow run, which has no deployment, that it waits for."""
        self.fail(child, error)
        self.parents["waits"] = run_id
        self.runs[child] |= {"deployment_id": None, "parent_task_run_id": "waits"}
        self.fail(run_id, error)
        task = self.failed_task(run_id, "waits")
        task["state"] |= {"state_details": {"child_flow_run_id": child}}
        self.task_runs[run_id] = [task]

    def finish(self, run_id: str) -> None:
        self.start(run_id)
        self.clock.forward(2)
        self.add_state(run_id, "COMPLETED", "Completed")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else {}
        answer = self._answer(path, body, dict(request.url.params))
        return httpx.Response(404) if answer is None else httpx.Response(200, json=answer)

    def _answer(self, path: str, body: dict[str, Any], query: dict[str, str]) -> Any:  # noqa: C901, PLR0911  # a routing table
        parts = path.strip("/").split("/")
        match parts:
            case ["flow_runs", "filter"]:
                return self._filtered(body)
            case ["flow_runs", run_id, "set_state"]:
                return self._set_state(run_id, body)
            case ["flow_runs", run_id]:
                return self.runs.get(run_id)
            case ["flow_run_states"]:
                return self.states.get(query["flow_run_id"], [])
            case ["task_runs", "filter"]:
                return self.task_runs.get(body["flow_runs"]["id"]["any_"][0], [])
            case ["task_runs", task]:
                return {"id": task, "flow_run_id": self.parents.get(task)}
            case ["logs", "filter"]:
                return list(reversed(self.logs.get(body["logs"]["flow_run_id"]["any_"][0], [])))
            case ["flows", "filter"]:
                return [{"id": "flow-1", "name": self.flow_name}]
            case ["deployments", "filter"]:
                return [{"id": "dep-1", "name": "prod"}, *self.other_deployments]
            case ["automations", "filter"]:
                return self.automations
            case ["deployments", "dep-1"]:
                return {
                    "id": "dep-1",
                    "name": "prod",
                    "path": str(self.folder),
                    "entrypoint": "orders.py:orders",
                }
            case ["artifacts"]:
                self.artifacts.append(body)
                return {"id": f"artifact-{len(self.artifacts)}"}
        return None

    def _set_state(self, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
        self.retries.append({"run": run_id} | body)
        state = body["state"]
        self.add_state(run_id, state["type"], state["name"], state["message"])
        return {"status": "ACCEPT", "details": {}, "state": self.runs[run_id]["state"]}

    def _filtered(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body["flow_runs"]
        found = list(self.runs.values())
        if "id" in wanted:
            return [self.runs[one] for one in wanted["id"]["any_"] if one in self.runs]
        if "state" in wanted:
            found = [run for run in found if run["state_type"] in wanted["state"]["type"]["any_"]]
        if "end_time" in wanted:
            after = datetime.fromisoformat(wanted["end_time"]["after_"])
            found = [run for run in found if datetime.fromisoformat(run["end_time"]) >= after]
        return found


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 3, 2, 3, 0, tzinfo=UTC))


@pytest.fixture
def prefect(clock: Clock, tmp_path: Path) -> PrefectInMemory:
    server = PrefectInMemory(clock, tmp_path)
    server.deploy(READING_FLOW)
    return server


@pytest.fixture
async def store(tmp_path: Path, lay_database: Callable[[str], None]) -> AsyncIterator[Store]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'autopilot.db'}"
    lay_database(url)
    async with Store.open(url) as opened:
        yield opened


async def no_sleep(_seconds: float) -> None:
    return


def api_of(server: Callable[[httpx.Request], httpx.Response], **changes: Any) -> PrefectAPI:
    transport = httpx.MockTransport(server)
    return PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, **changes)


def desk_on(prefect: PrefectInMemory, store: Store, clock: Clock, **changes: Any) -> Desk:
    """A desk over the server in memory, in auto mode unless told otherwise."""

    async def may_not_be_asked(_url: str, _private: bool) -> None:  # noqa: FBT001  # the desk's interface
        return

    parts: dict[str, Any] = {
        "api": api_of(prefect, tries=2),
        "store": store,
        "policy": RemedyPolicy(mode="auto"),
        "holder": "test",
        "clock": clock,
        "jitter": lambda: 0.5,
        "probe": may_not_be_asked,
    }
    return Desk(**parts | changes)


@pytest.fixture
def make_desk(prefect: PrefectInMemory, store: Store, clock: Clock) -> Callable[..., Desk]:
    """Return a function that makes a desk with some parts changed."""
    return lambda **changes: desk_on(prefect, store, clock, **changes)


@pytest.fixture
def desk_over(make_desk: Callable[..., Desk]) -> Callable[..., Desk]:
    """Return a function that makes a desk whose calls are answered by a server of the test's own."""
    return lambda server, **changes: make_desk(api=api_of(server), **changes)


class ListOfRuns:
    """Answers as the Prefect adapter does: the newest ``limit`` of what ended since, and what is active."""

    def __init__(self, *runs: RunRecord) -> None:
        self.runs = list(runs)
        self.asked: list[tuple[datetime, int]] = []
        self.pages: list[tuple[datetime, datetime]] = []
        self.deployments: dict[str, JSONDict] = {}

    async def runs_changed_since(
        self, since: datetime, *, overlap_s: float = 30, limit: int = 10_000
    ) -> tuple[RunRecord, ...]:
        self.asked.append((since, limit))
        after = since - timedelta(seconds=overlap_s)
        ended = sorted(
            (run for run in self.runs if run.end and run.end >= after), key=lambda run: run.end or after
        )
        return (*ended[-limit:], *(run for run in self.runs if run.end is None))

    async def runs_ended_between(
        self, after: datetime, before: datetime, *, limit: int
    ) -> tuple[RunRecord, ...]:
        self.pages.append((after, before))
        found = [run for run in self.runs if run.end and after <= run.end <= before]
        return tuple(sorted(found, key=lambda run: run.end or after, reverse=True)[:limit])

    async def count_ended_between(self, after: datetime, before: datetime) -> int:
        return sum(run.end is not None and after <= run.end <= before for run in self.runs)

    async def runs_by_id(self, ids: Sequence[str]) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.id in ids)

    async def deployments_by_id(self, ids: Sequence[str]) -> tuple[JSONDict, ...]:
        return tuple({"id": ident} | self.deployments[ident] for ident in ids if ident in self.deployments)

    async def automations(self) -> tuple[JSONDict, ...]:
        return ()


@pytest.fixture
def listed() -> type[ListOfRuns]:
    """A Prefect that is a list of runs."""
    return ListOfRuns


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()
