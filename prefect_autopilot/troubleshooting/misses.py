"""Where the failure patterns missed: what none of them decided, and what one decided without helping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from prefect_autopilot.models import IssueCategory, TroubleshootingSession

LEARNT = "learnt"
"""What the diagnosis names where the trained model decided and no pattern did."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Failures of one fingerprint that no pattern knew."""

    fingerprint: str
    times: int
    workflows: int
    last: datetime
    category: IssueCategory
    exception: str | None
    quote: str
    """First line of evidence, redacted when it was stored."""
    session_id: str
    """The latest session, to look at."""


@dataclass(frozen=True, slots=True)
class Unhelpful:
    """A pattern whose remedy was tried and then seen not to help."""

    pattern: str
    remedy: str
    tried: int
    failed: int


def undecided(sessions: Iterable[TroubleshootingSession], since: datetime) -> tuple[Undecided, ...]:
    """Return what no pattern decided since a moment, the most frequent first; a guess is no pattern."""
    groups: dict[str, list[TroubleshootingSession]] = {}
    for one in sessions:
        told = one.diagnosis
        if told is None or one.start_time < since or told.pattern not in {None, LEARNT}:
            continue
        groups.setdefault(told.fingerprint or one.fingerprint, []).append(one)
    found = [_summed(mark, group) for mark, group in groups.items()]
    return tuple(sorted(found, key=lambda one: (-one.times, -one.last.timestamp(), one.fingerprint)))


def unhelpful(sessions: Iterable[TroubleshootingSession], since: datetime) -> tuple[Unhelpful, ...]:
    """Return the patterns whose remedies were seen to fail since a moment, the most often failed first."""
    tried: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for one in sessions:
        pattern = one.diagnosis.pattern if one.diagnosis else None
        if pattern is None or one.start_time < since:
            continue
        for attempt in one.attempts:
            seen = attempt.verification
            if attempt.applied_at is None or seen is None or seen.outcome not in {"verified", "failed"}:
                continue
            key = (pattern, attempt.remedy.kind)
            tried[key] += 1
            failed[key] += seen.outcome == "failed"
    return tuple(
        Unhelpful(pattern=pattern, remedy=remedy, tried=tried[pattern, remedy], failed=count)
        for (pattern, remedy), count in failed.most_common()
        if count
    )


def _summed(mark: str, group: Sequence[TroubleshootingSession]) -> Undecided:
    latest = max(group, key=lambda one: (one.start_time, one.session_id))
    told = latest.diagnosis
    assert told is not None
    return Undecided(
        fingerprint=mark,
        # Runs of one cause share a session in a storm.
        times=sum(1 + (one.storm.runs if one.storm else 0) for one in group),
        workflows=len({one.workflow_id for one in group}),
        last=latest.start_time,
        category=told.category,
        exception=told.exception,
        quote=told.evidence[0].text if told.evidence else told.root_cause,
        session_id=latest.session_id,
    )
