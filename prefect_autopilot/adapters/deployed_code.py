"""What selects the code that a deployment runs, and how it is set back."""

from __future__ import annotations

from urllib.parse import quote

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.redaction import redact_value

_SELECTS = ("entrypoint", "path", "pull_steps")
_IMAGE = "image"


def code_of(deployment: JSONDict) -> JSONDict | None:
    """Return version, entrypoint, path, pull steps and image of a deployment.

    None where a secret stands among them: it is kept nowhere, so it could not be put back.
    """
    image = (deployment.get("job_variables") or {}).get(_IMAGE)
    found = {name: deployment.get(name) for name in ("version", *_SELECTS)} | {_IMAGE: image}
    return found if redact_value(found) == found else None


def is_other_code(one: JSONDict, other: JSONDict) -> bool:
    """Tell whether two selections name other code; a version is only what people call it."""
    return any(one.get(name) != other.get(name) for name in (*_SELECTS, _IMAGE))


async def set_code(api: PrefectAPI, deployment_id: str, *, before: JSONDict, after: JSONDict) -> None:
    """Let a deployment run other code; ``ConflictError`` where somebody has deployed since ``before``."""
    raw = await api.deployment(deployment_id)
    now = code_of(raw)
    if now == after:
        return
    if now != before:
        raise ConflictError("The deployment was changed meanwhile; its code was left as it is.")
    told: JSONDict = {name: after[name] for name in ("version", *_SELECTS)}
    if before[_IMAGE] != after[_IMAGE]:
        variables = {name: value for name, value in raw["job_variables"].items() if name != _IMAGE}
        told["job_variables"] = variables | ({_IMAGE: after[_IMAGE]} if after[_IMAGE] is not None else {})
    await api.request("PATCH", f"/deployments/{quote(deployment_id, safe='')}", told)
