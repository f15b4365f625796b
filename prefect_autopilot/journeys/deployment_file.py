"""The deployment of a generated flow as an entry for ``prefect deploy``, for those who keep such files."""

from __future__ import annotations

import re
from typing import Any

from prefect_autopilot.journeys.automate import connections
from prefect_autopilot.journeys.deployment import EVENT_PARAMETER, open_parameters, polled_event, renamed
from prefect_autopilot.models import DeploymentSpec, GeneratedFlow, JSONDict

_WIDTH = 100


def deployment_yaml(generated: GeneratedFlow) -> str:
    """Return a prefect.yaml with one deployment; its head says what has to be there first.

    Texts are written so that Prefect fills in no template of theirs.
    """
    import yaml

    spec = generated.deployment
    entry: JSONDict = {
        "name": spec.name,
        "entrypoint": spec.entrypoint,
        "description": _plain(spec.description),
        "tags": list(spec.tags),
        "work_pool": {"name": spec.work_pool},
        "parameters": _plain(_parameters(generated)),
        "schedules": _schedules(spec),
        "triggers": _triggers(spec),
    }
    told = {"name": spec.flow_name, "deployments": [{key: one for key, one in entry.items() if one}]}
    text: str = yaml.safe_dump(told, sort_keys=False, allow_unicode=False, width=_WIDTH)
    return _head(generated) + text


def _head(generated: GeneratedFlow) -> str:
    pool = generated.deployment.work_pool
    lines = [
        "In this folder, once the work pool and the connections are there:",
        "  prefect deploy --prefect-file THIS_FILE --all",
        f"Work pool: prefect work-pool create {pool} --type process",
        *(f"Connection: {name}" for name in connections(generated)),
        *(f"Parameter to give: {one.name}" for one in open_parameters(generated)),
    ]
    if polled_event(generated):
        lines.append(
            "Its event is looked for by a second deployment, which `generate --deploy` makes as well."
        )
    return "".join(f"# {' '.join(line.splitlines())}\n" for line in lines)


def _parameters(generated: GeneratedFlow) -> JSONDict:
    """Return the values there are; what only the person can say is left for the form, or to be added."""
    return renamed(generated, generated.deployment.parameters)


def _schedules(spec: DeploymentSpec) -> list[JSONDict]:
    zone = {"timezone": spec.timezone or "UTC"}
    if spec.cron is not None:
        return [{"cron": spec.cron, **zone}]
    if spec.rrule is not None:
        return [{"rrule": spec.rrule, **zone}]
    if spec.interval_s is not None:
        anchor = {"anchor_date": spec.anchor} if spec.anchor else {}
        return [{"interval": spec.interval_s, **anchor, **zone}]
    return []


def _triggers(spec: DeploymentSpec) -> list[JSONDict]:
    if spec.event is None:
        return []
    trigger: JSONDict = {
        "type": "event",
        "enabled": True,
        "posture": "Reactive",
        "expect": [spec.event],
        "parameters": {"event": EVENT_PARAMETER},
    }
    return [trigger]


def _plain(value: Any) -> Any:
    """Return a value in whose texts Prefect finds no placeholder, such as that of a variable or a secret."""
    match value:
        case str():
            return re.sub(r"\{(?=\{)", "{ ", value)
        case dict():
            return {_plain(key): _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
