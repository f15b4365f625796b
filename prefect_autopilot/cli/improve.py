"""``optimize``: a plan with reasons, a diff, and the new file on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table

if TYPE_CHECKING:
    from prefect_autopilot.cli.batch_optimize import ProofWish, Wish
    from prefect_autopilot.models import JSONDict

ProvedFlow = Annotated[
    str | None,
    Parameter(
        help="Run this flow of the file before and after and write only what did the same; its service "
        "calls are simulated, its reads over HTTP recorded, or --stubs stand in."
    ),
]
Stubs = Annotated[Path | None, Parameter(help="Python file that stands in for the services in a proof.")]
Picture = Annotated[Path | None, Parameter(help="Draw before and after as SVG into this new file.")]
FlowParameters = Annotated[str, Parameter(help="The flow's parameters in a proof, as JSON.")]
Unproved = Annotated[Flag, Parameter(help="With --deployment and --write: write although nothing is proved.")]
Deployed = Annotated[
    str | None,
    Parameter(help="flow/deployment: its runs are the history; with --write it is proved and watched."),
]
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
    deployment: Deployed = None,
    branch: Annotated[
        str | None, Parameter(help="Commit the changes on this new git branch; the file stays.")
    ] = None,
    patch: Annotated[Path | None, Parameter(help="Write the changes as a patch; the file stays.")] = None,
    prove: ProvedFlow = None,
    stubs: Stubs = None,
    parameters: FlowParameters = "{}",
    unproved: Unproved = False,
    picture: Picture = None,
    explain: Annotated[str | None, Parameter(help="Tell what a rule does, with an example.")] = None,
    as_json: JSONFlag = False,
) -> int:
    """Plan a faster, cheaper or safer version of a flow file."""
    from prefect_autopilot.adapters.files import read_source, write_new
    from prefect_autopilot.cli.batch_optimize import Wish, draw, optimize_deployment, optimize_with
    from prefect_autopilot.errors import UsageError
    from prefect_autopilot.models import Strategy

    if explain is not None:
        write_line(explain_rule(explain))
        return 0
    if file is None and deployment is None:
        raise UsageError(
            "optimize requires a flow file or --deployment, or --explain with a rule; see "
            "prefect-autopilot --help."
        )
    _refuse_contradictions(patch, branch, history, deployment, write=write)
    chosen = Strategy(strategy) if strategy else None
    proof = _proof_wish(prove, stubs, parameters)
    wish = Wish(chosen, unsafe, write, branch, prices, proof, unproved)
    if deployment is not None:
        file, original, plan, past = optimize_deployment(deployment, file, wish)
    elif file is not None:
        original = read_source(file)
        plan, past = optimize_with(file, wish, history)
    if patch is not None and plan["changed"]:
        write_new(patch.parent, patch.name, plan["diff"])
    if picture is not None:
        draw(plan, original, past, picture)
    if as_json:
        write_json(plan)
    else:
        _show(plan, wish)
    return 0


def _refuse_contradictions(
    patch: Path | None, branch: str | None, history: Path | None, deployment: str | None, *, write: bool
) -> None:
    from prefect_autopilot.errors import UsageError

    if sum((write, patch is not None, branch is not None)) > 1:
        raise UsageError(
            "Give one of --write (replace the file), --patch and --branch (leave it alone), not both."
        )
    if history is not None and deployment is not None:
        raise UsageError("Give --history or --deployment, whose runs are the history.")


def _proof_wish(function: str | None, stubs: Path | None, parameters: str) -> ProofWish | None:
    """Return what is to be proved; raises UsageError for parameters that are no JSON object."""
    import json

    from prefect_autopilot.cli.batch_optimize import ProofWish
    from prefect_autopilot.errors import UsageError

    if function is None:
        if stubs is not None or parameters != "{}":
            raise UsageError("--stubs and --parameters belong to a proof; name its flow with --prove.")
        return None
    try:
        given = json.loads(parameters)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError('--parameters is no JSON object; write them like \'{"day": "2026-03-01"}\'.')
    return ProofWish(function, given, stubs)


def explain_rule(name: str) -> str:
    """Return what a rule does, with an example before and after; raises UnknownNameError."""
    from prefect_autopilot.errors import UnknownNameError
    from prefect_autopilot.optimization import rules
    from prefect_autopilot.optimization.rules import explanation

    names = tuple(rule.name for rule in rules())
    if name not in names:
        raise UnknownNameError("rule", name, names)
    return explanation(name)


def _show(plan: JSONDict, wish: Wish) -> None:
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
    if plan["proof"]:
        told = plan["proof"]
        seconds = (
            f"{told['before_s']:.2f} s before, {told['after_s']:.2f} s after (medians of {told['n']} runs)"
        )
        write_line(f"Proved: {told['reason']}; {seconds}.")
        write_line("".join(f"  {check}\n" for check in told["checks"]).rstrip("\n"))
    if plan["rejected"]:
        rejected = [(one["line"], one["rule"], one["reason"]) for one in plan["rejected"]]
        write_table("Left alone", ("line", "rule", "why"), rejected)
    if plan["changed"]:
        done = "Nothing was written; add --write for that."
        unproved = "" if plan["proof"] else " That it does the same was not proved (--prove)."
        done = f"{plan['file']} was replaced.{unproved}" if wish.write else done
        write_line(f"Committed on the branch {wish.branch}; the file stays." if wish.branch else done)


def _seconds(found: JSONDict) -> str:
    from prefect_autopilot.journeys.improve import saves
    from prefect_autopilot.models import Advice, Rewrite

    kind = Advice if "how" in found else Rewrite
    return saves(kind.model_validate(found))
