"""Services a request names that the catalogue does not know."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.data import english, words
from prefect_autopilot.intelligence.dates import DAYS, MONTHS
from prefect_autopilot.intelligence.scene import ANY, Scene

_SHORTEST = 4
"""Shorter words are abbreviations, no names."""

_NAME = r"(?P<name>[A-Za-z][\w&+]*(?:[-.][\w&+]+)*)"
_PLACE = (
    rf"\b(?:in|into|to|from|via|through|using|with|on) (?:our |my |the )?{_NAME}"
    r"(?=\s*(?:$|[,.;>)]|(?:and|then|when|whenever|so|to|invoice|account|api)\b))"
)
_SUBJECT = (
    rf"\b(?:when|whenever|if|once|every time|as soon as) (?:my |our |the |a |an )?{_NAME}"
    r" (?:\w+s|\w+ed|has|gets|is|sends)\b"
)
_NEW = rf"\bnew {_NAME} \w+s\b"
_LEADS = (_PLACE, _NEW, _SUBJECT, rf"[-=]{{0,9}}> (?:the |our |my )?{_NAME}\b")


def unknown_names(scene: Scene) -> tuple[str, ...]:
    """Return, in order, names that stand where a service would and are no word: "acme-erp-9", "Zorblify"."""
    masked = list(scene.text)
    for place, origin in enumerate(scene.origin):
        if not re.match(ANY, masked[place]):
            masked[place] = scene.document.cased[origin]
    text = "".join(masked)
    matches = (match for pattern in _LEADS for match in re.finditer(pattern, text, re.IGNORECASE))
    found: dict[str, str] = {}
    for match in sorted(matches, key=lambda m: m.start("name")):
        if _is_name(match["name"]):
            found.setdefault(match["name"].lower(), match["name"])
    return tuple(found.values())[:3]


def _is_name(name: str) -> bool:
    parts = re.split(r"[-.&+_]", name.lower())
    common, jargon = english(), words("names", "jargon") | words("names", "platforms")
    plain = all(
        p in common
        or p in jargon
        or p.removesuffix("s") in common
        or p.removesuffix("s") in jargon
        or p.isdigit()
        or len(p) < _SHORTEST - 1
        for p in parts
    )
    if plain or len(name) < _SHORTEST or name.lower().removesuffix("s") in (*DAYS, *MONTHS):
        return False
    distinct = any(c.isdigit() for c in name) or "-" in name or any(c.isupper() for c in name[1:])
    return distinct or name[0].isupper()
