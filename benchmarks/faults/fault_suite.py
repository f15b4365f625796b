"""Break flows on a real Prefect server, and see from outside what a strategy makes of it.

    python benchmarks/faults/fault_suite.py --json out.json
    python benchmarks/faults/fault_suite.py --json out.json --strategies always

Strategies: ``ours`` (the watcher in mode auto, or in ``--mode``), ``nothing``, ``always`` (every failed or
crashed run again, at most three times, ten seconds apart) and ``retries`` (Prefect's own, three of them,
three seconds apart). Each has a server, a worker and a home of its own; those tried alone join the others of
the same JSON file. ``--docs`` writes the table of whole rounds into docs/resolve.md. Linux only: the
processes of a run are found in /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from fault_lasting import LASTING
from fault_passing import PASSING
from fault_score import DOCUMENT, Row, fails, filled, rows_table, summary, table
from fault_world import Answer, Fault, Outside, Scene

from prefect_autopilot.adapters.embedded import EmbeddedPrefect, running_server, running_worker

FAULTS: tuple[type[Fault], ...] = PASSING + LASTING
STRATEGIES = ("ours", "nothing", "always", "retries")
POOL = "garden"
WINDOW_S = 60.0
"""How long after its failure a fault is watched that nobody shall resolve."""
LIMIT_S = 180.0
"""How long after the first failure a fault may take to be resolved."""
SHOWS_WITHIN_S = 240.0
STARTS = {"nothing": 1, "retries": 1, "always": 4}
"""After so many starts a run that has ended badly is left alone by these strategies."""
NEVER_BEGAN = "the run never began: the machine failed, not the flow"


@dataclass
class Lab:
    """A server with a worker, what people are told, and the strategy under test."""

    prefect: EmbeddedPrefect
    sink: Outside
    strategy: str
    home: Path
    slow: float = 1.0
    mode: str = "auto"
    """Mode of the watcher."""
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the Prefect API; a busy SQLite server is asked again."""
        for attempt in range(14):
            try:
                answer = httpx.request(method, self.prefect.url + path, json=body, timeout=30)
            except httpx.TransportError:
                time.sleep(min(2**attempt * 0.2, 5))
                continue
            if answer.status_code not in {429, 503}:
                answer.raise_for_status()
                return answer.json() if answer.content else None
            time.sleep(min(2**attempt * 0.2, 5))
        raise RuntimeError(f"the server does not answer {path}")


@contextmanager
def scene_of(lab: Lab, kind: type[Fault], trial: int) -> Iterator[tuple[Fault, Scene]]:
    """Prepare a fault and its deployment; the flow's file says nothing of the fault."""
    fault, folder = kind(), lab.home / f"f{FAULTS.index(kind)}-{trial}"
    folder.mkdir()
    retries = "@flow(retries=3, retry_delay_seconds=3)"
    text = (
        re.sub(r"^@flow$", retries, fault.flow, flags=re.MULTILINE)
        if lab.strategy == "retries"
        else fault.flow
    )
    source = folder / "work.py"
    source.write_text(text, encoding="utf-8")
    scene = Scene(folder=folder, outside=Outside(), call=lab.call)
    scene.processes = lambda: processes_of(scene.run_id)
    fault.prepare(scene)
    flow_id = lab.call("POST", "/flows/", {"name": f"garden-{FAULTS.index(kind)}-{trial}"})["id"]
    told = {
        "name": "daily",
        "flow_id": flow_id,
        "path": str(folder),
        "entrypoint": "work.py:work",
        "work_pool_name": POOL,
        "parameters": {"url": scene.outside.url, "folder": str(folder)},
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}],
    }
    scene.deployment_id = lab.call("POST", "/deployments/", told)["id"]
    scene.notes["source"] = sha256(source.read_bytes()).hexdigest()
    scene.notes["deployment"] = deployment_of(scene)
    try:
        yield fault, scene
    finally:
        fault.clean(scene)


def deployment_of(scene: Scene) -> dict[str, Any]:
    """Return what nobody may change about the deployment."""
    raw = scene.call("GET", f"/deployments/{scene.deployment_id}")
    return {name: raw[name] for name in ("entrypoint", "path", "parameters", "paused", "job_variables")}


def processes_of(run_id: str) -> list[int]:
    """Return the processes that were started for a run."""
    mark, found = f"PREFECT__FLOW_RUN_ID={run_id}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def general_harm(scene: Scene, fault: Fault) -> list[str]:
    """Return what no strategy may do, whatever the fault."""
    try:
        run = scene.run()
    except httpx.HTTPStatusError:
        return ["the run was deleted"]
    found = []
    if run["run_count"] > fault.most_starts:
        found.append(f"a storm of {run['run_count']} starts")
    states = scene.call("GET", f"/flow_run_states/?flow_run_id={scene.run_id}")
    kinds = [state["type"] for state in sorted(states, key=lambda one: one["timestamp"])]
    for number, kind in enumerate(kinds):
        if kind == "COMPLETED" and number and kinds[number - 1] != "RUNNING":
            found.append("a run was called completed that did not run")
    if sha256((scene.folder / "work.py").read_bytes()).hexdigest() != scene.notes["source"]:
        found.append("the flow's source was changed")
    if deployment_of(scene) != scene.notes["deployment"]:
        found.append("the deployment was changed")
    return found


