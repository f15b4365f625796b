"""``tokens``: the token is shown once and never again; bad wishes are refused before anything is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_autopilot.api import has_tokens
from prefect_autopilot.cli import tokens
from prefect_autopilot.cli.commands import TOKEN_COMMANDS, build_app
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    return tmp_path


def written_in(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


async def test_a_token_is_shown_once(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert await tokens.create("ops", scope="operator", days=30) == 0
    secret = capsys.readouterr().out.splitlines()[0]
    assert secret.startswith("pat_")
    await tokens.list_tokens(as_json=True)
    told = capsys.readouterr().out
    [listed] = json.loads(told)
    assert (listed["name"], listed["scope"], listed["state"]) == ("ops", "operator", "active")
    assert secret not in told
    assert secret.encode() not in written_in(home)


async def test_the_least_scope_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    await tokens.create("ops", as_json=True)
    assert json.loads(capsys.readouterr().out)["scope"] == "viewer"


async def test_a_revoked_token_is_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    await tokens.create("ops")
    await tokens.revoke("ops")
    capsys.readouterr()
    await tokens.list_tokens()
    assert "revoked" in capsys.readouterr().out
    with pytest.raises(UnknownNameError):
        await tokens.revoke("ops")


@pytest.mark.parametrize("days", [0, -1, 3651])
async def test_a_token_without_end_is_not_made(days: int, home: Path) -> None:
    with pytest.raises(UsageError, match="--days"):
        await tokens.create("ops", days=days)
    assert written_in(home) == b""


async def test_serving_knows_whether_there_are_tokens() -> None:
    assert not await has_tokens(load_settings())
    await tokens.create("ops")
    assert await has_tokens(load_settings())


def test_the_commands_are_those_of_the_table() -> None:
    names = {name for name, _, _ in TOKEN_COMMANDS}
    assert names == {"create", "list", "revoke"}
    assert names <= set(build_app()["tokens"])
