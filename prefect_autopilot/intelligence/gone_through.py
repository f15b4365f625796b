"""Requests that go through what is there ("for every row in …"), where nothing has to happen first."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.services import Catalogue

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
