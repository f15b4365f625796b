"""Days said beside an event ("when a payment fails …, but not on weekends"): no schedule, but asked about."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.models import Question, Span

_DAY = (
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun|week|work|working |business )days?|weekends?"
    r"|(?:bank |public )?holidays?)\b"
)
_IS_DAY = re.compile(
    r"\b(?:(?:but\s+)?(?:unless|except|excluding|not|never|only|only if|if)\s+(?:when\s+)?"
    r"(?:(?:it'?s|it is|that'?s)\s+)?(?:not\s+)?(?:(?:on|at|in|during)\s+)?(?:(?:an?|the)\s+)?"
    rf"|on (?=weekdays|weekends|workdays)){_DAY}(?:(?:,| and| or)\s+(?:on\s+)?(?:the\s+)?{_DAY}){{0,6}}"
)
_EVENT = re.compile(r"(?:and |but |so |then |only )?(?:when\w*|as soon as|every ?time|each time|any ?time)\b")
_TIME_ONLY = re.compile(r"\s*\w+\s+(?:it'?s|it is)\b")


def days_beside_event(scene: Scene, clauses: tuple[Clause, ...]) -> tuple[int, int] | None:
    """Return where days are said that an event is to keep to, None where there is no event or no such day."""
    has_event = any(
        clause.lead
        and _EVENT.match(clause.lead)
        and not _TIME_ONLY.match(scene.text, clause.start)
        and any(clause.holds(part) for part in scene.parts if part.role == "used")
        for clause in clauses
    )
    found = _IS_DAY.search(scene.text) if has_event else None
    return found.span() if found else None


def without_days(scene: Scene, clauses: tuple[Clause, ...]) -> str:
    """Return the masked text, the days that an event is to keep to blanked out: they start nothing."""
    at = days_beside_event(scene, clauses)
    return f"{scene.text[: at[0]]}{' ' * (at[1] - at[0])}{scene.text[at[1] :]}" if at else scene.text


def days_question(scene: Scene, clauses: tuple[Clause, ...]) -> tuple[Question, Span] | None:
    """Return the question for such days, with their place."""
    at = days_beside_event(scene, clauses)
    if at is None:
        return None
    part = scene.document.span(*scene.clean(*at))
    text = f"An event starts it, on any day, and nothing keeps to {part.text!r}: should it go on without?"
    return Question(id=f"part_{part.start}_{part.end}", text=text, options=("leave it out",)), part
