"""When a deployment should have run: the three kinds of Prefect schedule as one question, ``after``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.monitoring.cron import parse_cron
from prefect_autopilot.monitoring.sample import moment, seconds

DAY = 86_400.0
LONGEST = 36_525 * DAY
NextFire = Callable[[float], float | None]
"""Unix seconds of one fire (or any moment) to those of the next one; None when there is none."""


def zone_of(schedule: JSONDict | None) -> ZoneInfo:
    """Return the schedule's time zone, UTC without one; raises UsageError for an unknown zone."""
    name = (schedule or {}).get("timezone") or "UTC"
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"The time zone {name!r} is unknown; use an IANA name such as Europe/Berlin."
        ) from None


def next_fire(schedule: JSONDict | None) -> NextFire | None:
    """Return the function that steps through the fires; None without a schedule; raises UsageError."""
    if not schedule:
        return None
    zone = zone_of(schedule)
    if schedule.get("cron"):
        cron = parse_cron(str(schedule["cron"]))
        if schedule.get("day_or") is False:
            cron = replace(cron, either_day=False)

        def after_cron(t: float) -> float | None:
            fire = cron.after(moment(t), zone)
            return None if fire is None else fire.timestamp()

        return after_cron
    if schedule.get("rrule"):
        return _rrule(str(schedule["rrule"]), zone)
    if schedule.get("interval") is not None:
        return _interval(schedule, zone)
    return None


def _interval(schedule: JSONDict, zone: ZoneInfo) -> NextFire:
    try:
        step = float(schedule["interval"])
    except (TypeError, ValueError):
        raise UsageError(f"The interval {schedule['interval']!r} is not a number of seconds.") from None
    if not 0 < step <= LONGEST:
        raise UsageError(f"The interval {step!r} must be above zero seconds and at most a hundred years.")
    anchor_text = schedule.get("anchor_date")
    try:
        start = moment(seconds(datetime.fromisoformat(str(anchor_text))) if anchor_text else 0.0)
        anchor, wall = start.timestamp(), start.astimezone(zone).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise UsageError(f"The anchor date {anchor_text!r} is not an ISO-8601 time.") from None
    if step % DAY:

        def after(t: float) -> float:
            return anchor + ((t - anchor) // step + 1) * step

        return after

    def after_days(t: float) -> float:
        # Prefect counts whole days on the wall clock as far as it has planned ahead, and by 24 hours from the
        # anchor when it plans anew: after a change of clocks a run comes at one time or the other.
        passed = (moment(t).astimezone(zone).replace(tzinfo=None) - wall).total_seconds()
        count = passed // step
        while True:
            fire = (wall + timedelta(seconds=step * count)).replace(tzinfo=zone).timestamp()
            if fire > t:
                return max(fire, anchor + step * count)
            count += 1

    return after_days


def _rrule(text: str, zone: ZoneInfo) -> NextFire:
    from dateutil.rrule import rrulestr

    try:
        # As Prefect does, a zone in DTSTART or UNTIL gives way to the schedule's own.
        start = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        rule = rrulestr(text, dtstart=start, cache=True, ignoretz=True)
    except ValueError as problem:
        raise UsageError(f"The recurrence rule {text!r} cannot be read: {problem}.") from None

    def after(t: float) -> float | None:
        local = moment(t).astimezone(zone).replace(tzinfo=None)
        fire = rule.after(local)
        while fire is not None and fire.replace(tzinfo=zone).timestamp() <= t:
            fire = rule.after(fire)
        return None if fire is None else float(fire.replace(tzinfo=zone).timestamp())

    return after
