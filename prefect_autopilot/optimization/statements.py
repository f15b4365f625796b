"""The statements of a flow as a dependence graph: what each binds, reads, changes and does to the world."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from prefect_autopilot.effects import EffectReader, Function, Level, Touch, bound_names, walked, worst
from prefect_autopilot.optimization.calls import CallSite, read_site, unconditional

_SIMPLE = (
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Expr,
    ast.Return,
    ast.Raise,
    ast.Pass,
    ast.Import,
    ast.ImportFrom,
)
_CHANCE = "reads the clock or chance"
_LEAVING = (ast.Return, ast.Raise)


@dataclass(frozen=True)
class Statement:
    """One statement with its edges to others.

    ``wall`` says why nothing may be moved across it; ``last`` why nothing may be moved from behind it
    to before it, although calls inside it may start earlier.
    """

    node: ast.stmt
    binds: frozenset[str]
    reads: frozenset[str]
    changes: frozenset[str]
    touches: tuple[Touch, ...]
    sites: tuple[CallSite, ...]
    wall: str = ""
    last: str = ""

    @property
    def line(self) -> int:
        """The line the statement begins in."""
        return self.node.lineno


def is_effectful(touch: Touch) -> bool:
    """Tell whether something does more than compute and read: nothing may be moved across it."""
    return touch.level.rank > Level.READ.rank or touch.nondeterministic or touch.paced


def blocks(reader: EffectReader, function: Function) -> Iterator[list[ast.stmt]]:
    """Yield every list of statements of a function, outermost first, not those of functions inside.

    What stands in a ``with`` of a limit, a lock or something unknown is left out: it may be about the order.
    """
    pending: list[ast.AST] = [function.node]
    while pending:
        node = pending.pop(0)
        if guards(reader, function, node):
            continue
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block
                pending += [
                    one
                    for one in block
                    if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                ]
        pending += list(getattr(node, "handlers", [])) + list(getattr(node, "cases", []))


def guards(reader: EffectReader, function: Function, node: ast.AST) -> bool:
    """Tell whether a node is a ``with`` that may limit or order what stands in it."""
    if not isinstance(node, ast.With | ast.AsyncWith):
        return False
    if any(isinstance(item.context_expr, ast.Name | ast.Attribute | ast.Subscript) for item in node.items):
        return True  # made elsewhere: a lock, a semaphore, a transaction
    touches = (touch for item in node.items for touch in reader.touches(item.context_expr, function))
    return any(touch.paced or touch.level is Level.UNKNOWN for touch in touches)


class StatementReader:
    """Reads the statements of one flow."""

    def __init__(self, reader: EffectReader, flow: Function) -> None:
        self.reader = reader
        self.flow = flow
        loads = [
            part.id
            for part in walked(flow.node)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
        ]
        self._loads = Counter(loads)
        self._known: dict[int, Statement] = {}
        self._holds = self._read_holds()

    def _read_holds(self) -> dict[str, set[str]]:
        """Which names' objects a variable may hold inside: ``a = [b]``, ``a = f(b)``."""
        holds: dict[str, set[str]] = {}
        for part in walked(self.flow.node):
            if isinstance(part, ast.Assign | ast.AnnAssign | ast.NamedExpr) and part.value is not None:
                targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                inside = {one.id for one in walked(part.value) if isinstance(one, ast.Name)}
                plain = isinstance(part.value, ast.BinOp | ast.Compare | ast.JoinedStr | ast.UnaryOp)
                for target in targets:
                    for name in bound_names(target):
                        holds.setdefault(name, set()).update(set() if plain else inside - {name})
        return holds

    def reach(self, names: frozenset[str]) -> frozenset[str]:
        """Return the names whose objects may be seen through some variables."""
        scope = self.reader.scope(self.flow)
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += [*scope.origins.get(name, ()), *self._holds.get(name, ())]
        return frozenset(found)

    def read(self, node: ast.stmt) -> Statement:
        """Return a statement with its edges; each is read once."""
        if id(node) not in self._known:
            self._known[id(node)] = self._read(node)
        return self._known[id(node)]

    def _read(self, node: ast.stmt) -> Statement:
        head = _head(node)
        touches = tuple(touch for part in head for touch in self.reader.touches(part, self.flow))
        parts = [part for one in head for part in walked(one)]
        wall, last = self._standing(node, touches, parts)
        statement = Statement(
            node=node,
            binds=frozenset(self._binds(node)),
            reads=frozenset(
                part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
            ),
            changes=frozenset(touch.mutates for touch in touches if touch.mutates),
            touches=touches,
            sites=() if wall else tuple(self._movable_sites(node)),
            wall=wall,
            last=last,
        )
        if statement.last and not statement.sites:
            return Statement(**{**vars(statement), "wall": last, "last": ""})
        return statement

    @staticmethod
    def _binds(node: ast.stmt) -> Iterator[str]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        else:
            yield from bound_names(node)

    def _standing(self, node: ast.stmt, touches: tuple[Touch, ...], parts: list[ast.AST]) -> tuple[str, str]:
        """Return (wall, last): why others may not be moved across, or from behind, this statement."""
        if self.reader.module.mark_on(node.lineno, node.lineno) == "keep":
            return f"line {node.lineno} is marked keep", ""
        bad = [touch for touch in touches if is_effectful(touch)]
        if not isinstance(node, _SIMPLE):
            reason = f"line {node.lineno} begins a block ({type(node).__name__.lower()})"
            return ("", reason) if isinstance(node, ast.If | ast.For) and not bad else (reason, "")
        unused = self._unused_call(node)
        if not unused and any(isinstance(part, ast.Yield | ast.YieldFrom) for part in parts):
            unused = f"line {node.lineno} yields"
        if unused:
            return ("", unused) if self._calls_last(node) else (unused, "")
        if bad:
            reason = self._told(bad[0])
            return ("", reason) if self._calls_last(node) else (reason, "")
        return "", f"line {node.lineno} leaves the flow" if isinstance(node, _LEAVING) else ""

    @staticmethod
    def _told(touch: Touch) -> str:
        if touch.level is Level.UNKNOWN:
            return f"{touch.what} (line {touch.line})"
        verbs = ((touch.level is Level.WRITE, "writes"), (touch.paced, "pauses"), (True, _CHANCE))
        verb = next(text for holds, text in verbs if holds)
        return f"{touch.what} {verb} (line {touch.line})"

    def _unused_call(self, node: ast.stmt) -> str:
        """Say so when a task is called and its value is not used: it may be there for what it does."""
        value = getattr(node, "value", None)
        if not isinstance(value, ast.expr):
            return ""
        site = read_site(self.reader, value, self.flow)
        if site is None:
            return ""
        if isinstance(node, ast.Expr):
            return f"line {node.lineno} calls {site.task.node.name} for its effect"
        names = list(bound_names(node)) if isinstance(node, ast.Assign | ast.AnnAssign) else []
        if names and not any(self._loads.get(name) for name in names):
            return f"line {node.lineno} calls {site.task.node.name} and does not use its value"
        return ""

    def _calls_last(self, node: ast.stmt) -> bool:
        """Tell whether all effects come from one outer call, after everything inside it was evaluated."""
        value = getattr(node, "value", None)
        if isinstance(value, ast.Await):
            value = value.value
        if not isinstance(value, ast.Call):
            return False
        inside = [*value.args, *(word.value for word in value.keywords)]
        touches = [touch for one in inside for touch in self.reader.touches(one, self.flow)]
        return not any(is_effectful(touch) for touch in touches)

    def _movable_sites(self, node: ast.stmt) -> Iterator[CallSite]:
        """Yield the calls of a statement without the one that is made for its effect."""
        value = getattr(node, "value", None) if self._unused_call(node) else None
        return (site for site in self.sites_of(node) if site.replaced is not value)

    def sites_of(self, node: ast.stmt) -> Iterator[CallSite]:
        """Yield the task calls of a statement that are made exactly once, blocks inside it left out."""
        taken: set[int] = set()
        for part in _head(node):
            whole: list[ast.expr] = [part] if isinstance(part, ast.expr) else []
            for one in [*whole, *unconditional(part)]:
                site = read_site(self.reader, one, self.flow)
                if site and id(site.call) not in taken and self.is_placed(site):
                    taken.add(id(site.call))
                    yield site

    def is_placed(self, site: CallSite) -> bool:
        """Tell whether the place of a call in the source is sure.

        Before Python 3.12 that of an expression in a formatted text is guessed: its first occurrence there.
        """
        text = self._formatted.get(id(site.call))
        if text is None:
            return True
        source = self.reader.module.source
        whole, own = (ast.get_source_segment(source, one) or "" for one in (text, site.replaced))
        try:
            found = ast.parse(own.strip(), mode="eval").body
        except SyntaxError:
            return False
        return whole.count(own) == 1 and ast.dump(found) == ast.dump(site.replaced)

    @cached_property
    def _formatted(self) -> dict[int, ast.JoinedStr]:
        """The formatted text that each call stands in, where its place there is a guess."""
        if sys.version_info >= (3, 12):
            return {}
        texts = (part for part in walked(self.flow.node) if isinstance(part, ast.JoinedStr))
        return {id(part): text for text in texts for part in walked(text) if isinstance(part, ast.Call)}


def _head(node: ast.stmt) -> list[ast.AST]:
    """Return what of a statement is evaluated once, before anything nested in it."""
    if isinstance(node, ast.If):
        return [node.test]
    if isinstance(node, ast.For):
        return [node.iter]
    return [node]


def level_of(statements: list[Statement]) -> Level:
    """Return the worst level of some statements."""
    return worst(touch.level for one in statements for touch in one.touches)
