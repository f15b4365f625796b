"""The page on which a description becomes an automation: understood, asked about, shown, tried, deployed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from prefect_autopilot.api import page_choices as choices
from prefect_autopilot.api.access import principal_of
from prefect_autopilot.api.context import context_of, worked
from prefect_autopilot.api.page_frame import form_of, rendered
from prefect_autopilot.errors import ConflictError, UsageError
from prefect_autopilot.journeys import automate
from prefect_autopilot.journeys.answers import answered
from prefect_autopilot.models import (
    Analysis,
    GeneratedFlow,
    JSONDict,
    ParameterSpec,
    PreviewResult,
    RequestContext,
    TriggerSpec,
)
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope

MOST_TEXT = 5000
MOST_CONTEXT = 20_000
PREVIEW_WITHIN_S = 90
TEMPLATE = "page_describe.html.j2"
RESULTS = {
    "flow": "This can be automated; the flow stands below.",
    "clarify": "Something is open; answer the questions below.",
    "unsupported": "This cannot be automated as it is said.",
    "reject": "This asks for no automation.",
}
"""What became of a description, by its status."""

_turn = asyncio.Semaphore(2)
"""Each preview is a process of its own with a Prefect run in it; more than two at once help nobody."""


@dataclass(frozen=True)
class Asked:
    """A request as far as it was answered; every form carries it along, nothing is kept here."""

    text: str
    context: RequestContext
    analysis: Analysis | None = None
    flow: GeneratedFlow | None = None
    error: str = ""


async def describe(request: Request) -> Response:
    """Show what a description becomes: understanding, questions, code and test; nothing is created."""
    if request.method == "GET":
        return _page(request, Asked("", RequestContext()))
    fields = await form_of(request, Scope.VIEWER)
    return _page(request, await _understood(fields))


async def preview(request: Request) -> Response:
    """Run the flow once against simulated services and show what it called."""
    asked = await _understood(await form_of(request, Scope.OPERATOR))
    if asked.flow is None:
        return _page(request, asked)
    context = context_of(request)
    store = await context.store()
    detail: JSONDict = {"flow": asked.flow.spec.name}
    await store.audit(
        principal_of(request).actor, "flow.previewed", asked.flow.spec.name, detail, context.clock()
    )
    async with _turn:
        seen = await automate.preview(asked.flow, timeout_s=PREVIEW_WITHIN_S)
    return _page(request, asked, seen=seen)


async def deploy(request: Request) -> Response:
    """Create the deployment of the flow that was shown; its trigger is live afterwards."""
    fields = await form_of(request, Scope.APPROVER)
    asked = await _understood(fields)
    if asked.flow is None:
        return _page(request, asked)
    if fields.get("shown") != _mark(asked.flow):
        raise ConflictError("The flow is no longer the one that was shown; nothing was deployed.")
    context, actor = context_of(request), principal_of(request).actor
    given = _values(asked.flow, fields)
    store = await context.store()
    name = f"{asked.flow.deployment.flow_name}/{asked.flow.deployment.name}"
    await store.audit(actor, "flow.deploying", name, {"file": asked.flow.file_name}, context.clock())
    ident = await automate.deploy(asked.flow, context.settings.flows_folder, parameters=given)
    missing = await automate.missing_connections(asked.flow)
    await store.audit(actor, "flow.deployed", name, {"deployment": ident}, context.clock())
    link = choices.prefect_ui().link("deployment", ident)
    return _page(request, asked, deployed={"name": name, "link": link, "missing": missing})


async def _understood(fields: dict[str, str]) -> Asked:
    """Return the request of a form with the answers in it; questions that were not answered stay."""
    text = fields.get("text", "")[:MOST_TEXT]
    context = _context(fields)
    analysis = await worked(automate.understand, text, context)
    said = {key.removeprefix("answer:"): value.strip() for key, value in fields.items() if "answer:" in key}
    changed = False
    for question in analysis.questions:
        if word := said.get(question.id, "")[:500]:
            text, context = await worked(answered, text, context, question, word)
            changed = True
    if changed:
        analysis = await worked(automate.understand, text, context)
    if analysis.status != "flow":
        return Asked(text, context, analysis)
    try:
        flow = await worked(automate.build, analysis)
    except UsageError as error:
        return Asked(text, context, analysis, error=error.message)
    return Asked(text, context, analysis, flow)


def _context(fields: dict[str, str]) -> RequestContext:
    given = fields.get("context", "")
    try:
        return RequestContext.model_validate_json(given[:MOST_CONTEXT]) if given else RequestContext()
    except ValidationError:
        raise UsageError("The answers given before cannot be read; begin the description anew.") from None


def _values(flow: GeneratedFlow, fields: dict[str, str]) -> JSONDict:
    """Return the values for parameters nobody will be there to fill in; raises UsageError for a wrong one."""
    given: JSONDict = {}
    for one in automate.needed_values(flow):
        said = fields.get(f"value:{one.name}", "").strip()
        if said:
            given[one.name] = _value(one, said)
    return given


def _value(one: ParameterSpec, said: str) -> Any:
    if one.type == "str":
        return said
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        raise UsageError(f"{one.name} wants a {one.type}; nothing was deployed.") from None


def _mark(flow: GeneratedFlow) -> str:
    from prefect_autopilot.adapters.files import digest

    return digest(flow.source + flow.deployment.model_dump_json())


def _page(
    request: Request,
    asked: Asked,
    *,
    seen: PreviewResult | None = None,
    deployed: JSONDict | None = None,
) -> Response:
    shown: dict[str, Any] = {}
    if asked.analysis is not None:
        shown = {"analysis": asked.analysis, **_facts(asked.analysis)}
    if asked.flow is not None:
        shown |= {
            "flow": asked.flow,
            "source": redact(asked.flow.source),
            "test_source": redact(asked.flow.test_source),
            "mark": _mark(asked.flow),
            "connections": automate.connections(asked.flow),
            "needed": automate.needed_values(asked.flow),
        }
    return rendered(
        request,
        TEMPLATE,
        text=redact(asked.text),
        context=redact(asked.context.model_dump_json()),
        error=asked.error,
        seen=seen,
        deployed=deployed,
        typing=True,
        **shown,
    )


def _facts(analysis: Analysis) -> dict[str, Any]:
    return {
        "services": [one.service for one in analysis.services if one.role == "used"],
        "trigger": _starts(analysis.trigger) if analysis.trigger is not None else "",
        "steps": [one.summary or f"{one.service}: {one.operation}" for one in analysis.steps],
        "result": RESULTS[analysis.status],
    }


def _starts(trigger: TriggerSpec) -> str:
    """Return what starts it: the person's own words, and how they were understood."""
    facts = trigger.model_dump(exclude_none=True, exclude={"span", "type"}, mode="json")
    read = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value)
    understood = f"{trigger.type.replace('_', ' ')}: {read}" if read else trigger.type.replace("_", " ")
    return f"{trigger.span.text} ({understood})" if trigger.span is not None else understood
