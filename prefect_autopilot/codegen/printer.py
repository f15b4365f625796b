"""Syntax tree to source, laid out as ``ruff format`` does at 88 columns, for the shapes we emit.

``ast.unparse`` writes every statement on one line; a formatter at run time would be a dependency
for what these few shapes need. Anything else raises TypeError: nothing is printed by accident.
"""

from __future__ import annotations

import ast
import re
import sys
import unicodedata

WIDTH = 88
INDENT = "    "
_INSTALLED = frozenset({"prefect", "prefect_autopilot", "pytest"})

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.And: "and",
    ast.Or: "or",
    ast.BitOr: "|",
    ast.Div: "/",
}


def render(tree: ast.Module) -> str:
    """Return the source of ``tree``, ending in one newline."""
    lines: list[str] = []
    previous: ast.stmt | None = None
    for statement in tree.body:
        lines += [""] * _blank_lines(previous, statement)
        lines += _statement(statement, "", docstring=previous is None)
        previous = statement
    return "\n".join(lines) + "\n"


def one_line(node: ast.expr) -> str:
    """Return an expression on one line; raises TypeError for a shape that is never emitted."""
    return _flat(node)


def _blank_lines(previous: ast.stmt | None, statement: ast.stmt) -> int:
    if previous is None:
        return 0
    imports = (ast.Import, ast.ImportFrom)
    if isinstance(previous, imports) and isinstance(statement, imports):
        return int(_section(previous) != _section(statement))
    return 1 if isinstance(statement, imports) else 2


def _section(statement: ast.Import | ast.ImportFrom) -> int:
    """Return which block of imports a statement stands in: Python's own, installed ones, the file beside."""
    module = statement.names[0].name if isinstance(statement, ast.Import) else str(statement.module)
    top = module.split(".")[0]
    return 0 if top in sys.stdlib_module_names else 1 if top in _INSTALLED else 2


def _statement(  # noqa: C901, PLR0911 - one case a node kind reads best as one table
    node: ast.stmt, indent: str, *, docstring: bool = False
) -> list[str]:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))) if docstring:
            return _docstring(text, indent)
        case ast.Expr(value=value):
            return _fit("", value, "", indent)
        case ast.Import(names=[ast.alias(name=name, asname=None)]):
            return [f"{indent}import {name}"]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [f"{indent}from {module} import {', '.join(alias.name for alias in names)}"]
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return _fit(f"{name} = ", value, "", indent)
        case ast.Return(value=None):
            return [f"{indent}return"]
        case ast.Return(value=ast.expr() as value):
            return _fit("return ", value, "", indent)
        case ast.If(test=test, body=body, orelse=otherwise):
            lines = _condition(test, indent) + _body(body, indent + INDENT)
            return lines + ([f"{indent}else:", *_body(otherwise, indent + INDENT)] if otherwise else [])
        case ast.For(target=ast.Name(id=name), iter=items, body=body, orelse=[]):
            return _fit(f"for {name} in ", items, ":", indent) + _body(body, indent + INDENT)
        case ast.With(items=[ast.withitem(context_expr=value, optional_vars=ast.Name(id=name))], body=body):
            return _fit("with ", value, f" as {name}:", indent) + _body(body, indent + INDENT)
        case ast.Assert(test=test, msg=None):
            return [f"{indent}assert {_flat(test)}"]
        case ast.FunctionDef():
            return _function(node, indent)
    raise TypeError(f"No layout for the statement {type(node).__name__}.")


def _body(statements: list[ast.stmt], indent: str, *, docstring: bool = False) -> list[str]:
    lines: list[str] = []
    for number, statement in enumerate(statements):
        if number and isinstance(statements[number - 1], ast.If | ast.For):
            lines.append("")
        lines += _statement(statement, indent, docstring=docstring and number == 0)
    return lines


