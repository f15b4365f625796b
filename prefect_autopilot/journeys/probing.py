"""Services that a failure names are asked whether they answer: as evidence, and before another attempt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Diagnosis, Evidence, EvidenceLine, TroubleshootingSession
from prefect_autopilot.troubleshooting.consent import Outage
from prefect_autopilot.troubleshooting.execution import said_at_end

SHORTEST, LONGEST = timedelta(seconds=15), timedelta(minutes=5)
Ask: TypeAlias = Callable[[str], Awaitable[bool | None]]
"""Tells whether something answers at an address; None where it may not be asked."""
MOST_ASKED = 2
"""Services of one failure that are asked for its diagnosis."""
ASKED_WITHIN_S = 2.0
_URL = re.compile(r"https?://[^\s'\"<>\\^`{|}]+", re.IGNORECASE)
_POOL = re.compile(r"HTTP(S?)ConnectionPool\(host='([\w.:-]+)', port=(\d+)\)")
"""How urllib3 and requests name an address: their message holds no URL."""
_WAITED_FOR = frozenset({"retry_backoff", "wait_for_service"})


def address_of(diagnosis: Diagnosis, said: str) -> str | None:
    """Return the one address that a passing failure names, without credentials and query; None with several.

    Only a call that reads is made again as it was; for any other the service's root is asked.
    """
    if not diagnosis.transient or diagnosis.remedy not in _WAITED_FOR:
        return None
    found = set()
    for parts, place in _places((said, diagnosis.root_cause, *(line.text for line in diagnosis.evidence))):
        path = parts.path if diagnosis.effect == "safe" else "/"
        found.add(urlunsplit((parts.scheme.lower(), place, path or "/", "", "")))
    return found.pop() if len(found) == 1 else None


def _places(texts: Iterable[str]) -> Iterator[tuple[SplitResult, str]]:
    """Yield the addresses that texts name, each with its host and port."""
    said = "\n".join(texts)
    pools = (f"http{s.lower()}://{host}:{port}/" for s, host, port in _POOL.findall(said))
    for match in _URL.findall(said) or pools:
        try:
            parts = urlsplit(match.rstrip(".,;:)]"))
            host, port = parts.hostname, parts.port
        except ValueError:  # looks like an address and is none
            continue
        if host and "developer.mozilla.org" not in host:  # httpx explains statuses there
            place = f"[{host}]" if ":" in host else host
            yield parts, f"{place}:{port}" if port else place


async def with_health_of_named(evidence: Evidence, ask: Ask) -> Evidence:
    """Return the evidence with whether the services that the failure names answer just now.

    The first two, their roots only; nothing is said of one that may not be asked.
    """
    named = {place: parts.scheme.lower() for parts, place in _places((said_at_end(evidence),))}
    places = list(named)[:MOST_ASKED]
    answers = await asyncio.gather(*(_answers_now(ask, f"{named[place]}://{place}/") for place in places))
    lines = (
        EvidenceLine(
            text="it answers now" if answer else "it does not answer now, either", where=f"service {place}"
        )
        for place, answer in zip(places, answers, strict=True)
        if answer is not None
    )
    return evidence.model_copy(update={"surroundings": (*evidence.surroundings, *lines)})


async def _answers_now(ask: Ask, url: str) -> bool | None:
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            return await ask(url)
    except TimeoutError:
        return False


async def outage_of(desk: Desk, session: TroubleshootingSession, evidence: Evidence) -> Outage | None:
    """Return that the service a retry has failed against is still down, and when to look again, or no longer.

    None before the first retry, where no address is known or it may not be asked, where it was not seen to be
    down, and after the policy's longest wait: then the attempts that are left are made.
    """
    diagnosis, now = session.diagnosis, desk.clock()
    waited = now - session.start_time
    if diagnosis is None or not session.attempts or waited > timedelta(seconds=desk.policy.max_wait_s):
        return None
    url = address_of(diagnosis, said_at_end(evidence))
    answers = await healthy(desk, url) if url is not None else None
    if url is None or answers is None or (answers and not _was_down(session)):
        return None
    if answers:
        return Outage(f"{urlsplit(url).netloc} answers again.", now, over=True)
    return Outage(
        f"{urlsplit(url).netloc} does not answer yet.", now + min(max(waited / 4, SHORTEST), LONGEST)
    )


def _was_down(session: TroubleshootingSession) -> bool:
    """Tell whether the last look has found the service down."""
    checks = session.decision.checks if session.decision is not None else ()
    return any(check.name == "service" and not check.passed for check in checks)


async def healthy(desk: Desk, url: str) -> bool | None:
    """Tell whether a service answers; None where it may not be asked."""
    private = urlsplit(url).hostname in desk.policy.probe_hosts
    return await desk.probe(url, private)
