"""From the text of a failure to a diagnosis, by codes and patterns; what fits nothing stays unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from prefect_autopilot.models import (
    Alternative,
    Diagnosis,
    EvidenceLine,
    IssueCategory,
    RemedyClass,
    Severity,
)
from prefect_autopilot.troubleshooting.codes import http_status
from prefect_autopilot.troubleshooting.failure import Failure, Unit
from prefect_autopilot.troubleshooting.knowledge import Pattern, load_patterns, words_said
from prefect_autopilot.troubleshooting.model import LASTING, Judgement, first_remedy, judge
from prefect_autopilot.troubleshooting.parse import parse
from prefect_autopilot.troubleshooting.technologies import find_service
from prefect_autopilot.troubleshooting.text import FAILS, searched, without_command

ROLE_DISCOUNT = {"raised": 0.0, "error": 0.04, "plain": 0.04, "warning": 0.12, "info": 0.30}
"""How much less a line of this kind says than the exception that ended the run."""
STEP_DISCOUNT = 0.05
MAX_STEP_DISCOUNT = 0.2
THRESHOLD = 0.35
ANSWERED, ANSWERED_BRIEF = 0.4, 0.6
"""What an opinion that no pattern shares must be sure of to be told at all; the second of a few words."""
PASSES, PASSES_AGAINST_KIND, PASSES_UNKNOWN = 0.3, 0.5, 0.3
"""From which probability on what no pattern knows is said to pass; the second where its kind mostly lasts,
the third where its kind is not known: that it lasts is said of what is known, and of little else."""
UNSURE, FITS_PASSING, READS_PASSING = 0.8, 0.7, 0.7
"""Below the first confidence it is not said that a failure lasts where a pattern of what passes fits with the
second score and the trained model takes it, with the third probability, for one that passes."""
DECIDES = 0.965
"""A pattern with this confidence was written against what misleads: that is no doubt about it."""
FIRM = 0.84
"""A pattern with this score decides; what the trained model thinks changes only how sure that is."""
OF_SCORE, OF_SHARE, OF_FIRM = 0.53, 0.77, 1.5
"""How the log-odds of a pattern's score, the log-share of the trained model and a firm pattern add up for a
category: logistic regression on failures of technologies that the model had not seen."""
SUREST = 0.97
"""What is left of a confidence: of 81 unseen failures that were told with more than 0.9, 79 were right."""
NOTHING_SAID, LEAST_SHARE, MOST_SCORE = 0.03, 0.001, 0.985
_WISH = re.compile(r"\W*(?:please|every|each|whenever|when|once|daily|at \d|on \w+days?)\b", re.IGNORECASE)
"""How somebody begins who says what is to be done, and no log does."""
CLASS_SAYS_NOTHING = frozenset({"own-exception", "value-error"})
OF_WORDS_ALONE = 0.6
"""How sure the trained model must be of a sentence for its class, RuntimeError or the like, not to count."""
MAX_QUOTE = 400
MAX_ALTERNATIVES = 3
CATEGORIES = tuple(category for category in IssueCategory if category is not IssueCategory.UNKNOWN)
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
    if (several := _side_by_side(failure)) is not None:
        return several
    candidates = sorted(_candidates(failure, context.lower()), key=lambda item: -item.score)
    learnt = judge(failure) if failure.units else None
    if (opinion := _of_the_words_alone(candidates)) is not None:
        learnt = opinion
        candidates = [one for one in candidates if one.pattern.name not in CLASS_SAYS_NOTHING]
    shares = _pooled(candidates, learnt)
    first = candidates[0] if candidates else None
    firm = first is not None and first.score >= FIRM
    category = first.pattern.category if first and firm else max(shares, key=shares.__getitem__)
    others = _alternatives(category, shares, candidates, learnt)
    best = next((one for one in candidates if one.pattern.category is category), None)
    if best is not None and best.score >= THRESHOLD:
        told = _concluded(failure, mark, best, shares[category], others)
        return _doubted(told, best, candidates, learnt)
    if learnt is not None and shares[category] >= _least(failure, learnt):
        return _learnt(failure, mark, category, shares[category], learnt.passes, others)
    if first is not None and first.score >= THRESHOLD:
        # The model leans elsewhere and is not sure enough: what a pattern knows is more than nothing.
        known = first.pattern.category
        others = _alternatives(known, shares, candidates, learnt)
        told = _concluded(failure, mark, first, shares[known], others)
        return _doubted(told, first, candidates, learnt)
    return _unknown(failure, mark, shares[category] if candidates else 0.0, learnt)


def _of_the_words_alone(candidates: list[Candidate]) -> Judgement | None:
    """Return the opinion on the message where only a class that anything is raised with was recognised."""
    if not candidates or candidates[0].pattern.name not in CLASS_SAYS_NOTHING:
        return None
    message = candidates[0].unit.text.partition(": ")[2]
    opinion = judge(parse(message)) if " " in message else None
    if opinion is None or opinion.category is IssueCategory.LOGIC or opinion.confidence < OF_WORDS_ALONE:
        return None
    return opinion


def _side_by_side(failure: Failure) -> Diagnosis | None:
    """Return the diagnosis of an ExceptionGroup whose members failed differently; None where they did not.

    It passes only where all of them do: what lasts is told first, and nothing that failed is an alternative.
    """
    leaves = failure.leaves
    # Its own text only: a word or an address of another member says nothing of this one.
    alone = (replace(failure, units=(replace(leaf, depth=0),), text=leaf.text) for leaf in leaves)
    told = [diagnose_failure(one) for one in alone]
    if len({(one.category, one.transient) for one in told}) <= 1:
        return None
    first, *others = sorted(told, key=lambda one: (one.transient, -one.confidence))
    lasts = [one for one in others if not one.transient]
    beside = "; ".join(dict.fromkeys(one.root_cause for one in others))
    return first.model_copy(
        update={
            "fingerprint": failure.fingerprint,
            "confidence": min([first.confidence, *(one.confidence for one in lasts)]),
            "root_cause": f"{first.root_cause}. Beside it failed: {beside}",
            "evidence": tuple(line for one in (first, *others) for line in one.evidence),
            "alternatives": (),
        }
    )


def _doubted(
    told: Diagnosis, best: Candidate, candidates: list[Candidate], learnt: Judgement | None
) -> Diagnosis:
    """Return a diagnosis that does not say "lasts" where that is unsure and two opinions say "passes"."""
    decided = told.transient or told.confidence >= UNSURE or best.pattern.confidence >= DECIDES
    if decided or learnt is None or learnt.passes < READS_PASSING:
        return told
    passing = next((one for one in candidates if one.pattern.transient), None)
    if passing is None or passing.score < FITS_PASSING:
        return told
    severity = Severity.MEDIUM if told.severity is Severity.HIGH else told.severity
    return told.model_copy(update={"transient": True, "remedy": passing.pattern.remedy, "severity": severity})


def _least(failure: Failure, learnt: Judgement) -> float:
    """Return how sure the trained model must be of a failure that no pattern knows."""
    if not _tells_of_failure(failure):
        return 1.0
    return ANSWERED_BRIEF if learnt.brief else ANSWERED


def _tells_of_failure(failure: Failure) -> bool:
    """Tell whether a text names an exception, a level, a code or trouble; a wish or a note does not."""
    named = any(unit.role != "plain" or unit.codes or unit.symbols for unit in failure.units)
    return named or (FAILS.search(searched(failure.text)) is not None and not _WISH.match(failure.text))


def _pooled(candidates: list[Candidate], learnt: Judgement | None) -> dict[IssueCategory, float]:
    """Return how probable each category is after the patterns and the trained model read the same failure."""
    scores: dict[IssueCategory, float] = {}
    for one in candidates:
        scores.setdefault(one.pattern.category, min(max(one.score, NOTHING_SAID), MOST_SCORE))
    odds: dict[IssueCategory, float] = {}
    for category in CATEGORIES:
        share = learnt.shares.get(category, 0.0) if learnt else 1.0
        said = _log_odds(scores.get(category, NOTHING_SAID)) - _log_odds(NOTHING_SAID)
        odds[category] = OF_SCORE * said + OF_SHARE * math.log(max(share, LEAST_SHARE))
    if candidates and candidates[0].score >= FIRM:
        odds[candidates[0].pattern.category] += OF_FIRM
    highest = max(odds.values())
    parts = {category: math.exp(value - highest) for category, value in odds.items()}
    whole = sum(parts.values())
    return {category: SUREST * part / whole for category, part in parts.items()}


def _log_odds(share: float) -> float:
    return math.log(share / (1.0 - share))


def _candidates(failure: Failure, context: str) -> Iterator[Candidate]:
    everything = f"{failure.text.lower()}\n{context}"
    informative = [(unit, without_command(unit.text).lower()) for unit in failure.units if unit.text]
    # What no unit can meet is left out once for all units, not once for each.
    said = words_said("\0".join(lowered for _, lowered in informative))
    telling = [unit for unit in failure.units if unit.codes or unit.name or unit.symbols]
    patterns = [pattern for pattern in load_patterns() if pattern.may_match(telling, said, everything)]
    step = 0
    for unit, lowered in informative:
        discount = ROLE_DISCOUNT[unit.role] if len(informative) > 1 else 0.0
        discount += min(STEP_DISCOUNT * step, MAX_STEP_DISCOUNT)
        for pattern in patterns:
            if pattern.roles and unit.role not in pattern.roles:
                continue
            if pattern.matches(unit, lowered, everything):
                # A vendor's code, and what was written against misleading words, must not lose to the words
                # of a later line.
                weighty = pattern.confidence >= DECIDES or (pattern.codes and _by_vendor(unit))
                less = discount / 2 if weighty else discount
                yield Candidate(pattern, unit, pattern.confidence - less)
        step += unit.tells


def _by_vendor(unit: Unit) -> bool:
    """Tell whether a unit holds a code that says why, not only how an HTTP call or a process ended."""
    return any(not code.startswith(("http:", "exit:", "signal:", "grpc:")) for code in unit.codes)


def _alternatives(
    chosen: IssueCategory,
    shares: dict[IssueCategory, float],
    candidates: list[Candidate],
    learnt: Judgement | None,
) -> tuple[Alternative, ...]:
    """Return the categories that something speaks for, the most probable first, each with why not."""
    reasons: dict[IssueCategory, str] = {}
    decided = next((one for one in candidates if one.pattern.category is chosen), None)
    for other in candidates:
        if other.pattern.category not in reasons:
            reasons[other.pattern.category] = _against(other, decided, chosen)
    if learnt is not None and learnt.confidence >= ANSWERED:
        but = f"; {_by(decided)} decided" if decided else ""
        reasons.setdefault(learnt.category, f"It reads like {learnt.category.value} failures{but}")
    reasons.pop(chosen, None)
    first = sorted(reasons, key=lambda one: -shares[one])[:MAX_ALTERNATIVES]
    said = {one: f"{reasons[one]} ({shares[one]:.2f} against {shares[chosen]:.2f})" for one in first}
    return tuple(Alternative(category=one, reason=reason) for one, reason in said.items())


def _against(other: Candidate, decided: Candidate | None, chosen: IssueCategory) -> str:
    """Say what speaks for another cause, and which line and sign decided against it."""
    fits = f"{other.pattern.cause} would fit {_by(other)}"
    if decided is None:
        return f"{fits}, but the whole reads like {chosen.value} failures"
    if other.unit is decided.unit:
        return f"{fits}, but {decided.pattern.ground(decided.unit)} there says more"
    if ROLE_DISCOUNT[other.unit.role] > ROLE_DISCOUNT[decided.unit.role]:
        return f"{fits}, a line that raises nothing; {_by(decided)} decided"
    return f"{fits}, but {_by(decided)} stands nearer to the cause"


def _by(one: Candidate) -> str:
    return f"{one.unit.where} by {one.pattern.ground(one.unit)}"


def _concluded(
    failure: Failure, mark: str, best: Candidate, sure: float, alternatives: tuple[Alternative, ...]
) -> Diagnosis:
    pattern, unit, call = best.pattern, best.unit, failure.call
    status = call.status if call and call.status else http_status(unit.codes)
    waited = failure.retry_after_s
    refused = pattern.refused or (pattern.transient and status in WAIT_IS_A_LIMIT and waited is not None)
    root = failure.root
    first = unit.text.split("\n", 1)[0]
    if not unit.tells:
        sure = min(sure, pattern.confidence)
    return Diagnosis(
        category=pattern.category,
        confidence=round(sure, 3),
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


def _learnt(
    failure: Failure,
    mark: str,
    category: IssueCategory,
    sure: float,
    passes: float,
    others: tuple[Alternative, ...],
) -> Diagnosis:
    """Return what the trained model says, never surer than it was right where it was held out."""
    unit = failure.units[0]
    passing = passes >= (PASSES_AGAINST_KIND if category in LASTING else PASSES)
    return Diagnosis(
        category=category,
        confidence=round(sure, 3),
        severity=Severity.MEDIUM if passing else Severity.HIGH,
        transient=passing,
        remedy=first_remedy(unit, category, passing=passing),
        service=find_service(failure),
        root_cause=f"It reads like {category.value} failures: {_first_line(unit)}",
        pattern="learnt",
        fingerprint=mark,
        exception=unit.name or None,
        status=http_status(unit.codes),
        retry_after_s=failure.retry_after_s,
        connection=failure.call.connection if failure.call else None,
        effect=failure.call.effect if failure.call else "unknown",
        evidence=_evidence(unit),
        alternatives=others,
    )


def _may_pass(failure: Failure, learnt: Judgement | None) -> bool:
    """Tell whether an unknown failure may pass; what tells of no failure is nothing to try again."""
    # Of a traceback that lost its exception only the code is left to look at.
    passes = 'File "' not in failure.text
    if learnt is not None:
        # Whoever is not sure of a kind cannot know that it lasts.
        passes = learnt.passes >= PASSES_UNKNOWN or learnt.confidence < ANSWERED_BRIEF
    return _tells_of_failure(failure) and (passes or _sounds_passing(failure))


def _sounds_passing(failure: Failure) -> bool:
    """Tell whether the text of an unknown failure speaks of something that passes."""
    lowered = failure.text.lower()
    return failure.root is None and any(word in lowered for word in PASSING_WORDS)


def _first_line(unit: Unit) -> str:
    return unit.text.split("\n", 1)[0][:MAX_QUOTE]


def _unknown(failure: Failure, mark: str, sure: float, learnt: Judgement | None) -> Diagnosis:
    unit = failure.units[0] if failure.units and failure.units[0].text else None
    remedy: RemedyClass = "none"
    return Diagnosis(
        category=IssueCategory.UNKNOWN,
        confidence=round(sure, 3),
        severity=Severity.MEDIUM,
        transient=_may_pass(failure, learnt),
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
