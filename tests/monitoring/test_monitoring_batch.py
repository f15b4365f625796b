from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from prefect_autopilot.cli import batch_detect
from prefect_autopilot.cli.batch_detect import detect_rows
from prefect_autopilot.models import Anomaly, JSONDict, RunSeries
from prefect_autopilot.monitoring import detect


@pytest.fixture
def row(history: Callable[..., RunSeries]) -> JSONDict:
    series = history(change=lambda i, run: run | {"duration_s": 300.0} if i == 180 else run)
    return series.model_dump(mode="json", by_alias=True) | {"more": 1}


def test_an_answer_has_the_form_of_the_contract(row: JSONDict) -> None:
    (answer,) = detect_rows([row])
    assert answer["id"] == "s"
    (alarm,) = answer["alarms"]
    assert datetime.fromisoformat(alarm["start"]) <= datetime.fromisoformat(alarm["end"])
    assert alarm["kind"] == "duration_spike"
    assert alarm["severity"] in {"critical", "high", "medium", "low", "info"}
    assert isinstance(alarm["score"], float)


@pytest.mark.parametrize(
    "broken",
    [
        {"runs": [{"start": "yesterday", "state": "COMPLETED"}]},
        {"runs": [{"state": "COMPLETED"}]},
        {"runs": "none"},
        {"now": "soon"},
        {"schedule": {"cron": "every day"}},
        {"schedule": {"interval": -1}},
        {"schedule": {"interval": 60, "anchor_date": "never"}},
        {"schedule": {"interval": 60, "timezone": "Mars/Olympus"}},
    ],
    ids=str,
)
def test_a_row_that_cannot_be_judged_says_why_and_the_others_are_judged(
    row: JSONDict, broken: JSONDict
) -> None:
    answers = list(detect_rows([row, row | broken | {"id": "bad"}, row]))
    assert [answer["id"] for answer in answers] == ["s", "bad", "s"]
    assert answers[1]["error"]
    assert "alarms" not in answers[1]
    assert answers[0]["alarms"] == answers[2]["alarms"] != []


def test_a_history_that_breaks_the_detector_costs_only_its_own_answer(
    row: JSONDict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def breaks(series: Sequence[RunSeries]) -> dict[str, tuple[Anomaly, ...]]:
        if any(one.id.endswith("bad") for one in series):
            raise ZeroDivisionError
        return detect(series)

    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    monkeypatch.setattr(batch_detect, "detect", breaks)
    good, bad, too = detect_rows([row, row | {"id": "bad"}, row])
    assert good == too
    assert good["alarms"]
    assert set(bad) == {"id", "error"}


@pytest.mark.parametrize("row", [{"id": "bare"}, {"id": "bare", "runs": None}], ids=["absent", "null"])
def test_a_row_without_its_runs_is_no_quiet_history(row: JSONDict) -> None:
    (answer,) = detect_rows([row])
    assert answer["id"] == "bare"
    assert answer["error"].startswith("runs: ")
    assert "alarms" not in answer


@pytest.mark.parametrize(
    "nulls",
    [
        {"paused": None},
        {"limits": None},
        {"limits": {"memory_mb": None}},
        {"deployment": None, "work_pool": None, "now": None},
        {"runs": [{"measures": None}, {"measures": {"pages": None}, "rows": None, "retries": None}]},
    ],
    ids=str,
)
def test_what_is_null_was_not_given(row: JSONDict, nulls: JSONDict) -> None:
    first = nulls.get("runs", [])
    runs = [run | (first[i] if i < len(first) else {}) for i, run in enumerate(row["runs"])]
    (answer,) = detect_rows([row | nulls | {"runs": runs}])
    assert [alarm["kind"] for alarm in answer["alarms"]] == ["duration_spike"]


@pytest.mark.parametrize(("to", "kinds"), [(None, []), ("2026-01-10T00:00:00Z", ["missed_schedule"])])
def test_a_pause_without_an_end_lasts(
    history: Callable[..., RunSeries], to: str | None, kinds: list[str]
) -> None:
    series = history(120).model_dump(mode="json", by_alias=True)
    pause = {"from": "2026-01-09T23:30:00Z", "to": to}
    (answer,) = detect_rows([series | {"paused": [pause], "now": "2026-01-14T00:00:00Z"}])
    assert [alarm["kind"] for alarm in answer["alarms"]] == kinds


def test_no_rows_have_no_answers() -> None:
    assert list(detect_rows([])) == []


@pytest.mark.parametrize(
    "runs", [[], [{"start": "2026-01-01T00:00:00", "state": "COMPLETED", "duration_s": None}]]
)
def test_hardly_any_runs_have_no_alarms(runs: list[JSONDict]) -> None:
    assert list(detect_rows([{"id": "x", "runs": runs}])) == [{"id": "x", "alarms": []}]
