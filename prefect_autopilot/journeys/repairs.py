"""What stands in the way of a failed run and can be removed with proof: locks, cached results, old tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from prefect_autopilot.adapters import lock_files, stored_results
from prefect_autopilot.adapters.evidence import read_source
from prefect_autopilot.effects import Level, Touch, flow_effects
from prefect_autopilot.errors import AutopilotError, InvalidFlowError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.reruns import HARMLESS, Repetition, RerunCode, executed_function
from prefect_autopilot.models import (
    Diagnosis,
    Evidence,
    ForgetCachedResult,
    IssueCategory,
    JSONDict,
    RemoveStaleLock,
    Repair,
    RunRefresher,
    TaskRunRecord,
)
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.troubleshooting.execution import own_frames, said_at_end
from prefect_autopilot.troubleshooting.remedies import SETTLE_S
from prefect_autopilot.troubleshooting.source_facts import (
    LockFacts,
    lock_facts,
    names_read,
    names_written,
    uses_result_of,
)

UNDER_WAY = frozenset({"RUNNING", "PENDING", "CANCELLING", "PAUSED"})
_PATH = re.compile(r"/[^\s'\",:;()\[\]<>]+")
_REFRESHES = re.compile(r"refresh|renew|rotat|re-?new|new (?:access )?token|log ?in", re.IGNORECASE)
_TOKEN_PLACE = re.compile(r"token|oauth|auth|login|refresh|session|/sts\b", re.IGNORECASE)
_BAD_CONTENT = frozenset({IssueCategory.DATA, IssueCategory.LOGIC})


async def find_repair(desk: Desk, diagnosis: Diagnosis, evidence: Evidence, code: RerunCode) -> Repair | None:
    """Return what can be removed with proof so that a retry helps; None where nothing is proved."""
    return (
        stale_lock(evidence)
        or poisoned_cache(diagnosis, evidence, code)
        or await refresher(desk, diagnosis, evidence)
    )


# Locks


def at_lock(evidence: Evidence) -> Repetition | None:
    """Return what was done before the run ended at its own lock; None where it did not end there."""
    source = evidence.source
    facts = lock_facts(source.text) if source else None
    frames = own_frames(evidence)
    if source is None or facts is None or not frames:
        return None
    place = frames[-1]
    taken = next(
        (
            one
            for one in facts.taken
            if one.function == place.function and any(a <= place.line <= b for a, b in one.fails_at)
        ),
        None,
    )
    if taken is None:
        return None
    ends = [(frame.function, frame.line) for frame in frames[:-1]] + [(taken.function, taken.line)]
    return RerunCode.worst_before(source.text, ends)


def stale_lock(evidence: Evidence) -> RemoveStaleLock | None:
    """Return the removal of the flow's own lock file whose holder is dead on this very machine."""
    source, run = evidence.source, evidence.run
    facts = lock_facts(source.text) if source else None
    if facts is None or at_lock(evidence) is None or not lock_files.worker_is_here(run.work_pool):
        return None
    if any(other.state.type in UNDER_WAY for other in evidence.recent_runs):
        return None
    said = said_at_end(evidence)
    found = [lock for path in _lock_paths(facts, evidence, said) if (lock := lock_files.read_lock(path))]
    if len(found) != 1:
        return None
    lock = found[0]
    pids = {int(pid) for pid in lock_files.PID.findall(said)}
    dead = lock_files.why_dead(lock)
    if dead is None or (pids and pids != {lock.pid}):
        return None
    proof = f"{lock.path} was left by process {lock.pid}, and {dead}"
    return RemoveStaleLock(
        flow_run_id=run.id, path=lock.path, holder_pid=lock.pid, proof=proof, delay_s=SETTLE_S
    )


def _lock_paths(facts: LockFacts, evidence: Evidence, said: str) -> tuple[str, ...]:
    """Return paths that the failure or the run's parameters tell and that end in the source's lock name."""
    told = [path.rstrip(".") for path in _PATH.findall(said)]
    fitting = [path for path in told if any(path.endswith(name) for name in facts.names)]
    if fitting:
        return tuple(dict.fromkeys(fitting))
    folders = [text for text in evidence.run.parameters.values() if isinstance(text, str)]
    guessed = [str(Path(one, name)) for one in folders if one.startswith("/") for name in facts.names]
    return (*guessed, *(name for name in facts.names if name.startswith("/")))


