"""Troubleshooting sessions: opened once per failed attempt of a run, saved only on top of what was read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import JSONDict, ResolutionStatus, TroubleshootingSession
from prefect_autopilot.store import tables
from prefect_autopilot.store.audit import Audit
from prefect_autopilot.store.encoding import dump, load
from prefect_autopilot.store.leases import Leases
from prefect_autopilot.store.runs import RUN_CLAIM
from prefect_autopilot.store.storms import Storms

_CHUNK = 500
_DONE = (ResolutionStatus.RESOLVED, ResolutionStatus.AUTO_RESOLVED, ResolutionStatus.CLOSED)


def run_claim(flow_run_id: str, run_count: int) -> str:
    """Return the key of the claim on one failed attempt of a run."""
    return f"{RUN_CLAIM}{flow_run_id}:{run_count}"


class Sessions(Storms, Audit, Leases):
    """Sessions by id, by run, by cause and by the time they want to be looked at again."""

    async def claim_session(self, session: TroubleshootingSession, holder: str, now: datetime) -> bool:
        """Claim the session's failed attempt and save the session, both or neither; False where it is taken.

        In one transaction: a crash between a claim and its session would lose the incident for ever.
        """
        if session.flow_run_id is None:
            raise ConflictError("Only the session of a run can be claimed; use save_session.")
        key = run_claim(session.flow_run_id, session.run_count)
        async with self._database.write() as connection:
            if not await self._claim(connection, key, holder, now):
                return False
            await self._insert_session(connection, session)
        return True

    async def save_session(self, session: TroubleshootingSession, expected_version: int | None) -> int:
        """Write a session and return its new version.

        ``expected_version`` is the version it was read at, None for a new one. Raises ConflictError where
        somebody else changed, made or deleted it meanwhile: read it again and decide again.
        """
        async with self._database.write() as connection:
            if expected_version is None:
                return await self._insert_session(connection, session)
            await self._update_session(connection, session, expected_version)
        return expected_version + 1

    async def merge_session(
        self,
        session: TroubleshootingSession,
        expected_version: int,
        gone: TroubleshootingSession,
        actor: str,
        now: datetime,
    ) -> None:
        """Save a session that took another one's run in, and drop that one, both or neither.

        The audit trails of both say so. Raises ConflictError as ``save_session`` does.
        """
        ident, other = session.session_id, gone.session_id
        async with self._database.write() as connection:
            await self._update_session(connection, session, expected_version)
            await self._drop_session(connection, other)
            joined = {"session": other, "run": gone.flow_run_id}
            await self._append_audit(connection, actor, "took in", ident, joined, now)
            await self._append_audit(connection, actor, "joined", other, {"session": ident}, now)

    async def load_session(self, session_id: str) -> tuple[TroubleshootingSession, int]:
        """Return a session with the version to save it on top of.

        Raises UnknownNameError where there is none.
        """
        found = await self._found(session_id)
        if found is None:
            raise UnknownNameError("session", session_id)
        return found

    async def session(self, session_id: str) -> TroubleshootingSession | None:
        """Return a session, None where there is none."""
        found = await self._found(session_id)
        return found[0] if found is not None else None

    async def _found(self, session_id: str) -> tuple[TroubleshootingSession, int] | None:
        column = tables.sessions.c
        query = select(column.body, column.version).where(column.id == session_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return (load(TroubleshootingSession, row.body), row.version) if row is not None else None

    async def sessions(
        self,
        workflow_id: str | None = None,
        status: ResolutionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[TroubleshootingSession, ...]:
        """Return the sessions that match, the latest first."""
        column = tables.sessions.c
        query = _newest().limit(limit).offset(offset)
        if workflow_id is not None:
            query = query.where(column.workflow_id == workflow_id)
        if status is not None:
            query = query.where(column.status == status.value)
        return await self._sessions(query)

    async def sessions_of(
        self, workflow_ids: Collection[str], statuses: Collection[ResolutionStatus], limit: int
    ) -> tuple[TroubleshootingSession, ...]:
        """Return the sessions of a workflow under any of its names that have one of these statuses."""
        column = tables.sessions.c
        named = column.workflow_id.in_(sorted(workflow_ids))
        wanted = column.status.in_(sorted(one.value for one in statuses))
        return await self._sessions(_newest().where(named, wanted).limit(limit))

    async def due_sessions(self, now: datetime, limit: int = 100) -> tuple[TroubleshootingSession, ...]:
        """Return the sessions that want to be looked at now, the longest overdue first."""
        column = tables.sessions.c
        query = (
            select(column.body).where(column.due_at <= now).order_by(column.due_at, column.id).limit(limit)
        )
        return await self._sessions(query)

    async def open_storms(self, cause: str) -> tuple[TroubleshootingSession, ...]:
        """Return the storms of a cause that are neither over nor handed over, the latest first."""
        column = tables.sessions.c
        about = column.body["storm"]["cause"].as_string() == cause
        return await self._sessions(_newest().where(column.end_time.is_(None), about))

    async def next_due(self) -> datetime | None:
        """Return when the next session wants to be looked at, None where none does."""
        query = select(func.min(tables.sessions.c.due_at, type_=tables.Moment()))
        async with self._database.read() as connection:
            due: datetime | None = (await connection.execute(query)).scalar_one_or_none()
        return due

    async def handed_over(self, since: datetime, limit: int) -> tuple[TroubleshootingSession, ...]:
        """Return sessions opened since that a person was asked in and after which no good run was seen."""
        column = tables.sessions.c
        asked = column.body["decision"]["action"].as_string().in_(("propose", "escalate"))
        closed = and_(column.status == ResolutionStatus.CLOSED.value, asked)
        with_people = column.status.in_((ResolutionStatus.ESCALATED.value, ResolutionStatus.MANUAL.value))
        unseen = column.body["good_again"]["run_id"].as_string().is_(None)
        return await self._sessions(
            _newest()
            .where(column.start_time >= since, column.fingerprint != "", or_(with_people, closed), unseen)
            .limit(limit)
        )

    async def session_for_run(self, flow_run_id: str) -> TroubleshootingSession | None:
        """Return the latest session that is about a run, as its own or as a related one."""
        link = tables.session_runs.c
        about = select(link.session_id).where(link.flow_run_id == flow_run_id)
        found = await self._sessions(_newest().where(tables.sessions.c.id.in_(about)).limit(1))
        return found[0] if found else None

    async def runs_with_session(self, flow_run_ids: Sequence[str]) -> set[str]:
        """Return those of these runs that a session is about, as its own or as a related one."""
        column = tables.session_runs.c.flow_run_id
        found: set[str] = set()
        async with self._database.read() as connection:
            for first in range(0, len(flow_run_ids), _CHUNK):
                query = select(column).where(column.in_(flow_run_ids[first : first + _CHUNK]))
                found |= set((await connection.execute(query)).scalars())
        return found

    async def open_session_for(
        self, fingerprint: str, workflow_id: str | None = None
    ) -> TroubleshootingSession | None:
        """Return the latest session of a cause that has not ended, on one workflow or on any."""
        condition = and_(tables.sessions.c.fingerprint == fingerprint, _is_open())
        if workflow_id is not None:
            condition = and_(condition, tables.sessions.c.workflow_id == workflow_id)
        found = await self._sessions(_newest().where(condition).limit(1))
        return found[0] if found else None

    async def delete_session(self, session_id: str, actor: str, now: datetime) -> bool:
        """Delete a session, False where there is none; the audit trail stays and tells who deleted it.

        The journal stays too: what was done to a run must not be done again.
        """
        async with self._database.write() as connection:
            if not await self._drop_session(connection, session_id):
                return False
            await self._append_audit(connection, actor, "session.deleted", session_id, {}, now)
        return True

    async def _drop_session(self, connection: AsyncConnection, session_id: str) -> bool:
        column, link = tables.sessions.c, tables.session_runs
        statement = delete(tables.sessions).where(column.id == session_id).returning(column.workflow_id)
        workflow = (await connection.execute(statement)).scalar_one_or_none()
        if workflow is None:
            return False
        await self._note(connection, "session", {session_id: workflow})
        await connection.execute(delete(link).where(link.c.session_id == session_id))
        return True

    async def _update_session(
        self, connection: AsyncConnection, session: TroubleshootingSession, expected_version: int
    ) -> None:
        column = tables.sessions.c
        statement = (
            update(tables.sessions)
            .where(column.id == session.session_id, column.version == expected_version)
            .values(**self._session_row(session), version=expected_version + 1)
        )
        if (await connection.execute(statement)).rowcount != 1:
            raise ConflictError(
                f"Session {session.session_id} was changed meanwhile; read it again and decide again."
            )
        await self._link_runs(connection, session)
        await self._note(connection, "session", {session.session_id: session.workflow_id})

    async def _insert_session(self, connection: AsyncConnection, session: TroubleshootingSession) -> int:
        row = self._session_row(session)
        try:
            await connection.execute(insert(tables.sessions).values(id=session.session_id, version=1, **row))
        except IntegrityError:
            raise ConflictError(
                f"Session {session.session_id} exists already; read it and save on top of its version."
            ) from None
        await self._link_runs(connection, session)
        await self._note(connection, "session", {session.session_id: session.workflow_id})
        return 1

    async def _link_runs(self, connection: AsyncConnection, session: TroubleshootingSession) -> None:
        ids = {*session.related_runs, *([session.flow_run_id] if session.flow_run_id else [])}
        if ids:
            rows = [{"session_id": session.session_id, "flow_run_id": run_id} for run_id in sorted(ids)]
            statement = self._database.insert(tables.session_runs).on_conflict_do_nothing()
            await connection.execute(statement, rows)

    async def _sessions(self, query: Select[Any]) -> tuple[TroubleshootingSession, ...]:
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(TroubleshootingSession, body) for body in bodies)

    def _session_row(self, session: TroubleshootingSession) -> JSONDict:
        return {
            "workflow_id": session.workflow_id,
            "fingerprint": session.fingerprint,
            "status": session.resolution_status.value,
            "due_at": session.due_at,
            "start_time": session.start_time,
            "end_time": session.end_time,
            "body": dump(session, self._secrets),
        }


def _newest() -> Select[Any]:
    column = tables.sessions.c
    return select(column.body).order_by(column.start_time.desc(), column.id.desc())


def _is_open() -> ColumnElement[bool]:
    column = tables.sessions.c
    return and_(column.end_time.is_(None), column.status.not_in([status.value for status in _DONE]))
