"""Rules of the simulated services, over the whole catalogue: what is sent arrives, every page comes once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulated_request import Asked, matching, read_mime, read_request
from prefect_autopilot.adapters.simulated_service import SimulatedService
from prefect_autopilot.adapters.simulator import Fault, Simulator
from prefect_autopilot.errors import ServiceError, UnknownNameError, UsageError
from prefect_autopilot.models import Auth, Operation, OperationEffect, Pagination, Parameter, Service
from prefect_autopilot.services import Catalogue, load_catalogue, resource_of, simulated_credentials

CATALOGUE = load_catalogue()
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SIGNED = ("sigv4", "oauth1")
ROWS = 5


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def call(
    simulator: Simulator, service: str, operation: str, *, all_pages: bool = False, **parameters: Any
) -> Any:
    known = simulator._catalogue.get(service)
    held = {name: SecretStr(value) for name, value in simulated_credentials(known).items()}

    async def send() -> Any:
        async with ServiceClient(
            known, held, base_url=f"http://simulator/{service}", transport=httpx.ASGITransport(simulator)
        ) as client:
            return await client.call(operation, parameters, all_pages=all_pages)

    return run(send())


@cache
def paged_lists() -> tuple[tuple[str, str], ...]:
    """Return every list of the catalogue that can be read page by page without any parameter."""
    return tuple(
        (service.id, operation.id)
        for service in CATALOGUE.services
        if service.auth.scheme not in SIGNED
        for operation in service.operations
        if operation.list_at is not None
        and operation.effect is OperationEffect.SAFE
        and operation.pagination.kind != "none"
        and not any(one.required and one.default is None for one in operation.parameters)
    )


@pytest.mark.parametrize("kind", ["cursor", "page", "offset", "link", "next_url"])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 11])
def test_every_kind_of_paging_gives_every_row_once(kind: Any, count: int) -> None:
    parameters = {"cursor": "cursor", "page": "page", "offset": "offset"}
    asked = parameters.get(kind)
    service = Service(
        id="shop",
        name="Shop",
        base_url="https://shop.example",
        auth=Auth(scheme="bearer"),
        operations=(
            Operation(
                id="list_orders",
                method="GET",
                path="/orders",
                list_at="orders",
                effect=OperationEffect.SAFE,
                parameters=(Parameter(name=asked, location="query", type="any"),) if asked else (),
                pagination=Pagination(kind=kind, request_param=asked, response_field="next"),
            ),
        ),
    )
    simulator = Simulator(catalogue_of(service), page_size=5, seeded=False)
    for number in reversed(range(count)):
        simulator.seed("shop", "order", {"id": f"o{number}"})
    found = call(simulator, "shop", "list_orders", all_pages=True)
    assert [one["id"] for one in found] == [f"o{number}" for number in range(count)]


def catalogue_of(service: Service) -> Catalogue:
    """Return a catalogue that holds one service."""
    made = Catalogue({"recognised.toml": f'[[services]]\nid = "{service.id}"\nname = "{service.name}"\n'})
    made._loaded[service.id] = service
    return made


def test_the_lists_of_the_catalogue_are_read_to_their_end() -> None:
    pairs = paged_lists()
    assert len(pairs) > 100
    found: dict[str, int] = {}
    for service, operation in [*pairs[:: len(pairs) // 20], ("vercel", "list_deployments")]:
        simulator, resource = Simulator(page_size=2, seeded=False), resource_of(service, operation)
        for number in range(ROWS):
            simulator.seed(service, resource, {"id": f"{operation}-{number}", "name": f"row {number}"})
        rows = call(simulator, service, operation, all_pages=True)
        found[f"{service}.{operation}"] = len({json.dumps(row, sort_keys=True) for row in rows})
    assert {name: count for name, count in found.items() if count != ROWS} == {}


# --- Which operation is meant.


def service_with(*paths: tuple[str, str, str]) -> Service:
    operations = tuple(Operation(id=name, method=method, path=path) for name, method, path in paths)  # type: ignore[arg-type]
    return Service(id="s", name="S", operations=operations)


PATHS = service_with(
    ("list", "GET", "/tasks"),
    ("get", "GET", "/tasks/{id}"),
    ("mine", "GET", "/tasks/mine"),
    ("create", "POST", "/tasks"),
    ("comment", "POST", "/tasks/{id}/comments/{number}"),
    ("dotted", "GET", "/v1.0/{a}:run"),
)


@pytest.mark.parametrize(
    ("method", "path", "name", "values"),
    [
        ("GET", "/tasks", "list", {}),
        ("POST", "/tasks", "create", {}),
        ("GET", "/tasks/7", "get", {"id": "7"}),
        ("GET", "/tasks/mine", "mine", {}),
        ("GET", "/tasks/a%2Fb", "get", {"id": "a/b"}),
        ("GET", "/tasks/gr%C3%B6%C3%9Fe", "get", {"id": "größe"}),
        ("POST", "/tasks/7/comments/9", "comment", {"id": "7", "number": "9"}),
        ("GET", "/v1.0/x:run", "dotted", {"a": "x"}),
        ("GET", "/v1x0/x:run", None, {}),
        ("GET", "/tasks/", None, {}),
        ("GET", "/tasks/7/8", None, {}),
        ("DELETE", "/tasks/7", None, {}),
        ("GET", "/", None, {}),
        ("GET", "", None, {}),
    ],
)
def test_a_path_means_the_most_literal_operation(
    method: str, path: str, name: str | None, values: dict[str, str]
) -> None:
    found = matching(PATHS, method, path)
    assert [(one.id, held) for one, held in found] == ([(name, values)] if name else [])


# --- What a request says.

FORM = Operation(
    id="send",
    method="POST",
    path="/send",
    body="form",
    parameters=(
        Parameter(name="count", type="integer"),
        Parameter(name="text"),
        Parameter(name="tags", type="array", location="query"),
        Parameter(name="X-Version", location="header"),
    ),
)
JSON_BODY = FORM.model_copy(update={"body": "json", "body_at": "data"})


@pytest.mark.parametrize(
    ("operation", "content_type", "body", "parameters"),
    [
        (FORM, "application/x-www-form-urlencoded", b"count=3&text=a+b", {"count": 3, "text": "a b"}),
        (FORM, "application/x-www-form-urlencoded", b"text=", {"text": ""}),
        (FORM, "application/x-www-form-urlencoded", b"count=x", {"count": "x"}),
        (JSON_BODY, "application/json", b'{"data": {"text": "x", "new": 1}}', {"text": "x", "new": 1}),
        (JSON_BODY, "application/json", b"", {}),
    ],
)
def test_a_body_is_read_by_the_names_of_the_catalogue(
    operation: Operation, content_type: str, body: bytes, parameters: dict[str, Any]
) -> None:
    asked = read_request(operation, {}, [], {"content-type": content_type}, body)
    assert asked.parameters == parameters


def test_query_and_headers_are_read_with_their_types() -> None:
    query = [("tags", "a"), ("tags", "b"), ("unknown", "x")]
    asked = read_request(FORM, {"id": "7"}, query, {"x-version": "2"}, b"")
    assert asked.parameters == {"id": "7", "tags": ["a", "b"], "unknown": "x", "X-Version": "2"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"text": "x"}', "below 'data'"),
        (b'{"data": {}, "more": 1}', "below 'data'"),
        (b"[]", "below 'data'"),
        (b"[" * 100_000, "not valid JSON"),
    ],
    ids=["open", "bytes", "unwrapped", "more", "list", "deep"],
)
def test_a_body_that_is_wrong_is_refused_as_the_service_would(body: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_request(JSON_BODY, {}, [], {"content-type": "application/json"}, body)


def mime(**fields: str) -> str:
    message = EmailMessage()
    for name, value in fields.items():
        if name != "body":
            message[name.capitalize()] = value
    message.set_content(fields.get("body", ""))
    return base64.urlsafe_b64encode(message.as_bytes()).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"to": "a@b.example", "subject": "Hi", "body": "text"},
        {"to": "a@b.example, c@d.example", "subject": "Grüße 🚀", "body": "two\nlines"},
        {"to": "a@b.example", "cc": "c@d.example", "bcc": "e@f.example", "body": ""},
    ],
    ids=["plain", "wide", "copies"],
)
def test_a_mail_is_read_back_as_it_was_written(fields: dict[str, str]) -> None:
    assert read_mime(mime(**fields)) == fields
    assert read_mime(mime(**fields).rstrip("=")) == fields


@given(raw=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_in_place_of_a_mail_is_read_or_refused(raw: str) -> None:
    try:
        told = read_mime(raw)
    except UsageError as error:
        told = {"said": error.message}
    assert set(told) <= {"to", "cc", "bcc", "subject", "body", "said"}


# --- What a service remembers.

ASANA = CATALOGUE.get("asana")


def twin(*, seeded: bool = False) -> SimulatedService:
    return SimulatedService(ASANA, page_size=20, seeded=seeded)


def test_two_services_of_one_kind_do_not_share_rows() -> None:
    first, second = twin(seeded=True), twin(seeded=True)
    before = json.dumps(second.rows)
    first.rows["task"].clear()
    first.add("task", {"name": "mine"})
    assert json.dumps(second.rows) == before


def test_ids_are_never_given_twice() -> None:
    held = twin(seeded=True)
    ids = [held.add("task", {"name": str(number)})["gid"] for number in range(50)]
    known = [row["gid"] for row in held.rows["task"]]
    assert len(set(ids)) == 50
    assert len(set(known)) == len(known)


def test_a_row_with_an_id_keeps_it() -> None:
    assert twin().add("task", {"gid": "mine", "name": "x"})["gid"] == "mine"


@given(names=st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_whatever_was_created_can_be_read_by_its_id(names: list[str]) -> None:
    simulator = Simulator(seeded=False)
    made = [call(simulator, "asana", "create_task", name=name, projects=["1"])["data"] for name in names]
    for name, row in zip(names, made, strict=True):
        found = call(simulator, "asana", "get_task", task_gid=row["gid"])["data"]
        assert found["name"] == name
    assert [one.status for one in simulator.calls] == [201] * len(names) + [200] * len(names)


@pytest.mark.parametrize(("method", "operation"), [("GET", "get_task"), ("PUT", "update_task")])
def test_what_is_not_there_is_404_and_changes_nothing(method: str, operation: str) -> None:
    held = twin(seeded=True)
    found = ASANA.operation(operation)
    assert found is not None
    assert found.method == method
    before = json.dumps(held.rows)
    reply = held.answer(Asked(found, {"task_gid": "gone"}, {"task_gid": "gone"}, {"name": "x"}), "http://s")
    assert reply.status == 404
    assert json.dumps(held.rows) == before


# --- Failing on demand.


@pytest.mark.parametrize(
    ("fault", "service", "operation", "hits"),
    [
        (Fault("asana"), "asana", "create_task", True),
        (Fault("asana"), "slack", "create_task", False),
        (Fault("*"), "slack", None, True),
        (Fault("asana", "create_task"), "asana", "create_task", True),
        (Fault("asana", "create_task"), "asana", "list_tasks", False),
        (Fault("asana", "create_task"), "asana", None, False),
        (Fault("asana", times=0), "asana", "create_task", False),
        (Fault("asana", times=1), "asana", "create_task", True),
        (Fault("asana", until=NOW), "asana", "create_task", False),
        (Fault("asana", until=NOW + timedelta(seconds=1)), "asana", "create_task", True),
    ],
)
def test_a_fault_hits_what_it_names_while_it_lasts(
    fault: Fault, service: str, operation: str | None, *, hits: bool
) -> None:
    assert fault.hits(service, operation, NOW) is hits


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_fault_is_used_up_call_by_call(times: int) -> None:
    simulator = Simulator()
    simulator.fail("asana", "list_projects", status=503, times=times)
    outcomes: list[bool] = []
    for _ in range(times + 2):
        try:
            call(simulator, "asana", "list_projects")
        except ServiceError as error:
            outcomes.append(error.permanent)
    assert outcomes == [False] * times


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504])
def test_a_fault_of_any_status_is_felt_as_that_status(status: int) -> None:
    simulator = Simulator()
    simulator.fail("asana", status=status, retry_after=4, times=1)
    with pytest.raises(ServiceError) as caught:
        call(simulator, "asana", "list_projects")
    assert caught.value.status == status
    assert simulator.calls[-1].status == status
    assert caught.value.retry_after_s == (4.0 if not caught.value.permanent else None)


def test_a_failed_creation_created_nothing() -> None:
    simulator = Simulator(seeded=False)
    simulator.fail("asana", "create_task", times=1)
    with pytest.raises(ServiceError):
        call(simulator, "asana", "create_task", name="x", projects=["1"])
    assert simulator.twin("asana").rows.get("task", []) == []


@pytest.mark.parametrize("name", ["fail", "expire", "revoke", "seed", "allow", "twin"])
def test_a_service_nobody_knows_is_named_with_the_nearest(name: str) -> None:
    simulator = Simulator()
    more = {"seed": ("task", {}), "allow": ({},)}.get(name, ())
    with pytest.raises(UnknownNameError) as caught:
        getattr(simulator, name)("asanna", *more)
    assert "asana" in caught.value.nearest


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nobody/x", 404), ("/asana/no/such/path", 404), ("/", 404), ("/asana/%00", 404)],
)
def test_an_address_nobody_serves_is_404(path: str, status: int) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Simulator())
        headers = {"authorization": "Bearer simulated-asana-access_token"}
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.get(path, headers=headers)

    assert run(ask()).status_code == status


def test_the_control_is_closed_unless_it_is_opened() -> None:
    async def ask(simulator: Simulator) -> int:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(simulator), base_url="http://simulator"
        ) as client:
            return (await client.post("/_control/reset")).status_code

    assert run(ask(Simulator())) == 404
    assert run(ask(Simulator(control=True))) == 200


def test_every_service_of_the_catalogue_refuses_a_stranger() -> None:
    open_ = [one for one in CATALOGUE.services if one.auth.scheme == "none" or not one.operations]
    guarded = [one for one in CATALOGUE.services if one not in open_ and one.auth.scheme != "bot_token"]
    simulator = Simulator(seeded=False)
    signed = [one for one in guarded if one.auth.scheme in SIGNED]
    for service in (*signed, *guarded[:: max(1, len(guarded) // 40)]):
        assert not simulator.accepted(service.id).admits(stranger(), b""), service.id


def stranger() -> Any:
    from starlette.requests import Request

    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
