"""Requests as people write them, each with its reading: typos, remarks, windows, kinds, waits."""

from __future__ import annotations

import ast
import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.addresses import address_questions, refused_address
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import load_catalogue

ROOT = Path(__file__).parents[2]


def read(text: str, *connected: str) -> Analysis:
    return analyze(text, RequestContext(connected_services=connected), load_catalogue())


def told(analysis: Analysis) -> tuple[str, str | None, list[str], str]:
    trigger = analysis.trigger
    assert trigger is not None
    when = trigger.cron or trigger.rrule or (str(trigger.interval_s) if trigger.interval_s else "")
    return (
        analysis.status,
        trigger.service or trigger.type,
        [f"{step.service}.{step.operation}" for step in analysis.steps],
        when,
    )


@pytest.mark.parametrize(
    ("text", "status", "start", "steps", "when"),
    [
        (
            "evrey mornign at 8 post the trello cards to slack",
            "flow",
            "schedule",
            ["trello.list_cards", "slack.post_message"],
            "0 8 * * *",
        ),
        (
            "when a gogle form is submited add a row to gogle sheets and msg #new in slak",
            "flow",
            "google_forms",
            ["google_sheets.append_row", "slack.post_message"],
            "",
        ),
        (
            "hourly from 9 to 5 check gmail for unread messages and post them to slack",
            "flow",
            "schedule",
            ["gmail.list_messages", "slack.post_message"],
            "0 9-17 * * *",
        ),
        (
            "quarterly on the first monday at 10 create a notion page for the retro",
            "flow",
            "schedule",
            ["notion.create_page"],
            "0 10 * 1,4,7,10 1#1",
        ),
        (
            "each morning go through the overdue invoices in quickbooks and email each one by gmail",
            "flow",
            "schedule",
            ["quickbooks.list_invoices", "gmail.send_message"],
            "0 8 * * *",
        ),
        (
            "our hubspot crm is a mess. when a form comes in from typeform just put it into airtable",
            "flow",
            "typeform",
            ["airtable.create_records"],
            "",
        ),
        (
            "slack is too noisy. when sentry reports an error, tell us in discord instead",
            "flow",
            "sentry",
            ["discord.create_message"],
            "",
        ),
        (
            "get all contacts from hubspot and for each one send a message with mailgun",
            "flow",
            "manual",
            ["hubspot.list_contacts", "mailgun.send_message"],
            "",
        ),
        (
            "get https://api.example.com/orders every night at 2 and post them to discord",
            "flow",
            "schedule",
            ["http.http_request", "discord.create_message"],
            "0 2 * * *",
        ),
        (
            "every friday at 5pm pull the invoices from xero and drop them in the finance channel on slack",
            "flow",
            "schedule",
            ["xero.list_invoices", "slack.post_message"],
            "0 17 * * 5",
        ),
        (
            "give me a notion of how many issues we have in linear every friday at 3pm, in slack",
            "flow",
            "schedule",
            ["linear.list_issues", "slack.post_message"],
            "0 15 * * 5",
        ),
        (
            "if nobody replies to a zendesk ticket within 2 hours, escalate to pagerduty",
            "flow",
            "schedule",
            ["zendesk.list_tickets", "pagerduty.create_incident"],
            "0 9 * * *",
        ),
        (
            "when a deal closes in close, message #sales in discord",
            "flow",
            "close_crm",
            ["discord.create_message"],
            "",
        ),
        ("when a jira issue moves to done tell #done in slack", "flow", "jira", ["slack.post_message"], ""),
    ],
    ids=[
        "typos of words",
        "typos of names and words",
        "9 to 5",
        "first Monday of a quarter",
        "go through",
        "remark on our CRM",
        "remark on Slack",
        "for each one",
        "an address",
        "a place is no thing",
        "how many",
        "nobody within",
        "closes in Close",
        "moves to done",
    ],
)
def test_a_request_is_read_as_it_was_meant(
    text: str, status: str, start: str, steps: list[str], when: str
) -> None:
    assert told(read(text)) == (status, start, steps, when)


