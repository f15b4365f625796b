"""Bodies: bounded and whole before anything is sent, files piece by piece, answers saved or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters import bodies
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.errors import ServiceError, UsageError
from prefect_autopilot.models import Auth, Operation, Parameter, Service

DRIVE = Service(
    id="drive",
    name="Drive",
    base_url="https://drive.example",
    auth=Auth(scheme="bearer"),
    operations=(
        Operation(id="read", method="GET", path="/file", effect="safe"),
        Operation(
            id="write",
            method="POST",
            path="/json",
            body="json",
            parameters=(Parameter(name="v", type="any"),),
        ),
        Operation(
            id="form",
            method="POST",
            path="/form",
            body="multipart",
            parameters=(Parameter(name="file"), Parameter(name="title")),
        ),
        Operation(
            id="put", method="PUT", path="/raw", body="raw", parameters=(Parameter(name="content", at="$"),)
        ),
        Operation(
            id="upload",
            method="POST",
            path="/upload",
            body="related",
            parameters=(Parameter(name="name"), Parameter(name="content", type="any", at="$")),
        ),
    ),
)
Answer = Callable[[httpx.Request], httpx.Response]


def call(answer: Answer, operation: str, given: dict[str, Any] | None = None, **how: Any) -> Any:
    async def send() -> Any:
        transport = httpx.MockTransport(answer)
        async with ServiceClient(DRIVE, {"token": SecretStr("token-1")}, transport=transport) as client:
            return await client.call(operation, given or {}, **how)

    return asyncio.run(send())


def sent(operation: str, given: dict[str, Any]) -> httpx.Request:
    received: list[httpx.Request] = []
    call(lambda request: received.append(request) or httpx.Response(204), operation, given)
    return received[0]


def refused(operation: str, given: dict[str, Any]) -> str:
    received: list[httpx.Request] = []
    with pytest.raises(UsageError) as caught:
        call(lambda request: received.append(request) or httpx.Response(204), operation, given)
    assert received == [], "nothing was sent"
    return caught.value.message


def test_a_file_is_uploaded_as_a_part_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\x00\xff")
    request = sent("form", {"file": path, "title": "Holiday"})

    assert b'name="file"; filename="photo.png"' in request.content
    assert b"\x89PNG\x00\xff" in request.content
    assert b"Holiday" in request.content
    assert int(request.headers["content-length"]) == len(request.content)


def test_bytes_are_uploaded_as_they_are() -> None:
    assert b"\x00\x01\xff" in sent("form", {"file": b"\x00\x01\xff"}).content
    assert sent("put", {"content": b"\x00\xff"}).content == b"\x00\xff"
    assert sent("put", {"content": "Grüße"}).content == "Grüße".encode()


@pytest.mark.parametrize("size", [0, 1, 2**18, 2**18 + 1, 2**20])
def test_a_raw_file_is_sent_whole_with_its_length(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * size)
    request = sent("put", {"content": path})

    assert request.content == b"x" * size
    assert request.headers["content-length"] == str(size)
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("content", ["Grüße\n", b"\x00--\r\n\xff", [{"id": 1}], Path("data.bin")], ids=type)
def test_a_content_follows_its_fields_in_one_body(content: Any, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\x00\xff" * 2**18)
    file = tmp_path / content if isinstance(content, Path) else content
    given = file.read_bytes() if isinstance(content, Path) else content
    request = sent("upload", {"name": "täglich.txt", "content": file})

    kind = request.headers["content-type"]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.content)
    fields, held = (part.get_payload(decode=True) for part in message.get_payload())
    assert kind.startswith("multipart/related; boundary=")
    assert json.loads(fields) == {"name": "täglich.txt"}
    written = json.dumps(content) if isinstance(content, list) else content
    assert held == (written.encode() if isinstance(written, str) else given)
    assert int(request.headers["content-length"]) == len(request.content)


@pytest.mark.parametrize("operation", ["form", "put", "upload"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, operation: str) -> None:
    name = "file" if operation == "form" else "content"
    assert "cannot be read" in refused(operation, {name: tmp_path / "gone"})


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"bytes", [float("nan")], {"v": float("inf")}, object, Path("x")],
    ids=["set", "bytes", "a nan inside", "an infinity inside", "class", "path"],
)
def test_a_value_no_json_can_hold_is_told(value: Any) -> None:
    assert "cannot be written as json" in refused("write", {"v": value})


def test_a_body_that_is_too_large_is_told_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGEST_SENT", 1000)
    assert "nothing was sent" in refused("write", {"v": "x" * 1001})
    assert "nothing was sent" in refused("form", {"file": b"x" * 1001})
    assert sent("write", {"v": "x" * 900}).headers["content-length"] == "908"


def test_a_file_may_be_larger_than_a_body_in_memory_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bodies, "LARGEST_SENT", 1000)
    monkeypatch.setattr(bodies, "LARGEST_FILE", 5000)
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * 4000)
    assert len(sent("put", {"content": path}).content) == 4000
    path.write_bytes(b"x" * 5001)
    assert "more than" in refused("put", {"content": path})


def test_an_answer_is_saved_and_told(tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept"])
        return httpx.Response(200, content=b"%PDF\x00", headers={"content-type": "application/pdf; v=1"})

    told = call(answer, "read", save_to=target)
    assert told == {"path": str(target), "bytes": 5, "content_type": "application/pdf"}
    assert target.read_bytes() == b"%PDF\x00"
    assert seen == ["*/*"]


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500])
def test_a_refusal_is_told_and_not_saved(tmp_path: Path, status: int) -> None:
    target = tmp_path / "report.pdf"
    target.write_text("the old one")
    with pytest.raises(ServiceError) as caught:
        call(lambda _: httpx.Response(status, text="no"), "read", save_to=target)
    assert caught.value.status == status
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the old one"]


class Broken(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise httpx.ReadError("gone")


def test_an_answer_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        call(lambda _: httpx.Response(200, stream=Broken()), "read", save_to=tmp_path / "x")
    assert not caught.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bodies, "LARGEST_FILE", 10)
    with pytest.raises(ServiceError, match="sends more than"):
        call(lambda _: httpx.Response(200, content=b"x" * 11), "read", save_to=tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_target_nothing_can_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be saved"):
        call(lambda _: httpx.Response(200, content=b"x"), "read", save_to=tmp_path / "no" / "x")


def test_only_what_is_read_is_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only what is read"):
        call(lambda _: httpx.Response(200), "write", {"v": 1}, save_to=tmp_path / "x")


def test_no_cookie_of_one_answer_comes_with_the_next_call() -> None:
    cookies: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        return httpx.Response(204, headers={"set-cookie": "session=1; Path=/"})

    async def twice() -> None:
        transport = httpx.MockTransport(answer)
        async with ServiceClient(DRIVE, {"token": SecretStr("t")}, transport=transport) as client:
            await client.call("read")
            await client.call("read")

    asyncio.run(twice())
    assert cookies == [None, None]


def test_no_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    call(lambda _: httpx.Response(204), "read")
    assert "drive.example" not in caplog.text
