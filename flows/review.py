"""What is stored, looked at once a week, month and quarter; shown in the Prefect UI."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact

from prefect_autopilot.journeys.desk import open_desk
from prefect_autopilot.journeys.reviews import Period
from prefect_autopilot.journeys.reviews import review as review_period
from prefect_autopilot.models import JSONDict
from prefect_autopilot.settings import load_settings


@flow(
    name="autopilot-review",
    description="Review flows (weekly), what was not known (monthly) or thresholds (quarterly).",
)
async def review(period: Period = "weekly") -> JSONDict:
    """Keep the review of a period as an artifact, and return how much each part of it found.

    Args:
        period: weekly: what could be faster, cheaper, safer; monthly: services and failures we did not
            know; quarterly: false alarms and thresholds.
    """
    async with open_desk(load_settings()) as desk:
        found = await review_period(desk, period, desk.clock())
    await acreate_markdown_artifact(
        markdown=found.markdown, key=f"autopilot-review-{period}", description=found.title
    )
    return {"period": period, **found.findings}