def _function(node: ast.FunctionDef, indent: str) -> list[str]:
    lines = [line for one in node.decorator_list for line in _fit("@", one, "", indent)]
    arguments = node.args.args
    required = len(arguments) - len(node.args.defaults)
    defaults = [None] * required + list(node.args.defaults)
    parts = [
        (f"{one.arg}: ", one.annotation, "" if default is None else f" = {_flat(default)}")
        for one, default in zip(arguments, defaults, strict=True)
        if one.annotation is not None
    ]
    returns = f" -> {_flat(node.returns)}" if node.returns else ""
    flat = ", ".join(f"{name}{_flat(kind)}{default}" for name, kind, default in parts)
    head = f"{indent}def {node.name}({flat}){returns}:"
    if _width(head) <= WIDTH:
        lines.append(head)
    else:
        lines.append(f"{indent}def {node.name}(")
        for name, kind, default in parts:
            lines += _fit(name, kind, f"{default},", indent + INDENT)
        lines.append(f"{indent}){returns}:")
    return lines + _body(node.body, indent + INDENT, docstring=True)


def _condition(test: ast.expr, indent: str) -> list[str]:
    flat = f"{indent}if {_flat(test)}:"
    if _width(flat) <= WIDTH or isinstance(test, ast.UnaryOp | ast.Name | ast.Subscript):
        return [flat]
    inner = f"{indent}{INDENT}{_flat(test)}"
    lines = [inner] if _width(inner) <= WIDTH else _split(test, indent + INDENT)
    return [f"{indent}if (", *lines, f"{indent}):"]


def _split(test: ast.expr, indent: str) -> list[str]:
    match test:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return [f"{indent}{_flat(left)}", f"{indent}{_OPERATORS[type(operator)]} {_flat(right)}"]
        case ast.BoolOp(op=operator, values=[first, *others]):
            word = _OPERATORS[type(operator)]
            return [f"{indent}{_flat(first)}", *(f"{indent}{word} {_flat(one)}" for one in others)]
    return [f"{indent}{_flat(test)}"]


def _fit(prefix: str, node: ast.expr, suffix: str, indent: str) -> list[str]:
    """Lay ``node`` out on one line, or with one element a line and a trailing comma."""
    flat = f"{indent}{prefix}{_flat(node)}{suffix}"
    if _width(flat) > WIDTH and isinstance(node, ast.ListComp):
        within = indent + INDENT
        body = [f"{within}{_flat(node.elt)} {_generator(node)}"]
        if _width(body[0]) > WIDTH:
            body = [*_fit("", node.elt, "", within), f"{within}{_generator(node)}"]
        return [f"{indent}{prefix}[", *body, f"{indent}]{suffix}"]
    elements = _elements(node)
    if _width(flat) <= WIDTH or not elements:
        return [flat]
    opening, closing = _brackets(node)
    inner = [line for start, one in elements for line in _fit(start, one, ",", indent + INDENT)]
    head = [f"{indent}{prefix}{opening}"]
    if _width(head[0]) > WIDTH and isinstance(node, ast.Call) and isinstance(node.func, ast.Call):
        *before, last = _fit(prefix, node.func, "(", indent)
        head = [*before, last]
    return [*head, *inner, f"{indent}{closing}{suffix}"]


def _generator(node: ast.ListComp) -> str:
    (source,) = node.generators
    return f"for {_flat(source.target)} in {_flat(source.iter)}"


def _elements(node: ast.expr) -> list[tuple[str, ast.expr]]:
    match node:
        case ast.Call(args=args, keywords=keywords):
            named = [("**" if one.arg is None else f"{one.arg}=", one.value) for one in keywords]
            return [("", one) for one in args] + named
        case ast.Dict(keys=keys, values=values):
            return [(f"{_flat(key)}: ", value) for key, value in zip(keys, values, strict=True) if key]
        case ast.List(elts=elements) | ast.Subscript(slice=ast.Tuple(elts=elements)):
            return [("", one) for one in elements]
    return []


def _brackets(node: ast.expr) -> tuple[str, str]:
    match node:
        case ast.Call(func=function):
            return f"{_flat(function)}(", ")"
        case ast.Subscript(value=value):
            return f"{_flat(value)}[", "]"
        case ast.Dict():
            return "{", "}"
    return "[", "]"


