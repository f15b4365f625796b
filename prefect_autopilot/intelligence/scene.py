"""A request with every service masked by one private character, so that patterns can speak of "a service"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from prefect_autopilot.intelligence.data import words
from prefect_autopilot.intelligence.document import PRIVATE_FIRST, Document
from prefect_autopilot.intelligence.kinds import find_kinds
from prefect_autopilot.intelligence.mentions import Mention

Role = Literal["used", "background", "mentioned", "excluded"]

SERVICE = "[\ue000-\uefff]"
KIND = "[\uf000-\uf8ff]"
ORDER = "[\uf400-\uf7ff]"
"""A kind whose words are an order themselves: "create a task", "let me know"."""
ANY = "[\ue000-\uf8ff]"
_KIND_FIRST = 0xF000
_ORDER_FIRST = 0xF400
_MOST = 0x0800
_MOST_KINDS = 0x0400
_OBJECTS = frozenset({"a", "an", "the", "me", "us", "them", "my", "our", "each", "every", "any"})
_QUOTED = re.compile(
    r"""\"(?!daily|weekly|monthly|hourly)[^\"\n]{1,200}\"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){2,200}'(?!\w)"""
)
_TELLING = (
    r"(?:posts?|send|sends|say|says|saying|write|writes|tweet|publish|reply|replies|message|text|announce"
    r"|remind|tell|email)"
)
_BOLD = re.compile(
    rf"(?:\b(?:{_TELLING}|titled|called|named|with|title|subject|project|board|list|channel|folder|sheet"
    r"|table) (?:the |a )?(?:text |message |words )?)(\*\*[^*\n]{1,200}\*\*|__[^_\n]{1,200}__)"
)
_UNTIL = (
    r"(?= (?:to|in|on|via|with|at|every|each|when|whenever|if|once|daily|weekly|and (?:then|also|send|post"
    r"|create|add|email))\b|[.;\n]|$)"
)
_SAYING = re.compile(
    r"\b(?:saying|that says|which says|with the (?:text|message|words)|with text|the message)"
    rf"( )(?!\")([^\"'\n.;\ue000-\uf8ff]{{1,160}}?){_UNTIL}"
)
_GREETING = re.compile(
    rf"\b{_TELLING}(?: (?:me|us|them|everyone|everybody|all))?( )("
    r"(?:hello|hi|hey|howdy|good (?:morning|afternoon|evening|night|day|luck)|welcome|thanks|thank you"
    r"|congrat\w+|cheers|goodbye|bye|happy (?:\w+day|new year|weekend|easter)|merry \w+|well done)\b"
    r"(?! (?:\w+ )?(?:messages?|emails?|mails?|posts?|tweets?|texts?|notes?|cards?)\b)"
    rf"[^\"'\n.;:,\ue000-\uf8ff]{{0,80}}?)(?:(?= [\uf000-\uf3ff])|{_UNTIL})"
)
"""What people say to one another: said as it stands, without quotation marks."""

_REMINDER = re.compile(
    r"(?:(?:\bremind(?:s|ing)?|[\uf000-\uf3ff](?= #)) (?:[\w#@'&\ue000-\uf8ff-]+ ){1,5}?|[\uf400-\uf7ff] )"
    r"(?:(?:in|on|via|by) [#\w\ue000-\uf8ff-]+ )?to"
    r"( )((?!(?:the|my|our|an?|new|any|all|every|each|incoming)\b|[\w.+-]+@)[a-z]"
    r"[^\n.;\"\ue000-\uf8ff]{2,120}?)"
    r"(?= (?:in|on|via|by|through|over|with|at|to) (?:(?:the|our|my) )?[#\d\ue000-\uf8ff]"
    r"| (?:every|each|daily|weekly|monthly|when|whenever|if|once|unless|tomorrow|today|on \w+days?)\b"
    r"|,| and (?:then|also|send|post|create|add|e?mail|tell)\b|[.;\n]|$)"
)
"""What somebody is reminded to do."""

_REMINDER_THERE = re.compile(
    r"(?:\b(?:remind|nudge)(?:s|ing)?\b|[\uf000-\uf3ff](?= #))[^.;\n\"]{1,80}?[\ue000-\uf8ff]"
    r"[^.;\n\"\ue000-\uf8ff]{0,60}? to"
    r"( )((?!(?:the|my|our|an?|new|any|all|every|each|incoming)\b|[\w.+-]+@)[a-z][^\n.;\"]{2,160}?)"
    r"(?= (?:every|each|daily|weekly|monthly|when|whenever|if|once|unless|tomorrow|today|on \w+days?)\b"
    r"|,| and (?:then|also|send|post|create|add|e?mail|tell)\b|[.;\n]|$)"
)
"""What somebody is reminded to do where it is said before in which service: others in it are its words."""

_AFTER_COLON = re.compile(
    rf"\b{_TELLING}\b(?=[^:\n]{{0,120}}[\ue000-\uefff])[^:\n]{{0,160}}"
    r"(: )([^\n\ue000-\uefff>;]{1,200})(?=\n|$)"
)
_NO_TEXT = re.compile(
    r"\s*(?:\d+[.)]|[-*]|when|whenever|if|every|each|once|on|daily|weekly|then|a|the|any|new|from|all|i|we)\b"
    r"|\s*\"|(?:[^,]*,){2}"
)
"""What follows a colon and is a condition, a time, a list or quoted already, and no text to be told."""

_NAME_ALONE = re.compile(r"[\"']\s*[\ue000-\uf8ff]\s*[\"']")


