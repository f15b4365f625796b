"""Installation on a real Prefect server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

KINDS = {
    "deployments": "/deployments/filter",
    "flows": "/flows/filter",
    "automations": "/automations/filter",
    "block types": "/block_types/filter",
    "work pools": "/work_pools/filter",
    "variables": "/variables/filter",
}


def inventory(call: Any) -> dict[str, set[str]]:
    """Names of everything on the server that an installation might touch."""
    return {kind: {entry["name"] for entry in call("POST", path, {})} for kind, path in KINDS.items()}


def command(live_prefect: Any, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect_autopilot", *words],
        env=live_prefect.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("without_ours")
def test_install_can_be_repeated_and_uninstall_leaves_prefect_as_it_was(live_prefect: Any, call: Any) -> None:
    before = inventory(call)
    first = command(live_prefect, "install")
    assert "deployment autopilot-troubleshoot: created" in first
    once = inventory(call)
    assert "autopilot-troubleshoot" in once["deployments"]
    assert "Service Connection" in once["block types"]
    assert len(once["automations"]) == len(before["automations"]) + 1
    assert "deployment autopilot-troubleshoot: there already" in command(live_prefect, "install")
    assert inventory(call) == once
    assert "removed" in command(live_prefect, "uninstall")
    assert inventory(call) == before
