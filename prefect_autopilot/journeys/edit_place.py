"""Which step of a flow some words mean, and what a condition in words is in the flow's own terms."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import pairwise

from prefect_autopilot import codegen
from prefect_autopilot.codegen import edit as source_edit
from prefect_autopilot.codegen.events import Shape
from prefect_autopilot.codegen.reading import Call, FlowSource
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.changes import Change
from prefect_autopilot.models import Question, RequestContext, Service
from prefect_autopilot.services import Catalogue

RUN = ("prefect.runtime", "flow_run")
ZONE = ("zoneinfo", "ZoneInfo")
_WHOLE = re.compile(
    r"(?:run|start|do|the|it|this|flow|whole|all|everything|workflow|automation|thing|\s)*", re.IGNORECASE
)
_WORD = re.compile(r"[a-z0-9]+")
_EMPTY = frozenset(
    ["a", "an", "the", "to", "in", "on", "step", "it", "of", "for", "with", "call", "task", "and"]
)
_STEM = 4


class UnclearError(AutopilotError):
    """A change cannot be made before the person has answered ``question``."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.text)
        self.question = question


def ask(identifier: str, text: str, options: tuple[str, ...] = ()) -> UnclearError:
    """Return the question as what is raised."""
    return UnclearError(Question(id=identifier, text=text, options=options))


def is_whole(words: str) -> bool:
    """Tell whether some words mean the flow and no single step."""
    return _WHOLE.fullmatch(words) is not None


def find_step(flow: FlowSource, words: str, catalogue: Catalogue, *, needed: bool = True) -> Call | None:
    """Return the step that ``words`` mean; raises UnclearError where none or several fit and it is needed."""
    if not flow.calls:
        raise ask("step", "The flow calls no service and no task that could be changed; which line is meant?")
    named = services_in(words, catalogue)
    scored = [(_score(call, words) if _may_be(call, named) else 0, call) for call in flow.calls]
    best = max(score for score, _ in scored)
    fitting = [call for score, call in scored if score == best and score > 0]
    if len(fitting) == 1:
        return fitting[0]
    if not needed:
        return None
    offered = tuple(f"{call.name} (line {call.node.lineno})" for call in fitting or flow.calls)
    reason = "Several steps fit" if fitting else "No step fits"
    raise ask("step", f"Which step do you mean by {words!r}? {reason}.", offered)


def services_in(words: str, catalogue: Catalogue) -> tuple[Service, ...]:
    """Return the services that some words name, by one word or by two."""
    said = re.findall(r"[\w.+-]+", words)
    terms = [*said, *(f"{one} {other}" for one, other in pairwise(said))]
    found = {service.id: service for term in terms for service in catalogue.find(term.strip("."))}
    return tuple(found.values())


def _may_be(call: Call, named: tuple[Service, ...]) -> bool:
    """Tell whether a step can be meant where these services are named: never one of another service."""
    if not named:
        return True
    if call.service is not None:
        return any(one.id == call.service.id for one in named)
    own = f"{call.name} {call.function.name if call.function else ''}".casefold()
    return any(one.id.casefold() in own or one.name.casefold() in own for one in named)


def _score(call: Call, words: str) -> int:
    said = words.casefold()
    told = set(_WORD.findall(said)) - _EMPTY
    score = 0
    if call.service is not None:
        names = {call.service.id, call.service.name, *call.service.aliases}
        score += 4 * any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", said) for name in names)
    name = call.function.name if call.function else (call.operation.id if call.operation else "")
    nouns = set(_WORD.findall(f"{name} {call.name}".casefold().replace("_", " "))) - _EMPTY
    score += sum(any(_same(word, noun) for noun in nouns) for word in told)
    if (
        f"line {call.node.lineno}" in said
        or name.casefold() in told
        or (name and name.casefold() in said.split())
    ):
        score += 6
    literals = {text.casefold() for node in call.arguments.values() if (text := _text(node)) is not None}
    return score + 4 * any(one and one in said.split() for one in literals)


def _same(one: str, other: str) -> bool:
    """Tell whether two words share their stem: "posting" and "post"."""
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    return (
        len(short) >= _STEM
        and long.startswith(short[: max(_STEM, len(short) - 2)])
        and len(long) - len(short) < _STEM
    )


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@dataclass(frozen=True)
class Condition:
    """A condition as Python, the lines that must stand before it, and the edits that import what it needs."""

    test: str
    setup: tuple[str, ...] = ()
    imports: tuple[TextEdit, ...] = ()

    def is_of(self, block: ast.stmt | None) -> bool:
        """Tell whether a block has this condition."""
        return isinstance(block, ast.If) and ast.dump(block.test) == ast.dump(parsed(self.test))


def parsed(expression: str) -> ast.expr:
    """Return the tree of an expression."""
    return ast.parse(expression, mode="eval").body


def condition_of(
    flow: FlowSource, change: Change, context: RequestContext, catalogue: Catalogue
) -> Condition | None:
    """Return the condition of a change, None without one; raises UnclearError where it is not understood."""
    if change.days is not None:
        return _on_days(flow, change.days, context.timezone)
    if change.condition is None:
        return None
    found = source_edit.on_names(change.condition, local_names(flow))
    has_event = "event" in flow.flow.parameters
    if found is None and has_event:
        found = source_edit.on_event(change.condition, event_shape(flow, context, catalogue))
    if found is None:
        offered = event_shape(flow, context, catalogue).sample if has_event else local_names(flow)
        told = f"What does {change.condition!r} mean in this flow? Say it with one of its values."
        raise ask("condition", told, tuple(sorted(offered)))
    return Condition(found)


def _on_days(flow: FlowSource, days: frozenset[int], timezone: str) -> Condition:
    imports, names = source_edit.import_edits(flow, (RUN, ZONE))
    due = source_edit.due_in(timezone, names["flow_run"], names["ZoneInfo"])
    for statement in flow.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if ast.dump(value) == ast.dump(
                parsed(due)
            ):
                return Condition(source_edit.on_days(days, name))
    taken = {*local_names(flow), *flow.module.imports, *flow.module.functions, *flow.module.variables}
    name = next(one for one in ("due", "due_time", "autopilot_due") if one not in taken)
    return Condition(source_edit.on_days(days, name), (f"{name} = {due}",), tuple(imports))


def local_names(flow: FlowSource) -> frozenset[str]:
    """Return the parameters and variables of the flow."""
    stored = {
        part.id
        for part in ast.walk(flow.flow.node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    return frozenset({*flow.flow.parameters, *stored} - {"event"})


def event_shape(flow: FlowSource, context: RequestContext, catalogue: Catalogue) -> Shape:
    """Return what the flow's event looks like, as the request it was generated from tells."""
    trigger = analyze(flow.request, context, catalogue).trigger if flow.request else None
    service = catalogue.get(trigger.service) if trigger and trigger.service else None
    return codegen.shape_of(service, trigger.event if trigger else None)
