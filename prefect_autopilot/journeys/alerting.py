"""Alerts → people: what is one cause, what is silenced, what is told; and what people answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import FAILURE_STATES, TERMINAL_STATES, AlertPolicy, Silence, WorkflowAlert
from prefect_autopilot.monitoring.groups import DOWN, explained, grouped, regroup
from prefect_autopilot.monitoring.silencing import check, silenced_by
from prefect_autopilot.monitoring.telling import acknowledged, decide
from prefect_autopilot.store import Store

LOOK_BACK_RUNS = 5
"""Newest runs of an upstream in which its last finished one is looked for."""
Upstreams = Mapping[str, Collection[str]]
"""Ids of the workflows that a workflow waits for."""


async def tell_people(
    store: Store,
    alerts: Sequence[WorkflowAlert],
    now: datetime,
    *,
    upstreams: Upstreams,
    policy: AlertPolicy,
) -> tuple[WorkflowAlert, ...]:
    """Group, mute and tell stored alerts; return the groups that are new or changed.

    1. find what has one cause and store the groups, 2. find what is silenced or explained, 3. queue what
    people are told, 4. store that it was told. Killed between 3 and 4, the same notices are queued again
    under the same ids.
    """
    current = {alert.alert_id: alert for alert in alerts}
    groups = []
    for group in regroup([alert for alert in alerts if alert.status != "resolved"], policy, now):
        if await _saved(store, group):
            groups.append(group)
            current[group.alert_id] = group
    muted = await _muted(store, tuple(current.values()), upstreams, now)
    told = decide(tuple(current.values()), muted, policy, now)
    for notice in told.notices:
        await store.queue_notice(notice, now)
    for alert in told.alerts:
        await _saved(store, alert)
    return tuple(groups)


async def acknowledge(store: Store, alert_id: str, by: str, now: datetime) -> WorkflowAlert:
    """Note that somebody takes an alert on, with all that it stands for; raises UnknownNameError."""
    alert = await store.acknowledge_alert(alert_id, by)
    for member in alert.members:
        if await store.alert(member) is not None:
            await store.acknowledge_alert(member, by)
    await store.audit(by, "alert.acknowledged", alert_id, {"title": alert.title}, now)
    if alert.told and alert.status != "resolved":
        await store.queue_notice(acknowledged(alert), now)
    return alert


async def silence(store: Store, wanted: Silence, now: datetime) -> Silence:
    """Store a silence or maintenance window; raises UsageError where its times cannot be used."""
    check(wanted)
    stored = await store.add_silence(wanted)
    detail = stored.model_dump(mode="json")
    await store.audit(stored.created_by or "somebody", "silence.added", stored.silence_id, detail, now)
    return stored


async def unsilence(store: Store, silence_id: str, by: str, now: datetime) -> None:
    """End a silence before its time; raises UnknownNameError."""
    await store.end_silence(silence_id)
    await store.audit(by, "silence.ended", silence_id, {}, now)


async def _saved(store: Store, alert: WorkflowAlert) -> bool:
    try:
        await store.save_alert(alert)
    except ConflictError:
        return False  # another watcher or flow wrote an alert of this fingerprint first and tells it
    return True


async def _muted(
    store: Store, alerts: Sequence[WorkflowAlert], upstreams: Upstreams, now: datetime
) -> dict[str, str]:
    silences = await store.silences(now)
    of_group = grouped(alerts)
    firing = [alert for alert in alerts if alert.status == "firing"]
    failing = await _failing(store, firing, upstreams) if upstreams else frozenset()
    muted = {}
    for alert in firing:
        if quiet := silenced_by(alert, silences, now):
            muted[alert.alert_id] = f"silence:{quiet.silence_id}"
        elif alert.alert_id in of_group:
            muted[alert.alert_id] = f"group:{of_group[alert.alert_id]}"
        elif upstream := explained(alert, upstreams, failing):
            muted[alert.alert_id] = f"upstream:{upstream}"
    return muted


async def _failing(store: Store, firing: Sequence[WorkflowAlert], upstreams: Upstreams) -> frozenset[str]:
    """Return the workflows before those that complain whose last run failed, or that are down themselves."""
    before: set[str] = set()
    ahead = [alert.workflow_id for alert in firing]
    while ahead:
        fresh = set(upstreams.get(ahead.pop(), ())) - before
        before |= fresh
        ahead += fresh
    down = {alert.workflow_id for alert in firing if alert.alert_type in DOWN} & before
    return frozenset(down | {ident for ident in before - down if await _last_failed(store, ident)})


async def _last_failed(store: Store, ident: str) -> bool:
    runs = await store.runs(deployment_id=ident, limit=LOOK_BACK_RUNS) or tuple(
        run for run in await store.runs(flow_name=ident, limit=LOOK_BACK_RUNS) if run.deployment_id is None
    )
    last = next((run for run in reversed(runs) if run.state.type in TERMINAL_STATES), None)
    return last is not None and last.state.type in FAILURE_STATES
