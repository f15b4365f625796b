"""Parameters checked, placed and authorised as each service wants them."""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.policy import default
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import ConfigurationError, UnknownNameError, UsageError
from prefect_autopilot.models import Auth, Operation, Pagination, Parameter, Service
from prefect_autopilot.services import (
    authorise,
    build_request,
    check_parameters,
    credential_names,
    find_operation,
    is_whole,
    load_catalogue,
    next_page,
    pick,
    place,
    simulated_credentials,
    tenant_fields,
)
from prefect_autopilot.services.requests import RequestParts, mime_message

CATALOGUE = load_catalogue()


def built(service_id: str, operation_id: str, parameters: dict[str, Any]) -> RequestParts:
    service = CATALOGUE.get(service_id)
    operation = find_operation(service, operation_id)
    return build_request(operation, check_parameters(service, operation, parameters))


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "method", "path", "body"),
    [
        pytest.param(
            "asana",
            "create_task",
            {"name": "T", "projects": ["1"]},
            "POST",
            "/tasks",
            {"data": {"name": "T", "projects": ["1"]}},
            id="fields wrapped",
        ),
        pytest.param(
            "slack",
            "post_message",
            {"channel": "#a", "text": "x", "mrkdwn": True},
            "POST",
            "/chat.postMessage",
            {"channel": "#a", "text": "x", "mrkdwn": "true"},
            id="form",
        ),
        pytest.param(
            "jira",
            "create_issue",
            {"project": "OPS", "summary": "S"},
            "POST",
            "/issue",
            {"fields": {"project": {"key": "OPS"}, "summary": "S", "issuetype": {"name": "Task"}}},
            id="nested, with a default",
        ),
        pytest.param(
            "notion",
            "create_page",
            {"database_id": "d", "title": "T"},
            "POST",
            "/pages",
            {
                "parent": {"database_id": "d"},
                "properties": {"title": {"title": [{"text": {"content": "T"}}]}},
            },
            id="nested through a list",
        ),
        pytest.param(
            "google_sheets",
            "append_row",
            {"spreadsheet_id": "s", "range": "Data!A:C", "values": [[1, "b"]]},
            "POST",
            "/spreadsheets/s/values/Data%21A%3AC:append",
            {"values": [[1, "b"]]},
            id="range in the path",
        ),
        pytest.param(
            "hubspot",
            "create_contact",
            {"email": "a@example.com", "firstname": "A"},
            "POST",
            "/crm/v3/objects/contacts",
            {"properties": {"email": "a@example.com", "firstname": "A"}, "associations": []},
            id="properties",
        ),
        pytest.param(
            "microsoft_teams",
            "post_chat_message",
            {"chat_id": "19:x@y", "content": "hi"},
            "POST",
            "/chats/19%3Ax%40y/messages",
            {"body": {"content": "hi", "contentType": "text"}},
            id="message body",
        ),
        pytest.param(
            "microsoft_outlook",
            "send_mail",
            {"to": "a@example.com", "subject": "S", "body": "B"},
            "POST",
            "/sendMail",
            {
                "message": {
                    "toRecipients": [{"emailAddress": {"address": "a@example.com"}}],
                    "subject": "S",
                    "body": {"content": "B", "contentType": "Text"},
                }
            },
            id="mail",
        ),
        pytest.param(
            "google_calendar",
            "create_event",
            {"summary": "S", "start": "2026-03-02T09:00:00Z", "end": "2026-03-02T10:00:00Z"},
            "POST",
            "/calendars/primary/events",
            {
                "summary": "S",
                "start": {"dateTime": "2026-03-02T09:00:00Z"},
                "end": {"dateTime": "2026-03-02T10:00:00Z"},
            },
            id="event",
        ),
        pytest.param("trello", "delete_card", {"id": "c"}, "DELETE", "/cards/c", None, id="no body"),
    ],
)
def test_a_request_is_put_together(
    service: str, operation: str, parameters: dict[str, Any], method: str, path: str, body: Any
) -> None:
    request = built(service, operation, parameters)

    assert (request.method, request.path, request.body) == (method, path, body)


