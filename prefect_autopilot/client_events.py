"""Server-sent events of the API as the typed client reads them: what is told, and when to ask again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

import httpx

from prefect_autopilot.client_answers import APIError
from prefect_autopilot.client_calls import EVENTS
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.models import JSONDict, Value

SILENT_S = 45.0
"""The API says something every 15 s; a connection on which nothing came for longer is dead."""
MOST_FAILURES = 6
LONGEST_PAUSE_S = 30.0
MEDIA_TYPE = "text/event-stream"


class Event(Value):
    """A change: a session or an alert as it stands then; ``ready`` at the start, ``reset``: read anew."""

    sequence: int
    kind: Literal["ready", "reset", "session", "alert"]
    data: JSONDict


@dataclass
class Listening:
    """How far a listener was told, and how long to wait before it asks again; raises after six failures."""

    query: Mapping[str, Any]
    told: int | None = None
    retry_s: float = 3.0
    _failures: int = 0
    _lines: dict[str, str] = field(default_factory=dict)

    def request(self, timeout_s: float) -> dict[str, Any]:
        """Return the arguments of httpx for the next connection."""
        self._lines = {}
        headers = {"Accept": MEDIA_TYPE}
        if self.told is not None:
            headers["Last-Event-ID"] = str(self.told)
        wanted = {name: value for name, value in self.query.items() if value is not None}
        timeout = httpx.Timeout(timeout_s, read=SILENT_S)
        return {"method": "GET", "url": EVENTS, "params": wanted, "headers": headers, "timeout": timeout}

    def check(self, answer: httpx.Response) -> None:
        """Raise APIError unless an answer is a stream of events."""
        if not answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
            said = f"No events come from {EVENTS}; check that prefect-autopilot answers there."
            raise APIError(said, permanent=True, status=HTTPStatus.OK.value)

    def take(self, line: str) -> Event | None:
        """Take one line of the stream and return the event that it completes."""
        if line:
            name, _, value = line.partition(":")
            self._lines[name] = value.removeprefix(" ")
            return None
        told, self._lines = self._lines, {}
        if (pause := told.get("retry", "")).isdecimal():
            self.retry_s = int(pause) / 1000
        if "data" not in told:
            return None
        event = _read(told)
        self.told, self._failures = event.sequence, 0
        return event

    def failed(self, error: AutopilotError) -> None:
        """Count a connection that broke or was refused; raises its error where asking again is no use."""
        self._failures += 1
        if error.permanent or self._failures >= MOST_FAILURES:
            raise error

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next connection; longer with each one that failed."""
        return float(min(LONGEST_PAUSE_S, self.retry_s * 2 ** max(0, self._failures - 1)))


def _read(told: Mapping[str, str]) -> Event:
    import json

    try:
        return Event(sequence=int(told["id"]), kind=told["event"], data=json.loads(told["data"]))  # type: ignore[arg-type]  # checked by the model
    except (KeyError, ValueError, RecursionError) as error:
        said = "An event cannot be read; bring prefect-autopilot here and there to the same version."
        raise APIError(said, permanent=True) from error
