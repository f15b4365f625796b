"""Keys in a body or in half a basic pair, keys among parameters, arguments in a header, pages from 0."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulated_request import read_request
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.services import Catalogue, credential_names, load_catalogue, simulated_credentials

ENTRIES = {
    "json_key": """
id = "json_key"
name = "Json Key"
base_url = "https://json.example"
status = "declared"
[auth]
scheme = "body"
name = "api_key"
[[operations]]
id = "create_event"
method = "POST"
path = "/events"
body = "json"
effect = "unsafe"
parameters = [{ name = "event", required = true }]
[[operations]]
id = "list_events"
method = "POST"
path = "/list"
body = "form"
list_at = "rows"
effect = "safe"
pagination = { kind = "offset", request_param = "offset" }
parameters = [{ name = "offset", type = "integer" }, { name = "limit", type = "integer" }]
[[operations]]
id = "send_list"
method = "POST"
path = "/raw"
body = "json"
effect = "unsafe"
parameters = [{ name = "items", type = "any", at = "$" }]
""",
    "two_keys": """
id = "two_keys"
name = "Two Keys"
base_url = "https://two.example"
status = "declared"
[auth]
scheme = "body"
name = "user+pass"
[[operations]]
id = "create_event"
method = "POST"
path = "/events"
body = "form"
effect = "unsafe"
parameters = [{ name = "event" }]
""",
    "key_first": """
id = "key_first"
name = "Key First"
base_url = "https://first.example"
status = "declared"
[auth]
scheme = "basic"
password = ""
[[operations]]
id = "get_me"
method = "GET"
path = "/me"
effect = "safe"
""",
    "key_last": """
id = "key_last"
name = "Key Last"
base_url = "https://last.example"
status = "declared"
[auth]
scheme = "basic"
username = "api"
[[operations]]
id = "get_me"
method = "GET"
path = "/me"
effect = "safe"
""",
    "from_zero": """
id = "from_zero"
name = "From Zero"
base_url = "https://zero.example"
status = "declared"
[[operations]]
id = "list_tasks"
method = "GET"
path = "/tasks"
list_at = "tasks"
effect = "safe"
pagination = { kind = "page", request_param = "page", first = 0 }
parameters = [{ name = "page", location = "query", type = "integer" }]
""",
    "own_keys": """
id = "own_keys"
name = "Own Keys"
base_url = "https://own.example"
idempotency_field = "idempotency_key"
status = "declared"
[[operations]]
id = "create_payment"
method = "POST"
path = "/payments"
body = "json"
effect = "unsafe"
parameters = [{ name = "amount", type = "integer" }, { name = "idempotency_key" }]
[[operations]]
id = "create_note"
method = "POST"
path = "/notes"
body = "json"
effect = "unsafe"
parameters = [{ name = "text" }]
[[operations]]
id = "update_payment"
method = "PUT"
path = "/payments"
body = "json"
effect = "idempotent"
parameters = [{ name = "amount", type = "integer" }, { name = "idempotency_key" }]
""",
    "in_header": """
id = "in_header"
name = "In Header"
base_url = "https://header.example"
idempotency_header = "Key-Of-Call"
status = "declared"
[[operations]]
id = "create_payment"
method = "POST"
path = "/payments"
effect = "unsafe"
[[operations]]
id = "create_note"
method = "POST"
path = "/notes"
unkeyed = true
effect = "unsafe"
""",
    "argued": """
