"""What would have been done where only proposals are made, and what happened then: counted, not estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Notice, ResolutionStatus, TroubleshootingSession, Value
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting.learning import wilson

TOLD_WITHIN = timedelta(days=3)
"""How long after its end people are still told of it."""
_PAGE = 500
_ONLY_CONSENT = frozenset({"mode", "shadow"})
_SAME = "the run has completed meanwhile"
_OTHER = "of the same work has completed since"
_CANCELLED = "somebody cancelled the run"
_AGAIN = "somebody started the run again"


class ShadowRecord(Value):
    """Proposals of one remedy that every check but the owner's consent had passed, by what happened then."""

    remedy: str
    proposed: int
    completed_again: int = 0
    """The same run was started again, by whomever, and completed: what was proposed would have helped."""
    other_run: int = 0
    """A later run of the same work completed: waiting for it was enough."""
    failed_again: int = 0
    cancelled: int = 0
    approved: int = 0
    denied: int = 0
    open: int = 0
    """Nothing has happened yet, or nobody saw it."""

    @property
    def helped(self) -> tuple[float, float]:
        """Return the 95 % interval of the share of restarted runs that completed (Wilson 1927)."""
        return wilson(self.completed_again, self.completed_again + self.failed_again)


async def shadow_records(store: Store) -> tuple[ShadowRecord, ...]:
    """Return what would have been done, by remedy, and what happened then."""
    counts: dict[str, Counter[str]] = {}
    offset = 0
    while page := await store.sessions(limit=_PAGE, offset=offset):
        for session in page:
            if (kind := would_have_done(session)) is not None:
                counts.setdefault(kind, Counter())[fate(session)] += 1
        offset += _PAGE
    return tuple(
        ShadowRecord.model_validate({"remedy": kind, "proposed": told.total(), **told})
        for kind, told in sorted(counts.items())
    )


async def tell_of_shadow(desk: Desk) -> bool:
    """Tell people once, when the first days are over, what would have been done in them and what happened."""
    until, now = desk.policy.shadow_until, desk.clock()
    if until is None or not until <= now < until + TOLD_WITHIN:
        return False
    told = [
        f"{one.remedy}: proposed {one.proposed}, started again and completed {one.completed_again},"
        f" failed again {one.failed_again}, another run completed {one.other_run}, nothing seen {one.open}"
        for one in await shadow_records(desk.store)
    ]
    notice = Notice(
        notice_id=f"shadow-{until.isoformat()}",
        outcome="info",
        title="From now on the policy acts: the time in which remedies were only shown is over",
        text="\n".join(told) or "In that time nothing would have been done.",
    )
    return await desk.store.queue_notice(notice, now)


def would_have_done(session: TroubleshootingSession) -> str | None:
    """Return the remedy that only the owner's consent kept from being done; None with any other reason."""
    decision = session.decision
    if decision is None or decision.action != "propose" or session.attempts:
        return None
    failed = {check.name for check in decision.checks if not check.passed}
    held = bool(failed) and failed <= _ONLY_CONSENT
    return decision.remedy.kind if held and decision.remedy.kind != "ask_owner" else None


def fate(session: TroubleshootingSession) -> str:
    """Return what became of the run of a proposal, by the session's own trail."""
    last = session.trail[-1] if session.trail else ""
    if session.approval is not None:
        return "approved"
    if session.resolution_status is not ResolutionStatus.CLOSED:
        return "open"
    told = (
        (_SAME, "completed_again"),
        (_OTHER, "other_run"),
        (_CANCELLED, "cancelled"),
        (_AGAIN, "failed_again"),
        ("denied by", "denied"),
    )
    return next((name for words, name in told if words in last), "open")


def lines(records: Iterable[ShadowRecord]) -> list[tuple[str, ...]]:
    """Return the rows of the table that people see."""
    return [
        (
            one.remedy,
            *(str(getattr(one, name)) for name in COLUMNS[1:]),
        )
        for one in records
    ]


COLUMNS = (
    "remedy",
    "proposed",
    "completed_again",
    "other_run",
    "failed_again",
    "cancelled",
    "approved",
    "denied",
    "open",
)
