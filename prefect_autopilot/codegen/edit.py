"""Changes of a flow file by position: what is not asked for stays byte for byte."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from prefect_autopilot.codegen import nodes
from prefect_autopilot.codegen.checks import expression, joined_text
from prefect_autopilot.codegen.conditions import read_condition
from prefect_autopilot.codegen.events import Shape
from prefect_autopilot.codegen.names import EVENT
from prefect_autopilot.codegen.printer import WIDTH, one_line, quoted
from prefect_autopilot.codegen.reading import Call, FlowSource, inner_bodies
from prefect_autopilot.effects.text import SourceText, TextEdit
from prefect_autopilot.errors import UsageError

_INDENT = "    "
_BOUNDS = {
    "over": ">", "above": ">", "more than": ">", "greater than": ">", "under": "<", "below": "<",
    "less than": "<", "at least": ">=", "at most": "<=",
}  # fmt: skip
_BOUND = re.compile(
    rf"(?:the\s+)?(?P<name>[A-Za-z_]\w*)\s+(?:is\s+)?(?P<word>{'|'.join(_BOUNDS)})\s+[$€£]?(?P<number>\d[\d,]*(?:\.\d+)?)",
    re.IGNORECASE,
)


def shown(value: Any) -> str:
    """Return a JSON value as Python source, texts in the quotes a formatter would choose."""
    match value:
        case str():
            return quoted(value)
        case list() | tuple():
            return f"[{', '.join(shown(one) for one in value)}]"
        case dict():
            return f"{{{', '.join(f'{quoted(str(key))}: {shown(one)}' for key, one in value.items())}}}"
    return repr(value)


def call_lines(task: str, title: str, positional: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """Return a call as lines, one argument a line where it does not fit into one."""
    plain = {key: value for key, value in named.items() if key.isidentifier()}
    others = ", ".join(f"{quoted(key)}: {value}" for key, value in named.items() if key not in plain)
    arguments = [*positional, *(f"{key}={value}" for key, value in plain.items())]
    arguments += [f"**{{{others}}}"] if others else []
    head = f"{task}.with_options(name={quoted(title)})("
    flat = f"{head}{', '.join(arguments)})"
    if len(flat) + len(_INDENT) <= WIDTH:
        return [flat]
    return [head, *(f"{_INDENT}{one}," for one in arguments), ")"]


def due_in(timezone: str, run: str, zone: str) -> str:
    """Return the time a run was due, in a time zone, as Python.

    The due time is asked, not the clock: a retry after midnight must not decide otherwise.
    """
    return f"{run}.scheduled_start_time.astimezone({zone}({quoted(timezone)}))"


def on_days(days: frozenset[int], due: str) -> str:
    """Return the condition that the variable ``due`` lies on one of ``days``; 0 is Monday."""
    listed = sorted(days)
    day = f"{due}.weekday()"
    if listed == [5, 6]:
        return f"{day} >= 5"
    if listed == [0, 1, 2, 3, 4]:
        return f"{day} < 5"
    if len(listed) == 1:
        return f"{day} == {listed[0]}"
    return f"{day} in {{{', '.join(str(one) for one in listed)}}}"


def on_event(words: str, shape: Shape) -> str | None:
    """Return a condition on the event's data as Python, None where the words are not understood."""
    checks = read_condition(words, shape)
    if checks is None:
        return None

    def field(path: str) -> ast.expr:
        return nodes.item(nodes.name(EVENT), path.split("."))

    tests = [
        one_line(expression(check, field, opposite=False, text=joined_text(check, field)))
        if check.operator == "mentions" and len(check.paths) > 1
        else one_line(expression(check, field, opposite=False))
        for check in checks
    ]
    return " and ".join(tests)


def on_names(words: str, names: frozenset[str]) -> str | None:
    """Return a condition on the flow's own variables as Python, None where the words are none.

    Taken are a comparison of names and constants as Python writes it, and "total is over 100".
    """
    said = _BOUND.fullmatch(words.strip())
    text = (
        f"{said['name']} {_BOUNDS[said['word'].lower()]} {said['number'].replace(',', '')}" if said else words
    )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    plain = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant, ast.cmpop, ast.boolop, ast.unaryop, ast.Load)
    parts = [part for part in ast.walk(tree) if not isinstance(part, plain)]
    if isinstance(tree, ast.Constant) or not parts:
        return None
    known = all(isinstance(part, ast.Name) and part.id in names for part in parts)
    return ast.unparse(tree) if known else None


