"""Request → flow: asked where it is not clear, built, tried, deployed once and started by its event."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import ConfigurationError, ConflictError, PrefectError, UsageError
from prefect_autopilot.journeys import automate, deployment
from prefect_autopilot.models import (
    Constant,
    FromParameter,
    FromTrigger,
    GeneratedFlow,
    ParameterSpec,
    RequestContext,
    StepSpec,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import load_catalogue

GMAIL = TriggerSpec(type="email", service="gmail", event="new_message", filter="important")
MAIL = {
    "id": "1",
    "subject": 'Ünï "quoted" </script> {{ event.id }} \\ \n second line',
    "labels": ["IMPORTANT"],
    "nested": {"list": [1, 2.5, None, True], "empty": {}},
}


def make(name: str, trigger: TriggerSpec = GMAIL, **changes: object) -> GeneratedFlow:
    step = StepSpec(
        id="one",
        service="asana",
        operation="create_task",
        connection="asana-default",
        arguments={
            "name": FromTrigger(path="subject") if trigger is GMAIL else Constant(value="x"),
            "projects": Constant(value=["1"]),
        },
    )
    fields = {"name": name, "request": f"Make {name}", "trigger": trigger, "steps": (step,)} | changes
    return generate(WorkflowSpec.model_validate(fields), load_catalogue())


def with_open_parameter(name: str, trigger: TriggerSpec = GMAIL) -> GeneratedFlow:
    step = StepSpec(
        id="one",
        service="asana",
        operation="create_task",
        connection="asana-default",
        arguments={"name": FromParameter(name="list"), "projects": Constant(value=["1"])},
    )
    parameter = ParameterSpec(name="list", required=True, description="Name of the list.")
    return make(name, trigger, steps=(step,), parameters=(parameter,))


def test_a_request_becomes_a_flow_with_its_reasons() -> None:
    context = RequestContext(timezone="Europe/Berlin", connected_services=("gmail", "asana"))
    analysis = automate.understand("When I get an important email in Gmail, create a task in Asana", context)
    assert analysis.status == "flow"
    generated = automate.build(analysis)
    assert generated.deployment.event == "prefect-autopilot.gmail.new_message"
    assert '"IMPORTANT" not in event["labels"]' in generated.source
    compile(generated.source, generated.file_name, "exec")


def test_a_condition_nobody_can_evaluate_becomes_a_question() -> None:
    analysis = automate.understand("When I get an email from my boss in Gmail, post to #urgent in Slack")
    assert analysis.status == "clarify"
    assert analysis.questions
    with pytest.raises(UsageError):
        automate.build(analysis)


@pytest.mark.parametrize("text", ["", "   ", "asdf qwer", "\x00\x01\x02", "x" * 100_000])
def test_what_is_no_request_builds_nothing(text: str) -> None:
    analysis = automate.understand(text)
    assert analysis.status != "flow"
    with pytest.raises(UsageError):
        automate.build(analysis)


def test_a_preview_gets_an_event_and_an_example_for_each_open_parameter() -> None:
    generated = with_open_parameter("open-to-task")
    given = automate.preview_parameters(generated)
    assert given["list_parameter"] == "example"
    assert given["event"] == generated.sample_event
    assert [one.name for one in automate.open_parameters(generated)] == ["list"]


def test_without_a_server_nothing_is_deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    with pytest.raises(ConfigurationError):
        asyncio.run(automate.deploy(make("mail-to-task"), tmp_path / "flows"))
    assert not (tmp_path / "flows").exists()


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    away = PrefectTarget("http://127.0.0.1:9/api")
    with pytest.raises(PrefectError, match="cannot be reached") as raised:
        asyncio.run(automate.deploy(make("mail-to-task"), tmp_path, target=away))
    assert not raised.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_nobody_would_fill_in_is_asked_for_first(tmp_path: Path) -> None:
    away = PrefectTarget("http://127.0.0.1:9/api")
    with pytest.raises(UsageError, match="'list'"):
        asyncio.run(automate.deploy(with_open_parameter("open-to-task"), tmp_path, target=away))
    with pytest.raises(UsageError, match="no parameter 'lst'"):
        asyncio.run(
            automate.deploy(
                with_open_parameter("open-to-task"), tmp_path, target=away, parameters={"lst": "x"}
            )
        )


def test_a_file_that_would_hide_an_installed_module_is_not_written(tmp_path: Path) -> None:
    generated = make("typing-extensions")
    away = PrefectTarget("http://127.0.0.1:9/api")
    if generated.file_name != "typing_extensions.py":
        pytest.fail("the generator renamed the file; choose another installed module")
    with pytest.raises(ConflictError, match="hide"):
        asyncio.run(automate.deploy(generated, tmp_path, target=away))
    assert list(tmp_path.iterdir()) == []


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll ``condition`` until it is true or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


class Patient(httpx.HTTPTransport):
    """Asks again where the server's SQLite is locked, as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(20):
            response = super().handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            response.close()
            time.sleep(0.5)
        return response


