"""What was observed of runs, and what monitoring makes of it. Durations in seconds, times aware (UTC)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from prefect_autopilot.models.base import (
    AlertCondition,
    AlertType,
    Foreign,
    JSONDict,
    Severity,
    Value,
    given,
)

StateType = Literal[
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING"
]
TERMINAL_STATES: frozenset[str] = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
FAILURE_STATES: frozenset[str] = frozenset({"FAILED", "CRASHED"})


Amounts = Annotated[dict[str, float], BeforeValidator(given)]
MEASURE_NAME = r"^[a-z][a-z0-9_]{0,63}$"
"""How a measure may be named."""


class StateRecord(Foreign):
    """One state of a run; ``name`` may be finer than ``type`` (AwaitingRetry, TimedOut)."""

    id: str
    type: str
    name: str
    timestamp: datetime
    message: str | None = None


class RunRecord(Foreign):
    """One flow run as the Prefect API tells it; ``state.id`` changes with every transition."""

    id: str
    name: str = ""
    flow_id: str | None = None
    flow_name: str = ""
    deployment_id: str | None = None
    deployment_name: str | None = None
    deployment_version: str | None = None
    work_pool: str | None = None
    work_queue: str | None = None
    worker: str | None = None
    run_count: int = 0
    state: StateRecord
    expected_start: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    duration_s: float | None = None
    parameters: JSONDict = Field(default_factory=dict)
    job_variables: JSONDict = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    created: datetime | None = None
    updated: datetime | None = None
    infrastructure_pid: str | None = None
    parent_task_run_id: str | None = None
    idempotency_key: str | None = None
    started_by: str | None = None
    """The automation that started it; None where a schedule, a parent or a person did."""
    blocks: tuple[str, ...] | None = None
    """Blocks that its code loaded, as ``type/name``; None where that is not known."""
    measures: dict[str, float] = Field(default_factory=dict)
    """What the run measured of itself; the store adds it when runs are read."""


class Measure(Value):
    """A number that a run measured: rows, memory_mb, or a name of its owner's."""

    flow_run_id: str
    name: Annotated[str, Field(pattern=MEASURE_NAME)]
    value: Annotated[float, Field(allow_inf_nan=False)]
    at: datetime


class TaskRunRecord(Foreign):
    """One task run; ``flow_run_run_count`` tells which attempt of the flow run it belongs to."""

    id: str
    name: str
    task_key: str = ""
    state: StateRecord | None = None
    run_count: int = 0
    flow_run_run_count: int = 0
    start: datetime | None = None
    end: datetime | None = None
    upstream: tuple[str, ...] = ()
    persisted: bool = False
    """True when its result is stored, so that a retry of the same flow run does not run it again."""
    storage_key: str | None = None
    """Where its result is stored."""
    storage_block_id: str | None = None
    """The block that stores it, None for the default storage of the machine it ran on."""
    child_flow_run_id: str | None = None
    """The sub-flow run that this task run stands for in its parent."""


class LogRecord(Foreign):
    """One log line of a run."""

    timestamp: datetime
    level: int
    message: str
    name: str = ""
    task_run_id: str | None = None


