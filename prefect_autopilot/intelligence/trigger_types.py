"""What kind of start it is: a mail, a form, a chat, a call of our own address, or an event of a service."""

from __future__ import annotations

import re
from functools import cache

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import GOES_ON, Placed
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.models import Service, TriggerType

_DATA_KINDS = frozenset({"crm", "spreadsheet", "chat", "social", "sms", "database", "storage"})
_IS_NEW = re.compile(r"\bnew\b")
_MAIL_IN = re.compile(
    r"^\s*e-?mail (?:directly |straight )?into\b"
    r"|^(?!.*\b(?:notif|alert|digest|report|reminder|update|summar|tell|send\b|inform|warn|share|confirm))"
    r".*\b(?:using|by) e-?mails?[.!]?\s*$"
    r"|^\s*(?:just |simply |you )?(?:can )?(?:send|forward)s? (?:(?:an?|your|my|the|any|all) )?(?:\w+ )?"
    r"e?-?mails? to [^.;]{0,40}\b(?:address|inbox|mailbox)\b[^.;]{0,12}\b(?:and|then|to)\b"
    r"|\b(?:sent|forwarded|e?-?mailed|delivered|arriving) (?:in |to |at )?(?:an?|my|our|the|your|this)"
    r" (?:[\w-]+ )?(?:e-?mail (?:address|account|inbox)|mail ?box|inbox)\b"
)
_FORM_FIRST = re.compile(
    r"\b(?:form (?:submissions?|inputs?|responses?|entries)|(?:via|through|from|using|by|with)"
    r" (?:(?:an?|the|our|my|web|online|simple) )*forms?)\b"
)
_BY_FORM = re.compile(r"\b(?:via|through|by) (?:(?:an?|the|our|my|web|online|simple|n8n) )*forms?\b")
_AFTER_OTHERS = re.compile(
    r"\b(?:leads?|contacts?|orders?|payments?|customers?|events?|tickets?) (?:or|and|/|&) (?:\w+ )?forms?\b"
)
"""What comes beside other things is not all that starts it ("new leads or form submissions")."""

_POSTED_TO_US = re.compile(r"\bweb ?hooks? (?:is|are|gets?|will be) (?:posted|sent|fired|called)\b")
_BY_CHAT = re.compile(r"\b(?:via|by|through|over) (?:an? )?chat\b(?! ?(?:bots?|messages?))")
HELD_THERE = frozenset({"things come from it", "things are in it"})
GUESSED = frozenset({"it is named first", "nothing says that things come from it", "it is used for it"})
"""Why a service was taken for the source where no words say so."""


@cache
def start_words(key: str) -> re.Pattern[str]:
    """Return a pattern of the table of triggers."""
    return re.compile(table("triggers")[key])


def type_of(
    scene: Scene, source: Placed | None, service: Service | None, kind: str | None, *, has_event: bool
) -> TriggerType | None:
    """Return the kind of start, None where nothing is said to start it."""
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
        and start_words("chat").search(lower)
        and ("llm" in kinds or not _IS_NEW.search(near(scene, source)))
        and not (source and source.why in HELD_THERE and _IS_NEW.search(scene.text[: source.part.at]))
    ):
        return "chat"
    if "email" in kinds:
        return "email"
    if "form" in kinds or _is_form(scene, source, service, kinds):
        return "form"
    return "app_event" if source is not None or has_event else None


def _by_whom(lower: str, source: Placed | None, *, has_event: bool) -> TriggerType | None:
    """Read who begins it: somebody in a chat, who mails something in, or who fills in a form."""
    if start_words("chat_start").search(lower):
        return "chat"
    if _MAIL_IN.search(lower) and not (has_event and source):
        return "email"
    if has_event:
        return None
    is_guessed = source is None or source.why in GUESSED or source.direction != "source"
    if _BY_FORM.search(lower) and (is_guessed or (source and source.why == GOES_ON)):
        return "form"
    return "form" if _FORM_FIRST.search(lower) and is_guessed else None


def _is_called(scene: Scene, source: Placed | None, service: Service | None, *, in_event: bool) -> bool:
    """Tell whether somebody calls an address of ours, and not the flow one of a service's webhooks."""
    if not in_event and start_words("offers_api").search(scene.document.lower):
        return True
    called = start_words("webhook").search(scene.text)
    if called is None or _BY_CHAT.search(scene.text[: called.start()]):
        return False
    if _POSTED_TO_US.search(scene.text):
        return True
    sent_on = start_words("to_webhook").search(scene.text)
    is_before = source is not None and sent_on is not None and source.part.at < sent_on.end()
    return service is None or not (in_event or is_before)


def _is_form(scene: Scene, source: Placed | None, service: Service | None, kinds: set[str]) -> bool:
    """Tell whether somebody fills something in."""
    if service is None:
        return start_words("form").search(scene.document.lower) is not None
    around = scene.text[source.clause.start : source.clause.end] if source else scene.text
    if start_words("signup").search(around):
        return kinds <= {"content"} and source is not None and source.clause.lead is not None
    beside = near(scene, source)
    if _AFTER_OTHERS.search(beside) or kinds & _DATA_KINDS:
        return False
    return start_words("form").search(beside) is not None


def near(scene: Scene, source: Placed | None) -> str:
    """Return the words around a mention, its own among them."""
    if source is None:
        return ""
    return scene.words(
        max(source.clause.start, source.part.at - 25), min(source.clause.end, source.part.at + 35)
    )