def told_of(lab: Lab, scene: Scene) -> list[str]:
    """Return the outcomes that people were told about this run."""
    idents = {scene.run_id, scene.deployment_id, scene.notes.get("second", scene.run_id)}
    notices = [call for call in lab.sink.seen("POST") if any(ident in call.body for ident in idents)]
    return [str(json.loads(call.body).get("outcome", "info")) for call in notices]


def observe(lab: Lab, fault: Fault, scene: Scene, row: Row) -> None:
    """Watch one run until the fault is resolved, or the time for it is over."""
    begun, once, healed = time.time(), set[str](), False
    while True:
        time.sleep(1)
        now, run = time.time(), scene.run()
        if run["state_type"] == "RUNNING" and "running" not in once:
            once.add("running")
            fault.running(scene)
        if not scene.failed_at and (_has_failed(scene) or fault.shows(scene)):
            if fault.begins and not run["run_count"]:
                row.error = NEVER_BEGAN
                return
            scene.failed_at, row.happened = now, True
            fault.failed(scene)
        if not scene.failed_at:
            if now - begun > SHOWS_WITHIN_S * lab.slow:
                return
            continue
        if not healed and now >= scene.failed_at + fault.lasts_s:
            fault.heal(scene)
            healed = True
        if fault.expected == "resolved" and run["state_type"] == "COMPLETED" and fault.resolved(scene):
            row.resolved, row.seconds = True, now - scene.failed_at
            return
        if _is_over(lab, fault, run, now - scene.failed_at):
            return


def _is_over(lab: Lab, fault: Fault, run: dict[str, Any], since_s: float) -> bool:
    limit = LIMIT_S if fault.expected == "resolved" else WINDOW_S
    late = since_s > limit * lab.slow and run["state_type"] != "PENDING"
    return late or is_left_alone(lab.strategy, run)


def is_left_alone(strategy: str, run: dict[str, Any]) -> bool:
    """Tell whether a run has ended badly and the strategy does nothing more about it."""
    most = STARTS.get(strategy)
    return most is not None and run["state_type"] in {"FAILED", "CRASHED"} and run["run_count"] >= most


def _has_failed(scene: Scene) -> bool:
    states = scene.call("GET", f"/flow_run_states/?flow_run_id={scene.run_id}")
    # With retries of Prefect's own the first failure is a run that awaits its retry.
    return any(state["type"] in {"FAILED", "CRASHED"} or state["name"] == "AwaitingRetry" for state in states)


def play(lab: Lab, kind: type[Fault], number: int) -> Row:
    """Play one fault and return what came of it; a second time where the machine failed first."""
    row = _play(lab, kind, number, 1)
    return row if row.happened or row.error != NEVER_BEGAN else _play(lab, kind, number, 2)


def _play(lab: Lab, kind: type[Fault], number: int, trial: int) -> Row:
    row = Row(kind.name, kind.expected, lab.strategy, number, lasted_s=kind.lasts_s)
    with contextlib.ExitStack() as stack:
        try:
            with lab.one_at_a_time:
                fault, scene = stack.enter_context(scene_of(lab, kind, trial))
            path = f"/deployments/{scene.deployment_id}/create_flow_run"
            scene.run_id = lab.call("POST", path, {"state": {"type": "SCHEDULED", "name": "Scheduled"}})["id"]
            observe(lab, fault, scene, row)
            time.sleep(5)  # harm and notices that come right after
            row.starts = scene.starts()
            row.harm = sorted({*fault.harm(scene), *general_harm(scene, fault)})
            row.told = told_of(lab, scene)
        except (httpx.HTTPError, OSError, RuntimeError, KeyError) as error:
            row.error = f"{type(error).__name__}: {error}"[:200]
    return row


@asynccontextmanager
async def lab_of(
    strategy: str, slow: float, keep: Path | None = None, mode: str = "auto"
) -> AsyncIterator[Lab]:
    """Run a server, a worker and the strategy until the block ends; ``keep`` is a folder that stays."""
    with contextlib.ExitStack() as stack:
        if keep is not None:
            await asyncio.to_thread(keep.mkdir, parents=True, exist_ok=True)
            home = Path(tempfile.mkdtemp(prefix=f"{strategy}-", dir=keep))
        else:
            folder = tempfile.TemporaryDirectory(prefix="garden-", ignore_cleanup_errors=True)
            home = Path(stack.enter_context(folder))
        extra = {"PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_SERVER_DATABASE_TIMEOUT": "60"}
        async with running_server(home / "prefect", extra=extra) as prefect:
            lab = Lab(prefect, Outside(lambda _call: Answer()), strategy, home, slow, mode)
            await asyncio.to_thread(lab.call, "POST", "/work_pools/", {"name": POOL, "type": "process"})
            async with running_worker(prefect, pool=POOL, cwd=home), _acting(lab):
                yield lab
            lab.sink.close()


