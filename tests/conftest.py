"""Shared seams: time, a Prefect harness for the session, a whole live Prefect (server and worker)."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
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
# Nothing outside is asked, so one certificate is enough to trust: Prefect and httpx read all of them for each
# client, also for one without TLS, and that takes 20 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("nobody.pem"))

IN_CI = os.environ.get("CI") == "true"

# Times are not tested; in CI the examples are the same in every run, so that red means changed code.
settings.register_profile(
    "house", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


# Fixtures that start a server: tests that share one run in one process, so that it starts once.
SERVERS = ("live_prefect", "prefect_harness")
SERVER_TIMEOUT_S = 120
# What marks tests of servers and processes, longest first.
LONG = ("xdist_group", "live", "timeout")

# Of a table of cases: from how many rows on they run together, and how many of them as one test.
ROWS_WORTH_IT = 4
ROWS_OF_A_TEST = 32
TABLE_TIMEOUT_S = 90


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Read the tests without collections of garbage in between.

    What is collected may be told with a traceback, whose formatting parses source; inside the reading of a
    module CPython 3.11 takes that for a fault of the module ("AST constructor recursion depth mismatch").
    What was read stays until the end: later collections need not look at it, which takes seconds each time,
    and they come more seldom, for they would take a tenth of the whole time.

    What is compiled is kept, also where the environment says that nothing is (PYTHONDONTWRITEBYTECODE): each
    process, and each child that loads this package, would take as long again to compile all of it. The tests
    themselves and their children do as the environment says.
    """
    keeps_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = keeps_nothing
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of every test that shares a server (see ``--dist loadgroup``) and give it time.

    The start of the server counts for whichever of them comes first. Groups come first, then the other tests
    of processes: they take longest, and what is last keeps one process busy with nothing left for the others.

    Tests of servers and processes depend on what else the machine does. One of them may be run once more; the
    summary names it, and no more than three may be (``--max-suite-reruns``).
    """
    for item in items:
        servers = [fixture for fixture in SERVERS if fixture in getattr(item, "fixturenames", ())]
        for fixture in servers:
            item.add_marker(pytest.mark.xdist_group(fixture))
        if (servers or item.get_closest_marker("live")) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SERVER_TIMEOUT_S))
        if any(item.get_closest_marker(name) for name in LONG):
            item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in LONG])


@pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
def pytest_of_many_processes(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests are spread over processes, name groups in ids and run rows of a table as one test.

    The controller reads groups from the ids. pytest-xdist 3.8 writes them there only for pytest before 9.2;
    with a later one every group fell apart in silence, and each process started servers of its own.
    """
    if not hasattr(config, "workerinput"):
        return
    items[:] = _tables_and_others(items)
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(f"@{mark.args[0]}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{mark.args[0]}")  # type: ignore[misc]


class TableRows(pytest.Function):
    """Rows of one table of cases, run one after the other as one test.

    A test costs ten times as much as most rows do. All rows run, and each that fails is told like a test.
    """

    rows: tuple[pytest.Function, ...] = ()

    @classmethod
    def of(cls, rows: tuple[pytest.Function, ...]) -> TableRows:
        first = rows[0]
        named = dataclasses.replace(
            first.callspec, _idlist=[f"{len(rows)} rows from {first.callspec.id}"], marks=[]
        )
        made: TableRows = cls.from_parent(
            first.parent,
            name=f"{first.originalname}[{named.id}]",
            originalname=first.originalname,
            callspec=named,
            fixtureinfo=first._fixtureinfo,
        )
        made.rows = rows
        made.user_properties.append(("rows", len(rows)))
        made.add_marker(pytest.mark.timeout(TABLE_TIMEOUT_S))
        return made

    def runtest(self) -> None:
        failed: dict[str, str] = {}
        skipped: list[str] = []
        for row in self.rows:
            row.funcargs = {**self.funcargs, **row.callspec.params}
            ran = pytest.CallInfo.from_call(row.runtest, when="call", reraise=(KeyboardInterrupt, SystemExit))
            if ran.excinfo is None:
                continue
            if isinstance(ran.excinfo.value, pytest.skip.Exception):
                skipped.append(f"{row.callspec.id}: {ran.excinfo.value}")
                continue
            failed[row.callspec.id] = f"____ {row.name} ____\n{row.repr_failure(ran.excinfo)}"
            if "from pytest-timeout" in str(ran.excinfo.value):
                break  # the time of the test is up: what comes next would have no limit
        if failed:
            told = f"{len(failed)} of {len(self.rows)} rows failed: {', '.join(failed)}"
            pytest.fail("\n\n".join((told, *failed.values())), pytrace=False)
        if skipped:
            pytest.skip(f"{len(skipped)} of {len(self.rows)} rows: {'; '.join(skipped)}")


