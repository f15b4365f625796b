"""The schedules of the deployments of a flow: read for an explanation, changed when a change asks for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_autopilot import codegen
from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.codegen.reading import read_flow
from prefect_autopilot.errors import ConfigurationError, PrefectError, UsageError
from prefect_autopilot.journeys.deployment import open_client, schedules_of
from prefect_autopilot.models import DeploymentSpec, TriggerSpec

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse


async def deployments_of(
    flow_name: str, *, target: PrefectTarget | None = None
) -> tuple[DeploymentSpec, ...]:
    """Return the deployments of a flow with what starts them; none where no server can be asked."""
    try:
        return tuple(_described(one, flow_name) for one in await _found(flow_name, target))
    except (ConfigurationError, PrefectError):
        return ()  # an explanation is made of the source; the server only adds to it


async def reschedule(
    path: Path,
    function: str | None,
    schedule: TriggerSpec,
    *,
    write: bool,
    target: PrefectTarget | None = None,
) -> tuple[str, ...]:
    """Give the generated deployments of a flow a new schedule, or say what would change.

    Raises UsageError where the flow has no deployment that was generated, PrefectError when the server
    refuses.
    """
    source = read_source(path)
    flow = read_flow(source.removeprefix("\ufeff"), user_catalogue(), function)
    found = [one for one in await _found(flow.name, target) if codegen.TAG in one.tags]
    if not found:
        raise UsageError(
            f"No generated deployment of {flow.name} is on the server, so there is no schedule to change; "
            "deploy it first, or change the schedule where the deployment is described."
        )
    new = _spec(schedule, flow.name)
    told: list[str] = []
    async with open_client(target) as client:
        for one in found:
            before = _described(one, flow.name)
            place = f"{flow.name}/{one.name}"
            if _when(before) == _when(new):
                told.append(f"{place} has this schedule already.")
                continue
            if write:
                for present in await client.read_deployment_schedules(one.id):
                    await client.delete_deployment_schedule(one.id, present.id)
                wanted = [(each.schedule, True) for each in schedules_of(new)]
                await client.create_deployment_schedules(one.id, wanted)
            done = "now has the schedule" if write else "would get the schedule"
            told.append(f"{place} {done} {_when(new)} instead of {_when(before)}.")
    return tuple(told) if write else (*told, "Nothing was changed; add --write.")


async def _found(flow_name: str, target: PrefectTarget | None) -> list[DeploymentResponse]:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    async with open_client(target) as client:
        return await client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])))


def _described(deployment: DeploymentResponse, flow_name: str) -> DeploymentSpec:
    first = next((one.schedule for one in deployment.schedules if one.active), None)
    interval = getattr(first, "interval", None)
    return DeploymentSpec(
        name=deployment.name,
        flow_name=flow_name,
        entrypoint=deployment.entrypoint or "",
        cron=getattr(first, "cron", None),
        rrule=getattr(first, "rrule", None),
        interval_s=int(interval.total_seconds()) if interval is not None else None,
        timezone=getattr(first, "timezone", None),
        tags=tuple(deployment.tags),
    )


def _spec(schedule: TriggerSpec, flow_name: str) -> DeploymentSpec:
    # An interval counts from its anchor; without one it would begin with the epoch.
    anchor = schedule.anchor or (datetime.now(UTC).isoformat() if schedule.interval_s else None)
    return DeploymentSpec(
        name="-",
        flow_name=flow_name,
        entrypoint="",
        cron=schedule.cron,
        rrule=schedule.rrule,
        interval_s=schedule.interval_s,
        anchor=anchor,
        timezone=schedule.timezone,
    )


def _when(one: DeploymentSpec) -> str:
    told = one.cron or one.rrule or (f"every {one.interval_s} s" if one.interval_s else None)
    return f"{told} ({one.timezone or 'UTC'})" if told else "none"