@pytest.fixture
def server(live_prefect: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live_prefect.url, timeout=30, transport=Patient()) as client:
        yield client


def target_of(server: httpx.Client) -> PrefectTarget:
    return PrefectTarget(str(server.base_url).rstrip("/"))


def deploy(server: httpx.Client, generated: GeneratedFlow, folder: Path, **options: Any) -> str:
    return asyncio.run(automate.deploy(generated, folder, target=target_of(server), **options))


def automations(server: httpx.Client, deployment_id: str) -> list[Any]:
    found = server.post("/automations/filter", json={}).raise_for_status().json()
    return [one for one in found if deployment_id in json.dumps(one["actions"])]


def flow_runs(server: httpx.Client, deployment_id: str) -> list[Any]:
    chosen = {"deployments": {"id": {"any_": [deployment_id]}}}
    return list(server.post("/flow_runs/filter", json=chosen).raise_for_status().json())


def emit(server: httpx.Client, event: str, payload: object) -> None:
    told = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": "prefect-autopilot.test"},
        "payload": payload,
    }
    server.post("/events", json=[told]).raise_for_status()


@pytest.mark.live
@pytest.mark.timeout(180)
def test_the_event_arrives_as_the_parameter_it_was_sent_as(server: httpx.Client, tmp_path: Path) -> None:
    deployment_id = deploy(server, make("event-to-task"), tmp_path)
    others = [MAIL | {"id": str(number)} for number in range(2, 6)]

    def arrived() -> bool:
        return len(flow_runs(server, deployment_id)) > 0

    def first() -> bool:
        # The server reads new automations a moment after they are made: send until one is seen.
        emit(server, "prefect-autopilot.gmail.new_message", MAIL)
        return comes_true(arrived, 3)

    assert comes_true(first, 60)
    emit(server, "prefect-autopilot.gmail.other", MAIL | {"id": "other"})

    def missing() -> list[dict[str, Any]]:
        seen = {run["parameters"]["event"]["id"] for run in flow_runs(server, deployment_id)}
        return [one for one in others if one["id"] not in seen]

    def all_there() -> bool:
        # An action that meets a locked SQLite is lost without a word: whoever announces announces again.
        for one in missing():
            emit(server, "prefect-autopilot.gmail.new_message", one)
        return comes_true(lambda: not missing(), 10)

    assert comes_true(all_there, 90)
    runs = flow_runs(server, deployment_id)
    assert MAIL in [run["parameters"]["event"] for run in runs]
    assert "other" not in {run["parameters"]["event"]["id"] for run in runs}


