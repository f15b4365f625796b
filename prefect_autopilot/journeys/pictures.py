"""Charts of the workflows that need a look, for the Prefect UI."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from prefect_autopilot.journeys.judging import history, series_of, workflow_id
from prefect_autopilot.models import HealthScore, RunRecord
from prefect_autopilot.monitoring.charts import duration_chart
from prefect_autopilot.monitoring.detection import detect
from prefect_autopilot.monitoring.forecasts import trends
from prefect_autopilot.monitoring.limits import limits_of
from prefect_autopilot.store import Store

MOST_PICTURES = 10


@dataclass(frozen=True)
class Picture:
    """A chart as an image that needs no server: ``key`` stays the same for a workflow."""

    key: str
    name: str
    url: str


async def pictures(
    store: Store, scores: Sequence[HealthScore], now: datetime, *, most: int = MOST_PICTURES
) -> tuple[Picture, ...]:
    """Return duration charts of the first ``most`` workflows whose health is known, in the given order."""
    workflows = {workflow_id(one): one for one in await store.workflows()}
    found = []
    for score in [one for one in scores if one.score is not None and one.workflow_id in workflows][:most]:
        workflow = workflows[score.workflow_id]
        runs = await history(store, workflow)
        name = "/".join(filter(None, (workflow.flow_name, workflow.deployment_name)))
        # Monitors and regressions of hundreds of runs: the loop has other things to answer meanwhile.
        svg = await asyncio.to_thread(_draw, score.workflow_id, name, runs, now)
        key = f"autopilot-runs-{hashlib.sha256(score.workflow_id.encode()).hexdigest()[:12]}"
        found.append(
            Picture(key, name, f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}")
        )
    return tuple(found)


def _draw(ident: str, name: str, runs: Sequence[RunRecord], now: datetime) -> str:
    alarms = detect([series_of(ident, runs, now)])[ident]
    trend = next(
        (one for one in trends(runs, limits_of(runs), now) if one.metric == "duration_s"),
        None,
    )
    return duration_chart(name, runs, alarms, trend)
