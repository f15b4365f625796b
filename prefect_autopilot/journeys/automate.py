"""Request → flow: understood, built, tried against simulated services, deployed. One function a step."""

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
from prefect_autopilot.adapters.catalogue import user_catalogue, user_services
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.preview import run_preview
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ConflictError, PrefectError, UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.journeys.poll import check_polling
from prefect_autopilot.models import (
    Analysis,
    DeploymentSpec,
    GeneratedFlow,
    JSONDict,
    ParameterSpec,
    PreviewResult,
    Question,
    RequestContext,
    Service,
    ServiceTrigger,
)
from prefect_autopilot.services import connection_name
from prefect_autopilot.settings import load_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate

CONNECTION_BLOCK = "service-connection"
"""Slug of the block type that holds the credentials of a service."""

POLL_FLOW = "autopilot-poll"
POLL_ENTRYPOINT = "prefect_autopilot.flows.poll.poll"
POLL_INTERVAL_S = 60

# The payload goes through an explicit JSON value: as a plain template it would arrive as text.
EVENT_PARAMETER: JSONDict = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"},
}


def understand(text: str, context: RequestContext | None = None) -> Analysis:
    """Return what ``text`` was understood to ask for; a flow that cannot be built becomes a question."""
    catalogue = user_catalogue()
    analysis = analyze(text, context or RequestContext(), catalogue)
    if analysis.status != "flow":
        return analysis
    try:
        generated = codegen.generate(design(analysis, catalogue), catalogue)
    except UsageError as error:
        asked = (*analysis.questions, Question(id="build", text=error.message))
        return analysis.model_copy(update={"status": "clarify", "questions": asked})
    advice = (*analysis.recommendations, *_unannounced(generated))
    return analysis.model_copy(update={"recommendations": advice})


def _unannounced(generated: GeneratedFlow) -> tuple[str, ...]:
    """Say what is needed for the event that is to start the flow to come, where nothing looks for it."""
    event = generated.deployment.event
    if event is None or _polled(generated) is not None:
        return ()
    source = generated.spec.trigger.service or "the outside"
    trigger = _trigger(generated)
    if trigger is None or trigger.hook is None or generated.spec.trigger.service is None:
        told = f"Nothing looks for this event of {source} yet; the Prefect event {event!r} starts the flow."
        return (told,)
    public_url = load_settings().public_url
    place = f"/hooks/{connection_name(generated.spec.trigger.service)}"
    if public_url is None:
        told = (
            f"Nothing looks for this event of {source} yet: it comes by webhook to {place}; set"
            " PREFECT_AUTOPILOT_PUBLIC_URL once a proxy leads there."
        )
        return (told,)
    return (f"The event comes by webhook: let {source} post to {public_url}{place}.",)


def build(analysis: Analysis) -> GeneratedFlow:
    """Return source and deployment of an understood request; raises UsageError unless it is one."""
    catalogue = user_catalogue()
    return codegen.generate(design(analysis, catalogue), catalogue)


async def preview(
    generated: GeneratedFlow, *, target: PrefectTarget | None = None, timeout_s: float = 120
) -> PreviewResult:
    """Run the flow once with its sample event against simulated services; nothing outside is touched.

    The run is recorded on ``target`` or the server of the environment; where there is none, a temporary
    server is started.
    """
    try:
        known: PrefectTarget | None = target or prefect_target()
    except ConfigurationError:
        known = None
    return await run_preview(
        generated,
        preview_parameters(generated),
        target=known,
        simulator=Simulator(user_catalogue()),
        services=user_services().folder,
        timeout_s=timeout_s,
    )


def preview_parameters(generated: GeneratedFlow) -> JSONDict:
    """Return what a preview runs the flow with: its sample event and an example for each open parameter."""
    event = {"event": generated.sample_event} if generated.deployment.event or generated.sample_event else {}
    return event | _renamed(generated, codegen.example_values(generated.spec))


def open_parameters(generated: GeneratedFlow) -> tuple[ParameterSpec, ...]:
    """Return the parameters that need a value before the flow can start by itself."""
    return tuple(one for one in generated.spec.parameters if one.required and one.default is None)


async def missing_connections(
    generated: GeneratedFlow, *, target: PrefectTarget | None = None
) -> tuple[str, ...]:
    """Return the connections the flow uses that are not on the server, in order of first use."""
    from prefect.exceptions import ObjectNotFound

    missing: list[str] = []
    async with open_client(target) as client:
        for name in _connections(generated):
            try:
                await client.read_block_document_by_name(name, CONNECTION_BLOCK, include_secrets=False)
            except ObjectNotFound:
                missing.append(name)
    return tuple(missing)


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
    nothing. ``polling`` narrows the list that is looked at (a channel, a project). Raises UsageError for
    an open parameter nobody would fill in, ConflictError where another file or deployment has the name,
    PrefectError when the server refuses.
    """
    given = generated.deployment.parameters | (parameters or {})
    _check_parameters(generated, given)
    _check_module_name(generated, folder)
    polled = _polled(generated)
    if polled:
        check_polling(*polled, polling or {})
    async with open_client(target) as client:
        await _check_ownership(client, generated.deployment)
        path = _write(generated, folder, replace=replace)
        await _ensure_pool(client, generated.deployment.work_pool)
        deployment_id = await _apply(client, generated, path, given)
        await _apply_trigger(client, generated.deployment, deployment_id)
        if polled:
            await _apply_polling(client, *polled, polling or {}, generated.deployment.work_pool)
    return str(deployment_id)


def _connections(generated: GeneratedFlow) -> tuple[str, ...]:
    polled = _polled(generated)
    source = [connection_name(polled[0].id)] if polled else []
    return tuple(dict.fromkeys([*source, *generated.spec.connections]))


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


def _write(generated: GeneratedFlow, folder: Path, *, replace: bool) -> Path:
    try:
        return files.write_new(folder, generated.file_name, generated.source)
    except ConflictError:
        if not replace:
            raise
    path = files.resolve_below(folder, generated.file_name)
    files.replace(path, generated.source, files.digest_of(path))
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
        parameters=_renamed(generated, parameters),
        schedules=schedules_of(deployment),
        work_pool_name=deployment.work_pool,
        path=folder,
        entrypoint=deployment.entrypoint,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
        parameter_openapi_schema=_form(generated.source, path, generated.function),
        enforce_parameter_schema=True,
    )


def _renamed(generated: GeneratedFlow, parameters: JSONDict) -> JSONDict:
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


def _trigger(generated: GeneratedFlow) -> ServiceTrigger | None:
    """Return the catalogue's trigger of the event that starts the flow, None where it has none."""
    service_id, event = generated.spec.trigger.service, generated.deployment.event
    if service_id is None or event is None:
        return None
    triggers = user_catalogue().get(service_id).triggers
    return next((one for one in triggers if codegen.event_name(service_id, one.event) == event), None)


def _polled(generated: GeneratedFlow) -> tuple[Service, str] | None:
    """Return service and event where the event has to be looked for.

    What comes by webhook as well is looked for only while no public address is set.
    """
    trigger = _trigger(generated)
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
