"""Shared seams: time, a Prefect harness for the session, a whole live Prefect (server and worker)."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling

# Read by prefect when it is first imported: no analytics, no prompts, a home of our own.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

IN_CI = os.environ.get("CI") == "true"

# Times are not tested; in CI the examples are the same in every run, so that red means changed code.
settings.register_profile(
    "house", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


# Fixtures that start a server: tests that share one run in one process, so that it starts once.
SERVERS = ("live_prefect", "prefect_harness")
SERVER_TIMEOUT_S = 120


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Read the tests without collections of garbage in between.

    What is collected may be told with a traceback, whose formatting parses source; inside the reading of a
    module CPython 3.11 takes that for a fault of the module ("AST constructor recursion depth mismatch").
    What was read stays until the end: later collections need not look at it, which takes seconds each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of every test that shares a server (see ``--dist loadgroup``) and give it time.

    The start of the server counts for whichever of them comes first. Groups come first: they take longest,
    and what is last keeps one process busy while the others have nothing left.

    Tests of servers and processes depend on what else the machine does. One of them may be run once more; the
    summary names it, and no more than three may be (``--max-suite-reruns``).
    """
    for item in items:
        servers = [fixture for fixture in SERVERS if fixture in getattr(item, "fixturenames", ())]
        for fixture in servers:
            item.add_marker(pytest.mark.xdist_group(fixture))
        if (servers or item.get_closest_marker("live")) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SERVER_TIMEOUT_S))
        if any(item.get_closest_marker(name) for name in ("live", "timeout", "xdist_group")):
            item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    """Hand tests out by the bundle, where tests are spread over processes by group.

    One by one, the time the controller needs per test grows with the number of tests done.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # the order of the collection, not the number of tests, decides
    return _Bundles(config, log)


class _Bundles(LoadGroupScheduling):
    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return f"{nodeid.partition('::')[0]} {crc32(nodeid.encode()) % 8}" if scope == nodeid else scope


def missing(reason: str) -> None:
    """Skip with the reason, or fail where everything must be there."""
    if IN_CI:
        pytest.fail(f"{reason} (must not be missing with CI=true)")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the home, and with it the database, of whoever runs it."""
    os.environ["PREFECT_AUTOPILOT_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _events_reach_the_server_of_the_test(request: pytest.FixtureRequest) -> None:
    """Let no test send its events to the server of an earlier one.

    Prefect keeps one sender of events per process, made for whichever server it was first used with.
    """
    worker = sys.modules.get("prefect.events.worker")
    if worker is not None and not set(SERVERS).isdisjoint(request.fixturenames):
        worker.EventsWorker.drain_all(timeout=10, at_exit=False)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as Prefect does."""
    return "asyncio"


@pytest.fixture
def now() -> datetime:
    """A fixed moment: tests never read the clock."""
    return datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect-home")


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """Prefect's own temporary server for tests that run flows or blocks in this process."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # Without the heartbeat a synchronous flow ends up to one second sooner.
    with (
        prefect_test_harness(server_startup_timeout=90),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class LivePrefect:
    """A real Prefect server on loopback, with the environment its clients need."""

    url: str
    home: Path
    environment: dict[str, str]


@pytest.fixture(scope="session")
def live_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePrefect]:
    """Start a real Prefect server in a process of its own; stop it by its id."""
    executable = shutil.which("prefect", path=str(Path(sys.executable).parent))
    if executable is None:
        missing("the prefect command is not installed beside this Python")
    home = tmp_path_factory.mktemp("live-prefect")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_AUTOPILOT_HOME": str(home / "autopilot"),
    }
    log = (home / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: _healthy(url), seconds=120, what="the Prefect server is healthy")
        yield LivePrefect(url, home, environment)
    finally:
        stop(server)
        log.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a child by its id: asked first, then killed, and always waited for."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def wait_until(condition: object, *, seconds: float, what: str) -> None:
    """Poll ``condition`` until it is true; fail with ``what`` when the time is up."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"not within {seconds} s: {what}")
