"""What the calls share: settings, clock, an open store, the way to Prefect, work behind the scenes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from anyio import to_thread
from starlette.requests import Request

from prefect_autopilot.api.connections import Connections
from prefect_autopilot.api.held import HeldAnswers
from prefect_autopilot.api.live import Live
from prefect_autopilot.api.prefect_auth import PrefectAuth
from prefect_autopilot.errors import AutopilotError, ConfigurationError, PrefectError
from prefect_autopilot.journeys import fleet as fleets
from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.desk import Desk, prefect_target
from prefect_autopilot.journeys.workflows import check_known
from prefect_autopilot.models.names import WATCHER_LOOKS
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

logger = logging.getLogger("prefect_autopilot.api")

ACTOR = "api"
"""Who acts, as the audit trail tells it, where no token was ever made: whoever sits at this machine."""
WORK_WITHIN_S = 30.0
GRACE_S = 5.0
PREFECT_WITHIN_S = 10.0
MONITORING = "api.monitoring"
"""Cursor that is set once monitoring was asked for."""
WATCHER_SILENT = timedelta(minutes=5)
"""A poll interval is 300 s at most."""

RECENT = timedelta(seconds=10)
"""How long a health that was worked out for a reader is given again; a run that changes ends that at once."""

Result = TypeVar("Result")
DeskFactory = Callable[[Settings], AbstractAsyncContextManager[Desk]]


class Context:
    """One per application. The store is opened on first use and closed with the application."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], datetime],
        fleet: FleetMetrics | None,
        desk_factory: DeskFactory,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.fleet = fleet or FleetMetrics()
        self.keeps_fleet = fleet is None
        self.fleet_read_at: datetime | None = None
        self._desk_factory = desk_factory
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: AsyncExitStack | None = None
        self._store: Store | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self.book = observe.HealthBook()
        self.recent = observe.HealthBook(holds=RECENT)
        self.held = HeldAnswers(self.store, clock)
        self.connections = Connections()
        self.outbox_turn = asyncio.Lock()
        self.proof_turn = asyncio.Lock()
        self.live = Live(self.store, self.begin)
        self.prefect_auth = PrefectAuth(prefect_target)

    async def store(self) -> Store:
        """Return the open store; raises StoreError or ConfigurationError."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # A mounted application may be served by a second loop; nothing of the first can be used there.
            self._loop, self._store, self._turn = loop, None, asyncio.Lock()
            self.outbox_turn, self.proof_turn = asyncio.Lock(), asyncio.Lock()
            self.live = Live(self.store, self.begin)
        async with self._turn:
            if self._store is None:
                self._opened = AsyncExitStack()
                url = self.settings.store_url.get_secret_value()
                self._store = await self._opened.enter_async_context(Store.open(url))
            return self._store

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        """Give the desk of the Prefect server; raises ConfigurationError where none is known."""
        async with self._desk_factory(self.settings) as desk:
            yield desk

    @asynccontextmanager
    async def desk_if_any(self) -> AsyncIterator[tuple[Desk | None, str | None]]:
        """Give the desk when the Prefect server answers, else None and the reason."""
        async with AsyncExitStack() as stack:
            desk, reason = None, None
            try:
                desk = await stack.enter_async_context(self.desk())
                async with asyncio.timeout(PREFECT_WITHIN_S):
                    await desk.api.version()
            except (ConfigurationError, PrefectError) as error:
                desk, reason = None, error.message
            except TimeoutError:
                desk, reason = None, f"The Prefect server did not answer within {PREFECT_WITHIN_S:g} s."
            yield desk, reason

    async def refreshed(self, workflow: str | None = None) -> str | None:
        """Read what changed on the Prefect server into the store; return why it could not be read.

        Raises UnknownNameError where the server answers and knows no ``workflow`` of this name.
        """
        async with self.desk_if_any() as (desk, reason):
            if desk is not None:
                await observe.ingest(desk.api, await self.store(), self.clock())
                await observe.measure(desk.api, await self.store(), self.clock())
                if workflow is not None:
                    await check_known(desk.api, await self.store(), workflow)
        return reason

    async def refresh_fleet(self) -> None:
        """Bring metrics that are ours up to date from the store."""
        now = self.clock()
        await fleets.refresh(self.fleet, await self.store(), now, self.fleet_read_at, self.book)
        self.fleet_read_at = now

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something behind the scenes; its reference is kept until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep the metrics fresh, and at the end give up what goes on and close the store."""
        stopping = asyncio.Event()
        try:
            await self.store()
        except AutopilotError as error:
            # The process is up all the same: readiness tells, and each call tries again.
            logger.warning("The store cannot be opened: %s", error.message)
        if self.keeps_fleet:
            self.begin(self._keep_fleet(stopping))
        try:
            yield
        finally:
            stopping.set()
            self.live.close()
            if self._tasks:
                # Grace first: work that is cancelled inside a transaction leaves its connection behind.
                await asyncio.wait(self._tasks, timeout=GRACE_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._opened is not None and self._loop is asyncio.get_running_loop():
                await self._opened.aclose()
            self._opened = self._store = None

    async def is_watched(self) -> bool:
        """Tell whether a watcher has looked at the Prefect server lately."""
        seen = await (await self.store()).cursor(WATCHER_LOOKS)
        return seen is not None and self.clock() - seen < WATCHER_SILENT

    async def monitor(self) -> None:
        """Read runs and raise alerts ourselves, where monitoring was asked for and no watcher does it."""
        store = await self.store()
        if await store.cursor(MONITORING) is None or await self.is_watched():
            return
        if await self.refreshed() is None:
            await observe.raise_alerts(store, await store.rules(), self.clock())

    async def _keep_fleet(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.monitor()
                await self.refresh_fleet()
            except AutopilotError as error:
                logger.warning("Metrics are not up to date: %s", error.message)
            with suppress(TimeoutError):  # the time between two looks is over
                await asyncio.wait_for(stopping.wait(), fleets.REFRESH_S)


def context_of(request: Request) -> Context:
    """Return the context of the application a request came to."""
    context: Context = request.app.state.context
    return context


async def worked(function: Callable[..., Result], *arguments: Any) -> Result:
    """Run what computes in a thread; raises TimeoutError when it takes too long."""
    async with asyncio.timeout(WORK_WITHIN_S):
        return await to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
