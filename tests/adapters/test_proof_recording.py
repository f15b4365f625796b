"""Reads over HTTP are made once and answered from memory; nothing else leaves the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.proof import recorder
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys.improve import plan_source, prove_plan

CLIENTS = {
    "httpx": "import httpx\ndef read(url): return httpx.get(url).text\ndef send(url): httpx.post(url)",
    "httpx in a loop": """
        import asyncio, httpx
        async def aread(url):
            async with httpx.AsyncClient() as client:
                return (await client.get(url)).text
        async def asend(url):
            async with httpx.AsyncClient() as client:
                await client.post(url)
        def read(url): return asyncio.run(aread(url))
        def send(url): asyncio.run(asend(url))
    """,
    "requests": """
        import requests
        def read(url): return requests.get(url).text
        def send(url): requests.post(url)
    """,
    "urllib": """
        from urllib.request import urlopen
        def read(url):
            with urlopen(url) as answer:
                return answer.read().decode()
        def send(url): urlopen(url, data=b"x")
    """,
}


class Counting(BaseHTTPRequestHandler):
    """Answers each request with the number of those before it."""

    asked: list[str]

    def do_GET(self) -> None:
        """Answer a read."""
        self.asked.append(f"{self.command} {self.path}")
        body = str(len(self.asked)).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Counted", (Counting,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def run(tmp_path: Path, client: str, script: str) -> str:
    """Run a script beside the recorder in a process of its own and return what it printed."""
    if client == "requests":
        pytest.importorskip("requests")
    (tmp_path / "autopilot_stubs.py").write_text(recorder())
    source = "import autopilot_stubs as stubs\n" + textwrap.dedent(CLIENTS[client]) + "\n" + script
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout


@pytest.mark.parametrize("client", CLIENTS)
def test_a_read_is_made_once_and_a_write_never(
    tmp_path: Path, client: str, service: tuple[str, list[str]]
) -> None:
    address, asked = service
    script = f"""
for _ in range(3):
    stubs.reset()
    print(read("{address}/a"), read("{address}/b"), read("{address}/a"), stubs.effects()[0][0][:4])
try:
    send("{address}/c")
except PermissionError as error:
    print("refused", error)
try:
    stubs.effects()
except PermissionError:
    print("no proof")
stubs.reset()
try:
    read("{address}/new")
except PermissionError as error:
    print("new", error)
"""
    lines = run(tmp_path, client, script).splitlines()
    assert lines[:3] == ["1 2 3 GET "] * 3
    assert "writes, and a recorded proof only reads" in lines[3]
    assert lines[4] == "no proof"
    assert "was not asked for in the first run" in lines[5]
    assert asked == ["GET /a", "GET /b", "GET /a"]


def test_what_prefect_asks_its_own_server_is_not_the_flows_doing(
    tmp_path: Path, service: tuple[str, list[str]]
) -> None:
    address, asked = service
    script = f"""
stubs.leave_out("{address}/api")
for _ in range(2):
    stubs.reset()
    print(read("{address}/api/health"), read("{address}/a"), len(stubs.effects()))
"""
    assert run(tmp_path, "httpx", script).splitlines() == ["1 2 1", "3 2 1"]
    assert asked == ["GET /api/health", "GET /a", "GET /api/health"]


READER = """
import httpx
from prefect import flow, task

@task
def read(url):
    return httpx.get(url, timeout=10).json()

@flow
def main(base):
    first = read(f"{base}/a")
    second = read(f"{base}/b")
    return [first, second]
"""


@pytest.mark.live
def test_a_flow_that_reads_is_proven_on_what_was_recorded(
    live_prefect: Any, service: tuple[str, list[str]]
) -> None:
    address, asked = service
    plan = plan_source(READER, "flow.py")
    proof = asyncio.run(
        prove_plan(
            plan,
            READER,
            function="main",
            parameters={"base": address},
            recorded=True,
            environment={"PREFECT_API_URL": live_prefect.url},
            timeout_s=50,
        )
    )
    assert proof.equal, proof.reason
    assert sorted(asked) == ["GET /a", "GET /b"], "each was really asked for once"


def test_an_answer_from_memory_takes_its_time_and_a_fault_is_repeated(tmp_path: Path) -> None:
    script = """
import time
stubs.reset()
for _ in range(2):
    try:
        read("http://127.0.0.1:9/")
    except Exception as error:
        print(type(error).__name__)
    stubs.reset()
key = ("GET", "http://a.test/", b"")
stubs.RECORDING.keep(key, stubs.Answer(0.2, 200, {}, b"late"))
start = time.perf_counter()
print(read("http://a.test/"), time.perf_counter() - start >= 0.2)
"""
    assert run(tmp_path, "httpx", script).split() == ["ConnectError", "ConnectError", "late", "True"]


def test_the_body_of_a_refusal_can_be_read_in_each_run(
    tmp_path: Path, service: tuple[str, list[str]]
) -> None:
    script = f"""
from urllib.error import HTTPError
for _ in range(3):
    stubs.reset()
    try:
        read("{service[0]}/missing")
    except HTTPError as error:
        print(error.code, error.reason, error.headers["Content-Type"], error.read())
"""
    assert run(tmp_path, "urllib", script).splitlines() == ["404 Not Found None b'1'"] * 3
    assert service[1] == ["GET /missing"]


WRITER = """
import requests
from prefect import flow, task

@task
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()

@task
def store(rows):
    requests.post("https://b.test", json=rows, timeout=3)

@flow
def main():
    first = read(1)
    second = read(2)
    store([first, second])
"""


def test_a_flow_that_writes_is_not_run_for_a_recording() -> None:
    plan = plan_source(WRITER, "flow.py")
    assert plan.changed
    with pytest.raises(UsageError, match=r"may do harm .*requests\.post.*--stubs"):
        asyncio.run(prove_plan(plan, WRITER, function="main", recorded=True))


SAME_WHEN_REPEATED = {
    "a file": "Path('/data/a.csv').write_text(str(rows))",
    "a bucket": "boto3.client('s3').put_object(Bucket='b', Key='k', Body=str(rows))",
    "a table": "sqlite3.connect('shop.db').execute('delete from orders where day = 1')",
}


@pytest.mark.parametrize("write", SAME_WHEN_REPEATED.values(), ids=SAME_WHEN_REPEATED)
def test_no_recording_runs_a_write_that_could_be_repeated(write: str) -> None:
    imports = "import boto3, sqlite3\nfrom pathlib import Path\n"
    source = imports + WRITER.replace('requests.post("https://b.test", json=rows, timeout=3)', write)
    plan = plan_source(source, "flow.py")
    assert plan.changed
    with pytest.raises(UsageError, match=r"would really write .*--stubs"):
        asyncio.run(prove_plan(plan, source, function="main", recorded=True))
