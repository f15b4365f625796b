"""Edits that need the owner's consent: made with it, named without it, never where they would be wrong."""

from __future__ import annotations

import ast

import pytest

from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy, TaskTiming
from prefect_autopilot.optimization import optimize

PRELUDE = """
import random
import time
import requests
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

SEEN = []

"""
TIMING = TaskTiming(n=20, calls_per_run=10, p50_s=2.0, p95_s=30.0, repeat_share=0.5)


def plan_of(
    text: str, strategy: Strategy, *, unsafe: bool = True, timing: TaskTiming | None = TIMING
) -> OptimizationPlan:
    source = f"{PRELUDE}{text}\n\n@flow\ndef main(x=1):\n    return work(x)\n"
    history = FlowHistory(tasks={"work": timing}) if timing else None
    plan = optimize(source, file="flow.py", strategy=strategy, history=history, unsafe=unsafe)
    ast.parse(plan.source)
    again = optimize(plan.source, file="flow.py", strategy=strategy, history=history, unsafe=unsafe)
    assert again.source == plan.source
    assert plan.changed or plan.source == source
    return plan


PURE = "@task\ndef work(x):\n    return sum(range(x))"
READ = (
    "@task(retries=2, retry_delay_seconds=3)\n"
    'def work(x):\n    return requests.get(f"https://a.test/{x}", timeout=3).json()'
)


def test_a_task_that_repeats_itself_is_cached_with_consent() -> None:
    plan = plan_of(PURE, Strategy.COST)
    cached = (
        "@task(cache_policy=INPUTS + TASK_SOURCE, cache_expiration=timedelta(hours=1), persist_result=True)"
    )
    assert cached in plan.source
    assert "from prefect.cache_policies import INPUTS, TASK_SOURCE" in plan.source
    assert "from datetime import timedelta" in plan.source
    assert [(edit.rule, edit.risk, edit.expected_saving_s) for edit in plan.edits] == [
        ("cache_pure", "opt_in", 10.0)
    ]


def test_how_often_a_task_is_given_the_same_is_said_to_be_unknown() -> None:
    text = "from prefect_autopilot.hooks import measured\n" + PURE.replace("@task\n", "@task\n@measured\n")
    shares = (None, 0.0)
    plans = [
        plan_of(text, Strategy.COST, timing=TIMING.model_copy(update={"repeat_share": share}))
        for share in shares
    ] + [plan_of(text, Strategy.COST, timing=None)]
    assert not any(plan.changed for plan in plans)
    told = [[one.reason for one in plan.rejected if one.rule == "cache_pure"] for plan in plans]
    assert [len(one) for one in told] == [1, 0, 0]
    assert "not known (@measured" in told[0][0]


NOT_CACHED = {
    "reads": "@task\ndef work(x):\n    return requests.get(f'https://a.test/{x}', timeout=3).json()",
    "writes": "@task\ndef work(x):\n    return requests.post('https://a.test', json=x, timeout=3).json()",
    "clock": "@task\ndef work(x):\n    return x + time.time()",
    "chance": "@task\ndef work(x):\n    return x + random.random()",
    "changes its argument": "@task\ndef work(x):\n    x.append(1)\n    return x",
    "remembers": "@task\ndef work(x):\n    SEEN.append(x)\n    return len(SEEN)",
    "generator": "@task\ndef work(x):\n    yield x",
    "no argument": "@task\ndef work():\n    return sum(range(9))",
    "decided against": "@task(cache_policy=NO_CACHE)\ndef work(x):\n    return sum(range(x))",
    "decides by itself": "@task(persist_result=True)\ndef work(x):\n    return sum(range(x))",
    "not known": "import mystery\n@task\ndef work(x):\n    return mystery.of(x)",
    "kept": "@task  # autopilot: keep\ndef work(x):\n    return sum(range(x))",
}


@pytest.mark.parametrize("text", NOT_CACHED.values(), ids=NOT_CACHED)
def test_what_must_not_be_cached_is_not_even_with_consent(text: str) -> None:
    assert not plan_of(text, Strategy.COST).changed


def test_a_slow_read_gets_a_timeout_of_three_times_its_95th_percentile_with_consent() -> None:
    plan = plan_of(READ, Strategy.RELIABILITY)
    assert "retry_delay_seconds=3, timeout_seconds=90)" in plan.source
    assert "task_timeouts" in {edit.rule for edit in plan.edits if edit.risk == "opt_in"}


@pytest.mark.parametrize(
    ("p95", "seconds"), [(0.2, 60), (20.0, 60), (20.1, 61), (400.0, 1200)], ids=lambda value: f"{value:g}"
)
def test_a_timeout_is_generous(p95: float, seconds: int) -> None:
    plan = plan_of(READ, Strategy.RELIABILITY, timing=TIMING.model_copy(update={"p95_s": p95}))
    assert f"timeout_seconds={seconds})" in plan.source


NOT_BOUND = {
    "has one": READ.replace("retries=2", "retries=2, timeout_seconds=5"),
    "writes": READ.replace("requests.get(f", "requests.post(f"),
    "computes": "@task\ndef work(x):\n    return sum(range(x))",
    "unpacked options": READ.replace("retries=2", "**{}, retries=2"),
}


@pytest.mark.parametrize("text", NOT_BOUND.values(), ids=NOT_BOUND)
def test_other_tasks_get_no_timeout(text: str) -> None:
    rules = {edit.rule for edit in plan_of(text, Strategy.RELIABILITY).edits}
    assert "task_timeouts" not in rules


@pytest.mark.parametrize("runs", [0, 1, 4])
def test_few_runs_bound_nothing(runs: int) -> None:
    plan = plan_of(READ, Strategy.RELIABILITY, timing=TIMING.model_copy(update={"n": runs}))
    assert "timeout_seconds" not in plan.source


@pytest.mark.parametrize(
    ("text", "strategy", "rule"),
    [(PURE, Strategy.COST, "cache_pure"), (READ, Strategy.RELIABILITY, "task_timeouts")],
    ids=["cache", "timeout"],
)
def test_without_consent_the_edit_is_only_named(text: str, strategy: Strategy, rule: str) -> None:
    plan = plan_of(text, strategy, unsafe=False)
    assert not plan.changed
    assert any(one.rule == rule and "consent" in one.reason for one in plan.rejected)


@pytest.mark.parametrize(("text", "strategy"), [(PURE, Strategy.COST), (READ, Strategy.RELIABILITY)])
def test_without_history_neither_is_proposed(text: str, strategy: Strategy) -> None:
    plan = plan_of(text, strategy, timing=None)
    assert not {"cache_pure", "task_timeouts"} & {one.rule for one in (*plan.edits, *plan.rejected)}
