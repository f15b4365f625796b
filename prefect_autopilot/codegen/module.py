"""A plan to the syntax tree of a module: imports, one flow, and a block that runs it by hand."""

from __future__ import annotations

import ast
import keyword
import textwrap
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter

from prefect_autopilot.codegen import nodes
from prefect_autopilot.codegen.checks import expression, joined_text
from prefect_autopilot.codegen.conditions import Check
from prefect_autopilot.codegen.names import ALL_PAGES, EVENT, singular
from prefect_autopilot.codegen.plan import Plan, PlannedStep, example_values, parameter_names
from prefect_autopilot.codegen.scope import Scope
from prefect_autopilot.models import Constant, FromStep, FromTrigger, JSONDict, Operation, ParameterSpec, Text
from prefect_autopilot.services import WHOLE, resource_of

_DOC_WIDTH = 84
_TYPES = {"str": "str", "int": "int", "float": "float", "bool": "bool"}
_SKIPPED = "Skipped"
_DONE = "All steps are done."


def build_module(plan: Plan, sample: JSONDict) -> ast.Module:
    """Return the tree of the flow; ``sample`` is the event it is run with by hand."""
    parameters = parameter_names(plan.spec, plan.function)
    taken = {EVENT, plan.function, *parameters.values()}
    steps = frozenset(step.spec.id for step in plan.steps)
    function = _function(plan, parameters, Scope(parameters, taken, steps, scales=_scales(plan)))
    body = [
        _docstring(_module_doc(plan)),
        *_imports(plan),
        function,
        _main(plan, sample, parameters),
    ]
    return ast.fix_missing_locations(ast.Module(body, []))


def _scales(plan: Plan) -> dict[tuple[str, ...], int]:
    """Return where the event holds a sum in the smallest unit of its currency."""
    amount = plan.shape.amount
    return {(EVENT, *amount.path.split(".")): amount.scale} if amount and amount.scale > 1 else {}


def _docstring(text: str) -> ast.Expr:
    return ast.Expr(ast.Constant(text))


def _summary(plan: Plan) -> str:
    first, *others = [step.title for step in plan.steps]
    told = ", then ".join([first, *(f"{title[0].lower()}{title[1:]}" for title in others)])
    if len(told) < _DOC_WIDTH:
        return f"{told}."
    return (
        f"{first} and {len(others)} more steps."
        if len(first) < _DOC_WIDTH // 2
        else "Run the steps of the request."
    )


def _module_doc(plan: Plan) -> str:
    lines = [line for one in plan.spec.request.splitlines() for line in _wrapped(one, "    ", "    ")]
    return (
        "\n".join([_summary(plan), "", "The request, as it was made:", "", *lines, ""])
        if lines
        else _summary(plan)
    )


def _imports(plan: Plan) -> Iterator[ast.stmt]:
    if plan.writes_json:
        yield ast.Import([ast.alias("json")])
    has_json = any(one.type in {"dict", "list"} for one in plan.spec.parameters)
    wanted = {
        "time": ["sleep"] if any(step.spec.wait_s for step in plan.steps) else [],
        "typing": ["Any"] if plan.takes_event or plan.guards or has_json else [],
        "prefect": ["State", "flow"] if plan.guards else ["flow"],
        "prefect.states": ["Completed"] if plan.guards else [],
        "prefect_autopilot.tasks": ["call_service"],
    }
    for module, names in wanted.items():
        if names:
            yield ast.ImportFrom(module, [ast.alias(name) for name in names], 0)


def _function(plan: Plan, parameters: dict[str, str], scope: Scope) -> ast.FunctionDef:
    arguments = [ast.arg(EVENT, _json_object())] if plan.takes_event else []
    ordered = sorted(plan.spec.parameters, key=lambda one: not one.required)
    arguments += [_argument(one, parameters[one.name]) for one in ordered]
    defaults = [_default(one) for one in ordered if not one.required]
    decorator = nodes.call(
        nodes.name("flow"), name=ast.Constant(plan.spec.name), persist_result=ast.Constant(value=True)
    )
    returns = nodes.subscript("State", nodes.name("Any")) if plan.guards else ast.Constant(None)
    return ast.FunctionDef(
        plan.function,
        ast.arguments([], arguments, None, [], [], None, defaults),
        [
            _docstring(_function_doc(plan, ordered, parameters)),
            *_filled_defaults(plan, parameters),
            *_guards(plan, scope),
            *_steps(plan, scope),
        ],
        [decorator],
        returns,
    )


