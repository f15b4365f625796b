"""Signs of life of a run, on the server and on this machine, and the few acts on what has none."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.adapters.lock_files import process_began
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_values import task_run_record
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import TERMINAL_STATES, JSONDict

HEARTBEAT = "prefect.flow-run.heartbeat"
_INFRASTRUCTURE = ("prefect.kubernetes.pod.", "prefect.docker.container.")
_ENDED = frozenset({"failed", "evicted", "succeeded", "exited", "dead"})
"""What pods and containers are when nothing runs in them any more; another try has an event after it."""
_PROC = Path("/proc")
_TICK_S = 2.0


async def last_heartbeat(api: PrefectAPI, run_id: str, since: datetime) -> datetime | None:
    """Return when a run last told that it lives, None where it never did since then."""
    wanted = {
        "event": {"name": [HEARTBEAT]},
        "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        "occurred": {"since": since.isoformat()},
    }
    # A server that keeps no events raises: silence where nobody listens is no sign of death.
    events = await api.newest_events(wanted, limit=1)
    return datetime.fromisoformat(events[0]["occurred"]) if events else None


async def infrastructure_end(api: PrefectAPI, run_id: str, since: datetime) -> str | None:
    """Return how a run's pod or container ended, as its worker has told the server; None where it did not."""
    wanted = {
        "event": {"prefix": list(_INFRASTRUCTURE)},
        "related": {"id": [f"prefect.flow-run.{run_id}"]},
        "occurred": {"since": since.isoformat()},
    }
    events = await api.newest_events(wanted, limit=1)
    last: JSONDict = events[0] if events else {"event": ""}
    kind, _, state = last["event"].rpartition(".")
    if state not in _ENDED:
        return None
    resource = last.get("resource") or {}
    name = resource.get("prefect.resource.name") or resource.get("prefect.resource.id")
    return f"{kind.rpartition('.')[2]} {name} is {state} since {last['occurred']}, as its worker told"


async def last_task_sign(api: PrefectAPI, run_id: str) -> datetime | None:
    """Return when any task of a run moved last, None where it has none that is known.

    The last begun and the last ended, a page of each: of a run with more tasks than a page holds, the first
    page says nothing about now.
    """
    wanted: JSONDict = {"flow_runs": {"id": {"any_": [run_id]}}, "limit": PAGE}
    ended = {"task_runs": {"state": {"type": {"any_": sorted(TERMINAL_STATES)}}}, "sort": "END_TIME_DESC"}
    raws = [
        *await api.request("POST", "/task_runs/filter", {**wanted, "sort": "EXPECTED_START_TIME_DESC"}),
        *await api.request("POST", "/task_runs/filter", {**wanted, **ended}),
    ]
    states = [task.state for task in map(task_run_record, raws) if task.state is not None]
    return max((state.timestamp for state in states), default=None)


async def online_workers(api: PrefectAPI, pool: str) -> tuple[JSONDict, ...]:
    """Return the workers of a pool that report, up to one page."""
    raws: Any = await api.request("POST", f"/work_pools/{pool}/workers/filter", {"limit": 200})
    return tuple(raw for raw in raws if raw.get("status") == "ONLINE")


async def is_process_pool(api: PrefectAPI, pool: str) -> bool:
    """Tell whether the runs of a pool are processes on the machine of their worker."""
    raw = await api.request("GET", f"/work_pools/{pool}")
    return isinstance(raw, dict) and raw.get("type") == "process"


async def runs_due_between(
    api: PrefectAPI, deployment_id: str, after: datetime, before: datetime
) -> tuple[JSONDict, ...]:
    """Return runs of a deployment that were planned for a time, whatever became of them."""
    wanted = {
        "deployment_id": {"any_": [deployment_id]},
        "expected_start_time": {"after_": after.isoformat(), "before_": before.isoformat()},
    }
    body = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_DESC", "limit": 5}
    return tuple(await api.request("POST", "/flow_runs/filter", body))


async def end_run(api: PrefectAPI, run_id: str, *, expected_state_id: str, message: str) -> None:
    """Set a run to Crashed without force; ``ConflictError`` where it moved meanwhile or Prefect refuses."""
    await api.expect_state(run_id, expected_state_id)
    body = {"state": {"type": "CRASHED", "name": "Crashed", "message": message}, "force": False}
    answer = await api.request("POST", f"/flow_runs/{run_id}/set_state", body)
    if answer["status"] != "ACCEPT":
        reason = (answer.get("details") or {}).get("reason") or answer["status"]
        raise ConflictError(f"Prefect did not accept the end of run {run_id}: {reason}")


async def set_paused(api: PrefectAPI, deployment_id: str, *, paused: bool) -> None:
    """Pause or resume a deployment; ``ConflictError`` where somebody has done so already."""
    raw = await api.deployment(deployment_id)
    if bool(raw.get("paused")) == paused:
        stands = "paused" if paused else "active"
        raise ConflictError(f"The deployment is {stands} already; nothing was done.")
    await api.request("PATCH", f"/deployments/{deployment_id}", {"paused": paused})


def schedule_in(deployment: JSONDict, schedule_id: str) -> JSONDict | None:
    """Return a schedule of a deployment as the server tells it, None where it has no such one."""
    return next((one for one in deployment.get("schedules") or () if str(one.get("id")) == schedule_id), None)


async def set_schedule_active(api: PrefectAPI, deployment_id: str, schedule_id: str, *, active: bool) -> None:
    """Pause or resume one schedule; ``ConflictError`` where somebody has done so already or deleted it.

    Prefect 3.8 takes parameters that are left out for none, so those that the schedule has are sent along.
    """
    entry = schedule_in(await api.deployment(deployment_id), schedule_id)
    if entry is None or bool(entry.get("active")) == active:
        stands = "gone" if entry is None else "active already" if active else "paused already"
        raise ConflictError(f"The schedule is {stands}; nothing was done.")
    path = f"/deployments/{deployment_id}/schedules/{schedule_id}"
    parameters = entry.get("parameters") or {}
    await api.request("PATCH", path, {"active": active, "parameters": parameters})


# This machine


def why_gone(run_id: str, pid: str | None, started: datetime) -> str | None:
    """Return why a run's process is certainly not here any more, None where it lives or nobody can tell.

    A process of another user may hide its environment; then only its number counts.
    """
    if not _PROC.joinpath("self", "stat").exists() or pid is None or not pid.isdigit() or int(pid) <= 1:
        return None
    if _serves(run_id):
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return f"no process {pid} exists on the machine of its worker"
    except OSError:
        return None
    began = process_began(int(pid))
    if began is not None and began > started.timestamp() + _TICK_S:
        return f"process {pid} began after the run did, so it is another one"
    return None


def _serves(run_id: str) -> bool:
    """Tell whether any process that we can see was started for this run."""
    mark = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
    for folder in _PROC.glob("[0-9]*"):
        try:
            if mark in folder.joinpath("environ").read_bytes().split(b"\0"):
                return True
        except OSError:  # it has ended since, or is another user's
            continue
    return False
