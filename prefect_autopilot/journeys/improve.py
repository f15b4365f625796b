"""Flow file → better flow file: plan from source and history, proof by running both, replacement."""

from __future__ import annotations

import asyncio
import html
import re
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prefect_autopilot.adapters.files import digest, read_source, replace
from prefect_autopilot.adapters.git_branch import commit_on_branch
from prefect_autopilot.adapters.measures import MeasuredCall, measured_calls
from prefect_autopilot.adapters.project_files import import_path, read_project
from prefect_autopilot.adapters.project_settings import is_excluded, read_prices, read_settings
from prefect_autopilot.adapters.proof import prove, recorder, simulated
from prefect_autopilot.effects import OperationEffects, besides_services, may_rerun
from prefect_autopilot.errors import ProofError, UnknownNameError, UsageError
from prefect_autopilot.models import (
    Advice,
    FlowHistory,
    JSONDict,
    OptimizationPlan,
    OptimizerSettings,
    PriceTable,
    Proof,
    Rejection,
    Rewrite,
    Strategy,
    TaskTiming,
    Timing,
)
from prefect_autopilot.optimization import RateLimits, optimize, picture, timelines

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


def rate_limits() -> RateLimits:
    """Return the rates that services publish, by host name and by service id."""
    from prefect_autopilot.adapters.catalogue import user_catalogue

    found: dict[str, tuple[str, float]] = {}
    for service in user_catalogue().services:
        if service.rate_limit_per_s is not None:
            host = urlsplit(service.base_url or "").hostname
            names = [service.id] if host is None or "{" in host else [service.id, host]
            found |= dict.fromkeys(names, (service.id, service.rate_limit_per_s))
    return found


def plan(
    path: Path,
    strategy: Strategy | None = None,
    history: FlowHistory | None = None,
    *,
    unsafe: bool = False,
    prices: PriceTable | None = None,
) -> OptimizationPlan:
    """Return what can be made better in a flow file; the file is not touched and nothing of it is run.

    What it imports from its own project is read as well, and the settings of its pyproject.toml. Raises
    UsageError for a file that cannot be read, InvalidFlowError for one that is no flow, ConfigurationError.
    """
    source = read_source(path)
    return plan_source(source, path.name, strategy, history, unsafe=unsafe, prices=prices, path=path)


def plan_source(
    source: str,
    name: str,
    strategy: Strategy | None = None,
    history: FlowHistory | None = None,
    *,
    unsafe: bool = False,
    prices: PriceTable | None = None,
    path: Path | None = None,
) -> OptimizationPlan:
    """Return what can be made better in a source text; ``path`` is where it stands, if anywhere.

    Without ``strategy`` the settings decide, else it is performance. Raises InvalidFlowError for a text that
    is no flow, ConfigurationError for settings or a price table that are wrong.
    """
    settings, folder = read_settings(path.parent) if path else (OptimizerSettings(), None)
    chosen = strategy or settings.strategy or Strategy.PERFORMANCE
    if path is not None and is_excluded(path, settings, folder):
        reason = "the project's settings leave this file alone ([tool.prefect-autopilot] exclude)"
        left = Rejection(rule="exclude", line=1, reason=reason)
        return OptimizationPlan(file=name, strategy=chosen, changed=False, rejected=(left,), source=source)
    if prices is None and settings.prices and folder is not None:
        prices = read_prices(folder / settings.prices)
    effects = operation_effects()
    project, place = read_project(path, effects) if path else (None, "")
    return optimize(
        source,
        file=name,
        strategy=chosen,
        history=history,
        unsafe=unsafe,
        operations=effects,
        project=project,
        place=place,
        settings=settings,
        prices=prices,
        rates=rate_limits(),
    )


