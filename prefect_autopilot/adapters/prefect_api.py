"""The Prefect REST API: bounded reads, and the few acts that remedies need.

Plain httpx instead of Prefect's client: `import prefect` costs seconds that a command at night should not
pay, and one transport is the one seam for tests. Every call backs off on 429 and 503 (a SQLite server
answers 503 under a few parallel writers) and on broken connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from prefect_autopilot.adapters import call_budget
from prefect_autopilot.adapters.ended_runs import ACTIVE, PAGE, EndedRuns
from prefect_autopilot.adapters.prefect_acts import PrefectActs
from prefect_autopilot.adapters.prefect_target import pages_of
from prefect_autopilot.adapters.prefect_values import log_record, run_record, state_record, task_run_record
from prefect_autopilot.adapters.service_answers import retry_after
from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError
from prefect_autopilot.models import (
    JSONDict,
    LogRecord,
    RunRecord,
    StateRecord,
    TaskRunRecord,
)

Sleep = Callable[[float], Awaitable[None]]

_TRY_AGAIN = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_DATE_EXACT_TO = timedelta(seconds=1)
_JUST = timedelta(seconds=5)
_LATELY = timedelta(minutes=1)
_MOST_BEHIND = timedelta(days=1)
"""A clock farther behind is none: nobody reads the failures of years again because of it."""


class PrefectAPI(EndedRuns, PrefectActs):
    """A connection to one Prefect server; use as an async context manager.

    ``url`` ends in ``/api``. ``auth`` is a finished Authorization header, or None. Raises ``PrefectError``
    with the HTTP status; ``permanent`` is False where the same call may succeed later. ``clock`` is what the
    server's clock is compared with.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: str | None = None,
        ui: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        tries: int = 6,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = lambda: 1.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        headers = {"Authorization": auth} if auth else {}
        self.url = url.rstrip("/")
        self.ui = (ui or pages_of(self.url)).rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, transport=transport, timeout=30)
        self._tries = tries
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._names: dict[str, JSONDict] = {}
        self._deployments: dict[str, tuple[datetime, JSONDict]] = {}
        self._automations: tuple[datetime, tuple[JSONDict, ...]] | None = None
        self.calls = 0
        self.unreadable = 0
        """Runs in answers that no run could be made of, so far."""
        self.server_behind = timedelta()
        """How far the server's clock is behind ours by its last answer, never below zero."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, body: Any = None, *, once: bool = False) -> Any:
        """Send one call and return its JSON; 404 raises ``UnknownNameError``.

        ``once``: a call whose answer was lost is not sent again, for it may have been carried out. Where a
        budget holds (``call_budget``), a call beyond it raises ``CallsSpentError`` and is not sent.
        """
        call_budget.take()
        for attempt in range(self._tries):
            self.calls += 1
            asked_s = 0.0
            last = attempt == self._tries - 1
            try:
                answer = await self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                if last or (once and not isinstance(error, _NEVER_SENT)):
                    raise PrefectError(
                        f"The Prefect API at {self.url} cannot be reached ({type(error).__name__}); "
                        "start the server or set PREFECT_API_URL.",
                        permanent=False,
                    ) from error
            else:
                self._compare_clocks(answer.headers.get("Date"))
                if answer.status_code not in _TRY_AGAIN or last:
                    return self._read(answer, path)
                asked_s = min(retry_after(answer.headers, self._clock()) or 0.0, _LONGEST_PAUSE_S)
            await self._sleep(max(asked_s, _FIRST_PAUSE_S * 2**attempt * (0.5 + self._jitter() / 2)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _compare_clocks(self, date: str | None) -> None:
        """Read the server's clock, which tells when runs end; the header is exact to one second."""
        try:
            there = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if there.tzinfo is not None:
            behind = self._clock() - there - _DATE_EXACT_TO
            self.server_behind = min(max(timedelta(), behind), _MOST_BEHIND)

    def _read(self, answer: httpx.Response, path: str) -> Any:
        status = answer.status_code
        is_list = path.endswith("/filter") and path != "/events/filter"
        if status == httpx.codes.NOT_FOUND:
            raise UnknownNameError("object", path.rsplit("?", 1)[0])
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise PrefectError(
                f"The Prefect API at {self.url} refused our credentials (HTTP {status}); set "
                "PREFECT_API_AUTH_STRING, and unset PREFECT_API_KEY, which takes precedence.",
                permanent=True,
                status=status,
            )
        if answer.is_error:
            raise PrefectError(
                f"The Prefect API answered HTTP {status} to {path}: {answer.text[:200]}",
                permanent=status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _TRY_AGAIN,
                status=status,
            )
        if not answer.content and not answer.is_redirect:
            return None
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            raise self._foreign() from None
        rows = isinstance(found, list) and all(isinstance(one, dict) for one in found)
        if answer.is_redirect or (is_list and not rows):
            raise self._foreign()
        return found

    def _foreign(self, status: int | None = None) -> PrefectError:
        return PrefectError(
            f"What answers at {self.url} is no Prefect API; PREFECT_API_URL must end in /api.",
            permanent=True,
            status=status,
        )

    async def version(self) -> str:
        """Return the server's Prefect version."""
        told = await self.request("GET", "/admin/version")
        if not isinstance(told, str):
            raise self._foreign()
        return told

    # Reads

    async def run(self, run_id: str) -> RunRecord:
        """Return one flow run; raises ``UnknownNameError`` when it was deleted."""
        try:
            raw = await self.request("GET", f"/flow_runs/{run_id}")
        except UnknownNameError as error:
            raise UnknownNameError("flow run", run_id) from error
        except PrefectError as error:
            if error.status == httpx.codes.UNPROCESSABLE_ENTITY:
                raise UnknownNameError("flow run", run_id) from error
            raise
        if not isinstance(raw, dict) or not raw.get("id"):
            raise self._foreign()
        records = await self._records([raw])
        if not records:
            raise PrefectError(f"What the server tells of run {run_id} cannot be read.", permanent=True)
        return records[0]

    async def runs_of(self, deployment_id: str, *, limit: int = 20) -> tuple[RunRecord, ...]:
        """Return the newest started runs of a deployment, newest first."""
        raws = await self._filter_runs(
            {"deployment_id": {"any_": [deployment_id]}}, "EXPECTED_START_TIME_DESC", limit
        )
        started = [raw for raw in raws if raw["state_type"] not in {"SCHEDULED", None}]
        return await self._records(started)

    async def runs_by_id(self, ids: Sequence[str]) -> tuple[RunRecord, ...]:
        """Return those of these runs that there are, in any order."""
        found: list[JSONDict] = []
        for start in range(0, len(ids), PAGE):
            found += await self._filter_runs({"id": {"any_": list(ids[start : start + PAGE])}}, "ID_DESC")
        return await self._records(found)

    async def run_by_key(self, key: str) -> str | None:
        """Return the id of the run that was started with an idempotency key, None where there is none."""
        raws = await self._filter_runs({"idempotency_key": {"any_": [key]}}, "ID_DESC", 1)
        # Whoever does not know the filter answers with any run.
        return next((str(raw["id"]) for raw in raws if raw.get("idempotency_key") == key), None)

    async def states(self, run_id: str) -> tuple[StateRecord, ...]:
        """Return a run's states, oldest first."""
        raws = await self.request("GET", f"/flow_run_states/?flow_run_id={run_id}")
        return tuple(sorted((state_record(raw) for raw in raws), key=lambda state: state.timestamp))

    async def task_runs(self, run_id: str) -> tuple[TaskRunRecord, ...]:
        """Return up to one page of the run's task runs, in the order of their start."""
        raws = await self.request(
            "POST",
            "/task_runs/filter",
            {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": PAGE},
        )
        return tuple(task_run_record(raw) for raw in raws)

    async def logs(
        self,
        run_id: str,
        *,
        limit: int = PAGE,
        until: datetime | None = None,
        least_level: int = 0,
        oldest: bool = False,
    ) -> tuple[LogRecord, ...]:
        """Return the newest ``limit`` log lines of the run, or its oldest, oldest first.

        ``until``: up to this moment, which counts; ``least_level``: of this level at least.
        """
        wanted: JSONDict = {"flow_run_id": {"any_": [run_id]}}
        wanted |= {"timestamp": {"before_": until.isoformat()}} if until else {}
        wanted |= {"level": {"ge_": least_level}} if least_level else {}
        sort = "TIMESTAMP_ASC" if oldest else "TIMESTAMP_DESC"
        raws = await self.request("POST", "/logs/filter", {"logs": wanted, "sort": sort, "limit": limit})
        return tuple(log_record(raw) for raw in (raws if oldest else reversed(raws)))

    async def deployment(self, deployment_id: str, *, just_read: bool = False) -> JSONDict:
        """Return a deployment as the API tells it; ``just_read``: as it was told within the last seconds."""
        read_at, known = self._deployments.get(deployment_id, (None, {}))
        if just_read and read_at is not None and self._clock() - read_at <= _JUST:
            return known
        raw: JSONDict = await self.request("GET", f"/deployments/{deployment_id}")
        return raw

    async def _page(self, flow_runs: JSONDict, sort: str, offset: int = 0) -> list[JSONDict]:
        try:
            return await self._filter_runs(flow_runs, sort, offset=offset)
        except UnknownNameError:
            # The list of all runs may be empty, it is never missing: somebody else answers here.
            raise self._foreign(httpx.codes.NOT_FOUND) from None

    async def _filter_runs(
        self, flow_runs: JSONDict, sort: str, limit: int = PAGE, *, offset: int = 0
    ) -> list[JSONDict]:
        body = {"flow_runs": flow_runs, "sort": sort, "limit": limit} | ({"offset": offset} if offset else {})
        raws: list[JSONDict] = await self.request("POST", "/flow_runs/filter", body)
        return raws

    async def _records(self, raws: list[JSONDict]) -> tuple[RunRecord, ...]:
        await self._learn_names("flows", {raw["flow_id"] for raw in raws if raw.get("flow_id")})
        deployments = {raw["deployment_id"] for raw in raws if raw.get("deployment_id")}
        await self._learn_names("deployments", deployments)
        return tuple(self._readable(raws))

    def _readable(self, raws: Iterable[JSONDict]) -> Iterator[RunRecord]:
        for raw in raws:
            try:
                yield run_record(raw, self._names)
            except (KeyError, TypeError, ValueError):
                self.unreadable += 1  # one bad record must not hide the others

    async def _learn_names(self, kind: str, ids: set[str]) -> None:
        unknown = sorted(ids - self._names.keys())
        for start in range(0, len(unknown), PAGE):
            chunk = unknown[start : start + PAGE]
            found = await self.request(
                "POST", f"/{kind}/filter", {kind: {"id": {"any_": chunk}}, "limit": PAGE}
            )
            self._names |= {raw["id"]: {"name": raw["name"]} for raw in found}
            if kind == "deployments":
                whole = (raw for raw in found if "entrypoint" in raw)
                self._deployments = {raw["id"]: (self._clock(), raw) for raw in whole}
            # A deleted flow or deployment is remembered as nameless, or it would be asked for at every poll.
            self._names |= {missing: {"name": ""} for missing in chunk if missing not in self._names}

    async def deployments(self) -> tuple[JSONDict, ...]:
        """Return up to one page of deployments as the API tells them."""
        raws = await self.request("POST", "/deployments/filter", {"limit": PAGE, "sort": "NAME_ASC"})
        return tuple(raws)

    async def deployments_by_id(self, ids: Sequence[str]) -> tuple[JSONDict, ...]:
        """Return those of the deployments that exist, as the API tells them."""
        found: list[JSONDict] = []
        for start in range(0, len(ids), PAGE):
            wanted = {"id": {"any_": list(ids[start : start + PAGE])}}
            found += await self.request("POST", "/deployments/filter", {"deployments": wanted, "limit": PAGE})
        return tuple(found)

    async def newest_events(self, wanted: JSONDict, limit: int) -> list[JSONDict]:
        """Return the events that a filter finds, newest first; ``UnknownNameError`` where none are kept."""
        body = {"filter": {**wanted, "order": "DESC"}, "limit": limit}
        page = await self.request("POST", "/events/filter", body)
        return list(page.get("events") or ()) if isinstance(page, dict) else []

    async def automations(self, *, lately: bool = False) -> tuple[JSONDict, ...]:
        """Return the enabled automations, up to one page; none where the server knows no automations.

        ``lately``: as they were read within the last minute.
        """
        if lately and self._automations is not None and self._clock() - self._automations[0] <= _LATELY:
            return self._automations[1]
        try:
            raws = await self.request("POST", "/automations/filter", {"limit": PAGE})
        except UnknownNameError:
            raws = []
        found = tuple(raw for raw in raws if raw.get("enabled"))
        self._automations = (self._clock(), found)
        return found

    async def full_limits(self) -> tuple[JSONDict, ...]:
        """Return the active global concurrency limits of which no slot is free, up to one page."""
        raws = await self.request("POST", "/v2/concurrency_limits/filter", {"limit": PAGE})
        return tuple(raw for raw in raws if raw["active"] and 0 < raw["limit"] <= raw["active_slots"])

    async def active_runs(self) -> tuple[RunRecord, ...]:
        """Return the runs that are under way; one page, and ``ConflictError`` where there may be more."""
        raws = await self._page(ACTIVE, "START_TIME_DESC")
        if len(raws) == PAGE:
            raise ConflictError("More runs are under way than one page holds; not all can be looked at.")
        return await self._records(raws)

    async def loose_task_runs(self) -> bool:
        """Tell whether tasks run outside of any flow, where nobody can read their source."""
        wanted = {"flow_run_id": {"is_null_": True}, "state": {"type": {"any_": ["RUNNING"]}}}
        return bool(await self.request("POST", "/task_runs/filter", {"task_runs": wanted, "limit": 1}))
