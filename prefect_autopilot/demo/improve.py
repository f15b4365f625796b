"""Third act: a sequential flow is planned faster, proven equal, and measured before and after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rich.syntax import Syntax

from prefect_autopilot.demo.shop import LATENCY_S, running_shop
from prefect_autopilot.demo.world import World
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import OptimizationPlan, Proof, Strategy

SAMPLE = "sequential_report.py"
FUNCTION = "sequential_report"
LEAST_GAIN = 0.2


@dataclass(frozen=True)
class Attempted:
    """A plan for the sample flow, and what running both versions showed."""

    path: Path
    original: str
    plan: OptimizationPlan
    proof: Proof


async def try_faster(world: World) -> Attempted:
    """Plan a rewrite of the sample flow and prove it; takes its time and shows nothing yet."""
    path = world.folder / "flows" / SAMPLE
    original = _copy_sample(path)
    plan = improve.plan(path, Strategy.PERFORMANCE)
    with running_shop() as url:
        proof = await improve.prove_plan(
            plan,
            original,
            function=FUNCTION,
            parameters={"base_url": url},
            environment={"PREFECT_API_URL": world.prefect.url},
        )
    return Attempted(path, original, plan, proof)


async def show_faster(world: World, trial: asyncio.Task[Attempted]) -> None:
    """Show plan, diff and proof, and apply the rewrite."""
    screen = world.screen
    screen.act("A slow flow is made faster")
    with screen.step("Plan the rewrite; run original, rewritten, and rewritten in reverse order"):
        tried = await trial
    plan, proof = tried.plan, tried.proof
    for edit in plan.edits:
        screen.say(f"line {edit.line} {edit.rule}: {edit.reason}")
    screen.show(Syntax(plan.diff, "diff", background_color="default"))
    for told in proof.checks:
        screen.say(told)
    screen.check(
        "the rewritten flow gives the same results",
        proof.reason,
        passed=proof.equal,
    )
    screen.check(
        f"its median is at least a fifth below the original's, reads taking {LATENCY_S} s",
        measured(proof),
        passed=faster(proof),
    )
    backup = improve.apply(plan, tried.path, tried.original)
    screen.check(
        "the file is replaced and its backup kept",
        backup.name if backup else "no backup",
        passed=backup is not None and backup.read_text(encoding="utf-8") == tried.original,
    )


def measured(proof: Proof) -> str:
    """Say what was measured: medians, how far single runs lie apart, and how many there were."""
    before, after = proof.before_range_s, proof.after_range_s
    if before is None or after is None:
        return "not measured"
    return (
        f"{proof.before_s:.2f} s ({before[0]:.2f} to {before[1]:.2f}) before,"
        f" {proof.after_s:.2f} s ({after[0]:.2f} to {after[1]:.2f}) after; medians of {proof.n} runs each"
    )


def faster(proof: Proof) -> bool:
    """Tell whether the median run of the rewritten flow took a fifth less than that of the original.

    Not the fastest or slowest: one run that a busy machine held up, or did not, would decide.
    """
    return proof.before_range_s is not None and proof.after_s <= (1 - LEAST_GAIN) * proof.before_s


def _copy_sample(path: Path) -> str:
    text = (resources.files("prefect_autopilot.demo.samples") / SAMPLE).read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return text
