"""How long a run is to wait before a step ("wait 2 hours and then text them", "… 10 minutes later")."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table

_NEAR = 80
LONGEST_S = 86_400
"""A day; who waits longer wants a schedule, as a run would not outlive its worker's next restart."""

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_COUNT = (
    r"(?P<{0}n>\d+|an?|half an?|one|two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty|few"
    r"|several)"
)
_UNIT = r"(?P<{0}unit>seconds?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?)"
_WAIT = re.compile(
    rf"\b(?:wait(?:s|ing)?|pause|delay)\s+(?:it |this )?(?:for |about |at least |by )?{_COUNT.format('')}"
    rf"\s*{_UNIT.format('')}\b"
    rf"|\b{_COUNT.format('l')}\s+{_UNIT.format('l')}\s+(?:later\b|after(?:wards| that)\b)"
    rf"|\bafter {_COUNT.format('a')}\s+{_UNIT.format('a')}\b(?! (?:of|without|with|since|from|no|in)\b)"
)
_NO_WAIT = re.compile(
    r"\b(?:if|no|not|nobody|noone|unless|without|never|still|older|overdue|due|\w+n't)\b[^.,;\n]*$"
)
"""Before "after 2 hours": it tells how long something has not happened."""


def find_waits(text: str) -> list[tuple[int, int, int | None, str]]:
    """Return place, end, seconds and words of each wait; None seconds where they are more than a day."""
    found: list[tuple[int, int, int | None, str]] = []
    for match in _WAIT.finditer(text):
        count = match["n"] or match["ln"] or match["an"]
        unit = match["unit"] or match["lunit"] or match["aunit"]
        if match["an"] and _NO_WAIT.search(text, max(0, match.start() - _NEAR), match.start()):
            continue
        seconds = _number(count) * _of(unit)
        found.append((*match.span(), round(seconds) if 1 <= seconds <= LONGEST_S else None, match[0]))
    return found


def waits_before(text: str, places: Sequence[tuple[Clause, int]]) -> dict[int, int]:
    """Return the seconds to wait before a call, by its number among ``places`` (clause and place).

    "Later" speaks of its own clause, as "after an hour" behind it does; a wait of what comes next.
    """
    waits: dict[int, int] = {}
    for start, end, seconds, said in find_waits(text):
        if seconds is None:
            continue
        own = [i for i, (clause, _) in enumerate(places) if clause.start <= start < clause.end]
        after = [i for i, (_, at) in enumerate(places) if at >= end]
        before = [i for i, (_, at) in enumerate(places) if at < start]
        chosen = own[:1] if own and not said.startswith(("wait", "pause", "delay")) else after[:1]
        chosen = chosen or (before[-1:] if said.startswith("after") else [])
        waits.update(dict.fromkeys(chosen, seconds))
    return waits


def _number(word: str) -> float:
    if word.isdecimal():
        return float(word[:9])
    if word.startswith("half"):
        return 0.5
    known = {"few": 3, "several": 3, "fifteen": 15, "twenty": 20, "thirty": 30, **table("times")["numbers"]}
    return float(known.get(word, 1))


def _of(unit: str) -> int:
    names = {"s": "second", "min": "min", "h": "h", "d": "day", "w": "week", "mo": "month"}
    return next(_UNITS[key] for key, name in names.items() if unit.startswith(name))
