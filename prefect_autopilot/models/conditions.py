"""How a condition of a step speaks of what an earlier step found out."""

from __future__ import annotations

import re

FINDS_SOMETHING, FINDS_NOTHING = "finds something", "finds nothing"
SAYS_YES, SAYS_NO = "says yes", "says no"
ANSWER = re.compile(
    rf"(?P<step>[a-z][a-z0-9_]*) (?P<told>{FINDS_SOMETHING}|{FINDS_NOTHING}|{SAYS_YES}|{SAYS_NO})"
)
"""``hubspot_search_contacts finds nothing``: a whole condition, with the id of the step."""

_TURNED = {
    FINDS_SOMETHING: FINDS_NOTHING,
    FINDS_NOTHING: FINDS_SOMETHING,
    SAYS_YES: SAYS_NO,
    SAYS_NO: SAYS_YES,
}
_IT_IS = re.compile(r"^(?:it|this|that)(?:'s| is) ")


def opposite(condition: str) -> str:
    """Return the words for where ``condition`` does not hold."""
    answer = ANSWER.fullmatch(condition)
    if answer:
        return f"{answer['step']} {_TURNED[answer['told']]}"
    plain = _IT_IS.sub("", condition)
    if plain.startswith("not "):
        return plain.removeprefix("not ")
    return f"not ({plain})" if " and " in plain else f"not {plain}"
