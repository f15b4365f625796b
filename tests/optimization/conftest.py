"""A small file of tasks that tests put a flow under, and the two verbs they speak in."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable

import pytest

from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

TASKS = '''
import asyncio
import os
import time
from pathlib import Path

import boto3
import httpx
import mystery
import requests
from prefect import flow, get_run_logger, task
from prefect.cache_policies import INPUTS, NO_CACHE
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.task_runners import ThreadPoolTaskRunner

SESSION = requests.Session()
STATE = {}


@task(retries=1, retry_delay_seconds=1)
def read(key, size=1):
    return requests.get(f"https://a.test/{key}", params={"size": size}, timeout=3).json()


@task(retries=1, retry_delay_seconds=1)
def other(key):
    return httpx.get(f"https://b.test/{key}").json()


@task(retries=1, retry_delay_seconds=1)
async def aread(key, size=1):
    async with httpx.AsyncClient() as client:
        return (await client.get(f"https://a.test/{key}")).json()


@task
def clean(rows):
    return [str(row).strip() for row in rows]


@task
def write(key, value=None):
    boto3.client("s3").put_object(Bucket="b", Key=key, Body=value)
    return key


@task
def post(key):
    return requests.post("https://a.test", json=key, timeout=3).json()


@task
def shared(key):
    return SESSION.get(f"https://a.test/{key}").json()


@task(cache_policy=INPUTS)
def cached(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@task(cache_policy=NO_CACHE)
def uncached(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@task
def stamped(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json(), time.time()


@task
def paced(key):
    time.sleep(1)
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@task
def limited(key):
    """Read one thing; the service answers 429 to more than two at a time."""
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@task
def strange(key):
    return mystery.load(key)


@task
def changing(rows):
    rows.append(requests.get("https://a.test", timeout=3).json())
    return rows


@task
def stream(key):
    yield requests.get(f"https://a.test/{key}", timeout=3).json()


@task  # autopilot: keep
def kept(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


'''


def file_of(body: str, signature: str = "@flow\ndef main(day='d', days=(), n=3):") -> str:
    """Return the tasks with one flow of this body."""
    return f"{TASKS}{signature}\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"


def flow_of(source: str) -> str:
    """Return the flow's body in a source, without the signature and one level of indentation."""
    text = source[source.index("def main(") :]
    return textwrap.dedent(text[text.index("\n") + 1 :]).strip()


def plan_of(
    source: str, strategy: Strategy = Strategy.PERFORMANCE, history: FlowHistory | None = None
) -> OptimizationPlan:
    """Return a plan, having checked what must hold for every plan."""
    plan = optimize(source, file="flow.py", strategy=strategy, history=history)
    ast.parse(plan.source)
    assert plan.changed == (plan.source != source) == bool(plan.edits) == bool(plan.diff)
    again = optimize(plan.source, file="flow.py", strategy=strategy, history=history)
    assert again.source == plan.source, again.diff
    return plan


Rewrites = Callable[..., OptimizationPlan]


@pytest.fixture(scope="session")
def rewrites() -> Rewrites:
    """Assert that a flow body becomes another one; returns the plan."""

    def check(
        before: str, after: str, signature: str = "@flow\ndef main(day='d', days=(), n=3):"
    ) -> OptimizationPlan:
        plan = plan_of(file_of(before, signature))
        assert flow_of(plan.source) == textwrap.dedent(after).strip()
        return plan

    return check


@pytest.fixture(scope="session")
def keeps() -> Rewrites:
    """Assert that a flow body is left alone for a reason that holds these words; returns the plan."""

    def check(
        body: str, why: str = "", signature: str = "@flow\ndef main(day='d', days=(), n=3):"
    ) -> OptimizationPlan:
        source = file_of(body, signature)
        plan = plan_of(source)
        assert plan.source == source, plan.diff
        assert why in "\n".join(one.reason for one in plan.rejected)
        return plan

    return check
