"""Plain English in, a flow out, in the Prefect UI: understood, written, tried, and deployed when asked to."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from prefect_autopilot.codegen.markdown import analysis_markdown, code_markdown, preview_markdown
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import JSONDict, RequestContext
from prefect_autopilot.settings import load_settings


@flow(name="autopilot-generate", description="Turn a request in plain English into a flow.")
async def generate(
    request: str,
    timezone: str = "UTC",
    connected_services: list[str] | None = None,
    deploy: bool = False,  # noqa: FBT001, FBT002  a switch in the form of the Prefect UI
    parameters: dict[str, Any] | None = None,
) -> JSONDict:
    """Understand a request, write the flow, run it against simulated services, and deploy it if asked to.

    Analysis and questions, code and preview are kept as artifacts of the run. A flow whose preview fails is
    not deployed.

    Args:
        request: What should happen, and when, in your own words.
        timezone: Time zone of clock times in the request, Europe/Berlin for one.
        connected_services: Services you use; they decide what "the team channel" or "our CRM" means.
        deploy: Deploy the flow when its preview succeeds.
        parameters: Values for the parameters of the flow that nobody is there to fill in.
    """
    context = RequestContext(timezone=timezone, connected_services=tuple(connected_services or ()))
    analysis = automate.understand(request, context)
    await acreate_markdown_artifact(analysis_markdown(analysis), key="autopilot-analysis")
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
    if deploy and result.succeeded:
        folder = load_settings().flows_folder
        told["deployment_id"] = await automate.deploy(generated, folder, parameters=parameters)
    return told