class Told(Foreign):
    """A part of a batch row; a field that is null is a field that was not given."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, told: Any) -> Any:
        return given(told)


class HistoryRun(Told):
    """One run of a batch history (contract of ``detect``)."""

    start: datetime
    expected_start: datetime | None = None
    state: str
    duration_s: float | None = None
    version: str | None = None
    retries: float | None = None
    rows: float | None = None
    memory_mb: float | None = None
    measures: Amounts = Field(default_factory=dict)


class Pause(Told):
    """A time in which a schedule was switched off; one without an end lasts."""

    from_: datetime = Field(alias="from")
    to: datetime | None = None


class RunSeries(Told):
    """The history of one deployment (contract of ``detect``)."""

    id: str
    deployment: str = ""
    work_pool: str | None = None
    schedule: JSONDict | None = None
    now: datetime | None = None
    paused: tuple[Pause, ...] = ()
    limits: Amounts = Field(default_factory=dict)
    # No default: a history that was left out must not pass for one in which nothing happened.
    runs: tuple[HistoryRun, ...]


class Anomaly(Value):
    """Something unusual, raised at ``start`` with only what was known then; info is no alarm."""

    start: datetime
    end: datetime
    kind: str
    severity: Severity
    score: float
    reason: str = ""
    eta: datetime | None = None


class Trend(Value):
    """A direction of a metric: change per day, two-sided p, and when the limit would be met.

    The limit is met between ``eta_early`` and ``eta_late`` in nine of ten cases if the line goes on.
    ``error`` is the back-test: the median share by which lines through older runs missed the level of the
    runs after them, over ``tests`` lines.
    """

    metric: str
    slope_per_day: float
    p_value: float
    n: int
    limit: float | None = None
    eta: datetime | None = None
    eta_early: datetime | None = None
    eta_late: datetime | None = None
    error: float | None = None
    tests: int = 0


class WorkflowMetric(Value):
    """One measured value."""

    name: str
    value: float
    unit: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    timestamp: datetime


class Deduction(Value):
    """One reason why health is below its best, and how many points it took."""

    component: str
    points: float
    reason: str


class HealthScore(Value):
    """Health of one deployment; ``score`` is None and status unknown below five finished runs."""

    workflow_id: str
    status: Literal["healthy", "degraded", "unhealthy", "unknown"]
    score: float | None = Field(default=None, ge=0, le=100)
    runs: int = 0
    deductions: tuple[Deduction, ...] = ()
    reason: str
    last_updated: datetime


class MonitoringRule(Value):
    """When to raise an alert; every field but the first six of the seed contract has a default."""

    rule_id: str = ""
    workflow_id: str
    metric_name: str
    condition: AlertCondition
    threshold: float
    alert_type: AlertType = AlertType.CUSTOM_METRIC
    severity: Severity = Severity.MEDIUM
    description: str = ""
    cooldown_minutes: float = 5
    is_active: bool = True
    objective: float = Field(default=0.99, gt=0, lt=1)
    """Of ``slo_burn``: the share of runs that is to succeed."""
    window_runs: int = Field(default=48, ge=4, le=500)
    """Of ``slo_burn``: the newest finished runs that count, and of them the newest twelfth, at least 3."""


class WorkflowAlert(Value):
    """An alert and its life: pending, firing, resolved."""

    alert_id: str
    fingerprint: str
    workflow_id: str
    alert_type: AlertType
    severity: Severity
    title: str
    description: str
    status: Literal["pending", "firing", "resolved"] = "firing"
    trigger_conditions: JSONDict = Field(default_factory=dict)
    current_values: dict[str, float | None] = Field(default_factory=dict)
    created_at: datetime
    acknowledged: bool = False
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolution_notes: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    """What it is about, for silences and groups: workflow, flow, work_pool, kind."""
    members: tuple[str, ...] = ()
    """Ids of the alerts that a group stands for."""
    muted_by: str | None = None
    """Why nobody is told: ``silence:ID``, ``group:ALERT`` or ``upstream:WORKFLOW``."""
    told: int = 0
    """How often people were told that it fires."""
    told_at: datetime | None = None
    escalated_at: datetime | None = None
    over_told: bool = False
    """People were told that it is over."""


class Silence(Value):
    """A time in which alerts that match are not told; they are still found, stored and shown.

    The patterns are globs. With ``cron`` it is a maintenance window that recurs between its start and end:
    from each time the expression fires for ``minutes``.
    """

    silence_id: str = ""
    workflow: str = "*"
    """Id of a workflow, its name as flow/deployment, or one of the two."""
    kind: str = "*"
    """Kind of an anomaly, id of a rule, or the type of the alert."""
    work_pool: str = "*"
    starts_at: datetime
    ends_at: datetime
    cron: str | None = None
    minutes: float = Field(default=60, gt=0, le=7 * 24 * 60)
    timezone: str = "UTC"
    reason: str = ""
    created_by: str = ""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("a silence ends after it starts")
        return self


class AlertPolicy(Value):
    """When people are told of alerts, and when once more."""

    escalate_after_s: float = Field(default=1800, ge=0)
    """A firing alert of severity high or critical that nobody acknowledged is escalated after so long."""
    repeat_s: float = Field(default=4 * 3600, ge=60)
    """A firing alert that nobody acknowledged is told again after so long."""
    most_per_hour: int = Field(default=20, ge=1)
    """Beyond this only critical alerts are told at once, the others in a digest."""
    most_at_once: int = Field(default=5, ge=1)
    """More alerts than this in one pass become one digest."""
    digest_after_s: float = Field(default=1800, ge=0)
    """What was held back is told in a digest after so long."""
    group_least: int = Field(default=3, ge=2)
    """Workflows of one work pool or flow that make one group."""
    group_window_s: float = Field(default=600, ge=0)
    """Alerts of a new group began within so long."""


class Observation(Value):
    """One thing seen in the outside world, by us, at a time."""

    at: datetime
    what: str
    ok: bool
    subject: str = ""
