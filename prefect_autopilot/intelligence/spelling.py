"""Misspelt words of the language itself ("emial me", "evrey mornign"), put right before a request is read."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from prefect_autopilot.intelligence.data import english, table, words
from prefect_autopilot.intelligence.dates import DAYS, MONTHS
from prefect_autopilot.intelligence.document import Document, Token
from prefect_autopilot.intelligence.lexicon import Lexicon, edit_distance

_SHORTEST = 5
_LONG = 7
_MOST = 40
"""Words put right in one request; who misspells more is not understood by it either."""
_WRITTEN = re.compile(r"[a-z]+")
_JOINED = re.compile(r"[-_./@#'].*|.*(?:[-_/@#']|\.\w)\w?", re.DOTALL)
"""A word that is a part of an address, a path or a compound."""

_TIMES = (
    "every", "daily", "weekly", "monthly", "hourly", "morning", "afternoon", "evening", "night", "midnight",
    "minutes", "hours", "weekday", "weekdays", "weekend", "month", "quarter", "otherwise", "whenever", "when",
    "customer", "customers", "message", "summary", "report", "attachment", "invoice", "order", "orders",
    "channel", "applicant", "submitted", "received", "arrives",
)  # fmt: skip


@cache
def _known() -> frozenset[str]:
    """Return the words a request is read by."""
    phrases = [one for kind in table("kinds").values() for one in kind.get("words", ()) if " " not in one]
    verbs = (word for group in ("read", "write", "move", "think") for word in table("verbs")[group])
    return frozenset({*_TIMES, *DAYS, *MONTHS, *phrases, *verbs})


@cache
def _vocabulary() -> dict[str, tuple[str, ...]]:
    """Return those of them that are long enough to be meant by a misspelling, under their first letter."""
    found: dict[str, list[str]] = defaultdict(list)
    for word in sorted(_known()):
        if len(word) >= _SHORTEST and word.isalpha():
            found[word[0]].append(word)
    return {letter: tuple(listed) for letter, listed in found.items()}


def corrected(document: Document, names: Lexicon) -> Document:
    """Return the document with its misspelt words put right; each letter still knows where it stood.

    A word is left alone that is common, may be a name (by its capitals, or because a service is as near),
    or stands in quotation marks, an address or a compound.
    """
    fixes: list[tuple[Token, str]] = []
    quoted = False
    for place, token in enumerate(document.tokens):
        quoted ^= token.text == '"'
        if quoted or len(fixes) >= _MOST or not _is_strange(document, place, names):
            continue
        right = _nearest(token.text)
        if right is not None:
            fixes.append((token, right))
    return _with(document, fixes) if fixes else document


def _is_strange(document: Document, place: int, names: Lexicon) -> bool:
    token = document.tokens[place]
    is_short = len(token.text) < _SHORTEST - 1
    if is_short or not _WRITTEN.fullmatch(token.text) or token.raw[1:] != token.text[1:]:
        return False
    if _JOINED.fullmatch(document.cased[max(0, token.start - 1) : token.end + 2]):
        return False
    known = (names.entries, names.leads, english(), words("names", "jargon"), words("names", "platforms"))
    if any(token.text in group or token.text.removesuffix("s") in group for group in known):
        return False
    return token.text not in _known() and names.nearest(token.text) is None


def _nearest(word: str) -> str | None:
    """Return the one word of the vocabulary that is one edit away and begins alike."""
    near = [
        one
        for one in _vocabulary().get(word[0], ())
        if abs(len(one) - len(word)) <= 1 and edit_distance(word, one, 1) == 1
    ]
    if not near and len(word) >= _LONG:
        near = [one for one in (*DAYS, *MONTHS) if one[0] == word[0] and edit_distance(word, one, 2) == 2]  # noqa: PLR2004 - "wensday"
    stems = {one.removesuffix("s") for one in near}
    if len(stems) != 1:
        swapped = [one for one in near if sorted(one) == sorted(word)]
        return swapped[0] if len(swapped) == 1 else None
    return max(near, key=lambda one: (one[-1:] == word[-1:], one))


def _with(document: Document, fixes: list[tuple[Token, str]]) -> Document:
    cased: list[str] = []
    origin: list[int] = []
    place = 0
    for token, right in fixes:
        cased.append(document.cased[place : token.start])
        origin += document.origin[place : token.start]
        spelled = right.capitalize() if token.raw[0].isupper() else right
        cased.append(spelled)
        last = token.end - 1
        inner = [min(token.start + i, last) for i in range(len(spelled) - 1)]
        origin += [document.origin[i] for i in (*inner, last)]
        place = token.end
    cased.append(document.cased[place:])
    origin += document.origin[place:]
    return Document(text=document.text, cased="".join(cased), origin=tuple(origin))
