"""Any valid workflow over the packaged catalogue: source that is sound, formatted, and does what it says."""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby, product
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from prefect_autopilot.codegen import TAG, example_values, generate, parameter_names, shape_of
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    GeneratedFlow,
    Operation,
    ParameterSpec,
    StepSpec,
    Text,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.services import load_catalogue

RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
PROPERTY = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)

ALLOWED_NODES = {
    "Add", "And", "Assign", "Attribute", "BinOp", "BitOr", "BoolOp", "Call", "Compare", "Constant", "Dict",
    "Div", "Eq", "Expr", "For", "FormattedValue", "FunctionDef", "Gt", "GtE", "If", "Import", "ImportFrom",
    "In", "Is", "JoinedStr", "List", "Load", "Lt", "LtE", "Module", "Name", "Not", "NotEq", "NotIn", "Return",
    "Store", "Subscript", "Tuple", "USub", "UnaryOp", "alias", "arg", "arguments", "keyword",
}  # fmt: skip
ALLOWED_MODULES = {"json", "typing", "prefect", "prefect.states", "prefect_autopilot.tasks"}


# --- Strategies: workflows that make_plan must accept.

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
crons = st.sampled_from(
    ["0 9 * * *", "*/15 * * * *", "30 7 * * 1-5", "0 0 1 * *", "5 4 * * SUN", "0 12 L * *"]
)
zones = st.sampled_from([None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])


@cache
def services_that_act() -> tuple[str, ...]:
    return tuple(one.id for one in load_catalogue().services if one.operations)


@cache
def services_that_start() -> tuple[str, ...]:
    return tuple(one.id for one in load_catalogue().services if one.triggers)


@st.composite
def triggers(draw: st.DrawFn) -> TriggerSpec:
    kind = draw(st.sampled_from(["schedule", "app_event", "event without a service", "manual"]))
    if kind == "schedule":
        start = draw(
            st.fixed_dictionaries({"cron": crons})
            | st.fixed_dictionaries({"rrule": st.just("FREQ=WEEKLY;BYDAY=MO,WE")})
            | st.fixed_dictionaries({"interval_s": st.integers(1, 10**6)})
        )
        return TriggerSpec(type="schedule", timezone=draw(zones), **start)
    if kind == "app_event":
        service = load_catalogue().get(draw(st.sampled_from(services_that_start())))
        event = draw(st.sampled_from([one.event for one in service.triggers]))
        of_service = draw(st.sampled_from(["app_event", "email", "webhook", "chat", "form", "other"]))
        trigger = TriggerSpec(type=of_service, service=service.id, event=event)
        condition = draw(conditions(trigger))
        return trigger.model_copy(update={"filter": condition})
    if kind == "manual":
        return TriggerSpec(type="manual")
    return TriggerSpec(type=draw(st.sampled_from(["webhook", "form", "chat", "other", "email"])))


def shape(trigger: TriggerSpec) -> Any:
    return shape_of(load_catalogue().get(trigger.service) if trigger.service else None, trigger.event)


def text_fields(trigger: TriggerSpec) -> list[str]:
    sample = shape(trigger).sample
    return [key for key, one in sample.items() if isinstance(one, str) and re.fullmatch(r"[a-z][a-z_]*", key)]


@st.composite
def conditions(draw: st.DrawFn, trigger: TriggerSpec) -> str | None:
    fields = text_fields(trigger)
    if not fields or draw(st.booleans()):
        return None
    word = draw(st.from_regex(r"[a-j]{1,8}( [a-j]{1,3})?", fullmatch=True))
    return f'{draw(st.sampled_from(fields))} contains "{word}"'


