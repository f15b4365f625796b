"""`prefect-autopilot up`: all parts on one machine, and none of them left when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.embedded import free_port

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]
FOREIGN = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")


@dataclass(frozen=True)
class Running:
    """The command while it runs."""

    process: subprocess.Popen[bytes]
    prefect: str
    ours: str
    log: Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    ports = (free_port(), free_port())
    environment = {key: value for key, value in os.environ.items() if key not in FOREIGN} | {
        "PREFECT_AUTOPILOT_HOME": str(tmp_path / "home"),
        "PREFECT_AUTOPILOT_API_PORT": str(ports[1]),
        "PREFECT_HOME": str(tmp_path / "unused"),
    }
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect_autopilot", "up", "--port", str(ports[0])],
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            yield Running(process, f"{urls[0]}/api", urls[1], log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def listed(running: Running, path: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{running.prefect}{path}", json={}, timeout=30)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def wait(running: Running, condition: Any, what: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert running.process.poll() is None, running.log.read_text(encoding="utf-8")
        if condition():
            return
        time.sleep(0.2)
    pytest.fail(f"not in time: {what}; it said: {running.log.read_text(encoding='utf-8')}")


def children_of(pid: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1]) == pid:
                found.append(stat.parent.name)
        except FileNotFoundError:
            continue  # it ended while we looked
    return found


def alive(pids: list[str]) -> list[str]:
    return [pid for pid in pids if Path("/proc", pid).exists()]


def test_all_parts_run_and_ctrl_c_leaves_nothing_behind(running: Running) -> None:
    wait(running, lambda: "API: " in running.log.read_text(encoding="utf-8"), "everything is started")
    names = {deployment["name"] for deployment in listed(running, "/deployments/filter")}
    assert {"autopilot-troubleshoot", "autopilot-monitor"} <= names
    assert [one["name"] for one in listed(running, "/automations/filter")]
    workers = "/work_pools/autopilot/workers/filter"
    wait(running, lambda: [w["status"] for w in listed(running, workers)] == ["ONLINE"], "a worker is online")
    assert httpx.get(f"{running.ours}/healthz", timeout=30).status_code == 200
    children = children_of(running.process.pid)
    assert len(children) >= 2  # server and worker
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=45) == 0
    text = running.log.read_text(encoding="utf-8")
    assert text.rstrip().endswith("Stopping.")
    assert "Traceback" not in text
    assert alive(children) == []
    for address in (running.prefect, running.ours):
        with pytest.raises(httpx.ConnectError):
            httpx.get(address, timeout=20)
