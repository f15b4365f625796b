"""Keyword arguments added to ``@task`` and ``@flow``, however the decorator is written."""

from __future__ import annotations

import ast
import re

from prefect_autopilot.effects import Function, walked
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.optimization.plan import FlowFile

_RUNNERS = "prefect.task_runners"
_THREADS = ("ThreadPoolTaskRunner", "ConcurrentTaskRunner")


def add_keywords(file: FlowFile, function: Function, words: dict[str, str]) -> TextEdit | None:
    """Return the edit that adds keyword arguments to a function's decorator, None where it has none."""
    node = function.decorator
    given = ", ".join(f"{name}={value}" for name, value in words.items())
    if node is None:
        return None
    if not isinstance(node, ast.Call):
        at = file.text.end(node)
        return TextEdit(at, at, f"({given})")
    return add_argument(file, node, given)


def add_argument(file: FlowFile, node: ast.Call, given: str) -> TextEdit:
    """Return the edit that adds an argument at the end of a call, in its own layout."""
    arguments: list[ast.expr] = [*node.args, *(word.value for word in node.keywords)]
    if not arguments:
        at = file.text.end(node) - 1
        return TextEdit(at, at, given)
    last = max(arguments, key=file.text.end)
    at = file.text.end(last)
    tail = file.source[at : file.text.end(node) - 1]
    # Closing brackets around the last value belong to it.
    closed = re.match(r"[\s)]*\)", tail) if ")" in tail.split(",")[0].split("#")[0] else None
    at += closed.end() if closed else 0
    tail = tail[closed.end() :] if closed else tail
    comma = tail.split("#")[0].find(",")
    first_line, last_line = node.lineno, last.lineno
    if "\n" in tail and last_line > first_line:
        line = file.text.lines[_first_line(node, last) - 1]
        pad = line[: len(line) - len(line.lstrip())]
        after = at + comma + 1 if comma >= 0 else at
        # A comment behind the last value stays with it.
        comment = re.match(r"[ \t]*#[^\r\n]*", file.source[after:])
        kept = ("" if comma >= 0 else ",") + (comment.group() if comment else "")
        end = after + (comment.end() if comment else 0)
        return TextEdit(after, end, f"{kept}{file.text.newline}{pad}{given},")
    if comma >= 0:
        return TextEdit(at + comma + 1, at + comma + 1, f" {given},")
    return TextEdit(at, at, f", {given}")


def _first_line(node: ast.Call, last: ast.expr) -> int:
    """Return the line on which the last argument of a call begins, with its keyword."""
    word = next((one for one in node.keywords if one.value is last), None)
    return word.lineno if word else last.lineno


def bound_runner(file: FlowFile, flow: Function) -> tuple[TextEdit | None, tuple[str, ...], str]:
    """Return (edit, imports, refusal) that give a flow a task runner with a bounded number of workers."""
    refusal = foreign_runner(file, flow)
    given = flow.options.get("task_runner")
    if refusal or given is None:
        return (None, (), refusal) if refusal else _new_runner(file, flow)
    bound = f"max_workers={file.settings.max_workers}"
    if isinstance(given, ast.Call):
        bounded = bool(given.args or given.keywords)
        return None if bounded else add_argument(file, given, bound), (), ""
    at = file.text.end(given)
    return TextEdit(at, at, f"({bound})"), (), ""


def foreign_runner(file: FlowFile, flow: Function) -> str:
    """Say so when a flow's tasks may run elsewhere than in threads of its own process."""
    given = flow.options.get("task_runner")
    if "**" in flow.options:
        return "the flow's decorator takes unpacked options"
    if given is None:
        return ""
    qualified = file.module.qualified(given.func if isinstance(given, ast.Call) else given) or ""
    if qualified.startswith("prefect.") and qualified.endswith(_THREADS):
        return "the flow runs one task at a time (max_workers=1)" if _one_worker(given) else ""
    return f"the flow runs its tasks with {ast.unparse(given)}, which is not known to be bounded threads"


def _one_worker(runner: ast.expr) -> bool:
    words = runner.keywords if isinstance(runner, ast.Call) else []
    return any(
        word.arg == "max_workers" and isinstance(word.value, ast.Constant) and word.value.value == 1
        for word in words
    )


def _new_runner(file: FlowFile, flow: Function) -> tuple[TextEdit | None, tuple[str, ...], str]:
    if _has_fan_out(file, flow):
        return None, (), "the flow maps without a bound; give it a task runner with max_workers first"
    name, imports = runner_name(file)
    edit = add_keywords(file, flow, {"task_runner": f"{name}(max_workers={file.settings.max_workers})"})
    return edit, imports, "" if edit else "the flow has no decorator to bound its task runner at"


def runner_name(file: FlowFile, runner: str = _THREADS[0]) -> tuple[str, tuple[str, ...]]:
    """Return the name that one of Prefect's task runners has in a file, and the import it needs."""
    return file.imported(runner, _RUNNERS)


def _has_fan_out(file: FlowFile, flow: Function) -> bool:
    """Tell whether a flow maps, or submits in a loop, without waiting in the same statement."""
    for part in walked(flow.node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr == "map":
            called = file.reader.called(part, flow)
            if called is not None and called.kind == "task":
                return True
    return False


def add_imports(file: FlowFile, statements: tuple[str, ...]) -> list[TextEdit]:
    """Return the edits that add import statements where the file's own imports end."""
    missing = _merged(statements)
    body = file.module.tree.body
    docstring = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    place = 1 if docstring else 0
    edits: list[TextEdit] = []
    for text in missing:
        package = text.split()[1].split(".")[0]
        after = None
        for index, node in enumerate(body):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                if index >= place:
                    break
                continue
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            own = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package
            if is_future or own or (after is None and text.startswith("from")):
                after = node
            elif text.startswith("from"):
                after = after if after is not None and _is_of(after, package) else node
        edits.append(_import_edit(file, text, after, place))
    return edits


def _merged(statements: tuple[str, ...]) -> list[str]:
    """Return import statements, those from one module as one."""
    named: dict[str, set[str]] = {}
    for text in statements:
        head, _, name = text.rpartition(" import ")
        named.setdefault(f"{head} import " if head else text, set()).update({name} if head else ())
    return [head + ", ".join(sorted(names)) for head, names in named.items()]


def _is_of(node: ast.stmt, package: str) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package


def _import_edit(file: FlowFile, text: str, after: ast.stmt | None, place: int) -> TextEdit:
    body, newline = file.module.tree.body, file.text.newline
    if after is None:
        if place < len(body):
            at = file.text.line_start(min([body[place].lineno, *_decorator_lines(body[place])]))
        else:
            at = len(file.source)
        return TextEdit(at, at, f"{text}{newline}")
    at = file.text.line_start(after.end_lineno or after.lineno) + len(
        file.text.lines[(after.end_lineno or after.lineno) - 1]
    )
    return TextEdit(at, at, f"{text}{newline}")


def _decorator_lines(node: ast.stmt) -> list[int]:
    return [one.lineno for one in getattr(node, "decorator_list", [])]
