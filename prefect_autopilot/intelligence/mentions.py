"""Services named in a request: the longest name wins, misspellings are read, ordinary words need evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from prefect_autopilot.intelligence.data import english, table, words
from prefect_autopilot.intelligence.document import Document, Token
from prefect_autopilot.intelligence.lexicon import MAX_TOKENS, Entry, Lexicon, edit_distance, squeeze
from prefect_autopilot.models import Service

Form = Literal["name", "word", "typo", "version", "kind"]

_JOINTS = frozenset("-_.'&+/")
_MODEL = re.compile(r"([a-z]{3,})-?(\d[\w.]*)")
_EVIDENCE = 2
_TITLE_SHARE = 0.6
_SHORTEST_JOINED = 5
_MOST_OF_ONE = 8
"""Further mentions of one service say nothing more, and cost time in a hostile text."""
_MOST_MISSPELT = 200
"""Unknown words of a request that are compared with every name; a hostile text may hold thousands."""
_HYPHENS = frozenset("-_/")
_SAVED = frozenset(table("verbs")["meaning"]["upload"]) | {"back", "backs"}
_GOES_ON = frozenset({"as", "at", "on", "and", "then", "monthly", "hourly", "nightly", "once", "from", "by"})
_REACH = 12
"""Words before a place in which the verb stands that puts something there."""
_STARTS = frozenset({"", ".", "!", "?", ":", "\n", ";"})
_ENDS = frozenset(
    {"", ".", ",", ";", "!", "?", "\n", ">", "-", ")", "every", "each", "when", "whenever", "daily", "weekly"}
)


_OTHER_DAY = r"(?:tue|wed|thu|fri|sat|sun)(?:s|sday|nesday|rs|rsday|day|urday|days)?"
_DAY_BEFORE = re.compile(
    rf"(?:\b{_OTHER_DAY} ?(?:,|and|or|&|/|to|through|-|, and)|\bexcept(?: on)?|\bnot on)$"
)
_DAY_AFTER = re.compile(
    rf"(?:(?:,|and|or|&|/|to|through|-|, and) {_OTHER_DAY}\b|(?:at|@|around|by) (?:\d|noon|midnight))"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A service, or a kind of service without a name, at cleaned characters ``start`` to ``end``."""

    start: int
    end: int
    services: tuple[str, ...]
    form: Form
    name: str
    kind: str | None = None

    @property
    def service(self) -> str | None:
        """The service meant, None for a kind nothing has resolved."""
        return self.services[0] if self.services else None


@dataclass(frozen=True, slots=True)
class _Hit:
    first: int
    last: int
    entry: Entry
    form: Form


class _Guesses:
    """What the unknown words of one request misspell, each looked up once and not without end."""

    def __init__(self, names: Lexicon) -> None:
        self.names = names
        self._known: dict[str, Entry | None] = {}

    def nearest(self, word: str) -> Entry | None:
        """Return the name that a word misspells."""
        if word not in self._known:
            if len(self._known) >= _MOST_MISSPELT:
                return None
            self._known[word] = self.names.nearest(word)
        return self._known[word]


def find_mentions(document: Document, names: Lexicon, connected: tuple[str, ...] = ()) -> tuple[Mention, ...]:
    """Find the services named in a document, in order."""
    tokens = document.tokens
    titled = _is_titled(tokens)
    found: list[Mention] = []
    often: Counter[str] = Counter()
    guesses = _Guesses(names)
    place = 0
    while place < len(tokens):
        hit = _longest(tokens, place, names)
        if hit and _is_idiom(tokens, hit):
            hit = None
        while hit and hit.entry.doubtful and not _is_meant(tokens, hit, names, connected, titled=titled):
            hit = _longest(tokens[: hit.last], place, names) if hit.last > place else None
        if hit is None:
            hit = _misspelt_pair(tokens, place, guesses) or _misspelt(tokens, place, guesses)
        if hit is None:
            place += 1
            continue
        place = hit.last + 1
        if squeeze(hit.entry.name) not in words("names", "platforms"):
            services = _preferred(hit.entry.services, connected)
            often[services[0]] += 1
            if often[services[0]] > _MOST_OF_ONE:
                continue
            start, end = tokens[hit.first].start, tokens[hit.last].end
            found.append(Mention(start, end, services, hit.form, hit.entry.name))
    return tuple(found)


def _preferred(services: tuple[str, ...], connected: tuple[str, ...]) -> tuple[str, ...]:
    """Put the connected owners of a shared name first."""
    return tuple(sorted(services, key=lambda s: s not in connected))


