"""What is replaced and not changed in place, engines of one connection, clients that tell by their verbs."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import EffectReader, FunctionEffect, Level, function_effects
from prefect_autopilot.effects.table import lookup

IMPORTS = """
import asyncpg, boto3, kubernetes, logging, s3fs, sqlalchemy
import pandas as pd
from bs4 import BeautifulSoup
from prefect import get_client
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool, StaticPool
AUDIT_LOGGER = logging.getLogger("audit")
"""


def effect_of(body: str, before: str = "") -> FunctionEffect:
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    reader = EffectReader.of(f"{IMPORTS}\n{before}\ndef work(x, y=0):\n{inner}\n")
    return reader.effect(reader.module.functions["work"])


def changed_in(body: str) -> set[str]:
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    reader = EffectReader.of(f"def work(x, y=0):\n{inner}\n")
    function = reader.module.functions["work"]
    return {touch.mutates for part in function.node.body for touch in reader.touches(part, function)}


REPLACED = {
    "a number": "n = 0\nn += 1",
    "a text": "t = ''\nt += f'{x}'",
    "a length": "n = 0\nn += len(x)",
    "a number in a branch": "n = 0\nif x:\n    n = 5\nn -= 2",
}
CHANGED = {
    "a list": "n = []\nn += [1]",
    "a parameter": "y += 1",
    "what nobody knows": "n = 0\nn += x",
    "a number or a list": "n = 0\nif x:\n    n = []\nn += 1",
    "an item of a loop": "for n in x:\n    n += 1",
    "the end of a pair": "n, m = x\nn += 1",
    "what an error handler binds": "n = 0\ntry:\n    n += 1\nexcept ValueError as n:\n    pass",
}


@pytest.mark.parametrize("body", REPLACED.values(), ids=REPLACED)
def test_adding_to_a_number_or_text_changes_no_object(body: str) -> None:
    assert changed_in(body) <= {""}


@pytest.mark.parametrize("body", CHANGED.values(), ids=CHANGED)
def test_adding_to_anything_else_may_change_an_object(body: str) -> None:
    assert changed_in(body) & {"n", "y"}


ONE_CONNECTION = {
    "in memory": 'create_engine("sqlite://")',
    "a file": 'create_engine("sqlite:///shop.db")',
    "an address by its keyword": 'create_engine(url="sqlite:///:memory:", echo=True)',
    "an address that is put together": 'create_engine(sqlalchemy.URL.create("sqlite", database="shop.db"))',
    "settings by name": 'create_engine(**{"url": "sqlite://"})',
    "another library": 'create_engine("duckdb:///shop.db")',
    "a pool of one": "create_engine(URL, poolclass=StaticPool)",
    "a connection of its own": "create_engine(URL, creator=connect)",
}
A_CONNECTION_EACH = {
    "a server": 'create_engine("postgresql://db/shop")',
    "no pool": "create_engine(URL, poolclass=NullPool)",
    "a server by its keyword": 'create_engine(url="postgresql://db/shop", pool_size=4)',
    "an address from outside": "create_engine(URL, pool_size=4)",
}
READ_SQL = 'return pd.read_sql("select a from b", ENGINE)'


@pytest.mark.parametrize("made", ONE_CONNECTION.values(), ids=ONE_CONNECTION)
def test_an_engine_of_one_connection_is_shared_by_all_who_use_it(made: str) -> None:
    assert effect_of(READ_SQL, f"ENGINE = {made}").shares == ("ENGINE",)


@pytest.mark.parametrize("made", A_CONNECTION_EACH.values(), ids=A_CONNECTION_EACH)
def test_an_engine_of_a_server_hands_each_thread_its_own(made: str) -> None:
    effect = effect_of(READ_SQL, f"ENGINE = {made}")
    assert (effect.level, effect.shares) == (Level.READ, ())


BY_VERB = {
    "describe": ("boto3.client('rds').describe_db_snapshots()", Level.READ),
    "list": ("boto3.client('iam').list_users()", Level.READ),
    "get": ("boto3.client('glue').get_tables(DatabaseName=x)", Level.READ),
    "a get that hands out once": (
        "boto3.client('stepfunctions').get_activity_task(activityArn=x)",
        Level.WRITE,
    ),
    "start": ("boto3.client('glue').start_job_run(JobName=x)", Level.UNKNOWN),
    "pages": (
        "[p for p in boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket=x)]",
        Level.READ,
    ),
    "a bucket's objects": ("list(boto3.resource('s3').Bucket(x).objects.filter(Prefix=y))", Level.READ),
    "pods": ("kubernetes.client.CoreV1Api().list_namespaced_pod(x)", Level.READ),
    "a pod made": ("kubernetes.client.CoreV1Api().create_namespaced_pod(x, y)", Level.WRITE),
    "a pod replaced": ("kubernetes.client.CoreV1Api().patch_namespaced_pod('p', x, y)", Level.WRITE),
    "files of a bucket": ("s3fs.S3FileSystem().ls(x)", Level.READ),
    "a file of a bucket": ("s3fs.S3FileSystem().rm(x)", Level.WRITE),
    "Prefect's runs": ("get_client(sync_client=True).read_flow_runs()", Level.READ),
    "a run made": ("get_client(sync_client=True).create_flow_run(x)", Level.WRITE),
    "text of a page": ("BeautifulSoup(x, 'lxml').find('a').find_all('b')", Level.PURE),
    "a model's fields": ("x.model_dump(mode='json', exclude={'a'})", Level.PURE),
    "a secret's text": ("x.password.get_secret_value()", Level.PURE),
    "a logger of the standard library, whatever its name": ("AUDIT_LOGGER.info('%s', x)", Level.PURE),
    "a logger by its name": ("logger.log(logging.INFO, x)", Level.PURE),
    "a logger and a level of its own": ("self._log.log(25, '%s', x)", Level.PURE),
    "a logger's level in a variable": ("log.log(level, x)", Level.PURE),
    "what is only called a logger": ("audit_logger.info(x)", Level.UNKNOWN),
    "a log of events": ("event_logger.log({'a': x})", Level.UNKNOWN),
    "a log of measures": ("logger.log({'loss': x})", Level.UNKNOWN),
    "a log of records": ("logger.log('deleted', x)", Level.UNKNOWN),
    "a log of whatever": ("logger.log(x)", Level.UNKNOWN),
    "what is no logger": ("catalog.info(x)", Level.UNKNOWN),
}


@pytest.mark.parametrize(("call", "level"), BY_VERB.values(), ids=BY_VERB)
def test_a_client_s_verbs_tell_what_it_does(call: str, level: Level) -> None:
    assert effect_of(f"return {call}").level is level


def test_a_name_counts_before_the_beginning_of_names() -> None:
    named, begun = lookup("boto3.client.get_object"), lookup("boto3.client.get_bucket_acl")
    assert named is not None
    assert begun is not None
    assert (named.returns, begun.returns) == ("aws.Object", "plain")
    assert lookup("boto3.client.put_bucket_acl") is None


@pytest.mark.parametrize(
    ("made", "call", "level"),
    [
        pytest.param("logger = AuditLogger()", "logger.info(x)", Level.UNKNOWN, id="a class of that name"),
        pytest.param("log: Any = audit.Trail('a')", "log.warning(x)", Level.UNKNOWN, id="any other class"),
        pytest.param("logger = logging.LoggerAdapter(base)", "logger.info(x)", Level.PURE, id="an adapter"),
        pytest.param("logger = our_logging.get('etl')", "logger.info(x)", Level.PURE, id="a function's"),
        pytest.param("journal = AuditLogger()", "logger.info(x)", Level.PURE, id="another name's"),
    ],
)
def test_what_is_named_as_a_logger_and_made_of_another_class_is_none(
    made: str, call: str, level: Level
) -> None:
    source = f"import logging\nfrom audit import AuditLogger\n{made}\ndef f(x):\n    {call}\n    return x\n"
    assert function_effects(source)["f"].level is level


def test_a_logger_that_an_object_makes_of_another_class_is_none() -> None:
    source = (
        "class Load:\n    def __init__(self):\n        self.logger = AuditLogger()\n"
        "    def go(self, x):\n        self.logger.info(x)\n        return x\n"
    )
    assert function_effects(source)["Load.go"].level is Level.UNKNOWN
