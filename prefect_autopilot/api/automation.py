"""Calls of the first and the fourth journey: request → flow, and flow → better flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from prefect_autopilot import codegen
from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.files import digest
from prefect_autopilot.adapters.git_branch import tracked_in
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.api.access import actor_of, require
from prefect_autopilot.api.answers import (
    AnalysisAnswer,
    ApplyAnswer,
    Figure,
    GenerateAnswer,
    GeneratedWorkflow,
    OptimizeAnswer,
    OptimizedWorkflow,
)
from prefect_autopilot.api.bodies import (
    ApplyBody,
    GenerateBody,
    OptimizeBody,
    RequestBody,
    WorkflowReference,
)
from prefect_autopilot.api.context import Context, context_of, worked
from prefect_autopilot.errors import ConflictError, ProofError, UnknownNameError, UsageError
from prefect_autopilot.journeys import automate, improve
from prefect_autopilot.journeys.aftermath import NOT_PROVED, apply_and_watch, proof_told
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.flow_source import flow_source
from prefect_autopilot.journeys.memory import note_missing, with_memory
from prefect_autopilot.journeys.proving import NOTHING_WRITTEN, proved_as_deployed
from prefect_autopilot.journeys.workflows import measured
from prefect_autopilot.models import (
    Analysis,
    FlowHistory,
    JSONDict,
    OptimizationPlan,
    Proof,
    Rejection,
    RequestContext,
    Strategy,
    WorkflowMetric,
)
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope

NOT_MEASURED = "No run of the flow was seen, so nothing was measured and nothing is estimated."


async def analyze_request(request: Request, body: RequestBody) -> AnalysisAnswer:
    """Say what a request in plain English was understood to mean; nothing is created."""
    known = await _known(body.context, context_of(request).settings)
    analysis = await worked(automate.understand, body.user_input, known)
    return AnalysisAnswer(
        success=analysis.status in {"flow", "clarify"},
        error=_refusal(analysis),
        analysis=analysis,
        detected_services=tuple(one.service for one in analysis.services if one.role == "used"),
        confidence_score=analysis.confidence,
        recommendations=analysis.recommendations,
    )


async def _known(context: RequestContext, settings: Settings) -> RequestContext:
    """Return the context with what its user chose before; without a user there is nothing to remember."""
    return await with_memory(context, settings) if context.user_id else context


def _refusal(analysis: Analysis) -> str | None:
    if analysis.status in {"flow", "clarify"}:
        return None
    return " ".join(analysis.unsupported or analysis.reasons) or "The request asks for no automation."


async def generate_workflow(body: GenerateBody, request: Request) -> GenerateAnswer:
    """Turn a request into spec, source and deployment of a flow; nothing is written or deployed."""
    context = context_of(request)
    known = await _known(body.context, context.settings)
    analysis = await worked(automate.understand, body.user_input, known)
    await note_missing(analysis, context.settings)
    if analysis.status != "flow":
        asked = " ".join(question.text for question in analysis.questions)
        return GenerateAnswer(
            success=False,
            error=_refusal(analysis) or f"Something is open: {asked}",
            workflow=GeneratedWorkflow(questions=analysis.questions),
            analysis=analysis,
            optimization_suggestions=(),
            estimated_performance=None,
            estimated_performance_reason="There is no flow yet.",
        )
    flow = await worked(automate.build, analysis)
    plan = await worked(planned, flow.source, flow.file_name, body.optimization_strategy, None)
    name = f"{flow.deployment.flow_name}/{flow.deployment.name}"
    seen = figures(await measured(await context.store(), name, context.clock()))
    return GenerateAnswer(
        success=True,
        workflow=GeneratedWorkflow(
            spec=flow.spec,
            source=flow.source,
            file_name=flow.file_name,
            test_source=flow.test_source,
            test_file_name=flow.test_file_name,
            deployment=flow.deployment,
            connections=automate.connections(flow),
            questions=analysis.questions,
        ),
        analysis=analysis,
        optimization_suggestions=plan.edits,
        estimated_performance=seen or None,
        estimated_performance_reason=None if seen else NOT_MEASURED,
    )


def figures(metrics: tuple[WorkflowMetric, ...]) -> dict[str, Figure]:
    """Return metrics by name."""
    return {
        one.name: Figure(value=one.value, unit=one.unit, runs=int(one.tags.get("runs", "0")))
        for one in metrics
    }


def planned(
    source: str, file: str, strategy: Strategy, history: FlowHistory | None, path: Path | None = None
) -> OptimizationPlan:
    """Return what of a source can be made better."""
    return improve.plan_source(source, file, strategy, history, path=path)


@dataclass(frozen=True)
class Located:
    """Source of a flow, what is known of its runs, and its file where it has one here."""

    source: str
    name: str
    history: FlowHistory | None = None
    path: Path | None = None
    flow_name: str = ""
    deployment: JSONDict | None = None


async def analyze_optimization(body: OptimizeBody, request: Request) -> OptimizeAnswer:
    """Say what of a flow can be made faster, cheaper or safer; nothing is run or written."""
    found = await located(context_of(request), body)
    plan = await worked(planned, found.source, found.name, body.strategy, found.history, found.path)
    saving, reason = expected_saving(plan, found.history)
    return OptimizeAnswer(
        success=True,
        analysis=plan,
        performance_metrics=_timings(found.history),
        optimization_opportunities=plan.edits,
        estimated_improvement=saving,
        estimated_improvement_reason=reason,
    )


async def apply_optimization(body: ApplyBody, request: Request) -> ApplyAnswer:
    """Return the rewritten source of a flow; a file is only written when ``write`` asks for it."""
    if body.write:
        await require(request, Scope.APPROVER)
    context = context_of(request)
    found = await located(context, body)
    plan = await worked(planned, found.source, found.name, body.strategy, found.history, found.path)
    plan, refused = _chosen(plan, body.rules, found.source)
    if body.expected_sha256 not in {None, digest(found.source)}:
        raise ConflictError("The flow is not the one that was analysed any more; analyse it again.")
    written = (
        await _written(context, plan, found, actor_of(request), unproved=body.unproved)
        if body.write
        else Written()
    )
    saving, reason = expected_saving(plan, found.history)
    return ApplyAnswer(
        success=True,
        optimized_workflow=OptimizedWorkflow(
            source=plan.source,
            changed=plan.changed,
            diff=plan.diff,
            sha256=digest(plan.source),
            file=str(written.file) if written.file is not None else None,
            backup=written.backup,
            branch=written.branch,
            proof=written.proof,
            not_proved=written.not_proved,
        ),
        applied_optimizations=plan.edits,
        not_applied=refused,
        performance_improvement=saving,
        performance_improvement_reason=reason,
    )


def _chosen(
    plan: OptimizationPlan, wanted: frozenset[str], source: str
) -> tuple[OptimizationPlan, tuple[Rejection, ...]]:
    """Return the plan as far as it was asked for, and what was asked for in vain."""
    made = {edit.rule for edit in plan.edits}
    if not wanted:
        return plan, plan.rejected
    refused = tuple(
        next(
            (one for one in plan.rejected if one.rule == rule),
            Rejection(rule=rule, line=0, reason="The rule finds nothing to change in this flow."),
        )
        for rule in sorted(wanted - made)
    )
    if not wanted & made:
        nothing = {"source": source, "changed": False, "diff": "", "edits": ()}
        return plan.model_copy(update=nothing), refused
    if further := ", ".join(sorted(made - wanted)):
        raise UsageError(f"The edits of a plan are made together, also {further}; name them too, or none.")
    return plan, refused


@dataclass(frozen=True)
class Written:
    """Where a rewritten source went: into the file, with a backup, or onto a branch of its repository."""

    file: Path | None = None
    backup: str | None = None
    branch: str | None = None
    proof: Proof | None = None
    not_proved: str | None = None


async def _written(
    context: Context, plan: OptimizationPlan, found: Located, actor: str, *, unproved: bool
) -> Written:
    """Write what was proved: into the file, or for review onto a branch where git knows the file."""
    if found.path is None:
        raise UsageError("Only the file of a deployment can be written; give its deployment_id.")
    if not plan.changed:
        return Written()
    in_git = await worked(tracked_in, found.path) is not None
    async with context.desk() as desk:
        if not unproved:
            plan, reason = await _proved(context, desk, plan, found)
            if reason and not in_git:
                raise ConflictError(f"{NOTHING_WRITTEN}: {reason} To write it all the same, say unproved.")
        if in_git:
            return await _on_branch(context, plan, found, actor, NOT_PROVED if unproved else reason)
        rewrite = await apply_and_watch(
            desk,
            plan,
            found.path,
            found.source,
            by=actor,
            flow_name=found.flow_name,
            deployment=found.deployment,
        )
    return Written(found.path, rewrite.backup if rewrite else None, proof=plan.proof)


async def _proved(
    context: Context, desk: Desk, plan: OptimizationPlan, found: Located
) -> tuple[OptimizationPlan, str]:
    """Return the plan with its proof, or why there is none; raises ConflictError where the versions differ.

    One at a time: a proof runs a flow about ten times on this machine.
    """
    if context.proof_turn.locked():
        raise ConflictError("Another rewriting is being proved; send it again in two minutes.")
    assert found.path is not None
    async with context.proof_turn:
        try:
            return await proved_as_deployed(desk, plan, found.path, found.source, found.deployment or {}), ""
        except ProofError as error:
            return plan, error.message


async def _on_branch(
    context: Context, plan: OptimizationPlan, found: Located, actor: str, not_proved: str
) -> Written:
    """Commit the source on a branch of its own: what is in git is changed there, by review."""
    path = found.path
    assert path is not None
    branch = f"autopilot/{path.stem}-{digest(plan.source)[:8]}"
    told = not_proved or proof_told(plan)
    detail: JSONDict = {"before": digest(found.source), "after": digest(plan.source)}
    detail |= {"branch": branch, "proof": told}
    store = await context.store()
    await store.audit(actor, "flow.branching", str(path), detail, context.clock())
    await worked(improve.commit, plan, path, found.source, branch, told)
    return Written(branch=branch, proof=plan.proof, not_proved=not_proved or None)


def expected_saving(plan: OptimizationPlan, history: FlowHistory | None) -> tuple[Figure | None, str | None]:
    """Return the saving in seconds per run that measured durations let expect, else why there is none."""
    if not plan.edits:
        return None, "Nothing is changed, so nothing is saved."
    if history is None:
        return None, "No durations were measured, so no saving can be told; give history or a deployment_id."
    known = [edit.expected_saving_s for edit in plan.edits if edit.expected_saving_s is not None]
    if not known:
        return None, "The measured durations do not cover the tasks that are changed."
    return Figure(value=round(sum(known), 3), unit="s/run", runs=history.flow.n), None


def _timings(history: FlowHistory | None) -> dict[str, Figure]:
    if history is None:
        return {}
    flow = history.flow
    told = {"response_time": flow.p50_s, "response_time_p95": flow.p95_s}
    return {
        name: Figure(value=value, unit="s", runs=flow.n) for name, value in told.items() if value is not None
    }


async def located(context: Context, body: OptimizeBody) -> Located:
    """Return the flow that a body names; raises UsageError where it names none."""
    given = body.workflow
    if given.source is not None:
        return Located(given.source, given.file, body.history)
    if given.spec is not None:
        flow = await worked(codegen.generate, given.spec, user_catalogue())
        return Located(flow.source, flow.file_name, body.history)
    if given.deployment_id is None and given.flow_id is None:
        raise UsageError("The workflow names no flow; give source, spec, deployment_id or flow_id.")
    async with context.desk() as desk:
        return await _deployed(desk.api, given, body.history)


async def _deployed(api: PrefectAPI, given: WorkflowReference, history: FlowHistory | None) -> Located:
    found = await flow_source(api, await _deployment(api, given))
    if history is None and found.flow_name:
        try:
            history = await improve.history_of(api, found.flow_name)
        except UnknownNameError:
            history = None  # it never completed: there is nothing to measure by
    return Located(found.source, found.path.name, history, found.path, found.flow_name, found.deployment)


async def _deployment(api: PrefectAPI, given: WorkflowReference) -> JSONDict:
    if given.deployment_id is not None:
        try:
            return await api.deployment(str(given.deployment_id))
        except UnknownNameError:
            raise UnknownNameError("deployment", str(given.deployment_id)) from None
    wanted = {"flows": {"id": {"any_": [str(given.flow_id)]}}, "limit": 1}
    found: list[JSONDict] = await api.request("POST", "/deployments/filter", wanted)
    if not found:
        raise UnknownNameError("deployment of a flow", str(given.flow_id))
    return found[0]
