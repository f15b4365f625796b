"""From the text of a failure to a diagnosis, by codes and patterns; what fits nothing stays unknown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prefect_autopilot.models import (
    Alternative,
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    RemedyClass,
    Severity,
)
from prefect_autopilot.troubleshooting.codes import http_status
from prefect_autopilot.troubleshooting.knowledge import Pattern, find_service, load_patterns, words_said
from prefect_autopilot.troubleshooting.model import Judgement, judge
from prefect_autopilot.troubleshooting.parse import Failure, Unit, parse

ROLE_DISCOUNT = {"raised": 0.0, "error": 0.04, "plain": 0.04, "warning": 0.12, "info": 0.40}
"""How much less a line of this kind says than the exception that ended the run."""
STEP_DISCOUNT = 0.05
MAX_STEP_DISCOUNT = 0.2
THRESHOLD = 0.35
LEARNT = 0.5
"""What the trained model must be sure of to be told at all."""
PASSES = 0.25
"""From this probability on a failure nobody knows is not called lasting."""
OF_SCORE, OF_OPINION, OF_LEAD, OFFSET = 0.78, 1.45, 1.23, -0.41
"""How the log-odds of being right follow from a pattern's score, from how sure the trained model is of that
category (or of another), and from the lead over the best pattern of another category: logistic regression on
310 held-out failures; those read before the patterns were mended by them count twice."""
MAX_QUOTE = 400
MAX_ALTERNATIVES = 3
PASSING_WORDS = (
    "transient",
    "temporar",
    "again",
    "retry",
    "intermittent",
    "heartbeat",
    "unavailable",
    "busy",
)
WAIT_IS_A_LIMIT = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pattern that fits a unit, and how sure that makes us."""

    pattern: Pattern
    unit: Unit
    score: float


def diagnose_text(text: str, state_type: str | None = None) -> Diagnosis:
    """Return the diagnosis of one failure text; category unknown and low confidence where nothing fits."""
    return diagnose_failure(parse(text), state_type=state_type)


def diagnose_failure(failure: Failure, *, state_type: str | None = None, context: str = "") -> Diagnosis:
    """Return the diagnosis of a parsed failure; ``context`` are further lines of the same attempt."""
    mark = failure.fingerprint
    if state_type and state_type.upper() in {"CANCELLED", "CANCELLING"}:
        return _cancelled(failure, mark)
    candidates = sorted(_candidates(failure, context.lower()), key=lambda item: -item.score)
    best = candidates[0] if candidates and candidates[0].score >= THRESHOLD else None
    learnt = judge(failure) if failure.units else None
    if best is None:
        if learnt and learnt.confidence >= LEARNT:
            return _learnt(failure, mark, learnt, candidates)
        return _unknown(failure, mark, candidates, passes=learnt.passes if learnt else 0.0)
    concluded = _concluded(failure, mark, best, _alternatives(best, candidates[1:]))
    rival = next((one.score for one in candidates if one.pattern.category is not best.pattern.category), 0.0)
    return concluded.model_copy(update=_weighed(best, rival, learnt, concluded))


def _weighed(best: Candidate, rival: float, learnt: Judgement | None, concluded: Diagnosis) -> dict[str, Any]:
    """Return how sure to be, and what else to consider, after the trained model read the same failure."""
    agrees = learnt is not None and learnt.category is best.pattern.category
    share = min(max(best.score, 0.02), 0.985)
    opinion = learnt.confidence * (1.0 if agrees else -1.0) if learnt else 0.0
    odds = OF_SCORE * math.log(share / (1.0 - share)) + OF_OPINION * opinion + OFFSET
    odds += OF_LEAD * (best.score - rival)
    found: dict[str, Any] = {"confidence": round(1.0 / (1.0 + math.exp(-odds)), 3)}
    if learnt is None:
        return found
    known = {alternative.category for alternative in concluded.alternatives}
    if not agrees and learnt.confidence >= LEARNT and learnt.category not in known:
        likeness = f"It reads like {learnt.category.value} failures ({learnt.confidence:.2f})"
        reason = f"{likeness}, but {best.pattern.cause} says more: {best.score:.2f}"
        other = Alternative(category=learnt.category, reason=reason)
        found["alternatives"] = (*concluded.alternatives, other)[:MAX_ALTERNATIVES]
    return found


def _candidates(failure: Failure, context: str) -> Iterator[Candidate]:
    everything = f"{failure.text.lower()}\n{context}"
    informative = [(unit, unit.text.lower()) for unit in failure.units if unit.text]
    # What no unit can meet is left out once for all units, not once for each.
    said = words_said("\0".join(lowered for _, lowered in informative))
    telling = [unit for unit in failure.units if unit.codes or unit.name or unit.symbols]
    patterns = [pattern for pattern in load_patterns() if pattern.may_match(telling, said, everything)]
    for step, (unit, lowered) in enumerate(informative):
        discount = ROLE_DISCOUNT[unit.role] if len(informative) > 1 else 0.0
        discount += min(STEP_DISCOUNT * step, MAX_STEP_DISCOUNT)
        for pattern in patterns:
            if pattern.roles and unit.role not in pattern.roles:
                continue
            if pattern.matches(unit, lowered, everything):
                yield Candidate(pattern, unit, pattern.confidence - discount)


def _alternatives(best: Candidate, others: list[Candidate]) -> tuple[Alternative, ...]:
    found: dict[IssueCategory, Alternative] = {}
    for other in others:
        category = other.pattern.category
        if category is not best.pattern.category and category not in found:
            weights = f"{other.score:.2f} against {best.score:.2f}"
            reason = f"{other.pattern.cause} ({other.unit.where}) says less: {weights}"
            found[category] = Alternative(category=category, reason=reason)
    return tuple(found.values())[:MAX_ALTERNATIVES]


