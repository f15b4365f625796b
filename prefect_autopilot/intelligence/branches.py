"""Under which condition a step runs: what its clause says, what was said before, or the opposite of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prefect_autopilot.intelligence.clauses import Clause, asks_whether
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.models import StepSpec
from prefect_autopilot.models.conditions import FINDS_NOTHING, FINDS_SOMETHING, SAYS_NO, SAYS_YES, opposite

HOLDS, FAILS = "<it holds>", "<it does not hold>"
"""What an earlier step found out, before it is known which step that is."""

_CONDITION = re.compile(
    r"^\s*(?:and |but |then |only )?(?P<word>if|unless|only if|in case)\b\s*(?P<what>.{3,160})", re.DOTALL
)
_ONLY_IF = re.compile(r"(?:but )?only if\b")
_IF = re.compile(r"(?:but |and )?(?:if|in case)\b")
_SPARE = re.compile(r"\b(?:that|this|it)(?: is|'s)(?: not|n't)? (?:available|possible|down|working)\b")
_TRAILING = re.compile(
    r"(?:[\s,]+(?:also|too|as well|please|pls|thanks|thank you|then|only|again|instead|anyway|ok))+[\s.!]*$"
)
"""Words at the end of a condition that are none of it."""

_OPPOSITE = re.compile(r"^[\s,;.]*(?:and |or )?(?:otherwise|else|if not|everything else|the rest)\b")
_INLINE = re.compile(r"\b(?P<word>only if|unless|if|but only when|only when)\b\s*(?P<what>[^.,;>]{3,120})$")
_JOINED = re.compile(r",?\s+and(?:\s+also)?\s*$")

_NOTHING = re.compile(r",?\s+(?:then )?(?:do nothing|(?:ignore|skip) (?:it|them|this))[\s.,]*$")
_MOST_JOINED = 8
_MOST_CLAUSES = 24
"""Clauses looked back at for the conditions an "otherwise" goes with; a hostile text may have thousands."""

_FIRST_ORDER = 2
"""Before it stand the start and the condition."""

_THEY = r"(?:it|he|she|they|one|that|this|such an? \w+|the \w+|a \w+)"
_LEAD = r"^(?:and |but |so |then |only )*if\s+"
_MISSING = re.compile(
    rf"{_LEAD}(?:there(?: is|'s| are)? (?:none|no(?:t one|ne| such)?(?: \w+){{0,2}}|nothing)"
    r"|there (?:isn't|is not|aren't) (?:one|any)|none(?: (?:exists?|(?:is |was )?found|there))?"
    r"|nothing (?:is |was |comes )?(?:found|back|there)|no \w+ (?:exists?|(?:is |was )?found)"
    rf"|{_THEY} (?:doesn't|does not|don't|do not)(?: already)? exist"
    rf"|{_THEY} (?:(?:is|are|was|were)(?:n't| not)|can't be|cannot be|could not be) (?:found|there|in there"
    r"|known|listed)|(?:is )?not (?:found|there|known)"
    rf"|missing|{_THEY}(?: is|'s| are) (?:missing|new|unknown))(?: yet| already| there)?[\s.,!]*$"
)
_PRESENT = re.compile(
    rf"{_LEAD}(?:found|{_THEY}(?: already)? exists?|there(?: is|'s| are) (?:one|any|some|a match)"
    rf"|{_THEY}(?: is|'s| are| was) (?:already )?(?:found|there|known|listed|in there))(?: already)?[\s.,!]*$"
)
_ELSE = re.compile(
    rf"{_LEAD}(?:not|no|false|(?:it|that|this)(?:'s| is) not(?: the case| so)?|(?:it|that) isn't"
    r"(?: the case)?|(?:it|they) (?:does|do|is|are)(?:n't| not))[\s.,!]*$"
)
_SO = re.compile(
    rf"{_LEAD}(?:so|yes|true|(?:it|that|this)(?:'s| is)(?: the case| so| true)?|(?:it|they) (?:does|do|are))"
    r"[\s.,!]*$"
)


def condition_of(
    scene: Scene, clauses: tuple[Clause, ...], clause: Clause, source: Clause | None
) -> str | None:
    """Return the condition the clause states, follows or is the opposite of, in the person's words.

    What an earlier step has to find out first is ``HOLDS`` or ``FAILS``.
    """
    if _SPARE.search(scene.document.lower):
        return None
    said = scene.words(clause.start, clause.end)
    own = None if asks_whether(said) else _INLINE.search(said)
    if own and clause.lead is None:
        return _as_said(own)
    i = clauses.index(clause)
    after = clauses[i + 1] if i + 1 < len(clauses) else None
    is_last = i + 2 == len(clauses)
    is_own = after is not None and after is not source and clause.lead is None
    if (
        is_own
        and after
        and after.lead
        and (_ONLY_IF.match(after.lead) or (is_last and _IF.match(after.lead)))
    ):
        return _stated(scene, after)
    return condition_before(scene, clauses, i) if i > 1 else None


def condition_before(scene: Scene, clauses: tuple[Clause, ...], i: int) -> str | None:
    """Return the condition of the clauses before; the first clause starts the automation, it is none.

    Orders joined by "and" run under one condition, a few of them at most.
    """
    for k in range(i, max(1, i - _MOST_JOINED), -1):
        clause, last = clauses[k], clauses[k - 1]
        said = _said(scene, last)
        if _ELSE.match(said) or _OPPOSITE.search(scene.text[last.end : clause.end]):
            return _opposite(scene, clauses, k if not _ELSE.match(said) else k - 1)
        if refers_back(said):
            before = (
                [c for c in clauses[max(1, k - _MOST_CLAUSES) : k - 1] if _is_condition(scene, c)]
                if _SO.match(said)
                else []
            )
            stated = _stated(scene, before[-1]) if before else None
            return FAILS if _MISSING.match(said) else stated or HOLDS
        if last.lead:
            return _stated(scene, last)
        is_joined = k > _FIRST_ORDER and last.verb and _JOINED.match(scene.text[last.end : clause.start])
        if not is_joined:
            return _left_of_arrow(scene, last)
    return None


def refers_back(said: str) -> bool:
    """Tell whether a condition is about what was found out before ("if there is none", "if so")."""
    told = _NOTHING.sub("", said).strip()
    return any(known.match(told) for known in (_MISSING, _PRESENT, _ELSE, _SO))


def _opposite(scene: Scene, clauses: tuple[Clause, ...], i: int) -> str | None:
    """Return what holds where none of the conditions before the clause does."""
    before = [c for c in clauses[max(1, i - _MOST_CLAUSES) : i] if _is_condition(scene, c)]
    told = [_said(scene, c) for c in before]
    if not before:
        return FAILS
    if any(_MISSING.match(one) or _PRESENT.match(one) for one in told):
        return (HOLDS if _MISSING.match(told[-1]) else FAILS) if len(before) == 1 else None
    stated = [_stated(scene, c) for c in before]
    return " and ".join(opposite(one) for one in stated if one) or None


def _is_condition(scene: Scene, clause: Clause) -> bool:
    said = _said(scene, clause)
    is_if = clause.lead is not None and _CONDITION.match(said) is not None
    return is_if and not (_ELSE.match(said) or _SO.match(said))


def _said(scene: Scene, clause: Clause) -> str:
    """Return the words of a clause; that nothing is to be done under its condition is none of it."""
    return _NOTHING.sub("", scene.words(clause.start, clause.end)).strip()


def _stated(scene: Scene, clause: Clause | None) -> str | None:
    """Return what a clause with "if" says."""
    found = _CONDITION.match(_said(scene, clause)) if clause else None
    return _as_said(found) if found else None


def _as_said(found: re.Match[str]) -> str:
    """Return the condition of "if" and "only if", the opposite of the one of "unless"."""
    what = _TRAILING.sub("", found["what"].strip())
    return f"not {what}" if found["word"] == "unless" else what


def _left_of_arrow(scene: Scene, last: Clause) -> str | None:
    """Return "country DE or AT" of "country DE or AT -> invoice"."""
    left = scene.words(last.start, last.end).strip()
    names_none = not re.search(ANY, scene.text[last.start : last.end])
    is_short = names_none and last.verb is None and 3 <= len(left) <= 80  # noqa: PLR2004 - the length of a condition
    return left if is_short and re.match(r"\s*[-=]{0,9}>", scene.text[last.end :]) else None


def found_out(condition: str | None, answering: Sequence[tuple[StepSpec, bool]]) -> str | None:
    """Return a condition with the step that finds it out; ``answering`` are these steps, and which judge."""
    if condition not in {HOLDS, FAILS}:
        return condition
    if not answering:
        return "found" if condition == HOLDS else "not found"
    step, judges = answering[-1]
    told = (SAYS_YES, SAYS_NO) if judges else (FINDS_SOMETHING, FINDS_NOTHING)
    return f"{step.id} {told[condition == FAILS]}"
