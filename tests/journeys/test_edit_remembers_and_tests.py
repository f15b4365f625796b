"""A change of a flow is remembered as a choice of its user, and the test beside the flow goes along."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys.edit import edit_file
from prefect_autopilot.journeys.memory import recall, remember_learned, remember_use, with_memory
from prefect_autopilot.models import GeneratedFlow, RequestContext
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.settings import Settings

REQUEST = "When a Stripe payment fails post to #billing in Slack and add a row to Google Sheets"


def made(request: str, folder: Path) -> tuple[GeneratedFlow, Path, Path]:
    catalogue = load_catalogue()
    flow = generate(design(analyze(request, RequestContext(), catalogue), catalogue), catalogue)
    path, test = folder / flow.file_name, folder / flow.test_file_name
    path.write_text(flow.source)
    test.write_text(flow.test_source)
    return flow, path, test


def expected(test: Path) -> list[str]:
    for node in ast.walk(ast.parse(test.read_text())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "expected":
            return list(ast.literal_eval(node.value))
    raise AssertionError("the test expects nothing")


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        (
            "also post to Discord",
            ["slack.post_message", "discord.create_message", "google_sheets.append_row"],
        ),
        ("remove the Google Sheets step", ["slack.post_message"]),
        ("use Discord instead of Slack", ["discord.create_message", "google_sheets.append_row"]),
    ],
    ids=["added", "removed", "swapped"],
)
def test_the_test_beside_a_flow_expects_what_the_changed_flow_calls(
    change: str, calls: list[str], tmp_path: Path
) -> None:
    _, path, test = made(REQUEST, tmp_path)
    told = edit_file(path, change, write=True)
    assert told.status == "changed"
    assert expected(test) == calls
    assert told.test_diff


def test_a_new_parameter_of_the_flow_is_given_by_its_test(tmp_path: Path) -> None:
    _, path, test = made(REQUEST, tmp_path)
    edit_file(path, "also post to Discord", write=True)
    tree = ast.parse(path.read_text())
    flow = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.decorator_list)
    needed = {one.arg for one in flow.args.args[: len(flow.args.args) - len(flow.args.defaults)]}
    runs = [n for n in ast.walk(ast.parse(test.read_text())) if isinstance(n, ast.Call) and n.keywords]
    given = [{one.arg for one in run.keywords} for run in runs if ast.unparse(run.func) == "services.run"]
    assert given
    assert all(needed <= names for names in given)


def test_nothing_is_written_unless_asked_and_what_a_person_wrote_stays(tmp_path: Path) -> None:
    _, path, test = made(REQUEST, tmp_path)
    test.write_text(test.read_text() + "\n\n# our own check\nANSWER = 42\n")
    before = test.read_text()
    assert edit_file(path, "also post to Discord").test_diff
    assert test.read_text() == before
    edit_file(path, "also post to Discord", write=True)
    assert "# our own check\nANSWER = 42\n" in test.read_text()


def test_a_call_on_some_days_only_is_left_to_the_person(tmp_path: Path) -> None:
    _, path, test = made(REQUEST, tmp_path)
    told = edit_file(path, "also post to Discord, but only on weekends", write=True)
    assert expected(test) == ["slack.post_message", "google_sheets.append_row"]
    assert any("discord.create_message" in note for note in told.notes)


def test_a_test_that_is_no_python_is_left_as_it_is(tmp_path: Path) -> None:
    _, path, test = made(REQUEST, tmp_path)
    test.write_text("def broken(:\n")
    told = edit_file(path, "also post to Discord", write=True)
    assert told.status == "changed"
    assert test.read_text() == "def broken(:\n"
    assert any("no Python" in note for note in told.notes)


@pytest.mark.parametrize(
    ("change", "learned"),
    [
        ("use Discord instead of Slack", {"chat": "discord"}),
        ("use #money instead of #billing", {"slack.channel": "#money"}),
        ("also post to Discord", {}),
        ("remove the Google Sheets step", {}),
    ],
    ids=["service", "channel", "only added", "only removed"],
)
def test_what_a_correction_says_of_its_user_is_learned_and_nothing_else(
    change: str, learned: dict[str, str], tmp_path: Path
) -> None:
    _, path, _ = made(REQUEST, tmp_path)
    assert edit_file(path, change).learned == learned


async def test_a_learned_channel_and_service_are_used_by_the_next_request(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    await remember_learned({"chat": "slack", "slack.channel": "#money"}, user="ada", settings=settings)
    context = await with_memory(RequestContext(user_id="ada"), settings)
    analysis = analyze("post to the team channel when a Stripe payment fails", context, load_catalogue())
    assert analysis.status == "flow"
    (step,) = analysis.steps
    assert step.service == "slack"
    assert getattr(step.arguments["channel"], "value", None) == "#money"
    assert any("#money" in told for told in analysis.assumptions)
    other = await with_memory(RequestContext(user_id="bob"), settings)
    assert other.preferences == {}
    named = analyze("post to #other in Slack when a Stripe payment fails", context, load_catalogue())
    assert getattr(named.steps[0].arguments["channel"], "value", None) == "#other"


async def test_a_kind_is_filled_by_what_was_used_last_and_a_choice_goes_first(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    await remember_use(["discord"], user="ada", settings=settings)
    await remember_use(["slack", "stripe"], user="ada", settings=settings)
    context = await with_memory(RequestContext(user_id="ada"), settings)
    assert context.recent_services[-1] == "discord"
    text = "post to the team channel when a Stripe payment fails"
    (first,) = analyze(text, context, load_catalogue()).steps
    assert first.service == "slack"
    chosen = context.model_copy(update={"preferences": {"services": {"chat": "mattermost"}}})
    (second,) = analyze(text, chosen, load_catalogue()).steps
    assert second.service == "mattermost"
    connected = context.model_copy(update={"connected_services": ("discord",)})
    (third,) = analyze(text, connected, load_catalogue()).steps
    assert third.service == "discord"
    assert "used:slack" not in await recall(user="ada", settings=settings)
