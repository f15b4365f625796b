"""A typed client of the REST API: answers as our models, problem details as our errors.

``Client`` blocks, ``AsyncClient`` is awaited; both have the same calls. A call that writes carries an
``Idempotency-Key``, so it is sent again after a broken connection without being made twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from prefect_autopilot.client_answers import APIError
from prefect_autopilot.client_answers import Call as _Call
from prefect_autopilot.models import (
    JSONDict,
    MonitoringRule,
    TroubleshootingSession,
    WorkflowAlert,
    WorkflowIssue,
)

__all__ = ["APIError", "AsyncClient", "Client"]

ADDRESS = "http://127.0.0.1:8642"
TIMEOUT_S = 60.0
TRIES = 3
PAGE = 100
ENHANCED = "/workflows/enhanced"
SESSIONS = "/api/workflow-troubleshooting/sessions"

T = TypeVar("T")


def _unreachable(address: httpx.URL, error: httpx.HTTPError) -> APIError:
    said = f"The API at {address} cannot be reached ({type(error).__name__}); start prefect-autopilot serve."
    return APIError(said, permanent=False)


def _settings(address: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    headers = {"Accept": "application/json", "User-Agent": "prefect-autopilot-client"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return {"base_url": address, "headers": headers, "timeout": timeout_s, "follow_redirects": False}


def _session(session_id: str, rest: str = "") -> str:
    return f"{SESSIONS}/{quote(session_id, safe='')}{rest}"


class _Calls:
    """The calls, each as a request and a way to read the answer."""

    @staticmethod
    def analyze(user_input: str, **context: Any) -> _Call[JSONDict]:
        body = {"user_input": user_input, "context": context}
        return _Call("POST", f"{ENHANCED}/intelligence/analyze", dict[str, Any], body)

    @staticmethod
    def generate(user_input: str, **context: Any) -> _Call[JSONDict]:
        body = {"user_input": user_input, "context": context}
        return _Call("POST", f"{ENHANCED}/intelligence/generate", dict[str, Any], body)

    @staticmethod
    def start_session(workflow_id: str, error_logs: Sequence[str]) -> _Call[str]:
        body = {"workflow_id": workflow_id, "error_logs": list(error_logs)}
        return _Call("POST", SESSIONS, str, body, part="session_id")

    @staticmethod
    def sessions(workflow_id: str | None, limit: int, offset: int) -> _Call[list[TroubleshootingSession]]:
        query = {"workflow_id": workflow_id, "limit": limit, "offset": offset}
        return _Call("GET", SESSIONS, list[TroubleshootingSession], query=query, part="sessions")

    @staticmethod
    def session(session_id: str) -> _Call[TroubleshootingSession]:
        return _Call("GET", _session(session_id), TroubleshootingSession)

    @staticmethod
    def delete_session(session_id: str) -> _Call[bool]:
        return _Call("DELETE", _session(session_id), bool, part="success")

    @staticmethod
    def analyze_metrics(session_id: str, metrics: Mapping[str, float]) -> _Call[list[WorkflowIssue]]:
        body = {"metrics": dict(metrics)}
        path = _session(session_id, "/analyze-metrics")
        return _Call("POST", path, list[WorkflowIssue], body, part="issues")

    @staticmethod
    def diagnose(session_id: str) -> _Call[JSONDict]:
        return _Call("POST", _session(session_id, "/diagnose"), dict[str, Any])

    @staticmethod
    def recommendations(session_id: str) -> _Call[list[JSONDict]]:
        path = _session(session_id, "/recommendations")
        return _Call("POST", path, list[dict[str, Any]], part="recommendations")

    @staticmethod
    def verify(session_id: str) -> _Call[JSONDict]:
        return _Call("POST", _session(session_id, "/verify"), dict[str, Any], {})

    @staticmethod
    def approve(session_id: str, *, rerun: bool) -> _Call[JSONDict]:
        return _Call("POST", _session(session_id, "/approve"), dict[str, Any], {"rerun": rerun})

    @staticmethod
    def deny(session_id: str, reason: str) -> _Call[JSONDict]:
        return _Call("POST", _session(session_id, "/deny"), dict[str, Any], {"reason": reason})

    @staticmethod
    def start_monitoring(workflow_id: str) -> _Call[str]:
        body = {"workflow_id": workflow_id}
        return _Call("POST", f"{ENHANCED}/monitoring/start", str, body, part="monitoring_id")

    @staticmethod
    def health(workflow_id: str) -> _Call[JSONDict]:
        query = {"workflow_id": workflow_id}
        return _Call("GET", f"{ENHANCED}/monitoring/health", dict[str, Any], query=query)

    @staticmethod
    def alerts(workflow_id: str | None, offset: int, *, open_only: bool) -> _Call[list[WorkflowAlert]]:
        query = {"workflow_id": workflow_id, "open_only": open_only, "limit": PAGE, "offset": offset}
        return _Call("GET", f"{ENHANCED}/monitoring/alerts", list[WorkflowAlert], query=query, part="alerts")

    @staticmethod
    def add_rule(rule: MonitoringRule) -> _Call[MonitoringRule]:
        body = rule.model_dump(mode="json")
        return _Call("POST", f"{ENHANCED}/monitoring/alerts", MonitoringRule, body)


class Client:
    """Calls the API; used as a context. Raises our errors; APIError for access and transport."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(transport=transport, **_settings(address, token, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def _do(self, call: _Call[T]) -> T:
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
        return self._do(_Calls.analyze(user_input, **context))

    def generate(self, user_input: str, **context: Any) -> JSONDict:
        """Turn a request into spec, source and deployment of a flow; nothing is written."""
        return self._do(_Calls.generate(user_input, **context))

    def start_session(self, workflow_id: str, error_logs: Sequence[str] = ()) -> str:
        """Open a troubleshooting session and return its id."""
        return self._do(_Calls.start_session(workflow_id, error_logs))

    def session(self, session_id: str) -> TroubleshootingSession:
        """Return a session; raises UnknownNameError."""
        return self._do(_Calls.session(session_id))

    def delete_session(self, session_id: str) -> bool:
        """Delete a session; its audit entries stay."""
        return self._do(_Calls.delete_session(session_id))

    def analyze_metrics(self, session_id: str, metrics: Mapping[str, float]) -> list[WorkflowIssue]:
        """Add the issues that metrics show; raises ConflictError where the session is over."""
        return self._do(_Calls.analyze_metrics(session_id, metrics))

    def diagnose(self, session_id: str) -> JSONDict:
        """Return the causes of the issues of a session, with confidence and evidence."""
        return self._do(_Calls.diagnose(session_id))

    def recommendations(self, session_id: str) -> list[JSONDict]:
        """Return what to do, each with its evidence."""
        return self._do(_Calls.recommendations(session_id))

    def verify(self, session_id: str) -> JSONDict:
        """Say what was observed since the last act of a session."""
        return self._do(_Calls.verify(session_id))

    def approve(self, session_id: str, *, rerun: bool = False) -> JSONDict:
        """Say yes to a proposal; ``rerun``: the work may be done again."""
        return self._do(_Calls.approve(session_id, rerun=rerun))

    def deny(self, session_id: str, reason: str = "") -> JSONDict:
        """Say no to a proposal."""
        return self._do(_Calls.deny(session_id, reason))

    def start_monitoring(self, workflow_id: str) -> str:
        """Have a workflow monitored and return the id of that; raises UnknownNameError."""
        return self._do(_Calls.start_monitoring(workflow_id))

    def health(self, workflow_id: str) -> JSONDict:
        """Return the health of a workflow with its reasons."""
        return self._do(_Calls.health(workflow_id))

    def alerts(self, workflow_id: str | None = None, *, open_only: bool = False) -> list[WorkflowAlert]:
        """Return alerts, the latest first, reading page after page."""
        found: list[WorkflowAlert] = []
        while True:
            page = self._do(_Calls.alerts(workflow_id, len(found), open_only=open_only))
            found += page
            if len(page) < PAGE:
                return found

    def add_rule(self, rule: MonitoringRule) -> MonitoringRule:
        """Store a monitoring rule and return it with its id."""
        return self._do(_Calls.add_rule(rule))

    def sessions(self, workflow_id: str | None = None) -> Iterator[TroubleshootingSession]:
        """Give all sessions, the latest first, reading page after page."""
        offset = 0
        while True:
            page = self._do(_Calls.sessions(workflow_id, PAGE, offset))
            yield from page
            if len(page) < PAGE:
                return
            offset += PAGE


