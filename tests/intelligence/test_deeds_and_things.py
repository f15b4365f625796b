"""An event or an operation is only taken where its thing and its verb fit the words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.deeds import asked, deeds, method_for
from prefect_autopilot.intelligence.events import announces, thing_beside
from prefect_autopilot.intelligence.operations import choose_operation
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue

Ask = Callable[..., Analysis]

DELETING = ["delete", "remove", "erase", "wipe", "purge", "trash", "destroy"]
UPDATING = ["update", "edit", "modify", "change", "rename", "replace", "overwrite"]
CREATING = ["create", "make", "insert", "post", "send", "upload", "publish", "notify"]
THINGS = ["it", "the record", "the contact", "the task", "every row", "the message", "the file", "the issue"]


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("verb", DELETING)
def test_who_deletes_is_given_nothing_that_makes_or_changes(
    verb: str, thing: str, catalogue: Catalogue
) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, f"{verb} {thing}", "sink")
        assert chosen is None or "delete" in deeds(chosen), f"{service.id}.{chosen.id}"


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("verb", [*UPDATING, *CREATING])
def test_who_does_not_delete_is_given_nothing_that_deletes(
    verb: str, thing: str, catalogue: Catalogue
) -> None:
    for service in catalogue.services:
        for direction in ("sink", "source", "tool"):
            chosen = choose_operation(service, f"{verb} {thing}", direction)
            assert chosen is None or deeds(chosen) != {"delete"}, f"{service.id}.{chosen.id}"


@pytest.mark.parametrize("verb", CREATING)
def test_who_creates_is_given_nothing_that_only_changes(verb: str, catalogue: Catalogue) -> None:
    for service in catalogue.services:
        chosen = choose_operation(service, f"{verb} a new thing", "sink")
        assert chosen is None or deeds(chosen) != {"update"}, f"{service.id}.{chosen.id}"


STORAGES = {
    "google_drive": "upload_file",
    "microsoft_onedrive": "upload_file",
    "box": "upload_file",
    "dropbox": "upload_file",
    "aws_s3": "put_object",
}
KEPT = [
    "upload the file",
    "save it",
    "save them as a text file",
    "back up our records",
    "back it up",
    "dump the orders",
    "store the receipt",
    "archive new messages",
    "export the customers as a csv",
    "write a summary into a file",
    "create a text file",
    "put the report",
    "send the rows",
    "upload new contacts",
]


@pytest.mark.parametrize("said", KEPT)
@pytest.mark.parametrize("service", STORAGES)
def test_what_goes_to_a_storage_is_uploaded(service: str, said: str, catalogue: Catalogue) -> None:
    entry = catalogue.get(service)
    chosen = choose_operation(entry, f"{said} to {entry.name}".lower(), "sink", is_filled=True)
    assert chosen is not None
    assert chosen.id == STORAGES[service]


@pytest.mark.parametrize(
    ("said", "service", "operation"),
    [
        ("create a folder", "google_drive", "create_file"),
        ("create a new folder for the client", "box", "create_folder"),
        ("make a folder", "dropbox", "create_folder"),
        ("delete the file", "google_drive", "delete_file"),
        ("copy the item", "microsoft_onedrive", "copy_item"),
        ("share the file", "google_drive", "share_file"),
        ("upload the video", "youtube", "upload_video"),
        ("create a deal", "hubspot", "create_deal"),
    ],
)
def test_what_is_asked_of_a_storage_by_name_is_no_upload(
    said: str, service: str, operation: str, catalogue: Catalogue
) -> None:
    chosen = choose_operation(catalogue.get(service), said, "sink")
    assert chosen is not None
    assert chosen.id == operation


@pytest.mark.parametrize("verb", ["create", "make", "update", "delete", "get", "list", "find", "post"])
def test_every_operation_is_only_taken_for_its_own_kind_of_verb(verb: str, catalogue: Catalogue) -> None:
    for service in catalogue.services:
        for operation in service.operations:
            noun = operation.id.partition("_")[2].replace("_", " ") or "it"
            chosen = choose_operation(service, f"{verb} {noun}", "sink")
            if chosen is not None and verb == "delete":
                assert "delete" in deeds(chosen), f"{service.id}.{chosen.id} for {verb} {noun}"
            elif chosen is not None:
                assert deeds(chosen) != {"delete"}, f"{service.id}.{chosen.id} for {verb} {noun}"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("delete every record", {"delete"}),
        ("please remove it", {"delete"}),
        ("it deletes the card", {"delete"}),
        ("post the deletes", {"create"}),
        ("post the update to slack", {"create"}),
        ("update the card", {"update"}),
        ("updates from jira", {"update"}),
        ("the update", set()),
        ("archive it", {"create", "update", "delete"}),
        ("drop it", {"create", "delete"}),
        ("list the cards", {"read"}),
        ("something else", set()),
        ("", set()),
    ],
)
def test_the_first_verb_says_what_is_asked_for(said: str, wanted: set[str]) -> None:
    assert asked(said) == wanted


@pytest.mark.parametrize(
    ("service", "operation", "does"),
    [
        ("airtable", "delete_record", {"delete"}),
        ("airtable", "create_records", {"create"}),
        ("airtable", "list_records", {"read"}),
        ("airtable", "update_records", {"update"}),
        ("trello", "update_card", {"update"}),
        ("slack", "post_message", {"create"}),
        ("jira", "transition_issue", {"update"}),
        ("postgres", "execute", {"update", "delete"}),
        ("todoist", "close_task", {"update"}),
    ],
)
def test_name_phrases_and_method_say_what_an_operation_does(
    service: str, operation: str, does: set[str], catalogue: Catalogue
) -> None:
    found = catalogue.get(service).operation(operation)
    assert found is not None
    assert deeds(found) >= does
    assert deeds(found) - does <= {"create", "update", "delete"} - (
        {"delete"} if "delete" not in does else set()
    )


@pytest.mark.parametrize(
    ("wanted", "is_read", "method"),
    [
        ({"delete"}, False, "DELETE"),
        ({"update"}, False, "PATCH"),
        ({"create"}, False, "POST"),
        ({"read"}, False, "POST"),
        (set(), False, "POST"),
        ({"create", "delete"}, False, "POST"),
        ({"delete"}, True, "GET"),
    ],
)
def test_a_request_by_hand_has_the_method_of_the_verb(
    wanted: set[str], *, is_read: bool, method: str
) -> None:
    assert method_for(frozenset(wanted), is_read=is_read) == method


OTHER_THINGS = [
    ("When there is a new release in GitHub, post to Slack #dev", "github", "new_release"),
    ("New releases in GitHub to Slack", "github", "new_release"),
    ("new GitHub releases -> Slack", "github", "new_release"),
    ("New Shopify customers to Google Sheets", "shopify", "new_customer"),
    ("whenever Shopify's customer list grows, tell Slack", "shopify", "new_customer"),
    ("Tweet me when I get new followers on Twitter", "twitter", "new_follower"),
    ("add my new Instagram followers to Airtable", "instagram", "new_follower"),
    ("New comments on Trello cards to Slack", "trello", "new_comment"),
    ("When I get a new YouTube subscriber post to Discord", "youtube", "new_subscriber"),
    ("New Slack channels to Notion", "slack", "new_channel"),
    ("When a customer leaves a review in Shopify, post it to Slack", "shopify", "new_review"),
    ("When a GitHub issue is closed tell Slack", "github", "issue_closed"),
    ("Whenever a deal is won in Pipedrive, create an invoice in Xero", "pipedrive", "deal_won"),
    ("when an order is refunded in shopify post in slack", "shopify", "order_refunded"),
]


@pytest.mark.parametrize(("text", "service", "event"), OTHER_THINGS, ids=[row[0] for row in OTHER_THINGS])
def test_an_event_of_another_thing_is_never_taken_and_what_there_is_is_told(
    text: str, service: str, event: str, ask: Ask, catalogue: Catalogue
) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert (analysis.trigger.service, analysis.trigger.event) == (service, event)
    offered = [t.event.replace("_", " ") for t in catalogue.get(service).triggers]
    if offered:
        [told] = [reason for reason in analysis.reasons if "announces no" in reason]
        assert all(one in told for one in offered)


SAME_THINGS = [
    ("New sale in Stripe -> Slack #money", "stripe", "new_payment"),
    ("new woocommerce customer -> mailchimp", "woocommerce", "new_customer"),
    ("new leads in google sheets to hubspot", "google_sheets", "new_row"),
    ("new Typeform answers to Google Sheets", "typeform", "new_response"),
    ("When someone DMs me in Slack, email me with Gmail", "slack", "message"),
    ("new attachments in Gmail to Dropbox", "gmail", "new_message"),
    ("when a new video is uploaded to YouTube post it on Discord", "youtube", "new_video"),
    ("new Zendesk tickets to Slack", "zendesk", "new_ticket"),
]


@pytest.mark.parametrize(("text", "service", "event"), SAME_THINGS, ids=[row[0] for row in SAME_THINGS])
def test_other_words_for_the_thing_find_its_event(text: str, service: str, event: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert (analysis.trigger.service, analysis.trigger.event) == (service, event)
    assert not any("announces no" in reason for reason in analysis.reasons)


def test_an_event_that_is_assumed_is_told_with_the_others_there_are(ask: Ask) -> None:
    [told] = [reason for reason in ask("Stripe to Slack").reasons if "is assumed" in reason]
    assert "new payment" in told
    assert "payment failed" in told


@pytest.mark.parametrize(
    ("before", "after", "thing"),
    [
        ("new releases in ", "", "release"),
        ("new ", " customers to x", "customer"),
        ("new comments on ", " cards", "comment"),
        ("companies in ", "", "company"),
        ("when ", "'s order list grows", "order"),
        ("something in ", " here", None),
        ("", "", None),
        ("a" * 5000 + " ", " " + "b" * 5000, None),
    ],
    ids=["before", "after", "on", "plural in -ies", "genitive", "no thing", "nothing", "long"],
)
def test_the_thing_is_read_beside_the_name(before: str, after: str, thing: str | None) -> None:
    assert thing_beside(before, after) == thing


def test_whatever_is_new_in_a_sheet_or_mailbox_is_its_row_or_message(catalogue: Catalogue) -> None:
    assert announces(catalogue.get("google_sheets"), "lead")
    assert announces(catalogue.get("gmail"), "invoice")
    assert not announces(catalogue.get("gmail"), "folder")
    assert not announces(catalogue.get("github"), "release")


def test_a_name_that_is_the_order_itself_is_where_things_go(ask: Ask) -> None:
    analysis = ask("Tweet every WordPress post")
    assert analysis.trigger is not None
    assert analysis.trigger.service == "wordpress"
    assert [(s.service, s.operation) for s in analysis.steps] == [("twitter", "create_tweet")]


def test_a_city_before_time_is_a_zone_and_no_newspaper(ask: Ask) -> None:
    analysis = ask("Post a summary of my Jira issues to Slack every day at 9am new york time")
    assert {match.service for match in analysis.services} == {"jira", "slack"}
    assert analysis.trigger is not None
    assert (analysis.trigger.cron, analysis.trigger.timezone) == ("0 9 * * *", "America/New_York")


def test_what_is_sent_to_a_webhook_is_sent_to_its_address(ask: Ask) -> None:
    analysis = ask("Send new Stripe payments to the webhook https://hooks.example.com/x.")
    [step] = analysis.steps
    assert (step.service, step.operation) == ("http", "request")
    values = {name: getattr(value, "value", None) for name, value in step.arguments.items()}
    assert values["url"] == "https://hooks.example.com/x"
    assert values["method"] == "POST"
    assert analysis.trigger is not None
    assert analysis.trigger.event == "new_payment"


GONE_THROUGH = [
    ("for every row in my Google Sheet send an email with Gmail", "manual", "google_sheets_read_range"),
    ("send an sms with twilio for each row in the airtable base", "manual", "airtable_list_records"),
    (
        "every monday at 8, for each row in google sheets create a trello card",
        "schedule",
        "google_sheets_read_range",
    ),
]


@pytest.mark.parametrize(("text", "start", "read"), GONE_THROUGH, ids=[row[0] for row in GONE_THROUGH])
def test_for_every_row_that_is_there_is_a_loop(text: str, start: str, read: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.trigger is not None
    assert analysis.trigger.type == start
    first, last = analysis.steps
    assert first.id == read
    assert last.for_each == read


def test_for_every_new_row_is_an_event(ask: Ask) -> None:
    analysis = ask("for every new row in my Google Sheet send an email with Gmail")
    assert analysis.trigger is not None
    assert (analysis.trigger.type, analysis.trigger.event) == ("app_event", "new_row")
    assert [step.for_each for step in analysis.steps] == [None]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Send to Slack but don't use Slack", "contradiction_slack"),
        ("Post to Slack #general once a week every day", "when"),
        ("every day once a month post to slack", "when"),
        ("delete every record in Airtable", "everything"),
        ("remove all cards in trello", "everything"),
    ],
)
def test_what_contradicts_itself_or_takes_everything_is_asked(text: str, question: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert question in {one.id for one in analysis.questions}


@pytest.mark.parametrize(
    "text",
    [
        "post to slack #a every day at 9 but not to slack #b",
        "Post to Slack #general once a week on mondays at 9",
        "post to slack every hour every weekday",
        "send the weekly report to slack every monday at 8",
        "delete the trello card when a github issue is opened",
    ],
)
def test_what_only_looks_like_a_contradiction_is_not_asked(text: str, ask: Ask) -> None:
    asked_for = {question.id for question in ask(text).questions}
    assert not asked_for & {"when", "everything", "contradiction_slack"}
