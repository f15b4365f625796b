"""Codes in failure texts: found where they are, and not where they are not."""

from __future__ import annotations

import pytest

from prefect_autopilot.troubleshooting.codes import find_codes, http_status

FOUND = [
    ("requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: x", "http:503"),
    ("httpx.HTTPStatusError: Client error '404 Not Found' for url 'x'", "http:404"),
    ("urllib.error.HTTPError: HTTP Error 502: Bad Gateway", "http:502"),
    ("aiohttp.ClientResponseError: 429, message='Too Many Requests'", "http:429"),
    ("<HttpError 403 when requesting x>", "http:403"),
    ("google.api_core.exceptions.Conflict: 409 POST https://x", "http:409"),
    ('{"statusCode": 401}', "http:401"),
    ("status_code=500", "http:500"),
    ("Error code: 429 - slow", "http:429"),
    ("<Response [502]>", "http:502"),
    ("server answered 503", "http:503"),
    ("SQLSTATE[40001]: Serialization failure", "sqlstate:40001"),
    ("('08S01', '[08S01] [Driver] gone')", "sqlstate:08S01"),
    ("pgcode='57014'", "sqlstate:57014"),
    ("error: gone { severity: 'ERROR', code: '42P01' }", "sqlstate:42P01"),
    ('PgDatabaseError { code: \\"42703\\" }', "sqlstate:42703"),
    ("{'S': 'ERROR', 'C': '57014'}", "sqlstate:57014"),
    ("Error 1213 (40001): no", "mysql:1213"),
    ("SQL0964C no", "db2:964"),
    ("[Errno 111] Connection refused", "errno:ECONNREFUSED"),
    ("[WinError 10060] no answer", "errno:ETIMEDOUT"),
    ("Error: getaddrinfo EAI_AGAIN x", "errno:EAI_AGAIN"),
    ("(os error 28)", "errno:ENOSPC"),
    ("StatusCode.DEADLINE_EXCEEDED", "grpc:DEADLINE_EXCEEDED"),
    ("rpc error: code = ResourceExhausted desc = x", "grpc:RESOURCE_EXHAUSTED"),
    ("grpc_status: 14", "grpc:UNAVAILABLE"),
    ("Process exited with status code: -9", "signal:SIGKILL"),
    ("command terminated with exit code 137", "signal:SIGKILL"),
    ("returned non-zero exit status 127.", "exit:127"),
    ("exit_code=143", "signal:SIGTERM"),
    ("step load ended with 127", "exit:127"),
    ('fatal: [w4]: FAILED! => {"rc": 137}', "signal:SIGKILL"),
    ("killed by signal 11", "signal:SIGSEGV"),
    ("ORA-12541: TNS:no listener", "ora:12541"),
    ("(1213, 'Deadlock found')", "mysql:1213"),
    ("ERROR 1045 (28000): no", "mysql:1045"),
    ("Msg 1205, Level 13", "mssql:1205"),
    ("SMTPDataError: (451, b'later')", "smtp:451"),
]


@pytest.mark.parametrize(("text", "code"), FOUND, ids=[code + " in " + text[:30] for text, code in FOUND])
def test_a_code_is_found(text: str, code: str) -> None:
    assert code in find_codes(text)


@pytest.mark.parametrize(
    "text",
    [
        "read 503 rows",
        "port 5000 is open",
        "took 429 ms",
        "invoice 40001 was paid",
        'File "x.py", line 404, in f',
        "ENGINE started, EXTRA care",
        "exit strategy for 9 customers",
        "version 1.500.2",
        "the UNKNOWN soldier",
    ],
)
def test_numbers_and_words_are_no_codes(text: str) -> None:
    assert find_codes(text) == frozenset()


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ({"http:500", "http:429"}, 429),
        ({"http:404"}, 404),
        ({"http:403", "http:500"}, 403),
        ({"exit:1"}, None),
    ],
)
def test_the_telling_status_wins(codes: set[str], status: int | None) -> None:
    assert http_status(frozenset(codes)) == status


@pytest.mark.parametrize("thousandths", ["402", "429", "503"])
def test_the_thousandths_of_a_time_are_no_http_status(thousandths: str) -> None:
    assert not find_codes(f"15:06:30.{thousandths} | ERROR   | Flow run 'x' - the load stopped")
