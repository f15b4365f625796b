"""A generated flow → a deployment with its trigger, checked before anything is created."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from prefect_autopilot import codegen
from prefect_autopilot.adapters import files
from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.errors import ConflictError, PrefectError, UsageError
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.journeys.poll import check_polling
from prefect_autopilot.models import (
    DeploymentSpec,
    GeneratedFlow,
    JSONDict,
    ParameterSpec,
    Service,
    ServiceTrigger,
)
from prefect_autopilot.services import connection_name, find_operation, find_trigger
from prefect_autopilot.settings import load_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate

POLL_FLOW = "autopilot-poll"
POLL_ENTRYPOINT = "prefect_autopilot.flows.poll.poll"
POLL_INTERVAL_S = 60

WATCHED = "watched_"
"""What the values begin with that say where an event is looked for."""

# The payload goes through an explicit JSON value: as a plain template it would arrive as text.
EVENT_PARAMETER: JSONDict = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"},
}


def open_parameters(generated: GeneratedFlow) -> tuple[ParameterSpec, ...]:
    """Return the parameters that need a value before the flow can start by itself."""
    return tuple(one for one in generated.spec.parameters if one.required and one.default is None)


def needed_values(generated: GeneratedFlow) -> tuple[ParameterSpec, ...]:
    """Return what somebody has to say before the flow is deployed: nobody is there when it starts.

    These are its open parameters, unless it is started by hand, and the place its event is looked for
    (a project, a channel), named ``watched_…``.
    """
    own = () if generated.spec.trigger.type == "manual" else open_parameters(generated)
    return (*own, *_watched(generated))


def _watched(generated: GeneratedFlow) -> tuple[ParameterSpec, ...]:
    """Return the parameters that the list in which the event is looked for cannot be read without."""
    found = polled_event(generated)
    if found is None:
        return ()
    service, event = found
    trigger = find_trigger(service, event)
    operation = find_operation(service, trigger.operation or "")
    return tuple(
        ParameterSpec(
            name=f"{WATCHED}{one.name}",
            required=True,
            description=one.description or f"Which {one.name} of {service.name} is looked at.",
        )
        for one in operation.parameters
        if one.required and one.default is None and one.name not in trigger.parameters
    )


async def deploy(
    generated: GeneratedFlow,
    folder: Path,
    *,
    target: PrefectTarget | None = None,
    parameters: JSONDict | None = None,
    polling: JSONDict | None = None,
    replace: bool = False,
) -> str:
    """Write the flow into ``folder``, create or update its deployment and trigger, and return its id.

    1. refuse what could never run, 2. write the file, 3. the work pool, 4. the deployment with its
    schedule, 5. the trigger on its event, 6. the polling that finds the event. Doing it twice changes
    nothing. ``polling`` narrows the list that is looked at (a channel, a project), as do ``parameters``
    named ``watched_…``. Raises UsageError for an open parameter nobody would fill in, ConflictError
    where another file or deployment has the name, PrefectError when the server refuses.
    """
    watched = {one.name for one in _watched(generated)}
    said = parameters or {}
    given = generated.deployment.parameters | {key: said[key] for key in said if key not in watched}
    places = {key.removeprefix(WATCHED): said[key] for key in said if key in watched}
    polling = {**places, **(polling or {})}
    _check_parameters(generated, given)
    _check_module_name(generated, folder)
    polled = polled_event(generated)
    if polled:
        check_polling(*polled, polling)
    async with open_client(target) as client:
        await _check_ownership(client, generated.deployment)
        path = write_flow(generated, folder, replace=replace)
        await _ensure_pool(client, generated.deployment.work_pool)
        deployment_id = await _apply(client, generated, path, given)
        await _apply_trigger(client, generated.deployment, deployment_id)
        if polled:
            await _apply_polling(client, *polled, polling, generated.deployment.work_pool)
    return str(deployment_id)


def _check_parameters(generated: GeneratedFlow, given: JSONDict) -> None:
    spec = generated.spec
    unknown = [name for name in given if name not in {one.name for one in spec.parameters}]
    if unknown:
        raise UsageError(f"The flow {spec.name} has no parameter {unknown[0]!r}.")
    is_attended = spec.trigger.type == "manual"
    open_ones = [one.name for one in open_parameters(generated) if given.get(one.name) is None]
    if open_ones and not is_attended:
        raise UsageError(
            f"Nobody is there to fill in {', '.join(map(repr, open_ones))} when {spec.name} starts; "
            "give a value now."
        )


def _check_module_name(generated: GeneratedFlow, folder: Path) -> None:
    stem = generated.file_name.removesuffix(".py")
    found = importlib.util.find_spec(stem)
    origin = Path(found.origin).resolve() if found and found.origin else None
    if found and (origin is None or folder.resolve() not in origin.parents):
        raise ConflictError(
            f"A module named {stem!r} is installed, the flow would hide it; choose another name."
        )


async def _check_ownership(client: PrefectClient, deployment: DeploymentSpec) -> None:
    from prefect.exceptions import ObjectNotFound

    name = f"{deployment.flow_name}/{deployment.name}"
    try:
        present = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return
    if codegen.TAG not in present.tags:
        raise ConflictError(f"The deployment {name} exists and was not generated; choose another name.")


def write_flow(generated: GeneratedFlow, folder: Path, *, replace: bool = False) -> Path:
    """Write the flow and the test beside it into ``folder``, and return the path of the flow.

    Raises ConflictError, before anything is written, where a file of the name has other content and
    ``replace`` is not set; what is replaced is kept as a backup.
    """
    wanted = {generated.file_name: generated.source, generated.test_file_name: generated.test_source}
    written = {name: text for name, text in wanted.items() if name}
    if not replace:
        for name, text in written.items():
            files.check_free(folder, name, text)
    first, *_ = [_written(folder, name, text, replace=replace) for name, text in written.items()]
    return first


def _written(folder: Path, name: str, text: str, *, replace: bool) -> Path:
    try:
        return files.write_new(folder, name, text)
    except ConflictError:
        if not replace:
            raise
    path = files.resolve_below(folder, name)
    files.replace(path, text, files.digest_of(path))
    return path


async def _ensure_pool(client: PrefectClient, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        try:
            await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:
            return  # somebody else was first, which is as good


async def _apply(client: PrefectClient, generated: GeneratedFlow, path: Path, parameters: JSONDict) -> UUID:
    deployment = generated.deployment
    folder = str(path.parent.resolve())
    flow_id = await client.create_flow_from_name(deployment.flow_name)
    return await client.create_deployment(
        flow_id,
        deployment.name,
        description=deployment.description,
        tags=list(deployment.tags),
        parameters=renamed(generated, parameters),
        schedules=schedules_of(deployment),
        work_pool_name=deployment.work_pool,
        path=folder,
        entrypoint=deployment.entrypoint,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
        parameter_openapi_schema=_form(generated.source, path, generated.function),
        enforce_parameter_schema=True,
    )


def renamed(generated: GeneratedFlow, parameters: JSONDict) -> JSONDict:
    """Return the parameters by the names they have in the source."""
    names = codegen.parameter_names(generated.spec, generated.function)
    return {names[name]: value for name, value in parameters.items()}


def _form(source: str, path: Path, function: str) -> JSONDict:
    """Return the schema of the flow's parameters, from the source alone: nothing is imported."""
    from prefect.utilities.callables import parameter_docstrings, parameter_schema_from_entrypoint

    schema = parameter_schema_from_entrypoint(f"{path}:{function}").model_dump_for_openapi()
    tree = ast.parse(source)
    defined = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    for name, text in parameter_docstrings(inspect.cleandoc(ast.get_docstring(defined) or "")).items():
        schema["properties"][name]["description"] = text
    return schema


