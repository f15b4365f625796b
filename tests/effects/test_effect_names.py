"""What names stand for: imports in every form, names that hide others, constants, clients in variables."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import FunctionEffect, Level, function_effects, read_module, split_lines
from prefect_autopilot.errors import InvalidFlowError


def effect_of(body: str, before: str = "", signature: str = "def f(x, y=None):") -> FunctionEffect:
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return function_effects(f"{textwrap.dedent(before)}\n{signature}\n{inner}\n")["f"]


IMPORTED = {
    "import": ("import requests", "requests.get(x)", Level.READ),
    "import as": ("import requests as r", "r.post(x)", Level.WRITE),
    "import of a part": ("import urllib.request", "urllib.request.urlopen('https://a.test')", Level.READ),
    "import of a part as": ("import urllib.request as u", "u.urlretrieve(x)", Level.WRITE),
    "import of two": ("import json, requests", "json.loads(requests.get(x).text)", Level.READ),
    "from": ("from requests import get", "get(x)", Level.READ),
    "from as": ("from requests import get as fetch", "fetch(x)", Level.READ),
    "from with brackets": ("from requests import (\n    get,\n    post,\n)", "post(x)", Level.WRITE),
    "from a part": ("from os import path", "path.exists(x)", Level.READ),
    "from a part of a part": ("from os.path import join", "join(x, 'a')", Level.PURE),
    "class": ("from pathlib import Path", "Path(x).write_text('a')", Level.WRITE),
    "class as": ("from pathlib import Path as P", "P(x).read_text()", Level.READ),
    "date class": ("from datetime import datetime", "datetime.fromisoformat(x)", Level.PURE),
    "in the function": ("", "import requests\nrequests.get(x)", Level.READ),
    "in the function from": ("", "from requests import post\npost(x)", Level.WRITE),
    "in another function": ("def g():\n    import requests\n", "requests.get(x)", Level.READ),
    "the same in two ways of one module": (
        "try:\n    import json\nexcept ImportError:\n    import json\n",
        "json.loads(x)",
        Level.PURE,
    ),
    "different modules under one name": (
        "try:\n    import orjson as j\nexcept ImportError:\n    import json as j\n",
        "j.loads(x)",
        Level.UNKNOWN,
    ),
    "with a star": ("from json import *", "loads(x)", Level.UNKNOWN),
    "relative": ("from .lib import helper", "helper(x)", Level.UNKNOWN),
    "relative module": ("from . import lib", "lib.helper(x)", Level.UNKNOWN),
    "relative of a known name": ("from .requests import get", "get(x)", Level.UNKNOWN),
    "not imported": ("", "requests.get('https://a.test')", Level.UNKNOWN),
    "function not defined": ("", "helper(x)", Level.UNKNOWN),
    "builtin": ("", "sorted(x)[0]", Level.PURE),
    "builtin replaced in the module": (
        "def sorted(rows):\n    return eval(rows)\n",
        "sorted(x)",
        Level.UNKNOWN,
    ),
    "builtin replaced by a variable": ("sorted = make()\n", "sorted(x)", Level.UNKNOWN),
}


@pytest.mark.parametrize(("before", "body", "level"), IMPORTED.values(), ids=IMPORTED)
def test_names_are_followed_through_every_form_of_import(before: str, body: str, level: Level) -> None:
    assert effect_of(body, before).level is level


HIDDEN = {
    "assigned": "requests = x\nrequests.post(y)",
    "parameter": "def g(requests):\n    requests.post(y)\ng(x)",
    "loop": "for requests in x:\n    requests.post(y)",
    "with": "with x as requests:\n    requests.post(y)",
    "exception": "try:\n    pass\nexcept ValueError as requests:\n    requests.post(y)",
    "walrus": "if (requests := x):\n    requests.post(y)",
    "unpacked": "requests, z = x\nrequests.post(y)",
    "match": "match x:\n    case {'a': requests}:\n        requests.post(y)",
    "inner function": "def requests():\n    pass\nrequests.post(y)",
    "inner class": "class requests:\n    pass\nrequests.post(y)",
}


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN)
def test_a_name_bound_in_the_function_hides_the_imported_one(body: str) -> None:
    assert effect_of(body, "import requests").level is Level.UNKNOWN


CLIENTS = {
    "module variable": ("C = httpx.Client()", "return C.get('https://a.test')", Level.READ, ("C",)),
    "annotated module variable": (
        "C: httpx.Client = httpx.Client()",
        "return C.get('https://a.test')",
        Level.READ,
        ("C",),
    ),
    "module variable bound twice": (
        "C = httpx.Client()\nC = None",
        "return C.get('https://a.test')",
        Level.UNKNOWN,
        (),
    ),
    "module variable bound in a function": (
        "C = httpx.Client()\ndef g():\n    global C\n    C = None",
        "return C.get('https://a.test')",
        Level.UNKNOWN,
        (),
    ),
    "cursor of a module variable": (
        "C = psycopg2.connect('d')",
        "k = C.cursor()\nk.execute('SELECT 1')\nreturn k.fetchall()",
        Level.READ,
        ("C",),
    ),
    "own client": ("", "c = httpx.Client()\nreturn c.get(x)", Level.READ, ()),
    "own client in a with": ("", "with httpx.Client() as c:\n    return c.get(x)", Level.READ, ()),
    "own client by a helper": (
        "def make():\n    return httpx.Client()",
        "c = make()\nreturn c.post(x)",
        Level.WRITE,
        (),
    ),
    "one of two clients": ("", "c = httpx.Client() if y else None\nreturn c.post(x)", Level.UNKNOWN, ()),
    "two clients of a kind": (
        "",
        "c = httpx.Client() if y else httpx.Client(timeout=1)\nreturn c.get(x)",
        Level.READ,
        (),
    ),
    "client rebound": ("", "c = httpx.Client()\nc = x\nreturn c.post(y)", Level.UNKNOWN, ()),
    "client out of a list": ("", "for c in [httpx.Client()]:\n    c.post(x)", Level.UNKNOWN, ()),
}


@pytest.mark.parametrize(("before", "body", "level", "shares"), CLIENTS.values(), ids=CLIENTS)
def test_clients_are_followed_through_variables(
    before: str, body: str, level: Level, shares: tuple[str, ...]
) -> None:
    effect = effect_of(body, f"import httpx, psycopg2\n{before}")
    assert effect.level is level
    assert effect.shares == shares


ANNOTATIONS = {
    "plain": ("c: sqlite3.Connection", Level.READ),
    "as a text": ("c: 'sqlite3.Connection'", Level.READ),
    "optional": ("c: sqlite3.Connection | None", Level.READ),
    "Optional": ("c: Optional[sqlite3.Connection]", Level.READ),
    "Annotated": ("c: Annotated[sqlite3.Connection, 1]", Level.READ),
    "imported name": ("c: Connection", Level.READ),
    "keyword only": ("*, c: sqlite3.Connection", Level.READ),
    "positional only": ("c: sqlite3.Connection, /", Level.READ),
    "either of two": ("c: sqlite3.Connection | psycopg2.extensions.connection", Level.UNKNOWN),
    "not known": ("c: mystery.Connection", Level.UNKNOWN),
    "text that is no type": ("c: 'the connection'", Level.UNKNOWN),
    "none": ("c", Level.UNKNOWN),
}


@pytest.mark.parametrize(("given", "level"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_the_annotation_of_a_parameter_tells_its_type(given: str, level: Level) -> None:
    before = (
        "import sqlite3, psycopg2.extensions, mystery\nfrom sqlite3 import Connection\n"
        "from typing import Annotated, Optional\n"
    )
    assert effect_of("c.execute('SELECT 1')", before, f"def f({given}):").level is level


TEXTS = {
    "constant": ("Q = 'SELECT 1'", "execute(Q)", Level.READ),
    "constant of two lines": ('Q = """\n  INSERT INTO t\n  VALUES (1)"""', "execute(Q)", Level.WRITE),
    "constant bound twice": ("Q = 'SELECT 1'\nQ = 'DELETE FROM t'", "execute(Q)", Level.UNKNOWN),
    "joined": ("Q = 'SELECT 1'", "execute(Q + ' FROM ' + x)", Level.READ),
    "joined at the front": ("Q = 'SELECT 1'", "execute(x + Q)", Level.UNKNOWN),
    "formatted": ("", "execute(f'DELETE FROM {x}')", Level.WRITE),
    "by percent": ("", "execute('DELETE FROM %s' % x)", Level.WRITE),
    "by format": ("", "execute('SELECT * FROM {}'.format(x))", Level.READ),
    "dedented": ("from textwrap import dedent", "execute(dedent('  SELECT 1'))", Level.READ),
    "wrapped": ("from sqlalchemy import text", "execute(text('SELECT 1'))", Level.READ),
    "parameter": ("", "execute(x)", Level.UNKNOWN),
    "looked up": ("Q = {'a': 'SELECT 1'}", "execute(Q['a'])", Level.UNKNOWN),
    "read from a file": ("", "execute(open('q.sql').read())", Level.UNKNOWN),
    "no text": ("", "execute()", Level.UNKNOWN),
    "several statements": ("", "executescript('SELECT 1; DELETE FROM t')", Level.WRITE),
}


@pytest.mark.parametrize(("before", "call", "level"), TEXTS.values(), ids=TEXTS)
def test_the_text_of_a_statement_is_followed_to_where_it_was_written(
    before: str, call: str, level: Level
) -> None:
    assert effect_of(f"sqlite3.connect('d').{call}", f"import sqlite3\n{before}").level is level


MARKS = {
    "behind def": ("def f(x):  # autopilot: pure", "pure"),
    "line before": ("# autopilot: pure\ndef f(x):", "pure"),
    "without spaces": ("def f(x): #autopilot:pure", "pure"),
    "many spaces": ("def f(x):  #   autopilot:    keep", "keep"),
    "with a reason": ("def f(x):  # autopilot: keep, the bank asked for it", "keep"),
    "behind the decorator": ("@task  # autopilot: keep\ndef f(x):", "keep"),
    "before the decorator": ("# autopilot: pure\n@task\ndef f(x):", "pure"),
    "between decorator and def": ("@task\n# autopilot: keep\ndef f(x):", "keep"),
    "in a signature of several lines": ("def f(\n    x,  # autopilot: pure\n):", "pure"),
    "other word": ("def f(x):  # autopilot: fast", ""),
    "word that begins like it": ("def f(x):  # autopilot: purely", ""),
    "two lines before": ("# autopilot: pure\n\ndef f(x):", ""),
    "in a text": ("def f(x='# autopilot: pure'):", ""),
    "capitals": ("def f(x):  # Autopilot: Pure", ""),
}


@pytest.mark.parametrize(("signature", "mark"), MARKS.values(), ids=MARKS)
def test_where_a_mark_stands_and_what_is_none(signature: str, mark: str) -> None:
    effect = effect_of("return x()", "from prefect import task", signature)
    assert effect.marked == mark
    assert effect.level is (Level.READ if mark == "pure" else Level.UNKNOWN)


def test_a_mark_in_the_body_is_not_the_functions() -> None:
    assert effect_of("y = x\n# autopilot: pure\nreturn y()").marked == ""


def test_a_function_marked_pure_still_waits_where_it_waited() -> None:
    before = "import requests"
    post = effect_of("requests.post(x)", before, "def f(x):  # autopilot: pure")
    assert (post.level, post.waits) == (Level.READ, True)
    assert "marked pure" in post.evidence[0]
    file = effect_of("open(x, 'w')", before, "def f(x):  # autopilot: pure")
    assert (file.level, file.waits) == (Level.PURE, False)


def test_a_mark_holds_for_those_who_call_the_function() -> None:
    effect = effect_of("return g(x)", "def g(x):  # autopilot: pure\n    return x()\n")
    assert effect.level is Level.READ


LINES = {
    "unix": ("a\nb\n", ["a\n", "b\n"]),
    "windows": ("a\r\nb", ["a\r\n", "b"]),
    "old mac": ("a\rb", ["a\r", "b"]),
    "mixed": ("a\r\nb\nc\rd", ["a\r\n", "b\n", "c\r", "d"]),
    "form feed": ("a\fb\n", ["a\fb\n"]),
    "vertical tab and separators": ("a\vb\x1cc\u2028d\n", ["a\vb\x1cc\u2028d\n"]),
    "empty lines": ("\n\n", ["\n", "\n"]),
    "empty": ("", []),
}


@pytest.mark.parametrize(("text", "lines"), LINES.values(), ids=LINES)
def test_lines_are_those_that_python_counts(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines
    assert "".join(split_lines(text)) == text


BROKEN = {
    "bracket": ("x = (1", "line 1"),
    "in line 3": ("x = 1\n\ndef f(:\n    pass", "line 3"),
    "indentation": ("def f():\nreturn 1", "line 2"),
    "tabs and spaces": ("if 1:\n\tx = 1\n        y = 2", "line 3"),
    "print of Python 2": ("print 'a'", "line 1"),
    "except of Python 2": ("try:\n    pass\nexcept ValueError, e:\n    pass", "line 3"),
    "number of Python 2": ("x = 0777", "line 1"),
    "text without an end": ("x = 'a", "line 1"),
    "another language": ("SELECT * FROM t", "line 1"),
    "null byte": ("x = 1\x00", "not valid"),
    "nothing but brackets": ("[" * 3000, "not valid"),
}


@pytest.mark.parametrize(("source", "told"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_python_is_refused_with_the_line(source: str, told: str) -> None:
    with pytest.raises(InvalidFlowError, match="not valid Python") as caught:
        function_effects(source)
    assert told in caught.value.message
    assert "correct it" in caught.value.message
    assert caught.value.permanent


@pytest.mark.parametrize("source", ["", "\n", "# nothing\n", '"""Doc."""', "x = 1\n", "class A: pass\n"])
def test_a_file_without_functions_has_no_effects(source: str) -> None:
    assert function_effects(source) == {}


def test_comments_are_found_by_line_and_not_in_texts() -> None:
    module = read_module("x = '# no'  # one\n\n# two\ny = f'{x}#'\n")
    assert module.comments == {1: "# one", 3: "# two"}
    assert module.mark_on(1, 4) == ""


def test_the_kinds_of_functions_are_told_by_their_decorators() -> None:
    source = """
    import prefect, functools
    from prefect import flow as f, task
    from prefect.tasks import task as step

    @task
    def a(): ...

    @step(retries=2)
    def b(): ...

    @prefect.task()
    def c(): ...

    @f(name="x")
    def d(): ...

    @prefect.flow
    async def e(): ...

    def g(): ...

    class K:
        @task
        def m(self): ...

        @staticmethod
        def s(): ...
    """
    kinds = {name: one.kind for name, one in function_effects(textwrap.dedent(source)).items()}
    assert kinds == {
        "a": "task",
        "b": "task",
        "c": "task",
        "d": "flow",
        "e": "flow",
        "g": "function",
        "K.m": "task",
        "K.s": "function",
    }


@pytest.mark.parametrize(
    "decorator",
    ["@retry", "@mystery.wrap", "@mystery.wrap(1)", "@task\n@mystery.wrap", "@WRAP[0]", "@(lambda f: f)"],
)
def test_a_decorator_that_is_not_known_makes_the_function_unknown(decorator: str) -> None:
    before = "import mystery\nfrom prefect import task\nWRAP = []\ndef retry(f): return f\n"
    effect = effect_of("return 1", before, f"{decorator}\ndef f(x):")
    assert effect.level is Level.UNKNOWN
    assert "not known" in effect.evidence[0]


@pytest.mark.parametrize(
    "decorator",
    ["@staticmethod", "@classmethod", "@property", "@functools.wraps(print)", "@typing.overload"],
)
def test_decorators_of_the_language_change_nothing(decorator: str) -> None:
    effect = effect_of("return 1", "import functools, typing\n", f"{decorator}\ndef f(x):")
    assert effect.level is Level.PURE


@pytest.mark.parametrize("hook", ["on_failure", "on_completion", "on_rollback", "on_running"])
def test_a_hook_of_a_task_runs_code_that_is_not_looked_at(hook: str) -> None:
    effect = effect_of("return 1", "from prefect import task\n", f"@task({hook}=[print])\ndef f(x):")
    assert effect.level is Level.UNKNOWN
    assert hook in effect.evidence[0]


def test_functions_in_branches_of_the_module_are_found() -> None:
    source = """
    if True:
        def a(): ...
    else:
        def b(): ...
    try:
        def c(): ...
    finally:
        def d(): ...
    """
    assert set(function_effects(textwrap.dedent(source))) == {"a", "b", "c", "d"}


def test_a_function_defined_in_both_branches_stands_for_nothing() -> None:
    source = "if 1:\n    def a(): ...\nelse:\n    def a(): ...\n"
    assert function_effects(source)["a"].level is Level.UNKNOWN


def test_parameters_are_named_in_order_without_stars() -> None:
    effect = effect_of("return x", "", "def f(a, /, x, *rest, k=1, **more):")
    assert effect.parameters == ("a", "x", "k", "rest", "more")


def test_async_functions_and_generators_are_told() -> None:
    assert effect_of("return x", "", "async def f(x):").is_async
    assert not effect_of("return x").is_async
    assert effect_of("yield x").is_generator
    assert effect_of("yield from x").is_generator
    assert not effect_of("return [i for i in x]").is_generator
