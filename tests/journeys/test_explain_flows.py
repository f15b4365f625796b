"""What a flow does in English: steps in order, conditions, loops, failures, whether it may run again."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from prefect_autopilot.errors import InvalidFlowError, UnknownNameError
from prefect_autopilot.journeys.edit import edit_source
from prefect_autopilot.journeys.explain import explain_file, explain_source
from prefect_autopilot.journeys.explain_words import condition, value
from prefect_autopilot.models import DeploymentSpec, FlowExplanation, RequestContext

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "flows" / "generated" / "important_mail_to_asana.py"
BY_HAND = '''
import time
from pathlib import Path
import httpx
from prefect import flow, task


@task(retries=3, retry_delay_seconds=10)
def load(day: str) -> list[dict]:
    """Read the orders of a day.

    From the shop.
    """
    return httpx.get(f"https://shop.example/orders/{day}").json()


@task
def store(row: dict) -> None:
    Path("out.json").write_text(str(row))


@task
def double(row: dict) -> dict:
    return {**row, "amount": row["amount"] * 2}


@flow(retries=2, retry_delay_seconds=60, timeout_seconds=600, on_failure=[print])
def report(day: str, limit: int = 3):
    """Report the orders of a day."""
    orders = load(day)
    if not orders:
        return
    doubled = double.map(orders)
    for row in orders:
        if row["amount"] > limit and row["state"] == "open":
            store(row)
        else:
            double.submit(row)
    time.sleep(5)
    try:
        store(orders[0])
    except OSError:
        pass
    while limit is not None:
        store({})
    if limit < 0:
        raise ValueError("no limit")
    return doubled


if __name__ == "__main__":
    report.serve(name="daily", cron="0 6 * * *")
'''


def explained(source: str = BY_HAND, function: str | None = None) -> FlowExplanation:
    return explain_source(source, file="flow.py", function=function)


def lines(told: FlowExplanation) -> list[str]:
    return ["  " * step.depth + step.text for step in told.steps]


def test_a_generated_flow_is_told_in_the_words_of_the_catalogue() -> None:
    told = explain_file(GENERATED)
    assert told.name == "important-mail-to-asana"
    assert told.request is not None
    assert told.request.startswith("When I get an important email")
    assert [(step.kind, step.service, step.operation) for step in told.steps] == [
        ("condition", None, None),
        ("stop", None, None),
        ("call", "asana", "create_task"),
        ("call", "slack", "post_message"),
    ]
    assert told.connections == ("asana-default", "slack-default")
    assert 'channel "#inbox"' in told.steps[3].text
    assert "the event's subject" in told.steps[2].text
    assert told.rerun.startswith("A second run would do some things twice")


def test_a_flow_by_hand_is_told_in_order_with_conditions_and_loops() -> None:
    told = lines(explained())
    expected = [
        "Run the task load: Read the orders of a day",
        "If orders is empty:",
        "  Stop here.",
        "Run the task double, once for each of orders, side by side (computes only",
        "For each row of orders:",
        "  If row's amount is over limit and row's state is \"open\":",
        "    Run the task store (writes",
        "  Otherwise:",
        "    Run the task double, without waiting for it",
        "Wait 5 s.",
        "Try:",
        "  Run the task store",
        "If that fails with OSError:",
        "  Go on as if nothing had happened.",
        "As long as limit is given:",
        "  Run the task store",
        "If limit is under 0:",
        "  Fail with ValueError('no limit').",
    ]
    assert len(told) == len(expected)
    for line, beginning in zip(told, expected, strict=True):
        assert line.startswith(beginning)


def test_failure_is_told_from_retries_timeouts_and_hooks() -> None:
    told = " ".join(explained().on_failure)
    assert "tried again up to 2 times, 60 s apart" in told
    assert "ended after 600 s" in told
    assert "when the run fails" in told
    assert "is tried again up to 3 times, 10 s apart" in told
    assert "the first step that fails ends the run" in told


def test_a_schedule_in_the_file_is_told() -> None:
    assert any('cron "0 6 * * *"' in line for line in explained().starts)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}, "0 9 * * 1 (Europe/Berlin)"),
        ({"interval_s": 1}, "every 1 second"),
        ({"interval_s": 90}, "every 90 seconds"),
        ({"rrule": "FREQ=DAILY"}, "FREQ=DAILY"),
        (
            {"event": "prefect-autopilot.gmail.new_message"},
            "on the event prefect-autopilot.gmail.new_message",
        ),
        ({}, "when somebody asks for it"),
    ],
    ids=["cron", "second", "interval", "rrule", "event", "hand"],
)
def test_a_deployment_says_what_starts_the_flow(given: dict[str, str], told: str) -> None:
    spec = DeploymentSpec.model_validate(
        {"name": "d", "flow_name": "report", "entrypoint": "f.py:report", **given}
    )
    (line,) = [
        one for one in explain_source(BY_HAND, file="f.py", deployments=(spec,)).starts if "report/d" in one
    ]
    assert told in line


def test_a_change_is_told_afterwards() -> None:
    before = GENERATED.read_text()
    edited = edit_source(
        before,
        "also post to Discord, but only on weekends",
        file="f.py",
        context=RequestContext(timezone="Europe/Berlin"),
    )
    told = lines(explained(edited.source))
    assert any(line.startswith("If it is a weekend:") for line in told)
    assert any(line.startswith("  Create Discord message with channel_id") for line in told)
    assert len(told) == len(lines(explain_file(GENERATED))) + 2


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("due.weekday() < 5", "it is a weekday (Monday to Friday)"),
        ("due.weekday() in {0, 3}", "it is Monday or Thursday"),
        ("due.weekday() != 6", "it is not Sunday"),
        ("due.weekday() == 9", "due.weekday() is 9"),
        ("'x' not in event['labels']", 'the event\'s labels does not have "x"'),
        ("a is None", "a is not given"),
        ("a is not None", "a is given"),
        ("not (a == 1)", "it does not hold that a is 1"),
        ("a or b", "a is given or b is given"),
        ("x['a']['b'] >= 2", "x's a's b is at least 2"),
        ("' '.join([event['a'], event['b']]).casefold() == 'c'", "the event's a and the event's b is \"c\""),
        ("1 < x < 3", "1 < x < 3"),
        ("check(x)", "check(x)"),
    ],
    ids=str,
)
def test_conditions_are_told_in_words(expression: str, told: str) -> None:
    assert condition(ast.parse(expression, mode="eval").body) == told


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("f'{a} on {b}'", '"<a> on <b>"'),
        ("['a', 'b']", '"a", "b"'),
        ("[]", "nothing"),
        ("rows[0]['id']", "rows[0]'s id"),
        ("'" + "x" * 300 + "'", '"' + "x" * 159 + "…"),
    ],
    ids=["text", "list", "empty list", "item", "long"],
)
def test_values_are_told_in_words(expression: str, told: str) -> None:
    assert value(ast.parse(expression, mode="eval").body) == told


def test_a_service_that_is_not_in_the_catalogue_is_told_as_such() -> None:
    source = (
        "from prefect import flow\nfrom prefect_autopilot.tasks import call_service\n\n\n@flow\ndef f():\n"
        '    call_service("nowhere-default", "do_it", a=1)\n'
    )
    (step,) = explained(source).steps
    assert "not in the catalogue" in step.text
    assert (step.service, step.effect) == (None, "unknown")


def test_several_flows_in_a_file_are_told_by_name_or_by_the_outermost() -> None:
    source = (
        "from prefect import flow\n\n\n@flow\ndef inner():\n    pass\n\n\n@flow\ndef outer():\n    inner()\n"
    )
    assert explained(source).function == "outer"
    assert explained(source).steps[0].text.startswith("Run the flow inner")
    assert explained(source, "inner").steps == ()
    with pytest.raises(UnknownNameError, match="inner"):
        explained(source, "iner")


@pytest.mark.parametrize(
    "source", ["", "x = 1", "def f(:", "\x00"], ids=["empty", "no flow", "broken", "null"]
)
def test_what_is_no_flow_is_refused(source: str) -> None:
    with pytest.raises(InvalidFlowError):
        explained(source)


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n{BY_HAND}"
    explained(source)
    edit_source(source, "also post to Discord", file="f.py")
    assert not mark.exists()
