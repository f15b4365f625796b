"""What an installation creates, remembers and takes away again, on Prefect's temporary server."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import chdir
from dataclasses import dataclass, field
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.events import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.variables import Variable

from prefect_autopilot.blocks import AutopilotPolicy
from prefect_autopilot.deployments import install as module
from prefect_autopilot.deployments.install import RECORD, install, uninstall
from prefect_autopilot.deployments.operational import (
    OPERATIONAL_FLOWS,
    failed_run_trigger,
)
from prefect_autopilot.models.names import FAILURE_EVENTS, WORK_POOL

pytestmark = [
    pytest.mark.live,
    # Prefect leaves sockets of its own clients to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
    ),
]
NAMES = [flow.name for flow in OPERATIONAL_FLOWS]


async def deployments(client: PrefectClient) -> dict[str, Any]:
    found = {}
    for name in NAMES:
        try:
            found[name] = await client.read_deployment_by_name(f"{name}/{name}")
        except ObjectNotFound:
            continue
    return found


async def has_pool(client: PrefectClient) -> bool:
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        return False
    return True


@dataclass
class Life:
    """What was told and seen over two installations and two removals."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    automations: list[list[Any]] = field(default_factory=list)
    records: list[list[str] | None] = field(default_factory=list)
    pools: list[bool] = field(default_factory=list)

    async def look(self, client: PrefectClient, act: Callable[[], Awaitable[tuple[str, ...]]]) -> None:
        self.told.append(await act())
        self.deployments.append(await deployments(client))
        all_of_them = await client.read_automations()
        self.automations.append([one for one in all_of_them if "troubleshoot" in one.name])
        self.records.append(await Variable.aget(RECORD))
        self.pools.append(await has_pool(client))


def on_the_server(work: Callable[[PrefectClient], Awaitable[None]]) -> None:
    """Do something in a loop of its own on a server where nothing of ours is before and after."""

    async def whole() -> None:
        async with get_client() as client:
            await uninstall()
            # Other modules' tests share the server.
            if await has_pool(client):
                await client.delete_work_pool(WORK_POOL)
            for flow in await client.read_flows():
                if flow.name in NAMES:
                    await client.delete_flow(flow.id)
            try:
                await work(client)
            finally:
                await uninstall()

    # Inside a repository Prefect runs git seven times for each deployment, to tell the version.
    with chdir(tempfile.gettempdir()):
        asyncio.run(whole())
    gc.collect()


@pytest.fixture(scope="session")
def life(prefect_harness: None) -> Life:
    life = Life()

    async def whole(client: PrefectClient) -> None:
        for act in (install, install, uninstall, uninstall):
            await life.look(client, act)

    on_the_server(whole)
    return life


def test_an_installation_tells_each_thing_it_made_and_remembers_it(life: Life) -> None:
    assert life.told[0][0] == f"work pool {WORK_POOL}: created"
    assert [f"deployment {name}: created" in life.told[0] for name in NAMES] == [True] * len(NAMES)
    assert list(life.deployments[0]) == NAMES
    recorded = life.records[0] or []
    assert f"work_pool:{WORK_POOL}" in recorded
    assert {one for one in recorded if one.startswith("deployment:")} == {f"deployment:{n}" for n in NAMES}


@pytest.mark.parametrize("definition", OPERATIONAL_FLOWS, ids=lambda definition: definition.name)
def test_installed_deployments_need_no_clone_and_say_that_they_are_ours(life: Life, definition: Any) -> None:
    deployment = life.deployments[0][definition.name]
    assert deployment.entrypoint == definition.entrypoint
    assert deployment.work_pool_name == WORK_POOL
    assert deployment.tags == ["autopilot"]
    assert deployment.parameters == definition.parameters
    told = [(one.slug, one.schedule.model_dump(), one.parameters) for one in deployment.schedules]
    every = [(slug, schedule["interval"].total_seconds()) for slug, schedule, _ in told if not slug]
    assert every == ([(None, definition.interval_s)] if definition.interval_s else [])
    at = {(slug, schedule["cron"], str(given)) for slug, schedule, given in told if slug}
    assert at == {(one.slug, one.cron, str(one.parameters)) for one in definition.recurrences}


