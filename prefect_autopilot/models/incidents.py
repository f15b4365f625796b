"""From a failed run to a verified resolution: the values of the second journey."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from prefect_autopilot.models.base import (
    FindingPattern,
    Foreign,
    IssueCategory,
    JSONDict,
    ResolutionStatus,
    SessionStep,
    Severity,
    Value,
)
from prefect_autopilot.models.editing import FaultProposal
from prefect_autopilot.models.policy import Approval, Mode
from prefect_autopilot.models.remedies import Remedy, RemedyClass
from prefect_autopilot.models.runs import LogRecord, Observation, RunRecord, StateRecord, TaskRunRecord

Origin = Literal["event", "reconcile", "flow", "request"]
"""How a failure came to us: event stream, the watcher's own reading, our flow, or somebody's call."""


class SourceFile(Value):
    """The flow's own source as far as it could be read."""

    path: str
    entrypoint: str
    text: str


class EvidenceLine(Value):
    """A line that supports a conclusion and where it stands ("log 12", "state message")."""

    text: str
    where: str


class PrefectObject(Value):
    """Something of the Prefect server that a failure is about, as its pages find it."""

    kind: Literal["work pool", "block", "variable", "concurrency limit", "automation"]
    name: str
    id: str | None = None


class MemoryGiven(Value):
    """What a run's work pool lets it use of memory; ``name`` is None where it has no job variable for it."""

    pool: str
    pool_type: str
    name: str | None = None
    present: str | None = None
    proposed: str | None = None


class Evidence(Value):
    """All that was read of one failed run, redacted; ``missing`` lists what could not be read."""

    run: RunRecord
    states: tuple[StateRecord, ...] = ()
    task_runs: tuple[TaskRunRecord, ...] = ()
    logs: tuple[LogRecord, ...] = ()
    source: SourceFile | None = None
    recent_runs: tuple[RunRecord, ...] = ()
    surroundings: tuple[EvidenceLine, ...] = ()
    """What stands around the run, where it gave reason to look: parent, sub-flow runs, pool, limits."""
    compared: tuple[RunRecord, ...] = ()
    """Further runs to compare it with: earlier ones of its own, and those of others at the same time."""
    upstream: tuple[str, ...] = ()
    """Deployments that the run's waits for, by whose name their runs stand among the compared ones."""
    root_run: RunRecord | None = None
    """The sub-flow run whose failure this run only passes on."""
    objects: tuple[PrefectObject, ...] = ()
    """What of the server the failure is about, where it is known."""
    memory: MemoryGiven | None = None
    """None where memory is not in question or the pool could not be read."""
    missing: tuple[str, ...] = ()
    read_at: datetime


class Alternative(Value):
    """A conclusion that was considered and why it was rejected."""

    category: IssueCategory
    reason: str


