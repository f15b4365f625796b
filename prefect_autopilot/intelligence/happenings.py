"""What is said to happen or to be the case, where nothing named beside it tells of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import Placed
from prefect_autopilot.intelligence.scene import Scene

_JOINT = r"^(?:and |but |so |then |only )?"
_WHEN = re.compile(rf"{_JOINT}(?:when\w*|once|as soon|every ?time|each time|any ?time|upon|the moment)\b")
_IF = re.compile(rf"{_JOINT}(?:if|in case)\b")
_NO_CONDITION = re.compile(
    r"\s*(?:and |but |so |then |only )?(?:if|in case),? (?:not|so|else|necessary|needed"
    r"|you (?:can|could|like|want|don't mind)|(?:(?:that|it|this)(?:'s| is| were)? )?(?:at all )?"
    r"(?:possible|ok(?:ay)?|feasible|needed|necessary))\b"
)
_SPOKEN = re.compile(
    r"\b(?:messages?|mentions?|mentioned|dms?|reacts?|reaction|repl(?:y|ies)|writes?|posts?|asks?|says?|tells?"
    r"|comments?|commands?|questions?|pings?|types?"
    r"|joins? (?:the |our |a |my )?(?:channel|server|group|workspace))\b"
)
"""What somebody does in a messenger, which then tells of it."""

_SPOKEN_OF = re.compile(r"\s*(?:one|it|they|this|that|these|those|he|she|any|there is one|there are any)\b")
"""What was told before ("leads come by form. When one arrives, …")."""

_FEWEST = 2


def starts_with_when(clause: Clause | None) -> bool:
    """Tell whether a clause is an event by its word, and no mere "if"."""
    return clause is not None and _WHEN.match(clause.lead or "") is not None


def untold(scene: Scene, clauses: Sequence[Clause], placed: Sequence[Placed]) -> Clause | None:
    """Return the clause that starts the automation ("if the page is down") and names nobody who tells of it.

    An "if" starts it only where it stands first or last and nothing else does; between orders it is their
    condition.
    """
    named = {id(place.clause) for place in placed}
    if any(c.lead and id(c) in named for c in clauses):
        return None
    talks = any(p.part.mention.service in table("triggers")["messengers"] for p in placed)
    for clause in clauses:
        said = scene.words(clause.start, clause.end)
        is_if = clause in (clauses[0], clauses[-1]) and _IF.match(clause.lead or "")
        if not clause.lead or not (is_if or _WHEN.match(clause.lead)) or _NO_CONDITION.match(said):
            continue
        rest = said.strip()[len(clause.lead) :]
        if _SPOKEN_OF.match(rest) and clause is not clauses[0]:
            continue
        if re.search(table("triggers")["manual"], said):
            continue
        if len(re.findall(r"[a-z]{2,}", rest)) >= _FEWEST and not (talks and _SPOKEN.search(rest)):
            return clause
    return None