def _concluded(
    failure: Failure, mark: str, best: Candidate, alternatives: tuple[Alternative, ...]
) -> Diagnosis:
    pattern, unit, call = best.pattern, best.unit, failure.call
    status = call.status if call and call.status else http_status(unit.codes)
    waited = failure.retry_after_s
    refused = pattern.refused or (pattern.transient and status in WAIT_IS_A_LIMIT and waited is not None)
    root = failure.root
    first = unit.text.split("\n", 1)[0]
    return Diagnosis(
        category=pattern.category,
        confidence=round(min(max(best.score, 0.0), 1.0), 3),
        severity=pattern.severity,
        transient=pattern.transient,
        remedy=pattern.remedy,
        service=find_service(failure),
        root_cause=f"{pattern.cause}: {first[:MAX_QUOTE]}",
        pattern=pattern.name,
        fingerprint=mark,
        exception=(unit.name or (root.name if root else None)) or None,
        status=status,
        retry_after_s=waited,
        connection=call.connection if call else None,
        effect=call.effect if call else "unknown",
        refused=refused,
        evidence=_evidence(unit),
        alternatives=alternatives,
    )


def _evidence(unit: Unit) -> tuple[EvidenceLine, ...]:
    lines = [EvidenceLine(text=unit.text[:MAX_QUOTE], where=unit.where)]
    frame = unit.own_frame
    if frame is not None:
        said = f"{frame.function}: {frame.code}" if frame.code else frame.function
        lines.append(
            EvidenceLine(
                text=(said or "no source line was told")[:MAX_QUOTE], where=f"{frame.file}:{frame.line}"
            )
        )
    return tuple(lines)


REMEDY_OF: dict[tuple[IssueCategory, bool], RemedyClass] = {
    (IssueCategory.LOGIC, False): "fix_code",
    (IssueCategory.DATA, False): "fix_data",
    (IssueCategory.CONFIGURATION, False): "fix_configuration",
    (IssueCategory.CONNECTIVITY, False): "fix_configuration",
    (IssueCategory.PERMISSIONS, False): "grant_permission",
    (IssueCategory.TIMEOUT, False): "raise_timeout",
}
"""What to do first about a kind of failure of which no more is known; what passes is tried again."""


def _learnt(failure: Failure, mark: str, learnt: Judgement, candidates: list[Candidate]) -> Diagnosis:
    """Return what the trained model says, never surer than it was right where it was held out."""
    unit, passing = failure.units[0], learnt.passes >= PASSES
    others = [other for other in candidates if other.pattern.category is not learnt.category][:1]
    return Diagnosis(
        category=learnt.category,
        confidence=round(learnt.confidence, 3),
        severity=Severity.MEDIUM if passing else Severity.HIGH,
        transient=passing,
        remedy="retry_backoff" if passing else REMEDY_OF.get((learnt.category, False), "none"),
        service=find_service(failure),
        root_cause=f"It reads like {learnt.category.value} failures: {_first_line(unit)}",
        pattern="learnt",
        fingerprint=mark,
        exception=unit.name or None,
        status=http_status(unit.codes),
        retry_after_s=failure.retry_after_s,
        connection=failure.call.connection if failure.call else None,
        effect=failure.call.effect if failure.call else "unknown",
        evidence=_evidence(unit),
        alternatives=tuple(
            Alternative(category=other.pattern.category, reason=f"{other.pattern.cause} fits too loosely")
            for other in others
        ),
    )


def _sounds_passing(failure: Failure) -> bool:
    """Tell whether the text of an unknown failure speaks of something that passes."""
    lowered = failure.text.lower()
    return failure.root is None and any(word in lowered for word in PASSING_WORDS)


def _first_line(unit: Unit) -> str:
    return unit.text.split("\n", 1)[0][:MAX_QUOTE]


def _unknown(failure: Failure, mark: str, candidates: list[Candidate], *, passes: float = 0.0) -> Diagnosis:
    unit = failure.units[0] if failure.units and failure.units[0].text else None
    remedy: RemedyClass = "none"
    return Diagnosis(
        category=IssueCategory.UNKNOWN,
        confidence=round(max((c.score for c in candidates), default=0.0), 3) if candidates else 0.0,
        severity=Severity.MEDIUM,
        transient=passes >= PASSES or _sounds_passing(failure),
        remedy=remedy,
        service=find_service(failure),
        root_cause=f"No known cause fits: {unit.text[:MAX_QUOTE]}"
        if unit
        else "The failure left no text to read.",
        fingerprint=mark,
        exception=(unit.name or None) if unit else None,
        connection=failure.call.connection if failure.call else None,
        effect=failure.call.effect if failure.call else "unknown",
        evidence=_evidence(unit) if unit else (),
        missing=() if unit else ("failure text",),
    )


def _cancelled(failure: Failure, mark: str) -> Diagnosis:
    said = failure.units[0].text[:MAX_QUOTE] if failure.units else ""
    return Diagnosis(
        category=IssueCategory.UNKNOWN,
        confidence=0.95,
        severity=Severity.INFO,
        transient=False,
        remedy="none",
        root_cause=f"The run was cancelled, which is no failure{': ' + said if said else '.'}",
        pattern="cancelled",
        fingerprint=mark,
        evidence=_evidence(failure.units[0]) if said else (),
    )
