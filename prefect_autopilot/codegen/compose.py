"""From a workflow to its source and deployment: the one function other rooms call."""

from __future__ import annotations

from typing import Any

from prefect_autopilot import services
from prefect_autopilot.codegen.conditions import Check, sample_for
from prefect_autopilot.codegen.events import write
from prefect_autopilot.codegen.gate import check_source
from prefect_autopilot.codegen.module import build_module
from prefect_autopilot.codegen.plan import Plan, PlannedStep, make_plan
from prefect_autopilot.codegen.printer import render
from prefect_autopilot.codegen.proof_module import build_test
from prefect_autopilot.models import (
    Argument,
    Constant,
    DeploymentSpec,
    GeneratedFlow,
    JSONDict,
    ParameterSpec,
    Text,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

TAG = "autopilot-generated"
_HARMLESS = "x"


def generate(spec: WorkflowSpec, catalogue: Catalogue) -> GeneratedFlow:
    """Return the flow that does what ``spec`` says: formatted source, deployment and a sample event.

    The same spec gives the same bytes. Raises UsageError, with a question where there is one, for
    a condition that is not understood, a missing value or a reserved name.
    """
    plan = make_plan(spec, catalogue)
    sample = _sample(plan)
    tree = build_module(plan, sample)
    source = render(tree)
    twin, harmless = _harmless(plan), _harmless_json(sample)
    check_source(source, tree, build_module(twin, harmless))
    test_tree = build_test(plan, sample)
    test_source = render(test_tree)
    check_source(test_source, test_tree, test_tree)
    file_name = f"{plan.function}.py"
    return GeneratedFlow(
        spec=spec,
        file_name=file_name,
        function=plan.function,
        source=source,
        deployment=_deployment(plan, file_name),
        sample_event=sample,
        test_file_name=f"test_{file_name}",
        test_source=test_source,
    )


def _sample(plan: Plan) -> JSONDict:
    if not plan.takes_event:
        return {}
    steps = [step for step in plan.steps if not step.otherwise]
    checks = [*plan.guards, *(one for step in steps for one in step.checks if one.step is None)]
    sample = sample_for(plan.shape, plan.sample_paths, tuple(checks))
    for path in plan.integer_paths:
        if isinstance(services.pick(sample, path), str):
            write(sample, path, 1)
    return sample


def _deployment(plan: Plan, file_name: str) -> DeploymentSpec:
    trigger = plan.spec.trigger
    is_scheduled = trigger.type == "schedule"
    return DeploymentSpec(
        name=plan.spec.name,
        flow_name=plan.spec.name,
        entrypoint=f"{file_name}:{plan.function}",
        tags=(TAG,),
        cron=trigger.cron if is_scheduled else None,
        rrule=trigger.rrule if is_scheduled else None,
        interval_s=trigger.interval_s if is_scheduled else None,
        anchor=trigger.anchor if is_scheduled else None,
        timezone=trigger.timezone if is_scheduled else None,
        event=plan.event,
        parameters={one.name: one.default for one in plan.spec.parameters if one.default is not None},
        description=plan.spec.request,
    )


def _harmless(plan: Plan) -> Plan:
    """Return the plan with every text from outside replaced by a harmless one."""
    spec = plan.spec
    names = {one.name: f"parameter_{number}" for number, one in enumerate(spec.parameters)}
    trigger = spec.trigger.model_copy(update={"filter": _HARMLESS})
    kinds: list[tuple[Check, ...]] = []
    for step in plan.steps:
        if step.checks not in kinds:
            kinds.append(step.checks)
    steps = tuple(_harmless_step(step, kinds.index(step.checks), names) for step in plan.steps)
    twin = spec.model_copy(
        update={
            "request": _HARMLESS,
            "trigger": trigger,
            "parameters": tuple(_harmless_parameter(one, names) for one in spec.parameters),
        }
    )
    return plan.model_copy(update={"spec": twin, "steps": steps, "guards": _harmless_checks(plan.guards)})


def _harmless_step(step: PlannedStep, number: int, names: dict[str, str]) -> PlannedStep:
    given = {key: _harmless_argument(one, names) for key, one in step.spec.arguments.items()}
    spec = step.spec.model_copy(update={"connection": _HARMLESS, "arguments": given})
    # Numbered: steps with different conditions stand in different blocks.
    checks = _harmless_checks(step.checks, number)
    return step.model_copy(update={"title": _HARMLESS, "checks": checks, "spec": spec})


def _harmless_checks(checks: tuple[Check, ...], number: int = 0) -> tuple[Check, ...]:
    return tuple(
        one.model_copy(update={"value": f"{_HARMLESS}{number}" if isinstance(one.value, str) else one.value})
        for one in checks
    )


def _harmless_parameter(parameter: ParameterSpec, names: dict[str, str]) -> ParameterSpec:
    return parameter.model_copy(
        update={
            "name": names[parameter.name],
            "description": _HARMLESS,
            "default": _harmless_json(parameter.default),
        }
    )


def _harmless_argument(argument: Argument, names: dict[str, str]) -> Argument:
    match argument:
        case Constant(value=value):
            return Constant(value=_harmless_json(value))
        case Text(parts=parts):
            harmless = tuple(_harmless_argument(part, names) for part in parts)
            return argument.model_copy(update={"parts": harmless})
    if argument.kind == "parameter":
        return argument.model_copy(update={"name": names.get(argument.name, argument.name)})
    return argument


def _harmless_json(value: Any) -> Any:
    """Return ``value`` with every text replaced; numbers and the empty text keep their kind of node."""
    match value:
        case str():
            return _HARMLESS if value else ""
        case dict():
            return {f"{_HARMLESS}{number}": _harmless_json(one) for number, one in enumerate(value.values())}
        case list() | tuple():
            return [_harmless_json(one) for one in value]
    return value