def test_one_automation_starts_troubleshooting_and_none_of_our_flows_starts_it(life: Life) -> None:
    (automation,) = life.automations[0]
    trigger = automation.trigger
    assert automation.enabled
    assert set(trigger.expect) == set(FAILURE_EVENTS)
    match = trigger.match_related
    assert (match[0] if isinstance(match, list) else match).root["prefect.resource.name"] == "!autopilot-*"
    (action,) = automation.actions
    assert action.parameters == failed_run_trigger()["parameters"]


def test_installing_again_changes_nothing_and_doubles_nothing(life: Life) -> None:
    assert life.told[1][0] == f"work pool {WORK_POOL}: there already"
    changing = [line for line in life.told[1] if not line.endswith(("there already", "registered"))]
    assert changing == []
    whole = [{name: definition_of(one) for name, one in found.items()} for found in life.deployments[:2]]
    assert whole[1] == whole[0]
    assert life.records[1] == life.records[0]
    assert life.automations[1] == life.automations[0]


def definition_of(deployment: Any) -> dict[str, Any]:
    """A deployment without what its schedule does to it while we look."""
    return dict(deployment.model_dump(exclude={"updated", "last_polled", "status"}))


def test_what_a_person_decided_since_is_kept(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        await install()
        there = await deployments(client)
        troubleshoot, monitor = there["autopilot-troubleshoot"], there["autopilot-monitor"]
        theirs = DeploymentUpdate(
            parameters={"mode": "auto"}, tags=["autopilot", "night"], description="ours"
        )
        await client.update_deployment(troubleshoot.id, theirs)
        await client.update_deployment_schedule(monitor.id, monitor.schedules[0].id, active=False)
        (automation,) = [one for one in await client.read_automations() if "troubleshoot" in one.name]
        await client.pause_automation(automation.id)
        decided = {name: definition_of(one) for name, one in (await deployments(client)).items()}

        told = await install()

        assert {name: definition_of(one) for name, one in (await deployments(client)).items()} == decided
        (still,) = [one for one in await client.read_automations() if "troubleshoot" in one.name]
        assert (still.id, still.enabled) == (automation.id, False)
        assert "deployment autopilot-troubleshoot: there already; kept as it is: parameters, tags" in told
        assert "deployment autopilot-monitor: there already; kept as it is: schedule" in told
        assert "automation autopilot-troubleshoot: there already; kept as it is: disabled" in told

    on_the_server(work)


def test_what_an_older_version_left_is_brought_up_to_date_and_stays_disabled(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        await install()
        old = (await deployments(client))["autopilot-troubleshoot"]
        await client.update_deployment(old.id, DeploymentUpdate(entrypoint="old.module.flow", parameters={}))
        (automation,) = [one for one in await client.read_automations() if "troubleshoot" in one.name]
        automation.trigger.expect = {"prefect.flow-run.Failed"}
        automation.enabled = False
        older = automation.model_dump(exclude={"owner_resource", "id", "created", "updated"})
        await client.update_automation(automation.id, AutomationCore.model_validate(older))

        told = await install()

        new = (await deployments(client))["autopilot-troubleshoot"]
        assert (new.id, new.entrypoint, new.parameters) == (old.id, old.entrypoint, {})
        assert "deployment autopilot-troubleshoot: updated; kept as it is: parameters" in told
        (renewed,) = [one for one in await client.read_automations() if "troubleshoot" in one.name]
        assert (renewed.trigger.expect, renewed.enabled) == (set(FAILURE_EVENTS), False)
        assert "automation autopilot-troubleshoot: replaced" in told

    on_the_server(work)


def test_uninstalling_removes_it_all(life: Life) -> None:
    assert all(line.endswith(": removed") for line in life.told[2])
    assert len(life.told[2]) == len(life.records[0] or [])
    assert (life.deployments[2], life.automations[2], life.records[2], life.pools[2]) == ({}, [], None, False)


def test_uninstalling_again_does_nothing(life: Life) -> None:
    assert life.told[3] == ()


def test_what_was_there_before_is_not_ours_to_remove(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        try:
            assert f"work pool {WORK_POOL}: there already" in await install()
            assert not any(line.startswith("work pool") for line in await uninstall())
            assert await has_pool(client)
        finally:
            await client.delete_work_pool(WORK_POOL)

    on_the_server(work)


def test_what_is_the_users_is_kept_and_what_somebody_removed_is_no_error(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        await install()
        await client.delete_deployment((await deployments(client))["autopilot-poll"].id)
        await AutopilotPolicy(mode="propose").asave("users-policy", overwrite=True)
        flow_id = await client.create_flow_from_name("users-flow")
        theirs = await client.create_deployment(flow_id, "prod", work_pool_name=WORK_POOL)
        try:
            told = await uninstall()
            assert "deployment autopilot-poll: gone already" in told
            assert f"work pool {WORK_POOL}: kept, deployments of yours use it" in told
            kept = "block type autopilot-policy: kept, it holds 1 block(s) of yours"
            # Where another test registered the type before, it is not even ours to look at.
            assert kept in told or not any("autopilot-policy" in line for line in told)
            assert (await AutopilotPolicy.aload("users-policy")).mode == "propose"
            assert await has_pool(client)
            assert await deployments(client) == {}
            await AutopilotPolicy.adelete("users-policy")
            await client.delete_deployment(theirs)
            assert f"work pool {WORK_POOL}: removed" in await uninstall(), "what was kept is not forgotten"
            assert await Variable.aget(RECORD, default=None) is None
        finally:
            await client.delete_flow(flow_id)

    on_the_server(work)


def test_a_flow_that_was_there_before_keeps_its_runs(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        flow_id = await client.create_flow_from_name("autopilot-monitor")
        try:
            await install()
            assert (await deployments(client))["autopilot-monitor"].flow_id == flow_id
            told = await uninstall()
            assert "deployment autopilot-monitor: removed" in told
            assert not any(line.startswith("flow autopilot-monitor") for line in told)
            assert (await client.read_flow(flow_id)).name == "autopilot-monitor"
        finally:
            await client.delete_flow(flow_id)

    on_the_server(work)


def test_polling_deployments_of_people_survive_the_removal(prefect_harness: None) -> None:
    async def work(client: PrefectClient) -> None:
        await install()
        flow_id = (await deployments(client))["autopilot-poll"].flow_id
        theirs = await client.create_deployment(flow_id, "gmail-new-message")
        try:
            told = await uninstall()
            assert (await client.read_deployment(theirs)).name == "gmail-new-message"
            assert "deployment autopilot-poll: removed" in told
            assert "flow autopilot-poll: kept, deployments of yours use it: gmail-new-message" in told
            await client.delete_deployment(theirs)
            assert await uninstall() == ("flow autopilot-poll: removed",), "what was kept is not forgotten"
            assert flow_id not in {flow.id for flow in await client.read_flows()}
        finally:
            await Variable.aunset(RECORD)

    on_the_server(work)


def test_half_an_installation_can_be_taken_away_again(
    prefect_harness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    define, seen = module._definition, []

    async def breaks_at_the_third(definition: Any) -> Any:
        seen.append(definition.name)
        if len(seen) == 3:
            raise ConnectionResetError
        return await define(definition)

    async def work(client: PrefectClient) -> None:
        with pytest.raises(ConnectionResetError):
            await install()
        assert list(await deployments(client)) == NAMES[:2]
        await uninstall()
        assert await deployments(client) == {}
        assert not await has_pool(client)

    monkeypatch.setattr(module, "_definition", breaks_at_the_third)
    on_the_server(work)
