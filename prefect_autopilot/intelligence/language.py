"""The language of a request; only English is understood, and others are told so."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from prefect_autopilot.intelligence.data import english, table

_CODES = {
    "german": "de", "french": "fr", "spanish": "es", "portuguese": "pt", "italian": "it",
    "dutch": "nl", "polish": "pl", "danish": "da", "swedish": "sv",
}  # fmt: skip
_NAMES = {code: name.capitalize() for name, code in _CODES.items()} | {
    "ru": "a Cyrillic script", "zh": "Chinese or Japanese", "ko": "Korean", "ar": "Arabic", "he": "Hebrew",
    "el": "Greek", "hi": "Hindi", "th": "Thai",
}  # fmt: skip
_SCRIPTS = {
    "CYRILLIC": "ru", "CJK": "zh", "HIRAGANA": "zh", "KATAKANA": "zh", "HANGUL": "ko", "ARABIC": "ar",
    "HEBREW": "he", "GREEK": "el", "DEVANAGARI": "hi", "THAI": "th",
}  # fmt: skip
_ENGLISH = frozenset(
    [
        "the",
        "a",
        "an",
        "to",
        "and",
        "of",
        "in",
        "on",
        "for",
        "when",
        "with",
        "from",
        "my",
        "new",
        "is",
        "are",
        "it",
        "me",
        "i",
        "every",
        "if",
        "then",
        "this",
        "that",
        "send",
        "create",
        "add",
    ]
)
_MOST = 0.5


def detect(text: str, length: int = 2000) -> str:
    """Return the ISO 639-1 code of the language, "en" where nothing speaks against it."""
    head = text[:length].lower()
    letters = [c for c in head if c.isalpha()]
    if not letters:
        return "en"
    scripts = [unicodedata.name(c, "").split(" ")[0] for c in letters if not c.isascii()]
    counted = Counter(code for s in scripts for script, code in _SCRIPTS.items() if s.startswith(script))
    for code, count in counted.items():
        if count > _MOST * len(letters):
            return code
    words = re.findall(r"[^\W\d_]+", head)
    common = english()
    own = sum(w in _ENGLISH or (len(w) > 3 and w in common) for w in words)  # noqa: PLR2004 - short words are shared
    counts = {
        code: sum(w in table("languages")[name]["words"] for w in words) for name, code in _CODES.items()
    }
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] > max(1, own) else "en"


def language_name(code: str) -> str:
    """Return what a language is called."""
    return _NAMES.get(code, code)
