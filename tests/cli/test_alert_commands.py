"""``alerts`` and ``rules``: what they print, what they store, what they refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_autopilot.cli import alerts, rules
from prefect_autopilot.cli.commands import ALERT_COMMANDS, RULE_COMMANDS, build_app
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.models import RunRecord, StateRecord, WorkflowAlert
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

NOW = datetime.now(UTC)
RULES = """
rules:
  - rule_id: night
    workflow_id: orders/prod
    metric_name: response_time
    condition: ">"
    threshold: 30
    severity: critical
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    return tmp_path


@asynccontextmanager
async def stored() -> AsyncIterator[Store]:
    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        yield store


async def raise_one(ident: str = "abc123", **fields: object) -> None:
    base = {
        "alert_id": ident, "fingerprint": ident, "workflow_id": "w", "alert_type": "error_rate_increase",
        "severity": "high", "title": f"{ident} fails", "description": "", "created_at": NOW,
    }  # fmt: skip
    async with stored() as store:
        await store.save_alert(WorkflowAlert.model_validate(base | fields))


async def see_runs(number: int = 20) -> None:
    found = []
    for i in range(number):
        at = NOW - timedelta(hours=number - i)
        state = StateRecord(id=f"s{i}", type="COMPLETED", name="Completed", timestamp=at)
        found.append(
            RunRecord(
                id=f"r{i}",
                flow_name="orders",
                deployment_id="dep-1",
                deployment_name="prod",
                state=state,
                start=at - timedelta(seconds=60),
                end=at,
                duration_s=60.0,
                run_count=1,
            )
        )
    async with stored() as store:
        await store.upsert_runs(found)


@pytest.mark.parametrize(("group", "commands"), [("alerts", ALERT_COMMANDS), ("rules", RULE_COMMANDS)])
def test_every_command_exists(group: str, commands: tuple[tuple[str, str, str], ...]) -> None:
    for name, _, _ in commands:
        assert build_app()[group][name] is not None


async def test_open_alerts_are_listed_and_over_ones_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    await raise_one("open")
    await raise_one("gone", status="resolved")
    assert await alerts.list_alerts() == 0
    shown = capsys.readouterr().out
    assert "open fails" in shown
    assert "gone fails" not in shown
    await alerts.list_alerts(everything=True, as_json=True)
    assert {one["alert_id"] for one in json.loads(capsys.readouterr().out)} == {"open", "gone"}


async def test_an_alert_is_taken_on_by_the_begin_of_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    await raise_one("abc123")
    assert await alerts.ack("abc", by="ana") == 0
    assert "seen by ana" in capsys.readouterr().out
    await alerts.list_alerts()
    assert "seen by ana" in capsys.readouterr().out


@pytest.mark.parametrize("ident", ["nothing", ""])
async def test_an_unknown_alert_is_refused(ident: str) -> None:
    await raise_one("abc123")
    with pytest.raises(UnknownNameError):
        await alerts.ack(ident)


async def test_an_ambiguous_id_is_refused() -> None:
    await raise_one("abc1")
    await raise_one("abc2")
    with pytest.raises(UsageError, match="2 alerts"):
        await alerts.ack("abc")


async def test_a_silence_is_made_listed_and_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert await alerts.silence("orders/*", lasting="1h30m", pool="docker", reason="new disks") == 0
    ident = capsys.readouterr().out.split()[0]
    await alerts.silences(as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["workflow"], shown["work_pool"], shown["reason"]) == ("orders/*", "docker", "new disks")
    length = datetime.fromisoformat(shown["ends_at"]) - datetime.fromisoformat(shown["starts_at"])
    assert length == timedelta(minutes=90)
    await alerts.silences()
    assert "active" in capsys.readouterr().out
    await alerts.unsilence(ident)
    await alerts.silences(as_json=True)
    assert "orders" not in capsys.readouterr().out


async def test_a_window_that_begins_later_waits(capsys: pytest.CaptureFixture[str]) -> None:
    await alerts.silence(starting=NOW + timedelta(days=1), lasting="2h")
    await alerts.silences()
    assert "waiting" in capsys.readouterr().out


@pytest.mark.parametrize("lasting", ["", "soon", "5", "-1h", "1h tomorrow", "0m", "99999w"])
async def test_a_length_nobody_understands_is_refused(lasting: str) -> None:
    with pytest.raises(UsageError):
        await alerts.silence(lasting=lasting)
    async with stored() as store:
        assert await store.silences(NOW) == ()


async def test_a_window_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UsageError, match="five fields"):
        await alerts.silence(cron="nightly")
    with pytest.raises(UsageError, match="minutes"):
        await alerts.silence(minutes=0)


async def test_an_unknown_silence_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        await alerts.unsilence("silence-x")


async def test_a_test_needs_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="PREFECT_AUTOPILOT_NOTIFY,"):
        await alerts.send_test()
    monkeypatch.setenv("PREFECT_AUTOPILOT_NOTIFY_WEBHOOK", "http://127.0.0.1:9/hook")
    with pytest.raises(UnknownNameError, match="webhook"):
        await alerts.send_test("webhok")


async def test_a_channel_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_NOTIFY_WEBHOOK", "http://127.0.0.1:9/hunter2")
    assert await alerts.send_test() == 1
    told = capsys.readouterr().out
    assert "could not be reached" in told
    assert "hunter2" not in told


async def test_rules_are_stored_listed_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await see_runs()
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    assert await rules.apply(tmp_path / "rules.yaml") == 0
    assert "night: response_time greater_than 30" in capsys.readouterr().out
    await rules.list_rules(as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["workflow_id"] == "dep-1", "a workflow's name becomes its id"
    await rules.list_rules()
    assert "night" in capsys.readouterr().out
    await rules.remove("night")
    with pytest.raises(UnknownNameError):
        await rules.remove("night")


async def test_a_dry_run_says_how_often_and_stores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await see_runs()
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    assert await rules.dry_run(tmp_path / "rules.yaml") == 0
    told = capsys.readouterr().out
    assert "orders/prod: response_time greater_than 30 would have fired once in 20 runs" in told
    async with stored() as store:
        assert await store.rules() == ()
        assert await store.alerts() == ()
    await rules.dry_run(tmp_path / "rules.yaml", as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert (len(found["fired"]), found["runs"]) == (1, 20)


async def test_a_dry_run_of_unseen_workflows_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    await rules.dry_run(tmp_path / "rules.yaml")
    assert "No run was seen" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["rules: [", "5", "- metric_name: respose_time\n  condition: '>'\n  threshold: 1", "\x00"],
    ids=["yaml", "number", "name", "binary"],
)  # fmt: skip
async def test_a_wrong_file_is_refused_and_stores_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        await rules.apply(tmp_path / "rules.yaml")
    async with stored() as store:
        assert await store.rules() == ()


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        await rules.apply(tmp_path / "none.yaml")
