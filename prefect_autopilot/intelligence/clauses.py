"""The request cut into clauses, each an event, a condition or an action with its verb."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.scene import ANY, KIND, ORDER, Part, Scene

_EVENT = (
    r"(?:and |but |so |then |only )?(?:when(?:ever|evr)?|wenever|if"
    r"|once(?! (?:an?|per|each|every) (?:minute|hour|day|night|week|month|quarter|year)\b)"
    r"|as soon as|every ?time|each time"
    r"|any ?time|upon|after|"
    r"in case|the moment|on (?:a |an |every |each |any )?new|for (?:each|every|any)(?: new| incoming)?"
    r"|on each|on every(?= new)|"
    r"starting (?:when|with|from)|triggered (?:by|when|whenever|on)|each time that)\b"
)
_HARD = r"(?:[.!?](?=\s|$)|[;\n]|\s*(?:[-=]{1,9}>|>(?!=?\s*[$€£]?\s?\d))\s*)"
_SUBJECTS = (
    r"(?:to|i|we|they|he|she|it|you|who|which|that|someone|somebody|anyone|people|customer|customers|user"
    r"|users|is|are|was|gets|be|been|can|will|could|should|of|the|a|an|my|our|your|new|not|this|each|every"
    r"|per|any|in|on|for|with|from|by|into|about|contains?|mentions?|includes?|says|containing|mentioning)"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """Masked characters ``start`` to ``end``; ``lead`` is the word that makes it an event or condition."""

    start: int
    end: int
    lead: str | None
    verb: str | None

    def holds(self, part: Part) -> bool:
        """Tell whether a mention stands in it."""
        return self.start <= part.at < self.end


_OBJECT = re.compile(rf"\s+(?:[#@]|me\b|us\b|the\b|our\b|my\b|an?\b|him\b|her\b|them\b|it\b|to\b|{ANY})")
_PASSIVE = re.compile(r"gets? (?:\w+ed|won|lost|paid|sent|put|made)\b")
_COME = re.compile(r"(?:comes?|came|pops?|goes|go|rolls?|checks?|logs?) (?:in|up|out|through|on|by)")
"""What is said to happen ends with the second word: an order may follow it ("comes in post it to #vip")."""

_THIRD_PERSON = re.compile(r"\w{3,}[^s]s")
_ADDRESSEE = re.compile(rf"\s*(?:in|on|and|then)?\s*{ANY}\s*")
"""Who is told what to do ("jira: open an issue"): one clause with the order that follows."""

_WHETHER = re.compile(
    r"\b(?:check|ask|see|decide|determine|judge|verify|test|find out)s?(?:(?: with| via| using| in| on)?"
    rf" (?:the |our |my |an? )?(?:{ANY}|[a-z]+))?\s*$"
)
_ASKS = re.compile(
    r"\b(?:check|ask|see|decide|determine|judge|verify|test|find out)s?(?: (?:with|via|using|in|on))?"
    r"(?: [\w.-]+){0,3} (?:if|whether)\b"
)
_SHORT_IF = re.compile(
    r"\s*(?:and |but |so |then )?if (?:not|so|yes|no|found|missing|none(?: exists?)?|not found"
    r"|nothing(?: is)? found|(?:it|one|they) (?:doesn't|does not|don't) exist|(?:it|one) exists"
    r"|there (?:is|are) (?:none|any|some)|not there)(?: yet)?"
)
"""A condition of few words that says all ("if not create …")."""

_IF_NEXT = re.compile(r"if\b(?! (?:not|so|yes|no|none|found|missing)\b)")
_IT_IS = re.compile(r"(?:(?:and|but) )?(?:if|when|unless) (?:it'?s|it is)")
"""What goes on with a time ("if it is after 10pm")."""

_LABELLED = frozenset({"tagged", "labelled", "labeled", "marked", "tag", "label"})
_PERIODIC = frozenset({"nightly", "daily", "weekly", "monthly", "hourly"})
_JOINTS = frozenset({"", "only", "and", "but", "so", "then", "or"})


@cache
def verbs() -> frozenset[str]:
    """Return every verb of the table, in all forms listed."""
    known = table("verbs")
    return frozenset(word for group in ("read", "write", "move", "think") for word in known[group])


@cache
def _cut() -> re.Pattern[str]:
    listed = "|".join(sorted(verbs(), key=len, reverse=True))
    return re.compile(
        rf"(?P<hard>{_HARD})"
        rf"|(?P<colon>:(?=\s))"
        rf"|(?P<soft>,?\s+(?:and\s+)?then\b,?|,?\s+after that,?|,?\s+afterwards,?"
        rf"|,(?!\d|\s*(?:and\s+|or\s+)?#\w)\s*(?:and\s+|or\s+|but\s+|also\s+)?|\s+and\s+(?:also\s+)?(?=(?:{listed})\b|{KIND}\s+(?:#|(?:me|us|him|her|them|the|my|our|it"
        rf"|a)\b)|{ORDER})|\s+before\s+(?=\w+ing\b)|\s+but\s+|\s+otherwise\b|\s+else\b)"
        rf"|(?P<event>\s+(?={_EVENT}))"
        rf"|(?P<verb>\s+(?=(?:{listed})\b|{KIND}\s+(?:#|me|us|him|her|them|[\w.+-]+@)|{ORDER}))"
    )


@cache
def _event() -> re.Pattern[str]:
    return re.compile(rf"\s*(?P<lead>{_EVENT})")


@cache
def _leading_verb() -> re.Pattern[str]:
    listed = "|".join(sorted(verbs(), key=len, reverse=True))
    return re.compile(rf"\b({listed})\b")


def cut(scene: Scene) -> tuple[Clause, ...]:
    """Cut the masked text at stops, arrows, commas, "then", event words, and an event at its action."""
    text = scene.text
    clauses: list[Clause] = []
    start = 0
    in_event = _event().match(text) is not None
    for found in _cut().finditer(text):
        if found.start() < start:
            continue
        if found["verb"] is not None and not (in_event and _is_imperative(scene, start, found)):
            continue
        if found["event"] is not None and _goes_on(text, start, found):
            continue
        if found["colon"] is not None and _ADDRESSEE.fullmatch(text[start : found.start()]):
            continue
        _append(clauses, scene, start, found.start())
        start = found.end()
        in_event = found["verb"] is None and _event().match(text, start) is not None
    _append(clauses, scene, start, len(text))
    return tuple(clauses)


def asks_whether(said: str) -> bool:
    """Tell whether words order something to be found out ("check with X if it is spam")."""
    return _ASKS.search(said) is not None


def _goes_on(text: str, start: int, found: re.Match[str]) -> bool:
    """Tell whether the event word that follows belongs to the clause: after a joint, or "check if …"."""
    before = text[start : found.start()]
    asks = _IF_NEXT.match(text, found.end()) and _WHETHER.search(before)
    return before.strip() in _JOINTS or bool(asks) or _IT_IS.fullmatch(before.strip()) is not None


def _is_imperative(scene: Scene, start: int, found: re.Match[str]) -> bool:
    """Tell whether the verb that follows begins what to do, and does not belong to the event."""
    text = scene.text
    before = text[start : found.start()].split()
    if _SHORT_IF.fullmatch(text[start : found.start()]):
        return True
    if len(before) < 3 or before[-1] in _PERIODIC:  # noqa: PLR2004 - "when X posts" is not over yet
        return False  # nor "the nightly import fails"
    verb = _leading_verb().match(text, found.end())
    is_kind = verb is None and re.match(KIND, text[found.end() :]) is not None
    is_told = is_kind and _leading_verb().match(scene.words(found.end(), found.end() + 1)) is not None
    is_place = is_kind and not is_told and before[-1] in verbs()
    if is_place or before[-1] in _LABELLED or _PASSIVE.match(text, found.end()):
        return False  # "posts in #music", "is tagged refund", "when a booking gets cancelled" go on
    if verb is not None and _THIRD_PERSON.fullmatch(verb[1]) and not before[-1].endswith("ed"):
        return False  # "when a deal closes in X" is not over yet, orders have no such ending
    is_noun = verb is not None and verb[1] in words("verbs", "nouns")
    if (
        is_noun
        and re.match(ANY, before[-1])
        and not _OBJECT.match(text, found.end() + len(verb[1] if verb else ""))
    ):
        return False  # "a Gmail message with …"
    is_state = before[-1] == "new" and before[-2] in {"is", "are"}
    is_over = _COME.fullmatch(" ".join(before[-2:])) is not None
    return is_state or is_over or re.fullmatch(_SUBJECTS, before[-1]) is None


def _append(clauses: list[Clause], scene: Scene, start: int, end: int) -> None:
    text = scene.text[start:end]
    if not text.strip():
        return
    lead = _event().match(text)
    rest = len(text) - (lead.end() if lead else 0)
    # The words themselves, as a masked kind ("text me") may be the verb.
    verb = _leading_verb().search(scene.words(end - rest, end))
    clauses.append(Clause(start, end, lead["lead"].strip() if lead else None, verb[1] if verb else None))
