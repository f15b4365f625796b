"""A rewrite brings the imports it needs, at the place where its decorators see them, and keeps all others."""

from __future__ import annotations

import ast

import pytest

from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy, TaskTiming
from prefect_autopilot.optimization import optimize

HEAD = "import requests\nimport httpx\nfrom prefect import flow, task\n"
RUNNER = "from prefect.task_runners import ThreadPoolTaskRunner"
LOOP = """
@task
def page(n):
    return requests.get(f"https://a.test/{n}", timeout=5).json()

@flow
def main(n=3):
    rows = []
    for i in range(n):
        rows.append(page(i))
    return rows
"""
AWAITS = """
@task
async def one(k):
    async with httpx.AsyncClient() as c:
        return (await c.get(f"https://a.test/{k}", timeout=5)).json()

@flow
async def main():
    a = await one(1)
    b = await one(2)
    return a, b
"""
SCORE = """
@task
def score(rows):
    return sum(rows)

@flow
def main():
    return score([1]), score([1])
"""
HISTORY = FlowHistory(tasks={"score": TaskTiming(n=9, p50_s=3.0, calls_per_run=2.0, repeat_share=0.5)})


def plan_of(
    source: str,
    strategy: Strategy = Strategy.PERFORMANCE,
    history: FlowHistory | None = None,
    *,
    unsafe: bool = False,
) -> OptimizationPlan:
    plan = optimize(source, file="flow.py", strategy=strategy, history=history, unsafe=unsafe)
    assert plan.changed, plan.rejected
    again = optimize(plan.source, file="flow.py", strategy=strategy, history=history, unsafe=unsafe)
    assert again.source == plan.source, again.diff
    return plan


UNSEEN: dict[str, tuple[str, str, str]] = {
    "in another function": (
        f"{HEAD}def local():\n    {RUNNER}\n    return ThreadPoolTaskRunner()\n",
        LOOP,
        RUNNER,
    ),
    "for type checkers only": (
        f"{HEAD}from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {RUNNER}\n",
        LOOP,
        RUNNER,
    ),
    "in a comment": (f"# {RUNNER}\n{HEAD}", LOOP, RUNNER),
    "in a text": (f"{HEAD}USAGE = '''\n{RUNNER}\n'''\n", LOOP, RUNNER),
    "under a name that is bound anew": (f"{HEAD}{RUNNER} as T\nT = 1\n", LOOP, RUNNER),
    "below the flow": (HEAD, f"{LOOP}\n{RUNNER}\n", RUNNER),
    "asyncio in another function": (
        f"{HEAD}def debug():\n    import asyncio\n    return asyncio.get_event_loop()\n",
        AWAITS,
        "import asyncio",
    ),
    "asyncio in a comment": (f"{HEAD}# import asyncio\n", AWAITS, "import asyncio"),
}


@pytest.mark.parametrize(("head", "body", "needed"), UNSEEN.values(), ids=UNSEEN)
def test_an_import_that_the_edit_does_not_see_is_added(head: str, body: str, needed: str) -> None:
    tree = ast.parse(plan_of(head + body).source)
    first = next(node.lineno for node in tree.body if getattr(node, "decorator_list", []))
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    assert needed in {ast.unparse(node) for node in imports if node.lineno < first}


TAKEN = {
    "a class of the file": "class ThreadPoolTaskRunner:\n    pass\n",
    "a variable of the file": "ThreadPoolTaskRunner = 4\n",
    "another module's": "from notes import ThreadPoolTaskRunner\nprint(ThreadPoolTaskRunner)\n",
    "bound anew": f"{RUNNER}\nThreadPoolTaskRunner = None\n",
}


@pytest.mark.parametrize("own", TAKEN.values(), ids=TAKEN)
def test_a_name_that_means_something_else_keeps_its_meaning(own: str) -> None:
    plan = plan_of(f"{HEAD}{own}{LOOP}")
    assert f"{RUNNER} as ThreadPoolTaskRunner_2\n" in plan.source
    assert "@flow(task_runner=ThreadPoolTaskRunner_2(max_workers=4))" in plan.source
    assert set(own.splitlines()) <= set(plan.source.splitlines())


@pytest.mark.parametrize(
    "seen",
    [RUNNER, f"{RUNNER} as ThreadPoolTaskRunner", f"import os\n{RUNNER}\ndef helper():\n    pass"],
    ids=["plain", "renamed to itself", "above a function"],
)
def test_an_import_that_is_seen_is_not_made_twice(seen: str) -> None:
    assert plan_of(f"{HEAD}{seen}\n{LOOP}").source.count("import ThreadPoolTaskRunner") == 1


def test_asyncio_is_used_under_the_name_it_has() -> None:
    plan = plan_of(f"import asyncio as aio\n{HEAD}{AWAITS}")
    assert "aio.create_task(one(1))" in plan.source
    assert "import asyncio\n" not in plan.source


def test_imports_that_nothing_uses_stay_as_they_are() -> None:
    kept = "import os, sys\nimport json  # for later\nfrom math import (\n    pi,\n    tau,\n)\n"
    plan = plan_of(f"{kept}{HEAD}{LOOP}")
    assert plan.source.startswith(kept)
    assert all(line[0] != "-" for line in plan.diff.splitlines() if " import " in line)


@pytest.mark.parametrize(
    "head",
    ["", "def other():\n    from datetime import timedelta\n    return timedelta\n", "timedelta = 5\n"],
    ids=["nothing", "elsewhere", "a variable"],
)
def test_every_name_in_a_decorator_is_imported_above_it(head: str) -> None:
    source = plan_of(f"{HEAD}{head}{SCORE}", Strategy.COST, HISTORY, unsafe=True).source
    taken = head.startswith("timedelta")
    assert "from prefect.cache_policies import INPUTS, TASK_SOURCE\n" in source
    assert f"cache_expiration={'timedelta_2' if taken else 'timedelta'}(hours=1)" in source
    added = f"from datetime import timedelta{' as timedelta_2' if taken else ''}\n"
    assert added in source[: source.index("@task")]


def test_a_file_that_does_not_import_what_it_uses_is_left_alone() -> None:
    source = f"from prefect import flow, task\n{LOOP}"
    plan = optimize(source, file="flow.py", strategy=Strategy.PERFORMANCE)
    assert plan.source == source
    assert "not known" in " ".join(one.reason for one in plan.rejected)
