"""Prometheus metrics of all deployments, kept in memory: a scrape reads no API and no database."""

from __future__ import annotations

from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from prefect_autopilot.models import TERMINAL_STATES, HealthScore, RunRecord, WorkflowAlert
from prefect_autopilot.monitoring.exporter import ExporterMetrics
from prefect_autopilot.monitoring.exposition import Exposition
from prefect_autopilot.monitoring.measures import duration, lateness

PREFIX = "prefect_autopilot"
OTHER = "other"
OTHERS = (OTHER, OTHER, OTHER)
MOST_DEPLOYMENTS = 2000
REMEMBERED_RUNS = 50_000
RUN_LABELS = ("flow", "deployment", "work_pool")
WORKFLOW_LABELS = ("flow", "deployment")
Few = TypeVar("Few", Counter, Gauge)
Workflow = tuple[str, str]
"""Names of a workflow's flow and deployment, as the labels say them."""
DURATION_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
LATENESS_BUCKETS = (1, 5, 15, 60, 300, 900, 3600)


class FleetMetrics:
    """Counters, histograms and gauges in a registry of their own, so that two of them do not collide.

    Labels are bounded: after ``most_deployments`` deployments every further one counts as "other", and how
    many runs that concerned is a metric itself.
    """

    def __init__(self, *, most_deployments: int = MOST_DEPLOYMENTS) -> None:
        self.registry = CollectorRegistry()
        self._most = most_deployments
        self._known: set[tuple[str, str, str]] = set()
        self._names: dict[str, Workflow] = {}
        self._labelled: set[Workflow] = set()
        self._counted: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, tuple[tuple[str, str, str], datetime]] = {}
        self._health: set[Workflow] = set()
        self._few = CollectorRegistry()
        """What is written anew at each scrape; the metrics of every deployment are in ``_many``."""
        self._many = Exposition()
        self._runs = self._counter("flow_runs", "Finished flow runs.", (*RUN_LABELS, "state"), many=True)
        self._retries = self._counter(
            "flow_run_retries", "Retries of finished flow runs.", RUN_LABELS, many=True
        )
        self._missed = self._counter("schedule_missed", "Scheduled runs that did not come.", WORKFLOW_LABELS)
        self._anomalies = self._counter("anomalies", "Anomalies told.", (*WORKFLOW_LABELS, "kind"))
        self._dropped = self._counter("series_dropped", "Runs counted as other for want of labels.", ())
        self._poll_errors = self._counter("poll_errors", "Reads of the Prefect API that failed.", ())
        self._durations = self._histogram(
            "flow_run_duration_seconds", "Duration of completed runs.", DURATION_BUCKETS
        )
        self._lateness = self._histogram(
            "flow_run_lateness_seconds", "Start after the expected time.", LATENESS_BUCKETS
        )
        self._in_progress = self._gauge("flow_runs_in_progress", "Flow runs under way.", RUN_LABELS)
        self._oldest = self._gauge(
            "flow_run_oldest_running_seconds", "Time the longest-running run has been under way.", RUN_LABELS
        )
        self._score = self._gauge(
            "deployment_health_score", "Health from 0 to 1.", WORKFLOW_LABELS, many=True
        )
        self._firing = self._gauge("alerts_firing", "Alerts that are firing.", ("severity", "rule"))
        self._read = self._counter("runs_read", "Runs read that were new or newer than known.", ())
        self._odd = self._counter("odd_input", "What was odd about runs and measures read.", ("kind",))
        self._backlog = self._gauge("backlog", "1 while runs further back are still to be read.", ())
        self._tallied: dict[str, float] = {}
        self.exporter = ExporterMetrics()
        self._info = self._gauge("deployment_info", "Always 1; the labels tell.", RUN_LABELS, many=True)
        self._last_poll = self._gauge(
            "last_successful_poll_timestamp_seconds", "When the API was last read.", ()
        )
        self._polls = Histogram(
            f"{PREFIX}_poll_duration_seconds", "Reads of the Prefect API.", registry=self.registry
        )
        self._few.register(self._polls)

    def observe(self, run: RunRecord) -> None:
        """Count a run; seeing the same finished state again counts nothing."""
        labels = self._labels(run)
        if run.state.type == "RUNNING" and run.start is not None:
            self._running[run.id] = (labels, run.start)
            self.exporter.observe(run, first_time=False)
            return
        self._running.pop(run.id, None)
        if run.state.type not in TERMINAL_STATES or not self._first_time(run.state.id):
            return
        if labels == OTHERS:
            self._dropped.inc()
        self.exporter.observe(run, first_time=True)
        self._many.child(self._runs, *labels, run.state.type).inc()
        self._many.child(self._retries, *labels).inc(max(0, run.run_count - 1))
        if (took := duration(run)) is not None:
            self._many.child(self._durations, *labels).observe(took)
        if (late := lateness(run)) is not None:
            self._many.child(self._lateness, *labels).observe(late)

    def set_names(self, names: Mapping[str, Workflow], runs: int = 0) -> None:
        """Take the names of workflows by their ids; health and anomalies are labelled with them.

        ``runs`` is how many runs of theirs are known.
        """
        self._names = dict(names)
        self.exporter.set_workflows(names, runs)

    def set_tallies(self, totals: Mapping[str, float], *, backlog: bool) -> None:
        """Take the totals of what was read and of what was odd about it, whoever counted them."""
        for kind, total in totals.items():
            before = self._tallied.get(kind, 0.0)
            more = total - before if total >= before else total
            (self._read if kind == "runs_read" else self._odd.labels(kind)).inc(more)
        self._tallied = dict(totals)
        self._backlog.set(backlog)

    def set_last_poll(self, at: datetime) -> None:
        """Take when the API was last read, by whichever process."""
        self._last_poll.set(at.timestamp())

    def set_health(self, scores: Iterable[HealthScore]) -> None:
        """Replace the health scores; an unknown health is no series."""
        fresh: dict[Workflow, float] = {}
        for score in scores:
            if score.score is not None:
                labels = self._workflow(score.workflow_id)
                # Beyond the cap, and where names are not unique, the worst one is shown.
                fresh[labels] = min(fresh.get(labels, 1.0), score.score / 100)
        for gone in self._health - fresh.keys():
            self._many.remove(self._score, *gone)
        for labels, value in fresh.items():
            self._many.child(self._score, *labels).set(value)
        self._health = set(fresh)

    def set_alerts(self, alerts: Iterable[WorkflowAlert]) -> None:
        """Replace the counts of firing alerts that are not muted; each one's anomaly is counted once."""
        self._firing.clear()
        open_now = [alert for alert in alerts if alert.status == "firing"]
        for alert in open_now:
            self._count_anomaly(alert)
        firing = Tally(
            (alert.severity.value, str(alert.trigger_conditions.get("rule_id") or alert.alert_type.value))
            for alert in open_now
            # One pool down is one alert here as well: what its group stands for is muted.
            if alert.muted_by is None
        )
        for (severity, rule), count in firing.items():
            self._firing.labels(severity, rule).set(count)

    def observe_poll(self, duration_s: float, *, ok: bool, now: datetime) -> None:
        """Count one read of the Prefect API."""
        self._polls.observe(duration_s)
        if ok:
            self._last_poll.set(now.timestamp())
        else:
            self._poll_errors.inc()

    def render(self, now: datetime | None = None) -> bytes:
        """Return the text exposition format; with ``now`` the ages of running runs are brought up to date."""
        self._in_progress.clear()
        for labels, count in Tally(labels for labels, _ in self._running.values()).items():
            self._in_progress.labels(*labels).set(count)
        if now is not None:
            self._oldest.clear()
            oldest: dict[tuple[str, str, str], float] = {}
            for labels, start in self._running.values():
                oldest[labels] = max(oldest.get(labels, 0.0), (now - start).total_seconds())
            for labels, age in oldest.items():
                self._oldest.labels(*labels).set(age)
        return self._many.render() + generate_latest(self._few)

    def _labels(self, run: RunRecord) -> tuple[str, str, str]:
        labels = (run.flow_name, run.deployment_name or "", run.work_pool or "")
        if labels not in self._known:
            if len(self._known) >= self._most:
                return OTHERS
            self._known.add(labels)
            self._many.child(self._info, *labels).set(1)
        return labels

    def _workflow(self, ident: str) -> Workflow:
        labels = self._names.get(ident, ("", ident))
        if labels not in self._labelled:
            if len(self._labelled) >= self._most:
                return OTHER, OTHER
            self._labelled.add(labels)
        return labels

    def _count_anomaly(self, alert: WorkflowAlert) -> None:
        kind = alert.trigger_conditions.get("kind")
        if kind is None or not self._first_time(f"alert:{alert.alert_id}"):
            return
        labels = self._workflow(alert.workflow_id)
        self._anomalies.labels(*labels, str(kind)).inc()
        if kind == "missed_schedule":
            self._missed.labels(*labels).inc(max(1.0, alert.current_values.get("score") or 0.0))

    def _first_time(self, mark: str) -> bool:
        if mark in self._counted:
            return False
        self._counted[mark] = None
        if len(self._counted) > REMEMBERED_RUNS:
            self._counted.popitem(last=False)
        return True

    def _counter(self, name: str, text: str, labels: tuple[str, ...], *, many: bool = False) -> Counter:
        made = Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)
        return self._many.add(made, labels) if many else self._shown(made)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...], *, many: bool = False) -> Gauge:
        made = Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)
        return self._many.add(made, labels) if many else self._shown(made)

    def _shown(self, made: Few) -> Few:
        self._few.register(made)
        return made

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(f"{PREFIX}_{name}", text, RUN_LABELS, registry=self.registry, buckets=buckets)
        return self._many.add(made, RUN_LABELS)