def insert_lines(
    flow: FlowSource, lines: list[str], *, beside: ast.stmt | None = None, before: bool = False
) -> TextEdit:
    """Return the edit that puts whole lines after ``beside`` (or before it), else at the end of the flow."""
    text = flow.text
    if beside is None:
        body = flow.flow.node.body
        beside = body[-1]
        before = isinstance(beside, ast.Return) and len(body) > 1
    if not text.starts_line(beside) or not text.ends_line(beside):
        raise UsageError(f"Line {beside.lineno} holds several statements; put each on a line of its own.")
    pad = text.indent(beside)
    shown_lines = "".join(f"{pad}{line}{text.newline}" for line in lines)
    if before:
        at = text.line_start(beside.lineno)
        return TextEdit(at, at, shown_lines)
    last = beside.end_lineno or beside.lineno
    at = text.line_start(last + 1)
    ended = text.lines[last - 1].endswith(("\n", "\r"))
    return TextEdit(at, at, shown_lines if ended else text.newline + shown_lines)


def under_condition(lines: list[str], condition: str | None) -> list[str]:
    """Return the lines below ``if condition:``, unchanged without one."""
    if condition is None:
        return lines
    return [f"if {condition}:", *(f"{_INDENT}{line}" for line in lines)]


def wrap(flow: FlowSource, call: Call, condition: str, setup: Iterable[str] = ()) -> list[TextEdit]:
    """Return the edits that put the statement of a call below a condition, ``setup`` before it.

    Raises UsageError where later lines use its result: they would run without it.
    """
    statement, text = call.statement, flow.text
    _check_unused(flow, call, "would be missing when the condition does not hold")
    if not text.starts_line(statement) or inner_bodies(statement):
        raise UsageError(f"Line {statement.lineno} holds several statements; put each on a line of its own.")
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    pad, unit = text.indent(statement), _INDENT
    inside = _lines_in_texts(statement)
    edits = [
        TextEdit(text.line_start(line), text.line_start(line), unit)
        for line in range(first, last + 1)
        if line not in inside and text.lines[line - 1].strip()
    ]
    start = text.line_start(first)
    before = "".join(f"{pad}{line}{text.newline}" for line in (*setup, f"if {condition}:"))
    edits[0] = TextEdit(start, start, f"{before}{unit}")
    return edits


def _lines_in_texts(statement: ast.stmt) -> set[int]:
    """Return the lines that begin inside a text of several lines: indenting them would change it."""
    return {
        line
        for part in ast.walk(statement)
        if isinstance(part, ast.Constant | ast.JoinedStr)
        for line in range(part.lineno + 1, (part.end_lineno or part.lineno) + 1)
    }


def remove(flow: FlowSource, call: Call) -> list[TextEdit]:
    """Return the edits that take out the statement of a call and what only served it.

    Raises UsageError where its result is used, or nothing would be left of the flow.
    """
    _check_unused(flow, call, "would be gone")
    others = [one for one in flow.calls if one.statement is not call.statement]
    if not others:
        raise UsageError("That is the only step of the flow; nothing would be left of it.")
    if any(one.statement is call.statement and one is not call for one in flow.calls):
        raise UsageError(
            f"Line {call.statement.lineno} makes other calls, too; it has to be changed by hand."
        )
    gone = [call.statement, *_serving(flow, call.statement)]
    for block in reversed(call.blocks):
        bodies = inner_bodies(block)
        if len(bodies) != 1 or any(one not in gone for one in bodies[0]):
            break
        gone = [one for one in gone if one not in bodies[0]] + [block]
    gone += [one for one in _serving(flow, gone[-1], gone) if one not in gone]
    edits: list[TextEdit] = []
    for block in [one for one in call.blocks if one not in gone]:
        for body in inner_bodies(block):
            if body and all(one in gone for one in body):
                gone = [one for one in gone if one not in body]
                edits.append(_emptied(flow.text, block, body))
    return [*edits, *(_cut(flow.text, one) for one in gone)]


def _emptied(text: SourceText, block: ast.stmt, body: list[ast.stmt]) -> TextEdit:
    """Return the edit that leaves "pass" of a branch, and nothing of an "else" on a line of its own."""
    first, last = body[0].lineno, body[-1].end_lineno or body[-1].lineno
    is_else = isinstance(block, ast.If) and body is block.orelse and text.lines[first - 2].strip() == "else:"
    indent = text.lines[first - 1][: body[0].col_offset]
    start = text.line_start(first - 1 if is_else else first)
    return TextEdit(start, text.line_start(last + 1), "" if is_else else f"{indent}pass\n")


