"""What a journey works with: the Prefect server, our store, the policy, channels, a clock."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from prefect_autopilot.adapters.channels import Channel, configured_channels
from prefect_autopilot.adapters.health import answers
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_target import PrefectTarget, find_target
from prefect_autopilot.errors import PrefectError, ProofError, UnknownNameError, UsageError
from prefect_autopilot.journeys.policy import policy_in_force, read_policy
from prefect_autopilot.models import AlertPolicy, JSONDict, OptimizationPlan, Proof, RemedyPolicy
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

PROVED_WITHIN_S = 120.0


async def refresh_connection(connection: str, now: datetime) -> None:
    """Get a new access token into the connection block; raises ``ServiceError`` when that is refused."""
    from prefect_autopilot.blocks.connection import renew_connection

    await renew_connection(connection, now)


async def prove(
    plan: OptimizationPlan, original: str, function: str, parameters: JSONDict, path: Path
) -> Proof:
    """Run a flow before and after a rewriting and compare; raises ``ProofError`` where that cannot be.

    A flow of ``call_service`` meets simulated services; of any other only one that writes nothing is run, on
    recorded reads. It ends within ``PROVED_WITHIN_S``, in a process of its own.
    """
    from prefect_autopilot.journeys.improve import prove_plan

    try:
        return await prove_plan(
            plan,
            original,
            function=function,
            parameters=parameters,
            recorded=True,
            path=path,
            timeout_s=PROVED_WITHIN_S,
        )
    except (UnknownNameError, UsageError) as error:
        raise ProofError(error.message) from error


async def probe(url: str, private: bool) -> bool | None:  # noqa: FBT001  # a callable's parameter
    """Tell whether a service answers at an address, None where it may not be asked."""
    return await answers(url, allow_private=private)


@dataclass(frozen=True)
class Desk:
    """The outside world as one argument; tests replace any part of it."""

    api: PrefectAPI
    store: Store
    policy: RemedyPolicy = field(default_factory=RemedyPolicy)
    channels: tuple[Channel, ...] = ()
    alerting: AlertPolicy = field(default_factory=AlertPolicy)
    holder: str = "test"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    jitter: Callable[[], float] = random.random
    refresh: Callable[[str, datetime], Awaitable[None]] = refresh_connection
    probe: Callable[[str, bool], Awaitable[bool | None]] = probe
    """Asks a service whether it answers; the flag says that its host may be a private one."""
    prove: Callable[[OptimizationPlan, str, str, JSONDict, Path], Awaitable[Proof]] = prove
    """Runs a flow before and after a rewriting: plan, source before, function, parameters, its file."""
    outgoing: httpx.AsyncBaseTransport | None = None
    """Transport of notifications, None for the network."""
    page_url: str | None = None
    """Where people reach the status page, None where nobody said so."""
    language_model: Settings | None = None
    """Settings that switch a language model on, None where none is asked."""
    reread: Callable[[], Awaitable[RemedyPolicy]] | None = None
    """Reads the policy again; None where it cannot have changed."""


POLICY_WITHIN_S = 5.0
_POLICY_TRIES = 3


async def _policy_at_first(target: PrefectTarget, store: Store, settings: Settings) -> RemedyPolicy:
    """Return the policy; where the server cannot be asked for it, one that holds everything."""
    try:
        async with asyncio.timeout(POLICY_WITHIN_S):
            async with PrefectAPI(target.url, auth=target.auth, tries=_POLICY_TRIES) as api:
                return await policy_in_force(api, store, settings, datetime.now(UTC))
    except (PrefectError, TimeoutError):
        return RemedyPolicy(mode=settings.mode, paused=True)


def prefect_target() -> PrefectTarget:
    """Return the Prefect server of this process's environment or profile."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return find_target(os.environ, home)


@asynccontextmanager
async def open_desk(settings: Settings, *, target: PrefectTarget | None = None) -> AsyncIterator[Desk]:
    """Open API client and store as the settings say; raises in one sentence what is missing.

    Where the server cannot be asked for the policy everything is held: nobody knows what its owner allows.
    """
    target = target or prefect_target()
    if settings.policy_file is not None:
        read_policy(settings.policy_file, mode=settings.mode)  # a mistake is told before anything is opened
    async with (
        PrefectAPI(target.url, auth=target.auth, ui=target.ui, jitter=random.random) as api,
        Store.open(settings.store_url.get_secret_value()) as store,
    ):

        async def reread() -> RemedyPolicy:
            return await policy_in_force(api, store, settings, datetime.now(UTC))

        policy = await _policy_at_first(target, store, settings)
        yield Desk(
            api=api,
            store=store,
            policy=policy,
            reread=reread,
            channels=configured_channels(settings),
            page_url=settings.page_url,
            language_model=settings if settings.ai else None,
            alerting=AlertPolicy(
                escalate_after_s=settings.alert_escalate_minutes * 60,
                repeat_s=settings.alert_repeat_hours * 3600,
                most_per_hour=settings.alerts_per_hour,
            ),
            holder=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}",
        )
