"""Which alerts a silence or a maintenance window covers at a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from prefect_autopilot.models import Silence, WorkflowAlert
from prefect_autopilot.monitoring.calendars import zone_of
from prefect_autopilot.monitoring.cron import parse_cron


def silenced_by(alert: WorkflowAlert, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """Return the first silence that covers an alert now, None where it is to be told."""
    return next((one for one in silences if covers(one, alert) and is_active(one, now)), None)


def is_active(silence: Silence, now: datetime) -> bool:
    """Tell whether a silence is in force; its end is no longer part of it."""
    if not silence.starts_at <= now < silence.ends_at:
        return False
    if silence.cron is None:
        return True
    window = timedelta(minutes=silence.minutes)
    fire = parse_cron(silence.cron).after(now - window, zone_of({"timezone": silence.timezone}))
    return fire is not None and fire <= now


def covers(silence: Silence, alert: WorkflowAlert) -> bool:
    """Tell whether an alert is of the workflow, kind and work pool that a silence names."""
    labels = alert.labels
    named = {alert.workflow_id, *(labels.get(name, "") for name in ("workflow", "flow", "deployment"))}
    kinds = {alert.alert_type.value, labels.get("kind", "")}
    return (
        _any(silence.workflow, named)
        and _any(silence.kind, kinds)
        and _any(silence.work_pool, {labels.get("work_pool", "")})
    )


def check(silence: Silence) -> None:
    """Raise UsageError where the expression or the time zone of a silence cannot be used."""
    if silence.cron is not None:
        parse_cron(silence.cron)
    zone_of({"timezone": silence.timezone})


def _any(pattern: str, words: Iterable[str]) -> bool:
    return pattern == "*" or any(word and fnmatchcase(word.casefold(), pattern.casefold()) for word in words)
