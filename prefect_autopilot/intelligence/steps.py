"""The calls of the automation in order, each with the words that asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from prefect_autopilot.intelligence.addresses import called_addresses
from prefect_autopilot.intelligence.arguments import CHANNEL, fill
from prefect_autopilot.intelligence.branches import (
    FAILS,
    HOLDS,
    condition_before,
    condition_of,
    found_out,
)
from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.intelligence.directions import Direction, Placed
from prefect_autopilot.intelligence.gone_through import goes_through, is_repeated
from prefect_autopilot.intelligence.lists import Items, filled_from, items_of
from prefect_autopilot.intelligence.lookups import looked_up_by, lookup_of
from prefect_autopilot.intelligence.operations import choose_operation, does_itself, is_special
from prefect_autopilot.intelligence.plain_http import GENERIC, plain_arguments, title
from prefect_autopilot.intelligence.same_thing import doing, doing_to
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.intelligence.waits import waits_before
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromStep,
    Operation,
    Service,
    ServiceTrigger,
    StepSpec,
)
from prefect_autopilot.models.conditions import opposite
from prefect_autopilot.services import Catalogue, connection_name
from prefect_autopilot.services.events import answer_text

__all__ = ["GENERIC", "Wanted", "wanted_calls", "write_steps"]

MAX_STEPS = 30
_QUOTES = re.compile(r"\"[^\"\n]*\"")
_OF_IT = re.compile(
    r"\s*(?:(?:and|then|also|please|just|automatically|otherwise|else|if not)\s+)*(?P<verb>[a-z]+)"
    r"(?:\s+(?:an?|the|my)\s+(?P<made>comment|note|reply|label|tag|reaction))?"
    r"(?:\s+\"[^\"]*\")?(?:\s+(?:on|to))?\s+(?:it|them|this|that|each|one|him|her|the (?P<thing>[a-z]+))\b"
)
_TO_ADDRESS = re.compile(r"\bto [\w.+-]+@[\w-]+\.[\w.-]*\w")
_NEXT_ONE = re.compile(r"(?:,| and)\s+(?=#)")
_HTTP = "http"
_TURN: dict[Direction, int] = {"source": 0, "tool": 1, "sink": 2}
"""The order within one clause: read, worked on, written."""

_ANOTHER = re.compile(rf"\s*(?:(?:and|then|also) )*(?:an?|another) {ANY} [a-z]{{3,}}")
"""One more thing of the service before ("then an X invoice")."""

_COUNTED = re.compile(r"\b(?:add|adds|sum|sums|total|totals|count|counts) up\b")
_TO_WEBHOOK = re.compile(r"\b(?:to|into) (?:an? |my |our |the |this |that )?(?:\w+ )?web ?hook\b")
_TOLD = re.compile(r"\b(?:me|us|him|her|them|everyone|everybody)\b")
_LOOKED_UP = re.compile(r"\b(?:get|gets|give|fetch|read|list|search|find|collect|export|pull|look|show)\b")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service the text wants called: where, how, and under which condition."""

    service: Service
    direction: Direction
    clause: Clause
    at: int
    condition: str | None = None
    operation: Operation | None = None
    """Given where the words name the operation and no service ("archive it")."""


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
        is_told = start.spec is not None and start.spec.service == service
        is_ordered = is_told and _is_ordered_too(scene, clauses, place, catalogue.get(service))
        if is_start and not is_ordered and not _answers(scene, place, start, catalogue):
            continue
        origin = start.source.clause if start.source else start.untold
        condition = condition_of(scene, clauses, place.clause, origin)
        direction = "sink" if is_ordered else _as_told(scene, place, catalogue.get(service), placed)
        found.append(Wanted(catalogue.get(service), direction, place.clause, place.part.at, condition))
    found += _to_webhook(scene, clauses, catalogue)
    if _HTTP in catalogue:
        http = catalogue.get(_HTTP)
        found += [
            Wanted(http, "source" if is_read else "sink", clause, at)
            for clause, at, is_read in called_addresses(scene, clauses)
        ]
    if not found and start.source and start.source.clause.lead is None:
        found += _done_to_it(scene, start.source, catalogue)
    found += _spoken_of(scene, clauses, found, start, catalogue)
    found.sort(
        key=lambda w: (
            not (w.direction == "source" and goes_through(w.clause)),
            index[w.clause],
            _TURN[w.direction],
            w.at,
        )
    )
    return tuple(_without_repeats(scene, found, start))[:MAX_STEPS]


