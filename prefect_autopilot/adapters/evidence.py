"""One bounded read of all that is known of a failed run; what could not be read is listed."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from prefect_autopilot.adapters.call_budget import CallBudget, CallsSpentError, one_budget
from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.adapters.infrastructure import MOST_READS, read_infrastructure
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.run_logs import read_logs
from prefect_autopilot.adapters.surroundings import Surroundings, read_surroundings
from prefect_autopilot.errors import AutopilotError, PrefectError, UnknownNameError
from prefect_autopilot.models import Evidence, EvidenceLine, JSONDict, RunRecord, SourceFile

RECENT = 40
"""Runs of the deployment that the failed one is compared with: fewer seldom tell a cause from chance."""
REFUSED = frozenset({401, 403})
LARGEST_SOURCE = 1_000_000
"""Bytes of a flow file we are willing to read."""

Read = TypeVar("Read")


async def read_evidence(api: PrefectAPI, run: RunRecord, *, now: datetime) -> Evidence:
    """Read states, task runs, logs, deployment, source, recent runs and what stands around the run.

    Five calls, of a long log up to three more (``run_logs``), and more where the run gives reason to look
    around it (``surroundings``) or nobody told how its pod or container ended: fifteen at most
    (``call_budget``). A part that cannot be read, or that our credentials have no right to, is named in
    ``missing`` and leaves the rest intact. An unreachable server, and one that refuses every part, still
    raises ``PrefectError``: then nothing was seen at all.
    """
    with one_budget() as budget:
        return await _read(api, run, now, budget)


async def _read(api: PrefectAPI, run: RunRecord, now: datetime, budget: CallBudget) -> Evidence:
    parts = _Parts()
    part, missing = parts.read, parts.missing
    states = await part(api.states(run.id), "state history") or ()
    task_runs = await part(api.task_runs(run.id), "task runs") or ()
    if len(task_runs) >= PAGE:
        missing.append(f"task runs beyond the first {PAGE}")
    logs = await read_logs(api, run.id, part, missing)
    deployment: JSONDict | None = None
    recent: tuple[RunRecord, ...] = ()
    if run.deployment_id is None:
        missing.append("deployment (the run has none)")
    else:
        deployment = await part(api.deployment(run.deployment_id, just_read=True), "deployment")
        recent = await part(api.runs_of(run.deployment_id, limit=RECENT), "recent runs") or ()
    others = tuple(other for other in recent if other.id != run.id)
    if logs == ():
        missing.append("log lines (none were shipped)")
    parts.raise_if_all_refused()
    around = await read_surroundings(api, run, task_runs, deployment, others, part)
    return Evidence(
        run=run,
        states=states,
        task_runs=task_runs,
        logs=logs or (),
        source=_source(deployment, missing),
        recent_runs=others,
        surroundings=await _with_source(run, around, missing, budget, silent=not logs),
        root_run=around.root_run,
        missing=tuple(missing),
        read_at=now,
    )


async def _with_source(
    run: RunRecord, around: Surroundings, missing: list[str], budget: CallBudget, *, silent: bool
) -> tuple[EvidenceLine, ...]:
    """Return what stands around the run, with what its infrastructure itself tells where nobody else told."""
    if not around.ask_source_of:
        return around.lines
    try:
        budget.take(MOST_READS)
    except CallsSpentError as error:
        missing.append(f"infrastructure of the run ({error.message})")
        return around.lines
    told = await read_infrastructure(run, around.ask_source_of, silent=silent)
    missing += told.missing
    places = {line.where for line in told.lines}
    return (*told.lines, *(line for line in around.lines if line.where not in places))


class _Parts:
    """Reads the parts of the evidence; what could not be read is written down."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._refusal: PrefectError | None = None
        self._shown = False

    async def read(self, part: Awaitable[Read], what: str) -> Read | None:
        """Return a part; None where it was deleted, refused, left out or failed on the server."""
        try:
            found = await part
        except CallsSpentError as error:
            self.missing.append(f"{what} ({error.message})")
            return None
        except UnknownNameError:
            self.missing.append(f"{what} (deleted)")
        except PrefectError as error:
            if error.status is None:
                raise
            if error.status in REFUSED:
                self._refusal = self._refusal or error
                self.missing.append(
                    f"{what} (HTTP {error.status}: our credentials lack the right to read it)"
                )
                return None
            self.missing.append(f"{what} ({error.message})")
        else:
            self._shown = True
            return found
        self._shown = True
        return None

    def raise_if_all_refused(self) -> None:
        """Raise the refusal where the server showed nothing: then it is the credentials, not one right."""
        if self._refusal is not None and not self._shown:
            raise self._refusal


async def read_flow_source(api: PrefectAPI, run: RunRecord) -> SourceFile | None:
    """Read only the source of a run's flow; None where it cannot be read here."""
    if run.deployment_id is None:
        return None
    return _source(await _Parts().read(api.deployment(run.deployment_id), "deployment"), [])


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
