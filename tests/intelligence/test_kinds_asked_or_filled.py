"""A kind of service without a name: which words name it, what fills it, what is asked otherwise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.kinds import MAX_OPTIONS, find_kinds, members
from prefect_autopilot.models import Analysis, Constant, RequestContext
from prefect_autopilot.services import Catalogue, load_catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

SAID = {
    "email": [
        "email the customer",
        "send an e-mail to the office",
        "forward the mail",
        "check my inbox",
        "a full mailbox",
        "when an email arrives",
        "mails from our bank",
        "emailing the list of names",
    ],
    "sms": [
        "text me the address",
        "send an sms",
        "a text message to the driver",
        "texting the crew",
        "sms notification for late trains",
        "text the plumber",
    ],
    "chat": [
        "post it in the team chat",
        "our group chat",
        "in our channel",
        "an instant message",
        "a chat message for the crew",
    ],
    "calendar": [
        "block it in my calendar",
        "a calendar event for each shift",
        "send a calendar invite",
        "all calendars of the team",
    ],
    "spreadsheet": [
        "add it to a spreadsheet",
        "log it in our sheet",
        "the tracking sheet",
        "two spreadsheets",
        "a spread sheet with prices",
    ],
    "storage": [
        "save it to cloud storage",
        "in the shared folder",
        "put it on our drive",
        "a backup in the cloud",
        "upload to the file share",
    ],
    "crm": [
        "add the lead to the crm",
        "our CRM".lower(),
        "update the customer database",
        "move it along the sales pipeline",
        "when the deal stage changes",
        "note it on the client record",
    ],
    "tasks": [
        "add it to the task list",
        "on my to-do list",
        "our kanban board",
        "create a task for bob",
        "make a follow-up task",
        "assign a todo to ann",
        "the project tracker",
    ],
    "docs": ["write it into the wiki", "in our knowledge base", "a shared document", "my notes app"],
    "form": [
        "when the contact form is sent",
        "each survey response",
        "the intake form",
        "a questionnaire comes back",
        "new form submissions",
    ],
    "llm": ["let ai write it", "ask an llm", "with artificial intelligence", "a language model sorts it"],
    "payment": [
        "when a payment fails",
        "charge the customer's card",
        "refund the buyer",
        "when someone pays",
        "the payment processor",
        "a card gets declined",
    ],
    "shop": [
        "a new order comes in",
        "in our online shop",
        "when someone places an order",
        "every new order",
        "the web store",
    ],
    "support": [
        "a support ticket",
        "raise a ticket",
        "in the help desk",
        "each new ticket",
        "our ticketing system",
        "open a ticket",
    ],
    "booking": [
        "when someone books a call",
        "a new booking",
        "an appointment is made",
        "a client cancels an appointment",
        "schedules a meeting with me",
    ],
    "database": [
        "insert it into the database",
        "our sql database",
        "in the data warehouse",
        "write it to the db",
    ],
    "code_host": ["a pull request", "our repo", "a merge request is opened", "in the git repository"],
    "social": ["share it on social media", "our socials", "on all social networks"],
    "weather": ["the weather forecast", "if it will rain", "when it is going to snow", "check the weather"],
    "esign": ["send it for signature", "the contract is signed", "a client signs the proposal"],
    "content": ["publish it on our blog", "a new blog post", "in the cms", "the news feed"],
    "monitoring": ["when the website goes down", "if our server is offline", "the site is slow"],
    "phone": ["a missed call", "each voicemail", "log the phone call", "new call recordings"],
    "notification": [
        "let me know",
        "notify the sales team",
        "remind me",
        "send me an alert",
        "ping us",
        "give me a heads-up",
        "tell my boss",
        "warn the crew",
        "message the team",
    ],
}
SAYINGS = [(kind, text) for kind, texts in SAID.items() for text in texts]


@pytest.mark.parametrize(("kind", "text"), SAYINGS, ids=[f"{k}: {t}" for k, t in SAYINGS])
def test_the_words_name_the_kind(kind: str, text: str) -> None:
    assert kind in [found for found, _, _ in find_kinds(text)]


def test_every_kind_of_the_table_is_told_here() -> None:
    assert set(SAID) == set(table("kinds"))


OTHER = [
    "the email address of bob",
    "an email campaign",
    "email templates",
    "direct mail costs",
    "a mailman",
    "text of the contract",
    "the context of it",
    "subtext messages",
    "a cloudy day",
    "cloud functions",
    "cloud costs",
    "the sheets of a bed",
    "a worksheet",
    "a crmx thing",
    "an uninformed reader",
    "a form of payment",
    "form data",
    "fill in the order form",
    "aid for the poor",
    "aim higher",
    "ai news",
    "social security number",
    "the dbase era",
    "report the temperature of the engine",
    "weatherproof paint",
    "sales forecast",
    "the cash forecast",
    "payment-terms.pdf",
    "@calendar",
    "#calendar",
    "calendar.ics",
    "/inbox",
    "shopping list",
    "storey",
    "reporter",
    "calendarium",
]


@pytest.mark.parametrize("text", OTHER)
def test_words_that_hold_or_resemble_a_kind_are_none(text: str) -> None:
    assert find_kinds(text) == []


@given(st.lists(st.sampled_from([text for _, text in SAYINGS]), max_size=6).map(", then ".join))
@settings(max_examples=80, deadline=None)
def test_kinds_come_in_order_and_never_overlap(text: str) -> None:
    found = find_kinds(text)
    assert [start for _, start, _ in found] == sorted(start for _, start, _ in found)
    assert all(a[2] <= b[1] for a, b in pairwise(found))
    assert all(0 <= start < end <= len(text) for _, start, end in found)


FILLED = [
    ("email", "email the buyer when a stripe charge is refunded", "gmail microsoft_outlook sendgrid mailgun"),
    ("sms", "text me when a stripe payment fails", "twilio vonage"),
    ("calendar", "put new trello cards into my calendar", "google_calendar microsoft_outlook"),
    ("spreadsheet", "add new typeform answers to a spreadsheet", "google_sheets microsoft_excel airtable"),
    (
        "storage",
        "save new typeform uploads in the shared folder",
        "google_drive dropbox box microsoft_onedrive",
    ),
    ("crm", "add new typeform answers to the crm", "hubspot salesforce pipedrive zoho_crm copper"),
    ("tasks", "when a stripe payment fails create a task", "asana trello todoist clickup jira"),
    ("docs", "log new github releases in the wiki", "notion confluence google_docs"),
    ("form", "when the contact form is sent, add a row in airtable", "typeform jotform google_forms tally"),
    ("llm", "let ai summarise new zendesk tickets and post it to slack", "openai anthropic google_gemini"),
    ("payment", "when a payment fails, tell slack", "stripe paypal square"),
    ("shop", "when a new order comes in, tell slack", "shopify woocommerce bigcommerce"),
    ("support", "when a support ticket comes in, tell slack", "zendesk freshdesk intercom help_scout"),
    ("booking", "when someone books a call, tell slack", "calendly cal_com"),
    ("database", "insert new stripe charges into the database", "postgres mysql supabase mongodb"),
    ("code_host", "when a pull request is opened, tell slack", "github gitlab bitbucket"),
    ("content", "when a new blog post appears, tell slack", "wordpress ghost webflow"),
    ("esign", "when the contract is signed, tell slack", "docusign pandadoc"),
    ("weather", "every day at 7 post the weather forecast to slack", "openweathermap"),
    ("notification", "when a stripe payment fails let me know", "slack gmail discord twilio"),
]
FILLINGS = [(kind, text, service) for kind, text, services in FILLED for service in services.split()]


@pytest.mark.parametrize(
    ("kind", "text", "service"), FILLINGS, ids=[f"{kind} by {service}" for kind, _, service in FILLINGS]
)
def test_the_one_connected_service_of_the_kind_is_used(
    kind: str, text: str, service: str, ask: Ask, services_of: Used
) -> None:
    analysis = ask(text, service)
    assert service in services_of(analysis)
    assert not [q for q in analysis.questions if q.id == f"service_{kind}"]
    touched = {step.service for step in analysis.steps}
    touched.add(analysis.trigger.service or "" if analysis.trigger else "")
    assert service in touched
    assert "connected" in next(m.reason for m in analysis.services if m.service == service)


@pytest.mark.parametrize(("kind", "text", "services"), FILLED, ids=[row[0] for row in FILLED])
class TestEachKind:
    """What holds for each kind a request may leave open."""

    def test_is_asked_when_nothing_is_connected(
        self, kind: str, text: str, services: str, ask: Ask, services_of: Used, catalogue: Catalogue
    ) -> None:
        analysis = ask(text)
        assert analysis.status == "clarify"
        question = next(q for q in analysis.questions if q.id == f"service_{kind}")
        assert 0 < len(question.options) <= MAX_OPTIONS
        assert set(question.options) <= {service.id for service in members(kind, catalogue)}
        assert table("kinds")[kind]["label"] in question.text
        assert not services_of(analysis) & set(services.split())

    def test_is_asked_between_two_that_are_connected(
        self, kind: str, text: str, services: str, ask: Ask, services_of: Used
    ) -> None:
        pair = services.split()[:2]
        if len(pair) == 1:
            return
        analysis = ask(text, *pair)
        question = next(q for q in analysis.questions if q.id == f"service_{kind}")
        assert set(question.options) == set(pair)
        assert not services_of(analysis) & set(pair)

    def test_is_settled_by_a_preference(
        self, kind: str, text: str, services: str, ask: Ask, services_of: Used
    ) -> None:
        for service in services.split():
            analysis = ask(text, **{kind: service})
            assert service in services_of(analysis)
            assert "preference" in next(m.reason for m in analysis.services if m.service == service)

    def test_a_preference_outweighs_a_connection(
        self, kind: str, text: str, services: str, ask: Ask, services_of: Used
    ) -> None:
        first, *_, last = [*services.split(), services.rsplit(maxsplit=1)[-1]]
        assert last in services_of(ask(text, first, **{kind: last}))
        assert first == last or first not in services_of(ask(text, first, **{kind: last}))

    def test_a_service_of_another_kind_fills_nothing(
        self, kind: str, text: str, services: str, ask: Ask, services_of: Used
    ) -> None:
        analysis = ask(text, "spotify", "philips_hue", **{kind: "spotify"})
        assert not services_of(analysis) & {"spotify", "philips_hue"}
        assert analysis.status == "clarify"
        assert services


NAMED = [
    ("email", "email the report via sendgrid when a jira issue closes", "sendgrid jira"),
    ("email", "when a gmail email arrives tell slack", "gmail slack"),
    ("spreadsheet", "add new typeform answers to a spreadsheet in Google Sheets", "typeform google_sheets"),
    ("crm", "add new typeform answers to our CRM, HubSpot", "typeform hubspot"),
    ("sms", "send a text message through twilio when stripe refunds", "twilio stripe"),
    ("calendar", "when calendly books, make a calendar event in google calendar", "calendly google_calendar"),
    ("storage", "save new gmail attachments in the shared folder of dropbox", "gmail dropbox"),
    ("tasks", "create a task in asana for each new zendesk ticket", "asana zendesk"),
    ("docs", "write new github releases into the wiki in confluence", "github confluence"),
    ("form", "when the typeform contact form is sent tell slack", "typeform slack"),
    ("llm", "let ai, openai that is, summarise new zendesk tickets for slack", "openai zendesk slack"),
    ("payment", "when a payment in stripe fails tell slack", "stripe slack"),
    ("shop", "when a new order comes in at shopify tell slack", "shopify slack"),
    ("support", "when a support ticket is opened in zendesk tell slack", "zendesk slack"),
    ("database", "insert new stripe charges into our postgres database", "postgres stripe"),
    ("code_host", "when a pull request is opened on github tell slack", "github slack"),
    ("content", "when a new blog post appears in wordpress tell slack", "wordpress slack"),
    ("notification", "when a stripe payment fails let me know in slack", "stripe slack"),
    ("chat", "post new jira issues in our channel on slack", "jira slack"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), NAMED, ids=[f"{k}: {t[:40]}" for k, t, _ in NAMED])
def test_a_kind_beside_its_name_is_not_asked_for(
    kind: str, text: str, expected: str, ask: Ask, services_of: Used
) -> None:
    analysis = ask(text)
    assert services_of(analysis) == set(expected.split())
    assert not [q for q in analysis.questions if q.id == f"service_{kind}"]


@pytest.mark.parametrize(
    ("kind", "text", "expected"), NAMED[::3], ids=[f"{k}: {t[:40]}" for k, t, _ in NAMED[::3]]
)
def test_a_name_outweighs_connection_and_preference(
    kind: str, text: str, expected: str, ask: Ask, services_of: Used, catalogue: Catalogue
) -> None:
    other = next(s.id for s in members(kind, catalogue) if s.id not in expected.split())
    assert services_of(ask(text, other, **{kind: other})) == set(expected.split())


def test_two_kinds_are_two_questions_and_the_optional_one_comes_last(ask: Ask) -> None:
    ids = [q.id for q in ask("when the website goes down text me").questions]
    assert ids == ["service_sms", "service_monitoring"]


def test_one_kind_said_twice_is_one_question(ask: Ask) -> None:
    questions = ask("when an email arrives, email it to my accountant and email me a copy").questions
    assert [q.id for q in questions] == ["service_email"]


def test_a_notification_by_a_said_way_is_not_asked_twice(ask: Ask) -> None:
    ids = [q.id for q in ask("when a stripe payment fails notify me by email").questions]
    assert ids == ["service_email"]


def test_a_preference_may_stand_under_services(catalogue: Catalogue) -> None:
    context = RequestContext(preferences={"services": {"email": "gmail"}})
    analysis = analyze("email me every new github issue", context, catalogue)
    assert "gmail" in {m.service for m in analysis.services if m.role == "used"}


@pytest.mark.parametrize("value", [None, 7, True, [], ["gmail"], {"x": "gmail"}, "", "GMAIL", "nonsense"])
def test_a_preference_that_is_no_service_of_the_kind_is_ignored(value: object, catalogue: Catalogue) -> None:
    context = RequestContext(preferences={"email": value, "services": value})
    analysis = analyze("email me every new github issue", context, catalogue)
    assert {m.service for m in analysis.services if m.role == "used"} == {"github"}
    assert analysis.status == "clarify"


def test_a_connection_the_catalogue_does_not_know_is_ignored(ask: Ask, services_of: Used) -> None:
    analysis = ask("email me every new github issue", "zorblify", "", "GMAIL")
    assert services_of(analysis) == {"github"}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([text for _, text, _ in FILLED]),
    st.lists(
        st.sampled_from(["gmail", "slack", "hubspot", "asana", "stripe", "dropbox", "twilio"]), unique=True
    ),
)
def test_whatever_is_connected_nothing_unnamed_and_unconnected_is_used(
    text: str, connected: list[str]
) -> None:
    catalogue = load_catalogue()
    alone = analyze(text, RequestContext(), catalogue)
    named = {m.service for m in alone.services if m.role == "used"}
    found = analyze(text, RequestContext(connected_services=tuple(connected)), catalogue)
    assert {m.service for m in found.services if m.role == "used"} <= named | set(connected)
    assert {step.service for step in found.steps} <= named | set(connected)


@settings(max_examples=40, deadline=None)
@given(st.permutations(["gmail", "microsoft_outlook", "slack", "github"]))
def test_the_order_of_the_connections_changes_nothing(order: list[str]) -> None:
    catalogue = load_catalogue()
    text = "email me every new github issue and tell slack"
    first = analyze(text, RequestContext(connected_services=tuple(sorted(order))), catalogue)
    assert analyze(text, RequestContext(connected_services=tuple(order)), catalogue) == first


ORDERS = [
    ("tasks", "when a stripe payment fails create a task"),
    ("tasks", "when a stripe payment fails, create a task"),
    ("tasks", "tell slack about new stripe charges and create a task"),
    ("notification", "when a stripe payment fails let me know"),
    ("notification", "when a stripe payment fails notify the sales team"),
    ("notification", "if a trello card is overdue remind me"),
    ("notification", "once a typeform is sent give us a heads-up"),
    ("support", "when a stripe payment fails open a ticket"),
    ("payment", "when a trello card is done charge the customer's card"),
    ("sms", "when a stripe payment fails text me"),
    ("email", "when a stripe payment fails email me"),
]


@pytest.mark.parametrize(("kind", "text"), ORDERS, ids=[text for _, text in ORDERS])
def test_an_order_behind_an_event_is_asked_for_with_or_without_a_comma(
    kind: str, text: str, ask: Ask
) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert f"service_{kind}" in [q.id for q in analysis.questions]


PLACES = [
    ("database", "insert new stripe charges into the database"),
    ("database", "write every typeform answer to our database"),
    ("docs", "log new github releases in the wiki"),
    ("docs", "copy jira bugs to the wiki"),
    ("tasks", "put new gmail mails on my to-do list"),
    ("content", "publish new airtable rows on our blog"),
    ("social", "share new youtube videos on social media"),
]


@pytest.mark.parametrize(("kind", "text"), PLACES, ids=[text for _, text in PLACES])
def test_a_place_things_go_to_is_asked_for_although_a_service_is_named(
    kind: str, text: str, ask: Ask
) -> None:
    assert [q.id for q in ask(text).questions] == [f"service_{kind}"]


DESCRIBED = [
    "add the stripe charge to the notion database",
    "add the stripe charge to a database in notion",
    "put the stripe charge on the trello task list",
    "post new stripe charges to slack in our channel",
    "when a page is new in our notion wiki tell slack",
    "copy typeform answers into the airtable database",
]


@pytest.mark.parametrize("text", DESCRIBED)
def test_a_place_inside_a_named_service_is_not_asked_for(text: str, ask: Ask) -> None:
    assert ask(text).questions == ()


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("Every night read my Stripe charges and tell #finance how many there were", ["#finance"]),
        ("On Friday at 16:00 post 'great week' to #general", ["#general"]),
        ("When an issue is opened in GitHub tell #dev and #ops", ["#dev", "#ops"]),
        ("Post to #sales on Slack every day", ["#sales"]),
    ],
)
def test_a_channel_without_a_service_is_in_the_connected_one(text: str, channels: list[str]) -> None:
    analysis = analyze(text, RequestContext(connected_services=("slack", "gmail")), load_catalogue())
    told = [step.arguments["channel"] for step in analysis.steps if step.service == "slack"]
    assert [one.value for one in told if isinstance(one, Constant)] == channels


def test_a_channel_without_a_service_is_asked_about_where_none_is_connected() -> None:
    analysis = analyze("When an issue is opened in GitHub tell #dev", RequestContext(), load_catalogue())
    assert [question.id for question in analysis.questions] == ["service_chat"]


def test_channels_of_two_services_are_kept_apart() -> None:
    text = "When a Stripe payment fails post to #billing in Slack and #ops in Discord"
    steps = analyze(text, RequestContext(), load_catalogue()).steps
    assert [step.service for step in steps] == ["slack", "discord"]