def _function_doc(plan: Plan, ordered: list[ParameterSpec], parameters: dict[str, str]) -> str:
    """Return the docstring; Prefect shows the lines under Args in the form of its UI."""
    source = plan.service.name if plan.service else "the caller"
    answers = plan.shape.answers
    by_question = answers and any(one.split(".")[0] == answers for one in plan.event_paths)
    more = f"; {answers} holds each answer by the reference of its question" if by_question else ""
    told = {EVENT: f"Data of the event that starts the run, from {source}{more}."} if plan.takes_event else {}
    told |= {parameters[one.name]: one.description for one in ordered}
    lines = [
        line
        for name, description in told.items()
        for line in _wrapped(f"{name}: {description or name}", "        ", "            ")
    ]
    return "\n".join([_summary(plan), "", "    Args:", *lines, "    "]) if lines else _summary(plan)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        _DOC_WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _argument(parameter: ParameterSpec, name: str) -> ast.arg:
    match parameter.type:
        case "dict":
            kind: ast.expr = _json_object()
        case "list":
            kind = nodes.subscript("list", nodes.name("Any"))
        case _:
            kind = nodes.name(_TYPES[parameter.type])
    if not parameter.required and (parameter.default is None or parameter.type in {"dict", "list"}):
        kind = ast.BinOp(kind, ast.BitOr(), ast.Constant(None))
    return ast.arg(name, kind)


def _json_object() -> ast.expr:
    return nodes.subscript("dict", nodes.name("str"), nodes.name("Any"))


def _default(parameter: ParameterSpec) -> ast.expr:
    # A list or object as a default would be one value shared by all runs of a process.
    return ast.Constant(None) if parameter.type in {"dict", "list"} else nodes.literal(parameter.default)


def _filled_defaults(plan: Plan, parameters: dict[str, str]) -> Iterator[ast.stmt]:
    for one in plan.spec.parameters:
        if one.type in {"dict", "list"} and not one.required and one.default is not None:
            name = parameters[one.name]
            missing = nodes.compare(nodes.name(name), ast.Is(), ast.Constant(None))
            yield ast.If(missing, [nodes.assign(name, nodes.literal(one.default))], [])


def _guards(plan: Plan, scope: Scope) -> list[ast.stmt]:
    statements: list[ast.stmt] = []
    message = f"Condition not met: {plan.spec.trigger.filter}"
    for check in plan.guards:
        text = _joined_text(check, scope, statements)
        test = expression(check, scope.field, opposite=True, text=text)
        state = nodes.call(
            nodes.name("Completed"), name=ast.Constant(_SKIPPED), message=ast.Constant(message)
        )
        statements.append(ast.If(test, [ast.Return(state)], []))
    return statements


def _joined_text(check: Check, scope: Scope, before: list[ast.stmt]) -> ast.expr | None:
    if check.operator != "mentions" or len(check.paths) == 1:
        return None
    name = scope.new_name("text")
    before.append(nodes.assign(name, joined_text(check, scope.field)))
    return nodes.name(name)


def _steps(plan: Plan, scope: Scope) -> list[ast.stmt]:
    wanted = {step_id for step in plan.steps for step_id in _results_used(step)}
    whole = [step for step in plan.steps if plan.reads_all_pages(step)]
    scope.bare.update({step.spec.id: _rows_at(step.operation) for step in whole})
    statements: list[ast.stmt] = []
    kind = attrgetter("spec.for_each", "checks", "otherwise")
    groups = [(key, list(group)) for key, group in groupby(plan.steps, key=kind)]
    for number, ((for_each, _, otherwise), steps) in enumerate(groups):
        after = groups[number + 1] if number + 1 < len(groups) else None
        if after and after[0][2] and not otherwise:
            statements += scope.prepare(_shared(steps, after[1]))
        block = _block(steps, for_each, scope, wanted)
        if otherwise and isinstance(statements[-1], ast.If) and isinstance(block[-1], ast.If):
            statements[-1].orelse = block[-1].body
        else:
            statements += block
    if plan.guards:
        statements.append(ast.Return(nodes.call(nodes.name("Completed"), message=ast.Constant(_DONE))))
    return statements


def _shared(steps: list[PlannedStep], others: list[PlannedStep]) -> list[Text]:
    """Return the texts of steps whose parts the steps of the other branch read of the event as well."""
    read = [
        {
            part
            for one in group
            for text in _texts(one)
            for part in text.parts
            if isinstance(part, FromTrigger)
        }
        for group in (steps, others)
    ]
    both = [part for one in steps for text in _texts(one) for part in text.parts if part in read[0] & read[1]]
    return [Text(parts=(Constant(value=""), *dict.fromkeys(both)))] if both else []


def _texts(step: PlannedStep) -> list[Text]:
    return [
        one
        for one in step.spec.arguments.values()
        if isinstance(one, Text) and one.form == "text" and len(one.parts) > 1
    ]