def _to_webhook(scene: Scene, clauses: tuple[Clause, ...], catalogue: Catalogue) -> list[Wanted]:
    """Return the call of a webhook that something is sent to; who offers webhooks is asked for nothing."""
    if _HTTP not in catalogue or re.search(r"\bweb ?hook\b", scene.text) is None:
        return []
    for clause in clauses:
        found = _TO_WEBHOOK.search(scene.text, clause.start, clause.end)
        if found and clause.lead is None and re.search(ANY, scene.text[clause.start : found.start()]):
            return [Wanted(catalogue.get(_HTTP), "sink", clause, found.end() - 1)]
    return []


def _spoken_of(
    scene: Scene, clauses: tuple[Clause, ...], found: list[Wanted], start: Start, catalogue: Catalogue
) -> list[Wanted]:
    """Return the calls of clauses that name no service and say what to do with the thing spoken of before."""
    calls: list[Wanted] = []
    source = start.spec.service if start.spec else None
    for i, clause in enumerate(clauses):
        verb = _OF_IT.match(scene.words(clause.start, clause.end)) if clause.lead is None else None
        if (
            verb is None
            or (verb["thing"] and verb["thing"] not in words("triggers.things", "known"))
            or any(clause.holds(part) for part in scene.parts)
        ):
            continue
        before = [call.service.id for call in found if call.at < clause.start]
        for service in [catalogue.get(one) for one in (*reversed(before), source) if one]:
            order = verb["made"] or verb["verb"]
            is_it = verb["thing"] is None or service.id == source
            does = doing(service, order) if is_it else doing_to(service, order, verb["thing"])
            if does is not None:
                condition = condition_before(scene, clauses, i) if i > 1 else None
                calls.append(Wanted(service, "sink", clause, clause.start, condition, does))
                break
    return calls


def _done_to_it(scene: Scene, source: Placed, catalogue: Catalogue) -> list[Wanted]:
    """Return what is done to the new thing itself where nothing else is ordered ("close new X tickets")."""
    if source.part.mention.service is None:
        return []
    service = catalogue.get(source.part.mention.service)
    said = scene.words(source.clause.start, source.clause.end)
    is_ordered = does_itself(service, said)
    return [Wanted(service, "sink", source.clause, source.part.at)] if is_ordered else []


def _as_told(scene: Scene, place: Placed, service: Service, placed: tuple[Placed, ...]) -> Direction:
    """Return the direction of a call.

    Somebody told by a messenger ("slack me when …") is written to, and so is who does alone what one of its
    own phrases says ("move a card to the list Done").
    """
    clause = place.clause
    said = scene.words(clause.start, clause.end)
    if _COUNTED.search(said) and not {"chat", "sms", "email"} & set(service.kinds):
        return "source"
    if place.direction != "source":
        return place.direction
    if "chat" in service.kinds and _TOLD.search(said) and not _LOOKED_UP.search(said):
        return "sink"
    is_alone = not any(one.clause is clause and one is not place for one in placed)
    is_ordered = clause.lead is None and not _TO_WEBHOOK.search(said) and not goes_through(clause)
    is_its_deed = does_itself(service, said) or is_special(said)
    return "sink" if is_alone and is_ordered and is_its_deed else place.direction


def _is_beside(place: Placed, source: Placed) -> bool:
    return place.clause is source.clause and place.part.mention.service == source.part.mention.service


def _answers(scene: Scene, place: Placed, start: Start, catalogue: Catalogue) -> bool:
    """Tell whether a messenger is both asked and answered in ("answer questions in our Discord")."""
    if place is not start.source or place.clause.lead is not None:
        return False
    kinds = catalogue.get(place.part.mention.services[0]).kinds
    said = scene.words(place.clause.start, place.clause.end)
    return "chat" in kinds and re.search(table("triggers")["answering"], said) is not None


def _is_ordered_too(scene: Scene, clauses: tuple[Clause, ...], place: Placed, service: Service) -> bool:
    """Tell whether what starts it is told what to do as well ("draft a Gmail reply when a mail arrives")."""
    if place.clause.lead is not None or not any(c.lead and c.start >= place.clause.end for c in clauses):
        return False
    return does_itself(service, scene.words(place.clause.start, place.clause.end))


