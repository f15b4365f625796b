"""One row per kind of library call: what it does to the world, where, and whether a second time adds up."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import FunctionEffect, Level, function_effects

IMPORTS = """
import asyncio, base64, bz2, codecs, collections, contextlib, copy, csv, datetime, functools, glob, gzip
import hashlib, io, itertools, json, logging, lzma, math, operator, os, pickle, random, re, secrets
import shutil, smtplib
import sqlite3, subprocess, sys, tarfile, tempfile, threading, time, urllib.request, uuid, warnings, zipfile
from pathlib import Path
import aiohttp, boto3, duckdb, feedparser, httpx, numpy as np, pandas as pd, pendulum, polars as pl
import psycopg, psycopg2, psycopg2.extras, pymysql, requests, yaml
from bs4 import BeautifulSoup
from dotenv import load_dotenv
from openai import OpenAI
from prefect import flow, task, get_run_logger, unmapped
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.variables import Variable
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session
"""


def effect_of(body: str) -> FunctionEffect:
    inner = textwrap.indent(textwrap.dedent(body), "    ")
    return function_effects(f"{IMPORTS}\n\ndef f(x, y=None):\n{inner}\n")["f"]


def repeats(effect: FunctionEffect) -> bool:
    return all(touch.idempotent for touch in effect.touches if touch.level is Level.WRITE)


# call, resource, does the time go into waiting for another machine
READS = {
    "requests.get": ("requests.get(x)", "http", True),
    "requests.head": ("requests.head(x)", "http", True),
    "requests.options": ("requests.options(x)", "http", True),
    "requests.request GET": ("requests.request('GET', x)", "http", True),
    "requests.request in small letters": ("requests.request('get', x)", "http", True),
    "requests.request by keyword": ("requests.request(method='HEAD', url=x)", "http", True),
    "requests session": ("s = requests.Session()\ns.get(x)", "http", True),
    "requests session in lower case": ("s = requests.session()\ns.get(x)", "http", True),
    "requests session with headers": (
        "s = requests.Session()\ns.headers.update({'a': 'b'})\ns.get(x)",
        "http",
        True,
    ),
    "requests session with a header set": (
        "s = requests.Session()\ns.headers['a'] = 'b'\ns.get(x)",
        "http",
        True,
    ),
    "httpx.get": ("httpx.get(x)", "http", True),
    "httpx client": ("httpx.Client(timeout=3).get(x)", "http", True),
    "httpx client in a with": ("with httpx.Client() as c:\n    c.get(x).raise_for_status()", "http", True),
    "httpx stream": ("with httpx.stream('GET', x) as r:\n    r.iter_lines()", "http", True),
    "urlopen of an address": ("urllib.request.urlopen('https://a.test/x').read()", "http:a.test", True),
    "feed": ("feedparser.parse(x)", "http", True),
    "psycopg2 select": ("psycopg2.connect(x).cursor().execute('SELECT 1')", "sql", True),
    "psycopg select": ("psycopg.connect(x).execute('SELECT 1').fetchall()", "sql", True),
    "mysql select": ("pymysql.connect(host=x).cursor().execute('SELECT 1')", "sql", True),
    "connecting": ("psycopg2.connect(x)", "sql", True),
    "rows of a cursor": ("psycopg2.connect(x).cursor().fetchall()", "sql", True),
    "sqlite select": ("sqlite3.connect(x).execute('SELECT 1')", "sql", False),
    "duckdb select": ("duckdb.sql('SELECT 1')", "sql", False),
    "engine select": ("create_engine(x).connect().execute(text('SELECT 1'))", "sql", True),
    "session select": ("Session(create_engine(x)).scalars(text('SELECT 1'))", "sql", True),
    "pandas read_sql": ("pd.read_sql('SELECT 1', x)", "sql", True),
    "pandas read_csv of a file": ("pd.read_csv(x)", "file", False),
    "pandas read_csv of an address": ("pd.read_csv('https://a.test/x.csv')", "http:a.test", True),
    "pandas read_parquet of a bucket": ("pd.read_parquet('s3://bucket/x')", "http:bucket", True),
    "polars read_csv": ("pl.read_csv(x)", "file", False),
    "numpy load": ("np.load(x)", "file", False),
    "stored object": ("boto3.client('s3').get_object(Bucket=x, Key=y)", "aws", True),
    "body of a stored object": (
        "boto3.client('s3').get_object(Bucket=x, Key=y)['Body'].read().decode()",
        "aws",
        True,
    ),
    "keys of a bucket": ("boto3.client('s3').list_objects_v2(Bucket=x)", "aws", True),
    "row of a table service": ("boto3.client('dynamodb').get_item(TableName=x, Key=y)", "aws", True),
    "secret of a cloud": ("boto3.client('secretsmanager').get_secret_value(SecretId=x)", "aws", True),
    "client from a session": ("boto3.Session().client('s3').head_object(Bucket=x, Key=y)", "aws", True),
    "messages of a channel": ("WebClient(token=x).conversations_history(channel=y)", "slack", True),
    "members of a team": ("WebClient(token=x).users_list()", "slack", True),
    "login at a mail server": ("smtplib.SMTP(x).login('a', 'b')", "mail", True),
    "variable": ("Variable.get(x)", "prefect", True),
    "secret block": ("Secret.load(x).get()", "prefect", True),
    "text of a path": ("Path(x).read_text()", "file", False),
    "bytes of a path": ("Path(x).read_bytes()", "file", False),
    "files of a folder": ("list(Path(x).glob('*.csv'))", "file", False),
    "stat": ("Path(x).stat().st_size", "file", False),
    "path opened": ("Path(x).open().read()", "file", False),
    "open": ("open(x).read()", "file", False),
    "open rb": ("open(x, 'rb').read()", "file", False),
    "open rt by keyword": ("open(x, mode='rt').read()", "file", False),
    "gzip": ("gzip.open(x).read()", "file", False),
    "bz2": ("bz2.open(x, 'rt').read()", "file", False),
    "lzma": ("lzma.open(x).read()", "file", False),
    "codecs": ("codecs.open(x, 'r', 'utf-8').read()", "file", False),
    "zip file": ("zipfile.ZipFile(x)", "file", False),
    "tar file": ("tarfile.open(x, 'r')", "file", False),
    "listdir": ("os.listdir(x)", "file", False),
    "walk": ("list(os.walk(x))", "file", False),
    "exists": ("os.path.exists(x)", "file", False),
    "glob": ("glob.glob(x)", "file", False),
    "disk usage": ("shutil.disk_usage(x)", "file", False),
    "environment": ("os.getenv(x)", "environment", False),
    "environment by get": ("os.environ.get(x)", "environment", False),
}


@pytest.mark.parametrize(("body", "resource", "waits"), READS.values(), ids=READS)
def test_a_read_names_its_resource_and_whether_it_waits(*, body: str, resource: str, waits: bool) -> None:
    effect = effect_of(body)
    assert effect.level is Level.READ, effect.evidence
    assert resource in effect.resources
    assert effect.waits is waits


# call, resource, may it be done twice
WRITES = {
    "requests.put": ("requests.put(x, json=y)", "http", True),
    "requests.delete": ("requests.delete(x)", "http", True),
    "requests.post": ("requests.post(x, json=y)", "http", False),
    "requests.patch": ("requests.patch(x, json=y)", "http", False),
    "session post": ("requests.Session().post(x)", "http", False),
    "session put": ("requests.Session().put(x)", "http", True),
    "request POST": ("requests.request('POST', x)", "http", False),
    "request PUT": ("requests.request('PUT', x)", "http", True),
    "request DELETE by keyword": ("requests.request(method='DELETE', url=x)", "http", True),
    "request PATCH": ("httpx.request('PATCH', x)", "http", False),
    "httpx.post": ("httpx.post(x)", "http", False),
    "httpx client delete": ("httpx.Client().delete(x)", "http", True),
    "downloading into a file": ("urllib.request.urlretrieve(x, 'a')", "file", True),
    "insert": ("psycopg2.connect(x).cursor().execute('INSERT INTO t VALUES (1)')", "sql", False),
    "many inserts": (
        "psycopg2.connect(x).cursor().executemany('INSERT INTO t VALUES (%s)', y)",
        "sql",
        False,
    ),
    "inserts by execute_values": (
        "psycopg2.extras.execute_values(psycopg2.connect(x).cursor(), 'INSERT INTO t VALUES %s', y)",
        "sql",
        False,
    ),
    "deleting rows": ("psycopg.connect(x).execute('DELETE FROM t')", "sql", True),
    "copying into a table": ("psycopg2.connect(x).cursor().copy_from(y, 't')", "sql", False),
    "commit": ("psycopg2.connect(x).commit()", "sql", True),
    "sqlite insert": ("sqlite3.connect(x).execute('INSERT INTO t VALUES (1)')", "sql", False),
    "engine begin": ("with create_engine(x).begin() as c:\n    c.execute(text('TRUNCATE t'))", "sql", True),
    "adding to a session": ("with Session(create_engine(x)) as s:\n    s.add(y)", "sql", False),
    "frame to a table": ("pd.DataFrame(x).to_sql('t', y)", "sql", False),
    "frame instead of a table": ("pd.DataFrame(x).to_sql('t', y, if_exists='replace')", "sql", True),
    "frame behind a table": ("pd.DataFrame(x).to_sql('t', y, if_exists='append')", "sql", False),
    "frame to csv": ("pd.DataFrame(x).to_csv(y)", "file", True),
    "frame to csv by keyword": ("pd.DataFrame(x).to_csv(path_or_buf=y)", "file", True),
    "frame behind a csv": ("pd.DataFrame(x).to_csv(y, mode='a')", "file", False),
    "frame to parquet": ("pd.DataFrame(x).to_parquet(y)", "file", True),
    "polars frame": ("pl.DataFrame(x).write_csv(y)", "file", True),
    "array": ("np.save(x, y)", "file", True),
    "array by its method": ("np.array(x).tofile(y)", "file", True),
    "stored object": ("boto3.client('s3').put_object(Bucket=x, Key=y)", "aws", True),
    "removed object": ("boto3.client('s3').delete_object(Bucket=x, Key=y)", "aws", True),
    "object into a file": ("boto3.client('s3').download_file(x, y, 'a')", "file", True),
    "queue message": ("boto3.client('sqs').send_message(QueueUrl=x)", "aws", False),
    "function call in a cloud": ("boto3.client('lambda').invoke(FunctionName=x)", "aws", False),
    "row changed by an expression": ("boto3.client('dynamodb').update_item(TableName=x)", "aws", False),
    "row put": ("boto3.client('dynamodb').put_item(TableName=x, Item=y)", "aws", True),
    "chat message": ("WebClient(token=x).chat_postMessage(channel=y)", "slack", False),
    "chat message changed": ("WebClient(token=x).chat_update(channel=y)", "slack", True),
    "webhook message": ("WebhookClient(x).send(text=y)", "slack", False),
    "mail": ("smtplib.SMTP(x).sendmail('a', 'b', y)", "mail", False),
    "mail over TLS": ("with smtplib.SMTP_SSL(x) as s:\n    s.send_message(y)", "mail", False),
    "variable set": ("Variable.set('a', x)", "prefect", False),
    "variable overwritten": ("Variable.set('a', x, overwrite=True)", "prefect", True),
    "variable not overwritten": ("Variable.set('a', x, overwrite=False)", "prefect", False),
    "variable removed": ("Variable.unset('a')", "prefect", False),
    "artifact": ("create_markdown_artifact(x)", "prefect", True),
    "event": ("emit_event(x, resource=y)", "prefect", False),
    "deployment run": ("run_deployment(x)", "prefect", False),
    "text of a path": ("Path(x).write_text(y)", "file", True),
    "bytes of a path": ("(Path(x) / 'a').write_bytes(y)", "file", True),
    "folder": ("Path(x).mkdir()", "file", False),
    "folder if missing": ("Path(x).mkdir(parents=True, exist_ok=True)", "file", True),
    "folder of a file": ("Path(x).parent.mkdir(exist_ok=True)", "file", True),
    "folders by os": ("os.makedirs(x)", "file", False),
    "touch": ("Path(x).touch()", "file", True),
    "removed file": ("Path(x).unlink()", "file", False),
    "removed file if there": ("Path(x).unlink(missing_ok=True)", "file", True),
    "removed tree": ("shutil.rmtree(x)", "file", False),
    "removed tree if there": ("shutil.rmtree(x, ignore_errors=True)", "file", True),
    "renamed": ("os.rename(x, y)", "file", False),
    "moved": ("shutil.move(x, y)", "file", False),
    "copied": ("shutil.copyfile(x, y)", "file", True),
    "archive": ("shutil.make_archive(x, 'zip', y)", "file", True),
    "open w": ("open(x, 'w').write(y)", "file", True),
    "open wb": ("open(x, 'wb').write(y)", "file", True),
    "open a": ("open(x, 'a').write(y)", "file", False),
    "open a by keyword": ("open(x, mode='ab').write(y)", "file", False),
    "open x": ("open(x, 'x')", "file", False),
    "open r+": ("open(x, 'r+')", "file", False),
    "open w+": ("open(x, 'w+')", "file", True),
    "path opened for writing": ("Path(x).open('w')", "file", True),
    "path opened for appending": ("Path(x).open(mode='a')", "file", False),
    "gzip written": ("gzip.open(x, 'wt')", "file", True),
    "zip written": ("zipfile.ZipFile(x, 'w')", "file", True),
    "zip appended": ("zipfile.ZipFile(x, 'a')", "file", False),
    "json into a file": ("with open(x, 'w') as f:\n    json.dump(y, f)", "file", True),
    "rows into a file": ("with open(x, 'a') as f:\n    csv.writer(f).writerow(y)", "file", False),
    "environment set": ("os.environ['A'] = x", "process", True),
    "environment updated": ("os.environ.update(x)", "process", True),
    "environment unset": ("del os.environ['A']", "process", True),
    "environment from a file": ("load_dotenv()", "process", True),
    "folder of the process": ("os.chdir(x)", "process", True),
}


@pytest.mark.parametrize(("body", "resource", "again"), WRITES.values(), ids=WRITES)
def test_a_write_names_its_resource_and_whether_it_may_be_repeated(
    *, body: str, resource: str, again: bool
) -> None:
    effect = effect_of(body)
    assert effect.level is Level.WRITE, effect.evidence
    assert resource in effect.resources
    assert repeats(effect) is again


UNKNOWN = {
    "method in a variable": "requests.request(x, y)",
    "made-up method": "requests.request('FETCH', y)",
    "urlopen of a request by any method": "urllib.request.urlopen(urllib.request.Request(x, method=y))",
    "urlopen of a request with options": "urllib.request.urlopen(urllib.request.Request(x, **y))",
    "urlopen with data": "urllib.request.urlopen('https://a.test', data=x)",
    "urlopen of a variable": "urllib.request.urlopen(x)",
    "sql in a variable": "psycopg2.connect(x).execute(y)",
    "sql verb in a formatted text": "psycopg2.connect(x).cursor().execute(f'{y} FROM t')",
    "sql of two minds": (
        "q = 'SELECT 1'\nif y:\n    q = 'DELETE FROM t'\npsycopg2.connect(x).cursor().execute(q)"
    ),
    "sql from a list": "for q in ['SELECT 1']:\n    psycopg2.connect(x).cursor().execute(q)",
    "mode in a variable": "open(x, y)",
    "subprocess": "subprocess.run(['ls', x], check=True)",
    "shell": "os.system(x)",
    "exit": "sys.exit(x)",
    "exec": "exec(x)",
    "eval": "eval(x)",
    "input": "input(x)",
    "import by name": "__import__(x)",
    "pickle": "pickle.load(open(x, 'rb'))",
    "method of a client that is not listed": "boto3.client('s3').frobnicate(Bucket=x)",
    "method of a resource that is not listed": "boto3.resource('s3').frobnicate(x)",
    "frame of a parameter": "x.to_csv('a.csv')",
    "client of a parameter": "x.post(y)",
    "database of a parameter": "x.cursor()",
    "queue of a parameter": "x.get()",
    "cache of a parameter": "x.set(y, 1)",
    "update of a parameter": "x.update({'a': 1})",
    "insert of a parameter": "x.insert(y)",
    "find in a collection": "x.find({'a': 1})",
    "replace of a path": "x.replace(y)",
    "copy of a store": "x.copy(y)",
    "method made by name": "getattr(requests, 'post')(x)",
    "function from a table": "{'a': requests.post}[x](y)",
    "thread": "threading.Thread(target=print).start()",
}


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_a_call_that_cannot_be_judged_is_unknown(body: str) -> None:
    assert effect_of(body).level is Level.UNKNOWN


PURE = {
    "json": "json.loads(x)['a']",
    "yaml": "yaml.safe_load(x)",
    "csv of lines": "list(csv.DictReader(x.splitlines()))",
    "text in memory": "b = io.StringIO()\nb.write(x)\nreturn b.getvalue()",
    "hash": "hashlib.sha256(x).hexdigest()",
    "base64": "base64.b64encode(x).decode()",
    "regular expression": "re.sub('a', 'b', x)",
    "match": "re.search('a', x).group(0)",
    "path arithmetic": "Path(x).with_suffix('.csv').name",
    "os.path": "os.path.join(x, 'a')",
    "counter": "collections.Counter(x).most_common(3)",
    "deque": "d = collections.deque(x)\nd.append(1)\nreturn d",
    "copy": "copy.deepcopy(x)",
    "itertools": "list(itertools.chain(x, y))",
    "functools": "functools.reduce(operator.add, x)",
    "sorted by a getter": "sorted(x, key=operator.itemgetter('a'))",
    "sorted by a method of text": "sorted(x, key=str.lower)",
    "map of a builtin": "list(map(int, x))",
    "map of a method of text": "list(map(str.strip, x))",
    "filter of nothing": "list(filter(None, x))",
    "max by a lambda": "max(x, key=lambda r: r['n'], default=None)",
    "html": "BeautifulSoup(x, 'html.parser')",
    "statement made": "select(x)",
    "engine made": "create_engine(x)",
    "client made": "boto3.client('s3')",
    "session made": "requests.Session()",
    "chat client made": "WebClient(token=x)",
    "address made": "boto3.client('s3').generate_presigned_url('get_object')",
    "frame arithmetic": "df = pd.DataFrame(x)\nreturn df.merge(y).groupby('a').agg('sum')",
    "frame column": "df = pd.DataFrame(x)\ndf['a'] = 1\nreturn df",
    "frame function": "pd.DataFrame(x).apply(lambda r: r * 2)",
    "frame mapped by a dictionary": "names = {'a': 1}\nreturn pd.DataFrame(x)['a'].map(names)",
    "frame as text": "pd.DataFrame(x).to_csv()",
    "frame as json": "pd.DataFrame(x).to_json(orient='records')",
    "dates of pandas": "pd.to_datetime(x)",
    "polars expression": "pl.DataFrame(x).filter(pl.col('a') > 1)",
    "array": "np.array(x).mean().round(2)",
    "array arithmetic": "(np.array(x) + np.ones(3)).T.reshape(-1)[0].item()",
    "date arithmetic": "datetime.date(2026, 1, 2) + datetime.timedelta(days=x)",
    "date from text": "datetime.datetime.strptime(x, '%Y')",
    "uuid from a name": "uuid.uuid5(uuid.NAMESPACE_URL, x)",
    "logging": "logging.getLogger(__name__).warning('x %s', x)",
    "run logger": "get_run_logger().info(x)",
    "print": "print(x, y)",
    "warning": "warnings.warn(x)",
    "unmapped": "unmapped(x)",
    "suppress": "with contextlib.suppress(ValueError):\n    int(x)",
    "class method of dict": "dict.fromkeys(x, 0)",
    "set arithmetic": "set(x) | {1}",
    "text methods": "x.strip().upper().split(',')",
    "dictionary methods": "x.get('a', {}).items()",
    "own list": "rows = []\nrows.extend(x)\nrows.sort()\nreturn rows[::-1]",
    "own set": "seen = set()\nseen.add(x)\nreturn seen",
    "assertion": "assert x, 'empty'\nreturn x",
    "deletion of an own key": "d = dict(a=1)\ndel d['a']\nreturn d",
}


@pytest.mark.parametrize("body", PURE.values(), ids=PURE)
def test_what_only_computes_or_logs_is_pure(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.PURE, [touch.told for touch in effect.touches]
    assert not effect.mutates
    assert not effect.waits
    assert effect.resources == ()


CHANCE = {
    "time.time": "time.time()",
    "time.monotonic": "time.monotonic()",
    "perf_counter": "time.perf_counter()",
    "now": "datetime.datetime.now(datetime.timezone.utc)",
    "utcnow": "datetime.datetime.utcnow()",
    "today": "datetime.date.today()",
    "pandas now": "pd.Timestamp.now()",
    "pendulum": "pendulum.now()",
    "random": "random.choice(x)",
    "secrets": "secrets.token_hex()",
    "uuid4": "uuid.uuid4()",
    "numpy": "np.random.rand(3)",
    "urandom": "os.urandom(3)",
    "process id": "os.getpid()",
    "temporary folder": "tempfile.mkdtemp()",
    "identity": "id(x)",
    "hash of a text": "hash(x)",
}


@pytest.mark.parametrize("body", CHANCE.values(), ids=CHANCE)
def test_clock_chance_and_the_process_are_told_apart_from_computing(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.PURE
    assert effect.nondeterministic


PACED = {
    "time.sleep": "time.sleep(1)",
    "asyncio.sleep": "asyncio.sleep(1)",
    "semaphore": "asyncio.Semaphore(2)",
    "bounded semaphore": "threading.BoundedSemaphore(2)",
    "lock": "threading.Lock()",
    "concurrency limit": "with concurrency('db', occupy=1):\n    pass",
    "rate limit": "rate_limit('api')",
}


@pytest.mark.parametrize("body", PACED.values(), ids=PACED)
def test_pauses_limits_and_locks_are_told(body: str) -> None:
    effect = effect_of(body)
    assert effect.paced
    assert not effect.nondeterministic


KEYS = {
    "as usual": ("headers={'Idempotency-Key': x}", True),
    "in small letters": ("headers={'idempotency-key': x}", True),
    "in capitals": ("headers={'IDEMPOTENCY-KEY': x}", True),
    "with an x": ("headers={'X-Idempotency-Key': x}", True),
    "among others": ("headers={'Accept': 'a', 'Idempotency-Key': x, 'B': 'c'}", True),
    "made from the arguments": ("headers={'Idempotency-Key': f'{x}-{y}'}", True),
    "hashed from the arguments": (
        "headers={'Idempotency-Key': hashlib.sha256(x).hexdigest()}",
        True,
    ),
    "made by chance": ("headers={'Idempotency-Key': str(uuid.uuid4())}", False),
    "made from the clock": ("headers={'Idempotency-Key': str(time.time())}", False),
    "made by chance in a text": ("headers={'Idempotency-Key': f'{x}-{uuid.uuid4().hex}'}", False),
    "another header": ("headers={'X-Request-Id': x}", False),
    "in the body only": ("json={'Idempotency-Key': x}", False),
    "as a parameter only": ("params={'idempotency-key': x}", False),
    "no header": ("json=y", False),
    "headers of unknown content": ("headers=y", False),
    "headers made by a call": ("headers=dict(a=x)", False),
}


@pytest.mark.parametrize(("given", "again"), KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("call", ["requests.post", "httpx.post", "requests.Session().patch"])
def test_an_idempotency_key_that_stays_makes_a_post_repeatable(*, call: str, given: str, again: bool) -> None:
    effect = effect_of(f"{call}('https://a.test', {given})")
    assert effect.level is Level.WRITE
    assert repeats(effect) is again


@pytest.mark.parametrize(
    ("body", "again"),
    [
        ("key = f'{x}:{y}'\nrequests.post('u', headers={'Idempotency-Key': key})", True),
        ("key = uuid.uuid4().hex\nrequests.post('u', headers={'Idempotency-Key': key})", False),
        ("h = {'Idempotency-Key': x}\nrequests.post('u', headers=h)", True),
        ("h = {'Idempotency-Key': x}\nh = {}\nrequests.post('u', headers=h)", False),
        ("requests.request('POST', 'u', headers={'Idempotency-Key': x})", True),
        ("requests.request('POST', 'u', headers={'Idempotency-Key': str(uuid.uuid4())})", False),
    ],
    ids=["key", "key by chance", "headers", "headers bound twice", "request", "request by chance"],
)
def test_the_key_is_followed_through_variables(*, body: str, again: bool) -> None:
    assert repeats(effect_of(body)) is again


TARGETS = {
    "host": ("requests.get('https://api.shop.test/orders?a=1')", "http:api.shop.test"),
    "host with a port": ("requests.get('http://api.shop.test:8080/x')", "http:api.shop.test"),
    "host of a formatted text": ("requests.get(f'https://api.shop.test/{x}')", "http:api.shop.test"),
    "host of a joined text": ("requests.get('https://api.shop.test/' + x)", "http:api.shop.test"),
    "host of a variable": ("u = 'https://api.shop.test/a'\nrequests.get(u)", "http:api.shop.test"),
    "host with a password": ("requests.get('https://a:b@api.shop.test/x')", "http:api.shop.test"),
    "unknown host": ("requests.get(x)", "http"),
    "host only known when it runs": ("requests.get(f'https://{x}/a')", "http"),
}


@pytest.mark.parametrize(("body", "resource"), TARGETS.values(), ids=TARGETS)
def test_the_resource_of_an_address_is_its_host_without_secrets(body: str, resource: str) -> None:
    (found,) = effect_of(body).resources
    assert found == resource or (resource == "http" and found.startswith("http"))
    assert "b@" not in found


STABLE = {
    "fixed path": ("Path('a.csv').write_text(x)", True),
    "path from the arguments": ("Path(f'{x}.csv').write_text(y)", True),
    "path from the clock": ("Path(f'{time.time()}.csv').write_text(x)", False),
    "path from chance": ("Path(uuid.uuid4().hex).write_text(x)", False),
    "content from the clock": ("Path('a.csv').write_text(str(time.time()))", True),
    "open from the clock": ("open(f'{datetime.date.today()}.csv', 'w')", False),
    "put to the clock": ("requests.put(f'https://a.test/{time.time()}', json=x)", False),
    "put of the clock": ("requests.put('https://a.test/a', json=time.time())", True),
    "key from chance": (
        "boto3.client('s3').put_object(Bucket='b', Key=str(uuid.uuid4()), Body=x)",
        False,
    ),
    "body from chance": (
        "boto3.client('s3').put_object(Bucket='b', Key=x, Body=str(uuid.uuid4()))",
        True,
    ),
    "row from the clock": ("psycopg2.connect('d').cursor().execute('DELETE FROM t', (time.time(),))", False),
}


@pytest.mark.parametrize(("body", "stable"), STABLE.values(), ids=STABLE)
def test_a_place_made_from_clock_or_chance_is_another_on_each_run(*, body: str, stable: bool) -> None:
    writes = [touch for touch in effect_of(body).touches if touch.level is Level.WRITE]
    assert all(touch.stable for touch in writes) is stable
