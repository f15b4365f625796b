"""The optimising flow: a plan and its report, from a path or a source, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.exceptions import ParameterTypeError

from prefect_autopilot.errors import InvalidFlowError, UnknownNameError, UsageError
from prefect_autopilot.flows.optimize import optimize_flow
from prefect_autopilot.models import OptimizationPlan, Strategy

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)
SLOW = """import httpx
from prefect import flow, task


@task
def read(name: str) -> list:
    return httpx.get(f"https://api.shop.test/{name}", timeout=5).json()


@flow
def report() -> int:
    orders = read("orders")
    customers = read("customers")
    stock = read("stock")
    return len(orders) + len(customers) + len(stock)
"""


def test_a_source_gets_a_plan_with_reasons_and_new_source(server: Any) -> None:
    told = server.run(optimize_flow(source=SLOW, strategy=Strategy.PERFORMANCE))
    plan = OptimizationPlan.model_validate(told)
    assert plan.changed
    assert plan.file == "flow.py"
    assert plan.edits
    assert all(edit.reason for edit in plan.edits)
    assert "submit" in plan.source
    assert plan.source != SLOW
    compile(plan.source, "flow.py", "exec")


def test_the_report_stands_in_the_prefect_ui(server: Any) -> None:
    server.run(optimize_flow(source=SLOW))
    artifact = server.artifacts("autopilot-optimization")[0]
    assert artifact["description"] == "flow.py: hybrid"
    assert "submit" in artifact["data"]


def test_a_file_is_planned_and_not_written(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_text(SLOW, encoding="utf-8")
    told = server.run(optimize_flow(path=str(path)))
    assert told["file"] == "report.py"
    assert path.read_text(encoding="utf-8") == SLOW
    assert [one.name for one in tmp_path.glob("report*")] == ["report.py"], "no backup either"


def test_a_source_with_nothing_to_gain_comes_back_byte_for_byte(server: Any) -> None:
    source = "from prefect import flow\n\n@flow\ndef nothing():\r\n    return 1\n"
    told = server.run(optimize_flow(source=source))
    assert (told["changed"], told["source"], told["edits"]) == (False, source, [])


@pytest.mark.parametrize("given", [{}, {"path": "a.py", "source": SLOW}], ids=["neither", "both"])
def test_exactly_one_of_path_and_source_is_needed(server: Any, given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="either the path or the source"):
        server.run(optimize_flow(**given))


def test_what_is_no_python_fails_the_flow_with_its_reason(server: Any) -> None:
    with pytest.raises(InvalidFlowError):
        server.run(optimize_flow(source="def broken(:"))


def test_a_file_that_is_not_there_is_named(server: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.py"):
        server.run(optimize_flow(path=str(tmp_path / "gone.py")))


def test_a_strategy_nobody_knows_is_refused_by_the_form(server: Any) -> None:
    with pytest.raises(ParameterTypeError, match="strategy"):
        server.run(optimize_flow(source=SLOW, strategy="fastest"))


def test_without_history_no_saving_is_claimed(server: Any) -> None:
    told = server.run(optimize_flow(source=SLOW))
    assert {edit["expected_saving_s"] for edit in told["edits"]} == {None}


def test_durations_of_past_runs_decide_where_a_server_is_named(server: Any) -> None:
    @task(name="read")
    def read(_name: str) -> list[int]:
        return []

    @flow(name="report-with-history")
    def report() -> int:
        return len(read("orders")) + len(read("customers")) + len(read("stock"))

    for _ in range(3):
        report()
    told = server.run(optimize_flow(source=SLOW, flow_name="report-with-history", server=server.url))
    # Reads of some milliseconds: what was measured does not justify the edit that no history would stop.
    assert not any(edit["rule"] == "submit_calls" for edit in told["edits"])
    assert any("the runs so far promise" in one["reason"] for one in told["rejected"])


def test_a_flow_that_never_completed_has_no_history_and_is_named(server: Any) -> None:
    with pytest.raises(UnknownNameError, match="never-ran-here"):
        server.run(optimize_flow(source=SLOW, flow_name="never-ran-here", server=server.url))