def report(plan: OptimizationPlan) -> str:
    """Return a plan as markdown: edits with reasons, the diff, what was left alone and why."""
    lines = [f"# {_cell(plan.file)}: {plan.strategy}", ""]
    if plan.edits:
        lines += ["| line | rule | saves | why | undo |", "|---|---|---|---|---|"]
        for edit in plan.edits:
            reason = ". Holds if ".join(
                (edit.reason, "; ".join(edit.preconditions)) if edit.preconditions else (edit.reason,)
            )
            cells = (str(edit.line), edit.rule, saves(edit), reason, edit.undo)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        lines += ["", *_fenced(plan.diff.rstrip("\n"), "diff")]
    else:
        lines.append("Nothing to change with what is known.")
    if plan.prediction is not None:
        told = plan.prediction
        bounds = f"{told.critical_path_s:.2f} s (the longest chain of values)"
        shared = f"{told.work_bound_s:.2f} s (all work, shared evenly)"
        lines += ["", f"Predicted: {told.before_s:.2f} s before, {told.after_s:.2f} s after."]
        lines += [f"No rewrite goes below {bounds} or {shared}."]
    for one in plan.advice:
        lines += ["", f"## Worth doing by hand: {one.rule}, line {one.line}", "", f"{_cell(one.reason)}."]
        lines += [
            f"Saves: {saves(one)}. Holds if {_cell('; '.join(one.preconditions))}.",
            "",
            *_fenced(one.how),
        ]
    if plan.rejected:
        lines += ["", "## Left alone", "", "| line | rule | why |", "|---|---|---|"]
        lines += [f"| {one.line} | {_cell(one.rule)} | {_cell(one.reason)} |" for one in plan.rejected]
    return "\n".join(lines) + "\n"


def saves(found: Rewrite | Advice) -> str:
    """Return an expected saving with its interval and n, "unknown" where no run tells."""
    money = getattr(found, "saving_per_month", None)
    told = [f"{money:.2f} {getattr(found, 'currency', '')} a month"] if money is not None else []
    if found.expected_saving_s is not None:
        text = f"{found.expected_saving_s:.2f} s"
        if found.saving_range_s is not None:
            text += f" ({found.saving_range_s[0]:.2f} to {found.saving_range_s[1]:.2f}, n = {found.saving_n})"
        told.append(text)
    return ", ".join(told) or "unknown"


def _fenced(text: str, language: str = "") -> list[str]:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return [f"{fence}{language}", text, fence]


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
    recorded: bool = False,
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 180,
) -> Proof:
    """Run the original and the plan's source and compare; raises ProofError where that cannot be done.

    What the flow calls is really called: give a stub (``setup``) or a simulator's address as a parameter.
    With ``recorded`` a flow that reaches nothing but ``call_service`` meets the simulator; of any other each
    read over HTTP is made once and answered from memory then, and nothing else may be sent. ``path`` is where
    the source stands: beside it the modules of its project are found. Raises UsageError for a recorded flow
    that writes anything, or whose code cannot be judged.
    """
    if not plan.changed:
        raise ProofError("The plan changes nothing; there is nothing to prove.")
    network = False
    if recorded:
        setup, network = await asyncio.to_thread(_stand_in, original, function, path)
    found = {"PYTHONPATH": import_path(path)} if path else {}
    return await prove(
        original,
        plan.source,
        function=function,
        parameters=parameters,
        setup=setup,
        environment={**found, **(environment or {})},
        timeout_s=timeout_s,
        network=network,
        must_succeed=recorded,
    )


def _stand_in(original: str, function: str, path: Path | None) -> tuple[str, bool]:
    """Return what stands in for all that a flow reaches, and whether it needs the network to record it."""
    effects = operation_effects()
    project, place = read_project(path, effects) if path else (None, "")
    if not besides_services(original, function, effects, project, place):
        return simulated(), False
    verdict = may_rerun(original, function, effects, project, place)
    if verdict.level != "safe":
        told = f" ({verdict.evidence[0]})" if verdict.evidence else ""
        does = "would really write" if verdict.level == "idempotent" else "may do harm"
        raise UsageError(
            f"A proof runs {function} several times, and that {does}{told}; it needs stand-ins (--stubs)."
        )
    return recorder(), True


def apply(plan: OptimizationPlan, path: Path, original: str) -> Path | None:
    """Replace the file by the plan's source and return the backup, None where the plan changes nothing.

    Raises ConflictError when the file is no longer ``original``, AutopilotError when the disk refuses.
    """
    return replace(path, plan.source, digest(original)) if plan.changed else None


