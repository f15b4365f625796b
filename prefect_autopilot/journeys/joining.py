"""Failures with one cause share one session where no remedy of ours is in question; people are told once.

What is retried, or could be, keeps a session for each run: attempts and budgets are counted by run. A failure
that only a person can end joins the session of its workflow that says so already, and a run that passes on
the failure of another joins that one's. What joins is decided after the gate, so that it changes no remedy.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leased import LEASE_TTL_S, lease_of
from prefect_autopilot.models import (
    AskOwner,
    Evidence,
    RemedyDecision,
    ResolutionStatus,
    TroubleshootingSession,
)
from prefect_autopilot.troubleshooting import session as steps

FRESH = timedelta(hours=12)
"""How long further failures join what was handed over, and are not told again: what fails nightly is."""
PATIENCE = timedelta(seconds=30)
"""How long is waited for the session of the run that the failure came from, or went to."""
LOOK_AGAIN = timedelta(seconds=2)
PARENT = "parent run "
_WITH_PEOPLE = frozenset({ResolutionStatus.MANUAL, ResolutionStatus.ESCALATED})


async def joined(
    desk: Desk, session: TroubleshootingSession, decision: RemedyDecision, evidence: Evidence
) -> TroubleshootingSession | None:
    """Return the session that took this one in, or this one where it must wait for that; None for neither.

    Asked right before a failure is handed to a person.
    """
    handed_over = decision.action in {"escalate", "propose"} and isinstance(decision.remedy, AskOwner)
    if not handed_over or session.storm is not None or session.attempts or session.approval is not None:
        return None
    near = await _relative(desk, session, evidence)
    if near is not None and near.session_id == session.session_id:
        return near
    if near is None and _lasts(session):
        near = await _standing(desk, session, "cause", waits=_may_wait(session, desk))
    return await _take_in(desk, near, session) if near is not None else None


async def is_told(desk: Desk, session: TroubleshootingSession, outcome: str) -> bool:
    """Tell whether people know already, by another run, that this workflow needs them for this cause."""
    if session.storm is not None or not session.fingerprint:
        return False
    known = await _standing(desk, session, outcome, waits=True)
    if known is None:
        return False
    detail = {"told of": known.session_id}
    await desk.store.audit(desk.holder, "not told again", session.session_id, detail, desk.clock())
    return True


def _lasts(session: TroubleshootingSession) -> bool:
    return session.diagnosis is not None and not session.diagnosis.transient


async def _relative(
    desk: Desk, session: TroubleshootingSession, evidence: Evidence
) -> TroubleshootingSession | None:
    """Return the session of the run that this failure belongs to; this one, later, while that is undecided.

    Of what lasts that is the sub-flow's that failed first. A sub-flow that could be retried has no deployment
    to be started by: its parent's retry runs it again.
    """
    run = evidence.run
    if _lasts(session):
        relative = evidence.root_run.id if evidence.root_run is not None else None
    else:
        parents = (line.where for line in evidence.surroundings if line.where.startswith(PARENT))
        relative = next((where.removeprefix(PARENT) for where in parents), None)
        relative = relative if run.deployment_id is None else None
    if relative is None:
        return None
    known = await desk.store.session_for_run(relative)
    if known is not None and known.session_id != session.session_id:
        if _lasts(session) and _stands(known, session, desk):
            return known
        if not _lasts(session) and _repeats(known):
            return known
    if (known is None or _undecided(known)) and _may_wait(session, desk):
        return session.model_copy(update={"due_at": desk.clock() + LOOK_AGAIN})
    return None


def _repeats(known: TroubleshootingSession) -> bool:
    """Tell whether a session has repeated its run, or proposes to."""
    proposes = known.resolution_status is ResolutionStatus.MANUAL and known.decision is not None
    return bool(known.attempts) or (
        proposes and known.decision is not None and not isinstance(known.decision.remedy, AskOwner)
    )


def _stands(known: TroubleshootingSession, session: TroubleshootingSession, desk: Desk) -> bool:
    """Tell whether people still have a cause before them; a run that was started again is news to them."""
    looked_at = known.resolution_status is ResolutionStatus.MANUAL and known.due_at is not None
    fresh = looked_at or desk.clock() - (known.end_time or known.start_time) < FRESH
    again = session.flow_run_id in known.related_runs
    over = known.good_again is not None or known.storm is not None
    return known.resolution_status in _WITH_PEOPLE and fresh and not again and not over


def _undecided(known: TroubleshootingSession) -> bool:
    """Tell whether a session is only about to be handed over, or is about something else by now."""
    return known.resolution_status is ResolutionStatus.IN_PROGRESS and known.approval is None


def _may_wait(session: TroubleshootingSession, desk: Desk) -> bool:
    """Tell whether a session was diagnosed just now, which its trail says last."""
    return desk.clock() - datetime.fromisoformat(session.trail[-1].partition(" ")[0]) < PATIENCE


async def _standing(
    desk: Desk, session: TroubleshootingSession, about: str, *, waits: bool
) -> TroubleshootingSession | None:
    """Return the session that stands for a cause of its workflow; None where this one does from now on.

    A claim on the cause makes it one of many that come at once.
    """
    key, now = f"{about}:{session.workflow_id}:{session.fingerprint}", desk.clock()
    while not await desk.store.claim(key, session.session_id, now):
        holder = await desk.store.claimed_by(key) or ""
        known = await desk.store.session(holder) if holder != session.session_id else session
        if known is None or known.session_id != session.session_id:
            if known is not None and ((_undecided(known) and waits) or _stands(known, session, desk)):
                return known
            if not await desk.store.pass_claim(key, holder, session.session_id, now):
                continue
        return None
    return None


async def _take_in(
    desk: Desk, known: TroubleshootingSession, session: TroubleshootingSession
) -> TroubleshootingSession:
    """Merge a session into another; where somebody is at that one, or it is undecided, look again."""
    later = session.model_copy(update={"due_at": desk.clock() + LOOK_AGAIN})
    if known.decision is None and not known.attempts:
        return later
    lease, holder = lease_of(known.session_id), f"{desk.holder}/{session.session_id}"
    token = await desk.store.acquire_lease(lease, holder, LEASE_TTL_S, desk.clock())
    if token is None:
        return later
    try:
        found, version = await desk.store.load_session(known.session_id)
        if found.resolution_status is ResolutionStatus.CLOSED:
            return later
        moved = steps.took_in(found, session.flow_run_id or "", now=desk.clock())
        await desk.store.merge_session(moved, version, session, desk.holder, desk.clock())
    except ConflictError:
        return later  # a person has just said yes or no to it
    finally:
        await desk.store.release_lease(lease, token)
    return moved
