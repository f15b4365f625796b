"""Every call of the API in one table, and the OpenAPI document with an example for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api import (
    alerting,
    automation,
    decisions,
    monitoring,
    streams,
    system,
    troubleshooting,
)
from prefect_autopilot.api.access import require
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.errors import MEDIA_TYPE, Problem
from prefect_autopilot.models import JSONDict
from prefect_autopilot.store import Scope

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from fastapi.routing import APIRoute

COMPUTES_ONLY = frozenset(
    {
        automation.analyze_request,
        automation.generate_workflow,
        automation.analyze_optimization,
        alerting.rehearse_rule,
    }
)
"""Calls that take a body and change nothing."""
ACTS = frozenset(
    {
        troubleshooting.resolve_issues,
        troubleshooting.troubleshoot_automatically,
        decisions.approve_session,
        decisions.deny_session,
        decisions.undo_session,
        decisions.pause_remedies,
        decisions.resume_remedies,
    }
)
"""Calls that may apply remedies to runs."""
OF_THE_STORE = frozenset(
    {
        monitoring.monitoring_health,
        monitoring.monitoring_metrics,
        monitoring.list_alerts,
        monitoring.workflow_health_of,
        alerting.list_rules,
        alerting.list_silences,
        troubleshooting.read_session,
        troubleshooting.session_issues,
        troubleshooting.summarize_session,
        troubleshooting.list_sessions,
    }
)
"""Reads whose answer follows from the store, the time and the address alone."""

ENHANCED = "/workflows/enhanced"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
SESSION = "/sessions/{session_id}"
PROBLEM = "#/components/schemas/Problem"


class Route(NamedTuple):
    """One call."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    tag: str

    @property
    def scope(self) -> Scope:
        """The least scope that may make this call."""
        if self.method == "GET" or self.endpoint in COMPUTES_ONLY:
            return Scope.VIEWER
        if self.method == "DELETE":
            return Scope.ADMIN
        return Scope.APPROVER if self.endpoint in ACTS else Scope.OPERATOR


def _automation() -> tuple[Route, ...]:
    return (
        Route("POST", f"{ENHANCED}/intelligence/analyze", automation.analyze_request, "intelligence"),
        Route("POST", f"{ENHANCED}/intelligence/generate", automation.generate_workflow, "intelligence"),
        Route("POST", f"{ENHANCED}/optimization/analyze", automation.analyze_optimization, "optimization"),
        Route("POST", f"{ENHANCED}/optimization/apply", automation.apply_optimization, "optimization"),
    )


def _monitoring() -> tuple[Route, ...]:
    base = f"{ENHANCED}/monitoring"
    return (
        Route("POST", f"{base}/start", monitoring.start_monitoring, "monitoring"),
        Route("GET", f"{base}/health", monitoring.monitoring_health, "monitoring"),
        Route("GET", f"{base}/metrics", monitoring.monitoring_metrics, "monitoring"),
        Route("GET", f"{base}/alerts", monitoring.list_alerts, "monitoring"),
        Route("POST", f"{base}/alerts", monitoring.add_rule, "monitoring"),
        Route("GET", f"{base}/rules", alerting.list_rules, "monitoring"),
        Route("POST", f"{base}/alerts/dry-run", alerting.rehearse_rule, "monitoring"),
        Route("POST", f"{base}/alerts/{{alert_id}}/acknowledge", alerting.acknowledge_alert, "monitoring"),
        Route("GET", f"{base}/silences", alerting.list_silences, "monitoring"),
        Route("POST", f"{base}/silences", alerting.add_silence, "monitoring"),
        Route("POST", f"{base}/silences/{{silence_id}}/end", alerting.end_silence, "monitoring"),
    )


