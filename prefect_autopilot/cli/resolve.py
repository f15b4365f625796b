"""``diagnose`` and ``sessions``: why something failed, and what was done about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store
from prefect_autopilot.cli.output import Flag, JSONFlag, Stream, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.probing import Ask
    from prefect_autopilot.models import Diagnosis, Evidence, RunRecord, TroubleshootingSession

LOOK_BACK = timedelta(days=7)
_MOST_SESSIONS = 10_000


async def diagnose(
    run_id: Annotated[str | None, Parameter(help="Id of a flow run.")] = None,
    /,
    *,
    last_failed: Annotated[
        Flag, Parameter(help="Take the newest failed run of the last seven days.")
    ] = False,
    file: Annotated[Path | None, Parameter(help="Take a log or traceback from this file.")] = None,
    batch: Annotated[Stream, Parameter(help='JSON Lines of failures or incidents ("-": stdin).')] = None,
    output: Annotated[Stream, Parameter(help='Where the answers go ("-": stdout).')] = None,
    as_json: JSONFlag = False,
) -> int:
    """Say why a run failed and what helps; nothing is changed."""
    chosen = [one for one in (run_id, last_failed or None, file, batch) if one is not None]
    if len(chosen) != 1:
        raise UsageError(
            "Name one thing to diagnose: RUN_ID, --last-failed, --file F, or --batch with --output."
        )
    if batch is not None:
        from prefect_autopilot.cli.batch import run_batch
        from prefect_autopilot.cli.batch_diagnose import diagnose_rows

        return run_batch(batch, output, diagnose_rows)
    if output is not None:
        raise UsageError("--output belongs to --batch; redirect the standard output instead.")
    if file is not None:
        from prefect_autopilot.cli.text_input import read_file
        from prefect_autopilot.redaction import redact
        from prefect_autopilot.troubleshooting import diagnose_text

        _show(diagnose_text(redact(read_file(file, "a log or traceback"))), as_json=as_json)
        return 0
    from prefect_autopilot.troubleshooting import with_what_is_shared

    evidence, diagnosis, page = await _diagnosed(_uuid(run_id) if run_id is not None else None)
    evidence, _ = with_what_is_shared(evidence, diagnosis)
    _show(diagnosis, evidence=evidence, page=page, as_json=as_json)
    return 0


async def _diagnosed(run_id: str | None) -> tuple[Evidence, Diagnosis, str]:
    """Return what is known of a run and of what is tied to it, its diagnosis and its page."""
    from prefect_autopilot.adapters.evidence import read_evidence
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.desk import prefect_target
    from prefect_autopilot.journeys.probing import with_health_of_named
    from prefect_autopilot.journeys.ties import with_ties
    from prefect_autopilot.troubleshooting import diagnose as judge

    target = prefect_target()
    now = datetime.now(UTC)
    async with PrefectAPI(target.url, auth=target.auth, ui=target.ui) as api:
        run = await _last_failed(api, now) if run_id is None else await api.run(run_id)
        evidence = await with_health_of_named(await read_evidence(api, run, now=now), _asking(api))
        diagnosis = judge(evidence)
        evidence = await with_ties(api, evidence, diagnosis)
        return evidence, diagnosis, f"{api.ui}/runs/flow-run/{run.id}"


def _asking(api: PrefectAPI) -> Ask:
    """Return what asks a service; the policy is read when the first is asked, and once."""
    from prefect_autopilot.journeys.desk import probe
    from prefect_autopilot.journeys.policy import probe_hosts
    from prefect_autopilot.settings import load_settings

    once = asyncio.Lock()
    private: tuple[str, ...] | None = None

    async def ask(url: str) -> bool | None:
        nonlocal private
        async with once:
            if private is None:
                private = await probe_hosts(api, load_settings())
        return await probe(url, urlsplit(url).hostname in private)

    return ask


def _uuid(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(f"{text!r} is no flow run id; it is the UUID in the run's address.") from None


async def _last_failed(api: PrefectAPI, now: datetime) -> RunRecord:
    runs = await api.failed_runs_since(now - LOOK_BACK)
    if not runs:
        raise UsageError(f"No run failed in the last {LOOK_BACK.days} days; name a run by its id.")
    return runs[-1]


def _show(
    diagnosis: Diagnosis, *, evidence: Evidence | None = None, page: str | None = None, as_json: bool
) -> None:
    from prefect_autopilot.models import IssueCategory
    from prefect_autopilot.troubleshooting import recommendations

    run, advice = evidence.run if evidence else None, recommendations(diagnosis, evidence)
    if as_json:
        whole = {"run": run, "page": page, "diagnosis": diagnosis, "recommendations": advice}
        write_json(whole if run else diagnosis.model_dump(mode="json") | {"recommendations": advice})
        return
    if run is not None:
        write_line(f"{run.name} of {run.flow_name}, {run.state.name} ({run.id})")
        write_line(page or "")
    write_line(diagnosis.root_cause)
    often = "passing" if diagnosis.transient else "lasting"
    known = diagnosis.category is not IssueCategory.UNKNOWN
    facts = [
        ("category", diagnosis.category),
        ("severity", diagnosis.severity),
        ("kind", often if known else "not known"),
        ("confidence", diagnosis.confidence),
        ("what helps", diagnosis.remedy.replace("_", " ")),
        ("service", diagnosis.service),
    ]
    write_table("", ("", ""), [fact for fact in facts if fact[1] is not None])
    for line in diagnosis.evidence:
        write_line(f"{line.where}: {line.text}")
    for other in diagnosis.alternatives:
        write_line(f"not {other.category}: {other.reason}")
    if advice:
        write_line("what to do:")
    for step in advice:
        write_line(f"- {step}")


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
        for line in session.trail:
            write_line(line)
    return 0


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