# Cached results


def poisoned_cache(diagnosis: Diagnosis, evidence: Evidence, code: RerunCode) -> ForgetCachedResult | None:
    """Return the removal of the one cached result that the failing code used and that can be made anew."""
    if diagnosis.category not in _BAD_CONTENT or diagnosis.transient:
        return None
    used = [task for task in _cached(evidence) if _used_at_failure(task, evidence)]
    if len(used) != 1:
        return None
    task = used[0]
    again = code.of_tasks((executed_function(task.task_key),))
    key = task.storage_key
    if again not in HARMLESS or key is None or task.storage_block_id:
        return None
    if not stored_results.is_record(key):
        return None
    proof = f"the code that failed used what {task.name} took from the cache; computing it anew is harmless"
    return ForgetCachedResult(
        flow_run_id=evidence.run.id, task_run_id=task.id, storage_key=key, proof=proof, delay_s=SETTLE_S
    )


def _cached(evidence: Evidence) -> Iterable[TaskRunRecord]:
    count = evidence.run.run_count
    for task in evidence.task_runs:
        if task.flow_run_run_count == count and task.state is not None and task.state.name == "Cached":
            yield task


def _used_at_failure(task: TaskRunRecord, evidence: Evidence) -> bool:
    failed = [
        other
        for other in evidence.task_runs
        if other.flow_run_run_count == evidence.run.run_count
        and other.state is not None
        and other.state.type in {"FAILED", "CRASHED"}
    ]
    if failed:
        return any(task.id in other.upstream for other in failed)
    frames, source = own_frames(evidence), evidence.source
    if not frames or source is None:
        return False
    place = frames[0]
    return uses_result_of(source.text, place.function, executed_function(task.task_key), place.line)


# Credentials


async def refresher(desk: Desk, diagnosis: Diagnosis, evidence: Evidence) -> RunRefresher | None:
    """Return the one deployment whose source proves that it renews what the failed flow reads."""
    source = evidence.source
    if (
        source is None
        or diagnosis.remedy != "refresh_credentials"
        or diagnosis.pattern == "grant-revoked"
        or not diagnosis.refused
    ):
        return None
    read = names_read(source.text, source.entrypoint.rpartition(":")[2])
    if not read:
        return None
    found = [
        (raw, renewed)
        for raw in await desk.api.deployments()
        if raw["id"] != evidence.run.deployment_id and (renewed := _renews(raw, read))
    ]
    if len(found) != 1:
        return None
    raw, renewed = found[0]
    kind, name = min(renewed)
    return RunRefresher(
        flow_run_id=evidence.run.id,
        deployment_id=raw["id"],
        deployment_name=raw["name"],
        renews=f"{kind} {name}",
        proof=f"deployment {raw['name']} writes {kind} {name}, which the failed flow reads",
    )


def _renews(raw: JSONDict, read: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return what a deployment renews of the names read; nothing where it does anything else, too."""
    file_name, _, function = (raw.get("entrypoint") or "").rpartition(":")
    if not file_name or raw.get("paused") or function.replace("_", "-").startswith(OWN_PREFIX):
        return frozenset()
    says = " ".join((raw.get("name") or "", raw.get("description") or "", function.replace("_", " ")))
    required = set((raw.get("parameter_openapi_schema") or {}).get("required") or ())
    if not _REFRESHES.search(says) or required - set(raw.get("parameters") or {}):
        return frozenset()
    try:
        text = read_source(Path(raw.get("path") or ".", file_name))
        calls = flow_effects(text, function)
    except (AutopilotError, InvalidFlowError, UnknownNameError):
        return frozenset()
    written = names_written(text, function)
    only = all(_is_renewal(touch) for call in calls for touch in call.effect.touches)
    return written & read if only and written <= read else frozenset()


def _is_renewal(touch: Touch) -> bool:
    if touch.level in {Level.PURE, Level.READ}:
        return True
    if touch.resource == "prefect" or "prefect.blocks.system.Secret" in touch.what:
        return True
    if touch.what.endswith(".save is not known") and touch.what.startswith("Secret("):
        return True
    return touch.resource.startswith("http") and bool(_TOKEN_PLACE.search(touch.target))
