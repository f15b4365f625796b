"""Signed requests: checked against a published example and against the services' own way to check them."""

from __future__ import annotations

import asyncio
import builtins
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.signing import is_signed, signer, signing_name
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Auth, Operation, Parameter, RequestSignature, Service
from prefect_autopilot.services import Catalogue, credential_names, load_catalogue, simulated_credentials

CATALOGUE = load_catalogue()
SIGNED = [one for one in CATALOGUE.services if one.auth.scheme in ("sigv4", "hmac")]
AWS = CATALOGUE.get("aws_s3")
# The example "get-vanilla" of the test suite AWS publishes for Signature Version 4.
EXAMPLE = Service(
    id="example", name="Example", base_url="https://service.{region}.example.com", auth=Auth(scheme="sigv4")
)
EXAMPLE_KEYS = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
EXAMPLE_HEADERS = {
    "host": "example.amazonaws.com",
    "x-amz-date": "20150830T123600Z",
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
    "SignedHeaders=host;x-amz-date, "
    "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
}
PHOTOS = Service(
    id="photos",
    name="Photos",
    base_url="https://photos.example",
    auth=Auth(scheme="oauth1"),
    operations=(
        Operation(
            id="search",
            method="GET",
            path="/search",
            parameters=(Parameter(name="text", location="query"),),
            effect="safe",
        ),
        Operation(
            id="post",
            method="POST",
            path="/post",
            body="form",
            parameters=(Parameter(name="title"), Parameter(name="tags", type="any")),
        ),
    ),
)
TOML = """
id = "photos"
name = "Photos"
base_url = "https://photos.example"
[auth]
scheme = "oauth1"
[[operations]]
id = "search"
method = "GET"
path = "/search"
effect = "safe"
parameters = [{ name = "text", location = "query" }]
[[operations]]
id = "post"
method = "POST"
path = "/post"
body = "form"
parameters = [{ name = "title" }]
"""


def example(**changed: Any) -> bool:
    asked = {
        "method": "GET",
        "url": "https://example.amazonaws.com/",
        "headers": EXAMPLE_HEADERS,
        "body": b"",
    }
    keys = changed.pop("keys", EXAMPLE_KEYS)
    return is_signed(EXAMPLE, keys, **{**asked, **changed})


def test_the_published_example_is_signed_right() -> None:
    assert example()


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"},
        {"url": "https://example.amazonaws.com/other"},
        {"url": "https://example.amazonaws.com/?a=1"},
        {"body": b"something"},
        {"headers": {**EXAMPLE_HEADERS, "x-amz-date": "20150830T123601Z"}},
        {"headers": {**EXAMPLE_HEADERS, "host": "evil.example"}},
        {"headers": {**EXAMPLE_HEADERS, "authorization": "Bearer x"}},
        {"headers": {}},
        {"keys": {**EXAMPLE_KEYS, "secret_access_key": "other"}},
        {"keys": {**EXAMPLE_KEYS, "access_key_id": "OTHER"}},
        {"keys": {**EXAMPLE_KEYS, "region": "eu-west-1"}},
    ],
    ids=["method", "path", "query", "body", "date", "host", "bearer", "none", "secret", "id", "region"],
)
def test_whatever_is_changed_breaks_the_signature(changed: dict[str, Any]) -> None:
    assert not example(**changed)


@pytest.mark.parametrize(
    ("service", "name"),
    [("aws_s3", "s3"), ("aws_ses", "ses"), ("aws_eventbridge", "events"), ("aws_dynamodb", "dynamodb")],
)
def test_a_service_is_signed_for_under_its_own_name(service: str, name: str) -> None:
    assert signing_name(CATALOGUE.get(service)) == name


THEN = datetime(2017, 7, 12, 2, 41, 59, 559000, tzinfo=UTC)


