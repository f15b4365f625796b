"""A workflow checked against the catalogue and with its conditions understood: what source is built from."""

from __future__ import annotations

import difflib
import re
from typing import Any
from zoneinfo import available_timezones

from prefect_autopilot import services
from prefect_autopilot.codegen.conditions import Check, read_condition
from prefect_autopilot.codegen.events import Shape, event_name, shape_of, trigger_of
from prefect_autopilot.codegen.names import EVENT, flow_name, identifier, module_name, step_title
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromStep,
    FromTrigger,
    JSONDict,
    Operation,
    OperationEffect,
    ParameterSpec,
    Service,
    StepSpec,
    Text,
    TriggerSpec,
    Value,
    WorkflowSpec,
)
from prefect_autopilot.models.conditions import ANSWER, FINDS_NOTHING, SAYS_NO, SAYS_YES, opposite
from prefect_autopilot.services import WHOLE, Catalogue

_EVENT_TRIGGERS = frozenset({"app_event", "email", "webhook", "chat", "form", "other"})
_MAX_PATH = 60
_CRON_FIELDS = 5
_CRON_FIELD = re.compile(r"[A-Za-z0-9*/,#-]+")
_SIZES = frozenset(
    {
        "$top", "count", "first", "limit", "maxResults", "max_results", "pageSize", "page_size", "pagelen",
        "perPage", "per_page", "size", "top"
    }
)  # fmt: skip
"""Parameters by which a request says how many rows it wants."""
_EXAMPLES: dict[str, Any] = {
    "str": "example",
    "int": 1,
    "float": 1.0,
    "bool": True,
    "dict": {"name": "example"},
    "list": [],
}


class PlannedStep(Value):
    """A step with its operation found, its condition understood and a title for the Prefect UI."""

    spec: StepSpec
    operation: Operation
    title: str
    checks: tuple[Check, ...] = ()
    otherwise: bool = False
    """It runs exactly where its ``checks``, which are those of the steps right before it, do not all hold."""

    def as_json(self, argument: str) -> bool:
        """Return whether a whole answer or event is given where the operation wants text."""
        value = self.spec.arguments[argument]
        wanted = next((one for one in self.operation.parameters if one.name == argument), None)
        is_whole = isinstance(value, FromTrigger | FromStep) and not value.path
        return is_whole and wanted is not None and wanted.type == "string"


class Plan(Value):
    """All that decides the source of a flow."""

    spec: WorkflowSpec
    function: str
    service: Service | None = None
    """The service whose event starts the flow."""
    event: str | None = None
    """Name of the Prefect event that starts the flow."""
    shape: Shape = Shape()
    guards: tuple[Check, ...] = ()
    steps: tuple[PlannedStep, ...]

    @property
    def event_paths(self) -> tuple[str, ...]:
        """Return every path of the event the flow reads, in order of first use."""
        paths = [path for check in self.guards for path in check.paths]
        for step in self.steps:
            paths += [path for check in step.checks if check.step is None for path in check.paths]
            paths += [path for path in (self.loop_path(step),) if path is not None]
            paths += [path for argument in step.spec.arguments.values() for path in _trigger_paths(argument)]
        return tuple(dict.fromkeys(paths))

    @property
    def integer_paths(self) -> tuple[str, ...]:
        """Return the paths of the event that are given where an operation takes whole numbers only."""
        return tuple(
            value.path
            for step in self.steps
            for parameter in step.operation.parameters
            if parameter.type == "integer"
            and isinstance(value := step.spec.arguments.get(parameter.name), FromTrigger)
        )

    @property
    def sample_paths(self) -> tuple[str, ...]:
        """Return the paths a sample event must have: below a list that is gone through, those of its rows."""
        paths: list[str] = []
        for step in self.steps:
            loop = self.loop_path(step)
            read = [path for argument in step.spec.arguments.values() for path in _trigger_paths(argument)]
            if loop is not None:
                below = f"{loop}."
                read = [f"{loop}.0.{one.removeprefix(below)}" for one in read if one.startswith(below)] + [
                    one for one in read if one != loop and not one.startswith(below)
                ]
                read.append(f"{loop}.0")
            paths += read
        return tuple(dict.fromkeys(paths))

    def loop_path(self, step: PlannedStep) -> str | None:
        """Return the path of the event whose items ``step`` is repeated for, None where it is none."""
        head, *rest = (step.spec.for_each or "").split(".")
        if not head or head in {one.spec.id for one in self.steps}:
            return None
        return ".".join(rest if head in {EVENT, "trigger"} else [head, *rest])

    @property
    def writes_json(self) -> bool:
        """Return whether some step gives a whole answer or event as text."""
        return any(step.as_json(name) for step in self.steps for name in step.spec.arguments)

    def reads_all_pages(self, step: PlannedStep) -> bool:
        """Return whether ``step`` asks for the rows of every page of its list.

        Not where the request itself says how many or which page, or another step reads what stands beside
        the rows.
        """
        paging, at = step.operation.pagination, step.operation.list_at
        if paging.kind == "none" or at is None or step.operation.effect is not OperationEffect.SAFE:
            return False
        if {paging.request_param, *_SIZES} & step.spec.arguments.keys():
            return False
        inside = (step.spec.id, f"{step.spec.id}.{at}")
        for other in self.steps:
            if any(goes_through(one, step.spec.id) for one in other.spec.arguments.values()):
                continue
            head = (other.spec.for_each or "").split(".")[0]
            if head == step.spec.id and other.spec.for_each not in inside:
                return False
            rows_of_loop = head == step.spec.id  # what a loop reads of its list is read of one row
            for path in () if rows_of_loop else step_paths(other.spec, step.spec.id):
                if at not in (WHOLE, path) and not path.startswith(f"{at}."):
                    return False
        return True

    @property
    def takes_event(self) -> bool:
        """Return whether the flow has the parameter ``event``."""
        return self.event is not None or bool(self.event_paths)


