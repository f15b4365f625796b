"""Whole requests as people write them: several sentences, lists, stories. What is used, and what is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.intelligence.steps import GENERIC
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import Catalogue, load_catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

# name, request, services used, status, ids of the questions
WHOLE = [
    (
        "a bakery's orders",
        (
            "We run a small bakery. Every new WooCommerce order should be added to our Google Sheet, "
            "and if it is a cake order, post it to the kitchen channel on Slack."
        ),
        "woocommerce google_sheets slack",
        "flow",
        "",
    ),
    (
        "a landlord's leaks",
        (
            "Tenants report leaks through a Jotform. When one comes in, create a card in Trello and "
            "text the plumber via Twilio. Do not email anybody."
        ),
        "jotform trello twilio",
        "flow",
        "",
    ),
    (
        "a studio's bookings",
        "hi! when someone books in Calendly pls add them to Mailchimp and put a row in Airtable. thx",
        "calendly mailchimp airtable",
        "flow",
        "",
    ),
    (
        "an on-call rota",
        (
            "When Datadog raises an alert, open an incident in PagerDuty, post it in Microsoft Teams "
            "and create a Jira issue. Slack is only for the designers, so don't post to Slack."
        ),
        "datadog pagerduty microsoft_teams jira",
        "flow",
        "",
    ),
    (
        "a researcher's reading list",
        (
            "Each weekday at 7:30 fetch new arXiv papers, let Claude summarise them and save the "
            "summary in Notion."
        ),
        "arxiv anthropic notion",
        "flow",
        "",
    ),
    (
        "a shop that moved",
        (
            "Two years ago we moved from Magento to Shopify. Whenever a Shopify order comes in, "
            "write it to QuickBooks and tell the accountant in Gmail."
        ),
        "shopify quickbooks gmail",
        "flow",
        "",
    ),
    (
        "an agency's handover",
        (
            "Once a deal is created in Pipedrive: 1) create a project in Asana 2) create a folder in "
            "Google Drive 3) send a welcome mail with Gmail 4) announce it in Slack."
        ),
        "pipedrive asana google_drive gmail slack",
        "flow",
        "",
    ),
    (
        "a list of bullets",
        (
            "When a Typeform is submitted:\n- add the person to HubSpot\n- send a text with Twilio\n- "
            "post to Discord"
        ),
        "typeform hubspot twilio discord",
        "flow",
        "",
    ),
    (
        "a chain of arrows",
        "Stripe -> Xero -> Slack",
        "stripe xero slack",
        "flow",
        "",
    ),
    (
        "a support desk",
        (
            "New Zendesk tickets marked urgent must be posted to #fires on Slack, the others go to a "
            "Google Sheet."
        ),
        "zendesk slack google_sheets",
        "flow",
        "",
    ),
    (
        "a podcast",
        (
            "after I upload a new episode to YouTube, tweet the link, share it on LinkedIn and save "
            "it to Notion"
        ),
        "youtube twitter linkedin notion",
        "flow",
        "",
    ),
    (
        "release notes",
        (
            "When a pull request is opened on GitHub, have ChatGPT rewrite the notes for customers, "
            "publish them on WordPress and post a link to Discord."
        ),
        "github openai wordpress discord",
        "flow",
        "",
    ),
    (
        "a warehouse",
        (
            "Every night at 2am copy all Salesforce accounts into Snowflake. If anything fails, "
            "alert me on Slack."
        ),
        "salesforce snowflake slack",
        "flow",
        "",
    ),
    (
        "people and papers",
        (
            "When a candidate is marked as hired in Greenhouse, create the contract in PandaDoc and "
            "add the person to BambooHR."
        ),
        "greenhouse pandadoc bamboohr",
        "flow",
        "",
    ),
    (
        "a smart office",
        (
            "When the weather in OpenWeatherMap says rain, turn on the Philips Hue lamp and tell us "
            "in Telegram"
        ),
        "openweathermap philips_hue telegram",
        "flow",
        "",
    ),
    (
        "a question instead of an order",
        (
            "Can you make it so that whenever a card is added in Trello, the client hears about "
            "it on WhatsApp?"
        ),
        "trello whatsapp",
        "flow",
        "",
    ),
    (
        "a wish in many words",
        (
            "What I would really love, if that is at all possible, is that each time somebody stars "
            "our repository on GitHub we get a little message in Slack. That would be great!"
        ),
        "github slack",
        "flow",
        "",
    ),
    (
        "shouting",
        "WHEN A STRIPE PAYMENT FAILS POST IT TO SLACK AND CREATE A ZENDESK TICKET!!!",
        "stripe slack zendesk",
        "flow",
        "",
    ),
    (
        "no capitals and no stops",
        (
            "when a stripe payment fails post it to slack and create a zendesk ticket then add a row "
            "in airtable"
        ),
        "stripe slack zendesk airtable",
        "flow",
        "",
    ),
    (
        "mail without a brand",
        "When a customer emails us a complaint, create a Zendesk ticket and tell the manager in Slack.",
        "zendesk slack",
        "clarify",
        "service_email",
    ),
    (
        "a CRM without a brand",
        "New Typeform answers go into our CRM. Then tell the sales channel in Slack.",
        "typeform slack",
        "clarify",
        "service_crm",
    ),
    (
        "two kinds without a brand",
        ("When an invoice arrives by email, save the PDF in Dropbox and note the amount in a spreadsheet."),
        "dropbox",
        "clarify",
        "service_email service_spreadsheet",
    ),
    (
        "a reminder without a way",
        "Every Friday at 4pm remind me about the open invoices in Xero.",
        "xero",
        "clarify",
        "service_notification",
    ),
    (
        "an undecided person",
        "When a Stripe payment fails, post it to Slack or Discord, I have not decided yet.",
        "stripe",
        "clarify",
        "choice_slack_discord",
    ),
    (
        "a house-made system",
        "When Zorblify-9 reports a fault, create a Jira issue and tell Slack.",
        "jira slack",
        "clarify",
        "unknown_zorblify-9",
    ),
    (
        "a story with an aside",
        (
            "So last week our intern deleted half the Trello board, anyway: when a new issue is "
            "opened in GitHub, post it to Slack."
        ),
        "github slack",
        "flow",
        "",
    ),
    (
        "who is asking",
        "I'm a Webflow developer. Whenever a form of a client arrives in Typeform, add it to Airtable.",
        "typeform airtable",
        "flow",
        "",
    ),
    (
        "an either-or that is none",
        "When a GitHub issue or a Jira issue is opened, post it to Slack.",
        "github jira slack",
        "flow",
        "",
    ),
    (
        "quotes that hold a name",
        'When a Trello card is called "Slack time", archive it and add a row in Airtable.',
        "trello airtable",
        "flow",
        "",
    ),
    (
        "a link to a service",
        (
            "When a row is added to the sheet https://docs.google.com/spreadsheets/d/1abc in Google "
            "Sheets, post it to Discord."
        ),
        "google_sheets discord",
        "flow",
        "",
    ),
]


@pytest.mark.parametrize(
    ("text", "services", "status", "questions"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE]
)
class TestWholeRequest:
    """What a person would expect of each request."""

    def test_uses_exactly_the_services_meant(
        self, text: str, services: str, status: str, questions: str, ask: Ask, services_of: Used
    ) -> None:
        assert services_of(ask(text)) == set(services.split()), (status, questions)

    def test_is_answered_as_expected(
        self, text: str, services: str, status: str, questions: str, ask: Ask
    ) -> None:
        analysis = ask(text)
        assert (analysis.status, [q.id for q in analysis.questions if q.id != "time"]) == (
            status,
            questions.split(),
        ), services

    def test_calls_or_starts_from_every_service_it_uses(
        self, text: str, services: str, status: str, questions: str, ask: Ask
    ) -> None:
        analysis = ask(text)
        touched = {step.service for step in analysis.steps}
        if analysis.trigger and analysis.trigger.service:
            touched.add(analysis.trigger.service)
        assert touched == set(services.split()), (status, questions)

    def test_cites_its_words(
        self, text: str, services: str, status: str, questions: str, ask: Ask, catalogue: Catalogue
    ) -> None:
        analysis = ask(text)
        for match in analysis.services:
            assert match.spans or match.reason
            for span in match.spans:
                assert text[span.start : span.end] == span.text
        for step in analysis.steps:
            assert step.span is not None
            assert text[step.span.start : step.span.end] == step.span.text
        assert all(service in catalogue for service in services.split()), (status, questions)

    def test_becomes_a_plan_only_when_nothing_is_open(
        self, text: str, services: str, status: str, questions: str, ask: Ask, catalogue: Catalogue
    ) -> None:
        analysis = ask(text)
        by_hand = {step.service for step in analysis.steps if step.operation == GENERIC}
        if status == "flow":
            spec = design(analysis, catalogue)
            assert {step.service for step in spec.steps} <= {
                *services.split(),
                *(["http"] if by_hand else []),
            }
            assert spec.request == text
            return
        with pytest.raises(UsageError) as told:
            design(analysis, catalogue)
        expected = [question.text for question in analysis.questions if question.id != "time"]
        assert expected, questions
        assert all(words in str(told.value) for words in expected)


POLITE = ["please ", "hi, ", "Hello team. ", "I would like to have this: ", "can you ", "we want to "]
CORES = [
    ("post new github issues to slack", {"github", "slack"}),
    ("copy new typeform answers into airtable", {"typeform", "airtable"}),
    ("create a trello card for each new zendesk ticket", {"trello", "zendesk"}),
    ("save new gmail attachments to dropbox", {"gmail", "dropbox"}),
]


@pytest.mark.parametrize("before", POLITE, ids=POLITE)
@pytest.mark.parametrize(("text", "services"), CORES, ids=[text for text, _ in CORES])
def test_politeness_changes_nothing(
    before: str, text: str, services: set[str], ask: Ask, services_of: Used
) -> None:
    plain, polite = ask(text), ask(before + text)
    assert services_of(polite) == services
    assert polite.status == plain.status
    assert [(s.service, s.operation) for s in polite.steps] == [(s.service, s.operation) for s in plain.steps]


SOURCES = {
    "github": "GitHub",
    "typeform": "Typeform",
    "stripe": "Stripe",
    "zendesk": "Zendesk",
    "jira": "Jira",
}
SINKS = {"slack": "Slack", "discord": "Discord", "airtable": "Airtable", "trello": "Trello", "asana": "Asana"}
FRAMES = (
    "send new things from {a} to {b}",
    "when something new arrives in {a}, send it to {b}",
    "whenever {a} has something new, put it into {b}",
    "{a} -> {b}",
    "copy everything from {a} into {b}",
    "I want all that is new in {a} to go to {b}.",
    "As soon as there is news in {a}, add it in {b}!",
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(FRAMES),
    st.sampled_from(sorted(SOURCES)),
    st.sampled_from(sorted(SINKS)),
    st.sampled_from([str, str.lower, str.upper]),
    st.sampled_from(["", " ", "\n", "\u200b", "  \t"]),
)
def test_frames_spelling_and_space_change_no_service(
    frame: str, source: str, sink: str, spell: Callable[[str], str], space: str
) -> None:
    text = space + spell(frame.format(a=SOURCES[source], b=SINKS[sink])) + space
    analysis = analyze(text, RequestContext(), load_catalogue())
    assert {m.service for m in analysis.services if m.role == "used"} == {source, sink}
    assert sink in {step.service for step in analysis.steps}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(SINKS)), min_size=1, max_size=5, unique=True),
    st.sampled_from(["lines", "commas"]),
)
def test_every_item_of_a_list_is_called_in_order(sinks: list[str], form: str) -> None:
    names = [SINKS[sink] for sink in sinks]
    if form == "lines":
        text = "When a Stripe payment fails:\n" + "\n".join(f"- add it in {name}" for name in names)
    else:
        text = "when a Stripe payment fails, " + ", ".join(f"add it in {name}" for name in names)
    analysis = analyze(text, RequestContext(), load_catalogue())
    assert [step.service for step in analysis.steps] == sinks
    assert analysis.trigger is not None
    assert analysis.trigger.service == "stripe"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SOURCES)), st.permutations(sorted(SINKS)))
def test_whatever_is_excluded_is_never_called(source: str, sinks: list[str]) -> None:
    wanted, unwanted = SINKS[sinks[0]], SINKS[sinks[1]]
    text = f"when {SOURCES[source]} has something new put it into {wanted}. Do not use {unwanted}."
    analysis = analyze(text, RequestContext(connected_services=tuple(sinks)), load_catalogue())
    assert {m.service for m in analysis.services if m.role == "used"} == {source, sinks[0]}
    assert sinks[1] not in {step.service for step in analysis.steps}


REMARKS = [
    (
        "too loud",
        "Slack is too loud for us, so do not use slack. Post new github issues to discord.",
        "github discord",
    ),
    (
        "only for others",
        "Slack is only for the designers. Don't post to Slack but to Discord when a Stripe payment fails.",
        "stripe discord",
    ),
    ("said twice", "no slack! really, not slack. when a github issue opens tell discord", "github discord"),
]


@pytest.mark.parametrize(("text", "services"), [row[1:] for row in REMARKS], ids=[row[0] for row in REMARKS])
def test_a_remark_on_an_excluded_service_does_not_bring_it_back(
    text: str, services: str, ask: Ask, services_of: Used
) -> None:
    assert services_of(ask(text)) == set(services.split())


def test_a_service_used_in_one_clause_and_barred_in_another_is_used(ask: Ask, services_of: Used) -> None:
    text = "post new github issues to slack, but do not post drafts to slack"
    assert services_of(ask(text)) == {"github", "slack"}


QUOTED = [
    ("a title", 'when a trello card is called "Slack time", add a row in airtable', "trello airtable"),
    (
        "a subject",
        'when a gmail mail has the subject "Your Stripe invoice" save it in dropbox',
        "gmail dropbox",
    ),
    ("a label", 'when a jira issue is labelled "for zendesk", tell slack', "jira slack"),
    ("a text", "when a gmail mail contains 'Asana digest' archive it in notion", "gmail notion"),
]


@pytest.mark.parametrize(("text", "services"), [row[1:] for row in QUOTED], ids=[row[0] for row in QUOTED])
def test_a_name_inside_a_quoted_value_is_no_service(
    text: str, services: str, ask: Ask, services_of: Used
) -> None:
    assert services_of(ask(text)) == set(services.split())


@pytest.mark.parametrize("quote", ['"', "'", "“"])
def test_a_service_in_quotes_of_its_own_is_used(quote: str, ask: Ask, services_of: Used) -> None:
    end = {"“": "”"}.get(quote, quote)
    text = f"post new github issues with the app named {quote}Slack{end}"
    assert services_of(ask(text)) == {"github", "slack"}


ABOUT = [
    ("of a summary", "every Friday at 4pm send me a summary of the open invoices in Xero"),
    ("about", "every day at 9 remind me about overdue Trello cards"),
    ("of", "alert me of new Sentry errors"),
]


@pytest.mark.parametrize("text", [row[1] for row in ABOUT], ids=[row[0] for row in ABOUT])
def test_a_notice_about_a_service_asks_for_its_way(text: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert "service_notification" in [q.id for q in analysis.questions]


WAYS = [
    "every day at 9 remind me about overdue Trello cards via Slack",
    "every day at 9 remind me about overdue Trello cards in Slack",
    "alert me of new Sentry errors using Pushover",
    "notify me through Telegram about new Sentry errors",
    "tell me in Discord about new Sentry errors",
]


@pytest.mark.parametrize("text", WAYS)
def test_a_notice_whose_way_is_said_is_not_asked_about(text: str, ask: Ask) -> None:
    assert "service_notification" not in [q.id for q in ask(text).questions]
