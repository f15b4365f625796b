"""Install the operational flows on a Prefect server, from a wheel and without a clone; and take them away.

What an installation created is written down in one Prefect variable, so that ``uninstall`` removes exactly
that and leaves everything else as it was.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowFilterName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType
from prefect.variables import Variable

from prefect_autopilot import blocks
from prefect_autopilot.deployments.operational import (
    OPERATIONAL_FLOWS,
    OperationalFlow,
    failed_run_trigger,
)
from prefect_autopilot.models import JSONDict
from prefect_autopilot.models.names import WORK_POOL

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.client.schemas.schedules import SCHEDULE_TYPES
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import AutomationCore

RECORD = "autopilot_installation"
"""Name of the Prefect variable that remembers what was created."""

MOST_NAMED = 20
"""Deployments that are named where something is kept for them."""


async def install() -> tuple[str, ...]:
    """Create or update work pool, block types, deployments and the failed-run automation.

    Returns one line for each. Running it again changes nothing that is already right, and nothing that a
    person changed since: parameters, schedules, tags, a disabled automation.
    """
    async with get_client() as client:
        created = await _recorded()
        try:
            told = [
                await _create_pool(client, created),
                *await _register_blocks(client, created),
            ]
            for one in OPERATIONAL_FLOWS:
                told.extend(await _install_deployment(client, one, created))
        finally:
            # Half an installation can be taken away again, too.
            await Variable.aset(RECORD, sorted(created), overwrite=True)
    return tuple(told)


async def uninstall() -> tuple[str, ...]:
    """Remove what ``install`` created and return one line for each.

    A flow that was there before, and with it its runs, is not ours to remove. Kept, said so, and remembered
    for the next time: block types that hold connections of the user's, and a work pool or flow of ours that
    has deployments of the user's.
    """
    async with get_client() as client:
        created = await _recorded()
        told, kept = [], set()
        for kind, remove in _REMOVALS.items():
            for name in _named(created, kind):
                fate = await remove(client, name)
                told.append(f"{kind.replace('_', ' ')} {name}: {fate}")
                if fate.startswith("kept"):
                    kept.add(f"{kind}:{name}")
        if kept:
            await Variable.aset(RECORD, sorted(kept), overwrite=True)
        else:
            await Variable.aunset(RECORD)
    return tuple(told)


async def _recorded() -> set[str]:
    value: Any = await Variable.aget(RECORD, default=[])
    return set(value)


def _named(created: Iterable[str], kind: str) -> list[str]:
    return sorted(item.partition(":")[2] for item in created if item.startswith(f"{kind}:"))


async def _create_pool(client: PrefectClient, created: set[str]) -> str:
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        created.add(f"work_pool:{WORK_POOL}")
        return f"work pool {WORK_POOL}: created"
    return f"work pool {WORK_POOL}: there already"


async def _register_blocks(client: PrefectClient, created: set[str]) -> list[str]:
    told = []
    for block in blocks.BLOCKS:
        slug = block.get_block_type_slug()
        try:
            await client.read_block_type_by_slug(slug)
        except ObjectNotFound:
            created.add(f"block_type:{slug}")
        await block.aregister_type_and_schema(client=client)
        told.append(f"block type {slug}: registered")
    return told


async def _install_deployment(
    client: PrefectClient, definition: OperationalFlow, created: set[str]
) -> tuple[str, ...]:
    ours = await _definition(definition)
    known = await _existing(client, definition)
    if known is None:
        if await _flow_id(client, definition.name) is None:
            created.add(f"flow:{definition.name}")
        deployment_id = await ours.aapply()
        created.add(f"deployment:{definition.name}")
        told = f"deployment {definition.name}: created"
    else:
        deployment_id = known.id
        told = f"deployment {definition.name}: {await _brought_up_to_date(client, known, ours)}"
    if not definition.on_failed_runs:
        return (told,)
    return told, f"automation {definition.name}: {await _wire(client, deployment_id, definition.name)}"


async def _existing(client: PrefectClient, definition: OperationalFlow) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(f"{definition.name}/{definition.name}")
    except ObjectNotFound:
        return None


async def _flow_id(client: PrefectClient, name: str) -> UUID | None:
    found = await client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(any_=[name])), limit=1)
    return found[0].id if found else None


async def _definition(definition: OperationalFlow) -> RunnerDeployment:
    module, _, function = definition.entrypoint.rpartition(".")
    flow: Flow[Any, Any] = getattr(importlib.import_module(module), function)
    return await flow.ato_deployment(
        name=definition.name,
        schedules=_schedules(definition),
        parameters=definition.parameters,
        work_pool_name=WORK_POOL,
        entrypoint_type=EntrypointType.MODULE_PATH,
        tags=["autopilot"],
    )


def _schedules(definition: OperationalFlow) -> list[Schedule]:
    every = [Interval(definition.interval_s)] if definition.interval_s else []
    at = (
        Cron(one.cron, timezone="UTC", parameters=one.parameters, slug=one.slug)
        for one in definition.recurrences
    )
    return [*every, *at]


async def _brought_up_to_date(
    client: PrefectClient, known: DeploymentResponse, ours: RunnerDeployment
) -> str:
    """Change only what a newer version must: which code runs, and the form of its parameters.

    Parameters, schedules, tags, description, pool and pause are a person's to decide once it is there.
    """
    schema = ours._parameter_openapi_schema  # noqa: SLF001  # where Prefect keeps the form it computed
    form = schema.model_dump(mode="json", exclude_unset=True)
    kept = _kept(known, ours)
    said = f"; kept as it is: {', '.join(kept)}" if kept else ""
    if known.entrypoint == ours.entrypoint and known.parameter_openapi_schema == form:
        return f"there already{said}"
    newer = DeploymentUpdate(
        entrypoint=ours.entrypoint, path=None, pull_steps=[], parameter_openapi_schema=form
    )
    await client.update_deployment(known.id, newer)
    return f"updated{said}"


def _kept(known: DeploymentResponse, ours: RunnerDeployment) -> list[str]:
    schedules = [(_times(one.schedule), one.active) for one in known.schedules]
    wanted = [(_times(one.schedule), True) for one in ours.schedules or []]
    differs = {
        "parameters": known.parameters != ours.parameters,
        "schedule": sorted(schedules, key=str) != sorted(wanted, key=str),
        "tags": sorted(known.tags) != sorted(ours.tags),
        "work pool": known.work_pool_name != ours.work_pool_name,
        "pause": known.paused,
    }
    return [what for what, true in differs.items() if true]


def _times(schedule: SCHEDULE_TYPES | None) -> JSONDict | None:
    """Return when a schedule fires; the server adds an anchor, and UTC where no zone is said."""
    if schedule is None:
        return None
    times = schedule.model_dump(mode="json", include={"interval", "cron", "rrule"})
    return times | {"timezone": getattr(schedule, "timezone", None) or "UTC"}


async def _wire(client: PrefectClient, deployment_id: UUID, name: str) -> str:
    """Let failed runs start the deployment, by one automation; who disabled it keeps it disabled."""
    # The name that Prefect gives the first trigger of a deployment, so that either way makes the same one.
    trigger = DeploymentEventTrigger.model_validate(failed_run_trigger() | {"name": f"{name}__automation_1"})
    trigger.set_deployment_id(deployment_id)
    wanted = trigger.as_automation()
    related = await client.read_resource_related_automations(f"prefect.deployment.{deployment_id}")
    found = [one for one in related if one.name == wanted.name]
    right = [one for one in found if _reacts_as(one, wanted)]
    if len(found) == len(right) == 1:
        return "there already" if right[0].enabled else "there already; kept as it is: disabled"
    wanted.enabled = all(one.enabled for one in found)
    for one in found:
        await client.delete_automation(one.id)
    await client.create_automation(wanted)
    return "replaced" if found else "created"


def _reacts_as(automation: AutomationCore, wanted: AutomationCore) -> bool:
    return _reaction(automation) == _reaction(wanted)


def _reaction(automation: AutomationCore) -> JSONDict:
    """Return what an automation reacts to and how, without the ids and defaults that the server adds."""
    trigger = automation.trigger.model_dump(mode="json")
    related = trigger.get("match_related") or {}
    return {
        **{key: trigger.get(key) for key in ("type", "posture", "match", "threshold")},
        "related": related if isinstance(related, list) else [related],
        **{key: sorted(trigger.get(key) or ()) for key in ("expect", "after", "for_each")},
        "actions": [
            {key: action.get(key) for key in ("type", "deployment_id", "parameters")}
            for action in (one.model_dump(mode="json") for one in automation.actions)
        ],
    }


async def _remove_deployment(client: PrefectClient, name: str) -> str:
    try:
        deployment = await client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return "gone already"
    await client.delete_resource_owned_automations(f"prefect.deployment.{deployment.id}")
    await client.delete_deployment(deployment.id)
    return "removed"


async def _remove_flow(client: PrefectClient, name: str) -> str:
    ident = await _flow_id(client, name)
    if ident is None:
        return "gone already"
    # Deleting a flow takes every deployment of it along; people have their own of the polling flow.
    this_flow = FlowFilter(id=FlowFilterId(any_=[ident]))
    if others := await client.read_deployments(flow_filter=this_flow, limit=MOST_NAMED):
        return f"kept, deployments of yours use it: {', '.join(sorted(other.name for other in others))}"
    await client.delete_flow(ident)
    return "removed"


async def _remove_block_type(client: PrefectClient, slug: str) -> str:
    try:
        block_type = await client.read_block_type_by_slug(slug)
    except ObjectNotFound:
        return "gone already"
    documents = await client.read_block_documents_by_type(slug)
    if documents:
        return f"kept, it holds {len(documents)} block(s) of yours"
    await client.delete_block_type(block_type.id)
    return "removed"


async def _remove_pool(client: PrefectClient, name: str) -> str:
    this_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[name]))
    if await client.read_deployments(limit=1, work_pool_filter=this_pool):
        return "kept, deployments of yours use it"
    try:
        await client.delete_work_pool(name)
    except ObjectNotFound:
        return "gone already"
    return "removed"


_REMOVALS: Mapping[str, Callable[[PrefectClient, str], Awaitable[str]]] = {
    "deployment": _remove_deployment,
    "flow": _remove_flow,
    "block_type": _remove_block_type,
    "work_pool": _remove_pool,
}
"""How a thing of each kind is removed, in this order: a flow, pool or block type only after what uses it."""
