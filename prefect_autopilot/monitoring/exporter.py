"""The names of the exporter people have already, PrefectHQ/prometheus-prefect-exporter, over the same memory.

Names, labels and types are those of its ``metrics/metrics.py``, so that dashboards go on. What would grow
without bound is bounded: total run time is told by flow with an empty ``flow_run_name``, and single runs are
told while they are under way and for three minutes after, a thousand at most. What was not seen is "null",
as it says it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prefect_autopilot.models import TERMINAL_STATES, RunRecord

UNKNOWN = "null"
TOLD_AFTER_END = timedelta(minutes=3)
MOST_RUNS = 1_000
MOST_FLOWS = 2_000
DEPLOYMENT = ("created", "flow_id", "flow_name", "deployment_id", "is_schedule_active", "deployment_name",
              "path", "work_pool_name", "work_queue_name", "status")  # fmt: skip
FLOW = ("created", "flow_id", "flow_name")
RUN = ("created", "deployment_id", "deployment_name", "end_time", "flow_id", "flow_name", "flow_run_id",
       "flow_run_name", "run_count", "start_time", "state_id", "state_name", "total_run_time",
       "work_queue_name")  # fmt: skip
POOL = ("created", "work_queue_id", "work_pool_id", "is_paused", "work_pool_name", "type", "status")
QUEUE = ("created", "work_queue_id", "is_paused", "work_queue_name", "priority", "type", "work_pool_id",
         "work_pool_name", "status", "healthy", "late_runs_count", "last_polled",
         "health_check_policy_maximum_late_runs",
         "health_check_policy_maximum_seconds_since_last_polled")  # fmt: skip


class ExporterMetrics(Collector):
    """What was observed of runs, under the exporter's names."""

    def __init__(self) -> None:
        self._deployments: dict[str, tuple[str, str]] = {}
        self._of: dict[str, dict[str, str]] = {}
        self._flows: dict[str, str] = {}
        self._total = 0
        self._run_time: dict[str, float] = defaultdict(float)
        self._pools: dict[str, set[str]] = defaultdict(set)
        self._recent: OrderedDict[str, RunRecord] = OrderedDict()
        self._now: datetime | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, run: RunRecord, *, first_time: bool) -> None:
        """Take a run; ``first_time`` tells that its end was not seen before."""
        self._recent[run.id] = run
        self._recent.move_to_end(run.id)
        while len(self._recent) > MOST_RUNS:
            self._recent.popitem(last=False)
        if len(self._flows) < MOST_FLOWS:
            self._flows.setdefault(run.flow_name, run.flow_id or UNKNOWN)
        if run.deployment_id is not None and (run.deployment_id in self._of or len(self._of) < MOST_FLOWS):
            self._of[run.deployment_id] = {
                "flow_id": run.flow_id or UNKNOWN,
                "work_pool_name": run.work_pool or UNKNOWN,
                "work_queue_name": run.work_queue or UNKNOWN,
            }
        if run.work_pool is not None and (run.work_pool in self._pools or len(self._pools) < MOST_FLOWS):
            self._pools[run.work_pool] |= {run.work_queue} if run.work_queue else set()
        if first_time and run.flow_name in self._flows:
            self._run_time[run.flow_name] += _seconds(run) or 0.0

    def set_workflows(self, names: Mapping[str, tuple[str, str]], runs: int) -> None:
        """Take flow and deployment ("" without one) by workflow id, and how many runs there are."""
        self._deployments = {ident: both for ident, both in names.items() if both[1]}
        for flow, _ in islice(names.values(), MOST_FLOWS):
            self._flows.setdefault(flow, UNKNOWN)
        self._total = runs

    def render(self, now: datetime) -> bytes:
        """Return the text exposition format."""
        self._now = now
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families, as the registry asks for them."""
        queues = [(pool, queue) for pool, held in self._pools.items() for queue in sorted(held)]
        for name, told, count in (
            ("deployments", "Prefect total deployments", len(self._deployments)),
            ("flows", "Prefect total flows", len(self._flows)),
            ("flow_runs", "Prefect total flow runs", self._total),
            ("work_pools", "Prefect total work pools", len(self._pools)),
            ("work_queues", "Prefect total work queues", len(queues)),
        ):
            yield GaugeMetricFamily(f"prefect_{name}_total", told, value=count)
        yield self._times()
        flows = [{"flow_id": ident, "flow_name": name} for name, ident in self._flows.items()]
        yield _info("flows", "Prefect flow info", FLOW, ((one, 1) for one in flows))
        yield _info("deployment", "Prefect deployment info", DEPLOYMENT, self._deployment_rows())
        yield _info("flow_runs", "Prefect flow runs info", RUN, self._run_rows())
        pools = [{"work_pool_name": pool} for pool in self._pools]
        yield _info("work_pools", "Prefect work pools info", POOL, ((one, 1) for one in pools))
        rows = [{"work_queue_name": queue, "work_pool_name": pool} for pool, queue in queues]
        yield _info("work_queues", "Prefect work queues info", QUEUE, ((one, 1) for one in rows))

    def _times(self) -> Metric:
        family = CounterMetricFamily(
            "prefect_flow_runs_total_run_time",
            "Prefect flow-run total run time in seconds",
            labels=("flow_id", "flow_name", "flow_run_name"),
        )
        for flow, took in self._run_time.items():
            family.add_metric((self._flows[flow], flow, ""), took)
        return family

    def _deployment_rows(self) -> Iterator[tuple[Mapping[str, str], float]]:
        for ident, (flow, name) in islice(self._deployments.items(), MOST_FLOWS):
            known = {"deployment_id": ident, "flow_name": flow, "deployment_name": name}
            yield known | self._of.get(ident, {}), 1

    def _run_rows(self) -> Iterator[tuple[Mapping[str, str], float]]:
        for run in self._recent.values():
            over = run.state.type in TERMINAL_STATES
            if over and (run.end is None or self._now is None or self._now - run.end > TOLD_AFTER_END):
                continue
            took = _seconds(run)
            yield (
                {
                    "created": _time(run.created),
                    "deployment_id": run.deployment_id or UNKNOWN,
                    "deployment_name": run.deployment_name or UNKNOWN,
                    "end_time": _time(run.end),
                    "flow_id": run.flow_id or UNKNOWN,
                    "flow_name": run.flow_name,
                    "flow_run_id": run.id,
                    "flow_run_name": run.name,
                    "run_count": str(run.run_count),
                    "start_time": _time(run.start),
                    "state_id": run.state.id,
                    "state_name": run.state.name,
                    "total_run_time": UNKNOWN if took is None else f"{took:g}",
                    "work_queue_name": run.work_queue or UNKNOWN,
                },
                float(run.state.name == "Running"),
            )


def _info(
    name: str, told: str, labels: Sequence[str], rows: Iterable[tuple[Mapping[str, str], float]]
) -> Metric:
    family = GaugeMetricFamily(f"prefect_info_{name}", told, labels=labels)
    for row, value in rows:
        family.add_metric([row.get(label, UNKNOWN) for label in labels], value)
    return family


def _time(at: datetime | None) -> str:
    return UNKNOWN if at is None else at.isoformat()


def _seconds(run: RunRecord) -> float | None:
    if run.duration_s is not None:
        return max(0.0, run.duration_s)
    if run.start is None or run.end is None:
        return None
    return max(0.0, (run.end - run.start).total_seconds())
