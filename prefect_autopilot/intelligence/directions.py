"""Whether a service is where things come from, where they go, or what works on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from prefect_autopilot.intelligence.clauses import Clause, verbs
from prefect_autopilot.intelligence.data import words
from prefect_autopilot.intelligence.scene import ANY, KIND, ORDER, Part, Scene
from prefect_autopilot.intelligence.sent import part_when_sent

Direction = Literal["source", "sink", "tool"]
GOES_ON = "the text says where to go on to"
"""Why a service is a source whose things are said to go somewhere."""

_DETERMINERS = (
    r"(?:(?:the|a|an|my|our|your|their|this|that|all|each|every|any|some|both|new|latest|recent|incoming"
    r"|specific|certain|one|existing|old|same|multiple|several|more)\s+)*"
)
_NOUN = r"(?:[\w'-]+\s+){0,3}?"
_FROM = re.compile(
    rf"\b(?:from(?! now on)|out of|off|of|inside of|between|when|whenever|if|against"
    rf"|for (?:each |every |any |all )?(?:new|incoming)|for (?:each|every|any)|(?:received|sent|arriving"
    rf"|incoming) (?:via|in|through|on|by)|triggered by)\s+{_NOUN}$"
)
_TO = re.compile(
    rf"\b(?:to|into|onto|in|inside|on|at|within|(?<!at )2|and into|toward|towards|for)\s+{_NOUN}$"
)
_INFINITIVE = re.compile(r"to\s+([a-z]+)\s+(?:new|all|every|each|any|the|my|our|an?|latest|incoming)\b")
_VIA = re.compile(rf"\b(?:via|through|thru|by(?!\s+\w+ing\b)|over)\s+{_NOUN}$")
_WITH = re.compile(rf"\b(?:using|with|w|w/|use|uses|have|ask|let|powered by|leveraging|leverages)\s+{_NOUN}$")
_NEW = re.compile(
    r"\b(?:new|incoming|latest|every|each|all|recent|unread|starred|my|any|completed|closed|updated"
    r"|open)\s+(?:[\w'-]+\s+){0,2}$"
)
_LATER_SINK = re.compile(
    rf"\b(?:to|into|onto|in|on|via|2)\s+{_DETERMINERS}(?:[\w'#-]+\s+){{0,3}}?{ANY}|[-=]{{0,9}}>\s*"
    rf"|\bto\s+{_DETERMINERS}(?:\w+\s+)?(?:web ?hook|endpoint|url)\b"
)
_ADDRESSED = re.compile(rf"\b(?:notify|notifies|message|tell|ping|alert|update|dm)\s+{_DETERMINERS}$")
_JOINED = re.compile(rf"\b(?:with|and)\s+{_DETERMINERS}(?:[\w'#-]+\s+){{0,3}}?{ANY}|&\s*{ANY}|,\s*{ANY}")
_SENT_ON = re.compile(
    r"^\s*(?!messages?|notifications?|alerts?|dms?|texts?|emails?|reminders?)"
    r"(?:[a-z\ue000-\uf8ff-]+\s+){1,3}to (?:my|our|the|a)\b"
)
_NOTICE = re.compile(
    r"^\s*(?:alerts?|notifications?|reminders?|digests?|summar(?:y|ies)|reports?|updates?|confirmations?"
    r"|messages? (?:to|when|for))\b"
)
_WINDOW = 240
"""Characters of a clause that are looked at on each side of a mention."""

_BY_SENDING = re.compile(
    r"\bby (?:sending|forwarding|simply sending|submitting|adding|posting|starring)\s+(?:an? |the "
    r"|simple )*(?:(?:\w+ ){1,3}(?:to|in|on|into) )?$"
)
_TOLD = re.compile(
    r"^\s*(?:messages?|notifications?|alerts?|reminders?|notices?)\s+(?:for|when\w*|of|about|if|each|every"
    r"|on)\b"
)
_FOR_EVERY_NEW = re.compile(r"\bto (?:every|each|all|any) new $")
_MAILERS = frozenset(
    {"gmail", "microsoft_outlook", "sendgrid", "mailgun", "postmark", "brevo", "resend", "twilio"}
)
_SENT_FROM = re.compile(
    rf"(?:\b(?:(?:e?mail|message|text|dm|write)s?|sends?)|{KIND}|{ORDER}) "
    r"(?:[\w.+-]+@[\w.-]+\w|them|him|her|[#@][\w-]+|\+\d[\d ]+"
    r"|the (?:customer|contact|lead|client|buyer|guest|person|user)s?)\b[^.;]{0,60}\bfrom (?:my |our |the )?$"
)
"""Somebody is written to from an account, and nothing is read of it."""

_ARRIVING = re.compile(r"\b(?:incoming|inbound|new)\s+$")
_WATCHED = re.compile(
    r"\b(?:monitor|watch|check|read|parse|process|scan|triage|sort|classif|categori[sz])"
    r"(?:e?s|ies|y|e|ing)?(?: for)? (?:my |our |the |all |new |incoming |every )*$"
)
_FOR_NEW = re.compile(
    r"\b(?:for|of) (?:all |any |each |every |the )*(?:new|incoming|latest|recent)"
    r" (?:[a-z\ue000-\uf8ff]+ ){1,2}$"
)
_OF_A_NEW = re.compile(r"\b(?:for|of|about|on) (?:an? |each |every |any )?new $")
_THROUGH = re.compile(
    r"\b(?:go|goes|going|loop|loops|looping|run|walk|iterate)s? (?:through|over)\b|\bhow many\b"
)
_GONE_THROUGH = re.compile(r"\b(?:go|goes|going|loop|loops|looping) (?:through|over) (?:[\w'-]+ ){0,3}$")
_LISTENS = re.compile(
    r"\b(?:alert\w*|notif\w+|notices?|subscrib\w+|respon\w+|repl(?:y|ies)|reacts?|listens?)\b[^.;]{0,40}"
    r"\bto (?:all |any |every |each |the )*(?:new|incoming|latest)\s+(?:\w+\s+)?$"
)
_HELD = re.compile(
    r"\b(?:from|(?:of|about) (?:new|incoming)) (?:[a-z\ue000-\uf8ff]+ ){1,3}(?:in|on|at|inside)"
    rf" {_DETERMINERS}$"
)
_PUT_THERE = re.compile(
    r"\b(?:for|of|about|from|with) (?:[a-z\ue000-\uf8ff]+ ){1,3}(?:added|saved|uploaded|posted|sent|made"
    r"|created|written|submitted|tagged|starred|assigned|pushed|left)"
    rf" (?:to|in|on|into|at|via) {_DETERMINERS}$"
)
"""Things that are there already, however they came there ("a note for files added to X")."""

_TAKEN_OUT = re.compile(
    r"\b(?:remove|delete|erase|unsubscribe|drop|kick)s? (?:it|them|him|her|this|that|the \w+) $"
)
_ORDERED = re.compile(r"\s*:\s+(?:please\s+)?([a-z]+)\b")
_INTO = re.compile(r"^\s*(?:[a-z]+\s+)?into\b")
_TOLD_OF = re.compile(
    rf"(?:\b(?:tell|notif|alert|inform|warn|ping|message|dm|let|keep)\w*\b|{KIND}|{ORDER})[^.;]*{ANY}[^.;]*"
    r" (?:about|of|on) (?:all |any |every |each |the |our |my |new |latest )*$"
)
"""Somebody is told there of what happens here ("tell me in X about Y incidents")."""

_CHANGED = frozenset(
    {"turn", "turns", "convert", "converts", "transform", "transforms", "change", "translate"}
)
_REFILLED = frozenset({"update", "updates", "updating"})
_IS_NEW = re.compile(r"^\s*(?:'s\s+)?(?:new|updated|completed|incoming|starred|unread)\b")


_NAMED_ORDER = re.compile(
    r"\s*(?:this (?:\w+ )?(?:zap|workflow|flow|automation|template|recipe)\s+)?"
    r"(?:(?:and|then|please|also|automatically|just|can you|could you|will|to|lets? (?:you|me|us)"
    r"|(?:allow|enable)s? (?:you|me|us) to)\s+)*([\ue000-\uefff])"
    r"(?:\s+(?:(?:me|us|every|each|all|new|the|my|our|an?|about|this|it|them|any|when\w*)\b|[\uf000-\uf8ff])"
    r"|\s*\")"
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A mention with its clause and direction."""

    part: Part
    clause: Clause
    direction: Direction
    why: str