def _longest(tokens: tuple[Token, ...], first: int, names: Lexicon) -> _Hit | None:
    if not tokens[first].is_word:
        return None
    key, best = "", None
    for last in range(first, min(first + MAX_TOKENS, len(tokens))):
        token = tokens[last]
        if last > first and not _continues(tokens[last - 1], token):
            break
        if not token.is_word:
            continue
        key += squeeze(token.text)
        entry, form = _entry(key, names, several=last > first)
        if entry and (entry.spaced or last == first or _is_one_word(tokens[first : last + 1], key)):
            best = _Hit(first, last, entry, form)
        if key not in names.starts:
            break
    return best


def _continues(before: Token, token: Token) -> bool:
    """Tell whether a name may go on with this token: words in a row, or joined by a sign without space."""
    touching = before.end == token.start
    if token.is_word:
        return touching or before.is_word
    return touching and token.text in _JOINTS


def _is_one_word(parts: tuple[Token, ...], key: str) -> bool:
    """Tell whether words written apart may be one name ("type form"), and not "i am" or "a mazon"."""
    apart = any(a.end != b.start for a, b in pairwise(parts))
    return not apart or (len(key) > _SHORTEST_JOINED and all(len(t.text) > 1 for t in parts if t.is_word))


def _entry(key: str, names: Lexicon, *, several: bool) -> tuple[Entry | None, Form]:
    exact = names.entries.get(key)
    if exact:
        return exact, "name"
    if several and not key.endswith("time") and (plural := names.entries.get(key + "s")):
        return plural, "name"  # but "new york time" is a zone
    one = names.entries.get(key.removesuffix("s"))
    if one and not one.doubtful and key not in english() and key not in words("names", "jargon"):
        return one, "name"
    if (model := _MODEL.fullmatch(key)) and (family := names.entries.get(model[1])):
        kinds = names.catalogue.get(family.services[0]).kinds
        return (family, "version") if "llm" in kinds else (None, "name")
    return None, "name"


def _misspelt(tokens: tuple[Token, ...], place: int, guesses: _Guesses) -> _Hit | None:
    token = tokens[place]
    common = english()
    jargon = words("names", "jargon")
    if not token.is_word or token.text in guesses.names.entries:
        return None
    if any(word in common or word in jargon for word in (token.text, token.text.removesuffix("s"))):
        return None
    if token.raw[1:] != token.text[1:]:
        return None  # acronyms and CamelCase are names of their own
    joined = place and tokens[place - 1].end == token.start and tokens[place - 1].text != "("
    if joined or (
        place + 1 < len(tokens)
        and tokens[place + 1].start == token.end
        and tokens[place + 1].text in "-_.@/"
        and place + 2 < len(tokens)
        and tokens[place + 2].start == tokens[place + 1].end
    ):
        return None
    entry = guesses.nearest(token.text)
    return _Hit(place, place, entry, "typo") if entry else None


def _is_idiom(tokens: tuple[Token, ...], hit: _Hit) -> bool:
    """Tell whether a name of one word is half of a phrase of the language ("by Monday", "the notion of")."""
    word = tokens[hit.first]
    if hit.last > hit.first or (word.raw[0].isupper() and word.text != "monday"):
        return False
    before = tokens[hit.first - 1].text if hit.first else ""
    after = tokens[hit.last + 1].text if hit.last + 1 < len(tokens) else ""
    if word.text == "monday" and _is_weekday(tokens, hit.first):
        return True
    return bool({f"{before} {word.text}", f"{word.text} {after}"} & words("names", "idioms"))


def _is_weekday(tokens: tuple[Token, ...], place: int) -> bool:
    """Tell the day from the service: beside another day, a time, or what is excepted."""
    before = " ".join(token.text for token in tokens[max(0, place - 3) : place])
    after = " ".join(token.text for token in tokens[place + 1 : place + 4])
    return bool(_DAY_BEFORE.search(before) or _DAY_AFTER.match(after))


def _misspelt_pair(tokens: tuple[Token, ...], place: int, guesses: _Guesses) -> _Hit | None:
    """Read a misspelt name of two words ("googel sheets"), one of which is no word of its own."""
    pair = tokens[place : place + 2]
    if len(pair) < 2 or not all(t.is_word and t.text.isalpha() and len(t.text) > 2 for t in pair):  # noqa: PLR2004
        return None
    names = guesses.names
    known: tuple[Container[str], ...] = (english(), words("names", "jargon"), names.entries, names.leads)
    strange = [t for t in pair if not any(t.text in group for group in known)]
    if pair[0].end == pair[1].start or not strange or any(t.raw[1:] != t.text[1:] for t in strange):
        return None
    entry = guesses.nearest(pair[0].text + pair[1].text)
    return _Hit(place, place + 1, entry, "typo") if entry and entry.spaced else None


