"""``diagnose`` and ``sessions``: why something failed, and what was done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, Stream, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.models import Diagnosis, RunRecord, TroubleshootingSession

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
    run, diagnosis = await _diagnose_run(_uuid(run_id) if run_id is not None else None)
    _show(diagnosis, run=run, as_json=as_json)
    return 0


async def _diagnose_run(run_id: str | None) -> tuple[RunRecord, Diagnosis]:
    from prefect_autopilot.adapters.evidence import read_evidence
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.journeys.desk import prefect_target
    from prefect_autopilot.troubleshooting import diagnose as judge

    target = prefect_target()
    now = datetime.now(UTC)
    async with PrefectAPI(target.url, auth=target.auth) as api:
        run = await _last_failed(api, now) if run_id is None else await api.run(run_id)
        return run, judge(await read_evidence(api, run, now=now))


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


def _show(diagnosis: Diagnosis, *, run: RunRecord | None = None, as_json: bool) -> None:
    from prefect_autopilot.models import IssueCategory

    if as_json:
        write_json({"run": run, "diagnosis": diagnosis} if run else diagnosis)
        return
    if run is not None:
        write_line(f"{run.name} of {run.flow_name}, {run.state.name} ({run.id})")
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
    if diagnosis.missing:
        write_line(f"could not be read: {', '.join(diagnosis.missing)}")


async def sessions(
    session_id: Annotated[str | None, Parameter(help="Show one session in full.")] = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="How many at most.")] = 20,
    as_json: JSONFlag = False,
) -> int:
    """List troubleshooting sessions, newest first."""
    from prefect_autopilot.errors import UnknownNameError
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store import Store

    async with Store.open(load_settings().store_url.get_secret_value()) as store:
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
