"""Source and history in, a plan with reasons and new source out: the values of the fourth journey."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from prefect_autopilot.models.base import Foreign, Strategy, Value


class Timing(Foreign):
    """Durations of the whole flow in seconds."""

    n: int = 0
    p50_s: float | None = None
    p95_s: float | None = None


class TaskTiming(Timing):
    """What is known of one task over ``n`` runs of its flow."""

    p5_s: float | None = None
    calls_per_run: float | None = None
    failures: int = 0
    retries: int = 0
    cpu_share: float | None = None
    """Median share of its time that it computes; None where nobody measured it."""
    repeat_share: float | None = None
    """Share of its calls that were given what an earlier one was given; None where nobody told."""


class FlowHistory(Foreign):
    """Measured durations of a flow and its tasks (contract of ``optimize --history``)."""

    flow: Timing = Timing()
    runs_per_day: float | None = None
    failures: int = 0
    """Failed or crashed among the last ``flow.n + failures`` runs."""
    tasks: dict[str, TaskTiming] = Field(default_factory=dict)


class Machine(Foreign):
    """A size of worker that can be had; ``price`` is for an hour."""

    name: str = Field(min_length=1)
    cpus: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    price: float = Field(ge=0)


class ServicePrice(Foreign):
    """What a thousand units of a service cost; services with one ``job`` can stand for one another."""

    service: str = Field(min_length=1)
    job: str = Field(min_length=1)
    price: float = Field(ge=0)
    connected: bool = False


class PriceTable(Foreign):
    """The owner's prices, from a TOML file; nothing about money is said without it."""

    currency: str = Field(min_length=1)
    as_of: str = ""
    worker: str = ""
    """Name of the machine that flows run on now."""
    peak_memory_gb: float | None = Field(default=None, gt=0)
    """Highest memory seen on it; without that no smaller memory is proposed."""
    machines: tuple[Machine, ...] = ()
    services: tuple[ServicePrice, ...] = ()


class OptimizerSettings(Value):
    """``[tool.prefect-autopilot]`` of a project's pyproject.toml."""

    strategy: Strategy | None = None
    disable: frozenset[str] = frozenset()
    """Rules that are left out."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths, relative to the file of settings, that are left alone."""
    unsafe: bool = False
    max_workers: int = Field(default=4, ge=1, le=64)
    """Calls of one fan-out at a time."""
    prices: str = ""
    """Path of the price table, relative to the file of settings."""


class Rewrite(Value):
    """One edit; ``expected_saving_s`` is None without history, ``undo`` says how to take it back."""

    rule: str
    line: int
    reason: str
    risk: Literal["safe", "opt_in"] = "safe"
    evidence: tuple[str, ...] = ()
    preconditions: tuple[str, ...] = ()
    """What the source cannot show and the owner should know to hold."""
    expected_saving_s: float | None = None
    saving_range_s: tuple[float, float] | None = None
    """The saving of a run whose tasks all take their 5th percentile, and their 95th."""
    saving_n: int = 0
    """Runs that the saving was computed from."""
    undo: str = ""


class Advice(Value):
    """Something worth doing that no edit of the source alone does or proves: it stays a proposal."""

    rule: str
    line: int
    reason: str
    how: str
    """What to do, with the lines to write."""
    risk: Literal["opt_in"] = "opt_in"
    evidence: tuple[str, ...] = ()
    preconditions: tuple[str, ...] = ()
    expected_saving_s: float | None = None
    saving_range_s: tuple[float, float] | None = None
    saving_n: int = 0
    saving_per_month: float | None = None
    """In ``currency``, from the owner's price table."""
    currency: str = ""
    undo: str = ""


class Rejection(Value):
    """A candidate that was left alone and what blocks it."""

    rule: str
    line: int
    reason: str


class Bar(Value):
    """One run of a task in a predicted timeline, in seconds from the beginning of the flow."""

    name: str
    start_s: float
    end_s: float


class Timeline(Value):
    """When the tasks of a flow are predicted to run; without ``measured`` in units, not in seconds."""

    bars: tuple[Bar, ...]
    makespan_s: float
    work_s: float
    """All durations together."""
    critical_path_s: float
    """The longest chain of values: no rewrite can make the flow shorter."""
    measured: bool = True


class Prediction(Value):
    """Seconds a flow is predicted to take before and after a plan, and two bounds that no plan beats."""

    before_s: float
    after_s: float
    critical_path_s: float
    work_bound_s: float
    """All durations, shared evenly by the workers."""


class Proof(Value):
    """Original against rewritten, run for real; times are medians over ``n`` runs, in seconds."""

    equal: bool
    n: int
    before_s: float
    after_s: float
    before_range_s: tuple[float, float] | None = None
    """Fastest and slowest of the ``n`` runs of the original."""
    after_range_s: tuple[float, float] | None = None
    checks: tuple[str, ...] = ()
    reason: str


class OptimizationPlan(Value):
    """The result of an analysis; ``source`` is byte-identical to the input when nothing changes."""

    file: str
    strategy: Strategy
    changed: bool
    edits: tuple[Rewrite, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    advice: tuple[Advice, ...] = ()
    diff: str = ""
    source: str
    prediction: Prediction | None = None
    """None without a history of every task."""
    proof: Proof | None = None
    """None where nobody asked for one."""


class RunSample(Value):
    """Completed runs of a flow by their durations in seconds, and how many others failed."""

    durations_s: tuple[float, ...] = ()
    failures: int = 0
    elsewhere: int = 0
    """Further runs that failed for a cause outside the flow, such as a service that was down for all."""

    @property
    def runs(self) -> int:
        """All that say something of the flow."""
        return len(self.durations_s) + self.failures


class AppliedRewrite(Value):
    """A rewrite that was written, watched until its runs show whether it stays."""

    rewrite_id: str
    path: str
    backup: str
    before_sha256: str
    after_sha256: str
    flow_name: str
    deployment_id: str | None = None
    version_before: str | None = None
    """The deployment's version before, put back on revert."""
    rules: tuple[str, ...] = ()
    applied_by: str = ""
    applied_at: datetime
    baseline: RunSample = RunSample()
    """The last runs before."""
    status: Literal["watching", "reverting", "kept", "reverted", "left"] = "watching"
    """left: the file was changed by somebody else, so nothing was put back."""
    reason: str = ""
    ended_at: datetime | None = None
