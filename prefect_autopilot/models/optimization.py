"""Source and history in, a plan with reasons and new source out: the values of the fourth journey."""

from __future__ import annotations

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

    calls_per_run: float | None = None
    failures: int = 0
    retries: int = 0
    cpu_share: float | None = None
    repeat_share: float | None = None


class FlowHistory(Foreign):
    """Measured durations of a flow and its tasks (contract of ``optimize --history``)."""

    flow: Timing = Timing()
    tasks: dict[str, TaskTiming] = Field(default_factory=dict)


class Rewrite(Value):
    """One edit; ``expected_saving_s`` is None without history, ``undo`` says how to take it back."""

    rule: str
    line: int
    reason: str
    risk: Literal["safe", "opt_in"] = "safe"
    evidence: tuple[str, ...] = ()
    expected_saving_s: float | None = None
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


class OptimizationPlan(Value):
    """The result of an analysis; ``source`` is byte-identical to the input when nothing changes."""

    file: str
    strategy: Strategy
    changed: bool
    edits: tuple[Rewrite, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    diff: str = ""
    source: str
    prediction: Prediction | None = None
    """None without a history of every task."""


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