def commit(plan: OptimizationPlan, path: Path, original: str, branch: str, proof: str = "") -> str:
    """Commit the plan's source on a new branch of the file's repository; the message tells rules and proof.

    Returns the commit's id; work tree, index and HEAD stay. Raises UsageError or ConflictError.
    """
    rules = ", ".join(dict.fromkeys(edit.rule for edit in plan.edits))
    message = f"Optimise {path.name} for {plan.strategy}: {rules}"
    if proof or plan.proof:
        message += f"\n\nProof: {proof or (plan.proof and plan.proof.reason)}"
    return commit_on_branch(path, plan.source, original, branch=branch, message=message)


async def history_of(api: PrefectAPI, flow_name: str, *, runs: int = _RUNS) -> FlowHistory:
    """Return durations of a flow and its tasks from its last completed runs; raises UnknownNameError.

    Quantiles are over single runs and task runs, in seconds, retries of a task run included. Failures are
    those among the last ended runs.
    """
    found = await api.request(
        "POST",
        "/flow_runs/filter",
        {
            "flows": {"name": {"any_": [flow_name]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
            "sort": "END_TIME_DESC",
            "limit": min(runs, _PAGE),
        },
    )
    done = [run for run in found if run.get("state_type", "COMPLETED") == "COMPLETED"]
    if not done:
        raise UnknownNameError("completed run of a flow", flow_name)
    tasks: list[JSONDict] = []
    ids = [run["id"] for run in done]
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
    calls = await measured_calls(api, ids)
    summary = summarise([run["total_run_time"] for run in done], tasks, calls)
    return summary.model_copy(
        update={"failures": len(found) - len(done), "runs_per_day": runs_per_day(found)}
    )


def runs_per_day(runs: list[JSONDict]) -> float | None:
    """Return how often runs began a day, from the first to the last; None for fewer than two."""
    began = sorted(datetime.fromisoformat(run["start_time"]) for run in runs if run.get("start_time"))
    span = (began[-1] - began[0]).total_seconds() if began else 0.0
    return (len(began) - 1) * 86400 / span if span > 0 else None


def summarise(
    durations: list[float], tasks: list[JSONDict], calls: Sequence[MeasuredCall] = ()
) -> FlowHistory:
    """Return flow and task timings from flow durations (s) and task runs as the API tells them.

    What a task computes and how often it repeats itself is known of those that tell it (``calls``).
    """
    by_name: dict[str, list[JSONDict]] = {}
    for task in tasks:
        by_name.setdefault(task_name(task), []).append(task)
    return FlowHistory(
        flow=Timing(n=len(durations), p50_s=_quantile(durations, 50), p95_s=_quantile(durations, 95)),
        tasks={
            name: TaskTiming(
                n=len({one.get("flow_run_id") for one in runs}),
                calls_per_run=len(runs) / max(len(durations), 1),
                p5_s=_quantile([one["total_run_time"] for one in runs], 5),
                p50_s=_quantile([one["total_run_time"] for one in runs], 50),
                p95_s=_quantile([one["total_run_time"] for one in runs], 95),
                failures=sum(one.get("state_type") in {"FAILED", "CRASHED"} for one in runs),
                retries=sum(max(one.get("run_count", 1) - 1, 0) for one in runs),
                **_told([one for one in calls if one.task == name]),
            )
            for name, runs in sorted(by_name.items())
        },
    )


def _told(calls: Sequence[MeasuredCall]) -> dict[str, float]:
    """Return the shares of one task's calls: computing, and given what an earlier one was given."""
    shares = [one.cpu_share for one in calls if one.cpu_share is not None]
    found = {"cpu_share": round(statistics.median(shares), 3)} if shares else {}
    inputs = [one.inputs for one in calls if one.inputs is not None]
    if inputs and len(inputs) == len(calls):
        found["repeat_share"] = round(1 - len(set(inputs)) / len(inputs), 3)
    return found


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
