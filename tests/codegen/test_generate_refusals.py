"""What the generator asks or refuses instead of guessing, and what it deploys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.codegen import TAG, example_values, generate, parameter_names
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.models import (
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    ParameterSpec,
    StepSpec,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

MakeSpec = Callable[..., WorkflowSpec]


def step(**changes: object) -> StepSpec:
    fields: dict[str, object] = {
        "id": "one",
        "service": "asana",
        "operation": "create_task",
        "connection": "asana-default",
        "arguments": {"name": Constant(value="x")},
    }
    return StepSpec.model_validate(fields | changes)


def schedule(**fields: object) -> TriggerSpec:
    return TriggerSpec.model_validate({"type": "schedule"} | fields)


GMAIL = TriggerSpec(type="app_event", service="gmail", event="new_email")
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "a condition nobody can evaluate": (
        {"trigger": GMAIL.model_copy(update={"filter": "from my boss"})},
        "from my boss",
    ),
    "a step condition nobody can evaluate": (
        {"steps": (step(condition="if it feels right"),)},
        "feels right",
    ),
    "a reserved name": ({"name": "autopilot-mine"}, "reserved"),
    "an unknown parameter of the operation": (
        {"steps": (step(arguments={"name": Constant(value=1), "nome": Constant(value=1)}),)},
        "nome",
    ),
    "a missing value": ({"steps": (step(arguments={}),)}, "'name'"),
    "a field the event does not have": (
        {"steps": (step(arguments={"name": FromTrigger(path="subjekt")}),)},
        "subjekt",
    ),
    "a result that is not there yet": (
        {"steps": (step(arguments={"name": FromStep(step="two")}), step(id="two"))},
        "'two'",
    ),
    "a result that exists only on a condition": (
        {
            "trigger": GMAIL,
            "steps": (
                step(condition='subject contains "x"'),
                step(id="two", arguments={"name": FromStep(step="one", path="data.gid")}),
            ),
        },
        "condition",
    ),
    "a flow parameter that does not exist": (
        {"steps": (step(arguments={"name": FromParameter(name="gone")}),)},
        "gone",
    ),
    "two steps with one id": ({"steps": (step(), step())}, "same id"),
    "two parameters with one name": (
        {"parameters": (ParameterSpec(name="a"), ParameterSpec(name="a"))},
        "'a'",
    ),
    "a schedule without a time": ({"trigger": schedule()}, "exactly one"),
    "a schedule with two times": ({"trigger": schedule(cron="0 9 * * *", interval_s=60)}, "exactly one"),
    "a cron with seconds": ({"trigger": schedule(cron="* * * * * *")}, "five fields"),
    "a cron with code": ({"trigger": schedule(cron="0 9 * * $(id)")}, "five fields"),
    "an unknown zone": ({"trigger": schedule(cron="0 9 * * *", timezone="Mars/Base")}, "Mars/Base"),
    "a zone that is a path": ({"trigger": schedule(cron="0 9 * * *", timezone="../etc/passwd")}, "zone"),
    "an interval of nothing": ({"trigger": schedule(interval_s=0)}, "positive"),
    "a path of absurd length": (
        {"steps": (step(arguments={"name": FromTrigger(path="a" * 90)}),)},
        "too long",
    ),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_clear_is_asked_or_refused(
    spec: MakeSpec, catalogue: Catalogue, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        generate(spec(**changes), catalogue)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": (step(service="asanna"),)},
        {"steps": (step(operation="create_tasks"),)},
        {"trigger": TriggerSpec(type="app_event", service="gmial", event="new_email")},
    ],
    ids=["service", "operation", "trigger service"],
)
def test_unknown_names_tell_the_nearest(
    spec: MakeSpec, catalogue: Catalogue, changes: dict[str, object]
) -> None:
    with pytest.raises(UnknownNameError) as raised:
        generate(spec(**changes), catalogue)
    assert raised.value.nearest


def test_a_condition_is_never_dropped(spec: MakeSpec, catalogue: Catalogue) -> None:
    with_filter = generate(spec(), catalogue).source
    without = generate(spec(trigger=GMAIL), catalogue).source
    assert '"IMPORTANT" not in event["labels"]' in with_filter
    assert "IMPORTANT" not in without.partition("if __name__")[0]


def test_an_event_starts_the_deployment(spec: MakeSpec, catalogue: Catalogue) -> None:
    deployment = generate(spec(), catalogue).deployment
    assert deployment.event == "prefect-autopilot.gmail.new_email"
    assert deployment.entrypoint == "gmail_important_to_asana.py:gmail_important_to_asana"
    assert deployment.tags == (TAG,)
    assert deployment.cron is None
    assert deployment.description.startswith("When I get an important email")


def test_a_schedule_starts_the_deployment(spec: MakeSpec, catalogue: Catalogue) -> None:
    trigger = schedule(cron="0 9 * * 1", timezone="Europe/Berlin")
    generated = generate(spec(trigger=trigger, steps=(step(),)), catalogue)
    assert generated.deployment.cron == "0 9 * * 1"
    assert generated.deployment.timezone == "Europe/Berlin"
    assert generated.deployment.event is None
    assert generated.sample_event == {}
    assert "event" not in generated.source


def test_a_form_of_no_service_has_an_event_of_its_own(spec: MakeSpec, catalogue: Catalogue) -> None:
    generated = generate(spec(trigger=TriggerSpec(type="form"), steps=(step(),)), catalogue)
    assert generated.deployment.event == "prefect-autopilot.form.gmail_important_to_asana"
    assert "event: dict[str, Any]" in generated.source


def test_a_flow_started_by_hand_has_no_event(spec: MakeSpec, catalogue: Catalogue) -> None:
    deployment = generate(spec(trigger=TriggerSpec(type="manual"), steps=(step(),)), catalogue).deployment
    assert (deployment.event, deployment.cron, deployment.interval_s) == (None, None, None)


def test_the_sample_event_meets_every_condition_and_has_every_field(
    spec: MakeSpec, catalogue: Catalogue
) -> None:
    trigger = GMAIL.model_copy(update={"filter": 'subject contains "tax return"'})
    conditional = step(condition="from tax@office.example", arguments={"name": FromTrigger(path="snippet")})
    sample = generate(spec(trigger=trigger, steps=(conditional,)), catalogue).sample_event
    assert "tax return" in sample["subject"].casefold()
    assert "tax@office.example" in sample["from"]
    assert sample["snippet"]


def test_examples_fill_only_what_must_be_filled(spec: MakeSpec) -> None:
    made = spec(
        parameters=(
            ParameterSpec(name="open", type="int", required=True),
            ParameterSpec(name="set", type="str", default="x"),
        )
    )
    assert example_values(made) == {"open": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("class", "class_parameter"),
        ("event", "event_2"),
        ("list", "list_parameter"),
        ("Größe (cm)", "grosse_cm"),
        ("1st", "parameter_1st"),
        ("日本", "parameter"),
        ("call_service", "call_service_parameter"),
    ],
)
def test_parameters_become_safe_names(spec: MakeSpec, name: str, expected: str) -> None:
    made = spec(parameters=(ParameterSpec(name=name),))
    assert parameter_names(made, "some_flow") == {name: expected}


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("stripe", "stripe_flow.py"),
        ("asana-sdk", "asana_sdk_flow.py"),
        ("asana-client", "asana_client_flow.py"),
        ("json", "json_flow.py"),
        ("prefect-slack", "prefect_slack_flow.py"),
        ("mail-to-task", "mail_to_task.py"),
    ],
)
def test_the_file_hides_no_module(spec: MakeSpec, catalogue: Catalogue, name: str, file_name: str) -> None:
    steps = (step(),)
    generated = generate(spec(name=name, steps=steps, trigger=TriggerSpec(type="manual")), catalogue)

    assert generated.file_name == file_name
    assert "_" in generated.file_name
