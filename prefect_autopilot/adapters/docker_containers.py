"""How the container of a run ended, asked of Docker on this machine by its socket.

Facts: label and ``infrastructure_pid`` as prefect-docker writes them; containers, their state and
the frames of their output by the Docker Engine API reference.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import httpx

from prefect_autopilot.adapters.container_ends import (
    FACT,
    TAIL_LINES,
    WITHIN_S,
    Source,
    Told,
    at,
    ended,
    every,
    lines_of,
    tail,
)
from prefect_autopilot.models import EvidenceLine, RunRecord
from prefect_autopilot.troubleshooting.evidence import CONTAINER

SOCKET = "unix:///var/run/docker.sock"
LABEL = "io.prefect.flow-run-id"
OVER = frozenset({"created", "exited", "dead"})
"""What a container is in which nothing runs: one that could not be started is still ``created``."""
REFUSED = "Docker does not allow it"
_HEAD = 8
"""Bytes before each piece of output: the stream, three zeros, and the length of the piece."""
_ID = re.compile(r".*:([0-9a-f]{64})")


async def read_container(run: RunRecord, transport: httpx.AsyncBaseTransport | None, *, silent: bool) -> Told:
    """Read the run's container and, of a ``silent`` run whose end tells no reason, the end of its output."""
    path = _socket()
    if path is None:
        return Told(missing=("container of the run (Docker has no socket on this machine)",))
    async with httpx.AsyncClient(
        base_url="http://docker",
        transport=transport or httpx.AsyncHTTPTransport(uds=path),
        timeout=WITHIN_S,
        trust_env=False,
    ) as client:
        source = Source(client)
        lines = await _told_of(source, run, silent=silent)
    return Told(lines, tuple(source.missing))


def _socket() -> str | None:
    """Return Docker's socket, None where there is none here: a Docker of another machine is not asked."""
    kind, _, path = (os.environ.get("DOCKER_HOST") or SOCKET).partition("://")
    return path if kind == "unix" and Path(path).is_socket() else None


async def _told_of(source: Source, run: RunRecord, *, silent: bool) -> tuple[EvidenceLine, ...]:
    told = _ID.fullmatch(run.infrastructure_pid or "")
    name = told[1] if told else await _newest(source, run.id)
    raw: Any = None
    if name:
        raw = await source.read_json("container of the run", f"/containers/{name}/json", REFUSED)
    if at(raw, "Config", "Labels", LABEL) != run.id:
        if not source.missing:
            source.missing.append("container of the run (none on this machine has its label)")
        return ()
    state = at(raw, "State")
    where = f"container {str(at(raw, 'Name') or name).strip('/')}"
    place = f"{CONTAINER}{where}"
    if (status := at(state, "Status")) not in OVER:
        return lines_of([(FACT, f"{status}", place)])
    end = {"exitCode": at(state, "ExitCode"), "message": at(state, "Error")}
    end |= {"reason": "OOMKilled"} if at(state, "OOMKilled") is True else {}
    found = ended(str(status), end, place)
    if told is None or not silent or found[0] < FACT:
        return lines_of([found])  # without a told container, its output would be a third read
    path, what = f"/containers/{name}/logs", f"log of {where}"
    body = await source.read(what, path, REFUSED, stdout=1, stderr=1, tail=TAIL_LINES)
    return (*lines_of([found]), *tail(body if at(raw, "Config", "Tty") is True else _unframed(body), where))


async def _newest(source: Source, run_id: str) -> str:
    """Return the container that was made last for a run, empty where there is none; Docker tells it first."""
    wanted = {"all": "true", "filters": json.dumps({"label": [f"{LABEL}={run_id}"]})}
    listed = await source.read_json("containers of this machine", "/containers/json", REFUSED, **wanted)
    found = str(next(every(listed), {}).get("Id") or "")
    return found if found.isalnum() else ""


def _unframed(body: bytes | None) -> bytes:
    """Return what a container without a terminal printed, its two streams together."""
    rest, pieces = body or b"", []
    while len(rest) > _HEAD:
        size = int.from_bytes(rest[_HEAD - 4 : _HEAD], "big")
        pieces.append(rest[_HEAD : _HEAD + size])
        rest = rest[_HEAD + size :]
    return b"".join(pieces)
