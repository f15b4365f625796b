"""The answer of ``optimize FILE --json``: a plan as one JSON object, the file replaced on request."""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import JSONDict, Strategy


def optimize_file(
    path: Path,
    strategy: Strategy,
    history_path: Path | None = None,
    *,
    unsafe: bool = False,
    write: bool = False,
) -> JSONDict:
    """Plan a better version of a flow file and return the plan; ``write`` also replaces it, with a backup.

    Raises UsageError, InvalidFlowError or ConflictError; then the file is as it was.
    """
    history = improve.read_history(history_path) if history_path else None
    original = read_source(path)
    plan = improve.plan(path, strategy, history, unsafe=unsafe)
    if write:
        improve.apply(plan, path, original)
    return plan.model_dump(mode="json") | {"file": str(path)}
