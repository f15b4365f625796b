"""An answer to a question → the request, or what is known of who asks, with the answer in it."""

from __future__ import annotations

import re

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.intelligence.left_out import LEAVE_OUT
from prefect_autopilot.models import JSONDict, Question, RequestContext

_PART = re.compile(r"part_(\d{1,6})_(\d{1,6})")
_SUPPOSED = re.compile(r",?\s+(?:but )?(?:only )?(?:if|unless|when)\b")


def answered(
    request: str, context: RequestContext, question: Question, said: str
) -> tuple[str, RequestContext]:
    """Return request and context with an answer: a service in the context, anything else as a sentence."""
    catalogue = user_catalogue()
    found = (catalogue.get(said),) if said in catalogue else catalogue.find(said)
    if len(found) == 1 and question.id.startswith("service_"):
        kind = question.id.removeprefix("service_")
        return request, with_service(context, kind, found[0].id)
    if len(found) == 1 and question.id.startswith("choice_"):
        others = set(question.options) - {found[0].id}
        kept = tuple(one for one in context.connected_services if one not in others)
        return request, context.model_copy(update={"connected_services": (*kept, found[0].id)})
    if len(found) == 1 and question.id == "more":
        return request, context.model_copy(
            update={"connected_services": (*context.connected_services, found[0].id)}
        )
    if part := _PART.fullmatch(question.id):
        name = found[0].name if len(found) == 1 else None
        return _with_part(request, int(part[1]), int(part[2]), name or said, is_service=bool(name)), context
    ended = request.rstrip()
    stop = "" if re.search(r"[.!?]$", ended) else "."
    return f"{ended}{stop} {said}", context


def last_part_first(questions: tuple[Question, ...]) -> tuple[Question, ...]:
    """Return questions in an order in which each answer leaves the places of those to come as they are."""

    def place(question: Question) -> int:
        part = _PART.fullmatch(question.id)
        return int(part[1]) if part else -1

    return tuple(sorted(questions, key=place, reverse=True))


def _with_part(request: str, start: int, end: int, said: str, *, is_service: bool) -> str:
    """Return the request with one part of it left out, done in a service, or said in other words."""
    before, part, after = request[:start], request[start:end], request[end:]
    if said.strip().lower() == LEAVE_OUT:
        return before.rstrip(" ,;") + after
    if not is_service:
        return before + said + after
    condition = _SUPPOSED.search(part)
    cut = condition.start() if condition else len(part)
    return f"{before}{part[:cut].rstrip()} in {said}{part[cut:]}{after}"


def newly_chosen(before: RequestContext, after: RequestContext) -> dict[str, str]:
    """Return the services by kind that were chosen between two contexts."""
    known, chosen = _services(before), _services(after)
    return {kind: service for kind, service in chosen.items() if known.get(kind) != service}


def _services(context: RequestContext) -> JSONDict:
    under = context.preferences.get("services")
    return under if isinstance(under, dict) else context.preferences


def with_service(context: RequestContext, kind: str, service: str) -> RequestContext:
    """Return the context with a service preferred for a kind."""
    under = context.preferences.get("services")
    if isinstance(under, dict):
        preferences = context.preferences | {"services": under | {kind: service}}
    else:
        preferences = context.preferences | {kind: service}
    return context.model_copy(update={"preferences": preferences})