def _troubleshooting() -> tuple[Route, ...]:
    enhanced = f"{ENHANCED}/troubleshooting"
    calls = troubleshooting
    session = (
        ("GET", SESSION, calls.read_session),
        ("DELETE", SESSION, calls.delete_session),
        ("GET", f"{SESSION}/issues", calls.session_issues),
        ("POST", f"{SESSION}/analyze-metrics", calls.analyze_metrics),
        ("POST", f"{SESSION}/diagnose", calls.diagnose_session),
        ("POST", f"{SESSION}/recommendations", calls.recommend_for_session),
        ("POST", f"{SESSION}/verify", calls.verify_session),
        ("GET", f"{SESSION}/summary", calls.summarize_session),
        ("GET", "/workflows/{workflow_id:path}/health", monitoring.workflow_health_of),
        ("POST", "/automated-troubleshooting", calls.troubleshoot_automatically),
        ("POST", "/sessions", calls.open_session),
        ("GET", "/sessions", calls.list_sessions),
        ("POST", f"{SESSION}/approve", decisions.approve_session),
        ("POST", f"{SESSION}/deny", decisions.deny_session),
        ("POST", f"{SESSION}/undo", decisions.undo_session),
        ("POST", "/remedies/pause", decisions.pause_remedies),
        ("POST", "/remedies/resume", decisions.resume_remedies),
    )
    return (
        Route("POST", f"{enhanced}/analyze", calls.analyze_failure, "troubleshooting"),
        Route("POST", f"{enhanced}/resolve", calls.resolve_issues, "troubleshooting"),
        *(Route(method, f"{TROUBLESHOOTING}{path}", call, "sessions") for method, path, call in session),
    )


def _system() -> tuple[Route, ...]:
    return (
        Route("GET", f"{ENHANCED}/status", system.read_status, "system"),
        Route("GET", f"{ENHANCED}/events", streams.stream_events, "monitoring"),
        Route("POST", "/workflows/test-step", system.test_step, "system"),
        Route("GET", "/healthz", system.healthz, "system"),
        Route("GET", "/readyz", system.readyz, "system"),
        Route("GET", "/metrics", system.prometheus_metrics, "system"),
    )


def routes() -> tuple[Route, ...]:
    """Return all calls."""
    return (*_automation(), *_monitoring(), *_troubleshooting(), *_system())


@cache
def examples() -> dict[str, JSONDict]:
    """Return request, response and parameters of an example for each call, by its name."""
    text = files("prefect_autopilot.api").joinpath("examples.json").read_text(encoding="utf-8")
    found: dict[str, JSONDict] = json.loads(text)
    return found


def mount(router: APIRouter) -> None:
    """Put every call on ``router``."""
    refusals: dict[int | str, dict[str, Any]] = {
        "default": {
            "description": "Problem details (RFC 9457).",
            "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM}}},
        }
    }
    scoped = _scoped()
    for route in routes():
        router.add_api_route(
            route.path,
            route.endpoint,
            methods=[route.method],
            tags=[route.tag],
            operation_id=route.endpoint.__name__,
            summary=(route.endpoint.__doc__ or "").partition(";")[0].rstrip("."),
            responses=refusals,
            route_class_override=scoped,
        )


def describe(app: FastAPI) -> None:
    """Let ``app`` tell its calls, and its document their examples."""
    app.state.endpoints = tuple(f"{route.method} {route.path.replace(':path', '')}" for route in routes())
    described = app.openapi

    def with_examples() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(described())
        return app.openapi_schema or {}

    app.openapi = with_examples  # type: ignore[method-assign]  # the way FastAPI documents


def _scoped() -> type[APIRoute]:
    """Return the kind of route that checks its caller's scope before anything of the request is read.

    As a dependency of each call the check would cost more than the rest of what stands before a call.
    """
    from fastapi.routing import APIRoute

    scopes = {route.endpoint: route.scope for route in routes()}

    class ScopedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer, scope = super().get_route_handler(), scopes[self.endpoint]
            is_held = self.endpoint in OF_THE_STORE

            async def scoped(request: Request) -> Response:
                await require(request, scope)
                if is_held:
                    return await context_of(request).held.answer(request, answer)
                return await answer(request)

            return scoped

    return ScopedRoute


def _complete(document: JSONDict) -> None:
    """Add the examples and the schema of problem details; drop the framework's own error format."""
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    needed = {route.endpoint.__name__: route.scope for route in routes()}
    for methods in document["paths"].values():
        for operation in methods.values():
            # Ours is described under "default"; the framework would describe a format we never send.
            operation["responses"].pop("422", None)
            if operation["operationId"] == "healthz":
                operation["security"] = []
            else:
                operation["x-scope"] = needed[operation["operationId"]].value
            _exemplify(operation, examples().get(operation["operationId"], {}))


def _exemplify(operation: JSONDict, example: JSONDict) -> None:
    if "request" in example:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
    answer = operation["responses"]["200"]
    if "text" in example:
        kind = example.get("media_type", "text/plain")
        answer["content"] = {kind: {"schema": {"type": "string"}, "example": example["text"]}}
    elif "response" in example:
        answer["content"]["application/json"]["example"] = example["response"]
    if "headers" in example:
        operation.setdefault("parameters", []).extend(example["headers"])
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]