@asynccontextmanager
async def _acting(lab: Lab) -> AsyncIterator[None]:
    if lab.strategy == "always":
        stop = threading.Event()
        task = asyncio.create_task(asyncio.to_thread(always_retry, lab, stop))
        try:
            yield
        finally:
            stop.set()
            await task
    elif lab.strategy == "ours":
        command = [sys.executable, "-m", "prefect_autopilot", "watch", "--mode", lab.mode]
        command += ["--notify-webhook", f"{lab.sink.url}/told"]
        environment = dict(lab.prefect.environment) | {"PREFECT_AUTOPILOT_HOME": str(lab.home / "autopilot")}
        with (lab.home / "product.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=log, stderr=log, cwd=lab.home
            )
            try:
                yield
            finally:
                if process.returncode is None:
                    process.terminate()
                await process.wait()
    else:
        yield


def always_retry(lab: Lab, stop: threading.Event) -> None:
    """Start every failed or crashed run again after ten seconds, three times at most."""
    done: dict[str, int] = {}
    wanted = {"flow_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}}, "limit": 200}
    while not stop.wait(3):
        for run in lab.call("POST", "/flow_runs/filter", wanted):
            ended = time.time() - _moment(run["state"]["timestamp"])
            if ended < 10 or done.get(run["id"], 0) >= 3:
                continue
            done[run["id"]] = done.get(run["id"], 0) + 1
            state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
            lab.call("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": False})


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


async def play_all(
    strategy: str,
    faults: Sequence[type[Fault]],
    *,
    jobs: int,
    number: int,
    slow: float,
    keep: Path | None = None,
    mode: str = "auto",
) -> list[Row]:
    """Play all faults under one strategy, some at a time."""
    gate = asyncio.Semaphore(jobs)
    async with lab_of(strategy, slow, keep, mode) as lab:

        async def one(kind: type[Fault]) -> Row:
            async with gate:
                row = await asyncio.to_thread(play, lab, kind, number)
            sys.stderr.write(f"{strategy:8} {rows_table([row])}\n")
            return row

        return list(await asyncio.gather(*(one(kind) for kind in faults)))


def main() -> int:
    """Print the tables and write JSON; 1 where the figures of ours are too bad (``fails``)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--only", nargs="+", metavar="FAULT", help="names of faults")
    parser.add_argument("--rounds", type=int, default=1, help="how often each strategy is tried")
    parser.add_argument("--jobs", type=int, default=8, help="faults at a time")
    parser.add_argument("--mode", choices=("propose", "approve", "auto"), default="auto", help="of ours")
    parser.add_argument("--slow", type=float, default=1, help="factor for the time limits of a busy machine")
    parser.add_argument("--keep", type=Path, help="folder in which logs and databases are left")
    parser.add_argument("--json", type=Path, help="where figures and rows are written")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/resolve.md")
    told = parser.parse_args()
    faults = [kind for kind in FAULTS if not told.only or kind.name in told.only]
    if told.only and len(faults) != len(set(told.only)):
        parser.error(f"the faults are {', '.join(kind.name for kind in FAULTS)}")
    figures, rows = _before(told.json, told.strategies)
    for strategy in told.strategies:
        mine = [
            row
            for number in range(1, told.rounds + 1)
            for row in asyncio.run(
                play_all(
                    strategy,
                    faults,
                    jobs=told.jobs,
                    number=number,
                    slow=told.slow,
                    keep=told.keep,
                    mode=told.mode,
                )
            )
        ]
        print(f"\n{strategy}\n{rows_table(mine)}", flush=True)
        figures[strategy] = summary(mine)
        rows += mine
        if told.json:
            _write(told.json, figures, rows)
    print(f"\n{table(figures)}")
    if told.docs and not told.only:
        DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), figures), encoding="utf-8")
    ours = figures.get("ours")
    if ours is None:
        return 0
    return int(fails(ours, told.mode))


def _before(path: Path | None, anew: Sequence[str]) -> tuple[dict[str, Any], list[Row]]:
    """Return what was measured before of the other strategies."""
    if path is None or not path.exists():
        return {}, []
    told = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(**{name: row[name] for name in row if name != "right"}) for row in told["rows"]]
    figures = {name: figure for name, figure in told["figures"].items() if name not in anew}
    return figures, [row for row in rows if row.strategy not in anew]


def _write(path: Path, figures: dict[str, Any], rows: Sequence[Row]) -> None:
    told = {"figures": figures, "rows": [asdict(row) | {"right": row.right} for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told | {"cores": os.cpu_count()}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
