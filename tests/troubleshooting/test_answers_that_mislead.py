"""Answers whose form says one thing and whose words say another; remote tracebacks; logs in JSON."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text

C = IssueCategory
NO_JSON = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
MISLEADING = {
    "a login page in place of data": (
        "RuntimeError: got text/html: <html><head><title>Sign in | Portal</title></head>",
        C.PERMISSIONS,
        False,
    ),
    "no JSON because the service failed": (
        f"{NO_JSON}\nRuntimeError: invalid body (response code was 502)",
        C.EXTERNAL_SERVICE,
        True,
    ),
    "no JSON and nothing more": (NO_JSON, C.DATA, True),
    "a 400 that the service calls passing": (
        'ads.RequestError: Status: 400 {"error": {"code": 2, "is_transient": true}}',
        C.EXTERNAL_SERVICE,
        True,
    ),
    "a 400 that is a fault of the request": (
        'ads.RequestError: Status: 400 {"error": {"code": 9, "is_transient": false}}',
        C.DATA,
        False,
    ),
    "a limit of the minute": (
        "xero.RateLimitException: HTTP status code: 429 X-Rate-Limit-Problem: minute",
        C.EXTERNAL_SERVICE,
        True,
    ),
    "a limit of the day": (
        "xero.RateLimitException: HTTP status code: 429 X-Rate-Limit-Problem: day",
        C.RESOURCE,
        False,
    ),
    "a server error for want of memory": (
        "model.ResponseError: model requires more system memory (11 GiB) than is available (code: 500)",
        C.RESOURCE,
        False,
    ),
    "a command's own words": (
        'step 4: process "sh -c pip install tide" did not complete successfully: exit code: 137',
        C.RESOURCE,
        True,
    ),
    "what follows from a refused key": (
        "Received disconnect: Too many authentication failures\nDisconnected from h\nConnection closed.",
        C.PERMISSIONS,
        False,
    ),
}


@pytest.mark.parametrize("name", MISLEADING)
def test_the_words_decide_where_the_form_misleads(name: str) -> None:
    text, category, passing = MISLEADING[name]
    found = diagnose_text(text)
    assert (found.category, found.transient) == (category, passing)


REMOTE = {
    "Ray": (
        (
            "ray.exceptions.RayTaskError(ZeroDivisionError): ray::ratio() (pid=5, ip=10.2.8.4)\n"
            '  File "/srv/flows/ratios.py", line 19, in ratio\n    return won / played\n'
            "ZeroDivisionError: division by zero"
        ),
        C.LOGIC,
    ),
    "Dask": (
        (
            "distributed.scheduler.KilledWorker: Attempted to run task ('read', 17) on 4 workers, but all "
            "those workers died while running it."
        ),
        C.RESOURCE,
    ),
    "a process pool": (
        (
            'concurrent.futures.process._RemoteTraceback: \n"""\nTraceback (most recent call last):\n'
            '  File "/srv/flows/parts.py", line 8, in part\n    x()\nZeroDivisionError: by zero\n"""\n'
        ),
        C.LOGIC,
    ),
    "a note": (
        (
            'Traceback (most recent call last):\n  File "/srv/flows/a.py", line 3, in load\n    read()\n'
            "ConnectionRefusedError: [Errno 111] Connection refused\nwhile reading shop 7"
        ),
        C.CONNECTIVITY,
    ),
    "JSON log lines": (
        (
            '{"ts": "2026-03-02T03:00:00Z", "level": "info", "msg": "part 7 of 9"}\n'
            '{"ts": "2026-03-02T03:00:01Z", "level": "error", "msg": "ORA-00060: deadlock detected"}'
        ),
        C.PERFORMANCE,
    ),
    "Spark": (
        (
            "py4j.protocol.Py4JJavaError: An error occurred while calling o87.save.\n"
            ": org.apache.spark.SparkException: Job aborted due to stage failure: Lost task 0.3\n"
            "\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2844)\n"
            "Caused by: java.io.IOException: No space left on device"
        ),
        C.RESOURCE,
    ),
}


@pytest.mark.parametrize("name", REMOTE)
def test_a_failure_elsewhere_is_read_where_it_began(name: str) -> None:
    text, category = REMOTE[name]
    assert diagnose_text(text).category == category
