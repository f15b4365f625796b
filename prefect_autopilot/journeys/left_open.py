"""An act that a crash left without a result, or without a place in its session: found, and taken over.

What becomes of it is read from what it leaves on the server and nowhere else: a state that bears the name of
this attempt and session, or a run with its idempotency key. A run that merely moved may have been moved by a
person, which is never counted as ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.journeys import means
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.remedies import STARTED, key_of, said_by
from prefect_autopilot.models import (
    Attempt,
    EndStuckRun,
    PauseDeployment,
    ReleaseSlots,
    RemedyDecision,
    Repair,
    RetryRun,
    RunRecord,
    TakenBack,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK
from prefect_autopilot.store.journal import UNDO, JournalEntry
from prefect_autopilot.troubleshooting import session as steps
from prefect_autopilot.troubleshooting.consent import Done


@dataclass(frozen=True)
class Trace:
    """What an act whose result nobody wrote down has left behind; ``unsure`` where nothing can show it."""

    found: Literal["made", "not made", "unsure"]
    started: str | None = None


async def left_open(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> TroubleshootingSession | None:
    """Return the session after an act that a crash left without a result, None when there is none.

    1. One whose result is written but that the session does not know is taken over. 2. One whose trace is on
    the server was made, is finished where half of it is missing, and is verified like any other. 3. Where the
    run is as it was, the gate is asked anew and may go on with the intent. 4. Where somebody else has moved
    the run, the gate is asked about it as it is now; what may have been changed for the retry, or must not be
    begun twice, goes to a person.
    """
    known = len(session.attempts)
    entries = [one for one in await desk.store.journal(session.session_id) if _is_act(one, run)]
    entry = next((one for one in entries if one.outcome is None or _is_news(one, known)), None)
    if entry is None:
        return None
    if entry.outcome is not None:
        started = entry.detail.removeprefix(STARTED) if entry.detail.startswith(STARTED) else None
        return _taken_over(desk, session, entry, started)
    trace = await _trace_of(desk, session, entry, run)
    if trace.found == "made":
        await means.finish_change(desk, entry.remedy, run)
        detail = f"{STARTED}{trace.started}" if trace.started else "found after a crash"
        await desk.store.journal_result(entry.id, "applied", detail, desk.clock())
        return _taken_over(desk, session, entry, trace.started)
    moved = run.state.id != entry.state_id
    if not moved and entry.remedy.resumes and trace.found == "not made":
        return None
    outcome: Literal["skipped", "unknown"] = "skipped" if trace.found == "not made" else "unknown"
    said = f"found after a crash: the run is {run.state.name}" if moved else "found after a crash"
    await desk.store.journal_result(entry.id, outcome, said, desk.clock())
    if entry.remedy.resumes and not isinstance(entry.remedy, TakenBack):
        return None
    told = "and somebody else has moved the run since, " if moved else ""
    said = f"a remedy was begun, {told}and it is not known how far it came: {entry.remedy.told()}"
    return steps.escalate(session, said, now=desk.clock())


async def acts_before(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> tuple[Done, Repair | None]:
    """Tell what was done for the run in any session, without an act that is about to be gone on with.

    With it comes the change that was begun: a new proof would read what is changed already, and change it
    once more.
    """
    entries = [one for one in await desk.store.journal_of_run(run.id) if _is_act(one, run)]
    begun = _begun(session, entries)
    others = [one for one in entries if one is not begun and one.outcome != "skipped"]
    done = Done(
        acts=await desk.store.attempts_for(run.id) - (begun is not None),
        last_at=max((one.intended_at for one in others), default=None),
        retries_only=all(isinstance(one.remedy, RetryRun) for one in others),
    )
    return done, begun.remedy if begun is not None and isinstance(begun.remedy, TakenBack) else None


def _begun(session: TroubleshootingSession, entries: Iterable[JournalEntry]) -> JournalEntry | None:
    """Return the act of the session whose result is not written."""
    mine = (one for one in entries if one.session_id == session.session_id)
    return next((one for one in mine if one.outcome is None), None)


async def made_before_a_crash(desk: Desk, session: TroubleshootingSession, run: RunRecord) -> bool:
    """Tell whether a crash came between an act on a run of a storm and its result, which is written then."""
    entries = [one for one in await desk.store.journal_of_run(run.id) if _is_act(one, run)]
    entry = _begun(session, entries)
    if entry is None or (await _trace_of(desk, session, entry, run)).found != "made":
        return False
    await desk.store.journal_result(entry.id, "applied", "found after a crash", desk.clock())
    return True


def _taken_over(
    desk: Desk, session: TroubleshootingSession, entry: JournalEntry, started: str | None
) -> TroubleshootingSession:
    now = desk.clock()
    attempt = Attempt(
        number=entry.attempt,
        remedy=entry.remedy,
        state_id_before=entry.state_id,
        applied_at=entry.intended_at,
        started_run_id=started,
    )
    decision = RemedyDecision(action="act", remedy=entry.remedy, reason="begun before a crash")
    return steps.applied(steps.resolve(session, decision, now=now), attempt, now=now)


async def _trace_of(
    desk: Desk, session: TroubleshootingSession, entry: JournalEntry, run: RunRecord
) -> Trace:
    """Look for what the act leaves behind that nobody else's does."""
    key = key_of(entry.remedy, session.session_id, entry.state_id, entry.attempt)
    if key is not None:
        started = await desk.api.run_by_key(key)
        return Trace("made", started) if started else Trace("not made")
    if isinstance(entry.remedy, PauseDeployment):
        return Trace("unsure")  # nobody could tell whose pause it is
    if run.state.id == entry.state_id:
        return Trace("not made")
    if isinstance(entry.remedy, ReleaseSlots):
        return Trace("unsure")  # the run goes on, whoever gave them back
    if isinstance(entry.remedy, EndStuckRun):
        ended = (run.state.message or "").startswith(f"{MARK}: ended")
        return Trace("made" if ended else "unsure")
    ours = said_by(session.session_id, entry.attempt)
    states = await desk.api.states(run.id)
    return Trace("made" if any((one.message or "").startswith(ours) for one in states) else "not made")


def _is_act(entry: JournalEntry, run: RunRecord) -> bool:
    return entry.flow_run_id == run.id and not entry.kind.startswith(UNDO)


def _is_news(entry: JournalEntry, attempts: int) -> bool:
    return entry.outcome == "applied" and entry.attempt > attempts
