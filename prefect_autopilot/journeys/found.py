"""Open a session for something that was found with proof, not by a failure: it begins at its resolution."""

from __future__ import annotations

import hashlib
import uuid

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Diagnosis, RunRecord, TroubleshootingSession
from prefect_autopilot.troubleshooting import finding_from, issue_from
from prefect_autopilot.troubleshooting import session as steps


async def open_found(
    desk: Desk, key: str, run: RunRecord, diagnosis: Diagnosis, *, component: str, advice: str
) -> TroubleshootingSession | None:
    """Open a session once for ``key``; None where it was claimed before. The gate decides what is done."""
    now = desk.clock()
    if not await desk.store.claim(key, desk.holder, now):
        return None
    workflow = run.deployment_id or run.flow_name
    issues = (issue_from(diagnosis, workflow_id=workflow, now=now, components=(component,)),)
    session = steps.start(
        str(uuid.uuid4()), workflow, flow_run_id=run.id, run_count=run.run_count, now=now
    ).model_copy(update={"origin": "reconcile"})
    found = (finding_from(diagnosis, now=now, issues=issues),)
    session = steps.analyse(steps.identify(session, issues, now=now), found, now=now)
    session = steps.conclude(session, diagnosis, (advice,), now=now)
    await desk.store.save_session(session, None)
    detail = {"run": run.id, "origin": "reconcile"}
    await desk.store.audit(desk.holder, "opened", session.session_id, detail, now)
    return session


def fingerprint_of(pattern: str, name: str) -> str:
    """Return the fingerprint of a cause that has no traceback."""
    return hashlib.sha256(f"{pattern}:{name}".encode()).hexdigest()[:16]


def subject_of(diagnosis: Diagnosis | None, pattern: str, where: str) -> str | None:
    """Return what a diagnosis of this pattern is about, None for any other diagnosis."""
    if diagnosis is None or diagnosis.pattern != pattern or not diagnosis.evidence:
        return None
    return diagnosis.evidence[0].where.removeprefix(where)