@pytest.mark.parametrize(
    ("text", "connected", "asked"),
    [
        ("post in slack or teams when pagerduty has an incident", (), ["choice_slack_microsoft_teams"]),
        ("post in slack or teams when pagerduty has an incident", ("slack",), []),
        ("delete all contacts in hubspot", (), ["everything"]),
        ("text the customer when their order ships", ("twilio", "shopify"), []),
        ("call http://localhost:8080/health every hour and tell #ops in slack", (), ["address"]),
    ],
    ids=["alternatives", "one connected", "delete all", "kinds from connections", "this machine"],
)
def test_what_is_open_is_asked(text: str, connected: tuple[str, ...], asked: list[str]) -> None:
    assert [question.id for question in read(text, *connected).questions] == asked


def test_an_amount_with_a_comma_is_one_amount() -> None:
    trigger = read("when a deal over $5,000 is won in pipedrive tell #sales on slack").trigger
    assert trigger is not None
    assert trigger.filter is not None
    assert "over $5,000" in trigger.filter


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://2852039166/",
        "http://0xa9fea9fe/x",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.google.internal/computeMetadata",
    ],
    ids=["written out", "one number", "hexadecimal", "mapped", "by name"],
)
def test_where_a_cloud_keeps_credentials_nothing_is_called(url: str) -> None:
    analysis = read(f"fetch {url} and post it to Slack")
    assert analysis.status == "reject"
    assert analysis.steps == ()
    assert url in analysis.reasons[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://127.0.0.1:9/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://[::1]/",
        "http://db.internal/",
        "http://2130706433/",
    ],
)
def test_a_private_address_is_asked_about(url: str) -> None:
    assert [question.id for question in address_questions(f"get {url} daily")] == ["address"]


@pytest.mark.parametrize(
    "url", ["https://api.example.com/x", "http://8.8.8.8/", "https://local.example.org/"]
)
def test_a_public_address_is_fine(url: str) -> None:
    assert refused_address(url) is None
    assert address_questions(url) == []


def test_a_language_model_is_given_what_it_works_on_and_its_answer_goes_on() -> None:
    first, second = read("summarise new Intercom conversations with OpenAI and post it to #x in Slack").steps
    messages = first.arguments["messages"]
    assert messages.kind == "text"
    assert messages.form == "messages"
    assert "OpenAI" not in str(messages.parts[0])
    assert any(part.kind == "trigger" for part in messages.parts)
    text = second.arguments["text"]
    assert text.kind == "step"
    assert (text.step, text.path) == (first.id, "choices.0.message.content")


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "repeated",
    [
        "-",
        "=",
        "1-",
        "..",
        "utc+",
        "europe/",
        "gogle ",
        "monday ",
        "an email ",
        "emial ",
        "wait 2 hours ",
        "http://a ",
    ],
)
def test_repeated_text_is_read_in_bounded_time(repeated: str) -> None:
    assert read((repeated * 20_000)[:19_900] + " slack").status in {
        "flow",
        "clarify",
        "unsupported",
        "reject",
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('post to "emial" in slack daily at 9', "emial"),
        ("post to #emial in slack daily at 9", "emial"),
        ("when a Zapeirx arrives post to slack", "Zapeirx"),
    ],
    ids=["quoted", "a channel", "a name"],
)
def test_what_may_be_a_name_is_not_put_right(text: str, word: str) -> None:
    analysis = read(text)
    assert word in analysis.text
    assert not any(question.id == "service_email" for question in analysis.questions)


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("language_benchmark", ROOT / "benchmarks" / "language.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(60)
def test_hostile_requests_do_no_harm_and_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    requests = tomllib.loads((ROOT / "benchmarks" / "language_requests.toml").read_text(encoding="utf-8"))
    is_harmless = benchmark().is_harmless
    assert len(requests["hostile"]) >= 100
    assert [text for text in requests["hostile"] if not is_harmless(text)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(60)
def test_most_requests_of_many_kinds_become_sound_flows() -> None:
    requests = tomllib.loads((ROOT / "benchmarks" / "language_requests.toml").read_text(encoding="utf-8"))
    module = benchmark()
    flows, asked = module.generated(requests["flows"])
    assert len(requests["flows"]) >= 50
    assert len(asked) <= len(requests["flows"]) // 8
    assert all(module.is_sound(flow.source) for flow in flows)
    assert all(ast.parse(flow.test_source) for flow in flows)