id = "argued"
name = "Argued"
base_url = "https://argued.example"
status = "declared"
[[operations]]
id = "upload_file"
method = "POST"
path = "/upload"
body = "raw"
json_header = "X-Arg"
effect = "unsafe"
parameters = [
  { name = "path", required = true },
  { name = "mode" },
  { name = "quiet", type = "boolean", at = "mute" },
  { name = "content", type = "any", required = true, at = "$" },
]
[[operations]]
id = "save_file"
method = "POST"
path = "/related"
body = "related"
effect = "unsafe"
parameters = [{ name = "name", at = "about.name" }, { name = "content", type = "any", at = "$" }]
[[operations]]
id = "send_file"
method = "POST"
path = "/form"
body = "multipart"
effect = "unsafe"
parameters = [{ name = "file", type = "any", file = true }, { name = "name", at = "about.name" }]
[[operations]]
id = "get_file"
method = "POST"
path = "/download"
body = "none"
json_header = "X-Arg"
effect = "safe"
parameters = [{ name = "path", required = true }]
""",
}
CATALOGUE = Catalogue({f"{name}.toml": text.strip() for name, text in ENTRIES.items()})


class Recorder:
    """Answers every request with an empty object and keeps it whole."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        return httpx.Response(200, json={})

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]


async def call(
    service: str, operation: str, given: dict[str, Any] | None = None, *, to: Any, **how: Any
) -> Any:
    entry = CATALOGUE.get(service)
    held = how.pop("held", simulated_credentials(entry))
    simulated = isinstance(to, Simulator)
    base_url = f"http://simulator/{service}" if simulated else None
    transport: Any = httpx.ASGITransport(to) if simulated else httpx.MockTransport(to)
    secrets = {name: SecretStr(value) for name, value in held.items()}
    async with ServiceClient(entry, secrets, transport=transport, base_url=base_url) as client:
        return await client.call(operation, given or {}, **how)


def simulator() -> Simulator:
    return Simulator(CATALOGUE, seeded=False, page_size=2)


async def test_a_key_goes_into_a_json_body_beside_the_parameters() -> None:
    seen = Recorder()
    await call("json_key", "create_event", {"event": "signup"}, to=seen)
    told = json.loads(seen.last.content)
    assert told == {"event": "signup", "api_key": "simulated-json_key-api_key"}
    assert "api_key" not in str(seen.last.url)
    assert "authorization" not in seen.last.headers


async def test_a_key_goes_into_a_form_even_where_nothing_else_is_sent() -> None:
    seen = Recorder()
    await call("json_key", "list_events", to=seen)
    assert parse_qs(seen.last.content.decode()) == {"api_key": ["simulated-json_key-api_key"]}


async def test_two_keys_go_into_a_body_by_their_names() -> None:
    seen = Recorder()
    await call("two_keys", "create_event", {"event": "x"}, to=seen, held={"user": "u", "pass": "p"})
    assert parse_qs(seen.last.content.decode()) == {"event": ["x"], "user": ["u"], "pass": ["p"]}


async def test_a_parameter_cannot_replace_the_key() -> None:
    seen = Recorder()
    with pytest.raises(UsageError, match="api_key"):
        await call("json_key", "create_event", {"event": "x", "api_key": "other"}, to=seen)
    assert seen.requests == []


async def test_a_body_without_fields_cannot_take_a_key_and_is_not_sent() -> None:
    seen = Recorder()
    with pytest.raises(UsageError, match="must be an object"):
        await call("json_key", "send_list", {"items": [1, 2]}, to=seen)
    assert seen.requests == []


async def test_a_missing_key_names_what_the_connection_lacks() -> None:
    with pytest.raises(ConfigurationError, match="'api_key'"):
        await call("json_key", "create_event", {"event": "x"}, to=Recorder(), held={})


async def test_a_key_in_a_body_is_in_no_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, text=f"bad: {request.content.decode()}")

    with pytest.raises(ServiceError) as caught:
        await call("json_key", "create_event", {"event": "x"}, to=refuse)
    assert "simulated-json_key-api_key" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize(
    ("service", "pair"),
    [("key_first", "simulated-key_first-api_key:"), ("key_last", "api:simulated-key_last-api_key")],
)
async def test_half_of_a_basic_pair_is_the_same_for_everybody(service: str, pair: str) -> None:
    seen = Recorder()
    await call(service, "get_me", to=seen)
    told = seen.last.headers["authorization"]
    assert base64.b64decode(told.removeprefix("Basic ")).decode() == pair
    assert credential_names(CATALOGUE.get(service)) == ("api_key",)


