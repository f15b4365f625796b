"""One row per call of a service's own client: what it does, and whether a second time adds up."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import FunctionEffect, Level, function_effects

IMPORTS = """
import anthropic, confluent_kafka, elasticsearch, ftplib, geopandas as gpd, gspread, joblib, minio, mlflow
import matplotlib.pyplot as plt, openai, orjson, paramiko, pymongo, redis, stripe, yfinance as yf, warnings
from azure.storage.blob import BlobServiceClient
from github import Github
from google.cloud import bigquery, storage
from prefect.blocks.notifications import SlackWebhook
from prefect_aws import S3Bucket
from prefect_sqlalchemy import SqlAlchemyConnector
from simple_salesforce import Salesforce
from sklearn.metrics import accuracy_score
from twilio.rest import Client
"""


def effect_of(body: str) -> FunctionEffect:
    inner = textwrap.indent(textwrap.dedent(body), "    ")
    return function_effects(f"{IMPORTS}\n\ndef f(x, y=None):\n{inner}\n")["f"]


READS = {
    "bigquery select": "bigquery.Client().query('SELECT a FROM b').to_dataframe()",
    "bigquery rows": "list(bigquery.Client().query('SELECT a FROM b').result())",
    "bigquery table": "bigquery.Client(project=x).get_table(y)",
    "storage text": "storage.Client().bucket('b').blob(x).download_as_text()",
    "storage list": "storage.Client().list_blobs('b', prefix=x)",
    "azure blob": "BlobServiceClient(x).get_blob_client('c', y).download_blob().readall()",
    "azure container": "BlobServiceClient(x).get_container_client('c').list_blobs()",
    "redis get": "redis.Redis(host='h').get(x)",
    "redis by address": "redis.from_url('redis://h').hgetall(x)",
    "mongo find": "pymongo.MongoClient(x).shop.orders.find_one({'a': y})",
    "mongo by item": "pymongo.MongoClient(x)['shop']['orders'].count_documents({})",
    "elastic search": "elasticsearch.Elasticsearch(x).search(index='a', query={})",
    "ftp list": "ftplib.FTP('h').nlst()",
    "sftp list": "paramiko.SSHClient().open_sftp().listdir(x)",
    "minio object": "minio.Minio('h').get_object('b', x).read()",
    "language model": "openai.OpenAI().chat.completions.create(model=x)",
    "embeddings": "openai.OpenAI().embeddings.create(input=x)",
    "another language model": "anthropic.Anthropic().messages.create(model=x)",
    "market data": "yf.Ticker(x).history(period='1d')",
    "market download": "yf.download(x)",
    "repository": "Github(x).get_repo('a/b').get_issues(state='open')",
    "spreadsheet": "gspread.service_account().open_by_key(x).worksheet('a').get_all_records()",
    "salesforce": "Salesforce(username=x).query('SELECT Id FROM Account')",
    "stripe list": "stripe.Charge.list(limit=3)",
    "bucket block": "S3Bucket.load('b').read_path(x)",
    "database block": "SqlAlchemyConnector.load('b').fetch_all('SELECT 1')",
}

WRITES = {
    "bigquery insert": ("bigquery.Client().query('INSERT INTO a VALUES (1)')", False),
    "bigquery load": ("bigquery.Client().load_table_from_dataframe(x, 't')", False),
    "bigquery drop": ("bigquery.Client().delete_table(x)", True),
    "storage upload": ("storage.Client().bucket('b').blob(x).upload_from_string(y)", True),
    "azure upload": ("BlobServiceClient(x).get_blob_client('c', 'k').upload_blob(y)", False),
    "azure overwrite": (
        "BlobServiceClient(x).get_blob_client('c', 'k').upload_blob(y, overwrite=True)",
        True,
    ),
    "redis set": ("redis.Redis().set(x, y)", True),
    "redis count": ("redis.Redis().incr(x)", False),
    "redis push": ("redis.Redis().rpush(x, y)", False),
    "mongo insert": ("pymongo.MongoClient(x).shop.orders.insert_one({'a': y})", False),
    "mongo aggregate may write": ("pymongo.MongoClient(x).shop.orders.aggregate([])", False),
    "mongo replace": ("pymongo.MongoClient(x).shop.orders.replace_one({'a': y}, {})", True),
    "elastic index": ("elasticsearch.Elasticsearch(x).index(index='a', document=y)", False),
    "ftp store": ("ftplib.FTP('h').storbinary('STOR a', x)", False),
    "sftp put": ("paramiko.SSHClient().open_sftp().put(x, y)", False),
    "kafka": ("confluent_kafka.Producer({}).produce('t', x)", False),
    "minio put": ("minio.Minio('h').put_object('b', x, y, 1)", True),
    "repository issue": ("Github(x).get_repo('a/b').create_issue(title=y)", False),
    "spreadsheet row": ("gspread.service_account().open('a').worksheet('b').append_row(x)", False),
    "spreadsheet cell": ("gspread.service_account().open('a').worksheet('b').update_acell('A1', x)", True),
    "stripe charge": ("stripe.Charge.create(amount=1)", False),
    "text message": ("Client(x, y).messages.create(to='1', body='b')", False),
    "slack block": ("SlackWebhook.load('a').notify(x)", False),
    "bucket block": ("S3Bucket.load('b').write_path('k', x)", True),
    "database block": ("SqlAlchemyConnector.load('b').execute('INSERT INTO a VALUES (1)')", False),
    "tracking": ("mlflow.log_metric('a', x)", False),
    "a figure is the process's": ("plt.plot(x)", True),
    "dump": ("joblib.dump(x, 'a.bin')", True),
}

UNKNOWN = {
    "statement of unknown text": "bigquery.Client().query(x)",
    "remote command": "paramiko.SSHClient().exec_command(x)",
    "database block with unknown text": "SqlAlchemyConnector.load('b').execute(x)",
    "method nobody named": "redis.Redis().eval(x, 1)",
    "bucket's unknown method": "S3Bucket.load('b').vanish(x)",
    "repository's unknown method": "Github(x).get_repo('a').delete()",
}

PURE = {
    "clients are made without a call": "redis.Redis(host=x); openai.OpenAI(); storage.Client()",
    "json": "return orjson.loads(x)",
    "scores": "return accuracy_score(x, y)",
    "filters of warnings": "warnings.filterwarnings('ignore')",
}


@pytest.mark.parametrize("body", READS.values(), ids=READS)
def test_asking_a_service_is_a_read_that_waits(body: str) -> None:
    effect = effect_of(body)
    assert effect.level is Level.READ
    assert effect.waits


@pytest.mark.parametrize(("body", "repeats"), WRITES.values(), ids=WRITES)
def test_changing_a_service_is_a_write(body: str, repeats: bool) -> None:  # noqa: FBT001 - a column
    effect = effect_of(body)
    assert effect.level is Level.WRITE
    assert all(one.idempotent for one in effect.touches if one.level is Level.WRITE) is repeats


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_table_does_not_name_is_unknown(body: str) -> None:
    assert effect_of(body).level is Level.UNKNOWN


@pytest.mark.parametrize("body", PURE.values(), ids=PURE)
def test_what_only_computes_is_pure(body: str) -> None:
    assert effect_of(body).level is Level.PURE


def test_an_answer_of_a_language_model_differs_each_time() -> None:
    assert effect_of(READS["language model"]).nondeterministic


@pytest.mark.parametrize("call", ["CLIENT.get(x)", "CLIENT.hgetall(x)"])
def test_a_client_made_elsewhere_is_shared(call: str) -> None:
    source = f"import redis\nCLIENT = redis.Redis()\n\ndef f(x):\n    return {call}\n"
    assert function_effects(source)["f"].shares == ("CLIENT",)