def place(scene: Scene, clauses: tuple[Clause, ...]) -> tuple[Placed, ...]:
    """Give every used mention a direction, in the order of the text."""
    placed: list[Placed] = []
    used = [part for part in scene.parts if part.role == "used"]
    for part in used:
        clause = next((c for c in clauses if c.holds(part)), None)
        if clause is not None:
            sent = part_when_sent(scene, clauses, clause, part)
            direction, why = sent or _direction(
                scene, clause, part, is_first=part is used[0], count=len(used)
            )
            placed.append(Placed(part, clause, direction, why))
    return tuple(placed)


def _direction(
    scene: Scene, clause: Clause, part: Part, *, is_first: bool, count: int
) -> tuple[Direction, str]:
    before = scene.text[max(clause.start, part.at - _WINDOW) : part.at]
    after = scene.text[part.at + 1 : min(clause.end, part.at + _WINDOW)]
    if clause.lead is not None:
        return "source", "it is in the clause of the event"
    verb = "read" if _THROUGH.search(before) else _last_verb(scene, clause, part)
    ordered = _by_named_order(scene, clause, part, before, after)
    gone: tuple[Direction, str] | None = (
        ("source", "it is gone through") if _GONE_THROUGH.search(before) else None
    )
    told = ordered or gone or _by_words_beside(part, before, after) or _by_preposition(before, after, verb)
    if told is None and _TOLD_OF.search(before) and re.match(r"\s+[a-z]+", after):
        told = "source", "what is told comes from it"
    if told:
        return told
    if _ADDRESSED.search(before) or (_is_kind_verb(scene, part) and before.strip() == ""):
        return "sink", "it is told something"
    later = _goes_on(scene, clause, after, verb)
    if _IS_NEW.match(after) and (verb is None or later):
        return "source", "something new in it starts the rest"
    if later and (verb is None or verb in words("verbs", "move")):
        return "source", GOES_ON
    return _by_verb(verb, is_first=is_first, count=count)


