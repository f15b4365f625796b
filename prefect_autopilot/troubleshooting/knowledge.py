"""The failure patterns, read from the TOML files beside this module."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal

from prefect_autopilot.models import IssueCategory, RemedyClass, Severity
from prefect_autopilot.troubleshooting.failure import Unit
from prefect_autopilot.troubleshooting.literals import Literals
from prefect_autopilot.troubleshooting.text import searched

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing that is known about failures; every condition that is given must hold for one unit.

    ``codes`` and ``exceptions`` may hold globs; ``any``, ``none`` and ``context`` are lower-case
    literals, the last looked for in the whole text. Those of ``elsewhere`` must not stand anywhere in it:
    they tell the cause of what the unit only follows from. ``frame`` is a regular expression over the
    innermost own frame ("function: code line"), ``files`` over the file of the innermost frame.
    """

    name: str
    category: IssueCategory
    confidence: float
    severity: Severity
    transient: bool
    remedy: RemedyClass
    cause: str
    why: str
    advice: str
    examples: tuple[str, ...]
    codes: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    regex: re.Pattern[str] | None = None
    frame: re.Pattern[str] | None = None
    files: re.Pattern[str] | None = None
    refused: bool = False
    roles: frozenset[str] = field(default_factory=frozenset)

    @property
    def rests_on(self) -> Literal["code", "class", "words"]:
        """What of a text the pattern goes by first."""
        if self.codes:
            return "code"
        return "class" if self.exceptions and not self.any else "words"

    def may_match(self, units: Sequence[Unit], said: frozenset[str], context: str) -> bool:
        """Tell whether one of ``units`` can match at all; ``said`` are the words of patterns they hold.

        ``units`` are those that name a class, a symbolic code or a code; the others can only hold words.
        """
        return (
            (not self.any or not said.isdisjoint(self.any))
            and (not self.codes or any(unit.codes and _coded(unit, self.codes) for unit in units))
            and (not self.exceptions or any(_named(unit, self.exceptions) for unit in units))
            and (not self.context or any(word in context for word in self.context))
            and not any(word in context for word in self.elsewhere)
        )

    def matches(self, unit: Unit, lowered: str, context: str) -> bool:
        """Tell whether every condition holds; cheap literals are tried before expressions."""
        return (
            (not self.any or any(_stands(word, lowered) for word in self.any))
            and (not self.codes or _coded(unit, self.codes))
            and (not self.exceptions or _named(unit, self.exceptions))
            and not any(word in lowered for word in self.none)
            and (not self.context or any(word in context for word in self.context))
            and (self.regex is None or self.regex.search(searched(unit.text)) is not None)
            and self._frames_match(unit)
        )

    def ground(self, unit: Unit) -> str:
        """Return in words what of a matching unit it goes by: a code, a class, words."""
        code = next((code for code in sorted(unit.codes) if self.codes and _coded_as(code, self.codes)), "")
        if code:
            return f"the code {code}"
        if self.exceptions and (name := unit.short_name or " ".join(sorted(unit.symbols)[:1])):
            return f"the class {name}"
        lowered = unit.text.lower()
        if word := next((word for word in self.any if _stands(word, lowered)), ""):
            return f"the words “{word}”"
        return "the line of code" if self.frame else "its form"

    def _frames_match(self, unit: Unit) -> bool:
        if self.frame:
            own = unit.own_frame
            if own is None or not self.frame.search(f"{own.function}: {own.code}"):
                return False
        if self.files:
            return bool(unit.frames) and self.files.search(unit.frames[-1].file) is not None
        return True


def _stands(word: str, lowered: str) -> bool:
    """Tell whether a literal stands in the text and does not begin within another word."""
    at = lowered.find(word)
    while at > 0 and word[0].isalnum() and lowered[at - 1].isalpha():
        at = lowered.find(word, at + 1)
    return at >= 0


def _coded(unit: Unit, globs: tuple[str, ...]) -> bool:
    fits = _one_of(globs).match
    return any(fits(code) for code in unit.codes)


def _coded_as(code: str, globs: tuple[str, ...]) -> bool:
    return _one_of(globs).match(code) is not None


def _named(unit: Unit, globs: tuple[str, ...]) -> bool:
    with_module, without = _class_globs(globs)
    if unit.name and (without.match(unit.short_name) or with_module.match(unit.name)):
        return True
    return any(without.match(symbol) for symbol in unit.symbols)


@cache
def _one_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))


@cache
def _class_globs(globs: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    dotted = tuple(glob for glob in globs if "." in glob)
    plain = tuple(glob for glob in globs if "." not in glob)
    return (_one_of(dotted) if dotted else _NEVER), (_one_of(plain) if plain else _NEVER)


@lru_cache(maxsize=1)
def load_patterns() -> tuple[Pattern, ...]:
    """Return all failure patterns; a mistake in a file raises ``ValueError`` or ``KeyError`` at once."""
    folder = resources.files("prefect_autopilot.troubleshooting") / "patterns"
    patterns: list[Pattern] = []
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            category = IssueCategory(file.name.removesuffix(".toml"))
            document = tomllib.loads(file.read_text(encoding="utf-8"))
            patterns.extend(_pattern(category, entry) for entry in document["pattern"])
    names = [pattern.name for pattern in patterns]
    if len(set(names)) != len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"Failure patterns share a name: {', '.join(doubled)}; rename one of each.")
    return tuple(patterns)


def _pattern(category: IssueCategory, entry: dict[str, Any]) -> Pattern:
    def words(key: str) -> tuple[str, ...]:
        return tuple(entry.get(key, ()))

    def literals(key: str) -> tuple[str, ...]:
        return tuple(word.lower() for word in words(key))

    def expression(key: str) -> re.Pattern[str] | None:
        return re.compile(entry[key], re.IGNORECASE | re.MULTILINE) if key in entry else None

    return Pattern(
        name=entry["name"],
        category=category,
        confidence=float(entry["confidence"]),
        severity=Severity(entry["severity"]),
        transient=bool(entry["transient"]),
        remedy=entry["remedy"],
        cause=entry["cause"],
        why=entry["why"],
        advice=entry["advice"],
        examples=words("examples"),
        codes=words("codes"),
        exceptions=words("exceptions"),
        any=literals("any"),
        none=literals("none"),
        context=literals("context"),
        elsewhere=literals("elsewhere"),
        regex=expression("regex"),
        frame=expression("frame"),
        files=expression("files"),
        refused=bool(entry.get("refused", False)),
        roles=frozenset(words("roles")),
    )


@cache
def _words() -> Literals:
    return Literals(word for pattern in load_patterns() for word in pattern.any)


def words_said(text: str) -> frozenset[str]:
    """Return which of the words that patterns look for (``any``) stand in the lower-case ``text``."""
    return _words().found_in(text)
