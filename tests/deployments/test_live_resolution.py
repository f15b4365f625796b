"""Both ways to a resolved run on a real server: the watcher, and the automation on failed runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.3)


@contextmanager
def running(live_prefect: Any, *words: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run our command beside the server, stop it by its id."""
    environment = live_prefect.environment | {
        "PREFECT_AUTOPILOT_HOME": str(home),
        "PREFECT_AUTOPILOT_POLL_INTERVAL_S": "1",
        "PREFECT_AUTOPILOT_LEASE_TTL_S": "3",
    }
    with (home / "product.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, *words], env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def test_the_watcher_resolves_an_outage_and_survives_being_killed(
    live_prefect: Any, deploy: Any, start: Any, state_of: Any, call: Any, shop: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    out = tmp_path / "orders.json"
    run_id = start(deploy("read_orders"), url=shop.url, out=str(out))
    shop.down = True
    watch = ("-m", "prefect_autopilot", "watch", "--mode", "auto")
    with running(live_prefect, *watch, home=home) as first:
        until(lambda: state_of(run_id) == "FAILED", seconds=60, what="the run has failed")
        time.sleep(1)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(timeout=30)
    shop.down = False
    assert not out.exists()
    with running(live_prefect, *watch, home=home):
        until(lambda: state_of(run_id) == "COMPLETED", seconds=90, what="the run has been retried")
    assert json.loads(out.read_text()) == [1, 2]
    assert call("GET", f"/flow_runs/{run_id}")["run_count"] == 2


@pytest.mark.usefixtures("without_ours")
def test_prefect_deploy_all_makes_the_automation_fire_for_real(
    live_prefect: Any, deploy: Any, start: Any, call: Any, tmp_path: Path
) -> None:
    project = tmp_path / "checkout"
    project.mkdir()
    shutil.copy(ROOT / "prefect.yaml", project)
    # The commands of the README; Prefect deploys nothing into a pool that does not exist.
    for words in (("work-pool", "create", "autopilot", "--type", "process"), ("deploy", "--all")):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            cwd=project,
            env=live_prefect.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    home = tmp_path / "home"
    home.mkdir()
    bug = "from prefect import flow\n\n@flow\ndef {function}():\n    return [1][5]\n"
    worker = ("-m", "prefect", "worker", "start", "--pool", "autopilot", "--type", "process")
    with running(live_prefect, *worker, home=home):
        failed = start(deploy("index_slip", bug))
        found: list[Any] = []

        def diagnosed() -> bool:
            body = {"flows": {"name": {"any_": ["autopilot-troubleshoot"]}}}
            runs = call("POST", "/flow_runs/filter", body)
            found[:] = [run for run in runs if run["parameters"].get("flow_run_id") == failed]
            return any(run["state_type"] == "COMPLETED" for run in found)

        until(diagnosed, seconds=120, what="the automation has started our flow and it has ended")
    body = {"flow_runs": {"id": {"any_": [failed]}}}
    artifacts = call("POST", "/artifacts/filter", body)
    assert any(artifact["key"] == "autopilot-diagnosis" for artifact in artifacts)
    assert call("GET", f"/flow_runs/{failed}")["run_count"] == 1