def _block(steps: list[PlannedStep], for_each: str | None, scope: Scope, wanted: set[str]) -> list[ast.stmt]:
    """Return the steps of one condition and one loop; the condition is tested before the loop."""
    checks = steps[0].checks
    if not checks and not for_each:
        return [one for step in steps for one in _call(step, scope, wanted)]
    inner = scope.nested()
    statements: list[ast.stmt] = []
    body: list[ast.stmt]
    if for_each:
        source, items, word = scope.items(for_each)
        loop_name = scope.new_name(singular(word), "item")
        inner = scope.nested(source, loop_name)
        statements += _wait(steps[0])
        first, *others = steps
        body = [*_call(first, inner, wanted, waits=False)]
        body += [one for step in others for one in _call(step, inner, wanted)]
        body = [ast.For(ast.Name(loop_name, ast.Store()), items, body, [])]
    else:
        body = [one for step in steps for one in _call(step, inner, wanted)]
    if not checks:
        return [*statements, *body]
    if statements:
        body, statements = [*statements, *body], []
    tests = []
    for check in checks:
        text = _joined_text(check, scope, statements)
        field = scope.field if check.step is None else partial(scope.answer, check.step)
        if check.operator == "says":
            text = nodes.name(scope.new_name("answer", "text"))
            statements.append(nodes.assign(text.id, field(check.path)))
        tests.append(expression(check, field, opposite=False, text=text))
    test = tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)
    return [*statements, ast.If(test, body, [])]


def _results_used(step: PlannedStep) -> Iterator[str]:
    for argument in step.spec.arguments.values():
        for part in argument.parts if isinstance(argument, Text) else (argument,):
            if isinstance(part, FromStep):
                yield part.step
    yield from (check.step for check in step.checks if check.step)
    if step.spec.for_each:
        yield step.spec.for_each.split(".")[0]


def _wait(step: PlannedStep) -> list[ast.stmt]:
    seconds = step.spec.wait_s
    return [ast.Expr(nodes.call(nodes.name("sleep"), ast.Constant(seconds)))] if seconds else []


def _call(step: PlannedStep, scope: Scope, wanted: set[str], *, waits: bool = True) -> list[ast.stmt]:
    named: list[ast.keyword] = []
    others = ast.Dict([], [])
    statements = [*(_wait(step) if waits else []), *scope.prepare(tuple(step.spec.arguments.values()))]
    for parameter, argument in step.spec.arguments.items():
        value = scope.value(argument)
        if step.as_json(parameter):
            value = nodes.method(nodes.name("json"), "dumps", value, indent=ast.Constant(2))
        if parameter.isidentifier() and not keyword.iskeyword(parameter):
            named.append(ast.keyword(parameter, value))
        else:
            # Names such as "from" or "order-id" are no Python names.
            others.keys.append(ast.Constant(parameter))
            others.values.append(value)
    task = nodes.method(nodes.name("call_service"), "with_options", name=ast.Constant(step.title))
    call = nodes.call(task, ast.Constant(step.spec.connection), ast.Constant(step.operation.id))
    is_whole = step.spec.id in scope.bare
    if is_whole:
        named.append(ast.keyword(ALL_PAGES, ast.Constant(True)))  # noqa: FBT003 - a syntax node's value
    call.keywords = [*named, *([ast.keyword(None, others)] if others.keys else [])]
    if step.spec.id not in wanted:
        return [*statements, ast.Expr(call)]
    scope.results[step.spec.id] = scope.new_name(_result_name(step), "result")
    if step.operation.list_at is not None:
        scope.lists[step.spec.id] = () if is_whole else _rows_at(step.operation)
    return [*statements, nodes.assign(scope.results[step.spec.id], call)]


def _rows_at(operation: Operation) -> tuple[str, ...]:
    at = operation.list_at
    return () if at is None or at == WHOLE else tuple(at.split("."))


def _result_name(step: PlannedStep) -> str:
    is_list = step.operation.list_at is not None
    _, _, thing = step.operation.id.partition("_")
    return thing if is_list and thing else resource_of(step.spec.service, step.operation.id)


def _main(plan: Plan, sample: JSONDict, parameters: dict[str, str]) -> ast.If:
    arguments = {EVENT: nodes.literal(sample)} if plan.takes_event else {}
    arguments |= {parameters[name]: nodes.literal(value) for name, value in example_values(plan.spec).items()}
    run = nodes.call(nodes.name(plan.function), **arguments)
    is_main = nodes.compare(nodes.name("__name__"), ast.Eq(), ast.Constant("__main__"))
    return ast.If(is_main, [ast.Expr(run)], [])
