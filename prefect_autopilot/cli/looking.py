"""What ``diagnose`` sees of a run: what Prefect tells, and our own store where there is one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prefect_autopilot.cli.local import known_store
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.known_around import Understood
    from prefect_autopilot.journeys.probing import Ask
    from prefect_autopilot.models import RunRecord
    from prefect_autopilot.store import Store

LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Looked:
    """A run as it was understood, its page, and what is known of its cause from before."""

    found: Understood
    page: str
    before: tuple[str, ...] = ()


async def look_at(run_id: str | None) -> Looked:
    """Understand a run, None the last failed one, as the watcher would; nothing is written.

    Raises UsageError where no run failed lately, UnknownNameError, PrefectError, StoreError.
    """
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.desk import prefect_target
    from prefect_autopilot.journeys.known_around import Onlooker, understand

    target = prefect_target()
    async with PrefectAPI(target.url, auth=target.auth, ui=target.ui) as api, known_store() as store:
        run = await _last_failed(api, datetime.now(UTC)) if run_id is None else run_id
        found = await understand(Onlooker(api, lambda: datetime.now(UTC), _asking(api), store), run)
        page = f"{api.ui}/runs/flow-run/{found.read.run.id}"
        return Looked(found, page, () if store is None else await _from_before(api, store, found))


async def _from_before(api: PrefectAPI, store: Store, found: Understood) -> tuple[str, ...]:
    """Return how often the cause came before, what helped last, and what in the source would end it."""
    from prefect_autopilot.journeys.desk import Desk
    from prefect_autopilot.journeys.lasting import lasting_cure
    from prefect_autopilot.journeys.tell import recognise
    from prefect_autopilot.models import TroubleshootingSession
    from prefect_autopilot.troubleshooting import issue_from
    from prefect_autopilot.troubleshooting.report import recognised

    run, diagnosis, now = found.read.run, found.diagnosis, found.read.read_at
    workflow = run.deployment_id or run.flow_name
    name = f"{run.flow_name}/{run.deployment_name}" if run.deployment_name else run.flow_name
    mine = await store.session_for_run(run.id)
    session = TroubleshootingSession(
        session_id=mine.session_id if mine is not None else "",
        workflow_id=workflow,
        diagnosis=diagnosis,
        fingerprint=diagnosis.fingerprint,
        issues=(issue_from(diagnosis, workflow_id=workflow, now=now, components=(name,)),),
        start_time=now,
    )
    desk = Desk(api=api, store=store)
    session = await recognise(desk, session)
    return tuple(line for line in (recognised(session), await lasting_cure(desk, session)) if line)


def _asking(api: PrefectAPI) -> Ask:
    """Return what asks a service; the policy is read when the first private one is asked, and once."""
    from prefect_autopilot.journeys.desk import probe
    from prefect_autopilot.journeys.policy import probe_hosts
    from prefect_autopilot.settings import load_settings

    once = asyncio.Lock()
    private: tuple[str, ...] | None = None

    async def ask(url: str) -> bool | None:
        nonlocal private
        if (answer := await probe(url, False)) is not None:  # noqa: FBT003  # the desk's interface
            return answer
        async with once:
            if private is None:
                private = await probe_hosts(api, load_settings())
        return await probe(url, True) if urlsplit(url).hostname in private else None  # noqa: FBT003  # as above

    return ask


async def _last_failed(api: PrefectAPI, now: datetime) -> RunRecord:
    runs = await api.failed_runs_since(now - LOOK_BACK)
    if not runs:
        raise UsageError(f"No run failed in the last {LOOK_BACK.days} days; name a run by its id.")
    return runs[-1]