def parameter_names(spec: WorkflowSpec, function: str) -> dict[str, str]:
    """Return the name each parameter of ``spec`` has in the source of ``function``."""
    names: dict[str, str] = {}
    for parameter in spec.parameters:
        if parameter.name in names:
            raise UsageError(
                f"Two parameters of the flow are named {parameter.name!r}; give each its own name."
            )
        names[parameter.name] = identifier(parameter.name, {EVENT, function, *names.values()}, "parameter")
    return names


def example_values(spec: WorkflowSpec) -> JSONDict:
    """Return a value for every parameter that must be filled in: what a preview runs with."""
    return {
        one.name: one.default if one.default is not None else _example(one)
        for one in spec.parameters
        if one.required
    }


def _example(parameter: ParameterSpec) -> Any:
    """Return a value for an open parameter; an address must be one to be called."""
    if parameter.example is not None:
        return parameter.example
    is_address = parameter.type == "str" and parameter.name.rsplit("_", 1)[-1] in {"url", "uri", "link"}
    return "https://api.example.com/items" if is_address else _EXAMPLES[parameter.type]


def make_plan(spec: WorkflowSpec, catalogue: Catalogue) -> Plan:
    """Check ``spec`` against ``catalogue``; raises UsageError with a question for what is not clear."""
    _check_schedule(spec.trigger)
    trigger_service = catalogue.get(spec.trigger.service) if spec.trigger.service else None
    shape = shape_of(trigger_service, spec.trigger.event)
    if spec.trigger.type in _EVENT_TRIGGERS and not shape.is_known:
        shape = shape.model_copy(update={"is_open": True})
    used = {step.service: catalogue.get(step.service) for step in spec.steps}
    plan = Plan(
        spec=spec,
        function=module_name(
            flow_name(spec.name), [*used, *([spec.trigger.service] if spec.trigger.service else [])]
        ),
        service=trigger_service,
        event=_event_of(spec, trigger_service),
        shape=shape,
        guards=_checks(spec.trigger.filter, shape),
        steps=_plan_steps(spec, used, shape),
    )
    _check_paths(plan)
    return plan


def _plan_steps(spec: WorkflowSpec, used: dict[str, Service], shape: Shape) -> tuple[PlannedStep, ...]:
    titles: dict[str, int] = {}
    steps: list[PlannedStep] = []
    for step in spec.steps:
        service = used[step.service]
        operation = _operation(service, step)
        says_itself = service.protocol == "any_http" and step.summary  # "make an http request" says nothing
        title = step.summary if says_itself else step_title(operation.id, operation.verbs, service.name)
        if place := _place_of(step, [one.title for one in steps], title):
            title = f"{title} to {place}"
        titles[title] = titles.get(title, 0) + 1
        shown = f"{title} ({titles[title]})" if titles[title] > 1 else title
        otherwise = bool(steps) and _is_otherwise(steps[-1], step.condition)
        checks = (
            steps[-1].checks
            if otherwise
            else _answer_checks(step.condition, steps) or _checks(step.condition, shape)
        )
        steps.append(
            PlannedStep(spec=step, operation=operation, title=shown, checks=checks, otherwise=otherwise)
        )
    if len({step.id for step in spec.steps}) < len(spec.steps):
        raise UsageError("Two steps have the same id; give every step its own.")
    return tuple(steps)


def _place_of(step: StepSpec, before: list[str], title: str) -> str | None:
    """Return the channel or address of a step, where another step would have the same title."""
    told = [one.value for one in step.arguments.values() if isinstance(one, Constant)]
    places = [
        one for one in told if isinstance(one, str) and re.fullmatch(r"[#@][\w-]+|[\w.+-]+@[\w.-]+", one)
    ]
    return places[0] if places and any(one.startswith(title) for one in before) else None


def _is_otherwise(before: PlannedStep, condition: str | None) -> bool:
    """Tell whether a condition is the opposite of the one the steps right before it run on."""
    if not before.checks or condition is None:
        return False
    if before.otherwise:
        return condition == before.spec.condition
    return opposite(before.spec.condition or "") == condition


