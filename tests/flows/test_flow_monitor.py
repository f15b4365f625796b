"""The monitoring flow: reads what ran, judges it, and shows both tables in the Prefect UI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prefect import flow

from prefect_autopilot.flows.monitor import monitor

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


def runs_of(name: str, outcomes: str) -> None:
    """Run a flow once for each letter: a dot is good, an F fails."""

    @flow(name=name)
    def work(fails: bool) -> None:  # noqa: FBT001  # a parameter of a flow
        if fails:
            raise KeyError("total")

    for letter in outcomes:
        work(letter == "F", return_state=True)


def rows(server: Any, key: str) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = json.loads(server.artifacts(key)[0]["data"])
    return table


def test_what_ran_is_read_once_and_judged(server: Any) -> None:
    runs_of("monitored-good", ".....")
    first = server.run(monitor())
    assert first["runs_read"] >= 5
    (row,) = [row for row in rows(server, "autopilot-health") if row["workflow"] == "monitored-good"]
    assert (row["status"], row["runs"]) == ("healthy", 5)
    assert row["why"]
    second = server.run(monitor())
    assert second["runs_read"] == 0, "the same runs are not read again"
    assert second["workflows"] == first["workflows"]
    assert second["alerts_changed"] == 0
    pages = server.call("POST", "/artifacts/filter", {"artifacts": {"key": {"like_": "autopilot-runs-%"}}})
    charts = [one["data"] for one in pages if one["description"] == "Runs of monitored-good"]
    assert [text.count("data:image/svg+xml") for text in charts] == [2], "one page, kept in its place"


def test_few_runs_are_no_health(server: Any) -> None:
    runs_of("monitored-few", ".F")
    server.run(monitor())
    (row,) = [row for row in rows(server, "autopilot-health") if row["workflow"] == "monitored-few"]
    assert (row["status"], row["score"]) == ("unknown", None)


def test_failures_in_a_row_raise_an_alert_that_stands_in_the_table(server: Any) -> None:
    runs_of("monitored-bad", "......FFFFF")
    told = server.run(monitor())
    assert told["alerts_changed"] >= 1
    alerts = [row for row in rows(server, "autopilot-alerts") if row["alert"].startswith("monitored-bad")]
    assert alerts
    assert {"severity", "status", "alert", "why"} <= set(alerts[0])


def test_our_own_flows_are_not_watched(server: Any) -> None:
    runs_of("autopilot-something", "FFFFF")
    server.run(monitor())
    watched = {row["workflow"] for row in rows(server, "autopilot-health")}
    assert not any(name.startswith("autopilot-") for name in watched)
    stored = server.stored(lambda store: store.runs())
    assert not any(run.flow_name.startswith("autopilot-") for run in stored)


def test_the_schedule_needs_no_parameters() -> None:
    assert monitor.parameters.properties == {}
