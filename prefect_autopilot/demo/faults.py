"""Second act: an outage, an expired token and a bug; two are resolved and verified, one is escalated."""

from __future__ import annotations

import asyncio
import shutil
from importlib import resources

from prefect_autopilot.demo.evidence import start_monitor, watch_for_errors
from prefect_autopilot.demo.request import made_so_far, start_by_event
from prefect_autopilot.demo.world import World, wait_for
from prefect_autopilot.models import (
    IssueCategory,
    JSONDict,
    ResolutionStatus,
    RunRecord,
    SessionStep,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import WORK_POOL

RETRY_AFTER_S = 3
HEALS_AFTER_S = 3
"""Seconds from the first failure until the outage is over; the retry cannot come before 3 s + 3 s."""

BUGGY = "order_averages.py"
FAILING_LINE = "return sum(amounts) / len(amounts)"
ERROR = "ZeroDivisionError"

RESOLVED = frozenset(SessionStep)
"""A session that ends well has taken all five steps."""
ESCALATED = RESOLVED - {SessionStep.VERIFICATION}
"""Nothing is done about a bug, so there is nothing to verify."""


async def start_buggy(world: World) -> RunRecord:
    """Deploy the flow with a genuine bug, watch its error rate, and start one run of it."""
    folder = world.folder / "flows"
    with world.screen.step("Beside it, deploy a flow with a genuine bug and start it once"):
        with resources.as_file(resources.files("prefect_autopilot.demo.samples") / BUGGY) as sample:
            shutil.copy(sample, folder / BUGGY)
        flow = await world.api.request("POST", "/flows/", {"name": "order-averages"})
        deployment = await world.api.request("POST", "/deployments/", _deployment(flow["id"], str(folder)))
        world.notes["buggy"] = deployment["id"]
        await watch_for_errors(world, deployment["id"])
        return await world.api.start_run(deployment["id"], parameters={})


def _deployment(flow_id: str, folder: str) -> JSONDict:
    return {
        "name": "order-averages",
        "flow_id": flow_id,
        "work_pool_name": WORK_POOL,
        "path": folder,
        "entrypoint": f"{BUGGY}:order_averages",
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
    }


async def break_and_mend(world: World, buggy: RunRecord) -> None:
    """Break Asana in two ways, one after the other, and see what became of the runs and of the bug."""
    world.screen.act("Three things fail")
    first = made_so_far(world)
    with world.screen.step("Asana answers 503 for a while: a run fails, and is retried when Asana is back"):
        world.simulator.fail("asana", status=503, retry_after=RETRY_AFTER_S)
        outage = await world.ended((await start_by_event(world, "Outage drill")).id)
        await asyncio.sleep(HEALS_AFTER_S)
        world.simulator.heal("asana")
        await _mended(world, outage)
    second = made_so_far(world)
    with world.screen.step("Asana's access token expires: a run fails, and is retried with a new token"):
        world.simulator.expire("asana")
        expired = await world.ended((await start_by_event(world, "Token drill")).id)
        await start_monitor(world)
        retried = await _settled(world, outage)
        renewed = await _settled(world, expired)
    third = made_so_far(world)
    await _resolved(world, "Asana's outage", outage, retried)
    _once(world, "Asana's outage", first, second)
    await _resolved(world, "the expired token", expired, renewed)
    _once(world, "the expired token", second, third)
    with world.screen.step("The flow with the bug has failed, too: a person is asked, nothing is retried"):
        session = await _settled(world, buggy)
        failed = await world.api.run(buggy.id)
    await _escalated(world, failed, session)
    _heard(world, (outage, expired, failed))


async def _mended(world: World, run: RunRecord) -> None:
    """Wait until a failed run has ended well, or its session is over without."""

    async def over() -> bool | None:
        now = await world.api.run(run.id)
        session = await world.watcher.desk.store.session_for_run(run.id)
        step = session.current_step.value if session else "not yet taken up"
        world.screen.now(f"run {now.name} is {now.state.name}; session: {step}")
        given_up = session is not None and session.due_at is None
        return True if now.state.type == "COMPLETED" or given_up else None

    await wait_for(over, within_s=120, what=f"run {run.name} has been mended or given up")


async def _settled(world: World, run: RunRecord) -> TroubleshootingSession:
    async def over() -> TroubleshootingSession | None:
        session = await world.watcher.desk.store.session_for_run(run.id)
        if session is None:
            return None
        world.screen.now(f"session of run {run.name}: {session.current_step.value}")
        return session if session.due_at is None else None

    return await wait_for(over, within_s=120, what=f"the session of run {run.name} is over")


def _told(world: World, what: str, run: RunRecord, session: TroubleshootingSession) -> None:
    """Show how a session began, which steps it took, and what it found and did."""

    def say(text: str) -> None:
        world.screen.say(f"  {text}")

    world.screen.say(f"{what}:")
    waited = (session.start_time - run.state.timestamp).total_seconds()
    way = "by its state-change event" if session.origin == "event" else "by reading the runs"
    say(f"run {run.name} {run.state.name}; taken up {way}, {max(0.0, waited):.1f} s later")
    say(f"steps: {' → '.join(step.value for step in dict.fromkeys(session.steps_completed))}")
    if (diagnosis := session.diagnosis) is not None:
        cause = diagnosis.root_cause.partition(": ")[0]
        say(f"cause: {cause} ({diagnosis.category.value}, confidence {diagnosis.confidence:.2f})")
    for attempt in session.attempts:
        seen = attempt.verification.reason if attempt.verification else "not verified"
        say(f"remedy: {attempt.remedy.kind.replace('_', ' ')}; seen: {seen}")


async def _resolved(world: World, what: str, failed: RunRecord, session: TroubleshootingSession) -> None:
    _told(world, what, failed, session)
    run = await world.api.run(failed.id)
    seen = session.attempts[-1].verification if session.attempts else None
    remedies = ", ".join(attempt.remedy.kind.replace("_", " ") for attempt in session.attempts)
    world.screen.check(
        f"{what} was resolved in five steps and verified by a good run",
        f"{remedies or 'nothing done'}; {_words(session.resolution_status)}, run {run.state.name} on start"
        f" {run.run_count}",
        passed=session.resolution_status is ResolutionStatus.AUTO_RESOLVED
        and run.state.type == "COMPLETED"
        and set(session.steps_completed) == RESOLVED
        and seen is not None
        and seen.outcome == "verified",
    )


def _words(status: ResolutionStatus) -> str:
    return status.value.replace("_", " ")


def _once(world: World, what: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    new = (after[0] - before[0], after[1] - before[1])
    world.screen.check(
        f"nothing was done twice after {what}", f"{new[0]} task, {new[1]} message", passed=new == (1, 1)
    )


async def _escalated(world: World, run: RunRecord, session: TroubleshootingSession) -> None:
    _told(world, "the bug", run, session)
    diagnosis = session.diagnosis
    lines = [line.text.strip() for line in diagnosis.evidence] if diagnosis else []
    for line in lines:
        world.screen.say(f"  evidence: {line.splitlines()[-1]}")
    quoted = "\n".join(lines)
    world.screen.check(
        "the bug was diagnosed and escalated with its evidence",
        f"{diagnosis.category.value if diagnosis else 'no diagnosis'}, {session.resolution_status.value},"
        f" quotes {ERROR if ERROR in quoted else 'no error'} and"
        f" {'the failing line' if FAILING_LINE in quoted else 'no line'}",
        passed=session.resolution_status is ResolutionStatus.ESCALATED
        and diagnosis is not None
        and diagnosis.category is IssueCategory.LOGIC
        and ERROR in quoted
        and FAILING_LINE in quoted
        and set(session.steps_completed) == ESCALATED,
    )
    only = {"deployments": {"id": {"any_": [world.notes["buggy"]]}}}
    runs = await world.api.request("POST", "/flow_runs/count", only)
    world.screen.check(
        "the bug was not retried, and no other run of it was started",
        f"{runs} run, started {run.run_count} time, {len(session.attempts)} remedies",
        passed=runs == 1 and run.run_count == 1 and run.state.type == "FAILED" and not session.attempts,
    )


def _heard(world: World, runs: tuple[RunRecord, ...]) -> None:
    heard = [run for run in runs if run.id in world.watcher.hint.heard]
    world.screen.check(
        "each failure came in as a flow-run state change",
        f"{len(heard)} of {len(runs)} were heard on Prefect's event stream",
        passed=len(heard) == len(runs),
    )
