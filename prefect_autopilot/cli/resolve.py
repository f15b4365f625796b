"""``diagnose``: why something failed, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, Stream, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import Diagnosis, Evidence
    from prefect_autopilot.models.editing import FaultProposal


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
    propose_fix: Annotated[
        Flag, Parameter(help="Have a language model propose a patch for a fault in code; it is not applied.")
    ] = False,
    as_json: JSONFlag = False,
) -> int:
    """Say why a run failed and what helps; nothing is changed."""
    chosen = [one for one in (run_id, last_failed or None, file, batch) if one is not None]
    if len(chosen) != 1:
        raise UsageError(
            "Name one thing to diagnose: RUN_ID, --last-failed, --file F, or --batch with --output."
        )
    if propose_fix and (batch is not None or file is not None):
        raise UsageError("--propose-fix belongs to a run: its flow's file is what a patch is for.")
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
    fix = await _proposed_fix(diagnosis, evidence) if propose_fix else None
    _show(diagnosis, evidence=evidence, page=page, before=looked.before, fix=fix, as_json=as_json)
    return 0


async def _proposed_fix(diagnosis: Diagnosis, evidence: Evidence) -> FaultProposal:
    """Return what a language model proposes for a fault in code, tried where that harms nothing."""
    from prefect_autopilot.journeys.code_fault import proposed, tried
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.troubleshooting.proposed_fix import is_code_fault

    settings = load_settings()
    if not settings.ai:
        raise UsageError(
            "No language model is switched on: set ai, ai_url and ai_model, or leave out --propose-fix."
        )
    if not is_code_fault(diagnosis):
        raise UsageError(f"This is no fault in code ({diagnosis.category}); leave out --propose-fix.")
    proposal, changed = await proposed(settings, diagnosis, evidence)
    return await tried(proposal, changed, evidence, (diagnosis.exception or "").rpartition(".")[2])


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
    fix: FaultProposal | None = None,
    as_json: bool,
) -> None:
    from prefect_autopilot.models import IssueCategory
    from prefect_autopilot.troubleshooting import facts, prefect_objects, recommendations
    from prefect_autopilot.troubleshooting.pages import object_pages

    run = evidence.run if evidence else None
    advice, seen = recommendations(diagnosis, evidence), facts(diagnosis, evidence)
    if as_json:
        told = {"recommendations": advice, "facts": seen} | ({"proposal": fix} if fix else {})
        whole = {"run": run, "page": page, "diagnosis": diagnosis, "before": before, **told}
        write_json(whole if run else diagnosis.model_dump(mode="json") | told)
        return
    if run is not None:
        write_line(f"{run.name} of {run.flow_name}, {run.state.name} ({run.id})")
        write_line(page or "")
    write_line(diagnosis.root_cause)
    for earlier in before:
        write_line(earlier)
    often = "passing" if diagnosis.transient else "lasting"
    known = diagnosis.category is not IssueCategory.UNKNOWN
    rows = [
        ("category", diagnosis.category),
        ("severity", diagnosis.severity),
        ("kind", often if known else "not known"),
        ("confidence", diagnosis.confidence),
        ("what helps", diagnosis.remedy.replace("_", " ")),
        ("service", diagnosis.service),
    ]
    write_table("", ("fact", "value"), [row for row in rows if row[1] is not None])
    for line in diagnosis.evidence:
        write_line(f"{line.where}: {line.text}")
    for other in diagnosis.alternatives:
        write_line(f"not {other.category}: {other.reason}")
    _listed("what to do", advice)
    _listed("what was seen besides", seen)
    if evidence is not None and page is not None:
        pages = object_pages(prefect_objects(diagnosis, evidence), page.partition("/runs/")[0])
        _listed("in Prefect", (f"{name}: {address}" for name, address in pages.items()))
    if fix is not None:
        _show_fix(fix)


def _listed(head: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        if not number:
            write_line(f"{head}:")
        write_line(f"- {line}")


def _show_fix(fix: FaultProposal) -> None:
    from prefect_autopilot.troubleshooting.report import told_of

    write_line(f"what the language model {fix.model} says:")
    if fix.narrative:
        write_line(fix.narrative)
    if fix.reason:
        write_line(f"No patch that can be used: {fix.reason}")
    if fix.patch:
        write_line(f"A patch for {fix.file}, not applied; read it, then: git apply")
        write_line(fix.patch)
    _listed("of the patch", told_of(fix))
