"""Second act: an outage, an expired token and a bug; two are resolved and verified, one is escalated."""

from __future__ import annotations

import asyncio
import shutil
from importlib import resources

from prefect_autopilot.demo.evidence import watch_for_errors
from prefect_autopilot.demo.request import made_so_far, start_by_event
from prefect_autopilot.demo.world import POOL, World, wait_for
from prefect_autopilot.models import ResolutionStatus, RunRecord, TroubleshootingSession

RETRY_AFTER_S = 5
HEALS_AFTER_S = 3
"""Seconds from the first failure until the outage is over."""

BUGGY = "order_averages.py"


async def break_and_mend(world: World) -> None:
    """Break the services one after the other while the buggy flow fails beside them."""
    with world.screen.step("Deploy a flow with a genuine bug and start it"):
        buggy = await _start_buggy(world)
    with world.screen.step("Asana answers 503 for a while: the run fails, is diagnosed, retried, verified"):
        before = made_so_far(world)
        world.simulator.fail("asana", status=503, retry_after=RETRY_AFTER_S)
        run = await start_by_event(world, "Outage drill")
        await world.ended(run.id)
        await asyncio.sleep(HEALS_AFTER_S)
        world.simulator.heal("asana")
        session = await _settled(world, run)
    await _resolved(world, "Asana's outage", run, session, before)
    with world.screen.step("Asana's access token expires: the token is refreshed, the run retried, verified"):
        before = made_so_far(world)
        world.simulator.expire("asana")
        run = await start_by_event(world, "Token drill")
        session = await _settled(world, run)
    await _resolved(world, "the expired token", run, session, before)
    with world.screen.step("The bug: escalated with its evidence, not retried"):
        session = await _settled(world, buggy)
        run = await world.api.run(buggy.id)
    await _escalated(world, run, session)


async def _start_buggy(world: World) -> RunRecord:
    folder = world.folder / "flows"
    with resources.as_file(resources.files("prefect_autopilot.demo.samples") / BUGGY) as sample:
        shutil.copy(sample, folder / BUGGY)
    flow = await world.api.request("POST", "/flows/", {"name": "order-averages"})
    body = {
        "name": "prod",
        "flow_id": flow["id"],
        "work_pool_name": POOL,
        "path": str(folder),
        "entrypoint": f"{BUGGY}:order_averages",
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}],
    }
    deployment = await world.api.request("POST", "/deployments/", body)
    world.notes["buggy"] = deployment["id"]
    await watch_for_errors(world, deployment["id"])
    return await world.api.start_run(deployment["id"], parameters={})


async def _settled(world: World, run: RunRecord) -> TroubleshootingSession:
    async def over() -> TroubleshootingSession | None:
        session = await world.watcher.desk.store.session_for_run(run.id)
        return session if session is not None and session.due_at is None else None

    return await wait_for(over, within_s=90, what=f"the session of run {run.name} is over")


async def _resolved(
    world: World, what: str, run: RunRecord, session: TroubleshootingSession, before: tuple[int, int]
) -> None:
    run = await world.api.run(run.id)
    cause = session.diagnosis.root_cause if session.diagnosis else "unknown"
    done = made_so_far(world)
    new = (done[0] - before[0], done[1] - before[1])
    steps = " → ".join(step.value for step in dict.fromkeys(session.steps_completed))
    world.screen.say(f"steps: {steps}")
    world.screen.say(f"cause: {cause.partition(': ')[0]}")
    for attempt in session.attempts:
        seen = attempt.verification.reason if attempt.verification else "not verified"
        world.screen.say(f"remedy: {attempt.remedy.kind}; {seen}")
    world.screen.check(
        f"{what} was resolved and verified by a good run",
        f"{session.resolution_status.value}, run {run.state.name} at attempt {run.run_count}",
        passed=session.resolution_status is ResolutionStatus.AUTO_RESOLVED
        and run.state.type == "COMPLETED"
        and len(set(session.steps_completed)) == 5,  # noqa: PLR2004  # all steps of a session
    )
    world.screen.check(
        f"nothing was done twice after {what}",
        f"{new[0]} task, {new[1]} message",
        passed=new == (1, 1),
    )


async def _escalated(world: World, run: RunRecord, session: TroubleshootingSession) -> None:
    diagnosis = session.diagnosis
    evidence = (
        diagnosis.evidence[0].text.strip().splitlines()[-1] if diagnosis and diagnosis.evidence else "none"
    )
    world.screen.say(f"evidence: {evidence}")
    world.screen.check(
        "the bug was escalated with evidence and not retried",
        f"{session.resolution_status.value}, started {run.run_count} time",
        passed=session.resolution_status is ResolutionStatus.ESCALATED
        and run.run_count == 1
        and bool(diagnosis and diagnosis.evidence),
    )