def sent(service: Service, credentials: dict[str, str], operation: str, **given: Any) -> httpx.Request:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(200, json={})

    async def call() -> None:
        held = {name: SecretStr(value) for name, value in credentials.items()}
        transport = httpx.MockTransport(answer)
        async with ServiceClient(service, held, transport=transport, clock=lambda: THEN) as client:
            await client.call(operation, given)

    asyncio.run(call())
    return received[0]


VALUES = {"integer": 1, "array": [{"Source": "shop"}]}
KEYS = {"access_key_id": "AKID", "secret_access_key": "secret-key", "region": "eu-central-1"}


def test_a_call_of_aws_is_signed_for_its_region_and_body() -> None:
    request = sent(CATALOGUE.get("aws_ses"), KEYS, "send_email", Content={"Simple": {"Subject": "Grüße"}})

    assert request.url.host == "email.eu-central-1.amazonaws.com"
    assert "/eu-central-1/ses/aws4_request" in request.headers["authorization"]
    assert is_signed(
        CATALOGUE.get("aws_ses"),
        KEYS,
        method="POST",
        url=str(request.url),
        headers=request.headers,
        body=request.content,
    )
    assert "secret-key" not in str(request.headers)


def test_a_temporary_key_sends_its_session_token() -> None:
    request = sent(CATALOGUE.get("aws_lambda"), {**KEYS, "session_token": "session-1"}, "list_functions")
    assert request.headers["x-amz-security-token"] == "session-1"
    assert "x-amz-security-token" in request.headers["authorization"]


@pytest.mark.parametrize("service", SIGNED, ids=[one.id for one in SIGNED])
@pytest.mark.parametrize("wrong", [None, 0, 1], ids=["right", "id", "secret"])
def test_the_simulator_admits_only_what_is_signed_with_its_keys(service: Service, wrong: int | None) -> None:
    simulator = Simulator()
    names = credential_names(service)
    keys = simulated_credentials(service) | ({} if wrong is None else {names[wrong]: "another-key"})
    operation = next(
        one
        for one in service.operations
        if not any(p.required and p.type == "object" for p in one.parameters)
    )
    given = {
        p.name: p.choices[0]
        if p.choices
        else VALUES.get(p.type, "x y+z/ü" if p.location == "path" or p.name == "symbol" else "v")
        for p in operation.parameters
        if p.required and p.default is None
    }

    async def call() -> None:
        held = {name: SecretStr(value) for name, value in keys.items()}
        async with ServiceClient(
            service,
            held,
            base_url=f"http://simulator/{service.id}",
            transport=httpx.ASGITransport(simulator),
        ) as client:
            await client.call(operation.id, given)

    if wrong is None:
        asyncio.run(call())
    else:
        with pytest.raises(ServiceError) as caught:
            asyncio.run(call())
        assert caught.value.status == 401
        assert "another-key" not in str(caught.value)


@pytest.mark.parametrize("wrong", [None, "consumer_key", "consumer_secret", "token", "token_secret"])
@pytest.mark.parametrize(
    ("operation", "given"), [("search", {"text": "a b&c=ü"}), ("post", {"title": "a+b ü"})]
)
def test_oauth_1_is_signed_over_query_and_form(
    operation: str, given: dict[str, str], wrong: str | None
) -> None:
    catalogue = Catalogue({"photos.toml": TOML})
    simulator = Simulator(catalogue)
    keys = simulated_credentials(PHOTOS) | ({wrong: "another-key"} if wrong else {})

    async def call() -> None:
        held = {name: SecretStr(value) for name, value in keys.items()}
        async with ServiceClient(
            catalogue.get("photos"),
            held,
            base_url="http://simulator/photos",
            transport=httpx.ASGITransport(simulator),
        ) as client:
            await client.call(operation, given)

    if wrong is None:
        asyncio.run(call())
        assert simulator.calls[0].parameters == given
    else:
        with pytest.raises(ServiceError) as caught:
            asyncio.run(call())
        assert caught.value.status == 401


def test_every_oauth_1_request_is_signed_anew() -> None:
    keys = simulated_credentials(PHOTOS)
    first, second = (sent(PHOTOS, keys, "search", text="x").headers["authorization"] for _ in range(2))
    assert first != second
    assert "oauth_signature=" in first


