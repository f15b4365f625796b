"""Which code of a deployment was last seen to complete a run, kept for the day a newer one fails.

A Prefect server keeps no earlier definition of a deployment, so it is kept here, in the audit trail, and only
where the policy names the remedy that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect_autopilot.adapters.deployed_code import code_of, is_other_code
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Evidence, JSONDict, RemedyPolicy, RollBack
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting.remedies import SETTLE_S

LOOK_EVERY = timedelta(minutes=3)
SEEN, GOOD = "deployment.seen", "deployment.good"
_KIND = "roll_back"
_NEWEST = 50


@dataclass(frozen=True)
class KeptCode:
    """Code that a deployment was seen to have since a time, and whether a run of it completed."""

    code: JSONDict
    since: datetime
    good: bool


class CodeWatch:
    """Keeps the code of every deployment that could be rolled back."""

    def __init__(self) -> None:
        self._looked_at: datetime | None = None

    async def look(self, desk: Desk) -> None:
        """Look every three minutes what code deployments have, and whether runs have completed on it."""
        now = desk.clock()
        if not _is_named(desk.policy) or (self._looked_at and now - self._looked_at < LOOK_EVERY):
            return
        workflows = await desk.store.workflows()
        ids = {one.deployment_id for one in workflows if not one.flow_name.startswith(OWN_PREFIX)}
        for raw in await desk.api.deployments_by_id(sorted(ident for ident in ids if ident is not None)):
            if (code := code_of(raw)) is not None:
                await _keep(desk, str(raw["id"]), code, now)
        self._looked_at = now


def _is_named(policy: RemedyPolicy) -> bool:
    return any(_KIND in told for told in (policy.remedies, *(one.remedies for one in policy.deployments)))


async def _keep(desk: Desk, deployment_id: str, code: JSONDict, now: datetime) -> None:
    kept = await _trail(desk.store, deployment_id)
    last = kept[-1] if kept else None
    if last is None or is_other_code(last.code, code):
        await desk.store.audit(desk.holder, SEEN, deployment_id, {"code": code}, now)
    elif not last.good and (run_id := await _completed(desk.store, deployment_id, last.since)):
        await desk.store.audit(desk.holder, GOOD, deployment_id, {"code": code, "run": run_id}, now)


async def _completed(store: Store, deployment_id: str, since: datetime) -> str | None:
    runs = await store.runs(deployment_id=deployment_id, since=since, limit=_NEWEST)
    good = (run.id for run in runs if run.state.type == "COMPLETED" and run.start and run.start >= since)
    return next(good, None)


async def _trail(store: Store, deployment_id: str) -> list[KeptCode]:
    """Return the codes of a deployment in the order they were seen, each once, with what came of it last."""
    found: list[KeptCode] = []
    for entry in await store.audit_trail(deployment_id):
        if entry.action == SEEN:
            found.append(KeptCode(entry.detail["code"], entry.at, good=False))
        elif entry.action == GOOD and found:
            found[-1] = KeptCode(entry.detail["code"], found[-1].since, good=True)
    return found


async def prove_roll_back(desk: Desk, evidence: Evidence) -> RollBack | None:
    """Return the way back to the code that last completed a run; None where it is not certain that it helps.

    The failed run must have begun on the code of now, which was seen before it began, and no run of it has
    completed.
    """
    run = evidence.run
    kept = await _trail(desk.store, run.deployment_id or "")
    good = next((one for one in reversed(kept) if one.good), None)
    if good is None or run.start is None or kept[-1].good:
        return None
    now, since = kept[-1].code, kept[-1].since
    raw = await desk.api.deployment(run.deployment_id or "")
    present = code_of(raw)
    if present is None or is_other_code(present, now) or not is_other_code(present, good.code):
        return None
    done = [one for one in evidence.recent_runs if one.state.type == "COMPLETED" and one.start]
    if run.start < since or any(one.start is not None and one.start >= since for one in done):
        return None
    version = str(good.code.get("version") or "before")
    return RollBack(
        flow_run_id=run.id,
        deployment_id=run.deployment_id or "",
        deployment_name=str(raw.get("name") or ""),
        good_version=version,
        before=present,
        after=good.code,
        proof=f"no run has completed since the deployment was changed, and runs of version {version} have",
        delay_s=SETTLE_S,
    )
