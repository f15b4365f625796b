"""What every generated file must be: one formatted module that holds its texts as constants only."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    ParameterSpec,
    StepSpec,
    Text,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

MakeSpec = Callable[..., WorkflowSpec]
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"

HOSTILE = {
    "closes the docstring": '"""\nimport os; os.system("touch canary")\n"""',
    "closes a string": "'); __import__('os').system('touch canary'); ('",
    "backslash at the end": "ends with \\",
    "line continuation": "first \\\nsecond",
    "f-string braces": "{__import__('os').system('touch canary')}",
    "percent and format": "%(x)s {0.__class__}",
    "jinja": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "null byte": "a\x00b",
    "carriage return": "a\rimport os",
    "form feed": "a\x0cimport os",
    "line separator": "a\u2028import os",
    "right to left": "\u202egnp.exe",
    "zero width": "ze\u200bro",
    "coding cookie": "# -*- coding: utf-7 -*-",
    "many quotes": '"""""" \'\'\'\'\'\' """',
    "yaml": "!!python/object/apply:os.system ['id']",
    "emoji": "🚀 done ✔",
    "noqa": "# noqa  # type: ignore  # fmt: off",
    "long": "word " * 400,
    "one long word": "x" * 3000,
    "args section": "Args:\n    event: nothing\n\nReturns:\n    x",
    "empty": "",
}


def everywhere(make: MakeSpec, text: str) -> WorkflowSpec:
    """Return a workflow with ``text`` in every place that takes free text."""
    return make(
        request=text,
        trigger=TriggerSpec(type="app_event", service="gmail", event="new_email"),
        parameters=(
            ParameterSpec(name=f"p {text[:40]}", type="str", default=text, description=text),
            ParameterSpec(name="open", type="str", required=True, description=text),
        ),
        steps=(
            StepSpec(
                id="one",
                service="asana",
                operation="create_task",
                connection=text,
                summary=text,
                arguments={
                    "name": Constant(value=text),
                    "notes": Text(
                        parts=(Constant(value=text), FromTrigger(path="subject"), Constant(value=text))
                    ),
                    "due-on": FromParameter(name="open"),
                    "followers": Constant(value=[text, {"key": text, text: 1}]),
                },
            ),
        ),
    )


def constants(source: str) -> list[object]:
    return [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]


def ruff(command: list[str], source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RUFF, *command, "--isolated", "--stdin-filename", "flow_file.py", "-"],
        input=source.encode("utf-8"),
        capture_output=True,
        check=False,
    )  # type: ignore[return-value]


def assert_formatted(source: str) -> None:
    done = ruff(["format"], source)
    assert done.returncode == 0, done.stderr
    assert bytes(done.stdout).decode("utf-8") == source


def kinds(source: str) -> list[str]:
    return sorted({type(node).__name__ for node in ast.walk(ast.parse(source))})


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_stays_a_constant_and_the_file_stays_formatted(
    spec: MakeSpec, catalogue: Catalogue, text: str
) -> None:
    source = generate(everywhere(spec, text), catalogue).source
    benign = generate(everywhere(spec, "harmless"), catalogue).source
    # Empty pieces of an f-string are no nodes at all; everything else must be the same.
    assert kinds(source) == kinds(benign)
    assert text in constants(source)
    modules = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert modules == ["typing", "prefect", "prefect_autopilot.tasks"]
    assert_formatted(source)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_read_back_from_a_constant(spec: MakeSpec, catalogue: Catalogue, text: str) -> None:
    source = generate(everywhere(spec, text), catalogue).source
    assert text in constants(source)
    documented = ast.get_docstring(ast.parse(source), clean=False) or ""
    assert " ".join(text.split()) in " ".join(documented.split())


@given(text=st.text(st.characters(max_codepoint=0x2FF), max_size=150))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_leaves_the_file_formatted(spec: MakeSpec, catalogue: Catalogue, text: str) -> None:
    assert_formatted(generate(everywhere(spec, text), catalogue).source)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_value_survives_as_a_literal(spec: MakeSpec, catalogue: Catalogue, value: object) -> None:
    step = (
        spec()
        .steps[0]
        .model_copy(
            update={"arguments": {"name": Constant(value="n"), "custom_fields": Constant(value=value)}}
        )
    )
    try:
        source = generate(spec(steps=(step,)), catalogue).source
    except UsageError:
        pytest.fail("a JSON value was refused")
    keyword = next(
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword) and node.arg == "custom_fields"
    )
    assert ast.literal_eval(keyword) == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), object()], ids=["nan", "inf", "-inf", "object"]
)
def test_what_json_cannot_hold_is_refused(spec: MakeSpec, catalogue: Catalogue, value: object) -> None:
    step = spec().steps[0].model_copy(update={"arguments": {"name": Constant(value=value)}})
    with pytest.raises(UsageError):
        generate(spec(steps=(step,)), catalogue)


