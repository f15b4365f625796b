"""``detect`` and ``health``: what run histories say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store
from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import HealthScore


def detect(
    *,
    batch: Annotated[
        Path, Parameter(allow_leading_hyphen=True, help='JSON Lines of run histories ("-": stdin).')
    ],
    output: Annotated[Path, Parameter(allow_leading_hyphen=True, help='Where the alarms go ("-": stdout).')],
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
    from prefect_autopilot.journeys import observe

    async with open_store() as store:
        scores = await observe.assess(store, datetime.now(UTC))
        names = await observe.names(store)
    if workflow is not None:
        scores = [one for one in scores if workflow in _spoken(one.workflow_id, *names[one.workflow_id])]
        if not scores:
            raise UnknownNameError("workflow", workflow, _nearest(workflow, names))
    _show(scores, names, as_json=as_json)
    return 0


def _spoken(ident: str, flow: str, deployment: str) -> set[str]:
    """Return every way to name a workflow."""
    return {ident, flow, deployment, f"{flow}/{deployment}"} if deployment else {ident, flow}


def _nearest(word: str, names: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    from difflib import get_close_matches

    spoken = {name for ident, given in names.items() for name in _spoken(ident, *given)}
    return tuple(get_close_matches(word, sorted(spoken)))


def _show(scores: list[HealthScore], names: dict[str, tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        write_json(scores)
        return
    if not scores:
        write_line("No runs were seen yet; prefect-autopilot watch reads them.")
        return
    rows = [
        ("/".join(filter(None, names[one.workflow_id])), one.status, one.score, one.runs, one.reason)
        for one in scores
    ]
    write_table("", ("workflow", "status", "score", "runs", "why"), rows)


async def backfill(
    *,
    days: Annotated[float, Parameter(help="How many days back; no further than runs are kept.")] = 90,
) -> int:
    """Read the history of runs from the Prefect server into the store, with progress.

    Interrupted, the next call (or a watcher) goes on where it ended.
    """
    from prefect_autopilot.journeys.desk import open_desk
    from prefect_autopilot.journeys.reading import Progress
    from prefect_autopilot.journeys.reading import backfill as read
    from prefect_autopilot.settings import load_settings

    settings = load_settings()
    if not 0 < days <= settings.retention_days:
        raise UsageError(
            f"Runs are kept for {settings.retention_days} days; choose --days up to that, or set"
            " PREFECT_AUTOPILOT_RETENTION_DAYS."
        )

    def tell(progress: Progress) -> None:
        told = f"{progress.read:,} of {progress.total:,} runs, back to {progress.back_to:%Y-%m-%d %H:%M} UTC"
        write_line(told)

    async with open_desk(settings) as desk:
        now = desk.clock()
        written = await read(desk.api, desk.store, now, now - timedelta(days=days), tell)
    write_line(f"{written:,} runs were new or newer.")
    return 0
