"""The simulated services: as strict as the real ones, with a memory, and failing on demand."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import oauth
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import ServiceError, UnknownNameError
from prefect_autopilot.models import Service
from prefect_autopilot.services import load_catalogue, simulated_credentials

CATALOGUE = load_catalogue()
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
BEARER = {"authorization": "Bearer simulated-asana-access_token"}


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def connected(simulator: Simulator, service: str, credentials: dict[str, str] | None = None) -> ServiceClient:
    known = CATALOGUE.get(service)
    held = credentials or simulated_credentials(known)
    return ServiceClient(
        known,
        {name: SecretStr(value) for name, value in held.items()},
        base_url=f"http://simulator/{service}",
        transport=httpx.ASGITransport(simulator),
        connection=f"{service}-default",
    )


def call(
    simulator: Simulator, service: str, operation: str, /, *, all_pages: bool = False, **parameters: Any
) -> Any:
    async def send() -> Any:
        async with connected(simulator, service) as client:
            return await client.call(operation, parameters, all_pages=all_pages)

    return run(send())


def request(simulator: Simulator, method: str, path: str, **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(simulator)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.request(method, path, **more)

    return run(send())


ROUND_TRIPS = [
    pytest.param("asana", "create_task", {"name": "New"}, "list_tasks", {}, "name", id="asana"),
    pytest.param(
        "slack",
        "post_message",
        {"channel": "C1", "text": "New"},
        "get_history",
        {"channel": "C1"},
        "text",
        id="slack",
    ),
    pytest.param(
        "github",
        "create_issue",
        {"owner": "a", "repo": "b", "title": "New"},
        "list_issues",
        {"owner": "a", "repo": "b"},
        "title",
        id="github",
    ),
    pytest.param(
        "discord",
        "create_message",
        {"channel_id": "7", "content": "New"},
        "list_messages",
        {"channel_id": "7"},
        "content",
        id="discord",
    ),
]


@pytest.mark.parametrize(("service", "create", "values", "listing", "where", "field"), ROUND_TRIPS)
def test_what_was_created_stands_in_the_list(
    service: str, create: str, values: dict[str, Any], listing: str, where: dict[str, Any], field: str
) -> None:
    simulator = Simulator()
    before = call(simulator, service, listing, all_pages=True, **where)
    call(simulator, service, create, **values)
    after = call(simulator, service, listing, all_pages=True, **where)

    assert [row[field] for row in after] == ["New", *(row[field] for row in before)]
    asked = [one for one, _ in groupby(record.operation for record in simulator.calls)]
    assert asked == [listing, create, listing]


def test_a_created_thing_is_read_changed_and_deleted_by_its_id() -> None:
    simulator = Simulator()
    made = call(simulator, "asana", "create_task", name="T")["data"]["gid"]
    call(simulator, "asana", "update_task", task_gid=made, completed=True)

    assert call(simulator, "asana", "get_task", task_gid=made)["data"] == {
        "gid": made,
        "name": "T",
        "completed": True,
    }
    card = call(simulator, "trello", "create_card", idList="l", name="C")["id"]
    call(simulator, "trello", "delete_card", id=card)
    with pytest.raises(ServiceError, match="status=404"):
        call(simulator, "trello", "delete_card", id=card)


def test_important_mail_is_found_and_read() -> None:
    simulator = Simulator()
    found = call(simulator, "gmail", "list_messages", q="is:unread is:important")["messages"]
    mail = call(simulator, "gmail", "get_message", id=found[0]["id"])

    assert [set(row) for row in found] == [{"id", "threadId"}], "a list shows ids only, as Gmail's does"
    assert {"INBOX", "IMPORTANT"} <= set(mail["labelIds"])
    assert any(header["name"] == "Subject" for header in mail["payload"]["headers"])


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("is:important", 1),
        ("-is:important", 2),
        ("from:billing", 1),
        ("subject:contract friday", 1),
        ("nothing like it", 0),
        ("is:unread newer_than:1d", 2),
        ("", 3),
    ],
)
def test_a_search_finds_what_holds_its_words(query: str, count: int) -> None:
    answer = call(Simulator(), "gmail", "list_messages", q=query)
    assert len(answer["messages"]) == count


def test_labels_are_added_and_removed() -> None:
    simulator = Simulator()
    mail = call(simulator, "gmail", "list_messages")["messages"][0]["id"]
    call(simulator, "gmail", "modify_labels", id=mail, addLabelIds=["STARRED"], removeLabelIds=["UNREAD"])
    labels = call(simulator, "gmail", "get_message", id=mail)["labelIds"]

    assert "STARRED" in labels
    assert "UNREAD" not in labels


def test_a_sent_mail_is_recorded_in_readable_form() -> None:
    simulator = Simulator()
    call(simulator, "gmail", "send_message", to="a@example.com", subject="Grüße", body="Hallo")

    assert simulator.calls[0].parameters == {
        "user_id": "me",
        "to": "a@example.com",
        "subject": "Grüße",
        "body": "Hallo",
    }


def test_friendly_parameters_are_read_back_from_nested_bodies() -> None:
    simulator = Simulator()
    call(
        simulator, "jira", "create_issue", project="OPS", summary="S", labels=["x"], description="One\n\nTwo"
    )

    assert simulator.calls[0].parameters == {
        "project": "OPS",
        "summary": "S",
        "issue_type": "Task",
        "labels": ["x"],
        "description": "One\n\nTwo",
    }


@pytest.mark.parametrize(
    ("service", "listing", "where", "field"),
    [
        pytest.param("asana", "list_tasks", {}, "gid", id="cursor"),
        pytest.param("github", "list_issues", {"owner": "a", "repo": "b"}, "id", id="link"),
        pytest.param("microsoft_outlook", "list_messages", {}, "id", id="next address"),
        pytest.param("hubspot", "list_contacts", {}, "id", id="nested cursor"),
        pytest.param("jira", "list_projects", {}, "id", id="offset"),
    ],
)
def test_every_page_comes_once_and_in_order(
    service: str, listing: str, where: dict[str, Any], field: str
) -> None:
    simulator = Simulator(page_size=2, seeded=False)
    resource = listing.removeprefix("list_").removesuffix("s")
    made = [simulator.seed(service, resource, {field: str(number)})[field] for number in range(5)]

    rows = call(simulator, service, listing, all_pages=True, **where)

    assert [row[field] for row in rows] == made[::-1]
    assert len(simulator.calls) >= 3


REFUSED = [
    pytest.param("POST", "/asana/tasks", {"json": {"data": {"name": "T"}}}, 401, id="no credentials"),
    pytest.param(
        "POST",
        "/asana/tasks",
        {"headers": {"authorization": "Bearer x"}, "json": {"data": {"name": "T"}}},
        401,
        id="wrong token",
    ),
    pytest.param("POST", "/asana/tasks", {"headers": BEARER, "json": {"name": "T"}}, 400, id="not wrapped"),
    pytest.param("POST", "/asana/tasks", {"headers": BEARER, "json": {"data": {}}}, 400, id="missing"),
    pytest.param(
        "POST", "/asana/tasks", {"headers": BEARER, "json": {"data": {"name": 1}}}, 400, id="wrong type"
    ),
    pytest.param(
        "POST",
        "/asana/tasks",
        {"headers": BEARER, "json": {"data": {"name": "T", "nmae": "x"}}},
        400,
        id="unknown field",
    ),
    pytest.param("POST", "/asana/tasks", {"headers": BEARER, "content": b"{broken"}, 400, id="broken JSON"),
    pytest.param("GET", "/asana/tasks?limt=5", {"headers": BEARER}, 400, id="unknown query"),
    pytest.param("GET", "/asana/tasks?limit=many", {"headers": BEARER}, 400, id="no number"),
    pytest.param("GET", "/asana/tasks?offset=broken", {"headers": BEARER}, 400, id="broken cursor"),
    pytest.param("DELETE", "/asana/tasks", {"headers": BEARER}, 404, id="wrong method"),
    pytest.param("GET", "/asana/no/such/path", {"headers": BEARER}, 404, id="wrong path"),
    pytest.param("GET", "/no_such_service/x", {}, 404, id="no such service"),
    pytest.param("GET", "/_control/health", {}, 404, id="control is closed"),
]


@pytest.mark.parametrize(("method", "path", "more", "status"), REFUSED)
def test_a_wrong_request_is_refused_and_changes_nothing(
    method: str, path: str, more: dict[str, Any], status: int
) -> None:
    simulator = Simulator(seeded=False)

    assert request(simulator, method, path, **more).status_code == status
    assert simulator.twin("asana").rows == {}
    assert all(record.status == status for record in simulator.calls)


def test_an_expired_token_is_refused_until_it_is_renewed() -> None:
    simulator = Simulator()
    service = CATALOGUE.get("gmail")
    held = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    simulator.expire("gmail")
    with pytest.raises(ServiceError, match="status=401"):
        call(simulator, "gmail", "list_messages")

    url = "http://simulator/gmail/oauth/token"
    renewed = run(
        oauth.refresh(service, held, now=NOW, token_url=url, transport=httpx.ASGITransport(simulator))
    )

    async def again() -> Any:
        plain = {name: secret.get_secret_value() for name, secret in renewed.items()}
        async with connected(simulator, "gmail", plain) as client:
            return await client.call("list_messages")

    assert run(again())["messages"]
    assert renewed["expires_at"].get_secret_value() == "2026-03-02T04:00:00+00:00"
    with pytest.raises(ServiceError, match="status=401"):
        call(simulator, "gmail", "list_messages")


def test_a_revoked_connection_cannot_be_renewed() -> None:
    simulator = Simulator()
    service = CATALOGUE.get("gmail")
    held = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    simulator.revoke("gmail")

    with pytest.raises(ServiceError, match="reconnect"):
        run(
            oauth.refresh(
                service,
                held,
                now=NOW,
                token_url="http://simulator/gmail/oauth/token",
                transport=httpx.ASGITransport(simulator),
            )
        )


def test_a_service_says_expired_in_its_own_way() -> None:
    simulator = Simulator()
    for service in ("slack", "asana"):
        simulator.expire(service)

    slack = request(simulator, "GET", "/slack/auth.test")
    asana = request(simulator, "GET", "/asana/users/me")

    assert (slack.status_code, slack.json()) == (200, {"ok": False, "error": "token_expired"})
    assert asana.status_code == 401
    assert asana.json()["errors"][0]["message"]
    assert "invalid_token" in asana.headers["www-authenticate"]


def test_a_fault_lasts_as_often_as_said_and_hits_only_its_operation() -> None:
    simulator = Simulator()
    simulator.fail("asana", "create_task", status=429, retry_after=7, times=1)

    with pytest.raises(ServiceError) as caught:
        call(simulator, "asana", "create_task", name="T")
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)
    call(simulator, "asana", "list_tasks")
    call(simulator, "slack", "auth_test")
    call(simulator, "asana", "create_task", name="T")
    assert [record.status for record in simulator.calls] == [429, 200, 200, 201]


def test_a_fault_ends_at_its_time() -> None:
    moment = {"now": NOW}
    simulator = Simulator(clock=lambda: moment["now"])
    simulator.fail("asana", until=NOW + timedelta(seconds=30))

    with pytest.raises(ServiceError):
        call(simulator, "asana", "list_tasks")
    moment["now"] += timedelta(seconds=31)
    assert call(simulator, "asana", "list_tasks")


def test_all_services_fail_and_heal_at_once() -> None:
    simulator = Simulator()
    simulator.fail("*", status=502)
    for service, operation in (("asana", "list_tasks"), ("gmail", "list_labels")):
        with pytest.raises(ServiceError, match="status=502"):
            call(simulator, service, operation)
    simulator.heal()
    assert call(simulator, "asana", "list_tasks")


def test_an_outage_keeps_its_status_where_refusals_are_told_with_200() -> None:
    simulator = Simulator()
    simulator.fail("slack", status=401)
    with pytest.raises(ServiceError, match="status=401"):
        call(simulator, "slack", "auth_test")


def test_garbage_and_slowness_are_felt_by_the_client() -> None:
    simulator = Simulator()
    simulator.fail("asana", garbage=True, times=1)
    with pytest.raises(ServiceError, match="cannot be read"):
        call(simulator, "asana", "list_tasks")
    simulator.fail("asana", status=None, slow_s=0.05, times=1)
    assert call(simulator, "asana", "list_tasks")
    assert len(simulator.calls) == 2


def test_a_slow_service_waits_for_nobody_who_has_hung_up() -> None:
    simulator = Simulator()
    simulator.fail("asana", status=None, slow_s=120)
    received = [{"type": "http.request", "body": b'{"data": {}}'}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/asana/tasks",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    run(simulator(scope, receive, send))
    assert sent[0]["status"] == 499
    assert simulator.calls == []


@pytest.mark.parametrize(
    ("service", "operation"), [("no_such_service", None), ("asana", "no_such_operation")]
)
def test_a_fault_needs_a_known_target(service: str, operation: str | None) -> None:
    with pytest.raises(UnknownNameError):
        Simulator().fail(service, operation)


def test_an_equal_idempotency_key_is_answered_without_acting_again() -> None:
    simulator = Simulator()

    async def send() -> list[Any]:
        async with connected(simulator, "stripe") as client:
            keys = ("a", "a", "b")
            return [
                await client.call("create_customer", {"email": "x@example.com"}, idempotency_key=key)
                for key in keys
            ]

    first, repeated, other = run(send())
    assert first == repeated
    assert other["id"] != first["id"]
    assert len(simulator.twin("stripe").rows["customer"]) == 2


def test_a_thing_nobody_made_is_missing_where_such_things_are_known() -> None:
    with pytest.raises(ServiceError, match="status=404"):
        call(Simulator(), "asana", "get_task", task_gid="404")


def test_a_thing_of_a_kind_unknown_here_is_taken_to_exist() -> None:
    assert call(Simulator(), "trello", "get_board", id="board-1")["id"] == "board-1"


def test_a_reset_forgets_everything() -> None:
    simulator = Simulator()
    call(simulator, "asana", "create_task", name="T")
    simulator.fail("asana")
    simulator.expire("slack")
    simulator.reset()

    assert simulator.calls == []
    assert "T" not in [row["name"] for row in call(simulator, "asana", "list_tasks", all_pages=True)]
    assert call(simulator, "slack", "auth_test")["ok"]


def test_services_that_want_signed_requests_refuse_one_without() -> None:
    signed = [one for one in CATALOGUE.services if one.auth.scheme in ("sigv4", "oauth1")]
    for service in signed:
        operation = service.operations[0]
        answer = request(Simulator(), operation.method, f"/{service.id}{operation.path}")
        assert answer.status_code == 401, service.id
    assert signed


COUNTS = ("limit", "count", "per_page", "page_size", "pageSize", "maxResults", "$top")


def simulated(service: Service) -> bool:
    return bool(service.operations) and service.protocol == "http"


@pytest.mark.parametrize("service", [*filter(simulated, CATALOGUE.services)], ids=lambda service: service.id)
def test_every_operation_of_the_catalogue_can_be_called(service: Service) -> None:
    """The client and the simulator agree on every operation, whatever its shape."""
    values = {
        "string": "x1",
        "any": "x1",
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "object": {"a": 1},
        "array": ["a"],
    }

    async def every() -> None:
        for operation in service.operations:
            given = {
                parameter.name: parameter.choices[0] if parameter.choices else values[parameter.type]
                for parameter in operation.parameters
                if parameter.default is None
                and (
                    parameter.required or parameter.name not in (operation.pagination.request_param, *COUNTS)
                )
            }
            simulator = Simulator(seeded=False)
            async with connected(simulator, service.id) as client:
                await client.call(operation.id, given)
            assert [record.operation for record in simulator.calls] == [operation.id]
            told = simulator.calls[0].parameters
            plain = {name: value for name, value in given.items() if value != values["object"]}
            assert {name: told.get(name) for name in plain} == plain

    run(every())


def test_another_process_can_drive_it_over_a_socket() -> None:
    simulator = Simulator(control=True)
    with serve_simulator(simulator) as url, httpx.Client(base_url=url) as other:
        assert other.get("/_control/health").json() == {"ok": True}
        mail = other.post(
            "/_control/seed", json={"service": "gmail", "resource": "message", "row": {"snippet": "Just in"}}
        ).json()
        assert mail["id"]
        fault = {"service": "asana", "operation": "list_tasks", "status": 429, "retry_after": 2, "for_s": 60}
        assert other.post("/_control/fail", json=fault).json() == {"ok": True}
        refused = other.get("/asana/tasks", headers=BEARER)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        other.post("/_control/heal", json={"service": "asana"})
        other.post("/_control/expire", json={"service": "asana"})
        assert other.get("/asana/tasks", headers=BEARER).status_code == 401
        other.post("/_control/allow", json={"service": "asana", "credentials": {"access_token": "own"}})
        assert other.get("/asana/tasks", headers={"authorization": "Bearer own"}).status_code == 200
        told = other.post("/_control/calls", json={"service": "asana"}).json()
        assert [row["status"] for row in told] == [429, 401, 200]
        other.post("/_control/reset")
        assert other.get("/_control/calls").json() == []


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("fail", {"service": "no_such_service"}),
        ("fail", {"service": "asana", "wrong": 1}),
        ("fail", {}),
        ("seed", {"service": "asana"}),
        ("__init__", {}),
        ("twin", {"service_id": "asana"}),
    ],
)
def test_a_wrong_control_request_is_refused(action: str, body: dict[str, Any]) -> None:
    assert request(Simulator(control=True), "POST", f"/_control/{action}", json=body).status_code == 422


def test_the_command_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "prefect_autopilot.adapters.simulator", "--port", "0", "--control"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.get(f"{url}/_control/health", timeout=25).json() == {"ok": True}
    finally:
        process.terminate()
        process.communicate(timeout=25)


def test_a_key_that_was_used_for_another_call_is_refused() -> None:
    simulator = Simulator()
    service = load_catalogue().get("stripe")
    secrets = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}

    async def story() -> None:
        transport = httpx.ASGITransport(app=simulator)
        async with ServiceClient(
            service, secrets, base_url="http://simulator/stripe", transport=transport
        ) as client:
            first = await client.call("create_customer", {"email": "a@b.example"}, idempotency_key="k")
            again = await client.call("create_customer", {"email": "a@b.example"}, idempotency_key="k")
            assert first == again
            with pytest.raises(ServiceError, match="conflict"):
                await client.call("create_customer", {"email": "c@d.example"}, idempotency_key="k")

    asyncio.run(story())
