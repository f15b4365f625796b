"""Bodies on their way: encoded and bounded before they are sent, saved piece by piece when they come."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx

from prefect_autopilot.adapters.service_answers import CallFacts
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict, Operation
from prefect_autopilot.services.requests import is_file

LARGEST_SENT = 64 * 2**20
"""Bytes of a body that is made in memory; more is refused before anything is sent."""

LARGEST_FILE = 5 * 2**30
"""Bytes of a file that is sent or saved."""

_PIECE = 2**18


def encoded(operation: Operation, body: Any, files: ExitStack, **request: Any) -> httpx.Request:
    """Return the request with its body; files it reads from are closed with ``files``.

    Raises UsageError for a body that cannot be written, is too large, or whose file cannot be read.
    """
    where = f"The body of {operation.id}"
    try:
        content = _content(operation, body, files)
        if kind := content.pop("type", None):
            request["headers"] = {**request["headers"], "Content-Type": kind}
        if isinstance(stream := content.get("content"), FileStream):
            # httpx sends what it iterates over in chunks of unknown number, which storage services refuse.
            request["headers"] = {**request["headers"], "Content-Length": str(stream.size)}
        built = httpx.Request(**request, **content)
        if isinstance(stream, FileStream):
            built.stream = stream  # not wrapped: whoever signs it reads the file
        if operation.body == "raw":
            built.headers.setdefault("Content-Type", "application/octet-stream")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be written as {operation.body}: {error}.") from error
    except OSError as error:
        raise UsageError(f"{where} names a file that cannot be read: {error.strerror}.") from error
    size = int(built.headers.get("content-length", 0))
    most = LARGEST_FILE if _holds_file(body) else LARGEST_SENT
    if size > most:
        raise UsageError(
            f"{where} has {size / 2**20:.1f} MB, more than the {most // 2**20} MB that may be sent;"
            " nothing was sent. Send it as a file, or in parts."
        )
    return built


def _holds_file(body: Any) -> bool:
    values = body.values() if isinstance(body, dict) else body if isinstance(body, tuple) else (body,)
    return any(isinstance(value, os.PathLike) for value in values)


def _content(operation: Operation, body: Any, files: ExitStack) -> dict[str, Any]:
    if body is None or operation.body == "none":
        return {}
    if operation.body == "form":
        return {"data": body}
    if operation.body == "multipart":
        return {"files": {name: _part(name, value, files) for name, value in body.items()}}
    if operation.body == "raw" and isinstance(body, str | bytes | os.PathLike):
        return {"content": FileStream(Path(body)) if isinstance(body, os.PathLike) else body}
    if operation.body == "related":
        return _related(*body)
    return {"json": body}


def _related(fields: Any, content: Any) -> dict[str, Any]:
    """Return fields and the content of a file as the two parts of multipart/related."""
    boundary = uuid4().hex
    kind = "application/octet-stream"
    if not is_file(content):
        kind = "text/plain; charset=utf-8" if isinstance(content, str) else "application/json"
        content = (content if isinstance(content, str) else json.dumps(content, allow_nan=False)).encode()
    head = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(fields, allow_nan=False)}\r\n"
        f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    whole = head + content + tail if isinstance(content, bytes) else FileStream(Path(content), head, tail)
    return {"content": whole, "type": f"multipart/related; boundary={boundary}"}


def _part(name: str, value: Any, files: ExitStack) -> tuple[str | None, Any]:
    if isinstance(value, os.PathLike):
        path = Path(value)
        return path.name, files.enter_context(path.open("rb"))
    return (name, value) if isinstance(value, bytes) else (None, value)


class FileStream(httpx.AsyncByteStream):
    """A file as a body; ``path`` is where whoever signs the body reads it."""

    def __init__(self, path: Path, head: bytes = b"", tail: bytes = b"") -> None:
        """Read ``path``, between ``head`` and ``tail``; raises OSError for a file that cannot be read."""
        self.path = path
        self.head, self.tail = head, tail
        self.size = len(head) + path.stat().st_size + len(tail)
        path.open("rb").close()  # unreadable is said before anything is sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.head:
            yield self.head
        async with await anyio.open_file(self.path, "rb") as file:
            while piece := await file.read(_PIECE):
                yield piece
        if self.tail:
            yield self.tail


async def save(response: httpx.Response, target: Path, facts: CallFacts) -> JSONDict:
    """Write an answer to ``target``, which appears only when it is whole, and tell what was written.

    Raises UsageError when the file cannot be written, ServiceError when the answer is too large.
    """
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    size = 0
    try:
        async with await anyio.open_file(part, "xb") as file:
            async for piece in response.aiter_bytes(_PIECE):
                size += len(piece)
                if size > LARGEST_FILE:
                    reason = f"{facts.service.name} sends more than {LARGEST_FILE // 2**20} MB"
                    raise facts.error(reason, permanent=True, status=response.status_code)
                await file.write(piece)
        await anyio.to_thread.run_sync(os.replace, part, target)
    except OSError as error:
        raise UsageError(f"The answer cannot be saved as {target}: {error.strerror}.") from error
    finally:
        await response.aclose()
        with contextlib.suppress(FileNotFoundError):  # after success it has become the file itself
            part.unlink()
    kind = response.headers.get("content-type", "").partition(";")[0] or None
    return {"path": str(target), "bytes": size, "content_type": kind}