def schedules_of(deployment: DeploymentSpec) -> list[DeploymentScheduleCreate]:
    """Return the schedule of a deployment as Prefect takes it, none where it has none."""
    from datetime import timedelta

    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

    schedule: CronSchedule | RRuleSchedule | IntervalSchedule
    timezone = deployment.timezone or "UTC"
    if deployment.cron is not None:
        schedule = CronSchedule(cron=deployment.cron, timezone=timezone)
    elif deployment.rrule is not None:
        schedule = RRuleSchedule(rrule=deployment.rrule, timezone=timezone)
    elif deployment.interval_s is not None:
        anchor = {"anchor_date": datetime.fromisoformat(deployment.anchor)} if deployment.anchor else {}
        schedule = IntervalSchedule(
            interval=timedelta(seconds=deployment.interval_s), timezone=timezone, **anchor
        )
    else:
        return []
    return [DeploymentScheduleCreate(schedule=schedule, active=True)]


async def _apply_trigger(client: PrefectClient, deployment: DeploymentSpec, deployment_id: UUID) -> None:
    from prefect.events import DeploymentEventTrigger

    await client.delete_resource_owned_automations(f"prefect.deployment.{deployment_id}")
    if deployment.event is None:
        return
    trigger = DeploymentEventTrigger(
        name=f"{deployment.name}__on_event",
        expect={deployment.event},
        parameters={"event": EVENT_PARAMETER},
    )
    trigger.set_deployment_id(deployment_id)
    await client.create_automation(trigger.as_automation())


