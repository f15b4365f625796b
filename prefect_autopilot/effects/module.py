"""What the names of one source file stand for: imports, functions, classes, constants. It is not run."""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from prefect_autopilot.errors import InvalidFlowError

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Kind: TypeAlias = Literal["task", "flow", "function"]

_DECORATORS: dict[str, Kind] = {
    "prefect.task": "task",
    "prefect.tasks.task": "task",
    "prefect.flow": "flow",
    "prefect.flows.flow": "flow",
}
_HARMLESS_DECORATORS = frozenset(
    {"staticmethod", "classmethod", "property", "contextlib.contextmanager", "contextlib.asynccontextmanager"}
    | {
        "prefect_autopilot.hooks.measured",
        "functools.wraps",
        "typing.overload",
        "typing.no_type_check",
        "override",
        "typing.override",
    }
)
_MARK = re.compile(r"#\s*autopilot:\s*(pure|keep)\b")


@dataclass(frozen=True)
class Function:
    """One function of the file; ``name`` is ``Class.method`` for methods."""

    name: str
    node: FunctionNode
    kind: Kind
    marked: Literal["", "pure", "keep"] = ""
    decorator: ast.expr | None = None
    """The ``@task`` or ``@flow`` expression."""
    strange: str = ""
    """A decorator whose effect is not known."""

    @property
    def options(self) -> dict[str, ast.expr]:
        """Keyword arguments of the ``@task`` or ``@flow`` decorator; '**' stands for unpacked ones."""
        if not isinstance(self.decorator, ast.Call):
            return {}
        return {word.arg or "**": word.value for word in self.decorator.keywords}

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters in order, without stars."""
        spec = self.node.args
        named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        named += [one for one in (spec.vararg, spec.kwarg) if one]
        return tuple(one.arg for one in named)


@dataclass(frozen=True)
class Module:
    """One parsed file and what its names stand for."""

    source: str
    tree: ast.Module
    lines: tuple[str, ...]
    imports: dict[str, str]
    """Local name → qualified name; names imported in two ways are left out."""
    functions: dict[str, Function]
    classes: dict[str, ast.ClassDef]
    constants: dict[str, ast.expr]
    """Module variables assigned exactly once."""
    variables: frozenset[str]
    """All module variables."""

    @cached_property
    def comments(self) -> dict[int, str]:
        """The comments of the file by line."""
        if "#" not in self.source:
            return {}
        tokens = tokenize.generate_tokens(io.StringIO(self.source, newline="").readline)
        try:
            return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
        except (tokenize.TokenError, SyntaxError):
            # The parser reads some files that the tokenizer refuses: there, what looks like a comment is one.
            marked = ((number, line) for number, line in enumerate(self.lines, 1) if "#" in line)
            return {number: line[line.index("#") :].rstrip() for number, line in marked}

    @cached_property
    def made_of_classes(self) -> dict[str, str]:
        """What the file makes of classes: the text of the target, as ``self.logger``, by the class's name."""
        made: dict[str, str] = {}
        for node in ast.walk(self.tree):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) else None
            if isinstance(value, ast.Call):
                name = ast.unparse(value.func).rpartition(".")[2]
                if name.lstrip("_")[:1].isupper():
                    made |= {ast.unparse(one): name for one in targets if one is not None}
        return made

    @cached_property
    def bound_imports(self) -> dict[str, str]:
        """The imports that every decorator of the file sees: in no block or function, above the first one."""
        names: set[str] = set()
        for node in self.tree.body:
            if getattr(node, "decorator_list", []):
                break
            if isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        names -= {*self.variables, *self.functions, *self.classes}
        return {name: origin for name, origin in self.imports.items() if name in names}

    def qualified(self, node: ast.expr, local: frozenset[str] = frozenset()) -> str | None:
        """Return the qualified name of a dotted expression, or None where its root is a variable."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in local:
            return None
        root = self.imports.get(node.id)
        if root is None:
            taken = node.id in self.variables or node.id in self.functions or node.id in self.classes
            if parts or taken or not hasattr(builtins, node.id):
                return None
            root = f"builtins.{node.id}"
        return ".".join([root, *reversed(parts)])

    def flows(self) -> Iterator[Function]:
        """Yield the flows of the file in order of the source."""
        return (one for one in self.functions.values() if one.kind == "flow")

    def mark_on(self, first: int, last: int) -> Literal["", "pure", "keep"]:
        """Return the mark in the comments of some lines (1-based, inclusive)."""
        for line in range(first, last + 1):
            found = _MARK.search(self.comments.get(line, ""))
            if found:
                return "pure" if found.group(1) == "pure" else "keep"
        return ""


def children(node: ast.AST) -> list[ast.AST]:
    """Return the direct parts of a node in their order, without marks of context; they are kept with it."""
    kept: list[ast.AST] | None = node.__dict__.get("_children")
    if kept is None:
        kept = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                kept += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                kept.append(value)
        node.__dict__["_children"] = kept
    return kept


def walked(node: ast.AST) -> list[ast.AST]:
    """Return a node and all its parts, the outer ones first; they are kept with it."""
    kept: list[ast.AST] | None = node.__dict__.get("_walked")
    if kept is None:
        kept = [node]
        for one in kept:
            kept.extend(children(one))
        node.__dict__["_walked"] = kept
    return kept


def split_lines(source: str) -> list[str]:
    """Split as Python counts lines (form feeds and Unicode separators do not end one), keeping the ends."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", source)


