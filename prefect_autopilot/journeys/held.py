"""Whether what was seen to help has held: the same cause may not be back on the same deployment soon."""

from __future__ import annotations

from datetime import timedelta

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import RetryRun, RunRecord, TroubleshootingSession

HOLDS = timedelta(minutes=30)
"""How long what has helped must hold."""


async def look_whether_held(desk: Desk, session: TroubleshootingSession, run: RunRecord) -> None:
    """Count a remedy that was seen to help as failed where the same cause is back before it could hold.

    A retry is left out: it is for one run, and that one has completed.
    """
    now = desk.clock()
    found = await desk.store.verified_since(
        session.fingerprint, run.deployment_id, now - HOLDS, besides=session.session_id
    )
    if found is None or isinstance(found.remedy, RetryRun):
        return
    before = found.session_id
    await desk.store.record_verification(
        before, found.attempt, session.fingerprint, run.deployment_id, "failed", now
    )
    detail = {"remedy": found.remedy.kind, "came back as": session.session_id}
    await desk.store.audit(desk.holder, "did not hold", before, detail, now)
