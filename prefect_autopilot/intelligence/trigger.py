"""What starts the automation: a schedule, an event of a service, a form, a chat, a webhook or a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule
from prefect_autopilot.models import Service, Span, TriggerSpec, TriggerType
from prefect_autopilot.services import Catalogue

_CHATS = ("chat", "social", "sms")
_EVENT_LEADS = re.compile(
    r"^(?:and |but |so |then |only )?(?:when|whenever|once|as soon|every ?time|each time|any ?time|upon|after|on|for|the moment|starting|triggered|in case)"
)
_FILLER = frozenset(
    "a an the my our your new every each any all some this that in on at to from of for is are was gets get got has have been with and or it me us i we when whenever if once comes come arrives arrive".split()
)


@dataclass(frozen=True)
class Start:
    """The trigger, the mention that gave it, and what the reader should know."""

    spec: TriggerSpec | None
    source: Placed | None = None
    schedule: Schedule | None = None
    reasons: tuple[str, ...] = ()


@cache
def _words(key: str) -> re.Pattern[str]:
    return re.compile(table("triggers")[key])


def find_start(
    scene: Scene, clauses: tuple[Clause, ...], placed: tuple[Placed, ...], catalogue: Catalogue, timezone: str
) -> Start:
    """Find what starts the automation; the schedule wins over an event unless it only describes a thing."""
    schedule = read_schedule(scene.text)
    source = _source(scene, clauses, placed)
    has_event = any(c.lead and _EVENT_LEADS.match(c.lead) for c in clauses)
    if schedule and (schedule.strong or not has_event):
        return _scheduled(scene, schedule, timezone)
    if _words("aging").search(scene.text) and any(c.lead for c in clauses):
        return _daily_check(timezone)
    if _words("manual").search(scene.text):
        return Start(TriggerSpec(type="manual"), None, None, ("It is started by hand, as the request says.",))
    return _event(scene, source, catalogue, has_event=has_event)


def _scheduled(scene: Scene, schedule: Schedule, timezone: str) -> Start:
    first, last = schedule.spans[0][0], schedule.spans[-1][1]
    spec = TriggerSpec(
        type="schedule",
        cron=schedule.cron,
        rrule=schedule.rrule,
        interval_s=schedule.interval_s,
        event=schedule.once,
        timezone=schedule.timezone or timezone,
        span=scene.document.span(*scene.clean(first, last)),
    )
    reasons = [*schedule.proposed]
    if schedule.once:
        reasons.append(
            f"It runs once ({schedule.once}): start the deployment at that moment, no schedule repeats it."
        )
    zone = "said in the request" if schedule.timezone else "from your context"
    reasons.append(f"Times are in {spec.timezone} ({zone}).")
    return Start(spec, None, schedule, tuple(reasons))


def _daily_check(timezone: str) -> Start:
    spec = TriggerSpec(type="schedule", cron="0 9 * * *", timezone=timezone)
    reason = "Age is no event: a daily check at 09:00 is proposed."
    return Start(spec, None, Schedule(cron="0 9 * * *", proposed=(reason,)), (reason,))


def _source(scene: Scene, clauses: tuple[Clause, ...], placed: tuple[Placed, ...]) -> Placed | None:
    """Return the mention things come from: in the clause of the event, before all others."""
    _ = clauses
    events = [p for p in placed if p.clause.lead and p.direction == "source"]
    timed = [p for p in events if p.clause.lead and _EVENT_LEADS.match(p.clause.lead)]
    named = [p for p in (*timed, *events) if p.part.mention.service]
    if named or events:
        return named[0] if named else events[0]
    bots = [p for p in placed if _words("bot").match(scene.text[p.part.at + 1 :]) and p.part.mention.service]
    sources = [p for p in placed if p.direction == "source"]
    named = [p for p in sources if p.part.mention.service]
    if named:
        return named[0]
    if bots:
        return bots[0]
    return sources[0] if sources else None


def _event(scene: Scene, source: Placed | None, catalogue: Catalogue, *, has_event: bool) -> Start:
    service_id = source.part.mention.service if source else None
    service = catalogue.get(service_id) if service_id else None
    kind = source.part.mention.kind if source else None
    type_ = _type(scene, source, service, kind, has_event=has_event)
    if type_ is None:
        return Start(
            TriggerSpec(type="manual"), None, None, ("Nothing is said to start it: it is run by hand.",)
        )
    if type_ in {"chat", "webhook"} and not (source and source.clause.lead):
        service = None
    where = source.clause if source else None
    spec = TriggerSpec(
        type=type_,
        service=service.id if service else None,
        event=_event_name(scene, source, service),
        filter=_filter(scene, source),
        span=scene.document.span(*scene.clean(where.start, where.end)) if where else None,
    )
    return Start(spec, source if service or kind else None)


def _type(
    scene: Scene, source: Placed | None, service: Service | None, kind: str | None, *, has_event: bool
) -> TriggerType | None:
    text = scene.text
    kinds = set(service.kinds) if service else {kind} if kind else set()
    if _words("webhook").search(text) and (service is None or not (source and source.clause.lead)):
        return "webhook"
    if "email" in kinds:
        return "email"
    around = text[source.clause.start : source.clause.end] if source else text
    if "form" in kinds or (service is None and _words("form").search(scene.document.lower)):
        return "form"
    if (
        service
        and (_words("signup").search(around) or _words("form").search(_near(scene, source)))
        and not kinds & {"crm", "spreadsheet", *_CHATS}
    ):
        return (
            "form"
            if not service.kinds or "content" in kinds or "form" in _near(scene, source)
            else "app_event"
        )
    if service is None and _words("chat").search(scene.document.lower):
        return "chat"
    if source is not None or has_event:
        return "app_event"
    return None


def _near(scene: Scene, source: Placed | None) -> str:
    if source is None:
        return ""
    return scene.text[
        max(source.clause.start, source.part.at - 25) : min(source.clause.end, source.part.at + 35)
    ]


def _event_name(scene: Scene, source: Placed | None, service: Service | None) -> str | None:
    """Return the service's event whose phrase shares most words with the clause, else one named after it."""
    if source is None:
        return None
    said = _stems(scene.words(source.clause.start, source.clause.end))
    if service and service.triggers:
        scored = [
            (
                max(
                    (
                        len(said & _stems(p)) / len(_stems(p) or {p})
                        for p in (t.event.replace("_", " "), *t.phrases)
                    ),
                    default=0,
                ),
                -i,
            )
            for i, t in enumerate(service.triggers)
        ]
        return service.triggers[-max(scored)[1]].event
    text = scene.text[source.clause.start : source.clause.end]
    at = source.part.at - source.clause.start
    after = re.match(r"\s+(?:new\s+)?([a-z]{3,20})\b", text[at + 1 :])
    before = re.search(rf"([a-z]{{3,20}})\s+(?:in|on|from|at|to)\s+(?:[a-z]+\s+)?$", text[:at])
    for found in (before, after):
        if found and found[1] not in _FILLER and found[1] not in {"into", "then"}:
            return f"new_{found[1].removesuffix('s')}"
    return "new_message" if source.part.mention.kind == "email" else "new_item"


