"""``deny``, ``pause-all``, ``record``, ``audit``: what a person decides and reads at a terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_autopilot.cli import decide
from prefect_autopilot.cli.audit import audit
from prefect_autopilot.cli.local import person
from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.models import (
    GateCheck,
    RemedyDecision,
    ResolutionStatus,
    RetryRun,
    TroubleshootingSession,
)
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting import session as steps

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
OUTAGE = diagnose_text("HTTPError: 503 Server Error: Service Unavailable for url: https://x.acme.test")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    return tmp_path


def url() -> str:
    return load_settings().store_url.get_secret_value()


async def keep_proposal() -> TroubleshootingSession:
    opened = steps.start("session-1", "dep-1", flow_run_id="run-1", run_count=1, now=NOW)
    concluded = steps.conclude(
        steps.analyse(steps.identify(opened, (), now=NOW), (), now=NOW), OUTAGE, (), now=NOW
    )
    decision = RemedyDecision(
        action="propose",
        remedy=RetryRun(flow_run_id="run-1", delay_s=1),
        checks=(GateCheck(name="mode", passed=False, reason="The policy's mode is propose."),),
        reason="Retry the same run.",
        state_id="state-1",
    )
    session = steps.resolve(concluded, decision, now=NOW)
    async with Store.open(url()) as store:
        await store.save_session(session, None)
    return session


async def test_a_no_closes_the_session_in_the_name_of_who_sits_here(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await keep_proposal()
    assert await decide.deny("session-1", reason="month end") == 0
    assert "closed" in capsys.readouterr().out
    async with Store.open(url()) as store:
        session = await store.session("session-1")
        trail = await store.audit_trail("session-1")
    assert session is not None
    assert session.resolution_status is ResolutionStatus.CLOSED
    assert trail[-1].actor == person()
    with pytest.raises(ConflictError):
        await decide.deny("session-1")


async def test_what_there_is_not_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no-such"):
        await decide.deny("no-such")


async def test_everything_is_paused_and_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert await decide.pause_all() == 0
    assert person() in capsys.readouterr().out
    async with Store.open(url()) as store:
        assert await store.pause() is not None
    await decide.resume_all()
    await decide.resume_all()
    assert "Nothing was paused" in capsys.readouterr().out


@pytest.mark.parametrize("wait", [-1, 7201], ids=["negative", "hours"])
async def test_nobody_waits_that_long(wait: float) -> None:
    with pytest.raises(UsageError, match="--wait"):
        await decide.resolve("run-1", wait=wait)


async def remember(outcomes: str) -> None:
    """Store remedies with what was seen after each: g helped, b did not."""
    async with Store.open(url()) as store:
        for number, letter in enumerate(outcomes):
            session, remedy = f"s{number}", RetryRun(flow_run_id=f"run-{number}", delay_s=0)
            await store.journal_intent(session, remedy.flow_run_id, "st", 1, remedy, None, NOW)
            outcome = "verified" if letter == "g" else "failed"
            await store.record_verification(session, 1, "cause", "dep-1", outcome, NOW + timedelta(1))


async def test_the_record_shows_counts_interval_and_what_is_demoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await remember("bbbbbg" + "bbbb")
    await decide.record(as_json=True)
    [row] = json.loads(capsys.readouterr().out)
    assert (row["remedy"], row["helped"], row["seen"], row["demoted"]) == ("retry_run", 1, 10, True)
    assert 0 < row["at least"] < 0.1 < row["at most"] < 0.5
    await decide.record()
    assert "retry_run" in capsys.readouterr().out
    await decide.record(reset=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


async def test_the_trail_is_written_as_json_lines_and_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    async with Store.open(url()) as store:
        await store.audit("=cmd()", "opened", "session-1", {"note": 'a "word", and more'}, NOW)
        await store.audit("person:ada", "denied", "session-2", {}, NOW)
    await audit()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2]
    assert lines[0]["actor"] == "=cmd()"
    await audit(format="csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0]["actor"] == "'=cmd()", "no spreadsheet takes it for a formula"
    assert json.loads(rows[0]["detail"]) == {"note": 'a "word", and more'}
    assert rows[1]["previous"] == rows[0]["digest"]
    await audit("session-2")
    assert len(capsys.readouterr().out.splitlines()) == 1


async def test_the_trail_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    await decide.pause_all()
    assert await audit(check=True) == 0
    assert "unbroken" in capsys.readouterr().out
    with pytest.raises(UsageError):
        await audit(check=True, saved=True)


async def test_saved_time_is_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert await audit(saved=True) == 0
    assert "cannot be told" in capsys.readouterr().out
