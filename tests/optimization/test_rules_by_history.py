"""Rules that need runs, prices or rates: process pools, chunks, bounds, and advice that edits nothing."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml

from prefect_autopilot.models import (
    Advice,
    FlowHistory,
    OperationEffect,
    OptimizationPlan,
    PriceTable,
    Rewrite,
    Strategy,
)
from prefect_autopilot.optimization import RateLimits, optimize

HEAD = """import asyncio
import sqlite3
import time

import boto3
import httpx
import pandas as pd
import requests
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def heavy(part):
    return sum(number * number for number in range(part))


@task(retries=2, retry_delay_seconds=1)
def page(number):
    return requests.get(f"https://api.notion.com/v1/pages/{number}", timeout=9).json()


"""
RATES: RateLimits = {"api.notion.com": ("notion", 3.0), "notion": ("notion", 3.0)}
TASKS: dict[str, Any] = {
    "heavy": {"n": 20, "p5_s": 1.0, "p50_s": 2.0, "p95_s": 3.0, "calls_per_run": 12, "cpu_share": 0.95},
    "page": {"n": 20, "p50_s": 0.5, "p95_s": 1.0, "calls_per_run": 30, "cpu_share": 0.02},
}


def history(
    *, flow: dict[str, Any] | None = None, tasks: dict[str, Any] | None = None, **more: Any
) -> FlowHistory:
    given = {"flow": flow or {"n": 20, "p50_s": 30.0, "p95_s": 40.0}, "tasks": tasks or TASKS, **more}
    return FlowHistory.model_validate(given)


def plan_of(
    text: str,
    strategy: Strategy,
    past: FlowHistory | None = None,
    *,
    unsafe: bool = True,
    prices: PriceTable | None = None,
) -> OptimizationPlan:
    def planned(source: str) -> OptimizationPlan:
        return optimize(
            source, file="f.py", strategy=strategy, history=past, unsafe=unsafe, prices=prices, rates=RATES
        )

    plan = planned(HEAD + text)
    ast.parse(plan.source)
    again = planned(plan.source)
    assert (again.source, again.edits) == (plan.source, ())
    return plan


def made(plan: OptimizationPlan, rule: str) -> Rewrite | None:
    return next((one for one in plan.edits if one.rule == rule), None)


def advised(plan: OptimizationPlan, rule: str) -> Advice | None:
    return next((one for one in plan.advice if one.rule == rule), None)


def reasons(plan: OptimizationPlan, rule: str) -> str:
    return " | ".join(one.reason for one in plan.rejected if one.rule == rule)


MAPPED = "@flow{options}\ndef main(parts):\n    return heavy.map(parts).result()\n"


@pytest.mark.parametrize(
    ("options", "runner"),
    [
        ("", "@flow(task_runner=ProcessPoolTaskRunner(max_workers=4))"),
        ("(task_runner=ThreadPoolTaskRunner)", "@flow(task_runner=ProcessPoolTaskRunner(max_workers=4))"),
        ("(task_runner=ThreadPoolTaskRunner())", "@flow(task_runner=ProcessPoolTaskRunner(max_workers=4))"),
        (
            "(task_runner=ThreadPoolTaskRunner(max_workers=7))",
            "@flow(task_runner=ProcessPoolTaskRunner(max_workers=7))",
        ),
    ],
    ids=["none", "class", "unbounded", "bounded"],
)
def test_tasks_that_compute_get_processes(options: str, runner: str) -> None:
    plan = plan_of(MAPPED.format(options=options), Strategy.PERFORMANCE, history())
    assert runner in plan.source
    assert "from prefect.task_runners import ProcessPoolTaskRunner" in plan.source
    edit = made(plan, "process_pool")
    assert edit is not None
    assert (edit.risk, edit.saving_n, edit.expected_saving_s) == ("opt_in", 20, 17.1)
    assert edit.saving_range_s == (8.55, 25.65)
    assert any("__main__" in one for one in edit.preconditions)


def test_processes_need_consent() -> None:
    plan = plan_of(MAPPED.format(options=""), Strategy.PERFORMANCE, history(), unsafe=False)
    assert not plan.changed
    assert "consent" in reasons(plan, "process_pool")


@pytest.mark.parametrize(
    ("text", "tasks", "told"),
    [
        (
            MAPPED.format(options=""),
            {"heavy": TASKS["heavy"] | {"p50_s": 0.3, "p95_s": 0.4}},
            "less than starting",
        ),
        (MAPPED.format(options="(task_runner=OTHER)"), TASKS, "not known to be bounded threads"),
        (
            "@flow\ndef main(parts):\n    page.map(parts).result()\n    return heavy.map(parts).result()\n",
            TASKS,
            "page does more than compute",
        ),
        (
            (
                "@flow\ndef main(parts):\n    @task\n    def inner(part):\n        return part\n"
                "    inner.map(parts).result()\n    return heavy.map(parts).result()\n"
            ),
            TASKS,
            "",
        ),
        (MAPPED.format(options=""), {"heavy": TASKS["heavy"] | {"cpu_share": 0.3}}, ""),
        (MAPPED.format(options=""), {"heavy": TASKS["heavy"] | {"cpu_share": None}}, "computes is not known"),
    ],
    ids=["too small", "another runner", "reads as well", "nested task", "waits", "share unknown"],
)
def test_what_processes_would_not_help_or_could_break_stays(
    text: str, tasks: dict[str, Any], told: str
) -> None:
    plan = plan_of(text, Strategy.PERFORMANCE, history(tasks=tasks))
    if told:
        assert made(plan, "process_pool") is None
        assert told in reasons(plan, "process_pool")
    elif "inner" not in text:
        assert made(plan, "process_pool") is None


def test_computing_one_after_the_other_is_advice() -> None:
    text = (
        "@flow\ndef m(x):\n    all = []\n    for one in x:\n        all.append(heavy(one))\n    return all\n"
    )
    found = advised(plan_of(text, Strategy.PERFORMANCE, history()), "process_pool")
    assert found is not None
    assert "heavy.map(items)" in found.how
    assert found.expected_saving_s == 17.1


SMALL = {"heavy": {"n": 9, "p50_s": 0.01, "p95_s": 0.02, "calls_per_run": 101}}


@pytest.mark.parametrize(
    ("call", "given", "body"),
    [
        ("[heavy(part) for part in parts]", "heavy_each(list(parts))", "[heavy.fn(part) for part in items]"),
        (
            "[heavy(part) for part in parts if part]",
            "heavy_each([part for part in parts if part])",
            "[heavy.fn(part) for part in items]",
        ),
        (
            "[heavy(part=one) for one in parts]",
            "heavy_each(list(parts))",
            "[heavy.fn(part=one) for one in items]",
        ),
    ],
    ids=["plain", "with a condition", "by name"],
)
def test_many_small_calls_become_one_task_run(call: str, given: str, body: str) -> None:
    text = f"@flow\ndef main(parts):\n    return {call}\n"
    plan = plan_of(text, Strategy.COST, history(tasks=SMALL))
    assert f"return {given}" in plan.source
    assert "@task\ndef heavy_each(items):\n" in plan.source
    assert f"    return {body}\n" in plan.source
    edit = made(plan, "chunk_items")
    assert edit is not None
    assert (edit.expected_saving_s, edit.saving_n, edit.risk) == (1.0, 9, "opt_in")


def test_a_chunked_flow_gives_the_same_values() -> None:
    text = "@flow\ndef main(parts):\n    return [heavy(part) for part in parts if part]\n"
    plan = plan_of(text, Strategy.COST, history(tasks=SMALL))
    names: dict[str, Any] = {}
    plain = plan.source.replace("@flow\n", "").replace("@task\ndef heavy(", "@fn\ndef heavy(")
    for line in ("import boto3\n", "import httpx\n", "import pandas as pd\n", "import requests\n"):
        plain = plain.replace(line, "")
    plain = plain.replace("@task(retries=2, retry_delay_seconds=1)\n", "").replace("@task\n", "")
    head = "def fn(f):\n    f.fn = f\n    return f\n"
    kept = [line for line in plain.splitlines() if not line.startswith(("from prefect", "import "))]
    exec(head + "\n".join(kept), names)  # the rewritten source, with plain functions for tasks
    assert names["main"]([0, 3, 1, 4]) == [5, 0, 14]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("return [heavy(part + 1) for part in parts]", "computed for each item"),
        ("return [heavy(1) for part in parts]", "not exactly one argument"),
        ("return [heavy(part) for row in parts for part in row]", "several loops"),
        ("return [heavy(one) for one, other in parts]", "taken apart"),
        ("return [heavy(*parts) for part in parts]", "computed for each item"),
        ("return [page(part) for part in parts]", "page has the option"),
        ("return [heavy(\n        part  # one\n    ) for part in parts]", "a comment"),
    ],
    ids=["computed", "constant", "nested", "unpacked", "starred", "options", "comment"],
)
def test_calls_that_are_not_alike_stay_apart(text: str, told: str) -> None:
    plan = plan_of(f"@flow\ndef main(parts):\n    {text}\n", Strategy.COST, history(tasks=SMALL))
    assert made(plan, "chunk_items") is None
    assert told in reasons(plan, "chunk_items")


def test_large_calls_stay_apart() -> None:
    plan = plan_of("@flow\ndef main(x):\n    return [heavy(one) for one in x]\n", Strategy.COST, history())
    assert "not small" in reasons(plan, "chunk_items")


def test_a_fan_out_without_a_bound_gets_one_with_consent() -> None:
    text = "@flow\ndef main(numbers):\n    return page.map(numbers).result()\n"
    plan = plan_of(text, Strategy.RELIABILITY)
    assert "task_runner=ThreadPoolTaskRunner(max_workers=32)" in plan.source
    once = "@flow\ndef main(numbers):\n    return page.submit(numbers).result()\n"
    assert made(plan_of(once, Strategy.RELIABILITY), "bound_fan_out") is None
    own = text.replace("@flow", "@flow(task_runner=ThreadPoolTaskRunner(max_workers=3))")
    assert made(plan_of(own, Strategy.RELIABILITY), "bound_fan_out") is None


@pytest.mark.parametrize(
    ("started", "limited"),
    [
        ("page.map(numbers).result()", True),
        ("[one.result() for one in [page.submit(number) for number in numbers]]", True),
        ("page.submit(numbers).result()", False),
        ("[page(number) for number in numbers]", False),
    ],
    ids=["mapped", "submitted in a loop", "submitted once", "one after the other"],
)
def test_a_known_rate_is_kept_where_calls_are_started_together(started: str, *, limited: bool) -> None:
    plan = plan_of(f"@flow\ndef main(numbers):\n    return {started}\n", Strategy.RELIABILITY)
    edit = made(plan, "limit_rate")
    assert (edit is not None) is limited
    assert ('    rate_limit("notion")\n    return requests.get(' in plan.source) is limited
    if edit is not None:
        assert "prefect gcl create notion --limit 3 --slot-decay-per-second 3" in edit.preconditions[0]
        assert "from prefect.concurrency.sync import rate_limit" in plan.source


def test_an_async_task_awaits_its_turn_behind_its_docstring() -> None:
    text = (
        '@task\nasync def read(number):\n    """Read one."""\n    async with httpx.AsyncClient() as client:\n'
        '        return (await client.get(f"https://api.notion.com/v1/{number}")).json()\n\n\n'
        "@flow\nasync def main(numbers):\n    return [await one for one in read.map(numbers)]\n"
    )
    plan = plan_of(text, Strategy.RELIABILITY)
    assert '    """Read one."""\n    await rate_limit("notion")\n' in plan.source
    assert "from prefect.concurrency.asyncio import rate_limit" in plan.source


def test_a_service_without_a_known_rate_is_not_limited() -> None:
    text = "@flow\ndef main(numbers):\n    return page.map(numbers).result()\n"
    plan = optimize(HEAD + text, file="f.py", strategy=Strategy.RELIABILITY, unsafe=True)
    assert made(plan, "limit_rate") is None


BATCHES = {
    "sql": (
        'c = sqlite3.connect("x")\n    for row in rows:\n        c.execute("insert into t values (1)")',
        "executemany",
    ),
    "sqs": (
        'q = boto3.client("sqs")\n    for row in rows:\n        q.send_message(QueueUrl="u", MessageBody="")',
        "send_message_batch once, up to 10",
    ),
    "frames": (
        "frame = pd.DataFrame()\n    for row in rows:\n        frame = pd.concat([frame, row])",
        "behind the loop",
    ),
    "select": (
        'c = sqlite3.connect("x")\n    for row in rows:\n        c.execute("select 1 where ?", row)',
        "",
    ),
    "outside": ('q = boto3.client("sqs")\n    q.send_message(QueueUrl="u", MessageBody=rows)', ""),
    "items": ("for row in pd.concat(rows):\n        print(row)", ""),
}


@pytest.mark.parametrize(("body", "told"), BATCHES.values(), ids=BATCHES)
def test_a_call_for_each_item_is_advised_to_become_one(body: str, told: str) -> None:
    text = f"@task\ndef load(rows):\n    {body}\n\n\n@flow\ndef main(rows):\n    load(rows)\n"
    plan = plan_of(text, Strategy.COST)
    found = advised(plan, "batch_calls")
    assert (found is not None) is bool(told)
    assert not plan.changed
    if found is not None:
        assert told in found.how
        assert found.preconditions
        assert found.undo


POLLING = {
    "while": ("while page.fn(1) != 2:\n        time.sleep(30)", 1),
    "until found": (
        (
            "for _ in range(99):\n        if requests.get('https://a.test').json():\n            break\n"
            "        time.sleep(5)"
        ),
        1,
    ),
    "paced items": (
        "for one in [1, 2]:\n        requests.get(f'https://a.test/{one}', timeout=3)\n        time.sleep(1)",
        0,
    ),
    "long pause": ("time.sleep(600)", 1),
    "short pause": ("time.sleep(2)", 0),
    "writes as well": (
        (
            "while requests.get('https://a.test', timeout=3).json():\n"
            "        requests.post('https://a.test', timeout=3)\n        time.sleep(30)"
        ),
        0,
    ),
}


@pytest.mark.parametrize(("body", "count"), POLLING.values(), ids=POLLING)
def test_waiting_in_a_worker_is_told(body: str, count: int) -> None:
    plan = plan_of(f"@flow\ndef main():\n    {body}\n", Strategy.COST)
    assert sum(one.rule == "drop_polling" for one in plan.advice) == count


def test_a_flow_that_keeps_failing_gets_an_automation_that_prefect_can_read() -> None:
    text = '@flow(name="Nightly sync")\ndef main(x):\n    return page(x)\n'
    found = advised(plan_of(text, Strategy.RELIABILITY, history(failures=8)), "circuit_breaker")
    assert found is not None
    assert "8 of the last 28 runs failed" in found.reason
    read = yaml.safe_load(found.how)
    assert read["trigger"]["match_related"]["prefect.resource.name"] == "Nightly sync"
    from prefect.automations import AutomationCore

    automation = AutomationCore.model_validate(read)
    assert automation.trigger.threshold == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("failures", [0, 2, 4], ids=["none", "two", "a sixth"])
def test_a_flow_that_seldom_fails_needs_no_breaker(failures: int) -> None:
    plan = plan_of(
        "@flow\ndef main(x):\n    return page(x)\n", Strategy.RELIABILITY, history(failures=failures)
    )
    assert advised(plan, "circuit_breaker") is None


def test_a_read_that_fails_although_it_is_retried_gets_a_fallback_to_think_about() -> None:
    text = "@flow\ndef main(x):\n    return page(x)\n"
    tasks = {"page": TASKS["page"] | {"calls_per_run": 1, "failures": 3, "retries": 9}}
    plan = plan_of(text, Strategy.RELIABILITY, history(tasks=tasks))
    found = advised(plan, "fallback")
    assert found is not None
    assert "3 times in 20 calls" in found.reason
    ast.parse(found.how.replace("…", "x"))
    for few in ({"failures": 1, "retries": 9}, {"failures": 3, "retries": 0}):
        seldom = {"page": TASKS["page"] | {"calls_per_run": 1} | few}
        assert advised(plan_of(text, Strategy.RELIABILITY, history(tasks=seldom)), "fallback") is None


def prices(**more: Any) -> PriceTable:
    table: dict[str, Any] = {
        "currency": "EUR",
        "as_of": "2026-03-01",
        "worker": "large",
        "machines": [
            {"name": "large", "cpus": 8, "memory_gb": 16, "price": 0.4},
            {"name": "small", "cpus": 2, "memory_gb": 4, "price": 0.1},
        ],
        "services": [
            {"service": "notion", "job": "notes", "price": 20, "connected": True},
            {"service": "cheap", "job": "notes", "price": 2, "connected": True},
            {"service": "cheapest", "job": "notes", "price": 1},
            {"service": "other", "job": "mail", "price": 0, "connected": True},
        ],
    }
    return PriceTable.model_validate(table | more)


READS = "@flow\ndef main(x):\n    return page(x)\n"


def test_a_cheaper_connected_service_for_the_same_job_is_told_in_money() -> None:
    past = history(runs_per_day=10)
    found = advised(plan_of(READS, Strategy.COST, past, prices=prices()), "cheaper_service")
    assert found is not None
    assert "cheap does notes for 2 instead of 20 EUR" in found.reason
    assert (found.saving_per_month, found.currency) == (162.0, "EUR")
    unknown = advised(plan_of(READS, Strategy.COST, None, prices=prices()), "cheaper_service")
    assert unknown is not None
    assert unknown.saving_per_month is None


def test_a_service_that_a_flow_calls_by_itself_is_compared_too() -> None:
    text = (
        "from prefect import flow\nfrom prefect_autopilot.tasks import call_service\n\n@flow\ndef main(x):\n"
        "    return call_service('notion-default', 'search', query=x)\n"
    )
    known = {("notion", "search"): OperationEffect.SAFE}
    past = history(runs_per_day=10)
    plan = optimize(
        text, file="f.py", strategy=Strategy.COST, history=past, prices=prices(), operations=known
    )
    told = {one.how: one.saving_per_month for one in plan.advice if one.rule == "cheaper_service"}
    assert told["call cheap in main instead of notion"] is None, "nobody counted its calls"


def test_without_prices_nothing_is_said_about_money() -> None:
    plan = plan_of(READS, Strategy.COST, history(runs_per_day=10))
    assert all(one.saving_per_month is None for one in plan.advice)
    assert advised(plan, "cheaper_service") is None
    assert advised(plan, "right_size") is None


def test_a_machine_larger_than_the_work_is_told() -> None:
    idle = {"page": TASKS["page"] | {"cpu_share": 0.1}}
    past = history(tasks=idle, runs_per_day=24, flow={"n": 20, "p50_s": 3600.0})
    plan = plan_of(READS, Strategy.COST, past, prices=prices(peak_memory_gb=2.0))
    found = advised(plan, "right_size")
    assert found is not None
    assert "small would do for 0.1 instead of 0.4 EUR an hour" in found.reason
    assert found.saving_per_month == pytest.approx(24 * 30 * 0.3)


@pytest.mark.parametrize(
    ("change", "past"),
    [
        ({"peak_memory_gb": 3.9}, history(tasks={"page": TASKS["page"]})),
        ({}, history(tasks={"page": TASKS["page"]})),
        ({"peak_memory_gb": 1.0}, history(tasks={"page": TASKS["page"] | {"cpu_share": None}})),
        ({"peak_memory_gb": 1.0}, history(tasks={"page": TASKS["page"]}, flow={"n": 4, "p50_s": 9.0})),
        ({"peak_memory_gb": 1.0, "worker": "unknown"}, history(tasks={"page": TASKS["page"]})),
        ({"peak_memory_gb": 1.0, "worker": "small"}, history(tasks={"page": TASKS["page"]})),
    ],
    ids=[
        "memory in use",
        "memory unknown",
        "share unknown",
        "few runs",
        "another worker",
        "the cheapest already",
    ],
)
def test_no_smaller_machine_without_measured_need(change: dict[str, Any], past: FlowHistory) -> None:
    plan = plan_of(READS, Strategy.COST, past, prices=prices(**change))
    assert advised(plan, "right_size") is None


def test_work_of_hours_is_advised_to_go_to_several_machines() -> None:
    tasks = {"heavy": TASKS["heavy"] | {"p50_s": 600.0, "p95_s": 700.0, "calls_per_run": 40}}
    found = advised(
        plan_of(MAPPED.format(options=""), Strategy.PERFORMANCE, history(tasks=tasks)), "spread_out"
    )
    assert found is not None
    assert "6.3 hours" in found.reason
    assert "DaskTaskRunner" in found.how
    assert advised(plan_of(MAPPED.format(options=""), Strategy.PERFORMANCE, history()), "spread_out") is None


def test_settings_leave_rules_out_and_bound_fan_outs() -> None:
    from prefect_autopilot.models import OptimizerSettings

    text = HEAD + "@flow\ndef main(numbers):\n    return [page(number) for number in numbers]\n"
    wide = OptimizerSettings(max_workers=9)
    plan = optimize(text, file="f.py", strategy=Strategy.PERFORMANCE, settings=wide)
    assert "ThreadPoolTaskRunner(max_workers=9)" in plan.source
    without = OptimizerSettings(disable=frozenset({"map_comprehension"}))
    assert not optimize(text, file="f.py", strategy=Strategy.PERFORMANCE, settings=without).changed
    consent = OptimizerSettings(unsafe=True)
    fan_out = HEAD + "@flow\ndef main(numbers):\n    return page.map(numbers).result()\n"
    assert optimize(fan_out, file="f.py", strategy=Strategy.RELIABILITY, settings=consent).changed


def test_a_saving_tells_its_interval_and_runs() -> None:
    tasks = {"page": {"n": 7, "p5_s": 1.0, "p50_s": 2.0, "p95_s": 4.0, "calls_per_run": 2}}
    text = "@flow\ndef main(x):\n    first = page(1)\n    second = page(2)\n    return first, second\n"
    past = FlowHistory.model_validate({"flow": {"n": 7, "p50_s": 4.0}, "tasks": tasks})
    edit = made(plan_of(text, Strategy.PERFORMANCE, past), "submit_calls")
    assert edit is not None
    assert (edit.expected_saving_s, edit.saving_range_s, edit.saving_n) == (1.99, (0.99, 3.99), 7)
    assert edit.preconditions == ("what is read takes several calls at a time from one client",)
    unknown = made(plan_of(text, Strategy.PERFORMANCE), "submit_calls")
    assert unknown is not None
    assert (unknown.expected_saving_s, unknown.saving_range_s, unknown.saving_n) == (None, None, 0)