def _stems(text: str) -> set[str]:
    return {w.removesuffix("s") for w in re.findall(r"[a-z]+", text.lower()) if w not in _FILLER}


def _filter(scene: Scene, source: Placed | None) -> str | None:
    """Return the words that narrow the event, in the person's words."""
    if source is None:
        return None
    text = scene.words(source.clause.start, source.clause.end)
    found: list[tuple[int, str]] = []
    for adjective in table("triggers")["adjectives"]:
        match = re.search(rf"(?<![\w-]){re.escape(adjective)}(?![\w-])", text)
        if match:
            found.append((match.start(), match[0]))
    for pattern in table("triggers")["phrases"]:
        match = re.search(pattern, text)
        if match and not re.search(ANY, match[0]):
            found.append((match.start(), match[0].strip()))
    kept = [
        w
        for i, (at, w) in enumerate(found)
        if not any(j != i and o <= at < o + len(x) and len(x) > len(w) for j, (o, x) in enumerate(found))
    ]
    ordered = [w for _, w in sorted(found) if w in kept]
    return " and ".join(dict.fromkeys(ordered)) or None


def clause_span(scene: Scene, clause: Clause) -> Span:
    """Return a clause as a span of the original request."""
    return scene.document.span(*scene.clean(clause.start, clause.end))
