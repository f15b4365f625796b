"""Last act: what is left to look at: health, an alert, Prometheus text, artifacts, the audit trail."""

from __future__ import annotations

from prefect_autopilot.demo.world import World, wait_for
from prefect_autopilot.journeys import observe
from prefect_autopilot.models import AlertCondition, AlertType, MonitoringRule, Severity, WorkflowAlert


async def watch_for_errors(world: World, deployment_id: str) -> None:
    """Add a rule that speaks up when most runs of a deployment fail."""
    await world.watcher.desk.store.add_rule(
        MonitoringRule(
            workflow_id=deployment_id,
            metric_name="error_rate",
            condition=AlertCondition.GREATER_THAN,
            threshold=0.5,
            alert_type=AlertType.ERROR_RATE_INCREASE,
            severity=Severity.HIGH,
            description="Most runs of order-averages fail.",
        )
    )


async def look_around(world: World) -> None:
    """Check that what the product promises to show is really there."""
    with world.screen.step("Look at health, alerts, metrics, artifacts and the audit trail"):
        await _monitor_flow(world)
        await _alert(world)
        await _health(world)
        _prometheus(world)
        await _artifacts(world)
        await _audit(world)


async def _monitor_flow(world: World) -> None:
    deployment = await world.api.request("GET", "/deployments/name/autopilot-monitor/autopilot-monitor")
    run = await world.api.start_run(deployment["id"], parameters={})
    run = await world.ended(run.id)
    world.screen.check(
        "the scheduled monitoring flow runs", run.state.name, passed=run.state.type == "COMPLETED"
    )


async def _alert(world: World) -> None:
    store = world.watcher.desk.store

    async def firing() -> WorkflowAlert | None:
        alerts = await store.alerts(open_only=True, workflow_id=world.notes["buggy"])
        return next((alert for alert in alerts if alert.status == "firing"), None)

    alert = await wait_for(firing, within_s=30, what="an alert fires")
    world.screen.check("an alert fires for the buggy flow", alert.title, passed=True)


async def _health(world: World) -> None:
    desk = world.watcher.desk
    scores = await observe.assess(desk.store, desk.clock())
    names = {observe.workflow_id(one): one.flow_name for one in await desk.store.workflows()}
    told = ", ".join(f"{names.get(one.workflow_id, '?')} {one.status} ({one.runs} runs)" for one in scores)
    # Few runs were seen, so an honest health is unknown for each of them.
    honest = bool(scores) and all(score.status == "unknown" for score in scores if score.runs < 5)  # noqa: PLR2004  # the contract's five
    world.screen.check("health is told, and unknown below five runs", told, passed=honest)


def _prometheus(world: World) -> None:
    lines = world.watcher.fleet.render(world.watcher.desk.clock()).decode().splitlines()
    runs = [line for line in lines if line.startswith("prefect_autopilot_flow_runs_total")]
    world.screen.check("Prometheus text counts the runs", f"{len(lines)} lines", passed=bool(runs))


async def _artifacts(world: World) -> None:
    found = await world.api.request("POST", "/artifacts/latest/filter", {})
    keys = sorted(artifact["key"] for artifact in found if artifact.get("key"))
    wanted = {"autopilot-diagnosis", "autopilot-health"}
    world.screen.check("artifacts stand in the Prefect UI", ", ".join(keys), passed=wanted <= set(keys))


async def _audit(world: World) -> None:
    store = world.watcher.desk.store
    entries = await store.audit_trail()
    broken = await store.verify_audit()
    world.screen.check(
        "every step is in an unbroken audit trail",
        f"{len(entries)} entries",
        passed=bool(entries) and broken is None,
    )
