"""What the libraries that real flows use most do is known: reads, writes and what only computes."""

from __future__ import annotations

import re

import pytest

from prefect_autopilot.effects import EffectReader, Level, table_version

CALLS: dict[str, tuple[str, Level]] = {
    "requests": ("requests.get('https://a.test')", Level.READ),
    "httpx": ("httpx.post('https://a.test', json=x)", Level.WRITE),
    "aiohttp": ("aiohttp.ClientSession()", Level.PURE),
    "urllib": ("urllib.request.urlopen('https://a.test')", Level.READ),
    "boto3": ("boto3.client('s3').put_object(Bucket='b', Key='k', Body=x)", Level.WRITE),
    "boto3 tables": ("boto3.resource('dynamodb').Table('t').get_item(Key=x)", Level.READ),
    "boto3 buckets": ("boto3.resource('s3').Bucket('b').upload_file('a', 'b')", Level.WRITE),
    "pandas": ("pandas.DataFrame(x).groupby('a').sum()", Level.PURE),
    "polars": ("polars.read_parquet('x.parquet')", Level.READ),
    "numpy": ("numpy.array(x)", Level.PURE),
    "pyarrow": ("pyarrow.parquet.read_table('x.parquet')", Level.READ),
    "scipy": ("scipy.stats.zscore(x)", Level.PURE),
    "sqlalchemy": ("sqlalchemy.create_engine('sqlite://')", Level.PURE),
    "sqlite3": ("sqlite3.connect('x').execute('select 1 from t')", Level.READ),
    "duckdb": ("duckdb.sql('select 1')", Level.READ),
    "psycopg": ("psycopg.connect('x').cursor().execute('insert into t values (1)')", Level.WRITE),
    "psycopg2": ("psycopg2.connect('x').cursor().execute('select a from t')", Level.READ),
    "pymysql": ("pymysql.connect().cursor().execute('delete from t')", Level.WRITE),
    "pyodbc": ("pyodbc.connect('x').cursor().execute('select a from t')", Level.READ),
    "oracledb": ("oracledb.connect().cursor().execute('select a from t')", Level.READ),
    "snowflake": ("snowflake.connector.connect().cursor().execute('select a from t')", Level.READ),
    "google bigquery": ("google.cloud.bigquery.Client().query('select a from t').result()", Level.READ),
    "google storage": ("google.cloud.storage.Client()", Level.PURE),
    "azure": ("azure.storage.blob.BlobServiceClient.from_connection_string('x')", Level.PURE),
    "redis": ("redis.Redis().set('a', x)", Level.WRITE),
    "pymongo": ("pymongo.MongoClient()['a']['b'].find_one({})", Level.READ),
    "elasticsearch": ("elasticsearch.Elasticsearch('x').search(index='a')", Level.READ),
    "kafka": ("kafka.KafkaProducer().send('t', x)", Level.WRITE),
    "openai": ("openai.OpenAI().chat.completions.create(model='m', messages=x)", Level.READ),
    "anthropic": ("anthropic.Anthropic().messages.create(model='m', messages=x)", Level.READ),
    "slack_sdk": ("slack_sdk.WebClient(token='t').chat_postMessage(channel='c', text='t')", Level.WRITE),
    "twilio": ("twilio.rest.Client('a', 'b').messages.create(to='a', body='b')", Level.WRITE),
    "sendgrid": ("sendgrid.SendGridAPIClient('k').send(x)", Level.WRITE),
    "smtplib": ("smtplib.SMTP('a').sendmail('a', 'b', 'c')", Level.WRITE),
    "stripe": ("stripe.Charge.create(amount=1)", Level.WRITE),
    "simple_salesforce": ("simple_salesforce.Salesforce().query('select Id from A')", Level.READ),
    "gspread": ("gspread.service_account().open('a')", Level.READ),
    "yfinance": ("yfinance.download('A')", Level.READ),
    "feedparser": ("feedparser.parse(x)", Level.READ),
    "bs4": ("bs4.BeautifulSoup(x, 'html.parser').find('a')", Level.PURE),
    "lxml": ("lxml.etree.fromstring(x)", Level.PURE),
    "pathlib": ("pathlib.Path('a').read_text()", Level.READ),
    "shutil": ("shutil.copy('a', 'b')", Level.WRITE),
    "subprocess": ("subprocess.run(['a'])", Level.UNKNOWN),
    "os": ("os.remove('a')", Level.WRITE),
    "json": ("json.dumps(x)", Level.PURE),
    "csv": ("csv.reader(x)", Level.PURE),
    "yaml": ("yaml.safe_load(x)", Level.PURE),
    "re": ("re.findall('a', x)", Level.PURE),
    "datetime": ("datetime.timedelta(days=1)", Level.PURE),
    "pendulum": ("pendulum.duration(days=1)", Level.PURE),
    "hashlib": ("hashlib.sha256(x).hexdigest()", Level.PURE),
    "zipfile": ("zipfile.ZipFile('a')", Level.READ),
    "jinja2": ("jinja2.Template(x)", Level.PURE),
    "paramiko": ("paramiko.SSHClient().exec_command('a')", Level.UNKNOWN),
    "sklearn": ("sklearn.metrics.accuracy_score(x, x)", Level.PURE),
    "mlflow": ("mlflow.log_metric('a', 1)", Level.WRITE),
    "prefect variables": ("prefect.variables.Variable.get('a')", Level.READ),
    "prefect secrets": ("prefect.blocks.system.Secret.load('a').get()", Level.READ),
    "prefect artifacts": ("prefect.artifacts.create_markdown_artifact(markdown='a')", Level.WRITE),
    "tenacity": ("tenacity.stop_after_attempt(3)", Level.PURE),
    "pydantic": ("pydantic.TypeAdapter(int)", Level.PURE),
}


def level_of(call: str) -> Level:
    module = call.split("(", maxsplit=1)[0]
    parts = module.split(".")
    name = (
        ".".join(parts[:-1]) if parts[0] in {"google", "azure", "urllib", "prefect", "pyarrow"} else parts[0]
    )
    source = f"import {name}\ndef work(x):\n    return {call}\n"
    reader = EffectReader.of(source)
    return reader.effect(reader.module.functions["work"]).level


@pytest.mark.parametrize("name", CALLS)
def test_what_the_most_used_libraries_do_is_known(name: str) -> None:
    call, expected = CALLS[name]
    assert level_of(call) is expected


def test_at_least_sixty_libraries_are_held_and_the_table_has_a_version() -> None:
    assert len(CALLS) >= 60
    assert re.fullmatch(r"\d{4}\.\d{2}", table_version())
