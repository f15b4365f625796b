"""What other sides answer, however odd: a value, or one error that tells what diagnosis needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from prefect_autopilot.adapters import oauth
from prefect_autopilot.adapters.service_answers import BODY_HEAD, CallFacts, read_answer, retry_after
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.models import Auth, Operation, Service
from prefect_autopilot.services import load_catalogue, simulated_credentials

CATALOGUE = load_catalogue()
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
YEAR_S = 365 * 24 * 3600
SHOP = Service(
    id="shop",
    name="Shop",
    base_url="https://shop.example/v1",
    auth=Auth(scheme="bearer"),
    operations=(Operation(id="list_orders", method="GET", path="/orders", list_at="orders"),),
)
TALKER = SHOP.model_copy(update={"success_field": "ok", "error_field": "error"})
FACTS = CallFacts(SHOP, "list_orders", "safe", "shop-default", ("sesame-street-12",))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def answer(status: int = 200, content: bytes = b"", kind: str = "application/json", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, content=content, headers={"content-type": kind, **named})
    return read_answer(response, SHOP.operations[0], FACTS, lambda: NOW)


def refused(
    status: int = 200, content: bytes = b"", kind: str = "application/json", **headers: str
) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        answer(status, content, kind, **headers)
    return caught.value


# --- Status and value.

CLIENT_ERRORS_THAT_PASS = {408, 425, 429}
SERVER_ERRORS_THAT_PASS = {500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 529}


@pytest.mark.parametrize("status", range(400, 600))
def test_every_error_status_says_whether_it_passes(status: int) -> None:
    error = refused(status, b'{"message": "no"}')
    assert error.status == status
    assert error.permanent is (status not in CLIENT_ERRORS_THAT_PASS | SERVER_ERRORS_THAT_PASS)
    assert (error.service, error.operation, error.effect) == ("shop", "list_orders", "safe")
    assert "Shop" in error.reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_to_be_one_and_not_followed(status: int) -> None:
    error = refused(status, location="https://elsewhere.example/steal")
    assert error.permanent
    assert "base URL" in error.reason
    assert "steal" not in str(error)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_every_good_status_is_good(status: int) -> None:
    assert answer(status) is None


@pytest.mark.parametrize(
    ("content", "kind", "value"),
    [
        (b"", "application/json", None),
        (b"   \n", "application/json", None),
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/vnd.api+json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "text/plain", {"a": 1}),
        (b"[1]", "", [1]),
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        (b"null", "application/json", None),
        (b'"text"', "application/json", "text"),
        (b"0", "application/json", 0),
        (b"just words", "text/plain", "just words"),
        (b"{not json", "text/plain", "{not json"),
        (b"a,b\n1,2", "text/csv", "a,b\n1,2"),
        (b"\x00\x01", "application/octet-stream", None),
        ("größe".encode("latin-1"), "text/plain; charset=latin-1", "größe"),
    ],
    ids=repr,
)
def test_a_good_answer_is_its_value(content: bytes, kind: str, value: object) -> None:
    assert answer(200, content, kind) == value


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"<html>busy</html>", "application/json"),
        (b'{"a": \xff}', "application/json"),
        (b"[" * 200_000, "application/json"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json"),
        (b"9" * 5_000, "application/json"),
        (b"<html>please log in</html>", "text/html"),
    ],
    ids=["cut", "page", "bytes", "open brackets", "deep", "number", "html"],
)
def test_an_answer_that_is_none_is_an_error_that_may_pass(content: bytes, kind: str) -> None:
    error = refused(200, content, kind)
    assert not error.permanent
    assert error.status == 200
    assert len(str(error)) < 1_000


@given(content=st.binary(max_size=200), status=st.integers(200, 599), kind=st.sampled_from(
    ["application/json", "text/html", "text/plain", "application/octet-stream", ""]
))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_value_or_a_service_error(content: bytes, status: int, kind: str) -> None:
    try:
        answer(status, content, kind)
    except ServiceError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"ok": False, "error": "not_in_channel"}, "not_in_channel"),
        ({"ok": False}, "no reason given"),
        ({}, "no reason given"),
        ({"ok": None, "error": {"deep": 1}}, "no reason given"),
        ([], "no reason given"),
        ("fine", "no reason given"),
        ({"ok": 0, "error": ""}, ""),
    ],
    ids=repr,
)
def test_a_good_status_without_success_is_a_failure(body: object, reason: str) -> None:
    facts = CallFacts(TALKER, "list_orders", "safe")
    response = httpx.Response(200, json=body)
    with pytest.raises(ServiceError) as caught:
        read_answer(response, TALKER.operations[0], facts, lambda: NOW)
    assert reason in caught.value.reason
    assert caught.value.permanent


@pytest.mark.parametrize("code", ["ratelimited", "rate_limited", "internal_error", "service_unavailable"])
def test_a_failure_that_passes_is_known_by_its_code(code: str) -> None:
    facts = CallFacts(TALKER, "list_orders", "safe")
    with pytest.raises(ServiceError) as caught:
        read_answer(httpx.Response(200, json={"ok": False, "error": code}), None, facts, lambda: NOW)
    assert not caught.value.permanent


def test_a_good_answer_may_speak_of_errors() -> None:
    assert answer(200, b'{"error": "none", "errors": []}') == {"error": "none", "errors": []}


# --- What an error tells.


def test_an_error_quotes_the_head_of_the_body_without_secrets() -> None:
    body = ("sesame-street-12 password=hunter2hunter2 " + "x" * 5_000).encode()
    told = str(refused(400, body, "text/plain"))
    assert "sesame-street-12" not in told
    assert "hunter2" not in told
    assert "redacted" in told
    assert len(told) < BODY_HEAD + 500


def test_a_secret_cut_by_the_quote_is_not_half_told() -> None:
    body = b"x" * (BODY_HEAD - 5) + b"sesame-street-12"
    assert "sesame" not in str(refused(500, body, "text/plain"))


@pytest.mark.parametrize(
    "name",
    ["x-request-id", "request-id", "x-slack-req-id", "x-github-request-id", "x-amzn-requestid", "cf-ray"],
)
def test_the_id_of_a_request_is_found_under_any_of_its_names(name: str) -> None:
    error = refused(500, **{name: "id-" + "7" * 200})
    assert error.request_id == ("id-" + "7" * 200)[:80]


def test_facts_show_no_secret() -> None:
    assert "sesame" not in repr(FACTS)


# --- How long to wait.


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("0", 0.0),
        ("00", 0.0),
        ("0.25", 0.25),
        ("1e2", 100.0),
        (str(YEAR_S), float(YEAR_S)),
        (str(YEAR_S + 1), None),
        ("inf", None),
        ("nan", None),
        ("-inf", None),
        ("1e999", None),
        ("Mon, 02 Mar 2026 03:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 04:30:00 +0100", 1800.0),
        ("Mon, 02 Mar 2026 03:10:00", 600.0),
        ("Mon, 02 Mar 2099 03:00:00 GMT", None),
        ("Mon, 02 Mar 2026 25:00:00 GMT", None),
        ("tomorrow", None),
        ("3 seconds", None),
        ("0x10", None),
    ],
)
def test_a_wait_is_believed_up_to_a_year(told: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": told}, NOW) == seconds


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("60", 60.0),
        (f"{NOW.timestamp() + 5}", 5.0),
        (f"{NOW.timestamp() - 5}", 0.0),
        (f"{NOW.timestamp() * 1000 + 5000}", 5.0),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_reset_is_a_wait_or_a_moment(told: str, seconds: float | None) -> None:
    assert retry_after({"x-ratelimit-reset": told}, NOW) == seconds


@given(told=st.text(max_size=40) | st.floats().map(str) | st.integers().map(str))
@settings(max_examples=150, deadline=None)
def test_any_wait_is_none_or_a_time_that_can_be_added(told: str) -> None:
    for name in ("retry-after", "x-ratelimit-reset"):
        seconds = retry_after({name: told}, NOW)
        if seconds is not None:
            assert NOW <= NOW + timedelta(seconds=seconds) <= NOW + timedelta(days=366)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry_after": "7"}, 7.0),
        (503, {"retry_after": "7"}, 7.0),
        (403, {"retry_after": "7"}, 7.0),
        (403, {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "9"}, 9.0),
        (403, {"x_ratelimit_remaining": "1", "x_ratelimit_reset": "9"}, None),
        (400, {"retry_after": "7"}, None),
        (401, {"retry_after": "7"}, None),
    ],
)
def test_a_wait_counts_only_where_waiting_helps(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    error = refused(status, **headers)
    assert error.retry_after_s == seconds
    assert error.permanent is (seconds is None)


# --- Addresses and credentials.


def client(
    base_url: str | None = None, token: str = "simulated", service: Service = SHOP, **more: Any
) -> ServiceClient:
    return ServiceClient(service, {"token": SecretStr(token)}, base_url=base_url, **more)


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://\x00",
        " ",
        "://",
        "//x",
        "ftp://x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "shop",
    ],
)
def test_an_address_nothing_can_be_sent_to_is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigurationError, match="set an http") as caught:
        client(address)
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("address", "used"),
    [
        (None, "https://shop.example/v1"),
        ("", "https://shop.example/v1"),
        ("http://203.0.114.7:8099/shop/", "http://203.0.114.7:8099/shop"),
        ("HTTPS://shop.example", "HTTPS://shop.example"),
    ],
)
def test_the_address_of_the_connection_comes_before_that_of_the_catalogue(
    address: str | None, used: str
) -> None:
    assert client(address)._base_url == used


@pytest.mark.parametrize("token", ["tök", "日本", "a\nb", "a\r\nX-Evil: 1", "a\x00"])
def test_a_token_no_header_can_hold_is_refused_before_anything_is_sent(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        client(token=token)
    assert token not in caught.value.message


@pytest.mark.parametrize(("scheme", "named"), [("sigv4", "access_key_id"), ("oauth1", "consumer_key")])
def test_a_scheme_that_signs_requests_names_the_key_it_lacks(scheme: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        client(service=SHOP.model_copy(update={"auth": Auth(scheme=scheme)}))


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("acme", True),
        ("acme.eu", True),
        ("acme/../x", False),
        ("a@b", False),
        ("a?b", False),
    ],
)
def test_a_part_of_the_address_cannot_change_the_host(value: str, *, allowed: bool) -> None:
    service = SHOP.model_copy(update={"base_url": "https://{site}.shop.example/v1"})
    credentials = {"token": SecretStr("t" * 12), "site": SecretStr(value)}
    if allowed:
        assert ServiceClient(service, credentials)._base_url == f"https://{value}.shop.example/v1"
    else:
        with pytest.raises(ConfigurationError, match="'site'"):
            ServiceClient(service, credentials)


@pytest.mark.parametrize(
    "raised",
    [
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.PoolTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("gone"),
        httpx.DecodingError("gzip"),
        httpx.TooManyRedirects("loop"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_way_a_connection_breaks_may_pass_and_hides_its_cause(raised: httpx.HTTPError) -> None:
    def breaks(_: httpx.Request) -> httpx.Response:
        raise raised

    async def call() -> Any:
        async with client(transport=httpx.MockTransport(breaks)) as one:
            return await one.call("list_orders")

    with pytest.raises(ServiceError) as caught:
        run(call())
    assert not caught.value.permanent
    assert caught.value.status is None
    assert caught.value.__cause__ is None


# --- Renewal of tokens.

GMAIL = CATALOGUE.get("gmail")
HELD = {name: SecretStr(value) for name, value in simulated_credentials(GMAIL).items()}


def renew(body: object, status: int = 200, **held: str) -> dict[str, str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = httpx.MockTransport(
        lambda _: httpx.Response(status, content=content, headers={"content-type": "application/json"})
    )
    credentials = HELD | {name: SecretStr(value) for name, value in held.items()}
    renewed = run(oauth.refresh(GMAIL, credentials, now=NOW, transport=transport))
    return {name: secret.get_secret_value() for name, secret in renewed.items()}


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (3600, 3600),
        (3599.5, 3599.5),
        ("3600", 3600),
        (1, 1),
        (0, None),
        (-5, None),
        (True, None),
        (None, None),
        ("soon", None),
        ([3600], None),
        (1e300, None),
        (10**400, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_lifetime_is_a_number_that_makes_sense(told: object, seconds: float | None) -> None:
    renewed = renew({"access_token": "new", "expires_in": told}, expires_at="2020-01-01T00:00:00+00:00")
    assert renewed["access_token"] == "new"
    if seconds is None:
        assert "expires_at" not in renewed, "an old time must not outlive its token"
    else:
        assert datetime.fromisoformat(renewed["expires_at"]) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("told", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_lifetime_that_is_no_number_is_left_out(told: bytes) -> None:
    assert "expires_at" not in renew(b'{"access_token": "new", "expires_in": ' + told + b"}")


@pytest.mark.parametrize(
    "body",
    [[], [1], "new", None, {}, {"access_token": ""}, {"access_token": 5}, {"access_token": None}],
    ids=repr,
)
def test_an_answer_without_a_token_asks_for_a_person(body: object) -> None:
    with pytest.raises(ServiceError, match="without a token; reconnect") as caught:
        renew(body)
    assert caught.value.permanent
    assert caught.value.operation == "refresh_credentials"


@pytest.mark.parametrize("told", [None, "", 0])
def test_a_refresh_token_that_is_not_rotated_stays(told: object) -> None:
    assert (
        renew({"access_token": "new", "refresh_token": told})["refresh_token"]
        == HELD["refresh_token"].get_secret_value()
    )


def test_an_old_token_under_its_other_name_does_not_survive() -> None:
    assert "token" not in renew({"access_token": "new"}, token="old")


@pytest.mark.parametrize(
    ("status", "body", "permanent"),
    [
        (400, {"error": "invalid_grant"}, True),
        (401, {"error": "invalid_grant"}, True),
        (400, {"error": "invalid_client"}, True),
        (429, {"error": "slow_down"}, False),
        (503, {}, False),
        (302, {}, True),
    ],
    ids=str,
)
def test_a_renewal_that_is_refused_says_whether_a_person_is_needed(
    status: int, body: object, *, permanent: bool
) -> None:
    with pytest.raises(ServiceError) as caught:
        renew(body, status)
    assert caught.value.permanent is permanent
    assert HELD["refresh_token"].get_secret_value() not in str(caught.value)


@pytest.mark.parametrize("address", ["http://[", "ftp://x", "nonsense"])
def test_a_token_address_nothing_can_be_sent_to_is_one_error(address: str) -> None:
    with pytest.raises(ServiceError) as caught:
        run(oauth.refresh(GMAIL, HELD, now=NOW, token_url=address))
    assert caught.value.__cause__ is None
