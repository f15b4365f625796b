"""Calls made once, retries dropped and results kept: each only where nobody can tell but by the bill."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy, TaskTiming
from prefect_autopilot.optimization import optimize

HEAD = """
import random
import time
import requests
from prefect import flow, task

STATE = {}

@task
def score(rows, weight=1):
    return [row * weight for row in rows]

@task
def total(rows):
    return sum(rows)

@task
def read(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()

@task
def save(k):
    return requests.post("https://x.example", json=k, timeout=3).json()

@task
def roll(n):
    return random.random() * n

@task(refresh_cache=True)
def tried(n):
    return n
"""


def plan_of(
    text: str, strategy: Strategy, *, unsafe: bool = False, history: FlowHistory | None = None
) -> OptimizationPlan:
    plan = optimize(text, file="f.py", strategy=strategy, unsafe=unsafe, history=history)
    assert optimize(plan.source, file="f.py", strategy=strategy, unsafe=unsafe).source == plan.source
    return plan


def flow_of(body: str) -> str:
    return f"{HEAD}\n@flow\ndef main(rows=(1, 2), k=1):\n{textwrap.indent(body, '    ')}\n"


ONCE = {
    "value": ("a = score(rows)\nb = score(rows)\nreturn a, b", "b = a"),
    "in an expression": ("a = score(rows)\nreturn len(score(rows))", "return len(a)"),
    "with keywords": ("a = score(rows, weight=2)\nb = score(rows, weight=2)\nreturn a, b", "b = a"),
    "a write between": ("a = score(rows)\nsave(k)\nb = score(rows)\nreturn a, b", "b = a"),
    "in a branch": ("if k:\n    a = total(rows)\n    return a, total(rows)", "return a, a"),
    "as an argument": ("a = score(rows)\nreturn total(score(rows))", "return total(a)"),
}
TWICE = {
    "another argument": "a = score(rows)\nb = score(rows, 2)\nreturn a, b",
    "a read": "a = read(k)\nb = read(k)\nreturn a, b",
    "a write": "a = save(k)\nb = save(k)\nreturn a, b",
    "chance": "a = roll(k)\nb = roll(k)\nreturn a, b",
    "with options": "a = tried(k)\nb = tried(k)\nreturn a, b",
    "argument bound anew": "a = score(rows)\nrows = [3]\nb = score(rows)\nreturn a, b",
    "argument bound by the call itself": "rows = score(rows)\nb = score(rows)\nreturn b",
    "value bound anew": "a = score(rows)\na = 2\nb = score(rows)\nreturn a, b",
    "argument changed": "rows = list(rows)\na = score(rows)\nrows.append(1)\nb = score(rows)\nreturn a, b",
    "first value changed": "a = score(rows)\nb = score(rows)\na.append(1)\nreturn a, b",
    "second value changed": "a = score(rows)\nb = score(rows)\nb.sort()\nreturn a, b",
    "changed through a third name": "a = score(rows)\nb = score(rows)\nc = a\nc.append(1)\nreturn a, b",
    "item set": "a = score(rows)\nb = score(rows)\nb[0] = 5\nreturn a, b",
    "another block": "a = score(rows)\nif k:\n    return score(rows)\nreturn a",
    "module state changes": "a = score(rows)\nSTATE['x'] = 1\nb = score(rows)\nreturn a, b",
    "unknown code between": "a = score(rows)\nmystery(a)\nb = score(rows)\nreturn a, b",
    "only one after a condition": "a = k and score(rows)\nb = score(rows)\nreturn a, b",
}


@pytest.mark.parametrize(("body", "after"), ONCE.values(), ids=ONCE)
def test_a_repeated_computation_is_made_once(body: str, after: str) -> None:
    plan = plan_of(flow_of(body), Strategy.COST)
    assert [edit.rule for edit in plan.edits if edit.rule == "call_once"]
    assert after in plan.source


@pytest.mark.parametrize("body", TWICE.values(), ids=TWICE)
def test_calls_that_may_differ_are_both_made(body: str) -> None:
    plan = plan_of(flow_of(body), Strategy.COST)
    assert not [edit for edit in plan.edits if edit.rule == "call_once"], plan.diff


def test_a_call_made_once_saves_its_median() -> None:
    history = FlowHistory(tasks={"score": TaskTiming(n=9, p50_s=3.5)})
    plan = plan_of(flow_of("a = score(rows)\nb = score(rows)\nreturn a, b"), Strategy.COST, history=history)
    assert [edit.expected_saving_s for edit in plan.edits if edit.rule == "call_once"] == [3.5]


def task_of(decorator: str, body: str = "return int(n)") -> str:
    head = "import time, random, requests\nfrom prefect import flow, task\n"
    return f"{head}\n{decorator}\ndef t(n):\n    {body}\n\n@flow\ndef main(n=1):\n    return t(n)\n"


DROPPED = {
    "all": ("@task(retries=3, retry_delay_seconds=5)", "@task()"),
    "others stay": ("@task(name='x', retries=3, tags=['a'])", "@task(name='x', tags=['a'])"),
    "over lines": ("@task(\n    retries=3,\n    name='x',\n)", "@task(name='x')"),
    "jitter too": ("@task(retries=2, retry_jitter_factor=1)", "@task()"),
}
RETRIED = {
    "reads": ("@task(retries=3)", "return requests.get(n).json()"),
    "chance": ("@task(retries=3)", "return 1 / (random.random() - n)"),
    "pauses": ("@task(retries=3)", "time.sleep(n)"),
    "time": ("@task(retries=3, timeout_seconds=5)", "return int(n)"),
    "none": ("@task(retries=0)", "return int(n)"),
    "unpacked": ("@task(retries=3, **{})", "return int(n)"),
    "comment": ("@task(\n    retries=3,  # the queue\n)", "return int(n)"),
    "keep": ("@task(retries=3)  # autopilot: keep", "return int(n)"),
    "changes its argument": ("@task(retries=3)", "n.append(1)"),
    "unknown": ("@task(retries=3)", "return mystery(n)"),
}


@pytest.mark.parametrize(("before", "after"), DROPPED.values(), ids=DROPPED)
def test_retries_of_a_computation_are_dropped_for_cost(before: str, after: str) -> None:
    plan = plan_of(task_of(before), Strategy.COST)
    assert f"\n{after}\ndef t(" in plan.source


@pytest.mark.parametrize(("decorator", "body"), RETRIED.values(), ids=RETRIED)
def test_retries_that_may_help_stay(decorator: str, body: str) -> None:
    source = task_of(decorator, body)
    assert plan_of(source, Strategy.COST).source == source


@pytest.mark.parametrize("strategy", [Strategy.PERFORMANCE, Strategy.RELIABILITY, Strategy.HYBRID], ids=str)
def test_only_the_cost_strategy_takes_retries_away(strategy: Strategy) -> None:
    assert "retries=3" in plan_of(task_of("@task(retries=3)"), strategy).source


def test_results_are_kept_only_with_consent() -> None:
    source = flow_of("rows = score(rows)\nreturn save(total(rows))")
    assert "persist_result" not in plan_of(source, Strategy.RELIABILITY).source
    plan = plan_of(source, Strategy.RELIABILITY, unsafe=True)
    assert "@flow(persist_result=True)\ndef main(" in plan.source


@pytest.mark.parametrize(
    "body",
    [
        "return save(1)",
        "a = read(k)\nb = read(k)\nreturn a, b",
        "for one in rows:\n    save(one)\nreturn total(rows)",
        "while read(k):\n    save(k)",
    ],
    ids=["one task", "twin reads", "a loop of writes", "polling"],
)
def test_results_are_not_kept_where_a_call_could_get_another_s(body: str) -> None:
    plan = plan_of(flow_of(body), Strategy.RELIABILITY, unsafe=True)
    assert "persist_result" not in plan.source


@pytest.mark.parametrize("option", ["persist_result=False", "result_storage='x'", "**{}"])
def test_a_flow_that_decides_on_its_results_is_left_alone(option: str) -> None:
    source = flow_of("return save(total(rows))").replace("@flow", f"@flow({option})")
    plan = plan_of(source, Strategy.RELIABILITY, unsafe=True)
    assert "persist_results" not in {edit.rule for edit in plan.edits}
