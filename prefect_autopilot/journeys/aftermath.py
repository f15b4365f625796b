"""After a rewrite: its deployment gets a version, its next runs are compared, what is worse is put back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_autopilot.adapters.files import digest, read_source, replace
from prefect_autopilot.errors import AutopilotError, ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.journeys.known_around import NEAR
from prefect_autopilot.journeys.leased import is_paused
from prefect_autopilot.models import (
    AppliedRewrite,
    IssueCategory,
    JSONDict,
    Notice,
    OptimizationPlan,
    RunSample,
    TroubleshootingSession,
)
from prefect_autopilot.optimization.aftermath import judge

if TYPE_CHECKING:
    from prefect_autopilot.journeys.desk import Desk

NOT_PROVED = "none; written without one, as it was asked for"
"""What the audit trail says of a rewrite that somebody wanted unproved."""
_RUNS = 50
_SESSIONS = 500
_VERSION = 12
_SURE = 0.5
_BY_LOAD = frozenset(
    {
        IssueCategory.CONNECTIVITY,
        IssueCategory.EXTERNAL_SERVICE,
        IssueCategory.TIMEOUT,
        IssueCategory.RESOURCE,
    }
)


async def sample(
    desk: Desk,
    flow_name: str,
    deployment_id: str | None = None,
    *,
    started_after: datetime | None = None,
) -> RunSample:
    """Return the last ended runs of a flow, or of one deployment; those before any rewrite by default."""
    runs: JSONDict = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}
    if started_after is not None:
        runs["start_time"] = {"after_": started_after.isoformat()}
    body: JSONDict = {"flow_runs": runs, "flows": {"name": {"any_": [flow_name]}}}
    if deployment_id is not None:
        body["deployments"] = {"id": {"any_": [deployment_id]}}
    found: list[JSONDict] = await desk.api.request(
        "POST", "/flow_runs/filter", {**body, "sort": "START_TIME_DESC", "limit": _RUNS}
    )
    done = [run for run in found if run.get("state_type") == "COMPLETED"]
    failed = [run for run in found if run.get("state_type") != "COMPLETED"]
    sessions = await desk.store.sessions(limit=_SESSIONS) if failed else ()
    elsewhere = sum(_is_elsewhere(run, sessions) for run in failed)
    return RunSample(
        durations_s=tuple(float(run.get("total_run_time") or 0.0) for run in done),
        failures=len(failed) - elsewhere,
        elsewhere=elsewhere,
    )


def _is_elsewhere(run: JSONDict, sessions: Sequence[TroubleshootingSession]) -> bool:
    """Tell whether a run failed for a cause outside its flow, or is still being looked into."""
    mine = (one for one in sessions if run.get("id") in {one.flow_run_id, *one.related_runs} - {None})
    return any(_lies_elsewhere(one, sessions) for one in mine)


def _lies_elsewhere(session: TroubleshootingSession, sessions: Sequence[TroubleshootingSession]) -> bool:
    """Tell whether no rewrite can bring about what failed.

    Rights are refused whatever the order of calls. A service that fails may fail because more is asked of it
    at a time: that is elsewhere only where another workflow met the same in the same half hour.
    """
    told = session.diagnosis
    if told is None:
        return session.end_time is None  # the next look will know
    if told.confidence < _SURE or told.category not in {*_BY_LOAD, IssueCategory.PERMISSIONS}:
        return False
    return told.category is IssueCategory.PERMISSIONS or any(
        one.workflow_id != session.workflow_id
        and abs(one.start_time - session.start_time) <= NEAR
        and one.diagnosis is not None
        and one.diagnosis.category is told.category
        and told.service is not None
        and one.diagnosis.service == told.service
        for one in sessions
    )


def proof_told(plan: OptimizationPlan) -> str:
    """Return what the audit trail says of a plan's proof."""
    return f"{plan.proof.reason} (n = {plan.proof.n})" if plan.proof else NOT_PROVED


async def apply_and_watch(
    desk: Desk,
    plan: OptimizationPlan,
    path: Path,
    original: str,
    *,
    by: str,
    flow_name: str,
    deployment: JSONDict | None = None,
) -> AppliedRewrite | None:
    """Replace a file by a plan's source, give its deployment a version and watch its runs from now on.

    None where the plan changes nothing. Raises ConflictError when the file is no longer ``original``; then
    nothing was written.
    """
    if not plan.changed:
        return None
    now, ident = desk.clock(), (deployment or {}).get("id")
    baseline = await sample(desk, flow_name, ident)
    detail: JSONDict = {"before": digest(original), "after": digest(plan.source), "proof": proof_told(plan)}
    # Before the act: a rewritten file must never be without a trace.
    await desk.store.audit(by, "flow.rewriting", str(path), detail, now)
    backup = replace(path, plan.source, digest(original))
    rewrite = AppliedRewrite(
        rewrite_id=uuid.uuid4().hex[:12],
        path=str(path),
        backup=str(backup),
        before_sha256=detail["before"],
        after_sha256=detail["after"],
        flow_name=flow_name,
        deployment_id=ident,
        version_before=(deployment or {}).get("version"),
        rules=tuple(dict.fromkeys(edit.rule for edit in plan.edits)),
        applied_by=by,
        applied_at=now,
        baseline=baseline,
    )
    await desk.store.add_rewrite(rewrite)
    await _redeploy(desk, rewrite, detail["after"][:_VERSION])
    return rewrite