DEFAULTS: dict[str, st.SearchStrategy[Any]] = {
    "str": words,
    "int": st.integers(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "dict": st.dictionaries(words, json_values, max_size=2),
    "list": st.lists(json_values, max_size=2),
}
KINDS = st.sampled_from(sorted(DEFAULTS))
PARAMETER_NAMES = words | st.sampled_from(["class", "event", "list", "json", "self", "naïve name", "2nd"])


@st.composite
def parameter_specs(draw: st.DrawFn) -> tuple[ParameterSpec, ...]:
    made = []
    for name in draw(st.lists(PARAMETER_NAMES, max_size=3, unique=True)):
        kind = draw(KINDS)
        default = draw(DEFAULTS[kind]) if draw(st.booleans()) else None
        required = draw(st.booleans())
        made.append(
            ParameterSpec.model_validate(
                {"name": name, "type": kind, "default": default, "required": required, "description": name}
            )
        )
    return tuple(made)


@st.composite
def arguments(
    draw: st.DrawFn, trigger: TriggerSpec, parameters: tuple[ParameterSpec, ...], results: list[str]
) -> Argument:
    paths = st.sampled_from(
        ["", *shape(trigger).sample] if shape(trigger).is_known else ["", "name", "a.b", "rows.0.id"]
    )
    simple: list[st.SearchStrategy[Any]] = [st.builds(Constant, value=json_values)]
    in_text: list[st.SearchStrategy[Any]] = [st.builds(Constant, value=words)]
    sources: list[st.SearchStrategy[Any]] = [st.builds(FromTrigger, path=paths)]
    if parameters:
        sources.append(st.builds(FromParameter, name=st.sampled_from([one.name for one in parameters])))
    if results:
        answers = st.sampled_from(["", "id", "data.gid", "rows.1.name", "from"])
        sources.append(st.builds(FromStep, step=st.sampled_from(results), path=answers))
    texts = st.builds(Text, parts=st.lists(st.one_of(in_text + sources), max_size=4).map(tuple))
    return draw(st.one_of(*simple, *sources, texts))


@st.composite
def steps(
    draw: st.DrawFn, trigger: TriggerSpec, parameters: tuple[ParameterSpec, ...]
) -> tuple[StepSpec, ...]:
    made: list[StepSpec] = []
    visible: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        service = load_catalogue().get(draw(st.sampled_from(services_that_act())))
        operation = service.operations[draw(st.integers(0, len(service.operations) - 1))]
        names = [one.name for one in operation.parameters if one.required and one.default is None]
        optional = [one.name for one in operation.parameters if one.name not in names]
        names += draw(st.lists(st.sampled_from(optional), max_size=3, unique=True)) if optional else []
        condition = draw(conditions(trigger))
        for_each = draw(st.none() | st.sampled_from(visible)) if visible else None
        step = StepSpec(
            id=draw(
                st.sampled_from(
                    [f"step-{number}", f"Größe {number}", f"{number}.x" if not number else f"s{number}"]
                )
            ),
            service=service.id,
            operation=operation.id,
            connection=draw(words),
            arguments={name: draw(arguments(trigger, parameters, visible)) for name in names},
            condition=condition,
            for_each=for_each,
        )
        made.append(step)
        if condition is None and for_each is None and "." not in step.id:
            visible.append(step.id)
    return tuple(made)


@st.composite
def workflows(draw: st.DrawFn) -> WorkflowSpec:
    trigger = draw(triggers())
    parameters = draw(parameter_specs())
    return WorkflowSpec(
        name=draw(
            st.from_regex(r"[a-z][a-z0-9-]{2,62}", fullmatch=True).filter(
                lambda one: not one.startswith("autopilot")
            )
        ),
        request=draw(words),
        trigger=trigger,
        parameters=parameters,
        steps=draw(steps(trigger, parameters)),
    )


# --- Every file.


def source_of(spec: WorkflowSpec) -> str:
    return generate(spec, load_catalogue()).source


def function_of(tree: ast.Module) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef))


