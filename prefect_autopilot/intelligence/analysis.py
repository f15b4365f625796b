"""A request understood: services, trigger, steps, and what must be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence.addresses import address_questions, refused_address
from prefect_autopilot.intelligence.alternatives import settle_alternatives
from prefect_autopilot.intelligence.clauses import Clause, cut
from prefect_autopilot.intelligence.clock import zone_name
from prefect_autopilot.intelligence.coverage import keep_questions, left_over, narrowed, unused_reason
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.directions import Placed, place
from prefect_autopilot.intelligence.document import Document, read, without_surrogates
from prefect_autopilot.intelligence.event_days import days_question
from prefect_autopilot.intelligence.event_questions import event_questions
from prefect_autopilot.intelligence.kinds import Slot
from prefect_autopilot.intelligence.language import detect, language_name
from prefect_autopilot.intelligence.left_out import (
    approval_question,
    missing_branch,
    part_questions,
    second_start,
    sweeping,
    time_questions,
    unread,
    unwritten,
    wait_questions,
)
from prefect_autopilot.intelligence.lexicon import lexicon
from prefect_autopilot.intelligence.lookups import lookup_questions
from prefect_autopilot.intelligence.matches import matches
from prefect_autopilot.intelligence.mentions import find_mentions
from prefect_autopilot.intelligence.no_operation import file_questions, operation_questions
from prefect_autopilot.intelligence.questions import choice_question, merged, slot_question
from prefect_autopilot.intelligence.recommend import recommend
from prefect_autopilot.intelligence.remembered import with_places
from prefect_autopilot.intelligence.roles import assign_roles, settle_exclusions
from prefect_autopilot.intelligence.scene import Part, Scene, make_scene
from prefect_autopilot.intelligence.slots import fill_slots
from prefect_autopilot.intelligence.spelling import corrected
from prefect_autopilot.intelligence.steps import GENERIC, wanted_calls, with_branches, write_steps
from prefect_autopilot.intelligence.trigger import Start, find_start
from prefect_autopilot.intelligence.unknown import unknown_names
from prefect_autopilot.models import (
    Analysis,
    Question,
    RequestContext,
    ServiceMatch,
    Span,
    StepSpec,
    TriggerSpec,
)
from prefect_autopilot.models.workflow import AnalysisStatus
from prefect_autopilot.services import Catalogue

MAX_CHARACTERS = 20_000
_PARTS = {"excluded": "not used", "mentioned": "only mentioned"}
_MOST_UNREADABLE = 0.1
_WISH = re.compile(
    r"\b(?:automat\w+|workflows?|zaps?|flows?|every|when\w*|whenever|help|need|want|business|process"
    r"|tasks?)\b"
)
_RELATION = re.compile(
    r"[-=]{0,9}>|\b(?:to|into|onto|when|whenever|if|for each|for every|from|via|with|using|in|on|by|become)\b"
)
_ASSUMED = re.compile(r"\b(?:proposed|assumed|from your context|announces no|run by hand)\b")
_ONE_PLACE = re.compile(r"\s*(?:'s )?(?:#|channel|board|list|project|group|folder|label)")


@dataclass(frozen=True)
class _Reading:
    """All that was read, before it is judged."""

    scene: Scene
    clauses: tuple[Clause, ...]
    start: Start
    slots: tuple[Slot, ...]
    choices: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...]
    steps: tuple[StepSpec, ...]
    unread: tuple[tuple[Span, ...], tuple[Span, ...]]


def analyze(text: str, context: RequestContext, catalogue: Catalogue) -> Analysis:
    """Understand a request; any text gives an answer, and what is not said is asked and never assumed.

    Raises UsageError if the zone of the context is none.
    """
    if zone_name(context.timezone) != context.timezone:
        raise UsageError(f"{context.timezone!r} is no IANA time zone; give one such as Europe/Berlin.")
    text = without_surrogates(text)
    refusal = _refusal(text) or refused_address(text)
    if refusal:
        return Analysis(text=text[:MAX_CHARACTERS], status="reject", confidence=1.0, reasons=(refusal,))
    document = read(text)
    reading = _read(document, context, catalogue)
    language = detect(_without_names(document, reading.scene))
    if language != "en":
        return _foreign(text, language, reading)
    return _judged(text, reading, catalogue)


def _without_names(document: Document, scene: Scene) -> str:
    """Return the cleaned text without the names of services, which are alike in every language."""
    named = [part.mention for part in scene.parts if part.mention.form not in {"kind", "typo"}]
    text = document.cased
    for mention in named:
        text = f"{text[: mention.start]}{' ' * (mention.end - mention.start)}{text[mention.end :]}"
    return text


def _refusal(text: str) -> str | None:
    if not text.strip():
        return "The request is empty: say what should start the automation and what it should do."
    if len(text) > MAX_CHARACTERS:
        return f"The request has {len(text)} characters, at most {MAX_CHARACTERS} are read: shorten it."
    unreadable = sum((not c.isprintable() and c not in "\n\r\t") or c == "\ufffd" for c in text)
    if unreadable > _MOST_UNREADABLE * len(text) and not any(c.isalpha() for c in read(text).cased):
        return "The request is no text: say in words what should happen."
    return None


def _read(document: Document, context: RequestContext, catalogue: Catalogue) -> _Reading:
    names = lexicon(catalogue)
    document = corrected(document, names)
    named = find_mentions(document, names, context.connected_services)
    scene = assign_roles(make_scene(document, named))
    scene, choices = settle_alternatives(scene, context, catalogue)
    clauses = cut(scene)
    scene = settle_exclusions(scene, clauses)
    scene, slots = fill_slots(scene, clauses, context, catalogue)
    placed = place(scene, clauses)
    placed = _with_background(scene, clauses, placed)
    start = find_start(scene, clauses, placed, catalogue, context.timezone)
    start = narrowed(scene, clauses, start, catalogue)
    calls, start = with_branches(wanted_calls(scene, clauses, placed, start, catalogue), start)
    scene = scene.with_parts(tuple(_promoted(part, placed) for part in scene.parts))
    steps, remembered = with_places(write_steps(scene, clauses, calls, start, catalogue), context)
    start = replace(start, reasons=(*start.reasons, *remembered))
    left = unread(scene, clauses, steps, start)
    return _Reading(scene, clauses, start, slots, choices, unknown_names(scene), steps, left)


def _with_background(
    scene: Scene, clauses: tuple[Clause, ...], placed: tuple[Placed, ...]
) -> tuple[Placed, ...]:
    """Let a service that is in use anyway do what a clause without a service asks for."""
    background = [p for p in scene.parts if p.role == "background"]
    if not background:
        return placed
    busy = {p.clause for p in placed}
    free = [c for c in clauses if c.verb and c.lead is None and c not in busy and c.start > background[-1].at]
    if not free:
        return placed
    clause = free[0]
    last = replace(
        background[-1], role="used", reason="in use, and nothing else is named for it", at=clause.start
    )
    own = Placed(last, clause, "sink", "the request says it is in use")
    return tuple(sorted((*placed, own), key=lambda p: p.part.at))


def _promoted(part: Part, placed: tuple[Placed, ...]) -> Part:
    promoted = next((p for p in placed if p.part.mention is part.mention), None)
    return replace(part, role="used", reason=promoted.part.reason) if promoted else part


def _judged(text: str, reading: _Reading, catalogue: Catalogue) -> Analysis:
    services = matches(reading.scene, reading.slots)
    used = [m.service for m in services if m.role == "used"]
    if not used and not reading.steps and not reading.slots and not reading.choices and not reading.unknown:
        return _nothing(text, reading, services)
    by_hand = list(dict.fromkeys(step.service for step in reading.steps if step.operation == GENERIC))
    unsupported = (
        *reading.unknown,
        *unwritten(reading.scene),
        *(f"{part.text!r}: no step does it" for part in reading.unread[1]),
    )
    questions, reasons = _questions(reading, catalogue), _reasons(reading, services, by_hand, catalogue)
    told = (*(q.text for q in questions), *unsupported, *reasons)
    unused = left_over(reading.scene, reading.clauses, reading.start, reading.steps, told, catalogue)
    asked = [q.text for q in questions]
    unasked = [one for one in unused if not any(one.text in told for told in asked)]
    questions += keep_questions(text, unasked) if reading.steps else []
    blocking = [q for q in questions if q.id != "time"]
    if reading.unknown and not used and not reading.slots:
        status: AnalysisStatus = "unsupported"
    else:
        status = "clarify" if blocking else "flow"
    return Analysis(
        text=text,
        status=status,
        confidence=_confidence(services, clarify=bool(blocking)),
        services=services,
        trigger=reading.start.spec,
        steps=reading.steps,
        questions=merged(questions),
        unsupported=unsupported,
        recommendations=recommend(reading.start, reading.steps, by_hand, reading.unknown, catalogue),
        reasons=(*reasons, *unused_reason(unused)),
        assumptions=tuple(reason for reason in reading.start.reasons if _ASSUMED.search(reason)),
        open_parameters=open_parameters(reading.steps),
        unused=unused,
    )


def _questions(reading: _Reading, catalogue: Catalogue) -> list[Question]:
    """List the questions, the one that changes the flow most first."""
    questions: list[Question] = []
    schedule = reading.start.schedule
    questions += _contradictions(reading.scene, catalogue)
    questions += second_start(reading.scene, reading.clauses, reading.start)
    questions += [] if reading.unknown else event_questions(reading.scene, reading.start, catalogue)
    if schedule and schedule.problems:
        questions.append(Question(id="when", text=f"When should it run? {' '.join(schedule.problems)}"))
    questions += address_questions(reading.scene.document.text)
    questions += [_unknown_question(name) for name in reading.unknown]
    for choice in reading.choices:
        shared = set(catalogue.get(choice[0]).kinds) & set(catalogue.get(choice[1]).kinds)
        questions.append(choice_question(choice, min(shared, default=None), catalogue))
    slots = sorted(reading.slots, key=lambda slot: slot.optional)
    lower = reading.scene.document.lower
    questions += [slot_question(slot, lower[slot.start : slot.end], catalogue) for slot in slots]
    if not reading.steps and not questions:
        questions.append(Question(id="steps", text="What should happen then, and in which service?"))
    elif not questions and not _is_related(reading):
        questions.append(
            Question(id="steps", text="What should start it, and what should be done with these services?")
        )
    branch = missing_branch(reading.scene, reading.steps) if reading.steps and not questions else None
    sweep = sweeping(reading.steps, catalogue)
    questions += [q for q in (branch, sweep) if q]
    if reading.steps and not branch:
        told = [p for p in reading.unread[0] if not any(one in p.text for one in reading.unknown)]
        if days := days_question(reading.scene, reading.clauses):
            questions.append(days[0])
            told = [p for p in told if p.end <= days[1].start or days[1].end <= p.start]
        approval = [] if questions else approval_question(reading.scene)
        questions += [
            *approval,
            *time_questions(reading.scene, reading.start),
            *part_questions(told),
            *lookup_questions(reading.steps, reading.start.spec, catalogue),
        ]
    if not questions:
        questions += file_questions(reading.scene, reading.steps) or operation_questions(
            reading.scene, reading.steps, catalogue
        )
        questions += wait_questions(reading.scene)
    if schedule and schedule.proposed and not schedule.problems and reading.start.spec:
        questions.append(Question(id="time", text=f"Is this right? {' '.join(schedule.proposed)}"))
    return questions


def _contradictions(scene: Scene, catalogue: Catalogue) -> list[Question]:
    """Ask about a service that is to be used and is not to be used; one channel left out is no such thing."""
    used = {p.mention.service for p in scene.parts if p.role == "used"}
    found = dict.fromkeys(
        p.mention.service
        for p in scene.parts
        if p.role == "excluded" and p.mention.service in used and not _ONE_PLACE.match(scene.text, p.at + 1)
    )
    return [
        Question(
            id=f"contradiction_{service}",
            text=f"It is said to use {catalogue.get(service).name} and not to use it: which is meant?",
        )
        for service in found
        if service
    ]


def _unknown_question(name: str) -> Question:
    return Question(
        id=f"unknown_{name.lower()}",
        text=f"{name} is not in the catalogue: at which address does it have an HTTP API or webhooks?",
        options=("generic HTTP request", "webhook"),
    )


def _is_related(reading: _Reading) -> bool:
    """Tell whether anything says what the services have to do with one another."""
    text = reading.scene.text
    return (
        any(c.verb or c.lead for c in reading.clauses)
        or _RELATION.search(text) is not None
        or (reading.start.schedule is not None and reading.start.schedule.strong)
    )


def _nothing(text: str, reading: _Reading, services: tuple[ServiceMatch, ...]) -> Analysis:
    """Answer a request that names no service and no kind of one."""
    wishes = (
        _WISH.search(reading.scene.document.lower)
        or reading.start.schedule
        or any(c.verb for c in reading.clauses)
    )
    if wishes or services:
        start = Question(
            id="start", text="What should start it: a time, an event in a service, or you by hand?"
        )
        steps = Question(id="steps", text="What should it do, and in which services?")
        return Analysis(
            text=text,
            status="clarify",
            confidence=0.5,
            services=services,
            trigger=reading.start.spec,
            questions=(steps,) if reading.start.schedule else (start, steps),
            reasons=("No service is named that the automation would use.",),
        )
    return Analysis(
        text=text,
        status="reject",
        confidence=0.5,
        reasons=("There is no automation in it: say what should start it and what it should do.",),
    )


def _foreign(text: str, language: str, reading: _Reading) -> Analysis:
    # A word of another language is no misspelt name ("sende" is not Sendy).
    misread = {p.mention.service for p in reading.scene.parts if p.mention.form == "typo"}
    services = tuple(match for match in matches(reading.scene, reading.slots) if match.service not in misread)
    name = language_name(language)
    return Analysis(
        text=text,
        status="clarify" if services else "unsupported",
        language=language,
        confidence=0.5,
        services=services,
        trigger=TriggerSpec(type="other"),
        questions=(
            Question(
                id="language",
                text=f"Only English is understood, and this looks like {name}: can you say it in English?",
            ),
        ),
        unsupported=(f"requests in {name}",),
        reasons=("Names of services were read, the rest was not.",),
    )


def _confidence(services: tuple[ServiceMatch, ...], *, clarify: bool) -> float:
    sure = 1.0
    for match in services:
        sure *= match.confidence if match.role == "used" else 1.0
    measured: dict[str, float] = table("confidence")["request"]
    return round(sure * measured["clarify" if clarify else "flow"], 3)


def _reasons(
    reading: _Reading, services: tuple[ServiceMatch, ...], by_hand: list[str], catalogue: Catalogue
) -> tuple[str, ...]:
    """Say why: roles, what started it, what was proposed, what is filled in at the form."""
    reasons = [
        f"{catalogue.get(m.service).name} is {'not used' if m.role == 'excluded' else 'only mentioned'}: "
        f"{m.reason}."
        for m in services
        if m.role in _PARTS
    ]
    if reading.start.source:
        reasons.append(
            f"It starts at {catalogue_name(reading.start, catalogue)}: {reading.start.source.why}."
        )
    reasons += reading.start.reasons
    if asked := sorted(open_parameters(reading.steps)):
        reasons.append(f"Not said, so filled in when the flow is deployed: {', '.join(asked[:12])}.")
    reasons += [
        f"No operation of {catalogue.get(s).name} is described that fits: a plain HTTP request stands for it."
        for s in by_hand
    ]
    return tuple(reasons)


def open_parameters(steps: tuple[StepSpec, ...]) -> tuple[str, ...]:
    """Return the flow parameters the steps ask for, each once, in order."""
    named = (a.name for step in steps for a in step.arguments.values() if a.kind == "parameter")
    return tuple(dict.fromkeys(named))


def catalogue_name(start: Start, catalogue: Catalogue) -> str:
    """Return what the source of an automation is called."""
    source = start.source
    if source is None or source.part.mention.service is None:
        return source.part.mention.name if source else "nothing"
    return catalogue.get(source.part.mention.service).name
