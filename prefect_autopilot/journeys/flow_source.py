"""Where the source of a deployment's flow stands: a file here, or a repository that each run pulls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.models import JSONDict


class AsksPrefect(Protocol):
    """What is needed of the Prefect API."""

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Call a route and return its JSON."""


@dataclass(frozen=True)
class FlowSource:
    """The file of a deployment's flow on this machine, with the flow's name."""

    deployment: JSONDict
    flow_name: str
    path: Path
    source: str


async def deployment_named(api: AsksPrefect, name: str) -> JSONDict:
    """Return the deployment ``flow/deployment``; raises UsageError or UnknownNameError."""
    flow, slash, own = name.partition("/")
    if not slash:
        raise UsageError(f"{name!r} names no deployment; write it as flow/deployment.")
    try:
        found: JSONDict = await api.request("GET", f"/deployments/name/{flow}/{own}")
    except UnknownNameError:
        raise UnknownNameError("deployment", name) from None
    return found


async def flow_source(api: AsksPrefect, deployment: JSONDict) -> FlowSource:
    """Return the source file of a deployment's flow.

    Raises UsageError where each run pulls it from elsewhere, or where the deployment names no file.
    """
    pulled = pulled_from(deployment)
    if pulled:
        raise UsageError(
            f"Each run of the deployment pulls its source from {pulled}; optimise a checkout of it with "
            "--branch or --patch."
        )
    file, colon, _ = str(deployment.get("entrypoint") or "").rpartition(":")
    if not colon:
        raise UsageError("The deployment names a module, not a file; send the source of the flow.")
    path = Path(deployment.get("path") or ".", file)
    flow_name = str(deployment.get("flow_name") or "")
    if not flow_name and deployment.get("flow_id"):
        flow_name = (await api.request("GET", f"/flows/{deployment['flow_id']}"))["name"]
    return FlowSource(deployment, flow_name, path, read_source(path))


def pulled_from(deployment: JSONDict) -> str:
    """Return the repository or storage that each run pulls the source from, empty where there is none."""
    for step in deployment.get("pull_steps") or ():
        for kind, given in step.items() if isinstance(step, dict) else ():
            action = kind.rsplit(".", 1)[-1]
            if action == "git_clone":
                branch = f" (branch {given['branch']})" if given.get("branch") else ""
                address = str(given.get("repository") or "git")
                return f"{address.rsplit('@', 1)[-1]}{branch}"  # without what may be a token
            if action.startswith("pull_"):
                return str(given.get("bucket") or given.get("container") or kind)
    return ""
