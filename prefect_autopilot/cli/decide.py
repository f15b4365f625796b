"""``resolve``, ``approve``, ``deny``, ``undo``, ``pause-all``: what a person decides about sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store, person
from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.journeys.desk import Desk
    from prefect_autopilot.models import TroubleshootingSession
    from prefect_autopilot.store import Store

_LONGEST_WAIT_S = 7200


async def resolve(
    run_or_session: Annotated[str, Parameter(help="Id of a failed flow run or of a session.")],
    /,
    *,
    wait: Annotated[float, Parameter(help="Seconds to wait until it is settled; 0 takes one look.")] = 0,
    as_json: JSONFlag = False,
) -> int:
    """Take a failed run as far as the policy lets it go now; exit code 0 only where it was seen resolved."""
    from prefect_autopilot.journeys import resolve as journey
    from prefect_autopilot.models import ResolutionStatus

    if not 0 <= wait <= _LONGEST_WAIT_S:
        raise UsageError(f"--wait takes 0 to {_LONGEST_WAIT_S} seconds.")
    async with _desk() as desk:
        session_id = await _session_of(desk, run_or_session)
        session = await journey.until_settled(desk, session_id, wait_s=wait)
        await _deliver(desk)
    _show(session, as_json=as_json)
    return 0 if session.resolution_status is ResolutionStatus.AUTO_RESOLVED else 1


async def _session_of(desk: Desk, ident: str) -> str:
    from prefect_autopilot.journeys import resolve as journey

    if await desk.store.session(ident) is not None:
        return ident
    run = await desk.api.run(ident)
    session = await journey.take_up(desk, run) or await desk.store.session_for_run(run.id)
    if session is None:
        raise UsageError(f"Run {run.name or run.id} is {run.state.name}; there is nothing to resolve.")
    return session.session_id


async def approve(
    session_id: Annotated[str, Parameter(help="Session whose proposal is to be carried out.")],
    /,
    *,
    rerun: Annotated[
        Flag, Parameter(help="You have made sure that the work may be done again, by hand or at the service.")
    ] = False,
    change: Annotated[
        tuple[str, ...],
        Parameter(help="Another number for the remedy, as delay_s=300; may be given more than once."),
    ] = (),
    as_json: JSONFlag = False,
) -> int:
    """Say yes to a proposal; every other check of the gate is made again before anything is done."""
    from prefect_autopilot.journeys import proposals
    from prefect_autopilot.journeys import resolve as journey

    async with _desk() as desk:
        await proposals.approve(
            desk.store, session_id, by=person(), clock=desk.clock, rerun=rerun, changes=_changes(change)
        )
        session = await journey.advance(desk, session_id)
        await _deliver(desk)
    _show(session, as_json=as_json)
    return 0 if session.attempts else 1


def _changes(told: tuple[str, ...]) -> dict[str, float]:
    changes = {}
    for one in told:
        name, _, value = one.partition("=")
        try:
            changes[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--change takes NAME=NUMBER, as delay_s=300; {one!r} is none.") from None
    return changes


async def deny(
    session_id: Annotated[str, Parameter(help="Session whose proposal is not to be carried out.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it stands in the session's trail.")] = "",
) -> int:
    """Say no to a proposal and close its session."""
    from prefect_autopilot.journeys import proposals

    async with open_store() as store:
        await proposals.deny(store, session_id, by=person(), clock=_now, reason=reason)
    write_line(f"Session {session_id} is closed.")
    return 0


async def undo(session_id: Annotated[str, Parameter(help="Session whose last act is taken back.")], /) -> int:
    """Take a retry back that has not begun yet."""
    from prefect_autopilot.journeys import proposals

    async with _desk() as desk:
        await proposals.undo(desk, session_id, by=person())
        await _deliver(desk)
    write_line(f"The retry of session {session_id} was taken back.")
    return 0


async def pause_all() -> int:
    """Pause every remedy of every process on this store; diagnosis and notices go on."""
    from prefect_autopilot.journeys import proposals

    async with open_store() as store:
        pause = await proposals.pause_all(store, by=person(), clock=_now)
    write_line(f"All remedies are paused by {pause.by} since {pause.at:%Y-%m-%d %H:%M} UTC.")
    return 0


async def resume_all() -> int:
    """End the pause of all remedies."""
    from prefect_autopilot.journeys import proposals

    async with open_store() as store:
        ended = await proposals.resume_all(store, by=person(), clock=_now)
    write_line("Remedies may be carried out again." if ended else "Nothing was paused.")
    return 0


async def record(
    *,
    reset: Annotated[Flag, Parameter(help="Begin all records anew; what was observed stays stored.")] = False,
    shadow: Annotated[
        Flag, Parameter(help="Show instead what would have been done, and what happened then.")
    ] = False,
    as_json: JSONFlag = False,
) -> int:
    """Show how often each remedy has helped, by cause and deployment, with the 95 % interval."""
    if shadow and reset:
        raise UsageError("--shadow only shows; leave --reset out.")
    async with open_store() as store:
        if shadow:
            return await _show_shadow(store, as_json=as_json)
        if reset:
            await store.reset_remedy_records(person(), _now())
        found = await store.all_remedy_records()
    rows = [
        (cause, deployment, kind, one.good, one.seen, *one.interval, one.demoted)
        for (cause, deployment), records in sorted(found.items())
        for kind, one in sorted(records.items())
    ]
    names = ("cause", "deployment", "remedy", "helped", "seen", "at least", "at most", "demoted")
    if as_json:
        write_json([dict(zip(names, row, strict=True)) for row in rows])
        return 0
    shown = [(*row[:5], f"{row[5]:.0%}", f"{row[6]:.0%}", "yes" if row[7] else "no") for row in rows]
    write_table("", names, shown)
    return 0


async def _show_shadow(store: Store, *, as_json: bool) -> int:
    from prefect_autopilot.journeys.shadow import COLUMNS, lines, shadow_records

    found = await shadow_records(store)
    if as_json:
        write_json([one.model_dump() | {"helped": one.helped} for one in found])
    elif found:
        write_table("", tuple(name.replace("_", " ") for name in COLUMNS), lines(found))
    else:
        write_line("No proposal lacked nothing but your consent yet.")
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _show(session: TroubleshootingSession, *, as_json: bool) -> None:
    if as_json:
        write_json(session)
        return
    for line in session.trail:
        write_line(line)
    write_line(f"Session {session.session_id} is {session.resolution_status}.")


async def _deliver(desk: Desk) -> None:
    from prefect_autopilot.adapters.channels import deliver_pending

    await deliver_pending(desk.store, desk.channels, desk.clock(), transport=desk.outgoing)


@asynccontextmanager
async def _desk() -> AsyncIterator[Desk]:
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.settings import load_settings

    async with open_desk(load_settings()) as desk:
        yield desk
