"""Plain English in, a flow out, in the Prefect UI: understood, written, tried, and deployed once approved."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from prefect_autopilot.codegen.markdown import analysis_markdown, code_markdown, preview_markdown
from prefect_autopilot.errors import UsageError
from prefect_autopilot.flows.forms import Form, approval_form, ask, question_form
from prefect_autopilot.journeys import automate
from prefect_autopilot.journeys.answers import answered, last_part_first, newly_chosen
from prefect_autopilot.journeys.memory import note_missing, remember, remember_use, with_memory
from prefect_autopilot.models import Analysis, GeneratedFlow, JSONDict, RequestContext
from prefect_autopilot.settings import load_settings

ROUNDS = 5
"""Forms of one kind a run shows before it gives up."""


@flow(name="autopilot-generate", description="Turn a request in plain English into a flow.")
async def generate(
    request: str,
    timezone: str = "UTC",
    connected_services: list[str] | None = None,
    wait_minutes: float = 60,
    parameters: dict[str, Any] | None = None,
) -> JSONDict:
    """Understand a request, write the flow, run it against simulated services, and deploy it once approved.

    Analysis and questions, code and preview are kept as artifacts of the run. The run pauses for the answer
    to what is open, and again for approval of what the artifacts show. A flow whose preview fails is not
    deployed.

    Args:
        request: What should happen, and when, in your own words.
        timezone: Time zone of clock times in the request, Europe/Berlin for one.
        connected_services: Services you use; they decide what "the team channel" or "our CRM" means.
        wait_minutes: How long to wait for an answer or for approval; 0 only shows the flow.
        parameters: Values for the parameters of the flow that nobody is there to fill in.
    """
    context = RequestContext(timezone=timezone, connected_services=tuple(connected_services or ()))
    analysis = await _settled(request, await with_memory(context), wait_minutes)
    told: JSONDict = {
        "status": analysis.status,
        "questions": [question.text for question in analysis.questions],
    }
    if analysis.status != "flow":
        return told
    generated = automate.build(analysis)
    await acreate_markdown_artifact(code_markdown(generated), key="autopilot-code")
    result = await automate.preview(generated)
    await acreate_markdown_artifact(preview_markdown(result), key="autopilot-preview")
    told |= {
        "flow": generated.spec.name,
        "open_parameters": [one.name for one in automate.open_parameters(generated)],
        "preview_succeeded": result.succeeded,
        "missing_connections": list(await automate.missing_connections(generated)),
    }
    if result.succeeded and wait_minutes:
        told |= await _deployed(generated, told["missing_connections"], parameters or {}, wait_minutes)
    return told


async def _settled(request: str, context: RequestContext, wait_minutes: float) -> Analysis:
    """Ask what is open until the request is understood, nobody answers, or the answers lead nowhere."""
    before, text = context, request
    analysis = automate.understand(text, context)
    await acreate_markdown_artifact(analysis_markdown(analysis), key="autopilot-analysis")
    for _ in range(ROUNDS):
        if analysis.status != "clarify" or not analysis.questions or not wait_minutes:
            break
        form = question_form(analysis.questions)
        said = await ask(form, wait_minutes)
        given = form.told(said)
        if not given:
            break
        for question in last_part_first(analysis.questions):
            if answer := str(given.get(question.id) or "").strip():
                text, context = answered(text, context, question, answer)
        analysis = automate.understand(text, context)
        await acreate_markdown_artifact(analysis_markdown(analysis), key="autopilot-analysis")
    await note_missing(analysis)
    if analysis.status == "flow":
        for kind, service in newly_chosen(before, context).items():
            await remember(kind, service)
    return analysis


async def _deployed(
    generated: GeneratedFlow, missing: list[str], parameters: JSONDict, wait_minutes: float
) -> JSONDict:
    """Deploy the flow when somebody approves; a value that does not fit is asked for again."""
    given, problem = dict(parameters), ""
    for _ in range(ROUNDS):
        form: Form = approval_form(generated, missing, given, problem)
        said = form.told(await ask(form, wait_minutes))
        if not said.pop("approve", False):
            return {"approved": False}
        given |= said
        try:
            deployed = await automate.deploy(generated, load_settings().flows_folder, parameters=given)
        except UsageError as error:
            problem = error.message
            continue
        await remember_use(step.service for step in generated.spec.steps)
        return {"approved": True, "deployment_id": deployed}
    raise UsageError(f"The values did not fit in {ROUNDS} attempts, so nothing was deployed. {problem}")
