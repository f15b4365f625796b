"""The answer of ``optimize FILE --json``: a plan as one JSON object, the file replaced on request."""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.adapters.files import read_source, write_new
from prefect_autopilot.adapters.project_settings import read_prices
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import JSONDict, OptimizationPlan, Strategy


def optimize_file(
    path: Path,
    strategy: Strategy | None,
    history_path: Path | None = None,
    *,
    unsafe: bool = False,
    write: bool = False,
    prices_path: Path | None = None,
) -> JSONDict:
    """Plan a better version of a flow file and return the plan; ``write`` also replaces it, with a backup.

    Raises UsageError, InvalidFlowError or ConflictError; then the file is as it was.
    """
    history = improve.read_history(history_path) if history_path else None
    original = read_source(path)
    prices = read_prices(prices_path) if prices_path else None
    plan = improve.plan(path, strategy, history, unsafe=unsafe, prices=prices)
    if write:
        improve.apply(plan, path, original)
    return plan.model_dump(mode="json") | {"file": str(path)}


def draw(plan: JSONDict, original: str, history_path: Path | None, target: Path) -> None:
    """Write a plan's timeline before and after as a new SVG file; raises UsageError or ConflictError."""
    history = improve.read_history(history_path) if history_path else None
    text = improve.drawn(OptimizationPlan.model_validate(plan), original, history)
    if text is None:
        raise UsageError("No task of a flow in this file can be drawn; leave out --picture.")
    write_new(target.parent, target.name, text)