def _operation(service: Service, step: StepSpec) -> Operation:
    operation = services.find_operation(service, step.operation)
    known = {one.name: one for one in operation.parameters}
    for name in step.arguments:
        if name not in known:
            nearest = tuple(difflib.get_close_matches(name, known, n=3))
            raise UnknownNameError(f"parameter of {service.id}.{operation.id}", name, nearest)
    for name, parameter in known.items():
        if parameter.required and parameter.default is None and name not in step.arguments:
            raise UsageError(f"What should {name!r} be when {service.name} runs {operation.id}?")
    return operation


def _checks(text: str | None, shape: Shape) -> tuple[Check, ...]:
    if text is None or not text.strip():
        return ()
    checks = read_condition(text, shape)
    if checks is None:
        offered = ", ".join(shape.sample) or "nothing known"
        raise UsageError(
            f"What does {text!r} mean in the data of the event? Say it with one of its fields: {offered}."
        )
    return checks


def _answer_checks(text: str | None, earlier: list[PlannedStep]) -> tuple[Check, ...]:
    """Return the check on the answer of an earlier step that a condition names, none where it names none."""
    named = ANSWER.fullmatch((text or "").strip())
    if named is None:
        return ()
    step = next((one for one in earlier if one.spec.id == named["step"]), None)
    if step is None:
        raise UsageError(f"The condition {text!r} speaks of a step that has not run by then; put it first.")
    negated = named["told"] in {FINDS_NOTHING, SAYS_NO}
    if named["told"] in {SAYS_YES, SAYS_NO}:
        path = services.answer_text(step.spec.service, step.operation.id)
        if path is None:
            raise UsageError(f"{step.title!r} answers with no text that could say yes or no.")
        return (Check(paths=(path,), operator="says", step=step.spec.id, negated=negated),)
    if step.operation.list_at is None:
        raise UsageError(f"{step.title!r} answers with no list in which something could be found.")
    return (Check(paths=("",), operator="finds", step=step.spec.id, negated=negated),)


def _event_of(spec: WorkflowSpec, service: Service | None) -> str | None:
    trigger = spec.trigger
    if trigger.type not in _EVENT_TRIGGERS:
        return None
    if service is None:
        # A form, chat or webhook of no service posts to an endpoint named after the flow.
        return event_name(trigger.type, spec.name)
    found = trigger_of(service, trigger.event)
    event = found.event if found else trigger.event
    if event is None:
        known = ", ".join(one.event for one in service.triggers)
        raise UsageError(
            f"Which event of {service.name} starts the flow?{f' It has: {known}.' if known else ''}"
        )
    return event_name(service.id, event)


def _check_paths(plan: Plan) -> None:
    offered = plan.shape.sample
    for path in plan.event_paths:
        if len(path) > _MAX_PATH:
            raise UsageError(f"The field {path[:_MAX_PATH]!r}… of the event has too long a name.")
        if plan.shape.is_known and path and path.split(".")[0] not in offered:
            raise UsageError(f"The event has no field {path!r}; it has: {', '.join(offered)}.")
    for step in plan.steps:
        loop = plan.loop_path(step)
        if loop == "" or (loop is not None and plan.shape.is_known and not _is_list(offered, loop)):
            told = f"the field {loop!r} of the event" if loop else "the event as a whole"
            raise UsageError(f"What should {step.title!r} be repeated for? In it, {told} is no list.")


def _is_list(sample: JSONDict, path: str) -> bool:
    found = services.pick(sample, path)
    return found is None or isinstance(found, list)


def goes_through(argument: Argument, step: str) -> bool:
    """Return whether an argument is made of a row or line for each item of a step's list."""
    if not isinstance(argument, Text) or argument.form not in {"rows", "lines"}:
        return False
    return any(isinstance(part, FromStep) and part.step == step for part in argument.parts)


def step_paths(step: StepSpec, source: str) -> list[str]:
    """Return the paths of another step's answer that a step reads."""
    parts = [
        part
        for argument in step.arguments.values()
        for part in (argument.parts if isinstance(argument, Text) else (argument,))
    ]
    return [part.path for part in parts if isinstance(part, FromStep) and part.step == source and part.path]


def _trigger_paths(argument: Argument) -> tuple[str, ...]:
    match argument:
        case FromTrigger(path=path):
            return (path,)
        case Text(parts=parts):
            return tuple(part.path for part in parts if isinstance(part, FromTrigger))
    return ()


def _check_schedule(trigger: TriggerSpec) -> None:
    given = [one for one in (trigger.cron, trigger.rrule, trigger.interval_s) if one is not None]
    if trigger.type == "schedule" and len(given) != 1:
        raise UsageError("When should it run? A schedule needs exactly one of cron, rrule and interval.")
    if trigger.cron is not None:
        fields = trigger.cron.split(" ")
        if len(fields) != _CRON_FIELDS or not all(_CRON_FIELD.fullmatch(field) for field in fields):
            raise UsageError(
                f"The cron {trigger.cron!r} is no five fields of minute, hour, day, month, weekday."
            )
    if trigger.interval_s is not None and trigger.interval_s < 1:
        raise UsageError("The interval of a schedule must be a positive number of seconds.")
    if trigger.timezone is not None and trigger.timezone not in available_timezones():
        raise UsageError(f"There is no time zone {trigger.timezone!r}; use a name such as Europe/Berlin.")
