"""What a flow's source says of locks, variables, secrets and concurrency limits; only constants count."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.models import Value

LOCK_WORDS = ("lock", "pid")
_READS = frozenset({"get", "aget"})
_SETS = frozenset({"set", "aset"})
_SAVES = frozenset({"save", "asave"})


class Acquisition(Value):
    """A place where a function takes the lock; failing there, it has done nothing of its work."""

    function: str
    line: int
    """First line of the statement that takes the lock or asks whether it is taken."""
    fails_at: tuple[tuple[int, int], ...]
    """Lines, from and to, in which an error means that the lock is taken."""


class LockFacts(Value):
    """How a file takes its lock: the names it may have, and where it is taken."""

    names: tuple[str, ...]
    taken: tuple[Acquisition, ...]


def lock_facts(text: str) -> LockFacts | None:
    """Return how the file takes a lock that names its holder; None where it does not."""
    tree = _parsed(text)
    if tree is None or not any(_called(node) == "getpid" for node in ast.walk(tree)):
        return None
    names = tuple(
        dict.fromkeys(
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _names_a_lock(node.value)
        )
    )
    taken = tuple(_acquisitions(tree))
    return LockFacts(names=names, taken=taken) if names and taken else None


def _names_a_lock(text: str) -> bool:
    last = text.rpartition("/")[2].lower()
    return len(last) >= len(".pid") and " " not in last and last.endswith(LOCK_WORDS)


def _acquisitions(tree: ast.Module) -> Iterator[Acquisition]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Try) and _creates_first(node.body[-1]):
                # Only as the last statement of its try: what follows there could raise the same.
                taken = [handler for handler in node.handlers if _means_taken(handler)]
                spans = (_span(node.body[-1]), *(_span(handler) for handler in taken))
                yield Acquisition(function=function.name, line=node.body[-1].lineno, fails_at=spans)
            elif isinstance(node, ast.If) and _asks_exists(node.test) and _raises(node.body):
                yield Acquisition(function=function.name, line=node.lineno, fails_at=(_span(node.body[-1]),))
            elif isinstance(node, ast.stmt) and _creates_first(node):
                spans = ((node.lineno, _head_end(node)),)
                yield Acquisition(function=function.name, line=node.lineno, fails_at=spans)


def _span(node: ast.stmt | ast.ExceptHandler) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno


def _head_end(node: ast.stmt) -> int:
    return node.body[0].lineno - 1 if isinstance(node, ast.With) else node.end_lineno or node.lineno


def _means_taken(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and "FileExistsError" in ast.unparse(handler.type)


def _creates_first(node: ast.stmt) -> bool:
    """Tell whether a simple statement, or the head of a with, creates the file."""
    if isinstance(node, ast.With):
        heads: list[ast.expr] = [item.context_expr for item in node.items]
    elif isinstance(node, ast.Expr | ast.Assign):
        heads = [node.value]
    else:
        return False
    return any(_creates(part) for head in heads for part in ast.walk(head))


def _creates(node: ast.AST) -> bool:
    """Tell whether a call creates a file only where there is none: it fails without having done anything."""
    if not isinstance(node, ast.Call):
        return False
    name = _called(node)
    given = [*node.args, *(word.value for word in node.keywords)]
    if name == "open":
        flags = {part.attr for one in given for part in ast.walk(one) if isinstance(part, ast.Attribute)}
        modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        return "O_EXCL" in flags or any(set(mode) <= set("xbt+") and "x" in mode for mode in modes)
    refuses = any(
        word.arg == "exist_ok" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in node.keywords
    )
    return name == "touch" and refuses


def _asks_exists(test: ast.expr) -> bool:
    return any(_called(part) in {"exists", "is_file", "isfile"} for part in ast.walk(test))


def _raises(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)


def names_read(text: str, function: str) -> frozenset[tuple[str, str]]:
    """Return the Prefect variables and blocks that a function reads: ``("variable", "token")``."""
    return frozenset(_stored_names(text, function, reads=True))


def names_written(text: str, function: str) -> frozenset[tuple[str, str]]:
    """Return the Prefect variables and blocks that a function writes."""
    return frozenset(_stored_names(text, function, reads=False))


def _stored_names(text: str, function: str, *, reads: bool) -> Iterator[tuple[str, str]]:
    tree = _parsed(text)
    if tree is None:
        return
    for node in _reached(tree, function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = _first_text(node)
        if name is None:
            continue
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        attribute = node.func.attr
        loads = attribute in {"load", "aload"} and owner[:1].isupper()
        if owner == "Variable" and attribute in (_READS if reads else _SETS):
            yield "variable", name
        elif loads if reads else attribute in _SAVES:
            yield "block", name


def environment_read(text: str, function: str) -> frozenset[str]:
    """Return the variables of the environment that a function, or the file outside of any, reads by name."""
    tree, found = _parsed(text), set[str]()
    if tree is None:
        return frozenset()
    outside = [one for one in tree.body if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (*(part for one in outside for part in ast.walk(one)), *_reached(tree, function)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            key: ast.AST | None = node.slice
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("environ.get", "getenv")):
            key = node.args[0] if node.args else None
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.add(key.value)
    return frozenset(found)


def _first_text(node: ast.Call) -> str | None:
    given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "name")]
    found = given[0] if given else None
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def _reached(tree: ast.Module, function: str) -> Iterator[ast.AST]:
    """Yield the nodes of a function and of the functions of the file that it calls by name."""
    known = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    waiting, seen = [function], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in known:
            continue
        seen.add(name)
        for node in ast.walk(known[name]):
            yield node
            if isinstance(node, ast.Name):
                waiting.append(node.id)


def imported_modules(text: str) -> frozenset[str]:
    """Return the first names of the modules that a file imports; "" stands for relative imports."""
    tree, found = _parsed(text), set[str]()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("" if node.level else (node.module or "").partition(".")[0])
    return frozenset(found)


def limits_used(text: str) -> frozenset[str] | None:
    """Return the global concurrency limits that a file names; None where one is named by an expression."""
    tree = _parsed(text)
    if tree is None:
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _called(node) not in {"concurrency", "rate_limit"}:
            continue
        given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "names")]
        if not given:
            return None
        parts = given[0].elts if isinstance(given[0], ast.List | ast.Tuple) else [given[0]]
        for part in parts:
            if not isinstance(part, ast.Constant) or not isinstance(part.value, str):
                return None
            found.add(part.value)
    return frozenset(found)


def tags_of_tasks(text: str) -> frozenset[str]:
    """Return the tags that a file gives its tasks as constants."""
    tree = _parsed(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree is not None else []
    given = [
        word.value
        for call in calls
        if _called(call) in {"task", "with_options"}
        for word in call.keywords
        if word.arg == "tags"
    ]
    parts = (part for one in given if isinstance(one, ast.List | ast.Tuple | ast.Set) for part in one.elts)
    return frozenset(
        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def uses_result_of(text: str, function: str, task: str, line: int) -> bool:
    """Tell whether the statement at ``line`` of a function uses what its call of ``task`` returned."""
    tree = _parsed(text)
    nodes = [] if tree is None else list(ast.walk(tree))
    inside = next(
        (n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == function),
        None,
    )
    if inside is None:
        return False
    names = {
        target.id
        for node in ast.walk(inside)
        if isinstance(node, ast.Assign) and _calls(node.value, task)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    at = [
        node
        for node in ast.walk(inside)
        if isinstance(node, ast.expr) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return any((isinstance(node, ast.Name) and node.id in names) or _calls(node, task) for node in at)


def _calls(node: ast.expr, task: str) -> bool:
    for part in ast.walk(node):
        if not isinstance(part, ast.Call):
            continue
        target = part.func
        if isinstance(target, ast.Attribute) and target.attr in {"submit", "map", "with_options"}:
            target = target.value
        if isinstance(target, ast.Name) and target.id == task:
            return True
    return False


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
