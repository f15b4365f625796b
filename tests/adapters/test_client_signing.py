"""Signed requests: checked against a published example and against the services' own way to check them."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.signing import is_signed, signer, signing_name
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Auth, Operation, Parameter, Service
from prefect_autopilot.services import Catalogue, load_catalogue, simulated_credentials

CATALOGUE = load_catalogue()
SIGNED = [one for one in CATALOGUE.services if one.auth.scheme == "sigv4"]
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


def sent(service: Service, credentials: dict[str, str], operation: str, **given: Any) -> httpx.Request:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(200, json={})

    async def call() -> None:
        held = {name: SecretStr(value) for name, value in credentials.items()}
        async with ServiceClient(service, held, transport=httpx.MockTransport(answer)) as client:
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
@pytest.mark.parametrize("wrong", [None, "access_key_id", "secret_access_key"])
def test_the_simulator_admits_only_what_is_signed_with_its_keys(service: Service, wrong: str | None) -> None:
    simulator = Simulator()
    keys = simulated_credentials(service) | ({wrong: "another-key"} if wrong else {})
    operation = next(
        one
        for one in service.operations
        if not any(p.required and p.type == "object" for p in one.parameters)
    )
    given = {
        p.name: VALUES.get(p.type, "x y+z/ü" if p.location == "path" else "v")
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
    [(SIGNED[0], "botocore", "aws"), (PHOTOS, "oauthlib", "oauth1")],
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
        signer(service, simulated_credentials(service))


def test_services_that_sign_nothing_need_no_library() -> None:
    assert signer(CATALOGUE.get("asana"), {}) is None
