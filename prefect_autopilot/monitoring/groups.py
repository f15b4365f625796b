"""Alerts of one cause: those of one work pool or flow become one, and a failing upstream explains others."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from prefect_autopilot.models import AlertPolicy, AlertType, Severity, WorkflowAlert

PREFIX = "group:"
SHARED = ("work_pool", "worker", "service", "flow")
"""Labels by which alerts are grouped, the widest first."""
SHOWN = {"work_pool": "work pool", "worker": "worker", "service": "service", "flow": "flow"}
DOWN = frozenset({AlertType.WORKFLOW_STALLED, AlertType.ERROR_RATE_INCREASE, AlertType.CONNECTIVITY_ISSUE})
"""Failed, late and missed runs and retries of one pool have one cause: the pool."""
OWN_CAUSE = frozenset({AlertType.RESOURCE_EXHAUSTION, AlertType.SECURITY_ISSUE})
"""What a failed upstream does not explain."""
MOST_LISTED = 20
RANK = {severity: place for place, severity in enumerate(Severity)}
Key = tuple[str, str, str]
"""Label, its value, and the family of the alerts."""


def regroup(alerts: Sequence[WorkflowAlert], policy: AlertPolicy, now: datetime) -> tuple[WorkflowAlert, ...]:
    """Return the groups that are new, have grown or are over; ``alerts`` are all that are not resolved.

    Alerts of three workflows that share a work pool, or else a flow, and began within ten minutes of one
    another form a group. It takes in what follows, and is over when none of its alerts fires any more.
    """
    firing = [one for one in alerts if one.status == "firing" and not is_group(one)]
    groups = [one for one in alerts if is_group(one)]
    changed = [group for known in groups if (group := _continued(known, firing, now)) != known]
    taken = {ident for group in groups for ident in group.members}
    taken |= {ident for group in changed for ident in group.members}
    left = [one for one in firing if one.alert_id not in taken]
    open_keys = {group.fingerprint for group in groups}
    for label in SHARED:
        for key, members in _by_key(left, label).items():
            if _fingerprint(key) not in open_keys and _is_one_cause(members, policy):
                changed.append(_group(key, members, now))
                taken |= {one.alert_id for one in members}
        left = [one for one in left if one.alert_id not in taken]
    return tuple(changed)


def is_group(alert: WorkflowAlert) -> bool:
    """Tell whether an alert stands for others."""
    return alert.fingerprint.startswith(PREFIX)


def grouped(alerts: Iterable[WorkflowAlert]) -> dict[str, str]:
    """Return the id of the open group of each alert that has one."""
    return {
        member: group.alert_id
        for group in alerts
        if is_group(group) and group.status != "resolved"
        for member in group.members
    }


def explained(
    alert: WorkflowAlert,
    upstreams: Mapping[str, Collection[str]],
    failing: Collection[str],
) -> str | None:
    """Return the failing upstream workflow, near or far, that explains an alert; None without one."""
    if alert.alert_type in OWN_CAUSE:
        return None
    seen = {alert.workflow_id}
    ahead = [alert.workflow_id]
    while ahead:
        for upstream in sorted(upstreams.get(ahead.pop(), ())):
            if upstream in seen:
                continue
            if upstream in failing:
                return upstream
            seen.add(upstream)
            ahead.append(upstream)
    return None


def _continued(group: WorkflowAlert, firing: Sequence[WorkflowAlert], now: datetime) -> WorkflowAlert:
    key: Key = (group.labels["by"], group.labels["value"], group.labels["family"])
    mine = [one for one in firing if one.alert_id in group.members]
    if not mine:
        note = f"None of its {len(group.members)} alerts fires any more."
        return group.model_copy(update={"status": "resolved", "resolved_at": now, "resolution_notes": note})
    joined = [one for one in _by_key(firing, key[0]).get(key, ()) if one.alert_id not in group.members]
    if not joined:
        return group
    grown = _group(key, [*mine, *joined], now)
    kept = {"members": (*group.members, *(one.alert_id for one in joined))}
    worst = min(group.severity, grown.severity, key=RANK.__getitem__)
    return group.model_copy(
        update=kept | {"title": grown.title, "description": grown.description, "severity": worst}
    )


def _by_key(alerts: Iterable[WorkflowAlert], label: str) -> dict[Key, list[WorkflowAlert]]:
    found: dict[Key, list[WorkflowAlert]] = defaultdict(list)
    for one in alerts:
        if value := one.labels.get(label):
            found[label, value, "down" if one.alert_type in DOWN else one.alert_type.value].append(one)
    return found


def _is_one_cause(alerts: Sequence[WorkflowAlert], policy: AlertPolicy) -> bool:
    """Tell whether enough workflows began to complain within one window."""
    window = timedelta(seconds=policy.group_window_s)
    ordered = sorted(alerts, key=lambda one: one.created_at)
    return any(
        len(
            {
                one.workflow_id
                for one in ordered
                if first.created_at <= one.created_at <= first.created_at + window
            }
        )
        >= policy.group_least
        for first in ordered
    )


def _group(key: Key, members: Sequence[WorkflowAlert], now: datetime) -> WorkflowAlert:
    label, value, family = key
    mark = _fingerprint(key)
    workflows = sorted({_name(one) for one in members})
    first = min(members, key=lambda one: (one.created_at, one.alert_id))
    kinds = Counter(one.labels.get("kind") or one.alert_type.value for one in members)
    told = ", ".join(f"{kind.replace('_', ' ')} ({count})" for kind, count in kinds.most_common())
    return WorkflowAlert(
        alert_id=hashlib.sha256(f"{mark}@{first.alert_id}".encode()).hexdigest()[:32],
        fingerprint=mark,
        workflow_id=f"{label}:{value}",
        alert_type=Counter(one.alert_type for one in members).most_common(1)[0][0],
        severity=min((one.severity for one in members), key=RANK.__getitem__),
        title=f"{SHOWN[label]} {value}: {len(workflows)} workflows: {told}",
        description="\n".join(_listed(sorted(one.title for one in members))),
        labels={"by": label, "value": value, "family": family, label: value, "kind": "group"},
        members=tuple(one.alert_id for one in members),
        created_at=now,
    )


def _name(alert: WorkflowAlert) -> str:
    return alert.labels.get("workflow") or alert.workflow_id


def _listed(titles: Sequence[str]) -> Iterator[str]:
    yield from (f"- {title}" for title in titles[:MOST_LISTED])
    if len(titles) > MOST_LISTED:
        yield f"- and {len(titles) - MOST_LISTED} more"


def _fingerprint(key: Key) -> str:
    return f"{PREFIX}{':'.join(key)}"
