"""The calls of the automation in order, each with the words that asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prefect_autopilot.intelligence.arguments import fill
from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import Direction, Placed
from prefect_autopilot.intelligence.operations import choose_operation
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.models import Operation, Service, ServiceTrigger, StepSpec
from prefect_autopilot.services import Catalogue, connection_name

MAX_STEPS = 30
GENERIC = "http_request"
"""Operation of a step whose service has none described: a request by hand."""

_EACH = re.compile(r"\b(?:for each|for every|each|every|per (?:item|row|line|entry|record))\b")
_CONDITION = re.compile(
    r"^\s*(?:and |but |then |only )?(?:if|unless|only if|in case)\b\s*(?P<what>.{3,160})", re.DOTALL
)
_INLINE = re.compile(r"\b(?:only if|unless|if|but only when|only when)\b\s*(?P<what>[^.,;>]{3,120})$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service the text wants called: where, how, and under which condition."""

    service: Service
    direction: Direction
    clause: Clause
    at: int
    condition: str | None = None


def wanted_calls(
    scene: Scene, clauses: tuple[Clause, ...], placed: tuple[Placed, ...], start: Start, catalogue: Catalogue
) -> tuple[Wanted, ...]:
    """List the calls in order: clause by clause, what is read before what is written."""
    found: list[Wanted] = []
    index = {clause: i for i, clause in enumerate(clauses)}
    for place in placed:
        service = place.part.mention.service
        if service is None:
            continue
        is_start = start.source and (place is start.source or _is_beside(place, start.source))
        if is_start and not _answers(scene, place, start, catalogue):
            continue
        condition = _condition(scene, clauses, place.clause)
        found.append(Wanted(catalogue.get(service), place.direction, place.clause, place.part.at, condition))
    found.sort(key=lambda w: (index[w.clause], w.direction != "source", w.at))
    return tuple(_without_repeats(found, start))[:MAX_STEPS]


def _is_beside(place: Placed, source: Placed) -> bool:
    return place.clause is source.clause and place.part.mention.service == source.part.mention.service


def _answers(scene: Scene, place: Placed, start: Start, catalogue: Catalogue) -> bool:
    """Tell whether a messenger is both asked and answered in ("answer questions in our Discord")."""
    if place is not start.source or place.clause.lead is not None:
        return False
    kinds = catalogue.get(place.part.mention.services[0]).kinds
    said = scene.words(place.clause.start, place.clause.end)
    return "chat" in kinds and re.search(table("triggers")["answering"], said) is not None


def _without_repeats(found: list[Wanted], start: Start) -> list[Wanted]:
    """Drop a second mention of what was just called; the trigger's own data need no reading."""
    kept: list[Wanted] = []
    trigger = start.spec.service if start.spec else None
    answered = start.source.part.at if start.source else None
    for call in found:
        if kept and kept[-1].service.id == call.service.id:
            continue
        if any(k.service.id == call.service.id and k.clause is call.clause for k in kept):
            continue
        if not kept and call.service.id == trigger and call.direction == "source" and call.at != answered:
            continue
        kept.append(call)
    return kept


def _condition(scene: Scene, clauses: tuple[Clause, ...], clause: Clause) -> str | None:
    """Return the "if …" the clause holds or follows, in the person's words."""
    if re.search(
        r"\b(?:that|this|it)(?: is|'s)(?: not|n't)? (?:available|possible|down|working)\b",
        scene.document.lower,
    ):
        return None
    own = _INLINE.search(scene.words(clause.start, clause.end))
    if own and clause.lead is None:
        return own["what"].strip()
    i = clauses.index(clause)
    if i and clauses[i - 1].lead and i > 1:
        before = _CONDITION.match(scene.words(clauses[i - 1].start, clauses[i - 1].end))
        if before:
            return before["what"].strip()
    if i and clauses[i - 1].lead is None and re.match(r"\s*[-=]*>", scene.text[clauses[i - 1].end :]):
        left = scene.words(clauses[i - 1].start, clauses[i - 1].end).strip()
        if clauses[i - 1].verb is None and 3 <= len(left) <= 80 and i > 1:  # noqa: PLR2004 - the length of a condition
            return left
    return None


def write_steps(
    scene: Scene, calls: tuple[Wanted, ...], start: Start, catalogue: Catalogue
) -> tuple[StepSpec, ...]:
    """Turn calls into steps: operation, connection, arguments, condition, words."""
    event = _trigger_of(start, catalogue)
    has_event = start.spec is not None and start.spec.type not in {"schedule", "manual"}
    steps: list[StepSpec] = []
    read: str | None = None
    names: dict[str, int] = {}
    for call in calls:
        said = _said(scene, call, calls)
        operation = choose_operation(call.service, said, call.direction)
        step_id = _step_id(call.service, operation, names)
        span = clause_span(scene, call.clause)
        steps.append(
            StepSpec(
                id=step_id,
                service=call.service.id,
                operation=operation.id if operation else GENERIC,
                connection=connection_name(call.service.id),
                arguments=fill(call.service, operation, said, event=event, has_event=has_event, earlier=read)
                if operation
                else {},
                condition=call.condition,
                for_each=_for_each(scene, call, read),
                summary=_summary(call.service, operation),
                span=span if span.text else None,
            )
        )
        if operation and (operation.method == "GET" or call.direction == "tool"):
            read = step_id
    return tuple(steps)


def _said(scene: Scene, call: Wanted, calls: tuple[Wanted, ...]) -> str:
    """Return the words that speak of this call: its clause, cut where other services of it begin."""
    others = sorted(c.at for c in calls if c.clause is call.clause and c.at != call.at)
    first = max((o + 1 for o in others if o < call.at), default=call.clause.start)
    last = min((o for o in others if o > call.at), default=call.clause.end)
    verb = call.clause.verb or ""
    near = scene.words(first, last)
    return near if verb in near.split() or not verb else f"{verb} {near}"


def _trigger_of(start: Start, catalogue: Catalogue) -> ServiceTrigger | None:
    if start.spec is None or start.spec.service is None:
        return None
    triggers = catalogue.get(start.spec.service).triggers
    return next((t for t in triggers if t.event == start.spec.event), None)


def _step_id(service: Service, operation: Operation | None, names: dict[str, int]) -> str:
    base = re.sub(r"[^a-z0-9_]+", "_", f"{service.id}_{operation.id if operation else 'request'}".lower())
    names[base] = names.get(base, 0) + 1
    return base if names[base] == 1 else f"{base}_{names[base]}"


def _for_each(scene: Scene, call: Wanted, read: str | None) -> str | None:
    """Repeat a step for each row of what was read, where the words say so."""
    if read is None or call.direction == "source":
        return None
    return read if _EACH.search(scene.words(call.clause.start, call.clause.end)) else None


def _summary(service: Service, operation: Operation | None) -> str:
    if operation is None:
        return f"Call {service.name}"
    phrase = operation.verbs[0] if operation.verbs else operation.id.replace("_", " ")
    return f"{phrase[:1].upper()}{phrase[1:]} ({service.name})"
