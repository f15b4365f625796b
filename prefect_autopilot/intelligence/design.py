"""The workflow of an understood request: name, trigger, parameters, steps."""

from __future__ import annotations

import re
from typing import Literal

from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence.plain_http import GENERIC, as_request, described, is_reachable
from prefect_autopilot.models import (
    Analysis,
    FromParameter,
    Parameter,
    ParameterSpec,
    StepSpec,
    Text,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

_TYPES: dict[str, Literal["str", "int", "float", "bool", "dict", "list"]] = {
    "integer": "int", "number": "float", "boolean": "bool", "object": "dict", "array": "list",
}  # fmt: skip
_LONGEST = 63


def design(analysis: Analysis, catalogue: Catalogue) -> WorkflowSpec:
    """Design the workflow of an analysis.

    A step without a described operation becomes an HTTP request. Raises UsageError where something is
    still to be asked, or where HTTP does not reach a service.
    """
    if analysis.status != "flow" or analysis.trigger is None or not analysis.steps:
        asked = " ".join(question.text for question in analysis.questions) or " ".join(analysis.reasons)
        raise UsageError(f"There is no flow to design yet. {asked}".strip())
    _refuse_unreachable(analysis.steps, catalogue)
    return WorkflowSpec(
        name=_name(analysis),
        request=analysis.text,
        trigger=_trigger(analysis.trigger),
        parameters=_parameters(analysis.steps, catalogue),
        steps=tuple(as_request(step) for step in analysis.steps),
    )


def _refuse_unreachable(steps: tuple[StepSpec, ...], catalogue: Catalogue) -> None:
    """Refuse what neither a described operation nor an HTTP request can do."""
    used = {step.service for step in steps if step.operation == GENERIC}
    names = [s.name for s in sorted(map(catalogue.get, used), key=lambda s: s.id) if not is_reachable(s)]
    if names:
        raise UsageError(
            f"{', '.join(names)} cannot be reached: nothing is described of it and it does not speak HTTP;"
            " add an OpenAPI description of a service in front of it."
        )


def _trigger(trigger: TriggerSpec) -> TriggerSpec:
    """Return what can be deployed: a single run at a moment only the person knows is started by hand."""
    is_once = trigger.type == "schedule" and not (trigger.cron or trigger.rrule or trigger.interval_s)
    return trigger.model_copy(update={"type": "manual"}) if is_once else trigger


def _name(analysis: Analysis) -> str:
    """Name it by two to four words: where it comes from and where it goes."""
    trigger = analysis.trigger
    first = trigger.service if trigger and trigger.service else None
    services = dict.fromkeys(filter(None, (first, *(step.service for step in analysis.steps))))
    words = [part for service in services for part in re.split(r"[^a-z0-9]+", service.lower()) if part]
    kept = words[:4]
    if len(kept) < 2:  # noqa: PLR2004 - a name of two words shadows no module
        kept = [*kept, *re.split(r"[^a-z0-9]+", analysis.steps[0].operation.lower())[:2]]
    name = "-".join(kept)
    if not name[:1].isalpha():
        name = f"flow-{name}"
    return name[:_LONGEST].rstrip("-")


def _parameters(steps: tuple[StepSpec, ...], catalogue: Catalogue) -> tuple[ParameterSpec, ...]:
    """Describe every flow parameter the steps ask for, once."""
    found: dict[str, ParameterSpec] = {}
    for step in steps:
        service = catalogue.get(step.service)
        operation = service.operation(step.operation)
        known = {p.name: p for p in operation.parameters} if operation else {}
        for argument, asked in _asked(step):
            plain = described(asked.name, service) if operation is None else None
            own = plain or _described(asked, known.get(argument), service.name, step)
            found.setdefault(asked.name, own)
    return tuple(found.values())


def _asked(step: StepSpec) -> list[tuple[str, FromParameter]]:
    """Return each flow parameter of a step with the argument it is for."""
    parts = [
        (name, part)
        for name, argument in step.arguments.items()
        for part in (argument.parts if isinstance(argument, Text) else (argument,))
    ]
    return [(name, part) for name, part in parts if isinstance(part, FromParameter)]


def _described(
    asked: FromParameter, parameter: Parameter | None, service: str, step: StepSpec
) -> ParameterSpec:
    about = parameter.name.replace("_", " ") if parameter else asked.name.replace("_", " ")
    detail = f" {parameter.description}" if parameter and parameter.description else ""
    called = f" The request calls it {asked.said!r}." if asked.said else ""
    return ParameterSpec(
        name=asked.name,
        type=_TYPES.get(parameter.type, "str") if parameter else "str",
        required=True,
        description=f"{service}: {about} for {step.operation.replace('_', ' ')}.{detail}{called}",
        example=parameter.example if parameter else None,
    )
