"""Which operational flows are deployed, and how. `prefect.yaml` says the same for a checkout."""

from __future__ import annotations

from dataclasses import dataclass, field

from prefect_autopilot.models import JSONDict
from prefect_autopilot.models.names import FAILURE_EVENTS, OWN_PREFIX


@dataclass(frozen=True)
class Recurrence:
    """A schedule with the parameters its runs get, in UTC; ``slug`` tells it from the others."""

    slug: str
    cron: str
    parameters: JSONDict = field(default_factory=dict)


@dataclass(frozen=True)
class OperationalFlow:
    """One deployment of ours; ``entrypoint`` is a dotted path, so it needs an install and no clone."""

    name: str
    entrypoint: str
    interval_s: int | None = None
    recurrences: tuple[Recurrence, ...] = ()
    on_failed_runs: bool = False
    parameters: JSONDict = field(default_factory=dict)


OPERATIONAL_FLOWS = (
    OperationalFlow(
        "autopilot-troubleshoot",
        "prefect_autopilot.flows.troubleshoot.troubleshoot",
        on_failed_runs=True,
        parameters={"mode": "propose"},
    ),
    OperationalFlow("autopilot-monitor", "prefect_autopilot.flows.monitor.monitor", interval_s=300),
    OperationalFlow("autopilot-generate", "prefect_autopilot.flows.generate.generate"),
    OperationalFlow("autopilot-optimize", "prefect_autopilot.flows.optimize.optimize_flow"),
    OperationalFlow("autopilot-resolve", "prefect_autopilot.flows.resolve.resolve_session"),
    OperationalFlow("autopilot-poll", "prefect_autopilot.flows.poll.poll"),
    OperationalFlow(
        "autopilot-review",
        "prefect_autopilot.flows.review.review",
        # Apart from one another, and early: what they find is there when people begin to work.
        recurrences=(
            Recurrence("weekly", "0 5 * * 1", {"period": "weekly"}),
            Recurrence("monthly", "20 5 1 * *", {"period": "monthly"}),
            Recurrence("quarterly", "40 5 1 1,4,7,10 *", {"period": "quarterly"}),
        ),
    ),
)


def failed_run_trigger() -> JSONDict:
    """Return the trigger that starts the troubleshooting flow, as in a deployment's ``triggers``.

    The flow run's id goes through an explicit Jinja value: as a plain template Prefect wraps it in
    ``tojson``, which fails silently for a UUID. Our own flows are excluded by ONE glob, because a list of
    negations matches everything.
    """
    return {
        "type": "event",
        "enabled": True,
        "posture": "Reactive",
        "expect": list(FAILURE_EVENTS),
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": f"!{OWN_PREFIX}*"},
        "for_each": ["prefect.resource.id"],
        "parameters": {"flow_run_id": {"__prefect_kind": "jinja", "template": "{{ flow_run.id }}"}},
    }
