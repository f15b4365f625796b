"""A list is read to its end, unless the request says how much of it is wanted."""

from __future__ import annotations

import ast

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.models import Constant, FromStep, GeneratedFlow, StepSpec, TriggerSpec, WorkflowSpec
from prefect_autopilot.services import load_catalogue

ASKED = "all_pages=True"


def made(*steps: StepSpec) -> GeneratedFlow:
    trigger = TriggerSpec(type="schedule", cron="0 9 * * *")
    return generate(WorkflowSpec(name="copy", request="", trigger=trigger, steps=steps), load_catalogue())


def contacts(**arguments: object) -> StepSpec:
    return listed("hubspot", "list_contacts", **arguments)


def listed(service: str, operation: str, **arguments: object) -> StepSpec:
    given = {name: Constant(value=value) for name, value in arguments.items()}
    return StepSpec(
        id="rows",
        service=service,
        operation=operation,
        connection=f"{service}-default",
        arguments=given,
    )


def told(text: object, for_each: str | None = None) -> StepSpec:
    return StepSpec(
        id="tell",
        service="slack",
        operation="post_message",
        connection="slack-default",
        arguments={"channel": Constant(value="#crm"), "text": text},
        for_each=for_each,
    )


def body(flow: GeneratedFlow) -> str:
    return ast.unparse(ast.parse(flow.source))


def test_a_loop_goes_through_the_rows_of_every_page() -> None:
    flow = made(contacts(), told(FromStep(step="rows", path="id"), for_each="rows"))
    assert ASKED in flow.source
    assert "for contact in contacts:" in body(flow)
    assert "text=contact['id']" in body(flow)


@pytest.mark.parametrize("path", ["results", "results.0.id"])
def test_what_is_read_of_the_rows_is_found_without_what_stood_around_them(path: str) -> None:
    flow = made(contacts(), told(FromStep(step="rows", path=path)))
    assert ASKED in flow.source
    assert "['results']" not in body(flow)
    assert ("contacts[0]['id']" if "." in path else "text=contacts") in body(flow)


def test_a_loop_may_name_the_place_of_the_rows_itself() -> None:
    flow = made(contacts(), told(FromStep(step="rows", path="results.id"), for_each="rows.results"))
    assert "for contact in contacts:" in body(flow)
    assert "text=contact['id']" in body(flow)


@pytest.mark.parametrize(
    ("arguments", "text", "for_each"),
    [
        ({"limit": 5}, FromStep(step="rows", path="results"), None),
        ({"after": "p2"}, FromStep(step="rows", path="results"), None),
        ({}, FromStep(step="rows", path="paging.next.after"), None),
        ({}, FromStep(step="rows", path="results.id"), "rows.other"),
    ],
    ids=["so-many", "that-page", "beside-the-rows", "another-list"],
)
def test_one_page_is_read_where_the_request_is_about_one(
    arguments: dict[str, object], text: FromStep, for_each: str | None
) -> None:
    assert ASKED not in made(contacts(**arguments), told(text, for_each)).source


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("slack", "auth_test", {}),
        ("gmail", "list_labels", {}),
        ("asana", "create_task", {"name": "x"}),
        ("postgres", "query", {"statement": "select 1"}),
    ],
)
def test_what_has_no_pages_is_not_asked_for_them(
    service: str, operation: str, arguments: dict[str, object]
) -> None:
    assert ASKED not in made(listed(service, operation, **arguments)).source


def test_a_list_without_a_place_of_its_own_keeps_its_paths() -> None:
    flow = made(
        listed("github", "list_issues", owner="acme", repo="site"),
        told(FromStep(step="rows", path="0.title")),
    )
    assert ASKED in flow.source
    assert "issues[0]['title']" in body(flow)


def test_the_test_beside_a_flow_does_not_count_pages() -> None:
    flow = made(contacts(), told(FromStep(step="rows")))
    assert "dict.fromkeys(called)" in flow.test_source
