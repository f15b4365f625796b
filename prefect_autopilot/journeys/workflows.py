"""A workflow by any name people use for it, and what its stored runs say."""

from __future__ import annotations

import difflib
import uuid
from datetime import datetime
from typing import Any, Protocol

from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys.judging import HISTORY_RUNS, history, workflow_id
from prefect_autopilot.journeys.observe import HEALTH_RUNS, HealthBook
from prefect_autopilot.models import HealthScore, RunRecord, WorkflowMetric
from prefect_autopilot.monitoring import health, metrics
from prefect_autopilot.store import Store, Workflow

_MOST_NAMED = 5


class Asks(Protocol):
    """What is needed of the Prefect API."""

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Call a route and return its JSON."""


async def check_known(api: Asks, store: Store, name: str) -> None:
    """Raise UnknownNameError where neither the server nor the store knows a workflow of this name."""
    if await find_workflow(store, name) is not None:
        return
    flow, slash, deployment = name.partition("/")
    questions: list[tuple[str, dict[str, Any]]] = [
        ("deployments", {"deployments": {"name": {"any_": [name]}}}),
        ("flows", {"flows": {"name": {"any_": [name]}}}),
    ]
    if slash:
        both = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [deployment]}}}
        questions.append(("deployments", both))
    if (ident := _uuid(name)) is not None:
        questions.append(("deployments", {"deployments": {"id": {"any_": [ident]}}}))
    for kind, wanted in questions:
        if await api.request("POST", f"/{kind}/filter", {**wanted, "limit": 1}):
            return
    seen = sorted({known for one in await store.workflows() for known in _names(one)})
    raise UnknownNameError("workflow", name, tuple(difflib.get_close_matches(name, seen, n=3)))


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


async def find_workflow(store: Store, name: str) -> Workflow | None:
    """Return the workflow of this deployment id or name, flow name or ``flow/deployment``; None when unseen.

    Raises UsageError where a name stands for several deployments.
    """
    seen = await store.workflows()
    exact = [one for one in seen if one.deployment_id == name]
    found = exact or [one for one in seen if name in _names(one)]
    if len(found) > 1:
        ids = ", ".join(workflow_id(one) for one in found[:_MOST_NAMED])
        raise UsageError(f"{name!r} stands for {len(found)} workflows; name one by its id: {ids}.")
    return found[0] if found else None


def _names(workflow: Workflow) -> set[str]:
    names = {workflow.flow_name}
    if workflow.deployment_name:
        names |= {workflow.deployment_name, f"{workflow.flow_name}/{workflow.deployment_name}"}
    return names


async def runs_of(store: Store, workflow: Workflow, limit: int = HISTORY_RUNS) -> tuple[RunRecord, ...]:
    """Return the newest stored runs of a workflow, oldest first."""
    return await history(store, workflow, limit)


async def health_of(
    store: Store, workflow: Workflow, now: datetime, book: HealthBook | None = None
) -> HealthScore:
    """Return the health of a workflow that was seen, from the ``book`` where nothing changed since."""
    score = book.still_holds(workflow, now) if book is not None else None
    if score is None:
        score = health(workflow_id(workflow), await history(store, workflow, HEALTH_RUNS), now)
        if book is not None:
            book.keep(workflow, score, now)
    return score


async def workflow_health(
    store: Store, name: str, now: datetime, book: HealthBook | None = None
) -> HealthScore:
    """Return the health of a workflow; unknown, with the reason, where no run of it was seen.

    With a ``book`` it is worked out anew only where a run changed, or once what the book knows is too old.
    """
    workflow = await find_workflow(store, name)
    if workflow is None:
        return HealthScore(
            workflow_id=name,
            status="unknown",
            reason=f"No run of {name!r} was seen yet; watch the Prefect server, or start monitoring.",
            last_updated=now,
        )
    return await health_of(store, workflow, now, book)


async def measured(store: Store, name: str, now: datetime) -> tuple[WorkflowMetric, ...]:
    """Return the metrics of a workflow's stored runs; nothing where none was seen."""
    workflow = await find_workflow(store, name)
    if workflow is None:
        return ()
    return metrics(workflow_id(workflow), await runs_of(store, workflow), now)
