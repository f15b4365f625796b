"""Child processes of our own: they get an environment of their own and end with us, whatever happens."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from prefect_autopilot.adapters import embedded
from prefect_autopilot.adapters.embedded import EmbeddedPrefect, free_port, running_server, running_worker
from prefect_autopilot.errors import PrefectError

pytestmark = pytest.mark.timeout(60)  # some start a whole Prefect

FOREVER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    " time.sleep(60)"
)
ENV = {"PATH": os.environ["PATH"]}


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def said(log: Path) -> None:
    async with asyncio.timeout(10):
        while not log.stat().st_size:  # noqa: ASYNC110, ASYNC240  # another process writes this small file
            await asyncio.sleep(0.02)


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert 1024 <= port <= 65535
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_the_ui_is_where_the_api_is() -> None:
    prefect = EmbeddedPrefect("http://127.0.0.1:4200/api", Path("/x"), {})
    assert prefect.ui_url == "http://127.0.0.1:4200"


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE"])
def test_credentials_and_profiles_of_another_server_do_not_reach_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "of another server")
    assert name not in embedded._environment(tmp_path, "http://127.0.0.1:1/api")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:1/api"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
        ("PREFECT_CLI_PROMPT", "false"),
    ],
)
def test_ours_talks_to_its_own_server_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, "something else")
    assert embedded._environment(tmp_path, "http://127.0.0.1:1/api")[name] == value


def test_the_rest_of_the_environment_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    environment = embedded._environment(tmp_path, "http://127.0.0.1:1/api")
    assert environment["HTTPS_PROXY"] == "http://proxy.test:3128"
    assert environment["PATH"] == os.environ["PATH"]


def test_the_home_of_ours_is_made(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there"
    assert embedded._environment(home, "http://x/api")["PREFECT_HOME"] == str(home)
    assert home.is_dir()


@pytest.mark.parametrize(
    ("content", "last"),
    [
        (b"", "it said nothing"),
        (b"\n \n", "it said nothing"),
        (b"one", "one"),
        (b"zero\n\none\n  two  \n\n", "one two"),
        (b"x" * 400, "…" + "x" * 300),
        (b"\xff broken", "� broken"),
    ],
    ids=["empty", "blank", "one line", "a wrapped sentence", "long", "no utf-8"],
)
def test_the_last_words_of_a_log_are_what_a_person_needs(tmp_path: Path, content: bytes, last: str) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(content)
    assert embedded._last_words(log) == last


async def test_a_child_runs_with_its_environment_and_folder_and_writes_into_its_log(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "cwd"
    folder.mkdir()
    script = "import os, sys; print(os.getcwd(), os.environ['MARK']); print('err', file=sys.stderr)"
    async with embedded._child(["-c", script], ENV | {"MARK": "m1"}, log, folder) as child:
        assert await child.wait() == 0
    told = log.read_text(encoding="utf-8")
    assert f"{folder} m1" in told
    assert "err" in told


async def test_a_second_start_adds_to_the_log_of_the_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("first", "second"):
        async with embedded._child(["-c", f"print('{word}')"], ENV, log) as child:
            await child.wait()
    assert log.read_text(encoding="utf-8").split() == ["first", "second"]


async def test_a_child_ends_with_the_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with embedded._child(["-c", FOREVER], ENV, log) as child:
        await said(log)
        assert not gone(child.pid)
    assert child.returncode is not None
    assert gone(child.pid)


async def test_a_child_ends_when_the_block_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pids = []

    async def work() -> None:
        async with embedded._child(["-c", FOREVER], ENV, log) as child:
            pids.append(child.pid)
            await said(log)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert gone(pids[0])


async def test_a_child_ends_when_the_work_is_cancelled(tmp_path: Path) -> None:
    log, pids = tmp_path / "log", []

    async def work() -> None:
        async with embedded._child(["-c", FOREVER], ENV, log) as child:
            pids.append(child.pid)
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    async with asyncio.timeout(10):
        while not pids:  # noqa: ASYNC110  # the process has no event of its own
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pids[0])


async def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.1)
    log = tmp_path / "log"
    async with embedded._child(["-c", STUBBORN], ENV, log) as child:
        await said(log)
    assert child.returncode == -9
    assert gone(child.pid)


async def test_a_child_that_ended_by_itself_is_no_trouble(tmp_path: Path) -> None:
    async with embedded._child(["-c", "raise SystemExit(3)"], ENV, tmp_path / "log") as child:
        await child.wait()
    assert child.returncode == 3


class Health(BaseHTTPRequestHandler):
    """Answers 503 twice, then 200."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        ready = self.path == "/api/health" and type(self).asked > 2
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def starting() -> Iterator[str]:
    """A server that is healthy at the third question."""
    Health.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()
    thread.join(5)


