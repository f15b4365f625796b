"""The check for pre-commit: one line for each safe edit, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_autopilot.cli.flow_check import check, main
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Strategy

FLOW = """import requests
from prefect import flow, task


@task
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@flow
def main():
    return [read(key) for key in "ab"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "daily.py"
    file.write_text(FLOW, encoding="utf-8")
    return file


def test_each_safe_edit_is_one_line_with_file_and_line(path: Path) -> None:
    lines = check([path], Strategy.HYBRID)
    assert [line.split(": ")[1] for line in lines] == ["map_comprehension", "retry_reads"]
    assert lines[0].startswith(f"{path}:12: ")
    assert path.read_text(encoding="utf-8") == FLOW


def test_the_strategy_decides_and_the_code_tells(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(path), "--strategy", "performance"]) == 1
    assert "retry_reads" not in capsys.readouterr().out
    assert main([str(path), "--strategy", "cost"]) == 0
    assert main([]) == 0


@pytest.mark.parametrize("text", ["x = 1\n", "def f(:\n", "print 'two'\n", ""], ids=repr)
def test_files_that_are_no_flows_pass(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.py").write_text(text, encoding="utf-8")
    assert check([tmp_path / "other.py"], Strategy.HYBRID) == []


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check([tmp_path / "gone.py"], Strategy.HYBRID)


def test_the_hook_names_a_module_that_is_there() -> None:
    text = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert "python -m prefect_autopilot.cli.flow_check" in text
