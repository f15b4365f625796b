"""Slots of a global concurrency limit that nobody alive holds: found, proved, opened as a session.

Prefect does not tell who holds a slot, but when the slots of a limit last changed. A run that began after
that holds none of them; when no other run that could hold one is alive, or was until lately, all are leaked.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

from prefect_autopilot.adapters.evidence import read_flow_source
from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.found import fingerprint_of, open_found, subject_of
from prefect_autopilot.models import (
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    JSONDict,
    ReleaseSlots,
    RunRecord,
    Severity,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.troubleshooting.source_facts import imported_modules, limits_used

logger = logging.getLogger(__name__)

PATTERN = "leaked-slots"
WHERE = "concurrency limit "
WAITED = timedelta(seconds=15)
"""How long a run must have waited before we look for the reason."""
SAME_MOMENT = timedelta(seconds=2)
"""Clocks of workers and server differ."""
LEASE_OVER = timedelta(minutes=6)
"""The server itself takes back what a client that died held by a lease, after five minutes."""
LOOK_EVERY = timedelta(seconds=5)
CALM_LOOK_EVERY = timedelta(seconds=60)
"""While no limit is full: nothing can have leaked that anybody waits for."""
MOST_RUNS = 25
"""Runs whose sources we are willing to read for one proof."""


class SlotWatch:
    """Which limits were found full at the last look; memory only, for a restart just waits again."""

    def __init__(self) -> None:
        self._full: dict[str, tuple[int, str]] = {}
        self._looked_at: datetime | None = None

    async def look(self, desk: Desk) -> tuple[TroubleshootingSession, ...]:
        """Look once, and open a session for each limit whose slots nobody alive holds while a run waits.

        A server that cannot tell of its limits proves nothing, and holds up nothing else.
        """
        now = desk.clock()
        every = LOOK_EVERY if self._full else CALM_LOOK_EVERY
        if self._looked_at is not None and now - self._looked_at < every:
            return ()
        self._looked_at = now
        try:
            return await self._look(desk)
        except (PrefectError, UnknownNameError) as error:
            logger.info("Concurrency limits were not looked at: %s", error.message)
            self._full.clear()
            return ()

    async def _look(self, desk: Desk) -> tuple[TroubleshootingSession, ...]:
        before = self._full
        limits = [raw for raw in await desk.api.full_limits() if _is_plain(raw)]
        self._full = {raw["name"]: (raw["active_slots"], str(raw["updated"])) for raw in limits}
        opened = []
        for name, seen in self._full.items():
            remedy = await prove(desk, name) if before.get(name) == seen else None
            if remedy is not None and (session := await _open(desk, remedy)):
                opened.append(session)
        return tuple(opened)


def _is_plain(raw: JSONDict) -> bool:
    """Tell whether people named this limit; those of tags and deployments the server keeps itself."""
    decays = raw.get("slot_decay_per_second") or 0
    return not decays and not str(raw["name"]).startswith(("tag:", "deployment:"))


async def prove(desk: Desk, name: str) -> ReleaseSlots | None:
    """Return the release of all slots of a full limit if no run can hold one of them and one waits."""
    raw = next((one for one in await desk.api.full_limits() if one["name"] == name), None)
    if raw is None or not raw.get("updated"):
        return None
    now, changed = desk.clock(), datetime.fromisoformat(raw["updated"])
    try:
        alive = await desk.api.active_runs()
    except ConflictError:
        return None
    ended = await desk.api.runs_changed_since(now - LEASE_OVER, overlap_s=0)
    early = {run.id: run for run in (*alive, *ended) if _began_before(run, changed + SAME_MOMENT)}
    waiting = [
        run
        for run in alive
        if run.id not in early and run.state.type == "RUNNING" and now - run.state.timestamp >= WAITED
    ]
    if not waiting or len(early) + len(waiting) > MOST_RUNS or await desk.api.loose_task_runs():
        return None
    may_hold = [run for run in early.values() if await _uses(desk, run, name) is not False]
    if may_hold:
        return None
    users = [run for run in waiting if await _uses(desk, run, name)]
    if not users:
        return None
    run = users[0]
    active = int(raw["active_slots"])
    proof = (
        f"{run.name or run.id} waits, the slots of {name} last changed at {changed.isoformat()}, "
        "and no run that had begun by then can hold one"
    )
    return ReleaseSlots(flow_run_id=run.id, limit_name=name, slots=active, active_slots=active, proof=proof)


def _began_before(run: RunRecord, moment: datetime) -> bool:
    return run.start is not None and run.start <= moment


async def _uses(desk: Desk, run: RunRecord, name: str) -> bool | None:
    """Tell from its source whether a run uses a limit; None where the source does not tell."""
    if run.flow_name.startswith(OWN_PREFIX):
        return False
    source = await read_flow_source(desk.api, run)
    used = limits_used(source.text) if source is not None else None
    if source is None or used is None:
        return None
    if name in used:
        return True
    folder = Path(source.path).parent
    beside = any(
        not module or folder.joinpath(f"{module}.py").exists() or folder.joinpath(module).is_dir()
        for module in imported_modules(source.text)
    )
    return None if beside else False


def limit_of(diagnosis: Diagnosis | None) -> str | None:
    """Return the limit that a diagnosis of leaked slots is about, None for any other diagnosis."""
    return subject_of(diagnosis, PATTERN, WHERE)


async def _open(desk: Desk, remedy: ReleaseSlots) -> TroubleshootingSession | None:
    """Open a session at its resolution, once for each start of the run; the gate decides what is done."""
    run = await desk.api.run(remedy.flow_run_id)
    advice = (
        f"Give the {remedy.slots} slots of {remedy.limit_name} back; find out who ended without doing so."
    )
    key = f"{PATTERN}:{remedy.limit_name}:{run.id}:{run.run_count}"
    return await open_found(desk, key, run, _diagnosis(remedy), component=remedy.limit_name, advice=advice)


def _diagnosis(remedy: ReleaseSlots) -> Diagnosis:
    name, active = remedy.limit_name, remedy.active_slots
    where = f"{WHERE}{name}"
    text = f"{active} slots are taken; {remedy.proof}"
    return Diagnosis(
        category=IssueCategory.RESOURCE,
        confidence=0.9,
        severity=Severity.HIGH,
        transient=False,
        remedy="reduce_concurrency",
        root_cause=f"The slots of concurrency limit {name} were never given back, so the run waits for ever",
        pattern=PATTERN,
        fingerprint=fingerprint_of(PATTERN, name),
        evidence=(EvidenceLine(text=text, where=where),),
    )
