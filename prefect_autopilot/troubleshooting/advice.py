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
from prefect_autopilot.troubleshooting.named_objects import Named, named_objects
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
_LIMIT = re.compile(
    r"(?:timeout|timed out|exceeded|limit|after)[^\d\n]{0,24}(\d+(?:\.\d+)?)\s*"
    r"(s(?:econds?|ec)?|ms|min(?:utes?)?|[KMG]iB|[KMG]B|Gi|Mi)\b|timeout=(\d+(?:\.\d+)?)\b"
)
_PHRASE = re.compile(
    r"(?P<noun>[\w-]+)? ?\b(?:(?:that|what|which) the (?:message|traceback)(?: or its log)? "
    r"(?:names|quotes|shows|says it lacks|says|has)|(?:in|of) the message)\b"
    r"|\bnamed (?P<adjective>(?:connection )?(?!in\b)\w+)|\bthe (?P<block>connection block)\b"
    r"|\bthat (?P<that>address|host|path|variable)\b"
)
"""How advice speaks of an object that it does not know; here its name is put behind."""
_FITTING: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("block", "connection", "credential"), ("block", "Prefect variable", "variable")),
    (
        ("variable", "setting", "option", "parameter", "argument"),
        ("variable", "Prefect variable", "argument", "field", "key", "work pool"),
    ),
    (("address", "url", "host", "service", "server", "host name"), ("address", "host")),
    (("package", "library", "module"), ("package", "library", "name")),
    (("program", "tool"), ("program",)),
    (("path", "file", "volume", "store", "input"), ("file",)),
    (("line",), ("line",)),
    (("value", "record", "row"), ("value", "key", "column", "constraint")),
    (("column", "key", "fields", "field"), ("column", "key", "constraint", "field")),
    (("right", "role"), ("right", "table", "resource", "bucket", "topic", "file", "account")),
    (("name", "object", "id", "thing"), ("table", "database", "key", "column", "bucket", "topic", "name")),
    (("limit",), ()),
)
"""Nouns of advice, and which objects may be meant; any other word takes the first object that is known."""
_SENTENCES = {
    "package": "The package to install is the one that provides {!r}.",
    "variable": "The variable to set is {!r}.",
    "key": "The name that was not found is {!r}.",
    "address": "The address that was called is {}.",
    "file": "The file in question is {}.",
    "block": "The connection block in question is {!r}.",
}
_OBJECTS_TOLD = 4
TWICE = 2


def recommendations(diagnosis: Diagnosis, evidence: Evidence | None = None) -> tuple[str, ...]:
    """Return what to do, most useful first; each sentence names the evidence or object it rests on."""
    named = named_objects(diagnosis, evidence)
    first, told = _first(diagnosis, named, "".join(_memory(diagnosis, evidence)))
    found = (
        *_cascade(evidence),
        *first,
        *_limit(diagnosis, evidence),
        *_objects(diagnosis, [one for one in named if one.name not in told]),
        *_compared(evidence),
    )
    return tuple(dict.fromkeys(found))


def facts(diagnosis: Diagnosis, evidence: Evidence | None = None) -> tuple[str, ...]:
    """Return what was seen around the failure and what was not; nobody is asked to do anything by it."""
    return tuple(dict.fromkeys((*_around(evidence), *_history(evidence), *_gaps(diagnosis, evidence))))


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


def _first(diagnosis: Diagnosis, named: tuple[Named, ...], instead: str) -> tuple[list[str], set[str]]:
    """Return the first advice with what it speaks of by name, and the names that stand in it.

    ``instead`` is what is known better than a pattern can, empty where nothing is.
    """
    quote, told = _quote(diagnosis), set[str]()
    pattern = next((item for item in load_patterns() if item.name == diagnosis.pattern), None)
    if pattern is not None:
        said, told = _filled(instead or pattern.advice, named)
    elif diagnosis.pattern == "learnt":
        said, told = _filled(LEARNT[diagnosis.category], named)
        said = f"{said} No known cause fits exactly ({diagnosis.confidence:.2f})."
    elif diagnosis.category is IssueCategory.UNKNOWN and quote:
        return [f"No known cause fits; begin with what is said there: {quote}."], told
    else:
        return [], told
    return [f"{said} Seen: {quote}." if quote else said], told