def _flat(node: ast.expr) -> str:  # noqa: C901, PLR0911, PLR0912 - one case a node kind reads best as one table
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=value):
            return quoted(value) if isinstance(value, str) else _literal(value)
        case ast.Attribute(value=value, attr=name):
            return f"{_flat(value)}.{name}"
        case ast.Subscript(value=value, slice=ast.Tuple(elts=elements)):
            return f"{_flat(value)}[{', '.join(_flat(one) for one in elements)}]"
        case ast.Subscript(value=value, slice=key):
            return f"{_flat(value)}[{_flat(key)}]"
        case ast.Call() | ast.Dict() | ast.List():
            opening, closing = _brackets(node)
            return opening + ", ".join(start + _flat(one) for start, one in _elements(node)) + closing
        case ast.Tuple(elts=[_, _, *_] as elements):
            return f"({', '.join(_flat(one) for one in elements)})"
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return f"{_flat(left)} {_OPERATORS[type(operator)]} {_flat(right)}"
        case ast.BoolOp(op=operator, values=values):
            return f" {_OPERATORS[type(operator)]} ".join(_flat(one) for one in values)
        case ast.BinOp(left=left, op=operator, right=right):
            return f"{_flat(left)} {_OPERATORS[type(operator)]} {_flat(right)}"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"not {_flat(operand)}"
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return f"-{_literal(value)}"
        case ast.JoinedStr(values=values):
            return _joined(values)
        case ast.ListComp(elt=element):
            return f"[{_flat(element)} {_generator(node)}]"
        case ast.Yield(value=ast.Name(id=name)):
            return f"yield {name}"
    raise TypeError(f"No layout for the expression {type(node).__name__}.")


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return repr(value).replace("e+", "e")
    raise TypeError(f"No literal for a value of type {type(value).__name__}.")


def _joined(values: list[ast.expr]) -> str:
    pieces: list[tuple[bool, str]] = []
    for value in values:
        match value:
            case ast.Constant(value=str(text)):
                pieces.append((True, text))
            case ast.FormattedValue(value=ast.Name(id=name), conversion=-1, format_spec=None):
                pieces.append((False, name))
            case ast.FormattedValue(
                value=ast.Name(id=name),
                conversion=-1,
                format_spec=ast.JoinedStr(values=[ast.Constant(value=".2f")]),
            ):
                pieces.append((False, f"{name}:.2f"))
            case _:
                raise TypeError("Only plain names are printed inside an f-string.")
    quote = _quote("".join(text for is_text, text in pieces if is_text))
    shown = (
        _escaped(text, quote).replace("{", "{{").replace("}", "}}") if is_text else f"{{{text}}}"
        for is_text, text in pieces
    )
    return f"f{quote}{''.join(shown)}{quote}"


def quoted(text: str) -> str:
    """Return ``text`` as a string literal in the quotes that need fewer escapes, double at a tie."""
    quote = _quote(text)
    return f"{quote}{_escaped(text, quote)}{quote}"


def _quote(text: str) -> str:
    return "'" if text.count('"') > text.count("'") else '"'


def _escaped(text: str, quote: str) -> str:
    # A quote inside the quotes makes repr leave the other kind alone, so both come out unescaped here.
    shown = "".join(one if one in "'\"" else repr(one)[1:-1] for one in text)
    return shown.replace(quote, f"\\{quote}")


def _docstring(text: str, indent: str) -> list[str]:
    first, *others = _docstring_escaped(text).split("\n")
    return [f'{indent}"""{first}', *others[:-1], f'{others[-1]}"""'] if others else [f'{indent}"""{first}"""']


def _docstring_escaped(text: str) -> str:
    """Escape by code point only: other escapes would ask for a raw docstring."""
    printable = "".join(
        one if one == "\n" or (one.isprintable() and one != "\\") else _code_point(one) for one in text
    )
    return re.sub(r'"{3,}', lambda run: _code_point('"') * len(run.group()), printable)


def _code_point(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the last of four digits


def _width(line: str) -> int:
    """Columns of ``line``: wide characters take two, combining ones none."""
    if line.isascii():
        return len(line)
    return sum(
        0
        if unicodedata.category(one) in {"Mn", "Me", "Cf"}
        else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in line
    )