def test_a_field_inside_an_object_does_not_lose_to_the_object() -> None:
    given_properties = {"Status": {"select": {"name": "New"}}}
    for order in (("title", "properties"), ("properties", "title")):
        values = {"database_id": "d", "title": "T", "properties": given_properties}
        body = built("notion", "create_page", {name: values[name] for name in ("database_id", *order)}).body
        assert set(body["properties"]) == {"Status", "title"}
    assert set(given_properties) == {"Status"}, "what the caller gave is not changed"


def test_an_email_becomes_a_message() -> None:
    request = built(
        "gmail", "send_message", {"to": "a@example.com", "subject": "Grüße", "body": "Hallo\nWelt"}
    )
    message = message_from_bytes(base64.urlsafe_b64decode(request.body["raw"]), policy=default)

    assert request.path == "/users/me/messages/send"
    assert set(request.body) == {"raw"}
    assert (message["To"], message["Subject"]) == ("a@example.com", "Grüße")
    assert message.get_content() == "Hallo\nWelt\n"


def test_a_draft_holds_its_message_one_level_down() -> None:
    request = built(
        "gmail", "create_draft", {"to": "a@example.com", "subject": "S", "body": "B", "threadId": "t"}
    )

    assert set(request.body["message"]) == {"raw", "threadId"}


@given(subject=st.text(max_size=80), body=st.text(max_size=200))
def test_no_subject_can_add_a_header_or_a_recipient(subject: str, body: str) -> None:
    surrogates = any("\ud800" <= sign <= "\udfff" for sign in subject + body)
    if surrogates:
        return
    raw = mime_message(
        {"to": "a@example.com", "subject": f"x\r\nBcc: thief@example.com\r\n{subject}", "body": body}
    )
    message = message_from_bytes(base64.urlsafe_b64decode(raw), policy=default)

    assert message["Bcc"] is None
    assert message["To"] == "a@example.com"


def test_a_list_in_the_query_is_repeated_and_none_is_left_out() -> None:
    request = built(
        "gmail", "list_messages", {"labelIds": ["INBOX", "IMPORTANT"], "q": None, "maxResults": 5}
    )

    assert request.query == (("labelIds", "INBOX"), ("labelIds", "IMPORTANT"), ("maxResults", "5"))


