"""Who is sent what: "email me the X issues", "send the X tickets by mail", "send #sales in Y the X deals"."""

from __future__ import annotations

import re
from typing import Literal

from prefect_autopilot.intelligence.clauses import Clause, verbs
from prefect_autopilot.intelligence.scene import ANY, KIND, ORDER, Part, Scene

_HEADS = r"(?:sends?|e-?mails?|mails?|texts?|messages?|pings?|dms?|tells?|shows?)"
_WHO = (
    r"(?:(?:me|us|him|her|them|everyone|everybody|someone|(?:my|our|the) (?:\w+ )?(?:team|boss|manager|staff"
    r"|group)|[#@][\w-]+|[\w.+-]+@[\w.-]+\w)\s+)?"
)
_WHAT = (
    r"(?:(?:(?:the|all|my|our) (?!(?:to|in|on|from|with|via|by|about|for)\b)[a-z-]+|the|all|any|my|our|every"
    r"|new|latest|recent|open|overdue|unpaid|today's|yesterday's|this week's|last week's|list of|of|in|with)"
    r"\s+){0,5}"
)
_WINDOW = 160
"""Characters before a name that are looked at."""

_OBJECT = re.compile(
    rf"(?P<head>{_HEADS}|{KIND}|{ORDER})\s+{_WHO}(?P<place>(?:in|on|via)\s+{ANY}\s+)?{_WHAT}$"
)
_NOUN = re.compile(
    r"\s+(?!messages?\b|notifications?\b|alerts?\b|dms?\b|texts?\b|e?mails?\b|reminders?\b|channel"
    r"|to\b|in\b|on\b|with\b|when|at\b|and\b|or\b|that\b|about\b|every|an?\b|the\b|saying|if\b)[a-z]{3,}"
)
_GOES_THROUGH = re.compile(
    rf"\b(?:by|via|through|over|in|on|to|as an?)\s+(?:(?:the|our|my)\s+)?(?:[#\w-]+\s+){{0,3}}?{ANY}"
)
_FROM_ACCOUNT = re.compile(rf"\bto [\w.+-]+@[\w.-]+\w (?:from|using|with) (?:my |our |the )?{ANY}")
_HEAD_ALONE = re.compile(
    r"(?:e-?mail|mail|text|message|ping|send|forward)(?:\s+(?:me|us|him|her|them|everyone))?"
)
_TO_SOMEBODY = re.compile(
    r"\s+(?:me|us|him|her|them|everyone|everybody|someone|the|my|our|all|[#@]\w|[\w.+-]+@)"
)
_NO_HEAD = re.compile(
    r"\b(?:an?|the|my|our|new|latest|incoming|unread|each|every|any|all|by|via|to|with|from|in|on|of|for|as"
    r"|and|or|no|not|this|that)\s+$"
)
_LAST_WORD = re.compile(r"([a-z]+)\s+$")


def part_when_sent(
    scene: Scene, clauses: tuple[Clause, ...], clause: Clause, part: Part
) -> tuple[Literal["source", "sink"], str] | None:
    """Read a command to send things to somebody: what is sent is read, and the messenger writes.

    Only without an event, which says by itself where things come from; None where nothing is sent.
    """
    if any(one.lead for one in clauses):
        return None
    before = scene.text[max(clause.start, part.at - _WINDOW) : part.at]
    after = scene.text[part.at + 1 : clause.end]
    if part.mention.form == "kind":
        is_head = _HEAD_ALONE.fullmatch(part.mention.name) and _stands_first(before)
        is_said = " " in part.mention.name or _TO_SOMEBODY.match(after)
        return ("sink", "somebody is sent something") if is_head and is_said else None
    found = _OBJECT.search(before)
    if found is None or not _stands_first(before[: found.start()]) or not _NOUN.match(after):
        return None
    is_told = (
        _FROM_ACCOUNT.search(after)
        or re.fullmatch(f"{KIND}|{ORDER}", found["head"])
        or found["place"]
        or _GOES_THROUGH.search(after)
    )
    return ("source", "what is sent comes from it") if is_told else None


def _stands_first(before: str) -> bool:
    """Tell whether an order can begin here: behind nothing, a time or "please", and no article or verb."""
    last = _LAST_WORD.search(before)
    return _NO_HEAD.search(before) is None and not (last and last[1] in verbs())
