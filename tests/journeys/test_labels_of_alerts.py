"""What alerts about failures may share: the machine of the last failed run, the service it failed at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect_autopilot.journeys.judging import Case, judge, series_of
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.store import Workflow

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


def runs(message: str, **more: Any) -> tuple[RunRecord, ...]:
    found = []
    for i in range(40):
        at, bad = NOW - (40 - i) * HOUR, i >= 36
        kind = "FAILED" if bad else "COMPLETED"
        told = message if bad else None
        state = StateRecord(id=f"s{i}", type=kind, name=kind, timestamp=at, message=told)
        fields = {
            "id": f"r{i}",
            "flow_name": "orders",
            "state": state,
            "start": at,
            "end": at,
            "duration_s": 60.0,
        }
        found.append(RunRecord.model_validate(fields | more))
    return tuple(found)


def labels(message: str, **more: Any) -> dict[str, str]:
    seen = runs(message, **more)
    workflow = Workflow(None, None, "orders", len(seen), NOW, NOW)
    alerts, _, _ = judge([Case("orders", workflow, seen, (), None, "", None)], {}, (), NOW)
    (alert,) = alerts
    return alert.labels


def test_an_alert_about_failures_names_worker_and_service() -> None:
    message = "stripe.error.APIConnectionError: cannot connect to api.stripe.com"
    found = labels(message, worker="worker-7", infrastructure_pid="4711")
    assert found["worker"] == "worker-7"
    assert found["service"] == "stripe"


def test_without_a_worker_nothing_is_shared() -> None:
    found = labels("KeyError: 'total'", infrastructure_pid="cluster:flows:otter-x")
    assert "worker" not in found
    assert "service" not in found


def test_a_series_knows_limits_and_what_its_runs_were_made_of() -> None:
    seen = runs("", tags=["limit:memory_mb=900"], deployment_version="3", job_variables={"image": "etl:5"})
    series = series_of("orders", seen, NOW)
    assert series.limits == {"memory_mb": 900.0}
    assert {one.version for one in series.runs} == {"3, image etl:5"}
    bare = series_of("orders", runs(""), NOW)
    assert {one.version for one in bare.runs} == {None}
