"""Monitoring from within a run, for those who want it there: state hooks of Prefect, and ``watch``.

A hook writes the run into our store; of a failed one it opens a session and takes it as far as the policy
lets it go. It has twenty seconds, and whatever goes wrong in it is a line in the log: it is never raised into
the run, whose state is final by then. The watcher finds the same runs; both together do nothing twice.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from prefect_autopilot.models import FAILURE_STATES, StateRecord
from prefect_autopilot.models.names import CALL_EVENT, MEASURE_EVENT, OWN_PREFIX
from prefect_autopilot.models.runs import MEASURE_NAME

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

    from prefect_autopilot.adapters.prefect_target import PrefectTarget
    from prefect_autopilot.models import RunRecord

__all__ = ["emit_metric", "measured", "on_completion", "on_crashed", "on_failure", "watch"]

logger = logging.getLogger("prefect_autopilot.hooks")

WITHIN_S = 20.0

P = ParamSpec("P")
R = TypeVar("R")


def on_completion(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """Write a completed run into the store."""
    _take_in(flow, flow_run, state)


def on_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """Write a failed run into the store, diagnose it and tell people."""
    _take_in(flow, flow_run, state)


def on_crashed(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """Write a crashed run into the store, diagnose it and tell people."""
    _take_in(flow, flow_run, state)


def watch(flow: Flow[P, R]) -> Flow[P, R]:
    """Return the flow with the three hooks after those it has; usable as a decorator above ``@flow``."""
    return flow.with_options(
        on_completion=_with(on_completion, flow.on_completion_hooks),
        on_failure=_with(on_failure, flow.on_failure_hooks),
        on_crashed=_with(on_crashed, flow.on_crashed_hooks),
    )


def emit_metric(name: str, value: float) -> bool:
    """Tell what the flow run in which this is called measured; a later value of a name replaces it.

    ``rows`` and ``memory_mb`` are judged as what they are, any other name as a number that has a usual range.
    It becomes an event of the run and costs no call of its own. False, with a line in the log, outside of a
    run, for a name other than small letters, digits and _, and for a value that is no finite number: nothing
    is raised into the run.
    """
    from prefect.events import emit_event
    from prefect.runtime import flow_run

    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not re.fullmatch(MEASURE_NAME, name) or not math.isfinite(value):
        logger.warning("The metric %r = %r was not told; it needs a finite number and a name.", name, value)
        return False
    if not flow_run.id:
        logger.warning("The metric %r was not told; emit_metric belongs into a flow or task.", name)
        return False
    emit_event(
        MEASURE_EVENT,
        resource={
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.name": str(flow_run.name or ""),
        },
        payload={"name": name, "value": float(value)},
    )
    return True


def measured(function: Callable[P, R]) -> Callable[P, R]:
    """Return a task's function that tells the optimiser how much it computes and what it was given before.

    Stands below ``@task``. Each completed call is an event of the run with the share of its time that the
    processor worked for it (not for async functions, which share a thread) and a digest of its arguments,
    where those are plain values; the arguments themselves do not leave. Outside of a run nothing is told.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **options: Any) -> Any:
            given = _digest(args, options)
            result = await function(*args, **options)
            _tell_call(function, given, None)
            return result

        return awaited  # type: ignore[return-value]  # what it was given, around itself

    @functools.wraps(function)
    def called(*args: P.args, **options: P.kwargs) -> R:
        given, began, busy = _digest(args, options), time.perf_counter(), time.thread_time()
        result = function(*args, **options)
        worked, took = time.thread_time() - busy, time.perf_counter() - began
        _tell_call(function, given, min(worked / took, 1.0) if took > 0 else None)
        return result

    return called


def _tell_call(function: Callable[..., Any], inputs: str | None, cpu_share: float | None) -> None:
    from prefect.events import emit_event
    from prefect.runtime import flow_run

    if flow_run.id:
        emit_event(
            CALL_EVENT,
            resource={"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"},
            payload={"task": function.__name__, "cpu_share": cpu_share, "inputs": inputs},
        )


def _digest(args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """Return a digest of arguments that are plain values, None for others; nothing of them is consumed."""
    try:
        text = json.dumps([args, options], sort_keys=True, default=_as_text)
    except (TypeError, ValueError, RecursionError):
        return None
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _as_text(value: object) -> str:
    if isinstance(value, date | PurePath):
        return repr(value)
    raise TypeError


def _with(hook: Callable[..., Any], hooks: list[Any] | None) -> list[Any]:
    return [*(one for one in hooks or () if one is not hook), hook]


def _take_in(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    if flow.name.startswith(OWN_PREFIX):
        return
    reached = StateRecord(
        id=str(state.id),
        type=state.type.value,
        name=state.name or state.type.value,
        timestamp=state.timestamp,
        message=state.message,
    )
    # In a thread with a loop of its own: a hook may be called inside a loop, and must come to an end.
    thread = threading.Thread(
        target=_to_its_end, args=(str(flow_run.id), reached, _server()), name="autopilot-hook", daemon=True
    )
    thread.start()
    thread.join(WITHIN_S + 1)
    if thread.is_alive():
        logger.warning(
            "Run %s was not taken in within %s s; the watcher will find it.", flow_run.id, WITHIN_S
        )


def _to_its_end(run_id: str, state: StateRecord, server: dict[str, str]) -> None:
    asyncio.run(_bounded(_record(run_id, state, server), run_id))


async def _bounded(work: Coroutine[Any, Any, None], run_id: str) -> None:
    """Wait for the work and log how it failed; nothing is raised."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=WITHIN_S)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        logger.warning("Run %s was not taken in within %s s; the watcher will find it.", run_id, WITHIN_S)
    elif (error := task.exception()) is not None:
        said = getattr(error, "message", type(error).__name__)
        logger.warning("Run %s was not taken in: %s", run_id, said)


async def _record(run_id: str, state: StateRecord, server: dict[str, str]) -> None:
    from prefect_autopilot.adapters.channels import deliver_pending
    from prefect_autopilot.journeys import resolve
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.settings import load_settings

    async with open_desk(load_settings(), target=_target(server)) as desk:
        run = _as_reached(await desk.api.run(run_id), state)
        await desk.store.upsert_runs([run])
        if run.state.type not in FAILURE_STATES:
            return
        session = await resolve.take_up(desk, run, origin="flow")
        if session is None:
            return
        if session.due_at is not None:
            # The run's last lines of log are still on their way to the server.
            await asyncio.sleep(max(0.0, (session.due_at - desk.clock()).total_seconds()))
        await resolve.advance(desk, session.session_id)
        await deliver_pending(desk.store, desk.channels, desk.clock(), transport=desk.outgoing)


def _as_reached(run: RunRecord, state: StateRecord) -> RunRecord:
    """Return the run in the state the hook was told of, where the server is not there yet."""
    if run.state.id == state.id or run.state.timestamp > state.timestamp + timedelta(seconds=1):
        return run
    return run.model_copy(update={"state": state, "end": run.end or state.timestamp})


def _server() -> dict[str, str]:
    """Return the Prefect server this run talks to, a temporary one included."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return {"PREFECT_API_URL": str(url)} if url else {}


def _target(server: dict[str, str]) -> PrefectTarget:
    from prefect_autopilot.adapters.prefect_target import find_target

    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return find_target({**os.environ, **server}, home)