def _cut(text: SourceText, statement: ast.stmt) -> TextEdit:
    if not text.starts_line(statement) or not text.ends_line(statement):
        raise UsageError(f"Line {statement.lineno} holds several statements; put each on a line of its own.")
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    blank_before = first > 1 and not text.lines[first - 2].strip()
    blank_after = last < len(text.lines) and not text.lines[last].strip()
    return TextEdit(text.line_start(first), text.line_start(last + 1 + (blank_before and blank_after)), "")


def _serving(flow: FlowSource, gone: ast.stmt, others: Iterable[ast.stmt] = ()) -> list[ast.stmt]:
    """Return assignments that read a value for ``gone`` only, where nothing else uses the name."""
    removed = {id(part) for one in (gone, *others) for part in ast.walk(one)}
    used = [part for part in ast.walk(flow.flow.node) if isinstance(part, ast.Name)]
    found: list[ast.stmt] = []
    for part in ast.walk(flow.flow.node):
        match part:
            case ast.Assign(targets=[ast.Name(id=name) as target], value=value) if is_plain(value):
                readers = [one for one in used if one.id == name and one is not target]
                if readers and all(id(one) in removed for one in readers) and id(part) not in removed:
                    found.append(part)
    return found


def is_plain(node: ast.expr) -> bool:
    """Tell whether reading an expression a second time costs and does nothing."""
    allowed = (
        ast.Name, ast.Constant, ast.Subscript, ast.Attribute, ast.JoinedStr, ast.FormattedValue, ast.BinOp,
        ast.List, ast.Dict, ast.Tuple, ast.expr_context, ast.operator, ast.keyword, ast.UnaryOp, ast.unaryop,
    )  # fmt: skip
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            if ast.unparse(part.func) not in {"json.dumps", "str", "len"}:
                return False
        elif not isinstance(part, allowed):
            return False
    return True


def _check_unused(flow: FlowSource, call: Call, why: str) -> None:
    name = call.result
    if name is None and not isinstance(call.statement, ast.Expr):
        raise UsageError(f"Line {call.statement.lineno} does more than call {call.name}; change it by hand.")
    readers = [
        part.lineno
        for part in ast.walk(flow.flow.node)
        if isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Load)
    ]
    if name is not None and readers:
        raise UsageError(
            f"Line {readers[0]} uses the result of {call.name}: it {why}. Change that line first."
        )


def set_keyword(text: SourceText, call: ast.Call, name: str, value: str) -> TextEdit | None:
    """Return the edit that gives a call ``name=value``, None where it stands there."""
    for word in call.keywords:
        if word.arg == name:
            same = text.of(word.value) == value
            return None if same else TextEdit(text.start(word.value), text.end(word.value), value)
    given = [*call.args, *(word.value for word in call.keywords)]
    end = text.end(call)
    if not given:
        return TextEdit(end - 1, end - 1, f"{name}={value}")
    last = max(given, key=lambda one: (one.end_lineno or 0, one.end_col_offset or 0))
    at = text.end(last)
    if (last.end_lineno or 0) < (call.end_lineno or 0) and last.lineno > call.lineno:
        line = text.lines[last.lineno - 1]
        pad = line[: len(line) - len(line.lstrip())]
        return TextEdit(at, at, f",{text.newline}{pad}{name}={value}")
    return TextEdit(at, at, f", {name}={value}")


def decorate(flow: FlowSource, name: str, value: str) -> TextEdit | None:
    """Return the edit that gives the decorator of the flow an option, None where it has it."""
    decorator = flow.flow.decorator
    assert decorator is not None
    if isinstance(decorator, ast.Call):
        return set_keyword(flow.text, decorator, name, value)
    end = flow.text.end(decorator)
    return TextEdit(end, end, f"({name}={value})")


def add_parameter(flow: FlowSource, name: str, kind: str, example: str) -> list[TextEdit]:
    """Return the edits that give the flow a required parameter, and the calls in the file a value for it."""
    spec, text = flow.flow.node.args, flow.text
    if spec.vararg or spec.kwonlyargs or spec.kwarg or spec.posonlyargs:
        raise UsageError(f"The flow takes its parameters in a way of its own; add {name!r} by hand.")
    edits = [_declaration(flow, f"{name}: {kind}")]
    for part in ast.walk(flow.module.tree):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == flow.flow.name:
            given = set_keyword(text, part, name, example)
            edits += [given] if given else []
    return edits


