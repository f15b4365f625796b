"""Calls about the product itself, and the trial of one step."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal

import httpx
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.clients import Client
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.api.access import actor_of, require
from prefect_autopilot.api.answers import Alive, Component, Readiness, StatusAnswer, StepAnswer
from prefect_autopilot.api.bodies import StepBody
from prefect_autopilot.api.context import Context, context_of
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    PrefectError,
    ServiceError,
    UnknownNameError,
    UsageError,
)
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.models import Service
from prefect_autopilot.redaction import redact, redact_value
from prefect_autopilot.services import (
    connection_name,
    find_operation,
    simulated_credentials,
)
from prefect_autopilot.store import Scope

NO_RUN = b"# No finished run was seen yet.\n"
_COUNTED = b"prefect_autopilot_flow_runs_total{"


def product_version() -> str:
    """Return the installed version."""
    from prefect_autopilot import __version__

    return __version__


async def test_step(body: StepBody, request: Request) -> StepAnswer:
    """Call one operation of a service for real: the simulated one, or the live one when asked for."""
    if body.live:
        await require(request, Scope.APPROVER)
    context = context_of(request)
    service = _service(body.service)
    operation = find_operation(service, body.action)
    result: Any = None
    failure: AutopilotError | None = None
    async with _client(context, body, service, actor_of(request)) as client:
        begun = time.perf_counter()
        try:
            result = await client.call(operation.id, body.parameters)
        except ServiceError as error:
            failure = error
        except UnknownNameError as error:
            # Service and operation are known by now: it is a parameter of the body that is not.
            raise UsageError(error.message) from error
        lasted = 1000 * (time.perf_counter() - begun)
    return StepAnswer(
        success=failure is None,
        error=redact(failure.message) if failure is not None else None,
        result=redact_value(result),
        duration_ms=round(lasted, 2),
        mode="live" if body.live else "simulated",
        service=service.id,
        action=operation.id,
        status=failure.status if isinstance(failure, ServiceError) else None,
        workflow_id=body.workflow_id,
        step_id=body.step_id,
    )


def _service(name: str) -> Service:
    catalogue = user_catalogue()
    found = catalogue.find(name)
    return found[0] if len(found) == 1 else catalogue.get(name)


@asynccontextmanager
async def _client(context: Context, body: StepBody, service: Service, actor: str) -> AsyncIterator[Client]:
    client = await _live(context, body, service, actor) if body.live else _simulated(service)
    async with client:
        yield client


def _simulated(service: Service) -> ServiceClient:
    transport = httpx.ASGITransport(Simulator(user_catalogue()), raise_app_exceptions=False)
    credentials = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    try:
        return ServiceClient(
            service, credentials, base_url=f"http://simulator/{service.id}", transport=transport
        )
    except ConfigurationError as error:
        raise UsageError(f"{service.name} cannot be simulated: {error.message}") from error


async def _live(context: Context, body: StepBody, service: Service, actor: str) -> Client:
    """Return a client with the stored connection; who called what is written down before the call."""
    from prefect_autopilot.blocks.connection import load_connection

    target = prefect_target()  # without a known server Prefect would start one of its own
    name = body.connection or connection_name(service.id)
    try:
        block = await load_connection(name)
    except (httpx.HTTPError, RuntimeError) as error:
        raise PrefectError(
            f"The connection {name} cannot be read from {target.url}; check that the server runs.",
            permanent=False,
        ) from error
    if block.service != service.id:
        raise UsageError(f"The connection {name} is one of {block.service}, not of {service.id}.")
    store = await context.store()
    detail = {"service": service.id, "operation": body.action, "connection": name}
    await store.audit(actor, "step.called", body.workflow_id or name, detail, context.clock())
    return block.client(connection=name)


async def read_status(request: Request) -> StatusAnswer:
    """Say what can be relied on now: each component with its state and why."""
    context = context_of(request)
    checks = await _checks(context)
    watched = checks["store"] == "ok" and await context.is_watched()
    components = _components(checks, watched=watched)
    is_whole = all(component.state != "unavailable" for component in components.values())
    return StatusAnswer(
        availability="available" if is_whole and checks["prefect"] == "ok" else "degraded",
        version=product_version(),
        components=components,
        endpoints=request.app.state.endpoints,
    )


def _components(checks: dict[str, str], *, watched: bool) -> dict[str, Component]:
    stored, prefect = checks["store"], checks["prefect"]
    services, known = user_catalogue().stats(), len(user_catalogue().services)
    down = Component(state="unavailable", why=stored)
    told = {
        "intelligence": Component(
            state="limited",
            why=f"English requests, by rules and a catalogue of {known} services, of which"
            f" {services.operable} are confirmed.",
        ),
        "optimization": Component(
            state="limited",
            why="Static rewriting of source; the edits of a plan are made together, savings are predicted"
            " from measured durations only, and proofs are run from the command line.",
        ),
        "monitoring": Component(state="limited", why=prefect)
        if prefect != "ok"
        else Component(
            state="available",
            why="A watcher reads the Prefect server."
            if watched
            else "No watcher runs; this API reads the Prefect server once monitoring was started.",
        ),
        "troubleshooting": Component(
            state="limited",
            why="Reports are diagnosed by patterns; remedies are applied only to runs of the Prefect server,"
            f" by policy. Prefect server: {prefect}.",
        ),
    }
    if stored != "ok":
        told |= {"monitoring": down, "troubleshooting": down}
    return told


async def healthz() -> Alive:
    """Say that the process is up."""
    return Alive(version=product_version())


async def readyz(request: Request) -> Response:
    """Say whether the store can be written and the Prefect server answers; 503 where not."""
    checks = await _checks(context_of(request))
    ready = all(check == "ok" for check in checks.values())
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(Readiness(ready=ready, checks=checks).model_dump(), status.value)


async def _checks(context: Context) -> dict[str, str]:
    checks = {"store": "ok"}
    try:
        await (await context.store()).set_cursor("api.ready", context.clock())
    except AutopilotError as error:
        checks["store"] = redact(error.message)
    try:
        async with context.desk_if_any() as (_, reason):
            checks["prefect"] = redact(reason) if reason else "ok"
    except AutopilotError as error:
        checks["prefect"] = redact(error.message)
    return checks


async def prometheus_metrics(
    request: Request, names: Literal["autopilot", "exporter", "both"] = "autopilot"
) -> Response:
    """Return the metrics of the fleet as Prometheus text, from memory.

    With ``names`` exporter under the names of prometheus-prefect-exporter, for dashboards made for those.
    """
    context = context_of(request)
    if context.keeps_fleet and context.fleet_read_at is None:
        await context.refresh_fleet()
    theirs = b"" if names == "autopilot" else context.fleet.exporter.render(context.clock())
    if names == "exporter":
        return Response(theirs, media_type=CONTENT_TYPE_PLAIN_0_0_4)
    text = context.fleet.render(context.clock())
    text = text if _COUNTED in text else NO_RUN + text
    return Response(text + theirs, media_type=CONTENT_TYPE_PLAIN_0_0_4)
