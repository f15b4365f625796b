"""Objects of JSON in a log are read whole, over several lines too, and the exception they name is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.json_text import LONGEST_OBJECT, named_exception, on_one_line
from prefect_autopilot.troubleshooting.parse import parse

SAID = "[Errno 111] Connection refused"
CLASS = "ConnectionRefusedError"
NAMED: dict[str, dict[str, Any]] = {
    "a function of Lambda": {"errorMessage": SAID, "errorType": CLASS, "stackTrace": ["x"]},
    "a field of fields": {"level": "error", "error": {"type": CLASS, "message": SAID}},
    "flat fields": {"msg": "load failed", "error.type": CLASS, "error.message": SAID},
    "a task of Celery": {"exc_type": CLASS, "exc_message": SAID, "exc_module": "builtins"},
    "its cause first": {
        "error": {"type": "LoadError", "reason": "no", "root_cause": [{"type": CLASS, "reason": SAID}]}
    },
    "Node": {"err": {"name": CLASS, "message": SAID, "stack": "x"}},
    "a list": {"errors": [{"exception_type": CLASS, "exception_message": SAID}], "error": "load"},
}


@pytest.mark.parametrize("shown", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "several lines"])
def test_the_exception_that_an_object_names_is_the_one_that_was_raised(
    shown: dict[str, Any], indent: int | None
) -> None:
    text = f"03:00:01 | loading\n{json.dumps(shown, indent=indent)}"
    root = parse(text).root
    assert root is not None
    assert (root.name, root.text) == (CLASS, f"{CLASS}: {SAID}")
    assert diagnose_text(text).pattern == "connection-refused"


@pytest.mark.parametrize(
    "line",
    [
        '{"level": "info", "error": null}',
        '{"type": "message", "message": "done"}',
        '{"error": {"type": "two words", "message": "no class"}}',
        '{"error": {"type": "Cut", "message": "off',
        '{"error": "load failed"}',
        "{'error': {'type': 'Python', 'message': 'no JSON'}}",
        "plain",
    ],
)
def test_no_exception_is_read_into_other_objects(line: str) -> None:
    assert named_exception(line) is None


def test_lines_keep_their_numbers_behind_an_object_over_several() -> None:
    shown = json.dumps({"status": 1, "rows": [1, 2]}, indent=2)
    told = on_one_line(f"first {shown}\nlast")
    assert told.split("\n")[0] == 'first {"status": 1, "rows": [1, 2]}'
    assert told.split("\n").index("last") == shown.count("\n") + 1


@pytest.mark.parametrize(
    "text",
    [
        "def f() {\n  return 1\n}",
        '{\n"a": ' + "[\n" * 5_000,
        '{\n"a": "' + "x" * LONGEST_OBJECT + '"\n}',
        "{",
    ],
    ids=["code", "deep", "long", "open"],
)
def test_what_is_no_object_stays(text: str) -> None:
    assert on_one_line(text) == text


@pytest.mark.parametrize(
    ("before", "expected"),
    [("the driver asks for 4 cores", "rerun_on_other_infrastructure"),
     ("Container killed by YARN for exceeding memory limits. 8 GB of 8 GB used.", "increase_memory")],
)  # fmt: skip
def test_a_lost_executor_is_no_cause_where_the_text_tells_why_it_was_lost(before: str, expected: str) -> None:
    lost = "WARN TaskSetManager: Lost task 1.3: ExecutorLostFailure (executor 6 exited)"
    text = f"WARN {before}\n{lost}\nERROR aborting job"
    assert diagnose_text(text).remedy == expected
