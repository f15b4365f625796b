"""What runs told of themselves, read from the Prefect server: events, and artifacts by their key."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from prefect_autopilot.adapters.prefect_values import table_rows
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import JSONDict, Measure
from prefect_autopilot.models.names import CALL_EVENT, MEASURE_EVENT
from prefect_autopilot.models.runs import MEASURE_NAME

ARTIFACTS = "metric-"
"""How the key of an artifact begins that holds a measure; the rest is its name."""
RUN = "prefect.flow-run."
BLOCK = "prefect.block-document."
LOADED = "prefect.block."
LOADED_PAGES = 4
_EVENTS_PAGE = 50
_ARTIFACTS_PAGE = 200
MOST_PAGES = 2_000
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Asks(Protocol):
    """What is needed of the Prefect API."""

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Call a route and return its JSON."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures read, and how many could not be used: no number, no run, a name that is none."""

    measures: tuple[Measure, ...]
    unusable: int = 0


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """What one call of a task told of itself; None where it could not."""

    task: str
    cpu_share: float | None
    inputs: str | None
    """Digest of what it was given."""


async def measured_calls(api: Asks, run_ids: Iterable[str]) -> tuple[MeasuredCall, ...]:
    """Return what the calls of tasks in some flow runs told (``hooks.measured``), in no order."""
    resources = [f"{RUN}{ident}" for ident in run_ids]
    wanted: JSONDict = {"event": {"name": [CALL_EVENT]}, "resource": {"id": resources}}
    found = []
    async for event in _pages(api, wanted):
        told = event.get("payload") or {}
        share, inputs = _number(told.get("cpu_share")), told.get("inputs")
        found.append(MeasuredCall(str(told.get("task")), share, inputs if isinstance(inputs, str) else None))
    return tuple(found)


async def measures_since(api: Asks, since: datetime, until: datetime) -> Measured:
    """Return what runs measured between two moments; nothing where the server knows no events.

    A measure is an event ``prefect-autopilot.metric`` about a flow run whose payload has ``name`` and
    ``value``, or an artifact of a run whose key is ``metric-NAME``: a progress artifact or a text is its
    number, a table the number of its rows.
    """
    found: list[Measure] = []
    unusable = 0
    for at, run_id, name, value in (*await _events(api, since, until), *await _artifacts(api, since)):
        number = _number(value)
        if run_id and number is not None and isinstance(name, str) and re.fullmatch(MEASURE_NAME, name):
            found.append(Measure(flow_run_id=run_id, name=name, value=number, at=at))
        else:
            unusable += 1
    return Measured(tuple(found), unusable)


@dataclass(frozen=True)
class LoadedBlocks:
    """Which blocks, as ``type/name``, flow runs loaded, by run; the blocks' ids, by that name."""

    by_run: dict[str, set[str]]
    ids: dict[str, str]
    since: datetime
    """From which moment on these are all of them."""


async def loaded_blocks(api: Asks, run_ids: Iterable[str], since: datetime) -> LoadedBlocks:
    """Return which blocks flow runs loaded.

    Prefect emits ``prefect.block.TYPE.loaded`` for each load; four pages of the newest are read.
    """
    wanted: JSONDict = {
        "occurred": {"since": since.isoformat()},
        "event": {"prefix": [LOADED]},
        "related": {"id": [f"{RUN}{ident}" for ident in run_ids]},
        "order": "DESC",
    }
    found: dict[str, set[str]] = {}
    ids: dict[str, str] = {}
    read, oldest = 0, since
    async for event in _pages(api, wanted, LOADED_PAGES):
        kind, _, became = str(event["event"]).removeprefix(LOADED).rpartition(".")
        read, oldest = read + 1, datetime.fromisoformat(event["occurred"])
        block: JSONDict = event.get("resource") or {}
        if became == "loaded" and (name := block.get("prefect.resource.name")):
            found.setdefault(_run_of(event), set()).add(f"{kind}/{name}")
            ids[f"{kind}/{name}"] = str(block.get("prefect.resource.id") or "").removeprefix(BLOCK)
    return LoadedBlocks(found, ids, oldest if read >= LOADED_PAGES * _EVENTS_PAGE else since)


async def _events(api: Asks, since: datetime, until: datetime) -> list[tuple[datetime, str, Any, Any]]:
    wanted = {
        "occurred": {"since": since.isoformat(), "until": until.isoformat()},
        "event": {"name": [MEASURE_EVENT]},
        "order": "ASC",
    }
    found = []
    async for event in _pages(api, wanted):
        payload = event.get("payload") or {}
        at = datetime.fromisoformat(event["occurred"])
        found.append((at, _run_of(event), payload.get("name"), payload.get("value")))
    return found


async def _pages(api: Asks, wanted: JSONDict, most: int = MOST_PAGES) -> AsyncIterator[JSONDict]:
    """Yield the events of a filter, some pages at most; none where the server knows no events."""
    try:
        page = await api.request("POST", "/events/filter", {"filter": wanted, "limit": _EVENTS_PAGE})
        for number in range(1, most + 1):
            for event in page.get("events") or ():
                yield event
            if not page.get("next_page") or number == most:
                break
            # Behind a proxy the server may name itself by another address; only the token is its own.
            page = await api.request("GET", f"/events/filter/next?{urlsplit(page['next_page']).query}")
    except UnknownNameError:
        return  # a server without events has none to read


def _run_of(event: JSONDict) -> str:
    resources: Iterable[JSONDict] = (event.get("resource") or {}, *(event.get("related") or ()))
    ids = (str(one.get("prefect.resource.id") or "") for one in resources)
    return next((ident.removeprefix(RUN) for ident in ids if ident.startswith(RUN)), "")


async def _artifacts(api: Asks, since: datetime) -> list[tuple[datetime, str, Any, Any]]:
    found: list[tuple[datetime, str, Any, Any]] = []
    for page in range(MOST_PAGES):
        body = {
            "artifacts": {"key": {"like_": f"{ARTIFACTS}%"}},
            "sort": "UPDATED_DESC",
            "limit": _ARTIFACTS_PAGE,
            "offset": page * _ARTIFACTS_PAGE,
        }
        try:
            raws: list[JSONDict] = await api.request("POST", "/artifacts/filter", body)
        except UnknownNameError:
            break  # as above, of artifacts
        fresh = [raw for raw in raws if datetime.fromisoformat(raw["updated"]) >= since]
        found += _values(fresh)
        if len(fresh) < _ARTIFACTS_PAGE:
            break
    return found


def _values(raws: Iterable[JSONDict]) -> Iterator[tuple[datetime, str, Any, Any]]:
    for raw in raws:
        name = str(raw["key"]).removeprefix(ARTIFACTS).replace("-", "_")
        data = raw.get("data")
        if raw.get("type") == "table":
            data = table_rows(data)
        yield datetime.fromisoformat(raw["updated"]), str(raw.get("flow_run_id") or ""), name, data


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        value = float(match[0]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
