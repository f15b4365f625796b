"""Answers of the Prefect API as our values: whatever is left out, null or long, and nothing secret inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_autopilot.adapters.prefect_values import (
    LONGEST_TEXT,
    clipped,
    log_record,
    run_record,
    state_record,
    table_rows,
    task_run_record,
)

AT = "2026-03-02T03:00:00+00:00"
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SECRET = "ghp_" + "a1B2" * 9
STATE: dict[str, Any] = {"id": "s1", "type": "FAILED", "name": "TimedOut", "timestamp": AT, "message": "late"}
RUN: dict[str, Any] = {"id": "r1", "state": STATE}
TASK: dict[str, Any] = {"id": "t1"}
LOG: dict[str, Any] = {"timestamp": AT, "level": 40, "message": "boom"}


@pytest.mark.parametrize("length", [0, 1, LONGEST_TEXT - 1, LONGEST_TEXT])
def test_a_text_that_fits_is_kept_whole(length: int) -> None:
    assert clipped("x" * length) == "x" * length


def test_of_a_long_text_head_and_tail_are_kept_for_there_stand_type_and_cause() -> None:
    text = "HEAD" + "x" * 3 * LONGEST_TEXT + "TAIL"
    cut = clipped(text)
    assert cut.startswith("HEAD")
    assert cut.endswith("TAIL")
    assert f"{len(text) - LONGEST_TEXT} characters left out" in cut
    assert len(cut) < LONGEST_TEXT + 60


@given(st.text(max_size=200), st.integers(2, 60).map(lambda half: 2 * half))
def test_a_cut_tells_how_much_it_left_out(text: str, longest: int) -> None:
    cut = clipped(text, longest)
    if len(text) <= longest:
        assert cut == text
    else:
        half = longest // 2
        assert cut == f"{text[:half]}\n… {len(text) - longest} characters left out …\n{text[-half:]}"


def test_a_state_is_read() -> None:
    state = state_record(STATE)
    assert (state.id, state.type, state.name, state.timestamp, state.message) == (
        "s1",
        "FAILED",
        "TimedOut",
        NOW,
        "late",
    )


@pytest.mark.parametrize("name", [None, ""])
def test_a_state_without_a_name_is_named_by_its_type(name: str | None) -> None:
    assert state_record(STATE | {"name": name, "type": "CRASHED"}).name == "Crashed"


@pytest.mark.parametrize("message", [None, ""])
def test_a_state_without_a_message_has_none(message: str | None) -> None:
    assert state_record(STATE | {"message": message}).message is None


@pytest.mark.parametrize("missing", ["id", "type", "timestamp"])
def test_what_is_no_state_is_not_made_into_one(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        state_record({key: value for key, value in STATE.items() if key != missing})


def test_the_barest_run_is_read() -> None:
    run = run_record(RUN, {})
    assert (run.id, run.name, run.flow_name, run.run_count) == ("r1", "", "", 0)
    assert (run.flow_id, run.deployment_id, run.deployment_name) == (None, None, None)
    assert (run.start, run.end, run.duration_s, run.expected_start) == (None, None, None, None)
    assert (run.parameters, run.job_variables, run.tags) == ({}, {}, ())


NULLABLE = [
    "name",
    "flow_id",
    "deployment_id",
    "deployment_version",
    "work_pool_name",
    "work_queue_name",
    "run_count",
    "expected_start_time",
    "start_time",
    "end_time",
    "parameters",
    "job_variables",
    "tags",
    "created",
    "updated",
    "infrastructure_pid",
    "parent_task_run_id",
    "idempotency_key",
]


def test_nulls_read_like_fields_that_are_not_there() -> None:
    assert run_record(RUN | dict.fromkeys(NULLABLE), {}) == run_record(RUN, {})


def test_every_field_of_a_run_lands_where_it_belongs() -> None:
    raw = RUN | {
        "name": "blue-owl",
        "flow_id": "f1",
        "deployment_id": "d1",
        "deployment_version": "v2",
        "work_pool_name": "pool",
        "work_queue_name": "queue",
        "labels": {"prefect.worker.name": "w-one", "prefect.worker.type": "process"},
        "run_count": 3,
        "expected_start_time": "2026-03-02T02:58:00+00:00",
        "start_time": "2026-03-02T02:59:00+00:00",
        "end_time": AT,
        "parameters": {"day": "monday"},
        "job_variables": {"memory": "2Gi"},
        "tags": ["prod", "eu"],
        "created": "2026-03-01T00:00:00Z",
        "updated": AT,
        "infrastructure_pid": "host:42",
        "parent_task_run_id": "t0",
        "idempotency_key": "once",
        "created_by": {"type": "AUTOMATION", "display_value": "restart nightly"},
        "a field of a future Prefect": 1,
    }
    run = run_record(raw, {"f1": {"name": "orders"}, "d1": {"name": "prod"}})
    assert run.model_dump(exclude={"state", "expected_start", "start", "end", "created", "updated"}) == {
        "id": "r1",
        "name": "blue-owl",
        "flow_id": "f1",
        "flow_name": "orders",
        "deployment_id": "d1",
        "deployment_name": "prod",
        "deployment_version": "v2",
        "work_pool": "pool",
        "work_queue": "queue",
        "worker": "w-one",
        "run_count": 3,
        "duration_s": 60.0,
        "parameters": {"day": "monday"},
        "job_variables": {"memory": "2Gi"},
        "tags": ("prod", "eu"),
        "infrastructure_pid": "host:42",
        "parent_task_run_id": "t0",
        "idempotency_key": "once",
        "started_by": "restart nightly",
        "blocks": None,
        "measures": {},
    }
    assert (run.end, run.updated) == (NOW, NOW)
    assert run.expected_start is not None
    assert run.start is not None
    assert run.expected_start < run.start < NOW


@pytest.mark.parametrize(
    ("names", "flow", "deployment"),
    [
        ({}, "", None),
        ({"f1": {"name": ""}, "d1": {"name": ""}}, "", ""),
        ({"f1": {"name": "orders"}}, "orders", None),
        ({"f2": {"name": "another"}}, "", None),
    ],
    ids=["not asked", "deleted", "flow only", "another flow"],
)
def test_names_nobody_knows_stay_empty(
    names: dict[str, dict[str, Any]], flow: str, deployment: str | None
) -> None:
    run = run_record(RUN | {"flow_id": "f1", "deployment_id": "d1"}, names)
    assert (run.flow_name, run.deployment_name) == (flow, deployment)


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        (AT, AT, 0.0),
        ("2026-03-02T02:59:59.250000+00:00", AT, 0.75),
        ("2026-03-02T02:59:00Z", "2026-03-02T03:00:00Z", 60.0),
        ("2026-03-02T04:59:00+02:00", AT, 60.0),
        ("2026-03-02T03:00:05+00:00", AT, 0.0),
        (AT, None, None),
        (None, AT, None),
        ("", "", None),
    ],
    ids=["at once", "fraction", "zulu", "another zone", "clocks differ", "goes on", "never began", "empty"],
)
def test_a_duration_is_the_time_between_start_and_end(
    start: str | None, end: str | None, seconds: float | None
) -> None:
    assert run_record(RUN | {"start_time": start or None, "end_time": end or None}, {}).duration_s == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"state": STATE | {"message": f"token {SECRET} refused"}},
        {"parameters": {"nested": [{"url": f"https://x.test/?token={SECRET}"}]}},
        {"parameters": {"password": "hunter2hunter2", "note": SECRET}},
        {"job_variables": {"env": {"GITHUB_TOKEN": SECRET}}},
    ],
    ids=["message", "nested parameter", "named parameter", "environment"],
)
def test_secrets_are_gone_before_anybody_can_keep_them(change: dict[str, Any]) -> None:
    told = run_record(RUN | change, {}).model_dump_json()
    assert SECRET not in told
    assert "hunter2hunter2" not in told


def test_redaction_keeps_the_shape_of_parameters() -> None:
    parameters = {"days": [1, 2], "options": {"fast": True, "note": None}, "password": "hunter2hunter2"}
    read = run_record(RUN | {"parameters": parameters}, {}).parameters
    assert read["days"] == [1, 2]
    assert read["options"] == {"fast": True, "note": None}
    assert set(read) == set(parameters)


def test_the_barest_task_run_is_read() -> None:
    task = task_run_record(TASK)
    assert (task.id, task.name, task.task_key, task.state) == ("t1", "", "", None)
    assert (task.run_count, task.flow_run_run_count, task.upstream, task.persisted) == (0, 0, (), False)


@pytest.mark.parametrize(
    ("data", "persisted"),
    [
        ({"storage_key": "results/abc", "expiration": None}, True),
        ({"storage_key": ""}, False),
        ({"storage_key": None}, False),
        ({"type": "unpersisted"}, False),
        ({}, False),
        (None, False),
        ("a value of its own", False),
        ([1, 2], False),
    ],
    ids=["stored", "empty key", "no key", "unpersisted", "empty", "none", "inline text", "inline list"],
)
def test_a_result_is_stored_only_where_the_state_says_where(data: Any, *, persisted: bool) -> None:
    assert task_run_record(TASK | {"state": STATE | {"data": data}}).persisted is persisted


@pytest.mark.parametrize(
    ("inputs", "upstream"),
    [
        (None, ()),
        ({}, ()),
        ({"orders": []}, ()),
        ({"orders": [{"input_type": "task_run", "id": "a"}]}, ("a",)),
        ({"x": [{"id": "a"}, {"id": "b"}], "wait_for": [{"id": "c"}]}, ("a", "b", "c")),
        ({"x": [{"input_type": "parameter", "name": "day"}]}, ()),
    ],
    ids=["null", "none", "a constant", "one", "several", "a parameter"],
)
def test_upstream_are_the_tasks_a_task_took_from(inputs: Any, upstream: tuple[str, ...]) -> None:
    assert task_run_record(TASK | {"task_inputs": inputs}).upstream == upstream


def test_a_task_run_tells_its_attempt_of_the_flow_and_its_own() -> None:
    raw = TASK | {"run_count": 2, "flow_run_run_count": 3, "task_key": "load-1a2b", "start_time": AT}
    task = task_run_record(raw)
    assert (task.run_count, task.flow_run_run_count, task.task_key, task.start) == (2, 3, "load-1a2b", NOW)


def test_a_log_line_is_read_cut_and_redacted() -> None:
    record = log_record(LOG | {"message": f"{SECRET}\n" + "x" * 2 * LONGEST_TEXT, "task_run_id": "t1"})
    assert SECRET not in record.message
    assert "characters left out" in record.message
    assert (record.level, record.name, record.task_run_id, record.timestamp) == (40, "", "t1", NOW)


def test_a_log_line_without_words_is_a_line() -> None:
    assert log_record(LOG | {"message": "", "name": None}).message == ""


def test_a_log_line_without_a_time_is_none() -> None:
    with pytest.raises(ValidationError, match="timestamp"):
        log_record(LOG | {"timestamp": "soon"})


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([], 0),
        ("[[1], [2]]", 2),
        ({"a": [1, 2], "b": [3]}, 2),
        ({"a": 1}, None),
        ({}, None),
        ("no table", None),
        ("[" * 100_000, None),
        (7, None),
        (None, None),
    ],
    ids=["empty", "text", "columns", "a number", "no column", "words", "too deep", "no text", "nothing"],
)
def test_a_table_has_rows_and_anything_else_none(data: object, rows: int | None) -> None:
    assert table_rows(data) == rows


@pytest.mark.parametrize(
    "maker", [None, {}, "flow", {"type": "DEPLOYMENT", "display_value": "x"}, {"type": "AUTOMATION"}]
)
def test_a_run_that_no_named_automation_started_says_so(maker: object) -> None:
    assert run_record(RUN | {"created_by": maker}, {}).started_by is None
