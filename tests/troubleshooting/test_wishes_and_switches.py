"""What tells of no failure is not tried again; refusals that no right and no wait cures are told apart."""

from __future__ import annotations

import pytest

from prefect_autopilot.cli.batch_diagnose import diagnose_rows
from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.codes import find_codes

WISHES = [
    "Every Monday at 9 am send a report from Stripe to Slack",
    "When a form is submitted, add a row to Google Sheets and retry if it fails",
    "Please copy new files of the share to the lake each night",
    "Post the weather to #general daily",
    "Daily at 7 read the orders and mail the totals to sales@shop.test",
    "hello world",
]


@pytest.mark.parametrize("text", WISHES)
def test_a_wish_is_no_failure_and_nothing_to_try_again(text: str) -> None:
    (answer,) = diagnose_rows([{"id": "1", "text": text}])
    assert (answer["category"], answer["transient"], answer["remedy"]) == ("unknown", False, "none")
    assert answer["confidence"] < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "Every call to orders-db was refused: connection refused",
        "When connecting: psycopg2.OperationalError: server closed the connection unexpectedly",
        "Flow run encountered an exception: ConnectionRefusedError: password=…(redacted)",
        "ERROR every retry of the export was cut off: connection reset by peer",
    ],
)
def test_a_failure_that_begins_like_a_wish_is_still_one(text: str) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient) == (IssueCategory.CONNECTIVITY, True)


TOLD_APART = {
    "a feature that is off is no missing right": (
        "pkg.errors.HttpError: 403 Forbidden: the geocoding API is not enabled for project p-9",
        ("configuration", False, "fix_configuration"),
    ),
    "a missing right stays one": (
        "pkg.errors.HttpError: 403 Forbidden: the caller may not read project p-9",
        ("permissions", False, "grant_permission"),
    ),
    "a limit of a day does not come back in minutes": (
        "smtplib.SMTPDataError: (550, b'5.4.5 Weekly sending limit of this mailbox exceeded')",
        ("resource", False, "none"),
    ),
    "a limit of a minute does": (
        "pkg.errors.ApiError: 429 Too Many Requests: the limit per minute is exceeded",
        ("external_service", True, "wait_rate_limit"),
    ),
    "memory that YARN took is no loss of a node": (
        "ExecutorLostFailure: Container killed by YARN for exceeding memory limits, 9.1 of 8 GB used",
        ("resource", False, "increase_memory"),
    ),
    "a lost executor is": (
        "ExecutorLostFailure: executor 4 exited, its node was decommissioned",
        ("resource", True, "rerun_on_other_infrastructure"),
    ),
    "a changed host key": (
        "paramiko.ssh_exception.BadHostKeyException: Host key for server 'a.test' does not match",
        ("connectivity", False, "fix_configuration"),
    ),
    "two coroutines on one connection wait for nobody": (
        "asyncpg.exceptions.InterfaceError: cannot perform operation: another operation is in progress",
        ("logic", False, "fix_code"),
    ),
    "somebody else's operation passes": (
        "dw.errors.LoadError: another operation is in progress on table orders",
        ("performance", True, "retry_backoff"),
    ),
    "a lease of somebody else": (
        "azure.core.exceptions.HttpResponseError: There is currently a lease on it\nErrorCode:LeaseIdMissing",
        ("performance", True, "retry_backoff"),
    ),
    "a stale tag": (
        "httpx.HTTPStatusError: Client error '412 Precondition Failed' for url 'https://cms.test/pages/4'",
        ("performance", True, "retry_backoff"),
    ),
    "a daemon that is not there is no missing input": (
        """Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/docker/transport/unixconn.py", line 26, in connect
    sock.connect(self.unix_socket)
FileNotFoundError: [Errno 2] No such file or directory""",
        ("connectivity", True, "retry_backoff"),
    ),
    "an input that is not there stays one": (
        """Traceback (most recent call last):
  File "/srv/flows/load.py", line 9, in load
    open("/in/2026-03-02.csv")
FileNotFoundError: [Errno 2] No such file or directory: '/in/2026-03-02.csv'""",
        ("data", False, "fix_data"),
    ),
    "a section of a settings file": (
        """Traceback (most recent call last):
  File "/srv/flows/bill.py", line 9, in load
    settings["ledger"]["host"]
  File "/usr/lib/python3.11/configparser.py", line 979, in __getitem__
    raise KeyError(key)
KeyError: 'ledger'""",
        ("configuration", False, "fix_configuration"),
    ),
}


@pytest.mark.parametrize(("text", "expected"), TOLD_APART.values(), ids=TOLD_APART)
def test_what_looks_alike_is_told_apart(text: str, expected: tuple[str, bool, str]) -> None:
    found = diagnose_text(text)
    assert (found.category.value, found.transient, found.remedy) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Client error '412 Precondition Failed' for url", "http:412"),
        ("Tunnel: 407 Proxy Authentication Required", "http:407"),
        ("answer 431 Request Header Fields Too Large", "http:431"),
        ("451 Unavailable For Legal Reasons", "http:451"),
        ("dav: 507 Insufficient Storage", "http:507"),
    ],
)
def test_a_status_is_known_by_its_phrase(text: str, code: str) -> None:
    assert code in find_codes(text)
