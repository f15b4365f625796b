"""The answer of ``optimize FILE --json``: a plan as one JSON object, the file replaced on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from prefect_autopilot.adapters.files import read_source, write_new
from prefect_autopilot.adapters.git_branch import commit_on_branch
from prefect_autopilot.adapters.project_settings import read_prices
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import FlowHistory, JSONDict, OptimizationPlan, Strategy


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the file; without a strategy the project's settings decide."""

    strategy: Strategy | None = None
    unsafe: bool = False
    write: bool = False
    branch: str | None = None
    prices_path: Path | None = None


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
    if wish.branch is not None and plan.changed:
        _commit(plan, path, original, wish.branch)
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
        if wish.branch is not None and plan.changed:
            _commit(plan, found.path, found.source, wish.branch)
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


def _commit(plan: OptimizationPlan, path: Path, original: str, branch: str) -> None:
    rules = ", ".join(dict.fromkeys(edit.rule for edit in plan.edits))
    message = f"Optimise {path.name} for {plan.strategy}: {rules}"
    commit_on_branch(path, plan.source, original, branch=branch, message=message)


def draw(plan: JSONDict, original: str, history: FlowHistory | None, target: Path) -> None:
    """Write a plan's timeline before and after as a new SVG file; raises UsageError or ConflictError."""
    text = improve.drawn(OptimizationPlan.model_validate(plan), original, history)
    if text is None:
        raise UsageError("No task of a flow in this file can be drawn; leave out --picture.")
    write_new(target.parent, target.name, text)