def read_module(source: str) -> Module:
    """Parse a source text and resolve its names.

    Raises:
        InvalidFlowError: the text is not Python that this interpreter can read.

    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        place = f" at line {line}" if line else ""
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise InvalidFlowError(
            f"The file is not valid Python{place}: {reason}; correct it and try again."
        ) from error
    lines = tuple(split_lines(source))
    assigned = list(_module_assignments(tree))
    names = [name for name, _ in assigned]
    module = Module(
        source=source,
        tree=tree,
        lines=lines,
        imports=_imports(tree),
        functions={},
        classes={node.name: node for node in tree.body if isinstance(node, ast.ClassDef)},
        constants={name: value for name, value in assigned if value is not None and names.count(name) == 1},
        variables=frozenset(names),
    )
    _collect(module, tree.body, "")
    return module


def _imports(tree: ast.Module) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for node in walked(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                target = alias.name if alias.asname else alias.name.split(".")[0]
                found.setdefault(alias.asname or target, set()).add(target)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                joined = f"{origin}.{alias.name}" if node.module else f"{origin}{alias.name}"
                found.setdefault(alias.asname or alias.name, set()).add(joined)
    return {name: next(iter(targets)) for name, targets in found.items() if len(targets) == 1}


def _module_assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield name and value of every binding at module level; None where the value is not one expression."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
            continue
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value
            continue
        for part in walked(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id, None
    for part in walked(tree):
        if isinstance(part, ast.Global):
            yield from ((name, None) for name in part.names)


def _collect(module: Module, body: list[ast.stmt], prefix: str) -> None:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            accessor = _accessor(node)
            name = f"{prefix}{node.name}.{accessor.attr}" if accessor else prefix + node.name
            function = _read_function(module, node, name)
            # A name bound twice stands for nothing that can be relied on.
            twice = function.name in module.functions or (not prefix and node.name in module.variables)
            if twice:
                function = Function(
                    function.name, node, function.kind, function.marked, strange="a second binding"
                )
            module.functions[function.name] = function
        elif isinstance(node, ast.ClassDef):
            _collect(module, node.body, f"{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            _collect(module, [part for part in children(node) if isinstance(part, ast.stmt)], prefix)


def _accessor(node: FunctionNode) -> ast.Attribute | None:
    """Return the decorator of a property's setter or deleter, which has the property's name."""
    for one in node.decorator_list:
        if isinstance(one, ast.Attribute) and one.attr in {"setter", "deleter", "getter"}:
            return one if ast.unparse(one.value) == node.name else None
    return None


def _read_function(module: Module, node: FunctionNode, name: str) -> Function:
    kind: Kind = "function"
    decorator, strange = None, ""
    for one in node.decorator_list:
        target = one.func if isinstance(one, ast.Call) else one
        qualified = module.qualified(target) or ast.unparse(target)
        if qualified in _DECORATORS:
            kind, decorator = _DECORATORS[qualified], one
        elif qualified.removeprefix("builtins.") not in _HARMLESS_DECORATORS and one is not _accessor(node):
            strange = qualified
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    if first > 1 and module.lines[first - 2].lstrip().startswith("#"):
        first -= 1
    marked = module.mark_on(first, max(node.lineno, node.body[0].lineno - 1))
    return Function(name, node, kind, marked, decorator, strange)
