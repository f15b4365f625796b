"""``optimize --explain`` and ``--patch``: a rule in words, and changes without touching the file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.cli.improve import explain_rule, optimize
from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.optimization import rules

FLOW = """import requests
from prefect import flow, task


@task
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@flow
def main():
    return [read(key) for key in "ab"]
"""


@pytest.mark.parametrize("name", [rule.name for rule in rules()])
def test_every_rule_is_explained_with_an_example(name: str) -> None:
    text = explain_rule(name)
    assert "Before::" in text
    assert "After::" in text


def test_an_unknown_rule_names_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="map_loop"):
        explain_rule("faster")


def test_explaining_needs_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert optimize(explain="map_loop") == 0
    assert "submit" in capsys.readouterr().out


def test_a_patch_holds_the_diff_and_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, patch = tmp_path / "my_flow.py", tmp_path / "faster.patch"
    path.write_text(FLOW)
    assert optimize(path, patch=patch) == 0
    assert path.read_text() == FLOW
    assert patch.read_text().startswith("--- a/my_flow.py")
    assert "read.submit(key)" in patch.read_text()
    assert "Nothing was written" in capsys.readouterr().out


def test_no_patch_is_written_where_nothing_changes(tmp_path: Path) -> None:
    path, patch = tmp_path / "my_flow.py", tmp_path / "none.patch"
    path.write_text("from prefect import flow\n\n@flow\ndef main():\n    return 1\n")
    optimize(path, patch=patch)
    assert not patch.exists()


def test_without_a_file_there_is_nothing_to_plan() -> None:
    with pytest.raises(UsageError, match="requires"):
        optimize()


def test_a_patch_instead_of_the_file_and_the_file_are_not_both_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        optimize(tmp_path / "a.py", write=True, patch=tmp_path / "a.patch")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stubs": Path("stubs.py")}, "name its flow with --prove"),
        ({"parameters": '{"day": 1}'}, "name its flow with --prove"),
        ({"prove": "main", "parameters": "[1]"}, "no JSON object"),
        ({"prove": "main", "parameters": "day=1"}, "no JSON object"),
        ({"prove": "main", "stubs": Path("/nowhere/stubs.py")}, "/nowhere/stubs.py"),
    ],
    ids=["stubs alone", "parameters alone", "a list", "no JSON", "no such stubs"],
)
def test_a_proof_that_cannot_be_made_writes_nothing(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "my_flow.py"
    path.write_text(FLOW)
    with pytest.raises(UsageError, match=words):
        optimize(path, write=True, **given)
    assert path.read_text() == FLOW


def test_a_flow_that_may_not_run_twice_is_not_proved_without_stubs(tmp_path: Path) -> None:
    path = tmp_path / "my_flow.py"
    source = FLOW.replace(
        "    return [read", "    requests.post('https://b.test', timeout=3)\n    return [read"
    )
    path.write_text(source)
    with pytest.raises(UsageError, match="--stubs"):
        optimize(path, prove="main", write=True)
    assert path.read_text() == source


def test_a_picture_shows_the_flow_before_and_after(tmp_path: Path) -> None:
    path, drawing = tmp_path / "my_flow.py", tmp_path / "out" / "lines.svg"
    path.write_text(FLOW)
    assert optimize(path, picture=drawing, write=True) == 0
    text = drawing.read_text()
    assert text.startswith("<svg")
    assert "my_flow.py: 4 units before, 1 units after" in text
    assert "submit" in path.read_text()


def test_a_flow_without_tasks_has_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "my_flow.py"
    path.write_text("from prefect import flow\n\n@flow\ndef main():\n    return 1\n")
    with pytest.raises(UsageError, match="leave out --picture"):
        optimize(path, picture=tmp_path / "x.svg")
    assert not (tmp_path / "x.svg").exists()


def test_a_branch_holds_the_change_and_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    path = tmp_path / "my_flow.py"
    path.write_text(FLOW)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.test"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)  # own repository
    assert optimize(path, branch="faster") == 0
    assert path.read_text() == FLOW
    assert "Committed on the branch faster" in capsys.readouterr().out
    shown = subprocess.run(
        ["git", "-C", str(tmp_path), "show", "faster:my_flow.py"],  # own repository
        check=True,
        capture_output=True,
        text=True,
    )
    assert "read.submit(key)" in shown.stdout
    with pytest.raises(ConflictError, match="exists already"):
        optimize(path, branch="faster")


def test_advice_is_told_with_what_must_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, prices = tmp_path / "my_flow.py", tmp_path / "prices.toml"
    path.write_text(f"import time\n{FLOW}\n\n@flow\ndef waits():\n    time.sleep(900)\n")
    prices.write_text(
        'currency = "EUR"\n[[services]]\nservice = "a"\njob = "x"\nprice = 9\n'
        '[[services]]\nservice = "b"\njob = "x"\nprice = 1\nconnected = true\n'
    )
    assert optimize(path, strategy="cost", prices=prices) == 0
    out = capsys.readouterr().out
    assert "(drop_polling): waits sleeps for 900 s and holds a worker meanwhile." in out
    assert "saves 900.00 s; holds if" in out
    assert "(cheaper_service): b does x for 1 instead of 9 EUR a thousand, and is connected." in out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"branch": "b", "write": True}, "not both"),
        ({"history": Path("h.json"), "deployment": "a/b"}, "whose runs are the history"),
    ],
    ids=["branch and file", "two histories"],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        optimize(tmp_path / "a.py", **given)
