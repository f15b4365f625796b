"""Failures as they arrive in practice: Python, Java and Spark, shells, Kubernetes, JSON logs."""

from __future__ import annotations

import json

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text


def python(error: str, *, code: str = "rows = fetch(day)", function: str = "load") -> str:
    """Return a state message of Prefect with the traceback of own code below a library."""
    return (
        "Encountered an exception during execution:\n"
        "Traceback (most recent call last):\n"
        '  File "/usr/local/lib/python3.11/site-packages/prefect/flow_engine.py", line 780, in run_context\n'
        "    yield self\n"
        f'  File "/opt/etl/flows/nightly.py", line 88, in {function}\n'
        f"    {code}\n"
        f"{error}\n"
    )


def java(cause: str, *, outer: str = "org.apache.spark.SparkException: Job aborted.") -> str:
    """Return what a Spark driver prints, the cause last."""
    return (
        f"{outer}\n"
        "\tat org.apache.spark.sql.errors.QueryErrors$.jobAborted(QueryErrors.scala:801)\n"
        "\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2785)\n"
        f"Caused by: {cause}\n"
        "\tat com.acme.lake.Writer.commit(Writer.java:77)\n"
        "\t... 24 more\n"
    )


def shell(line: str, *, code: int = 1) -> str:
    """Return what a shell task leaves behind."""
    return f"+ ./nightly.sh --day 2026-02-11\n{line}\nCommand failed with exit code {code}"


def logged(message: str, *, level: str = "error") -> str:
    """Return one line of a structured log."""
    return json.dumps({"ts": "2026-02-11T03:00:07.120Z", "level": level, "logger": "etl", "message": message})


