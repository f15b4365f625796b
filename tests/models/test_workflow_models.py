"""Plans of automations: names that can be files, arguments that are data, steps that exist."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prefect_autopilot.models import (
    Analysis,
    Argument,
    Constant,
    DeploymentSpec,
    FromParameter,
    FromStep,
    FromTrigger,
    ParameterSpec,
    PreviewResult,
    RequestContext,
    ServiceMatch,
    Span,
    StepSpec,
    Text,
    TriggerSpec,
    WorkflowSpec,
)

ARGUMENTS: TypeAdapter[Argument] = TypeAdapter(Argument)


def step(name: str = "one", connection: str = "asana-default", **more: Any) -> StepSpec:
    return StepSpec(id=name, service="asana", operation="create_task", connection=connection, **more)


def spec(**more: Any) -> WorkflowSpec:
    fields = {
        "name": "mail-to-asana",
        "request": "Make tasks of mails",
        "trigger": TriggerSpec(type="manual"),
        "steps": (step(),),
    }
    return WorkflowSpec.model_validate(fields | more)


@pytest.mark.parametrize(
    "name",
    ["abc", "a1b", "mail-to-asana", "a--", "a" + "b" * 62],
    ids=["three", "digit", "dashes", "end", "longest"],
)
def test_a_name_that_can_be_a_file_and_a_function_is_taken(name: str) -> None:
    assert spec(name=name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" + "b" * 63,
        "1abc",
        "-abc",
        "Mail",
        "mail to asana",
        "mail_to_asana",
        "../../etc/passwd",
        "mail/asana",
        "mail.py",
        "mäil",
        "mail\n",
        "mail\x00",
        "import os; os.system('x')",
    ],
)
def test_a_name_that_could_be_a_path_or_code_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        spec(name=name)


@given(st.text(max_size=80))
def test_no_name_that_is_taken_needs_quoting_anywhere(name: str) -> None:
    try:
        taken = spec(name=name).name
    except ValidationError:
        return
    assert taken.replace("-", "_").isidentifier()
    assert taken.isascii()
    assert taken == taken.lower()


def test_a_plan_without_steps_is_no_plan() -> None:
    with pytest.raises(ValidationError, match="steps"):
        spec(steps=())


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_plan_of_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValidationError, match="version"):
        spec(version=version)


def test_a_plan_says_its_version() -> None:
    assert spec().model_dump()["version"] == 1


@pytest.mark.parametrize(
    ("connections", "expected"),
    [
        (["a"], ("a",)),
        (["b", "a"], ("b", "a")),
        (["a", "b", "a", "b"], ("a", "b")),
        (["c", "c", "c"], ("c",)),
    ],
    ids=["one", "order of use", "twice", "one thrice"],
)
def test_connections_are_listed_once_in_order_of_first_use(
    connections: list[str], expected: tuple[str, ...]
) -> None:
    steps = tuple(step(f"s{number}", name) for number, name in enumerate(connections))
    assert spec(steps=steps).connections == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"kind": "constant", "value": None}, Constant(value=None)),
        ({"kind": "constant", "value": {"a": [1]}}, Constant(value={"a": [1]})),
        ({"kind": "trigger", "path": "from.name"}, FromTrigger(path="from.name")),
        ({"kind": "step", "step": "one"}, FromStep(step="one", path="")),
        ({"kind": "parameter", "name": "project"}, FromParameter(name="project")),
        (
            {"kind": "text", "parts": [{"kind": "constant", "value": "a"}, {"kind": "trigger", "path": "b"}]},
            Text(parts=(Constant(value="a"), FromTrigger(path="b"))),
        ),
    ],
    ids=["null", "nested constant", "event", "step", "parameter", "text"],
)
def test_an_argument_is_read_by_its_kind(raw: dict[str, Any], expected: Argument) -> None:
    assert ARGUMENTS.validate_python(raw) == expected
    assert ARGUMENTS.validate_json(ARGUMENTS.dump_json(expected)) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "a bare text",
        {"value": 1},
        {"kind": "code", "value": "print()"},
        {"kind": "constant"},
        {"kind": "trigger", "path": "a", "default": 1},
        {"kind": "text", "parts": [{"kind": "text", "parts": []}]},
        {"kind": "text", "parts": ["bare"]},
    ],
    ids=["bare", "no kind", "code", "no value", "unknown field", "text in text", "bare part"],
)
def test_what_is_no_argument_is_refused(raw: object) -> None:
    with pytest.raises(ValidationError):
        ARGUMENTS.validate_python(raw)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # A lone surrogate cannot be written as UTF-8.
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_a_constant_holds_any_json_unchanged(value: object) -> None:
    constant = Constant(value=value)
    again = Constant.model_validate_json(constant.model_dump_json())
    assert again.value == value
    assert repr(again.value) == repr(value)


def test_a_step_without_arguments_condition_or_loop_has_none() -> None:
    plain = step()
    assert (plain.arguments, plain.condition, plain.for_each, plain.span) == ({}, None, None, None)


def test_a_deployment_lands_in_our_pool_unscheduled_unless_told_otherwise() -> None:
    deployment = DeploymentSpec(name="prod", flow_name="mail", entrypoint="mail.py:mail")
    assert deployment.work_pool == "autopilot"
    assert (deployment.cron, deployment.rrule, deployment.interval_s, deployment.event) == (None,) * 4
    assert (deployment.parameters, deployment.tags) == ({}, ())


def test_a_person_nobody_told_us_about_lives_in_utc_and_uses_nothing() -> None:
    context = RequestContext()
    assert (context.timezone, context.connected_services, context.user_id) == ("UTC", (), None)


def test_a_caller_may_tell_more_of_a_person_than_we_read() -> None:
    context = RequestContext.model_validate({"timezone": "Europe/Berlin", "favourite_colour": "blue"})
    assert context.timezone == "Europe/Berlin"
    assert "favourite_colour" not in context.model_dump()


@pytest.mark.parametrize("type_", ["cron", "Schedule", "", None])
def test_a_trigger_is_of_a_type_we_know(type_: object) -> None:
    with pytest.raises(ValidationError, match="type"):
        TriggerSpec.model_validate({"type": type_})


def test_a_trigger_tells_only_what_was_understood() -> None:
    told = TriggerSpec(type="schedule", cron="0 9 * * 1").model_dump(exclude_none=True)
    assert told == {"type": "schedule", "cron": "0 9 * * 1"}


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), float("inf")])
def test_an_analysis_is_as_sure_as_a_probability(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Analysis(text="x", status="flow", confidence=confidence)
    with pytest.raises(ValidationError, match="confidence"):
        ServiceMatch(service="asana", confidence=confidence)


@pytest.mark.parametrize("role", ["used", "mentioned", "excluded"])
def test_a_service_in_a_request_is_used_only_named_or_ruled_out(role: str) -> None:
    assert ServiceMatch.model_validate({"service": "a", "confidence": 1, "role": role}).role == role


def test_a_service_has_no_other_role() -> None:
    with pytest.raises(ValidationError, match="role"):
        ServiceMatch.model_validate({"service": "a", "confidence": 1, "role": "maybe"})


def test_an_analysis_that_asks_keeps_its_steps_apart_from_its_questions() -> None:
    analysis = Analysis(text="x", status="clarify", confidence=0.3)
    assert (analysis.steps, analysis.questions, analysis.unsupported) == ((), (), ())
    assert analysis.trigger is None


def test_a_span_is_kept_with_its_words() -> None:
    text = "Every Monday, post to Slack"
    span = Span(start=6, end=12, text=text[6:12])
    assert text[span.start : span.end] == span.text == "Monday"


@pytest.mark.parametrize("type_", ["text", "object", "datetime"])
def test_a_parameter_has_a_type_that_python_has(type_: str) -> None:
    with pytest.raises(ValidationError, match="type"):
        ParameterSpec.model_validate({"name": "p", "type": type_})


def test_a_preview_that_failed_says_so_even_when_calls_succeeded() -> None:
    result = PreviewResult(succeeded=False, duration_s=0.2, error="KeyError: 'id'")
    assert PreviewResult.model_validate_json(result.model_dump_json()) == result
    assert not result.succeeded