@pytest.mark.parametrize(
    ("service", "library", "extra"),
    [(AWS, "botocore", "aws"), (PHOTOS, "oauthlib", "oauth1")],
    ids=["aws", "oauth1"],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, service: Service, library: str, extra: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=rf"prefect-autopilot\[{extra}\]"):
        signer(service, simulated_credentials(service), lambda: THEN)


def test_services_that_sign_nothing_need_no_library() -> None:
    assert signer(CATALOGUE.get("asana"), {}, lambda: THEN) is None


# Keys, parameters and results as Binance's documentation shows them (rest-api.md, "HMAC Keys").
SHOWN_KEYS = {
    "api_key": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "api_secret": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
}
SHOWN = {
    "LTCBTC": "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    "１２３４５６": "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
}


@pytest.mark.parametrize("symbol", SHOWN, ids=["ascii", "other"])
def test_an_order_is_signed_as_the_vendor_shows(symbol: str) -> None:
    order = {
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": 1,
        "price": 0.1,
        "recvWindow": 5000,
    }
    request = sent(CATALOGUE.get("binance"), SHOWN_KEYS, "create_order", symbol=symbol, **order)

    assert str(request.url).endswith(f"&recvWindow=5000&timestamp=1499827319559&signature={SHOWN[symbol]}")
    assert request.headers["x-mbx-apikey"] == SHOWN_KEYS["api_key"]
    assert SHOWN_KEYS["api_secret"] not in f"{request.url}{request.headers}"


HEADED = Auth(
    scheme="hmac",
    name="X-Key",
    signature=RequestSignature(
        name="X-Sign",
        prefix="v1=",
        algorithm="sha512",
        encoding="base64",
        key="base64",
        template="{timestamp}{nonce}{api_key}{method}{host}{target}{body}",
        timestamp_name="X-Time",
        timestamp_unit="iso",
        nonce_name="X-Nonce",
    ),
)
EXCHANGE = PHOTOS.model_copy(update={"id": "exchange", "auth": HEADED})
EXCHANGE_KEYS = {"api_key": "id-1", "api_secret": "c2VjcmV0"}


def admitted(request: httpx.Request, **changed: Any) -> bool:
    asked = {
        "method": request.method,
        "url": str(request.url),
        "headers": request.headers,
        "body": request.content,
    }
    return is_signed(EXCHANGE, EXCHANGE_KEYS, **{**asked, **changed})


def test_a_signature_in_headers_covers_time_nonce_address_and_body() -> None:
    request = sent(EXCHANGE, EXCHANGE_KEYS, "post", title="{body} a+b ü")

    assert request.headers["x-time"] == "2017-07-12T02:41:59.559Z"
    assert request.headers["x-key"] == "id-1"
    assert request.headers["x-sign"].startswith("v1=")
    assert admitted(request)
    for changed in (
        {"method": "PUT"},
        {"url": "https://photos.example/post?a=1"},
        {"url": "https://other.example/post"},
        {"body": b"title=other"},
        {"headers": {**request.headers, "x-time": "2017-07-12T02:42:00.559Z"}},
        {"headers": {**request.headers, "x-nonce": "1"}},
        {"headers": {}},
    ):
        assert not admitted(request, **changed), changed
    again = sent(EXCHANGE, EXCHANGE_KEYS, "post", title="{body} a+b ü")
    assert again.headers["x-nonce"] != request.headers["x-nonce"]


def test_a_secret_that_cannot_be_a_key_is_named_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="secret of the connection is not base64") as caught:
        sent(EXCHANGE, {**EXCHANGE_KEYS, "api_secret": "not base64!"}, "search", text="x")
    assert "not base64!" not in str(caught.value)


@pytest.mark.parametrize("told", [{"scheme": "hmac"}, {"signature": {"name": "X-Sign"}}])
def test_an_entry_tells_how_to_sign_exactly_where_it_signs(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="go together"):
        Auth.model_validate(told)