def test_the_same_spec_gives_the_same_bytes(spec: MakeSpec, catalogue: Catalogue) -> None:
    first, second = generate(spec(), catalogue), generate(spec(), catalogue)
    assert first == second
    assert WorkflowSpec.model_validate_json(first.spec.model_dump_json()) == first.spec


def test_the_flow_reads_as_a_person_would_write_it(spec: MakeSpec, catalogue: Catalogue) -> None:
    source = generate(spec(), catalogue).source
    assert (
        source.partition("\n\n\nif __name__")[0]
        == '''"""Create Asana task.

The request, as it was made:

    When I get an important email in Gmail, create a task in Asana
"""

from typing import Any

from prefect import State, flow
from prefect.states import Completed
from prefect_autopilot.tasks import call_service


@flow(name="gmail-important-to-asana", persist_result=True)
def gmail_important_to_asana(event: dict[str, Any]) -> State[Any]:
    """Create Asana task.

    Args:
        event: Data of the event that starts the run, from Gmail.
    """
    if "IMPORTANT" not in event["labels"]:
        return Completed(name="Skipped", message="Condition not met: important")

    call_service.with_options(name="Create Asana task")(
        "asana-default",
        "create_task",
        name=event["subject"],
        notes="From my inbox",
    )
    return Completed(message="All steps are done.")'''
    )


def wide_spec(make: MakeSpec) -> WorkflowSpec:
    """Return a workflow with every construct the generator has."""
    return make(
        name="everything-at-once",
        request="Everything at once",
        trigger=TriggerSpec(
            type="app_event",
            service="gmail",
            event="new_email",
            filter='important and containing "the yearly invoice"',
        ),
        parameters=(
            ParameterSpec(name="class", type="str", required=True, description="The class " * 30),
            ParameterSpec(name="rows", type="list", default=[1, 2]),
            ParameterSpec(name="options", type="dict"),
            ParameterSpec(name="count", type="int", default=-3),
            ParameterSpec(name="share", type="float", default=0.5),
            ParameterSpec(name="dry run", type="bool", default=False),
        ),
        steps=(
            StepSpec(
                id="task",
                service="asana",
                operation="create_task",
                connection="asana-default",
                arguments={
                    "name": Text(parts=(Constant(value='"Mail" from '), FromTrigger(path="from"))),
                    "due-on": Constant(value="2026-03-06"),
                    "followers": FromParameter(name="rows"),
                },
            ),
            StepSpec(
                id="comment",
                service="asana",
                operation="add_comment",
                connection="asana-default",
                arguments={
                    "task_gid": FromStep(step="task", path="data.gid"),
                    "text": Text(
                        parts=(FromParameter(name="class"), Constant(value=": "), FromStep(step="task"))
                    ),
                },
                condition='subject contains "a text that is long enough to need two lines"',
            ),
            StepSpec(id="list", service="asana", operation="list_projects", connection="asana-default"),
            StepSpec(
                id="mail",
                service="gmail",
                operation="send_message",
                connection="gmail-default",
                arguments={
                    "to": FromStep(step="list", path="owner"),
                    "from": Constant(value="me@example.com"),
                    "body": FromStep(step="list", path=""),
                },
                for_each="list",
            ),
        ),
    )


def test_every_construct_is_formatted_and_lints_clean(spec: MakeSpec, catalogue: Catalogue) -> None:
    source = generate(wide_spec(spec), catalogue).source
    assert_formatted(source)
    rules = "A,ANN,ARG005,B,C4,D,E4,E7,E9,F,I,ISC,N,PIE,PT,Q,RET,RUF,S,SIM,T20,UP,W"
    done = ruff(
        ["check", "--target-version", "py311", "--select", rules, "--ignore", "D203,D213,D413,RUF001"], source
    )
    assert done.returncode == 0, done.stdout


def test_every_construct_is_there(spec: MakeSpec, catalogue: Catalogue) -> None:
    source = generate(wide_spec(spec), catalogue).source
    for piece in (
        "class_parameter: str,",
        "rows: list[Any] | None = None,",
        "count: int = -3,",
        "if rows is None:\n        rows = [1, 2]",
        'text = " ".join([event["subject"], event["snippet"]]).casefold()',
        'if "the yearly invoice" not in text:',
        "name=f'\"Mail\" from {from_text}'",
        '**{"due-on": "2026-03-06"}',
        'task_gid=task["data"]["gid"],',
        'for project in projects["data"]:',
        'to=project["owner"],',
        "body=json.dumps(project, indent=2),",
    ):
        assert piece in source


def test_importing_the_file_runs_nothing(spec: MakeSpec, catalogue: Catalogue) -> None:
    tree = ast.parse(generate(wide_spec(spec), catalogue).source)
    calls = [
        node for node in tree.body if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ]
    assert calls == []
    assert isinstance(tree.body[-1], ast.If)
    assert ast.unparse(tree.body[-1].test) == "__name__ == '__main__'"
