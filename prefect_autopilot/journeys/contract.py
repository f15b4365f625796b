"""The Python interface of the original system, as plain functions over the same journeys.

Each call reads the settings, opens the store and closes it again; everything survives the process.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from prefect_autopilot.errors import AutopilotError, UsageError
from prefect_autopilot.journeys import fleet as fleets
from prefect_autopilot.journeys import sessions
from prefect_autopilot.models import MonitoringRule, TroubleshootingSession, WorkflowIssue
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

ACTOR = "python"
LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535

Result = TypeVar("Result")
Work = Callable[[Store, datetime], Coroutine[Any, Any, Result]]


def start_troubleshooting_session(workflow_id: str, error_logs: Sequence[str]) -> TroubleshootingSession:
    """Open a troubleshooting session on log entries and return it with the issues found.

    Raises UsageError for an empty workflow id, StoreError when the database refuses.
    """
    if not workflow_id.strip():
        raise UsageError("A session is about a workflow; give its id or name.")
    logs = [error_logs] if isinstance(error_logs, str) else list(error_logs)
    return _run(lambda store, now: sessions.open_session(store, workflow_id, logs, now, actor=ACTOR))


def analyze_workflow_metrics(session_id: str, metrics: Mapping[str, float]) -> tuple[WorkflowIssue, ...]:
    """Add the issues that metrics show (shares from 0 to 1, times in seconds) to a session and return them.

    Raises UnknownNameError for an unknown session, ConflictError for one that is over.
    """
    given = {name: float(value) for name, value in metrics.items()}
    return _run(lambda store, now: sessions.analyze_metrics(store, session_id, given, now, actor=ACTOR))


def generate_recommendations(session_id: str) -> list[str]:
    """Return what to do about the issues of a session, each sentence with what it rests on.

    Raises UnknownNameError for an unknown session.
    """
    found = _run(lambda store, now: sessions.recommend(store, session_id, now, actor=ACTOR))
    return [one.recommendation for one in found]


def add_monitoring_rule(rule: MonitoringRule) -> MonitoringRule:
    """Store a rule that raises alerts and return it with its id; the same rule again changes nothing.

    Raises UsageError for a threshold that is no finite number.
    """
    if not math.isfinite(rule.threshold) or not math.isfinite(rule.cooldown_minutes):
        raise UsageError("Threshold and cooldown of a rule must be finite numbers.")
    return _run(lambda store, _now: store.add_rule(rule))


def start_monitoring_server(port: int = 9090) -> MonitoringServer:
    """Serve Prometheus text about the stored runs on a loopback port, and return the server to close.

    Called again for the same port it returns the server that runs there. Port 0 takes a free one. Raises
    UsageError when the port is taken by somebody else, StoreError when the store cannot be read.
    """
    with _starting:
        running = _servers.get(port)
        if running is None or running.closed:
            running = MonitoringServer(port)
            if port:
                _servers[port] = running
        return running


class MonitoringServer:
    """A small HTTP server whose answers stand in memory; a thread reads the store every 15 s."""

    def __init__(self, port: int) -> None:
        if not 0 <= port <= _LAST_PORT:
            raise UsageError(f"There is no port {port}; choose another.")
        self._fleet = FleetMetrics()
        self._since: datetime | None = None
        self._stopped = threading.Event()
        self.text = b""
        self.refresh()
        try:
            self._http = ThreadingHTTPServer((LOOPBACK, port), _answering(self))
        except OSError as error:
            raise UsageError(f"Cannot listen on port {port}: {error.strerror}; choose another.") from error
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.2,), daemon=True),
            threading.Thread(target=self._keep_fresh, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Address to scrape."""
        return f"http://{LOOPBACK}:{self.port}/metrics"

    @property
    def closed(self) -> bool:
        """Tell whether the server was closed."""
        return self._stopped.is_set()

    def refresh(self) -> None:
        """Read the store and renew the text that is served."""

        async def read(store: Store, now: datetime) -> bytes:
            await fleets.refresh(self._fleet, store, now, self._since)
            self._since = now
            return self._fleet.render(now)

        self.text = _run(read)

    def close(self) -> None:
        """Stop serving and free the port; closing twice is no error."""
        if not self.closed:
            self._stopped.set()
            self._http.shutdown()
            self._http.server_close()
            for thread in self._threads:
                thread.join()

    def _keep_fresh(self) -> None:
        while not self._stopped.wait(fleets.REFRESH_S):
            try:
                self.refresh()
            except AutopilotError as error:
                # The old figures must not pass for new ones: a scrape shows what is wrong.
                self.text = f"# {' '.join(error.message.split())}\n".encode()


_servers: dict[int, MonitoringServer] = {}
_starting = threading.Lock()


def _answering(server: MonitoringServer) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            known = self.path.partition("?")[0] in {"/", "/metrics"}
            body = server.text if known else b"Only /metrics is served here.\n"
            self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet: a scrape is no event."""

    return Answer


def _run(work: Work[Result]) -> Result:
    """Run a journey on an opened store, also where an event loop is running in this thread already."""

    async def with_store() -> Result:
        async with Store.open(load_settings().store_url.get_secret_value()) as store:
            return await work(store, datetime.now(UTC))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(with_store())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, with_store()).result()
