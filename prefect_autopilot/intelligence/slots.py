"""Kinds of services in a request: dropped where a name says it, filled from what is known, or asked."""

from __future__ import annotations

import re
from dataclasses import replace

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.kinds import Slot, members, resolve
from prefect_autopilot.intelligence.mentions import Mention
from prefect_autopilot.intelligence.scene import Part, Scene
from prefect_autopilot.models import RequestContext, Service
from prefect_autopilot.services import Catalogue

_ADJACENT = 14
_NEAR = 40
_ABOUT = re.compile(r"\s+(?:\w+\s+)?(?:about|of|regarding|how many)\b")
_BY_WAY = re.compile(r"\b(?:via|with|using|through|thru|over|by)\s+(?:\w+\s+)?$")
_TARGET = re.compile(r"\b(?:in|into|to|onto|on)\s+(?:(?:the|our|my|an?)\s+)?$")
_TOLD_WHERE = re.compile(r"\b(?:in|into|to|onto|on|via|with|using|through)\s+(?:\w+\s+)?$")
_CHANNEL = re.compile(r"\s*#[a-z]")
_BEFORE_ORDERS = frozenset({"and", "then", "also", "please", "automatically", "otherwise", "else"})
_TELLING = frozenset({"email", "sms", "chat"})


def fill_slots(
    scene: Scene, clauses: tuple[Clause, ...], context: RequestContext, catalogue: Catalogue
) -> tuple[Scene, tuple[Slot, ...]]:
    """Resolve the kinds of a scene; what stays open is returned to be asked for."""
    named = [p for p in scene.parts if p.role in {"used", "background"} and p.mention.service]
    places = [(p, next((c for c in clauses if c.holds(p)), None)) for p in named]
    starts = [p for p, clause in places if clause and clause.lead]
    channels = [c for _, c in places if c and _CHANNEL.search(scene.text, c.start, c.end)]
    slots: list[Slot] = []
    parts: list[Part] = []
    for part in scene.parts:
        if part.role != "used" or part.mention.kind is None:
            parts.append(part)
            continue
        clause = next((c for c in clauses if c.holds(part)), None)
        slot = _resolved(part, clause, named, scene, context, catalogue)
        if slot is not None and slot.filled_by is None and not _is_said_otherwise(part, slots, scene):
            slots.append(slot)
        told = [p for p in named if p not in starts] if _is_order(part, clause, scene) else named
        if _is_another_channel(part, clause, channels, scene):
            told = [p for p in named if clause and clause.holds(p)]
        parts.append(_filled(part, slot, clause, told))
    open_slots = tuple({slot.kind: slot for slot in slots}.values())
    used = {part.mention.service for part in parts if part.role == "used"}
    kept = tuple(
        replace(p, role="used", reason="in use, and needed")
        if _is_needed(p, parts) and p.mention.service in used
        else p
        for p in parts
    )
    return scene.with_parts(kept), open_slots


def _is_another_channel(part: Part, clause: Clause | None, channels: list[Clause], scene: Scene) -> bool:
    """Tell whether "#sales" of a clause of its own is one more channel of what was told in "#big" before."""
    if clause is None or part.mention.kind != "chat" or not _CHANNEL.match(scene.text, part.at + 1):
        return False
    return any(other is not clause for other in channels)


def _is_order(part: Part, clause: Clause | None, scene: Scene) -> bool:
    """Tell whether a clause of its own begins with the kind as its verb ("forward it to …", "email me")."""
    if clause is None or clause.lead is not None or part.mention.kind != "email":
        return False
    before = scene.text[clause.start : part.at].split()
    first = part.mention.name.split()[0]
    return first in words("verbs", "write") | words("verbs", "move") and set(before) <= _BEFORE_ORDERS


def _is_needed(part: Part, parts: list[Part]) -> bool:
    return part.role == "background" and any(
        p.mention.kind and p.mention.service == part.mention.service and p.role == "used" for p in parts
    )


def _resolved(
    part: Part,
    clause: Clause | None,
    named: list[Part],
    scene: Scene,
    context: RequestContext,
    catalogue: Catalogue,
) -> Slot | None:
    """Resolve one kind; None where it only describes a service that is named beside it."""
    mention = part.mention
    assert mention.kind is not None
    entry = table("kinds")[mention.kind]
    beside = [p for p in named if clause is not None and clause.holds(p) and p.role == "used"]
    able = {service.id for service in members(mention.kind, catalogue)}
    if any(_is_own_place(mention, catalogue.get(str(p.mention.service))) for p in beside):
        return None
    if mention.kind == "notification":
        if beside and not _is_only_told_of(part, beside, able, scene):
            return None
    elif entry.get("weak") and not (entry.get("place") and _is_target(part, beside, scene)):
        if any(abs(p.at - part.at) <= _ADJACENT for p in beside):
            return None
        if beside and not any(p.mention.service in able for p in beside):
            return None
    return resolve(mention.kind, (mention.start, mention.end), (p.mention for p in named), context, catalogue)


def _is_own_place(mention: Mention, service: Service) -> bool:
    """Tell whether a kind's word is a place within the service beside it ("a page in the database")."""
    place = mention.name.split()[-1]
    return place in words("values", "places") and any(
        place in parameter.name.lower() for one in service.operations for parameter in one.parameters
    )


def _is_target(part: Part, beside: list[Part], scene: Scene) -> bool:
    """Tell whether things of the services before it go to the kind ("Stripe charges into the database")."""
    if not _TARGET.search(scene.text[max(0, part.at - _NEAR) : part.at]):
        return False
    return all(
        p.at < part.at and not _TOLD_WHERE.search(scene.text[max(0, p.at - _NEAR) : p.at]) for p in beside
    )


def _is_only_told_of(part: Part, beside: list[Part], able: set[str], scene: Scene) -> bool:
    """Tell whether a notice is about the services beside it, none of which can bring it."""
    if any(p.mention.service in able for p in beside) or not _ABOUT.match(scene.text[part.at + 1 :][:_NEAR]):
        return False
    return not any(_BY_WAY.search(scene.text[max(0, p.at - _NEAR) : p.at]) for p in beside)


def _is_said_otherwise(part: Part, slots: list[Slot], scene: Scene) -> bool:
    """Tell whether a notification's way is another open kind of the same request."""
    if part.mention.kind != "notification":
        return False
    others = {p.mention.kind for p in scene.parts if p.role == "used"} | {slot.kind for slot in slots}
    return bool(others & _TELLING)


def _filled(part: Part, slot: Slot | None, clause: Clause | None, named: list[Part]) -> Part:
    """Give a part the service that fills it; a name elsewhere counts only for what starts the automation."""
    if slot is None:
        return replace(part, role="mentioned", reason="it describes the service beside it")
    if slot.filled_by is None:
        return part
    filling = [p for p in named if p.mention.service == slot.filled_by]
    if any(p.role == "background" and abs(p.at - part.at) <= _ADJACENT for p in filling):
        return replace(part, role="mentioned", reason="it describes the service beside it")
    same = [p for p in filling if p.role == "used"]
    inside = clause is not None and any(clause.holds(p) for p in same)
    if same and (inside or clause is None or clause.lead is None):
        return replace(part, role="mentioned", reason="it describes a service that is named")
    mention = part.mention
    filled = Mention(mention.start, mention.end, (slot.filled_by,), "kind", mention.name, mention.kind)
    return replace(part, mention=filled, reason=slot.reason)
