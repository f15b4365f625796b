"""What simulated services must hold so that a flow can be tried: rows of its lists, things it changes."""

from __future__ import annotations

import re

from prefect_autopilot import services
from prefect_autopilot.codegen.events import Shape, sample_event
from prefect_autopilot.codegen.plan import example_values, goes_through, step_paths
from prefect_autopilot.models import Constant, FromParameter, JSONDict, StepSpec, WorkflowSpec

_NAMES_ONE = re.compile(r"id|\w+_id|\w+Id|\w*(?:gid|iid)|\w*(?:IdOrKey|_number)")
_NEEDS_NONE = frozenset({"create", "list", "search", "send", "post", "append", "insert", "query", "find"})
"""What an operation does to nothing that is there already."""


def rows_to_seed(spec: WorkflowSpec) -> tuple[tuple[str, str, JSONDict], ...]:
    """Return service, resource and a row for each list of a loop that simulated services have empty.

    Without a row the body of the loop would never be tried.
    """
    lists = {step.for_each.split(".")[0] for step in spec.steps if step.for_each}
    arguments = [one for step in spec.steps for one in step.arguments.values()]
    lists |= {step.id for step in spec.steps if any(goes_through(one, step.id) for one in arguments)}
    wanted: list[tuple[str, str, JSONDict]] = []
    for step in spec.steps:
        resource = services.resource_of(step.service, step.operation)
        if step.id in lists and not services.sample_rows(step.service).get(resource):
            read = [path for other in spec.steps for path in step_paths(other, step.id)]
            wanted.append((step.service, resource, sample_event(Shape(), ("id", "name", *read))))
        elif row := _thing_of(step, spec):
            wanted.append((step.service, resource, row))
    return tuple(wanted)


def _thing_of(step: StepSpec, spec: WorkflowSpec) -> JSONDict | None:
    """Return the row that a step changes or reads by an id that the person gives, None for other steps."""
    held = services.sample_rows(step.service).get(services.resource_of(step.service, step.operation))
    ids = [name for name in step.arguments if _NAMES_ONE.fullmatch(name)]
    if not held or not ids or step.operation.partition("_")[0] in _NEEDS_NONE:
        return None
    match step.arguments[ids[-1]]:
        case Constant(value=str() | int() as value):
            return {**held[0], "id": value}
        case FromParameter(name=name):
            return {**held[0], "id": example_values(spec).get(name, "example")}
    return None
