"""Which services a request uses, and which it only talks about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.document import read
from prefect_autopilot.intelligence.lexicon import edit_distance, lexicon, skeleton, squeeze
from prefect_autopilot.intelligence.mentions import find_mentions
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

NAMED = [
    ("post new Shopify orders to Discord", {"shopify", "discord"}),
    ("copy pipedrive deals into google sheets", {"pipedrive", "google_sheets"}),
    ("google-sheets row to a Trello card", {"google_sheets", "trello"}),
    ("GoogleSheets to HubSpot", {"google_sheets", "hubspot"}),
    ("hub spot contacts to mail chimp", {"hubspot", "mailchimp"}),
    ("send zendesk tickets to ms teams", {"zendesk", "microsoft_teams"}),
    ("ask GPT-5-mini to translate intercom messages", {"openai", "intercom"}),
    ("have Claude 4 sort github issues", {"anthropic", "github"}),
    ("load mixpanel events into snowflake", {"mixpanel", "snowflake"}),
    ("Slack's new messages to Notion", {"slack", "notion"}),
    ("jira/confluence: create a page for each issue", {"jira", "confluence"}),
    ("upload invoices from xero to dropbox", {"xero", "dropbox"}),
    ("put airtable records in a s3 bucket", {"airtable", "aws_s3"}),
    ("each new outlook email becomes a todoist task", {"microsoft_outlook", "todoist"}),
    ("excel rows to postgres", {"microsoft_excel", "postgres"}),
    ("ＳＬＡＣＫ alert for new gitlab issues", {"slack", "gitlab"}),
    ("post to sl\u200back when jira issues close", {"slack", "jira"}),
]


@pytest.mark.parametrize(("text", "expected"), NAMED, ids=[text for text, _ in NAMED])
def test_services_are_found_by_name(text: str, expected: set[str], ask: Ask, services_of: Used) -> None:
    assert services_of(ask(text)) == expected


MISSPELT = [
    ("send stripe payments to slak", {"stripe", "slack"}),
    ("new hubspott contacts into mailchmp", {"hubspot", "mailchimp"}),
    ("post shopfy orders to discrod", {"shopify", "discord"}),
    ("copy from airtabel to postgress", {"airtable", "postgres"}),
    ("add typefrom answers to salesfroce", {"typeform", "salesforce"}),
    ("zendsk tickets to jirra? no, to asanna", {"zendesk", "asana"}),
    ("upload to dropbocks from pipedriv", {"dropbox", "pipedrive"}),
]


@pytest.mark.parametrize(("text", "expected"), MISSPELT, ids=[text for text, _ in MISSPELT])
def test_misspelt_names_are_read(text: str, expected: set[str], ask: Ask, services_of: Used) -> None:
    assert services_of(ask(text)) >= expected


WORDS = [
    "striped shirts and stripes on slacks",
    "a demonstration of the notions behind it",
    "recieve the adress and the calender entry",
    "tommorow we definately seperate the occured events",
    "the tables are dropped in boxes",
    "teh custmer wantd an upgrde",
]


@pytest.mark.parametrize("text", WORDS)
def test_misspelt_words_are_no_services(text: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(text), lexicon(catalogue)) == ()


ORDINARY = [
    ("every monday post the numbers to slack", {"slack"}),
    ("close the jira issue when the deal is won in pipedrive", {"jira", "pipedrive"}),
    ("in front of the office, in a linear order, make a list in trello", {"trello"}),
    ("send me the square of the number in slack", {"slack"}),
    ("draw a line under it in notion", {"notion"}),
    ("at the front desk a box arrives: tell discord", {"discord"}),
    ("our drift detection writes to postgres", {"postgres"}),
    ("segment the customers of shopify by country", {"shopify"}),
    ("the best medium to reach them is twilio", {"twilio"}),
    ("make sure hubspot gets it", {"hubspot"}),
]


@pytest.mark.parametrize(("text", "expected"), ORDINARY, ids=[text for text, _ in ORDINARY])
def test_ordinary_words_are_no_services(text: str, expected: set[str], ask: Ask, services_of: Used) -> None:
    assert services_of(ask(text)) == expected


BRANDS = [
    ("upload the contract to Box", "box"),
    ("create an item in monday.com", "monday"),
    ("new Front conversations to Slack", "front"),
    ("add the lead to Close", "close_crm"),
    ("file a linear issue when sentry breaks", "linear"),
    ("create a ghost post from it", "ghost"),
    ("new Square payments into quickbooks", "square"),
    ("post it on X and linkedin", "twitter"),
    ("save the file in drive", "google_drive"),
    ("send it to our teams channel", "microsoft_teams"),
    ("drop it in our teams chanel", "microsoft_teams"),
]


@pytest.mark.parametrize(("text", "service"), BRANDS, ids=[text for text, _ in BRANDS])
def test_ordinary_words_with_evidence_are_services(
    text: str, service: str, ask: Ask, services_of: Used
) -> None:
    assert service in services_of(ask(text))


def test_a_connected_service_needs_no_capital(ask: Ask, services_of: Used) -> None:
    assert "box" not in services_of(ask("when a file lands box it for slack"))
    assert "front" in services_of(ask("notify front when a stripe payment fails", "front", "stripe"))


EXCLUDED = [
    ("post new jira issues to teams, not slack", {"jira", "microsoft_teams"}, {"slack"}),
    ("do not use trello, create the task in asana for new github issues", {"asana", "github"}, {"trello"}),
    ("use discord instead of slack for new stripe charges", {"discord", "stripe"}, {"slack"}),
    ("send shopify orders to xero without touching quickbooks", {"shopify", "xero"}, {"quickbooks"}),
    ("never post to twitter, only to linkedin when ghost publishes", {"linkedin"}, {"twitter"}),
    ("no more mailchimp: add typeform leads to brevo", {"typeform", "brevo"}, {"mailchimp"}),
    (
        "rather than asana or trello use clickup for new zendesk tickets",
        {"clickup", "zendesk"},
        {"asana", "trello"},
    ),
    ("copy hubspot deals to airtable but don't touch salesforce", {"hubspot", "airtable"}, {"salesforce"}),
    (
        "please avoid dropbox, save pipedrive files to google drive",
        {"pipedrive", "google_drive"},
        {"dropbox"},
    ),
]


@pytest.mark.parametrize(("text", "wanted", "unwanted"), EXCLUDED, ids=[text for text, _, _ in EXCLUDED])
def test_excluded_services_are_never_used(
    text: str, wanted: set[str], unwanted: set[str], ask: Ask, services_of: Used
) -> None:
    analysis = ask(text)
    assert services_of(analysis) >= wanted
    assert not services_of(analysis) & unwanted
    named = {step.service for step in analysis.steps} | {
        analysis.trigger.service if analysis.trigger else None
    }
    assert not named & unwanted
    roles = {match.service: match.role for match in analysis.services}
    assert all(roles[service] == "excluded" for service in unwanted)


HARMLESS = [
    ("if a stripe invoice is not paid, message slack", {"stripe", "slack"}),
    (
        "when a deal has not moved in pipedrive, tell teams on microsoft teams",
        {"pipedrive", "microsoft_teams"},
    ),
    ("don't forget to update hubspot when a typeform comes in", {"hubspot", "typeform"}),
    ("do not only post to slack but also to discord for new github releases", {"slack", "discord", "github"}),
    ("never open a second asana task if the jira bug has one, for new jira bugs", {"asana", "jira"}),
    ("ping slack no more often than hourly when sentry reports", {"slack", "sentry"}),
]


@pytest.mark.parametrize(("text", "wanted"), HARMLESS, ids=[text for text, _ in HARMLESS])
def test_a_negated_state_or_limit_excludes_nothing(
    text: str, wanted: set[str], ask: Ask, services_of: Used
) -> None:
    assert services_of(ask(text)) == wanted


MENTIONED = [
    ("we moved away from trello. create asana tasks for new zendesk tickets", {"asana", "zendesk"}, "trello"),
    (
        "we used to use mailchimp, now add new shopify customers to klaviyo",
        {"shopify", "klaviyo"},
        "mailchimp",
    ),
    ("I'm a salesforce consultant; send new calendly bookings to slack", {"calendly", "slack"}, "salesforce"),
    (
        "write an article about how Notion beats Evernote with chatgpt and publish it on wordpress",
        {"openai", "wordpress"},
        "notion",
    ),
    (
        "we switched from intercom to zendesk last month, post new zendesk tickets to slack",
        {"zendesk", "slack"},
        "intercom",
    ),
    ("we left pipedrive. put new typeform leads into hubspot", {"typeform", "hubspot"}, "pipedrive"),
    ("replace basecamp with asana: new gmail mails become tasks", {"asana", "gmail"}, "basecamp"),
]


@pytest.mark.parametrize(("text", "wanted", "talk"), MENTIONED, ids=[text for text, _, _ in MENTIONED])
def test_a_service_that_is_only_talked_about_is_not_used(
    text: str, wanted: set[str], talk: str, ask: Ask, services_of: Used
) -> None:
    found = services_of(ask(text))
    assert talk not in found
    assert found == wanted


def test_a_tool_in_use_fills_what_no_other_is_named_for(ask: Ask, services_of: Used) -> None:
    text = (
        "we switched from sendinblue to mailerlite this spring. when someone buys on shopify add them to "
        "the newsletter"
    )
    analysis = ask(text)
    assert "mailerlite" in services_of(analysis)


def test_words_inside_links_and_addresses_are_no_services(ask: Ask, services_of: Used) -> None:
    text = "post https://hooks.slack.com/services/T0 and mail bob@github.com for new trello cards to discord"
    assert not services_of(ask(text)) & {"slack", "github"}


def test_every_span_is_the_text_it_cites(ask: Ask) -> None:
    text = "\u200bWhen\u00a0a ＧｉｔＨｕｂ issue opens → tell “Slack”"
    for match in ask(text).services:
        assert match.spans
        for span in match.spans:
            assert text[span.start : span.end] == span.text


def test_the_same_service_is_listed_once_with_all_its_places(ask: Ask) -> None:
    analysis = ask("when a slack message is starred post it in another slack channel")
    assert [match.service for match in analysis.services] == ["slack"]
    assert len(analysis.services[0].spans) == 2


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("slak", "slack", 1),
        ("slcak", "slack", 1),
        ("slack", "slack", 0),
        ("trelo", "trello", 1),
        ("abc", "xyzuv", 3),
    ],
)
def test_edits_are_counted_with_swaps_as_one(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right, 2) == distance


def test_names_are_squeezed_and_sounds_compared() -> None:
    assert squeeze("Google-Sheets") == squeeze("google sheets") == "googlesheets"
    assert skeleton("tweeter") == skeleton("twitter")
    assert skeleton("slak") == skeleton("slack")
    assert skeleton("asana") != skeleton("trello")
