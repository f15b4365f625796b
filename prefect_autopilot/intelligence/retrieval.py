"""The part of the catalogue that a request is about: what a language model is shown of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.intelligence.operations import stem
from prefect_autopilot.models import Analysis, JSONDict, Operation, Parameter, RequestContext, Service
from prefect_autopilot.services import Catalogue, fold

MOST_SERVICES = 10
MOST_OPERATIONS = 8
_MOST_GUESSED = 4
_MOST_PARAMETERS = 14
_LONGEST_ABOUT = 80
_SHORTEST_WORD = 3
_PLAIN_HTTP = "http"


def allowed_services(analysis: Analysis, context: RequestContext, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the services a plan may use unasked: named and not ruled out, connected, or chosen before."""
    ruled_out = excluded_services(analysis)
    under = context.preferences.get("services")
    preferred = under if isinstance(under, dict) else context.preferences
    named = [match.service for match in analysis.services]
    read = [step.service for step in analysis.steps]
    chosen = [one for one in preferred.values() if isinstance(one, str)]
    known = dict.fromkeys([*named, *read, *context.connected_services, *chosen])
    return tuple(one for one in known if one in catalogue and one not in ruled_out)


def excluded_services(analysis: Analysis) -> frozenset[str]:
    """Return the services that the request says not to use."""
    return frozenset(match.service for match in analysis.services if match.role == "excluded")


def excerpt(text: str, analysis: Analysis, context: RequestContext, catalogue: Catalogue) -> JSONDict:
    """Return the services a plan may need with the operations and events nearest to the request."""
    words = _words(text)
    allowed = allowed_services(analysis, context, catalogue)
    ruled_out = excluded_services(analysis)
    guessed = [one for one in _guessed(words, catalogue) if one not in ruled_out and one not in allowed]
    used = {(step.service, step.operation) for step in analysis.steps}
    ids = dict.fromkeys([*allowed[:MOST_SERVICES], *guessed[:_MOST_GUESSED], _PLAIN_HTTP])
    shown = [catalogue.get(one) for one in ids if one in catalogue and one not in ruled_out]
    return {
        "services": [
            _service(one, words, {operation for service, operation in used if service == one.id})
            for one in shown
        ]
    }


def _words(text: str) -> Counter[str]:
    found = re.findall(r"[^\W\d_]+", fold(text))
    return Counter(stem(word) for word in found if len(word) >= _SHORTEST_WORD)


def _guessed(words: Counter[str], catalogue: Catalogue) -> list[str]:
    """Return services whose names and keywords are the rarest of those that occur in the request."""
    index = _index(catalogue)
    total = len(catalogue.ids)
    scores: Counter[str] = Counter()
    for word in words:
        bearers = index.get(word, ())
        for service in bearers:
            scores[service] += math.log(total / len(bearers))  # type: ignore[assignment]  # a score, not a count
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [service for service, score in ranked if score > math.log(total) / 2]


@lru_cache(maxsize=2)
def _index(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    bearers: dict[str, list[str]] = {}
    for service in catalogue.services:
        told = " ".join((service.name, *service.aliases, *service.keywords))
        for word in _words(told):
            bearers.setdefault(word, []).append(service.id)
    return {word: tuple(ids) for word, ids in bearers.items()}


def _service(service: Service, words: Counter[str], read: set[str]) -> JSONDict:
    ranked = sorted(
        enumerate(service.operations),
        key=lambda item: (item[1].id not in read, -_nearness(item[1], words), item[0]),
    )
    triggers = [
        {"event": one.event, "means": list(one.phrases[:2]), "fields": list(one.fields)[:_MOST_PARAMETERS]}
        for one in service.triggers
    ]
    return {
        "id": service.id,
        "name": service.name,
        "operations": [_operation(one) for _, one in ranked[:MOST_OPERATIONS]],
        "events": triggers,
    }


def _nearness(operation: Operation, words: Counter[str]) -> int:
    told = _words(f"{operation.id.replace('_', ' ')} {' '.join(operation.verbs)}")
    return sum(1 for word in told if word in words)


def _operation(operation: Operation) -> JSONDict:
    needed = sorted(operation.parameters, key=lambda one: not one.required)
    return {
        "id": operation.id,
        "does": list(operation.verbs[:2]),
        "reads_only": reads(operation),
        "arguments": {one.name: _parameter(one) for one in needed[:_MOST_PARAMETERS]},
    }


def _parameter(parameter: Parameter) -> str:
    parts = [parameter.type, "required" if parameter.required else "optional"]
    if parameter.choices:
        parts.append(f"one of {', '.join(parameter.choices[:8])}")
    if parameter.description:
        parts.append(parameter.description[:_LONGEST_ABOUT])
    return "; ".join(parts)
