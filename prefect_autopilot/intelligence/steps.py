"""The calls of the automation in order, each with the words that asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prefect_autopilot.intelligence.addresses import called_addresses
from prefect_autopilot.intelligence.arguments import CHANNEL, fill
from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import Direction, Placed
from prefect_autopilot.intelligence.operations import choose_operation, reads
from prefect_autopilot.intelligence.plain_http import GENERIC, plain_arguments, title
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.intelligence.waits import waits_before
from prefect_autopilot.models import Constant, FromStep, Operation, Service, ServiceTrigger, StepSpec
from prefect_autopilot.services import Catalogue, connection_name
from prefect_autopilot.services.events import answer_text

__all__ = ["GENERIC", "Wanted", "wanted_calls", "write_steps"]

MAX_STEPS = 30
_QUOTES = re.compile(r"\"[^\"\n]*\"")
_EACH = re.compile(
    r"\b(?:(?:for each|for every|each|every)\b(?!\s+(?:other|single|second|\d+|[a-z]*day|week\w*"
    r"|month|quarter|year"
    r"|hour|minute|morning|afternoon|evening|night|time)\b)|per (?:item|row|line|entry|record)\b)"
)
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

_OF_IT = re.compile(
    r"\s*(?:(?:and|then|also|please|just|automatically)\s+)*(?P<verb>[a-z]+)\s+(?:it|them|this|that|each)\b"
)
_NEXT_ONE = re.compile(r"(?:,| and)\s+(?=#)")
_IT_IS = re.compile(r"^(?:it|this|that)(?:'s| is) ")
_HTTP = "http"
_TURN: dict[Direction, int] = {"source": 0, "tool": 1, "sink": 2}
"""The order within one clause: read, worked on, written."""

_TO_WEBHOOK = re.compile(r"\b(?:to|into) (?:an? |my |our |the |this |that )?(?:\w+ )?web ?hook\b")
_OPPOSITE = re.compile(r"^[\s,;.]*(?:and |or )?(?:otherwise|else|if not|everything else|the rest)\b")
_TOLD = re.compile(r"\b(?:me|us|him|her|them|everyone|everybody)\b")
_LOOKED_UP = re.compile(r"\b(?:get|gets|give|fetch|read|list|search|find|collect|export|pull|look|show)\b")
_INLINE = re.compile(r"\b(?P<word>only if|unless|if|but only when|only when)\b\s*(?P<what>[^.,;>]{3,120})$")


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
        if is_start and not _answers(scene, place, start, catalogue):
            continue
        condition = _condition(scene, clauses, place.clause, start.source.clause if start.source else None)
        direction = _as_told(scene, place, catalogue.get(service))
        found.append(Wanted(catalogue.get(service), direction, place.clause, place.part.at, condition))
    found += _to_webhook(scene, clauses, catalogue)
    if _HTTP in catalogue:
        http = catalogue.get(_HTTP)
        found += [
            Wanted(http, "source" if is_read else "sink", clause, at)
            for clause, at, is_read in called_addresses(scene, clauses)
        ]
    found += _spoken_of(scene, clauses, found, start, catalogue)
    found.sort(
        key=lambda w: (
            not (w.direction == "source" and goes_through(w.clause)),
            index[w.clause],
            _TURN[w.direction],
            w.at,
        )
    )
    return tuple(_without_repeats(found, start))[:MAX_STEPS]


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
        if verb is None or any(clause.holds(part) for part in scene.parts):
            continue
        before = [call.service.id for call in found if call.at < clause.start]
        for service in [catalogue.get(one) for one in (*reversed(before), source) if one]:
            known = (o for o in service.operations if not reads(o))
            does = next((o for o in known if verb["verb"] in {v.split()[0] for v in o.verbs}), None)
            if does is not None:
                condition = _condition_before(scene, clauses, i) if i > 1 else None
                calls.append(Wanted(service, "sink", clause, clause.start, condition, does))
                break
    return calls


def goes_through(clause: Clause) -> bool:
    """Tell whether a clause says what to do for each thing that is there ("for every row in …")."""
    return clause.lead is not None and _EACH.match(clause.lead) is not None and "new" not in clause.lead


def _as_told(scene: Scene, place: Placed, service: Service) -> Direction:
    """Return the direction of a call; somebody told by a messenger ("slack me when …") is written to."""
    said = scene.words(place.clause.start, place.clause.end)
    is_told = "chat" in service.kinds and _TOLD.search(said) and not _LOOKED_UP.search(said)
    return "sink" if place.direction == "source" and is_told else place.direction


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
        if call.operation is not None:
            kept.append(call)
            continue
        if kept and kept[-1].service.id == call.service.id:
            continue
        if any(k.service.id == call.service.id and k.clause is call.clause for k in kept):
            continue
        if not kept and call.service.id == trigger and call.direction == "source" and call.at != answered:
            continue
        kept.append(call)
    return kept


def _condition(
    scene: Scene, clauses: tuple[Clause, ...], clause: Clause, source: Clause | None
) -> str | None:
    """Return the condition the clause states, follows or is the opposite of, in the person's words."""
    if _SPARE.search(scene.document.lower):
        return None
    own = _INLINE.search(scene.words(clause.start, clause.end))
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
    return _condition_before(scene, clauses, i) if i > 1 else None


