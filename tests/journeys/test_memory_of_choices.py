"""Choices are kept for each user, used as context, shown, and forgotten on a word."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefect_autopilot.cli import main
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys import memory
from prefect_autopilot.models import RequestContext
from prefect_autopilot.store import Store

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_AUTOPILOT_STORE_URL", raising=False)
    return tmp_path / "home"


async def test_a_choice_is_the_context_of_its_user_only() -> None:
    assert await memory.remember("Chat ", "Slack", user="ann") == "slack"
    ann = await memory.with_memory(RequestContext(user_id="ann"))
    bob = await memory.with_memory(RequestContext(user_id="bob"))
    assert ann.preferences == {"services": {"chat": "slack"}}
    assert bob.preferences == {}


async def test_the_last_choice_counts_and_what_is_said_now_goes_first() -> None:
    await memory.remember("chat", "slack", user="ann")
    await memory.remember("chat", "discord", user="ann")
    await memory.remember("crm", "hubspot", user="ann")
    assert await memory.recall(user="ann") == {"chat": "discord", "crm": "hubspot"}
    said = RequestContext(user_id="ann", preferences={"chat": "mattermost"})
    known = await memory.with_memory(said)
    assert known.preferences["services"] == {"chat": "mattermost", "crm": "hubspot"}


async def test_what_is_forgotten_is_gone_and_the_rest_stays() -> None:
    for user in ("ann", "bob"):
        await memory.remember("chat", "slack", user=user)
        await memory.remember("crm", "hubspot", user=user)
    assert await memory.forget("chat", user="ann") == 1
    assert await memory.forget("chat", user="ann") == 0
    assert await memory.recall(user="ann") == {"crm": "hubspot"}
    assert await memory.forget(user="ann") == 1
    assert await memory.recall(user="ann") == {}
    assert len(await memory.recall(user="bob")) == 2


async def test_reading_makes_no_database(home: Path) -> None:
    assert await memory.recall(user="ann") == {}
    assert not (home / "autopilot.db").exists()


async def test_a_service_that_is_none_is_not_remembered() -> None:
    with pytest.raises(UnknownNameError):
        await memory.remember("chat", "slakc-o-mat", user="ann")
    assert await memory.recall(user="ann") == {}


@pytest.mark.parametrize("kind", ["", "  ", "x" * 201], ids=["empty", "blank", "long"])
async def test_a_bad_kind_is_refused(tmp_path: Path, kind: str) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        with pytest.raises(UsageError, match="characters"):
            await store.remember("ann", kind, "slack", NOW)
        assert await store.preferences("ann") == {}


def test_the_commands_keep_show_use_and_forget(capsys: pytest.CaptureFixture[str]) -> None:
    request = "When I get an email in Gmail, post it to the team channel"
    assert main(["analyze", request]) == 0
    assert "Which chat service" in capsys.readouterr().out
    assert main(["remember", "chat", "slack"]) == 0
    assert main(["analyze", request]) == 0
    told = capsys.readouterr().out
    assert "your preference" in told
    assert "Which chat service" not in told
    assert main(["remember", "--json"]) == 0
    assert '"chat": "slack"' in capsys.readouterr().out
    assert main(["forget", "--all"]) == 0
    assert main(["remember"]) == 0
    assert capsys.readouterr().out == "Forgot 1 choice.\nNothing is remembered.\n"


@pytest.mark.parametrize(
    "arguments", [["remember", "chat"], ["forget"], ["forget", "chat", "--all"]], ids=["half", "none", "both"]
)
def test_half_a_command_is_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2
