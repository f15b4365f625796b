"""Flows that query a database or send mail run green in a preview, with values their services take."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.clients import check_call
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import ServiceStatus

QUERY = "Every day at 9 query Postgres and post the result to Slack"
MAIL = "Every Monday at 8 send an email through SMTP to ops@example.com with the subject Weekly"


def written(text: str) -> Any:
    analysis = automate.understand(text)
    assert analysis.status == "flow", [question.text for question in analysis.questions]
    return automate.build(analysis)


def test_a_flow_that_queries_is_tried_with_a_statement_that_reads() -> None:
    values = automate.preview_parameters(written(QUERY))

    assert values["postgres_statement"] == "SELECT 1 AS number"
    assert '"SELECT 1 AS number"' in written(QUERY).source


def test_every_example_is_one_its_service_takes() -> None:
    told = 0
    for service in user_catalogue().services:
        if service.status is ServiceStatus.RECOGNISED:
            continue
        for operation in service.operations:
            examples = {one.name: one.example for one in operation.parameters if one.example is not None}
            told += len(examples)
            rest = {one.name: "x" for one in operation.parameters if one.required and one.type == "string"}
            check_call(service, operation, rest | examples)
    assert told > 0


@pytest.mark.live
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (QUERY, [("postgres", "query"), ("slack", "post_message")]),
        (MAIL, [("email", "send_email")]),
    ],
    ids=["database", "mail"],
)
async def test_it_runs_green_against_the_simulated_services(
    live_prefect: Any, text: str, calls: list[tuple[str, str]]
) -> None:
    target = PrefectTarget(live_prefect.url)

    result = await automate.preview(written(text), target=target, timeout_s=150)

    assert result.succeeded, result.error
    assert [(call.service, call.operation) for call in result.calls] == calls
    assert {call.status for call in result.calls} == {200}
