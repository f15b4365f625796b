"""Names in failure texts, held in tables: classes, symbolic codes, products, and literals looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import ServiceError
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.knowledge import Pattern, load_patterns
from prefect_autopilot.troubleshooting.literals import Literals
from prefect_autopilot.troubleshooting.parse import parse
from prefect_autopilot.troubleshooting.symbols import symbols
from prefect_autopilot.troubleshooting.technologies import find_service, load_technologies

PASSES, LASTS = True, False
NEUTRAL = ("order 4711", "the nightly load")
"""Messages that say nothing of what is wrong: only the class does."""

CLASSES: dict[tuple[str, bool], str] = {
    ("configuration", LASTS): """
        pytorch_lightning.utilities.exceptions.MisconfigurationException django.core.exceptions.DisallowedHost
        com.amazonaws.services.glue.model.InvalidArnException botocore.errorfactory.ResourceNotFoundException
        botocore.errorfactory.InvalidParameterValueException airflow.exceptions.AirflowConnectionNotFoundError
        kubernetes.config.config_exception.ConfigException org.openqa.selenium.DriverNotFoundException
        graphviz.backend.execute.ExecutableNotFound django.core.exceptions.ImproperlyConfigured
        looker_sdk.error.WorkspaceNotFoundError importlib.metadata.PackageNotFoundError ModuleNotFoundError
        zoneinfo._common.ZoneInfoNotFoundError botocore.errorfactory.OptInRequired System.DllNotFoundException
        urllib3.exceptions.URLSchemeUnknown prefect.exceptions.MissingFlowError java.lang.UnsatisfiedLinkError
        botocore.exceptions.ProfileNotFound pkg_resources.DistributionNotFound pulsar.exceptions.TopicNotFound
        requests.exceptions.InvalidSchema sqlalchemy.exc.NoSuchModuleError pypandoc.PandocNotInstalled
        configparser.NoSectionError pymongo.errors.InvalidURI
    """,
    ("connectivity", PASSES): """
        org.apache.zookeeper.KeeperException$ConnectionLossException
        aiohttp.client_exceptions.ClientConnectorDNSError aiohttp.client_exceptions.ServerDisconnectedError
        paramiko.ssh_exception.NoValidConnectionsError botocore.exceptions.EndpointConnectionError
        websockets.exceptions.ConnectionClosedError playwright._impl._errors.TargetClosedError socket.gaierror
        urllib3.exceptions.NameResolutionError dask.distributed.comm.CommClosedError java.net.ConnectException
        kafka.errors.NoBrokersAvailable pika.exceptions.StreamLostError ledger.net.ConnectRefusedError
        java.net.UnknownHostException DBConnection.ConnectionError requests.exceptions.SSLError
        pymongo.errors.AutoReconnect nats.errors.NoServersError javax.net.ssl.SSLException Errno::ECONNREFUSED
        ConnectionRefusedError ConnectionResetError ssl.SSLEOFError
    """,
    ("data", LASTS): """
        io.confluent.kafka.schemaregistry.IncompatibleSchemaException deltalake.exceptions.SchemaMismatchError
        org.apache.kafka.common.errors.RecordTooLargeException langchain_core.exceptions.OutputParserException
        botocore.errorfactory.RequestEntityTooLargeException org.apache.spark.SchemaEvolutionException
        azure.core.exceptions.BlobNotFoundError org.apache.spark.sql.AnalysisException Ecto.NoResultsError
        pyiceberg.exceptions.NoSuchTableError google.api_core.exceptions.BadRequest pandas.errors.ParserError
        kafka.errors.MessageSizeTooLargeError jsonschema.exceptions.ValidationError pyarrow.lib.ArrowInvalid
        sqlalchemy.exc.MultipleResultsFound psycopg.errors.NotNullViolation psycopg2.errors.UniqueViolation
        django.db.utils.IntegrityError java.io.FileNotFoundException json.decoder.JSONDecodeError struct.error
        ActiveRecord::RecordNotFound sqlalchemy.exc.NoResultFound stripe.CardDeclinedException binascii.Error
        PG::UniqueViolation UnicodeDecodeError FileNotFoundError gzip.BadGzipFile zlib.error
    """,
    ("external_service", PASSES): """
        redis.exceptions.ClusterDownError redis.exceptions.BusyLoadingError pymongo.errors.NotPrimaryError
        org.apache.kafka.common.errors.NotEnoughReplicasException google.api_core.exceptions.ResourceExhausted
        com.amazonaws.services.s3.model.SlowDownException azure.mgmt.datafactory.PipelineRunFailedException
        google.api_core.exceptions.ServiceUnavailable telethon.errors.rpcerrorlist.FloodWaitError
        dbt_cloud.errors.DbtCloudJobRunFailedError google.api_core.exceptions.TooManyRequests
        com.atlassian.jira.InternalFaultException botocore.errorfactory.ThrottlingException
        com.example.ledger.ServiceFaultException ccxt.base.errors.ExchangeNotAvailable openai.RateLimitError
        airbyte.exceptions.SyncFailedError ccxt.base.errors.OnMaintenance pybreaker.CircuitBreakerError
        openai.InternalServerError hvac.exceptions.VaultDown anthropic.OverloadedError
        Octokit::TooManyRequests
    """,
    ("logic", LASTS): """
        selenium.common.exceptions.StaleElementReferenceException java.util.ConcurrentModificationException
        simple_salesforce.exceptions.SalesforceMalformedQuery django.db.transaction.TransactionManagementError
        org.springframework.jdbc.BadSqlGrammarException ledger.graphql.GraphqlValidationException RuntimeError
        org.hibernate.LazyInitializationException java.lang.ArrayIndexOutOfBoundsException cpp.std.LengthError
        temporalio.workflow.NondeterminismError java.util.regex.PatternSyntaxException NotImplementedError
        asyncio.exceptions.InvalidStateError java.lang.IllegalArgumentException sqlalchemy.exc.MissingGreenlet
        django.core.exceptions.FieldError sqlparse.exceptions.SQLParseError sklearn.exceptions.NotFittedError
        System.InvalidOperationException java.lang.IllegalStateException jira.exceptions.InvalidJqlError
        dataclasses.FrozenInstanceError java.lang.NullPointerException System.NullReferenceException TypeError
        java.lang.StackOverflowError sqlglot.errors.OptimizeError lxml.etree.XPathEvalError cpp.std.OutOfRange
        sqlglot.errors.ParseError julia.UndefVarError graphlib.CycleError ZeroDivisionError UnboundLocalError
        AssertionError AttributeError LookupError RangeError ValueError IndexError re.error
    """,
    ("performance", PASSES): """
        org.springframework.dao.OptimisticLockingFailureException botocore.errorfactory.ResourceInUseException
        botocore.errorfactory.ConditionalCheckFailedException google.api_core.exceptions.PreconditionFailed
        azure.core.exceptions.ResourceModifiedError org.postgresql.util.DeadlockLoserException
        pyiceberg.exceptions.CommitFailedException psycopg2.errors.SerializationFailure
        redis.exceptions.LockNotOwnedError sqlalchemy.orm.exc.StaleDataError psycopg2.errors.DeadlockDetected
        redis.exceptions.WatchError elasticsearch.ConflictError redis.exceptions.LockError
    """,
    ("permissions", LASTS): """
        ldap3.core.exceptions.LDAPInvalidCredentialsResult oauthlib.oauth2.rfc6749.errors.InvalidGrantError
        botocore.errorfactory.AccessDeniedException google.api_core.exceptions.PermissionDenied
        hadoop.security.AccessControlException huggingface_hub.errors.GatedRepoError hvac.exceptions.Forbidden
        psycopg2.errors.InsufficientPrivilege jwt.exceptions.ExpiredSignatureError tableau.errors.Unauthorized
        java.nio.file.AccessDeniedException ledger.errors.AccountSuspendedError Aws::S3::Errors::AccessDenied
        google.auth.exceptions.RefreshError System.UnauthorizedAccessException psycopg2.errors.InvalidPassword
        feign.FeignException$Unauthorized requests_oauth.UnauthorizedError werkzeug.exceptions.Unauthorized
        jenkins.NotLicensedException openai.AuthenticationError Octokit::Unauthorized PermissionError
    """,
    ("resource", LASTS): """
        botocore.errorfactory.ServiceQuotaExceededException botocore.errorfactory.TooManyEntriesInBatchRequest
        botocore.errorfactory.LimitExceededException botocore.errorfactory.TooManyTagsException MemoryError
        numpy.core._exceptions._ArrayMemoryError ccxt.base.errors.InsufficientFunds java.lang.OutOfMemoryError
        com.arangodb.StorageFullException ledger.errors.NoSpaceLeftOnDevice ledger.errors.LimitReachedError
        slurm.QOSMaxJobsPerUserLimit System.OutOfMemoryException torch.cuda.OutOfMemoryError
        werkzeug.PaymentRequired psycopg2.errors.DiskFull rocksdb.NoSpaceError
    """,
    ("resource", PASSES): """
        org.apache.flink.runtime.jobmanager.NoResourceAvailableException nbclient.exceptions.DeadKernelError
        botocore.errorfactory.ConcurrentRunsExceededException concurrent.futures.process.BrokenProcessPool
        botocore.errorfactory.InsufficientInstanceCapacity azure.core.exceptions.AllocationFailedError
        billiard.exceptions.WorkerLostError distributed.scheduler.KilledWorker ray.exceptions.ActorDiedError
        psycopg2.errors.TooManyConnections pymongo.errors.WaitQueueFullError asyncio.queues.QueueFull
        httpx.PoolTimeout
    """,
    ("timeout", PASSES): """
        botocore.errorfactory.ExpiredIteratorException google.api_core.exceptions.DeadlineExceeded
        opensearchpy.SearchContextMissingException celery.exceptions.SoftTimeLimitExceeded httpx.ReadTimeout
        botocore.exceptions.ConnectTimeoutError requests.exceptions.ConnectTimeout subprocess.TimeoutExpired
        asyncio.exceptions.TimeoutError pymongo.errors.ExecutionTimeout java.net.SocketTimeoutException
        io.trino.QueryTimeoutException pymongo.errors.CursorNotFound psycopg2.errors.QueryCanceled
        System.TimeoutException Faraday::TimeoutError httpx.ConnectTimeout Net::ReadTimeout
    """,
}
"""Classes by the category that they belong to, and whether what they tell passes."""
CLASS_ROWS = [(name, *told) for told, names in CLASSES.items() for name in names.split()]


@pytest.mark.parametrize("message", NEUTRAL)
@pytest.mark.parametrize(("name", "category", "passes"), CLASS_ROWS, ids=[row[0] for row in CLASS_ROWS])
def test_a_class_alone_tells_the_condition(name: str, category: str, message: str, *, passes: bool) -> None:
    found = diagnose_text(f"{name}: {message}")
    assert (found.category, found.transient) == (category, passes)


def _rests_on_classes(pattern: Pattern) -> bool:
    others = (pattern.any, pattern.codes, pattern.regex, pattern.frame, pattern.files, pattern.context)
    return bool(pattern.exceptions) and not any(others)


@pytest.mark.parametrize(
    "pattern", [pytest.param(one, id=one.name) for one in load_patterns() if _rests_on_classes(one)]
)
def test_each_pattern_of_classes_is_met_by_two_rows(pattern: Pattern) -> None:
    texts = {name: f"{name}: {NEUTRAL[0]}" for name, *_ in CLASS_ROWS}
    met = {
        name
        for name, text in texts.items()
        if any(pattern.matches(unit, unit.text.lower(), text.lower()) for unit in parse(text).units)
    }
    assert len(met) >= min(2, len(pattern.exceptions))


@pytest.mark.parametrize(
    ("name", "category", "passes"),
    [
        ("httpx.ReadTimeout", "timeout", PASSES),
        ("botocore.errorfactory.AccessDeniedException", "permissions", LASTS),
        ("psycopg2.errors.UniqueViolation", "data", LASTS),
        ("psycopg2.errors.DeadlockDetected", "performance", PASSES),
        ("billiard.exceptions.WorkerLostError", "resource", PASSES),
        ("ZeroDivisionError", "logic", LASTS),
    ],
)
def test_a_class_tells_the_same_at_the_end_of_a_traceback(name: str, category: str, *, passes: bool) -> None:
    head = 'Traceback (most recent call last):\n  File "/srv/flows/load.py", line 7, in load\n    step()\n'
    found = diagnose_text(f"{head}{name}: {NEUTRAL[0]}")
    assert (found.category, found.transient, found.exception) == (category, passes, name)


CODES = [
    ('{"code": "RequestTimeTooSkewed", "hostId": "n7"}', "RequestTimeTooSkewed", "configuration", LASTS),
    ('{"error": {"code": "SlowDown", "requestId": "r7"}}', "SlowDown", "external_service", PASSES),
    ('{"Code": "AccessDenied", "RequestId": "r7"}', "AccessDenied", "permissions", LASTS),
    ('{"errorCode": "ThrottlingException", "batch": 12}', "ThrottlingException", "external_service", PASSES),
    ('{"error": "insufficient_scope", "batch": 12}', "InsufficientScope", "permissions", LASTS),
    ('{"error": "invalid_client", "batch": 12}', "InvalidClient", "permissions", LASTS),
    ('{"status": "UNAUTHENTICATED", "batch": 12}', "Unauthenticated", "permissions", LASTS),
    ('{"status": "DEADLINE_EXCEEDED", "batch": 12}', "DeadlineExceeded", "timeout", PASSES),
    ('{"status": "UNAVAILABLE", "batch": 12}', "Unavailable", "external_service", PASSES),
    ('{"errorName": "QUERY_QUEUE_FULL", "batch": 12}', "QueryQueueFull", "resource", PASSES),
    ('{"errorName": "EXCEEDED_TIME_LIMIT", "batch": 12}', "ExceededTimeLimit", "timeout", PASSES),
    ('{"errorName": "TABLE_NOT_FOUND", "batch": 12}', "TableNotFound", "data", LASTS),
    ('{"codeName": "WriteConflict", "ok": 0}', "WriteConflict", "performance", PASSES),
    ('{"codeName": "DuplicateKey", "ok": 0}', "DuplicateKey", "data", LASTS),
    ('{"reason": "rateLimitExceeded", "domain": "usage"}', "RateLimitExceeded", "external_service", PASSES),
    ('{"reason": "dailyLimitExceeded", "domain": "usage"}', "DailyLimitExceeded", "resource", LASTS),
    ('{"reason": "accessNotConfigured", "domain": "usage"}', "AccessNotConfigured", "configuration", LASTS),
    ('{"error": {"type": "invalid_request_error", "param": "sku"}}', "InvalidRequestError", "data", LASTS),
    ('{"error": {"type": "overloaded_error"}}', "OverloadedError", "external_service", PASSES),
    ('{"error": {"type": "card_declined"}}', "CardDeclined", "data", LASTS),
    ('{"error": {"code": "context_length_exceeded"}}', "ContextLengthExceeded", "data", LASTS),
    ('{"error": {"code": "insufficient_quota"}}', "InsufficientQuota", "resource", LASTS),
    ('{"error": {"code": "AuthorizationFailure"}}', "AuthorizationFailure", "permissions", LASTS),
    ('{"error": {"code": "ServerBusy"}}', "ServerBusy", "external_service", PASSES),
    ('{"error": {"code": "SkuNotAvailable"}}', "SkuNotAvailable", "resource", PASSES),
    ('{"extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}', "GraphqlValidationFailed", "logic", LASTS),
    ('{"extensions": {"code": "MAX_COST_EXCEEDED"}}', "MaxCostExceeded", "external_service", PASSES),
    ('{"errorCode": "UNABLE_TO_LOCK_ROW", "fields": []}', "UnableToLockRow", "performance", PASSES),
    ('{"errorCode": "INVALID_SESSION_ID", "fields": []}', "InvalidSessionId", "permissions", LASTS),
    ('{"__type": "coral.service#ExpiredTokenException"}', "ExpiredTokenException", "permissions", LASTS),
    ('{"error": "lock_timeout", "batch": 12}', "LockTimeout", "timeout", PASSES),
    ('{"title": "NoSuchKey", "batch": 12}', "NoSuchKey", "data", LASTS),
    ("level=error job=load code=CONDITIONAL_CHECK_FAILED", "ConditionalCheckFailed", "performance", PASSES),
    ("level=error job=nightly reason=FailedScheduling", "FailedScheduling", "resource", PASSES),
    ("level=error job=nightly status=TOO_MANY_REQUESTS", "TooManyRequests", "external_service", PASSES),
    ("level=error job=nightly error_type=ConnectionReset", "ConnectionReset", "connectivity", PASSES),
    ("level=error job=nightly err_code=NO_SUCH_BUCKET", "NoSuchBucket", "configuration", LASTS),
    ("level=error job=nightly errorClass=SchemaMismatch", "SchemaMismatch", "data", LASTS),
    ("level=error job=nightly faultcode=soap:UNKNOWN_HOST", "UnknownHost", "connectivity", PASSES),
    ("ERROR load stopped (LEASE_ALREADY_PRESENT) batch 12", "LeaseAlreadyPresent", "performance", PASSES),
    ("ERROR load stopped, userRateLimitExceeded at 7", "UserRateLimitExceeded", "external_service", PASSES),
    ("ERROR load stopped after NETWORK_UNREACHABLE seen", "NetworkUnreachable", "connectivity", PASSES),
    ("code: Neo.ClientError.Security.Unauthorized", "Unauthorized", "permissions", LASTS),
    ("code => CIRCUIT_BREAKER_OPEN, batch => 12", "CircuitBreakerOpen", "external_service", PASSES),
    ("called `Result::unwrap()` on an `Err` value: PoolTimedOut", "PoolTimedOut", "resource", PASSES),
    ("called `Result::unwrap()` on an `Err` value: RowNotFound", "RowNotFound", "data", LASTS),
]
"""Bodies and log fields with a code in them: how it is written as a class, and what it tells."""


@pytest.mark.parametrize(("text", "name", "category", "passes"), CODES, ids=[row[1] for row in CODES])
def test_a_code_tells_what_the_class_of_that_name_would(
    text: str, name: str, category: str, *, passes: bool
) -> None:
    found = diagnose_text(text)
    assert name in symbols(text)
    assert (found.category, found.transient) == (category, passes)


@pytest.mark.parametrize(
    "text",
    [
        '{"code": 0, "hostId": "n7"}',
        '{"status": "accepted", "batch": 12}',
        '{"type": "order", "title": "Night"}',
        "level=info job=nightly status=done",
        "level=error job=nightly reason=unknown",
        '{"error": "Warning"}',
    ],
)
def test_a_field_with_an_ordinary_value_names_no_condition(text: str) -> None:
    assert symbols(text) == frozenset()


BY_MODULE = [
    ("snowflake.connector.errors.ProgrammingError", "snowflake"),
    ("google.cloud.bigquery.exceptions.BigQueryError", "google bigquery"),
    ("google.cloud.spanner_v1.exceptions.Aborted", "google spanner"),
    ("google.api_core.exceptions.Aborted", "google cloud"),
    ("azure.cosmos.exceptions.CosmosHttpResponseError", "azure cosmos db"),
    ("azure.storage.blob.BlobError", "azure blob storage"),
    ("azure.servicebus.exceptions.SessionLockLostError", "azure service bus"),
    ("azure.core.exceptions.HttpResponseError", "azure"),
    ("pymongo.errors.OperationFailure", "mongodb"),
    ("psycopg2.errors.DiskFull", "postgres"),
    ("pymysql.err.DataError", "mysql"),
    ("pymssql.exceptions.OperationalError", "sql server"),
    ("oracledb.exceptions.DatabaseError", "oracle"),
    ("redis.exceptions.ResponseError", "redis"),
    ("cassandra.cluster.NoHostAvailable", "cassandra"),
    ("neo4j.exceptions.ClientError", "neo4j"),
    ("kafka.errors.KafkaTimeoutError", "kafka"),
    ("pika.exceptions.AMQPError", "rabbitmq"),
    ("celery.exceptions.Retry", "celery"),
    ("kubernetes.client.exceptions.ApiException", "kubernetes"),
    ("docker.errors.APIError", "docker"),
    ("simple_salesforce.exceptions.SalesforceError", "salesforce"),
    ("stripe.error.APIError", "stripe"),
    ("slack_sdk.errors.SlackApiError", "slack"),
    ("openai.APIError", "openai"),
    ("hvac.exceptions.InvalidPath", "vault"),
    ("paramiko.ssh_exception.SSHException", "sftp"),
    ("duckdb.CatalogException", "duckdb"),
]
BY_HOST = [
    ("ConnectionError: https://acme.snowflakecomputing.com/session", "snowflake"),
    ("ConnectionError: https://orders.documents.azure.com/dbs", "azure cosmos db"),
    ("ConnectionError: https://acme.blob.core.windows.net/in/a.csv", "azure blob storage"),
    ("ConnectionError: https://graph.microsoft.com/v1.0/users", "microsoft graph"),
    ("ConnectionError: https://spanner.googleapis.com/v1/a", "google spanner"),
    ("ConnectionError: https://other.googleapis.com/v1/a", "google cloud"),
    ("HTTPError: host='api.hubapi.com', port=443", "hubspot"),
    ("HTTPError: https://acme.zendesk.com/api/v2/tickets", "zendesk"),
    ("HTTPError: https://acme.myshopify.com/admin/orders", "shopify"),
    ("HTTPError: https://api.airtable.com/v0/a", "airtable"),
    ("HTTPError: https://api.telegram.org/bot7/send", "telegram"),
    ('OperationalError: connection to server at "nightly.rds.amazonaws.com", port 5432 failed', "aws rds"),
]
BY_WORD = [
    ("the lake said: athena query 77 stopped", "aws athena"),
    ("AADSTS700016: application 77 was refused", "microsoft entra id"),
    ("Code: 252. DB::Exception: parts", "clickhouse"),
    ("NOAUTH for user night", "redis"),
    ("Neo.ClientError.Schema.Failed from neo4j 5", "neo4j"),
    ("the pod night-7 ended: CrashLoopBackOff", "kubernetes"),
    ("sbatch: job 77 was not taken", "slurm"),
    ("io.trino.spi.Stopped: query 77", "trino"),
    ("errCode = 2, detailMessage = stopped", "doris"),
    ("SQL0964C on page 7, SQL0911N before", "db2"),
    ("namenode n7 is in safe mode", "hdfs"),
    ("the hashicorp vault is sealed", "vault"),
    ("dbt model orders stopped", "dbt"),
    ("the dask scheduler left", "dask"),
    ("terraform apply stopped", "terraform"),
    ("the meltano tap stopped", "meltano"),
    ("debezium snapshot stopped", "debezium"),
    ("the timescaledb chunk 7 stopped", "timescaledb"),
    ("vttablet n7 stopped", "planetscale"),
    ("the vertica node n7 left", "vertica"),
    ("the exasol n7 stopped", "exasol"),
    ("GetSecretValue was refused", "aws secrets manager"),
    ("GetShardIterator was refused", "aws kinesis"),
]
BY_PATH = [
    ("duckdb/core.py", "duckdb"),
    ("gspread/http_client.py", "google sheets"),
    ("google/cloud/bigquery/client.py", "google bigquery"),
    ("polars/frame.py", "polars"),
    ("sqlite3/dbapi2.py", "sqlite"),
    ("elasticsearch/client.py", "elasticsearch"),
    ("mlflow/store.py", "mlflow"),
    ("torch/nn/module.py", "pytorch"),
    ("google/auth/grants.py", "google cloud"),
    ("smtplib/send.py", "smtp"),
]


@pytest.mark.parametrize(("name", "product"), BY_MODULE)
def test_the_module_of_a_class_names_the_product(name: str, product: str) -> None:
    assert find_service(parse(f"{name}: {NEUTRAL[0]}")) == product


@pytest.mark.parametrize(("text", "product"), [*BY_HOST, *BY_WORD])
def test_a_host_or_a_word_names_the_product(text: str, product: str) -> None:
    assert find_service(parse(text)) == product


def _called(package: str) -> str:
    return (
        'Traceback (most recent call last):\n  File "/srv/flows/load.py", line 7, in load\n    step()\n'
        f'  File "/usr/lib/python3.12/site-packages/{package}", line 70, in call\n    go()\n'
        "RuntimeError: order 4711"
    )


@pytest.mark.parametrize(("package", "product"), BY_PATH)
def test_the_package_that_was_called_names_the_product(package: str, product: str) -> None:
    assert find_service(parse(_called(package))) == product


def test_the_tables_hold_sixty_products_that_are_known() -> None:
    named = {product for table in (BY_MODULE, BY_HOST, BY_WORD, BY_PATH) for _, product in table}
    assert named <= {one.name for one in load_technologies()}
    assert len(named) >= 60


BEST_NAMED = {
    "a module, a word": ("psycopg2.errors.DiskFull: redis was behind", "postgres"),
    "a module, a host": ("psycopg2.errors.DiskFull: https://acme.snowflakecomputing.com/a", "snowflake"),
    "a host, a word": ("RuntimeError: redis asked https://acme.zendesk.com/a", "zendesk"),
    "three words": ("RuntimeError: kafka and redis and athena", "aws athena"),
    "two words": ("RuntimeError: redis and kafka", "redis"),
    "a vendor, its product": ("google.api_core.exceptions.Aborted: firestore", "google firestore"),
    "a vendor, a word": ("google.cloud.exceptions.Conflict: redis", "redis"),
    "a vendor, a host": ("azure.core.exceptions.Conflict: https://acme.zendesk.com/a", "zendesk"),
    "a wrapped driver": ("sqlalchemy.exc.DBAPIError: (psycopg2.OperationalError) order 4711", "postgres"),
    "another wrapped driver": (
        "sqlalchemy.exc.DBAPIError: (pymysql.err.OperationalError) order 4711",
        "mysql",
    ),
    "an unknown module": ("ledger.errors.Stopped: order 4711", None),
    "an unknown host": ("RuntimeError: https://ledger.example.test/orders", None),
    "words within words": ("the redistribution of predisposed items stopped", None),
    "our own module": ("prefect.exceptions.CrashedRun: kafka", "prefect"),
}
"""What names several products, or none, and which of them the call went to."""


@pytest.mark.parametrize(("text", "product"), BEST_NAMED.values(), ids=list(BEST_NAMED))
def test_of_several_products_the_one_that_is_named_best_wins(text: str, product: str | None) -> None:
    assert find_service(parse(text)) == product


def test_a_word_says_more_than_a_folder_and_what_runs_the_flow_says_nothing() -> None:
    assert find_service(parse(_called("smtplib/send.py") + " of redis")) == "redis"
    runs_it = '  File "/usr/lib/python3.12/site-packages/airflow/run.py", line 3, in run\n    load()\n'
    text = _called("sqlite3/dbapi2.py").replace('  File "/srv', runs_it + '  File "/srv')
    assert find_service(parse(text)) == "sqlite"


def test_what_we_called_ourselves_is_told_by_the_call() -> None:
    error = ServiceError("no answer", service="erp", operation="list_orders", effect="safe", permanent=False)
    assert find_service(parse(f"ServiceError: {error}")) == "erp"


@pytest.mark.parametrize(
    ("literals", "text", "found"),
    [
        pytest.param((), "anything", (), id="none to look for"),
        pytest.param(("kafka",), "", (), id="an empty text"),
        pytest.param(("kafka", "redis"), "the order stopped", (), id="none found"),
        pytest.param(("kafka",), "kafk", (), id="a beginning only"),
        pytest.param(("kafka",), "kafk kafka", ("kafka",), id="a beginning before the whole"),
        pytest.param(("s3", "a", "abc"), "in s3", ("s3",), id="short ones"),
        pytest.param(("s3",), "s3", ("s3",), id="as short as the text"),
        pytest.param(("s3",), "s", (), id="longer than the text"),
        pytest.param(("", "redis"), "order", ("",), id="the empty literal"),
        pytest.param(("time", "timed out"), "it timed out", ("time", "timed out"), id="one begins another"),
        pytest.param(("time", "timed out"), "the time", ("time",), id="the shorter of two"),
        pytest.param(("time limit", "time zone"), "a time zone", ("time zone",), id="one of two alike"),
        pytest.param(("sql", "sqlite"), "sqlite3", ("sql", "sqlite"), id="a short one within a long one"),
        pytest.param(("ftp",), "sftp", ("ftp",), id="within another word"),
        pytest.param(("redis",), "Redis", (), id="the text must be in lower case"),
        pytest.param(("redis", "redis"), "redis redis", ("redis",), id="told once"),
        pytest.param(("no ü", "über"), "der über-lauf", ("über",), id="beyond ASCII"),
    ],
)
def test_literals_are_found_where_they_stand(
    literals: tuple[str, ...], text: str, found: tuple[str, ...]
) -> None:
    assert Literals(literals).found_in(text) == frozenset(found)


@given(st.lists(st.text("abc ", max_size=6), max_size=12), st.text("abc ", max_size=40))
def test_looking_for_all_at_once_finds_what_each_alone_would(literals: list[str], text: str) -> None:
    assert Literals(literals).found_in(text) == {one for one in literals if one in text}