def _by_named_order(
    scene: Scene, clause: Clause, part: Part, before: str, after: str
) -> tuple[Direction, str] | None:
    """Read a clause that begins with a name that is the order itself ("tweet every …")."""
    found = _NAMED_ORDER.match(scene.text, clause.start)
    if found is None or scene.words(*found.span(1)) not in words("verbs", "write"):
        return None
    if found.start(1) == part.at:
        return "sink", "its name is the order"
    is_told = _NEW.search(before) and re.match(r"\s+[a-z]+", after)
    return ("source", "what is told comes from it") if is_told else None


def _by_words_beside(part: Part, before: str, after: str) -> tuple[Direction, str] | None:
    """Read the words next to a mention: "use AI", "by sending an email", "an email alert", "incoming"."""
    if (order := _ORDERED.match(after)) and order[1] in words("verbs", "write"):
        return "sink", "it is told what to do"
    is_kind = part.mention.form == "kind"
    if part.mention.kind == "llm" and re.search(r"\b(?:use|using|with|by|via|an?)\s*$", before):
        return "tool", "it works on content"
    is_told = _TOLD.match(after) or (is_kind and _NOTICE.match(after))
    if any(one.search(before) for one in (_HELD, _PUT_THERE, _LISTENS, _FOR_EVERY_NEW)):
        return "source", "things are in it"
    if _BY_SENDING.search(before) or (is_kind and _WATCHED.search(before)):
        return "source", "sending to it starts the rest"
    sends = part.mention.service in words("triggers", "messengers") | _MAILERS and _SENT_FROM.search(before)
    if is_told or sends:
        return "sink", "the notice goes through it"
    arrives = (is_kind and _ARRIVING.search(before) is not None) or _OF_A_NEW.search(before) is not None
    return ("source", "something new in it starts the rest") if arrives else None


def _goes_on(scene: Scene, clause: Clause, after: str, verb: str | None) -> bool:
    """Tell whether the text goes on to say where things end up."""
    if _LATER_SINK.search(after) or _next_is_target(scene, clause) or _SENT_ON.match(after):
        return True
    joined = verb in words("verbs", "join") and _JOINED.search(after) is not None
    return joined or (verb in _CHANGED and _INTO.match(after) is not None)


def _by_verb(verb: str | None, *, is_first: bool, count: int) -> tuple[Direction, str]:
    """Let the verb decide: what reads takes from it, what writes acts on it, what thinks works on content."""
    writes = verb in words("verbs", "write")
    if verb in words("verbs", "read") and not writes:
        return "source", f"{verb!r} takes from it"
    if verb in words("verbs", "think") and not writes:
        return ("source", f"{verb!r} works on what it has") if is_first else ("tool", "it works on content")
    if writes or verb in words("verbs", "move"):
        return "sink", f"{verb!r} acts on it"
    if is_first and count > 1:
        return "source", "it is named first"
    return "sink", "nothing says that things come from it"


