"""``sessions``: what was found and done about failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store
from prefect_autopilot.cli.output import JSONFlag, write_json, write_line

if TYPE_CHECKING:
    from prefect_autopilot.models import Attempt, TroubleshootingSession

_MOST_SESSIONS = 10_000


async def sessions(
    session_id: Annotated[str | None, Parameter(help="Show one session in full.")] = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="How many at most.")] = 20,
    as_json: JSONFlag = False,
) -> int:
    """List troubleshooting sessions, newest first."""
    from prefect_autopilot.errors import UnknownNameError

    async with open_store() as store:
        if session_id is None:
            _list(await store.sessions(limit=min(max(1, limit), _MOST_SESSIONS)), as_json=as_json)
            return 0
        session = await store.session(session_id)
    if session is None:
        raise UnknownNameError("session", session_id)
    if as_json:
        write_json(session)
    else:
        _list((session,), as_json=False)
        _show(session)
    return 0


def _show(session: TroubleshootingSession) -> None:
    """Write what the report on the run says: evidence, what was rejected, advice, attempts, links, trail."""
    diagnosis = session.diagnosis
    proofs = [f"{line.where}: {line.text}" for line in diagnosis.evidence] if diagnosis else []
    others = diagnosis.alternatives if diagnosis else ()
    decided = [f"{session.decision.action}: {session.decision.reason}"] if session.decision else []
    for head, lines in (
        ("evidence", proofs),
        ("considered and rejected", [f"{one.category}: {one.reason}" for one in others]),
        ("what to do", session.recommendations),
        ("what was seen besides", session.facts),
        ("decided", decided),
        ("attempts", [_attempt(one) for one in session.attempts]),
        ("in Prefect", _pages(session)),
        ("trail", session.trail),
    ):
        if lines:
            write_line(f"{head}:")
        for line in lines:
            write_line(f"  {line}")


def _attempt(attempt: Attempt) -> str:
    seen = attempt.verification
    became = f"{seen.outcome}: {seen.reason}" if seen else "not looked at yet"
    return f"{attempt.number}. {attempt.remedy.kind}, {became}"


def _pages(session: TroubleshootingSession) -> list[str]:
    """Return the pages of Prefect about a session; none where no server is named: the store needs none."""
    from prefect_autopilot.adapters.prefect_target import pages_of
    from prefect_autopilot.errors import ConfigurationError
    from prefect_autopilot.journeys.desk import prefect_target
    from prefect_autopilot.troubleshooting.report import links

    try:
        target = prefect_target()
    except ConfigurationError:
        return []
    pages = links(session, (target.ui or pages_of(target.url)).rstrip("/"))
    return [f"{name}: {page}" for name, page in pages.items()]


def _list(found: tuple[TroubleshootingSession, ...], *, as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    from prefect_autopilot.troubleshooting.report import recognised

    # No table: an id that is broken over lines of a narrow terminal cannot be copied.
    for one in found:
        attempts = f"{len(one.attempts)} attempt{'' if len(one.attempts) == 1 else 's'}"
        begun = one.start_time.strftime("%Y-%m-%d %H:%M UTC")
        write_line(f"{one.session_id}  {begun}")
        write_line(f"  {one.resolution_status}, at {one.current_step}, {attempts}")
        if one.diagnosis:
            write_line(f"  {one.diagnosis.root_cause}")
        if known := recognised(one):
            write_line(f"  {known}")
    if not found:
        write_line("No troubleshooting session yet; a failed run opens one while the watcher looks.")
