"""An answer to a question → the request, or what is known of who asks, with the answer in it."""

from __future__ import annotations

import re

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.models import JSONDict, Question, RequestContext


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
    ended = request.rstrip()
    stop = "" if re.search(r"[.!?]$", ended) else "."
    return f"{ended}{stop} {said}", context


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