def calls_of(tree: ast.AST) -> list[ast.Call]:
    """Return the calls of services, in the order they are written."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Call)
        and ast.unparse(node.func.func) == "call_service.with_options"
    ]
    return sorted(found, key=lambda node: node.lineno)


def texts_of(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from (str(key) for key in value)
            for one in value.values():
                yield from texts_of(one)
        case list():
            for one in value:
                yield from texts_of(one)


def assert_any_workflow_becomes_one_module_that_compiles(
    spec: WorkflowSpec, generated: GeneratedFlow
) -> None:
    tree = ast.parse(generated.source)
    compile(tree, generated.file_name, "exec", dont_inherit=True)
    assert {type(node).__name__ for node in ast.walk(tree)} <= ALLOWED_NODES
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= ALLOWED_MODULES
    assert function_of(tree).name == generated.function
    assert [
        ast.unparse(one.func) for one in function_of(tree).decorator_list if isinstance(one, ast.Call)
    ] == ["flow"]


def assert_every_step_is_one_call_of_its_operation_on_its_connection(
    spec: WorkflowSpec, generated: GeneratedFlow
) -> None:
    calls = calls_of(ast.parse(generated.source))
    assert [[ast.literal_eval(one) for one in call.args] for call in calls] == [
        [step.connection, step.operation] for step in spec.steps
    ]
    titles = [
        ast.literal_eval(call.func.keywords[0].value) for call in calls if isinstance(call.func, ast.Call)
    ]
    assert len(set(titles)) == len(titles)


def assert_every_text_of_the_spec_is_a_constant_of_the_source(
    spec: WorkflowSpec, generated: GeneratedFlow
) -> None:
    tree = ast.parse(generated.source)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    joined = "".join(one for one in constants if isinstance(one, str))
    for step in spec.steps:
        for argument in step.arguments.values():
            if isinstance(argument, Constant):
                assert set(texts_of(argument.value)) <= {one for one in constants if isinstance(one, str)}
            if isinstance(argument, Text):
                assert all(part.value in joined for part in argument.parts if isinstance(part, Constant))
    assert " ".join(spec.request.split()) in " ".join((ast.get_docstring(tree) or "").split())


def assert_names_are_bound_once_and_hide_nothing(spec: WorkflowSpec, generated: GeneratedFlow) -> None:
    tree = ast.parse(generated.source)
    function = function_of(tree)
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    parameters = [one.arg for one in function.args.args]
    assigned = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    read = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    own = assigned | set(parameters)
    assert len(set(parameters)) == len(parameters)
    assert not own & imported
    assert not own & set(dir(builtins))
    assert not own & set(sys.stdlib_module_names)
    assert not [name for name in own if keyword.iskeyword(name) or keyword.issoftkeyword(name)]
    assert read <= own | imported | {"dict", "list", "str", "int", "float", "bool"}
    assert function.name not in own


def assert_the_same_workflow_gives_the_same_bytes_through_json_as_well(
    spec: WorkflowSpec, generated: GeneratedFlow
) -> None:
    first = generated
    again = generate(WorkflowSpec.model_validate_json(spec.model_dump_json()), load_catalogue())
    assert again.source == first.source
    assert again.deployment == first.deployment
    assert GeneratedFlow.model_validate_json(first.model_dump_json()) == first


def assert_the_deployment_says_what_the_trigger_says(spec: WorkflowSpec, generated: GeneratedFlow) -> None:
    deployment, trigger = generated.deployment, spec.trigger
    assert deployment.entrypoint == f"{generated.file_name}:{generated.function}"
    assert (deployment.name, deployment.flow_name, deployment.tags) == (spec.name, spec.name, (TAG,))
    if trigger.type == "schedule":
        assert (deployment.cron, deployment.rrule, deployment.interval_s) == (
            trigger.cron,
            trigger.rrule,
            trigger.interval_s,
        )
        assert deployment.event is None
    else:
        assert (deployment.cron, deployment.rrule, deployment.interval_s) == (None, None, None)
        assert (deployment.event is None) is (trigger.type == "manual")
    json.dumps(deployment.model_dump(mode="json"), allow_nan=False)


def assert_the_file_name_shadows_no_module_on_the_path(spec: WorkflowSpec, generated: GeneratedFlow) -> None:
    stem = generated.file_name.removesuffix(".py")
    services = {step.service for step in spec.steps} | (
        {spec.trigger.service} if spec.trigger.service else set()
    )
    assert stem.isidentifier()
    assert "_" in stem
    assert stem not in sys.stdlib_module_names
    assert not stem.startswith("prefect_")
    assert stem not in services | {f"{one}_sdk" for one in services} | {f"{one}_client" for one in services}


@PROPERTY
@given(spec=workflows())
def test_any_workflow_becomes_a_sound_module_with_its_deployment(spec: WorkflowSpec) -> None:
    generated = generate(spec, load_catalogue())
    assert_any_workflow_becomes_one_module_that_compiles(spec, generated)
    assert_every_step_is_one_call_of_its_operation_on_its_connection(spec, generated)
    assert_every_text_of_the_spec_is_a_constant_of_the_source(spec, generated)
    assert_names_are_bound_once_and_hide_nothing(spec, generated)
    assert_the_same_workflow_gives_the_same_bytes_through_json_as_well(spec, generated)
    assert_the_deployment_says_what_the_trigger_says(spec, generated)
    assert_the_file_name_shadows_no_module_on_the_path(spec, generated)


def assert_formatted(folder: Path, sources: list[str]) -> None:
    """Let the formatter look at many files at once."""
    folder.mkdir(exist_ok=True)
    for number, source in enumerate(sources):
        (folder / f"flow_{number}.py").write_bytes(source.encode("utf-8"))
    done = subprocess.run(
        [RUFF, "format", "--isolated", "--no-cache", "--diff", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_any_workflow_is_laid_out_as_the_formatter_would(tmp_path: Path) -> None:
    sources: list[str] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(spec=workflows())
    def collect(spec: WorkflowSpec) -> None:
        sources.append(source_of(spec))

    collect()
    assert len(sources) >= 50
    assert_formatted(tmp_path / "all", sources)


# --- What the flow does when it runs, against a second reading of the spec.


class Answer(dict[str, Any]):
    """The answer of a step: has every field, is a list of two rows, is told apart by where it was read."""

    place = ""  # what stands before the rows of a list that was read to its end

    def __init__(self, *path: object) -> None:
        super().__init__()
        self.path = path

    def __missing__(self, key: object) -> Answer:
        return Answer(*self.path, key)

    def __iter__(self) -> Iterator[Answer]:  # type: ignore[override]
        yield from (Answer(*self.path, f"row {number}") for number in range(2))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __str__(self) -> str:
        return "/".join(map(str, self.path))

    def __format__(self, _: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<{self}>"


class Ended:
    """What a guarded flow returns."""

    def __init__(self, name: str = "Completed", message: str = "") -> None:
        self.name, self.message = name, message

    def __class_getitem__(cls, _: object) -> type[Ended]:
        return cls


def run(generated: GeneratedFlow, event: dict[str, Any]) -> tuple[list[Any], Any]:
    """Run the function of the source with services that write down what they are asked."""
    made: list[Any] = []

    class Service:
        def with_options(self, *, name: str) -> Any:
            assert name

            def call(connection: str, operation: str, **given: Any) -> Answer:
                made.append((connection, operation, given))
                return Answer(operation)

            return call

    tree = ast.parse(generated.source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    space: dict[str, Any] = {
        "json": json,
        "Any": Any,
        "State": Ended,
        "Completed": Ended,
        "call_service": Service(),
        "flow": lambda **_: lambda function: function,
    }
    exec(compile(tree, generated.file_name, "exec", dont_inherit=True), space)
    names = parameter_names(generated.spec, generated.function)
    given = {names[key]: value for key, value in example_values(generated.spec).items()}
    function = space[generated.function]
    takes_event = "event" in [one.arg for one in function_of(tree).args.args]
    return made, function(**({"event": event} if takes_event else {}), **given)


def walk(value: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        value = value[int(part) if part.isdigit() else part]
    return value


def parameter_value(spec: WorkflowSpec, name: str) -> Any:
    one = next(parameter for parameter in spec.parameters if parameter.name == name)
    return example_values(spec)[name] if one.required else one.default


def holds(condition: str | None, event: dict[str, Any]) -> bool:
    if condition is None:
        return True
    field, word = condition.split(' contains "')
    return word.removesuffix('"').casefold() in str(event[field]).casefold()


def read(argument: Any, spec: WorkflowSpec, event: dict[str, Any], rows: dict[str, Answer]) -> Any:
    """Return what an argument means, read from the spec alone."""
    match argument:
        case Constant(value=value):
            return value
        case FromParameter(name=name):
            return parameter_value(spec, name)
        case FromTrigger(path=path):
            return walk(event, path)
        case FromStep(step=step, path=path):
            return walk(rows[step], path.removeprefix(rows[step].place))
        case Text(parts=((FromStep() | FromParameter()) as only,)) if getattr(only, "path", "parameter"):
            return read(only, spec, event, rows)  # a field or a parameter alone is given on as it is
        case Text(parts=parts):
            return "".join(str(read(part, spec, event, rows)) for part in parts)
    raise AssertionError(argument)


def operation_of(step: StepSpec) -> Operation:
    found = load_catalogue().get(step.service).operation(step.operation)
    assert found is not None
    return found


def as_sent(step: StepSpec, name: str, value: Any) -> Any:
    """A whole answer or event becomes JSON text where the operation wants text."""
    argument = step.arguments[name]
    kind = next(one.type for one in operation_of(step).parameters if one.name == name)
    if isinstance(argument, FromTrigger | FromStep) and not argument.path and kind == "string":
        return json.dumps(value, indent=2)
    return value


PAGING = {"limit", "per_page", "page_size", "pageSize", "maxResults", "count", "$top", "size", "first"}


def reads_on(spec: WorkflowSpec, step: StepSpec) -> bool:
    """Tell whether a step reads its list to the end: nothing counts rows or reads what is beside them."""
    operation = operation_of(step)
    paging, at = operation.pagination, operation.list_at
    if at is None or operation.effect != "safe" or paging.kind == "none":
        return False
    looped = {one.for_each for one in spec.steps}
    read_of_it = [
        part.path
        for one in spec.steps
        if one.for_each != step.id
        for argument in one.arguments.values()
        for part in (argument.parts if isinstance(argument, Text) else (argument,))
        if isinstance(part, FromStep) and part.step == step.id and part.path
    ]
    beside = [path for path in read_of_it if at != "$" and f"{path}.".partition(f"{at}.")[0]]
    wrong_loop = [one for one in looped if one and one.split(".")[0] == step.id and one != step.id]
    return not ({*PAGING, paging.request_param} & set(step.arguments)) and not beside and not wrong_loop


def expected(spec: WorkflowSpec, event: dict[str, Any]) -> list[Any]:
    whole = {step.id for step in spec.steps if reads_on(spec, step)}
    if not holds(spec.trigger.filter, event):
        return []
    calls: list[Any] = []
    results = {step.id: Answer(step.operation) for step in spec.steps}
    for step in spec.steps:
        if step.id in whole and operation_of(step).list_at != "$":
            results[step.id].place = f"{operation_of(step).list_at}."
    places = {step.id: "" if step.id in whole else operation_of(step).list_at for step in spec.steps}
    # Neighbours with one condition and one loop are done row by row.
    for (for_each, condition), group in groupby(spec.steps, key=lambda one: (one.for_each, one.condition)):
        if not holds(condition, event):
            continue
        rounds: list[dict[str, Answer]] = [results]
        if for_each:
            rounds = [results | {for_each: row} for row in walk(results[for_each], places[for_each] or "")]
            for one in rounds:
                one[for_each].place = results[for_each].place
        steps = list(group)
        for rows, step in product(rounds, steps):
            given = {
                name: as_sent(step, name, read(value, spec, event, rows))
                for name, value in step.arguments.items()
            }
            told = {"all_pages": True} if step.id in whole else {}
            calls.append((step.connection, step.operation, given | told))
    return calls


@PROPERTY
@given(spec=workflows())
def test_the_flow_calls_what_the_spec_says_with_what_it_says(spec: WorkflowSpec) -> None:
    generated = generate(spec, load_catalogue())
    sample = generated.sample_event
    json.dumps(sample, allow_nan=False)
    made, ended = run(generated, sample)
    assert made == expected(spec, sample)
    assert holds(spec.trigger.filter, sample)
    if spec.trigger.filter is None:
        assert ended is None
        return
    assert ended.name == "Completed"
    field = spec.trigger.filter.split(" ")[0]
    made, ended = run(generated, sample | {field: "-"})
    assert made == []
    assert ended.name == "Skipped"
    assert spec.trigger.filter in ended.message
