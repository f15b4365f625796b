"""Our own database: runs, leases, journal, sessions, audit trail, alerts, rules, silences and outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Self

from prefect_autopilot.store.alerts import Alerts
from prefect_autopilot.store.asked import AskedService, AskedServices
from prefect_autopilot.store.changes import Change
from prefect_autopilot.store.database import Database
from prefect_autopilot.store.deployments import Deployments, Update
from prefect_autopilot.store.hooks import Hooks, QueuedEvent
from prefect_autopilot.store.journal import Journal, JournalEntry, JournalOutcome
from prefect_autopilot.store.leases import WATCHER_LEASE
from prefect_autopilot.store.measures import Measures
from prefect_autopilot.store.monitors import KeptMonitor, MonitorMark, Monitors
from prefect_autopilot.store.notices import Delivery, Notices, PendingNotice
from prefect_autopilot.store.preferences import Preferences
from prefect_autopilot.store.rewrites import Rewrites
from prefect_autopilot.store.runs import Runs, Workflow
from prefect_autopilot.store.sessions import Sessions, run_claim
from prefect_autopilot.store.silences import Silences
from prefect_autopilot.store.tokens import AccessToken, Scope, Tokens

__all__ = [
    "WATCHER_LEASE",
    "AccessToken",
    "AskedService",
    "Change",
    "Delivery",
    "JournalEntry",
    "JournalOutcome",
    "KeptMonitor",
    "MonitorMark",
    "PendingNotice",
    "QueuedEvent",
    "Scope",
    "Store",
    "Update",
    "Workflow",
    "run_claim",
]


class Store(
    Runs,
    Journal,
    Sessions,
    Alerts,
    Silences,
    Measures,
    Monitors,
    Notices,
    Hooks,
    Tokens,
    Preferences,
    Deployments,
    Rewrites,
    AskedServices,
):
    """Everything the product remembers; every text is redacted before it is written, but events on their way.

    Every method raises StoreError, with ``permanent`` False where the same call can succeed later.
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, secrets: Iterable[str] = (), busy_timeout_s: float = 5
    ) -> AsyncIterator[Self]:
        """Open ``sqlite:///FILE`` or ``postgresql://…``, bring it to this version's schema, close it after.

        ``secrets`` are values that must never be written; ``busy_timeout_s`` seconds are waited for another
        process that writes to the same SQLite file. Raises StoreError or ConfigurationError.
        """
        database = await Database.open(url, busy_timeout_s=busy_timeout_s)
        try:
            yield cls(database, tuple(secrets))
        finally:
            await database.close()

    def mark(self) -> tuple[int, int] | None:
        """Return a value that changes with every commit by whoever; None where that cannot be told."""
        return self._database.mark()

    async def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the database although it opens: missing tables, damaged pages."""
        return await self._database.faults()
