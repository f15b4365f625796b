"""Flow file → better flow file, as a report in the Prefect UI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from pydantic import Field

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import JSONDict, Strategy


@flow(
    name="autopilot-optimize",
    description="Plan a faster, cheaper or safer version of a flow; nothing is written.",
)
async def optimize_flow(
    path: Annotated[str | None, Field(description="Path of the flow file on the worker")] = None,
    source: Annotated[str | None, Field(description="Source of the flow, instead of a path")] = None,
    strategy: Annotated[Strategy, Field(description="What the rewrite is for")] = Strategy.HYBRID,
    flow_name: Annotated[
        str | None, Field(description="Name of the flow whose runs tell the durations")
    ] = None,
    server: Annotated[
        str | None, Field(description="Address of the Prefect API that knows those runs")
    ] = None,
) -> JSONDict:
    """Return the plan and keep it as a markdown artifact with diff, edits and what was left alone."""
    if (path is None) == (source is None):
        raise UsageError("Give either the path or the source of the flow.")
    text = improve.read_source(Path(path)) if path else str(source)
    history = None
    if flow_name and server:
        async with PrefectAPI(server) as api:
            history = await improve.history_of(api, flow_name)
    plan = improve.plan_source(text, Path(path).name if path else "flow.py", strategy, history)
    await acreate_markdown_artifact(
        markdown=improve.report(plan),
        key="autopilot-optimization",
        description=f"{plan.file}: {plan.strategy}",
    )
    return plan.model_dump(mode="json")
