"""Questions one by one, numbered choices, plans as YAML: piped answers stand for a person."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefect_autopilot.cli import interactive, main
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys import answers
from prefect_autopilot.journeys.spec_file import LARGEST, build_spec, read_spec, spec_schema, spec_yaml
from prefect_autopilot.models import Constant, PreviewResult, Question, RequestContext, StepSpec, WorkflowSpec
from prefect_autopilot.services import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
CHAT = "When I get an email in Gmail, post it to the team channel"
CLEAR = 'Every Monday at 9am post "hello" to #ops in Slack'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> object:
    def type_in(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return type_in


def spec_of(text: str = CLEAR) -> WorkflowSpec:
    catalogue = load_catalogue()
    return design(analyze(text, RequestContext(), catalogue), catalogue)


@pytest.mark.parametrize("answer", ["1", "slack", "Slack"], ids=["number", "id", "name"])
def test_a_kind_is_settled_by_number_id_or_name(typed: object, answer: str) -> None:
    typed(answer)  # type: ignore[operator]
    analysis, context = interactive.settle(CHAT, RequestContext())
    assert analysis.status == "flow"
    assert "slack" in {step.service for step in analysis.steps}
    assert context.preferences == {"chat": "slack"}


def test_choices_are_numbered(typed: object, capsys: pytest.CaptureFixture[str]) -> None:
    typed("2")  # type: ignore[operator]
    question = Question(id="service_chat", text="Which?", options=("slack", "discord"))
    assert interactive.ask(question) == "discord"
    assert capsys.readouterr().out == "Which?\n  1. slack\n  2. discord\n> "


@pytest.mark.parametrize("answers", [(), ("",)], ids=["end of input", "nothing"])
def test_without_an_answer_nothing_is_created(typed: object, answers: tuple[str, ...]) -> None:
    typed(*answers)  # type: ignore[operator]
    with pytest.raises(UsageError, match="nothing was created"):
        interactive.settle(CHAT, RequestContext())


def test_answers_that_lead_nowhere_end_the_questions(typed: object) -> None:
    typed(*["blue"] * 9)  # type: ignore[operator]
    with pytest.raises(UsageError, match="not understood"):
        interactive.settle(CHAT, RequestContext())


def test_a_free_answer_is_added_to_the_request() -> None:
    question = Question(id="steps", text="What?")
    said, context = answers.answered("Every day at 9.", RequestContext(), question, "post to Slack")
    assert (said, context) == ("Every day at 9. post to Slack", RequestContext())
    assert answers.answered("Every day", RequestContext(), question, "x")[0] == "Every day. x"


def test_an_alternative_is_settled_by_what_is_connected() -> None:
    question = Question(id="choice_slack_discord", text="Which?", options=("slack", "discord"))
    before = RequestContext(connected_services=("gmail", "slack"))
    _, context = answers.answered("x", before, question, "discord")
    assert context.connected_services == ("gmail", "discord")


def test_preferences_under_services_stay_there() -> None:
    before = RequestContext(preferences={"services": {"email": "gmail"}})
    after = answers.with_service(before, "chat", "slack")
    assert after.preferences == {"services": {"email": "gmail", "chat": "slack"}}
    assert before.preferences == {"services": {"email": "gmail"}}


@pytest.mark.parametrize(
    ("answers", "said"),
    [(("y",), True), (("YES",), True), (("",), False), (("n",), False), (("maybe", "y"), True)],
    ids=["y", "yes", "nothing", "n", "asked again"],
)
def test_only_a_yes_is_one(typed: object, answers: tuple[str, ...], said: bool) -> None:  # noqa: FBT001
    typed(*answers)  # type: ignore[operator]
    assert interactive.confirm("Deploy it?") is said


def test_what_failed_in_its_preview_is_not_offered_for_deployment(typed: object) -> None:
    typed("y")  # type: ignore[operator]
    assert interactive.may_deploy(PreviewResult(succeeded=False, duration_s=1)) is False
    assert interactive.may_deploy(None) is False
    assert interactive.may_deploy(PreviewResult(succeeded=True, duration_s=1)) is True


def test_open_parameters_are_asked_for_and_read_by_their_type(typed: object) -> None:
    flow = build_spec(spec_of("Every Monday at 9am post to Slack"))
    (first, *_) = flow.spec.parameters
    typed(*["#ops"] * len(flow.spec.parameters))  # type: ignore[operator]
    assert interactive.open_values(flow, {})[first.name] == "#ops"
    typed("")  # type: ignore[operator]
    with pytest.raises(UsageError, match="no value"):
        interactive.open_values(flow, {})


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", CHAT, "--interactive", "--json"],
        ["generate", "-", "--interactive"],
        ["generate", CHAT, "--from", "p.yaml"],
        ["generate"],
    ],
    ids=["json", "stdin", "two sources", "no source"],
)
def test_contradicting_options_are_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_what_no_flow_does_is_told_beside_the_flow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = "Every Friday at 4pm list the Trello cards, sort them, and post them to #orders in Slack"
    assert main(["generate", request, "--output", str(tmp_path)]) == 0
    assert "not possible: 'sort them': no step does it" in capsys.readouterr().out


def test_a_plan_is_written_and_the_same_flow_made_of_it(tmp_path: Path) -> None:
    plan, first, second = tmp_path / "p.yaml", tmp_path / "a", tmp_path / "b"
    assert main(["generate", CLEAR, "--spec", str(plan), "--output", str(first)]) == 0
    assert main(["generate", "--from", str(plan), "--output", str(second)]) == 0
    (one,), (other,) = first.glob("slack*.py"), second.glob("slack*.py")
    assert one.read_bytes() == other.read_bytes()
    assert read_spec(plan.read_text()) == spec_of()


REQUESTS = [
    CLEAR,
    "When I get an important email in Gmail, create a task in Asana and tell #inbox in Slack",
    "Every 45 minutes post 'yes: no' to #a in Slack",
    "When a Stripe payment over $500 comes in, add a row to Google Sheets",
]


@pytest.mark.parametrize("text", REQUESTS, ids=["schedule", "event", "interval", "filter"])
def test_a_plan_survives_yaml(text: str) -> None:
    spec = spec_of(text)
    assert read_spec(spec_yaml(spec)) == spec


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.text(max_size=40))
@example("", "\x85")
@example("a\x85", "ä")
def test_any_text_of_a_plan_survives_yaml(said: str, value: str) -> None:
    step = StepSpec(
        id="a", service="slack", operation="post_message", connection="slack-default",
        arguments={"text": Constant(value=value), "channel": Constant(value=[None, 1.5, {"k": value}])},
    )  # fmt: skip
    spec = spec_of().model_copy(update={"request": said, "steps": (step,)})
    assert read_spec(spec_yaml(spec)) == spec


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no mapping"),
        ("[1, 2]", "no mapping"),
        ("a: [", "no YAML"),
        ("a: &x [1]\nb: *x", "no YAML"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
        ("version: 2\nname: a-b\nrequest: x\ntrigger: {type: manual}\nsteps: []", "version"),
        ("version: 1\nname: A B\nrequest: x\ntrigger: {type: manual}\nsteps: []", "name"),
        ("version: 1\nname: a-b\nrequest: x\ntrigger: {type: now}\nsteps: []", "trigger.type"),
        ("version: 1\nname: a-b\nrequest: x\ntrigger: {type: manual}\nsteps: []", "steps"),
        ("version: 1\nname: a-b\nrequest: x\ntrigger: {type: manual, when: 1}\nsteps: []", "trigger.when"),
        ("x" * (LARGEST + 1), "more than"),
        ("[" * 5000, "no YAML"),
    ],
    ids=[
        "empty",
        "list",
        "broken",
        "alias",
        "tag",
        "version",
        "name",
        "trigger",
        "no steps",
        "extra",
        "long",
        "deep",
    ],
)
def test_a_wrong_plan_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_spec(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"service": "slakc"}, "slack"),
        ({"operation": "post_mesage"}, "post_message"),
        ({"arguments": {"txet": Constant(value="a")}}, "txet"),
    ],
    ids=["service", "operation", "parameter"],
)
def test_a_plan_is_held_against_the_catalogue(change: dict[str, object], told: str) -> None:
    spec = spec_of()
    (step,) = spec.steps
    with pytest.raises(UsageError, match=told):
        build_spec(spec.model_copy(update={"steps": (step.model_copy(update=change),)}))


def test_the_schema_in_the_documents_is_that_of_the_model() -> None:
    shown = json.loads((ROOT / "docs" / "workflow-spec.schema.json").read_text())
    assert shown == json.loads(json.dumps(spec_schema()))
    assert shown["properties"]["version"]["const"] == 1


def test_a_plan_is_plain_yaml_for_any_reader() -> None:
    found = yaml.safe_load(spec_yaml(spec_of()))
    assert found["steps"][0]["arguments"]["channel"] == {"kind": "constant", "value": "#ops"}
