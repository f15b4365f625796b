"""Which workflows have to be judged in a pass, and from where; what did not change costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect_autopilot.models import (
    FAILURE_STATES,
    TERMINAL_STATES,
    HistoryRun,
    JSONDict,
    MonitoringRule,
    RunRecord,
    RunSeries,
    WorkflowAlert,
)
from prefect_autopilot.monitoring import alerts_of, baselines, evaluate, metrics
from prefect_autopilot.monitoring.broken import FAULTS, broken, mended
from prefect_autopilot.monitoring.detection import Judgement, Memory, resume
from prefect_autopilot.monitoring.groups import DOWN
from prefect_autopilot.monitoring.limits import limits_of
from prefect_autopilot.monitoring.measures import MOMENTARY, outcomes
from prefect_autopilot.monitoring.monitor import ATTRIBUTED_RUNS
from prefect_autopilot.monitoring.pools import LEAST_DEPLOYMENTS, Lean, together
from prefect_autopilot.monitoring.rules import EVERY_WORKFLOW, OUTCOMES
from prefect_autopilot.monitoring.sample import moment
from prefect_autopilot.store import KeptMonitor, MonitorMark, Store, Update, Workflow
from prefect_autopilot.store.encoding import digest
from prefect_autopilot.troubleshooting import diagnose_text

HISTORY_RUNS = 500
"""Runs that a monitor is built from, and that rules look back on."""
RECENT_RUNS = 60
"""Runs that are read where a monitor goes on."""
RECHECK = timedelta(hours=1)
"""A workflow in which nothing changed is judged again after so long."""


@dataclass(frozen=True)
class Case:
    """A workflow to be judged: what is known of it, and where its monitor goes on."""

    ident: str
    workflow: Workflow
    runs: tuple[RunRecord, ...]
    rules: tuple[MonitoringRule, ...]
    schedule: JSONDict | None
    settings: str
    kept: KeptMonitor | None
    update: Update | None = None
    """The last update of its deployment."""

    @property
    def name(self) -> str:
        """What people call the workflow, as Prefect writes it: flow/deployment."""
        return "/".join(filter(None, (self.workflow.flow_name, self.workflow.deployment_name)))

    def series(self, now: datetime) -> RunSeries:
        """Return the runs as the history that monitors read."""
        return series_of(self.ident, self.runs, now, schedule=self.schedule)


def workflow_id(workflow: Workflow) -> str:
    """Return what identifies a workflow: its deployment, or the flow where it runs without one."""
    return workflow.deployment_id or workflow.flow_name


def rules_for(ident: str, rules: Sequence[MonitoringRule]) -> tuple[MonitoringRule, ...]:
    """Return the active rules that apply to a workflow."""
    return tuple(rule for rule in rules if rule.is_active and rule.workflow_id in {ident, EVERY_WORKFLOW})


def settings_of(schedule: JSONDict | None, rules: Sequence[MonitoringRule]) -> str:
    """Return a digest of what a judgement depends on besides the runs."""
    return digest({"schedule": schedule, "rules": [rule.model_dump(mode="json") for rule in rules]})


def is_due(workflow: Workflow, mark: MonitorMark | None, settings: str, now: datetime) -> bool:
    """Tell whether to judge a workflow: its runs or settings changed, or time itself tells something."""
    if mark is None or now - mark.judged_at >= RECHECK or mark.settings != settings:
        return True
    if (mark.changed_at, mark.runs) != (workflow.changed_at, workflow.runs):
        return True
    return mark.next_at is not None and mark.next_at <= now


async def read_case(
    store: Store,
    workflow: Workflow,
    rules: tuple[MonitoringRule, ...],
    schedule: JSONDict | None,
    update: Update | None = None,
    *,
    anew: bool = False,
) -> Case:
    """Read what the judgement of a workflow needs; ``anew`` leaves what was kept of it aside."""
    ident = workflow_id(workflow)
    kept = None if anew else await store.kept_monitor(ident)
    goes_on = kept is not None and kept.through is not None and not rules
    runs = await history(store, workflow, RECENT_RUNS if goes_on else HISTORY_RUNS)
    if goes_on and kept is not None and kept.through is not None and len(runs) == RECENT_RUNS:
        oldest = runs[0].start or runs[0].expected_start
        if oldest is None or oldest > kept.through:
            runs = await history(store, workflow, HISTORY_RUNS)
    return Case(ident, workflow, runs, rules, schedule, settings_of(schedule, rules), kept, update)


async def history(store: Store, workflow: Workflow, limit: int = HISTORY_RUNS) -> tuple[RunRecord, ...]:
    """Return the newest stored runs of a workflow, oldest first."""
    runs = await store.runs(deployment_id=workflow.deployment_id, flow_name=workflow.flow_name, limit=limit)
    return tuple(run for run in runs if run.deployment_id == workflow.deployment_id)


def judge(
    cases: Sequence[Case], peers: Mapping[str, KeptMonitor], known: Sequence[WorkflowAlert], now: datetime
) -> tuple[list[WorkflowAlert], list[KeptMonitor], list[Case]]:
    """Return the alerts that changed, what is to be kept, and the cases whose kept state cannot be used.

    ``peers`` are the other workflows of the cases' work pools.
    """
    judged: dict[str, tuple[Case, RunSeries, Judgement]] = {}
    changed: list[WorkflowAlert] = []
    unusable = []
    of = defaultdict(list)
    for alert in known:
        of[alert.workflow_id].append(alert)
    for case in cases:
        memory = _memory(case)
        try:
            series = case.series(now)
            found = resume(series, memory)
        except FAULTS as error:
            if memory is None:
                changed += broken(case.ident, case.name, error, of[case.ident], now)
            else:
                unusable.append(case)  # perhaps what was kept is at fault: once more from the runs
            continue
        if found is None:
            unusable.append(case)
        else:
            judged[case.ident] = (case, series, found)
            changed += mended(case.ident, of[case.ident], now)
    _judge_pools(judged, peers)
    kept = []
    for ident, (case, series, found) in judged.items():
        anomalies = tuple(one.as_anomaly() for one in found.monitor.findings)
        mine = of[ident]
        found_now = list(alerts_of(ident, case.name, anomalies, mine, case.runs, now))
        if case.rules:
            measured = metrics(ident, case.runs, now)
            earlier = baselines(ident, case.runs, now) | {(ident, OUTCOMES): outcomes(case.runs)}
            found_now += evaluate(case.rules, measured, earlier, mine, now)
        changed += (_labelled(alert, case, series) for alert in found_now)
        kept.append(_keep(case, series, found, now))
    return changed, kept, unusable


def _labelled(alert: WorkflowAlert, case: Case, series: RunSeries) -> WorkflowAlert:
    """Return an alert with what silences and groups go by."""
    flow, deployment = case.workflow.flow_name, case.workflow.deployment_name
    kind = alert.trigger_conditions.get("kind") or alert.trigger_conditions.get("rule_id")
    labels = {
        "workflow": case.name,
        "flow": flow,
        "deployment": deployment or "",
        "work_pool": series.work_pool or "",
        "kind": str(kind or alert.alert_type.value),
    } | _shared(case, alert)
    told = {"labels": {name: value for name, value in labels.items() if value}}
    return alert.model_copy(update=told | _attributed(alert, case))


def _attributed(alert: WorkflowAlert, case: Case) -> dict[str, str]:
    """Return the words of an alert that began shortly after its deployment was updated."""
    update, began = case.update, alert.trigger_conditions.get("start")
    since = alert.created_at if began is None else datetime.fromisoformat(began)
    if update is None or alert.status == "resolved" or since < update.at:
        return {}
    runs = sum(run.start is not None and update.at <= run.start <= since for run in case.runs)
    told = f"Its deployment was updated at {update.at:%Y-%m-%d %H:%M} UTC ({', '.join(update.parts)})"
    if runs > ATTRIBUTED_RUNS or told in alert.description:
        return {}
    return {"description": f"{alert.description} {told}, {runs} runs before."}


def _shared(case: Case, alert: WorkflowAlert) -> dict[str, str]:
    """Return what the last failed run of an alert about failures may share with others: worker, service."""
    last = next((run for run in reversed(case.runs) if run.state.type in FAILURE_STATES), None)
    if last is None or alert.alert_type not in DOWN:
        return {}
    found = diagnose_text(last.state.message or "", last.state.type)
    return {"worker": last.worker or "", "service": found.service or ""}


def _memory(case: Case) -> Memory | None:
    kept = case.kept
    if kept is None or kept.through is None or kept.state is None:
        return None
    return Memory(kept.through, kept.state, _leans(kept))


def _leans(kept: KeptMonitor) -> tuple[Lean, ...]:
    return tuple(Lean(at, kept.workflow_id, errors, amount) for at, errors, amount in kept.leans)


def _judge_pools(
    judged: Mapping[str, tuple[Case, RunSeries, Judgement]], peers: Mapping[str, KeptMonitor]
) -> None:
    """Tell the monitors of a pool what only several of them show together."""
    pools: dict[str, dict[str, Iterable[Lean]]] = defaultdict(dict)
    for ident, kept in peers.items():
        if kept.work_pool is not None:
            pools[kept.work_pool][ident] = _leans(kept)
    for ident, (_, series, found) in judged.items():
        if series.work_pool is not None:
            pools[series.work_pool][ident] = found.leans
    for members in pools.values():
        if len(members) >= LEAST_DEPLOYMENTS:
            for ident, finding in together(lean for leans in members.values() for lean in leans):
                # A peer that is not judged now comes to the same finding when it is.
                if ident in judged:
                    judged[ident][2].monitor.tell(finding)


def _keep(case: Case, series: RunSeries, found: Judgement, now: datetime) -> KeptMonitor:
    concern = found.monitor.next_concern()
    under_way = any(run.state.type not in TERMINAL_STATES for run in case.runs)
    momentary = any(rule.metric_name in MOMENTARY for rule in case.rules)
    memory = found.memory
    return KeptMonitor(
        workflow_id=case.ident,
        work_pool=series.work_pool,
        judged_at=now,
        changed_at=case.workflow.changed_at,
        runs=case.workflow.runs,
        settings=case.settings,
        next_at=now if under_way or momentary else moment(concern) if concern < NEVER else None,
        through=memory.through if memory else None,
        leans=tuple((lean.at, lean.errors, lean.amount) for lean in found.leans),
        state=memory.state if memory else None,
    )


OF_RUNS = frozenset({"rows", "memory_mb"})
"""Measures that have channels of their own."""
NEVER = 1e11
"""Unix time after which nothing is awaited."""


def version_of(run: RunRecord) -> str | None:
    """Return what the run was made of, as far as is known: version of the deployment, image of the worker."""
    image = run.job_variables.get("image")
    parts = (run.deployment_version, f"image {image}" if image else None)
    return ", ".join(part for part in parts if part) or None


def series_of(
    ident: str, runs: Sequence[RunRecord], now: datetime, *, schedule: JSONDict | None = None
) -> RunSeries:
    """Return stored runs as the history that ``detect`` reads; runs that never started are left out."""
    history = []
    for run in runs:
        began = run.start or (run.expected_start if run.state.type in TERMINAL_STATES else None)
        if began is None:
            continue
        lasted = run.duration_s
        if lasted is None and run.start is not None and run.end is not None:
            lasted = (run.end - run.start).total_seconds()
        history.append(
            HistoryRun(
                start=began,
                expected_start=run.expected_start,
                state=run.state.type,
                duration_s=None if run.state.type == "RUNNING" else lasted,
                version=version_of(run),
                retries=max(0, run.run_count - 1),
                rows=run.measures.get("rows"),
                memory_mb=run.measures.get("memory_mb"),
                measures={name: value for name, value in run.measures.items() if name not in OF_RUNS},
            )
        )
    last = runs[-1] if runs else None
    return RunSeries(
        id=ident,
        deployment=(last.deployment_name or last.flow_name) if last else "",
        work_pool=last.work_pool if last else None,
        schedule=schedule,
        now=now,
        limits=limits_of(runs),
        runs=tuple(history),
    )
