"""What rules would have done over the runs that were seen: how often each would have fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prefect_autopilot.models import MonitoringRule, RunRecord, WorkflowAlert
from prefect_autopilot.monitoring.measures import baselines, finished, metrics, outcomes
from prefect_autopilot.monitoring.rules import EVERY_WORKFLOW, OUTCOMES, evaluate, fingerprint

LOOK_BACK = 500
"""Runs that a rule looks back on, as it does when it is evaluated for people."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rule would have done for a workflow: the moments it would have fired, and how long in all."""

    rule: MonitoringRule
    workflow_id: str
    fired: tuple[datetime, ...]
    firing_s: float
    runs: int
    """Runs after whose end the rule was evaluated."""


def rehearse(
    rules: Iterable[MonitoringRule], histories: Mapping[str, Sequence[RunRecord]], since: datetime
) -> tuple[Rehearsed, ...]:
    """Return what each rule would have done since a moment, for each workflow it applies to.

    The rules are evaluated whenever a run ends, with what was known then; a real evaluation may come some
    seconds later.
    """
    found = []
    known_rules = [rule for rule in rules if rule.is_active]
    for ident, runs in histories.items():
        applying = [rule for rule in known_rules if rule.workflow_id in {ident, EVERY_WORKFLOW}]
        if applying:
            found += _replayed(ident, applying, runs, since)
    return tuple(found)


def _replayed(
    ident: str, rules: Sequence[MonitoringRule], runs: Sequence[RunRecord], since: datetime
) -> list[Rehearsed]:
    ended = sorted(
        ((run.end or run.state.timestamp, run.id, run) for run in finished(runs)), key=lambda one: one[:2]
    )
    alerts: dict[str, WorkflowAlert] = {}
    fired: dict[str, dict[str, datetime]] = {fingerprint(rule, ident): {} for rule in rules}
    over: dict[str, datetime] = {}
    evaluated = 0
    last = since
    for place, (now, _, _) in enumerate(ended):
        if now < since:
            continue
        evaluated, last = evaluated + 1, now
        known = [run for _, _, run in ended[max(0, place + 1 - LOOK_BACK) : place + 1]]
        earlier = baselines(ident, known, now) | {(ident, OUTCOMES): outcomes(known)}
        for alert in evaluate(rules, metrics(ident, known, now), earlier, alerts.values(), now):
            alerts[alert.fingerprint] = alert
            if alert.status == "firing":
                fired[alert.fingerprint].setdefault(alert.alert_id, now)
            elif alert.status == "resolved":
                over[alert.alert_id] = now
    return [
        Rehearsed(
            rule=rule,
            workflow_id=ident,
            fired=tuple(moments.values()),
            firing_s=sum((over.get(one, last) - at).total_seconds() for one, at in moments.items()),
            runs=evaluated,
        )
        for rule in rules
        for moments in (fired[fingerprint(rule, ident)],)
    ]