@dataclass(frozen=True)
class Part:
    """A mention at one place ``at`` of the masked text, with what was found out of it."""

    mention: Mention
    at: int
    role: Role = "used"
    reason: str = ""


@dataclass(frozen=True)
class Scene:
    """The masked text; ``origin[i]`` is the cleaned character behind masked character i."""

    document: Document
    text: str
    origin: tuple[int, ...]
    parts: tuple[Part, ...] = field(default=())
    told: tuple[tuple[int, int], ...] = ()
    """Cleaned characters of texts that are meant literally without quotation marks."""

    def clean(self, start: int, end: int) -> tuple[int, int]:
        """Return the cleaned characters behind masked ones."""
        if start >= end:
            return 0, 0
        last = next((p.mention.end for p in self.parts if p.at == end - 1), self.origin[end - 1] + 1)
        return self.origin[start], last

    def words(self, start: int, end: int) -> str:
        """Return the lower-case words behind masked characters."""
        first, last = self.clean(start, end)
        return self.document.lower[first:last]

    def cased(self, start: int, end: int) -> str:
        """Return the words behind masked characters as the person wrote them, literal texts in quotes."""
        first, last = self.clean(start, end)
        said = self.document.cased[first:last]
        for begin, stop in reversed(self.told):
            if first <= begin and stop <= last and '"' not in (inner := said[begin - first : stop - first]):
                plain = inner.strip("*_: ")
                said = f'{said[: begin - first].rstrip()} "{plain}"{said[stop - first :]}'
        return said

    def with_parts(self, parts: tuple[Part, ...]) -> Scene:
        """Return the scene with its parts replaced."""
        return replace(self, parts=parts)


def make_scene(document: Document, named: tuple[Mention, ...]) -> Scene:
    """Mask services first, then the kinds in what is left."""
    once = _mask(document, named[:_MOST])
    kinds = tuple(
        Mention(*once.clean(start, end), services=(), form="kind", name=once.words(start, end), kind=kind)
        for kind, start, end in find_kinds(once.text)
        if not any(start <= part.at < end for part in once.parts)
    )
    together = sorted((*named[:_MOST], *kinds[:_MOST_KINDS]), key=lambda m: m.start)
    return _mask(document, tuple(together))


def _mask(document: Document, mentions: tuple[Mention, ...]) -> Scene:
    out: list[str] = []
    origin: list[int] = []
    parts: list[Part] = []
    lower, place = document.lower, 0
    firsts = {"name": PRIVATE_FIRST, "kind": _KIND_FIRST, "order": _ORDER_FIRST}
    for mention in mentions:
        out.append(lower[place : mention.start])
        origin += range(place, mention.start)
        group = "name" if mention.form != "kind" else "order" if _is_order(mention) else "kind"
        parts.append(Part(mention, len(origin)))
        out.append(chr(firsts[group]))
        firsts[group] += 1
        origin.append(mention.start)
        place = mention.end
    out.append(lower[place:])
    origin += range(place, len(lower))
    masked = "".join(out)
    text, told = _with_marks(masked)
    text, quoted = _without_quotes(text)
    quoted |= {
        p.at
        for p in parts
        if any(start < p.at < end and masked[start:end].strip(" *_") != masked[p.at] for start, end in told)
    }
    judged = tuple(
        replace(p, role="mentioned", reason="part of a quoted text") if p.at in quoted else p for p in parts
    )
    ends = {p.at: p.mention.end for p in parts}
    places = tuple((origin[start], ends.get(end - 1, origin[end - 1] + 1)) for start, end in told)
    return Scene(document, text, tuple(origin), judged, places)


def _is_order(kind: Mention) -> bool:
    """Tell whether the words of a kind begin with an imperative and its object."""
    verb, _, rest = kind.name.partition(" ")
    known = words("verbs", "write") | words("verbs", "think") | words("verbs", "order")
    return verb in known and not verb.endswith("s") and rest.partition(" ")[0] in _OBJECTS


def _with_marks(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Put literal texts without quotation marks (bold, behind a colon or "saying") into such, equally long.

    Returns their places, too.
    """
    found = [m.span(1) for m in _BOLD.finditer(text)]
    for pattern in (_SAYING, _GREETING, _REMINDER_THERE, _REMINDER, _AFTER_COLON):
        found += [
            (m.start(1), m.end(2))
            for m in pattern.finditer(text)
            if pattern is not _AFTER_COLON or not (_NO_TEXT.match(m[2]) or re.search(ANY, m[2]))
        ]
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda place: (place[0], -place[1])):
        if end - start > 3 and (not kept or start >= kept[-1][1]):  # noqa: PLR2004 - marks and a word
            kept.append((start, end))
            text = f'{text[:start]} "{"·" * (end - start - 3)}"{text[end:]}'
    return text, tuple(kept)


def _without_quotes(text: str) -> tuple[str, frozenset[int]]:
    """Dot out what is quoted: it is a value, and no clause, service or schedule begins in it.

    Returns the places of the names in it, too. A name alone in its quotes stays a name, and so do all where
    the request names none outside of quotes.
    """
    quotes = [m for m in _QUOTED.finditer(text) if not _NAME_ALONE.fullmatch(m[0])]
    names = {m.start() for m in re.finditer(ANY, text)}
    inside = {at for at in names if any(q.start() < at < q.end() for q in quotes)}
    if inside == names:
        quotes, inside = [q for q in quotes if not re.search(ANY, q[0])], set()
    for q in quotes:
        text = f"{text[: q.start() + 1]}{'·' * (len(q[0]) - 2)}{text[q.end() - 1 :]}"
    return text, frozenset(inside)
