"""The long-running watcher: sees every failure, takes sessions on, tells people.

The event websocket is only a hint to look at once; what is true comes from a level-triggered reconcile over
the API. Only the watcher that holds the lease acts; another one waits and takes over when it falls silent.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prefect_autopilot.adapters.channels import deliver_pending
from prefect_autopilot.adapters.event_stream import resources_of
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.errors import AutopilotError, ConfigurationError, PrefectError
from prefect_autopilot.journeys import fleet as fleets
from prefect_autopilot.journeys import observe, resolve, storms
from prefect_autopilot.journeys.aftermath import look_after
from prefect_autopilot.journeys.cured import look_for_cures
from prefect_autopilot.journeys.deployed import read_deployed
from prefect_autopilot.journeys.desk import Desk, open_desk, prefect_target
from prefect_autopilot.journeys.good_code import CodeWatch
from prefect_autopilot.journeys.leaked_slots import SlotWatch
from prefect_autopilot.journeys.missed_runs import MissedWatch
from prefect_autopilot.journeys.recent_failures import RecentFailures
from prefect_autopilot.journeys.shadow import tell_of_shadow
from prefect_autopilot.journeys.stuck_runs import StuckWatch
from prefect_autopilot.journeys.tell import headline
from prefect_autopilot.models import JSONDict, Origin, RemedyPolicy, RunRecord, TroubleshootingSession
from prefect_autopilot.models.names import FAILURE_EVENTS, WATCHER_LOOKS
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("prefect_autopilot.watcher")

LEASE = "watcher"
CURSOR = WATCHER_LOOKS
OVERLAP = timedelta(seconds=60)
"""How far behind the cursor each look goes back: clocks of workers and server differ."""
FIRST_LOOK_BACK = timedelta(minutes=15)
"""A watcher that never ran here looks at recent failures, not at the history of years."""
WIDE_EVERY = timedelta(minutes=5)
"""How often a look goes back as far as the first one: by a clock that is behind, runs ended minutes ago."""
POLICY_EVERY = timedelta(minutes=1)
"""How old the policy may be by which anything is decided."""
PRUNE_EVERY = timedelta(days=1)
COMPACT_AFTER = timedelta(days=7)
"""Runs older than this are kept without their parameters."""
AT_ONCE = 4
"""Sessions taken on at the same time; a SQLite server answers 503 under more writers."""
SELDOM = timedelta(minutes=10)
"""How often is asked for what few servers have: measures of runs, automations that chain deployments."""
STILL_TOLD = timedelta(days=1)
"""Measures are asked for at every assessment for so long after the last one."""
LISTEN_AGAIN_S = 5.0
RUN_RESOURCE = "prefect.flow-run."
MOST_HEARD = 10_000
STANDING_BY = "Another watcher is at work; standing by to take over when it falls silent."


class Hint(asyncio.Event):
    """Set when the event stream told of a failure; ``heard`` keeps which runs it was about.

    ``unseen`` are those of them that no look has taken up yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: OrderedDict[str, None] = OrderedDict()
        self.unseen: set[str] = set()

    def tell(self, resource_id: str) -> None:
        """Take the resource of a failure event, ``prefect.flow-run.<id>``, and ask for a look."""
        run_id = resource_id.removeprefix(RUN_RESOURCE)
        self.heard[run_id] = None
        self.heard.move_to_end(run_id)
        self.unseen.add(run_id)
        while len(self.heard) > MOST_HEARD:
            self.unseen.discard(self.heard.popitem(last=False)[0])
        self.set()


