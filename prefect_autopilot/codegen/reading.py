"""A flow file as its steps: which services and tasks it calls, where, and below which conditions."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from prefect_autopilot.effects.module import Function, Module, read_module
from prefect_autopilot.effects.text import SourceText
from prefect_autopilot.errors import InvalidFlowError, UnknownNameError
from prefect_autopilot.models import Operation, Service
from prefect_autopilot.services import Catalogue, service_of_connection

CALL_SERVICE = "prefect_autopilot.tasks.call_service"
_FIXED = 2
_REQUEST = re.compile(r"The request, as it was made:\n\n(?P<text>(?:[ \t]+\S.*\n?)+)")


@dataclass(frozen=True)
class Call:
    """One call of a service or task in a flow's body."""

    node: ast.Call
    statement: ast.stmt
    """The simple statement it stands in."""
    blocks: tuple[ast.stmt, ...]
    """Conditions, loops and the like around it, the outermost first."""
    name: str
    """What the run shows: the name given to it, else the task's."""
    connection: str | None = None
    service: Service | None = None
    operation: Operation | None = None
    function: Function | None = None
    options: ast.Call | None = None
    """The ``with_options(…)`` it is called through."""

    @property
    def arguments(self) -> dict[str, ast.expr]:
        """Named arguments, those given in a dictionary with ``**`` among them."""
        found: dict[str, ast.expr] = {}
        for word in self.node.keywords:
            if word.arg is not None:
                found[word.arg] = word.value
            elif isinstance(word.value, ast.Dict):
                pairs = zip(word.value.keys, word.value.values, strict=True)
                found |= {text: value for key, value in pairs if (text := _text(key)) is not None}
        return found

    @property
    def result(self) -> str | None:
        """The variable its answer is kept in."""
        match self.statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                return name
        return None


@dataclass(frozen=True)
class FlowSource:
    """One flow of a file with its calls in order."""

    module: Module
    text: SourceText
    flow: Function
    calls: tuple[Call, ...]

    @property
    def name(self) -> str:
        """The name of the flow on the server."""
        given = self.flow.options.get("name")
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value
        return self.flow.node.name.replace("_", "-")

    @cached_property
    def request(self) -> str | None:
        """The request the file was generated from, as its docstring tells it."""
        found = _REQUEST.search(ast.get_docstring(self.module.tree) or "")
        return " ".join(found["text"].split()) if found else None

    @property
    def body(self) -> list[ast.stmt]:
        """The statements of the flow without its docstring."""
        body = self.flow.node.body
        return body[1:] if ast.get_docstring(self.flow.node) is not None else body


def read_flow(source: str, catalogue: Catalogue, function: str | None = None) -> FlowSource:
    """Read a flow and its calls; nothing is imported or run.

    Raises InvalidFlowError for text that is not Python or holds no flow, UnknownNameError for a ``function``
    that is none of its flows; where a file holds several and none is named, the one that calls the others.
    """
    module = read_module(source)
    flows = {one.name: one for one in module.flows()}
    if not flows:
        raise InvalidFlowError("The file holds no Prefect flow; give a file with a function under @flow.")
    if function is not None and function not in flows:
        raise UnknownNameError(
            "flow of this file", function, tuple(difflib.get_close_matches(function, flows))
        )
    flow = flows[function] if function is not None else _outermost(flows)
    calls = tuple(_calls(module, flow.node.body, (), catalogue))
    return FlowSource(module, SourceText(source), flow, calls)


def _outermost(flows: dict[str, Function]) -> Function:
    called = {
        part.func.id
        for flow in flows.values()
        for part in ast.walk(flow.node)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id != flow.name
    }
    free = [flow for name, flow in flows.items() if name not in called]
    return (free or list(flows.values()))[-1]


def _calls(
    module: Module, body: list[ast.stmt], blocks: tuple[ast.stmt, ...], catalogue: Catalogue
) -> Iterator[Call]:
    for statement in body:
        inner = inner_bodies(statement)
        if inner:
            yield from _in_statement(module, statement, statement, blocks, catalogue)
        for one in inner:
            yield from _calls(module, one, (*blocks, statement), catalogue)
        if not inner and not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _in_statement(module, statement, statement, blocks, catalogue)


def inner_bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Return the blocks of statements inside a statement."""
    found = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    found[1:1] = [handler.body for handler in getattr(statement, "handlers", [])]
    found += [case.body for case in getattr(statement, "cases", [])]
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    return [one for one in found if one]


def _in_statement(
    module: Module, statement: ast.stmt, part: ast.AST, blocks: tuple[ast.stmt, ...], catalogue: Catalogue
) -> Iterator[Call]:
    """Yield the calls in a statement's own expressions, arguments before what takes them."""
    for child in ast.iter_child_nodes(part):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            continue
        yield from _in_statement(module, statement, child, blocks, catalogue)
    if isinstance(part, ast.Call):
        found = _read_call(module, part, statement, blocks, catalogue)
        if found is not None:
            yield found


def _read_call(
    module: Module, node: ast.Call, statement: ast.stmt, blocks: tuple[ast.stmt, ...], catalogue: Catalogue
) -> Call | None:
    target, options = _unwrapped(node.func)
    given = _option(options, "name")
    qualified = module.qualified(target) if isinstance(target, ast.Name | ast.Attribute) else None
    if qualified == CALL_SERVICE:
        return _service_call(node, statement, blocks, catalogue, options=options, given=given)
    function = module.functions.get(target.id) if isinstance(target, ast.Name) else None
    if function is None or function.kind == "function":
        return None
    shown = given or _text(function.options.get("name")) or function.name
    return Call(node, statement, blocks, shown, function=function, options=options)


def _service_call(
    node: ast.Call,
    statement: ast.stmt,
    blocks: tuple[ast.stmt, ...],
    catalogue: Catalogue,
    *,
    options: ast.Call | None,
    given: str | None,
) -> Call:
    texts = [_text(one) for one in node.args[:_FIXED]]
    connection, operation_id = (*texts, None, None)[:_FIXED]
    service: Service | None = None
    if connection is not None:
        try:
            service = service_of_connection(connection, catalogue)
        except UnknownNameError:
            service = None  # a connection with a name of its own: what it leads to is told by the server
    operation = service.operation(operation_id) if service and operation_id else None
    name = given or operation_id or "call service"
    return Call(node, statement, blocks, name, connection, service, operation, options=options)


def _unwrapped(function: ast.expr) -> tuple[ast.expr, ast.Call | None]:
    """Return what is called, without ``.submit``, ``.map`` and ``.with_options(…)``."""
    if isinstance(function, ast.Attribute) and function.attr in {"submit", "map", "delay"}:
        function = function.value
    if (
        isinstance(function, ast.Call)
        and isinstance(function.func, ast.Attribute)
        and function.func.attr == "with_options"
    ):
        return function.func.value, function
    return function, None


def _option(call: ast.Call | None, name: str) -> str | None:
    words = call.keywords if call else []
    return next((_text(word.value) for word in words if word.arg == name), None)


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
