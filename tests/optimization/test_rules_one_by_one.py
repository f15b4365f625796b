"""Each rule alone: what it does to the odd forms of a decorator or call, and what it must never touch."""

from __future__ import annotations

import ast
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy, TaskTiming
from prefect_autopilot.optimization import optimize, rules
from prefect_autopilot.optimization.rules import explanation

HEAD = """
import asyncio
import random
import time
import httpx
import prefect
import requests
from prefect import flow, task
from requests import get

STATE = {}

"""
TIMES = FlowHistory(
    tasks={"work": TaskTiming(n=20, calls_per_run=10, p50_s=2.0, p95_s=30.0, repeat_share=0.5)}
)


def planned(text: str, strategy: Strategy, *, unsafe: bool = True) -> OptimizationPlan:
    """Return the plan of a file, having checked that it compiles and that a second one finds nothing."""
    plan = optimize(text, file="f.py", strategy=strategy, history=TIMES, unsafe=unsafe)
    compile(plan.source, "f.py", "exec")
    again = optimize(plan.source, file="f.py", strategy=strategy, history=TIMES, unsafe=unsafe)
    assert again.source == plan.source, again.diff
    return plan


def task_file(decorator: str, body: str, how: str = "def", flow: str = "@flow\ndef main(x=1):") -> str:
    inner = textwrap.indent(textwrap.dedent(body), "    ")
    return f"{HEAD}{decorator}\n{how} work(x):\n{inner}\n\n{flow}\n    return work(x)\n"


def made(plan: OptimizationPlan) -> set[str]:
    return {edit.rule for edit in plan.edits}


def refused(plan: OptimizationPlan, rule: str) -> str:
    return "\n".join(one.reason for one in plan.rejected if one.rule == rule)


READ = "return requests.get(x, timeout=3).json()"
PURE = "return sum(range(x))"
RETRIES = "retries=3, retry_delay_seconds=[2, 4, 8], retry_jitter_factor=0.5"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_rule_explains_itself_by_an_example_that_parses(rule: object) -> None:
    name = getattr(rule, "name", "")
    text = explanation(name)
    before, after = text.split("Before::")[1].split("After::")
    blocks = [[line for line in part.splitlines() if line.startswith("    ")] for part in (before, after)]
    sources = [textwrap.dedent("\n".join(lines)) for lines in blocks]
    for source in sources:
        ast.parse(f"async def example():\n{textwrap.indent(source, '    ')}")
    assert sources[0] != sources[1]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_rule_finds_nothing_in_a_flow_that_does_nothing(rule: object) -> None:
    for strategy in Strategy:
        plan = planned("from prefect import flow\n\n\n@flow\ndef main():\n    return 1\n", strategy)
        assert getattr(rule, "name", "") not in made(plan) | {one.rule for one in plan.rejected}


RETRIED = {
    "async": (
        "@task",
        "async with httpx.AsyncClient() as c:\n    return (await c.get(x)).json()",
        "async def",
    ),
    "imported by its name": ("@task", "return get(x, timeout=3).json()", "def"),
    "in a try": (
        "@task",
        "try:\n    return requests.get(x, timeout=3)\nexcept OSError:\n    return None",
        "def",
    ),
    "module of the decorator": ("@prefect.task(tags=['a'])", READ, "def"),
    "no retries said by None": ("@task(log_prints=True)", READ, "def"),
}


@pytest.mark.parametrize(("decorator", "body", "how"), RETRIED.values(), ids=RETRIED)
def test_a_read_in_any_form_is_retried(decorator: str, body: str, how: str) -> None:
    plan = planned(task_file(decorator, body, how), Strategy.RELIABILITY, unsafe=False)
    assert "retry_reads" in made(plan)
    assert RETRIES in plan.source


UNTRIED = {
    "writes after it reads": ("@task", f"STATE['a'] = requests.post(x, timeout=3)\n{READ}"),
    "deletes": ("@task", "return requests.delete(x, timeout=3).json()"),
    "patches": ("@task", "return requests.patch(x, timeout=3).json()"),
    "a method that is not known": ("@task", "return requests.request(x, 'u', timeout=3).json()"),
    "hands rows on one by one": ("@task", "yield requests.get('u', timeout=3).json()"),
    "takes rows out of its argument": ("@task", "requests.get('u', timeout=3)\nreturn x.pop()"),
    "runs a command": ("@task", f"import subprocess\nsubprocess.run(['a'])\n{READ}"),
    "code by text": ("@task", f"exec(x)\n{READ}"),
    "in a wrapper nobody knows": ("@mystery.wrap\n@task", READ),
    "retries by name": ("@task(retries=STATE)", "return requests.post(x, timeout=3).json()"),
    "retries said to be none": ("@task(retries=0)", READ),
    "a condition of its own": ("@task(retry_condition_fn=print)", READ),
}


