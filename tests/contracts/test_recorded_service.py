"""The recorded service refuses: a contract that cannot be broken says nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from contract_cases import client, everything, required, stub, told
from pydantic import SecretStr
from recorded_service import Answer, Fact, RecordedService, sample, wrong_value
from recorded_shapes import fits

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.models import Operation, Parameter, Service
from prefect_autopilot.services import simulated_credentials

BODY: Fact = {
    "content": ["application/json"],
    "root": "object",
    "required": ["name"],
    "open": False,
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
    },
}
THING: Fact = {"200": {"content": "application/json", "shape": {"type": "object", "properties": {}}}}


def parameter(name: str, where: str = "query", **more: Any) -> Fact:
    return {"name": name, "in": where, "required": False, "type": "string", "fixed": None, **more}


def fixture(*auth: Fact, **operations: Fact) -> Fact:
    made = {
        "add": {"method": "POST", "path": "/things", "parameters": [], "body": BODY, "responses": THING},
        "read": {
            "method": "GET",
            "path": "/things/{id}",
            "parameters": [
                parameter("id", "path", required=True),
                parameter("limit", type="integer"),
                parameter("ids", type="array", style="csv"),
                parameter("filter", type="object", style="deepObject"),
                parameter("version", required=True, fixed="2"),
                parameter("X-Team", "header", required=True),
            ],
            "body": {"content": [], "root": "none"},
            "responses": THING,
        },
        "pay": {
            "method": "POST",
            "path": "/payments",
            "parameters": [],
            "body": {
                **BODY,
                "content": ["application/x-www-form-urlencoded"],
                "styles": {"owner": "deepObject"},
            },
            "responses": THING,
        },
        **operations,
    }
    proofs = auth or ({"type": "http", "scheme": "bearer"},)
    return {
        "service": "made",
        "servers": [{"url": "https://api.example.com/v1"}],
        "auth": list(proofs),
        "operations": {name: {"server": 0, **one} for name, one in made.items()},
    }


async def ask(service: RecordedService, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"authorization": "Bearer key-1", **more.pop("headers", {})}
    transport = httpx.ASGITransport(service)  # type: ignore[arg-type]
    base = more.pop("base", "https://api.example.com/v1")
    async with httpx.AsyncClient(transport=transport, base_url=base) as calls:
        return await calls.request(method, path, headers=headers, **more)


def refused(response: httpx.Response) -> str:
    return "; ".join(response.json().get("refused", []))


@pytest.mark.parametrize(
    ("method", "path", "base"),
    [
        ("GET", "/things", "https://api.example.com/v1"),
        ("POST", "/thing", "https://api.example.com/v1"),
        ("POST", "/things/", "https://api.example.com/v1"),
        ("POST", "/things", "https://api.example.com/v2"),
        ("POST", "/things", "https://www.example.com/v1"),
        ("POST", "/things", "http://api.example.com/v1"),
        ("GET", "/things/1/2", "https://api.example.com/v1"),
    ],
)
async def test_another_address_is_not_found(method: str, path: str, base: str) -> None:
    answer = await ask(RecordedService(fixture(), ["key-1"]), method, path, base=base, json={"name": "a"})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "body.name is missing"),
        ({"name": 1}, "body.name is int, not string"),
        ({"name": "a", "colour": "red"}, "body.colour is unknown"),
        ({"name": "a", "count": "1"}, "body.count is str, not integer"),
        ({"name": "a", "count": True}, "body.count is bool, not integer"),
        ({"name": "a", "tags": "x"}, "body.tags is str, not array"),
        ({"name": "a", "tags": ["x", 1]}, "body.tags[1] is int, not string"),
        ({"name": "a", "owner": {}}, "body.owner.id is missing"),
        ({"name": "a", "owner": {"id": 1, "age": 2}}, "body.owner.age is unknown"),
        (["a"], "body is list, not object"),
    ],
)
async def test_a_body_the_source_does_not_know_is_refused(body: Any, complaint: str) -> None:
    service = RecordedService(fixture(), ["key-1"])

    assert complaint in refused(await ask(service, "POST", "/things", json=body))
    assert (await ask(service, "POST", "/things", json={"name": "a", "tags": ["x"]})).status_code == 200


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (['{"name": "a"}'], "the body has 0 files beside its fields, not one"),
        (['{"tags": []}', "x"], "body.name is missing"),
        (['{"name": "a"}', "x"], ""),
    ],
)
async def test_fields_beside_a_file_are_read_as_fields(parts: list[str], complaint: str) -> None:
    body = {**BODY, "content": ["multipart/related"]}
    put = {"method": "POST", "path": "/files", "parameters": [], "body": body, "responses": THING}
    content = "".join(f"--b\r\n\r\n{part}\r\n" for part in parts) + "--b--"
    headers = {"content-type": "multipart/related; boundary=b"}
    service = RecordedService(fixture(put=put), ["key-1"])

    assert refused(await ask(service, "POST", "/files", content=content, headers=headers)) == complaint


async def test_a_body_of_another_kind_or_none_is_refused() -> None:
    service = RecordedService(fixture(), ["key-1"])

    assert "not application/json" in refused(await ask(service, "POST", "/things", data={"name": "a"}))
    assert refused(await ask(service, "POST", "/things")) == "the body is missing"
    broken = await ask(service, "POST", "/things", content=b"{", headers={"content-type": "application/json"})
    assert refused(broken) == "the body is no JSON"
    read = await ask(service, "GET", "/things/1?version=2", headers={"x-team": "t"}, content=b"x")
    assert "a body that no source knows" in refused(read)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("", "query parameter version is missing"),
        ("version=3", "query parameter version must be 2"),
        ("version=2&colour=red", "query parameter colour is unknown"),
        ("version=2&limit=many", "query parameter limit is no integer: many"),
        ("version=2&limit=1&limit=2", "query parameter limit is given 2 times"),
        ("version=2&ids=1&ids=2", "query parameter ids is given 2 times"),
        ('version=2&ids=["1"]', "query parameter ids is a list in the style csv, not JSON"),
        ("version=2&ids[]=1", "query parameter ids[] is unknown"),
    ],
)
async def test_a_query_the_source_does_not_know_is_refused(query: str, complaint: str) -> None:
    service = RecordedService(fixture(), ["key-1"])
    good = "version=2&limit=5&ids=1,2&filter[name]=a"

    assert complaint in refused(await ask(service, "GET", f"/things/1?{query}", headers={"x-team": "t"}))
    assert (await ask(service, "GET", f"/things/1?{good}", headers={"x-team": "t"})).status_code == 200


async def test_a_missing_header_is_refused() -> None:
    answer = await ask(RecordedService(fixture(), ["key-1"]), "GET", "/things/1?version=2")
    assert refused(answer) == "header parameter X-Team is missing"


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({"count": "1"}, "form field name is missing"),
        ({"name": "a", "count": "x"}, "form field count is no integer: x"),
        ({"name": "a", "colour": "x"}, "form field colour is unknown"),
    ],
)
async def test_a_form_is_read_as_the_source_writes_it(form: Mapping[str, str], complaint: str) -> None:
    service = RecordedService(fixture(), ["key-1"])

    assert complaint in refused(await ask(service, "POST", "/payments", data=form))
    good = await ask(service, "POST", "/payments", data={"name": "a", "owner[id]": "1", "tags": ["x", "y"]})
    assert good.status_code == 200, good.text


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


SIGNED = (
    "AWS4-HMAC-SHA256 Credential=key-1/20260302/eu-west-1/sqs/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)


@pytest.mark.parametrize(
    ("auth", "good", "bad"),
    [
        ({"type": "http", "scheme": "bearer"}, "Bearer key-1", "Bearer key-2"),
        ({"type": "http", "scheme": "bearer"}, "Bearer key-1", "key-1"),
        ({"type": "oauth2", "token_url": None, "refresh_url": None}, "Bearer key-1", "Token key-1"),
        ({"type": "http", "scheme": "basic"}, basic("key-1", "key-1"), basic("key-1", "wrong")),
        ({"type": "http", "scheme": "basic"}, basic("key-1", "key-1"), "Bearer key-1"),
        (
            {"type": "apiKey", "in": "header", "name": "Authorization", "prefix": "Token "},
            "Token key-1",
            "key-1",
        ),
        ({"type": "apiKey", "in": "header", "name": "Authorization", "prefix": ""}, "key-1", "Bearer key-1"),
        ({"type": "apiKey", "in": "header", "name": "Authorization", "prefix": None}, "Key key-1", "key-2"),
        ({"type": "apiKey", "in": "query", "name": "key", "prefix": None}, None, "key-1"),
        ({"type": "sigv4"}, SIGNED, SIGNED.replace("key-1", "key-2")),
        ({"type": "sigv4"}, SIGNED, SIGNED.replace("/aws4_request", "")),
        ({"type": "sigv4"}, SIGNED, "Bearer key-1"),
        ({"type": "unheard of"}, None, "Bearer key-1"),
    ],
)
async def test_a_proof_counts_only_where_and_as_the_source_wants_it(
    auth: Fact, good: str | None, bad: str
) -> None:
    service = RecordedService(fixture(auth), ["key-1"])
    dated = {"x-amz-date": "20260302T000000Z"}

    async def add(proof: str) -> int:
        answer = await ask(
            service, "POST", "/things", json={"name": "a"}, headers={"authorization": proof, **dated}
        )
        return answer.status_code

    assert await add(bad) == 401
    assert await add("") == 401
    if good is not None:
        assert await add(good) == 200


async def test_a_signature_without_its_date_and_a_key_in_the_wrong_place_prove_nothing() -> None:
    signed = RecordedService(fixture({"type": "sigv4"}), ["key-1"])
    undated = await ask(signed, "POST", "/things", json={"name": "a"}, headers={"authorization": SIGNED})
    assert undated.status_code == 401

    keyed = RecordedService(fixture({"type": "apiKey", "in": "query", "name": "key"}), ["key-1"])
    assert (await ask(keyed, "POST", "/things?key=key-1", json={"name": "a"})).status_code == 200
    assert (await ask(keyed, "POST", "/things?token=key-1", json={"name": "a"})).status_code == 401


async def test_a_proof_that_needs_a_companion_does_not_stand_alone() -> None:
    key = {"type": "apiKey", "in": "query", "name": "key", "with": [1]}
    token = {"type": "apiKey", "in": "query", "name": "token", "with": [0]}
    service = RecordedService(fixture(key, token), ["key-1", "token-1"])

    alone = await ask(service, "POST", "/things?key=key-1", json={"name": "a"})
    both = await ask(service, "POST", "/things?key=key-1&token=token-1", json={"name": "a"})
    assert (alone.status_code, both.status_code) == (401, 200)


async def test_a_token_is_renewed_only_for_the_refresh_token() -> None:
    place = "https://login.example.com/token"
    service = RecordedService(fixture({"type": "oauth2", "token_url": place, "refresh_url": None}), ["r-1"])

    wrong = await ask(service, "POST", place, data={"grant_type": "refresh_token", "refresh_token": "r-2"})
    other = await ask(service, "POST", place, data={"grant_type": "password", "refresh_token": "r-1"})
    right = await ask(service, "POST", place, data={"grant_type": "refresh_token", "refresh_token": "r-1"})
    assert (wrong.status_code, other.status_code, right.status_code) == (400, 400, 200)
    assert len(service.renewals) == 3
    assert service.received == []


async def test_a_machine_gets_a_token_only_where_a_source_names_that_grant() -> None:
    place = "https://login.example.com/token"
    silent = {"type": "oauth2", "token_url": place, "refresh_url": None}
    named = {**silent, "grants": ["client_credentials"], "token_at": "data.token"}
    form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "s"}

    told = [RecordedService(fixture(one), ["id", "s"]) for one in (silent, named)]
    answers = [await ask(service, "POST", place, data=form) for service in told]
    stranger = await ask(told[1], "POST", place, data={**form, "client_secret": "x"})
    assert [one.status_code for one in (*answers, stranger)] == [400, 200, 400]
    assert "token" in answers[1].json()["data"]


async def test_a_told_answer_comes_after_the_checks_and_once() -> None:
    service = RecordedService(fixture(), ["key-1"])
    service.answers.append(Answer(429, {"message": "slow"}, {"retry-after": "5"}))

    assert (await ask(service, "POST", "/things", json={})).status_code == 400
    limited = await ask(service, "POST", "/things", json={"name": "a"})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "5")
    assert (await ask(service, "POST", "/things", json={"name": "a"})).status_code == 200


async def test_the_most_literal_operation_answers_where_two_addresses_fit() -> None:
    named = {
        "method": "GET",
        "path": "/things/mine",
        "parameters": [],
        "body": {"root": "none"},
        "responses": THING,
    }
    service = RecordedService(fixture(mine=named), ["key-1"])

    assert (await ask(service, "GET", "/things/mine")).status_code == 200
    found = service.operation_of(service.received[0])
    assert found is not None
    assert found[0] == "mine"


@pytest.mark.parametrize(
    ("value", "kind", "does"),
    [
        (1, "integer", True),
        (1, "number", True),
        (1.5, "integer", False),
        (True, "number", False),
        ("1", "integer", False),
        (None, "string", False),
        ([], "object", False),
        ({}, "object", True),
        (None, "any", True),
    ],
)
def test_a_value_fits_its_own_type(value: Any, kind: str, does: bool) -> None:  # noqa: FBT001
    assert fits(value, kind) is does


def test_a_sample_of_a_shape_is_never_wrong() -> None:
    shape = {**BODY, "type": "object"}
    assert list(wrong_value("body", sample(shape), shape)) == []
    assert json.loads(json.dumps(sample(shape))) == sample(shape)


def mutated(service: Service, operation: Operation) -> Service:
    others = [one for one in service.operations if one.id != operation.id]
    return service.model_copy(update={"operations": (*others, operation)})


CASE = "github.create_issue"


def renamed(one: Parameter) -> Parameter:
    return one.model_copy(update={"name": "headline"}) if one.name == "title" else one


def retyped(one: Parameter) -> Parameter:
    return one.model_copy(update={"type": "boolean", "required": True}) if one.name == "body" else one


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/repos/{owner}/{repo}/issue"},
        {"method": "PUT"},
        {"body": "form"},
        {"body_at": "issue"},
        {"parameters": renamed},
        {"parameters": retyped},
    ],
    ids=["path", "method", "encoding", "wrapping", "name", "type"],
)
async def test_a_wrong_entry_breaks_its_contract(change: dict[str, Any]) -> None:
    _, _, service, operation = told(CASE)
    given = required(CASE)
    if callable(change.get("parameters")):
        change = {"parameters": tuple(map(change["parameters"], operation.parameters))}
        given = {
            ("headline" if n == "title" and "headline" in str(change) else n): v for n, v in given.items()
        }
        given |= {"body": True} if "headline" not in str(change) else {}
    wrong = mutated(service, operation.model_copy(update=change))
    recorded = stub(CASE)
    async with _client_of(wrong, recorded) as calls:
        with pytest.raises(ServiceError, match="refused"):
            await calls.call(operation.id, given)


@pytest.mark.parametrize(
    "auth",
    [{"scheme": "query", "name": "token"}, {"scheme": "header", "name": "X-Key"}, {"scheme": "none"}],
    ids=["query", "header", "none"],
)
async def test_a_misplaced_credential_breaks_the_contract(auth: dict[str, str]) -> None:
    _, _, service, operation = told(CASE)
    moved = service.model_copy(update={"auth": service.auth.model_copy(update=auth)})
    async with _client_of(moved, stub(CASE)) as calls:
        with pytest.raises(ServiceError, match="no credential"):
            await calls.call(operation.id, required(CASE))


async def test_the_true_entry_keeps_its_contract() -> None:
    async with client(CASE, stub(CASE)) as calls:
        await calls.call(told(CASE)[3].id, everything(CASE))


def _client_of(service: Service, recorded: RecordedService) -> ServiceClient:
    held = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    return ServiceClient(service, held, transport=httpx.ASGITransport(recorded))  # type: ignore[arg-type]


def acting(action: str) -> Fact:
    """Return a call that a field of the form names, as Amazon's do."""
    fields = {"Action": {"type": "string", "value": action}, "Name": {"type": "string"}}
    body = {"content": ["application/x-www-form-urlencoded"], "root": "object", "properties": fields}
    body |= {"required": ["Action"], "open": False}
    return {"method": "POST", "path": "/", "parameters": [], "body": body, "responses": THING}


@pytest.mark.parametrize(
    ("form", "operation", "status"),
    [
        ({"Action": "Make", "Name": "a"}, "make", 200),
        ({"Action": "List"}, "list", 200),
        ({"Action": "Drop"}, None, 400),
        ({"Name": "a"}, None, 400),
    ],
    ids=["one", "the other", "neither", "unnamed"],
)
async def test_calls_of_one_address_are_told_apart_by_a_field_of_the_form(
    form: dict[str, str], operation: str | None, status: int
) -> None:
    service = RecordedService(fixture(make=acting("Make"), list=acting("List")), ["key-1"])

    assert (await ask(service, "POST", "/", data=form)).status_code == status
    found = service.operation_of(service.received[0])
    assert found is not None
    assert operation in (None, found[0])
