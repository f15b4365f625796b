"""Workflows that read or write the same data as a failed one: Prefect assets, places that parameters name.

Read of failures of data only, where who wrote it last is the question: two calls, three with assets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import PrefectError, UnknownNameError
from prefect_autopilot.models import Diagnosis, Evidence, EvidenceLine, IssueCategory, JSONDict
from prefect_autopilot.redaction import redact

ASSET = "prefect.asset."
RUN, DEPLOYMENT = "prefect.flow-run.", "prefect.deployment."
LOOK_BACK = timedelta(days=1)
MOST_EVENTS = 50
MOST_TOLD = 5
_PLACE = re.compile(
    r"[a-z][a-z0-9+]{1,9}://[^\s'\"<>?#,;)\]]+|/(?:[\w.=@+-]+/)+[\w.=@+-]*[\w=]", re.IGNORECASE
)
"""An address of data: ``s3://bucket/folder``, ``/mnt/lake/orders.csv``."""
_NO_DATA = ("http://", "https://", "/usr/", "/lib/", "/proc/", "/etc/")
_DEEP = 2
"""Parts that a place must have: a bucket or a root alone is shared by everybody."""


async def with_shared_data(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Return the evidence of a failure of data with what else reads or writes the same data.

    What cannot be read is named in ``missing``.
    """
    if diagnosis.category is not IssueCategory.DATA:
        return evidence
    try:
        lines = [*await _by_assets(api, evidence), *await _by_places(api, evidence, diagnosis)]
    except PrefectError as error:
        missing = f"workflows that share its data ({error.message})"
        return evidence.model_copy(update={"missing": (*evidence.missing, missing)})
    return evidence.model_copy(update={"surroundings": (*evidence.surroundings, *lines[:MOST_TOLD])})


async def _by_assets(api: PrefectAPI, evidence: Evidence) -> list[EvidenceLine]:
    """Return what other runs did with the assets that the failed run names, each asset's newest event."""
    run = evidence.run
    own = await _events(api, {"related": {"id": [f"{RUN}{run.id}"]}}, evidence)
    keys = sorted({key for event in own for key in _assets(event)})
    if not keys:
        return []
    told: dict[tuple[str, str], EvidenceLine] = {}
    for event in await _events(api, {"any_resource": {"id": keys}}, evidence):
        other = _related(event, RUN)
        if other is None or other[0] == run.id:
            continue
        for key in _assets(event) & set(keys):
            what = str(event.get("event")).removeprefix(ASSET)
            who = (_related(event, DEPLOYMENT) or other)[1]
            line = EvidenceLine(
                text=f"run {other[0]} of {who} {_done(what)} it, {str(event.get('occurred'))[:19]}",
                where=f"asset {redact(key)}",
            )
            told.setdefault((key, who), line)
    return list(told.values())


async def _events(api: PrefectAPI, about: JSONDict, evidence: Evidence) -> list[JSONDict]:
    since = (evidence.run.state.timestamp - LOOK_BACK).isoformat()
    wanted = {"event": {"prefix": [ASSET]}, "occurred": {"since": since}, **about}
    try:
        return await api.newest_events(wanted, MOST_EVENTS)
    except UnknownNameError:  # a server without events
        return []


def _assets(event: JSONDict) -> set[str]:
    """Return the assets of an event: the one it is about, and those it was made from."""
    ids = [(event.get("resource") or {}).get("prefect.resource.id")]
    ids += [
        one.get("prefect.resource.id")
        for one in event.get("related") or ()
        if one.get("prefect.resource.role") == "asset"
    ]
    return {str(ident) for ident in ids if ident}


def _related(event: JSONDict, kind: str) -> tuple[str, str] | None:
    """Return id and name of the run or deployment that an event tells of."""
    for one in event.get("related") or ():
        ident = str(one.get("prefect.resource.id") or "")
        if ident.startswith(kind):
            known = ident.removeprefix(kind)
            return known, redact(str(one.get("prefect.resource.name") or known))
    return None


def _done(what: str) -> str:
    if what.endswith("failed"):
        return "failed to write"
    return "wrote" if what.endswith("succeeded") else "read"


async def _by_places(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> list[EvidenceLine]:
    """Return the deployments whose parameters name a place that the failed run names."""
    said = (diagnosis.root_cause, *(line.text for line in diagnosis.evidence))
    own = {place: "its failure" for text in said for place in _places(text)}
    own |= {place: f"its parameter {name}" for name, place in _named(evidence.run.parameters)}
    if not own:
        return []
    lines = []
    for raw in await api.deployments():
        if raw.get("id") == evidence.run.deployment_id:
            continue
        shared = next(
            (
                (name, theirs, ours)
                for name, theirs in _named(raw.get("parameters") or {})
                for ours in own
                if _same_or_within(ours, theirs)
            ),
            None,
        )
        if shared is not None:
            name, theirs, ours = shared
            text = f"its parameter {name} is {redact(theirs)}, which {own[ours]} names, too"
            lines.append(
                EvidenceLine(text=text, where=f"deployment {redact(str(raw.get('name') or raw['id']))}")
            )
    return lines


def _named(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        for text in _texts(value):
            yield from ((name, place) for place in _places(text))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return (text for one in inner for text in _texts(one))


def _places(text: str) -> Iterator[str]:
    for match in _PLACE.findall(text):
        place = str(match).rstrip("/.:")
        if place.startswith(_NO_DATA) or "site-packages" in place:
            continue
        if len([part for part in place.split("/") if part and not part.endswith(":")]) >= _DEEP:
            yield place


def _same_or_within(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
