"""What functions of a file do: the level, whether writes repeat, what is shared, changed, left to chance."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import FunctionEffect, Level, function_effects
from prefect_autopilot.errors import InvalidFlowError

IMPORTS = """
import asyncio, csv, datetime, json, math, os, random, re, shutil, smtplib, sqlite3, subprocess, time, uuid
from pathlib import Path
import boto3, httpx, requests, aiohttp, psycopg2, pandas as pd
import requests as rq
from requests import get as fetch
from sqlalchemy import create_engine, text
from slack_sdk import WebClient
from prefect import flow, task, get_run_logger
from prefect.variables import Variable
import mystery
"""


def effect_of(body: str, signature: str = "def f(x, y=None):", before: str = "") -> FunctionEffect:
    inner = textwrap.indent(textwrap.dedent(body), "    ")
    source = f"{IMPORTS}\n{textwrap.dedent(before)}\n{signature}\n{inner}\n"
    return function_effects(source)["f"]


PURE = {
    "arithmetic": "return math.sqrt(x) + 1",
    "json": "return json.loads(json.dumps(x))",
    "regular expression": "return re.match('a', x).group(1)",
    "comprehension": "return [str(i).upper() for i in x if i]",
    "sorted by lambda": "return sorted(x, key=lambda r: r['n'])",
    "local list": "rows = []\nfor i in x:\n    rows.append(i)\nreturn rows",
    "local dict": "out = {}\nout['a'] = x\nout.update(b=1)\nreturn out",
    "dict get": "return x.get('a', 1)",
    "data frame": "df = pd.DataFrame(x)\nreturn df[df['a'] > 1].groupby('a').sum().reset_index()",
    "frame to text": "return pd.DataFrame(x).to_csv()",
    "date arithmetic": "return datetime.datetime.fromisoformat(x) + datetime.timedelta(days=1)",
    "logging": "get_run_logger().info('got %s', x)\nprint(x)",
    "logger by name": "logger.info(x)",
    "raising": "if not x:\n    raise ValueError('empty')\nreturn x",
}


@pytest.mark.parametrize("body", PURE.values(), ids=PURE)
def test_code_that_only_computes_is_pure(body: str) -> None:
    assert effect_of(body).level is Level.PURE


READS = {
    "requests": "return requests.get(x, timeout=3).json()['items']",
    "requests under another name": "return rq.get(x)",
    "function imported from requests": "return fetch(x)",
    "session of its own": "with requests.Session() as s:\n    return s.get(x).text",
    "httpx client of its own": "client = httpx.Client()\nreturn client.get(x).json()",
    "method by name": "return requests.request('GET', x)",
    "select": "cur = psycopg2.connect(x).cursor()\ncur.execute('SELECT * FROM t')\nreturn cur.fetchall()",
    "select with text()": "with create_engine(x).connect() as c:\n    c.execute(text('select 1')).all()",
    "read_sql": "return pd.read_sql('SELECT 1', x)",
    "object store": "return boto3.client('s3').get_object(Bucket='b', Key=x)['Body'].read()",
    "variable": "return Variable.get('v')",
}


@pytest.mark.parametrize("body", READS.values(), ids=READS)
def test_reads_over_a_network_wait_and_say_in_which_line(body: str) -> None:
    effect = effect_of(body.replace(".read()", ""))
    assert effect.level is Level.READ
    assert effect.waits
    assert all(line.startswith("line ") for line in effect.evidence)


LOCAL_READS = {
    "path": "return Path(x).read_text()",
    "path made with a slash": "return (Path('a') / x).read_text()",
    "open": "with open(x) as f:\n    return f.read()",
    "environment": "return os.getenv('A')",
    "exists": "return os.path.exists(x)",
    "csv": "return pd.read_csv(x)",
    "sqlite": "return sqlite3.connect(x).execute('SELECT 1').fetchall()",
}


@pytest.mark.parametrize("body", LOCAL_READS.values(), ids=LOCAL_READS)
def test_reads_on_this_machine_do_not_wait(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.READ
    assert not effect.waits


REPEATABLE = {
    "put": "requests.put(x, json=y)",
    "delete": "requests.delete(x)",
    "post with a key": "requests.post(x, json=y, headers={'Idempotency-Key': y})",
    "post with a key in a variable": "headers = {'idempotency-key': y}\nrequests.post(x, headers=headers)",
    "overwriting": "open(x, 'w').write(y)",
    "write_text": "Path(x).write_text(y)",
    "put_object": "boto3.client('s3').put_object(Bucket='b', Key=x, Body=y)",
    "upsert": "psycopg2.connect(x).cursor().execute('INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING')",
    "create if missing": "psycopg2.connect(x).cursor().execute('CREATE TABLE IF NOT EXISTS t (a int)')",
    "variable overwritten": "Variable.set('v', x, overwrite=True)",
    "folder": "os.makedirs(x, exist_ok=True)",
    "remove if there": "Path(x).unlink(missing_ok=True)",
    "frame": "pd.DataFrame(y).to_csv(x)",
    "frame replacing a table": "pd.DataFrame(y).to_sql('t', x, if_exists='replace')",
}
ADDING = {
    "post": "requests.post(x, json=y)",
    "post with a key made by chance": "requests.post(x, headers={'Idempotency-Key': str(uuid.uuid4())})",
    "patch": "requests.patch(x, json=y)",
    "append": "open(x, 'a').write(y)",
    "append by name": "open(x, mode='a').write(y)",
    "exclusive": "open(x, 'x')",
    "insert": "psycopg2.connect(x).cursor().execute('INSERT INTO t VALUES (1)')",
    "counting up": "psycopg2.connect(x).cursor().execute('UPDATE t SET n = n + 1')",
    "mail": "smtplib.SMTP(x).send_message(y)",
    "message": "WebClient(token=x).chat_postMessage(channel='c', text=y)",
    "queue": "boto3.client('sqs').send_message(QueueUrl=x, MessageBody=y)",
    "remove": "os.remove(x)",
    "move": "shutil.move(x, y)",
    "variable": "Variable.set('v', x)",
    "frame appended": "pd.DataFrame(y).to_csv(x, mode='a')",
    "frame to a table": "pd.DataFrame(y).to_sql('t', x, if_exists='append')",
}


@pytest.mark.parametrize("body", REPEATABLE.values(), ids=REPEATABLE)
def test_writes_that_leave_the_same_when_repeated_are_told_apart(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.WRITE
    assert all(touch.idempotent for touch in effect.touches if touch.level is Level.WRITE)


@pytest.mark.parametrize("body", ADDING.values(), ids=ADDING)
def test_writes_that_add_up_are_not_idempotent(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.WRITE
    assert not all(touch.idempotent for touch in effect.touches if touch.level is Level.WRITE)


UNKNOWN = {
    "library outside the table": "return mystery.load(x)",
    "parameter called": "return x(1)",
    "method of a parameter": "return x.execute(y)",
    "session as parameter": "return x.get('https://a.test/b', timeout=3)",
    "process": "subprocess.run(['ls', x])",
    "sql of unknown text": "psycopg2.connect('db').cursor().execute(x)",
    "open with unknown mode": "return open(x, y)",
    "eval": "return eval(x)",
    "index of a search engine": "x.index(index='a', document=y)",
    "find in a document store": "return x.find({'a': 1})",
}


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_table_does_not_know_is_unknown(body: str) -> None:
    assert effect_of(body).level is Level.UNKNOWN


def test_calls_within_the_file_are_followed() -> None:
    effect = effect_of("return g(x)", before="def g(u):\n    return requests.get(u)\n")
    assert effect.level is Level.READ
    assert effect.evidence == (f"line {IMPORTS.count(chr(10)) + 3}: requests.get",)


def test_functions_that_call_one_another_end() -> None:
    before = "def g(u):\n    return f(u) if u else requests.post('https://a.test')\n"
    effect = effect_of("return g(x)", before=before)
    assert effect.level is Level.WRITE


def test_both_functions_of_a_cycle_have_the_effects_of_the_cycle() -> None:
    source = (
        f"{IMPORTS}\ndef a(n):\n    requests.get('u')\n    return b(n)\n\ndef b(n):\n    return a(n - 1)\n"
    )
    effects = function_effects(source)
    assert effects["a"].level is Level.READ
    assert effects["b"].level is Level.READ


def test_a_function_given_to_another_counts_as_called() -> None:
    before = "def g(u):\n    requests.post(u)\n"
    assert effect_of("return list(map(g, x))", before=before).level is Level.WRITE


def test_a_method_of_a_class_of_the_file_is_followed() -> None:
    before = """
    class Shop:
        def __init__(self, url):
            self.url = url

        def orders(self):
            return requests.get(self.url)
    """
    effect = effect_of("shop = Shop(x)\nreturn shop.orders()", before=before)
    assert effect.level is Level.READ


def test_an_ambiguous_import_is_unknown() -> None:
    before = "try:\n    import ujson as j\nexcept ImportError:\n    import json as j\n"
    assert effect_of("return j.loads(x)", before=before).level is Level.UNKNOWN


def test_a_local_name_hides_an_imported_one() -> None:
    assert effect_of("requests = x\nreturn requests.get('https://a.test/b')").level is Level.UNKNOWN


def test_a_name_bound_twice_is_unknown() -> None:
    before = "def g(u):\n    return u\n\ndef g(u):\n    return requests.post(u)\n"
    assert effect_of("return g(x)", before=before).level is Level.UNKNOWN


@pytest.mark.parametrize("decorator", ["@mystery.wrap", "@task(on_completion=[g])", "@task(**OPTIONS)"])
def test_a_decorator_that_runs_other_code_makes_a_function_unknown(decorator: str) -> None:
    effect = effect_of(
        "return x", signature=f"{decorator}\ndef f(x):", before="def g(*a): ...\nOPTIONS = {}\n"
    )
    assert effect.level is Level.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        "x.append(1)",
        "x['a'] = 1",
        "x.a = 1",
        "row = x['rows']\nrow.sort()",
        "for r in x:\n    r['n'] = 1",
        "next(x)",
    ],
)
def test_what_changes_an_argument_is_told(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.PURE
    assert effect.mutates == ("x",)


def test_a_changed_argument_is_told_through_a_call() -> None:
    effect = effect_of("return g(y)", before="def g(rows):\n    rows.append(1)\n")
    assert effect.mutates == ("y",)


def test_a_changed_module_variable_is_a_write_to_memory() -> None:
    effect = effect_of("SEEN.append(x)", before="SEEN = []\n")
    assert effect.level is Level.WRITE
    assert effect.resources == ("memory:SEEN",)


@pytest.mark.parametrize(
    ("body", "before"),
    [
        ("return SESSION.get('https://a.test').json()", "SESSION = requests.Session()\n"),
        (
            "cur = CONN.cursor()\ncur.execute('SELECT 1')\nreturn cur.fetchall()",
            "CONN = psycopg2.connect('db')\n",
        ),
    ],
    ids=["session", "connection"],
)
def test_a_shared_client_is_told(body: str, before: str) -> None:
    effect = effect_of(body, before=before)
    assert effect.level is Level.READ
    assert effect.shares


def test_a_client_of_its_own_is_not_shared() -> None:
    assert effect_of("client = httpx.Client()\nreturn client.get(x)").shares == ()


def test_the_type_of_an_annotated_parameter_is_known() -> None:
    effect = effect_of("return c.execute('SELECT 1').fetchall()", signature="def f(c: sqlite3.Connection):")
    assert effect.level is Level.READ
    assert effect.shares == ("c",)


@pytest.mark.parametrize(
    "body",
    [
        "return time.time()",
        "return datetime.datetime.now()",
        "return random.random()",
        "return uuid.uuid4().hex",
    ],
)
def test_clock_and_chance_are_told(body: str) -> None:
    assert effect_of(body).nondeterministic


@pytest.mark.parametrize("body", ["time.sleep(1)", "asyncio.Semaphore(2)"])
def test_pauses_and_limits_are_told(body: str) -> None:
    assert effect_of(body).paced


def test_the_owner_may_mark_a_function_pure() -> None:
    effect = effect_of("return mystery.load(x)", signature="# autopilot: pure\ndef f(x):")
    assert effect.level is Level.READ
    assert effect.waits
    assert effect.marked == "pure"


def test_a_mark_inside_a_string_is_no_mark() -> None:
    effect = effect_of("return mystery.load('# autopilot: pure')")
    assert effect.level is Level.UNKNOWN


def test_awaited_calls_are_read() -> None:
    body = """
    async with aiohttp.ClientSession() as s:
        async with s.get(x) as r:
            return await r.json()
    """
    effect = effect_of(body, signature="async def f(x):")
    assert effect.level is Level.READ
    assert effect.waits
    assert effect.is_async


@pytest.mark.parametrize("source", ["def f(:", "print 'two'", "x = '\x00'", "\tif"])
def test_text_that_is_not_python_is_an_invalid_flow(source: str) -> None:
    with pytest.raises(InvalidFlowError, match="not valid Python"):
        function_effects(source)


def test_the_resource_of_a_url_is_its_host() -> None:
    assert effect_of("return requests.get('https://api.shop.test/orders')").resources == (
        "http:api.shop.test",
    )
    assert effect_of("return requests.get(f'https://api.shop.test/{x}')").resources == ("http:api.shop.test",)
