"""What is done to the thing the event is about ("archive it"), and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.same_thing import doing, id_of_it, new_state
from prefect_autopilot.models import Analysis, Constant, FromParameter, FromTrigger
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

DONE = {
    "archive a mail": (
        "when a gmail message from news@shop.example arrives, archive it",
        "gmail.modify_labels",
        {"id": FromTrigger(path="id"), "removeLabelIds": Constant(value=["INBOX"])},
    ),
    "star a mail": (
        "When a new email arrives in Gmail from ann@acme.example, star it",
        "gmail.modify_labels",
        {"id": FromTrigger(path="id"), "addLabelIds": Constant(value=["STARRED"])},
    ),
    "close a ticket": (
        "when a zendesk ticket is created with tag spam, close it",
        "zendesk.update_ticket",
        {"id": FromTrigger(path="id"), "status": Constant(value="closed")},
    ),
    "resolve the ticket": (
        "when a freshdesk ticket is created, resolve the ticket",
        "freshdesk.update_ticket",
        {"id": FromTrigger(path="id"), "status": Constant(value=4)},
    ),
    "complete a task": (
        "when a new asana task is created, complete it",
        "asana.update_task",
        {"task_gid": FromTrigger(path="id"), "completed": Constant(value=True)},
    ),
    "archive a page": (
        "when a notion page is created, archive it",
        "notion.update_page",
        {"page_id": FromTrigger(path="id"), "archived": Constant(value=True)},
    ),
    "archive a card": (
        "when a new trello card is created, archive it",
        "trello.update_card",
        {"id": FromTrigger(path="id"), "closed": Constant(value=True)},
    ),
    "comment on it": (
        'when a new github issue is opened, comment on it "thanks"',
        "github.create_comment",
        {"issue_number": FromTrigger(path="number"), "body": Constant(value="thanks")},
    ),
    "comment on the issue": (
        'when a new jira issue is created, comment "on it" on the issue',
        "jira.add_comment",
        {"issueIdOrKey": FromTrigger(path="key"), "body": Constant(value="on it")},
    ),
}


@pytest.mark.parametrize(("text", "called", "expected"), DONE.values(), ids=DONE)
def test_it_is_the_thing_of_the_event(text: str, called: str, expected: dict[str, object], ask: Ask) -> None:
    analysis = ask(text)
    assert (analysis.status, analysis.questions) == ("flow", ())
    (step,) = analysis.steps
    assert f"{step.service}.{step.operation}" == called
    assert {name: step.arguments[name] for name in expected} == expected


def test_two_things_are_done_to_one_mail(ask: Ask) -> None:
    text = "When a Gmail message arrives from ann@acme.example, star it and forward it to bob@acme.example"
    star, forward = ask(text).steps
    assert (star.operation, forward.operation) == ("modify_labels", "send_message")
    assert forward.arguments["to"] == Constant(value="bob@acme.example")


def test_a_thing_of_another_service_is_asked_for_and_keeps_its_texts(ask: Ask) -> None:
    (close, _) = ask(
        "when a github pull request is merged, close the jira ticket and tell #releases on slack"
    ).steps
    assert close.operation == "transition_issue"
    assert all(isinstance(one, FromParameter) for one in close.arguments.values())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("update the jira ticket when a github issue is opened", {"summary", "description"}),
        ("when a github issue is opened, update the asana task", {"name", "notes"}),
    ],
    ids=["jira", "asana"],
)
def test_what_is_there_is_not_overwritten_with_what_nobody_said(text: str, kept: set[str], ask: Ask) -> None:
    (step,) = ask(text).steps
    assert kept.isdisjoint(step.arguments)


def test_a_new_title_that_is_said_is_taken(ask: Ask) -> None:
    (step,) = ask('when a github issue is opened, update the asana task with the title "Look here"').steps
    assert step.arguments["name"] == Constant(value="Look here")


@pytest.mark.parametrize(
    ("service", "operation", "parameter", "event", "expected"),
    [
        ("trello", "update_card", "id", "new_card", "id"),
        ("trello", "list_cards", "id", "new_card", None),
        ("gmail", "modify_labels", "id", "new_message", "id"),
        ("gmail", "modify_labels", "user_id", "new_message", None),
        ("github", "create_comment", "issue_number", "new_issue", "number"),
        ("github", "create_comment", "owner", "new_issue", None),
        ("gitlab", "comment_issue", "issue_iid", "new_issue", "iid"),
        ("gitlab", "comment_issue", "id", "new_issue", None),
        ("jira", "transition_issue", "issueIdOrKey", "issue_created", "key"),
        ("jira", "transition_issue", "transition_id", "issue_created", None),
        ("clickup", "create_task", "list_id", "new_task", None),
        ("clickup", "update_task", "task_id", "new_task", "id"),
    ],
)
def test_only_the_id_of_the_same_kind_of_thing_is_taken(
    service: str, operation: str, parameter: str, event: str, expected: str | None, catalogue: Catalogue
) -> None:
    known = catalogue.get(service)
    found = known.operation(operation)
    assert found is not None
    wanted = next(one for one in found.parameters if one.name == parameter)
    trigger = next(one for one in known.triggers if one.event == event)
    assert id_of_it(found, wanted, trigger) == (FromTrigger(path=expected) if expected else None)


def test_every_state_of_the_table_is_one_its_service_takes(catalogue: Catalogue) -> None:
    for one in table("states")["state"]:
        service_id, operation_id = one["operation"].split(".")
        operation = catalogue.get(service_id).operation(operation_id)
        assert operation is not None, one["operation"]
        assert set(one["values"]) <= {parameter.name for parameter in operation.parameters}


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("mark it as read", {"removeLabelIds": ["UNREAD"]}),
        ("mark it as unread", {"addLabelIds": ["UNREAD"]}),
        ("mark it as important", {"addLabelIds": ["IMPORTANT"]}),
        ("archive it", {"removeLabelIds": ["INBOX"]}),
        ("label it", {}),
        ("restart it", {}),
    ],
)
def test_a_verb_gives_the_values_of_its_state(
    said: str, values: dict[str, object], catalogue: Catalogue
) -> None:
    gmail = catalogue.get("gmail")
    operation = gmail.operation("modify_labels")
    assert operation is not None
    assert new_state(gmail, operation, said) == {key: Constant(value=one) for key, one in values.items()}


@pytest.mark.parametrize(
    ("service", "verb", "operation"),
    [
        ("todoist", "complete", "close_task"),
        ("zendesk", "close", "update_ticket"),
        ("notion", "archive", "update_page"),
        ("slack", "archive", None),
        ("gmail", "bake", None),
    ],
)
def test_what_a_service_does_to_its_things(
    service: str, verb: str, operation: str | None, catalogue: Catalogue
) -> None:
    found = doing(catalogue.get(service), verb)
    assert (found.id if found else None) == operation


def test_who_archives_channels_posts_nothing(ask: Ask) -> None:
    (step,) = ask("archive old slack channels every monday at 9").steps
    assert step.operation != "post_message"


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("when a typeform is submitted, create a hubspot deal", "create_contact"),
        ("when a stripe payment fails, make a hubspot invoice", "create_contact"),
    ],
    ids=["deal", "invoice"],
)
def test_nothing_else_is_made_than_what_is_named(text: str, operation: str, ask: Ask) -> None:
    (step,) = ask(text).steps
    assert step.operation != operation
