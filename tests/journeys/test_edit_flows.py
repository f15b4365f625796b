"""Changes in plain English: just what was asked, nothing twice, questions instead of guesses."""

from __future__ import annotations

import ast
import contextlib
import difflib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.errors import InvalidFlowError, UnknownNameError, UsageError
from prefect_autopilot.journeys.edit import edit_file, edit_source
from prefect_autopilot.models import FlowEdit, RequestContext

ROOT = Path(__file__).resolve().parents[2]
GENERATED = (ROOT / "flows" / "generated" / "important_mail_to_asana.py").read_text()
BY_HAND = '''\
import httpx
from prefect import flow, task  # ours


@task
def load(day: str) -> list[dict]:
    """Read the orders of a day."""
    return httpx.get(f"https://shop.example/orders/{day}").json()


@task(retries=1)
def notify(text: str,   channel: str = "#a") -> None:
    httpx.post("https://chat.example", json={"text": text, "channel": channel})


@flow
def report(day: str):
    orders = load(day)
    total = sum(one["amount"] for one in orders)   # cents


    notify(text=f"{total} on {day}", channel="#sales")
'''
BERLIN = RequestContext(timezone="Europe/Berlin")


def change(source: str, request: str, context: RequestContext = BERLIN) -> FlowEdit:
    return edit_source(source, request, file="flow.py", context=context)


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that went and those that came."""
    told = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    gone = [line[2:].strip() for line in told if line.startswith("- ")]
    return gone, [line[2:].strip() for line in told if line.startswith("+ ")]


REQUESTS = {
    "add on days": "also post to Discord, but only on weekends",
    "add after": "after the Asana task, create a Trello card",
    "add before": "before posting to Slack, create a Trello card",
    "add said literals": 'also post "Look!" to #ops in Slack',
    "add on data": "also post to Discord if the subject contains invoice",
    "condition on days": "don't post to Slack on weekends",
    "condition on data": "only post to Slack if the subject contains invoice",
    "guard": "only run on Mondays",
    "channel": "change the channel to ops",
    "channel by value": "use #ops instead of #inbox",
    "swap": "use Discord instead of Slack",
    "remove": "stop posting to Slack",
    "remove first": "please remove the Asana step.",
    "retries of a step": "retry the asana step 3 times, waiting 30 seconds",
    "retries of the flow": "retry the whole flow twice",
}


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_change_compiles_stays_formatted_and_is_made_once(request_text: str, tmp_path: Path) -> None:
    told = change(GENERATED, request_text)
    assert told.status == "changed", told
    assert told.changes
    assert told.diff.startswith("--- a/flow.py\n+++ b/flow.py\n")
    path = tmp_path / "flow.py"
    path.write_text(told.source)
    ruff = [sys.executable, "-m", "ruff"]
    checked = subprocess.run([*ruff, "check", "--isolated", "--select", "E9,F", str(path)], check=False)
    assert checked.returncode == 0
    again = change(told.source, request_text)
    assert (again.status, again.diff, again.source) == ("unchanged", "", told.source)
    assert again.notes


@pytest.mark.parametrize(
    "request_text",
    [REQUESTS[one] for one in ("add on days", "add after", "condition on days", "channel", "swap", "remove")],
    ids=["add on days", "add after", "condition on days", "channel", "swap", "remove"],
)
def test_a_formatted_file_stays_formatted(request_text: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.py"
    path.write_text(change(GENERATED, request_text).source)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == ""


def test_a_step_is_added_with_the_content_of_its_neighbour_on_its_days() -> None:
    told = change(GENERATED, REQUESTS["add on days"])
    gone, come = changed_lines(GENERATED, told.source)
    assert gone == ["def important_mail_to_asana(event: dict[str, Any]) -> State[Any]:"]
    assert 'due = flow_run.scheduled_start_time.astimezone(ZoneInfo("Europe/Berlin"))' in come
    assert "if due.weekday() >= 5:" in come
    assert 'content=f"New task from {from_text}: {subject}",' in come
    assert "channel_id=discord_channel_id," in come
    assert "discord_channel_id: str," in come
    assert 'discord_channel_id="example",' in come
    assert any("discord_channel_id" in note for note in told.notes)


def test_the_new_call_stands_below_its_condition_and_the_others_do_not() -> None:
    tree = ast.parse(change(GENERATED, REQUESTS["add on days"]).source)
    inside = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.If)]
    (weekend,) = [text for text in inside if "weekday" in text]
    assert "discord-default" in weekend
    assert "slack-default" not in weekend


@pytest.mark.parametrize(
    ("request_text", "test"),
    [
        ("also post to Discord on weekdays", "due.weekday() < 5"),
        ("also post to Discord only on Fridays", "due.weekday() == 4"),
        ("also post to Discord except on Fridays", "due.weekday() in {0, 1, 2, 3, 5, 6}"),
        ("also post to Discord, only Mondays and Thursdays", "due.weekday() in {0, 3}"),
        ("only post to Slack at the weekend", "due.weekday() >= 5"),
        ("never post to Slack on Sundays", "due.weekday() in {0, 1, 2, 3, 4, 5}"),
    ],
    ids=["weekdays", "one day", "except", "two days", "existing step", "never"],
)
def test_days_are_read_as_they_are_said(request_text: str, test: str) -> None:
    assert f"if {test}:" in change(GENERATED, request_text).source


def test_a_second_step_on_days_uses_the_same_due_time() -> None:
    first = change(GENERATED, "also post to Discord, but only on weekends")
    second = change(first.source, "only run on Mondays")
    third = change(second.source, "also create a Trello card on weekdays")
    assert third.status == "changed"
    assert third.source.count("from zoneinfo import ZoneInfo") == 1


@pytest.mark.parametrize(
    ("request_text", "old", "new"),
    [
        ("change the channel to ops", 'channel="#inbox",', 'channel="#ops",'),
        ("post to #ops instead", 'channel="#inbox",', 'channel="#ops",'),
        ("change #inbox to #ops", 'channel="#inbox",', 'channel="#ops",'),
        ("switch the channel from #inbox to #ops-2", 'channel="#inbox",', 'channel="#ops-2",'),
        ("replace #inbox with '#a \"b\"'", 'channel="#inbox",', "channel='#a \"b\"',"),
    ],
    ids=["by name", "instead", "by value", "from to", "quotes"],
)
def test_a_literal_is_changed_and_nothing_else(request_text: str, old: str, new: str) -> None:
    gone, come = changed_lines(GENERATED, change(GENERATED, request_text).source)
    assert (gone, come) == ([old], [new])


def test_what_only_served_a_removed_step_goes_with_it() -> None:
    told = change(GENERATED, "stop posting to Slack")
    gone, come = changed_lines(GENERATED, told.source)
    assert come == []
    assert 'subject = event["subject"]' in gone
    assert 'name=event["subject"],' not in gone
    assert "asana-default" in told.source


@pytest.mark.parametrize(
    "request_text",
    [
        "post it to the team chat somehow and also the CRM",
        "make it better",
        "stop doing the thing",
        "change the subject to Hello in the foo step",
        "only post to Slack if the moon is full",
        "use Discord instead of Telegram",
        "asdf",
    ],
    ids=["kinds", "vague", "no step", "no value", "unknown condition", "service not used", "noise"],
)
def test_what_is_not_clear_is_asked_and_nothing_is_changed(request_text: str) -> None:
    told = change(GENERATED, request_text)
    assert told.status == "clarify"
    assert told.questions[0].text.endswith(("?", "."))
    assert (told.diff, told.source, told.changes) == ("", GENERATED, ())


@pytest.mark.parametrize("service", ["Telegram", "Microsoft Teams", "Notion"])
def test_a_service_the_flow_does_not_use_is_never_taken_for_another(service: str) -> None:
    told = change(GENERATED, f"stop posting to {service}")
    assert told.status == "unchanged"
    assert service in told.notes[0]


def test_a_step_that_is_there_on_another_condition_is_asked_about() -> None:
    told = change(GENERATED, "also post to Slack on Sundays")
    assert told.status == "clarify"
    assert "only post" in told.questions[0].text


def test_a_step_whose_result_is_used_is_neither_removed_nor_made_conditional() -> None:
    for request_text in ("remove the load step", "only load on Mondays"):
        with pytest.raises(UsageError, match="Line 19"):
            change(BY_HAND, request_text)


def test_the_only_step_is_not_removed() -> None:
    one = change(GENERATED, "stop posting to Slack").source
    with pytest.raises(UsageError, match="only step"):
        change(one, "remove the Asana step")


def test_a_flow_written_by_hand_keeps_every_other_line() -> None:
    told = change(BY_HAND, "also post to Discord, but only on weekends")
    gone, come = changed_lines(BY_HAND, told.source)
    assert gone == ["def report(day: str):"]
    assert "from prefect_autopilot.tasks import call_service" in come
    assert 'content=f"{total} on {day}",' in "\n".join(come).replace(", content", ",\ncontent")
    assert "   # cents\n\n\n" in told.source
    assert 'text: str,   channel: str = "#a"' in told.source


@pytest.mark.parametrize(
    ("request_text", "line"),
    [
        ("only notify if total is over 500", "    if total > 500:"),
        ("only notify if total >= 10 and day", "    if total >= 10 and day:"),
        ("retry the load step 4 times", "@task(retries=4)"),
        ("retry notify 4 times, every 5 minutes", "@task(retries=4, retry_delay_seconds=300)"),
        ("retry the flow once", "@flow(retries=1)"),
        ("retry the flow 3 times after 2 minutes", "@flow(retries=3, retry_delay_seconds=120)"),
        ("don't retry notify", "@task(retries=0)"),
        ("use #team instead of #sales", '    notify(text=f"{total} on {day}", channel="#team")'),
    ],
    ids=["bound", "python", "bare task", "task", "bare flow", "flow", "no retries", "value"],
)
def test_tasks_of_a_flow_by_hand_are_changed(request_text: str, line: str) -> None:
    assert line in change(BY_HAND, request_text).source.splitlines()


@pytest.mark.parametrize("newline", ["\r\n", "\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["bom", "plain"])
def test_line_ends_and_the_byte_order_mark_stay(newline: str, mark: str) -> None:
    source = mark + BY_HAND.replace("\n", newline)
    told = change(source, "also post to Discord on weekends")
    assert told.status == "changed"
    assert told.source.startswith(mark)
    assert told.source.count("\n") == told.source.count(newline)


def test_a_file_without_a_last_line_end_is_added_to() -> None:
    told = change(BY_HAND.rstrip("\n"), "also post to Discord")
    ast.parse(told.source)
    assert "discord-default" in told.source


@pytest.mark.parametrize(
    ("source", "error"),
    [("def f(: pass", InvalidFlowError), ("x = 1\n", InvalidFlowError), ("", InvalidFlowError)],
    ids=["no python", "no flow", "empty"],
)
def test_what_is_no_flow_is_refused(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        change(source, "also post to Discord")


def test_a_function_that_is_none_of_its_flows_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="report"):
        edit_source(BY_HAND, "also post to Discord", file="f.py", function="reprot")


@pytest.mark.parametrize(
    "text",
    [
        '"); import os; os.system("touch /tmp/x"); ("',
        "{{ 7*7 }} {event}",
        "\\N{BULLET}\\x00'\"",
        "''' + __import__('os').system('x') + '''",
    ],
    ids=["call", "templates", "escapes", "triple quotes"],
)
def test_text_of_a_change_is_a_constant_and_never_code(text: str) -> None:
    told = change(GENERATED, f"use '{text}' instead of #inbox")
    before, after = ast.parse(GENERATED), ast.parse(told.source)
    kinds = [type(node) for node in ast.walk(after)]
    assert kinds == [type(node) for node in ast.walk(before)]


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os')",
        "total.real > 1",
        "total > (lambda: 1)()",
        "[x for x in total] == 1",
        "f(total) > 1",
    ],
    ids=["import", "attribute", "lambda", "comprehension", "call"],
)
def test_only_comparisons_of_known_names_become_conditions(condition: str) -> None:
    told = change(BY_HAND, f"only notify if {condition}")
    assert told.status == "clarify"
    assert told.source == BY_HAND


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(lambda text: bool(text.strip())))
def test_any_text_gives_an_answer_or_one_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        ast.parse(change(GENERATED, text).source)


def test_writing_keeps_a_backup_and_looks_whether_the_file_is_the_one_read(tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_text(BY_HAND)
    shown = edit_file(path, "also post to Discord")
    assert path.read_text() == BY_HAND
    written = edit_file(path, "also post to Discord", write=True)
    assert written == shown
    assert path.read_text() == shown.source
    (backup,) = tmp_path.glob("*.bak")
    assert backup.read_text() == BY_HAND
    assert edit_file(path, "also post to Discord", write=True).status == "unchanged"
    assert len(list(tmp_path.glob("*.bak"))) == 1


def test_a_file_that_is_gone_or_no_text_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the path of a flow file"):
        edit_file(tmp_path / "no.py", "also post to Discord")
    for content, words in ((b"\xff\xfex\x00", "save it as UTF-8"), (b"PK\x03\x04\x00\x00", "binary file")):
        (tmp_path / "b.py").write_bytes(content)
        with pytest.raises(InvalidFlowError, match=words):
            edit_file(tmp_path / "b.py", "also post to Discord")


@pytest.mark.parametrize(
    ("request_text", "cron"),
    [
        ("run it every weekday at 7am instead", "0 7 * * 1-5"),
        ("change the schedule to every Monday at 9:30", "30 9 * * 1"),
        ("schedule it daily at noon", "0 12 * * *"),
    ],
    ids=["run it", "change", "schedule it"],
)
def test_a_schedule_is_the_deployments_and_leaves_the_file_alone(request_text: str, cron: str) -> None:
    told = change(GENERATED, request_text)
    assert told.schedule is not None
    assert (told.schedule.cron, told.schedule.timezone) == (cron, "Europe/Berlin")
    assert (told.source, told.diff, told.status) == (GENERATED, "", "changed")


def test_another_time_zone_is_written_into_the_condition() -> None:
    context = RequestContext(timezone="America/New_York")
    assert 'ZoneInfo("America/New_York")' in change(GENERATED, REQUESTS["guard"], context).source


def test_a_kind_is_filled_from_what_the_person_has() -> None:
    context = RequestContext(preferences={"chat": "discord"})
    told = change(
        change(GENERATED, "stop posting to Slack").source, "also post it to the team channel", context
    )
    assert told.status == "changed"
    assert "discord-default" in told.source
