"""What to tell people: recommendations that cite evidence, issues, findings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from prefect_autopilot.models import (
    CommonKey,
    Diagnosis,
    DiagnosticFinding,
    Evidence,
    FindingPattern,
    IssueCategory,
    RunRecord,
    Severity,
    WorkflowIssue,
)
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.text import digest

MAX_QUOTE = 160
MIN_HISTORY = 3
MAX_AROUND = 5
LEARNT = {
    IssueCategory.CONFIGURATION: "Compare the settings and names in the message with what the worker has.",
    IssueCategory.CONNECTIVITY: "Check from the worker that the address in the message can be reached.",
    IssueCategory.PERMISSIONS: "Check the credential and the rights of the account that made the call.",
    IssueCategory.PERFORMANCE: "Look at what else used the same thing then; let the runs follow each other.",
    IssueCategory.DATA: "Look at the input that the message names before the next run.",
    IssueCategory.LOGIC: "Read the line of the traceback that stands in your own code.",
    IssueCategory.EXTERNAL_SERVICE: "Look at the status of the service, then run again.",
    IssueCategory.TIMEOUT: "See how long the step took in earlier runs; raise its limit if it was near it.",
    IssueCategory.RESOURCE: "Compare what the step used of memory, disk and slots with what it is allowed.",
}
"""What to do first where no pattern decided but the trained model."""
IMPACT = {
    Severity.CRITICAL: 1.0,
    Severity.HIGH: 0.8,
    Severity.MEDIUM: 0.5,
    Severity.LOW: 0.2,
    Severity.INFO: 0.0,
}
_MODULE = re.compile(r"No module named ['\"]?([\w.]+)")
_KEY = re.compile(r"KeyError: ['\"]([^'\"]+)['\"]")
_LIMIT = re.compile(
    r"(?:timeout|exceeded|limit|after)[^\d\n]{0,24}(\d+(?:\.\d+)?)\s*(s(?:econds?|ec)?|ms|min(?:utes?)?|MiB|GiB|MB|GB|Gi|Mi)\b"
)
_ADDRESS = re.compile(r"https?://[^\s'\"<>)\]]+|\b[\w-]+(?:\.[\w-]+)+:\d{2,5}\b")
_FILE = re.compile(r"['\"]((?:/|[A-Za-z]:\\)[^'\"\n]+)['\"]")


def recommendations(diagnosis: Diagnosis, evidence: Evidence | None = None) -> tuple[str, ...]:
    """Return what to do, most useful first; each sentence names the evidence or object it rests on."""
    found = (
        *_cascade(evidence),
        *_first(diagnosis),
        *_objects(diagnosis),
        *_around(evidence),
        *_history(evidence),
        *_gaps(diagnosis),
    )
    return tuple(dict.fromkeys(found))


def _cascade(evidence: Evidence | None) -> Iterator[str]:
    """Point to the run where the failure began, where this one only passes it on."""
    root = evidence.root_run if evidence else None
    if root is not None:
        name = root.flow_name or root.name
        yield f"The failure began in the sub-flow run {name} ({root.id}): resolve that one first."


def _around(evidence: Evidence | None) -> Iterator[str]:
    for line in evidence.surroundings[:MAX_AROUND] if evidence else ():
        last = line.text.rpartition("\n")[2]  # of a container's output its last line
        yield f"Around the run: {last[:MAX_QUOTE]} ({line.where})."


def _first(diagnosis: Diagnosis) -> Iterator[str]:
    quote = _quote(diagnosis)
    pattern = next((item for item in load_patterns() if item.name == diagnosis.pattern), None)
    if pattern is not None:
        yield f"{pattern.advice} Seen: {quote}." if quote else pattern.advice
    elif diagnosis.pattern == "learnt":
        first = f"{LEARNT[diagnosis.category]} No known cause fits exactly ({diagnosis.confidence:.2f})."
        yield f"{first} Seen: {quote}." if quote else first
    elif diagnosis.category is IssueCategory.UNKNOWN and quote:
        yield f"No known cause fits; begin with what is said there: {quote}."


def _quote(diagnosis: Diagnosis) -> str:
    if not diagnosis.evidence:
        return ""
    line = diagnosis.evidence[0]
    text = line.text.split("\n", 1)[0]
    return f"“{text[:MAX_QUOTE]}{'…' if len(text) > MAX_QUOTE else ''}” ({line.where})"


def _objects(diagnosis: Diagnosis) -> Iterator[str]:
    """Name the block, line, package, variable, address, limit or file that the evidence names."""
    text = "\n".join(line.text for line in diagnosis.evidence)
    if diagnosis.connection:
        yield f"The connection block in question is {diagnosis.connection!r} ({diagnosis.service})."
    for line in diagnosis.evidence[1:]:
        if ".py:" in line.where:
            yield f"The failing line of your own code is {line.where}{', ' if line.text else ''}{line.text}."
    if diagnosis.remedy == "install_dependency" and (module := _MODULE.search(text)):
        yield f"The package to install is the one that provides {module[1]!r}."
    if (key := _KEY.search(text)) is not None:
        what = (
            "variable to set"
            if diagnosis.category is IssueCategory.CONFIGURATION
            else "name that was not found"
        )
        yield f"The {what} is {key[1]!r}."
    if diagnosis.category in {IssueCategory.TIMEOUT, IssueCategory.RESOURCE} and (
        limit := _LIMIT.search(text)
    ):
        yield f"The limit that was met is {limit[1]} {limit[2]}."
    if diagnosis.category in {IssueCategory.CONNECTIVITY, IssueCategory.CONFIGURATION} and (
        address := _ADDRESS.search(text)
    ):
        yield f"The address that was called is {address[0]}."
    if diagnosis.category in {IssueCategory.DATA, IssueCategory.PERMISSIONS, IssueCategory.RESOURCE} and (
        file := _FILE.search(text)
    ):
        yield f"The file in question is {file[1]}."
    if diagnosis.retry_after_s is not None and diagnosis.refused:
        yield f"The service asked to wait {diagnosis.retry_after_s:g} s."


def _history(evidence: Evidence | None) -> Iterator[str]:
    """Say what the other runs of the deployment show."""
    if evidence is None:
        return
    ended = [
        run
        for run in evidence.recent_runs
        if run.state.type in {"COMPLETED", "FAILED", "CRASHED"} and run.id != evidence.run.id
    ]
    if len(ended) < MIN_HISTORY:
        return
    failed = sum(run.state.type != "COMPLETED" for run in ended)
    yield f"{failed} of the last {len(ended)} other runs failed."
    good = [run for run in ended if run.state.type == "COMPLETED"]
    yield from _version(evidence.run, good)


def _version(run: RunRecord, good: list[RunRecord]) -> Iterator[str]:
    versions = {item.deployment_version for item in good if item.deployment_version}
    if run.deployment_version and versions and run.deployment_version not in versions:
        known = ", ".join(sorted(versions))
        yield f"No run of version {run.deployment_version} has completed; runs of {known} have: compare them."


def _gaps(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.missing:
        yield f"Could not be read: {', '.join(diagnosis.missing)}."


def issue_from(
    diagnosis: Diagnosis, *, workflow_id: str, now: datetime, components: tuple[str, ...] = ()
) -> WorkflowIssue:
    """Return the issue that a diagnosis describes; the same failure gives the same id."""
    named = (*components, *(name for name in (diagnosis.service, diagnosis.connection) if name))
    return WorkflowIssue(
        issue_id=f"issue-{digest((workflow_id, diagnosis.fingerprint, diagnosis.category))}",
        workflow_id=workflow_id,
        category=diagnosis.category,
        severity=diagnosis.severity,
        description=diagnosis.root_cause,
        symptoms=tuple(line.text for line in diagnosis.evidence),
        root_cause=diagnosis.root_cause if diagnosis.category is not IssueCategory.UNKNOWN else None,
        detection_time=now,
        affected_components=tuple(dict.fromkeys(named)),
    )


def finding_from(
    diagnosis: Diagnosis,
    *,
    now: datetime,
    issues: tuple[WorkflowIssue, ...] = (),
    key: CommonKey | None = None,
    evidence: Evidence | None = None,
) -> DiagnosticFinding:
    """Return the finding that a diagnosis rests on; with a common key it is one of correlation.

    Of ``with_what_is_shared`` the key's line is the first around the run.
    """
    pattern = _finding_pattern(diagnosis, key)
    shared = evidence.surroundings[:1] if evidence is not None and key is not None else ()
    return DiagnosticFinding(
        finding_id=f"finding-{digest((diagnosis.fingerprint, diagnosis.pattern or '', pattern, str(key)))}",
        pattern=pattern,
        confidence=diagnosis.confidence,
        description=shared[0].text if shared else diagnosis.root_cause,
        evidence=(*shared, *diagnosis.evidence),
        impact_score=IMPACT[diagnosis.severity],
        related_issues=tuple(issue.issue_id for issue in issues),
        suggested_actions=recommendations(diagnosis, evidence),
        detected_at=now,
    )


def _finding_pattern(diagnosis: Diagnosis, key: CommonKey | None) -> FindingPattern:
    if key is None:
        return FindingPattern.PATTERN_MATCHING if diagnosis.pattern else FindingPattern.ROOT_CAUSE_ANALYSIS
    if key.field in {"hour_utc", "weekday", "window"}:
        return FindingPattern.TEMPORAL_PATTERN
    return FindingPattern.DEPENDENCY_CHAIN if key.field == "upstream" else FindingPattern.CORRELATION_ANALYSIS
