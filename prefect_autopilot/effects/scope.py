"""The variables of one function: what type they hold and which outside objects they may be part of."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prefect_autopilot.effects.aliases import held, puts, reached, roots
from prefect_autopilot.effects.module import Function, Module, children, walked
from prefect_autopilot.effects.table import lookup, type_named

PLAIN = "plain"
OPAQUE = "another module's"
"""What a function of another module returns where its type is not known: none of its methods is known."""
LOCAL = "localdb.Connection"
"""A connection to a database in this process."""
_FILES = ("sqlite", "duckdb")
_POOLS = ("NullPool", "QueuePool")
"""Pools of SQLAlchemy that give each thread a connection of its own."""
_HTTP_CLIENTS = frozenset({"requests.Session", "httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"})
_DATA_NODES = (
    ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp,
    ast.SetComp, ast.Compare, ast.UnaryOp,
)  # fmt: skip

_NAMED = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class Scope:
    """Types and origins of the variables of one function (or of the module, without a function)."""

    module: Module
    function: Function | None
    returned: Callable[[Function], str]
    """The type a function of the same file returns."""
    imported: Callable[[ast.expr, Scope], Function | None] = lambda _node, _scope: None
    """The function of another module of the project that an expression names."""
    handed: Callable[[ast.Call, Scope], tuple[frozenset[str], frozenset[str]]] = lambda _node, _scope: (
        frozenset(),
        frozenset(),
    )
    """Names whose objects the value of a call of an own function may be, and may have inside."""
    puts: Callable[[ast.Call, Scope], Iterable[tuple[ast.expr, list[ast.expr]]]] = lambda _node, _scope: ()
    """Arguments of a call that an own function puts others into, with those."""
    names: frozenset[str] = frozenset()
    types: dict[str, str] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    """Names whose objects a variable may be, or be part of."""
    holds: dict[str, set[str]] = field(default_factory=dict)
    """Names whose objects a variable's may have inside."""
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    """Variables bound once and never changed through an attribute or item, with what they are bound to."""
    chance: set[str] = field(default_factory=set)
    """Variables made from the clock or from chance."""
    counters: frozenset[str] = frozenset()
    """Variables that only ever hold numbers or texts: adding to one changes no object."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the function."""
        return self.function.parameters if self.function else ()

    def type_of(self, node: ast.expr) -> str:
        """Return the type of an expression, empty where it is not known."""
        if isinstance(node, ast.Name):
            constant = None if node.id in self.names else self.module.constants.get(node.id)
            return self.type_of(constant) if constant is not None else self.types.get(node.id, "")
        if isinstance(node, ast.Call):
            return self._type_of_call(node)
        if isinstance(node, ast.Await | ast.Starred | ast.NamedExpr):
            return self.type_of(node.value)
        if isinstance(node, ast.Subscript):
            base = self.type_of(node.value)
            return base if base.startswith((PLAIN, "pandas.", "polars.", "numpy.", "aws.", "mongo.")) else ""
        if isinstance(node, ast.Attribute):
            return self._type_of_attribute(node)
        return self._type_of_operation(node)

    def _type_of_operation(self, node: ast.expr) -> str:
        if isinstance(node, ast.BinOp):
            sides = {self.type_of(node.left), self.type_of(node.right)}
            paths = {"pathlib.Path", "pandas.DataFrame", "polars.DataFrame", "numpy.Array"} & sides
            return next(iter(paths)) if paths else PLAIN
        if isinstance(node, ast.IfExp):
            return _common(self.type_of(node.body), self.type_of(node.orelse))
        if isinstance(node, ast.BoolOp):
            return _common(*(self.type_of(value) for value in node.values))
        return PLAIN if isinstance(node, _DATA_NODES) else ""

    def _type_of_attribute(self, node: ast.Attribute) -> str:
        owner = self.type_of(node.value)
        if owner == "pathlib.Path" and node.attr in {"parent", "absolute"}:
            return owner
        if owner in {PLAIN, "http.Response", "pathlib.Path"}:
            return PLAIN
        entry = lookup(f"{owner}.{node.attr}") if owner else None
        if entry and entry.returns and f"{owner}.{node.attr}" in entry.names:
            return entry.returns
        if owner.startswith("mongo."):
            return owner  # databases and collections are attributes of their parents
        if owner in _HTTP_CLIENTS and node.attr in {"headers", "params", "cookies"}:
            return PLAIN
        return owner if owner.startswith(("pandas.", "polars.", "numpy.")) else ""

    def _type_of_call(self, node: ast.Call) -> str:
        qualified = self.module.qualified(node.func, self.names)
        if not qualified and isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            if owner == PLAIN:
                return PLAIN
            qualified = f"{owner}.{node.func.attr}" if owner else None
        other = self.imported(node.func, self)
        if other is not None:
            return self.returned(other)
        if qualified:
            entry = lookup(qualified)
            if entry and entry.special == "engine" and self._has_one_connection(node):
                return LOCAL
            known = entry is not None or qualified.startswith("builtins.")
            return (entry.returns if entry else "") or (PLAIN if known else "")
        name = node.func.id if isinstance(node.func, ast.Name) and node.func.id not in self.names else ""
        if name in self.module.classes:
            return f".{name}"
        function = self.module.functions.get(name)
        return self.returned(function) if function else ""

    def _has_one_connection(self, node: ast.Call) -> bool:
        """Tell whether an engine may hand the same connection, or another database, to each thread."""
        given = [*node.args[:1], *(word.value for word in node.keywords if word.arg in {"url", None})]
        parts = [part for one in given for part in (one, *walked(self.value_of(one) or one))]
        texts = [self.text_of(part) or "" for part in parts if isinstance(part, ast.expr)]
        pools = [ast.unparse(word.value) for word in node.keywords if word.arg == "poolclass"]
        shared = any(not pool.endswith(_POOLS) for pool in pools)
        return (
            shared
            or any(word.arg == "creator" for word in node.keywords)
            or any(text.startswith(_FILES) for text in texts)
        )

    def roots(self, node: ast.expr) -> set[str]:
        """Return the names whose objects an expression's value may be, or be part of."""
        return roots(node, self)

    def value_of(self, node: ast.expr | None) -> ast.expr | None:
        """Return what a variable is bound to where that is sure, other expressions as they are."""
        return self.values.get(node.id, node) if isinstance(node, ast.Name) else node

    def text_of(self, node: ast.expr | None) -> str | None:
        """Return a text constant; unknown parts of a formatted one become a question mark."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return "".join(str(one.value) if isinstance(one, ast.Constant) else "?" for one in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            left = self.text_of(node.left)
            right = self.text_of(node.right) if isinstance(node.op, ast.Add) else ""
            return None if left is None else left + ("?" if right is None else right)
        if isinstance(node, ast.Name):
            known = node.id in self.names
            return self.texts.get(node.id) if known else self.text_of(self.module.constants.get(node.id))
        return self._text_of_call(node) if isinstance(node, ast.Call) else None

    def _text_of_call(self, node: ast.Call) -> str | None:
        """Return the text in ``text("…")``, ``dedent("…")`` and ``"…".format(…)``."""
        if node.args and re.search(r"(^|\.)(text|dedent|SQL)$", ast.unparse(node.func)):
            return self.text_of(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "strip"}:
            return self.text_of(node.func.value)
        return None

    def by_chance(self, node: ast.expr | None) -> bool:
        """Tell whether an expression is made from the clock or from chance."""
        for part in walked(node) if node is not None else ():
            if isinstance(part, ast.Name) and part.id in self.chance:
                return True
            if isinstance(part, ast.Call):
                entry = lookup(self.module.qualified(part.func, self.names) or "")
                if entry and entry.nondeterministic:
                    return True
        return False


def without_options(node: ast.expr) -> ast.expr:
    """Return the task or flow of ``task.with_options(…)``, other expressions as they are."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr != "with_options":
            break
        node = node.func.value
    return node