@pytest.mark.parametrize(("decorator", "body"), UNTRIED.values(), ids=UNTRIED)
def test_what_may_do_harm_twice_is_never_retried(decorator: str, body: str) -> None:
    plan = planned(task_file(decorator, body), Strategy.RELIABILITY, unsafe=False)
    assert "retry_reads" not in made(plan)
    assert "retries=3" not in plan.source


PUT = "return requests.put(x, json={'n': 1}, timeout=3).json()"
REPEATED = {
    "a put": (PUT, True),
    "a delete": ("return requests.delete(x, timeout=3).ok", True),
    "a post with a key of its own": (
        "return requests.post(x, headers={'Idempotency-Key': x}, timeout=3).json()",
        True,
    ),
    "a read, then a put elsewhere": (f"requests.get('https://a.test/b', timeout=3)\n{PUT}", True),
    "a post": ("return requests.post(x, timeout=3).json()", False),
    "a post beside a put": (f"requests.post('https://a.test/b', timeout=3)\n{PUT}", False),
    "a put back of what was read": (f"requests.get(x, timeout=3)\n{PUT}", False),
    "a put at an address by chance": ("return requests.put(str(random.random()), timeout=3).ok", False),
    "a put that counts in memory": (f"STATE['n'] = 1\n{PUT}", False),
    "a put of what the argument held": (f"x.pop()\n{PUT}", False),
    "a command": (f"import subprocess\nsubprocess.run(['a'])\n{PUT}", False),
    "a file of this machine": ("open('a', 'w').write(x)", False),
    "a read": (READ, False),
}


@pytest.mark.parametrize(("body", "retried"), REPEATED.values(), ids=REPEATED)
def test_with_consent_only_writes_that_leave_the_same_are_retried(body: str, *, retried: bool) -> None:
    text = task_file("@task", body)
    plan = planned(text, Strategy.RELIABILITY)
    assert ("retry_idempotent" in made(plan)) == retried
    assert "retry_idempotent" not in made(planned(text, Strategy.RELIABILITY, unsafe=False))
    assert "retry_idempotent" not in made(planned(text, Strategy.HYBRID))


@pytest.mark.parametrize(
    "options", ["retries=2, retry_delay_seconds=9", "retries=0", "retry_condition_fn=print"]
)
def test_what_is_decided_on_retries_of_a_write_stays(options: str) -> None:
    assert "retry_idempotent" not in made(planned(task_file(f"@task({options})", PUT), Strategy.RELIABILITY))


ASKING = "answer = requests.get(x, timeout=3)\nanswer.raise_for_status()\nreturn answer.json()"


@pytest.mark.parametrize("decorator", ["@task", "@task(retries=2, retry_delay_seconds=1)"])
def test_a_retried_read_that_raises_for_every_status_is_told_of_a_condition(decorator: str) -> None:
    (told,) = (
        one
        for one in planned(task_file(decorator, ASKING), Strategy.RELIABILITY).advice
        if one.rule == "retry_condition"
    )
    assert "a 404 waits and comes again" in told.reason
    space: dict[str, Any] = {}
    exec(told.how.split("\n\n\n")[0], space)
    statuses = {404: False, 401: False, 422: False, 429: True, 408: True, 500: True, 503: True}
    for status, again in statuses.items():
        failed = SimpleNamespace(data=SimpleNamespace(response=SimpleNamespace(status_code=status)))
        plain = SimpleNamespace(data=SimpleNamespace(status=status))
        assert space["worth_retrying"](None, None, failed) is again
        assert space["worth_retrying"](None, None, plain) is again
    assert space["worth_retrying"](None, None, SimpleNamespace(data=OSError("down")))


@pytest.mark.parametrize(
    ("decorator", "body"),
    [
        ("@task(retries=2, retry_condition_fn=print)", ASKING),
        ("@task(retries=2)", READ),
        ("@task(retries=0)", ASKING),
    ],
    ids=["it has one", "nothing raises", "no retries"],
)
def test_nobody_is_told_of_a_condition_for_nothing(decorator: str, body: str) -> None:
    plan = planned(task_file(decorator, body), Strategy.RELIABILITY)
    assert "retry_condition" not in {one.rule for one in plan.advice}