@pytest.mark.parametrize(
    ("parameters", "error", "told"),
    [
        pytest.param({"nmae": "T"}, UnknownNameError, "'nmae'.*name", id="unknown, nearest named"),
        pytest.param({}, UsageError, "'name'", id="missing"),
        pytest.param({"name": None}, UsageError, "'name'", id="none is missing"),
        pytest.param({"name": 5}, UsageError, "'name'.*string.*int", id="number for text"),
        pytest.param({"name": "T", "projects": "1"}, UsageError, "'projects'.*array", id="text for list"),
        pytest.param(
            {"name": "T", "completed": "yes"}, UsageError, "'completed'.*boolean", id="text for truth"
        ),
        pytest.param({"name": "T", "custom_fields": []}, UsageError, "object", id="list for object"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        built("asana", "create_task", parameters)


@pytest.mark.parametrize("value", ["..", ".", ""])
def test_dots_in_an_address_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="'task_gid'"):
        built("asana", "get_task", {"task_gid": value})


@pytest.mark.parametrize("value", ["a/../b", "x?admin=1", "x#y", "%2e%2e"])
def test_a_value_cannot_leave_its_place_in_the_address(value: str) -> None:
    path = built("asana", "get_task", {"task_gid": value}).path

    assert path.startswith("/tasks/")
    assert not set(path.removeprefix("/tasks/")) & set("/?#")


def test_a_number_may_stand_in_an_address_but_truth_is_no_number() -> None:
    assert built("trello", "get_board", {"id": 12}).path == "/boards/12"
    with pytest.raises(UsageError, match="'maxResults'"):
        built("gmail", "list_messages", {"maxResults": True})


def test_a_choice_must_be_one_of_those_offered() -> None:
    with pytest.raises(UsageError, match="open, closed, all"):
        built("github", "list_issues", {"owner": "a", "repo": "b", "state": "shut"})


def test_an_unknown_operation_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="create_task"):
        find_operation(CATALOGUE.get("asana"), "create_tsk")


def service_with(scheme: str, **auth: str) -> Service:
    return Service(id="any", name="Any", auth=Auth.model_validate({"scheme": scheme, **auth}))


@pytest.mark.parametrize(
    ("service", "credentials", "headers", "query"),
    [
        pytest.param(service_with("none"), {}, {}, (), id="none"),
        pytest.param(service_with("bearer"), {"token": "t"}, {"Authorization": "Bearer t"}, (), id="bearer"),
        pytest.param(
            service_with("oauth2"), {"access_token": "t"}, {"Authorization": "Bearer t"}, (), id="oauth2"
        ),
        pytest.param(
            service_with("bearer"), {"access_token": "t"}, {"Authorization": "Bearer t"}, (), id="alias"
        ),
        pytest.param(
            service_with("header", name="X-Key", prefix="Key "),
            {"api_key": "k"},
            {"X-Key": "Key k"},
            (),
            id="header",
        ),
        pytest.param(
            service_with("query", name="apikey"), {"api_key": "k"}, {}, (("apikey", "k"),), id="query"
        ),
        pytest.param(
            service_with("query", name="key+token"),
            {"key": "k", "token": "t"},
            {},
            (("key", "k"), ("token", "t")),
            id="two in the query",
        ),
        pytest.param(
            service_with("header", name="X-Auth-Token+X-User-Id"),
            {"X-Auth-Token": "t", "X-User-Id": "u"},
            {"X-Auth-Token": "t", "X-User-Id": "u"},
            (),
            id="two headers",
        ),
        pytest.param(
            service_with("basic"),
            {"username": "u", "password": "p:w"},
            {"Authorization": "Basic dTpwOnc="},
            (),
            id="basic",
        ),
        pytest.param(
            CATALOGUE.get("discord"),
            {"token": "t"},
            {"Authorization": "Bot t"},
            (),
            id="bot token in a header",
        ),
        pytest.param(CATALOGUE.get("telegram"), {"token": "t"}, {}, (), id="bot token in the address"),
    ],
)
def test_credentials_are_shown_as_the_service_wants(
    service: Service, credentials: dict[str, str], headers: dict[str, str], query: tuple[Any, ...]
) -> None:
    parts = authorise(service, credentials)

    assert (parts.headers, parts.query) == (headers, query)


@pytest.mark.parametrize("service_id", ["asana", "gmail", "trello", "jira", "discord"])
def test_a_missing_credential_is_named(service_id: str) -> None:
    service = CATALOGUE.get(service_id)
    for name in credential_names(service):
        rest = {other: "x" for other in credential_names(service) if other != name}
        with pytest.raises(ConfigurationError, match=f"'{name}'"):
            authorise(service, rest)


@pytest.mark.parametrize("scheme", ["sigv4", "oauth1"])
def test_a_scheme_that_signs_requests_shows_no_credential_itself(scheme: str) -> None:
    service = service_with(scheme)
    shown = authorise(service, dict.fromkeys(credential_names(service), "secret-value"))
    assert (shown.headers, shown.query) == ({}, ())


def test_a_line_break_in_a_token_cannot_make_a_header() -> None:
    with pytest.raises(UsageError, match="line breaks"):
        authorise(service_with("bearer"), {"token": "t\r\nX-Admin: 1"})


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": {"b": [{"c": 1}]}}, "a.b.0.c", 1),
        ({"a": 1}, "$", {"a": 1}),
        ({"a": 1}, "", {"a": 1}),
        ({"@odata.nextLink": "u"}, "@odata.nextLink", "u"),
        ({"h": [{"name": "From", "value": "n"}]}, "h[name=from].value", "n"),
        ({"h": []}, "h[name=from].value", None),
        ({"a": [1]}, "a.3", None),
        ({"a": None}, "a.b", None),
        (None, "a.b", None),
        ("text", "a", None),
        (
            {
                "answers": [
                    {"field": {"ref": "Years of-experience"}, "type": "number", "number": 5},
                    {"field": {"ref": "city"}, "type": "choice", "choice": {"label": "Oslo"}},
                    {"field": {"ref": "tools"}, "type": "choices", "choices": {"labels": ["a", "b"]}},
                    {"field": {"ref": "note"}, "type": "text"},
                    {"field": {}, "type": "text", "text": "nobody's"},
                    "odd",
                ]
            },
            "answers{field.ref}",
            {"years_of_experience": 5, "city": "Oslo", "tools": "a, b", "note": None},
        ),
        ({"answers": None}, "answers{field.ref}", None),
        ({"answers": {"q": 1}}, "answers{field.ref}", None),
        ({"labels": [{"name": "bug"}, {"name": "ui"}]}, "labels[].name", ["bug", "ui"]),
        ({"a": {"labels": ["bug"]}}, "a.labels[]", ["bug"]),
        ({"labels": []}, "labels[].name", []),
        ({"labels": None}, "labels[].name", None),
    ],
)
def test_a_path_finds_its_place(value: Any, path: str, found: Any) -> None:
    assert pick(value, path) == found


