"""The one client of all services, against a recorder that answers as told."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.service_answers import BODY_HEAD, LARGEST_ANSWER, retry_after
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import ConfigurationError, ServiceError, UnknownNameError, UsageError
from prefect_autopilot.models import Auth, Operation, OperationEffect, Pagination, Parameter, Service
from prefect_autopilot.services import load_catalogue, simulated_credentials

CATALOGUE = load_catalogue()
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
Answer = Callable[[httpx.Request], httpx.Response]


def client(service: Service | str, answer: Answer, **more: Any) -> ServiceClient:
    known = CATALOGUE.get(service) if isinstance(service, str) else service
    credentials = {name: SecretStr(value) for name, value in simulated_credentials(known).items()}
    arguments = {
        "base_url": "https://service.example/v1",
        "connection": f"{known.id}-default",
        "clock": lambda: NOW,
    }
    return ServiceClient(known, credentials, transport=httpx.MockTransport(answer), **arguments | more)


def says(status: int = 200, body: Any = None, **headers: str) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(status, content=content, headers=kind | named)

    return answer


async def call(service: Service | str, answer: Answer, operation: str, /, **parameters: Any) -> Any:
    async with client(service, answer) as one:
        return await one.call(operation, parameters)


async def failure(
    service: Service | str, answer: Answer, operation: str, /, **parameters: Any
) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call(service, answer, operation, **parameters)
    return caught.value


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def recorder(answer: Answer | None = None) -> tuple[list[httpx.Request], Answer]:
    received: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return (answer or says(200, {"ok": True}))(request)

    return received, record


CONTRACTS = [
    pytest.param(
        "asana",
        "create_task",
        {"name": "T"},
        "POST",
        "/v1/tasks",
        "Bearer simulated-asana-access_token",
        "application/json",
        {"data": {"name": "T"}},
        id="asana",
    ),
    pytest.param(
        "slack",
        "post_message",
        {"channel": "#a", "text": "hi & <you>"},
        "POST",
        "/v1/chat.postMessage",
        "Bearer simulated-slack-token",
        "application/x-www-form-urlencoded",
        {"channel": ["#a"], "text": ["hi & <you>"]},
        id="slack",
    ),
    pytest.param(
        "gmail",
        "modify_labels",
        {"id": "m", "addLabelIds": ["STARRED"]},
        "POST",
        "/v1/users/me/messages/m/modify",
        "Bearer simulated-gmail-access_token",
        "application/json",
        {"addLabelIds": ["STARRED"]},
        id="gmail",
    ),
    pytest.param(
        "discord",
        "create_message",
        {"channel_id": "1", "content": "hi"},
        "POST",
        "/v1/channels/1/messages",
        "Bot simulated-discord-token",
        "application/json",
        {"content": "hi"},
        id="discord",
    ),
    pytest.param(
        "jira",
        "transition_issue",
        {"issueIdOrKey": "OPS-1", "transition_id": "31"},
        "POST",
        "/v1/issue/OPS-1/transitions",
        "Basic c2ltdWxhdGVkLWppcmEtdXNlcm5hbWU6c2ltdWxhdGVkLWppcmEtcGFzc3dvcmQ=",
        "application/json",
        {"transition": {"id": "31"}},
        id="jira",
    ),
]


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "method", "path", "proof", "kind", "body"), CONTRACTS
)
def test_a_call_arrives_as_the_service_wants_it(
    service: str,
    operation: str,
    parameters: dict[str, Any],
    method: str,
    path: str,
    proof: str,
    kind: str,
    body: Any,
) -> None:
    received, record = recorder()
    run(call(service, record, operation, **parameters))

    (request,) = received
    assert (request.method, request.url.path) == (method, path)
    assert request.headers["authorization"] == proof
    assert request.headers["content-type"] == kind
    content = request.content.decode()
    assert (parse_qs(content) if "form" in kind else json.loads(content)) == body


def test_keys_of_the_query_are_added_to_the_parameters() -> None:
    received, record = recorder()
    run(call("trello", record, "list_cards", id="l", limit="5"))

    assert dict(received[0].url.params) == {
        "limit": "5",
        "key": "simulated-trello-key",
        "token": "simulated-trello-token",
    }
    assert "authorization" not in received[0].headers


@pytest.mark.parametrize(
    ("operation", "parameters", "error"),
    [
        ("create_tsk", {"name": "T"}, UnknownNameError),
        ("create_task", {"nmae": "T"}, UnknownNameError),
        ("create_task", {}, UsageError),
        ("create_task", {"name": 1}, UsageError),
    ],
)
def test_nothing_is_sent_before_the_parameters_are_right(
    operation: str, parameters: dict[str, Any], error: type[Exception]
) -> None:
    received, record = recorder()
    with pytest.raises(error):
        run(call("asana", record, operation, **parameters))
    assert received == []


STATUSES = [
    (400, True),
    (401, True),
    (403, True),
    (404, True),
    (405, True),
    (409, True),
    (410, True),
    (422, True),
    (501, True),
    (408, False),
    (425, False),
    (429, False),
    (500, False),
    (502, False),
    (503, False),
    (504, False),
]


@pytest.mark.parametrize(("status", "permanent"), STATUSES)
def test_a_status_tells_whether_the_same_call_may_succeed_later(status: int, *, permanent: bool) -> None:
    error = run(failure("asana", says(status, {"errors": [{"message": "no"}]}), "create_task", name="T"))

    assert (error.status, error.permanent) == (status, permanent)


def test_an_error_carries_everything_diagnosis_needs() -> None:
    answer = says(503, {"errors": [{"message": "busy"}]}, retry_after="7", x_request_id="req-1")
    error = run(failure("asana", answer, "create_task", name="T"))

    assert (error.service, error.operation, error.effect) == ("asana", "create_task", "unsafe")
    assert (error.retry_after_s, error.request_id, error.connection) == (7.0, "req-1", "asana-default")
    for fact in (
        "status=503",
        "content_type=application/json",
        "retry_after_s=7.0",
        "request_id=req-1",
        "busy",
    ):
        assert fact in str(error)


def test_an_error_survives_the_pickle_of_a_run() -> None:
    error = run(failure("asana", says(429, {}, retry_after="7"), "list_projects"))
    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), copy.permanent, copy.retry_after_s, copy.effect) == (str(error), False, 7.0, "safe")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Mon, 02 Mar 2026 03:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 02 Mar 2026 02:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"x-ratelimit-reset": "45"}, 45.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 90)}, 90.0),
        ({"x-ratelimit-reset": "later"}, None),
        ({"retry-after": "3", "x-ratelimit-reset": "45"}, 3.0),
        ({}, None),
    ],
)
def test_a_wait_is_read_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "permanent"),
    [
        ({}, True),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "60"}, False),
        ({"retry_after": "60"}, False),
    ],
)
def test_a_refusal_that_is_a_rate_limit_is_not_permanent(headers: dict[str, str], *, permanent: bool) -> None:
    error = run(
        failure("github", says(403, {"message": "no"}, **headers), "list_issues", owner="a", repo="b")
    )

    assert error.permanent is permanent
    assert error.retry_after_s == (None if permanent else 60.0)


@pytest.mark.parametrize(
    ("code", "permanent"),
    [("invalid_auth", True), ("channel_not_found", True), ("ratelimited", False), ("internal_error", False)],
)
def test_a_good_status_that_reports_a_failure_is_a_failure(code: str, *, permanent: bool) -> None:
    error = run(
        failure("slack", says(200, {"ok": False, "error": code}), "post_message", channel="#a", text="x")
    )

    assert code in str(error)
    assert (error.status, error.permanent) == (200, permanent)


def test_a_message_field_in_a_good_answer_is_no_failure() -> None:
    assert run(call("github", says(200, [{"message": "a commit"}]), "list_issues", owner="a", repo="b"))


def test_a_graphql_answer_with_errors_is_a_failure() -> None:
    service = Service(
        id="graph",
        name="Graph",
        operations=(
            Operation(
                id="ask",
                method="POST",
                path="/graphql",
                body="json",
                parameters=(Parameter(name="query", required=True),),
            ),
        ),
    )
    error = run(
        failure(
            service, says(200, {"data": None, "errors": [{"message": "no such field"}]}), "ask", query="{x}"
        )
    )

    assert "no such field" in str(error)
    assert run(call(service, says(200, {"data": {"x": 1}}), "ask", query="{x}")) == {"data": {"x": 1}}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        pytest.param(says(204), None, id="no content"),
        pytest.param(says(200, b"  "), None, id="blank"),
        pytest.param(says(200, [1, 2]), [1, 2], id="list"),
        pytest.param(lambda _: httpx.Response(200, text="plain words"), "plain words", id="text"),
        pytest.param(lambda _: httpx.Response(200, text='{"a": 1}'), {"a": 1}, id="json without saying so"),
        pytest.param(
            lambda _: httpx.Response(200, text="{not json"), "{not json", id="text that looks like json"
        ),
    ],
)
def test_an_answer_is_read(answer: Answer, value: Any) -> None:
    assert run(call("asana", answer, "list_projects")) == value


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(says(200, b"<html>oops"), "cannot be read", id="garbage said to be JSON"),
        pytest.param(lambda _: httpx.Response(200, html="<p>Log in</p>"), "web page", id="a login page"),
        pytest.param(
            lambda _: httpx.Response(302, headers={"location": "https://x.example"}),
            "redirects",
            id="redirect",
        ),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: Answer, told: str) -> None:
    assert told in str(run(failure("asana", answer, "list_projects")))


@pytest.mark.parametrize(
    "raised",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("half an answer"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_a_broken_connection_is_not_permanent(raised: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise raised

    error = run(failure("asana", answer, "create_task", name="T"))

    assert (error.permanent, error.status, error.effect) == (False, None, "unsafe")
    assert error.__cause__ is None


SECRETS = ("simulated-trello-key", "simulated-trello-token")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            says(401, {"message": "bad key simulated-trello-key and simulated-trello-token"}), id="echoed"
        ),
        pytest.param(
            lambda request: (_ for _ in ()).throw(httpx.ConnectError(f"could not reach {request.url}")),
            id="address",
        ),
        pytest.param(lambda request: httpx.Response(500, text=str(request.url)), id="address in the body"),
        pytest.param(
            lambda request: httpx.Response(200, json={"x": 1}, headers={"location": str(request.url)}),
            id="ok",
        ),
    ],
)
def test_no_key_of_a_query_ever_stands_in_an_error(answer: Answer) -> None:
    try:
        run(call("trello", answer, "get_board", id="b"))
    except ServiceError as error:
        shown = f"{error!r} {error} {error.__dict__} {error.__cause__}"
        assert not [secret for secret in SECRETS if secret in shown]


def test_the_client_shows_no_secret_either() -> None:
    one = client("trello", says())
    assert not [secret for secret in SECRETS if secret in repr(one)]
    run(one.__aexit__(None, None, None))


def test_the_quoted_body_is_bounded_and_cannot_break_the_line() -> None:
    error = run(failure("asana", says(500, {"x": "\x1b[31m\n" + "A" * 10_000}), "list_projects"))

    assert len(str(error)) < BODY_HEAD + 500
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)


def test_an_endless_answer_is_cut_off() -> None:
    sent = {"chunks": 0}

    async def endless() -> Any:
        while True:
            sent["chunks"] += 1
            yield b"x" * 2**20

    error = run(failure("asana", lambda _: httpx.Response(200, content=endless()), "list_projects"))

    assert "MB" in str(error)
    assert sent["chunks"] <= LARGEST_ANSWER // 2**20 + 2


def pages(
    service: str, bodies: list[Any], headers: list[dict[str, str]] | None = None
) -> tuple[list[Any], Answer]:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        place = min(len(received), len(bodies)) - 1
        return httpx.Response(200, json=bodies[place], headers=(headers or [{}] * len(bodies))[place])

    return received, answer


async def all_rows(service: Service | str, answer: Answer, operation: str, /, **parameters: Any) -> list[Any]:
    async with client(service, answer) as one:
        return await one.call(operation, parameters, all_pages=True)


def test_a_cursor_is_followed_to_the_last_page() -> None:
    bodies = [
        {"data": [1, 2], "next_page": {"offset": "x"}},
        {"data": [3], "next_page": {"offset": "y"}},
        {"data": [], "next_page": None},
    ]
    received, answer = pages("asana", bodies)

    assert run(all_rows("asana", answer, "list_tasks", project="p")) == [1, 2, 3]
    assert [dict(request.url.params) for request in received] == [
        {"project": "p"},
        {"project": "p", "offset": "x"},
        {"project": "p", "offset": "y"},
    ]


def test_a_link_header_is_followed_with_the_credentials() -> None:
    follow = '<https://service.example/v1/repos/a/b/issues?page=2>; rel="next"'
    received, answer = pages("github", [[1], [2]], [{"link": follow}, {}])

    assert run(all_rows("github", answer, "list_issues", owner="a", repo="b")) == [1, 2]
    assert received[1].url.params["page"] == "2"
    assert received[1].headers["authorization"] == "Bearer simulated-github-token"


def test_a_link_to_another_host_is_not_given_the_credentials() -> None:
    received, answer = pages("github", [[1]], [{"link": '<https://thief.example/issues>; rel="next"'}])

    with pytest.raises(UsageError, match="another host"):
        run(all_rows("github", answer, "list_issues", owner="a", repo="b"))
    assert len(received) == 1


def counted(kind: str) -> Service:
    operation = Operation(
        id="list_rows",
        method="GET",
        path="/rows",
        list_at="$",
        effect=OperationEffect.SAFE,
        parameters=(Parameter(name="at", location="query", type="integer"),),
        pagination=Pagination.model_validate({"kind": kind, "request_param": "at"}),
    )
    return Service(id="counted", name="Counted", auth=Auth(scheme="none"), operations=(operation,))


@pytest.mark.parametrize(("kind", "asked"), [("page", [None, "2", "3"]), ("offset", [None, "2", "3"])])
def test_numbered_pages_end_with_an_empty_one(kind: str, asked: list[str | None]) -> None:
    received, answer = pages("counted", [["a", "b"], ["c"], []])

    assert run(all_rows(counted(kind), answer, "list_rows")) == ["a", "b", "c"]
    assert [request.url.params.get("at") for request in received] == asked


@pytest.mark.parametrize(
    ("service", "operation", "body"),
    [
        pytest.param(
            "asana", "list_tasks", {"data": [1], "next_page": {"offset": "same"}}, id="repeated cursor"
        ),
        pytest.param(counted("page"), "list_rows", ["same"], id="page number ignored"),
        pytest.param(counted("offset"), "list_rows", ["same"], id="offset ignored"),
    ],
)
def test_a_page_given_again_is_an_error_and_no_endless_loop(
    service: Service | str, operation: str, body: Any
) -> None:
    received, answer = pages("any", [body])

    with pytest.raises(ServiceError, match="repeats a page") as caught:
        run(all_rows(service, answer, operation))
    assert caught.value.permanent
    assert len(received) == 2


def test_rows_that_are_not_ready_are_no_empty_list() -> None:
    running = says(202, {"code": "333334", "statementHandle": "01b", "message": "in progress"})

    with pytest.raises(ServiceError, match="later") as caught:
        run(all_rows("snowflake", running, "list_rows", statementHandle="01b"))

    assert not caught.value.permanent
    assert caught.value.status == 202
    assert run(call("snowflake", running, "get_statement", statementHandle="01b"))["code"] == "333334"


def test_a_list_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect_autopilot.adapters import services as client_module

    monkeypatch.setattr(client_module, "MOST_PAGES", 5)
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(
            200, json={"data": [len(received)], "next_page": {"offset": str(len(received))}}
        )

    with pytest.raises(ServiceError, match="too long"):
        run(all_rows("asana", answer, "list_tasks"))
    assert len(received) == 5


@pytest.mark.parametrize("operation", ["create_task", "get_task"])
def test_only_lists_are_read_page_by_page(operation: str) -> None:
    parameters = {"name": "T"} if operation == "create_task" else {"task_gid": "1"}
    with pytest.raises(UsageError, match="no list"):
        run(all_rows("asana", says(200, {}), operation, **parameters))


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "sent"),
    [
        ("stripe", "create_customer", {"email": "a@example.com"}, "key-1"),
        ("stripe", "list_customers", {}, None),
        ("asana", "create_task", {"name": "T"}, None),
    ],
)
def test_an_idempotency_key_goes_only_where_it_is_understood(
    service: str, operation: str, parameters: dict[str, Any], sent: str | None
) -> None:
    received, record = recorder()

    async def send() -> None:
        async with client(service, record) as one:
            await one.call(operation, parameters, idempotency_key="key-1")

    run(send())
    assert received[0].headers.get("idempotency-key") == sent


@pytest.mark.parametrize(
    ("service", "base_url", "credentials", "told"),
    [
        ("jira", None, {"username": "u", "password": "p"}, "'site'"),
        ("jira", None, {"username": "u", "password": "p", "site": "evil.example/#"}, "'site'"),
        ("asana", "ftp://host", {"access_token": "t"}, "HTTP"),
        ("asana", None, {}, "'access_token'"),
        ("postgres", None, {"username": "u", "password": "p", "host": "h", "database": "d"}, "HTTP"),
    ],
)
def test_an_incomplete_connection_is_refused_at_once(
    service: str, base_url: str | None, credentials: dict[str, str], told: str
) -> None:
    held = {name: SecretStr(value) for name, value in credentials.items()}
    with pytest.raises(ConfigurationError, match=told):
        ServiceClient(CATALOGUE.get(service), held, base_url=base_url)


def test_the_parts_only_the_person_knows_complete_the_address() -> None:
    received, record = recorder()
    credentials = {"username": "u", "password": "p", "site": "acme"}

    async def send() -> None:
        held = {name: SecretStr(value) for name, value in credentials.items()}
        one = ServiceClient(CATALOGUE.get("jira"), held, transport=httpx.MockTransport(record))
        async with one:
            await one.call("get_issue", {"issueIdOrKey": "OPS-1"})

    run(send())
    assert str(received[0].url) == "https://acme.atlassian.net/rest/api/3/issue/OPS-1"


def test_a_bot_token_completes_the_address_and_stays_out_of_errors() -> None:
    token = "11:simulated-bot-token"

    async def send() -> None:
        one = ServiceClient(
            CATALOGUE.get("telegram"),
            {"token": SecretStr(token)},
            transport=httpx.MockTransport(lambda request: httpx.Response(404, text=str(request.url))),
        )
        async with one:
            await one.call("get_updates")

    with pytest.raises(ServiceError) as caught:
        run(send())
    assert token not in str(caught.value)


REPORTS = Operation(
    id="report",
    method="GET",
    path="/report",
    base_url="https://{region}.reports.example/v2",
    effect=OperationEffect.SAFE,
)
TWO_HOSTS = Service(
    id="two",
    name="Two Hosts",
    base_url="https://api.two.example/v1",
    auth=Auth(scheme="bearer"),
    operations=(REPORTS, Operation(id="ping", method="GET", path="/ping", effect=OperationEffect.SAFE)),
)
HELD = {"token": SecretStr("t"), "region": SecretStr("eu")}


@pytest.mark.parametrize(
    ("operation", "told", "url"),
    [
        ("ping", None, "https://api.two.example/v1/ping"),
        ("report", None, "https://eu.reports.example/v2/report"),
        ("ping", "https://own.example", "https://own.example/ping"),
        ("report", "https://own.example", "https://own.example/report"),
    ],
)
async def test_an_operation_on_another_host_is_called_there(
    operation: str, told: str | None, url: str
) -> None:
    received, answer = recorder()
    transport = httpx.MockTransport(answer)

    async with ServiceClient(TWO_HOSTS, HELD, base_url=told, transport=transport) as one:
        await one.call(operation)

    assert [str(request.url) for request in received] == [url]


@pytest.mark.parametrize(
    ("base_url", "held", "names"),
    [
        ("https://{region}.reports.example", {"token": SecretStr("t")}, "region"),
        ("http://127.0.0.1:9/v2", HELD, "private"),
        ("ftp://reports.example", HELD, "HTTP"),
    ],
)
def test_another_host_is_checked_as_the_first_one_is(
    base_url: str, held: dict[str, SecretStr], names: str
) -> None:
    report = REPORTS.model_copy(update={"base_url": base_url})
    service = TWO_HOSTS.model_copy(update={"operations": (report,)})

    with pytest.raises(ConfigurationError, match=names):
        ServiceClient(service, held)
