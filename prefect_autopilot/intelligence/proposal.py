"""A plan proposed by a language model: its form, and what of it becomes the analysis of a request.

Nothing of it is believed. A step cites words of the request, its service is one the person named, connected
or chose before, its operation stands in the catalogue; times go through our own reader of schedules;
addresses, recipients and numbers that the request does not hold become open parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence.literals import Literals
from prefect_autopilot.intelligence.named_values import parameter_name
from prefect_autopilot.intelligence.operations import destroys
from prefect_autopilot.intelligence.proposed_start import ProposedTrigger, start_of
from prefect_autopilot.intelligence.questions import merged
from prefect_autopilot.intelligence.recommend import recommend
from prefect_autopilot.intelligence.retrieval import allowed_services, excluded_services
from prefect_autopilot.intelligence.trigger import Start
from prefect_autopilot.models import (
    Analysis,
    Argument,
    Constant,
    FromParameter,
    FromStep,
    Operation,
    Parameter,
    Question,
    RequestContext,
    ServiceMatch,
    Span,
    StepSpec,
    Text,
    Value,
)
from prefect_autopilot.services import Catalogue, connection_name, find_operation

_UNSURE = 0.5
"""Confidence of a service that only the language model found: nothing was measured about it."""

_SETTLED = frozenset({"steps", "start", "language"})
"""Questions that a whole plan answers."""

Words = Annotated[str, Field(min_length=2, max_length=400)]


class ProposedStep(Value):
    """One call, with the words of the request that ask for it."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    words: Words
    service: str = Field(max_length=100)
    operation: str = Field(max_length=200)
    arguments: dict[str, Argument] = Field(default_factory=dict, max_length=40)
    condition: str | None = Field(default=None, max_length=200)
    for_each: str | None = Field(default=None, max_length=100)


class NotUsed(Value):
    """A service that the request names and the plan leaves out."""

    service: str
    why: str = Field(max_length=200)


class PlanProposal(Value):
    """The whole plan a language model may answer with; anything else in its answer is refused."""

    trigger: ProposedTrigger
    steps: tuple[ProposedStep, ...] = Field(min_length=1, max_length=20)
    not_used: tuple[NotUsed, ...] = Field(default=(), max_length=20)
    questions: tuple[Annotated[str, Field(min_length=5, max_length=200)], ...] = Field(
        default=(), max_length=3
    )


@dataclass
class _Taking:
    """What is needed to take a plan over, and what was changed on the way."""

    offline: Analysis
    catalogue: Catalogue
    allowed: frozenset[str]
    excluded: frozenset[str]
    literals: Literals
    left_out: list[str] = field(default_factory=list)
    unnamed: dict[str, str] = field(default_factory=dict)
    """Services only the model found, with the words it found them in."""


def adopt(
    proposal: PlanProposal, offline: Analysis, context: RequestContext, catalogue: Catalogue
) -> tuple[Analysis, tuple[str, ...]]:
    """Return the analysis with the proposed plan, and what of it was left out, each with the reason.

    Raises UsageError (or UnknownNameError) that says what of the plan cannot be taken.
    """
    taking = _Taking(
        offline=offline,
        catalogue=catalogue,
        allowed=frozenset(allowed_services(offline, context, catalogue)),
        excluded=excluded_services(offline),
        literals=Literals(offline.text),
    )
    start = start_of(proposal.trigger, offline, catalogue, context.timezone, taking.literals)
    if start.spec and start.spec.service:
        _check_service(start.spec.service, proposal.trigger.words or "", taking)
    steps = _steps(proposal, taking)
    services = _services(proposal, steps, start, taking)
    questions = _questions(proposal, services, start, taking)
    blocking = [one for one in questions if one.id != "time"]
    analysis = offline.model_copy(
        update={
            "status": "clarify" if blocking else "flow",
            "services": services,
            "trigger": start.spec,
            "steps": steps,
            "questions": questions,
            "unsupported": () if offline.language != "en" else offline.unsupported,
            "recommendations": recommend(start, steps, [], (), catalogue),
            "reasons": _reasons(services, start, steps, catalogue),
        }
    )
    return analysis, tuple(taking.left_out)