@given(
    path=st.lists(st.sampled_from(["a", "b", "c", "0"]), min_size=1, max_size=5).filter(
        lambda steps: steps[0] != "0"
    ),
    value=st.integers(),
)
def test_what_is_placed_is_found_again(path: list[str], value: int) -> None:
    body: dict[str, Any] = {}
    place(body, ".".join(path), value)
    assert pick(body, ".".join(path)) == value


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"fields": "all"}, "fields.summary"),
        ({"fields": 7}, "fields.summary.text"),
        ({"fields": None}, "fields.summary"),
        ({"rows": [1]}, "rows.0.name"),
        ({"rows": [{}]}, "rows.first"),
        ({"rows": {"0": "x"}}, "rows.0.name"),
    ],
    ids=["text", "number", "nothing", "number in a list", "name into a list", "text under a number"],
)
def test_a_value_without_a_place_is_refused_and_not_half_placed(body: dict[str, Any], path: str) -> None:
    with pytest.raises(UsageError, match=path.replace(".", r"\.")):
        place(body, path, "x")


def test_a_call_whose_parameters_stand_in_one_anothers_way_is_refused() -> None:
    operation = Operation(
        id="add",
        method="POST",
        path="/add",
        body="json",
        parameters=(Parameter(name="fields", type="any"), Parameter(name="summary", at="fields.summary")),
    )
    with pytest.raises(UsageError, match=r"fields\.summary"):
        build_request(operation, {"fields": "all", "summary": "It burns"})


def listing(kind: str, **paging: str) -> Operation:
    return Operation(
        id="list_rows",
        method="GET",
        path="/rows",
        parameters=(Parameter(name="page", location="query", type="any"),),
        list_at="rows",
        pagination=Pagination.model_validate({"kind": kind, **paging}),
    )


URL = "https://service.example/api/rows"


@pytest.mark.parametrize(
    ("kind", "paging", "given_", "answer", "follow"),
    [
        (
            "cursor",
            {"request_param": "page", "response_field": "next"},
            {},
            {"rows": [1], "next": "c"},
            {"page": "c"},
        ),
        ("cursor", {"request_param": "page", "response_field": "next"}, {"page": "c"}, {"rows": [1]}, None),
        ("cursor", {"request_param": "page", "response_field": "next"}, {}, {"rows": [1], "next": ""}, None),
        ("page", {"request_param": "page"}, {}, {"rows": [1]}, {"page": 2}),
        ("page", {"request_param": "page"}, {"page": 4}, {"rows": [1]}, {"page": 5}),
        ("page", {"request_param": "page"}, {"page": 4}, {"rows": []}, None),
        ("offset", {"request_param": "page"}, {}, {"rows": [1, 2]}, {"page": 2}),
        ("offset", {"request_param": "page"}, {"page": 2}, {"rows": [3]}, {"page": 3}),
        ("none", {}, {}, {"rows": [1], "next": "c"}, None),
    ],
)
def test_the_next_page_is_asked_for(
    kind: str, paging: dict[str, str], given_: dict[str, Any], answer: Any, follow: dict[str, Any] | None
) -> None:
    found = next_page(listing(kind, **paging), given_, answer, url=URL)

    assert (found.parameters if found else None) == follow