@pytest.mark.parametrize(("service", "half"), [("key_first", "username"), ("key_last", "password")])
async def test_the_key_may_be_stored_as_the_half_that_it_is(service: str, half: str) -> None:
    seen = Recorder()
    await call(service, "get_me", to=seen, held={half: "k-1"})
    assert b"k-1" in base64.b64decode(seen.last.headers["authorization"].removeprefix("Basic "))


@pytest.mark.parametrize("service", ["key_first", "key_last"])
async def test_the_key_stored_as_the_other_half_is_told(service: str) -> None:
    half = "password" if service == "key_first" else "username"
    with pytest.raises(ConfigurationError, match="'api_key'"):
        await call(service, "get_me", to=Recorder(), held={half: "k-1"})


async def test_a_key_of_the_run_becomes_a_field_of_one_length_and_stays_the_same() -> None:
    seen = Recorder()
    for _ in range(2):
        await call("own_keys", "create_payment", {"amount": 5}, to=seen, idempotency_key="run-1-" + "a" * 60)
    await call("own_keys", "create_payment", {"amount": 5}, to=seen, idempotency_key="run-2")
    keys = [json.loads(one.content)["idempotency_key"] for one in seen.requests]
    assert keys[0] == keys[1] != keys[2]
    assert [len(str(uuid.UUID(key))) for key in keys] == [36, 36, 36]


async def test_a_call_without_a_run_is_one_of_its_own() -> None:
    seen = Recorder()
    for _ in range(2):
        await call("own_keys", "create_payment", {"amount": 5}, to=seen)
    first, second = (json.loads(one.content)["idempotency_key"] for one in seen.requests)
    assert first != second


@pytest.mark.parametrize(
    ("service", "operation", "key", "keyed"),
    [
        ("own_keys", "create_payment", "run-1", True),
        ("own_keys", "create_payment", None, False),
        ("own_keys", "create_note", "run-1", False),
        ("own_keys", "update_payment", "run-1", False),
        ("in_header", "create_payment", "run-1", True),
        ("in_header", "create_payment", None, False),
        ("in_header", "create_note", "run-1", False),
    ],
)
async def test_a_failure_tells_whether_the_service_would_know_the_repetition(
    service: str, operation: str, key: str | None, *, keyed: bool
) -> None:
    seen: list[httpx.Request] = []

    def fail(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503)

    with pytest.raises(ServiceError) as caught:
        await call(service, operation, to=fail, idempotency_key=key)
    assert caught.value.keyed is keyed
    assert ("Key-Of-Call" in seen[0].headers) is (keyed and service == "in_header")


async def test_a_key_that_is_given_stays() -> None:
    seen = Recorder()
    given = {"amount": 5, "idempotency_key": "mine"}
    await call("own_keys", "create_payment", given, to=seen, idempotency_key="run-1")
    assert json.loads(seen.last.content)["idempotency_key"] == "mine"


@pytest.mark.parametrize(("operation", "given"), [("create_note", {"text": "x"}), ("update_payment", {})])
async def test_no_key_goes_where_none_is_wanted(operation: str, given: dict[str, Any]) -> None:
    seen = Recorder()
    await call("own_keys", operation, given, to=seen, idempotency_key="run-1")
    assert b"idempotency_key" not in seen.last.content


@pytest.mark.parametrize("content", ["text ä", b"\0\xff", ""], ids=["text", "bytes", "nothing"])
async def test_arguments_go_into_a_header_and_the_content_into_the_body(content: str | bytes) -> None:
    seen = Recorder()
    given = {"path": "/Bücher/1\x7f.txt", "quiet": True, "content": content}
    await call("argued", "upload_file", given, to=seen)
    written = seen.last.headers["x-arg"]
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {"path": "/Bücher/1\x7f.txt", "mute": True}
    assert seen.last.content == (content.encode() if isinstance(content, str) else content)
    assert seen.last.headers["content-type"] == "application/octet-stream"


