"""What the Prefect server knows of the deployments seen: when each is due, and which waits for which."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.monitoring.calendars import next_fire
from prefect_autopilot.store import Store, Update, Workflow
from prefect_autopilot.store.encoding import digest, storable

DIGITS = 12
AFTER = "after:"
"""How a deployment's tag begins that names a deployment it waits for, as ``flow/deployment`` or by one."""
PARTS = (
    "version", "entrypoint", "path", "pull_steps", "parameters", "job_variables",
    "work_pool_name", "work_queue_name",
)  # fmt: skip
"""What decides how the runs of a deployment go; its schedule, tags and words do not."""
COMPLETED = "prefect.flow-run.Completed"
_DEPLOYMENT = re.compile(r"prefect\.deployment\.([0-9a-fA-F-]{36})")


class ReadsDeployments(Protocol):
    """What is needed of the Prefect API."""

    async def deployments_by_id(self, ids: Sequence[str]) -> tuple[JSONDict, ...]:
        """Return those of the deployments that exist, as the API tells them."""

    async def automations(self) -> tuple[JSONDict, ...]:
        """Return the enabled automations as the API tells them."""


@dataclass(frozen=True)
class Deployed:
    """Active schedules, the ids of the workflows that one waits for, and last updates, by deployment id."""

    schedules: Mapping[str, JSONDict] = field(default_factory=dict)
    upstreams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    updates: Mapping[str, Update] = field(default_factory=dict)


async def read_deployed(
    api: ReadsDeployments, store: Store, now: datetime, automations: Sequence[JSONDict] | None = None
) -> Deployed:
    """Read schedules, dependencies and updates of the deployments seen, in a few calls for any number.

    A dependency is a tag ``after:NAME`` of the deployment, or an automation that runs it when another
    deployment completes; ``automations`` are those known already.
    """
    workflows = await store.workflows()
    ids = sorted({one.deployment_id for one in workflows if one.deployment_id is not None})
    if not ids:
        return Deployed()
    deployments = await api.deployments_by_id(ids)
    chained = await api.automations() if automations is None else automations
    upstreams: dict[str, set[str]] = defaultdict(set)
    for downstream, upstream in (*_tagged(deployments, workflows), *_automated(chained)):
        if downstream != upstream:
            upstreams[downstream].add(upstream)
    return Deployed(
        schedules={raw["id"]: schedule for raw in deployments if (schedule := _schedule(raw)) is not None},
        upstreams={downstream: frozenset(found) for downstream, found in upstreams.items()},
        updates=await store.updated({raw["id"]: _form(raw) for raw in deployments}, now),
    )


def _form(deployment: JSONDict) -> dict[str, str]:
    return {part: digest(storable(deployment.get(part)))[:DIGITS] for part in PARTS}


def _schedule(deployment: JSONDict) -> JSONDict | None:
    active = [entry["schedule"] for entry in deployment.get("schedules") or () if entry.get("active")]
    # Fires of several schedules interleave; judging them by one of them would invent missed runs.
    if len(active) != 1 or deployment.get("paused") or not _readable(active[0]):
        return None
    found: JSONDict = active[0]
    return found


def _readable(schedule: JSONDict) -> bool:
    try:
        next_fire(schedule)
    except UsageError:
        return False  # Prefect knows cron forms that we do not; such a deployment is judged without schedule
    return True


def _tagged(deployments: Iterable[JSONDict], workflows: Iterable[Workflow]) -> Iterator[tuple[str, str]]:
    named: dict[str, set[str]] = defaultdict(set)
    for one in workflows:
        ident = one.deployment_id or one.flow_name
        for name in (ident, one.flow_name, one.deployment_name, f"{one.flow_name}/{one.deployment_name}"):
            if name:
                named[name].add(ident)
    for raw in deployments:
        for tag in raw.get("tags") or ():
            if str(tag).startswith(AFTER):
                yield from ((raw["id"], ident) for ident in named.get(str(tag)[len(AFTER) :].strip(), ()))


def _automated(automations: Iterable[JSONDict]) -> Iterator[tuple[str, str]]:
    for automation in automations:
        trigger = automation.get("trigger") or {}
        if COMPLETED not in (trigger.get("expect") or ()):
            continue
        upstreams = set(deployments_in([trigger.get("match"), trigger.get("match_related")]))
        for action in automation.get("actions") or ():
            if action.get("type") == "run-deployment" and action.get("deployment_id"):
                yield from ((str(action["deployment_id"]), upstream) for upstream in upstreams)


def deployments_in(value: object) -> Iterator[str]:
    """Yield the ids of the deployments that a part of an automation's trigger names."""
    if isinstance(value, str):
        yield from _DEPLOYMENT.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from deployments_in(inner)
    elif isinstance(value, Collection):
        for inner in value:
            yield from deployments_in(inner)
