"""Failed run → resolved: one re-entrant function that takes a session as far as it can go now.

Everything a session needs to go on stands in the store, so flow, watcher and command line can each call
``advance`` at any time, and a killed process loses nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.journeys import storms
from prefect_autopilot.journeys.asking import ask_in_prefect
from prefect_autopilot.journeys.circumstances import circumstances_of
from prefect_autopilot.journeys.code_fault import with_proposal
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.held import look_whether_held
from prefect_autopilot.journeys.joining import joined
from prefect_autopilot.journeys.known_around import Understood, onlooker, understand
from prefect_autopilot.journeys.leased import LEASE_TTL_S, lease_of
from prefect_autopilot.journeys.left_open import acts_before, left_open
from prefect_autopilot.journeys.proposals import look_at_proposal
from prefect_autopilot.journeys.remedies import apply_once
from prefect_autopilot.journeys.stuck_runs import is_stuck_run
from prefect_autopilot.journeys.tell import attach, publish, recognise
from prefect_autopilot.journeys.verifying import LONGEST_LOOK_S, LOOK_AGAIN_S, look_at, settle_of
from prefect_autopilot.models import (
    FAILURE_STATES,
    EndStuckRun,
    Evidence,
    Origin,
    ReleaseSlots,
    ResolutionStatus,
    RunRecord,
    RunRefresher,
    SessionStep,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK, OWN_PREFIX
from prefect_autopilot.troubleshooting import (
    decide,
    diagnose,
    facts,
    finding_from,
    issue_from,
    prefect_objects,
    recommendations,
)
from prefect_autopilot.troubleshooting import session as steps

READ_LASTS = timedelta(seconds=5)
"""How long what was read for the diagnosis is good for the decision; the state is read again anyway."""
LOOK_AFTER_S = 15.0
"""A remedied run is first looked at when runs like it usually end, not before."""


async def take_up(
    desk: Desk, run: RunRecord, *, join: bool = True, origin: Origin = "request"
) -> TroubleshootingSession | None:
    """Return the session for a failed run: the open one it has, or a new one if we are first to claim it.

    None when there is nothing to do: not a failure, one of our own flows, or claimed already. ``join`` False
    leaves open sessions to whoever opened them: another policy must not decide over their heads.
    ``origin`` is kept with a new session and in the audit trail.
    """
    if run.state.type not in FAILURE_STATES or run.flow_name.startswith(OWN_PREFIX):
        return None
    if (run.state.message or "").startswith(MARK):
        return None  # ended by a session of ours, which goes on by itself
    known = await desk.store.session_for_run(run.id)
    if known is not None and known.resolution_status is ResolutionStatus.IN_PROGRESS:
        return await _seen_to_fail(desk, known, run) if join else None
    if known is not None and _ended_on(known, run):
        return None
    now = desk.clock()
    session = steps.start(
        str(uuid.uuid4()),
        run.deployment_id or run.flow_name,
        flow_run_id=run.id,
        run_count=run.run_count,
        now=now,
    ).model_copy(update={"due_at": run.state.timestamp + settle_of(run), "origin": origin})
    if not await desk.store.claim_session(session, desk.holder, now):
        return None
    await desk.store.audit(desk.holder, "opened", session.session_id, {"run": run.id, "origin": origin}, now)
    return session


def _ended_on(known: TroubleshootingSession, run: RunRecord) -> bool:
    """Tell whether a session has ended on this very failure: its last retry is not told to people again."""
    ours = known.run_count + len(known.attempts)
    ended = known.end_time is not None and run.state.timestamp <= known.end_time
    return ended and bool(known.attempts) and run.id == known.flow_run_id and run.run_count <= ours


async def _seen_to_fail(desk: Desk, known: TroubleshootingSession, run: RunRecord) -> TroubleshootingSession:
    """Return a session to be looked at now, where its run was seen to fail before the next look is due."""
    last = known.attempts[-1] if known.attempts else None
    waits = known.current_step is SessionStep.VERIFICATION and known.due_at is not None
    if last is None or not waits or run.run_count <= known.run_count or run.id != known.flow_run_id:
        return known
    soon = max(run.state.timestamp, desk.clock())
    if last.applied_at is None or run.state.timestamp <= last.applied_at or (known.due_at or soon) <= soon:
        return known
    stored, version = await desk.store.load_session(known.session_id)
    if stored != known:
        return known  # somebody is at it
    moved = known.model_copy(update={"due_at": soon})
    with suppress(ConflictError):  # somebody moved it in this moment, which is as good
        await desk.store.save_session(moved, version)
    return moved


async def advance(desk: Desk, session_id: str) -> TroubleshootingSession:
    """Take a session as far as it can go now and return it.

    1. Return at once what is not due. 2. Take the session's lease; whoever holds it works on the session,
    others return what is stored. 3. Read the session again: only what is stored counts. 4. Take steps
    until one must wait or it is over. 5. Save after each step, with an audit entry; the end is told before.
    6. Give the lease back.
    """
    session, version = await desk.store.load_session(session_id)
    if not _is_due(session, desk.clock()):
        return session
    lease = lease_of(session_id)
    # A name for each call: two calls in one process must exclude each other, too.
    holder = f"{desk.holder}/{uuid.uuid4().hex[:8]}"
    token = await desk.store.acquire_lease(lease, holder, LEASE_TTL_S, desk.clock())
    session, version = await desk.store.load_session(session_id)
    if token is None:
        return session
    seen: list[Evidence] = []
    try:
        while _is_due(session, desk.clock()):
            for moved in await _steps(desk, session, token, seen):
                if moved.session_id != session_id:
                    await attach(desk, moved, session.flow_run_id)
                    return moved  # which took this one in
                version = await _keep(desk, session, moved, version)
                session = moved
    finally:
        await desk.store.release_lease(lease, token)
    return session


async def _keep(
    desk: Desk, session: TroubleshootingSession, moved: TroubleshootingSession, version: int
) -> int:
    """Save a session after a step, told before and audited after, and return its new version."""
    if _to_be_told(session, moved):
        # Before it is saved: a crash in between tells it again under the same id, never not at all.
        await publish(desk, moved)
        await ask_in_prefect(desk, moved)
    version = await desk.store.save_session(moved, version)
    if said := list(moved.trail[len(session.trail) :]):
        happened = _happened(session, moved)
        await desk.store.audit(desk.holder, happened, session.session_id, {"trail": said}, desk.clock())
    return version


async def until_settled(desk: Desk, session_id: str, *, wait_s: float) -> TroubleshootingSession:
    """Advance a session until it is over or ``wait_s`` seconds have passed; for flows without a watcher."""
    deadline = desk.clock() + timedelta(seconds=wait_s)
    while True:
        session = await advance(desk, session_id)
        now = desk.clock()
        if session.due_at is None or session.resolution_status is ResolutionStatus.MANUAL or now >= deadline:
            return session
        pause = min(session.due_at, deadline) - now
        await asyncio.sleep(max(0.2, pause.total_seconds()))


def _is_due(session: TroubleshootingSession, now: datetime) -> bool:
    return session.due_at is not None and session.due_at <= now


def _to_be_told(before: TroubleshootingSession, after: TroubleshootingSession) -> bool:
    """Tell whether a session ended or became a proposal just now."""
    manual = ResolutionStatus.MANUAL
    proposed = after.resolution_status is manual and before.resolution_status is not manual
    return proposed or (after.due_at is None and after.resolution_status is not manual)


def _happened(before: TroubleshootingSession, after: TroubleshootingSession) -> str:
    """Name what an audit entry is about: the step that was taken, or the end of the session."""
    if _to_be_told(before, after):
        return after.resolution_status.value
    return before.current_step.value


async def _steps(
    desk: Desk, session: TroubleshootingSession, token: int, seen: list[Evidence]
) -> tuple[TroubleshootingSession, ...]:
    """Take one step, or those that need but one read of the evidence; return the session after each."""
    storm = session.storm is not None and session.storm.spreads
    if storm or session.current_step in {SessionStep.RESOLUTION, SessionStep.VERIFICATION}:
        return (await _step(desk, session, token, seen),)
    try:
        found = await understand(onlooker(desk), session.flow_run_id or "")
    except UnknownNameError:
        return (_deleted(session, desk.clock()),)
    seen.append(found.read)
    *before, understood = _understand(session, found, desk.clock())
    understood = await recognise(desk, understood)
    await look_whether_held(desk, understood, found.read.run)
    return (*before, await with_proposal(desk.language_model, understood, found.read))


async def _step(
    desk: Desk, session: TroubleshootingSession, token: int, seen: list[Evidence]
) -> TroubleshootingSession:
    """Take one step after the diagnosis; ``seen`` is what was read for it in this moment."""
    if session.storm is not None and session.storm.spreads:
        return await storms.release(desk, session, token=token, lease=lease_of(session.session_id))
    try:
        run = _just_read(session, seen, desk.clock()) or await desk.api.run(session.flow_run_id or "")
    except UnknownNameError:
        return _deleted(session, desk.clock())
    match session.current_step:
        case SessionStep.VERIFICATION:
            return await look_at(desk, session, run, token)
        case SessionStep.RESOLUTION if session.resolution_status is ResolutionStatus.MANUAL:
            return await look_at_proposal(desk, session, run)
        case _:
            return await _resolve(desk, session, run, token, seen)


def _deleted(session: TroubleshootingSession, now: datetime) -> TroubleshootingSession:
    if session.storm is not None:
        return storms.without_canary(session, "it was deleted", now)
    return steps.close(session, "the run was deleted, there is nothing left to resolve", now=now)


def _understand(
    session: TroubleshootingSession, found: Understood, now: datetime
) -> tuple[TroubleshootingSession, ...]:
    """Take what is left of identification, analysis and diagnosis; return the session after each."""
    diagnosis, evidence, key = found.diagnosis, found.evidence, found.key
    run = evidence.run
    taken: list[TroubleshootingSession] = []
    if session.current_step is SessionStep.IDENTIFICATION:
        components = (f"{run.flow_name}/{run.deployment_name}" if run.deployment_name else run.flow_name,)
        issue = issue_from(diagnosis, workflow_id=session.workflow_id, now=now, components=components)
        taken.append(session := steps.identify(session, (issue,), now=now))
    if session.current_step is SessionStep.ANALYSIS:
        keys = (None,) if key is None else (None, key)
        findings = tuple(
            finding_from(diagnosis, now=now, issues=session.issues, evidence=evidence, key=one)
            for one in keys
        )
        taken.append(session := steps.analyse(session, findings, now=now))
    concluded = steps.conclude(session, diagnosis, recommendations(diagnosis, evidence), now=now)
    seen = {"facts": facts(diagnosis, evidence), "objects": prefect_objects(diagnosis, evidence)}
    return (*taken, concluded.model_copy(update=seen))


async def _resolve(
    desk: Desk, session: TroubleshootingSession, run: RunRecord, token: int, seen: list[Evidence]
) -> TroubleshootingSession:
    """Decide on fresh evidence, and act when every check of the gate passed."""
    if left := await left_open(desk, session, run):
        return left
    evidence = _still_true(seen, run, desk.clock()) or await read_evidence(desk.api, run, now=desk.clock())
    ended = is_stuck_run(session.diagnosis) and run.state.type in FAILURE_STATES
    if session.attempts or ended:
        session = steps.diagnosed_again(session, diagnose(evidence), now=desk.clock())
    assert session.diagnosis is not None
    circumstances = await circumstances_of(desk, session, evidence)
    done, begun = await acts_before(desk, session, run)
    circumstances["repair"] = begun or circumstances["repair"]
    now, jitter = desk.clock(), desk.jitter()
    decision = decide(
        session.diagnosis, evidence, desk.policy, **circumstances, done=done, now=now, jitter=jitter
    )
    if decision.action == "stand_down" and session.storm is not None:
        return storms.without_canary(session, decision.reason, now)
    resolving = steps.resolve(session, decision, now=now)
    if decision.action != "act":
        return await joined(desk, session, decision, evidence) or resolving
    lease = lease_of(session.session_id)
    attempt = await apply_once(
        desk, resolving, decision.remedy, state_id=run.state.id, token=token, lease=lease
    )
    if attempt.error is not None:
        return steps.escalate(resolving, attempt.error, now=desk.clock())
    attempt = attempt.model_copy(update={"lasts_s": _longest_s(evidence)})
    # What must be done before the retry is looked at soon, the retry when it usually ends.
    first = isinstance(attempt.remedy, RunRefresher | EndStuckRun | ReleaseSlots)
    look_after_s = LOOK_AGAIN_S if first else _usual_s(evidence)
    return steps.applied(resolving, attempt, now=desk.clock(), look_after_s=look_after_s)


def _just_read(session: TroubleshootingSession, seen: list[Evidence], now: datetime) -> RunRecord | None:
    """Return the run as the step before has read it; its state is read again right before an act."""
    last = seen[-1] if seen else None
    fresh = last is not None and now - last.read_at <= READ_LASTS
    return last.run if last is not None and fresh and last.run.id == session.flow_run_id else None


def _usual_s(evidence: Evidence) -> float:
    """Return how long runs like this usually take, so that the first look may find it ended."""
    lasted = _completed_s(evidence)
    return min(max(median(lasted) if lasted else 0.0, LOOK_AFTER_S), LONGEST_LOOK_S)


def _longest_s(evidence: Evidence) -> float:
    """Return how long a good run may take: 95 of 100 of its deployment's took no longer, nor this one so far.

    Nearest rank of those that were read (Hyndman and Fan 1996, definition 1).
    """
    lasted = sorted(_completed_s(evidence))
    rank = lasted[ceil(0.95 * len(lasted)) - 1] if lasted else 0.0
    return max(rank, evidence.run.duration_s or 0.0)


def _completed_s(evidence: Evidence) -> list[float]:
    runs = (run for run in evidence.recent_runs if run.state.type == "COMPLETED")
    return [run.duration_s for run in runs if run.duration_s is not None]


def _still_true(seen: list[Evidence], run: RunRecord, now: datetime) -> Evidence | None:
    """Return what was read a moment ago of the run in this very state."""
    last = seen[-1] if seen else None
    fresh = last is not None and now - last.read_at <= READ_LASTS and last.run.state.id == run.state.id
    return last if fresh else None
