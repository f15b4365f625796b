"""The flows of the benchmark: which rules change each, what stays, and that no plan is ever malformed."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.models import OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

_DOCUMENT = tomllib.loads(
    (Path(__file__).parents[2] / "benchmarks" / "optimizer_flows.toml").read_text(encoding="utf-8")
)
FLOWS: dict[str, dict[str, Any]] = _DOCUMENT["flows"]
CHANGED = [name for name, flow in FLOWS.items() if flow["expect"]]
KEPT = [name for name, flow in FLOWS.items() if not flow["expect"]]


def source_of(name: str) -> str:
    flow = FLOWS[name]
    prelude = _DOCUMENT["preludes"].get(flow["prelude"], "")
    return f"{prelude}\n{flow['source']}"


def plan_of(source: str, strategy: Strategy = Strategy.PERFORMANCE) -> OptimizationPlan:
    return optimize(source, file="flow.py", strategy=strategy)


@pytest.mark.parametrize("name", CHANGED)
def test_a_flow_with_a_legal_edit_is_changed_by_the_rule_for_it(name: str) -> None:
    plan = plan_of(source_of(name))
    assert sorted({edit.rule for edit in plan.edits}) == FLOWS[name]["expect"]


@pytest.mark.parametrize("name", KEPT)
def test_a_flow_without_a_legal_edit_is_left_alone_to_the_byte(name: str) -> None:
    source = source_of(name)
    assert plan_of(source).source == source


@pytest.mark.parametrize("strategy", list(Strategy), ids=str)
@pytest.mark.parametrize("name", FLOWS)
def test_every_plan_parses_is_idempotent_and_says_why(name: str, strategy: Strategy) -> None:
    plan = plan_of(source_of(name), strategy)
    ast.parse(plan.source)
    assert plan_of(plan.source, strategy).source == plan.source
    assert all(edit.reason and edit.undo and edit.line > 0 for edit in plan.edits)
    assert all(one.reason and one.line > 0 for one in plan.rejected)


@pytest.mark.parametrize("ends", ["\r\n", "\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("name", CHANGED)
def test_line_ends_and_tabs_survive(name: str, ends: str) -> None:
    source = source_of(name).replace("    ", "\t").replace("\n", ends)
    plan = plan_of(source)
    assert plan.changed
    assert plan.source.count("\n") == plan.source.count(ends)
    ast.parse(plan.source)


@pytest.mark.parametrize("name", CHANGED)
def test_fan_out_is_always_bounded(name: str) -> None:
    plan = plan_of(source_of(name))
    if {"map_loop", "map_comprehension"} & {edit.rule for edit in plan.edits}:
        assert "max_workers=4" in plan.source or "Semaphore(4)" in plan.source


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_marked_keep_is_left_alone(name: str) -> None:
    kept = "\n".join(
        f"# autopilot: keep\n{line}" if line.startswith(("@flow", "@pf.flow")) else line
        for line in source_of(name).split("\n")
    )
    in_a_class = "    @flow" in kept
    assert in_a_class or not plan_of(kept).edits


WORKERS = """
import requests
from prefect import flow, task

@task
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()

@flow
def main(days=("a", "", "b")):
"""


def body(text: str) -> str:
    return WORKERS + "".join(f"    {line}\n" for line in text.splitlines())


def test_rounds_that_are_skipped_are_skipped_before_anything_is_started() -> None:
    plan = plan_of(
        body(
            "out = []\nfor day in days:\n    if not day:\n"
            "        continue\n    out.append(read(day))\nreturn out"
        )
    )
    assert (
        """    for day in days:
        if not day:
            continue
        read_futures.append(read.submit(day))
    for read_future in read_futures:
        out.append(read_future.result())
"""
        in plan.source
    )


SKIPS = {
    "the skip writes": (
        "out = []\nfor day in days:\n    if requests.post(day):\n"
        "        continue\n    out.append(read(day))\nreturn out"
    ),
    "the skip depends on the value before": (
        "last = None\nfor day in days:\n    if day == last:\n"
        "        continue\n    last = read(day)\nreturn last"
    ),
    "the name is read after the loop": (
        "out = []\nfor day in days:\n    if not day:\n"
        "        continue\n    out.append(read(day))\nreturn day, out"
    ),
    "more than a skip": (
        "out = []\nfor day in days:\n    if not day:\n        out.append(0)\n        continue\n"
        "    out.append(read(day))\nreturn out"
    ),
    "skip with an else": (
        "out = []\nfor day in days:\n    if not day:\n        continue\n    else:\n        out.append(1)\n"
        "    out.append(read(day))\nreturn out"
    ),
}


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS)
def test_other_skips_keep_the_loop_as_it_is(text: str) -> None:
    source = body(text)
    assert plan_of(source).source == source


@pytest.mark.parametrize("tag", ["api-limit", "throttled", "serial", "one_at_a_time", "db-lock"])
def test_a_tag_that_may_stand_for_a_limit_keeps_calls_in_sequence(tag: str) -> None:
    source = body("return [read(day) for day in days]").replace("@task", f'@task(tags=["{tag}"])')
    assert plan_of(source).source == source


@pytest.mark.parametrize("tag", ["etl", "finance", "daily"])
def test_other_tags_do_not(tag: str) -> None:
    source = body("return [read(day) for day in days]").replace("@task", f'@task(tags=["{tag}"])')
    assert plan_of(source).changed


@pytest.mark.timeout(30)
def test_a_flow_with_many_statements_is_read_once() -> None:
    lines = [f"a{number} = read('{number}')\nif a{number}:\n    print(a{number})" for number in range(700)]
    assert plan_of(body("\n".join(lines))).file == "flow.py"
