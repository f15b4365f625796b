"""A typed client of the REST API: answers as our models, problem details as our errors.

``Client`` blocks, ``AsyncClient`` is awaited; both have the same methods for what is asked most, ``do`` for
every call of ``prefect_autopilot.client_calls``, and ``events``. A call that writes carries an
``Idempotency-Key``, so it is sent again after a broken connection without being made twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from prefect_autopilot import client_calls as calls
from prefect_autopilot.client_answers import APIError, Call, fail
from prefect_autopilot.client_events import Event, Listening
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.models import (
    JSONDict,
    MonitoringRule,
    TroubleshootingSession,
    WorkflowAlert,
    WorkflowIssue,
)

__all__ = ["APIError", "AsyncClient", "Client", "Event", "calls"]

ADDRESS = "http://127.0.0.1:8642"
TIMEOUT_S = 60.0
TRIES = 3

T = TypeVar("T")


def _unreachable(address: httpx.URL, error: httpx.HTTPError) -> APIError:
    said = f"The API at {address} cannot be reached ({type(error).__name__}); start prefect-autopilot serve."
    return APIError(said, permanent=False)


def _settings(address: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    headers = {"Accept": "application/json", "User-Agent": "prefect-autopilot-client"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return {"base_url": address, "headers": headers, "timeout": timeout_s, "follow_redirects": False}


class Client:
    """Calls the API; used as a context. Raises our errors; APIError for access and transport."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(transport=transport, **_settings(address, token, timeout_s))
        self._timeout_s = timeout_s
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def do(self, call: Call[T]) -> T:
        """Make any call of ``calls`` and return its answer."""
        request = call.request()
        for tried in range(1, TRIES + 1):
            try:
                return call.read(self._http.request(**request))
            except httpx.TransportError as error:
                if tried == TRIES or call.method == "DELETE":
                    raise _unreachable(self._http.base_url, error) from error
        raise AssertionError  # every turn of the loop returns or raises at the last

    def analyze(self, user_input: str, **context: Any) -> JSONDict:
        """Say what a request in plain English was understood to mean; ``context`` as in the API."""
        return self.do(calls.analyze(user_input, **context))

    def generate(self, user_input: str, **context: Any) -> JSONDict:
        """Turn a request into spec, source and deployment of a flow; nothing is written."""
        return self.do(calls.generate(user_input, **context))

    def start_session(self, workflow_id: str, error_logs: Sequence[str] = ()) -> str:
        """Open a troubleshooting session and return its id."""
        return self.do(calls.start_session(workflow_id, error_logs))

    def session(self, session_id: str) -> TroubleshootingSession:
        """Return a session; raises UnknownNameError."""
        return self.do(calls.session(session_id))

    def delete_session(self, session_id: str) -> bool:
        """Delete a session; its audit entries stay."""
        return self.do(calls.delete_session(session_id))

    def analyze_metrics(self, session_id: str, metrics: Mapping[str, float]) -> list[WorkflowIssue]:
        """Add the issues that metrics show; raises ConflictError where the session is over."""
        return self.do(calls.analyze_metrics(session_id, metrics))

    def diagnose(self, session_id: str) -> JSONDict:
        """Return the causes of the issues of a session, with confidence and evidence."""
        return self.do(calls.diagnose(session_id))

    def recommendations(self, session_id: str) -> list[JSONDict]:
        """Return what to do, each with its evidence."""
        return self.do(calls.recommendations(session_id))

    def verify(self, session_id: str) -> JSONDict:
        """Say what was observed since the last act of a session."""
        return self.do(calls.verify(session_id))

    def approve(
        self, session_id: str, *, rerun: bool = False, changes: Mapping[str, float] | None = None
    ) -> JSONDict:
        """Say yes to a proposal; ``rerun``: the work may be done again; ``changes``: other numbers."""
        return self.do(calls.approve(session_id, rerun=rerun, changes=changes))

    def deny(self, session_id: str, reason: str = "") -> JSONDict:
        """Say no to a proposal."""
        return self.do(calls.deny(session_id, reason))

    def start_monitoring(self, workflow_id: str) -> str:
        """Have a workflow monitored and return the id of that; raises UnknownNameError."""
        return self.do(calls.start_monitoring(workflow_id))

    def health(self, workflow_id: str) -> JSONDict:
        """Return the health of a workflow with its reasons."""
        return self.do(calls.health(workflow_id))

    def alerts(self, workflow_id: str | None = None, *, open_only: bool = False) -> list[WorkflowAlert]:
        """Return alerts, the latest first, reading page after page."""
        found: list[WorkflowAlert] = []
        while True:
            page = self.do(calls.alerts(workflow_id, len(found), open_only=open_only, limit=calls.PAGE))
            found += page
            if len(page) < calls.PAGE:
                return found

    def add_rule(self, rule: MonitoringRule) -> MonitoringRule:
        """Store a monitoring rule and return it with its id."""
        return self.do(calls.add_rule(rule))

    def sessions(self, workflow_id: str | None = None) -> Iterator[TroubleshootingSession]:
        """Give all sessions, the latest first, reading page after page."""
        offset = 0
        while True:
            page = self.do(calls.sessions(workflow_id, offset, limit=calls.PAGE))
            yield from page
            if len(page) < calls.PAGE:
                return
            offset += calls.PAGE

    def events(
        self, *, session_id: str | None = None, workflow_id: str | None = None, after: int | None = None
    ) -> Generator[Event]:
        """Give what changes, of everything or of one subject, until it is closed; nothing is told twice.

        A connection that ends is opened again where it ended. Raises APIError where it is refused for good,
        or six times in a row.
        """
        listening = Listening({"session_id": session_id, "workflow_id": workflow_id, "after": after})
        while True:
            try:
                with self._http.stream(**listening.request(self._timeout_s)) as answer:
                    if not answer.is_success:
                        answer.read()
                        fail(answer)
                    listening.check(answer)
                    for line in answer.iter_lines():
                        if (event := listening.take(line)) is not None:
                            yield event
            except httpx.TransportError as error:
                listening.failed(_unreachable(self._http.base_url, error))
            except AutopilotError as error:
                listening.failed(error)
            self._sleep(listening.pause_s)


