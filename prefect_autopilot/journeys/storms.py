"""Many runs that fail for one cause: one session, one notice, a canary first, then a tenth, then the rest."""

from __future__ import annotations

import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.journeys.circumstances import circumstances_of
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.left_open import acts_before, made_before_a_crash
from prefect_autopilot.journeys.recent_failures import RecentFailures
from prefect_autopilot.journeys.remedies import apply_once
from prefect_autopilot.models import (
    FAILURE_STATES,
    Approval,
    Diagnosis,
    Origin,
    RemedyDecision,
    RemedyPolicy,
    ResolutionStatus,
    RetryRun,
    RunRecord,
    Storm,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK, OWN_PREFIX
from prefect_autopilot.store.storms import RunStart, StormStage
from prefect_autopilot.troubleshooting import decide, diagnose
from prefect_autopilot.troubleshooting import session as steps
from prefect_autopilot.troubleshooting.consent import is_protected
from prefect_autopilot.troubleshooting.text import digest, template

CANARY_SHARE = 0.1
SETTLE = timedelta(seconds=12)
"""Logs come late, and a death is told twice; a storm has the time."""
LOOK_EVERY = timedelta(seconds=10)
AT_ONCE = 10
"""Runs released at one look at most."""
MOST_OBSERVED = 1000
UNSEEN_AFTER = timedelta(hours=1)
"""A released run that nobody saw end until then is left."""
FIRST_NUMBER = 100
"""Number of the first attempt beside the canary's own, of which there are ten at most."""
MOST_STORMS = 5
"""Storms of one cause in one hour that are told apart."""

_NAMES = uuid.UUID("6f1c53d2-9d0e-4c39-8a35-0a4f0f7b1c7e")
_NOT_NOW = frozenset(
    {"paused", "quiet hours", "budget", "share", "interval", "shadow", "under way", "service"}
)


@dataclass(frozen=True)
class Sorted:
    """Failures that go their own way, and the sessions of storms that the others were joined to."""

    single: tuple[RunRecord, ...]
    storms: tuple[TroubleshootingSession, ...]


def cause_of(run: RunRecord) -> str:
    """Return what runs that ended alike share: their state and its message without ids and numbers."""
    return digest((run.state.type, template(run.state.message or run.state.name)))


async def sort_out(
    desk: Desk,
    failed: Iterable[RunRecord],
    origin_of: Callable[[RunRecord], Origin],
    recent: RecentFailures | None = None,
) -> Sorted:
    """Join failures that came in number with one cause to one session each; return the others as they are.

    A cause is a storm from ``storm_runs`` failures in ten minutes on, as ``recent`` keeps them, and stays one
    while its session is open or, for the deployments it came to, handed over. Nothing is read from Prefect
    for it.
    """
    recent, now = recent or RecentFailures(), desk.clock()
    recent.forget(now)
    groups: defaultdict[str, list[RunRecord]] = defaultdict(list)
    for run in failed:
        ours = run.flow_name.startswith(OWN_PREFIX) or (run.state.message or "").startswith(MARK)
        if run.state.type in FAILURE_STATES and not ours:
            groups[cause_of(run)].append(run)
    single: list[RunRecord] = []
    storms: list[TroubleshootingSession] = []
    for cause, runs in groups.items():
        standing, free_id = await _standing(desk, cause)
        rest = runs
        for session in standing:
            theirs, rest = await _of_storm(desk, session, rest)
            if theirs:
                storms.append(await _join(desk, session, theirs))
        lately = recent.count(cause, (run.id for run in rest), now) if rest else 0
        enough = lately >= desk.policy.storm_runs
        opened = await _open(desk, free_id, cause, rest, origin_of) if enough else None
        if opened is not None:
            storms.append(await _join(desk, opened, rest))
        else:
            single += rest
    return Sorted(tuple(single), tuple(storms))


async def _join(
    desk: Desk, session: TroubleshootingSession, runs: Sequence[RunRecord]
) -> TroubleshootingSession:
    starts = [(run.id, run.run_count) for run in runs]
    await desk.store.join_storm(session.session_id, starts, desk.clock())
    return session


async def _of_storm(
    desk: Desk, session: TroubleshootingSession, runs: list[RunRecord]
) -> tuple[list[RunRecord], list[RunRecord]]:
    """Part runs into those that belong to a standing storm and the others.

    One that was handed over is looked at no more: only what its people know of, by deployment, is joined.
    """
    if session.resolution_status is not ResolutionStatus.ESCALATED:
        return runs, []
    known = await desk.store.storm_deployments(session.session_id) | {session.workflow_id}
    theirs = [run for run in runs if (run.deployment_id or run.flow_name) in known]
    return theirs, [run for run in runs if (run.deployment_id or run.flow_name) not in known]


async def _standing(desk: Desk, cause: str) -> tuple[list[TroubleshootingSession], str]:
    """Return the storms of a cause that are not over, and the id that the next one would have.

    Those that are open however long they have lasted; those that were handed over for an hour or two.
    """
    now = desk.clock()
    standing = list(await desk.store.open_storms(cause))
    free = ""
    for hour in (now - timedelta(hours=1), now):
        for number in range(MOST_STORMS):
            ident = str(uuid.uuid5(_NAMES, f"{cause}:{hour:%Y-%m-%dT%H}:{number}"))
            found = await desk.store.session(ident)
            if found is None:
                free = ident
                break
            if found.resolution_status is ResolutionStatus.ESCALATED:
                standing.append(found)
    return standing, free


async def _open(
    desk: Desk,
    ident: str,
    cause: str,
    runs: Sequence[RunRecord],
    origin_of: Callable[[RunRecord], Origin],
) -> TroubleshootingSession | None:
    """Open the storm's session on its canary: the first run of a deployment that nobody has claimed yet."""
    now = desk.clock()
    for run in sorted(runs, key=lambda one: (one.deployment_id is None, one.state.timestamp)):
        session = steps.start(
            ident, run.deployment_id or run.flow_name, flow_run_id=run.id, run_count=run.run_count, now=now
        ).model_copy(
            update={
                "storm": Storm(cause=cause, runs=len(runs) - 1),
                "origin": origin_of(run),
                "due_at": now + SETTLE,
            }
        )
        try:
            claimed = bool(ident) and await desk.store.claim_session(session, desk.holder, now)
        except ConflictError:
            return None  # another watcher opened it at this moment
        if claimed:
            detail = {"run": run.id, "origin": session.origin, "runs": len(runs)}
            await desk.store.audit(desk.holder, "opened", ident, detail, now)
            return session
    return None


def begins_to_spread(session: TroubleshootingSession) -> bool:
    """Tell whether the canary of a storm has just been verified."""
    storm = session.storm
    return (
        storm is not None
        and not storm.spreads
        and session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    )


async def spread(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    """Go on with the runs that failed as the verified canary did; without any, the session is done."""
    counts = await desk.store.storm_counts(session.session_id)
    if not counts.total():
        return session
    known = session.model_copy(update={"storm": _counted(session, counts)})
    return steps.spread(known, now=desk.clock())


def without_canary(session: TroubleshootingSession, why: str, now: datetime) -> TroubleshootingSession:
    """Hand a storm over whose canary can show nothing any more: its other runs still wait."""
    return steps.escalate(session, f"the first run of the storm is no example any more: {why}", now=now)


async def release(
    desk: Desk, session: TroubleshootingSession, *, token: int, lease: str
) -> TroubleshootingSession:
    """Look at the runs released so far, and release as many more as canary, budget and gate allow."""
    ident = session.session_id
    await _observe(desk, session)
    storm = _counted(session, await desk.store.storm_counts(ident))
    if storm.failed >= desk.policy.breaker_failures:
        told = session.model_copy(update={"storm": storm})
        return steps.escalate(told, f"stopped: {_told(storm)}", now=desk.clock())
    waiting = storm.runs - storm.released - storm.resolved - storm.failed - storm.left
    if waiting or storm.released:
        await _release_some(desk, session, _allowed(storm), token=token, lease=lease)
        storm = _counted(session, await desk.store.storm_counts(ident))
        return session.model_copy(update={"storm": storm, "due_at": desk.clock() + LOOK_EVERY})
    whole = storm.resolved == storm.runs
    status = ResolutionStatus.AUTO_RESOLVED if whole else ResolutionStatus.PARTIAL
    told = session.model_copy(update={"storm": storm})
    return steps.close(told, _told(storm), now=desk.clock(), status=status)


def _counted(session: TroubleshootingSession, counts: Counter[str]) -> Storm:
    cause = session.storm.cause if session.storm else ""
    return Storm(
        cause=cause,
        spreads=True,
        runs=counts.total(),
        released=counts["released"],
        resolved=counts["resolved"],
        failed=counts["failed"],
        left=counts["left"],
    )


def _told(storm: Storm) -> str:
    rest = storm.runs - storm.resolved - storm.failed - storm.left
    return (
        f"of {storm.runs} further runs {storm.resolved} completed after their retry, {storm.failed} failed"
        f" again, {storm.left} were left alone, {rest} still wait"
    )


def _allowed(storm: Storm) -> int:
    """Return how many runs may be released now: a tenth of all until it has completed, then any."""
    tenth = math.ceil(CANARY_SHARE * (storm.runs + 1))
    if storm.resolved + 1 >= tenth:
        return AT_ONCE
    return min(AT_ONCE, max(0, tenth - 1 - storm.resolved - storm.released))


async def _release_some(
    desk: Desk, session: TroubleshootingSession, most: int, *, token: int, lease: str
) -> None:
    for start in await desk.store.storm_runs(session.session_id, "waiting", most):
        stage = await _release_one(desk, session, start, token=token, lease=lease)
        if stage is None:
            return
        await desk.store.move_storm_runs(session.session_id, [start], stage, desk.clock())


async def _release_one(
    desk: Desk, session: TroubleshootingSession, start: RunStart, *, token: int, lease: str
) -> StormStage | None:
    """Ask the gate about one run as about any other, and retry it; None where nothing may be done now."""
    try:
        run = await desk.api.run(start[0])
    except UnknownNameError:
        return "left"
    if run.state.type not in FAILURE_STATES or run.run_count != start[1]:
        return "released" if await made_before_a_crash(desk, session, run) else "left"
    evidence = await read_evidence(desk.api, run, now=desk.clock())
    diagnosis = diagnose(evidence)
    if not _alike(diagnosis, session.diagnosis):
        return "left"
    own = session.model_copy(
        update={
            "flow_run_id": run.id,
            "run_count": run.run_count,
            "diagnosis": diagnosis,
            "fingerprint": diagnosis.fingerprint,
            "attempts": (),
            "approval": _yes_for(run, session, desk.policy),
        }
    )
    circumstances = await circumstances_of(desk, own, evidence)
    done, _ = await acts_before(desk, own, run)
    now, jitter = desk.clock(), desk.jitter()
    decision = decide(diagnosis, evidence, desk.policy, **circumstances, done=done, now=now, jitter=jitter)
    if decision.action != "act" or not isinstance(decision.remedy, RetryRun):
        return None if _not_now(decision) else "left"
    # One number for each run of the storm, so that what became of it is told apart in the records.
    counts = await desk.store.storm_counts(session.session_id)
    number = FIRST_NUMBER + counts.total() - counts["waiting"]
    attempt = await apply_once(
        desk, own, decision.remedy, state_id=run.state.id, token=token, lease=lease, number=number
    )
    return "released" if attempt.error is None else "left"


def _yes_for(run: RunRecord, session: TroubleshootingSession, policy: RemedyPolicy) -> Approval | None:
    """Return the yes to the canary as one to a run of its deployment that failed alike.

    That the canary's work may be done again is said of the canary's work only.
    """
    approval = session.approval
    if approval is None or run.deployment_id != session.workflow_id or is_protected(run, policy):
        return None
    return approval.model_copy(update={"state_id": run.state.id, "rerun": False})


def _alike(one: Diagnosis, other: Diagnosis | None) -> bool:
    same = ("category", "pattern", "remedy", "transient", "service")
    return other is not None and all(getattr(one, name) == getattr(other, name) for name in same)


def _not_now(decision: RemedyDecision) -> bool:
    failed = {check.name for check in decision.checks if not check.passed}
    return decision.action in {"wait", "propose"} and failed <= _NOT_NOW


async def _observe(desk: Desk, session: TroubleshootingSession) -> None:
    """Write down which of the released runs have ended, and how; what helped and what did not is learned."""
    ident = session.session_id
    released = await desk.store.storm_runs(ident, "released", MOST_OBSERVED)
    seen = {run.id: run for run in await desk.api.runs_by_id([run_id for run_id, _ in released])}
    stages: defaultdict[StormStage, list[RunStart]] = defaultdict(list)
    now = desk.clock()
    for start in released:
        run = seen.get(start[0])
        if (stage := _stage(run, start, now)) is not None:
            stages[stage].append(start)
    for stage, starts in stages.items():
        await desk.store.move_storm_runs(ident, starts, stage, now)
    await _learn(desk, session, stages, seen)


async def _learn(
    desk: Desk,
    session: TroubleshootingSession,
    stages: Mapping[StormStage, Sequence[RunStart]],
    seen: Mapping[str, RunRecord],
) -> None:
    """Record what became of each run's remedy, as for a session of its own."""
    ended = {start[0]: stage for stage, starts in stages.items() for start in starts}
    known = {run_id: stage for run_id, stage in ended.items() if stage in {"resolved", "failed"}}
    if not known:
        return
    for entry in await desk.store.journal(session.session_id):
        if (stage := known.get(entry.flow_run_id)) is not None:
            deployment = seen[entry.flow_run_id].deployment_id
            outcome: Literal["verified", "failed"] = "verified" if stage == "resolved" else "failed"
            await desk.store.record_verification(
                session.session_id, entry.attempt, session.fingerprint, deployment, outcome, desk.clock()
            )


def _stage(run: RunRecord | None, start: RunStart, now: datetime) -> StormStage | None:
    if run is None or run.state.type == "CANCELLED":
        return "left"
    again = run.run_count > start[1]
    if run.state.type == "COMPLETED":
        return "resolved" if again else "left"
    if run.state.type in FAILURE_STATES and again:
        return "failed"
    return "left" if now - run.state.timestamp > UNSEEN_AFTER else None
