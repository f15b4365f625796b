"""Where a deployment's source stands: a file here, or what each run pulls, told without its secrets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import AutopilotError, UnknownNameError, UsageError
from prefect_autopilot.journeys.flow_source import deployment_named, flow_source, pulled_from


class Server:
    """Knows one deployment by name and one flow."""

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        assert (method, body) == ("GET", None)
        if path == "/flows/f1":
            return {"name": "orders"}
        if path == "/deployments/name/orders/prod":
            return {"id": "d1", "flow_id": "f1"}
        raise UnknownNameError("object", path)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (None, ""),
        ([], ""),
        ([{"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}}], ""),
        (
            [
                {
                    "prefect.deployments.steps.git_clone": {
                        "repository": "https://git.test/a.git",
                        "branch": "main",
                    }
                }
            ],
            "https://git.test/a.git (branch main)",
        ),
        (
            [{"prefect.deployments.steps.git_clone": {"repository": "https://tok3n@git.test/a.git"}}],
            "git.test/a.git",
        ),
        ([{"prefect_aws.deployments.steps.pull_from_s3": {"bucket": "flows"}}], "flows"),
        ([{"prefect.deployments.steps.pull_with_block": {"block": "b"}}], "pull_with_block"),
        (["nonsense"], ""),
    ],
    ids=["none", "empty", "folder", "git", "git with a token", "bucket", "block", "nonsense"],
)
def test_what_is_pulled_is_told_without_secrets(steps: Any, told: str) -> None:
    found = pulled_from({"pull_steps": steps})
    assert (told in found) if told else found == ""
    assert "tok3n" not in found


def test_a_file_here_is_read_with_its_flows_name(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text("x = 1\n", encoding="utf-8")
    deployment = {"id": "d1", "flow_id": "f1", "path": str(tmp_path), "entrypoint": "orders.py:orders"}
    found = asyncio.run(flow_source(Server(), deployment))
    assert (found.flow_name, found.path, found.source) == ("orders", tmp_path / "orders.py", "x = 1\n")


@pytest.mark.parametrize(
    ("deployment", "told"),
    [
        ({"pull_steps": [{"git_clone": {"repository": "https://git.test/a"}}]}, "optimise a checkout"),
        ({"entrypoint": "shop.orders.main"}, "names a module"),
        ({}, "names a module"),
        ({"path": "/nowhere", "entrypoint": "a.py:main"}, "cannot be read"),
    ],
    ids=["git", "module", "nothing", "not here"],
)
def test_what_is_no_file_here_is_told(deployment: dict[str, Any], told: str) -> None:
    with pytest.raises(AutopilotError, match=told):
        asyncio.run(flow_source(Server(), deployment))


def test_a_deployment_is_found_by_both_names() -> None:
    assert asyncio.run(deployment_named(Server(), "orders/prod"))["id"] == "d1"
    with pytest.raises(UsageError, match="flow/deployment"):
        asyncio.run(deployment_named(Server(), "orders"))
    with pytest.raises(UnknownNameError, match="orders/test"):
        asyncio.run(deployment_named(Server(), "orders/test"))
