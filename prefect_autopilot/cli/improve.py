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
    file: Path | None = None,
    /,
    *,
    strategy: Annotated[
        StrategyName | None,
        Parameter(help="What the rewrite is for; else as pyproject.toml says, or performance."),
    ] = None,
    history: Annotated[Path | None, Parameter(help="JSON file with measured durations.")] = None,
    unsafe: Annotated[Flag, Parameter(help="Also make edits that need the owner's consent.")] = False,
    prices: Annotated[Path | None, Parameter(help="TOML file with prices of services and machines.")] = None,
    write: Annotated[Flag, Parameter(help="Replace the file; a backup is kept.")] = False,
    patch: Annotated[Path | None, Parameter(help="Write the changes as a patch; the file stays.")] = None,
    picture: Annotated[
        Path | None, Parameter(help="Draw before and after as SVG into this new file.")
    ] = None,
    explain: Annotated[str | None, Parameter(help="Tell what a rule does, with an example.")] = None,
    as_json: JSONFlag = False,
) -> int:
    """Plan a faster, cheaper or safer version of a flow file."""
    from prefect_autopilot.adapters.files import read_source, write_new
    from prefect_autopilot.cli.batch_optimize import draw, optimize_file
    from prefect_autopilot.errors import UsageError
    from prefect_autopilot.models import Strategy

    if explain is not None:
        write_line(explain_rule(explain))
        return 0
    if file is None:
        raise UsageError(
            "optimize requires a flow file, or --explain with a rule; see prefect-autopilot --help."
        )
    if write and patch is not None:
        raise UsageError("Give --write to replace the file or --patch to leave it alone, not both.")
    original = read_source(file) if picture is not None else ""
    chosen = Strategy(strategy) if strategy else None
    plan = optimize_file(file, chosen, history, unsafe=unsafe, write=write, prices_path=prices)
    if patch is not None and plan["changed"]:
        write_new(patch.parent, patch.name, plan["diff"])
    if picture is not None:
        draw(plan, original, history, picture)
    if as_json:
        write_json(plan)
    else:
        _show(plan, written=write)
    return 0


def explain_rule(name: str) -> str:
    """Return what a rule does, with an example before and after; raises UnknownNameError."""
    from prefect_autopilot.errors import UnknownNameError
    from prefect_autopilot.optimization import rules
    from prefect_autopilot.optimization.rules import explanation

    names = tuple(rule.name for rule in rules())
    if name not in names:
        raise UnknownNameError("rule", name, names)
    return explanation(name)


def _show(plan: JSONDict, *, written: bool) -> None:
    if plan["edits"]:
        rows = [(e["line"], e["rule"], e["risk"], _seconds(e), e["reason"]) for e in plan["edits"]]
        write_table("Edits", ("line", "rule", "risk", "saves", "why"), rows)
        write_line(plan["diff"])
    else:
        write_line(f"Nothing in {plan['file']} can be improved for {plan['strategy']} with what is known.")
    for one in plan["advice"]:
        write_line(f"Worth doing by hand, line {one['line']} ({one['rule']}): {one['reason']}.")
        write_line(f"  saves {_seconds(one)}; holds if {'; '.join(one['preconditions'])}")
        write_line("".join(f"    {line}\n" for line in one["how"].splitlines()).rstrip("\n"))
    if plan["rejected"]:
        rejected = [(one["line"], one["rule"], one["reason"]) for one in plan["rejected"]]
        write_table("Left alone", ("line", "rule", "why"), rejected)
    if plan["changed"]:
        write_line(
            f"{plan['file']} was replaced." if written else "Nothing was written; add --write for that."
        )


def _seconds(found: JSONDict) -> str:
    from prefect_autopilot.journeys.improve import saves
    from prefect_autopilot.models import Advice, Rewrite

    kind = Advice if "how" in found else Rewrite
    return saves(kind.model_validate(found))
