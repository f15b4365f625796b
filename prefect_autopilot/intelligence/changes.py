"""What a change of a flow asks for: its kind, the words left over, days, place, old and new values."""

from __future__ import annotations

import re
from typing import Literal

from prefect_autopilot.models import Value

ChangeKind = Literal["add", "remove", "condition", "value", "swap", "retries"]

_NUMBERS = {
    "once": 1, "twice": 2, "thrice": 3, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EVERY_DAY = frozenset(range(7))
_WEEKEND = frozenset({5, 6})

_POLITE = re.compile(
    r"^(?:(?:hey|ok|please|pls|kindly|now|and|can you|could you|would you|i want (?:you )?to"
    r"|i'd like (?:you )?to|let it|make it|make sure (?:it|to))[,:]?\s+)+",
    re.IGNORECASE,
)
_REMOVE = re.compile(
    r"^(?:also\s+)?(?:remove|delete|drop|take out|get rid of|leave out|skip|cut|kill|stop|don'?t|do not"
    r"|never|no more|no longer|quit)\b\s*(?P<rest>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_ANY_MORE = re.compile(r"\s+(?:any\s?more|any\s?longer|at all)\b", re.IGNORECASE)
_RETRY = re.compile(r"\b(?:retry|retries|retried|try(?:ing)? again|attempts?)\b", re.IGNORECASE)
_NO_RETRY = re.compile(r"\b(?:no|don'?t|do not|never|without|stop|disable)\b[^.]*\bretr", re.IGNORECASE)
_TIMES = re.compile(
    r"\b(?:(?P<count>\d{1,3}|"
    + "|".join(_NUMBERS)
    + r")\s*(?:x|times|retries|attempts)\b|(?P<word>once|twice|thrice)\b"
    r"|retries\s*(?:to|=|:)\s*(?P<set>\d{1,3}))",
    re.IGNORECASE,
)
_DELAY = re.compile(
    r"\b(?:every|after|wait(?:ing)?|delay(?: of)?|with|in|,)\s+(?P<number>\d{1,5}|a|an|one|two|five|ten)\s*"
    r"(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE,
)
_QUOTED_VALUE = r"\"[^\"\n]{1,500}\"|“[^”\n]{1,500}”|(?<!\w)'[^'\n]{1,500}'(?!\w)"
_WORD_VALUE = r"[#@]?[\w.+@:/#-]+(?:\s+[\w.+@:/#-]+){0,3}?"
_INSTEAD = re.compile(
    rf"^(?P<verb>.*?)\b(?P<new>{_QUOTED_VALUE}|{_WORD_VALUE})\s+(?:instead of|rather than|in place of)\s+"
    rf"(?P<old>{_QUOTED_VALUE}|.+?)$",
    re.IGNORECASE,
)
_REPLACE = re.compile(
    rf"^(?:replace|swap)\s+(?P<what>.*?)(?P<old>{_QUOTED_VALUE}|\S+)\s+(?:with|by|for)\s+"
    rf"(?P<new>{_QUOTED_VALUE}|.+?)$",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"^(?:change|set|rename|switch|update|move|turn|make)\s+(?:the\s+)?(?P<what>.*?)\s*"
    rf"(?:\bfrom\s+(?P<old>{_QUOTED_VALUE}|\S+(?:\s+\S+)??)\s+)?\b(?:to|into|be|read|say)\s+(?P<new>{_QUOTED_VALUE}|.+?)$",
    re.IGNORECASE,
)
_TO_INSTEAD = re.compile(
    rf"^(?P<verb>(?:post|send|write|deliver|mail|email|put|notify|message)\b.*?)\s+(?:to|in|into)\s+"
    rf"(?P<new>{_QUOTED_VALUE}|[#@]?[\w.+@-]+)\s+instead$",
    re.IGNORECASE,
)
_ONLY = re.compile(
    r"[,;]?\s*\b(?:but|and)?\s*\b(?:only|just)\s+(?:when|if|on|at|during|for)?\s*(?P<cond>.+)$", re.IGNORECASE
)
_IF = re.compile(r"[,;]?\s+(?:but\s+)?(?P<turn>if|when|whenever|unless)\s+(?P<cond>.+)$", re.IGNORECASE)
_EXCEPT = re.compile(
    r"[,;]?\s*\b(?:but\s+)?(?:not|except|never)\s+(?:on|at|during|over)\s+(?P<cond>.+)$", re.IGNORECASE
)
_ON_DAYS = re.compile(
    r"[,;]?\s+(?:on|at|over|during)\s+(?:the\s+)?(?P<cond>(?:week|mon|tue|wed|thu|fri|sat|sun).*)$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"[,;]?\s*\b(?:right |directly |just |immediately )?(?P<side>after|before)\s+(?P<anchor>[^,;]+?)"
    r"(?=[,;]|$| but\b| only\b)",
    re.IGNORECASE,
)
_LEAD_ONLY = re.compile(r"^(?:only|just)\s+", re.IGNORECASE)
_ADDS = re.compile(r"\b(?:also|too|as well|in addition|additionally|then|add)\b", re.IGNORECASE)


class Change(Value):
    """One change as it was said; ``rest`` are the words that say what it is about."""

    kind: ChangeKind
    rest: str
    condition: str | None = None
    """The words of a condition that is no set of days."""
    days: frozenset[int] | None = None
    """Days it is to happen on, 0 is Monday; None for every day."""
    side: Literal["after", "before"] | None = None
    anchor: str = ""
    what: str = ""
    """What is to get another value: "the channel", "the subject"."""
    old: str | None = None
    new: str | None = None
    count: int | None = None
    delay_s: int | None = None


def read_change(text: str) -> Change:
    """Read what a change asks for; what fits no other kind adds a step."""
    said = _POLITE.sub("", " ".join(text.split()).strip().rstrip(".!")).strip()
    if _RETRY.search(said) and (_TIMES.search(said) or _NO_RETRY.search(said)):
        return _retries(said)
    if found := _REMOVE.match(said):
        return _removal(found["rest"])
    if (value := _value(said)) is not None:
        return value
    if _LEAD_ONLY.match(said):
        rest, condition, days = _conditions(_LEAD_ONLY.sub("", said))
        return Change(kind="condition", rest=rest, condition=condition, days=days)
    rest, condition, days = _conditions(said)
    place = _PLACE.search(rest)
    if place:
        rest = f"{rest[: place.start()]}{rest[place.end() :]}".strip(" ,;")
    return Change(
        kind="add",
        rest=rest,
        condition=condition,
        days=days,
        side=None if place is None else "after" if place["side"].lower() == "after" else "before",
        anchor=place["anchor"].strip() if place else "",
    )


def days_of(text: str) -> frozenset[int] | None:
    """Return the days some words name ("weekends", "Mondays and Fridays"), None where they name none only."""
    said = text.lower()
    turned = re.match(r"(?:not|except|never)\s+(?:on|at)?\s*", said)
    rest = said[turned.end() :] if turned else said
    rest = re.sub(r"\b(?:on|the|at|and|or|days?|of)\b|[,&]", " ", rest)
    found: set[int] = set()
    for word in rest.split():
        days = _days_of_word(word)
        if days is None:
            return None
        found |= days
    if not found:
        return None
    return frozenset(_EVERY_DAY - found) if turned else frozenset(found)


def _days_of_word(word: str) -> frozenset[int] | None:
    if re.fullmatch(r"week-?ends?", word):
        return _WEEKEND
    if re.fullmatch(r"week-?days?|workdays?|workdays|business", word):
        return _EVERY_DAY - _WEEKEND
    for number, name in enumerate(_DAY_NAMES):
        if re.fullmatch(rf"{name}s?|{name[:3]}|{name[:4]}s?", word):
            return frozenset({number})
    return None


def _retries(said: str) -> Change:
    none = _NO_RETRY.search(said)
    times = _TIMES.search(said)
    number = 0
    if not none and times:
        told = (times["count"] or times["word"] or times["set"]).lower()
        number = _NUMBERS.get(told) or int(told)
    delay = _DELAY.search(said)
    seconds = None
    if delay and not none:
        amount = delay["number"].lower()
        seconds = (1 if amount in {"a", "an"} else _NUMBERS.get(amount) or int(amount)) * _UNITS[
            delay["unit"].lower().removesuffix("s") or "s"
        ]
    rest = _RETRY.sub(" ", _TIMES.sub(" ", _DELAY.sub(" ", said)))
    return Change(kind="retries", rest=" ".join(rest.split()), count=number, delay_s=seconds)


def _removal(rest: str) -> Change:
    plain = _ANY_MORE.sub("", rest).strip()
    shortened, condition, days = _conditions(plain)
    if days is not None and _EXCEPT_DAYS.search(plain) is None:
        # "don't post on weekends": it goes on on the other days.
        return Change(kind="condition", rest=shortened, days=_EVERY_DAY - days)
    if condition is not None:
        return Change(kind="condition", rest=shortened, condition=f"not {condition}")
    return Change(kind="remove", rest=plain)


_EXCEPT_DAYS = re.compile(r"\b(?:except|only)\b", re.IGNORECASE)


_VERB = re.compile(
    r"^(?:(?:use|using|post|send|write|put|message|notify|mail|email|it|them|this|to|in|into|with)\s+)+",
    re.IGNORECASE,
)


def _value(said: str) -> Change | None:
    for pattern in (_INSTEAD, _TO_INSTEAD, _REPLACE, _CHANGE):
        found = pattern.match(said)
        if not found:
            continue
        parts = found.groupdict()
        what = parts.get("what") or parts.get("verb") or ""
        return Change(
            kind="value",
            rest=what.strip(),
            what=what.strip(),
            old=_bare(parts.get("old")),
            new=_bare(_VERB.sub("", parts["new"])),
        )
    return None


def _bare(text: str | None) -> str | None:
    if text is None:
        return None
    plain = text.strip()
    if len(plain) > 1 and (plain[0], plain[-1]) in {('"', '"'), ("'", "'"), ("“", "”")}:
        return plain[1:-1]
    return re.sub(r"^(?:the|a|an)\s+", "", plain, flags=re.IGNORECASE)


def _conditions(said: str) -> tuple[str, str | None, frozenset[int] | None]:
    """Cut a condition off the end: what is left, its words, or the days it names."""
    for pattern in (_ONLY, _EXCEPT, _ON_DAYS, _IF):
        found = pattern.search(said)
        if not found:
            continue
        words = re.sub(r"^(?:if|when|whenever|on|at)\s+", "", found["cond"].strip(), flags=re.IGNORECASE)
        days = days_of(words)
        rest = said[: found.start()].strip(" ,;")
        if days is not None:
            return rest, None, frozenset(_EVERY_DAY - days) if pattern is _EXCEPT else days
        if pattern in {_ONLY, _IF}:
            turned = "turn" in found.re.groupindex and found["turn"].lower() == "unless"
            return rest, f"not {words}" if turned else words, None
    return said, None, None
