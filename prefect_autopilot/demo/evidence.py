"""Last act: what is left to look at: health, an alert, Prometheus text, artifacts, the audit trail."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from prefect_autopilot.demo.world import World, wait_for
from prefect_autopilot.journeys import observe
from prefect_autopilot.models import (
    AlertCondition,
    AlertType,
    JSONDict,
    MonitoringRule,
    Severity,
    WorkflowAlert,
)
from prefect_autopilot.models.names import OWN_PREFIX
from prefect_autopilot.monitoring.fitness import LEAST_RUNS

FLOWS = frozenset({"gmail-asana-slack", "order-averages", "sequential-report"})
"""The flows of the demonstration that the watcher must have seen."""
RUNS_TOTAL = "prefect_autopilot_flow_runs"


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


async def start_monitor(world: World) -> None:
    """Start the scheduled monitoring flow ahead of its time; ``look_around`` waits for it."""
    deployment = await world.api.request("GET", "/deployments/name/autopilot-monitor/autopilot-monitor")
    run = await world.api.start_run(deployment["id"], parameters={})
    world.notes["monitor"] = run.id


async def look_around(world: World) -> None:
    """Check that what the product promises to show is really there."""
    world.screen.act("What is there to look at")
    with world.screen.step("Look at alert, health, metrics, artifacts and audit trail"):
        await _monitor_flow(world)
        await _alert(world)
        await _health(world)
        await _prometheus(world)
        await _artifacts(world)
        await _audit(world)


async def _monitor_flow(world: World) -> None:
    run = await world.ended(world.notes["monitor"])
    world.screen.check(
        "the scheduled monitoring flow runs", run.state.name, passed=run.state.type == "COMPLETED"
    )


async def _alert(world: World) -> None:
    store = world.watcher.desk.store

    async def firing() -> WorkflowAlert | None:
        alerts = await store.alerts(open_only=True)
        return next((alert for alert in alerts if alert.status == "firing"), None)

    alert = await wait_for(firing, within_s=30, what="an alert fires")
    world.screen.check(
        "an alert fires, and it is about the flow with the bug",
        f"{alert.severity.value}: {alert.title}",
        passed=alert.workflow_id == world.notes["buggy"] and "order-averages" in alert.title,
    )


async def _health(world: World) -> None:
    desk = world.watcher.desk
    now = desk.clock()
    await observe.ingest(desk.api, desk.store, now)
    scores = await observe.assess(desk.store, now)
    names = await observe.names(desk.store)
    told = []
    for one in scores:
        score = f" {one.score:.0f} of 100" if one.score is not None else ""
        told.append(f"{names[one.workflow_id][0]} {one.status}{score} (n = {one.runs})")
    world.screen.check(
        f"health is a score from {LEAST_RUNS} runs on, and unknown below",
        ", ".join(told),
        passed={names[one.workflow_id][0] for one in scores} >= FLOWS
        and any(one.score is not None for one in scores)
        and all((one.status == "unknown") == (one.runs < LEAST_RUNS) for one in scores),
    )


async def _prometheus(world: World) -> None:
    """Scrape our API as Prometheus would; the watcher brings the figures up to date as it looks."""
    async with httpx.AsyncClient(base_url=world.api_url, timeout=10) as http:
        alive = await http.get("/healthz")

        async def scraped() -> tuple[int, frozenset[str]] | None:
            answer = await http.get("/metrics")
            found = counted_flows(answer.text) if answer.is_success else (0, frozenset())
            return found if found[1] >= FLOWS else None

        samples, flows = await wait_for(scraped, within_s=30, what=f"/metrics tells of {', '.join(FLOWS)}")
    world.screen.check(
        "the REST API serves Prometheus text about the flows",
        f"{samples} samples; {', '.join(sorted(flows))}",
        passed=alive.is_success,
    )


def counted_flows(text: str) -> tuple[int, frozenset[str]]:
    """Return how many samples a Prometheus text holds and the flows whose finished runs it counts."""
    from prometheus_client.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(text))
    runs = [sample for family in families if family.name == RUNS_TOTAL for sample in family.samples]
    flows = frozenset(sample.labels["flow"] for sample in runs if sample.value > 0)
    return sum(len(family.samples) for family in families), flows


async def _artifacts(world: World) -> None:
    found = await world.api.request("POST", "/artifacts/filter", {})
    kinds: dict[str, list[JSONDict]] = {}
    for artifact in found:
        kinds.setdefault(artifact["key"] or "", []).append(artifact)
    sessions = await world.watcher.desk.store.sessions()
    diagnosed = {one["flow_run_id"] for one in kinds.get("autopilot-diagnosis", [])}
    world.screen.check(
        "Prefect's UI has a diagnosis at each failed run, and health and alerts",
        ", ".join(f"{len(kinds[key])} {key}" for key in sorted(kinds) if key.startswith(OWN_PREFIX)),
        passed=diagnosed == {session.flow_run_id for session in sessions}
        and _mentions(kinds, "autopilot-health", FLOWS)
        and _mentions(kinds, "autopilot-alerts", {"order-averages"}),
    )


def _mentions(kinds: Mapping[str, list[JSONDict]], key: str, words: frozenset[str] | set[str]) -> bool:
    return any(all(word in str(one["data"]) for word in words) for one in kinds.get(key, []))


async def _audit(world: World) -> None:
    store = world.watcher.desk.store
    entries = await store.audit_trail()
    broken = await store.verify_audit()
    opened = {entry.subject for entry in entries if entry.action == "opened"}
    sessions = await store.sessions()
    world.screen.check(
        "every session is in an unbroken audit trail",
        f"{len(entries)} entries of {len(opened)} sessions",
        passed=bool(sessions) and opened == {one.session_id for one in sessions} and broken is None,
    )
