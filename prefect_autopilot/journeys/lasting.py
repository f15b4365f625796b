"""What in the flow's source would end a fault that passes and comes again: told, never written here."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.flow_source import flow_source
from prefect_autopilot.journeys.improve import plan
from prefect_autopilot.models import OptimizationPlan, RemedyClass, Rewrite, Strategy, TroubleshootingSession

OFTEN = 3
"""So many sessions of one cause on one workflow are no accident."""
RULES: dict[RemedyClass, frozenset[str]] = {
    "retry_backoff": frozenset({"retry_reads"}),
    "wait_for_service": frozenset({"retry_reads"}),
    "wait_rate_limit": frozenset({"limit_rate"}),
    "raise_timeout": frozenset({"task_timeouts", "request_timeouts"}),
    "reduce_concurrency": frozenset({"bound_fan_out", "limit_rate"}),
}
"""Rewritings of the optimiser that answer a cause."""


async def lasting_cure(desk: Desk, session: TroubleshootingSession) -> str | None:
    """Return the rewriting that would answer a cause that has come often; None where there is none to be had.

    The source is only read. What is written on a person's word is compared and put back by
    ``journeys.aftermath``.
    """
    known, diagnosis = session.recurrence, session.diagnosis
    rules = RULES.get(diagnosis.remedy) if diagnosis is not None else None
    if known is None or known.times < OFTEN or not rules:
        return None
    try:
        raw = await desk.api.deployment(session.workflow_id)
        if session.issues and session.issues[0].affected_components:
            flow, slash, _ = session.issues[0].affected_components[0].partition("/")
            raw = raw | ({"flow_name": flow} if slash else {})
        found = await flow_source(desk.api, raw)
        planned = await asyncio.to_thread(planned_for, found.path)
    except (AutopilotError, OSError):
        return None  # the flow is elsewhere, or none that can be read: there is nothing to advise
    edit = answer(planned, rules)
    if edit is None:
        return None
    consent = " --unsafe" if edit.risk == "opt_in" else ""
    name = f"{found.flow_name}/{raw.get('name')}"
    return (
        f"It has come {known.times} times: {edit.reason}, so line {edit.line} of {found.path.name} may be"
        f" rewritten ({edit.rule}). Look at it with `prefect-autopilot optimize --deployment {name}"
        f" --strategy reliability{consent}`; with --write its next runs are compared, and what got worse is"
        " put back."
    )


def planned_for(path: Path) -> OptimizationPlan:
    """Return what would make a flow more reliable, with what needs its owner's consent."""
    return plan(path, Strategy.RELIABILITY, unsafe=True)


def answer(planned: OptimizationPlan, rules: frozenset[str]) -> Rewrite | None:
    """Return the edit of a plan that answers a cause, None where it has none."""
    return next((edit for edit in planned.edits if edit.rule in rules), None)
