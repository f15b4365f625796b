"""Flows judged by hand, of objects with two names and orders by side effects: left alone or improved."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.models import OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

_FOLDER = Path(__file__).parents[2] / "benchmarks"
_DOCUMENTS = [
    tomllib.loads((_FOLDER / f"optimizer_{kind}_flows.toml").read_text(encoding="utf-8"))
    for kind in ("shared", "mixed")
]
_PRELUDES: dict[str, str] = _DOCUMENTS[0]["preludes"] | _DOCUMENTS[1]["preludes"]
FLOWS: dict[str, dict[str, Any]] = _DOCUMENTS[0]["flows"] | _DOCUMENTS[1]["flows"]


def plan_of(name: str, strategy: Strategy) -> OptimizationPlan:
    """Return a plan that compiles and whose own plan changes nothing more."""
    source = f"{_PRELUDES[FLOWS[name]['prelude']]}\n{FLOWS[name]['source']}"
    plan = optimize(source, file="flow.py", strategy=strategy)
    ast.parse(plan.source)
    assert plan.changed == bool(plan.edits) == (plan.source != source)
    assert not plan.changed or not optimize(plan.source, file="flow.py", strategy=strategy).changed
    return plan


@pytest.mark.parametrize("name", [name for name, flow in FLOWS.items() if flow.get("expect") == []])
def test_calls_stay_where_a_change_between_them_could_be_seen(name: str) -> None:
    assert not plan_of(name, Strategy.PERFORMANCE).edits
    parallel = {"submit_calls", "map_loop", "map_comprehension", "gather_awaits", "split_submit"}
    assert not parallel & {edit.rule for edit in plan_of(name, Strategy.HYBRID).edits}


@pytest.mark.parametrize("name", [name for name, flow in FLOWS.items() if flow.get("expect")])
def test_what_an_expert_would_start_early_is_started_early(name: str) -> None:
    plan = plan_of(name, Strategy.PERFORMANCE)
    assert sorted({edit.rule for edit in plan.edits}) == FLOWS[name]["expect"], plan.rejected


@pytest.mark.parametrize("strategy", [Strategy.RELIABILITY, Strategy.HYBRID], ids=str)
@pytest.mark.parametrize("name", [name for name, flow in FLOWS.items() if "mends" in flow])
def test_only_what_reads_and_leaves_nothing_behind_is_retried(name: str, strategy: Strategy) -> None:
    made = {edit.rule for edit in plan_of(name, strategy).edits} - set(FLOWS[name].get("expect", ()))
    assert sorted(made) == FLOWS[name]["mends"]
