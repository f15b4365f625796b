"""Start the reads of a comprehension before waiting for the first of them, a bounded number at a time.

Before::

    quotes = {symbol: quote(symbol) for symbol in symbols}

After::

    quote_futures = [(symbol, quote.submit(symbol)) for symbol in symbols]
    quotes = {symbol: quote_future.result() for symbol, quote_future in quote_futures}
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeAlias

from prefect_autopilot.effects import Function, children, walked
from prefect_autopilot.effects.aliases import reached
from prefect_autopilot.effects.scope import PLAIN, Scope
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.calls import CallSite, evaluated_once, unconditional
from prefect_autopilot.optimization.fanout import (
    BlockedError,
    check_comprehension,
    comprehension_sites,
    fan_out_saving,
    limited_start,
    loaded,
    rejection,
    stored,
)
from prefect_autopilot.optimization.futures import end_text, list_lines, needed_imports, start_text
from prefect_autopilot.optimization.plan import SAME_TIME, Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.statements import blocks, is_effectful

_NAME = "map_comprehension"
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
# These take every item of a generator expression, whatever the items are.
_TAKE_ALL = frozenset(
    f"builtins.{name}"
    for name in ("list", "tuple", "set", "frozenset", "dict", "sum", "sorted", "max", "min")
)

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_FILL = frozenset({"extend", "update"})
"""Methods by which a list, set or dictionary takes every item."""


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a proposal or a rejection for each comprehension that calls a task."""
    for flow in file.flows:
        for block in blocks(file.reader, flow):
            for statement in block:
                for node in _comprehensions(file, flow, statement):
                    sites = comprehension_sites(file, flow, node)
                    if not sites:
                        continue
                    try:
                        yield _proposal(file, flow, statement, node, sites)
                    except BlockedError as error:
                        yield rejection(_NAME, node, error)


def _comprehensions(file: FlowFile, flow: Function, statement: ast.stmt) -> Iterator[_Comprehension]:
    """Yield the comprehensions of a statement that are evaluated exactly once and to the end."""
    if not isinstance(
        statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.Return | ast.If | ast.For
    ):
        return
    head: ast.AST = statement
    if isinstance(statement, ast.If | ast.For):
        head = statement.test if isinstance(statement, ast.If) else statement.iter
    if isinstance(head, ast.ListComp | ast.SetComp | ast.DictComp):
        yield head
        return
    owners = [head, *unconditional(head)]
    for owner in owners:
        for child in evaluated_once(owner):
            if isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp) or (
                isinstance(child, ast.GeneratorExp) and _takes_all(file, flow, owner, child)
            ):
                yield child


def _takes_all(file: FlowFile, flow: Function, owner: ast.AST, items: ast.GeneratorExp) -> bool:
    """Tell whether a call goes through all items of a generator expression before it returns."""
    if not isinstance(owner, ast.Call) or items not in owner.args[:1]:
        return False
    scope = file.reader.scope(flow)
    if isinstance(owner.func, ast.Attribute) and owner.func.attr in _FILL:
        box = owner.func.value
        return scope.type_of(box) == PLAIN and not _sees(flow, scope, items, scope.roots(box))
    joins = isinstance(owner.func, ast.Attribute) and owner.func.attr == "join"
    return joins or file.module.qualified(owner.func, scope.names) in _TAKE_ALL


def _sees(flow: Function, scope: Scope, items: ast.GeneratorExp, box: set[str]) -> bool:
    """Tell whether a generator expression may look at an object that grows while it runs, by any name.

    An inner function or one of the module may look too, where the object is not the flow's own alone.
    """
    inner = (part for part in walked(flow.node) if isinstance(part, _FUNCTIONS) and part is not flow.node)
    parts = [items, *inner]
    names = [part for one in parts for part in walked(one) if isinstance(part, ast.Name)]
    return not box <= scope.names or bool(reached(names, scope) & box)