class Diagnosis(Value):
    """What failed and why, as far as the evidence goes."""

    category: IssueCategory
    confidence: float = Field(ge=0, le=1)
    severity: Severity
    transient: bool
    remedy: RemedyClass
    service: str | None = None
    root_cause: str
    pattern: str | None = None
    """Name of the failure pattern that decided, None where a model or nothing did."""
    fingerprint: str = ""
    exception: str | None = None
    status: int | None = None
    """HTTP status, where one decided."""
    retry_after_s: float | None = None
    connection: str | None = None
    """Name of the service connection whose call failed."""
    effect: Literal["safe", "idempotent", "unsafe", "unknown"] = "unknown"
    """What the failing call does when it is repeated."""
    refused: bool = False
    """True when the other side did not start the work (429, 503 with Retry-After, no connection)."""
    evidence: tuple[EvidenceLine, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    missing: tuple[str, ...] = ()


class IncidentRun(Foreign):
    """One run of a batch incident; further columns are kept, they may be what the failures share."""

    model_config = ConfigDict(frozen=True, extra="allow")

    run: str = ""
    flow: str | None = None
    deployment: str | None = None
    state: str = ""
    start: datetime | None = None
    duration_s: float | None = None
    message: str | None = None


class CommonKey(Value):
    """What the failures of an incident have in common."""

    field: str
    value: Any


class WorkflowIssue(Value):
    """One thing that is wrong with a workflow."""

    issue_id: str
    workflow_id: str
    category: IssueCategory
    severity: Severity
    description: str
    symptoms: tuple[str, ...] = ()
    root_cause: str | None = None
    detection_time: datetime
    affected_components: tuple[str, ...] = ()
    metrics_impact: dict[str, float] = Field(default_factory=dict)


class DiagnosticFinding(Value):
    """One step of the reasoning from symptoms to a cause."""

    finding_id: str
    pattern: FindingPattern
    confidence: float = Field(ge=0, le=1)
    description: str
    evidence: tuple[EvidenceLine, ...] = ()
    impact_score: float = Field(default=0, ge=0, le=1)
    related_issues: tuple[str, ...] = ()
    suggested_actions: tuple[str, ...] = ()
    detected_at: datetime


class GateCheck(Value):
    """One condition of the gate and what was found."""

    name: str
    passed: bool
    reason: str


class RemedyDecision(Value):
    """What may be done about a failure now: act, wait, propose, escalate or leave alone, with every check."""

    action: Literal["act", "wait", "propose", "escalate", "stand_down"]
    remedy: Remedy
    checks: tuple[GateCheck, ...] = ()
    reason: str
    state_id: str = ""
    """State of the run that was decided about."""
    wait_until: datetime | None = None
    """When to ask the gate again, where it said wait."""
    mode: Mode = "propose"
    """What the owner's policy says of this remedy for this run."""


class Verification(Value):
    """What was observed after a remedy; nothing observed is unverified, never resolved."""

    outcome: Literal["verified", "failed", "unverified", "pending"]
    observations: tuple[Observation, ...] = ()
    reason: str
    checked_at: datetime


class Attempt(Value):
    """One remedy that was really applied."""

    number: int
    remedy: Remedy
    state_id_before: str
    applied_at: datetime | None = None
    error: str | None = None
    started_run_id: str | None = None
    """Another run that the remedy started and that has to complete first."""
    lasts_s: float = Field(default=0, ge=0)
    """How long a good run may take, in seconds, by its deployment's history; 0 where nothing is known."""
    verification: Verification | None = None


class Storm(Value):
    """Many runs that failed for one cause, in one session; counts of runs besides the session's own."""

    cause: str
    """Fingerprint of the message that the runs ended with."""
    spreads: bool = False
    """The session's own run was verified; the others follow."""
    runs: int = 0
    released: int = 0
    resolved: int = 0
    failed: int = 0
    left: int = 0
    """Runs of which nothing was done: somebody acted first, they are gone, or the gate said no."""


class GoodAgain(Value):
    """The run that showed a workflow to be good again after a failure that was handed to a person."""

    run_id: str
    at: datetime
    version: str | None = None
    changed: tuple[str, ...] = ()
    """What differs from the failed run: version, parts of the deployment, parameters; empty where nothing."""

    def told(self) -> str:
        """Return since when, on which version and after which changes, in one line."""
        version = f" on version {self.version}" if self.version else ""
        what = ", ".join(self.changed) or "nothing of the deployment or the parameters"
        return f"good again since {self.at:%Y-%m-%d %H:%M} UTC{version}, run {self.run_id}; changed: {what}"


class Recurrence(Value):
    """What is known from before of the same cause on the same workflow."""

    times: int = Field(ge=1)
    """Failures with this cause, the present one among them."""
    last_at: datetime | None = None
    """When the one before was opened."""
    remedy: str | None = None
    """Kind of the remedy that was last seen to help."""
    held: int = 0
    tried: int = 0
    """How often that remedy was observed, and how often it held."""
    good_again: GoodAgain | None = None
    """How it ended last, where a person was asked."""


class TroubleshootingSession(Value):
    """One incident from first failure to close; every change is a new value and an audit entry."""

    session_id: str
    workflow_id: str
    flow_run_id: str | None = None
    run_count: int = 0
    """Attempt of the run that failed; with the run's id the key of the claim."""
    origin: Origin = "request"
    fingerprint: str = ""
    issues: tuple[WorkflowIssue, ...] = ()
    findings: tuple[DiagnosticFinding, ...] = ()
    diagnosis: Diagnosis | None = None
    decision: RemedyDecision | None = None
    approval: Approval | None = None
    """A person's yes to the decision's proposal."""
    storm: Storm | None = None
    attempts: tuple[Attempt, ...] = ()
    steps_completed: tuple[SessionStep, ...] = ()
    current_step: SessionStep = SessionStep.IDENTIFICATION
    recommendations: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    """What was seen around the failure, and what could not be read."""
    objects: tuple[PrefectObject, ...] = ()
    """What of the Prefect server the failure is about."""
    proposal: FaultProposal | None = None
    """What a language model says of a fault in code; None where none was asked."""
    recurrence: Recurrence | None = None
    """None where the cause has not been looked up."""
    good_again: GoodAgain | None = None
    """None where no good run was seen after it was handed over."""
    resolution_status: ResolutionStatus = ResolutionStatus.IN_PROGRESS
    due_at: datetime | None = None
    """When the session wants to be looked at again; None when nothing is to come."""
    start_time: datetime
    end_time: datetime | None = None
    related_runs: tuple[str, ...] = ()
    """Its own run and those it took in, the newest hundred of them."""
    further_runs: int = Field(default=0, ge=0)
    """Runs that it took in because they failed alike, or passed its failure on."""
    trail: tuple[str, ...] = ()
    """What was done and seen, oldest first; each line begins with its time."""

    @property
    def last_said(self) -> str:
        """The newest line of the trail without its time; empty where nothing was said yet."""
        return self.trail[-1].partition(" ")[2] if self.trail else ""


class AuditEntry(Value):
    """One line of the audit trail; ``digest`` chains it to the line before."""

    sequence: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: JSONDict = Field(default_factory=dict)
    previous: str = ""
    digest: str = ""


class IncidentEvent(Value):
    """A step in the life of an incident, for services that keep incidents by a key of ours."""

    action: Literal["trigger", "acknowledge", "resolve"]
    key: str
    title: str
    severity: Severity = Severity.MEDIUM
    source: str = ""


class Notice(Value):
    """Something a person is told; ``outcome`` as in the watch contract."""

    notice_id: str
    outcome: Literal["resolved", "proposal", "escalated", "no_action", "info"]
    title: str
    text: str
    flow_run_id: str | None = None
    deployment_id: str | None = None
    session_id: str | None = None
    action: str | None = None
    incidents: tuple[IncidentEvent, ...] = ()
    """What a service such as PagerDuty is told of it; a digest has several."""
    escalated: bool = False
    """It tells of something that was escalated, now or before: its end as well."""