@pytest.mark.parametrize("address", ["https://service.example/api/rows?p=2", "/api/rows?p=2"])
def test_an_address_of_the_same_host_is_followed(address: str) -> None:
    by_body = next_page(
        listing("next_url", response_field="next"), {}, {"rows": [1], "next": address}, url=URL
    )
    by_header = next_page(listing("link"), {}, {"rows": [1]}, url=URL, link=address)

    assert by_body == by_header
    assert by_body is not None
    assert by_body.url == "https://service.example/api/rows?p=2"


@pytest.mark.parametrize(
    "address",
    ["https://thief.example/rows", "http://service.example/rows", "//thief.example", "file:///etc/passwd"],
)
def test_an_address_of_another_host_is_not_followed(address: str) -> None:
    with pytest.raises(UsageError, match="another host"):
        next_page(listing("link"), {}, {"rows": [1]}, url=URL, link=address)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_hold_is_refused(value: float) -> None:
    service = load_catalogue().get("telegram")
    operation = find_operation(service, "send_message")
    with pytest.raises(UsageError, match=r"'chat_id'.*finite number"):
        check_parameters(service, operation, {"chat_id": value, "text": "Hello"})


@pytest.mark.parametrize(
    ("service_id", "operation_id", "parameters"),
    [
        ("github", "dispatch_workflow", {"owner": "a", "repo": "b", "workflow_id": "ci.yml", "ref": "main"}),
        ("github", "dispatch_workflow", {"owner": "a", "repo": "b", "workflow_id": 7, "ref": "main"}),
        ("telegram", "send_message", {"chat_id": "@news", "text": "Hello"}),
        ("telegram", "send_message", {"chat_id": -100, "text": "Hello"}),
        ("resend", "send_email", {"from": "a@example.com", "to": ["b@example.com"], "subject": "Hello"}),
        ("openai", "embeddings", {"model": "small", "input": ["one", "two"]}),
    ],
)
def test_what_a_service_takes_in_several_forms_may_be_given_in_each(
    service_id: str, operation_id: str, parameters: dict[str, Any]
) -> None:
    service = load_catalogue().get(service_id)
    checked = check_parameters(service, find_operation(service, operation_id), parameters)
    assert {name: checked[name] for name in parameters} == parameters


def test_the_mark_of_the_next_page_may_stand_in_a_header() -> None:
    paged = listing("cursor", request_param="page", response_field="header:X-MS-Continuation")
    headers = httpx.Headers({"x-ms-continuation": "c2"})
    found = next_page(paged, {"page": "c1"}, {"rows": [1]}, url=URL, headers=headers)

    assert found is not None
    assert found.parameters == {"page": "c2"}
    assert next_page(paged, {}, {"rows": [1]}, url=URL, headers=httpx.Headers()) is None
    assert next_page(paged, {}, {"rows": [1]}, url=URL) is None


@pytest.mark.parametrize(
    ("answer", "rows", "whole"),
    [
        ({"total": 3}, 3, True),
        ({"total": 3}, 2, False),
        ({"total": 0}, 0, True),
        ({"total": "3"}, 9, False),
        ({}, 9, False),
    ],
)
def test_a_list_that_tells_its_length_ends_there(answer: dict[str, Any], rows: int, *, whole: bool) -> None:
    assert is_whole(listing("page", request_param="page", total_field="total"), answer, rows) is whole
    assert not is_whole(listing("page", request_param="page"), answer, rows)


def test_an_error_says_what_the_parameter_is() -> None:
    page = Parameter(name="page", type="integer", required=True, description="Number of the page.")
    order = Parameter(name="order", choices=("up", "down"), description="UTC order of rows.")
    service = Service(id="a", name="A")
    operation = Operation(id="do", method="GET", path="/", parameters=(page, order))
    with pytest.raises(UsageError, match=r"needs the parameter 'page' \(number of the page\)\."):
        check_parameters(service, operation, {})
    with pytest.raises(UsageError, match=r"of type integer, not str \(number of the page\)\."):
        check_parameters(service, operation, {"page": "one"})
    with pytest.raises(UsageError, match=r"one of up, down \(UTC order of rows\)\."):
        check_parameters(service, operation, {"page": 1, "order": "left"})


