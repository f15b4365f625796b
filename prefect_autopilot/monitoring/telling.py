"""What people are told of alerts, and when: each alert once, then reminders, escalation and its end.

Level-triggered: the decision depends on the alerts as they stand, so what a killed process did not tell is
told by the next pass, and what a silence held back is told when it ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from prefect_autopilot.models import AlertPolicy, IncidentEvent, Notice, Severity, WorkflowAlert

HOUR = timedelta(hours=1)
FORGOTTEN = timedelta(days=1)
"""The end of an alert is not told when it lies so far back."""
PAGED = frozenset({Severity.CRITICAL, Severity.HIGH})
"""Severities that are escalated."""
News = Literal["new", "again", "escalated", "over"]


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be sent now, and the alerts as they are once it is queued."""

    notices: tuple[Notice, ...] = ()
    alerts: tuple[WorkflowAlert, ...] = ()


def decide(
    alerts: Sequence[WorkflowAlert], muted: Mapping[str, str], policy: AlertPolicy, now: datetime
) -> Told:
    """Return what to tell of these alerts, and the alerts that change by it.

    ``alerts`` are the open ones and those resolved within the last day; ``muted`` says by alert id why
    nobody is to be told. The end of what was told is told even then: an incident must not stay open.
    """
    marked = [_muted(alert, muted.get(alert.alert_id)) for alert in alerts]
    due = [(alert, news) for alert in marked if (news := _news(alert, policy, now)) is not None]
    budget = policy.most_per_hour - sum(_told_lately(alert, now) for alert in alerts)
    at_once: list[tuple[WorkflowAlert, News]] = []
    held: list[tuple[WorkflowAlert, News]] = []
    for alert, news in sorted(due, key=lambda entry: list(Severity).index(entry[0].severity)):
        if alert.severity is Severity.CRITICAL or len(at_once) < budget:
            at_once.append((alert, news))
        else:
            held.append((alert, news))
    if held and any(_waits_since(*entry) <= now - timedelta(seconds=policy.digest_after_s) for entry in held):
        at_once, held = [*at_once, *held], []
        batches = [at_once]
    elif len(at_once) > policy.most_at_once:
        batches = [at_once]
    else:
        batches = [[entry] for entry in at_once]
    after = {alert.alert_id: _after(alert, news, now) for alert, news in at_once}
    changed = (after.get(alert.alert_id, alert) for alert in marked)
    return Told(
        notices=tuple(_notice(batch) for batch in batches),
        alerts=tuple(new for new, old in zip(changed, alerts, strict=True) if new != old),
    )


def acknowledged(alert: WorkflowAlert) -> Notice:
    """Return what is told when somebody takes an alert on."""
    by = alert.acknowledged_by or "somebody"
    event = _event(alert, "acknowledge")
    return Notice(
        notice_id=_digest(f"{alert.alert_id}:acknowledged"),
        outcome="info",
        title=f"Acknowledged: {alert.title}",
        text=f"{by} has seen it; it is neither repeated nor escalated.",
        deployment_id=alert.workflow_id,
        incidents=(event,),
        escalated=alert.escalated_at is not None,
    )


def _muted(alert: WorkflowAlert, why: str | None) -> WorkflowAlert:
    if alert.status == "resolved" or alert.muted_by == why:
        return alert
    return alert.model_copy(update={"muted_by": why})


def _news(alert: WorkflowAlert, policy: AlertPolicy, now: datetime) -> News | None:
    if alert.status == "resolved":
        # What was only pending, or muted all the time, was nobody's concern; nor is its end.
        lately = alert.resolved_at is not None and alert.resolved_at > now - FORGOTTEN
        return "over" if alert.told and not alert.over_told and lately else None
    if alert.status == "pending" or alert.muted_by is not None:
        return None
    if alert.told_at is None:
        return "new"
    if alert.acknowledged:
        return None
    waited = (now - alert.told_at).total_seconds()
    if alert.severity in PAGED and alert.escalated_at is None and waited >= policy.escalate_after_s:
        return "escalated"
    return "again" if waited >= policy.repeat_s else None


def _told_lately(alert: WorkflowAlert, now: datetime) -> int:
    firing = alert.told_at is not None and alert.told_at > now - HOUR
    over = alert.over_told and alert.resolved_at is not None and alert.resolved_at > now - HOUR
    return int(firing) + int(over)


def _waits_since(alert: WorkflowAlert, news: News) -> datetime:
    if news == "over" and alert.resolved_at is not None:
        return alert.resolved_at
    return alert.told_at or alert.created_at


def _after(alert: WorkflowAlert, news: News, now: datetime) -> WorkflowAlert:
    if news == "over":
        return alert.model_copy(update={"over_told": True})
    told = {"told": alert.told + 1, "told_at": now}
    return alert.model_copy(update=told | ({"escalated_at": now} if news == "escalated" else {}))


PREFIXES: dict[News, str] = {"new": "", "again": "Still: ", "escalated": "Escalated: ", "over": "Over: "}


def _notice(batch: Sequence[tuple[WorkflowAlert, News]]) -> Notice:
    """Return one notice of a batch; its id depends on what it tells, not on when."""
    events = tuple(_event(alert, "resolve" if news == "over" else "trigger") for alert, news in batch)
    mark = ",".join(sorted(f"{alert.alert_id}:{news}:{alert.told}" for alert, news in batch))
    outcome: Literal["escalated", "info"] = (
        "escalated" if any(news == "escalated" for _, news in batch) else "info"
    )
    is_escalated = outcome == "escalated" or any(alert.escalated_at is not None for alert, _ in batch)
    if len(batch) == 1:
        ((alert, news),) = batch
        return Notice(
            notice_id=_digest(mark),
            outcome=outcome,
            title=f"{PREFIXES[news]}{alert.title}",
            text=(alert.resolution_notes or "") if news == "over" else _text(alert, news),
            deployment_id=alert.workflow_id,
            incidents=events,
            escalated=is_escalated,
        )
    lines = [f"- {alert.severity.value}, {_standing(alert, news)}: {alert.title}" for alert, news in batch]
    return Notice(
        notice_id=_digest(mark),
        outcome=outcome,
        title=f"{len(batch)} alerts changed",
        text="\n".join(lines),
        incidents=events,
        escalated=is_escalated,
    )


def _text(alert: WorkflowAlert, news: News) -> str:
    if news == "new":
        return alert.description
    since = f"It fires since {alert.created_at:%Y-%m-%d %H:%M} UTC and nobody acknowledged it."
    return f"{alert.description}\n{since}"


def _standing(alert: WorkflowAlert, news: News) -> str:
    return news if news in {"again", "escalated"} else alert.status


def _event(alert: WorkflowAlert, action: Literal["trigger", "acknowledge", "resolve"]) -> IncidentEvent:
    return IncidentEvent(
        action=action,
        key=alert.alert_id,
        title=alert.title,
        severity=alert.severity,
        source=alert.labels.get("workflow") or alert.workflow_id,
    )


def _digest(mark: str) -> str:
    return hashlib.sha256(mark.encode()).hexdigest()[:32]
