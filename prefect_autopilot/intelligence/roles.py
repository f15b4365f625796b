"""What part a named service plays: used, in use anyway, only talked about, or excluded."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.scene import ANY, SERVICE, Part, Role, Scene

_REACH = 200
"""Characters that a negation or a topic reaches at most."""

_DAYS = (
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun|week|work|working |business |holi)days?|weekends?"
    r"|(?:bank|public) holidays?|(?:january|february|march|april|may|june|july|august|september|october"
    r"|november|december)|christmas|easter|mornings?|afternoons?|evenings?|nights?|noon|midnight"
    r"|\d{1,2}(?:st|nd|rd|th|:\d\d|\s?[ap]m)|today|tomorrow)\b"
)
_A_TIME = re.compile(
    rf"\s+(?:(?:for|on|at|in|during|between|from)\s+)?(?:(?:the|every|any|a)\s+)?(?:(?:first|last)\s+)?{_DAYS}"
)
"""What a negation speaks of and reaches no further than: a day, a date, a time."""

_LIST = re.compile(rf"\s*(?:,|or|nor|and|/|,\s*or|,\s*and)\s*(?:(?:the|our|my|to|in|on|via)\s+)*({ANY})")

_BOTH = re.compile(rf"\s*(?:and|or|&|/)\s*(?:(?:the|our|my)\s+)*({ANY})")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("(X)", f"({ANY})").replace("X", SERVICE))


def assign_roles(scene: Scene) -> Scene:
    """Mark the services a request excludes or only talks about; the others stay used."""
    roles: dict[int, tuple[Role, str]] = {}
    for at in _asides(scene):
        roles[at] = ("background", "told before the request itself")
    for entry in table("roles")["pattern"]:
        for found in _compiled(entry["pattern"]).finditer(scene.text):
            roles[found.start(1)] = (entry["role"], entry["reason"])
            if entry.get("lists") and (more := _BOTH.match(scene.text, found.end(1))):
                roles[more.start(1)] = (entry["role"], entry["reason"])
    for at in _topics(scene):
        roles[at] = ("mentioned", "what the text is about")
    for at in _negated(scene):
        roles[at] = ("excluded", "the request says not to use it")
    return scene.with_parts(tuple(_with_role(part, roles) for part in scene.parts))


def settle_exclusions(scene: Scene, clauses: tuple[Clause, ...]) -> Scene:
    """Take a bare remark on a service that is excluded elsewhere for a remark ("Slack is too loud")."""
    excluded = {part.mention.service for part in scene.parts if part.role == "excluded"}
    acting = [clause for clause in clauses if clause.verb or clause.lead]
    parts = (
        replace(part, role="mentioned", reason="the request says elsewhere not to use it")
        if part.role == "used"
        and part.mention.service in excluded
        and not any(clause.holds(part) for clause in acting)
        else part
        for part in scene.parts
    )
    return scene.with_parts(tuple(parts))


def _with_role(part: Part, roles: dict[int, tuple[Role, str]]) -> Part:
    if part.at not in roles or part.role == "mentioned":
        return part
    role, reason = roles[part.at]
    return replace(part, role=role, reason=reason)


def _negated(scene: Scene) -> set[int]:
    """Return the places a negation reaches before its clause ends."""
    rules = table("roles")
    boundary = _compiled(rules["boundary"])
    reached: set[int] = set()
    for entry in rules["negator"]:
        for found in _compiled(entry["pattern"]).finditer(scene.text):
            far = min(found.end() + _REACH, len(scene.text))
            end_found = boundary.search(scene.text, found.end(), far)
            end = end_found.start() if end_found else far
            if _A_TIME.match(scene.text, found.end(), end):
                continue  # "except sunday post the …"
            if not _is_harmless(scene.text, found, end):
                reached |= _first_named(scene, found.end(), end, entry["words"])
    return reached


def _is_harmless(text: str, found: re.Match[str], end: int) -> bool:
    """Tell whether a negation is a state ("is not paid"), a limit ("not more than") or has a condition."""
    rules = table("roles")["harmless"]
    if _compiled(rules["after"]).search(text[found.end() : end]):
        return True
    order = _compiled(rules["order"]).search(found[0]) is not None
    near = max(0, found.start() - _REACH)
    start = max(near - 1, *(text.rfind(sign, near, found.start()) for sign in ".;,>\n"))
    if _compiled(rules["before_order" if order else "before"]).search(text[start + 1 : found.start()]):
        return True
    return bool(_compiled(rules["conditional"]).search(text[found.end() : end]))


def _first_named(scene: Scene, start: int, end: int, reach: int) -> set[int]:
    """Return the first service within ``reach`` words, and those listed with it."""
    named = re.search(ANY, scene.text[start:end])
    if named is None or len(scene.text[start : start + named.start()].split()) > reach:
        return set()
    places, at = {start + named.start()}, start + named.end()
    while (more := _LIST.match(scene.text, at)) is not None:
        places.add(more.start(1))
        at = more.end()
    return places


def _topics(scene: Scene) -> set[int]:
    rules = table("roles")["topic"]
    ending, real = _compiled(rules["end"]), _compiled(rules["real"])
    reached: set[int] = set()
    for found in _compiled(rules["pattern"]).finditer(scene.text):
        far = min(found.end() + _REACH, len(scene.text))
        if real.match(scene.text[found.end() : far]):
            continue
        end_found = ending.search(scene.text, found.end(), far)
        end = end_found.start() if end_found else far
        reached |= {part.at for part in scene.parts if found.end() <= part.at < end}
    return reached


def _asides(scene: Scene) -> set[int]:
    found = _compiled(table("roles")["aside"]["pattern"]).search(scene.text)
    return {part.at for part in scene.parts if found and part.at < found.start()}