FAMILIES: dict[tuple[str, bool, str], dict[str, str]] = {
    ("configuration", False, "install_dependency"): {
        "module missing in the image": python(
            "ModuleNotFoundError: No module named 'polars'", code="import polars as pl"
        ),
        "java class missing": java("java.lang.ClassNotFoundException: org.postgresql.Driver"),
        "program missing in a shell": shell("./nightly.sh: line 7: pg_dump: command not found", code=127),
        "versions that do not fit": python(
            "ImportError: cannot import name 'url_quote' from 'werkzeug.urls'"
        ),
    },
    ("configuration", False, "fix_configuration"): {
        "environment variable missing": python(
            "KeyError: 'WAREHOUSE_URL'", code='url = os.environ["WAREHOUSE_URL"]'
        ),
        "credentials variable missing": python(
            "botocore.exceptions.NoCredentialsError: Unable to locate credentials"
        ),
        "image cannot be pulled": 'Failed to pull image "registry.acme.test/etl:2026-02": manifest unknown',
        "wrong entrypoint": "prefect.exceptions.MissingFlowError: flow 'nightly' not found in nightly.py",
        "bucket name wrong": python(
            "botocore.errorfactory.NoSuchBucket: An error occurred (NoSuchBucket) when calling the "
            "PutObject operation: The specified bucket does not exist"
        ),
        "settings that do not validate": python(
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\n"
            "warehouse_url\n  Field required [type=missing, input_value={}, input_type=dict]"
        ),
        "parameters of the run refused": (
            "Validation of flow parameters failed with error: prefect.exceptions.ParameterTypeError: "
            "Flow run received invalid parameters:\n - day: Input should be a valid date"
        ),
        "yaml of a profile broken": python(
            "yaml.scanner.ScannerError: mapping values are not allowed here\n  in 'profiles.yml', line 4"
        ),
        "a method the service does not know": logged(
            "HTTP 405 Method Not Allowed from https://hooks.acme.test/v1/orders"
        ),
        "database that does not exist": python(
            'psycopg2.OperationalError: FATAL:  database "martt" does not exist'
        ),
    },
    ("connectivity", True, "retry_backoff"): {
        "refused": python("ConnectionRefusedError: [Errno 111] Connection refused"),
        "refused in Java": java("java.net.ConnectException: Connection refused (Connection refused)"),
        "name not resolved": python("socket.gaierror: [Errno -3] Temporary failure in name resolution"),
        "name unknown in a shell": shell("curl: (6) Could not resolve host: files.acme.test", code=6),
        "session cut": python(
            "httpx.RemoteProtocolError: Server disconnected without sending a response.",
            code="client.post(url, json=body)",
        ),
        "reset in a JSON log": logged(
            "read tcp 10.2.0.7:41210->10.2.0.9:5432: read: connection reset by peer"
        ),
        "no route": python("OSError: [Errno 113] No route to host"),
        "no broker": python("kafka.errors.NoBrokersAvailable: NoBrokersAvailable"),
        "grpc without a connection": python(
            "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
            "\tstatus = StatusCode.UNAVAILABLE\n"
            '\tdetails = "failed to connect to all addresses; last error: connection attempt failed"\n>'
        ),
    },
    ("connectivity", False, "fix_configuration"): {
        "certificate expired": python(
            "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
            "certificate has expired (_ssl.c:1006)"
        ),
        "certificate unknown to Java": java(
            "sun.security.validator.ValidatorException: PKIX path building failed: unable to find valid "
            "certification path to requested target"
        ),
        "proxy wants a login": shell(
            "curl: (56) Received HTTP code 407 from proxy after CONNECT: Proxy Authentication Required"
        ),
    },
    ("permissions", False, "refresh_credentials"): {
        "401": python(
            "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'https://api.acme.test/v2/orders'"
        ),
        "password wrong": python(
            'psycopg2.OperationalError: FATAL:  password authentication failed for user "etl"'
        ),
        "mysql login": python(
            "pymysql.err.OperationalError: (1045, \"Access denied for user 'etl'@'10.2.0.7' (password)\")"
        ),
        "token revoked": python(
            "google.auth.exceptions.RefreshError: ('invalid_grant: Token has been expired or revoked.', "
            "{'error': 'invalid_grant'})"
        ),
        "ssh key refused": shell("etl@sftp.acme.test: Permission denied (publickey).", code=255),
    },
    ("permissions", False, "grant_permission"): {
        "403 of a bucket": python(
            "botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the GetObject "
            "operation: Access Denied"
        ),
        "table not granted": python(
            "psycopg2.errors.InsufficientPrivilege: permission denied for table invoices"
        ),
        "file not writable": python("PermissionError: [Errno 13] Permission denied: '/srv/out/day.parquet'"),
        "shell script not allowed": shell("rm: cannot remove '/srv/out/day.parquet': Permission denied"),
        "scope missing": logged("403 Forbidden: the token lacks the scope orders.write", level="error"),
        "java authorisation": java(
            "org.apache.hadoop.security.AccessControlException: Permission denied: user=etl, access=WRITE"
        ),
    },
    ("data", False, "fix_data"): {
        "duplicate key": python(
            "psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "
            '"orders_pkey"\nDETAIL:  Key (id)=(4711) already exists.'
        ),
        "null where none may be": python(
            "sqlite3.IntegrityError: NOT NULL constraint failed: orders.customer_id"
        ),
        "column renamed": python("KeyError: \"['net_total'] not in index\"", code='df[["id", "net_total"]]'),
        "column unknown to Spark": java(
            "org.apache.spark.sql.AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name "
            "`net_total` cannot be resolved."
        ),
        "number that is none": python(
            "ValueError: could not convert string to float: '12,50 EUR'", code="float(cell)"
        ),
        "encoding": python(
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xfc in position 1042: invalid start byte"
        ),
        "input file missing": python(
            "FileNotFoundError: [Errno 2] No such file or directory: '/in/orders/2026-02-11.csv'"
        ),
        "record refused by its model": python(
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for OrderRow\n"
            "quantity\n  Input should be a valid integer [type=int_parsing, input_value='three']"
        ),
        "csv with a wrong line": python(
            "pandas.errors.ParserError: Error tokenizing data. C error: Expected 9 fields in line 311, saw 11"
        ),
        "value too long": python(
            "psycopg2.errors.StringDataRightTruncation: value too long for type character varying(12)"
        ),
        "422 of a service": python(
            "requests.exceptions.HTTPError: 422 Client Error: Unprocessable Entity for url: https://api.acme.test/v2"
        ),
        "data test": shell(
            "Failure in test not_null_customer (orders.yml): Got 12 results, configured to fail if != 0"
        ),
    },
    ("external_service", True, "retry_backoff"): {
        "503": python(
            "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://api.acme.test/v2"
        ),
        "500 in a JSON log": logged("upstream answered 500 Internal Server Error for POST /v2/orders"),
        "502": python("urllib.error.HTTPError: HTTP Error 502: Bad Gateway"),
        "gateway timeout": python(
            "httpx.HTTPStatusError: Server error '504 Gateway Time-out' for url 'https://api.acme.test/v2/export'"
        ),
        "smtp says later": python("smtplib.SMTPDataError: (451, b'4.7.1 Please try again later')"),
    },
    ("external_service", True, "wait_rate_limit"): {
        "rate window": python(
            "openai.RateLimitError: Error code: 429 - too many requests per minute for this model"
        ),
        "throttled by AWS": python(
            "botocore.exceptions.ClientError: An error occurred (ThrottlingException) when calling the "
            "StartQueryExecution operation: Rate exceeded"
        ),
        "throttling in Java": java(
            "com.amazonaws.s3.AmazonS3Exception: Please reduce your request rate. (Status Code: 503)"
        ),
    },
    ("external_service", True, "wait_for_service"): {
        "maintenance": python(
            "requests.exceptions.HTTPError: 503 Server Error: scheduled maintenance until 04:00 UTC for url: https://x.acme.test"
        ),
    },
    ("timeout", True, "retry_backoff"): {
        "read": python("httpx.ReadTimeout: The read operation timed out"),
        "connect": python(
            "requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='api.acme.test', port=443): "
            "Max retries exceeded with url: /v2 (Caused by ConnectTimeoutError)"
        ),
        "lock wait": python(
            "pymysql.err.OperationalError: (1205, 'Lock wait timeout exceeded; try restarting transaction')"
        ),
        "grpc deadline": python(
            'grpc.RpcError: <status = StatusCode.DEADLINE_EXCEEDED, details = "Deadline Exceeded">'
        ),
        "java socket": java("java.net.SocketTimeoutException: Read timed out"),
        "shell": shell(
            "curl: (28) Operation timed out after 30001 milliseconds with 0 bytes received", code=28
        ),
        "pod start": "Job 'nightly-x7k': Pod never started: timed out after 300 seconds waiting for the pod",
    },
    ("timeout", True, "raise_timeout"): {
        "statement": python("psycopg2.errors.QueryCanceled: canceling statement due to statement timeout"),
        "flow run": "Flow run exceeded timeout of 3600.0 second(s)",
    },
    ("resource", False, "increase_memory"): {
        "memory of Python": python(
            "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 12.4 GiB for an array"
        ),
        "memory of Java": java("java.lang.OutOfMemoryError: Java heap space"),
        "killed for memory": "Pod nightly-x7k terminated: reason OOMKilled, exit code 137",
    },
    ("resource", False, "fix_configuration"): {
        "file handles": python("OSError: [Errno 24] Too many open files: '/in/orders/7.csv'"),
    },
    ("resource", False, "free_disk"): {
        "disk": python("OSError: [Errno 28] No space left on device: '/srv/lake/part-0001.parquet'"),
        "disk of Java": java("java.io.IOException: No space left on device"),
    },
    ("resource", True, "reduce_concurrency"): {
        "connection slots": python("psycopg2.OperationalError: FATAL:  sorry, too many clients already"),
    },
    ("resource", False, "none"): {
        "daily quota": python(
            "googleapiclient.errors.HttpError: <HttpError 429 when requesting "
            "https://sheets.acme.test returned \"Daily quota exceeded for project 'lake'\">"
        ),
        "bill not paid": python(
            "httpx.HTTPStatusError: Client error '402 Payment Required' for url 'https://api.acme.test'"
        ),
    },
    ("resource", True, "rerun_on_other_infrastructure"): {
        "spot node reclaimed": "Node 10.2.0.7 was terminated: spot instance interruption notice, pod evicted",
    },
    ("resource", True, "retry_backoff"): {
        "no node": "0/12 nodes are available: 12 Insufficient memory. preemption: no victims found",
        "killed without a word": "Process of 'brave-otter' exited with status code: -9; it was killed",
    },
    ("performance", True, "retry_backoff"): {
        "deadlock": python(
            "psycopg2.errors.DeadlockDetected: deadlock detected\nDETAIL:  Process 411 waits for ShareLock"
        ),
        "serialisation": python(
            "psycopg2.errors.SerializationFailure: could not serialize access due to concurrent update"
        ),
        "sqlite locked": python("sqlite3.OperationalError: database is locked", code="con.execute(sql)"),
        "deadlock of SQL Server": java(
            "com.microsoft.sqlserver.jdbc.SQLServerException: Transaction (Process ID 71) was deadlocked on "
            "lock resources with another process and has been chosen as the deadlock victim."
        ),
        "delta conflict": java(
            "io.delta.exceptions.ConcurrentAppendException: Files were added to partition [day=2026-02-11] "
            "by a concurrent update. Please try the operation again."
        ),
    },
    ("performance", True, "reduce_concurrency"): {
        "late": "Flow run is late: 41 runs are waiting for a concurrency slot of work pool 'small'",
    },
    ("logic", False, "fix_code"): {
        "type": python(
            "TypeError: unsupported operand type(s) for +: 'int' and 'str'", code="total = total + name"
        ),
        "none has no attribute": python(
            "AttributeError: 'NoneType' object has no attribute 'strip'", code="name = match.strip()"
        ),
        "name": python("NameError: name 'totl' is not defined", code="return totl"),
        "own table": python("KeyError: 'express'", code="return FEES[kind]"),
        "recursion": python("RecursionError: maximum recursion depth exceeded", code="return walk(node)"),
        "event loop": python("RuntimeError: asyncio.run() cannot be called from a running event loop"),
        "pickle": python("TypeError: cannot pickle '_thread.lock' object", code="pool.submit(work, client)"),
        "syntax of SQL": python(
            'psycopg2.errors.SyntaxError: syntax error at or near "FORM"\nLINE 1: SELECT id FORM orders'
        ),
        "null pointer": java(
            'java.lang.NullPointerException: Cannot invoke "String.length()" because "name" is null'
        ),
        "exit 1": "Process for flow run 'brave-otter' exited with status code: 1",
        "shell variable": shell("./nightly.sh: line 12: DAY: unbound variable"),
    },
}
"""Category, transience and remedy, each with failures by name."""
CASES = [
    pytest.param(text, *expected, id=f"{expected[0]}: {name}")
    for expected, texts in FAMILIES.items()
    for name, text in texts.items()
]


@pytest.mark.parametrize(("text", "category", "transient", "remedy"), CASES)
def test_a_failure_is_placed_where_somebody_must_act(
    text: str, category: str, remedy: str, *, transient: bool
) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient, found.remedy) == (category, transient, remedy), found.pattern


def test_every_category_is_tried() -> None:
    assert {category for category, _, _ in FAMILIES} == {
        category.value for category in IssueCategory if category is not IssueCategory.UNKNOWN
    }
