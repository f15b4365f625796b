"""Conditions that services name without raising them, and the numbers of vendors."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.codes import find_codes
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.symbols import MOST_CHARACTERS, camel, symbols, vendors

NAMED = [
    ("lake.errors.Refused: (TOO_MANY_PARTS) later", "TooManyParts"),
    ("store said code: AccessDenied, message: no", "AccessDenied"),
    ('{"error": "invalid_grant", "error_description": "gone"}', "InvalidGrant"),
    ("QueryFailed(type=INSUFFICIENT_RESOURCES, name=QUERY_QUEUE_FULL)", "QueryQueueFull"),
    ("ledger: Error 403: slow down, userRateLimitExceeded", "UserRateLimitExceeded"),
    ("imap: b'[AUTHENTICATIONFAILED] no'", "Authenticationfailed"),
    ("{code: Neo.TransientError.Transaction.DeadlockDetected}", "DeadlockDetected"),
    ("ErrorCode=UserErrorInvalidFolderPath,'Type=x'", "UserErrorInvalidFolderPath"),
    ("wsse:FailedAuthentication: reason=TokenExpired", "TokenExpired"),
    ("gone after 3 tries (Caused by LedgerTimeoutError(none))", "LedgerTimeoutError"),
    ("RetryError[<Future state=finished raised PartitionNotFound>]", "PartitionNotFound"),
]


@pytest.mark.parametrize(("text", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_symbolic_code_is_read_as_a_class_name(text: str, name: str) -> None:
    assert name in symbols(text)


@pytest.mark.parametrize(
    "text",
    [
        "status: ok",
        "type: table",
        "reason: the file is gone",
        "level=ERROR name=nightly",
        "the plan (of the day) is ready",
        "https://shop.example.test/a_b?code=orders",
        "code: 42",
        "see NOTES.md (section two)",
        "",
    ],
)
def test_ordinary_words_are_no_code(text: str) -> None:
    assert symbols(text) == frozenset()


def test_names_far_down_a_long_text_are_not_looked_for() -> None:
    assert symbols(" " * MOST_CHARACTERS + "(ACCESS_DENIED)") == frozenset()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("TOO_MANY_PARTS", "TooManyParts"),
        ("AccessDenied", "AccessDenied"),
        ("rateLimitExceeded", "RateLimitExceeded"),
        ("invalid-grant", "InvalidGrant"),
        ("HTTPTimeout", "HttpTimeout"),
        ("7_SHARDS", ""),
        ("a_b_c_d_e_f_g_h_i", ""),
        ("", ""),
    ],
)
def test_a_name_is_written_as_a_class(value: str, name: str) -> None:
    assert camel(value) == name


@given(st.text(max_size=400))
def test_any_text_is_read_without_complaint(text: str) -> None:
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in symbols(text))
    assert all(":" in code for code in find_codes(text))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Code: 241. DB::Exception: too much", "memory"),
        ("ldap.BUSY: {'result': 51, 'desc': 'x'}", "busy"),
        ("cassandra: Error from server: code=1100 [Coordinator]", "read_timeout"),
        ("pymongo: {'code': 11000, 'codeName': 'DuplicateKey'}", "constraint"),
        ("snowflake.connector.errors.DatabaseError: 390114 (08001): gone", "credential"),
        ("rsync error: no time (code 30) at io.c(204)", "read_timeout"),
        ("curl: (7) nobody home", "refused"),
        ("Command exited with status 124", "run_timeout"),
        ("mail: 550 5.1.1 nobody", "request"),
        ("ftplib.error_perm: 530 no", "credential"),
        ("aiomqtt.MqttError: [code:135] no", "right"),
        ("ExceptionResponse(function_code=131, exception_code=2)", "request"),
        ("websockets: received 1006 (abnormal closure)", "cut"),
        ("graph.facebook.com said {'code': 190}", "credential"),
        ("AADSTS7000222: the secret lapsed", "credential"),
        ("process left with 0xC0000005", "crash"),
        ("ERROR 64 (0x00000040) Copying File x", "cut"),
        ("PermissionError: [WinError 32] x", "busy"),
        ("+ CategoryInfo          : ResourceBusy: (x:String) [Get-Item]", "busy"),
        ("goto: net::ERR_CERT_DATE_INVALID at x", "certificate"),
        ("CUDA error: invalid device ordinal", "setting"),
        ("NVRM: Xid (PCI:0000:3b:00): 48, pid=1", "lost"),
        ("reason: PreemptionByScheduler", "lost"),
        ("mount: //nas/in: Host is down", "unreachable"),
        ("ftplib.error_perm: 522 x", "tls"),
        ("reason: BackoffLimitExceeded", "no_code"),
        ("\n\t401001: no entry", "credential"),
        ('{"resourceType":"OperationOutcome","issue":[{"code":"throttled"}]}', "rate_limit"),
        ("MSA|AR|77|no\nERR|||206^x^HL70357|E", "busy"),
        ("MySQLdb.OperationalError: (1153, 'no')", "request"),
        ("Microsoft.Data.SqlClient.SqlException: no\nError Number:-2,State:0", "statement_timeout"),
        ("ORA-30036: no", "disk"),
        ("DPI-1047: no", "missing_module"),
        ("SQL0302N  no", "record"),
        ('SQL0911N  no.  Reason code "68".  SQLSTATE=40001', "lock_timeout"),
        (" *** Failure 3535 no", "record"),
        ("PrismaClientKnownRequestError: no { code: 'P2034' }", "deadlock"),
        ("nats: code=503 err_code=10047 no", "quota"),
        ("redis.exceptions.ResponseError: CROSSSLOT no", "code"),
        ("<MilvusException: (code=101, message=no)>", "code"),
        ('{"error_code":40403,"message":"no"}', "missing_thing"),
        ('KafkaError{code=_MAX_POLL_EXCEEDED,val=-147,str="no"}', "conflict"),
        ("AK5*R*5~", "request"),
        ('{"error":["EService:Busy"]}', "server_error"),
    ],
)
def test_a_vendors_number_has_its_documented_meaning(text: str, meaning: str) -> None:
    assert f"means:{meaning}" in find_codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "Code: 241 of 300 shops are done",
        "rsync moved 30 files (code 7x)",
        "result: 51 rows",
        "(7) of (9)",
        "the GPU is OutOfMemory",
    ],
)
def test_a_number_without_its_vendor_means_nothing(text: str) -> None:
    assert not [code for code in find_codes(text) if code.startswith("means:")]


def test_every_meaning_is_taken_up_by_a_pattern() -> None:
    told = {f"means:{kind}" for vendor in vendors() for kind in vendor.means.values()}
    taken = {code for pattern in load_patterns() for code in pattern.codes if code.startswith("means:")}
    assert told == taken


def test_no_number_means_two_things() -> None:
    folded = [(vendor.find.pattern, number.lower()) for vendor in vendors() for number in vendor.means]
    assert len(folded) == len(set(folded))


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("lake.Refused: request failed (ACCESS_DENIED)", IssueCategory.PERMISSIONS),
        ("lake.Refused: request failed, code: QUERY_QUEUE_FULL", IssueCategory.RESOURCE),
        ("lake.Refused: request failed, reason: TooManyRequests", IssueCategory.EXTERNAL_SERVICE),
        ("lake.Refused: request failed, code: DeadlockDetected", IssueCategory.PERFORMANCE),
        ("lake.Refused: request failed, code: EXCEEDED_TIME_LIMIT", IssueCategory.TIMEOUT),
    ],
)
def test_a_service_nobody_knows_is_understood_by_the_name_it_gives(
    text: str, category: IssueCategory
) -> None:
    assert diagnose_text(text).category == category


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("the key was blocked by nobody in the clocked by-pass", "database-locked"),
        ("ExecuteUserScriptError: ExitCode 1", "code-not-found"),
        ("celery.exceptions.NotRegistered: 'billing.tasks.close'", "hard-quota"),
    ],
)
def test_a_word_inside_another_word_is_not_that_word(text: str, pattern: str) -> None:
    assert diagnose_text(text).pattern != pattern


OF_ANOTHER_KIND = {
    "bytes of a socket": "websocket: received 1006 bytes",
    "frames of a socket": "websocket: sent 1011 frames",
    "clients of a socket": "websocket: status: 1001 clients connected",
    "files of a fetch": "curl 7 files from feed.test",
    "times of a fetch": "retry curl 28 times",
    "a part of a fetch": "running curl 6 of 10",
    "an exit of a broker's client": "mqtt exit code: 1",
    "a place of a broker's client": "mqtt zip code: 135 Berlin",
    "a place of a sender": "twilio postal code: 20003",
    "a country of a sender": "messagebird country code: 20",
    "rows of a warehouse": "2026-01-01 03:00: 390100 rows written to snowflake",
    "a place of a store": "clickhouse: Postal Code: 100 stored",
}


@pytest.mark.parametrize("text", OF_ANOTHER_KIND.values(), ids=OF_ANOTHER_KIND.keys())
def test_a_count_or_a_code_of_another_kind_means_nothing(text: str) -> None:
    assert not [code for code in find_codes(text) if code.startswith("means:")]


@pytest.mark.parametrize(
    "raised",
    ["asyncpg.exceptions.DeadlockDetectedError", "asyncpg.exceptions._base.DeadlockDetectedError"],
    ids=["the package", "a module of it"],
)
def test_a_class_is_read_below_the_longest_module_that_fits(raised: str) -> None:
    assert "sqlstate:40P01" in find_codes(f"{raised}: deadlock detected")


def test_a_message_beside_a_number_is_no_count_of_messages() -> None:
    assert "means:code" in find_codes("<MilvusException: (code=101, message=no)>")


@pytest.mark.parametrize(
    "raised",
    [
        "com.mysql.cj.jdbc.exceptions.CommunicationsException",
        "com.acme.ledger.CommunicationsException",
        "acme.bus.CommunicationException",
    ],
)
def test_a_line_that_went_is_known_by_its_class(raised: str) -> None:
    assert diagnose_text(f"{raised}: the call did not end well").category.value == "connectivity"
