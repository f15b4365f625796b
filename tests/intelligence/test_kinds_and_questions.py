"""Kinds of services without a name: filled from what is known, otherwise asked and never assumed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.kinds import find_kinds, members
from prefect_autopilot.intelligence.language import detect, language_name
from prefect_autopilot.intelligence.questions import merged
from prefect_autopilot.models import Analysis, Question
from prefect_autopilot.services import Catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

KINDS = [
    ("enter it in my calendar", "calendar"),
    ("append it to a spreadsheet", "spreadsheet"),
    ("email me the list", "email"),
    ("text me when it rains", "sms"),
    ("save it to our crm", "crm"),
    ("let ai sort them", "llm"),
    ("store the file in the shared drive", "storage"),
    ("when someone fills in the contact form", "form"),
    ("when somebody books a demo", "booking"),
    ("for each new support ticket", "support"),
    ("when a payment fails", "payment"),
    ("create a to-do for it", "tasks"),
    ("open a pull request", "code_host"),
    ("share it on social media", "social"),
    ("once the contract is signed", "esign"),
    ("let me know about it", "notification"),
    ("write it into the database", "database"),
    ("transcribe my voicemails", "phone"),
    ("publish it on our blog", "content"),
    ("document it in the wiki", "docs"),
]


@pytest.mark.parametrize(("text", "kind"), KINDS, ids=[text for text, _ in KINDS])
def test_a_kind_is_read_from_its_words(text: str, kind: str) -> None:
    assert kind in [found for found, _, _ in find_kinds(text)]


@pytest.mark.parametrize(
    "text",
    [
        "the email address of the user",
        "formal words",
        "a cloud function",
        "aim for it",
        "texture packs",
        "smsx",
        "in formation",
    ],
)
def test_words_that_only_look_like_a_kind_are_none(text: str) -> None:
    assert find_kinds(text) == []


@pytest.mark.parametrize(("text", "kind"), KINDS, ids=[text for text, _ in KINDS])
def test_an_open_kind_is_asked_for_with_its_words_and_options(
    text: str, kind: str, ask: Ask, catalogue: Catalogue
) -> None:
    analysis = ask(f"every day at 9 {text}")
    assert analysis.status == "clarify"
    question = next(q for q in analysis.questions if q.id == f"service_{kind}")
    assert all(catalogue.get(option).name in question.text for option in question.options)
    assert set(question.options) <= {service.id for service in members(kind, catalogue)}


@pytest.mark.parametrize(
    ("text", "connected", "service"),
    [
        ("when a stripe payment fails email the finance team", "gmail", "gmail"),
        ("every day at 9 email me the new trello cards", "microsoft_outlook", "microsoft_outlook"),
        ("put new stripe charges into a spreadsheet", "google_sheets", "google_sheets"),
        ("add new typeform leads to the crm", "hubspot", "hubspot"),
        ("text me when a shopify order is over $500", "twilio", "twilio"),
    ],
)
def test_the_one_connected_service_of_a_kind_fills_it(
    text: str, connected: str, service: str, ask: Ask, services_of: Used
) -> None:
    analysis = ask(text, connected)
    assert service in services_of(analysis)
    assert service in [step.service for step in analysis.steps]
    assert analysis.status == "flow"
    match = next(m for m in analysis.services if m.service == service)
    assert "connected" in match.reason


def test_several_connected_services_of_a_kind_are_asked_between(ask: Ask, services_of: Used) -> None:
    analysis = ask("email me every new github issue", "gmail", "microsoft_outlook", "github")
    assert analysis.status == "clarify"
    assert analysis.questions[0].options == ("gmail", "microsoft_outlook")
    assert services_of(analysis) == {"github"}


def test_a_preference_settles_a_kind(ask: Ask, services_of: Used) -> None:
    analysis = ask("email me every new github issue", "gmail", "microsoft_outlook", email="microsoft_outlook")
    assert analysis.status == "flow"
    assert "microsoft_outlook" in services_of(analysis)


def test_a_preference_for_a_service_of_another_kind_is_ignored(ask: Ask, services_of: Used) -> None:
    analysis = ask("email me every new github issue", email="trello")
    assert "trello" not in services_of(analysis)
    assert analysis.status == "clarify"


def test_a_service_named_in_the_request_settles_its_kind(ask: Ask, services_of: Used) -> None:
    analysis = ask("email the invoice through sendgrid when a stripe payment arrives")
    assert services_of(analysis) == {"sendgrid", "stripe"}
    assert analysis.status == "flow"
    assert analysis.questions == ()


def test_nothing_connected_means_no_service_is_made_up(ask: Ask, services_of: Used) -> None:
    analysis = ask("when I get an important email, add a task to my to-do list and text me")
    assert services_of(analysis) == set()
    assert analysis.status == "clarify"
    assert 1 <= len(analysis.questions) <= 3


def test_the_question_for_the_start_offers_mail_services(ask: Ask) -> None:
    analysis = ask("When I receive urgent emails, create Trello cards and notify Discord")
    question = analysis.questions[0]
    assert question.id == "service_email"
    assert {"gmail", "microsoft_outlook"} <= set(question.options)
    assert [step.service for step in analysis.steps] == ["trello", "discord"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("post new sentry errors to slack or discord", ("slack", "discord")),
        ("save pipedrive files in dropbox or google drive", ("dropbox", "google_drive")),
    ],
)
def test_alternatives_are_asked_and_not_both_used(
    text: str, options: tuple[str, ...], ask: Ask, services_of: Used
) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert analysis.questions[0].options == options
    assert not services_of(analysis) & set(options)


def test_an_alternative_that_is_connected_is_taken(ask: Ask, services_of: Used) -> None:
    analysis = ask("post new sentry errors to slack or discord", "discord")
    assert services_of(analysis) == {"sentry", "discord"}
    assert analysis.status == "flow"


def test_services_of_different_kinds_joined_by_or_are_no_alternatives(ask: Ask, services_of: Used) -> None:
    assert services_of(ask("when a github issue or trello card is new, tell slack")) >= {"github", "slack"}


@pytest.mark.parametrize(
    "text",
    [
        "when zorblify-9 raises an alarm post it to slack",
        "send new Quuxly records to slack",
        "new trello card -> Frobnicator2",
    ],
)
def test_an_unknown_service_is_named_and_the_generic_route_offered(text: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert len(analysis.unsupported) == 1
    assert analysis.unsupported[0] in analysis.questions[0].text
    assert "generic HTTP request" in analysis.questions[0].options
    assert any("HTTP" in advice for advice in analysis.recommendations)


def test_only_unknown_services_are_unsupported(ask: Ask) -> None:
    analysis = ask("when Zorblify7 changes send it to Quuxly-X")
    assert analysis.status == "unsupported"
    assert set(analysis.unsupported) == {"Zorblify7", "Quuxly-X"}


def test_contradictory_times_are_asked_about_first(ask: Ask) -> None:
    analysis = ask("at 26:70 every day post new jira issues to slack")
    assert analysis.status == "clarify"
    assert analysis.questions[0].id == "when"
    assert "26:70" in analysis.questions[0].text
    assert analysis.trigger is not None
    assert analysis.trigger.type == "schedule"
    assert analysis.trigger.cron is None


def test_a_proposed_time_is_shown_but_does_not_block(ask: Ask) -> None:
    analysis = ask("every morning post the weather from openweathermap to slack")
    assert analysis.status == "flow"
    assert [q.id for q in analysis.questions] == ["time"]
    assert "08:00" in analysis.questions[0].text


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b", "?", "...", "hello there", "\x00\x01\x02"])
def test_texts_without_an_automation_are_rejected_with_a_reason(text: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "reject"
    assert analysis.reasons
    assert analysis.steps == ()


@pytest.mark.parametrize(
    "text",
    ["automate my company", "I need a workflow", "please help me with my business", "do something every day"],
)
def test_vague_wishes_are_asked_about(text: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.status == "clarify"
    assert analysis.questions


def test_names_without_a_relation_are_asked_about(ask: Ask, services_of: Used) -> None:
    analysis = ask("slack trello gmail")
    assert analysis.status == "clarify"
    assert services_of(analysis) == {"slack", "trello", "gmail"}


def test_a_request_that_is_too_long_is_rejected_without_being_read(ask: Ask) -> None:
    analysis = ask("slack " * 5000)
    assert analysis.status == "reject"
    assert "30000 characters" in analysis.reasons[0]


LANGUAGES = [
    ("Wenn eine neue E-Mail kommt, schicke mir eine Nachricht auf Slack", "de"),
    ("Quand je reçois un mail, crée une tâche dans Trello", "fr"),
    ("Cuando recibo un correo, crea una tarea en Asana", "es"),
    ("Quando receber um email, crie uma tarefa no Trello", "pt"),
    ("Als ik een e-mail krijg, maak een taak in Trello", "nl"),
    ("Когда приходит письмо, создай задачу в Trello", "ru"),
    ("メールが届いたらSlackに通知する", "zh"),
]


@pytest.mark.parametrize(("text", "code"), LANGUAGES, ids=[code for _, code in LANGUAGES])
def test_other_languages_are_named_and_asked_in_english(text: str, code: str, ask: Ask) -> None:
    analysis = ask(text)
    assert analysis.language == code
    assert analysis.status in {"clarify", "unsupported"}
    assert language_name(code) in analysis.questions[0].text
    assert analysis.steps == analysis.steps


@pytest.mark.parametrize(
    "text",
    [
        "new gmail mail to slack",
        "calendly -> slack",
        "todo in asana",
        "pls send de report 2 slack",
        "12345",
        "!!!",
    ],
)
def test_short_english_is_not_taken_for_another_language(text: str) -> None:
    assert detect(text) == "en"


def test_more_than_three_questions_become_three_and_lose_nothing() -> None:
    questions = [Question(id=str(i), text=f"Question {i}?", options=(f"o{i}",)) for i in range(5)]
    kept = merged(questions)
    assert len(kept) == 3
    assert all(question.text in " ".join(k.text for k in kept) for question in questions)
    assert set(kept[-1].options) == {"o2", "o3", "o4"}


def test_a_question_is_asked_once() -> None:
    question = Question(id="a", text="Which?")
    assert merged([question, question]) == (question,)


@pytest.mark.parametrize(
    ("text", "connected", "asked"),
    [
        ("Forward important mail to Evernote", (), {"email"}),
        ("Get an SMS for each new Stripe payment", (), {"sms"}),
        ("Email to SMS", (), {"email", "sms"}),
        ("Forward important mail to Evernote", ("gmail",), set()),
        ("Forward important Gmail messages to Evernote", (), set()),
        ("post new Stripe payments to Slack, do not email them", (), set()),
    ],
    ids=["mail", "sms", "both", "connected", "named", "excluded"],
)
def test_mail_and_sms_are_told_as_asked_until_a_service_is_known(
    text: str, connected: tuple[str, ...], asked: set[str], ask: Ask
) -> None:
    analysis = ask(text, *connected)
    told = {match.service for match in analysis.services if match.role == "asked"}
    assert told == asked
    assert {question.id for question in analysis.questions} >= {f"service_{one}" for one in asked}
    assert not {step.service for step in analysis.steps} & told, "no service is assumed"
