"""Both ways to a resolved run on a real server: the watcher, and the automation on failed runs."""

from __future__ import annotations

import asyncio
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

from prefect_autopilot.journeys.memory import recall

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
        "PREFECT_AUTOPILOT_FLOWS_FOLDER": str(home / "flows"),
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


@pytest.fixture(scope="class")
def deployed_by_the_readme(
    live_prefect: Any, without_ours_here: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """All our deployments, and a worker that runs them; its home, in which flows are written."""
    project = tmp_path_factory.mktemp("checkout")
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
    home = tmp_path_factory.mktemp("home")
    worker = ("-m", "prefect", "worker", "start", "--pool", "autopilot", "--type", "process")
    with running(live_prefect, *worker, home=home):
        yield home


@pytest.mark.usefixtures("deployed_by_the_readme")
class TestDeployedByTheReadme:
    """All our deployments made by the commands of the README, with a worker."""

    def test_prefect_deploy_all_makes_the_automation_fire_for_real(
        self, deploy: Any, start: Any, call: Any
    ) -> None:
        bug = "from prefect import flow\n\n@flow\ndef {function}():\n    return [1][5]\n"
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

    def test_a_person_in_the_prefect_ui_answers_approves_and_has_an_automation(
        self,
        deployed_by_the_readme: Path,
        start: Any,
        state_of: Any,
        call: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The form of the deployment, both forms of its run, artifacts, and the deployment made."""
        ours = call("GET", "/deployments/name/autopilot-generate/autopilot-generate")
        form = ours["parameter_openapi_schema"]["properties"]
        assert {"request", "timezone", "connected_services"} <= set(form)
        assert form["request"]["description"]
        run = start(ours["id"], request="Every Monday at 9am post to the team channel")
        answers = (
            {"service_chat": "slack"},
            {"approve": True, "slack_channel": "#ops", "slack_text": "hello"},
        )
        shown: list[Any] = []
        for given in answers:
            before = call("GET", f"/flow_runs/{run}")["state_id"] if shown else None
            until(
                lambda before=before: (
                    state_of(run) == "PAUSED"  # type: ignore[misc]
                    and call("GET", f"/flow_runs/{run}")["state_id"] != before
                ),
                seconds=90,
                what="the run asks",
            )
            keys = call("GET", f"/flow_runs/{run}")["state"]["state_details"]["run_input_keyset"]
            inputs = call("POST", f"/flow_runs/{run}/input/filter", {"prefix": keys["schema"]})
            shown.append(json.loads(inputs[0]["value"])["properties"])
            resumed = call("POST", f"/flow_runs/{run}/resume", {"run_input": given})
            assert resumed["status"] == "ACCEPT", resumed
        until(lambda: state_of(run) == "COMPLETED", seconds=60, what="the flow is deployed")
        assert "slack" in json.dumps(shown[0]["service_chat"])
        assert shown[1]["approve"]["default"] is False
        assert set(shown[1]) == {"approve", "slack_channel", "slack_text"}
        told = call("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run]}}})
        assert {one["key"] for one in told} >= {"autopilot-analysis", "autopilot-code", "autopilot-preview"}
        names = sorted(path.name for path in (deployed_by_the_readme / "flows").iterdir())
        assert len(names) == 2, "a flow and its test"
        assert names == sorted([names[1].removeprefix("test_"), f"test_{names[0]}"])
        found = call(
            "POST", "/deployments/filter", {"deployments": {"tags": {"all_": ["autopilot-generated"]}}}
        )
        (deployment,) = [one for one in found if one["entrypoint"].split(":")[0] in names]
        assert deployment["parameters"] == {"slack_channel": "#ops", "slack_text": "hello"}
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 9 * * 1"
        call("DELETE", f"/deployments/{deployment['id']}")
        monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(deployed_by_the_readme))
        assert asyncio.run(recall()) == {"chat": "slack"}