async def test_a_server_is_waited_for_until_it_is_healthy(tmp_path: Path, starting: str) -> None:
    log = tmp_path / "log"
    async with embedded._child(["-c", FOREVER], ENV, log) as child:
        await embedded._until_healthy(child, starting, log)
    assert Health.asked == 3


async def test_a_server_that_dies_is_not_waited_for_and_its_last_word_is_told(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    script = "print('loading', flush=True); raise SystemExit('Port 4200 is taken.')"
    async with embedded._child(["-c", script], ENV, log) as child:
        await child.wait()
        with pytest.raises(PrefectError, match=r"Port 4200 is taken\.") as caught:
            await embedded._until_healthy(child, "http://127.0.0.1:9/api", log)
    assert caught.value.permanent, "starting it again as it is will not help"
    assert str(log) in caught.value.message
    assert "doctor" in caught.value.message


async def test_a_server_that_never_gets_healthy_is_given_up_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.3)
    log = tmp_path / "server.log"
    async with embedded._child(["-c", FOREVER], ENV, log) as child:
        with pytest.raises(PrefectError, match="did not start: up") as caught:
            await embedded._until_healthy(child, f"http://127.0.0.1:{free_port()}/api", log)
    assert not caught.value.permanent


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be started; a program that only stays up is started instead."""
    started: list[list[str]] = []
    start = asyncio.create_subprocess_exec

    async def instead(program: str, *arguments: str, **named: object) -> asyncio.subprocess.Process:
        assert program == sys.executable
        started.append(list(arguments))
        return await start(program, "-c", FOREVER, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(embedded.asyncio, "create_subprocess_exec", instead)
    return started


async def test_the_server_listens_on_loopback_only_at_the_port_it_is_told(
    tmp_path: Path, commands: list[list[str]], starting: str
) -> None:
    Health.asked = 2
    port = httpx.URL(starting).port
    async with running_server(tmp_path / "home", port=port, extra={"MARK": "m1"}) as prefect:
        assert prefect.url == starting
        assert prefect.home == tmp_path / "home"
        assert prefect.environment["MARK"] == "m1"
        assert prefect.environment["PREFECT_API_URL"] == starting
    (command,) = commands
    assert command[:4] == ["-m", "prefect", "server", "start"]
    assert command[4:] == ["--host", "127.0.0.1", "--port", str(port)]


async def test_the_worker_serves_the_pool_it_is_told(tmp_path: Path, commands: list[list[str]]) -> None:
    prefect = EmbeddedPrefect("http://127.0.0.1:1/api", tmp_path, ENV)
    async with running_worker(prefect, pool="users pool", cwd=tmp_path):
        await said(tmp_path / "worker.log")
    (command,) = commands
    told = ["-m", "prefect", "worker", "start", "--pool", "users pool", "--type", "process", "--name"]
    assert command[:-1] == told
    assert command[-1].startswith("users pool-")


@pytest.mark.live
async def test_a_taken_port_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(PrefectError, match="did not start"):
            async with running_server(tmp_path, port=port):
                pytest.fail("nobody can listen on a taken port")
