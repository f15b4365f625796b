"""``optimize``: a plan with reasons, a diff, and the new file on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table

if TYPE_CHECKING:
    from prefect_autopilot.models import JSONDict

StrategyName = Literal["performance", "cost", "reliability", "hybrid"]


def optimize(
    file: Path,
    /,
    *,
    strategy: Annotated[StrategyName, Parameter(help="What the rewrite is for.")] = "performance",
    history: Annotated[Path | None, Parameter(help="JSON file with measured durations.")] = None,
    unsafe: Annotated[Flag, Parameter(help="Also make edits that need the owner's consent.")] = False,
    write: Annotated[Flag, Parameter(help="Replace the file; a backup is kept.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """Plan a faster, cheaper or safer version of a flow file."""
    from prefect_autopilot.cli.batch_optimize import optimize_file
    from prefect_autopilot.models import Strategy

    plan = optimize_file(file, Strategy(strategy), history, unsafe=unsafe, write=write)
    if as_json:
        write_json(plan)
    else:
        _show(plan, written=write)
    return 0


def _show(plan: JSONDict, *, written: bool) -> None:
    if plan["edits"]:
        rows = [(e["line"], e["rule"], e["risk"], _seconds(e), e["reason"]) for e in plan["edits"]]
        write_table("Edits", ("line", "rule", "risk", "saves", "why"), rows)
        write_line(plan["diff"])
    else:
        write_line(f"Nothing in {plan['file']} can be improved for {plan['strategy']} with what is known.")
    if plan["rejected"]:
        rejected = [(one["line"], one["rule"], one["reason"]) for one in plan["rejected"]]
        write_table("Left alone", ("line", "rule", "why"), rejected)
    if plan["changed"]:
        write_line(
            f"{plan['file']} was replaced." if written else "Nothing was written; add --write for that."
        )


def _seconds(edit: JSONDict) -> str:
    saving = edit.get("expected_saving_s")
    return "unknown" if saving is None else f"{saving:.1f} s"
