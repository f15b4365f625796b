"""A list copied into a table: a row for each item, with the columns said, else with those every item has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import design
from prefect_autopilot.intelligence.lists import items_of
from prefect_autopilot.models import Analysis, Constant, FromParameter, FromStep, StepSpec, Text
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

COPIED = {
    "all fields": (
        "Every morning at 8 copy all new HubSpot contacts into a Google Sheet",
        ["id", "properties.email", "properties.firstname", "properties.lastname", "properties.company"],
    ),
    "columns": (
        "every day at 8 copy the open jira issues to a google sheet with key, title and status",
        ["key", "fields.summary", "fields.status.name"],
    ),
    "two columns": (
        "every day at 8 put the zendesk tickets into google sheets with the subject and priority",
        ["subject", "priority"],
    ),
    "columns by their own names": (
        "every day at 8 copy the open jira issues to google sheets with columns key, summary and priority",
        ["key", "fields.summary", "fields.priority.name"],
    ),
}


@pytest.mark.parametrize(("text", "paths"), COPIED.values(), ids=COPIED)
def test_each_item_becomes_a_row(text: str, paths: list[str], ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask(text, "google_sheets")
    assert analysis.status == "flow"
    listed, written = analysis.steps
    cells = written.arguments["values"]
    assert isinstance(cells, Text)
    assert cells.form == "rows"
    assert [part.path for part in cells.parts if isinstance(part, FromStep)] == paths
    assert {part.step for part in cells.parts if isinstance(part, FromStep)} == {listed.id}
    source = generate(design(analysis, catalogue), catalogue).source
    compile(source, "flow.py", "exec")
    assert "        values=[" in source
    assert source.count("append_row") == 1, "all rows in one call"


def test_a_row_in_a_loop_is_that_of_the_item(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask("Every day at 9 for each zendesk ticket add a row to google sheets")
    written = analysis.steps[-1]
    cells = written.arguments["values"]
    assert isinstance(cells, Text)
    assert (written.for_each, cells.form) == ("zendesk_list_tickets", "row")
    assert 'ticket["subject"]' in generate(design(analysis, catalogue), catalogue).source


def test_a_title_in_a_loop_is_that_of_the_item(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask("Every day at 9 for each open jira issue create an asana task")
    made = analysis.steps[-1]
    assert made.for_each == "jira_search_issues"
    assert made.arguments["name"] == FromStep(step="jira_search_issues", path="fields.summary")
    assert 'name=issue["fields"]["summary"]' in generate(design(analysis, catalogue), catalogue).source


@pytest.mark.parametrize(
    "text",
    [
        "every friday at 5pm put the open zendesk tickets into google sheets with id, subject and colour",
        "every night at 2 copy airtable records to google sheets with name and colour",
    ],
    ids=["a column that items are not known to have", "columns that nobody described"],
)
def test_what_cannot_be_known_is_filled_in_by_the_person(text: str, ask: Ask) -> None:
    assert isinstance(ask(text).steps[-1].arguments["values"], FromParameter)


def test_an_event_gives_one_row_of_its_own_fields(ask: Ask) -> None:
    cells = ask("When a Shopify order is created, add a row to Google Sheets").steps[0].arguments["values"]
    assert isinstance(cells, Text)
    assert cells.form == "row"


@pytest.mark.parametrize(
    ("service", "operation", "there", "not_there"),
    [
        ("hubspot", "list_contacts", {"id", "properties.email"}, set()),
        ("jira", "search_issues", {"key", "fields.summary"}, {"fields.assignee.displayName"}),
        ("gmail", "list_messages", {"id", "threadId"}, {"snippet"}),
        ("airtable", "list_records", {"id", "createdTime"}, {"fields"}),
    ],
)
def test_only_what_every_item_has_is_certain(
    service: str, operation: str, there: set[str], not_there: set[str], catalogue: Catalogue
) -> None:
    known = catalogue.get(service)
    found = known.operation(operation)
    assert found is not None
    step = StepSpec(id="one", service=service, operation=operation, connection=f"{service}-default")
    items = items_of(step, known, found)
    assert there <= items.certain
    assert not_there.isdisjoint(items.certain)
    assert items.certain <= set(items.fields.values())


def test_the_columns_of_a_statement_are_those_it_asks_for(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask("every day at 6 read open orders from postgres and write them to google sheets")
    source = generate(design(analysis, catalogue), catalogue).source
    assert "values=[list(row_item.values()) for row_item in row]" in source


def test_a_clock_time_of_two_is_no_to(ask: Ask) -> None:
    steps = ask("every night at 2 copy airtable records to google sheets").steps
    assert [step.operation for step in steps] == ["list_records", "append_row"]
    assert steps[1].arguments["values"] == Text(
        parts=(
            FromStep(step="airtable_list_records", path="id"),
            FromStep(step="airtable_list_records", path="createdTime"),
        ),
        form="rows",
    )


def test_what_is_gone_through_is_read(ask: Ask) -> None:
    steps = ask("go through all airtable rows at 7pm and send each owner a slack message").steps
    assert [(step.service, step.operation) for step in steps] == [
        ("airtable", "list_records"),
        ("slack", "post_message"),
    ]
    assert steps[1].for_each == steps[0].id


def test_a_list_that_is_told_is_a_line_for_each_item(ask: Ask, catalogue: Catalogue) -> None:
    analysis = ask("every day at 9 get the GitHub issues in acme/site and post them to #dev in Slack")
    assert analysis.steps[-1].arguments["text"] == Text(
        parts=(
            FromStep(step="github_list_issues", path="title"),
            FromStep(step="github_list_issues", path="html_url"),
        ),
        form="lines",
    )
    source = generate(design(analysis, catalogue), catalogue).source
    assert 'text="\\n".join(issue_lines) or "No issues.",' in source
    assert "json" not in source


def test_a_list_is_mailed_with_what_it_is_as_its_subject(ask: Ask) -> None:
    text = "every day at 9 list the Zendesk tickets and mail them to ann@acme.example from Gmail"
    sent = ask(text).steps[-1].arguments
    assert (sent["to"], sent["subject"]) == (
        Constant(value="ann@acme.example"),
        Constant(value="Zendesk tickets"),
    )


def test_what_is_told_of_one_item_in_a_loop_is_what_it_says_itself(ask: Ask) -> None:
    step = ask("every day at 9 for each open Jira issue create an Asana task").steps[-1]
    assert step.arguments["name"] == FromStep(step="jira_search_issues", path="fields.summary")
    assert step.arguments["notes"] == FromStep(step="jira_search_issues", path="fields.description")


@pytest.mark.parametrize(
    "text",
    [
        "every day at 9 list the Trello cards and post them to #a in Slack",
        "every day at 9 get the GitHub issues in acme/site and post them to #dev in Slack",
        "every day at 9 list the Asana projects and post them to #a in Slack",
    ],
    ids=["one line inside", "two lines inside", "one line"],
)
def test_lines_are_laid_out_as_the_formatter_does(text: str, ask: Ask, catalogue: Catalogue) -> None:
    source = generate(design(ask(text), catalogue), catalogue).source
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "88", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == source