def _condition_before(scene: Scene, clauses: tuple[Clause, ...], i: int) -> str | None:
    """Return the condition of the clauses before; the first clause starts the automation, it is none."""
    clause, last = clauses[i], clauses[i - 1]
    if _OPPOSITE.search(scene.text[last.end : clause.end]):
        before = next((c for c in reversed(clauses[1:i]) if c.lead), None)
        stated = _stated(scene, before)
        return f"not {_IT_IS.sub('', stated)}" if stated else None
    return _stated(scene, last) if last.lead else _left_of_arrow(scene, last)


def _stated(scene: Scene, clause: Clause | None) -> str | None:
    """Return what a clause with "if" says."""
    found = _CONDITION.match(scene.words(clause.start, clause.end)) if clause else None
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
    has_event = start.spec is not None and start.spec.type not in {"schedule", "manual"}
    steps: list[StepSpec] = []
    read: FromStep | None = None
    waits = waits_before(scene.text, [(call.clause, call.at) for call in calls])
    names: dict[str, int] = {}
    for number, call in enumerate(calls):
        said = _said(scene, call, calls)
        operation = call.operation or choose_operation(call.service, said, call.direction)
        step_id = _step_id(call.service, operation, names)
        span = clause_span(scene, call.clause)
        is_read = reads(operation) if operation else call.direction == "source"
        step = StepSpec(
            id=step_id,
            service=call.service.id,
            operation=operation.id if operation else GENERIC,
            connection=connection_name(call.service.id),
            arguments=fill(
                call.service,
                operation,
                said,
                event=event,
                has_event=has_event,
                earlier=read,
                source=source,
            )
            if operation and call.service.protocol != "any_http"
            else plain_arguments(call.service, said, is_read=is_read, has_event=has_event, earlier=read),
            condition=call.condition,
            for_each=_for_each(scene, clauses, call, read.step if read else None),
            wait_s=waits.get(number),
            span=span if span.text else None,
        )
        summary = _summary(call.service, operation) if operation else title(step, call.service)
        steps.append(step.model_copy(update={"summary": summary}))
        steps += _in_other_channels(steps[-1], said, names)
        if is_read or call.direction == "tool":
            text_at = answer_text(call.service.id, step.operation)
            read = FromStep(step=step_id, path=text_at or "")
    return tuple(steps)


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


def _for_each(scene: Scene, clauses: tuple[Clause, ...], call: Wanted, read: str | None) -> str | None:
    """Repeat a step for each row of what was read, where its words or those right after say so."""
    if read is None or call.direction == "source":
        return None
    i = clauses.index(call.clause)
    after = clauses[i + 1] if i + 1 < len(clauses) else None
    before = clauses[i - 1] if i else None
    end = after.end if after and after.lead and _EACH.match(after.lead) else call.clause.end
    is_led = before is not None and before.lead is not None and before.verb is None
    names_none = before is not None and not re.search(ANY, scene.text[before.start : before.end])
    is_gone_through = before is not None and goes_through(before)
    start = before.start if before and is_led and (names_none or is_gone_through) else None
    return read if _EACH.search(scene.words(call.clause.start if start is None else start, end)) else None


def _summary(service: Service, operation: Operation) -> str:
    phrase = operation.verbs[0] if operation.verbs else operation.id.replace("_", " ")
    return f"{phrase[:1].upper()}{phrase[1:]} ({service.name})"
