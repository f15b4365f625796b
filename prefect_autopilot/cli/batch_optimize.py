"""The answer of ``optimize FILE --json``: a plan as one JSON object, the file replaced on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from prefect_autopilot.adapters.files import read_source, write_new
from prefect_autopilot.adapters.project_settings import read_prices
from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import FlowHistory, JSONDict, OptimizationPlan, Strategy


@dataclass(frozen=True)
class ProofWish:
    """Which flow is to be proved, with what; without stubs its reads are recorded."""

    function: str
    parameters: JSONDict = field(default_factory=dict)
    stubs: Path | None = None


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the file; without a strategy the project's settings decide."""

    strategy: Strategy | None = None
    unsafe: bool = False
    write: bool = False
    branch: str | None = None
    prices_path: Path | None = None
    proof: ProofWish | None = None
    unproved: bool = False
    """Write a deployment's file although nothing was proved."""


def optimize_file(
    path: Path,
    strategy: Strategy | None,
    history_path: Path | None = None,
    *,
    unsafe: bool = False,
    write: bool = False,
) -> JSONDict:
    """Plan a better version of a flow file and return the plan; ``write`` also replaces it, with a backup.

    Raises UsageError, InvalidFlowError or ConflictError; then the file is as it was.
    """
    return optimize_with(path, Wish(strategy=strategy, unsafe=unsafe, write=write), history_path)[0]


def optimize_with(
    path: Path, wish: Wish, history_path: Path | None = None
) -> tuple[JSONDict, FlowHistory | None]:
    """Plan, and write where it is asked for; return the plan and the history it was made with."""
    history = improve.read_history(history_path) if history_path else None
    original = read_source(path)
    plan = _planned(path, wish, history)
    if wish.proof is not None and plan.changed:
        plan = asyncio.run(_proved(plan, path, original, wish.proof))
    if wish.branch is not None and plan.changed:
        improve.commit(plan, path, original, wish.branch)
    if wish.write:
        improve.apply(plan, path, original)
    return plan.model_dump(mode="json") | {"file": str(path)}, history


def optimize_deployment(
    name: str, path: Path | None, wish: Wish
) -> tuple[Path, str, JSONDict, FlowHistory | None]:
    """Plan for a deployment of the Prefect server, with its runs as the history.

    Returns file, its text before, the plan and the history. With ``write`` the next runs are watched: a
    watcher puts the file back where they got worse. Raises as ``optimize_file``, and UnknownNameError.
    """
    return asyncio.run(_for_deployment(name, path, wish))


async def _for_deployment(
    name: str, path: Path | None, wish: Wish
) -> tuple[Path, str, JSONDict, FlowHistory | None]:
    from prefect_autopilot.journeys.aftermath import apply_and_watch
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.journeys.flow_source import FlowSource, deployment_named, flow_source
    from prefect_autopilot.journeys.proving import proved_or_told
    from prefect_autopilot.settings import load_settings

    async with open_desk(load_settings()) as desk:
        deployment = await deployment_named(desk.api, name)
        if path is None:
            found = await flow_source(desk.api, deployment)
        else:
            found = FlowSource(deployment, name.partition("/")[0], path, read_source(path))
        try:
            history = await improve.history_of(desk.api, found.flow_name)
        except UnknownNameError:
            history = None  # it never completed: there is nothing to measure by
        plan = _planned(found.path, wish, history)
        if wish.proof is not None and plan.changed:
            plan = await _proved(plan, found.path, found.source, wish.proof)
        elif wish.write and plan.changed and not wish.unproved:
            otherwise = "Help with --prove and --stubs, or write it with --unproved."
            plan = await proved_or_told(desk, plan, found.path, found.source, deployment, otherwise=otherwise)
        if wish.branch is not None and plan.changed:
            improve.commit(plan, found.path, found.source, wish.branch)
        if wish.write:
            await apply_and_watch(
                desk,
                plan,
                found.path,
                found.source,
                by="command line",
                flow_name=found.flow_name,
                deployment=deployment,
            )
    return found.path, found.source, plan.model_dump(mode="json") | {"file": str(found.path)}, history


def _planned(path: Path, wish: Wish, history: FlowHistory | None) -> OptimizationPlan:
    prices = read_prices(wish.prices_path) if wish.prices_path else None
    return improve.plan(path, wish.strategy, history, unsafe=wish.unsafe, prices=prices)


async def _proved(plan: OptimizationPlan, path: Path, original: str, wish: ProofWish) -> OptimizationPlan:
    """Return the plan with its proof; raises ConflictError where the two versions differ."""
    proof = await improve.prove_plan(
        plan,
        original,
        function=wish.function,
        parameters=wish.parameters,
        setup=read_source(wish.stubs) if wish.stubs else "",
        recorded=wish.stubs is None,
        path=path,
    )
    if not proof.equal:
        raise ConflictError(f"The rewriting does not do the same, so nothing was written: {proof.reason}.")
    return plan.model_copy(update={"proof": proof})


def draw(plan: JSONDict, original: str, history: FlowHistory | None, target: Path) -> None:
    """Write a plan's timeline before and after as a new SVG file; raises UsageError or ConflictError."""
    text = improve.drawn(OptimizationPlan.model_validate(plan), original, history)
    if text is None:
        raise UsageError("No task of a flow in this file can be drawn; leave out --picture.")
    write_new(target.parent, target.name, text)