def _filled(advice: str, named: tuple[Named, ...]) -> tuple[str, set[str]]:
    """Put names behind the phrases of an advice that speak of something without naming it."""
    told: set[str] = set()

    def name(match: re.Match[str]) -> str:
        noun = next((word for word in match.groups() if word), "what").lower().split()[-1]
        kinds = next((kinds for nouns, kinds in _FITTING if noun in nouns), None)
        fitting = [one for one in named if kinds is None or one.what in kinds]
        # Several blocks of one run: which of them was refused is not known, so all are named.
        fitting = [one for one in fitting if one.what == fitting[0].what and one.name not in told]
        if not fitting:
            return match[0]
        meant = (
            fitting
            if fitting[0].what in {"block", "Prefect variable", "variable"} and fitting[0].where
            else fitting[:1]
        )
        told.update(one.name for one in meant)
        of = f"on {meant[0].what} " if noun == "right" and meant[0].what != "right" else ""
        return f"{match[0]} ({of}{'; '.join(map(str, meant))})"

    return _PHRASE.sub(name, advice), told


def _quote(diagnosis: Diagnosis) -> str:
    if not diagnosis.evidence:
        return ""
    line = diagnosis.evidence[0]
    text = line.text.split("\n", 1)[0]
    return f"“{text[:MAX_QUOTE]}{'…' if len(text) > MAX_QUOTE else ''}” ({line.where})"


def _objects(diagnosis: Diagnosis, named: list[Named]) -> Iterator[str]:
    """Name the objects that the first advice does not."""
    codes = {line.where: line.text for line in diagnosis.evidence[1:]}
    for one in named[:_OBJECTS_TOLD]:
        if one.what == "line":
            said = codes.get(one.name)
            yield f"The failing line of your own code is {one.name}{', ' if said else ''}{said or ''}."
        elif one.what == "package" and diagnosis.remedy != "install_dependency":
            yield f"The package is {one.name!r}."
        else:
            form = _SENTENCES.get(one.what, f"The {one.what} is {{!r}}.")
            yield form.format(one.name) if not one.where else f"{form.format(one.name)[:-1]}, {one.where}."
    if diagnosis.retry_after_s is not None and diagnosis.refused:
        yield f"The service asked to wait {diagnosis.retry_after_s:g} s before the next call."


def _memory(diagnosis: Diagnosis, evidence: Evidence | None) -> Iterator[str]:
    """Name the memory that the run may use now, and what to give it, as its pool has a place for it."""
    memory = evidence.memory if evidence else None
    if diagnosis.remedy != "increase_memory" or memory is None:
        return
    pool = f"work pool {memory.pool!r} ({memory.pool_type})"
    if memory.name is None:
        yield (
            f"In {pool} no job variable gives a run more memory: let fewer runs share that machine, process "
            "the input in smaller parts, or run it on a larger machine."
        )
    elif memory.present is None:
        yield f"In {pool} job variable {memory.name!r} has no value: set it above what the good runs used."
    else:
        place = evidence.run.deployment_name or evidence.run.flow_name if evidence else ""
        yield (
            f"In {pool} job variable {memory.name!r} is {memory.present}: set it to {memory.proposed} "
            f"for {place} (twice as much)."
        )


def _limit(diagnosis: Diagnosis, evidence: Evidence | None) -> Iterator[str]:
    """Name the limit that was met, and the value to try where it is one of time."""
    if diagnosis.category not in {IssueCategory.TIMEOUT, IssueCategory.RESOURCE}:
        return
    limit = _LIMIT.search("\n".join(line.text for line in diagnosis.evidence))
    if limit is None:
        return
    amount, unit = (limit[1], limit[2]) if limit[1] else (limit[3], "s")
    unit = "s" if unit.startswith("s") else unit
    said = f"The limit that was met is {amount} {unit}"
    if diagnosis.remedy != "raise_timeout":
        yield f"{said}."
        return
    others = evidence.recent_runs if evidence else ()
    good = [run.duration_s for run in others if run.state.type == "COMPLETED" and run.duration_s]
    lasted = f"; good runs took up to {max(good):g} s (n = {len(good)})" if good else ""
    yield f"{said}{lasted}: try {TWICE * float(amount):g} {unit} if the work has grown."


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


def _compared(evidence: Evidence | None) -> Iterator[str]:
    """Say to compare versions where the failing one has never completed."""
    if evidence is not None:
        good = [run for run in evidence.recent_runs if run.state.type == "COMPLETED"]
        if len(good) >= MIN_HISTORY:
            yield from _version(evidence.run, good)


def _version(run: RunRecord, good: list[RunRecord]) -> Iterator[str]:
    versions = {item.deployment_version for item in good if item.deployment_version}
    if run.deployment_version and versions and run.deployment_version not in versions:
        known = ", ".join(sorted(versions))
        yield f"No run of version {run.deployment_version} has completed; runs of {known} have: compare them."


def _gaps(diagnosis: Diagnosis, evidence: Evidence | None) -> Iterator[str]:
    """Tell what could not be read, for the diagnosis or once it was known."""
    missing = dict.fromkeys((*diagnosis.missing, *(evidence.missing if evidence else ())))
    if missing:
        yield f"Could not be read: {', '.join(missing)}."


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
