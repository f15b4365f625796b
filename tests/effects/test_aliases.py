"""Which variables an expression's value may be or have inside, and what calls do to the objects they get."""

from __future__ import annotations

import ast
import textwrap

import pytest

from prefect_autopilot.effects import EffectReader, Level, Project
from prefect_autopilot.effects.aliases import held, roots

HEAD = """
import collections
import copy
import decimal
import operator
from dataclasses import dataclass, replace
import numpy as np

STATE = {"n": 0}

def same(x):
    return x

def part(x):
    return x["a"]

def both(x, y):
    return [x, y]

def fresh(x):
    return {"n": len(x)}

def outer():
    return STATE

def either(x, y):
    return x if x else y

def again(x):
    return again(x) if len(x) > 9 else x

def items(x):
    for one in x:
        yield one

def put(box, x):
    box["x"] = x

def put_through(box, x):
    put(box, x)

class Box:
    def __init__(self, rows):
        self.rows = rows
        self.n = 0

    def own(self):
        return self.rows

    def count(self):
        self.n += 1

    def fill(self, row):
        self.rows.append(row)

    @property
    def next(self):
        self.n += 1
        return self.n

    def __getitem__(self, key):
        self.n += 1
        return key

class Kind:
    calls = 0

    @classmethod
    def bump(cls):
        cls.calls += 1

BOX = Box([])

def number(url, seen={}):
    seen[url] = 1

def one_of(url, seen=STATE):
    seen[url] = 1

def plain(url, seen=None):
    return seen

def spread(*boxes, **named):
    for one in boxes:
        one.append(1)
    for one in named.values():
        one.append(1)

"""


def reader_of(body: str) -> EffectReader:
    text = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return EffectReader.of(f"{HEAD}\ndef main(a, b, c):\n{text}\n")


VALUES: dict[str, tuple[str, str, set[str], set[str]]] = {
    "a name": ("", "a", {"a"}, set()),
    "an alias": ("x = a", "x", {"x", "a"}, set()),
    "a part": ("", "a.b['c']", {"a"}, set()),
    "a list": ("", "[a, b]", set(), {"a", "b"}),
    "a list under a name": ("x = [a]", "x", {"x"}, {"a"}),
    "an item of that list": ("x = [a]", "x[0]", {"x", "a"}, {"a"}),
    "a list in a dictionary": ("x = {'k': [a]}", "x", {"x"}, {"a"}),
    "a copy has the same items": ("x = list(a)", "x", {"x"}, {"a"}),
    "a copy by its method": ("x = a.copy()", "x[0]", {"x", "a"}, {"a"}),
    "a copy by stars": ("x = {**a}", "x", {"x"}, {"a"}),
    "a replaced object": ("x = replace(a)", "x", {"x"}, {"a"}),
    "one of two": ("", "a if b else c", {"a", "c"}, set()),
    "the first true": ("", "a or b", {"a", "b"}, set()),
    "what a key holds": ("", "a.get('k')", {"a"}, set()),
    "the next item": ("", "next(iter(a))", {"a"}, set()),
    "an attribute by name": ("", "getattr(a, 'k')", {"a"}, set()),
    "a list added to another": ("x = [a] + [b]", "x", {"x"}, {"a", "b"}),
    "a view of an array": ("x = np.asarray(a)", "x", {"x", "a"}, set()),
    "a number": ("", "len(a)", set(), set()),
    "a text": ("", "f'{a}'", set(), set()),
    "what is appended": ("x = []\nx.append(a)", "x", {"x"}, {"a"}),
    "what is set": ("x = {}\nx['k'] = a", "x", {"x"}, {"a"}),
    "what a loop takes out": ("for x in [a, b]:\n    pass", "x", {"x", "a", "b"}, set()),
    "what is taken apart": ("x, y = a", "y", {"y", "a"}, set()),
    "what is given back": ("", "same(a)", {"a"}, set()),
    "a part of it": ("", "part(a)", {"a"}, set()),
    "both in a list": ("", "both(a, b)", set(), {"a", "b"}),
    "something new": ("", "fresh(a)", set(), set()),
    "the module's": ("", "outer()", {"STATE"}, set()),
    "either": ("", "either(a, b)", {"a", "b"}, set()),
    "recursion": ("", "again(a)", {"a"}, set()),
    "a generator's items": ("x = list(items(a))", "x", {"x"}, {"a"}),
    "an object with a part": ("x = Box(a)", "x", {"x"}, {"a"}),
    "a method's answer": ("x = Box(a)", "x.own()", {"x", "a"}, {"a"}),
    "what a helper puts in": ("x = {}\nput(x, a)", "x", {"x"}, {"a"}),
    "what a helper's helper puts in": ("x = {}\nput_through(x, a)", "x", {"x"}, {"a"}),
}