def _proposal(
    file: FlowFile, flow: Function, statement: ast.stmt, node: _Comprehension, sites: list[CallSite]
) -> Finding:
    if len(sites) > 1:
        raise BlockedError("several calls for each item")
    site = sites[0]
    check_comprehension(file, flow, node, site)
    reading = file.statements(flow).read(statement)
    leaves = isinstance(statement, ast.Return) and not any(is_effectful(touch) for touch in reading.touches)
    if reading.wall and not leaves and not _inside_last_call(file, flow, statement, node):
        raise BlockedError(reading.wall)
    saving = fan_out_saving(file, [site])
    little = file.too_little(saving, [site.task])
    if little:
        return Rejection(rule=_NAME, line=node.lineno, reason=little)
    if "#" in file.text.of(node) or not file.text.starts_line(statement):
        raise BlockedError("a comment or another statement stands in its way")
    return Proposal(
        rule=_NAME,
        line=node.lineno,
        reason=f"the calls of {site.task.node.name} for the items do not need one another; they can overlap",
        edits=_edits(file, statement, node, site),
        evidence=file.reader.effect(site.task).evidence,
        saving=saving,
        preconditions=(SAME_TIME,),
        undo=f"call {site.task.node.name} directly in the comprehension again",
        bounds=None if site.flavour == "await" else flow,
        imports=needed_imports(file, site),
    )


def _inside_last_call(file: FlowFile, flow: Function, statement: ast.stmt, node: _Comprehension) -> bool:
    """Tell whether a comprehension is evaluated before the only call of its statement that has effects."""
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return False
    inside = [*value.args, *(word.value for word in value.keywords)]
    if not any(part is node for one in inside for part in walked(one)):
        return False
    touches = [touch for one in inside for touch in file.reader.touches(one, flow)]
    return not any(is_effectful(touch) for touch in touches)


def _edits(file: FlowFile, statement: ast.stmt, node: _Comprehension, site: CallSite) -> tuple[TextEdit, ...]:
    task = site.task.node.name.lstrip("_")
    future, futures = file.new_name(f"{task}_future"), file.new_name(f"{task}_futures")
    bound = sorted(stored(generator.target for generator in node.generators))
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    rest = [part for one in elements for part in _outside(one, site)]
    carried = [name for name in bound if name in loaded(rest)]
    prelude: list[str] = []
    if site.flavour == "await":
        prelude, start = limited_start(file, site, bound, _unit(file))
    else:
        start = start_text(file, site)
    made = f"({', '.join([*carried, start])})" if carried else start
    source, text = file.source, file.text
    # Brackets around the element belong to it; the comprehension's own bracket comes last.
    between = source[text.end(elements[-1]) : text.start(node.generators[0].target)]
    at = text.end(elements[-1]) + len(between) - len(between.lstrip(") \t\r\n\\"))
    clauses = source[at : text.end(node) - 1].rstrip()
    taken = ", ".join([*carried, future])
    body_edit = TextEdit(text.start(site.replaced), text.end(site.replaced), end_text(site, future))
    clause_edit = TextEdit(at, at + len(clauses), f"for {taken} in {futures}")
    pad = text.indent(statement)
    lines = [*prelude, *list_lines(futures, made, _on_one_line(node, clauses), pad, _unit(file))]
    inserted = "".join(f"{pad}{line}{text.newline}" if line else text.newline for line in lines)
    begin = text.line_start(statement.lineno)
    return (TextEdit(begin, begin, inserted), body_edit, clause_edit)


def _on_one_line(node: _Comprehension, clauses: str) -> str:
    """Return clauses that stood on several lines as one, unless a text in them goes over lines."""
    parts = (part for generator in node.generators for part in walked(generator))
    texts = (part for part in parts if isinstance(part, ast.Constant | ast.JoinedStr))
    if any(part.lineno != part.end_lineno for part in texts):
        return clauses
    return re.sub(r"\s*\\?\r?\n\s*", " ", clauses)


def _outside(node: ast.expr, site: CallSite) -> Iterator[ast.AST]:
    if node is site.replaced:
        return
    if isinstance(node, ast.Name):
        yield node
    for child in children(node):
        if child is not site.replaced:
            yield from _outside(child, site) if isinstance(child, ast.expr) else walked(child)


def _unit(file: FlowFile) -> str:
    return next(
        (line[: len(line) - len(line.lstrip())] for line in file.text.lines if line[:1] in " \t"), "    "
    )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}), find=find, order=10)