def _tables_and_others(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with the rows of each table together, at the place of the first of them."""
    tables: dict[tuple[pytest.Item | pytest.Collector | None, str], list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and _is_a_mere_row(item):
            tables.setdefault((item.parent, item.originalname), []).append(item)
    made: dict[pytest.Item, TableRows] = {}
    told: set[pytest.Item] = set()
    for rows in tables.values():
        for start in range(0, len(rows) if len(rows) >= ROWS_WORTH_IT else 0, ROWS_OF_A_TEST):
            together = tuple(rows[start : start + ROWS_OF_A_TEST])
            made[together[0]] = TableRows.of(together)
            told.update(together)
    return [made.get(item, item) for item in items if item in made or item not in told]


def _is_a_mere_row(item: pytest.Function) -> bool:
    """Whether a test is a row of a table that shares everything but its values with the other rows."""
    marks = {mark.name for mark in item.iter_markers()}
    if not hasattr(item, "callspec") or marks - {"parametrize", "usefixtures", "anyio"}:
        return False
    values: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        if set(mark.kwargs) - {"ids"}:
            return False
        names = mark.args[0]
        values.update(name.strip() for name in (names.split(",") if isinstance(names, str) else names))
    asked = item._fixtureinfo
    own = set(asked.names_closure) - values - {"request", _events_reach_the_server_of_the_test.__name__}
    return (
        values == set(item.callspec.params)
        and "request" not in asked.argnames
        and all(found.scope != "function" for name in own for found in asked.name2fixturedefs.get(name, ()))
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many rows the tables had."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "rows"
    ]
    if rows:
        terminalreporter.write_line(f"{len(rows)} of these tests are tables of {sum(rows)} rows.")


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

    Prefect keeps one sender of events per process, made for whichever server it was first used with. It is
    ended from a thread: a browser of an earlier test may have left a loop running in this one.
    """
    worker = sys.modules.get("prefect.events.worker")
    if worker is not None and not set(SERVERS).isdisjoint(request.fixturenames):
        ended = threading.Thread(
            target=worker.EventsWorker.drain_all, kwargs={"timeout": 10, "at_exit": False}
        )
        ended.start()
        ended.join()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as Prefect does."""
    return "asyncio"


@pytest.fixture(scope="session")
def now() -> datetime:
    """A fixed moment: tests never read the clock."""
    return datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def lay_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Return a function that lays the file of a store's address, as the store makes it, if it is SQLite's.

    The migrations that make it take longer than most tests of a store; tests/store has tests of them.
    """
    from prefect_autopilot.store import Store

    made = tmp_path_factory.mktemp("empty-store") / "autopilot.db"

    async def make() -> None:
        async with Store.open(f"sqlite:///{made}"):
            return

    asyncio.run(make())

    def lay(url: str) -> None:
        scheme, _, name = url.partition(":///")
        path = Path(name)
        if scheme.startswith("sqlite") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy(made, path)

    return lay


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


@dataclasses.dataclass(frozen=True)
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