def _declaration(flow: FlowSource, declared: str) -> TextEdit:
    """Return the edit that declares a parameter behind the last required one; long ones get a line each."""
    node, text = flow.flow.node, flow.text
    spec = node.args
    required = spec.args[: len(spec.args) - len(spec.defaults)]
    opening = text.source.index("(", text.offset(node.lineno, node.col_offset)) + 1
    if not spec.args:
        return TextEdit(opening, opening, declared)
    if required:
        at = text.end(required[-1].annotation or _as_name(required[-1]))
        addition = f", {declared}"
    else:
        at = text.offset(spec.args[0].lineno, spec.args[0].col_offset)
        addition = f"{declared}, "
    line = text.lines[node.lineno - 1].rstrip()
    last = spec.args[-1]
    if len(line) + len(addition) <= WIDTH or (last.end_lineno or last.lineno) > node.lineno:
        return TextEdit(at, at, addition)
    ends = [text.end(one.annotation or _as_name(one)) for one in spec.args]
    ends[len(required) :] = [text.end(default) for default in spec.defaults]
    starts = [text.offset(one.lineno, one.col_offset) for one in spec.args]
    shown_arguments = [text.source[start:end] for start, end in zip(starts, ends, strict=True)]
    shown_arguments.insert(len(required), declared)
    pad = line[: len(line) - len(line.lstrip())]
    lines = "".join(f"{text.newline}{pad}{_INDENT}{one}," for one in shown_arguments)
    return TextEdit(opening, ends[-1], f"{lines}{text.newline}{pad}")


def _as_name(argument: ast.arg) -> ast.Name:
    return ast.Name(
        argument.arg,
        ast.Load(),
        lineno=argument.lineno,
        col_offset=argument.col_offset,
        end_lineno=argument.end_lineno,
        end_col_offset=argument.end_col_offset,
    )


def import_edits(
    flow: FlowSource, wanted: Iterable[tuple[str, str]]
) -> tuple[list[TextEdit], dict[str, str]]:
    """Return the edits that import ``(module, name)`` pairs, and the name each has in the file."""
    known = {qualified: local for local, qualified in flow.module.imports.items()}
    bound = {*flow.module.imports, *flow.module.functions, *flow.module.variables, *flow.flow.parameters}
    bound |= {part.id for part in ast.walk(flow.flow.node) if isinstance(part, ast.Name)}
    names: dict[str, str] = {}
    edits: list[TextEdit] = []
    for module, name in dict.fromkeys(wanted):
        if f"{module}.{name}" in known:
            names[name] = known[f"{module}.{name}"]
            continue
        names[name] = f"autopilot_{name}" if name in bound else name
        alias = "" if names[name] == name else f" as {names[name]}"
        edits.append(_import(flow, module, f"from {module} import {name}{alias}"))
    return edits, names


def _import(flow: FlowSource, module: str, line: str) -> TextEdit:
    """Return the edit that puts an import where a formatter would."""
    text = flow.text
    imports = [node for node in flow.module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    own = _is_stdlib(module)
    same = [node for node in imports if _is_stdlib(_origin(node)) is own and _origin(node) != "__future__"]
    earlier = [node for node in same if isinstance(node, ast.Import) or _origin(node) <= module]
    if earlier:
        at = text.line_start((earlier[-1].end_lineno or earlier[-1].lineno) + 1)
        return TextEdit(at, at, line + text.newline)
    if same:
        at = text.line_start(same[0].lineno)
        return TextEdit(at, at, line + text.newline)
    future = [node for node in imports if _origin(node) == "__future__"]
    others = [node for node in imports if node not in future]
    if others and own:
        at = text.line_start(others[0].lineno)
        return TextEdit(at, at, line + text.newline * 2)
    last = imports[-1] if imports else None
    place = (last.end_lineno or last.lineno) + 1 if last else flow.module.tree.body[0].lineno
    at = text.line_start(place)
    return TextEdit(at, at, f"{text.newline if last else ''}{line}{text.newline}")


def _origin(node: ast.Import | ast.ImportFrom) -> str:
    return node.names[0].name if isinstance(node, ast.Import) else node.module or ""


def _is_stdlib(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names
