"""Flow file → better flow file: plan from source and history, proof by running both, replacement."""

from __future__ import annotations

import html
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_autopilot.adapters.files import digest, read_source, replace
from prefect_autopilot.adapters.project_files import read_project
from prefect_autopilot.adapters.proof import prove
from prefect_autopilot.effects import OperationEffects
from prefect_autopilot.errors import ProofError, UnknownNameError, UsageError
from prefect_autopilot.models import (
    FlowHistory,
    JSONDict,
    OptimizationPlan,
    Proof,
    Strategy,
    TaskTiming,
    Timing,
)
from prefect_autopilot.optimization import optimize, picture, timelines

if TYPE_CHECKING:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI

_PAGE = 200
_RUNS = 50


def operation_effects() -> OperationEffects:
    """Return the effects of all catalogue operations, by service and operation."""
    from prefect_autopilot.adapters.catalogue import user_catalogue

    services = user_catalogue().services
    return {
        (service.id, operation.id): operation.effect
        for service in services
        for operation in service.operations
    }


def plan(
    path: Path, strategy: Strategy, history: FlowHistory | None = None, *, unsafe: bool = False
) -> OptimizationPlan:
    """Return what can be made better in a flow file; the file is not touched and nothing of it is run.

    What it imports from its own project is read as well. Raises UsageError for a file that cannot be read,
    InvalidFlowError for one that is no flow.
    """
    source, effects = read_source(path), operation_effects()
    project, place = read_project(path, effects)
    return optimize(
        source,
        file=path.name,
        strategy=strategy,
        history=history,
        unsafe=unsafe,
        operations=effects,
        project=project,
        place=place,
    )


def plan_source(
    source: str, name: str, strategy: Strategy, history: FlowHistory | None = None, *, unsafe: bool = False
) -> OptimizationPlan:
    """Return what can be made better in a source text; raises InvalidFlowError for one that is no flow."""
    return optimize(
        source, file=name, strategy=strategy, history=history, unsafe=unsafe, operations=operation_effects()
    )


def report(plan: OptimizationPlan) -> str:
    """Return a plan as markdown: edits with reasons, the diff, what was left alone and why."""
    lines = [f"# {_cell(plan.file)}: {plan.strategy}", ""]
    if plan.edits:
        lines += ["| line | rule | saves | why | undo |", "|---|---|---|---|---|"]
        for edit in plan.edits:
            saving = edit.expected_saving_s
            saves = "unknown" if saving is None else f"{saving:.2f} s"
            cells = (str(edit.line), edit.rule, saves, edit.reason, edit.undo)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", plan.diff)), 3)
        lines += ["", f"{fence}diff", plan.diff.rstrip("\n"), fence]
    else:
        lines.append("Nothing to change with what is known.")
    if plan.prediction is not None:
        told = plan.prediction
        bounds = f"{told.critical_path_s:.2f} s (the longest chain of values)"
        shared = f"{told.work_bound_s:.2f} s (all work, shared evenly)"
        lines += ["", f"Predicted: {told.before_s:.2f} s before, {told.after_s:.2f} s after."]
        lines += [f"No rewrite goes below {bounds} or {shared}."]
    if plan.rejected:
        lines += ["", "## Left alone", "", "| line | rule | why |", "|---|---|---|"]
        lines += [f"| {one.line} | {_cell(one.rule)} | {_cell(one.reason)} |" for one in plan.rejected]
    return "\n".join(lines) + "\n"


def drawn(plan: OptimizationPlan, source: str, history: FlowHistory | None = None) -> str | None:
    """Return the timeline before and after a plan as SVG; None where no task of a flow can be replayed."""
    pair = timelines(source.removeprefix("\ufeff"), plan.source.removeprefix("\ufeff"), history)
    return picture(plan.file, *pair) if pair else None


def _cell(text: str) -> str:
    """Return a text that cannot break out of a table cell."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


async def prove_plan(
    plan: OptimizationPlan,
    original: str,
    *,
    function: str,
    parameters: JSONDict | None = None,
    setup: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 180,
) -> Proof:
    """Run the original and the plan's source and compare; raises ProofError where that cannot be done.

    What the flow calls is really called: give a stub (``setup``) or a simulator's address as a parameter.
    """
    if not plan.changed:
        raise ProofError("The plan changes nothing; there is nothing to prove.")
    return await prove(
        original,
        plan.source,
        function=function,
        parameters=parameters,
        setup=setup,
        environment=environment,
        timeout_s=timeout_s,
    )


def apply(plan: OptimizationPlan, path: Path, original: str) -> Path | None:
    """Replace the file by the plan's source and return the backup, None where the plan changes nothing.

    Raises ConflictError when the file is no longer ``original``, AutopilotError when the disk refuses.
    """
    return replace(path, plan.source, digest(original)) if plan.changed else None


async def history_of(api: PrefectAPI, flow_name: str, *, runs: int = _RUNS) -> FlowHistory:
    """Return durations of a flow and its tasks from its last completed runs; raises UnknownNameError.

    Quantiles are over single runs and task runs, in seconds, retries of a task run included.
    """
    found = await api.request(
        "POST",
        "/flow_runs/filter",
        {
            "flows": {"name": {"any_": [flow_name]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
            "sort": "END_TIME_DESC",
            "limit": min(runs, _PAGE),
        },
    )
    if not found:
        raise UnknownNameError("completed run of a flow", flow_name)
    tasks: list[JSONDict] = []
    ids = [run["id"] for run in found]
    while True:
        page = await api.request(
            "POST",
            "/task_runs/filter",
            {
                "flow_runs": {"id": {"any_": ids}},
                "sort": "EXPECTED_START_TIME_ASC",
                "limit": _PAGE,
                "offset": len(tasks),
            },
        )
        tasks += page
        if len(page) < _PAGE:
            break
    return summarise([run["total_run_time"] for run in found], tasks)


def summarise(durations: list[float], tasks: list[JSONDict]) -> FlowHistory:
    """Return flow and task timings from flow durations (s) and task runs as the API tells them."""
    by_name: dict[str, list[JSONDict]] = {}
    for task in tasks:
        by_name.setdefault(task_name(task), []).append(task)
    return FlowHistory(
        flow=Timing(n=len(durations), p50_s=_quantile(durations, 50), p95_s=_quantile(durations, 95)),
        tasks={
            name: TaskTiming(
                n=len({one.get("flow_run_id") for one in runs}),
                calls_per_run=len(runs) / max(len(durations), 1),
                p50_s=_quantile([one["total_run_time"] for one in runs], 50),
                p95_s=_quantile([one["total_run_time"] for one in runs], 95),
                failures=sum(one.get("state_type") in {"FAILED", "CRASHED"} for one in runs),
                retries=sum(max(one.get("run_count", 1) - 1, 0) for one in runs),
            )
            for name, runs in sorted(by_name.items())
        },
    )


def task_name(task: JSONDict) -> str:
    """Return the name of a task run's task: the function in its key, else its own without the last part."""
    key = str(task.get("task_key") or "")
    if "-" in key:
        return key.rsplit("-", 1)[0].rsplit(".", 1)[-1]
    return str(task.get("name") or "").rsplit("-", 1)[0]


def _quantile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return round(values[0], 4)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 4)


def read_history(path: Path) -> FlowHistory:
    """Return the history in a JSON file; raises UsageError where it is none."""
    from pydantic import ValidationError

    try:
        return FlowHistory.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UsageError(f"{path} is no history: {place}: {first['msg']}.") from error
