"""What starts the automation: a schedule, an event of a service, a form, a chat, a webhook or a person."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from prefect_autopilot.intelligence.clauses import Clause, verbs
from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.event_days import without_days
from prefect_autopilot.intelligence.events import (
    announces,
    changed_event,
    is_filler,
    known_event,
    thing_beside,
    unannounced,
)
from prefect_autopilot.intelligence.filters import event_filter
from prefect_autopilot.intelligence.gone_through import OF_THESE, goes_through_rows, lists_all
from prefect_autopilot.intelligence.happenings import starts_with_when, untold
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule
from prefect_autopilot.intelligence.trigger_types import GUESSED, near, start_words, type_of
from prefect_autopilot.models import Service, Span, TriggerSpec
from prefect_autopilot.services import Catalogue

_NO_START = frozenset({"llm", "notification", "sms"})
_CREATES = frozenset({"create", "creates", "add", "adds", "make", "open", "creating", "adding", "set"})
_EVENT_LEADS = re.compile(
    r"^(?:and |but |so |then |only )?(?:when|whenever|once|as soon|every ?time|each time|any ?time|upon"
    r"|after|on|for|the moment|starting|triggered|in case)"
)
_ARRIVING = re.compile(r"\b(?:new|incoming|received|updates (?:for|on|from|of))\b")
_SUBJECT = re.compile(
    rf"\b(?:a|an|the|new|any)\s+(?:new\s+)?(?:{ANY}(?:'s)?\s+)?([a-z]{{3,20}})\s+(?:is|are|gets|was|has"
    r"|fails|arrives|appears|lands|comes|over|above|below|under|with|from|moves|mentions)\b"
)
_FORMS = frozenset({"form", "survey", "quiz", "questionnaire"})
"""What is new is an answer, not they."""

_EVENT_NOUNS = frozenset({"order", "booking", "charge", "mention", "meeting"})
_LOOSE = frozenset({"nothing says that things come from it", "things are in it", "it happens there"})
_BY_ITSELF = re.compile(
    r"\b(?:sync\w*|mirror\w*|automatic\w*|instant\w*|real[- ]?time|keeps?|continuous\w*|seamless\w*)\b"
)
_SAME_THERE = re.compile(
    r"\b(?:corresponding|matching|equivalent)\b"
    r"|\b(?:and|then) (?:have|see|let|make) (?:this|it|them|that|those) (?:also )?(?:appear|show|be|turn)\b"
)
"""What is made in one service follows what was made in the other before."""

_BOT = re.compile(r"\b(?:chat ?bots?|bots?|assistants?)\b")
_NEW_FIRST = re.compile(r"\s*(?:(?:all|any|every|each|the) )?new\b")
_TELLS = frozenset(
    {"alert", "alerts", "notify", "notifies", "tell", "tells", "ping", "pings", "message", "dm", "remind"}
)
_SENT_ON = re.compile(
    r"\b(?:is|are|be|been|gets?) (?:then |also |automatically )?(?:sen[dt]|moved|copied|saved|added|posted"
    r"|forwarded|pushed|logged|stored) (?:to|in|into|on|as)\b"
)
"""What is taken with one service goes on to another ("notes made with X are sent to Y")."""

_LEADS_TO = re.compile(r"(?:'s)?\s+(?:to|2|into)\s")


@dataclass(frozen=True)
class Start:
    """The trigger, the mention that gave it, and what the reader should know."""

    spec: TriggerSpec | None
    source: Placed | None = None
    schedule: Schedule | None = None
    reasons: tuple[str, ...] = ()
    untold: Clause | None = None
    """What is said to happen and nothing named tells of."""


def find_start(
    scene: Scene, clauses: tuple[Clause, ...], placed: tuple[Placed, ...], catalogue: Catalogue, timezone: str
) -> Start:
    """Find what starts the automation; the schedule wins over an event unless it only describes a thing."""
    happening = untold(scene, clauses, placed)
    start = _find_start(scene, clauses, placed, catalogue, timezone, happening)
    is_condition = (
        start.schedule is not None and happening is not clauses[0] and not starts_with_when(happening)
    )
    return replace(start, untold=None if is_condition else happening)


def _find_start(
    scene: Scene,
    clauses: tuple[Clause, ...],
    placed: tuple[Placed, ...],
    catalogue: Catalogue,
    timezone: str,
    happening: Clause | None,
) -> Start:
    schedule = read_schedule(without_days(scene, clauses))
    source = _source(scene, placed, catalogue, is_told=happening is None)
    through = goes_through_rows(scene, source, catalogue)
    if through:
        source = None
    starts = happening is not None and (schedule is None or happening is clauses[0])
    has_event = starts or any(
        c.lead
        and _EVENT_LEADS.match(c.lead)
        and c is not through
        and not OF_THESE.match(scene.text, c.start, c.end)
        for c in clauses
    )
    if schedule and (schedule.strong or not has_event):
        return _scheduled(scene, schedule, timezone)
    if not has_event and start_words("schedule").search(scene.text):
        return _proposed("How often is not said: daily at 09:00 is proposed.", timezone)
    if start_words("aging").search(scene.text) and any(c.lead for c in clauses):
        return _proposed("Age is no event: a daily check at 09:00 is proposed.", timezone)
    if start_words("manual").search(scene.text):
        return Start(TriggerSpec(type="manual"), None, None, ("It is started by hand, as the request says.",))
    if (through or lists_all(scene, clauses)) and not has_event:
        told = "It goes through what is there, and nothing is said to start it: it is run by hand."
        return Start(TriggerSpec(type="manual"), None, None, (told,))
    happens = next((c for c in clauses if c.lead and _EVENT_LEADS.match(c.lead)), None)
    return _event(scene, source, placed, catalogue, has_event=has_event, told=happens)


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


def _proposed(reason: str, timezone: str) -> Start:
    spec = TriggerSpec(type="schedule", cron="0 9 * * *", timezone=timezone)
    return Start(spec, None, Schedule(cron="0 9 * * *", proposed=(reason,)), (reason,))


def _source(
    scene: Scene, placed: tuple[Placed, ...], catalogue: Catalogue, *, is_told: bool
) -> Placed | None:
    """Return the mention things come from: in the clause of the event, else the likeliest of the text.

    Where nothing named tells of what is said to happen, what the rest names is no source by mere likelihood.
    """
    events = [p for p in placed if p.clause.lead and p.direction == "source"]
    timed = [p for p in events if p.clause.lead and _EVENT_LEADS.match(p.clause.lead)]
    first = [p for p in placed if p.direction == "source" and p.why not in GUESSED]
    supposed = events if not first or (events and events[0] is first[0]) else []
    if first and timed and timed[0].clause.lead == "after" and _NEW_FIRST.match(scene.text):
        timed, supposed = [], first  # "new contacts in X after a form submission" tells how they came there
    for group in (timed, supposed):
        named = [p for p in group if p.part.mention.service]
        if group:
            return named[0] if named else group[0]
    named = [p for p in placed if p.part.mention.service]
    talked = [p for p in named if p.part.mention.service in table("triggers")["messengers"]]
    talking = [
        p for p in talked if p.direction == "source" or start_words("messaging").search(near(scene, p))
    ]
    chats = start_words("chat").search(scene.document.lower) is not None
    if chats and (talking or (len(talked) == 1 and _BOT.search(scene.document.lower))):
        return (talking or talked)[0]
    if len(named) > 1 and _SAME_THERE.search(scene.text, named[0].part.at):
        return named[0]
    if len(named) > 1 and named[0].direction == "tool" and _SENT_ON.search(scene.text, named[0].part.at):
        return named[0] if _may_start(named[0], catalogue) else None
    sources = [p for p in placed if p.direction == "source" and _may_start(p, catalogue)]
    likely = _likely(scene, named, talking, catalogue) if sources and sources[0].why in GUESSED else None
    if sources or not is_told:
        return likely or (sources[0] if sources else None)
    return _likely(scene, named, talking, catalogue) or _only_one(scene, placed, catalogue)


def _may_start(place: Placed, catalogue: Catalogue) -> bool:
    """Tell whether something can happen there: a language model and what only sends start nothing."""
    service = place.part.mention.service
    kinds = set(catalogue.get(service).kinds) if service else {place.part.mention.kind}
    return not (kinds and kinds <= _NO_START)


def _likely(scene: Scene, named: list[Placed], talking: list[Placed], catalogue: Catalogue) -> Placed | None:
    """Return what mostly starts things: a form, a mailbox being sorted, a messenger being answered."""
    for p in named:
        if "form" in catalogue.get(p.part.mention.services[0]).kinds:
            return p
    for p in named:
        is_mail = "email" in catalogue.get(p.part.mention.services[0]).kinds
        thinks = any("llm" in catalogue.get(o.part.mention.services[0]).kinds for o in named)
        if is_mail and (start_words("correspondence").search(scene.text) or (thinks and p.why in GUESSED)):
            return p
    return talking[0] if talking else None


def _only_one(scene: Scene, placed: tuple[Placed, ...], catalogue: Catalogue) -> Placed | None:
    """Return the mention beside words of something new arriving, or the first that nothing is done to."""
    for p in placed:
        if _ARRIVING.search(near(scene, p)) and p.why in _LOOSE and p.clause.verb not in _CREATES:
            return p
    named = [
        p for p in placed if p.part.mention.service and p.direction != "tool" and _may_start(p, catalogue)
    ]
    if not named:
        return None
    first = named[0].part.at
    if not scene.text[:first].strip() and _LEADS_TO.match(scene.text, first + 1):
        return named[0]
    several = len({p.part.mention.service for p in named}) > 1
    verb = named[0].clause.verb
    is_told = named[0].direction == "sink" and verb in _TELLS
    is_acted_on = is_told or verb in words("verbs", "compose")
    return named[0] if (several and named[0].why in _LOOSE) or not (several or is_acted_on) else None


def _ongoing(scene: Scene, placed: tuple[Placed, ...], catalogue: Catalogue) -> Placed | None:
    """Return what is watched where something is to go on by itself ("keep in sync") and nothing starts it."""
    if not _BY_ITSELF.search(scene.document.lower):
        return None
    able = [p for p in placed if p.part.mention.service and _may_start(p, catalogue)]
    watched = (p for p in able if catalogue.get(p.part.mention.services[0]).triggers)
    return next(watched, able[0] if able else None)


def _event(
    scene: Scene,
    source: Placed | None,
    placed: tuple[Placed, ...],
    catalogue: Catalogue,
    *,
    has_event: bool,
    told: Clause | None = None,
) -> Start:
    """Return the event; ``told`` is the clause that says what happens where it names nobody."""
    service_id = source.part.mention.service if source else None
    service = catalogue.get(service_id) if service_id else None
    kind = source.part.mention.kind if source else None
    type_ = type_of(scene, source, service, kind, has_event=has_event)
    ongoing = _ongoing(scene, placed, catalogue) if type_ is None else None
    if ongoing:
        return _event(scene, ongoing, (), catalogue, has_event=True)
    if type_ is None:
        return Start(
            TriggerSpec(type="manual"), None, None, ("Nothing is said to start it: it is run by hand.",)
        )
    if type_ in {"chat", "webhook"} and not (source and source.clause.lead):
        service = None
    where = source.clause if source else None
    event = None if service is None and type_ in {"chat", "webhook"} else _event_name(scene, source, service)
    filter_ = event_filter(scene, where or (told if service is None else None), event)
    own = _own_event(scene, source, service, event) if where and where.lead else None
    if own and service:
        changed = changed_event(service, own)  # "is resolved" is one of the changes it tells of
        event = changed.event if changed else own
        filter_ = event_filter(scene, where, event)
    spec = TriggerSpec(
        type=type_,
        service=service.id if service else None,
        event=event,
        filter=filter_,
        span=scene.document.span(*scene.clean(where.start, where.end)) if where else None,
    )
    reasons = (*_about_event(service, event, scene, source), *_about_answers(service, spec))
    return Start(spec, source if service or kind else None, None, reasons)


def _about_answers(service: Service | None, spec: TriggerSpec) -> tuple[str, ...]:
    """Say how the answer that a condition speaks of is found among those of a form."""
    trigger = next((t for t in service.triggers if t.event == spec.event), None) if service else None
    if service is None or trigger is None or not spec.filter:
        return ()
    by_question = any(path.endswith("}") for path in trigger.fields.values())
    told = f"An answer in {service.name} is found by the reference of its question, assumed to be named so."
    return (told,) if by_question else ()


def _about_event(
    service: Service | None, event: str | None, scene: Scene, source: Placed | None
) -> tuple[str, ...]:
    """Say that nothing looks for an event, or which one is assumed where none was said."""
    if service is None or not service.triggers or event is None or source is None:
        return ()
    offered = [t.event.replace("_", " ") for t in service.triggers]
    told = event.replace("_", " ")
    if told not in offered:
        return (f"{service.name} announces no {told!r}; what can be looked for there: {', '.join(offered)}.",)
    said = scene.words(source.clause.start, source.clause.end)
    if len(offered) > 1 and known_event(service, said) is None:
        others = ", ".join(one for one in offered if one != told)
        return (f"Which event of {service.name} is not said: {told!r} is assumed; there is also: {others}.",)
    return ()


def _event_name(scene: Scene, source: Placed | None, service: Service | None) -> str | None:
    """Return the service's event whose phrase shares most words with the clause, else one named after it."""
    if source is None:
        return None
    said = scene.words(source.clause.start, source.clause.end)
    text = scene.text[source.clause.start : source.clause.end]
    if service and service.triggers:
        thing = _thing(scene, source, _SUBJECT.search(text))
        if thing is not None and not announces(service, thing):
            return f"new_{thing}"
        known = known_event(service, said)
        subject = None if thing else _SUBJECT.search(text)
        if known is None and (not subject or is_filler(subject[1])):
            known = service.triggers[0]
        if known is not None:
            return known.event
    at = source.part.at - source.clause.start
    after = re.match(r"\s+(?:new\s+)?([a-z]{3,20})\b", text[at + 1 :])
    before = re.search(r"([a-z]{3,20})\s+(?:in|on|from|at|to)\s+(?:[a-z]+\s+)?$", text[:at])
    if source.part.mention.kind == "email":
        return "new_message"
    said_new = re.search(r"\bnew\s+([a-z]{3,20})\b", text)
    subject = _SUBJECT.search(scene.words(source.clause.start, source.clause.end))
    for found in (subject, before, said_new, after):
        if found and _is_thing(found[1]) and found[1] not in (service.id if service else ""):
            return f"new_{found[1].removesuffix('s')}"
    return "new_item"


