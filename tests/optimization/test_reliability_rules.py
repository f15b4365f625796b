"""Retries and timeouts: on reads over a network, never on what writes."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.models import FlowHistory, Strategy, TaskTiming
from prefect_autopilot.optimization import optimize

HEAD = """
import requests, psycopg2, sqlite3, uuid, time, mystery
from pathlib import Path
import prefect
from prefect import flow, task
from prefect import task as step
"""
BODIES = {
    "read": "return requests.get(k, timeout=3).json()",
    "select": "c = psycopg2.connect('db').cursor()\nc.execute('SELECT 1')\nreturn c.fetchall()",
    "clock": "return requests.get(k, timeout=3).json(), time.time()",
    "post": "return requests.post(k, timeout=3)",
    "insert": "psycopg2.connect('db').cursor().execute('INSERT INTO t VALUES (1)')",
    "put": "return requests.put(k, timeout=3)",
    "pure": "return k + 1",
    "file": "return Path(k).read_text()",
    "unknown": "return mystery.load(k)",
    "read and post": "r = requests.get(k, timeout=3)\nrequests.post(k, json=r.json(), timeout=3)",
    "consumes": "next(k)\nreturn requests.get('u', timeout=3)",
}


def rewritten(
    decorator: str, body: str, strategy: Strategy = Strategy.RELIABILITY
) -> tuple[str, str, list[str]]:
    """Return (decorators before the task, its body, reasons of what was left alone) after the rewrite."""
    task = f"{decorator}\ndef t(k):\n{textwrap.indent(body, '    ')}\n"
    source = f"{HEAD}\n{task}\n@flow\ndef main():\n    return t('u')\n"
    plan = optimize(source, file="f.py", strategy=strategy)
    again = optimize(plan.source, file="f.py", strategy=strategy)
    assert again.source == plan.source
    start = plan.source.index("mystery\n") + len("mystery\n")
    text = plan.source[plan.source.index(decorator[:4], start + 60) :]
    return text[: text.index("\ndef t")], text, [one.reason for one in plan.rejected]


ADDED = "retries=3, retry_delay_seconds=[2, 4, 8], retry_jitter_factor=0.5"


@pytest.mark.parametrize("kind", ["read", "select", "clock"])
@pytest.mark.parametrize("strategy", [Strategy.RELIABILITY, Strategy.HYBRID])
def test_reads_get_retries_with_growing_jittered_delays(kind: str, strategy: Strategy) -> None:
    assert rewritten("@task", BODIES[kind], strategy)[0] == f"@task({ADDED})"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("try:\n    return requests.get(k, timeout=3)\nexcept Exception:\n    return None", "catches"),
        ("try:\n    return requests.get(k, timeout=3)\nexcept (OSError, Exception):\n    pass", "catches"),
        ("try:\n    return requests.get(k, timeout=3)\nexcept:\n    print(k)", "catches"),
        ("return asked(k)", "the task asked"),
        ("return asked.submit(k).result()", "the task asked"),
    ],
    ids=["caught", "caught among others", "caught bare", "by another task", "by another task, started"],
)
def test_what_never_comes_to_its_retries_gets_none(body: str, told: str) -> None:
    plan = optimize(nested(body), file="f.py", strategy=Strategy.RELIABILITY)
    assert [edit.line for edit in plan.edits] == [7], "the task that asks, not the one around it"
    assert any(told in one.reason for one in plan.rejected)


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    return requests.get(k, timeout=3)\nexcept Exception:\n    raise",
        "try:\n    return requests.get(k, timeout=3)\nexcept ValueError:\n    return None",
        "try:\n    pass\nexcept Exception:\n    return requests.get(k, timeout=3)",
        "requests.get(k, timeout=3)\nreturn asked(k)",
    ],
    ids=["raised again", "one kind caught", "in the handler", "one read of its own"],
)
def test_what_may_come_to_its_retries_gets_them(body: str) -> None:
    plan = optimize(nested(body), file="f.py", strategy=Strategy.RELIABILITY)
    assert len([edit for edit in plan.edits if edit.rule == "retry_reads"]) == 2


def nested(body: str) -> str:
    """Return a flow of a task that asks, and one with this body."""
    inner = "@task\ndef asked(k):\n    return requests.get(k, timeout=3).json()\n"
    outer = f"@task\ndef t(k):\n{textwrap.indent(body, '    ')}\n"
    return f"{HEAD.strip()}\n\n{inner}\n{outer}\n@flow\ndef main():\n    return t('u')\n"


@pytest.mark.parametrize(
    ("given", "delays"), [("1", "[2]"), ("2", "[2, 4]"), ("5", "[2, 4, 8]"), ("N", "[2, 4, 8]")]
)
def test_there_are_as_many_delays_as_retries(given: str, delays: str) -> None:
    told = rewritten(f"@task(retries={given})", BODIES["read"])[0]
    assert told == f"@task(retries={given}, retry_delay_seconds={delays}, retry_jitter_factor=0.5)"


@pytest.mark.parametrize(
    "kind", ["post", "insert", "put", "pure", "file", "unknown", "read and post", "consumes"]
)
def test_nothing_else_gets_retries(kind: str) -> None:
    assert rewritten("@task", BODIES[kind])[0] == "@task"


@pytest.mark.parametrize("strategy", [Strategy.PERFORMANCE, Strategy.COST])
def test_other_strategies_add_no_retries(strategy: Strategy) -> None:
    assert rewritten("@task", BODIES["read"], strategy)[0] == "@task"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@task()", f"@task({ADDED})"),
        ("@step", f"@step({ADDED})"),
        ("@prefect.task", f"@prefect.task({ADDED})"),
        ("@task(name='a')", f"@task(name='a', {ADDED})"),
        ("@task(name='a', )", f"@task(name='a', {ADDED}, )"),
        ("@task(\n    name='a',  # why\n)", f"@task(\n    name='a',  # why\n    {ADDED},\n)"),
        ("@task(name=('a'))", f"@task(name=('a'), {ADDED})"),
        ("@task(retries=2)", "@task(retries=2, retry_delay_seconds=[2, 4], retry_jitter_factor=0.5)"),
        ("@task(retry_delay_seconds=5)", "@task(retry_delay_seconds=5, retries=3)"),
    ],
)
def test_the_decorator_keeps_its_form(before: str, after: str) -> None:
    found = rewritten(before, BODIES["read"])[0]
    assert found.replace(" ", "") == after.replace(" ", "")


@pytest.mark.parametrize(
    "decorator",
    [
        "@task(retries=0)",
        "@task(retries=2, retry_delay_seconds=1)",
        "@task(retry_condition_fn=print)",
        "@task(**{})",
        "@task  # autopilot: keep",
    ],
)
def test_the_owners_decision_stays(decorator: str) -> None:
    assert rewritten(decorator, BODIES["read"])[0] == decorator


def test_retries_on_a_write_that_adds_up_are_warned_of() -> None:
    decorator, _, reasons = rewritten("@task(retries=2)", BODIES["post"])
    assert decorator == "@task(retries=2)"
    assert any("may do it twice" in reason for reason in reasons)


def test_retries_on_a_write_that_may_be_repeated_are_not_warned_of() -> None:
    assert not any("twice" in reason for reason in rewritten("@task(retries=2)", BODIES["put"])[2])


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("requests.get(k)", "requests.get(k, timeout=60)"),
        ("requests.get(k, params={'a': (1, 2)})", "requests.get(k, params={'a': (1, 2)}, timeout=60)"),
        ("requests.get(\n    k,\n)", "requests.get(\n        k,\n        timeout=60,\n    )"),
    ],
)
def test_a_read_without_timeout_gets_one(call: str, after: str) -> None:
    assert after in rewritten("@task(retries=1, retry_delay_seconds=1)", f"return {call}.json()")[1]


@pytest.mark.parametrize(
    "call", ["requests.get(k, timeout=1)", "requests.get(k, **OPTIONS)", "requests.post(k)"]
)
def test_other_requests_get_no_timeout(call: str) -> None:
    assert "timeout=60" not in rewritten("@task", f"return {call}.json()")[1]


def test_a_slow_task_gets_a_timeout_above_its_durations() -> None:
    source = (
        f"{HEAD}\n@task\ndef t(k):\n    return requests.get(k)\n\n@flow\ndef main():\n    return t('u')\n"
    )
    history = FlowHistory(tasks={"t": TaskTiming(n=9, p50_s=10, p95_s=50)})
    plan = optimize(source, file="f.py", strategy=Strategy.RELIABILITY, history=history)
    assert "timeout=150" in plan.source


SHARED = {
    "requests session": (
        "import requests\nC = requests.Session()",
        "C.get('https://a.test/x', timeout=3)",
        True,
    ),
    "httpx client": ("import httpx\nC = httpx.Client()", "C.get('https://a.test/x')", True),
    "s3 client": ("import boto3\nC = boto3.client('s3')", "C.get_object(Bucket='b', Key=key)", True),
    "database connection": (
        "import psycopg2\nC = psycopg2.connect('x')",
        "C.cursor().execute('SELECT 1')",
        False,
    ),
}


@pytest.mark.parametrize(("made", "used", "retried"), SHARED.values(), ids=SHARED)
def test_a_shared_client_recovers_and_a_shared_connection_may_not(
    made: str, used: str, *, retried: bool
) -> None:
    source = (
        f"{made}\nfrom prefect import flow, task\n\n"
        f"@task\ndef f(key):\n    return {used}\n\n@flow\ndef g():\n    return f('k')\n"
    )
    plan = optimize(source, file="flow.py", strategy=Strategy.RELIABILITY)
    assert ("retries=3" in plan.source) is retried