TENANT = Parameter(name="X-Tenant", location="header", held="tenant_id", description="Id of the tenant.")


def test_a_tenant_that_the_call_does_not_give_is_that_of_the_connection() -> None:
    service = Service(id="a", name="A")
    operation = Operation(id="do", method="GET", path="/", parameters=(TENANT,))
    held = {"tenant_id": "t-1", "token": "secret"}
    assert check_parameters(service, operation, {}, held) == {"X-Tenant": "t-1"}
    assert check_parameters(service, operation, {"X-Tenant": "t-2"}, held) == {"X-Tenant": "t-2"}
    for nothing in (None, {}, {"tenant_id": ""}):
        with pytest.raises(UsageError, match=r"connection to A holds no 'tenant_id' \(id of the tenant\)"):
            check_parameters(service, operation, {}, nothing)


def test_a_connection_holds_each_tenant_of_its_calls_once() -> None:
    calls = [Operation(id=name, method="GET", path="/", parameters=(TENANT,)) for name in ("a", "b")]
    service = Service(id="a", name="A", operations=tuple(calls))
    assert tenant_fields(service) == ("tenant_id",)
    assert simulated_credentials(service) == {"tenant_id": "simulated-a-tenant_id"}


def test_a_connection_holds_the_tenant_of_its_sign_in_and_a_number_where_one_is_wanted() -> None:
    numbered = TENANT.model_copy(update={"held": "project", "example": 7})
    calls = (Operation(id="a", method="GET", path="/", parameters=(numbered,)),)
    auth = Auth(scheme="bearer", token_url="https://login.example/{tenant}/token")
    service = Service(id="a", name="A", auth=auth, operations=calls)
    assert tenant_fields(service) == ("tenant", "project")
    assert simulated_credentials(service) == {
        "token": "simulated-a-token",
        "tenant": "simulated-a-tenant",
        "project": "7",
        "refresh_token": "simulated-a-refresh_token",
        "client_id": "simulated-client",
        "client_secret": "simulated-a-client_secret",
    }


def test_a_mark_that_is_told_on_the_last_page_too_is_followed_only_while_more_is_said_to_follow() -> None:
    paged = listing("cursor", request_param="page", response_field="end", more_field="more")

    following = next_page(paged, {}, {"rows": [1], "end": "c2", "more": True}, url=URL)
    assert following is not None
    assert following.parameters == {"page": "c2"}
    assert next_page(paged, {}, {"rows": [1], "end": "c2", "more": False}, url=URL) is None


def test_what_is_placed_inside_an_object_is_not_lost_by_it_nor_kept_in_it() -> None:
    whole = Parameter(name="changes", type="object", default={"z": 1}, at="variables.input")
    title = Parameter(name="title", at="variables.input.title")
    operation = Operation(id="do", method="POST", path="/", body="json", parameters=(title, whole))
    given = check_parameters(Service(id="a", name="A"), operation, {"title": "t"})
    assert build_request(operation, given).body == {"variables": {"input": {"z": 1, "title": "t"}}}
    assert whole.default == {"z": 1}


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        (None, "The connection to A B holds no 'token'; add it with .* connect a_b --replace"),
        ("a-b-default", "The connection a-b-default to A B .* connect a_b --replace"),
        ("a-b-office", "The connection a-b-office to A B .* connect a_b --name office --replace"),
    ],
)
def test_a_missing_credential_names_the_connection_and_the_command(connection: str | None, told: str) -> None:
    service = Service(id="a_b", name="A B", auth=Auth(scheme="bearer"))
    with pytest.raises(ConfigurationError, match=told):
        authorise(service, {}, connection=connection)


@pytest.mark.parametrize(
    ("amount", "written"), [(0.00001, "0.00001"), (1e22, "1" + "0" * 22), (-2.50, "-2.5"), (3, "3")], ids=str
)
def test_a_number_in_an_address_is_written_out(amount: float, written: str) -> None:
    pay = Operation(
        id="pay",
        method="POST",
        path="/pay",
        parameters=(Parameter(name="a", location="query", type="number"),),
    )
    assert build_request(pay, {"a": amount}).query == (("a", written),)
