"""Places a person corrected before ("#ops" for Slack's channel), taken where a request names none."""

from __future__ import annotations

from prefect_autopilot.intelligence.named_values import parameter_name
from prefect_autopilot.models import Constant, FromParameter, RequestContext, StepSpec

_LONGEST = 200


def place_key(service: str, parameter: str) -> str:
    """Return the name under which the value of an operation's parameter is remembered."""
    return f"{service}.{parameter}"


def with_places(
    steps: tuple[StepSpec, ...], context: RequestContext
) -> tuple[tuple[StepSpec, ...], tuple[str, ...]]:
    """Return the steps with remembered places filled in, and a sentence for each, so that it can be seen."""
    under = context.preferences.get("services")
    known = under if isinstance(under, dict) else context.preferences
    told: dict[str, None] = {}
    filled: list[StepSpec] = []
    for step in steps:
        own = dict(step.arguments)
        for name, argument in step.arguments.items():
            choice = known.get(place_key(step.service, name))
            is_asked = argument == FromParameter(name=parameter_name(step.service, name))
            if is_asked and isinstance(choice, str) and 0 < len(choice) <= _LONGEST:
                own[name] = Constant(value=choice)
                told[
                    f"{choice!r} is assumed as {name.replace('_', ' ')} of {step.service}: chosen before."
                ] = None
        filled.append(step.model_copy(update={"arguments": own}) if own != step.arguments else step)
    return tuple(filled), tuple(told)
