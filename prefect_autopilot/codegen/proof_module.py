"""A plan to the syntax tree of its test: the flow run for real, every service simulated."""

from __future__ import annotations

import ast
from typing import Any

from prefect_autopilot.codegen import nodes
from prefect_autopilot.codegen.conditions import Check, holds, sample_for
from prefect_autopilot.codegen.names import EVENT
from prefect_autopilot.codegen.plan import Plan, example_values, parameter_names
from prefect_autopilot.codegen.seeds import rows_to_seed
from prefect_autopilot.models import JSONDict

_SERVICES = "SimulatedServices"
_FIXTURE = "services"


def build_test(plan: Plan, sample: JSONDict) -> ast.Module:
    """Return the tree of the test; ``sample`` is an event for which the flow does what it is for."""
    body: list[ast.stmt] = [
        _docstring(f"Run the flow {plan.function} against simulated services; nothing outside is called."),
        ast.ImportFrom("collections.abc", [ast.alias("Iterator")], 0),
        ast.Import([ast.alias("pytest")]),
        ast.ImportFrom(
            "prefect_autopilot.testing", [ast.alias(_SERVICES), ast.alias("simulated_services")], 0
        ),
        ast.ImportFrom(plan.function, [ast.alias(plan.function)], 0),
        _fixture(),
        _test(plan, "test_the_flow_calls_what_it_should", sample, _expected(plan, sample)),
    ]
    if plan.guards:
        name = "test_an_event_that_does_not_meet_the_condition_calls_nothing"
        body.append(_test(plan, name, _turned_away(plan), []))
    return ast.fix_missing_locations(ast.Module(body, []))


def _docstring(text: str) -> ast.Expr:
    return ast.Expr(ast.Constant(text))


def _fixture() -> ast.FunctionDef:
    start = ast.withitem(nodes.call(nodes.name("simulated_services")), ast.Name("started", ast.Store()))
    return _function(
        _FIXTURE,
        [],
        [
            _docstring("Start a Prefect server and simulated services for the tests of this file."),
            ast.With([start], [ast.Expr(ast.Yield(nodes.name("started")))]),
        ],
        nodes.subscript("Iterator", nodes.name(_SERVICES)),
        nodes.method(nodes.name("pytest"), "fixture", scope=ast.Constant("module")),
    )


def _test(plan: Plan, name: str, event: JSONDict, expected: list[str]) -> ast.FunctionDef:
    names = parameter_names(plan.spec, plan.function)
    given: dict[str, Any] = {EVENT: event} if plan.takes_event else {}
    given |= {names[key]: value for key, value in example_values(plan.spec).items()}
    arguments = {key: nodes.literal(value) for key, value in given.items()}
    run = nodes.method(nodes.name(_FIXTURE), "run", nodes.name(plan.function), **arguments)
    has_loop = any(step.spec.for_each or plan.reads_all_pages(step) for step in plan.steps)
    # How many rows and pages a simulated list has is the simulator's affair: there only kinds of calls count.
    kinds = nodes.call(nodes.name("list"), nodes.method(nodes.name("dict"), "fromkeys", nodes.name("called")))
    seen = kinds if has_loop else nodes.name("called")
    wanted = list(dict.fromkeys(expected)) if has_loop else expected
    # What simulated services answer, and so what runs because of it, is theirs: the other calls are certain.
    depends = any(check.step for step in plan.steps for check in step.checks)
    met = nodes.compare(seen, ast.Eq(), nodes.name("expected"))
    if depends:
        certain = nodes.call(nodes.name("set"), nodes.name("expected"))
        met = nodes.compare(certain, ast.LtE(), nodes.call(nodes.name("set"), nodes.name("called")))
    return _function(
        name,
        [ast.arg(_FIXTURE, nodes.name(_SERVICES))],
        [
            *_seeds(plan),
            nodes.assign("called", run),
            nodes.assign("expected", nodes.literal(wanted)),
            ast.Assert(met),
        ]
        if expected
        else [
            nodes.assign("called", run),
            ast.Assert(nodes.compare(seen, ast.Eq(), ast.List([], ast.Load()))),
        ],
        ast.Constant(None),
    )


def _seeds(plan: Plan) -> list[ast.stmt]:
    """Give the lists that a loop goes through a row where simulated services have none."""
    simulator = ast.Attribute(nodes.name(_FIXTURE), "simulator", ast.Load())
    return [
        ast.Expr(
            nodes.method(simulator, "seed", ast.Constant(service), ast.Constant(resource), nodes.literal(row))
        )
        for service, resource, row in rows_to_seed(plan.spec)
    ]


def _function(
    name: str, arguments: list[ast.arg], body: list[ast.stmt], returns: ast.expr, *decorators: ast.expr
) -> ast.FunctionDef:
    taken = ast.arguments([], arguments, None, [], [], None, [])
    return ast.FunctionDef(name, taken, body, list(decorators), returns)


def _expected(plan: Plan, sample: JSONDict) -> list[str]:
    return [
        f"{step.spec.service}.{step.operation.id}"
        for step in plan.steps
        if not any(check.step for check in step.checks)
        and all(holds(check, sample) for check in step.checks) != step.otherwise
    ]


def _turned_away(plan: Plan) -> JSONDict:
    """Return an event that the first condition of the trigger turns away."""
    first, *_ = plan.guards
    opposite: tuple[Check, ...] = (first.model_copy(update={"negated": not first.negated}),)
    return sample_for(plan.shape, plan.sample_paths, opposite)
