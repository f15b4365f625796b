"""Which of all that was read of a run is the failure, and what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from prefect_autopilot.models import (
    FAILURE_STATES,
    Diagnosis,
    Evidence,
    EvidenceLine,
    IssueCategory,
    LogRecord,
    Severity,
)
from prefect_autopilot.troubleshooting.classify import diagnose_failure
from prefect_autopilot.troubleshooting.failure import Failure, Unit
from prefect_autopilot.troubleshooting.parse import coded, fingerprint, parse, retry_after
from prefect_autopilot.troubleshooting.text import cut

ERROR = 40
WARNING = 30
MAX_CONTEXT = 200
MAX_ERROR_LINES = 12
CLOCK_SLACK = timedelta(seconds=1)
CONTAINER = "container: "
"""How the place of a line begins that tells what became of the run's pod or task."""
CONTAINER_LOG = f"{CONTAINER}log of "
"""How the place of the line begins that holds the end of a container's output, where no log was shipped."""
PROCESS = f"{CONTAINER}process "
"""How that place begins for a process, which runs in no container."""
SAYS_NOTHING = frozenset({"error", "completed"})
"""Reasons of an ended container that only tell that it ended."""
_DID = {"waiting": "waits"}
"""What is said of a container that has not begun; of any other, that it ended."""
_HIDES = re.compile(r"exited with (?:an? )?(?:non-zero )?status code", re.IGNORECASE)
"""What Prefect says of every end of a process or container: no more word of it where the reason is known."""
ENDED_BADLY = "Traceback (most recent call last)"
ASIDE_STATES = {
    "COMPLETED": "The run completed; words of alarm in its log are no failure.",
    "RUNNING": "The run is still under way; nothing has failed yet.",
    "PAUSED": "The run is paused and waits to be resumed.",
}


def diagnose(evidence: Evidence) -> Diagnosis:
    """Return the diagnosis of a run from its last attempt; a run that did not fail is no failure."""
    state = evidence.run.state
    if state.type in ASIDE_STATES:
        return _no_failure(evidence, ASIDE_STATES[state.type])
    logs = last_attempt(evidence)
    source, text = _main_text(evidence, logs)
    context = "\n".join(cut(record.message) for _, record in logs[-MAX_CONTEXT:])
    failure = _with_container(_with_error_lines(parse(text), logs, text, source), evidence)
    if failure.retry_after_s is None:
        failure = replace(failure, retry_after_s=retry_after(context))
    diagnosis = diagnose_failure(failure, state_type=state.type, context=context)
    missing = (*diagnosis.missing, *evidence.missing)
    if not evidence.logs:
        missing = (*missing, "logs")
    place = tuple(_placed(line, source) for line in diagnosis.evidence)
    return diagnosis.model_copy(update={"missing": tuple(dict.fromkeys(missing)), "evidence": place})


def last_attempt(evidence: Evidence) -> list[tuple[int, LogRecord]]:
    """Return the log lines since the run last began to run, each with its number in the log."""
    begun = [state.timestamp for state in evidence.states if state.type == "RUNNING"]
    since = max(begun) - CLOCK_SLACK if begun else evidence.run.start
    numbered = list(enumerate(sorted(evidence.logs, key=lambda record: record.timestamp), start=1))
    if since is None:
        return numbered
    kept = [(number, record) for number, record in numbered if record.timestamp >= since]
    # Without any line of this attempt all are better than none.
    return kept or numbered


def _main_text(evidence: Evidence, logs: list[tuple[int, LogRecord]]) -> tuple[str, str]:
    """Return where the failure is told best, and its text: the traceback that belongs to the final state."""
    state = evidence.run.state
    message = state.message or ""
    failed_tasks = [
        (f"state of task {task.name}", task.state.message)
        for task in evidence.task_runs
        if task.state is not None
        and task.state.type in FAILURE_STATES
        and task.state.message
        and _of_last_attempt(task.flow_run_run_count, evidence)
    ]
    tracebacks = [
        (number, record) for number, record in logs if record.level >= ERROR and ENDED_BADLY in record.message
    ]
    told = [message, *(text for _, text in failed_tasks)]
    chosen = next((pair for pair in reversed(tracebacks) if _belongs(pair[1].message, told)), None)
    if chosen is None and not any(told):
        chosen = tracebacks[-1] if tracebacks else None
    if chosen is not None:
        return f"log {chosen[0]}", _joined(chosen[1].message, message)
    printed = next((line for line in evidence.surroundings if line.where.startswith(CONTAINER_LOG)), None)
    if printed is not None:
        return printed.where, _joined(printed.text, message)
    if message:
        return "state message", _joined(message, *(text for _, text in failed_tasks))
    if failed_tasks:
        return failed_tasks[-1]
    errors = [(number, record) for number, record in logs if record.level >= WARNING]
    if errors:
        number, record = errors[-1]
        return f"log {number}", record.message
    return "state name", f"Run ended in state {state.name}" if state.type in FAILURE_STATES else state.name