def _last_verb(scene: Scene, clause: Clause, part: Part) -> str | None:
    """Return the verb nearest before a mention; "updates" and "post" count only where a verb may stand."""
    said: list[str] = re.findall(r"[a-z]+", scene.words(max(clause.start, part.at - _WINDOW), part.at))
    known = [i for i, word in enumerate(said) if word in verbs()]
    for i in reversed(known):
        if i == 0 or said[i - 1] in words("verbs", "before") or said[i].endswith("ing"):
            return said[i]
    return said[known[0]] if known else None


def _by_preposition(before: str, after: str, verb: str | None) -> tuple[Direction, str] | None:
    nearest: tuple[int, Direction, str] | None = None
    readings: tuple[tuple[re.Pattern[str], Direction, str], ...] = (
        (_FROM, "source", "things come from it"),
        (_TO, "sink", "things go to it"),
        (_VIA, "sink", "things go through it"),
        (_WITH, "tool", "it is used for it"),
    )
    for pattern, direction, why in readings:
        found = _last(pattern, before)
        is_out = pattern is _FROM and found is not None and _TAKEN_OUT.search(before[:found])
        if found is not None and (is_out or _is_infinitive(before[found:])):
            found = None  # "remove them from X" takes nothing from there
        if found is not None and (nearest is None or found > nearest[0]):
            nearest = (found, direction, why)
    if nearest is None:
        return None
    word = before[nearest[0] :].split(maxsplit=1)[0]
    if word in {"in", "on", "at", "within", "for"} and _is_place_of_source(before[: nearest[0]], after, verb):
        return "source", "things are in it"
    if word in {"in", "on", "at", "within"}:
        is_for_new = _FOR_NEW.search(before[: nearest[0]]) is not None
        return ("source", "things are in it") if is_for_new else ("sink", "it happens there")
    if word == "with" and verb in _REFILLED:
        return "source", "its data go into the other"
    if (
        word == "for"
        and re.match(rf"\s+(?:[a-z]+\s+)?(?:[a-z]+s\b|{ANY})", after)
        and verb in words("verbs", "write")
    ):
        return "source", "it is done for each thing in it"
    return nearest[1], nearest[2]


def _is_infinitive(words_before: str) -> bool:
    """Tell whether "to" begins an infinitive with its object ("we want to post new …")."""
    found = _INFINITIVE.match(words_before)
    return found is not None and found[1] in verbs()


def _last(pattern: re.Pattern[str], before: str) -> int | None:
    """Return where the preposition nearest to the end starts, None if none leads to the end."""
    best = None
    for start in (m.start() for m in _starts().finditer(before)):
        if pattern.match(before, start):
            best = start
    return best


@cache
def _starts() -> re.Pattern[str]:
    return re.compile(r"\b(?=\w)")


def _is_place_of_source(before: str, after: str, verb: str | None) -> bool:
    """Tell whether "new rows in X" says where things are, and not where they go."""
    if verb is None or (verb in words("verbs", "read") and verb not in words("verbs", "move")):
        return verb is not None or _LATER_SINK.search(after) is not None or _NEW.search(before) is not None
    if _NEW.search(before) or re.match(r"\s*new\b", before):
        moves = verb is None or verb in words("verbs", "move") or verb not in words("verbs", "write")
        return moves and (_LATER_SINK.search(after) is not None or verb is None)
    return _LATER_SINK.search(after) is not None and verb in words("verbs", "move")


def _next_is_target(scene: Scene, clause: Clause) -> bool:
    """Tell whether an arrow follows the clause."""
    return re.match(r"\s*[-=]{0,9}>", scene.text[clause.end :]) is not None


def _is_kind_verb(scene: Scene, part: Part) -> bool:
    if part.mention.kind == "sms" and part.mention.name.startswith("text") and " " in part.mention.name:
        return True  # "text the customer": its object is a part of it
    return (
        part.mention.kind is not None
        and re.match(r"\s+(?:me|us|him|her|them|the|my|our|it)\b", scene.text[part.at + 1 :]) is not None
    )