@dataclass
class Watcher:
    """One watcher over one desk; ``tick`` is one reconcile, ``run`` repeats it until stopped."""

    desk: Desk
    poll_interval_s: float = 15
    lease_ttl_s: float = 30
    assess_every_s: float = 60
    retention_days: float = 90
    fleet: FleetMetrics = field(default_factory=FleetMetrics)
    book: observe.HealthBook = field(default_factory=observe.HealthBook)
    hint: Hint = field(default_factory=Hint)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    slots: SlotWatch = field(default_factory=SlotWatch)
    stuck: StuckWatch = field(default_factory=StuckWatch)
    missed: MissedWatch = field(default_factory=MissedWatch)
    code: CodeWatch = field(default_factory=CodeWatch)
    recent: RecentFailures = field(default_factory=RecentFailures)
    tell: Callable[[str], None] = lambda _line: None
    """Is given a line for each thing a person at the screen would want to know."""
    _token: int | None = None
    _policy_at: datetime | None = None
    _wide_at: datetime | None = None
    _assessed_at: datetime | None = None
    _pruned_at: datetime | None = None
    _measures_from: datetime | None = None
    _automations: tuple[JSONDict, ...] = ()
    _automations_until: datetime | None = None
    _in_trouble: bool = False
    _standing_by: bool = False

    async def run(self) -> None:
        """Reconcile until ``stopped`` is set; an unreachable server or store is waited for."""
        while not self.stopped.is_set():
            try:
                await self.tick()
            except AutopilotError as error:
                if error.permanent:
                    raise
                self._in_trouble = True
                logger.warning("%s Trying again in %s s.", error.message, self.poll_interval_s)
            await self._pause()
        if self._token is not None:
            await self.desk.store.release_lease(LEASE, self._token)

    async def tick(self) -> int:
        """Look once; returns how many sessions were moved. Does nothing without the lease."""
        self._in_trouble = False
        now = self.desk.clock()
        if not await self._holds_lease(now):
            return 0
        try:
            return await self._reconcile(now)
        finally:
            # What people are to be told does not wait for a Prefect server that cannot be reached.
            await deliver_pending(
                self.desk.store, self.desk.channels, self.desk.clock(), transport=self.desk.outgoing
            )

    async def _reconcile(self, now: datetime) -> int:
        told = frozenset(self.hint.unseen)
        failed = await self._new_failures(now, told)
        sessions = {session.session_id: session for session in await self.desk.store.due_sessions(now)}
        await self._read_policy(now, POLICY_EVERY if failed or sessions else SELDOM)
        found = await storms.sort_out(self.desk, failed, self._origin, self.recent)
        for run in found.single:
            if session := await resolve.take_up(self.desk, run, origin=self._origin(run)):
                sessions[session.session_id] = session
        sessions |= {session.session_id: session for session in found.storms}
        for watch in (self.slots, self.stuck, self.missed):
            sessions |= {session.session_id: session for session in await watch.look(self.desk)}
        # Only now: a crash in between looks at the same failures again, claims make it harmless.
        await self.desk.store.set_cursor(CURSOR, now - self.desk.api.server_behind)
        self.hint.unseen -= told
        if sessions:
            await self._read_policy(now, POLICY_EVERY)
        await self._advance(sessions.values())
        await self._assess(now)
        await self._prune(now)
        return len(sessions)

    async def _read_policy(self, now: datetime, every: timedelta) -> None:
        """Read the policy again: it may be edited in the Prefect UI. One with a mistake holds everything."""
        if self.desk.reread is None or (self._policy_at and now - self._policy_at < every):
            return
        try:
            policy = await self.desk.reread()
        except ConfigurationError as error:
            logger.warning("Every remedy is held: %s", error.message)
            policy = RemedyPolicy(paused=True)
        self.desk = replace(self.desk, policy=policy)
        self._policy_at = now

    def _origin(self, run: RunRecord) -> Origin:
        return "event" if run.id in self.hint.heard else "reconcile"

    async def _holds_lease(self, now: datetime) -> bool:
        store, holder = self.desk.store, self.desk.holder
        if self._token is not None and await store.renew_lease(LEASE, self._token, self.lease_ttl_s, now):
            return True
        self._token = await store.acquire_lease(LEASE, holder, self.lease_ttl_s, now)
        if self._standing_by != (self._token is None):
            self._standing_by = not self._standing_by
            self.tell(STANDING_BY if self._standing_by else "Taking over.")
        return self._token is not None

    async def _new_failures(self, now: datetime, told: frozenset[str]) -> tuple[RunRecord, ...]:
        """Return what failed since the last look, and what failed before that no session knows.

        A clock that is behind says so of a run that failed just now: a wide look finds it, or its event.
        """
        api, store = self.desk.api, self.desk.store
        cursor = await store.cursor(CURSOR)
        first = now - api.server_behind - FIRST_LOOK_BACK
        since = cursor - OVERLAP if cursor else first
        wide = self._wide_at is None or now - self._wide_at >= WIDE_EVERY
        try:
            failed = await api.failed_runs_since(min(since, first) if wide else since)
            early = {run.id for run in failed if run.end is not None and run.end < since}
            missed = told - {run.id for run in failed}
            known = await store.runs_with_session(sorted(early | missed))
            failed += await api.runs_by_id(sorted(missed - known))
        except PrefectError:
            self._polled(now, ok=False)
            raise
        self._polled(now, ok=True)
        if wide:
            self._wide_at = now
        return tuple(run for run in failed if run.id not in known)

    def _polled(self, begun: datetime, *, ok: bool) -> None:
        ended = self.desk.clock()
        self.fleet.observe_poll((ended - begun).total_seconds(), ok=ok, now=ended)

    async def _advance(self, sessions: Iterable[TroubleshootingSession]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(session: TroubleshootingSession) -> None:
            async with gate:
                moved = await resolve.advance(self.desk, session.session_id)
            if len(moved.trail) > len(session.trail):
                self.tell(f"{self.desk.clock():%H:%M:%S} {headline(moved)}")

        results = await asyncio.gather(*(one(session) for session in sessions), return_exceptions=True)
        # One session's trouble must not hold up the others; it stays due and is tried again.
        for error in results:
            if isinstance(error, AutopilotError):
                self._in_trouble = True
                logger.warning("A session waits: %s", error.message)
            elif isinstance(error, BaseException):
                raise error

    async def _assess(self, now: datetime) -> None:
        if self._assessed_at and (now - self._assessed_at).total_seconds() < self.assess_every_s:
            return
        store, since = self.desk.store, self._assessed_at
        await observe.ingest(self.desk.api, store, now)
        await self._measure(now)
        deployed = await read_deployed(self.desk.api, store, now, await self._known_automations(now))
        await observe.raise_alerts(
            store, await store.rules(), now, deployed=deployed, policy=self.desk.alerting
        )
        await fleets.refresh(self.fleet, store, now, since, self.book)
        await look_after(self.desk)
        await self.code.look(self.desk)
        await look_for_cures(self.desk)
        # Only now: what a failed assessment did not count, the next one does.
        self._assessed_at = now

    async def _measure(self, now: datetime) -> None:
        """Read measures each time while runs tell any, seldom where none do."""
        if self._measures_from is not None and now < self._measures_from:
            return
        found = await observe.measure(self.desk.api, self.desk.store, now)
        told = any(one.at >= now - STILL_TOLD for one in found.measures)
        self._measures_from = now if told else now + SELDOM

    async def _known_automations(self, now: datetime) -> tuple[JSONDict, ...]:
        if self._automations_until is None or now >= self._automations_until:
            self._automations = await self.desk.api.automations()
            self._automations_until = now + SELDOM
        return self._automations

    async def _prune(self, now: datetime) -> None:
        if self._pruned_at is None or now - self._pruned_at >= PRUNE_EVERY:
            await self.desk.store.prune(now - timedelta(days=self.retention_days))
            await self.desk.store.compact(now - COMPACT_AFTER)
            await tell_of_shadow(self.desk)
            self._pruned_at = now

    async def _pause(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self.hint, self.stopped)]
        await asyncio.wait(waits, timeout=await self._idle_s(), return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self.hint.clear()

    async def _idle_s(self) -> float:
        """Return the seconds until the next look; the interval, or less where a session is due before."""
        # A session that could not be moved stays overdue; a watcher on standby moves none.
        if self._token is None or self._in_trouble:
            return self.poll_interval_s
        due = await self.desk.store.next_due()
        if due is None:
            return self.poll_interval_s
        return min(self.poll_interval_s, max(0.2, (due - self.desk.clock()).total_seconds()))


async def listen(target: PrefectTarget, hint: Hint) -> None:
    """Tell ``hint`` of every failure event until cancelled; a broken connection is opened again."""
    while True:
        try:
            async for resource in resources_of(target, FAILURE_EVENTS):
                hint.tell(resource)
        except Exception as error:  # noqa: BLE001  # process edge: a foreign server; polling goes on without it
            logger.info(
                "The event stream ended (%s); polling goes on, opening it again.", type(error).__name__
            )
        await asyncio.sleep(LISTEN_AGAIN_S)


async def watch(
    settings: Settings | None = None,
    *,
    tell: Callable[[str], None] = lambda _line: None,
) -> None:
    """Watch the Prefect server of the environment until SIGTERM or SIGINT.

    Raises in one sentence when the server refuses us or the store cannot be opened.
    """
    settings = settings or load_settings()
    target = prefect_target()
    tell(f"Watching {target.url}, mode {settings.mode}; Ctrl-C ends.")
    async with open_desk(settings, target=target) as desk:
        watcher = Watcher(
            desk,
            poll_interval_s=settings.poll_interval_s,
            lease_ttl_s=settings.lease_ttl_s,
            retention_days=settings.retention_days,
            tell=tell,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, watcher.stopped.set)
        hints = asyncio.create_task(listen(target, watcher.hint))
        try:
            await watcher.run()
        finally:
            hints.cancel()
            with suppress(asyncio.CancelledError):  # cancelled in the line above
                await hints
