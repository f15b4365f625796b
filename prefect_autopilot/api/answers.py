"""What callers get: the models of the product, in the frame that the contract of the API names."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from prefect_autopilot.journeys.reported import Recommendation
from prefect_autopilot.journeys.settle import IssueState
from prefect_autopilot.models import (
    Analysis,
    Anomaly,
    Deduction,
    DeploymentSpec,
    EvidenceLine,
    IssueCategory,
    MonitoringRule,
    Observation,
    OptimizationPlan,
    Proof,
    Question,
    Rejection,
    ResolutionStatus,
    Rewrite,
    SessionStep,
    Trend,
    TroubleshootingSession,
    Value,
    WorkflowAlert,
    WorkflowIssue,
    WorkflowSpec,
)
from prefect_autopilot.monitoring.outlook import Outlook


class Outcome(Value):
    """Whether the call did what it is for; ``error`` says in one sentence why not."""

    success: bool
    error: str | None = None


class Figure(Value):
    """A measured value with its unit and the number of runs behind it."""

    value: float
    unit: str
    runs: int


class AnalysisAnswer(Outcome):
    """What a request was understood to say."""

    analysis: Analysis
    detected_services: tuple[str, ...]
    confidence_score: float
    recommendations: tuple[str, ...]


class GeneratedWorkflow(Value):
    """A generated flow; all but the questions is null while a question is open."""

    spec: WorkflowSpec | None = None
    source: str | None = None
    file_name: str | None = None
    test_source: str | None = None
    test_file_name: str | None = None
    deployment: DeploymentSpec | None = None
    connections: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


class GenerateAnswer(Outcome):
    """The flow of a request; performance is measured where runs of it were seen, else null with a reason."""

    workflow: GeneratedWorkflow
    analysis: Analysis
    optimization_suggestions: tuple[Rewrite, ...]
    estimated_performance: dict[str, Figure] | None
    estimated_performance_reason: str | None


class OptimizeAnswer(Outcome):
    """What can be made better; the improvement is the expected saving per run, from measured durations."""

    analysis: OptimizationPlan
    performance_metrics: dict[str, Figure]
    optimization_opportunities: tuple[Rewrite, ...]
    estimated_improvement: Figure | None
    estimated_improvement_reason: str | None


class OptimizedWorkflow(Value):
    """The new source; ``file`` and ``backup`` are null where nothing was written."""

    source: str
    changed: bool
    diff: str
    sha256: str
    file: str | None = None
    backup: str | None = None
    branch: str | None = None
    """Where a file that is in git was changed instead."""
    proof: Proof | None = None
    """What running both versions showed; null where nothing was written, or it was asked for unproved."""
    not_proved: str | None = None
    """Why what was committed on a branch is not proved."""


class ApplyAnswer(Outcome):
    """The rewritten flow and its edits; the improvement is predicted from measured durations, or null."""

    optimized_workflow: OptimizedWorkflow
    applied_optimizations: tuple[Rewrite, ...]
    not_applied: tuple[Rejection, ...]
    performance_improvement: Figure | None
    performance_improvement_reason: str | None


class MonitoringAnswer(Outcome):
    """Whether a workflow is monitored: active, or registered and why nothing comes in by itself."""

    monitoring_id: str
    status: Literal["active", "registered"]
    workflow_id: str
    runs_seen: int
    reason: str


class HealthAnswer(Outcome):
    """Health of a workflow; the score is null below five finished runs, and the reason says so."""

    health_score: float | None
    status: Literal["healthy", "degraded", "unhealthy", "unknown"]
    reason: str
    issues: tuple[WorkflowIssue | Deduction, ...]
    recommendations: tuple[str, ...]
    runs: int
    last_updated: datetime


class MetricsAnswer(Outcome):
    """Metrics, trends and open alerts of a workflow; what was not measured is not there."""

    metrics: dict[str, Figure]
    trends: dict[str, Trend]
    alerts: tuple[WorkflowAlert, ...]
    outlook: Outlook | None = None
    """What is expected, with intervals, and how far such forecasts were off."""
    novelty: tuple[Anomaly, ...] = ()
    """With ``metric_type`` novelty: runs unlike the others in several measures, the most novel first."""
    reason: str | None = None


class Page(Value):
    """One page of a list; ``next_offset`` is null on the last page."""

    limit: int
    offset: int
    next_offset: int | None


class AlertsAnswer(Page):
    """Alerts, the latest first, and the first 500 of the rules that raise them."""

    success: bool = True
    alerts: tuple[WorkflowAlert, ...]
    rules: tuple[MonitoringRule, ...]


class RulesAnswer(Page):
    """Rules, by id."""

    success: bool = True
    rules: tuple[MonitoringRule, ...]


class RuleAnswer(MonitoringRule):
    """The stored rule; ``note`` says where no run it could look at was seen yet."""

    success: bool = True
    note: str | None = None


class RootCause(Value):
    """A conclusion, how sure it is, and the lines it rests on."""

    finding_id: str
    description: str
    category: IssueCategory
    confidence: float
    evidence: tuple[EvidenceLine, ...]
    related_issues: tuple[str, ...]
    suggested_actions: tuple[str, ...]


class TroubleshootAnswer(Outcome):
    """Issues, causes and advice for a report; the session keeps them."""

    session_id: str
    issues: tuple[WorkflowIssue, ...]
    root_causes: tuple[RootCause, ...]
    recommendations: tuple[str, ...]
    confidence_score: float


class ResolveAnswer(Outcome):
    """Issues that an observed run shows to be resolved, and those that remain with the reason."""

    resolved_issues: tuple[IssueState, ...]
    remaining_issues: tuple[IssueState, ...]
    resolution_status: ResolutionStatus
    actions: tuple[str, ...]
    prefect: str | None = None
    """Why the Prefect server could not be asked, null where it was."""


class Component(Value):
    """How far a part of the product goes, and why not further."""

    state: Literal["available", "limited", "unavailable"]
    why: str


class StatusAnswer(Value):
    """What can be relied on now."""

    availability: Literal["available", "degraded"]
    version: str
    components: dict[str, Component]
    endpoints: tuple[str, ...]


class StepAnswer(Outcome):
    """What a called service answered; ``mode`` says which one was called."""

    result: Any
    duration_ms: float
    mode: Literal["simulated", "live"]
    service: str
    action: str
    status: int | None = None
    workflow_id: str | None = None
    step_id: str | None = None


class SessionAnswer(Value):
    """A session as it was opened."""

    session_id: str
    workflow_id: str
    issues_found: int
    current_step: SessionStep
    resolution_status: ResolutionStatus
    start_time: datetime
    recommendations_count: int


class SessionsAnswer(Page):
    """Sessions, the latest first."""

    sessions: tuple[TroubleshootingSession, ...]


class DeletedAnswer(Value):
    """A session that is gone; its audit entries stay."""

    success: bool = True
    session_id: str
    audit_entries: int


class IssuesAnswer(Value):
    """The issues that metrics showed."""

    session_id: str
    issues: tuple[WorkflowIssue, ...]
    current_step: SessionStep


class DiagnosisAnswer(Value):
    """The causes of a session's issues; ``reason`` says why there is none."""

    session_id: str
    root_causes: tuple[RootCause, ...]
    current_step: SessionStep
    reason: str | None = None


