"""A run of ours pauses with a form in the Prefect UI: answers to what is open, then approval."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from prefect_autopilot.flows import forms
from prefect_autopilot.flows.forms import approval_form, question_form
from prefect_autopilot.flows.generate import generate
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import GeneratedFlow, Question, RequestContext
from prefect_autopilot.services import load_catalogue

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)

PAUSED = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
OPEN = "Every Monday at 9am post to Slack"
CHOICE = Question(id="service_chat", text="Which <b>chat</b>?", options=("slack", "discord"))


def answered(server: Any, request: str, *answers: dict[str, Any], wait_minutes: float = 1) -> Any:
    """Run the flow and answer its forms one after the other as the UI does; return result and forms."""

    async def call(method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(server.call, method, path, body)

    async def answer(running: asyncio.Task[Any]) -> list[Any]:
        shown: list[Any] = []
        seen: set[str] = set()
        while len(shown) < len(answers) and not running.done():
            await asyncio.sleep(0.1)
            for run in await call("POST", "/flow_runs/filter", PAUSED):
                keys = run["state"]["state_details"]["run_input_keyset"]
                if run["state"]["id"] in seen or run["flow_id"] != (await flow_id()):
                    continue
                inputs = await call(
                    "POST", f"/flow_runs/{run['id']}/input/filter", {"prefix": keys["schema"]}
                )
                if not inputs:
                    continue
                seen.add(run["state"]["id"])
                shown.append(json.loads(inputs[0]["value"]))
                told = {"run_input": answers[len(shown) - 1]}
                resumed = await call("POST", f"/flow_runs/{run['id']}/resume", told)
                assert resumed["status"] == "ACCEPT", resumed
        return shown

    async def flow_id() -> str:
        found: str = (await call("GET", "/flows/name/autopilot-generate"))["id"]
        return found

    async def both() -> Any:
        running = asyncio.create_task(generate(request=request, wait_minutes=wait_minutes))
        shown = await answer(running)
        return await running, shown

    return server.run(both())


def deployed(server: Any, flow: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.call(
        "POST", "/deployments/filter", {"flows": {"name": {"any_": [flow]}}}
    )
    return found


@pytest.fixture(autouse=True)
def flows_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(forms, "LOOK_S", 1)
    monkeypatch.setenv("PREFECT_AUTOPILOT_FLOWS_FOLDER", str(tmp_path / "flows"))
    return tmp_path / "flows"


@pytest.mark.live
@pytest.mark.timeout(120)
@pytest.mark.parametrize("answers", [({"approve": False},), ()], ids=["refused", "nobody answers"])
def test_what_nobody_approves_is_not_deployed(
    server: Any, flows_folder: Path, answers: tuple[dict[str, Any], ...]
) -> None:
    request = 'Every Friday at 4pm post "hello" to #ops in Slack'
    told, _ = answered(server, request, *answers, wait_minutes=1 if answers else 0.02)
    assert (told["preview_succeeded"], told["approved"]) == (True, False)
    assert "deployment_id" not in told
    assert deployed(server, told["flow"]) == []
    assert not flows_folder.exists()


def generated(text: str = OPEN) -> GeneratedFlow:
    return automate.build(analyze(text, RequestContext(), load_catalogue()))


def test_a_question_with_choices_is_chosen_from_and_nothing_else_fits() -> None:
    form = question_form((CHOICE,))
    assert form.told(form.model(service_chat="discord")) == {"service_chat": "discord"}
    with pytest.raises(ValidationError):
        form.model(service_chat="elsewhere")


def test_a_question_may_stay_open() -> None:
    form = question_form((CHOICE, Question(id="when", text="When?")))
    assert form.told(form.model()) == {}
    assert form.told(form.model(when="at 9")) == {"when": "at 9"}
    assert form.told(None) == {}


@pytest.mark.parametrize("name", ["copy", "model_fields", "class", "approve", "metadata", "json", "1st"])
def test_no_question_hides_a_part_of_its_form(name: str) -> None:
    form = question_form((Question(id=name, text="What?"),))
    (field,) = form.names
    assert field.isidentifier()
    assert form.told(form.model(**{field: "x"})) == {name: "x"}


def test_two_questions_of_one_name_are_two_fields() -> None:
    form = question_form((Question(id="a-b", text="One?"), Question(id="a_b", text="Two?")))
    assert sorted(form.names.values()) == ["a-b", "a_b"]


def test_the_text_of_a_question_is_shown_as_text() -> None:
    assert "<b>" not in str(question_form((CHOICE,)).model._description)


def test_approval_asks_for_what_nobody_is_there_to_fill_in() -> None:
    form = approval_form(generated(), ["slack-default"], {})
    assert set(form.model.model_fields) == {"approve", "slack_channel", "slack_text"}
    assert form.told(form.model()) == {"approve": False}
    assert "slack" in str(form.model._description)


def test_what_was_given_is_not_asked_for_again_unless_it_did_not_fit() -> None:
    given = {"slack_channel": "#ops", "slack_text": "hello"}
    assert set(approval_form(generated(), [], given).model.model_fields) == {"approve"}
    again = approval_form(generated(), [], given, "channel: too long")
    assert again.model().model_dump() == {"approve": False, **given}
    assert "too long" in str(again.model._description)


def test_a_flow_started_by_hand_needs_nothing_beforehand() -> None:
    form = approval_form(generated("post to Slack when I press a button"), [], {})
    assert set(form.model.model_fields) == {"approve"}


def test_where_an_event_is_looked_for_is_asked_too() -> None:
    flow = generated('When a new issue is opened in GitHub, post "new issue" to #dev in Slack')
    wanted = {one.name for one in automate.needed_values(flow)}
    assert {"watched_owner", "watched_repo"} <= wanted
    assert {"approve"} | wanted == set(approval_form(flow, [], {}).model.model_fields)
