"""Log lines and metrics that somebody reports, as diagnoses, issues, findings and advice. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prefect_autopilot.models import (
    Diagnosis,
    DiagnosticFinding,
    EvidenceLine,
    FindingPattern,
    IssueCategory,
    Severity,
    Value,
    WorkflowIssue,
)
from prefect_autopilot.troubleshooting import diagnose_text, finding_from, fingerprint, issue_from

TRACEBACK = "Traceback (most recent call last)"
_ASIDE = re.compile(r"[\W\d]*(?:[TZ][\W\d]*)*(?:DEBUG|INFO)\b")
"""A line that is no failure by its own level, after any time stamp."""
_SEVERITIES = tuple(Severity)
MOST_FAILURES = 200


class Recommendation(Value):
    """One thing to do, with the lines it rests on."""

    recommendation: str
    finding_id: str
    confidence: float
    evidence: tuple[EvidenceLine, ...] = ()
    issues: tuple[str, ...] = ()


def failures(logs: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Return the failure texts in log entries, each with the number of its first entry.

    The lines of one traceback that come as entries of their own are put together again.
    """
    found: list[tuple[int, list[str]]] = []
    for number, entry in enumerate(logs, start=1):
        if found and _goes_on(found[-1][1]):
            found[-1][1].append(entry)
        elif entry.strip():
            found.append((number, [entry]))
    return tuple((number, "\n".join(entries)) for number, entries in found)


def _goes_on(entries: Sequence[str]) -> bool:
    """Tell whether a traceback was begun and its exception has not come yet."""
    lines = [line for line in "\n".join(entries).splitlines() if line.strip()]
    return (
        bool(lines) and TRACEBACK in "\n".join(lines) and (lines[-1][:1].isspace() or TRACEBACK in lines[-1])
    )


def diagnoses_of(logs: Iterable[str]) -> tuple[Diagnosis, ...]:
    """Return one diagnosis for each different failure, the one that explains most first.

    An entry of level INFO or DEBUG counts only where it fits a known failure. At most 200 different failures
    are looked at.
    """
    found: dict[str, Diagnosis] = {}
    seen: set[str] = set()
    for number, text in failures(logs):
        # A log repeats itself: the mark of a text costs a tenth of its diagnosis.
        mark = fingerprint(text)
        if mark in seen or len(seen) >= MOST_FAILURES:
            continue
        seen.add(mark)
        diagnosis = diagnose_text(text)
        if diagnosis.category is IssueCategory.UNKNOWN and (_ASIDE.match(text) or not diagnosis.evidence):
            continue
        placed = diagnosis.model_copy(update={"evidence": tuple(_placed(diagnosis.evidence, number))})
        found.setdefault(mark, placed)
    return tuple(sorted(found.values(), key=_rank))


def _placed(lines: Iterable[EvidenceLine], number: int) -> Iterator[EvidenceLine]:
    for line in lines:
        where = f"log {number}, {line.where}" if line.where.startswith("line ") else line.where
        yield line.model_copy(update={"where": where})


def _rank(diagnosis: Diagnosis) -> tuple[bool, float, int]:
    unknown = diagnosis.category is IssueCategory.UNKNOWN
    return unknown, -diagnosis.confidence, _SEVERITIES.index(diagnosis.severity)


def issues_of(diagnoses: Iterable[Diagnosis], workflow_id: str, now: datetime) -> tuple[WorkflowIssue, ...]:
    """Return the issue of each diagnosis."""
    return tuple(issue_from(one, workflow_id=workflow_id, now=now) for one in diagnoses)


def findings_of(
    diagnoses: Iterable[Diagnosis], issues: Sequence[WorkflowIssue], now: datetime
) -> tuple[DiagnosticFinding, ...]:
    """Return the finding of each diagnosis, related to its issue; in the same order."""
    return tuple(
        finding_from(diagnosis, now=now, issues=(issue,))
        for diagnosis, issue in zip(diagnoses, issues, strict=True)
    )


def with_metrics(
    findings: Sequence[DiagnosticFinding], issues: Sequence[WorkflowIssue], now: datetime
) -> tuple[DiagnosticFinding, ...]:
    """Return the findings with those of metric issues.

    A metric that points to the category of a failure supports its finding. One that nothing explains becomes
    a finding of confidence 0: it shows that something is wrong, not what.
    """
    explained = {issue.issue_id: issue.category for issue in issues if not _is_metric(issue)}
    measured = [one for one in issues if _is_metric(one) and one.category is not IssueCategory.UNKNOWN]
    kept = [one for one in findings if one.pattern is not FindingPattern.ANOMALY_DETECTION]
    supported: set[str] = set()
    found = []
    for finding in kept:
        categories = {explained.get(issue) for issue in finding.related_issues}
        same = [issue.issue_id for issue in measured if issue.category in categories]
        supported |= set(same)
        related = tuple(dict.fromkeys((*finding.related_issues, *same)))
        found.append(finding.model_copy(update={"related_issues": related}))
    alone = (_from_metric(issue, now) for issue in measured if issue.issue_id not in supported)
    return (*found, *alone)


def _is_metric(issue: WorkflowIssue) -> bool:
    return bool(issue.metrics_impact)


def _from_metric(issue: WorkflowIssue, now: datetime) -> DiagnosticFinding:
    advice = f"{issue.description} The metric names no cause: send the log of a run in which it shows."
    return DiagnosticFinding(
        finding_id=issue.issue_id.replace("issue-", "finding-", 1),
        pattern=FindingPattern.ANOMALY_DETECTION,
        confidence=0,
        description=f"{issue.description} What causes it is not known.",
        evidence=_reported(issue),
        related_issues=(issue.issue_id,),
        suggested_actions=(advice,),
        detected_at=now,
    )


def _reported(issue: WorkflowIssue) -> tuple[EvidenceLine, ...]:
    return tuple(EvidenceLine(text=symptom, where="reported metric") for symptom in issue.symptoms)


def diagnosis_of_metrics(issues: Iterable[WorkflowIssue]) -> Diagnosis | None:
    """Return what metrics alone allow to say: the worst one, and that its cause is unknown."""
    measured = [one for one in issues if _is_metric(one) and one.category is not IssueCategory.UNKNOWN]
    if not measured:
        return None
    worst = min(measured, key=lambda issue: _SEVERITIES.index(issue.severity))
    return Diagnosis(
        category=worst.category,
        confidence=0,
        severity=worst.severity,
        transient=False,
        remedy="none",
        root_cause=f"{worst.description} What causes it is not known.",
        evidence=_reported(worst),
        missing=("failure text",),
    )


def recommendations_of(findings: Iterable[DiagnosticFinding]) -> tuple[Recommendation, ...]:
    """Return what the findings suggest, each once and with its evidence."""
    found: dict[str, Recommendation] = {}
    for finding in findings:
        for action in finding.suggested_actions:
            told = Recommendation(
                recommendation=action,
                finding_id=finding.finding_id,
                confidence=finding.confidence,
                evidence=finding.evidence,
                issues=finding.related_issues,
            )
            found.setdefault(action, told)
    return tuple(found.values())
