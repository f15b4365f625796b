"""What is said of one condition in general forms, whatever the technology, and what is said in doubt."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text

C = IssueCategory

FORMS: dict[str, tuple[str, IssueCategory, bool]] = {
    "a store that is full": ("kvstore: database space exceeded at revision 99120", C.RESOURCE, False),
    "places that are taken": (
        "current running txns on db 71 is 900, larger than limit 900",
        C.RESOURCE,
        True,
    ),
    "a part that is dead": ("no scan could start: backend 10003 is not alive", C.RESOURCE, True),
    "records that were refused": ("load label 81: too many filtered rows", C.DATA, False),
    "a schema that does not fit": (
        "lake.errors.SchemaCompatibilityException: the batch has another schema than the table",
        C.DATA,
        False,
    ),
    "a cluster without a leader": ("store: no leader", C.EXTERNAL_SERVICE, True),
    "a service that is changed": (
        "SDKError: Unable to connect to the instance: instance is being upgraded",
        C.EXTERNAL_SERVICE,
        True,
    ),
    "a moment that passes": ("Cannot complete the request momentarily", C.EXTERNAL_SERVICE, True),
    "an amount that is exceeded": (
        "You have exceeded the amount of requests allowed in the current time frame",
        C.EXTERNAL_SERVICE,
        True,
    ),
    "no connection": ("_broker.NotConnected: Broker error: NotConnected", C.CONNECTIVITY, True),
    "a form that is asked for": (
        "Cluster name 'etl_1' is invalid: must match pattern [a-z][a-z0-9-]*",
        C.CONFIGURATION,
        False,
    ),
    "two writers at once": (
        "table.errors.WriteConflictException: Cannot resolve conflicts for overlapping writes",
        C.PERFORMANCE,
        True,
    ),
    "a namespace that has no room": (
        '(403) Reason: Forbidden {"message":"pods is forbidden: exceeded quota: etl, used: cpu=8"}',
        C.RESOURCE,
        True,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_tells_the_kind(name: str) -> None:
    text, category, passing = FORMS[name]
    found = diagnose_text(text)
    assert (found.category, found.transient) == (category, passing)


@pytest.mark.parametrize(
    ("text", "category", "passing"),
    [
        pytest.param("403 Forbidden: the role may not list pods", C.PERMISSIONS, False, id="a right"),
        pytest.param("ERROR: deadlock detected", C.PERFORMANCE, True, id="a deadlock"),
        pytest.param(
            "AssertionError: total must match the sum of the parts", C.LOGIC, False, id="a check of own code"
        ),
        pytest.param(
            "429 Too Many Requests: daily limit of requests reached, resets at midnight",
            C.RESOURCE,
            False,
            id="a limit of the day stays one",
        ),
    ],
)
def test_what_only_looks_like_a_form_is_told_as_before(text: str, category: C, *, passing: bool) -> None:
    found = diagnose_text(text)
    assert (found.category, found.transient) == (category, passing)


def test_it_is_not_said_to_last_where_that_is_unsure_and_two_opinions_say_that_it_passes() -> None:
    text = (
        'RESOURCE_EXHAUSTED: {"error": {"code": 429, "message": "Prediction request quota exceeded for '
        'model m-2. Please try again later with backoff."}}'
    )
    assert diagnose_text(text).transient is True


def test_what_is_sure_to_last_is_said_to_last_beside_words_of_what_passes() -> None:
    text = "ModuleNotFoundError: No module named 'retry_later'\nThe service is temporarily unavailable"
    found = diagnose_text(text)
    assert (found.category, found.transient) == (C.CONFIGURATION, False)


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("etcdserver: no leader", "etcd"),
        ("SQL30081N A communication error has been detected", "db2"),
        ("pymilvus.exceptions.MilvusException: collection not loaded", "milvus"),
        ("io.delta.exceptions.ConcurrentAppendException: Files were added", "delta lake"),
        ("azure.cosmos.exceptions.CosmosHttpResponseError: (TooManyRequests)", "azure cosmos db"),
        ("AADSTS7000215: Invalid client secret provided", "microsoft entra id"),
        ("ValueError: the parts are wrong", None),
        ("a session of the consulting team was cancelled", None),
    ],
)
def test_a_product_is_known_by_its_name_or_by_what_only_it_says(text: str, service: str | None) -> None:
    assert diagnose_text(text).service == service