def _of_last_attempt(attempt: int, evidence: Evidence) -> bool:
    return not attempt or not evidence.run.run_count or attempt == evidence.run.run_count


def _belongs(traceback: str, told: list[str]) -> bool:
    """Tell whether a logged traceback ends in the exception that a state message names."""
    last = next((line.strip() for line in reversed(traceback.splitlines()) if line.strip()), "")
    final = parse(traceback).units
    names = {unit.short_name for unit in final if unit.role == "raised" and unit.short_name}
    said = " ".join(told)
    if not said.strip():
        return True
    head = last.split(": ", 1)[-1][:80]
    return bool(head and head in said) or any(name in said for name in names)


def _joined(*texts: str) -> str:
    """Join texts, leaving out one that says nothing new."""
    kept: list[str] = []
    for text in texts:
        tail = text.split(": ", 2)[-1].strip()
        if text.strip() and not any(tail and tail in other for other in kept):
            kept.append(text)
    return "\n\n".join(reversed(kept)) if len(kept) > 1 else "".join(kept)


def _with_error_lines(failure: Failure, logs: list[tuple[int, LogRecord]], text: str, source: str) -> Failure:
    """Add the error lines of the attempt as weaker witnesses; a traceback that was handled is none."""
    lines = [
        coded(Unit("warning", cut(record.message), f"log {number}"))
        for number, record in logs
        if record.level >= ERROR
        and ENDED_BADLY not in record.message
        and record.message not in text
        and "Finished in state" not in record.message
        and source != f"log {number}"
    ]
    return replace(failure, units=(*failure.units, *lines[-MAX_ERROR_LINES:]))


def _with_container(failure: Failure, evidence: Evidence) -> Failure:
    """Put first why the pod or task of the run ended or waits, where its observer or source told a reason."""
    told = [
        line
        for line in evidence.surroundings
        if line.where.startswith(CONTAINER) and not line.where.startswith(CONTAINER_LOG)
    ]
    # Prefect calls every end with a reason an eviction: only the reason says something.
    reasons = [(line, *line.text.partition(": ")[::2]) for line in told]
    units = [
        coded(Unit("error", f"The {_what(line)} {_DID.get(became, 'ended')}: {reason}", line.where))
        for line, became, reason in reasons
        if reason and reason.lower() not in SAYS_NOTHING
    ]
    if not units:
        return failure
    rest = tuple(unit for unit in failure.units if not _HIDES.search(unit.text))
    # Else all that Prefect tells with these words would be one cause.
    mark = fingerprint(units[0].text) if failure.root is None else failure.fingerprint
    return replace(failure, units=(units[0], *rest), fingerprint=mark)


def _what(line: EvidenceLine) -> str:
    return "process" if line.where.startswith(PROCESS) else "container"


def _placed(line: EvidenceLine, source: str) -> EvidenceLine:
    where = f"{source}, {line.where}" if line.where.startswith("line ") else line.where
    return line.model_copy(update={"where": where})


def _no_failure(evidence: Evidence, reason: str) -> Diagnosis:
    return Diagnosis(
        category=IssueCategory.UNKNOWN,
        confidence=0.95,
        severity=Severity.INFO,
        transient=False,
        remedy="none",
        root_cause=reason,
        pattern="no-failure",
        missing=evidence.missing,
    )


def failed_at(evidence: Evidence) -> datetime:
    """Return when the run reached its present state."""
    return evidence.run.state.timestamp