class AsyncClient:
    """Calls the API without blocking; the same calls as ``Client``."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **_settings(address, token, timeout_s))
        self._timeout_s = timeout_s
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def do(self, call: Call[T]) -> T:
        """Make any call of ``calls`` and return its answer."""
        request = call.request()
        for tried in range(1, TRIES + 1):
            try:
                return call.read(await self._http.request(**request))
            except httpx.TransportError as error:
                if tried == TRIES or call.method == "DELETE":
                    raise _unreachable(self._http.base_url, error) from error
        raise AssertionError  # every turn of the loop returns or raises at the last

    async def analyze(self, user_input: str, **context: Any) -> JSONDict:
        """Say what a request in plain English was understood to mean; ``context`` as in the API."""
        return await self.do(calls.analyze(user_input, **context))

    async def generate(self, user_input: str, **context: Any) -> JSONDict:
        """Turn a request into spec, source and deployment of a flow; nothing is written."""
        return await self.do(calls.generate(user_input, **context))

    async def start_session(self, workflow_id: str, error_logs: Sequence[str] = ()) -> str:
        """Open a troubleshooting session and return its id."""
        return await self.do(calls.start_session(workflow_id, error_logs))

    async def session(self, session_id: str) -> TroubleshootingSession:
        """Return a session; raises UnknownNameError."""
        return await self.do(calls.session(session_id))

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session; its audit entries stay."""
        return await self.do(calls.delete_session(session_id))

    async def analyze_metrics(self, session_id: str, metrics: Mapping[str, float]) -> list[WorkflowIssue]:
        """Add the issues that metrics show; raises ConflictError where the session is over."""
        return await self.do(calls.analyze_metrics(session_id, metrics))

    async def diagnose(self, session_id: str) -> JSONDict:
        """Return the causes of the issues of a session, with confidence and evidence."""
        return await self.do(calls.diagnose(session_id))

    async def recommendations(self, session_id: str) -> list[JSONDict]:
        """Return what to do, each with its evidence."""
        return await self.do(calls.recommendations(session_id))

    async def verify(self, session_id: str) -> JSONDict:
        """Say what was observed since the last act of a session."""
        return await self.do(calls.verify(session_id))

    async def approve(
        self, session_id: str, *, rerun: bool = False, changes: Mapping[str, float] | None = None
    ) -> JSONDict:
        """Say yes to a proposal; ``rerun``: the work may be done again; ``changes``: other numbers."""
        return await self.do(calls.approve(session_id, rerun=rerun, changes=changes))

    async def deny(self, session_id: str, reason: str = "") -> JSONDict:
        """Say no to a proposal."""
        return await self.do(calls.deny(session_id, reason))

    async def start_monitoring(self, workflow_id: str) -> str:
        """Have a workflow monitored and return the id of that; raises UnknownNameError."""
        return await self.do(calls.start_monitoring(workflow_id))

    async def health(self, workflow_id: str) -> JSONDict:
        """Return the health of a workflow with its reasons."""
        return await self.do(calls.health(workflow_id))

    async def alerts(self, workflow_id: str | None = None, *, open_only: bool = False) -> list[WorkflowAlert]:
        """Return alerts, the latest first, reading page after page."""
        found: list[WorkflowAlert] = []
        while True:
            page = await self.do(calls.alerts(workflow_id, len(found), open_only=open_only, limit=calls.PAGE))
            found += page
            if len(page) < calls.PAGE:
                return found

    async def add_rule(self, rule: MonitoringRule) -> MonitoringRule:
        """Store a monitoring rule and return it with its id."""
        return await self.do(calls.add_rule(rule))

    async def sessions(self, workflow_id: str | None = None) -> AsyncIterator[TroubleshootingSession]:
        """Give all sessions, the latest first, reading page after page."""
        offset = 0
        while True:
            page = await self.do(calls.sessions(workflow_id, offset, limit=calls.PAGE))
            for one in page:
                yield one
            if len(page) < calls.PAGE:
                return
            offset += calls.PAGE

    async def events(
        self, *, session_id: str | None = None, workflow_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[Event]:
        """Give what changes, of everything or of one subject, until it is closed; nothing is told twice.

        A connection that ends is opened again where it ended. Raises APIError where it is refused for good,
        or six times in a row.
        """
        listening = Listening({"session_id": session_id, "workflow_id": workflow_id, "after": after})
        while True:
            try:
                async with self._http.stream(**listening.request(self._timeout_s)) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        fail(answer)
                    listening.check(answer)
                    async for line in answer.aiter_lines():
                        if (event := listening.take(line)) is not None:
                            yield event
            except httpx.TransportError as error:
                listening.failed(_unreachable(self._http.base_url, error))
            except AutopilotError as error:
                listening.failed(error)
            await self._sleep(listening.pause_s)
