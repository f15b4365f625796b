"""Charts of the workflows for the Prefect UI: one page for each, kept up to date in its place."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from prefect_autopilot.adapters.measures import Asks
from prefect_autopilot.journeys.judging import history, series_of, workflow_id
from prefect_autopilot.models import HealthScore, RunRecord
from prefect_autopilot.monitoring.charts import duration_chart, success_chart
from prefect_autopilot.monitoring.detection import detect
from prefect_autopilot.monitoring.forecasts import trends
from prefect_autopilot.monitoring.limits import limits_of
from prefect_autopilot.store import Store, Workflow
from prefect_autopilot.troubleshooting.report import plain

MOST_PAGES = 10


@dataclass(frozen=True)
class Page:
    """The charts of a workflow as Markdown with its images inside: ``key`` stays the same for a workflow."""

    key: str
    name: str
    markdown: str


async def show_charts(
    api: Asks, store: Store, scores: Sequence[HealthScore], now: datetime, *, most: int = MOST_PAGES
) -> tuple[str, ...]:
    """Draw the first ``most`` workflows whose health is known, in the given order; return the pages' keys.

    A page is an artifact without a run. Its text is replaced, so that the server keeps one version of it,
    and only where it would be another one.
    """
    workflows = {workflow_id(one): one for one in await store.workflows()}
    known = [
        workflows[one.workflow_id] for one in scores if one.score is not None if one.workflow_id in workflows
    ]
    pages = [await _page(store, one, now) for one in known[:most]]
    wanted = {"artifacts": {"key": {"any_": [page.key for page in pages]}}, "limit": most}
    there = (
        {one["key"]: one for one in await api.request("POST", "/artifacts/latest/filter", wanted)}
        if pages
        else {}
    )
    for page in pages:
        said = {"data": page.markdown, "description": f"Runs of {page.name}"}
        if (old := there.get(page.key)) is None:
            await api.request("POST", "/artifacts/", {"key": page.key, "type": "markdown", **said})
        elif old["data"] != page.markdown:
            await api.request("PATCH", f"/artifacts/{old['latest_id']}", said)
    return tuple(page.key for page in pages)


async def _page(store: Store, workflow: Workflow, now: datetime) -> Page:
    runs = await history(store, workflow)
    ident = workflow_id(workflow)
    name = "/".join(filter(None, (workflow.flow_name, workflow.deployment_name)))
    # Monitors and regressions of hundreds of runs: the loop has other things to answer meanwhile.
    drawn = await asyncio.to_thread(_draw, ident, name, runs, now)
    images = "\n\n".join(
        f"![{what}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
        for what, svg in drawn.items()
    )
    key = f"autopilot-runs-{hashlib.sha256(ident.encode()).hexdigest()[:12]}"
    return Page(key, name, f"# {plain(name)}\n\n{images}\n")


def _draw(ident: str, name: str, runs: Sequence[RunRecord], now: datetime) -> dict[str, str]:
    """Return the charts by what they show."""
    alarms = detect([series_of(ident, runs, now)])[ident]
    trend = next(
        (one for one in trends(runs, limits_of(runs), now) if one.metric == "duration_s"),
        None,
    )
    return {
        "durations with the expected band, alarms and forecast": duration_chart(name, runs, alarms, trend),
        "share of successful runs": success_chart(name, runs),
    }
