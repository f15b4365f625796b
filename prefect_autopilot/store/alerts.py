"""Alerts and the rules that raise them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import AlertCondition, MonitoringRule, WorkflowAlert
from prefect_autopilot.store import tables
from prefect_autopilot.store.changes import Changes
from prefect_autopilot.store.encoding import digest, dump, load


def _body_of(alert_id: str) -> Select[tuple[Any]]:
    return select(tables.alerts.c.body).where(tables.alerts.c.id == alert_id)


class Alerts(Changes):
    """Alerts by id and fingerprint; at most one of a fingerprint is unresolved."""

    async def save_alert(self, alert: WorkflowAlert) -> None:
        """Write an alert, new or changed; raises ConflictError where another of its fingerprint is open.

        Who acknowledged it meanwhile stays, whatever the writer knew.
        """
        async with self._database.write() as connection:
            body = (await connection.execute(_body_of(alert.alert_id))).scalar_one_or_none()
            if body is not None and (known := load(WorkflowAlert, body)).acknowledged:
                seen = {"acknowledged": True, "acknowledged_by": known.acknowledged_by}
                alert = alert.model_copy(update=seen)
            await self._write_alert(connection, alert)

    async def _write_alert(self, connection: AsyncConnection, alert: WorkflowAlert) -> None:
        row = {
            "fingerprint": alert.fingerprint,
            "workflow_id": alert.workflow_id,
            "status": alert.status,
            "created_at": alert.created_at,
            "body": dump(alert, self._secrets),
        }
        column = tables.alerts.c
        insert = self._database.insert(tables.alerts).values(id=alert.alert_id, **row)
        statement = insert.on_conflict_do_update(index_elements=[column.id], set_=row)
        try:
            await connection.execute(statement)
        except IntegrityError:
            raise ConflictError(f"An alert {alert.fingerprint!r} is open already; change that one.") from None
        await self._note(connection, "alert", {alert.alert_id: alert.workflow_id}, alert.created_at)

    async def alerts(
        self,
        *,
        open_only: bool = False,
        workflow_id: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[WorkflowAlert, ...]:
        """Return alerts, the latest first; with ``since`` those that are open or began after it."""
        column = tables.alerts.c
        query = select(column.body).order_by(column.created_at.desc(), column.id.desc())
        if limit is not None:
            query = query.limit(limit).offset(offset)
        if open_only:
            query = query.where(column.status != "resolved")
        if since is not None:
            query = query.where(or_(column.status != "resolved", column.created_at > since))
        if workflow_id is not None:
            query = query.where(column.workflow_id == workflow_id)
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(WorkflowAlert, body) for body in bodies)

    async def alert(self, alert_id: str) -> WorkflowAlert | None:
        """Return an alert, None where there is none."""
        query = select(tables.alerts.c.body).where(tables.alerts.c.id == alert_id)
        async with self._database.read() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        return load(WorkflowAlert, body) if body is not None else None

    async def alert_by_fingerprint(self, fingerprint: str) -> WorkflowAlert | None:
        """Return the unresolved alert of a fingerprint, None where there is none."""
        column = tables.alerts.c
        query = select(column.body).where(column.fingerprint == fingerprint, column.status != "resolved")
        async with self._database.read() as connection:
            body = (await connection.execute(query.limit(1))).scalar_one_or_none()
        return load(WorkflowAlert, body) if body is not None else None

    async def acknowledge_alert(self, alert_id: str, by: str) -> WorkflowAlert:
        """Note who has seen an alert and return it; who was first stays. Raises UnknownNameError."""
        column = tables.alerts.c
        async with self._database.write() as connection:
            body = (await connection.execute(_body_of(alert_id))).scalar_one_or_none()
            if body is None:
                raise UnknownNameError("alert", alert_id)
            alert = load(WorkflowAlert, body)
            if alert.acknowledged:
                return alert
            seen = alert.model_copy(update={"acknowledged": True, "acknowledged_by": by})
            statement = update(tables.alerts).where(column.id == alert_id)
            await connection.execute(statement.values(body=dump(seen, self._secrets)))
            await self._note(connection, "alert", {alert_id: seen.workflow_id}, seen.created_at)
        return seen

    async def add_rule(self, rule: MonitoringRule) -> MonitoringRule:
        """Write a rule and return it; one without an id gets an id made of its content."""
        if not rule.rule_id:
            burns = rule.condition is AlertCondition.SLO_BURN
            # What only a burn rate reads must not give the same rule another id.
            apart = {"rule_id", "is_active"} | (set() if burns else {"objective", "window_runs"})
            content = digest(rule.model_dump(mode="json", exclude=apart))
            rule = rule.model_copy(update={"rule_id": f"rule-{content[:16]}"})
        row = {"workflow_id": rule.workflow_id, "body": dump(rule, self._secrets)}
        insert = self._database.insert(tables.rules).values(id=rule.rule_id, **row)
        async with self._database.write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=row))
        return rule

    async def rules(self, workflow_id: str | None = None) -> tuple[MonitoringRule, ...]:
        """Return the rules, of one workflow or all, by id."""
        query = select(tables.rules.c.body).order_by(tables.rules.c.id)
        if workflow_id is not None:
            query = query.where(tables.rules.c.workflow_id == workflow_id)
        async with self._database.read() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return tuple(load(MonitoringRule, body) for body in bodies)

    async def remove_rule(self, rule_id: str) -> bool:
        """Delete a rule; False where there is none."""
        statement = delete(tables.rules).where(tables.rules.c.id == rule_id)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1
