"""Start the reads of a comprehension before waiting for the first of them, a bounded number at a time.

Before::

    quotes = {symbol: quote(symbol) for symbol in symbols}

After::

    quote_futures = [(symbol, quote.submit(symbol)) for symbol in symbols]
    quotes = {symbol: quote_future.result() for symbol, quote_future in quote_futures}
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from prefect_autopilot.effects import Function
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.calls import CallSite, unconditional
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
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.statements import blocks, is_effectful
from prefect_autopilot.optimization.text import TextEdit

_NAME = "map_comprehension"
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
# These take every item of a generator expression, whatever the items are.
_TAKE_ALL = frozenset(
    f"builtins.{name}"
    for name in ("list", "tuple", "set", "frozenset", "dict", "sum", "sorted", "max", "min")
)


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
        for child in ast.iter_child_nodes(owner):
            if isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp):
                yield child
            elif isinstance(child, ast.GeneratorExp) and isinstance(owner, ast.Call):
                joins = isinstance(owner.func, ast.Attribute) and owner.func.attr == "join"
                if joins or file.module.qualified(owner.func, file.reader.scope(flow).names) in _TAKE_ALL:
                    yield child


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
        saving_s=saving,
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
    if not any(part is node for one in inside for part in ast.walk(one)):
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
    clauses = source[text.end(elements[-1]) : text.end(node)]
    # A generator expression's node may or may not own the brackets around it.
    closing = clauses[-1] if clauses[-1] in ")]}" and not _balanced(clauses) else ""
    clauses = clauses[: len(clauses) - len(closing)].rstrip()
    at = text.end(elements[-1])
    end = at + len(clauses)
    lead = clauses[: len(clauses) - len(clauses.lstrip())]
    clauses = clauses.lstrip()
    taken = ", ".join([*carried, future])
    body_edit = TextEdit(text.start(site.replaced), text.end(site.replaced), end_text(site, future))
    clause_edit = TextEdit(at, end, f"{lead}for {taken} in {futures}")
    pad = text.indent(statement)
    lines = [*prelude, *list_lines(futures, made, clauses, pad, _unit(file))]
    inserted = "".join(f"{pad}{line}{text.newline}" if line else text.newline for line in lines)
    begin = text.line_start(statement.lineno)
    return (TextEdit(begin, begin, inserted), body_edit, clause_edit)


def _balanced(text: str) -> bool:
    return all(text.count(one) == text.count(other) for one, other in ("()", "[]", "{}"))


def _outside(node: ast.expr, site: CallSite) -> Iterator[ast.AST]:
    if node is site.replaced:
        return
    if isinstance(node, ast.Name):
        yield node
    for child in ast.iter_child_nodes(node):
        if child is not site.replaced:
            yield from _outside(child, site) if isinstance(child, ast.expr) else ast.walk(child)


def _unit(file: FlowFile) -> str:
    return next(
        (line[: len(line) - len(line.lstrip())] for line in file.text.lines if line[:1] in " \t"), "    "
    )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}), find=find, order=10)
