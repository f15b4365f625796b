"""What the gate has to know beside the diagnosis: what a retry would do again, budgets, people."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.effects import RerunVerdict
from prefect_autopilot.journeys.breakers import to_pause
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.leaked_slots import limit_of, prove
from prefect_autopilot.journeys.means import find_means
from prefect_autopilot.journeys.missed_runs import missed_of, prove_missed
from prefect_autopilot.journeys.probing import outage_of
from prefect_autopilot.journeys.repairs import at_lock, find_repair
from prefect_autopilot.journeys.reruns import Repetition, RerunCode, all_persisted, failed_tasks, never_began
from prefect_autopilot.journeys.stuck_runs import is_stuck_run, prove_stuck
from prefect_autopilot.models import Approval, Attempt, Evidence, Repair, StateRecord, TroubleshootingSession
from prefect_autopilot.models.names import MARK, OWN_PREFIX
from prefect_autopilot.troubleshooting.consent import Outage, Usage
from prefect_autopilot.troubleshooting.learning import Records


class Circumstances(TypedDict):
    """Keyword arguments of ``troubleshooting.decide``."""

    rerun: RerunVerdict
    persisted_results: bool
    attempts: tuple[Attempt, ...]
    usage: Usage
    breaker_open: bool
    own_flow: bool
    human_touched: bool
    refreshable: bool
    failing_effect: Repetition
    earlier_effect: Repetition
    repair: Repair | None
    records: Records
    approval: Approval | None
    outage: Outage | None


async def circumstances_of(desk: Desk, session: TroubleshootingSession, evidence: Evidence) -> Circumstances:
    """Gather what ``decide`` asks for, from the store, the evidence and the flow's source."""
    run = evidence.run
    failed = await desk.store.failed_verifications(session.fingerprint, run.deployment_id)
    code = RerunCode.of(evidence)
    failing, earlier = again(code, evidence)
    breaker = await to_pause(desk, evidence, failed)
    repair = breaker or await _proved(desk, session, evidence, code)
    return Circumstances(
        rerun=code.verdict,
        persisted_results=code.direct_is_harmless and all_persisted(evidence),
        attempts=session.attempts,
        usage=await usage_of(desk),
        breaker_open=failed >= desk.policy.breaker_failures,
        own_flow=run.flow_name.startswith(OWN_PREFIX),
        human_touched=_human_touched(session, evidence),
        refreshable=_refreshable(session),
        failing_effect=failing,
        earlier_effect=earlier,
        repair=repair,
        records=await desk.store.remedy_records(session.fingerprint, run.deployment_id),
        approval=session.approval,
        outage=await outage_of(desk, session, evidence),
    )


async def _proved(
    desk: Desk, session: TroubleshootingSession, evidence: Evidence, code: RerunCode
) -> Repair | None:
    """Prove anew what stands in the way, whatever was proved when the session was opened."""
    diagnosis = session.diagnosis
    if diagnosis is None:
        return None
    if limit := limit_of(diagnosis):
        return await prove(desk, limit)
    if is_stuck_run(diagnosis):
        return await prove_stuck(desk, evidence.run)
    if due := missed_of(diagnosis):
        return await prove_missed(desk, evidence.run.deployment_id or "", due)
    return await find_repair(desk, diagnosis, evidence, code) or await find_means(
        desk, diagnosis, evidence, session.attempts
    )


async def usage_of(desk: Desk) -> Usage:
    """Return what was done lately over all runs, as our own journal and the runs seen tell."""
    now, store = desk.clock(), desk.store
    pause = await store.pause()
    return Usage(
        last_minute=await store.remedies_since(now - timedelta(minutes=1)),
        last_hour=await store.remedies_since(now - timedelta(hours=1)),
        runs_last_hour=await store.runs_ended_since(now - timedelta(hours=1)),
        paused_by=pause.by if pause else None,
    )


def again(code: RerunCode, evidence: Evidence) -> tuple[Repetition, Repetition]:
    """Return what the failed step and what ran before it do when they are done again."""
    held = at_lock(evidence)
    if held is not None:
        # The lock refused the run: it did nothing of its work.
        return "none", held
    if never_began(evidence):
        return "none", "none"
    if evidence.run.state.type == "CRASHED":
        return code.may_have_begun(evidence), "none"
    broken = failed_tasks(evidence)
    return code.of_tasks(broken) if broken else code.direct, code.before(evidence)


def _human_touched(session: TroubleshootingSession, evidence: Evidence) -> bool:
    """Tell whether somebody else moved the run since its first failure: a state without our mark."""
    return any(
        state.timestamp > session.start_time
        and state.type in {"SCHEDULED", "CANCELLING", "CANCELLED", "PAUSED"}
        and not (state.message or "").startswith(MARK)
        and not _by_itself(state, before)
        for before, state in zip((None, *evidence.states), evidence.states, strict=False)
    )


def _by_itself(state: StateRecord, before: StateRecord | None) -> bool:
    """Tell whether Prefect put a run off: for want of a slot, or in its midst, where it gives no message.

    What people do to a run stands after its end, or says so.
    """
    if state.type == "SCHEDULED" and state.name == "AwaitingConcurrencySlot":
        return True
    in_its_midst = before is not None and before.type == "RUNNING" and not state.message
    return in_its_midst and (state.type == "PAUSED" or state.name == "AwaitingRetry")


def _refreshable(session: TroubleshootingSession) -> bool:
    diagnosis = session.diagnosis
    if diagnosis is None or diagnosis.connection is None or diagnosis.service is None:
        return False
    catalogue = user_catalogue()
    if diagnosis.service not in catalogue:
        return False
    auth = catalogue.get(diagnosis.service).auth
    return bool(auth.refresh_url or auth.token_url)