class RecommendationsAnswer(Value):
    """What to do, each with its evidence; ``reason`` says why there is nothing."""

    session_id: str
    recommendations: tuple[Recommendation, ...]
    reason: str | None = None


class VerificationAnswer(Value):
    """What was observed since the session's last act; a caller's results are only written down."""

    session_id: str
    outcome: Literal["verified", "failed", "unverified", "pending"]
    reason: str
    observations: tuple[Observation, ...]
    test_results_recorded: bool
    resolution_status: ResolutionStatus
    current_step: SessionStep
    checked_at: datetime
    prefect: str | None = None


class WorkflowHealthAnswer(Value):
    """Health of a workflow."""

    workflow_id: str
    health_score: float | None
    status: Literal["healthy", "degraded", "unhealthy", "unknown"]
    reason: str
    last_updated: datetime
    runs: int
    deductions: tuple[Deduction, ...]


class AutomatedAnswer(Value):
    """A session whose work goes on behind the scenes; ``result`` is where it can be read."""

    session_id: str
    status: Literal["started"]
    result: str
    issues_found: int
    resolution_status: ResolutionStatus


class Alive(Value):
    """The process is up."""

    status: Literal["ok"] = "ok"
    version: str


class Readiness(Value):
    """Whether work can be done; each check is "ok" or says what is wrong."""

    ready: bool
    checks: dict[str, str]