async def test_a_file_goes_into_the_body_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "report.bin"
    file.write_bytes(b"abc" * 200_000)
    seen = Recorder()
    await call("argued", "upload_file", {"path": "/r", "content": file}, to=seen)
    assert seen.last.headers["content-length"] == "600000"
    assert seen.last.content == file.read_bytes()
    assert json.loads(seen.last.headers["x-arg"]) == {"path": "/r"}


@pytest.mark.parametrize(
    ("content", "held"),
    [("ä", "ä".encode()), (b"\0\xff", b"\0\xff"), ([1], b"[1]")],
    ids=["text", "bytes", "rows"],
)
async def test_a_file_of_a_form_is_one_behind_its_fields(content: Any, held: bytes) -> None:
    seen = Recorder()
    await call("argued", "send_file", {"file": content, "name": "a.txt"}, to=seen)
    about, file = seen.last.content.split(b"\r\n--")[:2]
    assert about.endswith(b'name="about"\r\n\r\n{"name": "a.txt"}')
    assert b'name="file"; filename="file"' in file
    assert file.endswith(b"\r\n\r\n" + held)


@pytest.mark.parametrize("body", [b"", b"--b\r\n\r\n{}\r\n--b--", b"--b\r\n\r\n[]\r\n--b\r\n\r\nx\r\n--b--"])
def test_a_body_of_two_parts_that_is_none_is_refused(body: bytes) -> None:
    operation = next(one for one in CATALOGUE.get("argued").operations if one.id == "save_file")
    with pytest.raises(UsageError, match="must hold"):
        read_request(operation, {}, [], {"content-type": "multipart/related; boundary=b"}, body)


async def test_a_call_without_a_body_has_its_arguments_in_the_header_too() -> None:
    seen = Recorder()
    await call("argued", "get_file", {"path": "/r"}, to=seen)
    assert json.loads(seen.last.headers["x-arg"]) == {"path": "/r"}
    assert seen.last.content == b""


async def test_an_argument_cannot_break_out_of_its_header() -> None:
    seen = Recorder()
    await call("argued", "get_file", {"path": "/r\r\nX-Evil: 1"}, to=seen)
    assert "x-evil" not in seen.last.headers
    assert json.loads(seen.last.headers["x-arg"])["path"] == "/r\r\nX-Evil: 1"


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
async def test_pages_counted_from_zero_are_all_read_once(rows: int) -> None:
    simulated = simulator()
    for number in range(rows):
        simulated.seed("from_zero", "task", {"id": str(number)})
    read = await call("from_zero", "list_tasks", to=simulated, all_pages=True)
    assert sorted(row["id"] for row in read) == [str(number) for number in range(rows)]
    pages = [one.parameters.get("page") for one in simulated.calls]
    assert pages == [None, *range(1, len(pages))]


@pytest.mark.parametrize(
    ("service", "operation", "given"),
    [
        ("json_key", "create_event", {"event": "signup"}),
        ("json_key", "list_events", {"limit": 1}),
        ("two_keys", "create_event", {"event": "signup"}),
        ("key_first", "get_me", {}),
        ("key_last", "get_me", {}),
        ("argued", "upload_file", {"path": "/a", "quiet": False, "content": "x"}),
        ("argued", "get_file", {"path": "/a"}),
        ("argued", "save_file", {"name": "täglich.txt", "content": "a\nä"}),
        ("argued", "send_file", {"name": "täglich.txt", "file": "a\nä"}),
        ("own_keys", "create_payment", {"amount": 5}),
    ],
)
async def test_a_simulated_service_takes_what_the_real_one_is_sent(
    service: str, operation: str, given: dict[str, Any]
) -> None:
    simulated = simulator()
    await call(service, operation, given, to=simulated)
    seen = simulated.calls[-1]
    assert seen.status < 300
    assert given.items() <= seen.parameters.items()
    assert not {"api_key", "user", "pass"} & seen.parameters.keys()


