"""An act that a crash left without a result, or without a place in its session: found, and taken over."""

from __future__ import annotations

from typing import Literal

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.remedies import STARTED
from prefect_autopilot.models import (
    Attempt,
    RemedyDecision,
    Repair,
    RunRecord,
    TakenBack,
    TroubleshootingSession,
)
from prefect_autopilot.store.journal import JournalEntry
from prefect_autopilot.troubleshooting import session as steps


async def left_open(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> TroubleshootingSession | None:
    """Return the session after an act that a crash left without a result, None when there is none.

    One that the session does not know yet is taken over, and a changed state of the run shows that the retry
    was made: either is verified like any other. Where the state is unchanged the gate is asked anew, and may
    go on with the intent; what must not be begun twice goes to a person.
    """
    known = len(session.attempts)
    entries = [one for one in await desk.store.journal(session.session_id) if one.flow_run_id == run.id]
    open_ = (one for one in entries if one.outcome is None or _is_news(one, known))
    entry = next(open_, None)
    if entry is None:
        return None
    now = desk.clock()
    made = run.state.id != entry.state_id or entry.outcome is not None
    if not made and entry.remedy.resumes:
        return None
    if entry.outcome is None:
        outcome: Literal["applied", "unknown"] = "applied" if made else "unknown"
        await desk.store.journal_result(entry.id, outcome, "found after a crash", now)
    if not made:
        return steps.escalate(session, "a remedy was begun and it is not known how far it came", now=now)
    started = entry.detail.removeprefix(STARTED) if entry.detail.startswith(STARTED) else None
    attempt = Attempt(
        number=entry.attempt,
        remedy=entry.remedy,
        state_id_before=entry.state_id,
        applied_at=entry.intended_at,
        started_run_id=started,
    )
    decision = RemedyDecision(action="act", remedy=entry.remedy, reason="begun before a crash")
    return steps.applied(steps.resolve(session, decision, now=now), attempt, now=now)


async def acts_before(
    desk: Desk, session: TroubleshootingSession, run: RunRecord
) -> tuple[int, Repair | None]:
    """Count what was done for the run in any session, without an act that is about to be gone on with.

    With it comes the change that was begun: a new proof would read what is changed already, and change it
    once more.
    """
    entries = await desk.store.journal(session.session_id)
    begun = next((one.remedy for one in entries if one.flow_run_id == run.id and one.outcome is None), None)
    acts = await desk.store.attempts_for(run.id) - (begun is not None)
    return acts, begun if isinstance(begun, TakenBack) else None


def _is_news(entry: JournalEntry, attempts: int) -> bool:
    return entry.outcome == "applied" and entry.attempt > attempts
