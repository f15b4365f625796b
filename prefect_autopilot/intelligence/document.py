"""The request as it is matched: one cleaned character for each kept one, with its place in the original."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from prefect_autopilot.models import Span

PRIVATE_FIRST = 0xE000
"""Cleaned text holds no private-use character, so that masks can use them."""

_ARROWS = dict.fromkeys("→⇒➜➡⟶»▶►", ">")
_QUOTES = {"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "«": '"', "–": "-", "—": ";"}
_INVISIBLE = frozenset({"Cf", "Mn", "Me"})
_UNUSABLE = frozenset({"Cc", "Co", "Cn", "Cs", "So", "Zl", "Zp", "Zs"})

_TOKEN = re.compile(
    r"https?://[^\s\"'<>]+"
    r"|[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)+"
    r"|\#[^\W\d_][\w-]*"
    r"|(?:[A-Za-z0-9]++(?![\u00c0-\u024f])|[^\W_]+)(?:'(?:t|re|ve|ll|d|m)\b)?"
    r"|'s\b|\S",
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign; ``start`` and ``end`` count in the cleaned text."""

    text: str
    raw: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        """Tell whether it is a word and neither address nor sign."""
        return self.text[0].isalnum() and "@" not in self.text and "://" not in self.text


@dataclass(frozen=True)
class Document:
    """A request, cleaned character by character; ``origin[i]`` is where cleaned character i stood."""

    text: str
    cased: str
    origin: tuple[int, ...]

    @cached_property
    def lower(self) -> str:
        """The cleaned text in lower case, of equal length."""
        return "".join(c.lower() if len(c.lower()) == 1 else c for c in self.cased)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Words and signs in order."""
        lower = self.lower
        return tuple(
            Token(lower[m.start() : m.end()], m[0], m.start(), m.end()) for m in _TOKEN.finditer(self.cased)
        )

    def span(self, start: int, end: int) -> Span:
        """Return the part of the original that cleaned characters ``start`` to ``end`` came from."""
        while start < end and self.cased[start] == " ":
            start += 1
        while end > start and self.cased[end - 1] == " ":
            end -= 1
        if start >= end:
            return Span(start=0, end=0, text="")
        first, last = self.origin[start], self.origin[end - 1] + 1
        return Span(start=first, end=last, text=self.text[first:last])


def read(text: str) -> Document:
    """Clean a request: compatibility forms unified, invisible signs dropped, control signs made spaces."""
    kept: list[str] = []
    origin: list[int] = []
    for place, char in enumerate(text):
        for part in _cleaned(char):
            if part.isspace() and kept and kept[-1].isspace():
                kept[-1] = "\n" if "\n" in (part, kept[-1]) else " "
                continue
            kept.append(part)
            origin.append(place)
    return Document(text=text, cased="".join(kept), origin=tuple(origin))


def without_surrogates(text: str) -> str:
    """Replace halves of characters, which no encoder accepts."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _cleaned(char: str) -> str:
    if char == "\n":
        return char
    if char.isascii():
        return char if char.isprintable() else " "
    category = unicodedata.category(char)
    if category in _INVISIBLE:
        return ""
    if char in _ARROWS or char in _QUOTES:
        return _ARROWS.get(char) or _QUOTES[char]
    if category in _UNUSABLE:
        return " "
    return unicodedata.normalize("NFKC", char)