@pytest.mark.parametrize("service", ["json_key", "two_keys", "key_first", "key_last"])
async def test_a_simulated_service_refuses_another_key(service: str) -> None:
    simulated = simulator()
    operation = "get_me" if service.startswith("key") else "create_event"
    held = dict.fromkeys(credential_names(CATALOGUE.get(service)), "wrong")
    given = {"event": "x"} if operation == "create_event" else {}
    with pytest.raises(ServiceError) as caught:
        await call(service, operation, given, to=simulated, held=held)
    assert caught.value.status == 401


async def test_a_simulated_service_answers_a_key_among_the_parameters_once() -> None:
    simulated = simulator()
    answers = [
        await call("own_keys", "create_payment", {"amount": 5}, to=simulated, idempotency_key=key)
        for key in ("run-1", "run-1", "run-2")
    ]
    assert answers[0] == answers[1]
    assert len(simulated.twin("own_keys").rows["payment"]) == 2


@pytest.mark.parametrize("header", [None, "no json", "[1]", '{"pathology": "/a"}', "{}"])
async def test_a_simulated_service_refuses_arguments_it_cannot_read(header: str | None) -> None:
    simulated = simulator()
    transport = httpx.ASGITransport(simulated)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
        headers = {} if header is None else {"X-Arg": header}
        answer = await client.post("/argued/download", headers=headers)
    assert answer.status_code == 400


def test_every_service_that_wants_its_key_in_the_body_has_bodies_with_fields() -> None:
    for service in load_catalogue().services:
        if service.auth.scheme == "body":
            bodies = {operation.body for operation in service.operations}
            assert bodies <= {"json", "form", "multipart"}, service.id
            whole = [one for operation in service.operations for one in operation.parameters if one.at == "$"]
            assert all(one.type == "object" for one in whole), service.id


def test_every_service_with_keys_among_the_parameters_has_an_operation_that_takes_one() -> None:
    for service in load_catalogue().services:
        if service.idempotency_field:
            named = [
                one
                for operation in service.operations
                for one in operation.parameters
                if one.name == service.idempotency_field
            ]
            assert named, service.id
            assert not any(one.required for one in named), "nobody is to be asked for a key that we make"


MONITOR = Catalogue(
    {
        "monitor.toml": """id = "monitor"
name = "Monitor"
base_url = "https://monitor.example"
success_field = "stat"
success_value = "ok"
error_field = "error.message"
status = "declared"

[[operations]]
id = "list_monitors"
method = "GET"
path = "/monitors"
list_at = "monitors"
effect = "safe"

[[operations]]
id = "get_monitor"
method = "GET"
path = "/monitors/{id}"
effect = "safe"
parameters = [{ name = "id", location = "path", required = true }]
"""
    }
).get("monitor")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"stat": "fail", "error": {"message": "api_key is wrong"}}, "api_key is wrong"),
        ({"stat": "OK?"}, "no reason given"),
        ({"stat": True}, "no reason given"),
        ({}, "no reason given"),
        ([], "no reason given"),
    ],
    ids=["a failure", "another word", "truth", "nothing", "a list"],
)
async def test_an_answer_without_the_word_for_success_is_a_failure(answer: Any, told: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    async with ServiceClient(MONITOR, {}, transport=transport) as client:
        with pytest.raises(ServiceError, match=told):
            await client.call("list_monitors")


async def test_a_simulated_service_says_success_and_failure_in_the_service_s_words() -> None:
    simulated = Simulator(Catalogue({}).joined({"monitor": MONITOR.model_dump()}, lambda _: MONITOR))
    transport = httpx.ASGITransport(simulated)
    async with ServiceClient(MONITOR, {}, transport=transport, base_url="http://simulator/monitor") as client:
        assert (await client.call("list_monitors"))["stat"] == "ok"
        simulated.seed("monitor", "monitor", {"id": "1"})
        with pytest.raises(ServiceError, match="not_found") as caught:
            await client.call("get_monitor", {"id": "2"})
    assert caught.value.status == 200
