"""Python expressions in the words of somebody who reads no Python."""

from __future__ import annotations

import ast

_LONGEST = 160
_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "is",
    ast.NotEq: "is not",
    ast.Lt: "is under",
    ast.LtE: "is at most",
    ast.Gt: "is over",
    ast.GtE: "is at least",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "is in",
    ast.NotIn: "is not in",
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PLAIN_METHODS = frozenset({"casefold", "lower", "upper", "strip"})


def number_of(count: float, unit: str) -> str:
    """Return "1 second", "2 seconds"."""
    return f"{count:g} {unit}{'' if count == 1 else 's'}"


def condition(node: ast.expr) -> str:
    """Return a test in words."""
    match node:
        case ast.BoolOp(op=operator, values=values):
            word = " and " if isinstance(operator, ast.And) else " or "
            return word.join(condition(one) for one in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return (
                f"it does not hold that {condition(operand)}"
                if _is_test(operand)
                else f"{value(operand)} is empty"
            )
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _days(left, operator, right) or _compared(left, operator, right)
        case ast.Call(
            func=ast.Attribute(value=inner, attr="startswith" | "endswith" as name),
            args=[ast.Constant() as end],
        ):
            return f"{value(inner)} {name.removesuffix('with')} with {value(end)}"
    return f"{value(node)} is given" if isinstance(node, ast.Name | ast.Subscript) else value(node)


def _is_test(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare | ast.BoolOp | ast.Call)


def _compared(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> str:
    if isinstance(operator, ast.In | ast.NotIn) and isinstance(left, ast.Constant):
        has = "has" if isinstance(operator, ast.In) else "does not have"
        return f"{value(right)} {has} {value(left)}"
    if isinstance(right, ast.Constant) and right.value is None:
        return f"{value(left)} is {'' if isinstance(operator, ast.IsNot | ast.NotEq) else 'not '}given"
    return f"{value(left)} {_OPERATORS[type(operator)]} {value(right)}"


def _days(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> str | None:
    """Return days of the week where a weekday is compared with its number."""
    is_day = (
        isinstance(left, ast.Call) and isinstance(left.func, ast.Attribute) and left.func.attr == "weekday"
    )
    numbers = _numbers(right) if is_day else []
    if not numbers:
        return None
    match operator, numbers:
        case ast.GtE(), [5]:
            return "it is a weekend"
        case ast.Lt(), [5]:
            return "it is a weekday (Monday to Friday)"
        case ((ast.Eq() | ast.In()), _):
            return f"it is {' or '.join(_DAYS[one] for one in sorted(numbers))}"
        case ((ast.NotEq() | ast.NotIn()), _):
            return f"it is not {' or '.join(_DAYS[one] for one in sorted(numbers))}"
    return None


def _numbers(node: ast.expr) -> list[int]:
    """Return the days of the week an expression names by number, none where it names something else."""
    parts = node.elts if isinstance(node, ast.Set | ast.Tuple | ast.List) else [node]
    found = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, int)]
    fits = len(found) == len(parts) and all(0 <= one < len(_DAYS) for one in found)
    return found if fits else []


def value(node: ast.expr) -> str:
    """Return an expression as a reader would say it: the event's subject, "#inbox", the rows."""
    return _cut(_value(node))


def _value(  # noqa: PLR0911 - one case a shape reads best as one table
    node: ast.expr,
) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return f'"{text}"'
        case ast.Subscript(value=ast.Name(id="event"), slice=ast.Constant(value=str(key))):
            return f"the event's {key}"
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            return f"{_value(inner)}'s {key}" if isinstance(key, str) else f"{_value(inner)}[{key!r}]"
        case ast.Call(func=ast.Attribute(value=inner, attr=name), args=[]) if name in _PLAIN_METHODS:
            return _value(inner)
        case ast.Call(
            func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), ast.Constant()]
        ):
            return f"the event's {key}" if getattr(inner, "id", "") == "event" else f"{_value(inner)}'s {key}"
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str()), attr="join"), args=[ast.List(elts=parts)]
        ):
            return " and ".join(_value(one) for one in parts)
        case ast.JoinedStr(values=parts):
            shown = (
                f"<{_value(part.value)}>"
                if isinstance(part, ast.FormattedValue)
                else str(getattr(part, "value", ""))
                for part in parts
            )
            return f'"{"".join(shown)}"'
        case ast.ListComp(elt=element, generators=[ast.comprehension(target=ast.Name(id=name), iter=rows)]):
            row = f"({_value(element)})" if isinstance(element, ast.List) else _value(element)
            return f"{row} of each {name} in {_value(rows)}"
        case ast.List(elts=parts):
            return ", ".join(_value(one) for one in parts) or "nothing"
    return ast.unparse(node)


def each(call: ast.Call) -> str:
    """Return what a mapped call goes through."""
    given = [*call.args, *(word.value for word in call.keywords)]
    return value(given[0]) if given else "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
