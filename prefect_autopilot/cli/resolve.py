"""``diagnose``: why something failed, and what helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, Stream, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import Diagnosis, Evidence


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
    from prefect_autopilot.cli.looking import look_at

    looked = await look_at(_uuid(run_id) if run_id is not None else None)
    diagnosis, evidence, page = looked.found.diagnosis, looked.found.evidence, looked.page
    _show(diagnosis, evidence=evidence, page=page, before=looked.before, as_json=as_json)
    return 0


def _uuid(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(f"{text!r} is no flow run id; it is the UUID in the run's address.") from None


def _show(
    diagnosis: Diagnosis,
    *,
    evidence: Evidence | None = None,
    page: str | None = None,
    before: tuple[str, ...] = (),
    as_json: bool,
) -> None:
    from prefect_autopilot.models import IssueCategory
    from prefect_autopilot.troubleshooting import recommendations

    run, advice = evidence.run if evidence else None, recommendations(diagnosis, evidence)
    if as_json:
        whole = {
            "run": run,
            "page": page,
            "diagnosis": diagnosis,
            "before": before,
            "recommendations": advice,
        }
        write_json(whole if run else diagnosis.model_dump(mode="json") | {"recommendations": advice})
        return
    if run is not None:
        write_line(f"{run.name} of {run.flow_name}, {run.state.name} ({run.id})")
        write_line(page or "")
    write_line(diagnosis.root_cause)
    for line in before:
        write_line(line)
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
