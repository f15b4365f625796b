"""Remedies that change the means of a run, where its owner has named them: memory, time, place, input, space.

Each is proved on what is there now: exactly one value or file that it can be, and a bound of the policy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard, get_args

from prefect_autopilot.adapters import inputs, lock_files, run_changes
from prefect_autopilot.adapters.deployed_code import set_code
from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.good_code import prove_roll_back
from prefect_autopilot.journeys.memory_given import FACTOR, MEMORY, size_of
from prefect_autopilot.journeys.rewriting import find_rewrite, write_rewrite
from prefect_autopilot.models import (
    ApplyRewrite,
    Attempt,
    ChangeRun,
    Diagnosis,
    Evidence,
    FreeScratch,
    IssueCategory,
    JSONDict,
    LongerTimeout,
    LowerConcurrency,
    MoreMemory,
    QuarantineInput,
    Remedy,
    Repair,
    RerunElsewhere,
    RollBack,
    RunRecord,
)
from prefect_autopilot.models.means import MeansKind
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.troubleshooting.consent import names_of
from prefect_autopilot.troubleshooting.execution import said_at_end
from prefect_autopilot.troubleshooting.remedies import SETTLE_S, killed
from prefect_autopilot.troubleshooting.source_facts import limits_used, tags_of_tasks

LATE_S = 25.0
"""A worker of Prefect 3.8 takes a run ten seconds before it is due; its job variables are set until then."""
_TIMEOUT = re.compile(r"(?:^|_)time_?out(?:_s|_sec|_secs|_seconds)?$")
_MIB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0}
_PATH = re.compile(r"/[^\s'\",:;()\[\]<>]+")
_READY = "READY"
_RETRIED_IN_VAIN = 2
"""Failed retries of a passing cause after which its source is looked at."""


async def find_means(
    desk: Desk, diagnosis: Diagnosis, evidence: Evidence, attempts: tuple[Attempt, ...]
) -> Repair | None:
    """Return the remedy of this kind that fits and that the policy names; None where nothing is proved."""
    names, policy = names_of(evidence.run), desk.policy
    tried = {attempt.remedy.kind for attempt in attempts}
    named = {
        kind
        for kind in get_args(MeansKind)
        if kind not in tried and (kind in policy.remedies or policy.mode_for(kind, names) != "propose")
    }
    if not named or evidence.run.deployment_id is None:
        return None
    try:
        for kind in _fitting(diagnosis, evidence, attempts):
            if kind in named and (found := await _prove(kind, desk, diagnosis, evidence)):
                return found
    except (PrefectError, UnknownNameError) as error:
        if isinstance(error, PrefectError) and not error.permanent:
            raise
    return None


def _fitting(diagnosis: Diagnosis, evidence: Evidence, attempts: tuple[Attempt, ...]) -> Iterator[str]:
    again = bool(attempts)
    match diagnosis.remedy:
        case "increase_memory" if again or not killed(diagnosis, evidence):
            yield "more_memory"
        case "raise_timeout":
            yield "longer_timeout"
        case "reduce_concurrency":
            yield "lower_concurrency"
        case "wait_rate_limit" if again:
            yield "lower_concurrency"
        case "free_disk":
            yield "free_scratch"
        case "rerun_on_other_infrastructure" | "restart_worker":
            yield "rerun_elsewhere"
        case "fix_code" | "fix_configuration" | "install_dependency":
            yield "roll_back"
    if diagnosis.category is IssueCategory.DATA:
        yield "quarantine_input"
    if not diagnosis.transient or len(attempts) >= _RETRIED_IN_VAIN:
        yield "apply_rewrite"  # a person is asked, so what needs nobody comes first


async def _job_variables(desk: Desk, evidence: Evidence) -> JSONDict:
    """Return what holds for the run: the pool's defaults, the deployment's, its own."""
    run = evidence.run
    defaults = await run_changes.pool_defaults(desk.api, run.work_pool) if run.work_pool else {}
    raw = await desk.api.deployment(run.deployment_id or "")
    return {**defaults, **(raw.get("job_variables") or {}), **run.job_variables}


async def _memory(desk: Desk, evidence: Evidence) -> MoreMemory | None:
    most_mb, run = desk.policy.max_memory_mb, evidence.run
    if most_mb is None:
        return None
    told = await _job_variables(desk, evidence)
    sizes = [(name, size) for name in sorted(MEMORY & told.keys()) if (size := size_of(told[name]))]
    if len(sizes) != 1:
        return None
    name, (amount, unit) = sizes[0]
    most = most_mb / _mib(unit)
    if amount >= most:
        return None
    return MoreMemory(
        flow_run_id=run.id,
        place="job_variables",
        name=name,
        amount=math.floor(min(amount * FACTOR, most)) or most,
        unit=unit,
        most=most,
        before=run.job_variables.get(name),
        proof=f"memory ran out with {name} {told[name]}, and the policy allows {most_mb:.0f} MiB",
        delay_s=LATE_S,
    )


def _mib(unit: str) -> float:
    return _MIB[unit[0].lower()] if unit else 1.0


async def _timeout(desk: Desk, evidence: Evidence) -> LongerTimeout | None:
    most, run = desk.policy.max_timeout_s, evidence.run
    if most is None:
        return None
    place: run_changes.Place = "parameters"
    found = _timeouts(run.parameters)
    told: JSONDict = run.parameters
    if not found:
        place, told = "job_variables", await _job_variables(desk, evidence)
        found = _timeouts(told)
    if len(found) != 1 or told[found[0]] >= most:
        return None
    name = found[0]
    before = run.parameters.get(name) if place == "parameters" else run.job_variables.get(name)
    return LongerTimeout(
        flow_run_id=run.id,
        place=place,
        name=name,
        amount=min(told[name] * FACTOR, most),
        most=most,
        before=before,
        proof=f"a limit of time was met with {name} {told[name]:g} s, and the policy allows {most:g} s",
        delay_s=LATE_S if place == "job_variables" else SETTLE_S,
    )


def _timeouts(told: JSONDict) -> list[str]:
    return [
        name
        for name, value in told.items()
        if _TIMEOUT.search(name)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and value > 0
    ]


async def _concurrency(desk: Desk, evidence: Evidence) -> LowerConcurrency | None:
    """Return the lowering of the nearest limit that the run is under: who else it slows down is fewest."""
    for found in _limits(evidence):
        told = {path: (what, limit) for path, what in found if (limit := await _above_one(desk, path))}
        if len(told) != 1:
            continue
        path, (what, limit) = told.popitem()
        return LowerConcurrency(
            flow_run_id=evidence.run.id,
            limited=what,
            path=path,
            limit=limit // 2,
            before=limit,
            proof=f"{limit} at once of {what} were allowed, which was too many",
            delay_s=SETTLE_S,
        )
    return None


def _limits(evidence: Evidence) -> Iterator[list[tuple[str, str]]]:
    """Yield where limits may be kept that the run is under, and what each is of, the nearest first."""
    run, text = evidence.run, evidence.source.text if evidence.source else ""
    yield [(run_changes.deployment_limit(run.deployment_id or ""), "the deployment")]
    names = [f"tag:{tag}" for tag in sorted(tags_of_tasks(text))], sorted(limits_used(text) or ())
    for several in names:
        yield [(run_changes.global_limit(name), f"limit {name}") for name in several]
    if run.work_pool and run.work_queue:
        yield [(run_changes.queue_limit(run.work_pool, run.work_queue), f"work queue {run.work_queue}")]


async def _above_one(desk: Desk, path: str) -> int | None:
    limit = await run_changes.read_limit(desk.api, path)
    return limit if limit is not None and limit > 1 else None


async def _elsewhere(desk: Desk, evidence: Evidence) -> RerunElsewhere | None:
    """Return the run by the one other deployment of the same flow and code in a pool that is ready."""
    run = evidence.run
    if any(state.type == "RUNNING" for state in evidence.states) or run.flow_name.startswith(OWN_PREFIX):
        return None  # its work has begun, and another run begins it anew
    raws = await desk.api.deployments()
    own = next((raw for raw in raws if raw["id"] == run.deployment_id), None)
    if own is None or not own.get("entrypoint"):
        return None
    others = [raw for raw in raws if _is_twin(raw, own)]
    if len(others) != 1:
        return None
    twin = others[0]
    pool = str(twin["work_pool_name"])
    if (await desk.api.request("GET", f"/work_pools/{pool}")).get("status") != _READY:
        return None
    return RerunElsewhere(
        flow_run_id=run.id,
        deployment_id=str(twin["id"]),
        deployment_name=str(twin["name"]),
        work_pool=pool,
        parameters=run.parameters,
        proof=f"the run never began, and {twin['name']} is the same code in pool {pool}, which is ready",
    )


def _is_twin(raw: JSONDict, own: JSONDict) -> bool:
    """Tell whether a deployment runs the same code, in the same image and environment, in another pool."""
    mine, theirs = own.get("job_variables") or {}, raw.get("job_variables") or {}
    same = all(raw.get(key) == own.get(key) for key in ("flow_id", "entrypoint", "path", "pull_steps"))
    same = same and all(mine.get(key) == theirs.get(key) for key in ("image", "env"))
    pool = raw.get("work_pool_name")
    return bool(
        same
        and raw["id"] != own["id"]
        and pool
        and pool != own.get("work_pool_name")
        and not raw.get("paused")
    )


async def _quarantine(desk: Desk, evidence: Evidence) -> QuarantineInput | None:
    """Return the move of the one input file that the failure names."""
    run, quarantine = evidence.run, desk.policy.quarantine
    if not quarantine or not lock_files.worker_is_here(run.work_pool):
        return None
    found = _inputs_named(said_at_end(evidence), quarantine)
    if len(found) != 1 or _names_in(run.parameters.values(), [one[0] for one in found]):
        return None
    path, folder, target = found.pop()
    aside = str(Path(target, f"{run.id[:8]}-{Path(path).name}"))
    proof = f"the failure names {path}, a plain file below {folder}, which its owner lets be set aside"
    return QuarantineInput(flow_run_id=run.id, path=path, target=aside, proof=proof, delay_s=SETTLE_S)


def _inputs_named(said: str, quarantine: Mapping[str, str]) -> set[tuple[str, str, str]]:
    """Return the input files that a text names, each with its folder and where it may be moved to."""
    paths = {match.rstrip(".") for match in _PATH.findall(said)}
    return {
        (path, folder, target)
        for path in paths
        for folder, target in quarantine.items()
        if inputs.is_input(path, folder) and Path(target).is_dir() and inputs.same_disk(path, target)
    }


def _names_in(values: Iterable[Any], paths: list[str]) -> bool:
    """Tell whether the run was started for just this file: without it there is nothing to do."""
    return any(isinstance(value, str) and value in paths for value in values)


async def _scratch(desk: Desk, evidence: Evidence) -> FreeScratch | None:
    folders, run = desk.policy.scratch_folders, evidence.run
    if not folders or not lock_files.worker_is_here(run.work_pool):
        return None
    old = inputs.old_scratch(folders, desk.clock().timestamp())
    freed = inputs.megabytes(old)
    if freed < 1:
        return None
    return FreeScratch(
        flow_run_id=run.id,
        folders=folders,
        megabytes=freed,
        proof=f"the disk is full, and {len(old)} files of the scratch folders are older than a day",
        delay_s=SETTLE_S,
    )


_PROVE: Mapping[str, Callable[[Desk, Evidence], Awaitable[Repair | None]]] = {
    "more_memory": _memory,
    "longer_timeout": _timeout,
    "lower_concurrency": _concurrency,
    "rerun_elsewhere": _elsewhere,
    "quarantine_input": _quarantine,
    "free_scratch": _scratch,
    "roll_back": prove_roll_back,
}


async def _prove(kind: str, desk: Desk, diagnosis: Diagnosis, evidence: Evidence) -> Repair | None:
    if kind == "apply_rewrite":
        return await find_rewrite(desk, diagnosis, evidence)
    return await _PROVE[kind](desk, evidence)


async def make_way(
    desk: Desk,
    remedy: MoreMemory
    | LongerTimeout
    | LowerConcurrency
    | QuarantineInput
    | FreeScratch
    | RollBack
    | ApplyRewrite,
) -> str:
    """Change what the remedy changes, and return what the retry's message says of it; twice is as once."""
    match remedy:
        case MoreMemory() | LongerTimeout():
            if not is_late(remedy):
                await change_run(desk, remedy)
            return f"{remedy.name} is {remedy.value()}"
        case LowerConcurrency():
            limit = int(remedy.limit)
            await run_changes.set_limit(desk.api, remedy.path, limit=limit, before=remedy.before)
            return f"{limit} at once of {remedy.limited}"
        case QuarantineInput():
            inputs.move_file(remedy.path, remedy.target)
            return f"{Path(remedy.path).name} was set aside"
        case RollBack():
            await set_code(desk.api, remedy.deployment_id, before=remedy.before, after=remedy.after)
            return f"deployment {remedy.deployment_name} is back at version {remedy.good_version}"
        case ApplyRewrite():
            return await write_rewrite(desk, remedy)
        case FreeScratch():
            freed = inputs.remove_scratch(remedy.folders, desk.clock().timestamp())
            return f"{freed:.0f} MB of scratch were removed"


def is_late(remedy: Remedy) -> TypeGuard[ChangeRun]:
    """Tell whether a remedy changes what Prefect lets be changed only while the run waits for its retry."""
    return isinstance(remedy, ChangeRun) and remedy.place == "job_variables"


async def change_run(desk: Desk, remedy: ChangeRun) -> None:
    """Set the value of the run that the remedy is about; ``ConflictError`` where somebody has set another."""
    told = remedy.flow_run_id, remedy.place, remedy.name
    await run_changes.move_value(desk.api, *told, before=remedy.before, after=remedy.value())


async def finish_change(desk: Desk, remedy: Remedy, run: RunRecord) -> None:
    """Make the change that a crash left out behind the retry, where the run still waits for that."""
    if is_late(remedy) and run.state.type == "SCHEDULED":
        await change_run(desk, remedy)
