"""What starts a proposed plan: times go through our own reader, events must be in the catalogue."""

from __future__ import annotations

import difflib
from typing import Literal

from pydantic import Field

from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.intelligence.literals import Literals
from prefect_autopilot.intelligence.schedule import read_schedule
from prefect_autopilot.intelligence.trigger import Start
from prefect_autopilot.models import Analysis, Span, TriggerSpec, Value
from prefect_autopilot.services import Catalogue


class ProposedTrigger(Value):
    """What starts it; ``schedule`` is a time in plain English, never a cron expression."""

    type: Literal["schedule", "app_event", "webhook", "email", "form", "chat", "manual"]
    words: str | None = Field(default=None, max_length=400)
    service: str | None = Field(default=None, max_length=100)
    event: str | None = Field(default=None, max_length=100)
    filter: str | None = Field(default=None, max_length=200)
    schedule: str | None = Field(default=None, max_length=200)


def start_of(
    proposed: ProposedTrigger, offline: Analysis, catalogue: Catalogue, timezone: str, literals: Literals
) -> Start:
    """Return what starts the plan; a time that our own reading found in the request stands.

    Raises UsageError for words that are not in the request, times that cannot be, and events nobody sends.
    """
    own = offline.trigger
    if own is not None and own.type == "schedule" and own.span is not None:
        return Start(own, None, None, ("The time is the one that stands in the request.",))
    if proposed.type == "manual":
        return Start(TriggerSpec(type="manual"), reasons=("It is started by hand.",))
    if not proposed.words or not literals.cites(proposed.words):
        raise UsageError("The trigger cites words that are not in the request: copy them from it.")
    if proposed.filter and offline.language == "en" and not literals.cites(proposed.filter):
        raise UsageError("The filter of the trigger is not in the request: copy its words, or leave it.")
    span = _span(proposed.words, offline.text, literals)
    if proposed.type == "schedule":
        return _scheduled(proposed, timezone, span)
    return Start(_event(proposed, own, catalogue).model_copy(update={"span": span}))


def _scheduled(proposed: ProposedTrigger, timezone: str, span: Span | None) -> Start:
    read = read_schedule((proposed.schedule or "").lower())
    if read is None or read.once or not (read.cron or read.rrule or read.interval_s):
        problems = " ".join(read.problems) if read else ""
        raise UsageError(
            f"The schedule is not understood: write it like 'every monday at 09:00'. {problems}".strip()
        )
    if read.problems:
        raise UsageError(f"The schedule cannot be: {' '.join(read.problems)}")
    spec = TriggerSpec(
        type="schedule",
        cron=read.cron,
        rrule=read.rrule,
        interval_s=read.interval_s,
        timezone=read.timezone or timezone,
        span=span,
    )
    zone = "said in the request" if read.timezone else "from your context"
    return Start(spec, None, read, (*read.proposed, f"Times are in {spec.timezone} ({zone})."))


def _event(proposed: ProposedTrigger, own: TriggerSpec | None, catalogue: Catalogue) -> TriggerSpec:
    if proposed.service is None:
        if proposed.type == "app_event":
            raise UsageError("An app_event needs the service that announces it.")
        return TriggerSpec(type=proposed.type, filter=proposed.filter or None)
    service = catalogue.get(proposed.service)
    events = [one.event for one in service.triggers]
    own_event = own.event if own is not None and own.service == service.id else None
    event = proposed.event or own_event
    if event not in {*events, own_event} or event is None:
        near = tuple(difflib.get_close_matches(event or "", events, n=3)) or tuple(events[:3])
        raise UnknownNameError(f"event of {service.name}", str(event), near)
    return TriggerSpec(type=proposed.type, service=service.id, event=event, filter=proposed.filter or None)


def _span(words: str, text: str, literals: Literals) -> Span | None:
    found = literals.place(words)
    return Span(start=found[0], end=found[1], text=text[slice(*found)]) if found else None