@pytest.mark.parametrize(("body", "text", "same", "inside"), VALUES.values(), ids=VALUES)
def test_what_a_value_may_be_and_may_have_inside(
    body: str, text: str, same: set[str], inside: set[str]
) -> None:
    reader = reader_of(f"{body}\nreturn 1")
    scope = reader.scope(reader.module.functions["main"])
    node = ast.parse(text, mode="eval").body
    assert roots(node, scope) == same
    assert held(node, scope) - same == inside - same


CHANGES: dict[str, tuple[str, str, set[str]]] = {
    "a method of its own": ("x = Box(a)", "x.count()", {"x"}),
    "a method that changes a part": ("x = Box(a)", "x.fill(b)", {"x", "a", "b"}),
    "a property that counts": ("x = Box(a)", "y = x.next", {"x"}),
    "an item that counts": ("x = Box(a)", "y = x['k']", {"x"}),
    "a part by an alias": ("x = [a]\ny = x[0]", "y.append(1)", {"y", "x", "a"}),
    "a helper": ("", "put(a, b)", {"a"}),
    "a method that is handed on": ("x = []", "map(x.append, b)", {"x"}),
    "a method of the class": ("", "list.append(a, b)", {"a"}),
    "an operator": ("", "operator.setitem(a, 'k', b)", {"a"}),
    "the output of numpy": ("", "np.add(a, b, out=c)", {"c"}),
    "all by a star": ("", "spread(*[a], b, k=c)", {"a", "b", "c"}),
    "all by two stars": ("", "spread(**{'k': a})", {"a"}),
    "a new object": ("", "Box([]).count()", {""}),
    "a sum": ("", "y = a + b", set()),
    "a constant default": ("", "plain(a)", set()),
}


@pytest.mark.parametrize(("body", "line", "changed"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_under_every_name_of_the_object(body: str, line: str, changed: set[str]) -> None:
    reader = reader_of(f"{body}\n{line}")
    main = reader.module.functions["main"]
    touches = reader.touches(main.node.body[-1], main)
    assert {touch.mutates for touch in touches if touch.mutates} == changed - {""}
    assert all(touch.level is Level.PURE for touch in touches)


SHARED: dict[str, tuple[str, str]] = {
    "an object of the module": ("BOX.count()", "BOX"),
    "the module's state by a getter": ("outer()['n'] = 1", "STATE"),
    "the module's state handed on": ("put(STATE, a)", "STATE"),
    "a class": ("Kind.bump()", ""),
    "a default argument": ("number(a)", "number.seen"),
    "a default that is the module's": ("one_of(a)", "STATE"),
    "a context of decimals": ("decimal.getcontext().prec = 4", ""),
}


@pytest.mark.parametrize(("line", "name"), SHARED.values(), ids=SHARED)
def test_a_change_of_what_all_see_is_a_write(line: str, name: str) -> None:
    reader = reader_of(line)
    effect = reader.effect(reader.module.functions["main"])
    assert effect.level is Level.WRITE
    assert (name in effect.mutates) == bool(name)
    assert all(touch.resource.startswith("memory:") for touch in effect.touches if touch.level is Level.WRITE)


def test_a_default_that_is_given_by_the_caller_is_the_callers() -> None:
    reader = reader_of("number(a, b)")
    effect = reader.effect(reader.module.functions["main"])
    assert (effect.level, effect.mutates) == (Level.PURE, ("b",))


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("tools.keep(a)['n'] = 1", {"a"}),
        ("tools.state()['n'] = 1", {"tools.STATE"}),
        ("x = {}\n    tools.put(x, a)\n    x['x'].append(1)", {"x", "a"}),
        ("tools.fresh()['n'] = 1", set[str]()),
    ],
    ids=["given back", "its state", "put in", "something new"],
)
def test_another_module_of_the_project_is_followed(line: str, changed: set[str]) -> None:
    tools = (
        "STATE = {}\ndef keep(x):\n    return x\ndef state():\n    return STATE\n"
        "def put(box, x):\n    box['x'] = x\ndef fresh():\n    return {}\n"
    )
    project = Project({"tools": tools, "main": ""})
    reader = EffectReader.of(f"import tools\ndef main(a):\n    {line}\n", project=project, place="main")
    main = reader.module.functions["main"]
    touches = [touch for node in main.node.body for touch in reader.touches(node, main)]
    assert {touch.mutates for touch in touches if touch.mutates} == changed
