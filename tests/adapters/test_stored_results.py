"""Stored task results: only a file that says it is this record is removed, and only that one."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.stored_results import is_record, remove_record
from prefect_autopilot.errors import ConflictError


def record(path: Path, **changes: Any) -> str:
    body = {"metadata": {"storage_key": str(path), "expiration": None}, "result": "gASVAQ=="} | changes
    path.write_text(json.dumps(body), encoding="utf-8")
    return str(path)


def test_a_record_that_names_itself_is_removed_and_its_neighbours_stay(tmp_path: Path) -> None:
    key = record(tmp_path / "rates-monday")
    other = record(tmp_path / "rates-tuesday")
    remove_record(key)
    assert not Path(key).exists()
    assert Path(other).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"storage_key": "/elsewhere/rates"}},
        {"metadata": {}},
        {"metadata": "rates"},
        {"metadata": None},
    ],
    ids=["another key", "no key", "text", "nothing"],
)
def test_a_file_that_does_not_name_itself_is_kept(tmp_path: Path, changes: dict[str, Any]) -> None:
    key = record(tmp_path / "rates", **changes)
    assert not is_record(key)
    with pytest.raises(ConflictError, match="nothing was removed"):
        remove_record(key)
    assert Path(key).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "not json", '"text"', "[" * 100_000],
    ids=["empty", "object", "list", "words", "text", "deep"],
)
def test_other_files_are_no_records(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rates"
    path.write_text(text, encoding="utf-8")
    assert not is_record(str(path))


def test_a_record_without_its_result_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    path.write_text(json.dumps({"metadata": {"storage_key": str(path)}}), encoding="utf-8")
    assert not is_record(str(path))


def test_a_relative_key_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "rates")
    monkeypatch.chdir(tmp_path)
    assert not is_record("rates")


def test_a_link_to_a_record_is_no_record(tmp_path: Path) -> None:
    key = record(tmp_path / "rates")
    (tmp_path / "link").symlink_to(key)
    assert not is_record(str(tmp_path / "link"))


def test_a_folder_and_nothing_at_all_are_no_records(tmp_path: Path) -> None:
    assert not is_record(str(tmp_path))
    assert not is_record(str(tmp_path / "missing"))


def test_a_record_is_removed_once(tmp_path: Path) -> None:
    key = record(tmp_path / "rates")
    remove_record(key)
    with pytest.raises(ConflictError):
        remove_record(key)


def test_a_stored_result_is_removed_without_being_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (canary,)

    code = base64.b64encode(pickle.dumps(Hostile())).decode()
    key = record(tmp_path / "rates", result=code)
    assert is_record(key)
    remove_record(key)
    assert not Path(key).exists()
    assert not canary.exists()
