"""The journal of remedies: the intent before the act, the result after it, and never the same act twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import TERMINAL_STATES, GoodAgain, Recurrence, Remedy, Value
from prefect_autopilot.store import tables
from prefect_autopilot.store.encoding import clean, dump, load
from prefect_autopilot.store.leases import WATCHER_LEASE, Leases
from prefect_autopilot.store.switches import Switches
from prefect_autopilot.troubleshooting.learning import Record

_RESET = "records:reset"
_OBSERVED = 200
"""Latest outcomes of a cause that are counted."""

JournalOutcome = Literal["applied", "failed", "skipped", "unknown"]
"""What became of an intent; unknown: a crash came in between and the world did not tell."""


UNDO = "undo "
"""How the kind of an entry begins that takes a remedy back; its attempt is that of the remedy, negative."""


class JournalEntry(Value):
    """An intended remedy; without ``outcome`` nobody knows yet whether it was applied."""

    id: int
    session_id: str
    flow_run_id: str
    state_id: str
    attempt: int
    kind: str
    """What was to be done: the remedy of that name, or its taking back."""
    remedy: Remedy
    lease_token: int | None = None
    intended_at: datetime
    outcome: JournalOutcome | None = None
    detail: str = ""
    finished_at: datetime | None = None


class Journal(Switches, Leases):
    """Intents and results, and what the gate counts: attempts, remedies in a time, failed verifications."""

    async def journal_intent(
        self,
        session_id: str,
        flow_run_id: str,
        state_id: str,
        attempt: int,
        remedy: Remedy,
        lease_token: int | None,
        now: datetime,
        *,
        lease: str = WATCHER_LEASE,
        most_per_minute: int | None = None,
        undo: bool = False,
        by_person: bool = False,
    ) -> int | None:
        """Journal that a remedy is about to be applied to this state of a run; return the entry's id.

        None where the same kind of remedy was intended for this state before: then it must not be applied,
        whatever became of it. Raises ConflictError when ``lease_token`` is not the lease's newest, checked
        in the same transaction; without a token (a person asks) no lease is checked. Raises ConflictError,
        too, while all remedies are paused, and when ``most_per_minute`` others were intended in the last
        minute: sessions that decide side by side must not spend the same budget. ``undo`` journals that the
        remedy is about to be taken back, which no budget counts; ``by_person`` that somebody asks for it,
        whom no pause holds.
        """
        insert = self._database.insert(tables.journal).values(
            session_id=session_id,
            flow_run_id=flow_run_id,
            state_id=state_id,
            attempt=-attempt if undo else attempt,
            kind=_kind(remedy, undo=undo, by_person=by_person),
            remedy=dump(remedy, self._secrets),
            lease_token=lease_token,
            intended_at=now,
            detail="",
        )
        statement = insert.on_conflict_do_nothing().returning(tables.journal.c.id)
        async with self._database.write() as connection:
            if not by_person:
                await self._refuse_if_paused(connection)
            if lease_token is not None:
                await self._check_lease(connection, lease, lease_token, now)
            if most_per_minute is not None:
                await self._check_budget(connection, most_per_minute, now)
            entry_id: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return entry_id

    async def journal_resume(
        self,
        session_id: str,
        state_id: str,
        remedy: Remedy,
        lease_token: int,
        now: datetime,
        *,
        lease: str,
        undo: bool = False,
        by_person: bool = False,
    ) -> int | None:
        """Take an intent of the session on that a crash left without a result; return its id, None if none.

        For this state and kind of remedy only, and only under a later token than that of the intent: whoever
        made it has lost the lease. Lease and pause are checked as for a new intent.
        """
        column = tables.journal.c
        statement = (
            update(tables.journal)
            .where(
                column.session_id == session_id,
                column.state_id == state_id,
                column.kind == _kind(remedy, undo=undo, by_person=by_person),
                column.outcome.is_(None),
                column.lease_token < lease_token,
            )
            .values(lease_token=lease_token, remedy=dump(remedy, self._secrets))
            .returning(column.id)
        )
        async with self._database.write() as connection:
            if not by_person:
                await self._refuse_if_paused(connection)
            await self._check_lease(connection, lease, lease_token, now)
            entry_id: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return entry_id

    async def must_hold(
        self, lease: str, lease_token: int, now: datetime, *, by_person: bool = False
    ) -> None:
        """Raise ConflictError where the lease is another's by now, or all remedies are paused."""
        async with self._database.write() as connection:
            if not by_person:
                await self._refuse_if_paused(connection)
            await self._check_lease(connection, lease, lease_token, now)

    async def journal_result(
        self, entry_id: int, outcome: JournalOutcome, detail: str, now: datetime
    ) -> None:
        """Journal what became of an intent; raises ConflictError where that is written already."""
        column = tables.journal.c
        statement = (
            update(tables.journal)
            .where(column.id == entry_id, column.outcome.is_(None))
            .values(outcome=outcome, detail=clean(detail, self._secrets), finished_at=now)
        )
        async with self._database.write() as connection:
            if (await connection.execute(statement)).rowcount == 1:
                return
            query = select(column.outcome).where(column.id == entry_id)
            known = (await connection.execute(query)).scalar_one_or_none()
        if known is None:
            raise UnknownNameError("journal entry", str(entry_id))
        raise ConflictError(f"Journal entry {entry_id} already ended as {known}; a result is written once.")

    async def open_intents(self) -> tuple[JournalEntry, ...]:
        """Return intents without a result: a crash came in between; look at the run, never repeat the act."""
        return await self._entries(tables.journal.c.outcome.is_(None))

    async def journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        """Return the entries of a session in the order they were made."""
        return await self._entries(tables.journal.c.session_id == session_id)

    async def journal_of_run(self, flow_run_id: str) -> tuple[JournalEntry, ...]:
        """Return the entries for a run in any session, in the order they were made."""
        return await self._entries(tables.journal.c.flow_run_id == flow_run_id)

    async def attempts_for(self, flow_run_id: str) -> int:
        """Count the acts intended for a run, whatever became of them."""
        return await self._count(tables.journal.c.flow_run_id == flow_run_id)

    async def remedies_since(self, when: datetime) -> int:
        """Count the acts intended since, whatever became of them; questions to a person do not count."""
        return await self._count(tables.journal.c.intended_at >= when)

    async def record_verification(
        self,
        session_id: str,
        attempt: int,
        fingerprint: str,
        deployment_id: str | None,
        outcome: Literal["verified", "failed", "unverified"],
        now: datetime,
    ) -> None:
        """Record what a verification found, for the breaker; the last record of an attempt counts."""
        found = {
            "fingerprint": fingerprint,
            "deployment_id": deployment_id or "",
            "outcome": outcome,
            "at": now,
        }
        insert = self._database.insert(tables.verifications).values(
            session_id=session_id, attempt=attempt, **found
        )
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(index_elements=["session_id", "attempt"], set_=found)
            )

    async def failed_verifications(self, fingerprint: str, deployment_id: str | None) -> int:
        """Count the failed verifications of a cause on a deployment since the last one that succeeded."""
        column = tables.verifications.c
        cause = and_(column.fingerprint == fingerprint, column.deployment_id == (deployment_id or ""))
        last_good = select(func.max(column.at)).where(cause, column.outcome == "verified").scalar_subquery()
        query = select(func.count()).where(
            cause, column.outcome == "failed", or_(last_good.is_(None), column.at > last_good)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def verified_since(
        self, fingerprint: str, deployment_id: str | None, since: datetime, *, besides: str
    ) -> JournalEntry | None:
        """Return the last remedy of another session that was seen to help with a cause since then."""
        seen, done = tables.verifications.c, tables.journal.c
        query = (
            select(*(done[name] for name in JournalEntry.model_fields))
            .join_from(
                tables.verifications,
                tables.journal,
                and_(done.session_id == seen.session_id, done.attempt == seen.attempt),
            )
            .where(
                seen.fingerprint == fingerprint,
                seen.deployment_id == (deployment_id or ""),
                seen.outcome == "verified",
                seen.at >= since,
                seen.session_id != besides,
            )
            .order_by(seen.at.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return load(JournalEntry, dict(row)) if row is not None else None

    async def remedy_records(self, fingerprint: str, deployment_id: str | None) -> dict[str, Record]:
        """Return what each kind of remedy was worth for a cause on a deployment, since it was last reset."""
        return (await self.all_remedy_records()).get((fingerprint, deployment_id or ""), {})

    async def all_remedy_records(self) -> dict[tuple[str, str], dict[str, Record]]:
        """Return the records of every cause and deployment by kind; what is unverified counts for neither."""
        seen, done = tables.verifications.c, tables.journal.c
        reset = select(tables.cursors.c.value).where(tables.cursors.c.name == _RESET).scalar_subquery()
        query = (
            select(seen.fingerprint, seen.deployment_id, done.kind, seen.outcome, func.count().label("n"))
            .join_from(
                tables.verifications,
                tables.journal,
                and_(done.session_id == seen.session_id, done.attempt == seen.attempt),
            )
            .where(seen.outcome.in_(("verified", "failed")), or_(reset.is_(None), seen.at > reset))
            .group_by(seen.fingerprint, seen.deployment_id, done.kind, seen.outcome)
        )
        found: dict[tuple[str, str], dict[str, Record]] = {}
        async with self._database.read() as connection:
            for row in (await connection.execute(query)).all():
                records = found.setdefault((row.fingerprint, row.deployment_id), {})
                before = records.get(row.kind, Record())
                good, bad = (row.n, 0) if row.outcome == "verified" else (0, row.n)
                records[row.kind] = Record(before.good + good, before.bad + bad)
        return found

    async def recurrence(self, fingerprint: str, workflow_id: str, *, besides: str) -> Recurrence:
        """Return how often a workflow had a cause before the session ``besides``, and what helped last.

        Runs that joined a session are counted as well.
        """
        session, seen, done = tables.sessions.c, tables.verifications.c, tables.journal.c
        before = and_(
            session.fingerprint == fingerprint, session.workflow_id == workflow_id, session.id != besides
        )
        joined = func.coalesce(func.sum(session.body["further_runs"].as_integer()), 0)
        latest = func.max(session.start_time, type_=tables.Moment())
        times = select(func.count() + joined, latest).where(before)
        observed = (
            select(done.kind, seen.outcome)
            .join_from(
                tables.verifications,
                tables.journal,
                and_(done.session_id == seen.session_id, done.attempt == seen.attempt),
            )
            .where(
                seen.fingerprint == fingerprint,
                seen.deployment_id.in_((workflow_id, "")),
                seen.outcome.in_(("verified", "failed")),
            )
            .order_by(seen.at.desc())
            .limit(_OBSERVED)
        )
        good = session.body["good_again"]
        cured = (
            select(good)
            .where(before, good["run_id"].as_string().is_not(None))
            .order_by(session.start_time.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            ended_well = (await connection.execute(cured)).scalar_one_or_none()
            count, last_at = (await connection.execute(times)).one()
            rows = [(kind, outcome) for kind, outcome in (await connection.execute(observed)).all()]
        helped = next((kind for kind, outcome in rows if outcome == "verified"), None)
        outcomes = [outcome for kind, outcome in rows if kind == helped]
        return Recurrence(
            times=count + 1,
            last_at=last_at,
            remedy=helped,
            held=outcomes.count("verified"),
            tried=len(outcomes),
            good_again=None if ended_well is None else load(GoodAgain, ended_well),
        )

    async def reset_remedy_records(self, by: str, now: datetime) -> None:
        """Begin all records anew; what was observed before stays in the store and no longer counts."""
        insert = self._database.insert(tables.cursors).values(name=_RESET, value=now)
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(index_elements=["name"], set_={"value": now})
            )
            await self._append_audit(connection, by, "records reset", "everything", {}, now)

    async def runs_ended_since(self, when: datetime) -> int:
        """Count the observed runs that ended since."""
        column = tables.runs.c
        query = select(func.count()).where(
            column.state_at >= when, column.state_type.in_(sorted(TERMINAL_STATES))
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def _check_budget(self, connection: AsyncConnection, most: int, now: datetime) -> None:
        query = _acts(tables.journal.c.intended_at >= now - timedelta(minutes=1))
        used = (await connection.execute(query)).scalar_one()
        if used >= most:
            raise ConflictError(
                f"{used} of {most} remedies a minute were used meanwhile; the gate is asked again later.",
                permanent=False,
            )

    async def _count(self, condition: ColumnElement[bool]) -> int:
        async with self._database.read() as connection:
            return (await connection.execute(_acts(condition))).scalar_one()

    async def _entries(self, condition: ColumnElement[bool]) -> tuple[JournalEntry, ...]:
        column = tables.journal.c
        fields = [column[name] for name in JournalEntry.model_fields]
        query = select(*fields).where(condition).order_by(column.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(load(JournalEntry, dict(row)) for row in rows)


def _kind(remedy: Remedy, *, undo: bool, by_person: bool) -> str:
    # A person who came too late to take it back must not keep us from doing so where it did not help.
    whose = " for a person" if by_person else ""
    return f"{UNDO}{remedy.kind}{whose}" if undo else remedy.kind


def _acts(condition: ColumnElement[bool]) -> Select[int]:
    """Count the acts that were intended; questions to a person, what was skipped or undone are none."""
    column = tables.journal.c
    counted = and_(
        column.kind != "ask_owner",
        column.kind.not_like(f"{UNDO}%"),
        or_(column.outcome.is_(None), column.outcome != "skipped"),
    )
    return select(func.count()).select_from(tables.journal).where(condition, counted)
