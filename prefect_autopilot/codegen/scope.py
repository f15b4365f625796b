"""Which names a generated function holds, and how an argument of a step is read from them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from prefect_autopilot.codegen import nodes
from prefect_autopilot.codegen.names import EVENT, identifier, singular
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Argument, Constant, FromParameter, FromStep, FromTrigger, Text


@dataclass(frozen=True)
class Scope:
    """The names seen from one block; a nested block sees those of the block around it."""

    parameters: dict[str, str]
    taken: set[str]
    """Every name of the whole function: no two blocks use one name for two things."""
    steps: frozenset[str] = frozenset()
    """Ids of all steps, those not run yet among them."""
    results: dict[str, str] = field(default_factory=dict)
    """Step id to the variable that holds its result."""
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Where a value was read from, to the variable that holds it for f-strings."""
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Step id to the place of the rows in its result."""
    bare: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Step id to the place the rows have in one page, for steps whose result is the rows of all pages."""
    loop_source: tuple[str, ...] = ()
    """What the block repeats for: ``("event", "orders")`` or ``("step", "list-1", "rows")``."""
    loop_name: str = ""
    scales: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Where a sum of money stands in its smallest unit, and how many of those make one of the currency."""
    sums: set[str] = field(default_factory=set)
    """Variables that hold such a sum in the currency itself."""

    def nested(self, loop_source: tuple[str, ...] = (), loop_name: str = "") -> Scope:
        """Return the scope of a block inside this one."""
        # In a loop, what was read of the whole list means the row.
        of_rows = loop_source if loop_source != self.loop_source else ()
        kept = {
            source: name
            for source, name in self.texts.items()
            if not of_rows or source[: len(of_rows)] != of_rows
        }
        return replace(
            self,
            results=dict(self.results),
            lists=dict(self.lists),
            bare=dict(self.bare),
            texts=kept,
            loop_source=loop_source,
            loop_name=loop_name,
        )

    def new_name(self, wish: str, fallback: str = "value") -> str:
        """Return a free name for ``wish`` and take it."""
        name = identifier(wish, self.taken, fallback)
        self.taken.add(name)
        return name

    def field(self, path: str) -> ast.expr:
        """Return the expression that reads ``path`` of the event."""
        return self._read((EVENT, *path.split(".")) if path else (EVENT,))

    def answer(self, step: str, path: str) -> ast.expr:
        """Return the expression of a path of what an earlier step answered; without a path, of its rows."""
        return self._read(("step", step, *path.split("."))) if path else self.items(step)[1]

    def prepare(self, arguments: Collection[Argument]) -> list[ast.stmt]:
        """Return the assignments that must stand before a call with ``arguments``.

        What an f-string holds gets a variable: before Python 3.12 an f-string cannot hold its own quotes.
        """
        parts = [
            part
            for one in arguments
            if isinstance(one, Text) and one.form not in {"row", "rows", "lines"} and len(one.parts) > 1
            for part in one.parts
        ]
        told = [one for one in arguments if isinstance(one, Text) and one.form == "lines"]
        statements = [line for one in told for line in self._prepared_lines(one)]
        for part in parts:
            source = self._source(part)
            if source is None or isinstance(self._read(source), ast.Name):
                continue
            expression, scale = self._read(source), self.scales.get(source)
            self.texts[source] = self.new_name(source[-1], "text")
            if scale:
                expression = ast.BinOp(expression, ast.Div(), ast.Constant(scale))
                self.sums.add(self.texts[source])
            statements.append(nodes.assign(self.texts[source], expression))
        return statements

    def value(self, argument: Argument) -> ast.expr:
        """Return the expression of an argument, for which ``prepare`` has been called."""
        match argument:
            case Constant(value=value):
                return nodes.literal(value)
            case FromParameter(name=name):
                if name not in self.parameters:
                    raise UsageError(f"A step uses the parameter {name!r}, which the flow does not have.")
                return nodes.name(self.parameters[name])
            case FromTrigger() | FromStep():
                return self._read(self._source(argument) or ())
            case Text():
                return self._shaped(argument)

    def _shaped(self, text: Text) -> ast.expr:
        match text.form:
            case "row":
                return _list([_list([self._cell(part) for part in text.parts])])
            case "rows":
                return self._rows(text.parts)
            case "lines":
                return self._lines(text)
            case "messages":
                keys: list[ast.expr | None] = [ast.Constant("role"), ast.Constant("content")]
                return _list([ast.Dict(keys, [ast.Constant("user"), self._text(text)])])
            case "text":
                return self._text(text)

    def _of_each(self, parts: Sequence[Argument]) -> tuple[Scope, ast.comprehension, str]:
        """Return the scope of one item of the list that all parts read, how it is gone through, its word."""
        steps = {part.step for part in parts if isinstance(part, FromStep)}
        if len(steps) != 1 or len(parts) != sum(isinstance(part, FromStep) for part in parts):
            raise UsageError("The cells of rows must all be read from the items of one list.")
        (step,) = steps
        source, items, word = self.items(step)
        inner = self.nested(source, self.new_name(singular(word), "item"))
        return inner, ast.comprehension(ast.Name(inner.loop_name, ast.Store()), items, [], 0), word

    def _lines(self, text: Text) -> ast.expr:
        """Return the lines that ``prepare`` made of the items as one text, and what is told of none."""
        lines = nodes.method(ast.Constant("\n"), "join", nodes.name(self.texts[_key_of(text)]))
        _, _, word = self._of_each(text.parts)
        return ast.BoolOp(ast.Or(), [lines, ast.Constant(f"No {word.replace('_', ' ')}.")])

    def _prepared_lines(self, text: Text) -> list[ast.stmt]:
        """Return the assignment of one line for each item of the list that the parts read."""
        if _key_of(text) in self.texts:
            return []
        inner, each, word = self._of_each(text.parts)
        cells: list[ast.expr] = [nodes.call(nodes.name("str"), inner.value(part)) for part in text.parts]
        line = cells[0] if len(cells) == 1 else nodes.method(ast.Constant(" "), "join", _list(cells))
        name = self.new_name(f"{singular(word)}_lines", "lines")
        self.texts[_key_of(text)] = name
        return [nodes.assign(name, ast.ListComp(line, [each]))]

    def _rows(self, parts: Sequence[Argument]) -> ast.expr:
        """Return a list with one row of cells for each item of the list that the parts read."""
        inner, each, _ = self._of_each(parts)
        if [part.path for part in parts if isinstance(part, FromStep)] == [""]:  # whatever the row holds
            row: ast.expr = nodes.call(
                nodes.name("list"), nodes.method(nodes.name(inner.loop_name), "values")
            )
        else:
            row = _list([inner.value(part) for part in parts])
        return ast.ListComp(row, [each])

    def _cell(self, part: Argument) -> ast.expr:
        """Return a value as it stands in a table: a sum in its currency, not in its smallest unit."""
        source = self._source(part)
        scale = self.scales.get(source) if source and source not in self.texts else None
        value = self.value(part)
        return ast.BinOp(value, ast.Div(), ast.Constant(scale)) if scale else value

    def _text(self, text: Text) -> ast.expr:
        if len(text.parts) != 1:
            return nodes.joined([self._part(part) for part in text.parts], self.sums)
        (only,) = text.parts
        if isinstance(only, Constant):
            return nodes.literal(only.value if isinstance(only.value, str) else str(only.value))
        is_whole = isinstance(only, FromTrigger | FromStep) and not only.path
        # f"{x}" says no more than x; a whole answer is no text yet.
        return nodes.call(nodes.name("str"), self.value(only)) if is_whole else self.value(only)

    def _part(self, part: Constant | FromTrigger | FromStep | FromParameter) -> str | ast.Name:
        if isinstance(part, Constant):
            return part.value if isinstance(part.value, str) else str(part.value)
        expression = self.value(part)
        assert isinstance(expression, ast.Name)
        return expression

    def _source(self, part: Argument) -> tuple[str, ...] | None:
        match part:
            case FromTrigger(path=path):
                return (EVENT, *(path.split(".") if path else ()))
            case FromStep(step=step, path=path):
                return ("step", step, *self._below(step, path.split(".") if path else []))
        return None

    def _below(self, step: str, path: list[str]) -> list[str]:
        """Return a path of a step's answer as a path of its result, which may be the rows alone."""
        rows = self.bare.get(step, ())
        return path[len(rows) :] if tuple(path[: len(rows)]) == rows else path

    def items(self, for_each: str) -> tuple[tuple[str, ...], ast.expr, str]:
        """Return the source that ``for_each`` names, the expression of its items, a word for them.

        A step that lists stands for its rows; inside the loop it stands for one of them.
        """
        head, *rest = for_each.split(".")
        if head not in self.steps:
            path = rest if head in {EVENT, "trigger"} else [head, *rest]
            source = (EVENT, *path)
            return source, self._read(source), source[-1]
        rest = self._below(head, rest)
        source = ("step", head, *rest)
        answer = self._read(source)
        rows = self.lists.get(head, ())
        if not rest:
            return source, nodes.item(answer, rows), self.results[head]
        return source, answer, self.results[head] if tuple(rest) == rows else rest[-1]

    def _read(self, source: tuple[str, ...]) -> ast.expr:
        if source in self.texts:
            return nodes.name(self.texts[source])
        size = len(self.loop_source)
        if size and source[:size] == self.loop_source:
            return nodes.item(nodes.name(self.loop_name), source[size:])
        if source[0] == EVENT:
            return nodes.item(nodes.name(EVENT), source[1:])
        _, step, *path = source
        if step not in self.results:
            raise UsageError(
                f"A step uses the result of {step!r}, which has not run by then or runs only on a condition;"
                " put it first, or under the same condition."
            )
        return nodes.item(nodes.name(self.results[step]), path)


def _list(items: list[ast.expr]) -> ast.List:
    return ast.List(items, ast.Load())


def _key_of(text: Text) -> tuple[str, ...]:
    """Return the key of lines among what has a variable: what they are made of."""
    return ("lines", *(f"{part.step}.{part.path}" for part in text.parts if isinstance(part, FromStep)))