def _check_service(service_id: str, words: str, taking: _Taking) -> None:
    name = taking.catalogue.get(service_id).name
    if service_id in taking.excluded:
        raise UsageError(f"The request says not to use {name}; plan without it.")
    if service_id not in taking.allowed and taking.catalogue.get(service_id).protocol != "any_http":
        taking.unnamed.setdefault(service_id, words)


def _steps(proposal: PlanProposal, taking: _Taking) -> tuple[StepSpec, ...]:
    done: list[StepSpec] = []
    for step in proposal.steps:
        if step.id in {one.id for one in done}:
            raise UsageError(f"Two steps have the id {step.id!r}; give every step its own.")
        done.append(_step(step, frozenset(one.id for one in done), taking))
    return tuple(done)


def _step(step: ProposedStep, earlier: frozenset[str], taking: _Taking) -> StepSpec:
    if not taking.literals.cites(step.words):
        raise UsageError(f"The step {step.id!r} cites words that are not in the request: copy them from it.")
    service = taking.catalogue.get(step.service)
    operation = find_operation(service, step.operation)
    _check_service(service.id, step.words, taking)
    _check_harm(step, operation, taking)
    known = {one.name: one for one in operation.parameters}
    arguments: dict[str, Argument] = {}
    for name, value in step.arguments.items():
        _check_earlier(step.id, value, earlier)
        open_name = parameter_name(service.id, name)
        arguments[name] = _settled(
            value, known.get(name), open_name, taking, plain=service.protocol == "http"
        )
    for name, parameter in known.items():
        if parameter.required and parameter.default is None and name not in arguments:
            arguments[name] = FromParameter(name=parameter_name(service.id, name))
    if step.condition and taking.offline.language == "en" and not taking.literals.cites(step.condition):
        raise UsageError(f"The condition of {step.id!r} is not in the request: copy its words, or leave it.")
    found = taking.literals.place(step.words)
    verb = operation.verbs[0] if operation.verbs else operation.id.replace("_", " ")
    return StepSpec(
        id=step.id,
        service=service.id,
        operation=operation.id,
        connection=connection_name(service.id),
        arguments=arguments,
        condition=step.condition or None,
        for_each=step.for_each or None,
        summary=f"{verb[:1].upper()}{verb[1:]} ({service.name})",
        span=Span(start=found[0], end=found[1], text=taking.offline.text[slice(*found)]) if found else None,
    )


def _check_harm(step: ProposedStep, operation: Operation, taking: _Taking) -> None:
    """Refuse what destroys, unless our own reading of the request has the same call."""
    method = step.arguments.get("method")
    asked = method.value if isinstance(method, Constant) else None
    told = str(asked).upper() if asked is not None else ""
    own = {(one.service, one.operation) for one in taking.offline.steps}
    if (destroys(operation) and (step.service, step.operation) not in own) or told in {
        "DELETE",
        "PUT",
        "PATCH",
    }:
        raise UsageError(f"The step {step.id!r} destroys or replaces something; leave it out.")


def _check_earlier(step: str, value: Argument, earlier: frozenset[str]) -> None:
    parts = value.parts if isinstance(value, Text) else (value,)
    for part in parts:
        if isinstance(part, FromStep) and part.step not in earlier:
            raise UsageError(f"The step {step!r} uses {part.step!r}, which is no step before it.")


def _settled(
    value: Argument, parameter: Parameter | None, open_name: str, taking: _Taking, *, plain: bool
) -> Argument:
    """Return an argument as it may stand; a literal that the request does not hold becomes a parameter."""
    if isinstance(value, FromParameter):
        return FromParameter(name=open_name)
    parts = value.parts if isinstance(value, Text) else (value,)
    for part in parts:
        if isinstance(part, Constant):
            problem = taking.literals.objection(part.value, parameter, plain=plain)
            if problem:
                taking.left_out.append(f"{open_name}: {problem}, so it is asked for.")
                return FromParameter(name=open_name)
    if isinstance(value, Text):
        named = [FromParameter(name=open_name) if isinstance(p, FromParameter) else p for p in parts]
        return Text.model_validate({"parts": [one.model_dump() for one in named]})
    return value


