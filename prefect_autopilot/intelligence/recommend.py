"""Advice on the shape of the workflow, each line for a reason found in this request."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.trigger import Start
from prefect_autopilot.models import OperationEffect, StepSpec
from prefect_autopilot.services import Catalogue

_OFTEN_S = 300


def recommend(
    start: Start,
    steps: tuple[StepSpec, ...],
    by_hand: list[str],
    unknown: tuple[str, ...],
    catalogue: Catalogue,
) -> tuple[str, ...]:
    """Return what to consider before deploying, nothing where nothing was found."""
    advice: list[str] = []
    if unknown or by_hand:
        names = [catalogue.get(s).name for s in by_hand] + list(unknown)
        advice.append(
            f"Reach {', '.join(names)} by a generic HTTP request, or add an OpenAPI description of it."
        )
    unsafe = _with_effect(steps, catalogue)
    if unsafe and start.spec and start.spec.type != "manual":
        advice.append(
            f"Repeating {', '.join(unsafe[:4])} does it twice: retry only where the service did not answer."
        )
    readers = [s for s in steps if _is_read(s, catalogue)]
    if len({s.service for s in readers}) > 1:
        advice.append(
            f"{' and '.join(dict.fromkeys(s.service for s in readers))} can be read at the same time."
        )
    if any(s.for_each for s in steps):
        advice.append("A step is repeated for each row: map it, and limit how many run at once.")
    schedule = start.schedule
    if schedule and (_every_s(schedule.cron) or schedule.interval_s or _OFTEN_S) < _OFTEN_S:
        advice.append(
            "It runs every few minutes or seconds: an event of the service would be cheaper than polling."
        )
    return tuple(advice)


def _every_s(cron: str | None) -> int | None:
    """Return the seconds between runs of a cron that steps through every hour ("*/2 * * * *"), else None."""
    stepped = re.match(r"\*(?:/(\d+))? \* ", cron or "")
    return 60 * int(stepped[1] or 1) if stepped else None


def _with_effect(steps: tuple[StepSpec, ...], catalogue: Catalogue) -> list[str]:
    found = []
    for step in steps:
        operation = catalogue.get(step.service).operation(step.operation)
        if operation and operation.effect is OperationEffect.UNSAFE:
            found.append(f"{step.service}.{step.operation}")
    return list(dict.fromkeys(found))


def _is_read(step: StepSpec, catalogue: Catalogue) -> bool:
    operation = catalogue.get(step.service).operation(step.operation)
    return operation is not None and operation.method == "GET"
