"""Print the house figures of this checkout; exit with 1 when a limit is broken."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOMS = ("prefect_autopilot", "blocks", "tasks", "flows", "deployments")
GENERATED = ("flows", "generated")
MOCKS = frozenset({"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "create_autospec", "patch"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
# An except clause, or the call in `with suppress(...)`.
Handler = ast.ExceptHandler | ast.Call


@dataclass(frozen=True)
class Figure:
    """One figure, how it is shown and whether it keeps its limit."""

    name: str
    shown: str
    limit: str
    kept: bool


@dataclass(frozen=True)
class Module:
    """One Python file, read once."""

    path: Path
    lines: int
    tree: ast.Module

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@cache
def read(root: Path, *rooms: str) -> tuple[Module, ...]:
    """Read every Python file below the rooms once, generated flows left out."""
    found = []
    for room in rooms:
        for path in sorted((root / room).rglob("*.py")):
            if path.relative_to(root).parts[:2] == GENERATED and path.name != "__init__.py":
                continue
            text = path.read_text(encoding="utf-8")
            found.append(Module(path.relative_to(root), len(text.splitlines()), ast.parse(text)))
    return tuple(found)


def length(function: Function) -> int:
    """Return the lines of a function, decorators and docstring left out."""
    end = function.end_lineno or function.lineno
    first = function.body[0]
    docstring = 0
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return end - function.lineno + 1 - docstring


def annotated(function: Function) -> bool:
    """Tell whether the return and every argument but self and cls have an annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    extra = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    bare = [one for one in (*named, *extra) if one.annotation is None and one.arg not in {"self", "cls"}]
    return function.returns is not None and not bare


def handlers(tree: ast.AST) -> Iterator[Handler]:
    """Return what catches errors: every ``except`` and every ``suppress(...)`` of a with statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            yield node
        elif isinstance(node, ast.withitem) and isinstance(node.context_expr, ast.Call):
            function = node.context_expr.func
            if getattr(function, "attr", getattr(function, "id", "")) == "suppress":
                yield node.context_expr


def broad(handler: Handler) -> bool:
    """Tell whether a handler catches everything."""
    if isinstance(handler, ast.Call):
        caught = handler.args
    elif handler.type is None:
        return True
    else:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(one, ast.Name) and one.id in {"Exception", "BaseException"} for one in caught)


def hides(handler: Handler) -> bool:
    """Tell whether a caught error leaves no trace: suppressed, passed over, or the loop goes on."""
    if isinstance(handler, ast.Call):
        return True
    only = handler.body[0]
    silent = isinstance(only, ast.Pass | ast.Continue) or (
        isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
    )
    return silent and len(handler.body) == 1


def explained(handler: Handler, lines: list[str]) -> bool:
    """Tell whether a comment stands on the line before a handler, or on its lines."""
    last = handler.body[-1] if isinstance(handler, ast.ExceptHandler) else handler
    around = lines[max(0, handler.lineno - 2) : last.end_lineno]
    return any("#" in line for line in around)


def mocks(module: Module) -> int:
    """Count calls that put something false in the place of something real."""
    count = 0
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            count += name in MOCKS or (name == "setattr" and isinstance(node.func, ast.Attribute))
    return count


def percentile(values: list[int], share: float) -> int:
    """Return the smallest value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def measure(root: Path = ROOT) -> list[Figure]:
    """Measure the checkout against the house limits."""
    source, tests = read(root, *SOURCE_ROOMS), read(root, "tests")
    functions = [one for module in source for one in module.functions]
    lengths = [length(one) for one in functions]
    modules = [module.lines for module in source]
    caught = [one for module in source for one in handlers(module.tree)]
    broad_ones = sum(broad(one) for one in caught)
    cases = sum(one.name.startswith("test_") for module in tests for one in module.functions)
    test_lines = sum(module.lines for module in tests)
    ratio = test_lines / max(1, sum(modules))
    mocked = 100 * sum(mocks(module) for module in tests) / max(1, cases)
    whole = 100 * sum(annotated(one) for one in functions) / max(1, len(functions))
    share = 100 * broad_ones / max(1, len(caught))
    longest, p95 = max(lengths, default=0), percentile(lengths, 0.95)
    largest = max(modules, default=0)
    return [
        Figure("functions", str(len(functions)), "", kept=True),
        Figure("function length, median", f"{median(lengths or [0]):.0f}", "", kept=True),
        Figure("function length, p95", str(p95), "<= 40", p95 <= 40),
        Figure("function length, longest", str(longest), "<= 60", longest <= 60),
        Figure("module length, median", f"{median(modules or [0]):.0f}", "", kept=True),
        Figure("module length, longest", str(largest), "<= 400", largest <= 400),
        Figure(
            "functions annotated", f"{whole:.1f} %", "100 %", kept=all(annotated(one) for one in functions)
        ),
        Figure("broad handlers", f"{broad_ones} of {len(caught)} ({share:.1f} %)", "< 5 %", share < 5),
        Figure("source lines", str(sum(modules)), "", kept=True),
        Figure("test lines / source lines", f"{ratio:.2f}", ">= 1.30", ratio >= 1.3),
        Figure("test functions", str(cases), "", kept=True),
        Figure("mocks per 100 tests", f"{mocked:.1f}", "<= 10", mocked <= 10),
    ]


def offenders(root: Path = ROOT) -> list[str]:
    """Name every function, module and handler that breaks a limit, and where it stands."""
    found = []
    for module in read(root, *SOURCE_ROOMS):
        if module.lines > 400:
            found.append(f"{module.path}: {module.lines} lines")
        for one in module.functions:
            if length(one) > 60:
                found.append(f"{module.path}:{one.lineno}: {one.name} has {length(one)} lines")
            if not annotated(one):
                found.append(f"{module.path}:{one.lineno}: {one.name} is not annotated throughout")
    return found


def main() -> int:
    """Print the figures and what breaks them."""
    figures = measure()
    for figure in figures:
        mark = "" if figure.kept else "  BROKEN"
        print(f"{figure.name:28} {figure.shown:>18}  {figure.limit:8}{mark}")
    for line in offenders():
        print(line)
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
