"""Answers of the Prefect REST API as our values, redacted on the way in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prefect_autopilot.models import JSONDict, LogRecord, RunRecord, StateRecord, TaskRunRecord
from prefect_autopilot.redaction import redact, redact_value

LONGEST_TEXT = 16_384
"""Characters kept of one message: head and tail, where the error's type and its last line stand."""


def clipped(text: str, longest: int = LONGEST_TEXT) -> str:
    """Cut the middle out of a long text."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n… {len(text) - longest} characters left out …\n{text[-half:]}"


def state_record(raw: JSONDict) -> StateRecord:
    """Read a state."""
    message = raw.get("message")
    return StateRecord(
        id=raw["id"],
        type=raw["type"],
        name=raw.get("name") or raw["type"].title(),
        timestamp=raw["timestamp"],
        message=redact(clipped(message)) if message else None,
    )


def run_record(raw: JSONDict, names: Mapping[str, JSONDict]) -> RunRecord:
    """Read a flow run; ``names`` maps flow and deployment ids to what is known of them."""
    flow = names.get(raw.get("flow_id") or "", {})
    deployment = names.get(raw.get("deployment_id") or "", {})
    start, end = raw.get("start_time"), raw.get("end_time")
    return RunRecord(
        id=raw["id"],
        name=raw.get("name") or "",
        flow_id=raw.get("flow_id"),
        flow_name=flow.get("name", ""),
        deployment_id=raw.get("deployment_id"),
        deployment_name=deployment.get("name"),
        deployment_version=raw.get("deployment_version"),
        work_pool=raw.get("work_pool_name"),
        work_queue=raw.get("work_queue_name"),
        worker=_worker(raw.get("labels")),
        run_count=raw.get("run_count") or 0,
        state=state_record(raw["state"]),
        expected_start=raw.get("expected_start_time"),
        start=start,
        end=end,
        duration_s=_seconds(start, end),
        parameters=redact_value(raw.get("parameters") or {}),
        job_variables=redact_value(raw.get("job_variables") or {}),
        tags=tuple(raw.get("tags") or ()),
        created=raw.get("created"),
        updated=raw.get("updated"),
        infrastructure_pid=raw.get("infrastructure_pid"),
        parent_task_run_id=raw.get("parent_task_run_id"),
        idempotency_key=raw.get("idempotency_key"),
        started_by=_automation(raw.get("created_by")),
    )


def _worker(labels: Any) -> str | None:
    """Return the name of the worker that took the run up, which Prefect's workers give it as a label."""
    name = labels.get("prefect.worker.name") if isinstance(labels, dict) else None
    return redact(str(name))[:200] or None if name else None


def _automation(maker: Any) -> str | None:
    if not isinstance(maker, dict) or maker.get("type") != "AUTOMATION":
        return None
    return redact(str(maker.get("display_value") or maker.get("id") or ""))[:200] or None


def task_run_record(raw: JSONDict) -> TaskRunRecord:
    """Read a task run; it is persisted when its final state points at a stored result."""
    state = raw.get("state")
    data = (state or {}).get("data")
    stored = data if isinstance(data, dict) else {}
    inputs = raw.get("task_inputs") or {}
    return TaskRunRecord(
        id=raw["id"],
        name=raw.get("name") or "",
        task_key=raw.get("task_key") or "",
        state=state_record(state) if state else None,
        run_count=raw.get("run_count") or 0,
        flow_run_run_count=raw.get("flow_run_run_count") or 0,
        start=raw.get("start_time"),
        end=raw.get("end_time"),
        upstream=tuple(item["id"] for given in inputs.values() for item in given if "id" in item),
        persisted=bool(stored.get("storage_key")),
        storage_key=stored.get("storage_key"),
        storage_block_id=stored.get("storage_block_id"),
        child_flow_run_id=((state or {}).get("state_details") or {}).get("child_flow_run_id"),
    )


def log_record(raw: JSONDict) -> LogRecord:
    """Read a log line."""
    return LogRecord(
        timestamp=raw["timestamp"],
        level=raw["level"],
        message=redact(clipped(raw["message"])),
        name=raw.get("name") or "",
        task_run_id=raw.get("task_run_id"),
    )


def table_rows(data: Any) -> int | None:
    """Return the rows of a table artifact, None where its data is none.

    Prefect stores a table as JSON text: a list of rows, or columns of equal length.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return None
    if isinstance(data, list):
        return len(data)
    if isinstance(data, dict) and data and all(isinstance(column, list) for column in data.values()):
        return max(len(column) for column in data.values())
    return None


def _seconds(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    # Clock skew between worker and server can put the end before the start.
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
