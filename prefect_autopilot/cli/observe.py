"""``detect`` and ``health``: what run histories say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UnknownNameError

if TYPE_CHECKING:
    from prefect_autopilot.models import HealthScore


def detect(
    *,
    batch: Annotated[Path, Parameter(help='JSON Lines of run histories ("-": stdin).')],
    output: Annotated[Path, Parameter(help='Where the alarms go ("-": stdout).')],
) -> int:
    """Find anomalies in run histories; the rows of one batch are judged together."""
    from prefect_autopilot.cli.batch import run_batch
    from prefect_autopilot.cli.batch_detect import detect_rows

    return run_batch(batch, output, detect_rows)


async def health(
    workflow: Annotated[
        str | None, Parameter(help="Name of a deployment or flow; all of them otherwise.")
    ] = None,
    /,
    *,
    as_json: JSONFlag = False,
) -> int:
    """Show the health of deployments, with reasons; watch must have seen their runs."""
    from prefect_autopilot.monitoring import health as judge
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store import Store

    now = datetime.now(UTC)
    scores: list[HealthScore] = []
    names: list[str] = []
    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        for one in await store.workflows():
            name = one.deployment_name or one.flow_name
            names.append(name)
            if workflow in {None, name, one.flow_name, one.deployment_id}:
                runs = await store.runs(deployment_id=one.deployment_id, flow_name=one.flow_name)
                scores.append(judge(name, runs, now))
    if workflow is not None and not scores:
        from difflib import get_close_matches

        raise UnknownNameError("workflow", workflow, tuple(get_close_matches(workflow, names)))
    _show(scores, as_json=as_json)
    return 0


def _show(scores: list[HealthScore], *, as_json: bool) -> None:
    if as_json:
        write_json(scores)
        return
    if not scores:
        write_line("No runs were seen yet; prefect-autopilot watch reads them.")
        return
    rows = [(one.workflow_id, one.status, one.score, one.runs, one.reason) for one in scores]
    write_table("", ("workflow", "status", "score", "runs", "why"), rows)
