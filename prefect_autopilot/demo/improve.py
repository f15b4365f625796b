"""Third act: a sequential flow is planned faster, proven equal, and measured before and after."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rich.syntax import Syntax

from prefect_autopilot.demo.shop import LATENCY_S, running_shop
from prefect_autopilot.demo.world import World
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import Strategy

SAMPLE = "sequential_report.py"
FUNCTION = "sequential_report"


async def make_faster(world: World) -> None:
    """Plan, show, prove and apply a rewrite of the sample flow."""
    screen = world.screen
    path = world.folder / "flows" / SAMPLE
    original = _copy_sample(path)
    with screen.step("Plan a faster version of a sequential flow"):
        plan = improve.plan(path, Strategy.PERFORMANCE)
    for edit in plan.edits:
        screen.say(f"line {edit.line} {edit.rule}: {edit.reason}")
    screen.show(Syntax(plan.diff, "diff", background_color="default"))
    with running_shop() as url, screen.step("Prove it: original, rewritten, and rewritten in reverse order"):
        proof = await improve.prove_plan(
            plan,
            original,
            function=FUNCTION,
            parameters={"base_url": url},
            environment={"PREFECT_API_URL": world.prefect.url},
        )
    screen.check(
        "the rewritten flow gives the same results",
        proof.reason or ", ".join(proof.checks),
        passed=proof.equal,
    )
    screen.check(
        f"it is faster where each read takes {LATENCY_S} s",
        f"{proof.before_s:.2f} s before, {proof.after_s:.2f} s after, medians of {proof.n}",
        passed=proof.after_s < proof.before_s,
    )
    backup = improve.apply(plan, path, original)
    screen.check(
        "the file is replaced and its backup kept",
        backup.name if backup else "no backup",
        passed=backup is not None and backup.read_text(encoding="utf-8") == original,
    )


def _copy_sample(path: Path) -> str:
    text = (resources.files("prefect_autopilot.demo.samples") / SAMPLE).read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return text