def _thing(scene: Scene, source: Placed, subject: re.Match[str] | None) -> str | None:
    """Return the thing spoken of beside a mention, whose own name says nothing of it, or the subject."""
    at = source.part.at
    beside = thing_beside(scene.text[source.clause.start : at], scene.text[at + 1 : source.clause.end])
    is_known = subject is not None and subject[1] in words("triggers.things", "known")
    return beside or (subject[1] if subject and is_known else None)


def _own_event(scene: Scene, source: Placed | None, service: Service | None, event: str | None) -> str | None:
    """Return an event named after what happens, where the service is known to have none that tells of it."""
    if source is None or service is None or not service.triggers:
        return None
    known = next((t for t in service.triggers if t.event == event), None)
    return unannounced(known, scene.text[source.clause.start : source.clause.end])


def _is_thing(word: str) -> bool:
    """Tell a noun from what happens to it ("placed", "fails", "reports")."""
    if (
        is_filler(word)
        or word in _FORMS
        or word in {"into", "then", "fails", "reports", "lands", "appears", "arrives", "comes", "goes"}
        or word.endswith("ed")
    ):
        return False
    return word not in verbs() or word in words("verbs", "nouns") or word in _EVENT_NOUNS


def clause_span(scene: Scene, clause: Clause) -> Span:
    """Return a clause as a span of the original request."""
    return scene.document.span(*scene.clean(clause.start, clause.end))
