"""What starts the automation: a schedule, an event of a service, a form, a chat, a webhook or a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from prefect_autopilot.intelligence.clauses import Clause, verbs
from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.events import (
    announces,
    is_filler,
    known_event,
    thing_beside,
    unannounced,
)
from prefect_autopilot.intelligence.filters import event_filter
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.intelligence.schedule import Schedule, read_schedule
from prefect_autopilot.models import Service, Span, TriggerSpec, TriggerType
from prefect_autopilot.services import Catalogue

_NO_START = frozenset({"llm", "notification", "sms"})
_DATA_KINDS = frozenset({"crm", "spreadsheet", "chat", "social", "sms", "database", "storage"})
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
_EACH_ROW = re.compile(
    r"\s*(?:and |then )?for (?:each|every|all)(?: of)?(?: the)? (?:\w+ )?"
    r"(?:rows?|records?|lines?|entry|entries)\b"
)
_OF_THESE = re.compile(r"\s*(?:and |then )*for (?:each|every)(?: one| of (?:them|these|those)|,|\s*$)")
_ALL_THERE = re.compile(
    r"\s*(?:please )?(?:get|fetch|list|pull|read|collect|find|search|export|download|go through|loop through"
    r"|loop over|take)\s+(?:me )?(?:all|every|each|a list of|the list of)\b"
)
_COMES = re.compile(r"\b(?:new|incoming|added|add|adds|comes?|created|arriv\w+|updated|changes?|submitted)\b")
_IS_NEW = re.compile(r"\bnew\b")
_SAME_THERE = re.compile(
    r"\b(?:corresponding|matching|equivalent)\b"
    r"|\b(?:and|then) (?:have|see|let|make) (?:this|it|them|that|those) (?:also )?(?:appear|show|be|turn)\b"
)
"""What is made in one service follows what was made in the other before."""

_LEADS_TO = re.compile(r"(?:'s)?\s+(?:to|2|into)\s")
_MAIL_IN = re.compile(
    r"^\s*(?:just |simply |you )?(?:can )?(?:send|forward)s? (?:(?:an?|your|my|the|any|all) )?(?:\w+ )?"
    r"e?-?mails? to [^.;]{0,40}\b(?:address|inbox|mailbox)\b[^.;]{0,12}\b(?:and|then|to)\b"
)
_FORM_FIRST = re.compile(
    r"\b(?:form (?:submissions?|inputs?|responses?|entries)|(?:via|through|from|using|by|with)"
    r" (?:(?:an?|the|our|my|web|online|simple) )*forms?)\b"
)
_GUESSED = frozenset({"it is named first", "nothing says that things come from it", "it is used for it"})
"""Why a service was taken for the source where no words say so."""


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
    source = _source(scene, placed, catalogue)
    through = _goes_through(scene, source, catalogue)
    if through:
        source = None
    has_event = any(
        c.lead
        and _EVENT_LEADS.match(c.lead)
        and c is not through
        and not _OF_THESE.match(scene.text, c.start, c.end)
        for c in clauses
    )
    if schedule and (schedule.strong or not has_event):
        return _scheduled(scene, schedule, timezone)
    if not has_event and _words("schedule").search(scene.text):
        return _proposed("How often is not said: daily at 09:00 is proposed.", timezone)
    if _words("aging").search(scene.text) and any(c.lead for c in clauses):
        return _proposed("Age is no event: a daily check at 09:00 is proposed.", timezone)
    if _words("manual").search(scene.text):
        return Start(TriggerSpec(type="manual"), None, None, ("It is started by hand, as the request says.",))
    if (through or _lists_all(scene, clauses)) and not has_event:
        told = "It goes through what is there, and nothing is said to start it: it is run by hand."
        return Start(TriggerSpec(type="manual"), None, None, (told,))
    return _event(scene, source, catalogue, has_event=has_event)


def _lists_all(scene: Scene, clauses: tuple[Clause, ...]) -> bool:
    """Tell whether all that is there is listed and each of it worked on: nothing has to happen first."""
    return _ALL_THERE.match(scene.text) is not None and any(
        _OF_THESE.match(scene.text, c.start, c.end) for c in clauses
    )


def _goes_through(scene: Scene, source: Placed | None, catalogue: Catalogue) -> Clause | None:
    """Return the clause "for every row in …", which reads what is there; what is new is an event."""
    if source is None or source.clause.lead is None or source.part.mention.service is None:
        return None
    clause, kinds = source.clause, catalogue.get(source.part.mention.service).kinds
    said = scene.words(clause.start, clause.end)
    holds_rows = not {"spreadsheet", "database"}.isdisjoint(kinds)
    return clause if holds_rows and _EACH_ROW.match(said) and not _COMES.search(said) else None


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


def _source(scene: Scene, placed: tuple[Placed, ...], catalogue: Catalogue) -> Placed | None:
    """Return the mention things come from: in the clause of the event, else the likeliest of the text."""
    events = [p for p in placed if p.clause.lead and p.direction == "source"]
    timed = [p for p in events if p.clause.lead and _EVENT_LEADS.match(p.clause.lead)]
    for group in (timed, events):
        named = [p for p in group if p.part.mention.service]
        if group:
            return named[0] if named else group[0]
    named = [p for p in placed if p.part.mention.service]
    talked = [p for p in named if p.part.mention.service in table("triggers")["messengers"]]
    talking = [p for p in talked if p.direction == "source" or _words("messaging").search(_near(scene, p))]
    if talking and _words("chat").search(scene.document.lower):
        return talking[0]
    if len(named) > 1 and _SAME_THERE.search(scene.text, named[0].part.at):
        return named[0]
    sources = [p for p in placed if p.direction == "source" and p.part.mention.kind not in _NO_START]
    if sources:
        return sources[0]
    return _likely(scene, named, talking, catalogue) or _only_one(scene, placed)


def _likely(scene: Scene, named: list[Placed], talking: list[Placed], catalogue: Catalogue) -> Placed | None:
    """Return what mostly starts things: a form, a mailbox being sorted, a messenger being answered."""
    for p in named:
        if "form" in catalogue.get(p.part.mention.services[0]).kinds:
            return p
    for p in named:
        is_mail = "email" in catalogue.get(p.part.mention.services[0]).kinds
        if is_mail and _words("correspondence").search(scene.text):
            return p
    return talking[0] if talking else None


def _only_one(scene: Scene, placed: tuple[Placed, ...]) -> Placed | None:
    """Return the mention beside words of something new arriving, or the first that nothing is done to."""
    for p in placed:
        if _ARRIVING.search(_near(scene, p)) and p.why in _LOOSE and p.clause.verb not in _CREATES:
            return p
    named = [p for p in placed if p.part.mention.service and p.direction != "tool"]
    if not named:
        return None
    first = named[0].part.at
    if not scene.text[:first].strip() and _LEADS_TO.match(scene.text, first + 1):
        return named[0]
    several = len({p.part.mention.service for p in named}) > 1
    is_acted_on = named[0].clause.verb in words("verbs", "compose")
    return named[0] if (several and named[0].why in _LOOSE) or not (several or is_acted_on) else None


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
    event = None if service is None and type_ in {"chat", "webhook"} else _event_name(scene, source, service)
    filter_ = event_filter(scene, source, event)
    own = _own_event(scene, source, service, event) if where and where.lead else None
    if own:
        event, filter_ = own, event_filter(scene, source, own)
    spec = TriggerSpec(
        type=type_,
        service=service.id if service else None,
        event=event,
        filter=filter_,
        span=scene.document.span(*scene.clean(where.start, where.end)) if where else None,
    )
    return Start(spec, source if service or kind else None, None, _about_event(service, event, scene, source))


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


def _type(
    scene: Scene, source: Placed | None, service: Service | None, kind: str | None, *, has_event: bool
) -> TriggerType | None:
    lower = scene.document.lower
    kinds = set(service.kinds) if service else {kind} if kind else set()
    if service and re.search(r"\b(?:forms?|survey)\b", service.id.replace("_", " ")):
        kinds.add("form")
    in_event = source is not None and source.clause.lead is not None
    if _is_called(scene, source, service, in_event=in_event):
        return "webhook"
    started = _by_whom(lower, source, has_event=has_event)
    if started:
        return started
    talks = service is not None and service.id in table("triggers")["messengers"]
    if (
        not talks
        and not has_event
        and _words("chat").search(lower)
        and not _IS_NEW.search(_near(scene, source))
    ):
        return "chat"
    if "email" in kinds:
        return "email"
    if "form" in kinds or _is_form(scene, source, service, kinds):
        return "form"
    return "app_event" if source is not None or has_event else None


def _by_whom(lower: str, source: Placed | None, *, has_event: bool) -> TriggerType | None:
    """Read who begins it: somebody in a chat, who mails something in, or who fills in a form."""
    if _words("chat_start").search(lower):
        return "chat"
    if has_event:
        return None
    if _MAIL_IN.search(lower):
        return "email"
    return "form" if _FORM_FIRST.search(lower) and (source is None or source.why in _GUESSED) else None


def _is_called(scene: Scene, source: Placed | None, service: Service | None, *, in_event: bool) -> bool:
    """Tell whether somebody calls an address of ours, and not the flow one of a service's webhooks."""
    if not in_event and _words("offers_api").search(scene.document.lower):
        return True
    if not _words("webhook").search(scene.text):
        return False
    sent_on = _words("to_webhook").search(scene.text)
    is_before = source is not None and sent_on is not None and source.part.at < sent_on.end()
    return service is None or not (in_event or is_before)


def _is_form(scene: Scene, source: Placed | None, service: Service | None, kinds: set[str]) -> bool:
    """Tell whether somebody fills something in."""
    if service is None:
        return _words("form").search(scene.document.lower) is not None
    around = scene.text[source.clause.start : source.clause.end] if source else scene.text
    if _words("signup").search(around):
        return kinds <= {"content"} and source is not None and source.clause.lead is not None
    return _words("form").search(_near(scene, source)) is not None and not kinds & _DATA_KINDS


def _near(scene: Scene, source: Placed | None) -> str:
    """Return the words around a mention, its own among them."""
    if source is None:
        return ""
    return scene.words(
        max(source.clause.start, source.part.at - 25), min(source.clause.end, source.part.at + 35)
    )


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
