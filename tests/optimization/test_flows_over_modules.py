"""Flows whose tasks stand in other modules of the project."""

from __future__ import annotations

import pytest

from prefect_autopilot.effects import Project
from prefect_autopilot.models import OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

TASKS = """
import requests
from prefect import task

@task
def read(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()

@task
async def aread(k):
    return k

@task
def save(k):
    return requests.post("https://x.example", json=k, timeout=3).json()

# the service takes one call at a time
@task
def slow(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()

@task(persist_result=True)
def kept(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()

@task  # autopilot: keep
def own(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()
"""


def plan_of(imports: str, body: str, strategy: Strategy = Strategy.PERFORMANCE) -> OptimizationPlan:
    source = f"from prefect import flow\n{imports}\n\n@flow\ndef main(ks=(1, 2)):\n    {body}\n"
    project = Project({"acme": "", "acme.tasks": TASKS}, frozenset({"acme"}))
    plan = optimize(source, file="f.py", strategy=strategy, project=project, place="acme.flows")
    again = optimize(plan.source, file="f.py", strategy=strategy, project=project, place="acme.flows")
    assert again.source == plan.source
    return plan


@pytest.mark.parametrize(
    ("imports", "task"),
    [
        ("from acme.tasks import read", "read"),
        ("from .tasks import read as r", "r"),
        ("from acme import tasks", "tasks.read"),
        ("import acme.tasks", "acme.tasks.read"),
        ("import acme.tasks as t", "t.read"),
    ],
    ids=["name", "relative alias", "module", "dotted", "module alias"],
)
def test_independent_calls_of_imported_tasks_are_submitted(imports: str, task: str) -> None:
    plan = plan_of(imports, f"a = {task}(1)\n    b = {task}(2)\n    return a, b")
    assert f"a_future = {task}.submit(1)" in plan.source
    assert f"b_future = {task}.submit(2)" in plan.source


def test_a_loop_over_an_imported_task_is_bounded() -> None:
    plan = plan_of("from .tasks import read", "return [read(k) for k in ks]")
    assert "max_workers=4" in plan.source
    assert "read.submit(k) for k in ks" in plan.source


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("save", "writes (line 15: requests.post in acme.tasks)"),
        ("slow", "limit or an order"),
        ("kept", "cached"),
        ("own", "marked keep"),
        ("missing", ""),
    ],
)
def test_what_speaks_against_a_task_is_read_in_its_own_module(task: str, why: str) -> None:
    plan = plan_of(f"from .tasks import {task}", f"a = {task}(1)\n    b = {task}(2)\n    return a, b")
    assert not plan.changed
    assert why in "\n".join(one.reason for one in plan.rejected)


def test_retries_are_only_given_where_the_task_stands() -> None:
    plan = plan_of("from .tasks import read", "return read(1)", Strategy.RELIABILITY)
    assert not plan.changed