def _services(
    proposal: PlanProposal, steps: tuple[StepSpec, ...], start: Start, taking: _Taking
) -> tuple[ServiceMatch, ...]:
    """Return what was found offline with the roles of the plan, and what only the model found."""
    source = start.spec.service if start.spec else None
    used = dict.fromkeys(filter(None, (source, *(step.service for step in steps))))
    why = {one.service: one.why for one in proposal.not_used}
    told: list[ServiceMatch] = []
    for match in taking.offline.services:
        if match.role == "used" and match.service not in used:
            if match.service not in why:
                name = taking.catalogue.get(match.service).name
                raise UsageError(f"The request names {name}: use it, or say in not_used why it is not.")
            reason = f"the language model leaves it out: {_shown(why[match.service])}"
            taking.left_out.append(f"{match.service}: {reason}.")
            told.append(match.model_copy(update={"role": "mentioned", "reason": reason}))
        elif match.role != "used" and match.service in used:
            reason = "the language model reads it as used"
            told.append(match.model_copy(update={"role": "used", "reason": reason, "confidence": _UNSURE}))
        else:
            told.append(match)
    known = {match.service for match in told}
    told += [
        ServiceMatch(service=one, confidence=_UNSURE, reason="connected or chosen before")
        for one in used
        if one not in known and one not in taking.unnamed
    ]
    for service, words in taking.unnamed.items():
        reason = f"the language model reads {_shown(words)!r} as it"
        told.append(ServiceMatch(service=service, confidence=_UNSURE, reason=reason))
    return tuple(told)


def _questions(
    proposal: PlanProposal, services: tuple[ServiceMatch, ...], start: Start, taking: _Taking
) -> tuple[Question, ...]:
    """Keep what only the person can say; a kind is settled by a service that may be used for it."""
    settled = {
        f"service_{kind}"
        for match in services
        if match.role == "used" and match.service not in taking.unnamed
        for kind in taking.catalogue.get(match.service).kinds
    }
    asked = [one for one in taking.offline.questions if one.id not in settled | _SETTLED | {"time"}]
    for service, words in taking.unnamed.items():
        name = taking.catalogue.get(service).name
        text = f"Does {_shown(words)!r} mean {name}? The request does not name it, and it is not connected."
        asked.append(Question(id=f"use_{service}", text=text, options=(name,)))
    asked += [
        Question(id=f"model_{number}", text=f"The language model asks: {_shown(text)}")
        for number, text in enumerate(proposal.questions, 1)
    ]
    if start.schedule and start.schedule.proposed:
        asked.append(Question(id="time", text=f"Is this right? {' '.join(start.schedule.proposed)}"))
    elif start.spec is taking.offline.trigger:
        asked += [one for one in taking.offline.questions if one.id == "time"]
    return merged(asked)


def _reasons(
    services: tuple[ServiceMatch, ...], start: Start, steps: tuple[StepSpec, ...], catalogue: Catalogue
) -> tuple[str, ...]:
    reasons = [
        f"{catalogue.get(one.service).name} is {'not used' if one.role == 'excluded' else 'only mentioned'}:"
        f" {one.reason}."
        for one in services
        if one.role != "used"
    ]
    reasons += start.reasons
    asked = {a.name for step in steps for a in step.arguments.values() if isinstance(a, FromParameter)}
    if asked:
        told = ", ".join(sorted(asked)[:12])
        reasons.append(f"Not said, so filled in when the flow is deployed: {told}.")
    return tuple(reasons)


def _shown(text: str) -> str:
    """Return words from outside on one line, without signs that a terminal or page could obey."""
    return " ".join(re.sub(r"[^\w\s.,;:!?'()/@#&+-]", "", text).split())[:120]