def _is_titled(tokens: tuple[Token, ...]) -> bool:
    """Tell whether capitals say nothing, because most longer words have one."""
    long = [t for t in tokens if t.is_word and len(t.text) > 3]  # noqa: PLR2004 - short words stay small in titles
    capitals = sum(t.raw[0].isupper() for t in long)
    return len(long) > 1 and capitals / len(long) > _TITLE_SHARE


def _is_meant(
    tokens: tuple[Token, ...], hit: _Hit, names: Lexicon, connected: tuple[str, ...], *, titled: bool
) -> bool:
    """Weigh the signs that an ordinary word is meant as the name of a service."""
    first = tokens[hit.first]
    before = tokens[hit.first - 1].text if hit.first else ""
    after = tokens[hit.last + 1].text if hit.last + 1 < len(tokens) else ""
    capital = first.raw[0].isupper()
    starts = before in _STARTS
    if before in _HYPHENS and tokens[hit.first - 1].end == first.start:
        return False  # the end of a longer word
    if set(hit.entry.services) & set(connected):
        return before not in words("names", "articles")
    if _is_domain(tokens[hit.last : hit.last + 3]):
        return True
    score = (1 if starts else 2) if capital else (1 if hit.first == 0 else -1)
    score += (
        4 if _is_put_there(tokens, hit, names) else _neighbours(first.text, before, after, capital=capital)
    )
    if before in {"or", "and", "/"} and _is_sure(tokens, hit.first - 2, names):
        score += 1
    if _is_noun_of(after, names.catalogue.get(hit.entry.services[0])):
        score += 3
    if after in table("names")["strong_after"].get(first.text, ()):
        score += 3
    if titled and first.text in english() and before not in words("names", "before") | {",", "&"}:
        score -= 1
    return score >= _EVIDENCE


def _is_put_there(tokens: tuple[Token, ...], hit: _Hit, names: Lexicon) -> bool:
    """Tell whether something is saved to what is a storage, by no article before it ("back it up to box")."""
    service = names.catalogue.get(hit.entry.services[0])
    told = [token.text for token in tokens]
    after = told[hit.last + 1] if hit.last + 1 < len(told) else "."
    return (
        "storage" in service.kinds
        and told[hit.first - 1 : hit.first] in (["to"], ["into"], ["in"])
        and (after in _ENDS or after in _GOES_ON)
        and not _SAVED.isdisjoint(told[max(0, hit.first - _REACH) : hit.first - 1])
    )


def _is_sure(tokens: tuple[Token, ...], place: int, names: Lexicon) -> bool:
    """Tell whether a token is a name that no ordinary word is."""
    entry = names.entries.get(tokens[place].text) if place >= 0 else None
    return entry is not None and not entry.doubtful


def _is_domain(tokens: tuple[Token, ...]) -> bool:
    """Tell whether a name goes on as an address: "front.com"."""
    touching = all(a.end == b.start for a, b in pairwise(tokens))
    texts = [token.text for token in tokens]
    return touching and texts[1:2] == ["."] and texts[-1] in words("names", "domains")


def _neighbours(word: str, before: str, after: str, *, capital: bool) -> int:
    score = 0
    if before in words("names", "before") and not (
        before == "to" and word in words("names", "verbs") and not capital
    ):
        places = words("names", "places") | {"to"}
        score += 2 + (after in _ENDS and before in places)
    if before in words("names", "articles"):
        score -= 2
    if _is_usual_after(after) or (capital and after == "new"):
        score += 2
    return score


@lru_cache(maxsize=4096)
def _is_usual_after(word: str) -> bool:
    """Tell whether a word, perhaps misspelt, often stands behind the name of a service ("channel")."""
    usual = words("names", "after")
    if word in usual:
        return True
    if len(word) < _SHORTEST_JOINED or word in english():
        return False
    return any(edit_distance(word, one, 1) == 1 for one in usual)


def _is_noun_of(word: str, service: Service) -> bool:
    """Tell whether the service is about this word: "issue" of create_issue, or of any task list."""
    one = word.removesuffix("s")
    if len(one) <= 2:  # noqa: PLR2004 - shorter words are no nouns of an API
        return False
    usual = table("arguments")["usual_nouns"]
    if any(one in usual.get(kind, ()) for kind in service.kinds):
        return True
    return any(one == part.removesuffix("s") for o in service.operations for part in o.id.split("_"))
