"""Flows that tempt a rewriter: each is predicted by hand; most must stay as they are."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.models import OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

_DOCUMENT = tomllib.loads(
    (Path(__file__).parents[2] / "benchmarks" / "optimizer_hard_flows.toml").read_text(encoding="utf-8")
)
FLOWS: dict[str, dict[str, Any]] = _DOCUMENT["flows"]
KEPT = [name for name, flow in FLOWS.items() if not flow["expect"]]
CHANGED = [name for name, flow in FLOWS.items() if flow["expect"]]
MENDED = [name for name, flow in FLOWS.items() if "mends" in flow]


def source_of(name: str) -> str:
    flow = FLOWS[name]
    return f"{_DOCUMENT['preludes'].get(flow.get('prelude', ''), '')}\n{flow['source']}"


def plan_of(source: str, strategy: Strategy = Strategy.PERFORMANCE) -> OptimizationPlan:
    return optimize(source, file="flow.py", strategy=strategy)


@pytest.mark.parametrize("name", KEPT)
def test_what_only_looks_free_is_left_alone_to_the_byte(name: str) -> None:
    plan = plan_of(source_of(name))
    assert plan.source == source_of(name), plan.diff
    assert FLOWS[name].get("why", "") in "\n".join(one.reason for one in plan.rejected)


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_free_is_changed_by_the_rule_for_it(name: str) -> None:
    plan = plan_of(source_of(name))
    assert sorted({edit.rule for edit in plan.edits}) == FLOWS[name]["expect"]
    for kept in FLOWS[name].get("keeps", ()):
        assert kept in plan.source


@pytest.mark.parametrize("name", MENDED)
def test_reliability_mends_exactly_what_it_may(name: str) -> None:
    plan = plan_of(source_of(name), Strategy.RELIABILITY)
    assert sorted({edit.rule for edit in plan.edits}) == FLOWS[name]["mends"], plan.diff


@pytest.mark.parametrize("strategy", list(Strategy), ids=str)
@pytest.mark.parametrize("name", FLOWS)
def test_a_plan_compiles_and_a_second_one_finds_nothing(name: str, strategy: Strategy) -> None:
    plan = plan_of(source_of(name), strategy)
    ast.parse(plan.source)
    assert plan_of(plan.source, strategy).source == plan.source


@pytest.mark.parametrize("name", CHANGED)
def test_every_comment_and_text_of_the_original_survives(name: str) -> None:
    def fixed(source: str) -> list[str]:
        constants = (part.value for part in ast.walk(ast.parse(source)) if isinstance(part, ast.Constant))
        return sorted(value for value in constants if isinstance(value, str))

    assert set(fixed(source_of(name))) <= set(fixed(plan_of(source_of(name)).source))


@pytest.mark.parametrize("ends", ["\r\n", "\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("name", FLOWS)
def test_line_ends_never_decide(name: str, ends: str) -> None:
    plain, other = plan_of(source_of(name)), plan_of(source_of(name).replace("\n", ends))
    assert [edit.rule for edit in other.edits] == [edit.rule for edit in plain.edits]
    assert other.source == plain.source.replace("\n", ends)


@pytest.mark.parametrize("strategy", [Strategy.RELIABILITY, Strategy.HYBRID], ids=str)
@pytest.mark.parametrize("name", FLOWS)
def test_no_task_that_writes_or_is_unknown_gets_retries(name: str, strategy: Strategy) -> None:
    for edit in plan_of(source_of(name), strategy).edits:
        assert edit.rule != "retry_reads" or "only reads" in edit.reason
