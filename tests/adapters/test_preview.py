"""A preview runs the real source in a process of its own; nothing but simulated services is called."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.preview import last_error, preview_environment, run_preview
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    Constant,
    FromTrigger,
    GeneratedFlow,
    PreviewResult,
    StepSpec,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import load_catalogue


def mail_to_task(text: str = "From my inbox", filter_: str | None = "important") -> GeneratedFlow:
    spec = WorkflowSpec(
        name="mail-to-task",
        request=text,
        trigger=TriggerSpec(type="email", service="gmail", event="new_message", filter=filter_),
        steps=(
            StepSpec(
                id="task",
                service="asana",
                operation="create_task",
                connection="asana-default",
                arguments={
                    "name": FromTrigger(path="subject"),
                    "notes": Constant(value=text),
                    "projects": Constant(value=["1200000000000011"]),
                },
            ),
        ),
    )
    return generate(spec, load_catalogue())


def preview(generated: GeneratedFlow, live: Any, event: object = None, **options: Any) -> PreviewResult:
    given = {"event": event or generated.sample_event}
    return asyncio.run(run_preview(generated, given, target=PrefectTarget(live.url), **options))


@pytest.mark.live
@pytest.mark.timeout(180)
def test_the_services_see_what_the_flow_does(live_prefect: Any) -> None:
    result = preview(mail_to_task(), live_prefect)
    assert result.error is None
    assert result.succeeded
    assert [(call.service, call.operation, call.status) for call in result.calls] == [
        ("asana", "create_task", 201)
    ]
    assert result.calls[0].parameters["name"] == "Contract: signature needed by Friday"


@pytest.mark.live
@pytest.mark.timeout(180)
def test_an_event_that_does_not_count_calls_nobody(live_prefect: Any) -> None:
    generated = mail_to_task()
    result = preview(generated, live_prefect, generated.sample_event | {"labels": ["INBOX"]})
    assert result.succeeded
    assert result.calls == ()


@pytest.mark.live
@pytest.mark.timeout(180)
def test_a_failing_service_is_told_in_one_line(live_prefect: Any) -> None:
    simulator = Simulator()
    simulator.fail("asana", "create_task", status=403)
    result = preview(mail_to_task(), live_prefect, simulator=simulator)
    assert not result.succeeded
    assert result.error
    assert "Asana" in result.error
    assert "\n" not in result.error
    assert "Traceback" not in result.error
    assert [call.status for call in result.calls] == [403]


@pytest.mark.live
@pytest.mark.timeout(180)
def test_hostile_text_arrives_as_text_and_does_nothing(live_prefect: Any, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    text = f'"""\nimport pathlib; pathlib.Path({str(canary)!r}).touch()\n"""\'); {{event}} \\'
    result = preview(mail_to_task(text), live_prefect)
    assert result.succeeded
    assert result.calls[0].parameters["notes"] == text
    assert not canary.exists()


@pytest.mark.live
@pytest.mark.timeout(180)
def test_a_flow_that_does_not_end_is_ended(live_prefect: Any) -> None:
    simulator = Simulator()
    simulator.fail("asana", status=None, slow_s=120)
    result = preview(mail_to_task(), live_prefect, simulator=simulator, timeout_s=8)
    assert not result.succeeded
    assert result.error == "The flow did not end within 8 s."
    assert result.duration_s < 40


def test_parameters_that_are_no_json_are_refused() -> None:
    with pytest.raises(UsageError, match="no JSON"):
        asyncio.run(run_preview(mail_to_task(), {"event": object()}))


def test_nothing_of_our_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("PYTHONSTARTUP", "/tmp/x.py")
    made = preview_environment(None, tmp_path, "http://127.0.0.1:9")
    assert "secret" not in made.values()
    assert not {"PREFECT_API_URL", "PREFECT_API_KEY", "PYTHONSTARTUP"} & made.keys()
    assert made["HOME"] == str(tmp_path)
    assert made["PREFECT_AUTOPILOT_SIMULATE"] == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (None, {}),
        ("Bearer pnu_1", {"PREFECT_API_KEY": "pnu_1"}),
        ("Basic YWRtaW46cHc=", {"PREFECT_API_AUTH_STRING": "admin:pw"}),
    ],
)
def test_the_server_s_credentials_are_handed_on(
    tmp_path: Path, auth: str | None, expected: dict[str, str]
) -> None:
    made = preview_environment(PrefectTarget("http://127.0.0.1:1/api", auth), tmp_path, "http://127.0.0.1:9")
    given = {
        key: value for key, value in made.items() if key in {"PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"}
    }
    assert given == expected
    assert made["PREFECT_API_URL"] == "http://127.0.0.1:1/api"


TRACEBACK = "Traceback (most recent call last):\n  File 'x', line 1, in f\n    g()\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"{TRACEBACK}KeyError: 'subject'\n", "KeyError: 'subject'"),
        (
            f"{TRACEBACK}ValueError: one\n\nDuring …\n\n{TRACEBACK}a.b.ServiceError: two\n",
            "a.b.ServiceError: two",
        ),
        (f"{TRACEBACK}ValueError: first\nsecond line\n", "ValueError: first"),
        (f"log line\n{TRACEBACK}SystemExit: 3\nbye\n", "SystemExit: 3"),
        ("", "The flow ended with exit code 1 and no message."),
        (f"{TRACEBACK}RuntimeError: {'x' * 2000}\n", f"RuntimeError: {'x' * 2000}"[:500]),
    ],
    ids=["plain", "chained", "several lines", "no error in the name", "silent", "long"],
)
def test_only_the_last_line_of_an_error_is_told(output: str, expected: str) -> None:
    assert last_error(output, 1) == expected


def test_a_secret_in_an_error_is_redacted() -> None:
    told = last_error(f"{TRACEBACK}ValueError: Authorization: Bearer abcdefghijklmnopqrstuvwxyz123456\n", 1)
    assert "abcdefghijklmnopqrstuvwxyz123456" not in told
