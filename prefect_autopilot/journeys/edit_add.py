"""A step added to a flow: its operation, its arguments from what the flow has at hand, its place."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from prefect_autopilot.codegen import edit as source_edit
from prefect_autopilot.codegen.names import step_title
from prefect_autopilot.codegen.reading import Call, FlowSource
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.arguments import role_of
from prefect_autopilot.intelligence.changes import Change
from prefect_autopilot.intelligence.named_values import parameter_name
from prefect_autopilot.intelligence.steps import GENERIC
from prefect_autopilot.journeys.edit_place import Condition, ask, condition_of, find_step
from prefect_autopilot.models import Constant, FromParameter, Operation, RequestContext, Service, StepSpec
from prefect_autopilot.services import Catalogue, service_of_connection

TASK = ("prefect_autopilot.tasks", "call_service")
_TYPES = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "object": "dict[str, object]",
    "array": "list[object]",
}
_EXAMPLES = {"integer": "1", "number": "1.0", "boolean": "True", "object": "{}", "array": "[]"}
_SHARED_ROLES = frozenset({"title", "text"})


@dataclass
class Made:
    """Edits of a source, and what is to be told of them."""

    edits: list[TextEdit] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add_steps(
    flow: FlowSource,
    change: Change,
    context: RequestContext,
    catalogue: Catalogue,
    steps: tuple[StepSpec, ...] = (),
    *,
    beside: Call | None = None,
) -> Made:
    """Return the edits that add what a change asks for, or the ``steps`` given.

    Raises UnclearError for what must be asked first.
    """
    wanted = steps or _wanted(flow, change, context, catalogue)
    condition = condition_of(flow, change, context, catalogue)
    anchor = beside or (find_step(flow, change.anchor, catalogue) if change.side else None)
    made = Made()
    new = [step for step in wanted if not _is_there(flow, step, condition, made)]
    if not new:
        return made
    imports, names = source_edit.import_edits(flow, [TASK])
    made.edits += [*(condition.imports if condition else ()), *imports]
    place: Call | None = anchor
    lines: list[str] = []
    for step in new:
        told, twin = _lines(flow, step, names["call_service"], anchor, catalogue, made)
        lines += told
        place = place or twin
    shown = source_edit.under_condition(lines, condition.test if condition else None)
    made.edits.append(
        source_edit.insert_lines(
            flow,
            [*(condition.setup if condition else ()), *shown],
            beside=place.statement if place else None,
            before=change.side == "before",
        )
    )
    return made


def _wanted(
    flow: FlowSource, change: Change, context: RequestContext, catalogue: Catalogue
) -> tuple[StepSpec, ...]:
    used = tuple(dict.fromkeys(call.service.id for call in flow.calls if call.service))
    known = context.model_copy(
        update={"connected_services": tuple(dict.fromkeys((*context.connected_services, *used)))}
    )
    analysis = analyze(change.rest, known, catalogue)
    if analysis.steps and not analysis.questions and analysis.status == "flow":
        for step in analysis.steps:
            if step.operation == GENERIC:
                raise ask("operation", f"What should be done in {catalogue.get(step.service).name}?")
        return analysis.steps
    if analysis.questions and (analysis.steps or analysis.services):
        first = analysis.questions[0]
        raise ask(first.id, first.text, first.options)
    slot = next((one for one in analysis.questions if one.id.startswith("service_")), None)
    if slot is not None:
        raise ask(slot.id, slot.text, slot.options)
    raise ask("change", f"What should be changed by {change.rest!r}? Name the step and the service.")


def _is_there(flow: FlowSource, step: StepSpec, condition: Condition | None, made: Made) -> bool:
    """Tell whether the flow does that already; raises UnclearError where it does so on another condition."""
    said = {key: one.value for key, one in step.arguments.items() if isinstance(one, Constant)}
    for call in flow.calls:
        if (
            call.connection != step.connection
            or call.operation is None
            or call.operation.id != step.operation
        ):
            continue
        given = {key: _constant(call.arguments.get(key)) for key in said}
        if given != said:
            continue
        around = call.blocks[-1] if call.blocks else None
        if condition is None or condition.is_of(around):
            made.notes.append(f"Line {call.node.lineno} does that already: {call.name}.")
            return True
        raise ask(
            "condition",
            f"Line {call.node.lineno} already calls {call.name}, whatever the day or data; "
            f"to change when, say: only {call.name.lower()} …",
        )
    return False


def _constant(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _lines(
    flow: FlowSource, step: StepSpec, task: str, anchor: Call | None, catalogue: Catalogue, made: Made
) -> tuple[list[str], Call | None]:
    """Return the call as lines, and the step whose content it shares."""
    service = service_of_connection(step.connection, catalogue)
    operation = service.operation(step.operation)
    assert operation is not None
    earlier = _reachable(flow, anchor)
    named: dict[str, str] = {}
    twin: Call | None = None
    for name, argument in step.arguments.items():
        if isinstance(argument, Constant):
            named[name] = source_edit.shown(argument.value)
            continue
        source, text = _shared(flow, name, earlier)
        if source is not None:
            named[name], twin = text, twin or source
            continue
        called = argument.said or "" if isinstance(argument, FromParameter) else ""
        named[name] = _parameter(flow, (service, operation, name), called, made)
    title = _title(flow, operation, service)
    made.changes.append(f"Adds the step {title}.")
    if twin is not None:
        made.notes.append(f"{title} sends what {twin.name} sends.")
    positional = [source_edit.shown(step.connection), source_edit.shown(operation.id)]
    return source_edit.call_lines(task, title, positional, named), twin


def _reachable(flow: FlowSource, anchor: Call | None) -> list[Call]:
    """Return the calls whose values may be read at the place of the new step, the nearest first."""
    if anchor is None:
        return list(reversed(flow.calls))
    return [
        call
        for call in reversed(flow.calls)
        if call.node.lineno <= anchor.node.lineno and set(call.blocks) <= set(anchor.blocks)
    ]


def _shared(flow: FlowSource, parameter: str, calls: list[Call]) -> tuple[Call | None, str]:
    """Return the step that gives a title or text of the same role, and the source of the value."""
    role = role_of(parameter)
    if role not in _SHARED_ROLES:
        return None, ""
    for call in calls:
        for name, value in call.arguments.items():
            if role_of(name) != role or not source_edit.is_plain(value):
                continue
            text = flow.text.of(value)
            return call, text if "\n" not in text else ast.unparse(value)
    return None, ""


def _parameter(flow: FlowSource, of: tuple[Service, Operation, str], called: str, made: Made) -> str:
    """Return the flow parameter that asks for what nobody said, adding it where it is not there.

    ``called`` is what the request calls the thing whose id is asked for.
    """
    service, operation, name = of
    own = parameter_name(service.id, name, called)
    if own not in flow.flow.parameters and not any(own in note for note in made.notes):
        described = next(one for one in operation.parameters if one.name == name)
        kind = _TYPES.get(described.type, "str")
        made.edits += source_edit.add_parameter(flow, own, kind, _EXAMPLES.get(described.type, '"example"'))
        lacking = (
            f"{service.name} wants the id of {called!r}"
            if called
            else (f"Nobody said the {name.replace('_', ' ')} at {service.name}")
        )
        made.notes.append(
            f"{lacking}: it is the new parameter {own}; "
            "give it a value in the deployment, or say it in the change."
        )
    return own


def _title(flow: FlowSource, operation: Operation, service: Service) -> str:
    title = step_title(operation.id, operation.verbs, service.name)
    taken = {call.name for call in flow.calls}
    number, shown = 2, title
    while shown in taken:
        shown, number = f"{title} ({number})", number + 1
    return shown