async def _redeploy(desk: Desk, rewrite: AppliedRewrite, version: str | None) -> None:
    """Write the version of the source into the deployment; runs read the file itself when they start."""
    if rewrite.deployment_id is None:
        return
    try:
        await desk.api.request("PATCH", f"/deployments/{rewrite.deployment_id}", {"version": version})
    except (PrefectError, UnknownNameError) as error:
        # The version is for people; the file is what runs.
        told = {"error": error.message, "version": version}
        await desk.store.audit(desk.holder, "flow.version not set", rewrite.path, told, desk.clock())


async def look_after(desk: Desk) -> tuple[AppliedRewrite, ...]:
    """Compare the runs of all watched rewrites and put back what is worse; return those that ended.

    Nothing is put back while everything is paused, nor over what somebody changed meanwhile.
    """
    ended: list[AppliedRewrite] = []
    for rewrite in await desk.store.rewrites(open_only=True):
        try:
            found = await _look(desk, rewrite)
        except ConflictError:
            continue  # another watcher was first
        if found is not None:
            ended.append(found)
    return tuple(ended)


async def _look(desk: Desk, rewrite: AppliedRewrite) -> AppliedRewrite | None:
    if rewrite.status == "reverting":
        return await _put_back(desk, rewrite)  # a crash came in between
    after = await sample(desk, rewrite.flow_name, rewrite.deployment_id, started_after=rewrite.applied_at)
    judgement = judge(rewrite.baseline, after)
    if judgement.verdict == "wait":
        return None
    if judgement.verdict == "keep":
        return await _end(desk, rewrite, "kept", judgement.reason)
    if await is_paused(desk):
        return None
    return await _revert(desk, rewrite, judgement.reason)


async def put_back(desk: Desk, path: str, reason: str) -> AppliedRewrite | None:
    """Put back the rewriting of a file that is still watched; None where none is, or the disk refuses."""
    watched = (one for one in await desk.store.rewrites(open_only=True) if one.path == path)
    rewrite = next(watched, None)
    return await _revert(desk, rewrite, reason) if rewrite is not None else None


async def _revert(desk: Desk, rewrite: AppliedRewrite, reason: str) -> AppliedRewrite | None:
    intended = rewrite.model_copy(update={"status": "reverting", "reason": reason})
    # The intent before the act; whoever comes second finds it taken.
    await desk.store.move_rewrite(intended, "watching")
    detail = {"rewrite": rewrite.rewrite_id, "reason": reason}
    await desk.store.audit(desk.holder, "flow.reverting", rewrite.path, detail, desk.clock())
    return await _put_back(desk, intended)


async def _put_back(desk: Desk, rewrite: AppliedRewrite) -> AppliedRewrite | None:
    path, backup = Path(rewrite.path), Path(rewrite.backup)
    try:
        present = digest(read_source(path))
        if present != rewrite.before_sha256:  # else it is back already
            text = read_source(backup)
            if digest(text) != rewrite.before_sha256:
                return await _end(desk, rewrite, "left", f"{rewrite.reason}; the backup {backup} was changed")
            replace(path, text, rewrite.after_sha256)
    except ConflictError:
        reason = f"{rewrite.reason}; somebody changed the file meanwhile, so it stays as it is"
        return await _end(desk, rewrite, "left", reason)
    except AutopilotError as error:
        if error.permanent:
            return await _end(desk, rewrite, "left", f"{rewrite.reason}; {error.message}")
        return None  # the disk may take it the next time
    await _redeploy(desk, rewrite, rewrite.version_before)
    return await _end(desk, rewrite, "reverted", rewrite.reason)


async def _end(desk: Desk, rewrite: AppliedRewrite, status: str, reason: str) -> AppliedRewrite:
    now = desk.clock()
    ended = rewrite.model_copy(update={"status": status, "reason": reason, "ended_at": now})
    await desk.store.move_rewrite(ended, rewrite.status)
    detail = {"rewrite": rewrite.rewrite_id, "reason": reason, "rules": list(rewrite.rules)}
    await desk.store.audit(desk.holder, f"flow.{status}", rewrite.path, detail, now)
    if status != "kept":
        done = "was put back as it had been" if status == "reverted" else "should be looked at"
        await desk.store.queue_notice(
            Notice(
                notice_id=f"rewrite-{rewrite.rewrite_id}",
                outcome="resolved" if status == "reverted" else "proposal",
                title=f"The optimised flow {rewrite.flow_name} got worse; {rewrite.path} {done}",
                text=reason,
                deployment_id=rewrite.deployment_id,
            ),
            now,
        )
    return ended