def trigger_of(generated: GeneratedFlow) -> ServiceTrigger | None:
    """Return the catalogue's trigger of the event that starts the flow, None where it has none."""
    service_id, event = generated.spec.trigger.service, generated.deployment.event
    if service_id is None or event is None:
        return None
    triggers = user_catalogue().get(service_id).triggers
    return next((one for one in triggers if codegen.event_name(service_id, one.event) == event), None)


def polled_event(generated: GeneratedFlow) -> tuple[Service, str] | None:
    """Return service and event where the event has to be looked for.

    What comes by webhook as well is looked for only while no public address is set.
    """
    trigger = trigger_of(generated)
    if trigger is None or trigger.kind != "poll":
        return None
    if trigger.hook is not None and load_settings().public_url is not None:
        return None
    return user_catalogue().get(generated.spec.trigger.service or ""), trigger.event


async def _apply_polling(
    client: PrefectClient, service: Service, event: str, parameters: JSONDict, work_pool: str
) -> None:
    """Deploy our polling flow for the event; flows started by one event share the polling."""
    from prefect.utilities.callables import parameter_schema_from_entrypoint

    narrowed = files.digest(json.dumps(parameters, sort_keys=True))[:8] if parameters else ""
    spec = DeploymentSpec(
        name=connection_name(service.id, f"{event}-{narrowed}"),
        flow_name=POLL_FLOW,
        entrypoint=POLL_ENTRYPOINT,
        interval_s=POLL_INTERVAL_S,
    )
    connection = connection_name(service.id)
    given = {"service": service.id, "event": event, "connection": connection, "parameters": parameters}
    await client.create_deployment(
        await client.create_flow_from_name(spec.flow_name),
        spec.name,
        tags=["autopilot"],
        parameters=given,
        schedules=schedules_of(spec),
        concurrency_limit=1,
        work_pool_name=work_pool,
        entrypoint=spec.entrypoint,
        parameter_openapi_schema=parameter_schema_from_entrypoint(spec.entrypoint).model_dump_for_openapi(),
    )


@asynccontextmanager
async def open_client(target: PrefectTarget | None) -> AsyncIterator[PrefectClient]:
    """Open a client of ``target`` or the server of the environment, and tell what goes wrong there."""
    from prefect.client.orchestration import PrefectClient

    known = target or prefect_target()
    headers = {"Authorization": known.auth} if known.auth else {}
    try:
        async with PrefectClient(known.url, httpx_settings={"headers": headers}) as client:
            yield client
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise PrefectError(
            f"The Prefect server at {known.url} refused the call with status {status}.",
            permanent=status < httpx.codes.INTERNAL_SERVER_ERROR,
            status=status,
        ) from error
    except httpx.TransportError as error:
        raise PrefectError(
            f"The Prefect server at {known.url} cannot be reached; start it or set PREFECT_API_URL.",
            permanent=False,
        ) from error
