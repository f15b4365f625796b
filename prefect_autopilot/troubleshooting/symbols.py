"""Names of failures that services write but do not raise: symbolic codes, and numbers by vendors' tables.

``(TOO_MANY_PARTS)``, ``code: AccessDenied`` and ``"error": "invalid_grant"`` name a condition as a class name
does, so they are read as one: ``TooManyParts``, ``AccessDenied``, ``InvalidGrant``. Numbers mean what the
vendor documents (``vendors.toml``): they become ``means:`` codes that all technologies share.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from prefect_autopilot.troubleshooting.literals import Literals

_KEY = (
    r"(?:error|err|api|status|fault|reason|exception|failure)?[_-]?"
    r"(?:code(?:name)?|reason|type|name|error|title|status|subtype|description|key|class|kind)"
)
_VALUE = r"[A-Za-z][A-Za-z0-9]*(?:[_.:-][A-Za-z][A-Za-z0-9]*)*"
_SAID = re.compile(rf"\b{_KEY}[\"']?\s*(?:=>|[:=])\s*[\"']?({_VALUE})(?![\w.:/@-])", re.IGNORECASE)
_BRACKETED = re.compile(
    r"[(\[]((?:[A-Z]{2,}(?:_[A-Z0-9]+)+|[A-Z]{8,}|[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+|[a-z]+(?:_[a-z]+)+))[)\]:]"
)
_CONSTANT = re.compile(r"\b([A-Z]{3,}(?:_[A-Z0-9]{2,})+)\b")
_ERR_VALUE = re.compile(r"`Err` value: ([A-Z]\w+)")
"""What a Rust program stopped at: the error that it did not expect."""
_REASON = re.compile(
    r"[\s,\"'](\b[a-z]+(?:[A-Z][a-z]+)+(?:Exceeded|Denied|Required|Expired|Invalid|NotFound|Error|Unavailable"
    r"|Disabled|Limited|Forbidden|Credentials))\b"
)
_CLASS = re.compile(
    r"\b((?:[A-Z][A-Za-z0-9]*?)(?:Error|Exception|Timeout|Failure|Fault|NotFound|Violation|Denied|Exceeded|Exhausted))\b"
)
"""Classes that a message mentions: the cause in brackets, or what a server raised."""
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
MOST_CHARACTERS = 4096
MOST_PIECES = 8
LEVELS = frozenset({"Error", "Warning", "Info", "Critical", "Failed", "Failure", "Exception", "Invalid"})
"""Words that stand where a name is expected and name nothing."""


def symbols(text: str) -> frozenset[str]:
    """Return the symbolic codes that ``text`` names, each written as a class name."""
    head = text[:MOST_CHARACTERS]
    found = (
        *(value for value in _SAID.findall(head) if _telling(value)),
        *_BRACKETED.findall(head),
        *_CONSTANT.findall(head),
        *_REASON.findall(head),
        *_ERR_VALUE.findall(head),
    )
    names = (name for value in found for part in re.split(r"[.:]", value) if (name := camel(part)))
    return frozenset(name for name in (*names, *_CLASS.findall(head)) if name not in LEVELS)


def camel(value: str) -> str:
    """Return ``value`` written as a class name; empty where it is no name but a sentence or a number."""
    pieces = _PIECE.findall(value)
    if not 0 < len(pieces) <= MOST_PIECES or pieces[0].isdigit():
        return ""
    return "".join(piece[0].upper() + piece[1:].lower() for piece in pieces)


def _telling(value: str) -> bool:
    """Tell whether a value is a name made of words, not just any word that follows a colon."""
    return (
        "_" in value
        or (value.isupper() and len(value) > len("ERROR"))
        or re.search(r"[a-z][A-Z]", value) is not None
    )


_OTHER_CODE = re.compile(r"\b(?:zip|postal|post|country|area|exit|bar|qr)[ _-]\Z", re.IGNORECASE)
_COUNTED = re.compile(
    r" (?:rows?|bytes?|frames?|records?|messages?|files?|times|clients?|items?|events?|lines?)"
    r"\b(?!['\"]?\s*[=:])",
    re.IGNORECASE,
)
"""What stands before and after a number that is a code of another kind, or a count."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """The numbers of one vendor or protocol: how texts write them, and what each means."""

    words: tuple[str, ...]
    """Lower-case words without one of which the expression is not tried."""
    find: re.Pattern[str]
    means: dict[str, str]


@cache
def vendors() -> tuple[Vendor, ...]:
    """Return the packaged tables."""
    file = resources.files("prefect_autopilot.troubleshooting") / "vendors.toml"
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(
        Vendor(
            words=tuple(entry["words"]),
            find=re.compile(entry["find"], re.IGNORECASE | re.MULTILINE),
            means={str(number): kind for kind, numbers in entry["means"].items() for number in numbers},
        )
        for entry in document.values()
    )


@cache
def _words() -> Literals:
    return Literals(word for vendor in vendors() for word in vendor.words)


def meanings(text: str) -> Iterator[str]:
    """Yield ``means:`` codes for the vendors' numbers in ``text``."""
    said = _words().found_in(text.lower())
    for vendor in vendors():
        if not said.isdisjoint(vendor.words):
            for match in vendor.find.finditer(text):
                if _OTHER_CODE.search(text, 0, match.start()) or _COUNTED.match(text, match.end()):
                    continue
                value = next((group for group in match.groups() if group), "")
                kind = vendor.means.get(value.lower()) or vendor.means.get(value.lstrip("0"))
                if kind:
                    yield f"means:{kind}"
