"""A storm of failing runs against a Prefect edge in memory: sessions, notices, canary, calls and memory.

    python benchmarks/storm.py --runs 10000 --causes 3 --docs

``--docs`` writes what was counted into docs/resolve.md.
Every run fails alike within its cause. The runs that are retried complete. What is printed was counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from counts import between

from prefect_autopilot.adapters.prefect_api import PAGE, PrefectAPI
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RemedyPolicy
from prefect_autopilot.store import Store
from prefect_autopilot.watcher import Watcher

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "resolve.md"
BEGIN_MARK, END_MARK = "<!-- storm -->", "<!-- /storm -->"
BEGIN = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
MESSAGES = (
    "HTTPStatusError: Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'",
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "KeyError: 'total'",
    "HTTPStatusError: Client error '429 Too Many Requests' for url 'https://api.crm.test/leads'",
)
SOURCE = """
import httpx
from prefect import flow

@flow
def orders(part: int) -> None:
    httpx.get("https://api.shop.test/orders", timeout=10).raise_for_status()
"""


class Edge:
    """The routes of Prefect that a storm touches."""

    def __init__(self, runs: int, causes: int, folder: Path) -> None:
        self.now = BEGIN
        self.folder = folder
        self.calls = 0
        self.retried: list[tuple[datetime, str]] = []
        (folder / "orders.py").write_text(SOURCE, encoding="utf-8")
        self.runs = {f"run-{n}": self._run(n, MESSAGES[n % causes]) for n in range(runs)}
        self.messages = {run_id: run["state"]["message"] for run_id, run in self.runs.items()}
        self.by_end = sorted(self.runs.values(), key=lambda run: run["end_time"], reverse=True)

    def _run(self, number: int, message: str) -> dict[str, Any]:
        at = (BEGIN - timedelta(seconds=30) + timedelta(milliseconds=number)).isoformat()
        state = {"id": f"s-{number}", "type": "FAILED", "name": "Failed", "timestamp": at, "message": message}
        return {
            "id": f"run-{number}",
            "name": f"run {number}",
            "flow_id": "flow-1",
            "deployment_id": "dep-1",
            "run_count": 1,
            "parameters": {"part": number},
            "state": state,
            "state_type": "FAILED",
            "start_time": at,
            "end_time": at,
            "updated": at,
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        parts = request.url.path.removeprefix("/api").strip("/").split("/")
        body = json.loads(request.content) if request.content else {}
        return httpx.Response(200, json=self._answer(parts, body, dict(request.url.params)))

    def _answer(self, parts: list[str], body: dict[str, Any], query: dict[str, str]) -> Any:
        place = {"path": str(self.folder), "entrypoint": "orders.py:orders"}
        fixed: dict[tuple[str, ...], Any] = {
            ("flows", "filter"): [{"id": "flow-1", "name": "orders"}],
            ("deployments", "filter"): [{"id": "dep-1", "name": "prod"}],
            ("deployments", "dep-1"): {"id": "dep-1", "name": "prod"} | place,
            ("artifacts",): {"id": "artifact"},
            ("events", "filter"): {"events": [], "total": 0, "next_page": None},
        }
        match parts:
            case ["flow_runs", "filter"]:
                return self._filter(body["flow_runs"], body.get("limit", PAGE))
            case ["flow_runs", run_id, "set_state"]:
                return self._retry(run_id, body["state"])
            case ["flow_runs", run_id]:
                return self.runs[run_id]
            case ["flow_run_states"]:
                return [self.runs[query["flow_run_id"]]["state"]]
        return fixed.get(tuple(parts), [])

    def _filter(self, wanted: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        if "id" in wanted:
            return [self.runs[one] for one in wanted["id"]["any_"]]
        if "deployment_id" in wanted:
            return self.by_end[:limit]
        window = wanted.get("end_time", {})
        after, before = window.get("after_", ""), window.get("before_", "9999")
        types = wanted["state"]["type"]["any_"]
        found = (
            run
            for run in self.by_end
            if run["state_type"] in types and after <= (run["end_time"] or "") <= before
        )
        return [run for _, run in zip(range(limit), found, strict=False)]

    def first_retries(self) -> str:
        """Return, for each cause that is retried, how many were so at its first looks: one, then some."""
        causes = sorted({cause for _, cause in self._by_cause})
        looks = (Counter(at for at, one in self._by_cause if one == cause) for cause in causes)
        return "; ".join(", ".join(str(one[at]) for at in sorted(one)[:4]) for one in looks)

    @property
    def _by_cause(self) -> list[tuple[datetime, str]]:
        return [(at, self.messages[run_id]) for at, run_id in self.retried]

    def _retry(self, run_id: str, state: dict[str, Any]) -> dict[str, Any]:
        """Accept the retry, and complete the run at once: what is measured is not the run."""
        self.retried.append((self.now, run_id))
        run, at = self.runs[run_id], (self.now + timedelta(seconds=8)).isoformat()
        done = {"id": f"{run_id}-done", "type": "COMPLETED", "name": "Completed", "timestamp": at}
        run |= {"state": done | {"message": ""}, "state_type": "COMPLETED", "end_time": at}
        run |= {"run_count": run["run_count"] + 1, "start_time": at}
        return {"status": "ACCEPT", "state": state, "details": {}}


async def storm(runs: int, causes: int, ticks: int) -> dict[str, Any]:
    """Return what was counted after so many looks of the watcher, one every ten seconds."""
    with tempfile.TemporaryDirectory() as name:
        edge = Edge(runs, causes, Path(name))
        api = PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(edge))
        async with Store.open(f"sqlite+aiosqlite:///{name}/autopilot.db") as store:
            policy = RemedyPolicy(mode="auto")
            desk = Desk(api=api, store=store, policy=policy, clock=lambda: edge.now, jitter=lambda: 0.5)
            watcher, begun, first = Watcher(desk), time.perf_counter(), 0.0
            for tick in range(ticks):
                await watcher.tick()
                first = first or time.perf_counter() - begun
                edge.now += timedelta(seconds=10)
                if tick == 0:
                    looked = edge.calls
            notices = [one.notice for one in await store.pending_notices(edge.now, "webhook")]
            minutes = Counter(at.replace(second=0) for at, _ in edge.retried)
            return {
                "runs": runs,
                "causes": causes,
                "sessions": len(await store.sessions(limit=10_000)),
                "notices": len(notices),
                "retries": len(edge.retried),
                "retries of each cause, look by look": edge.first_retries(),
                "most retries in a minute": max(minutes.values(), default=0),
                "calls of the first look": looked,
                "calls per run": round(edge.calls / runs, 2),
                "first look s": round(first, 1),
                "all s": round(time.perf_counter() - begun, 1),
                "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }


def main() -> None:
    """Print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--causes", type=int, choices=range(1, len(MESSAGES) + 1), default=3)
    parser.add_argument("--ticks", type=int, default=30, help="looks of the watcher, ten seconds apart")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/resolve.md")
    told = parser.parse_args()
    counted = asyncio.run(storm(told.runs, told.causes, told.ticks))
    print(json.dumps(counted, indent=2))
    if told.docs:
        lines = ["| `benchmarks/storm.py` | counted |", "|---|---|"]
        lines += [f"| {what} | {value} |" for what, value in counted.items()]
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(between(text, BEGIN_MARK, END_MARK, "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
