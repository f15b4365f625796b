"""What a container's end says, in the words that diagnosis knows, and the bounded way to those who know it.

Facts: exit codes above 128 are 128 and a signal, 126 and 127 are the shell's (POSIX, 2.8.2).
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from prefect_autopilot.models import EvidenceLine, JSONDict
from prefect_autopilot.redaction import redact
from prefect_autopilot.troubleshooting.evidence import CONTAINER_LOG, SAYS_NOTHING

WITHIN_S = 2.0
"""Seconds one read may take, its whole answer."""
LARGEST = 4_000_000
"""Bytes of one answer."""
TAIL_LINES, TAIL_BYTES = 20, 16_384
"""Of the output of a dead container."""
LONGEST_TEXT = 600
SHELL_CODES, SIGNALLED = 126, 128
"""From the first exit code on a number says something: not executable, not found, the second and a signal."""
OOM, POD, DISRUPTED, REASON, START, CODE, FACT = range(7)
"""What is told of a container decides in this order; with no more than a fact, its output may tell more."""
UNREADABLE = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError, RecursionError)

Finding: TypeAlias = tuple[int, str, str]
"""How early it decides, its text, the place it is told of."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was read, the most telling first, and what could not be read."""

    lines: tuple[EvidenceLine, ...] = ()
    missing: tuple[str, ...] = ()


class Source:
    """One place that is asked, by reading only; what it does not answer is written down."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.missing: list[str] = []

    async def read(self, what: str, path: str, right: str, **params: str | int) -> bytes | None:
        """Return the body, None where it could not be read; ``right`` says what a refusal means."""
        try:
            async with (
                asyncio.timeout(WITHIN_S),
                self.client.stream("GET", path, params=params, follow_redirects=False) as answer,
            ):
                answer.raise_for_status()
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > LARGEST:
                        raise ValueError(f"its answer has more than {LARGEST} bytes")
                return body
        except UNREADABLE as error:
            self.missing.append(f"{what} ({_why(error, right)})")
        return None

    async def read_json(self, what: str, path: str, right: str, **params: str | int) -> Any:
        """Return the body as JSON, None where it could not be read."""
        body = await self.read(what, path, right, **params)
        try:
            return None if body is None else json.loads(body)
        except (ValueError, RecursionError):
            self.missing.append(f"{what} (its answer is no JSON)")
        return None


def _why(error: Exception, right: str) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return f"HTTP {status}: {right}" if status in {401, 403} else f"HTTP {status}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer within {WITHIN_S:g} s"
    return redact(f"{type(error).__name__}: {error}")[:LONGEST_TEXT]


def ended(word: str, end: Any, where: str) -> Finding:
    """Return how a container ended, told as Kubernetes does: reason, exitCode, signal, message.

    A bare exit code below those of the shell says no more than Prefect does: its text gives no reason.
    """
    code, message = at(end, "exitCode"), at(end, "message")
    reason = str(at(end, "reason") or "")
    reason = "" if reason.lower() in SAYS_NOTHING else reason
    number = code if isinstance(code, int) else 0
    sent = at(end, "signal") or number - SIGNALLED
    named = f" ({signal.Signals(sent).name})" if sent in set(signal.Signals) else ""
    what = ", ".join(part for part in (reason, f"exit code {number}{named}") if part)
    told = reason or message or number >= SHELL_CODES
    rank = REASON if reason or message else CODE if number > SIGNALLED else FACT
    rank = OOM if reason == "OOMKilled" else rank
    return rank, f"{word}: {joined(what, message)}" if told else f"{word} with {what}", where


def joined(*parts: Any) -> str:
    """Return what is told of parts, in one line."""
    return ": ".join(" ".join(str(part).split()) for part in parts if part)


def tail(body: bytes | None, where: str) -> tuple[EvidenceLine, ...]:
    """Return the end of a container's output as one line of evidence, redacted; none where there is none."""
    kept = (body or b"")[-TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()[-TAIL_LINES:]
    text = redact("\n".join(kept))
    return (EvidenceLine(text=text, where=f"{CONTAINER_LOG}{where}"),) if text else ()


def lines_of(found: Iterable[Finding]) -> tuple[EvidenceLine, ...]:
    """Return findings as lines of evidence, the most telling first, each once, redacted and cut."""
    ranked = dict.fromkeys((text, where) for _, text, where in sorted(found, key=lambda one: one[0]))
    return tuple(
        EvidenceLine(text=redact(text)[:LONGEST_TEXT], where=redact(where)) for text, where in ranked
    )


def at(raw: Any, *names: str) -> Any:
    """Return what stands under names within names, None where there is no such thing."""
    for name in names:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


def every(raw: Any, *names: str) -> Iterator[JSONDict]:
    """Yield the objects of a list under names, none where there is no such list."""
    found = at(raw, *names)
    return (one for one in (found if isinstance(found, list) else ()) if isinstance(one, dict))
