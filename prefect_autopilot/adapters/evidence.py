"""One bounded read of all that is known of a failed run; what could not be read is listed."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.adapters.infrastructure import MOST_READS, read_infrastructure
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.surroundings import Surroundings, read_surroundings
from prefect_autopilot.errors import AutopilotError, PrefectError, UnknownNameError
from prefect_autopilot.models import Evidence, EvidenceLine, JSONDict, RunRecord, SourceFile

RECENT = 40
"""Runs of the deployment that the failed one is compared with: fewer seldom tell a cause from chance."""
MOST_CALLS = 15
"""Of one failed run, those to its infrastructure included."""
LARGEST_SOURCE = 1_000_000
"""Bytes of a flow file we are willing to read."""

Read = TypeVar("Read")


async def read_evidence(api: PrefectAPI, run: RunRecord, *, now: datetime) -> Evidence:
    """Read states, task runs, logs, deployment, source, recent runs and what stands around the run.

    Five calls, and nine more at most where the run gives reason to look around it (``surroundings``); where
    nobody told how its pod or container ended, that is asked as far as fifteen calls allow.
    A part that cannot be read is named in ``missing`` and leaves the rest intact. An unreachable or
    unauthorised server still raises ``PrefectError``: then nothing was seen at all.
    """
    missing: list[str] = []
    before = api.calls
    states = await _part(api.states(run.id), "state history", missing) or ()
    task_runs = await _part(api.task_runs(run.id), "task runs", missing) or ()
    if len(task_runs) >= PAGE:
        missing.append(f"task runs beyond the first {PAGE}")
    logs = await _part(api.logs(run.id), "logs", missing)
    deployment: JSONDict | None = None
    recent: tuple[RunRecord, ...] = ()
    if run.deployment_id is None:
        missing.append("deployment (the run has none)")
    else:
        deployment = await _part(api.deployment(run.deployment_id), "deployment", missing)
        recent = await _part(api.runs_of(run.deployment_id, limit=RECENT), "recent runs", missing) or ()
    if logs == ():
        missing.append("log lines (none were shipped)")

    async def part(read: Awaitable[Any], what: str) -> Any:
        return await _part(read, what, missing)

    around = await read_surroundings(api, run, task_runs, deployment, part)
    return Evidence(
        run=run,
        states=states,
        task_runs=task_runs,
        logs=logs or (),
        source=_source(deployment, missing),
        recent_runs=tuple(other for other in recent if other.id != run.id),
        surroundings=await _with_source(run, around, missing, silent=not logs, calls=api.calls - before),
        root_run=around.root_run,
        missing=tuple(missing),
        read_at=now,
    )


async def _with_source(
    run: RunRecord, around: Surroundings, missing: list[str], *, silent: bool, calls: int
) -> tuple[EvidenceLine, ...]:
    """Return what stands around the run, with what its infrastructure itself tells where nobody else told."""
    if not around.ask_source_of:
        return around.lines
    if calls + MOST_READS > MOST_CALLS:
        missing.append("infrastructure of the run (too many other things were to be read)")
        return around.lines
    told = await read_infrastructure(run, around.ask_source_of, silent=silent)
    missing += told.missing
    places = {line.where for line in told.lines}
    return (*told.lines, *(line for line in around.lines if line.where not in places))


async def _part(read: Awaitable[Read], what: str, missing: list[str]) -> Read | None:
    try:
        return await read
    except UnknownNameError:
        missing.append(f"{what} (deleted)")
    except PrefectError as error:
        if error.status is None or error.status in {401, 403}:
            raise
        missing.append(f"{what} ({error.message})")
    return None


async def read_flow_source(api: PrefectAPI, run: RunRecord) -> SourceFile | None:
    """Read only the source of a run's flow; None where it cannot be read here."""
    if run.deployment_id is None:
        return None
    return _source(await _part(api.deployment(run.deployment_id), "deployment", []), [])


def _source(deployment: JSONDict | None, missing: list[str]) -> SourceFile | None:
    if deployment is None:
        return None
    entrypoint = deployment.get("entrypoint") or ""
    file_name, colon, _function = entrypoint.rpartition(":")
    if not colon:
        missing.append("flow source (the deployment names a module, not a file)")
        return None
    path = Path(deployment.get("path") or ".", file_name)
    try:
        text = read_source(path)
    except AutopilotError as error:
        missing.append(f"flow source ({error.message})")
        return None
    return SourceFile(path=str(path), entrypoint=entrypoint, text=text)


def read_source(path: Path) -> str:
    """Return a flow file's text; raises ``PrefectError`` saying why it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_SOURCE:
            raise PrefectError(f"{path.name} is larger than {LARGEST_SOURCE} bytes", permanent=True)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PrefectError(f"{path} cannot be read here: {error.strerror}", permanent=True) from error
    except UnicodeDecodeError as error:
        raise PrefectError(f"{path} is not UTF-8 text", permanent=True) from error