@pytest.mark.live
@pytest.mark.timeout(180)
def test_deploying_twice_changes_nothing(server: httpx.Client, tmp_path: Path) -> None:
    generated = make("twice-to-task")
    first = deploy(server, generated, tmp_path)
    assert deploy(server, generated, tmp_path) == first
    assert len(automations(server, first)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_twice_to_task.py", "twice_to_task.py"]
    assert (tmp_path / "twice_to_task.py").read_text("utf-8") == generated.source
    pool = server.get("/work_pools/autopilot").raise_for_status().json()
    assert pool["type"] == "process"


@pytest.mark.live
@pytest.mark.timeout(180)
def test_the_deployment_has_form_schedule_and_place(server: httpx.Client, tmp_path: Path) -> None:
    trigger = TriggerSpec(type="schedule", cron="0 9 * * 1", timezone="Europe/Berlin")
    generated = with_open_parameter("weekly-task", trigger)
    deployment_id = deploy(server, generated, tmp_path, parameters={"list": "Weekly"})
    made = server.get(f"/deployments/{deployment_id}").raise_for_status().json()
    assert made["name"] == "weekly-task"
    assert made["tags"] == ["autopilot-generated"]
    assert made["parameters"] == {"list_parameter": "Weekly"}
    assert made["work_pool_name"] == "autopilot"
    assert made["entrypoint"] == "weekly_task.py:weekly_task"
    assert made["path"] == str(tmp_path)
    form = made["parameter_openapi_schema"]["properties"]["list_parameter"]
    assert form["description"] == "Name of the list."
    (schedule,) = made["schedules"]
    assert schedule["active"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 9 * * 1", "Europe/Berlin")
    assert automations(server, deployment_id) == []


@pytest.mark.live
@pytest.mark.timeout(180)
def test_what_has_to_be_looked_for_is_polled_once_for_all(server: httpx.Client, tmp_path: Path) -> None:
    for name in ("first-of-mail", "second-of-mail"):
        deploy(server, make(name), tmp_path)
    chosen = {"flows": {"name": {"any_": ["autopilot-poll"]}}}
    polls = server.post("/deployments/filter", json=chosen).raise_for_status().json()
    mail = [one for one in polls if one["name"] == "gmail-new-message"]
    assert len(mail) == 1
    assert mail[0]["parameters"]["connection"] == "gmail-default"
    assert mail[0]["schedules"][0]["schedule"]["interval"] == deployment.POLL_INTERVAL_S


@pytest.mark.live
@pytest.mark.timeout(180)
def test_what_somebody_else_made_is_left_alone(server: httpx.Client, tmp_path: Path) -> None:
    generated = make("mine-to-task")
    flow_id = server.post("/flows/", json={"name": "mine-to-task"}).json()["id"]
    server.post("/deployments/", json={"name": "mine-to-task", "flow_id": flow_id}).raise_for_status()
    with pytest.raises(ConflictError, match="was not generated"):
        deploy(server, generated, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.live
@pytest.mark.timeout(180)
def test_a_changed_flow_replaces_the_file_only_when_told_to(server: httpx.Client, tmp_path: Path) -> None:
    first = make("changing-task")
    deploy(server, first, tmp_path)
    changed = make("changing-task", request="Make it differently")
    with pytest.raises(ConflictError):
        deploy(server, changed, tmp_path)
    deploy(server, changed, tmp_path, replace=True)
    assert (tmp_path / "changing_task.py").read_text("utf-8") == changed.source
    (backup,) = tmp_path.glob("*.bak")
    assert backup.read_text("utf-8") == first.source


@pytest.mark.live
@pytest.mark.timeout(180)
def test_missing_connections_are_listed_not_made(server: httpx.Client) -> None:
    generated = make("unconnected-task")
    missing = asyncio.run(automate.missing_connections(generated, target=target_of(server)))
    assert missing == ("gmail-default", "asana-default")
    assert asyncio.run(automate.missing_connections(generated, target=target_of(server))) == missing


@pytest.mark.live
@pytest.mark.timeout(240)
def test_the_flow_in_the_prefect_ui_shows_everything_and_deploys_nothing_unasked(
    server: httpx.Client, live_prefect: Any, tmp_path: Path
) -> None:
    code = (
        "import asyncio, json\n"
        "from prefect_autopilot.flows.generate import generate\n"
        "told = asyncio.run(generate('When I get an important email in Gmail, create a task in Asana',"
        " connected_services=['gmail', 'asana'], wait_minutes=0, parameters={'asana_projects': ['1']}))\n"
        "print(json.dumps(told))\n"
    )
    environment = live_prefect.environment | {"PREFECT_AUTOPILOT_FLOWS_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "flow"
    assert told["preview_succeeded"]
    assert told["missing_connections"] == ["gmail-default", "asana-default"]
    assert "deployment_id" not in told
    shown = server.post("/artifacts/filter", json={}).raise_for_status().json()
    keys = {one["key"] for one in shown}
    assert {"autopilot-analysis", "autopilot-code", "autopilot-preview"} <= keys


@pytest.mark.live
@pytest.mark.timeout(240)
def test_a_new_mail_found_by_the_polling_flow_starts_the_generated_flow(
    server: httpx.Client, live_prefect: Any, tmp_path: Path
) -> None:
    deployment_id = deploy(server, make("found-to-task"), tmp_path)
    simulator = Simulator()
    code = (
        "import asyncio\n"
        "from prefect_autopilot.flows.poll import poll\n"
        "print(asyncio.run(poll('gmail', 'new_message', 'gmail-default')))\n"
    )

    def look(url: str) -> str:
        environment = live_prefect.environment | {
            "PREFECT_AUTOPILOT_SIMULATE": url,
            "PREFECT_AUTOPILOT_HOME": str(tmp_path / "home"),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    with serve_simulator(simulator) as url:
        assert "'first': True" in look(url)
        headers = [{"name": "Subject", "value": "Found"}]
        simulator.seed("gmail", "message", {"payload": {"headers": headers}, "labelIds": ["IMPORTANT"]})
        assert "'announced': 1" in look(url)
    assert comes_true(lambda: len(flow_runs(server, deployment_id)) > 0, 30)
    (event,) = {run["parameters"]["event"]["subject"] for run in flow_runs(server, deployment_id)}
    assert event == "Found"


@pytest.mark.parametrize(
    ("request_text", "told"),
    [
        ("When code is pushed to GitHub, post to Slack channel #sales", True),
        ("When I receive important emails, create Asana tasks and notify Slack", False),
        ("Every Monday at 9 post the Asana tasks of project 12 to Slack channel #sales", False),
    ],
    ids=["nothing finds it", "polling finds it", "a schedule needs no event"],
)
def test_an_event_that_nothing_looks_for_is_said_to_be_so(request_text: str, *, told: bool) -> None:
    context = RequestContext(connected_services=("github", "slack", "asana", "gmail"))
    analysis = automate.understand(request_text, context)
    assert any("Nothing looks for this event" in line for line in analysis.recommendations) is told
