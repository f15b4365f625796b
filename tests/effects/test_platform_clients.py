"""What clients that Prefect's integrations and platforms hand out do to the world."""

from __future__ import annotations

import pytest

from prefect_autopilot.effects import Level, function_effects
from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization import optimize

IMPORTS = """
import anyio, dlt, docker, paramiko, turbopuffer
from dbt.cli.main import dbtRunner
from prefect_aws import AwsCredentials
from prefect_dbt import PrefectDbtRunner
from prefect_gcp import GcpCredentials
"""

CALLS = {
    "a client of loaded credentials": (
        "AwsCredentials.load('a').get_boto3_session().client('s3').list_objects_v2(Bucket=x)",
        Level.READ,
    ),
    "an object put with them": (
        "AwsCredentials.load('a').get_s3_client().put_object(Bucket=x, Key='k', Body=b'')",
        Level.WRITE,
    ),
    "a secret of Google": (
        "GcpCredentials.load('g').get_secret_manager_client().list_secrets(parent=x)",
        Level.READ,
    ),
    "containers listed": ("docker.from_env().containers.list()", Level.READ),
    "a container run": ("docker.from_env().containers.run(x)", Level.WRITE),
    "an image pulled": ("docker.DockerClient().images.pull(x)", Level.WRITE),
    "whatever else of a container": ("docker.from_env().containers.whatever(x)", Level.UNKNOWN),
    "a key of text": ("paramiko.RSAKey.from_private_key(x)", Level.PURE),
    "a key of a file": ("paramiko.RSAKey.from_private_key_file(x)", Level.READ),
    "a pipeline run": ("dlt.pipeline('p').run(x)", Level.WRITE),
    "dbt run": ("dbtRunner().invoke(['run'])", Level.WRITE),
    "dbt run by the integration": ("PrefectDbtRunner().invoke(['build'])", Level.WRITE),
    "vectors asked": ("turbopuffer.Turbopuffer().namespace('n').query(rank_by=x)", Level.READ),
    "vectors written": ("turbopuffer.Turbopuffer().namespace('n').write(upsert_rows=x)", Level.WRITE),
    "a function in a thread": ("anyio.to_thread.run_sync(len, x)", Level.PURE),
    "an unknown function in a thread": ("anyio.to_thread.run_sync(x)", Level.UNKNOWN),
    "a frame's rows": ("[row for row in x.dropna().sort_values('a').iterrows()]", Level.PURE),
    "a frame changed in place": ("x.fillna(0, inplace=True)", Level.UNKNOWN),
    "a frame changed by what is given": ("x.fillna(0, **more)", Level.UNKNOWN),
    "a collection dropped": ("x.drop('a')", Level.UNKNOWN),
}


@pytest.mark.parametrize(("call", "level"), CALLS.values(), ids=list(CALLS))
def test_a_platform_s_client_does_what_its_reference_says(call: str, level: Level) -> None:
    effects = function_effects(f"{IMPORTS}\ndef f(x, more):\n    return {call}\n")
    assert effects["f"].level is level


LATE = """
import boto3, yfinance as yf
from prefect import flow, task

@task(retries=3)
def t(x):
    {}
"""


@pytest.mark.parametrize(
    ("body", "level"),
    [
        ("return yf.Ticker(x).info", Level.READ),
        ("stock = yf.Ticker(x)\n    return stock.fast_info['last_price']", Level.READ),
        ("return yf.Ticker(x).get_dividends()", Level.READ),
        ("return yf.Ticker(x).brew()", Level.UNKNOWN),
        ("return boto3.resource('s3').Object('a', x).last_modified", Level.READ),
        ("return boto3.resource('s3').Object('a', x).key", Level.PURE),
        ("return yf.Ticker(x)", Level.PURE),
    ],
)
def test_an_attribute_that_is_loaded_late_is_read_over_the_network(body: str, level: Level) -> None:
    effect = function_effects(LATE.format(body))["t"]
    assert effect.level is level
    assert effect.waits is (level is not Level.PURE)
    plan = optimize(LATE.format(body) + "\n@flow\ndef main(): t(1)\n", file="f.py", strategy=Strategy.COST)
    assert plan.changed is (level is Level.PURE), "its retries are of use where it reads"
