"""What a flow does, in English: read from its source, generated or written by hand; nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.codegen.names import ALL_PAGES, step_title
from prefect_autopilot.codegen.reading import Call, FlowSource, read_flow
from prefect_autopilot.effects import FunctionEffect, RerunVerdict, flow_effects, function_effects, may_rerun
from prefect_autopilot.journeys.explain_words import condition, each, number_of, value
from prefect_autopilot.journeys.improve import operation_effects
from prefect_autopilot.models import DeploymentSpec, ExplainedStep, FlowExplanation

_HOOKS = {
    "on_failure": "when the run fails",
    "on_crashed": "when its process dies",
    "on_cancellation": "when it is cancelled",
}
_RERUN = {
    "safe": "It only reads: it may be run again at any time.",
    "idempotent": "What it writes may be written again: a second run does no harm.",
    "unsafe": "A second run would do some things twice",
    "unknown": "Whether a second run does harm is not known",
}
_EFFECTS = {"safe": "only reads", "idempotent": "may be repeated", "unsafe": "never repeated by itself"}


def explain_file(
    path: Path, function: str | None = None, deployments: tuple[DeploymentSpec, ...] = ()
) -> FlowExplanation:
    """Return what the flow of a file does; raises UsageError, InvalidFlowError or UnknownNameError."""
    source = read_source(path)
    return explain_source(source, file=path.name, function=function, deployments=deployments)


def explain_source(
    source: str, *, file: str, function: str | None = None, deployments: tuple[DeploymentSpec, ...] = ()
) -> FlowExplanation:
    """Return what a flow does in order, what starts it, and what happens when it fails.

    ``deployments`` are those known of it. Raises InvalidFlowError for text that is no flow, UnknownNameError
    for a ``function`` that is none of its flows.
    """
    plain = source.removeprefix("\ufeff")
    flow = read_flow(plain, user_catalogue(), function)
    operations = operation_effects()
    verdict = may_rerun(plain, flow.flow.name, operations)
    told = _Telling(flow, function_effects(plain, operations), _touching(flow, plain))
    return FlowExplanation(
        file=file,
        function=flow.flow.name,
        name=flow.name,
        summary=_summary(flow),
        request=flow.request,
        starts=tuple(_starts(flow, deployments)),
        parameters=flow.flow.parameters,
        steps=tuple(told.body(flow.body, 0)),
        connections=tuple(dict.fromkeys(call.connection for call in flow.calls if call.connection)),
        on_failure=tuple(_on_failure(flow)),
        rerun=_rerun(verdict),
    )


def _touching(flow: FlowSource, source: str) -> dict[int, FunctionEffect]:
    """Return what plain calls of the flow read or write, by line."""
    found = flow_effects(source, flow.flow.name, operation_effects())
    return {one.line: one.effect for one in found if one.effect.kind in {"call", "function"}}


def _summary(flow: FlowSource) -> str:
    told = ast.get_docstring(flow.flow.node) or ast.get_docstring(flow.module.tree) or ""
    return told.strip().split("\n\n")[0].replace("\n", " ")


def _starts(flow: FlowSource, deployments: tuple[DeploymentSpec, ...]) -> Iterator[str]:
    for one in deployments:
        yield f"The deployment {one.flow_name}/{one.name} starts it {_when(one)}."
    yield from (f"{told}." for told in _in_file(flow))
    if not deployments and flow.request:
        yield "It was generated from a request, which says what starts it."
    if flow.request and "event" in flow.flow.parameters:
        yield "It takes the event that starts it as the parameter event."


def _when(deployment: DeploymentSpec) -> str:
    zone = f" ({deployment.timezone})" if deployment.timezone else ""
    if deployment.cron:
        return f"at the cron times {deployment.cron}{zone}"
    if deployment.rrule:
        return f"by the rule {deployment.rrule}{zone}"
    if deployment.interval_s:
        return f"every {number_of(deployment.interval_s, 'second')}"
    return f"on the event {deployment.event}" if deployment.event else "when somebody asks for it"


def _in_file(flow: FlowSource) -> Iterator[str]:
    """Tell of schedules given to ``serve`` or ``deploy`` in the file."""
    for part in ast.walk(flow.module.tree):
        if not (isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)):
            continue
        if part.func.attr not in {"serve", "deploy", "to_deployment"}:
            continue
        for word in part.keywords:
            if word.arg in {"cron", "interval", "rrule"}:
                yield f"Line {part.lineno} deploys it with the {word.arg} {value(word.value)}"


def _on_failure(flow: FlowSource) -> Iterator[str]:
    options = flow.flow.options
    retries = options.get("retries")
    if retries is not None:
        delay = options.get("retry_delay_seconds")
        apart = f", {value(delay)} s apart" if delay is not None else ""
        yield f"The whole flow is tried again up to {value(retries)} times{apart}."
    if "timeout_seconds" in options:
        yield f"It is ended after {value(options['timeout_seconds'])} s."
    for name, when in _HOOKS.items():
        if name in options:
            yield f"{value(options[name])} is called {when}."
    for call in flow.calls:
        told = _retries(call)
        if told:
            yield f"{call.name} (line {call.node.lineno}) is tried again {told}."
    if any(call.connection for call in flow.calls):
        yield (
            "A call of a service that may be repeated is tried again by itself; one that may not is "
            "left alone, and what was done stays done when the run is retried."
        )
    yield "Otherwise the first step that fails ends the run as failed; the steps behind it are not run."


def _retries(call: Call) -> str:
    given = call.options.keywords if call.options else []
    words = dict(call.function.options) if call.function is not None else {}
    words |= {word.arg: word.value for word in given if word.arg is not None}
    retries = words.get("retries")
    if retries is None or value(retries) == "0":
        return ""
    delay = words.get("retry_delay_seconds")
    return f"up to {value(retries)} times" + (f", {value(delay)} s apart" if delay is not None else "")


def _rerun(verdict: RerunVerdict) -> str:
    told = _RERUN[verdict.level]
    if verdict.level in {"safe", "idempotent"} or not verdict.evidence:
        return told if told.endswith(".") else f"{told}."
    return f"{told}: {'; '.join(verdict.evidence[:5])}."


class _Telling:
    """The statements of one flow as sentences."""

    def __init__(
        self, flow: FlowSource, effects: dict[str, FunctionEffect], touching: dict[int, FunctionEffect]
    ) -> None:
        self._flow = flow
        self._effects = effects
        self._touching = touching
        self._calls: dict[int, list[Call]] = {}
        for call in flow.calls:
            self._calls.setdefault(id(call.statement), []).append(call)

    def body(self, statements: list[ast.stmt], depth: int) -> Iterator[ExplainedStep]:
        for statement in statements:
            yield from self._statement(statement, depth)

    def _statement(self, node: ast.stmt, depth: int) -> Iterator[ExplainedStep]:
        yield from self._made(node, depth)
        match node:
            case ast.If():
                yield from self._if(node, depth)
            case ast.For() | ast.AsyncFor():
                yield _step(node, depth, "loop", f"For each {value(node.target)} of {value(node.iter)}:")
                yield from self.body(node.body, depth + 1)
                yield from self.body(node.orelse, depth)
            case ast.While():
                yield _step(node, depth, "loop", f"As long as {condition(node.test)}:")
                yield from self.body(node.body, depth + 1)
            case ast.Try():
                yield from self._try(node, depth)
            case ast.With() | ast.AsyncWith():
                yield from self.body(node.body, depth)
            case ast.Match():
                for case in node.cases:
                    told = f"If {value(node.subject)} is {ast.unparse(case.pattern)}:"
                    yield _step(node, depth, "condition", told)
                    yield from self.body(case.body, depth + 1)
            case ast.Raise():
                told = value(node.exc) if node.exc else "the same error"
                yield _step(node, depth, "stop", f"Fail with {told}.")
            case ast.Return() if depth:
                yield _step(node, depth, "stop", f"Stop here{self._returned(node)}.")

    @staticmethod
    def _returned(node: ast.Return) -> str:
        if isinstance(node.value, ast.Call):
            words = {word.arg: word.value for word in node.value.keywords}
            said = words.get("message") or words.get("name")
            return f": {value(said)}" if said is not None else ""
        return ""

    def _if(self, node: ast.If, depth: int) -> Iterator[ExplainedStep]:
        yield _step(node, depth, "condition", f"If {condition(node.test)}:")
        yield from self.body(node.body, depth + 1)
        if node.orelse:
            yield _step(node.orelse[0], depth, "condition", "Otherwise:")
            yield from self.body(node.orelse, depth + 1)

    def _try(self, node: ast.Try, depth: int) -> Iterator[ExplainedStep]:
        yield _step(node, depth, "attempt", "Try:")
        yield from self.body(node.body, depth + 1)
        for handler in node.handlers:
            what = value(handler.type) if handler.type else "anything"
            yield ExplainedStep(
                line=handler.lineno, depth=depth, kind="attempt", text=f"If that fails with {what}:"
            )
            inner = list(self.body(handler.body, depth + 1))
            yield from inner
            if not inner:
                yield _step(handler.body[0], depth + 1, "other", "Go on as if nothing had happened.")
        if node.finalbody:
            yield _step(node.finalbody[0], depth, "attempt", "In any case:")
            yield from self.body(node.finalbody, depth + 1)

    def _made(self, node: ast.stmt, depth: int) -> Iterator[ExplainedStep]:
        calls = self._calls.get(id(node), [])
        for call in calls:
            yield (
                self._service(call, depth) if call.connection or not call.function else self._own(call, depth)
            )
        if calls or not isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return | ast.AugAssign):
            return
        effect = self._touching.get(node.lineno)
        waits = [
            part
            for part in ast.walk(node)
            if isinstance(part, ast.Call) and ast.unparse(part.func).endswith("sleep") and part.args
        ]
        if waits:
            yield _step(node, depth, "wait", f"Wait {value(waits[0].args[0])} s.")
        elif effect is not None and effect.level.value != "pure":
            told = {"read": "Read", "write": "Write", "unknown": "Call"}[effect.level.value]
            text = f"{told}: {effect.name}{_resources(effect)}."
            yield ExplainedStep(
                line=node.lineno, depth=depth, kind="other", text=text, effect=effect.level.value
            )

    @staticmethod
    def _service(call: Call, depth: int) -> ExplainedStep:
        given = [
            "the rows of every page" if name == ALL_PAGES else f"{name} {value(node)}"
            for name, node in call.arguments.items()
        ]
        service, operation = call.service, call.operation
        if service is not None and operation is not None:
            what = step_title(operation.id, operation.verbs, service.name)
            effect = f" ({_EFFECTS[operation.effect]})"
        else:
            what, effect = f"{call.name} through the connection {call.connection}", " (not in the catalogue)"
        many = _spread(call.node)
        filled = f" with {', '.join(given)}" if given else ""
        return ExplainedStep(
            line=call.node.lineno,
            depth=depth,
            kind="call",
            text=f"{what}{filled}{many}{effect}.",
            service=service.id if service else None,
            operation=operation.id if operation else None,
            effect=operation.effect.value if operation else "unknown",
        )

    def _own(self, call: Call, depth: int) -> ExplainedStep:
        function = call.function
        assert function is not None
        effect = self._effects.get(function.name)
        doc = (ast.get_docstring(function.node) or "").strip().split("\n")[0].rstrip(".")
        level = effect.level.value if effect else "unknown"
        does = {"pure": "computes only", "read": "reads", "write": "writes", "unknown": "effect not known"}[
            level
        ]
        resources = _resources(effect) if effect else ""
        kind = "Run the flow" if function.kind == "flow" else "Run the task"
        return ExplainedStep(
            line=call.node.lineno,
            depth=depth,
            kind="flow" if function.kind == "flow" else "task",
            text=f"{kind} {call.name}{f': {doc}' if doc else ''}{_spread(call.node)} ({does}{resources}).",
            effect=level,
        )


def _spread(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr="map"):
            return f", once for each of {each(node)}, side by side"
        case ast.Attribute(attr="submit"):
            return ", without waiting for it"
    return ""


def _resources(effect: FunctionEffect) -> str:
    known = [one for one in effect.resources if one]
    return f" {', '.join(known[:4])}" if known else ""


def _step(node: ast.AST, depth: int, kind: str, text: str) -> ExplainedStep:
    line = getattr(node, "lineno", 1)
    return ExplainedStep.model_validate({"line": line, "depth": depth, "kind": kind, "text": text})