class AsyncClient:
    """Calls the API without blocking; the same calls as ``Client``."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **_settings(address, token, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def _do(self, call: _Call[T]) -> T:
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
        return await self._do(_Calls.analyze(user_input, **context))

    async def generate(self, user_input: str, **context: Any) -> JSONDict:
        """Turn a request into spec, source and deployment of a flow; nothing is written."""
        return await self._do(_Calls.generate(user_input, **context))

    async def start_session(self, workflow_id: str, error_logs: Sequence[str] = ()) -> str:
        """Open a troubleshooting session and return its id."""
        return await self._do(_Calls.start_session(workflow_id, error_logs))

    async def session(self, session_id: str) -> TroubleshootingSession:
        """Return a session; raises UnknownNameError."""
        return await self._do(_Calls.session(session_id))

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session; its audit entries stay."""
        return await self._do(_Calls.delete_session(session_id))

    async def analyze_metrics(self, session_id: str, metrics: Mapping[str, float]) -> list[WorkflowIssue]:
        """Add the issues that metrics show; raises ConflictError where the session is over."""
        return await self._do(_Calls.analyze_metrics(session_id, metrics))

    async def diagnose(self, session_id: str) -> JSONDict:
        """Return the causes of the issues of a session, with confidence and evidence."""
        return await self._do(_Calls.diagnose(session_id))

    async def recommendations(self, session_id: str) -> list[JSONDict]:
        """Return what to do, each with its evidence."""
        return await self._do(_Calls.recommendations(session_id))

    async def verify(self, session_id: str) -> JSONDict:
        """Say what was observed since the last act of a session."""
        return await self._do(_Calls.verify(session_id))

    async def approve(self, session_id: str, *, rerun: bool = False) -> JSONDict:
        """Say yes to a proposal; ``rerun``: the work may be done again."""
        return await self._do(_Calls.approve(session_id, rerun=rerun))

    async def deny(self, session_id: str, reason: str = "") -> JSONDict:
        """Say no to a proposal."""
        return await self._do(_Calls.deny(session_id, reason))

    async def start_monitoring(self, workflow_id: str) -> str:
        """Have a workflow monitored and return the id of that; raises UnknownNameError."""
        return await self._do(_Calls.start_monitoring(workflow_id))

    async def health(self, workflow_id: str) -> JSONDict:
        """Return the health of a workflow with its reasons."""
        return await self._do(_Calls.health(workflow_id))

    async def alerts(self, workflow_id: str | None = None, *, open_only: bool = False) -> list[WorkflowAlert]:
        """Return alerts, the latest first, reading page after page."""
        found: list[WorkflowAlert] = []
        while True:
            page = await self._do(_Calls.alerts(workflow_id, len(found), open_only=open_only))
            found += page
            if len(page) < PAGE:
                return found

    async def add_rule(self, rule: MonitoringRule) -> MonitoringRule:
        """Store a monitoring rule and return it with its id."""
        return await self._do(_Calls.add_rule(rule))

    async def sessions(self, workflow_id: str | None = None) -> AsyncIterator[TroubleshootingSession]:
        """Give all sessions, the latest first, reading page after page."""
        offset = 0
        while True:
            page = await self._do(_Calls.sessions(workflow_id, PAGE, offset))
            for one in page:
                yield one
            if len(page) < PAGE:
                return
            offset += PAGE