def _without_repeats(scene: Scene, found: list[Wanted], start: Start) -> list[Wanted]:
    """Drop a second mention of what was just called; the trigger's own data need no reading."""
    kept: list[Wanted] = []
    trigger = start.spec.service if start.spec else None
    answered = start.source.part.at if start.source else None
    for call in found:
        if call.operation is not None:
            kept.append(call)
            continue
        last = kept[-1] if kept and kept[-1].operation is None else None
        is_more = _ANOTHER.match(scene.text, call.clause.start) is not None
        is_same = last and last.service.id == call.service.id and last.condition == call.condition
        if is_same and not is_more:
            continue
        if any(k.service.id == call.service.id and k.clause is call.clause for k in kept):
            continue
        if not kept and call.service.id == trigger and call.direction == "source" and call.at != answered:
            continue
        kept.append(call)
    return kept


def with_branches(calls: tuple[Wanted, ...], start: Start) -> tuple[tuple[Wanted, ...], Start]:
    """Make the filter of the event a condition where the request says what else is to be done otherwise."""
    filter_ = start.spec.filter if start.spec else None
    first = next((i for i, call in enumerate(calls) if call.condition == FAILS), None)
    before = calls[:first]
    if start.spec is None or not filter_ or first is None or any(c.direction != "sink" for c in before):
        return calls, start
    other = opposite(filter_)
    branched = tuple(
        replace(c, condition=other if c.condition == FAILS else c.condition or filter_) for c in calls
    )
    return branched, replace(start, spec=start.spec.model_copy(update={"filter": None}))


def write_steps(
    scene: Scene,
    clauses: tuple[Clause, ...],
    calls: tuple[Wanted, ...],
    start: Start,
    catalogue: Catalogue,
) -> tuple[StepSpec, ...]:
    """Turn calls into steps: operation, connection, arguments, condition, words."""
    event = _trigger_of(start, catalogue)
    source = catalogue.get(start.spec.service) if start.spec and start.spec.service else None
    steps: list[StepSpec] = []
    read: FromStep | None = None
    answering: list[tuple[StepSpec, bool]] = []
    listed: Items | None = None
    waits = waits_before(scene.text, [(call.clause, call.at) for call in calls])
    names: dict[str, int] = {}
    for number, call in enumerate(calls):
        said = _said(scene, call, calls)
        is_filled = any(c.clause is call.clause and c.direction == "source" for c in calls if c is not call)
        operation = call.operation or choose_operation(
            call.service, said, call.direction, is_filled=is_filled
        )
        is_looked_up = operation is not None and _is_looked_up(calls, number)
        if is_looked_up and operation:
            operation = lookup_of(call.service, operation)
        step_id = _step_id(call.service, operation, names)
        span = clause_span(scene, call.clause)
        is_read = reads(operation) if operation else call.direction == "source"
        step = StepSpec(
            id=step_id,
            service=call.service.id,
            operation=operation.id if operation else GENERIC,
            connection=connection_name(call.service.id),
            arguments=_arguments(call, operation, said, start, (event, source), read),
            condition=found_out(call.condition, answering),
            for_each=read.step if read and _is_repeated(scene, clauses, call) else None,
            wait_s=waits.get(number),
            span=span if span.text else None,
        )
        if is_looked_up and operation:
            by = looked_up_by(operation, event, scene.document.lower)
            step = step.model_copy(update={"arguments": step.arguments | by})
        if listed and not is_read:
            step = filled_from(step, call.service, _said_on(scene, call, clauses), listed)
        summary = _summary(call.service, operation) if operation else title(step, call.service)
        steps.append(step.model_copy(update={"summary": summary}))
        steps += _in_other_channels(steps[-1], said, names)
        text_at = answer_text(call.service.id, step.operation)
        is_list = operation is not None and is_read and operation.list_at is not None
        if text_at or is_list:
            answering.append((step, text_at is not None))
        if operation and is_list and not is_looked_up:
            listed = items_of(step, call.service, operation)
        is_for_later = not is_looked_up or (is_read and not (event or source))
        if is_for_later and (is_read or call.direction == "tool"):
            read = FromStep(step=step_id, path=text_at or "")
    return tuple(steps)