TIMEOUTS = {
    "get": ("requests.get(x)", True),
    "head": ("requests.head(x)", True),
    "options": ("requests.options(x)", True),
    "imported by its name": ("get(x)", True),
    "timeout of None": ("requests.get(x, timeout=None)", False),
    "unpacked arguments": ("requests.get(*x)", False),
    "unpacked keywords": ("requests.get(x, **STATE)", False),
    "address by keyword": ("requests.get(url=x)", False),
    "post": ("requests.post(x)", False),
    "a client with a timeout of its own": ("httpx.get(x)", False),
}


@pytest.mark.parametrize(("call", "given"), TIMEOUTS.values(), ids=TIMEOUTS)
@pytest.mark.parametrize("strategy", [Strategy.RELIABILITY, Strategy.HYBRID], ids=str)
def test_a_timeout_is_given_once_and_only_to_reads(call: str, strategy: Strategy, *, given: bool) -> None:
    plan = planned(task_file("@task", f"return {call}.json()"), strategy, unsafe=False)
    assert ("request_timeouts" in made(plan)) is given
    assert plan.source.count("timeout=90") == given


@pytest.mark.parametrize("strategy", [Strategy.PERFORMANCE, Strategy.COST], ids=str)
def test_other_strategies_give_no_timeout(strategy: Strategy) -> None:
    assert "timeout" not in planned(task_file("@task", "return requests.get(x)"), strategy).source


def test_a_name_that_only_looks_like_requests_gets_no_timeout() -> None:
    body = "requests = x\nreturn requests.get(x)"
    assert "request_timeouts" not in made(planned(task_file("@task", body), Strategy.RELIABILITY))


def test_two_reads_on_one_line_each_get_their_timeout() -> None:
    plan = planned(
        task_file("@task", "return requests.get(x), requests.get(requests.head(x).url)"), Strategy.HYBRID
    )
    assert plan.source.count("timeout=90") == 3


DROPPED = {
    "brackets": ("@task(retries=(3))", "@task()"),
    "a name": ("@task(name='a', retries=STATE)", "@task(name='a')"),
    "the module's decorator": ("@prefect.task(retries=3)", "@prefect.task()"),
    "all four": (
        "@task(retries=3, retry_delay_seconds=5, retry_jitter_factor=1, retry_condition_fn=id, tags=[])",
        "@task(tags=[])",
    ),
}


@pytest.mark.parametrize(("before", "after"), DROPPED.values(), ids=DROPPED)
def test_retries_of_a_computation_go_with_all_that_belongs_to_them(before: str, after: str) -> None:
    plan = planned(task_file(before, PURE), Strategy.COST, unsafe=False)
    assert f"\n{after}\ndef work" in plan.source
    (edit,) = [one for one in plan.edits if one.rule == "drop_retries"]
    assert before[1:] in edit.undo


LEFT = {
    "reads": (READ, "more than compute"),
    "writes": ("return requests.post(x, timeout=3)", "more than compute"),
    "rolls dice": ("return random.random()", "clock or chance"),
    "looks at the clock": ("return time.time()", "clock or chance"),
    "sleeps": ("time.sleep(1)\nreturn sum(range(x))", "pauses"),
    "sorts its argument": ("x.sort()\nreturn x", "changes or consumes"),
    "takes the next item": ("return next(x)", "changes or consumes"),
    "yields": ("yield x", "changes or consumes"),
    "asks code that nobody knows": ("return mystery(x)", "more than compute"),
}


@pytest.mark.parametrize(("body", "why"), LEFT.values(), ids=LEFT)
@pytest.mark.parametrize("rule", ["drop_retries", "cache_pure"])
def test_what_may_come_out_otherwise_keeps_its_retries_and_is_not_cached(
    body: str, why: str, rule: str
) -> None:
    decorator = "@task(retries=3)" if rule == "drop_retries" else "@task"
    source = task_file(decorator, body)
    plan = planned(source, Strategy.COST)
    assert plan.source == source
    assert refused(plan, rule)
    assert why in refused(plan, rule)


