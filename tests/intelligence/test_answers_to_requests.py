"""What is answered: flow, clarify, unsupported or reject; which questions, in which order; why; how sure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence.analysis import MAX_CHARACTERS
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.language import detect, language_name
from prefect_autopilot.intelligence.questions import MAX_QUESTIONS, merged
from prefect_autopilot.models import Analysis, Question

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

STATUS = [
    ("all is said", "when a github issue is opened post it to slack", "flow", ""),
    ("a clock time", "every day at 9 post new jira issues to slack", "flow", ""),
    ("a proposed time", "every morning post new jira issues to slack", "flow", "time"),
    ("by hand", "when I press a button post the open jira issues to slack", "flow", ""),
    ("one kind open", "email me new github issues", "clarify", "service_email"),
    (
        "two kinds open",
        "when an email arrives add a row to a spreadsheet",
        "clarify",
        "service_email service_spreadsheet",
    ),
    ("a choice", "post new github issues to slack or discord", "clarify", "choice_slack_discord"),
    ("an unknown service", "send new Quuxly orders to slack", "clarify", "unknown_quuxly"),
    ("an impossible time", "at 29:00 every day post new jira issues to slack", "clarify", "when"),
    ("no action", "when a github issue is opened", "clarify", "steps"),
    ("no relation", "slack github", "clarify", "steps"),
    ("a wish without services", "automate my work", "clarify", "start steps"),
    ("a time without services", "every day at nine", "clarify", "steps"),
    (
        "only unknown services",
        "when Zorblify7 changes send it to Quuxly-X",
        "unsupported",
        "unknown_zorblify7 unknown_quuxly-x",
    ),
    ("another language", "Wenn eine neue Nachricht kommt, sende sie an Slack", "clarify", "language"),
    (
        "another language without services",
        "Wenn eine neue Nachricht kommt, sende sie bitte weiter",
        "unsupported",
        "language",
    ),
    ("a greeting", "hi there", "reject", ""),
    ("a proverb", "the quick brown fox jumps over the lazy dog", "reject", ""),
    ("nothing", "", "reject", ""),
    ("only space", " \n\t \u00a0", "reject", ""),
    ("only signs", "?!?!...", "reject", ""),
    ("only emoji", "🙂🙂🙂", "reject", ""),
    ("only digits", "12345", "reject", ""),
    ("bytes", "\x00\x01\x02\x03\x04", "reject", ""),
    ("far too long", "slack " * 4000, "reject", ""),
    ("only an exclusion", "do not use slack", "clarify", "start steps"),
]


@pytest.mark.parametrize(
    ("text", "status", "questions"), [row[1:] for row in STATUS], ids=[row[0] for row in STATUS]
)
class TestStatus:
    """Each of the four answers, with the questions that go with it."""

    def test_is_the_expected_one_with_its_questions(
        self, text: str, status: str, questions: str, ask: Ask
    ) -> None:
        analysis = ask(text)
        assert analysis.status == status
        assert [q.id for q in analysis.questions] == questions.split()

    def test_keeps_its_promises(self, text: str, status: str, questions: str, ask: Ask) -> None:
        analysis = ask(text)
        assert len(analysis.questions) <= MAX_QUESTIONS
        assert all("?" in q.text for q in analysis.questions), questions
        if status == "flow":
            assert analysis.steps
            assert analysis.trigger is not None
            assert analysis.unsupported == ()
        if status == "clarify":
            assert analysis.questions
        if status == "unsupported":
            assert analysis.unsupported
        if status == "reject":
            assert analysis.reasons
            assert (analysis.steps, analysis.services, analysis.questions) == ((), (), ())
            assert analysis.trigger is None

    def test_does_not_depend_on_the_call_before(
        self, text: str, status: str, questions: str, ask: Ask
    ) -> None:
        first = ask(text)
        ask("every day at 9 post new jira issues to slack", "gmail", timezone="Asia/Tokyo")
        assert ask(text) == first, (status, questions)


def test_the_longest_allowed_text_is_read_and_one_more_is_not(ask: Ask) -> None:
    start = "when a github issue is opened post it to slack. "
    fits = start + "x" * (MAX_CHARACTERS - len(start))
    assert ask(fits).status == "flow"
    refused = ask(fits + "x")
    assert refused.status == "reject"
    assert str(MAX_CHARACTERS) in refused.reasons[0]
    assert len(refused.text) == MAX_CHARACTERS


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "CET ", "berlin", "", "GMT+25", "../etc/passwd", "europe/berlin"]
)
def test_a_zone_that_is_none_is_an_error_of_the_caller(zone: str, ask: Ask) -> None:
    with pytest.raises(UsageError, match="IANA") as told:
        ask("post new github issues to slack", timezone=zone)
    assert told.value.permanent
    assert repr(zone) in str(told.value)


ORDER = [
    (
        "time before services",
        "at 29:00 every day email me new Quuxly orders",
        "when unknown_quuxly service_email",
    ),
    (
        "unknown before choice",
        "post new Quuxly orders to slack or discord",
        "unknown_quuxly choice_slack_discord",
    ),
    (
        "choice before kind",
        "email new github issues to me and post them to slack or discord",
        "choice_slack_discord service_email",
    ),
    ("a proposed time comes last", "every morning email me new github issues", "service_email time"),
]


@pytest.mark.parametrize(("text", "ids"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER])
def test_the_question_that_changes_most_comes_first(text: str, ids: str, ask: Ask) -> None:
    assert [q.id for q in ask(text).questions] == ids.split()


def test_many_open_kinds_become_three_questions_that_hold_all(ask: Ask) -> None:
    text = "when an email arrives, add it to the crm, to a spreadsheet, into my calendar and text me"
    questions = ask(text).questions
    assert len(questions) == MAX_QUESTIONS
    together = " ".join(q.text for q in questions)
    for label in ("mail service", "CRM", "spreadsheet", "calendar", "SMS"):
        assert label in together


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12))
def test_merging_questions_loses_none_and_keeps_their_order(numbers: list[int]) -> None:
    asked = [Question(id=f"q{n}", text=f"Question {n}?", options=(f"o{n}",)) for n in numbers]
    kept = merged(asked)
    assert len(kept) <= MAX_QUESTIONS
    together = " ".join(q.text for q in kept)
    offered = [option for q in kept for option in q.options]
    first_seen = list(dict.fromkeys(numbers))
    assert offered == [f"o{n}" for n in first_seen]
    assert [together.index(f"Question {n}?") for n in first_seen] == sorted(
        together.index(f"Question {n}?") for n in first_seen
    )


QUOTED = [
    ("email me new github issues", "email"),
    ("add new stripe charges to our spreadsheet", "spreadsheet"),
    ("put the stripe payout into my Calendar", "calendar"),
]


@pytest.mark.parametrize(("text", "words"), QUOTED, ids=[words for _, words in QUOTED])
def test_a_question_cites_the_words_it_is_about(text: str, words: str, ask: Ask) -> None:
    assert f'"{words}"' in ask(text).questions[0].text


UNKNOWN = [
    ("a name with a number", "when zorblify-9 raises an alarm post it to slack", "zorblify-9"),
    ("a name with a capital", "send new Quuxly orders to slack", "Quuxly"),
    ("a target", "send new stripe charges to Frobnitz", "Frobnitz"),
    ("behind an arrow", "stripe -> Frobnitz2", "Frobnitz2"),
    ("with the word API", "read the orders from the Wibblesoft API and post them to slack", "Wibblesoft"),
    ("a name in CamelCase", "send new stripe charges to FooBarista", "FooBarista"),
    ("our own system", "copy new stripe charges into our Blorptrack", "Blorptrack"),
    ("through it", "send new stripe charges via Snorfax", "Snorfax"),
]


@pytest.mark.parametrize(("text", "name"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_a_service_nobody_knows_is_named_and_never_replaced(
    text: str, name: str, ask: Ask, services_of: Used
) -> None:
    analysis = ask(text)
    assert analysis.unsupported == (name,)
    question = next(q for q in analysis.questions if q.id == f"unknown_{name.lower()}")
    assert name in question.text
    assert question.options == ("generic HTTP request", "webhook")
    assert any("HTTP" in advice and name in advice for advice in analysis.recommendations)
    assert services_of(analysis) <= {"stripe", "slack"}


KNOWN = [
    "post new github issues to our London office in slack",
    "tell Robert in slack when a github issue opens",
    "every Friday send the open jira issues to slack",
    "post new github issues from the Acme repo to slack",
    "post new stripe charges in EUR to slack",
    "send new stripe charges to the Sales channel in slack",
    "post new github issues to slack, thanks",
    "When Stripe gets a payment, tell Slack",
    "post to slack when a GitHub PR is merged",
]


@pytest.mark.parametrize("text", KNOWN)
def test_names_that_are_no_services_are_not_called_unknown(text: str, ask: Ask) -> None:
    assert ask(text).unsupported == ()


SENTENCES = {
    "de": "Wenn ich eine neue Anfrage bekomme, erstelle bitte einen Eintrag und schicke mir die Daten",
    "fr": "Quand je reçois une commande, envoie un message dans le salon avec les détails pour tous",
    "es": "Cuando recibo un pedido nuevo, envía los datos a la hoja y crea una tarea para el equipo",
    "pt": "Quando receber um novo pedido, envie os dados para a planilha e crie uma tarefa com o nome",
    "it": "Quando ricevo un nuovo ordine, invia i dati nel foglio e crea una nota per tutti ogni giorno",
    "nl": "Wanneer ik een nieuwe bestelling krijg, stuur het bericht naar de groep met alle gegevens",
    "pl": "Kiedy przyjdzie nowy wniosek, wyślij dane do arkusza i utwórz zadanie na każdy dzień",
    "sv": "När jag får en ny beställning, skicka ett meddelande till gruppen med alla och skapa en uppgift",
    "da": "Når jeg får en ny ordre, send en besked til gruppen og opret en opgave med det hver dag",
    "ru": "Когда приходит новый заказ, отправь сообщение в общий канал",
    "zh": "当收到新的订单时，请在频道里通知团队",
    "ko": "새 주문이 들어오면 채널에 알려 주세요",
    "ar": "عندما يصل طلب جديد أرسل رسالة إلى الفريق",
    "he": "כאשר מגיעה הזמנה חדשה שלח הודעה לצוות",
    "el": "Όταν έρχεται νέα παραγγελία στείλε μήνυμα στην ομάδα",
    "hi": "जब नया आदेश आए तो टीम को संदेश भेजें",
    "th": "เมื่อมีคำสั่งซื้อใหม่ ให้แจ้งทีมงาน",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_language_is_told_and_asked_for_in_english(code: str, ask: Ask) -> None:
    assert detect(SENTENCES[code]) == code
    analysis = ask(SENTENCES[code])
    assert analysis.language == code
    assert analysis.status in {"clarify", "unsupported"}
    assert [q.id for q in analysis.questions] == ["language"]
    assert language_name(code) in analysis.questions[0].text
    assert analysis.steps == ()


@pytest.mark.parametrize("code", SENTENCES)
def test_services_are_read_in_any_language_but_no_step_is_guessed(
    code: str, ask: Ask, services_of: Used
) -> None:
    analysis = ask(SENTENCES[code] + " Slack Trello")
    assert services_of(analysis) == {"slack", "trello"}
    assert analysis.status == "clarify"
    assert analysis.steps == ()


ENGLISH = [
    "post new github issues to slack",
    "gmail to trello pls",
    "Send naïve café résumés to Slack",
    "post the menu of the Café de la Gare to slack",
    "email Jürgen Müller the new jira issues",
    "tell El Niño in slack",
    "post 'bonjour et merci' to slack when a trello card is new",
    "tell the team in Den Haag in slack about new jira issues",
    "post “日本” to slack every day at 9",
    "slack, trello, jira",
    "ok",
    "",
    "1 2 3",
]


@pytest.mark.parametrize("text", ENGLISH)
def test_english_with_foreign_words_stays_english(text: str) -> None:
    assert detect(text) == "en"


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_every_text_has_a_language_that_has_a_name(text: str) -> None:
    code = detect(text)
    assert code == "en" or language_name(code) != code


def test_an_unknown_code_is_its_own_name() -> None:
    assert language_name("xx") == "xx"


def test_the_language_is_told_from_the_first_part_alone() -> None:
    foreign = SENTENCES["ru"]
    assert detect(foreign + " the and of " * 500, length=len(foreign)) == "ru"


def test_a_reason_is_given_for_every_service_that_is_not_used(ask: Ask) -> None:
    text = "we moved from trello. do not use asana. new gmail mails become todoist tasks"
    reasons = " ".join(ask(text).reasons)
    assert "Trello is only mentioned" in reasons
    assert "Asana is not used" in reasons
    assert "Todoist is" not in reasons


def test_the_reason_names_what_starts_it(ask: Ask) -> None:
    assert any("GitHub" in reason for reason in ask("when a github issue opens tell slack").reasons)


def test_what_is_not_said_is_named_as_to_be_filled_in(ask: Ask) -> None:
    assert any("filled in" in reason for reason in ask("post new github issues to slack").reasons)


def test_confidence_is_the_product_of_what_was_measured(ask: Ask) -> None:
    measured = table("confidence")
    analysis = ask("when a github issue opens tell slack")
    assert analysis.confidence == pytest.approx(
        measured["mention"]["name"] ** 2 * measured["request"]["flow"], abs=0.001
    )
    asked = ask("email me new github issues")
    assert asked.confidence == pytest.approx(
        measured["mention"]["name"] * measured["request"]["clarify"], abs=0.001
    )


@pytest.mark.parametrize("form", ["name", "version", "word", "typo", "kind"])
def test_every_measured_share_is_one(form: str) -> None:
    assert 0 < table("confidence")["mention"][form] <= 1


def test_an_excluded_service_takes_no_confidence_away(ask: Ask) -> None:
    with_it = ask("post new github issues to discord, not slack")
    without = ask("post new github issues to discord")
    assert with_it.confidence == without.confidence


ADVICE = [
    ("an act with effect", "when a stripe payment fails post it to slack", "twice"),
    ("often", "every 2 minutes copy new trello cards to airtable", "polling"),
    ("an unknown service", "send new Quuxly orders to slack", "HTTP"),
    (
        "each row",
        "every day at 9 get the rows of google sheets and post a slack message for each row",
        "each row",
    ),
]


@pytest.mark.parametrize(("text", "word"), [row[1:] for row in ADVICE], ids=[row[0] for row in ADVICE])
def test_advice_is_given_where_there_is_a_reason(text: str, word: str, ask: Ask) -> None:
    assert any(word in advice for advice in ask(text).recommendations)


@pytest.mark.parametrize("text", ["every day at 9 list the open jira issues", "hello there", ""])
def test_no_advice_is_given_without_one(text: str, ask: Ask) -> None:
    assert ask(text).recommendations == ()


def test_an_hourly_look_is_not_called_often(ask: Ask) -> None:
    advice = ask("every hour copy new trello cards to airtable").recommendations
    assert not any("polling" in line for line in advice)
