"""Flow file → better flow file, as a report in the Prefect UI."""

from __future__ import annotations

import base64
from pathlib import Path

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import JSONDict, Strategy


@flow(
    name="autopilot-optimize",
    description="Plan a faster, cheaper or safer version of a flow; nothing is written.",
)
async def optimize_flow(
    path: str | None = None,
    source: str | None = None,
    strategy: Strategy = Strategy.HYBRID,
    flow_name: str | None = None,
    server: str | None = None,
) -> JSONDict:
    """Return the plan and keep it as a markdown artifact with diff, edits and what was left alone.

    Args:
        path: Path of the flow file on the worker.
        source: Source of the flow, instead of a path.
        strategy: What the rewrite is for.
        flow_name: Name of the flow whose runs tell the durations.
        server: Address of the Prefect API that knows those runs.
    """
    if (path is None) == (source is None):
        raise UsageError("Give either the path or the source of the flow.")
    text = read_source(Path(path)) if path else str(source)
    history = None
    if flow_name and server:
        async with PrefectAPI(server) as api:
            history = await improve.history_of(api, flow_name)
    plan = (
        improve.plan(Path(path), strategy, history)
        if path
        else improve.plan_source(text, "flow.py", strategy, history)
    )
    report = improve.report(plan)
    if (drawn := improve.drawn(plan, text, history)) is not None:
        image = base64.b64encode(drawn.encode()).decode()
        report += f"\n\n## Before and after\n\n![tasks over time](data:image/svg+xml;base64,{image})\n"
    await acreate_markdown_artifact(
        markdown=report,
        key="autopilot-optimization",
        description=f"{plan.file}: {plan.strategy}",
    )
    return plan.model_dump(mode="json")
