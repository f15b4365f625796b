"""The pytest file beside a generated flow: what it expects, and that it notices a missing step."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_autopilot.codegen import generate, rows_to_seed
from prefect_autopilot.codegen.conditions import Check, holds
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.models import (
    Constant,
    GeneratedFlow,
    RequestContext,
    StepSpec,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import load_catalogue

BRANCHES = "When I get an important email in Gmail, create a task in Asana and tell #inbox in Slack"
LOOP = "Every Monday get the open issues from GitHub and for each one post a message to #dev in Slack"
PLAIN = 'Every Friday at 4pm post "hello" to #ops in Slack'
HOSTILE = "Every Friday at 4pm post \"'''); import os; os.abort() #\" to #ops in Slack"
NOTICED = """

def test_a_missing_step_is_noticed(services, monkeypatch):
    import poorer

    monkeypatch.setitem(globals(), "{function}", poorer.{function})
    with pytest.raises(AssertionError, match="slack.post_message"):
        test_the_flow_calls_what_it_should(services)
    test_an_event_that_does_not_meet_the_condition_calls_nothing(services)
"""


def flow_of(text: str) -> GeneratedFlow:
    catalogue = load_catalogue()
    return generate(design(analyze(text, RequestContext(), catalogue), catalogue), catalogue)


def expected_of(flow: GeneratedFlow) -> list[list[str]]:
    """Return the lists of calls that the tests of a file expect."""
    tree = ast.parse(flow.test_source)
    assigned = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    return [ast.literal_eval(one.value) for one in assigned if isinstance(one.value, ast.List)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BRANCHES, [["asana.create_task", "slack.post_message"]]),
        (LOOP, [["github.list_issues", "slack.post_message"]]),
        (PLAIN, [["slack.post_message"]]),
    ],
    ids=["event", "loop", "schedule"],
)
def test_a_test_expects_every_step_in_order(text: str, expected: list[list[str]]) -> None:
    assert expected_of(flow_of(text)) == expected


def test_a_flow_with_a_filter_is_also_tried_with_an_event_that_does_not_meet_it() -> None:
    tree = ast.parse(flow_of(BRANCHES).test_source)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert names[1:] == [
        "test_the_flow_calls_what_it_should",
        "test_an_event_that_does_not_meet_the_condition_calls_nothing",
    ]
    met, missed = [
        ast.literal_eval(one.value)
        for one in ast.walk(tree)
        if isinstance(one, ast.keyword) and one.arg == "event"
    ]
    assert "IMPORTANT" in met["labels"]
    assert "IMPORTANT" not in missed["labels"]


@pytest.mark.parametrize(
    "text", [BRANCHES, LOOP, PLAIN, HOSTILE], ids=["event", "loop", "schedule", "hostile"]
)
def test_a_test_is_the_same_bytes_each_time_and_formatted(text: str, tmp_path: Path) -> None:
    flow = flow_of(text)
    assert flow.test_source == flow_of(text).test_source
    assert flow.test_file_name == f"test_{flow.file_name}"
    for name, source in ((flow.file_name, flow.source), (flow.test_file_name, flow.test_source)):
        (tmp_path / name).write_text(source)
    for command in (
        ["format", "--isolated", "--check"],
        ["check", "--isolated", "--select", "E,F,I,B,UP,PT,PIE,SIM,RET,D1", "--ignore", "E501,D103"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "is_seeded"),
    [
        (LOOP, False),
        ("Every day at 18:00 get all open Jira issues and for each one send a Slack message to #qa", True),
        (PLAIN, False),
    ],
    ids=["list with rows", "empty list", "no list"],
)
def test_a_list_that_would_be_empty_has_a_row_so_that_its_loop_is_tried(
    text: str,
    is_seeded: bool,  # noqa: FBT001 - a table's column
) -> None:
    flow = flow_of(text)
    assert ("services.simulator.seed(" in flow.test_source) is is_seeded
    assert bool(rows_to_seed(flow.spec)) is is_seeded


def test_words_of_a_request_do_not_become_code_of_its_test() -> None:
    tree = ast.parse(flow_of(HOSTILE).test_source)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"pytest"}


@pytest.mark.live
@pytest.mark.timeout(180)
def test_the_test_passes_and_fails_once_a_step_is_gone(tmp_path: Path) -> None:
    flow = flow_of(BRANCHES)
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_AUTOPILOT_HOME": str(tmp_path / "autopilot"),
    }
    environment.pop("PREFECT_API_URL", None)
    (tmp_path / flow.file_name).write_text(flow.source)
    (tmp_path / "poorer.py").write_text(without_last_call(flow.source))
    # Both flows are tried on one server: its start takes most of the time.
    noticed = NOTICED.format(function=flow.function)
    (tmp_path / flow.test_file_name).write_text(flow.test_source + noticed)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert "3 passed" in done.stdout, done.stdout


def without_last_call(source: str) -> str:
    """Return the source without its last call of a service."""
    tree = ast.parse(source)
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and "call_service" in ast.dump(node)
        and isinstance(node.value, ast.Call)
    ]
    last = max(calls, key=lambda node: node.lineno)
    lines = source.splitlines(keepends=True)
    return "".join(lines[: last.lineno - 1] + lines[last.end_lineno or last.lineno :])


@pytest.mark.parametrize(
    ("check", "value", "met"),
    [
        ({"operator": "over", "value": 500}, 501, True),
        ({"operator": "over", "value": 500}, 500, False),
        ({"operator": "from", "value": 500}, 500, True),
        ({"operator": "under", "value": 500}, 500, False),
        ({"operator": "to", "value": 500}, 500, True),
        ({"operator": "over", "value": 5, "scale": 100}, 501, True),
        ({"operator": "over", "value": 5, "scale": 100}, 500, False),
        ({"operator": "over", "value": 5, "number_from_text": True}, "5.01", True),
        ({"operator": "equals", "value": "open"}, "open", True),
        ({"operator": "equals", "value": "open", "negated": True}, "open", False),
        ({"operator": "includes", "value": "VIP"}, ["VIP"], True),
        ({"operator": "includes", "value": "VIP"}, None, False),
        ({"operator": "mentions", "value": "refund"}, "A REFUND please", True),
        ({"operator": "mentions", "value": "refund", "negated": True}, "A REFUND please", False),
        ({"operator": "present"}, [], False),
        ({"operator": "present", "negated": True}, [], True),
    ],
)
def test_a_condition_is_decided_as_the_source_decides_it(
    check: dict[str, object],
    value: object,
    met: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert holds(Check.model_validate({"paths": ("field",), **check}), {"field": value}) is met


def test_a_question_is_no_test() -> None:
    with pytest.raises(UsageError):
        flow_of("post to the team channel")


def test_a_thing_that_is_changed_by_the_id_given_is_there_when_the_flow_is_tried() -> None:
    step = StepSpec(
        id="closed",
        service="google_calendar",
        operation="delete_event",
        connection="google-calendar-default",
        arguments={"event_id": Constant(value="2995104339")},
    )
    spec = WorkflowSpec(
        name="delete-event", request="delete it", trigger=TriggerSpec(type="manual"), steps=(step,)
    )
    (seeded,) = rows_to_seed(spec)
    assert (seeded[:2], seeded[2]["id"]) == (("google_calendar", "event"), "2995104339")