TWINS = {
    "by keyword and by place": "a = work(1)\nb = work(x=1)\nreturn a, b",
    "one with options": "a = work(x)\nb = work.with_options(name='b')(x)\nreturn a, b",
    "in two branches": "if x:\n    a = work(x)\nelse:\n    a = work(x)\nreturn a",
    "an argument that is made anew": "a = work(next(x))\nb = work(next(x))\nreturn a, b",
    "in a try and after it": "try:\n    a = work(x)\nexcept ValueError:\n    a = 0\nb = work(x)\nreturn a, b",
    "in a round and the next": "for y in x:\n    a = work(x)\n    x = a\nreturn a",
    "the first value is deleted": "a = work(x)\ndel a\nb = work(x)\nreturn b",
    "the first one only started": "a = work.submit(x)\nb = work(x)\nreturn a.result(), b",
    "a loop that binds the argument": "a = work(x)\nfor x in range(3):\n    pass\nb = work(x)\nreturn a, b",
    "a with that binds the argument": "a = work(x)\nwith open('a') as x:\n    pass\nb = work(x)\nreturn a, b",
    "a handler that binds the value": (
        "a = work(x)\ntry:\n    x.y()\nexcept ValueError as a:\n    pass\nb = work(x)\nreturn b"
    ),
    "a branch that binds the argument": "a = work(x)\nif a:\n    x = 2\nb = work(x)\nreturn a, b",
    "a walrus": "a = work(x)\nif (x := a):\n    pass\nb = work(x)\nreturn a, b",
    "a task marked keep": "a = kept(x)\nb = kept(x)\nreturn a, b",
}
KEPT = "@task  # autopilot: keep\ndef kept(x):\n    return sum(x)\n\n"


@pytest.mark.parametrize("body", TWINS.values(), ids=TWINS)
def test_twin_calls_that_may_differ_are_both_made(body: str) -> None:
    text = textwrap.indent(body, "    ")
    source = f"{HEAD}@task\ndef work(x):\n    return sum(range(x))\n\n{KEPT}@flow\ndef main(x=1):\n{text}\n"
    plan = planned(source, Strategy.COST, unsafe=False)
    assert "call_once" not in made(plan), plan.diff


def test_three_twins_are_called_once() -> None:
    source = f"{HEAD}@task\ndef work(x):\n    return sum(range(x))\n\n@flow\ndef main(x=1):\n"
    plan = planned(
        f"{source}    a = work(x)\n    b = work(x)\n    c = work(x)\n    return a, b, c\n",
        Strategy.COST,
        unsafe=False,
    )
    assert plan.source.count("work(x)") == 2, "the definition and one call"
    assert [edit.rule for edit in plan.edits] == ["call_once", "call_once"]


PERSISTED = {
    "plain": ("@flow", "@flow(persist_result=True)"),
    "empty": ("@flow()", "@flow(persist_result=True)"),
    "a name": ("@flow(name='m')", "@flow(name='m', persist_result=True)"),
    "over lines": ("@flow(\n    name='m',\n)", "@flow(\n    name='m',\n    persist_result=True,\n)"),
    "module": ("@prefect.flow", "@prefect.flow(persist_result=True)"),
}
TWO = "    a = work(x)\n    return kept(a)\n"


def flow_file(decorator: str, body: str = TWO, extra: str = "") -> str:
    return f"{HEAD}@task\ndef work(x):\n    {READ}\n\n{KEPT}{extra}{decorator}\ndef main(x=1):\n{body}"


@pytest.mark.parametrize(("before", "after"), PERSISTED.values(), ids=PERSISTED)
def test_results_are_kept_in_the_layout_of_the_decorator(before: str, after: str) -> None:
    plan = planned(flow_file(before), Strategy.RELIABILITY)
    assert f"\n{after}\ndef main" in plan.source
    assert [edit.risk for edit in plan.edits if edit.rule == "persist_results"] == ["opt_in"]


STREAM = "@task\ndef stream(x):\n    yield x\n\n@task\ndef client(x):\n    return httpx.Client()\n\n"
UNKEPT = {
    "a generator": "    a = stream(x)\n    return kept(a)\n",
    "a client": "    a = client(x)\n    return kept(a)\n",
    "a read in each round": "    for y in x:\n        kept(work(y))\n",
    "a read in each item": "    return kept([work(y) for y in x])\n",
    "a read in both branches": "    if x:\n        return work(1)\n    return work(2)\n",
}


@pytest.mark.parametrize("body", UNKEPT.values(), ids=UNKEPT)
def test_results_that_cannot_be_kept_or_told_apart_are_not(body: str) -> None:
    plan = planned(flow_file("@flow", body, STREAM), Strategy.RELIABILITY)
    assert "persist_result" not in plan.source
    assert refused(plan, "persist_results")


@pytest.mark.parametrize("strategy", [Strategy.PERFORMANCE, Strategy.COST, Strategy.HYBRID], ids=str)
def test_only_reliability_keeps_results(strategy: Strategy) -> None:
    assert "persist_result" not in planned(flow_file("@flow"), strategy).source
