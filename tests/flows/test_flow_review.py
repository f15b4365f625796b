"""The review flow: one artifact for each period, in the Prefect UI."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS
from prefect_autopilot.flows.review import review
from prefect_autopilot.journeys.reviews import LENGTH

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


def test_a_review_stands_in_the_prefect_ui_under_a_key_of_its_period(server: Any) -> None:
    told = server.run(review(period="monthly"))
    (artifact,) = server.artifacts("autopilot-review-monthly")

    assert told["period"] == "monthly"
    assert told["Services that were asked for and cannot be called"] == 0
    assert artifact["type"] == "markdown"
    assert artifact["data"].startswith("# What we did not know")


def test_every_period_has_a_schedule_with_its_parameter() -> None:
    (definition,) = [one for one in OPERATIONAL_FLOWS if one.name == "autopilot-review"]

    assert {one.slug: one.parameters for one in definition.recurrences} == {
        period: {"period": period} for period in LENGTH
    }