def _common(*types: str) -> str:
    found = set(types)
    return found.pop() if len(found) == 1 else ""


def bound_names(node: ast.AST) -> Iterator[str]:
    """Yield every name bound anywhere in a node, parameters of inner functions included."""
    for part in walked(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            yield part.id
        elif part is not node:
            yield from _named_by(part)


def _named_by(part: ast.AST) -> Iterator[str]:
    """Yield the name that a parameter, a handler, a pattern or a definition binds."""
    if isinstance(part, ast.arg):
        yield part.arg
    elif isinstance(part, _NAMED) and part.name:
        yield part.name


def open_scope(
    module: Module,
    function: Function | None,
    returned: Callable[[Function], str],
    imported: Callable[[ast.expr, Scope], Function | None],
    handed: Callable[[ast.Call, Scope], tuple[frozenset[str], frozenset[str]]],
    put_by: Callable[[ast.Call, Scope], Iterable[tuple[ast.expr, list[ast.expr]]]],
) -> Scope:
    """Read the assignments of a function, in order, into a scope."""
    scope = Scope(module, function, returned, imported, handed, put_by)
    if function is None:
        return scope
    node = function.node
    outside = {
        name for part in walked(node) if isinstance(part, ast.Global | ast.Nonlocal) for name in part.names
    }
    scope.names = frozenset(set(bound_names(node)) - outside)
    scope.counters = frozenset(_counters(node)) & scope.names
    for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        scope.types[argument.arg] = _annotated(module, argument.annotation)
    for special in (node.args.vararg, node.args.kwarg):
        if special:
            scope.types[special.arg] = PLAIN
    counted: dict[str, int] = {}
    for part in _in_order(node):
        for target, value, part_of in _assignments(part):
            _bind(scope, target, value, part_of=part_of, counted=counted)
        own = scope.puts(part, scope) if isinstance(part, ast.Call) else ()
        for box, values in [*puts(part, scope), *own]:
            _put(scope, box, values)
    for part in walked(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load):
            scope.values.pop(part.value.id if isinstance(part.value, ast.Name) else "", None)
    return scope


def _counters(node: ast.AST) -> set[str]:
    """Return the names of a function that are only ever bound to a number or text, or one is added to."""
    plain = {
        id(target): target.id
        for part in walked(node)
        for target in _plain_targets(part)
        if isinstance(target, ast.Name)
    }
    others = (one for one in walked(node) if id(one) not in plain)
    bound = {one.id for one in others if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}
    taken = {name for one in walked(node) if not isinstance(one, ast.Name) for name in _named_by(one)}
    return set(plain.values()) - bound - taken


def _plain_targets(part: ast.AST) -> list[ast.expr]:
    """Return what a statement binds to a number or text, or adds one to."""
    if not isinstance(part, ast.Assign | ast.AnnAssign | ast.AugAssign) or not _is_counted(part.value):
        return []
    return part.targets if isinstance(part, ast.Assign) else [part.target]


def _is_counted(node: ast.expr | None) -> bool:
    """Tell whether an expression can only be a number or a text, which nothing changes in place."""
    if isinstance(node, ast.BinOp):
        return _is_counted(node.left) and _is_counted(node.right)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in {"len", "int", "float", "str"}
    return isinstance(node, ast.Constant | ast.JoinedStr) or (
        isinstance(node, ast.UnaryOp) and _is_counted(node.operand)
    )


def _annotated(module: Module, annotation: ast.expr | None) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return ""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [side for side in (annotation.left, annotation.right) if not _is_none(side)]
        return _common(*(_annotated(module, side) for side in sides))
    if isinstance(annotation, ast.Subscript):
        if ast.unparse(annotation.value).rsplit(".", 1)[-1] in {"Optional", "Annotated"}:
            inner = annotation.slice
            return _annotated(module, inner.elts[0] if isinstance(inner, ast.Tuple) else inner)
        annotation = annotation.value
    if annotation is None:
        return ""
    qualified = module.qualified(annotation)
    if qualified:
        return type_named(qualified)
    local = annotation.id if isinstance(annotation, ast.Name) else ""
    return f".{local}" if local in module.classes else ""


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _assignments(part: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Yield target, value and whether the target gets a part of the value."""
    if isinstance(part, ast.Assign):
        yield from ((target, part.value, False) for target in part.targets)
    elif isinstance(part, ast.AnnAssign | ast.NamedExpr) and part.value is not None:
        yield part.target, part.value, False
    elif isinstance(part, ast.For | ast.AsyncFor | ast.comprehension):
        yield part.target, part.iter, True
    elif isinstance(part, ast.With | ast.AsyncWith):
        for item in part.items:
            if item.optional_vars is not None:
                yield item.optional_vars, item.context_expr, False


def _put(scope: Scope, box: ast.expr, values: list[ast.expr]) -> None:
    """Note that some values are put into an object."""
    inside = reached(values, scope)
    for name in roots(box, scope) if inside else ():
        scope.holds.setdefault(name, set()).update(inside - {name})


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    for child in children(node):
        yield child
        yield from _in_order(child)


def _bind(scope: Scope, target: ast.expr, value: ast.expr, *, part_of: bool, counted: dict[str, int]) -> None:
    if isinstance(target, ast.Tuple | ast.List):
        pairs = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        for index, one in enumerate(target.elts):
            inner = value.elts[index] if pairs and isinstance(value, ast.Tuple) else value
            _bind(scope, one, inner, part_of=part_of or not pairs, counted=counted)
        return
    if isinstance(target, ast.Starred):
        target = target.value
    if not isinstance(target, ast.Name):
        return
    name = target.id
    kind = scope.type_of(value)
    if part_of and not kind.startswith((PLAIN, "pandas.", "polars.")):
        kind = ""
    counted[name] = counted.get(name, 0) + 1
    first = counted[name] == 1 and name not in scope.parameters
    scope.types[name] = kind if first or scope.types.get(name) == kind else ""
    same = reached([value], scope) if part_of else roots(value, scope)
    scope.origins.setdefault(name, set()).update(same - {name})
    scope.holds.setdefault(name, set()).update(held(value, scope) - {name})
    if first and not part_of:
        scope.values[name] = value
    else:
        scope.values.pop(name, None)
    text = scope.text_of(value)
    if first and text is not None and not part_of:
        scope.texts[name] = text
    else:
        scope.texts.pop(name, None)
    if scope.by_chance(value):
        scope.chance.add(name)
