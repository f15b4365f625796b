"""Requests that go through what is there ("for every row in …"), where nothing has to happen first."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.services import Catalogue

_EACH = re.compile(
    r"\b(?:(?:for each|for every|each|every)\b(?!\s+(?:other|single|second|\d+|[a-z]*day|week\w*"
    r"|month|quarter|year"
    r"|hour|minute|morning|afternoon|evening|night|time)\b)"
    r"|per (?!day|hour|minute|second|week|month|quarter|year|cent|annum)[a-z]+\b)"
)
_EACH_ROW = re.compile(
    r"\s*(?:and |then )?for (?:each|every|all)(?: of)?(?: the)? (?:\w+ )?"
    r"(?:rows?|records?|lines?|entry|entries)\b"
)
OF_THESE = re.compile(r"\s*(?:and |then )*for (?:each|every)(?: one| of (?:them|these|those)|,|\s*$)")
_ALL_THERE = re.compile(
    r"\s*(?:please )?(?:get|fetch|list|pull|read|collect|find|search|export|download|go through|loop through"
    r"|loop over|take)\s+(?:me )?(?:all|every|each|a list of|the list of)\b"
)
_COMES = re.compile(r"\b(?:new|incoming|added|add|adds|comes?|created|arriv\w+|updated|changes?|submitted)\b")


def lists_all(scene: Scene, clauses: tuple[Clause, ...]) -> bool:
    """Tell whether all that is there is listed and each of it worked on: nothing has to happen first."""
    return _ALL_THERE.match(scene.text) is not None and any(
        OF_THESE.match(scene.text, c.start, c.end) for c in clauses
    )


def goes_through_rows(scene: Scene, source: Placed | None, catalogue: Catalogue) -> Clause | None:
    """Return the clause "for every row in …", which reads what is there; what is new is an event."""
    if source is None or source.clause.lead is None or source.part.mention.service is None:
        return None
    clause, kinds = source.clause, catalogue.get(source.part.mention.service).kinds
    said = scene.words(clause.start, clause.end)
    holds_rows = not {"spreadsheet", "database"}.isdisjoint(kinds)
    return clause if holds_rows and _EACH_ROW.match(said) and not _COMES.search(said) else None


def goes_through(clause: Clause) -> bool:
    """Tell whether a clause says what to do for each thing that is there ("for every row in …")."""
    return clause.lead is not None and _EACH.match(clause.lead) is not None and "new" not in clause.lead


def is_repeated(scene: Scene, clauses: tuple[Clause, ...], clause: Clause) -> bool:
    """Tell whether a step's words, or those right before or after, repeat it for each thing that was read."""
    i = clauses.index(clause)
    after = clauses[i + 1] if i + 1 < len(clauses) else None
    before = clauses[i - 1] if i else None
    end = after.end if after and after.lead and _EACH.match(after.lead) else clause.end
    is_led = before is not None and before.lead is not None and (before.verb is None or goes_through(before))
    names_none = before is not None and not re.search(ANY, scene.text[before.start : before.end])
    is_gone_through = before is not None and goes_through(before)
    start = before.start if before and is_led and (names_none or is_gone_through) else None
    return _EACH.search(scene.words(clause.start if start is None else start, end)) is not None
