"""Runs → alert, once: what the watcher does all the time, as a scheduled flow."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_table_artifact

from prefect_autopilot.adapters.channels import deliver_pending
from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.aftermath import look_after
from prefect_autopilot.journeys.deployed import read_deployed
from prefect_autopilot.journeys.desk import open_desk
from prefect_autopilot.journeys.pictures import show_charts
from prefect_autopilot.models import JSONDict
from prefect_autopilot.settings import load_settings


@flow(name="autopilot-monitor", description="Read new runs, judge every deployment, raise alerts.")
async def monitor() -> JSONDict:
    """Ingest what changed, assess health, raise alerts and tell them; artifacts show tables and charts."""
    async with open_desk(load_settings()) as desk:
        now = desk.clock()
        read = await observe.ingest(desk.api, desk.store, now)
        await observe.measure(desk.api, desk.store, now)
        deployed = await read_deployed(desk.api, desk.store, desk.clock())
        rules = await desk.store.rules()
        alerts = await observe.raise_alerts(desk.store, rules, now, deployed=deployed, policy=desk.alerting)
        scores = await observe.assess(desk.store, now)
        # As Prefect writes them: flow/deployment.
        names = {
            ident: "/".join(filter(None, both)) for ident, both in (await observe.names(desk.store)).items()
        }
        standing = await desk.store.alerts(open_only=True)
        await show_charts(desk.api, desk.store, scores, now)
        await look_after(desk)
        await deliver_pending(desk.store, desk.channels, desk.clock())
    await acreate_table_artifact(
        [
            {
                "workflow": names.get(score.workflow_id, score.workflow_id),
                "status": score.status,
                "score": score.score,
                "runs": score.runs,
                "why": score.reason,
            }
            for score in scores
        ],
        key="autopilot-health",
        description="Health of every deployment seen, the worst first",
    )
    await acreate_table_artifact(
        [
            {"severity": one.severity.value, "status": one.status, "alert": one.title, "why": one.description}
            for one in standing
        ],
        key="autopilot-alerts",
        description="Alerts that are open now",
    )
    return {"runs_read": read, "workflows": len(scores), "alerts_changed": len(alerts)}