def _arguments(
    call: Wanted,
    operation: Operation | None,
    said: str,
    start: Start,
    origin: tuple[ServiceTrigger | None, Service | None],
    read: FromStep | None,
) -> dict[str, Argument]:
    event, source = origin
    has_event = start.spec is not None and start.spec.type not in {"schedule", "manual"}
    if operation is None or call.service.protocol == "any_http":
        is_read = reads(operation) if operation else call.direction == "source"
        return plain_arguments(call.service, said, is_read=is_read, has_event=has_event, earlier=read)
    return fill(call.service, operation, said, event=event, has_event=has_event, earlier=read, source=source)


def _is_looked_up(calls: tuple[Wanted, ...], number: int) -> bool:
    """Tell whether the next step that asks what was found asks it of this one."""
    for i, later in enumerate(calls[number + 1 :], number + 1):
        if later.condition in {HOLDS, FAILS}:
            return i == number + 1 or all(one.condition in {HOLDS, FAILS} for one in calls[number + 1 : i])
    return False


def _in_other_channels(step: StepSpec, said: str, names: dict[str, int]) -> list[StepSpec]:
    """Repeat a step for the second and later of the channels it names ("tell #sales and #finance")."""
    channels = list(dict.fromkeys(CHANNEL.findall(_QUOTES.sub(" ", said))))
    where = (
        next((k for k, v in step.arguments.items() if v == Constant(value=channels[0])), None)
        if channels
        else None
    )
    copies: list[StepSpec] = []
    for channel in channels[1:] if where else ():
        base = re.sub(r"_\d+$", "", step.id)
        names[base] = names.get(base, 1) + 1
        arguments = {**step.arguments, str(where): Constant(value=channel)}
        copies.append(step.model_copy(update={"id": f"{base}_{names[base]}", "arguments": arguments}))
    return copies


def _said(scene: Scene, call: Wanted, calls: tuple[Wanted, ...]) -> str:
    """Return the words that speak of this call: its clause, cut where other services of it begin."""
    others = sorted(c.at for c in calls if c.clause is call.clause and c.at != call.at)
    first = max((o + 1 for o in others if o < call.at), default=call.clause.start)
    last = min((o for o in others if o > call.at), default=call.clause.end)
    verb = call.clause.verb or ""
    near = scene.cased(first, last)
    if last < call.clause.end and (before := _NEXT_ONE.search(near, max(0, call.at - first))):
        near = near[: before.start()]  # "#billing in Slack and #ops in Discord"
    if call.direction == "sink" and not any(c.direction == "sink" for c in calls if c.at in others):
        reached = _TO_ADDRESS.search(scene.cased(last, call.clause.end))
        near = f"{near} {reached[0]}" if reached else near  # "email the X deals to boss@acme.com"
    return near if verb in near.split() or not verb else f"{verb} {near}"


def _said_on(scene: Scene, call: Wanted, clauses: tuple[Clause, ...]) -> str:
    """Return the words behind a call up to the next order: a list of columns is cut at its commas."""
    later = clauses[clauses.index(call.clause) + 1 :]
    end = next((c.start for c in later if c.verb or c.lead), len(scene.text))
    return scene.words(call.at, end)


def _trigger_of(start: Start, catalogue: Catalogue) -> ServiceTrigger | None:
    if start.spec is None or start.spec.service is None:
        return None
    triggers = catalogue.get(start.spec.service).triggers
    return next((t for t in triggers if t.event == start.spec.event), None)


def _step_id(service: Service, operation: Operation | None, names: dict[str, int]) -> str:
    base = re.sub(r"[^a-z0-9_]+", "_", f"{service.id}_{operation.id if operation else 'request'}".lower())
    names[base] = names.get(base, 0) + 1
    return base if names[base] == 1 else f"{base}_{names[base]}"


def _is_repeated(scene: Scene, clauses: tuple[Clause, ...], call: Wanted) -> bool:
    return call.direction != "source" and is_repeated(scene, clauses, call.clause)


def _summary(service: Service, operation: Operation) -> str:
    phrase = operation.verbs[0] if operation.verbs else operation.id.replace("_", " ")
    return f"{phrase[:1].upper()}{phrase[1:]} ({service.name})"
