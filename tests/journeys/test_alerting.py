"""Alerts → people, over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.alerting import acknowledge, silence, tell_people, unsilence
from prefect_autopilot.journeys.deployed import Deployed, read_deployed
from prefect_autopilot.models import AlertPolicy, JSONDict, RunRecord, Silence, StateRecord, WorkflowAlert
from prefect_autopilot.store import Store

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


def runs(now: datetime, states: str, name: str = "a", **fields: Any) -> list[RunRecord]:
    """One run an hour, the last one ten minutes ago; . is good, F failed."""
    found = []
    for i, letter in enumerate(states):
        at = now - timedelta(hours=len(states) - 1 - i, minutes=10)
        state = "FAILED" if letter == "F" else "COMPLETED"
        base: dict[str, Any] = {
            "id": f"{name}-{i}",
            "flow_name": f"flow-{name}",
            "deployment_id": name,
            "deployment_name": "prod",
            "run_count": 1,
            "state": StateRecord(id=f"{name}-s{i}", type=state, name=state.title(), timestamp=at),
            "start": at - timedelta(seconds=60 + i % 5),
            "end": at,
            "duration_s": 60.0 + i % 5,
        }
        found.append(RunRecord.model_validate(base | fields))
    return found


async def queued(store: Store, now: datetime) -> list[str]:
    return [one.notice.title for one in await store.pending_notices(now, "webhook")]


async def test_ten_deployments_of_a_pool_that_fail_are_one_notice_and_one_resolution(
    store: Store, now: datetime
) -> None:
    for i in range(10):
        await store.upsert_runs(runs(now, "." * 40 + "FFF", f"w{i}", work_pool="docker"))
    changed = await observe.raise_alerts(store, (), now)
    assert await queued(store, now) == ["work pool docker: 10 workflows: consecutive failures (10)"]
    (group,) = [alert for alert in changed if alert.members]
    stored = await store.alerts(open_only=True)
    assert sum(alert.muted_by == f"group:{group.alert_id}" for alert in stored) == 10
    later = now + timedelta(hours=7)
    for i in range(10):
        good = runs(later, "." * 6, f"w{i}", work_pool="docker")
        await store.upsert_runs([run.model_copy(update={"id": f"later-{run.id}"}) for run in good])
    await observe.raise_alerts(store, (), later)
    assert await store.alerts(open_only=True) == ()
    assert (await queued(store, later))[1:] == [
        "Over: work pool docker: 10 workflows: consecutive failures (10)"
    ]


async def test_a_pass_again_tells_nothing_more(store: Store, now: datetime) -> None:
    for i in range(4):
        await store.upsert_runs(runs(now, "." * 40 + "FFF", f"w{i}", work_pool="docker"))
    for minute in range(5):
        await observe.raise_alerts(store, (), now + minute * MINUTE)
    assert len(await queued(store, now)) == 1


async def test_what_a_killed_pass_stored_and_did_not_tell_is_told_by_the_next(
    store: Store, now: datetime
) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    (alert,) = await observe.raise_alerts(store, (), now)
    # As the store stands when the process dies between storing the alert and queueing its notice.
    async with Store.open("sqlite://") as another:
        await another.save_alert(alert)
        await tell_people(another, [alert], now + MINUTE, upstreams={}, policy=AlertPolicy())
        assert await queued(another, now) == await queued(store, now) == ["flow-a/prod: consecutive failures"]


async def test_a_silenced_alert_is_stored_and_not_told_until_the_silence_ends(
    store: Store, now: datetime
) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    await silence(
        store, Silence(workflow="flow-a/*", starts_at=now, ends_at=now + HOUR, created_by="ana"), now
    )
    await observe.raise_alerts(store, (), now)
    (alert,) = await store.alerts(open_only=True)
    assert (alert.muted_by or "").startswith("silence:")
    assert await queued(store, now) == []
    await observe.raise_alerts(store, (), now + HOUR)
    assert await queued(store, now + HOUR) == ["flow-a/prod: consecutive failures"]


async def test_a_silence_that_is_ended_early_holds_nothing_back(store: Store, now: datetime) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    made = await silence(store, Silence(starts_at=now, ends_at=now + HOUR), now)
    assert await store.silences(now) == (made,)
    await unsilence(store, made.silence_id, "ana", now)
    assert await store.silences(now) == ()
    await observe.raise_alerts(store, (), now)
    assert len(await queued(store, now)) == 1
    assert [entry.action for entry in await store.audit_trail()] == ["silence.added", "silence.ended"]


async def test_an_unknown_silence_cannot_be_ended(store: Store, now: datetime) -> None:
    with pytest.raises(UnknownNameError):
        await unsilence(store, "silence-x", "ana", now)


async def test_a_window_nobody_can_read_is_not_stored(store: Store, now: datetime) -> None:
    with pytest.raises(UsageError):
        await silence(store, Silence(starts_at=now, ends_at=now + HOUR, cron="often"), now)
    assert await store.silences(now) == ()


async def test_the_same_silence_twice_is_one(store: Store, now: datetime) -> None:
    wanted = Silence(starts_at=now, ends_at=now + HOUR)
    assert await silence(store, wanted, now) == await silence(store, wanted, now)
    assert len(await store.silences(now)) == 1


async def test_ended_silences_are_not_returned_and_are_deleted_in_time(store: Store, now: datetime) -> None:
    await store.add_silence(Silence(starts_at=now - HOUR, ends_at=now))
    assert await store.silences(now) == ()
    assert len(await store.silences(now - MINUTE)) == 1
    await store.prune(now + MINUTE)
    assert await store.silences(now - MINUTE) == ()


async def test_an_acknowledged_alert_is_not_escalated(store: Store, now: datetime) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    (alert,) = await observe.raise_alerts(store, (), now)
    await acknowledge(store, alert.alert_id, "ana", now + MINUTE)
    await observe.raise_alerts(store, (), now + 9 * HOUR)
    assert [title for title in await queued(store, now) if title.startswith(("Still", "Escalated"))] == []
    assert "Acknowledged: flow-a/prod: consecutive failures" in await queued(store, now)


async def test_nobody_reacts_and_it_is_escalated_once_and_then_repeated(store: Store, now: datetime) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    for half_hours in range(20):
        await observe.raise_alerts(store, (), now + half_hours * 30 * MINUTE)
    of_failures = [title for title in await queued(store, now + HOUR) if "failures" in title]
    assert of_failures[:2] == [
        "flow-a/prod: consecutive failures",
        "Escalated: flow-a/prod: consecutive failures",
    ]
    assert of_failures[2:] == ["Still: flow-a/prod: consecutive failures"] * 2


async def test_who_acknowledges_a_group_acknowledges_what_it_stands_for(store: Store, now: datetime) -> None:
    for i in range(3):
        await store.upsert_runs(runs(now, "." * 40 + "FFF", f"w{i}", work_pool="docker"))
    (group,) = [alert for alert in await observe.raise_alerts(store, (), now) if alert.members]
    await acknowledge(store, group.alert_id, "ana", now)
    assert all(alert.acknowledged_by == "ana" for alert in await store.alerts(open_only=True))


async def test_an_acknowledgement_survives_a_writer_that_did_not_know_of_it(
    store: Store, now: datetime
) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "FFF"))
    (alert,) = await observe.raise_alerts(store, (), now)
    await store.acknowledge_alert(alert.alert_id, "ana")
    await store.save_alert(alert.model_copy(update={"told": 7}))
    found = await store.alert(alert.alert_id)
    assert found is not None
    assert (found.acknowledged, found.acknowledged_by, found.told) == (True, "ana", 7)


async def test_an_unknown_alert_cannot_be_acknowledged(store: Store, now: datetime) -> None:
    with pytest.raises(UnknownNameError):
        await acknowledge(store, "alert-x", "ana", now)


async def test_a_failed_upstream_explains_what_waits_for_it(store: Store, now: datetime) -> None:
    await store.upsert_runs(runs(now, "." * 40 + "F", "upstream"))
    late = WorkflowAlert.model_validate(
        {
            "alert_id": "late", "fingerprint": "f", "workflow_id": "downstream", "created_at": now,
            "alert_type": "workflow_stalled", "severity": "high", "title": "late", "description": "",
        }
    )  # fmt: skip
    await store.save_alert(late)
    upstreams = {"downstream": frozenset({"upstream"})}
    await tell_people(store, [late], now, upstreams=upstreams, policy=AlertPolicy())
    stored = await store.alert("late")
    assert stored is not None
    assert stored.muted_by == "upstream:upstream"
    assert await queued(store, now) == []
    await store.upsert_runs(runs(now + HOUR, "." * 42, "upstream")[-1:])
    await tell_people(store, [stored], now + HOUR, upstreams=upstreams, policy=AlertPolicy())
    assert await queued(store, now) == ["late"]


# --- which waits for which ------------------------------------------------------------------------------

UP, DOWN = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


class Server:
    """A Prefect of two deployments."""

    def __init__(self, tags: Sequence[str] = (), automations: Sequence[JSONDict] = ()) -> None:
        self.tags = list(tags)
        self._automations = tuple(automations)
        self.calls = 0

    async def deployments_by_id(self, ids: Sequence[str]) -> tuple[JSONDict, ...]:
        self.calls += 1
        return tuple({"id": one, "tags": self.tags if one == DOWN else []} for one in ids)

    async def automations(self) -> tuple[JSONDict, ...]:
        self.calls += 1
        return self._automations


def automation(**trigger: Any) -> JSONDict:
    when: JSONDict = {
        "expect": ["prefect.flow-run.Completed"],
        "match_related": {"prefect.resource.id": [f"prefect.deployment.{UP}"]},
    }
    return {"trigger": when | trigger, "actions": [{"type": "run-deployment", "deployment_id": DOWN}]}


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Server(), {}),
        (Server(["after:flow-up/prod"]), {DOWN: {UP}}),
        (Server(["after: flow-up"]), {DOWN: {UP}}),
        (Server([f"after:{UP}"]), {DOWN: {UP}}),
        (Server(["after:nobody", "nightly"]), {}),
        (Server(["after:flow-down/prod"]), {}),
        (Server(automations=[automation()]), {DOWN: {UP}}),
        (Server(automations=[automation(expect=["prefect.flow-run.Failed"])]), {}),
        (Server(automations=[automation(match_related=None)]), {}),
        (Server(automations=[{"trigger": None, "actions": None}]), {}),
    ],
    ids=["none", "tag", "flow", "id", "unknown", "itself", "automation", "on failure", "of any", "odd"],
)
async def test_dependencies_come_from_tags_and_automations(
    store: Store, now: datetime, server: Server, expected: dict[str, set[str]]
) -> None:
    for name, ident in (("up", UP), ("down", DOWN)):
        await store.upsert_runs(runs(now, "..", name, deployment_id=ident))
    assert (await read_deployed(server, store, now)).upstreams == expected
    assert server.calls == 2


async def test_a_server_of_which_nothing_was_seen_is_not_asked(store: Store, now: datetime) -> None:
    server = Server()
    assert await read_deployed(server, store, now) == Deployed()
    assert server.calls == 0
