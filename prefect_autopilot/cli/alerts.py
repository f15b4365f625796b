"""``alerts``: list, acknowledge and silence alerts; send a test to every channel."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store, person
from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import DeliveryError, UnknownNameError, UsageError

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST = timedelta(days=3650)


async def list_alerts(
    *,
    everything: Annotated[Flag, Parameter(name="--all", help="Also those that are over.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """List the alerts that are open, the latest first, with who has seen them and why they are muted."""
    async with open_store() as store:
        found = await store.alerts(open_only=not everything)
    if as_json:
        write_json(found)
        return 0
    rows = [
        (
            one.alert_id[:12],
            one.severity.value,
            one.status,
            one.title,
            one.created_at.strftime("%Y-%m-%d %H:%M"),
            one.muted_by or (f"seen by {one.acknowledged_by}" if one.acknowledged else ""),
        )
        for one in found
    ]
    write_table("", ("id", "severity", "status", "alert", "since (UTC)", ""), rows)
    return 0


async def ack(
    alert: Annotated[str, Parameter(help="Id of the alert, or how it begins.")],
    /,
    *,
    by: Annotated[str | None, Parameter(help="Who takes it on; you otherwise.")] = None,
) -> int:
    """Take an alert on: it is neither repeated nor escalated any more."""
    from prefect_autopilot.journeys.alerting import acknowledge

    async with open_store() as store:
        found = [one for one in await store.alerts() if one.alert_id.startswith(alert)]
        if len(found) > 1 and alert:
            raise UsageError(f"{len(found)} alerts begin with {alert!r}; give more of the id.")
        if not found or not alert:
            raise UnknownNameError("alert", alert)
        taken = await acknowledge(store, found[0].alert_id, by or person(), datetime.now(UTC))
    write_line(f"{taken.title}: seen by {taken.acknowledged_by}.")
    return 0


async def silence(
    workflow: Annotated[
        str, Parameter(help="Workflow as flow/deployment, its id, or a pattern; * for all.")
    ] = "*",
    /,
    *,
    lasting: Annotated[str, Parameter(name="--for", help="How long: 30m, 2h, 7d.")] = "1h",
    starting: Annotated[
        datetime | None, Parameter(name="--from", help="When it begins; now otherwise.")
    ] = None,
    kind: Annotated[str, Parameter(help="Kind of alert or rule, or a pattern.")] = "*",
    pool: Annotated[str, Parameter(help="Work pool, or a pattern.")] = "*",
    cron: Annotated[
        str | None, Parameter(help="Recurring window: when it opens, until the silence ends.")
    ] = None,
    minutes: Annotated[float, Parameter(help="How long a recurring window stays open.")] = 60,
    timezone: Annotated[str, Parameter(help="Time zone of the cron expression.")] = "UTC",
    reason: Annotated[str, Parameter(help="Why.")] = "",
) -> int:
    """Tell nobody of alerts that match, until it ends; they are still found and listed."""
    from pydantic import ValidationError

    from prefect_autopilot.journeys import alerting
    from prefect_autopilot.models import Silence

    now = datetime.now(UTC)
    begin = now if starting is None else starting.astimezone(UTC)
    try:
        wanted = Silence(
            workflow=workflow, kind=kind, work_pool=pool, starts_at=begin, ends_at=begin + _length(lasting),
            cron=cron, minutes=minutes, timezone=timezone, reason=reason, created_by=person(),
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"The silence is wrong at {first['loc'][0]}: {first['msg']}.") from None
    async with open_store() as store:
        stored = await alerting.silence(store, wanted, now)
    write_line(f"{stored.silence_id} until {stored.ends_at:%Y-%m-%d %H:%M} UTC.")
    return 0


async def silences(*, as_json: JSONFlag = False) -> int:
    """List the silences and maintenance windows that have not ended."""
    from prefect_autopilot.monitoring.silencing import is_active

    now = datetime.now(UTC)
    async with open_store() as store:
        found = await store.silences(now)
    if as_json:
        write_json(found)
        return 0
    rows = [
        (
            one.silence_id,
            "active" if is_active(one, now) else "waiting",
            one.workflow,
            one.kind,
            one.work_pool,
            one.ends_at.strftime("%Y-%m-%d %H:%M"),
            one.cron or "",
            one.reason,
        )
        for one in found
    ]
    write_table("", ("id", "state", "workflow", "kind", "pool", "until (UTC)", "recurs", "why"), rows)
    return 0


async def unsilence(silence_id: Annotated[str, Parameter(help="Id of the silence.")], /) -> int:
    """End a silence before its time."""
    from prefect_autopilot.journeys import alerting

    async with open_store() as store:
        await alerting.unsilence(store, silence_id, person(), datetime.now(UTC))
    write_line(f"{silence_id} has ended.")
    return 0


async def send_test(
    channel: Annotated[str | None, Parameter(help="Name of one channel; all of them otherwise.")] = None, /
) -> int:
    """Send a test notice to every channel and say what each answered; 1 where one did not take it."""
    from difflib import get_close_matches

    from prefect_autopilot.adapters.channels import configured_channels, deliver
    from prefect_autopilot.models import IncidentEvent, Notice
    from prefect_autopilot.settings import load_settings

    channels = configured_channels(load_settings())
    names = [one.name for one in channels]
    if channel is not None and channel not in names:
        raise UnknownNameError("channel", channel, tuple(get_close_matches(channel, names)))
    if not channels:
        raise UsageError(
            "No channel is set; put addresses into PREFECT_AUTOPILOT_NOTIFY, such as "
            '["https://example.com/hook", "pagerduty://ROUTING_KEY"].'
        )
    key = f"test-{uuid.uuid4().hex[:12]}"
    failed = 0
    for one in channels:
        if channel not in {None, one.name}:
            continue
        # Opened and closed at once, so that nobody has to close the incident of a test.
        for action in ("trigger", "resolve") if one.kind == "incidents" else ("trigger",):
            event = IncidentEvent.model_validate(
                {"action": action, "key": key, "title": "Test", "severity": "info"}
            )
            notice = Notice(
                notice_id=f"{key}-{action}", outcome="info", title="Test of prefect-autopilot",
                text="This channel works; nothing has happened.", incidents=(event,), escalated=True,
            )  # fmt: skip
            try:
                await deliver(notice, one)
            except DeliveryError as error:
                failed += 1
                write_line(error.message)
                break
        else:
            write_line(f"{one.name}: taken.")
    return 1 if failed else 0


def _length(text: str) -> timedelta:
    parts = _LENGTH.findall(text)
    if not parts or _LENGTH.sub("", text).strip():
        raise UsageError(f"{text!r} is no length of time; write 30m, 2h or 7d.")
    length = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < length <= _LONGEST.total_seconds():
        raise UsageError("A silence lasts from one second to ten years; choose --for.")
    return timedelta(seconds=length)
