"""What stands around a failed run: parent, sub-flow runs, work pool, workers, full limits, its deployment.

Each is asked for only where the run itself names a reason, so that most failures cost no further call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.models import FAILURE_STATES, EvidenceLine, JSONDict, RunRecord, TaskRunRecord
from prefect_autopilot.redaction import redact, redact_value
from prefect_autopilot.troubleshooting.evidence import CONTAINER, SAYS_NOTHING

MOST_CHILDREN = 20
CHANGED_LATELY = timedelta(days=1)
"""A change of the deployment longer before the failure is no news."""
AT_ONCE = timedelta(seconds=1)
"""A server writes down both times of what it creates, and not to the same microsecond."""
LONGEST_VALUE = 60
NEAR = timedelta(minutes=30)
"""Before the failure: what fails in the same pool within this time may have one cause with it."""
OF_THE_INFRASTRUCTURE = ("exited with", "infrastructure", "worker", "no longer running", "heartbeat")

Read = TypeVar("Read")
Part = Callable[[Awaitable[Read], str], Awaitable[Read | None]]
"""Awaits a read and returns None where it failed, having written down what is missing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found, as lines to cite; ``root_run`` is the run whose failure this one only passes on."""

    lines: tuple[EvidenceLine, ...] = ()
    root_run: RunRecord | None = None
    ask_source_of: str | None = None
    """Type of the work pool whose infrastructure is to be asked how the run ended; None where it is told."""


async def read_surroundings(
    api: PrefectAPI,
    run: RunRecord,
    task_runs: Sequence[TaskRunRecord],
    deployment: JSONDict | None,
    recent: Sequence[RunRecord],
    part: Part[Any],
) -> Surroundings:
    """Read what the run gives reason to look at: ten further calls at most.

    ``recent`` are other runs of the deployment, newest first.
    """
    lines: list[EvidenceLine] = [*_changed(run, deployment, recent), *_started(run)]
    root: RunRecord | None = None
    unexplained: str | None = None
    if children := _failed_children(run, task_runs):
        found = await part(api.runs_by_id(children), "sub-flow runs") or ()
        failed = sorted((one for one in found if _failed(one)), key=lambda one: one.state.timestamp)
        root = failed[0] if failed else None
        lines += [_told(one, "sub-flow run") for one in failed]
    if run.parent_task_run_id is not None:
        lines += await _parent(api, run.parent_task_run_id, part)
    if _infrastructure_in_question(run) and run.work_pool:
        pool_type, found = await _pool(api, run.work_pool, run.state.timestamp, part)
        lines += found
        lines += await _others(api, run.work_pool, run, part)
        told = await _of_the_container(api, run, part)
        lines += told
        if root is None and run.state.type != "SCHEDULED" and not any(_gives_reason(line) for line in told):
            unexplained = pool_type
    if "concurrency" in f"{run.state.name} {run.state.message or ''}".lower():
        full = await part(api.full_limits(), "concurrency limits") or ()
        lines += [
            EvidenceLine(
                text=f"{limit['active_slots']} of {limit['limit']} slots of {limit['name']!r} are taken",
                where=f"concurrency limit {limit['name']}",
            )
            for limit in full
        ]
    return Surroundings(tuple(lines), root, unexplained)


def _failed(run: RunRecord) -> bool:
    return run.state.type in FAILURE_STATES


def _failed_children(run: RunRecord, task_runs: Iterable[TaskRunRecord]) -> list[str]:
    """Return the sub-flow runs of the last attempt that failed, in their order."""
    return [
        task.child_flow_run_id
        for task in task_runs
        if task.child_flow_run_id
        and task.state is not None
        and task.state.type in FAILURE_STATES
        and (not task.flow_run_run_count or task.flow_run_run_count == run.run_count)
    ][:MOST_CHILDREN]


def _told(run: RunRecord, what: str) -> EvidenceLine:
    said = f": {run.state.message}" if run.state.message else ""
    name = run.flow_name or run.name or run.id
    return EvidenceLine(text=f"{name} is {run.state.name}{said}", where=f"{what} {run.id}")


async def _parent(api: PrefectAPI, task_run_id: str, part: Part[Any]) -> list[EvidenceLine]:
    task = await part(api.request("GET", f"/task_runs/{quote(task_run_id, safe='')}"), "parent task run")
    if not task or not task.get("flow_run_id"):
        return []
    found = await part(api.runs_by_id([task["flow_run_id"]]), "parent run") or ()
    return [_told(parent, "parent run") for parent in found]


def _infrastructure_in_question(run: RunRecord) -> bool:
    message = (run.state.message or "").lower()
    waits = run.state.type in {"SCHEDULED", "PENDING", "CRASHED"}
    return waits or any(word in message for word in OF_THE_INFRASTRUCTURE)


async def _pool(
    api: PrefectAPI, name: str, at: datetime, part: Part[Any]
) -> tuple[str | None, list[EvidenceLine]]:
    path = f"/work_pools/{quote(name, safe='')}"
    pool = await part(api.request("GET", path), f"work pool {name}")
    workers = await part(api.request("POST", f"{path}/workers/filter", {"limit": 200}), f"workers of {name}")
    lines = []
    if pool is not None:
        facts = [f"status {pool.get('status') or 'unknown'}"]
        facts += ["paused"] if pool.get("is_paused") else []
        if (limit := pool.get("concurrency_limit")) is not None:
            facts.append(f"at most {limit} runs at once")
        lines.append(EvidenceLine(text=", ".join(facts), where=f"work pool {name}"))
    if workers is not None:
        lines += [_worker(worker, at) for worker in workers[:MOST_CHILDREN]]
        if not workers:
            lines.append(EvidenceLine(text="no worker has ever polled it", where=f"work pool {name}"))
    return (pool or {}).get("type"), lines


def _worker(worker: JSONDict, at: datetime) -> EvidenceLine:
    name, seen = redact(str(worker.get("name") or "")), worker.get("last_heartbeat_time")
    if not seen:
        return EvidenceLine(text="has never sent a heartbeat", where=f"worker {name}")
    gap = (at - datetime.fromisoformat(seen)).total_seconds()
    told = f"last heartbeat {seen}"
    interval = worker.get("heartbeat_interval_seconds") or 30
    silent = f", {gap:.0f} s before the failure: it was silent" if gap > 3 * interval else ""
    return EvidenceLine(text=f"{told}{silent}", where=f"worker {name}")


async def _of_the_container(api: PrefectAPI, run: RunRecord, part: Part[Any]) -> list[EvidenceLine]:
    """Return what became of the run's pod or task, as the observers of Prefect's workers told the server."""
    wanted = {
        "event": {"prefix": ["prefect.kubernetes.", "prefect.ecs.", "prefect.docker."]},
        "related": {"id": [f"prefect.flow-run.{run.id}"]},
    }
    events = await part(api.newest_events(wanted, MOST_CHILDREN), "events of its container")
    lines = []
    for event in events or ():
        of = event.get("resource") or {}
        *_, kind, became = str(event.get("event")).split(".")
        reason = of.get("kubernetes.reason") or of.get("ecs.stoppedReason")
        name = of.get("prefect.resource.name") or of.get("prefect.resource.id") or ""
        text = redact(f"{became}: {reason}" if reason else became)
        lines.append(EvidenceLine(text=text, where=f"{CONTAINER}{kind} {redact(str(name))}"))
    return lines


def _gives_reason(line: EvidenceLine) -> bool:
    return line.text.partition(": ")[2].lower() not in {"", *SAYS_NOTHING}


def _started(run: RunRecord) -> list[EvidenceLine]:
    if run.started_by is None:
        return []
    return [EvidenceLine(text="started this run", where=f"automation {run.started_by}")]


async def _others(api: PrefectAPI, pool: str, run: RunRecord, part: Part[Any]) -> list[EvidenceLine]:
    """Tell how many other runs of the pool failed, and completed, in the time before the failure."""
    at = run.state.timestamp
    counts = []
    for types in (sorted(FAILURE_STATES), ["COMPLETED"]):
        body = {
            "flow_runs": {
                "state": {"type": {"any_": types}},
                "end_time": {"after_": (at - NEAR).isoformat(), "before_": at.isoformat()},
                "id": {"not_any_": [run.id]},
            },
            "work_pools": {"name": {"any_": [pool]}},
        }
        found = await part(api.request("POST", "/flow_runs/count", body), f"other runs of {pool}")
        if not isinstance(found, int):
            return []
        counts.append(found)
    failed, completed = counts
    if not failed + completed:
        return []
    minutes = NEAR.total_seconds() / 60
    ended = failed + completed
    text = f"{failed} of {ended} other runs that ended in it in the {minutes:.0f} min before failed"
    return [EvidenceLine(text=text, where=f"work pool {pool}")]


def _changed(run: RunRecord, deployment: JSONDict | None, recent: Sequence[RunRecord]) -> list[EvidenceLine]:
    """Tell what differs from the last good run where the deployment was changed between, within a day.

    Only a difference is told: a paused schedule moves the time of the last update, too.
    """
    updated, created = (deployment or {}).get("updated"), (deployment or {}).get("created")
    if deployment is None or not updated:
        return []
    at = datetime.fromisoformat(updated)
    if created and abs(at - datetime.fromisoformat(created)) <= AT_ONCE:
        return []
    before = run.state.timestamp - at
    good = next((one for one in recent if one.state.type == "COMPLETED" and one.state.timestamp < at), None)
    differs = _differences(run, good, deployment) if good is not None else []
    if not differs or not timedelta(0) <= before <= CHANGED_LATELY:
        return []
    said = f"changed {updated}, {before.total_seconds() / 60:.0f} min before the failure"
    text = f"{said}: since the last good run before it {', '.join(differs)}"
    return [EvidenceLine(text=text, where=f"deployment {run.deployment_name or run.deployment_id}")]


def _differences(run: RunRecord, good: RunRecord, deployment: JSONDict) -> list[str]:
    """Return what the deployment gave the failed run and not the good one: version, its parameters."""
    defaults = redact_value(deployment.get("parameters") or {})
    pairs = [("version", good.deployment_version, run.deployment_version)]
    pairs += [
        (f"parameter {name}", good.parameters.get(name), value)
        for name, value in sorted(defaults.items())
        if run.parameters.get(name) == value
    ]
    return [
        f"{name} went from {str(old)[:LONGEST_VALUE]} to {str(new)[:LONGEST_VALUE]}"
        for name, old, new in pairs
        if old != new
    ]
