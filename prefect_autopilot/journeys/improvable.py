"""What of the deployed flows could be faster, cheaper or safer, for the weekly review; nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_autopilot.errors import AutopilotError, UnknownNameError
from prefect_autopilot.journeys import improve
from prefect_autopilot.journeys.flow_source import AsksPrefect, flow_source
from prefect_autopilot.models import Advice, FlowHistory, JSONDict, OptimizationPlan, Strategy
from prefect_autopilot.models.names import OWN_PREFIX

AIMS: dict[Strategy, str] = {
    Strategy.PERFORMANCE: "faster",
    Strategy.COST: "cheaper",
    Strategy.RELIABILITY: "safer",
}
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Improvable:
    """A flow file that could be better in one way: the edits by rule, and the saving with its runs."""

    workflow: str
    aim: str
    file: Path
    strategy: Strategy
    rules: tuple[str, ...]
    advice: tuple[Advice, ...]
    """What is worth doing by hand: no edit of the source alone does it."""
    saving_s: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A deployment whose flow could not be looked at from here, and why."""

    workflow: str
    why: str


async def improvable(api: AsksPrefect) -> tuple[tuple[Improvable, ...], tuple[PassedOver, ...]]:
    """Return what could be better in the flow files of all deployments, and what could not be looked at.

    A file is read once, however many deployments it has. Savings come from run history or are None.
    """
    found: list[Improvable] = []
    passed: list[PassedOver] = []
    seen: set[Path] = set()
    names = {one["id"]: one["name"] for one in await _all(api, "flows")}
    for deployment in await _all(api, "deployments"):
        flow = names.get(deployment.get("flow_id"), "")
        if flow.startswith(OWN_PREFIX):
            continue
        workflow = f"{flow}/{deployment['name']}"
        try:
            path = (await flow_source(api, deployment | {"flow_name": flow})).path
            if path in seen:
                continue
            seen.add(path)
            history = await _history(api, flow)
            found += await asyncio.to_thread(_looked_at, workflow, path, history)
        except AutopilotError as error:
            passed.append(PassedOver(workflow, error.message))
    return tuple(found), tuple(passed)


async def _all(api: AsksPrefect, kind: str) -> list[JSONDict]:
    found: list[JSONDict] = []
    while True:
        body = {"sort": "NAME_ASC", "limit": _PAGE, "offset": len(found)}
        page: Sequence[JSONDict] = await api.request("POST", f"/{kind}/filter", body)
        found += page
        if len(page) < _PAGE:
            return found


async def _history(api: Any, flow: str) -> FlowHistory | None:
    try:
        return await improve.history_of(api, flow)
    except UnknownNameError:
        return None  # it never completed: there is nothing to measure by


def _looked_at(workflow: str, path: Path, history: FlowHistory | None) -> list[Improvable]:
    found = []
    for strategy, aim in AIMS.items():
        plan = improve.plan(path, strategy, history)
        if plan.edits or plan.advice:
            found.append(
                Improvable(
                    workflow=workflow,
                    aim=aim,
                    file=path,
                    strategy=strategy,
                    rules=tuple(dict.fromkeys(edit.rule for edit in plan.edits)),
                    advice=plan.advice,
                    saving_s=_saving(plan),
                    runs=min((edit.saving_n for edit in plan.edits if edit.saving_n), default=0),
                )
            )
    return found


def _saving(plan: OptimizationPlan) -> float | None:
    known = [edit.expected_saving_s for edit in plan.edits if edit.expected_saving_s is not None]
    return sum(known) if known else None
