"""Effects through calls within the file: helpers, cycles, classes, functions as values, arguments changed."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import EffectReader, FunctionEffect, Level, flow_effects, function_effects
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import OperationEffect

HEAD = """
import abc, asyncio, contextlib, dataclasses, enum, functools, itertools
import httpx, mystery, operator, pandas as pd, pydantic, requests
from prefect import flow, task, unmapped
"""


def source_of(before: str, body: str, signature: str = "def f(x, y=None):") -> str:
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"{HEAD}\n{textwrap.dedent(before)}\n{signature}\n{inner}\n"


def effect_of(before: str, body: str, signature: str = "def f(x, y=None):") -> FunctionEffect:
    return function_effects(source_of(before, body, signature))["f"]


POST = "def post(u):\n    return requests.post(u)\n"
CALLED = {
    "helper": (POST, "post(x)", Level.WRITE),
    "helper of a helper": (POST + "def g(u):\n    return post(u)\n", "g(x)", Level.WRITE),
    "in an argument": (POST, "len(post(x))", Level.WRITE),
    "in a keyword": (POST, "dict(a=post(x))", Level.WRITE),
    "in a comprehension": (POST, "[post(u) for u in x]", Level.WRITE),
    "in a condition": (POST, "if post(x):\n    pass", Level.WRITE),
    "in a lambda": (POST, "run = lambda: post(x)\nreturn run", Level.WRITE),
    "in an f-string": (POST, "return f'{post(x)}'", Level.WRITE),
    "in an except": (POST, "try:\n    pass\nexcept ValueError:\n    post(x)", Level.WRITE),
    "in a finally": (POST, "try:\n    pass\nfinally:\n    post(x)", Level.WRITE),
    "in a match": (POST, "match x:\n    case 1:\n        post(x)", Level.WRITE),
    "in an inner function": (POST, "def inner():\n    post(x)\nreturn inner", Level.WRITE),
    "never reached is not known to be": (POST, "return 1\npost(x)", Level.WRITE),
    "defined later": ("", "later(x)", Level.UNKNOWN),
    "only named": (POST, "return post", Level.PURE),
    "named in a list": (POST, "for g in [post]:\n    g(x)", Level.UNKNOWN),
    "named in a dictionary": (POST, "{'a': post}['a'](x)", Level.UNKNOWN),
    "under another name": (POST, "g = post\ng(x)", Level.UNKNOWN),
    "given to map": (POST, "list(map(post, x))", Level.WRITE),
    "given to filter": (POST, "list(filter(post, x))", Level.WRITE),
    "given as a key": (POST, "sorted(x, key=post)", Level.WRITE),
    "given to partial": (POST, "functools.partial(post, x)", Level.WRITE),
    "given to an unknown library": (POST, "mystery.run(post)", Level.UNKNOWN),
    "library function given to map": ("", "list(map(requests.post, x))", Level.WRITE),
    "parameter given to map": ("", "list(map(y, x))", Level.UNKNOWN),
    "parameter given as a key": ("", "sorted(x, key=y)", Level.UNKNOWN),
    "parameter given to a frame": ("", "pd.DataFrame(x).apply(y)", Level.UNKNOWN),
    "method given to map": ("", "list(map(y.send, x))", Level.UNKNOWN),
    "made function given to map": ("", "list(map(mystery.make(), x))", Level.UNKNOWN),
    "getter given as a key": ("", "sorted(x, key=operator.itemgetter(0))", Level.PURE),
    "builtin given to map": ("", "list(map(int, x))", Level.PURE),
    "nothing given to filter": ("", "list(filter(None, x))", Level.PURE),
    "async helper": ("async def g(u):\n    return requests.get(u)\n", "asyncio.run(g(x))", Level.READ),
    "generator": ("def g(u):\n    yield requests.get(u)\n", "list(g(x))", Level.READ),
    "context manager": (
        "@contextlib.contextmanager\ndef g(u):\n    yield requests.put(u)\n",
        "with g(x):\n    pass",
        Level.WRITE,
    ),
    "cached helper": ("@functools.cache\ndef g(u):\n    return requests.get(u)\n", "g(x)", Level.UNKNOWN),
    "helper bound twice": (POST + "def post(u):\n    return u\n", "post(x)", Level.UNKNOWN),
    "task": ("@task\ndef t(u):\n    return requests.post(u)\n", "t(x)", Level.WRITE),
    "task submitted": ("@task\ndef t(u):\n    return requests.get(u)\n", "t.submit(x).result()", Level.READ),
    "task mapped": ("@task\ndef t(u):\n    return requests.get(u)\n", "t.map(x).result()", Level.READ),
    "task delayed": ("@task\ndef t(u):\n    return requests.post(u)\n", "t.delay(x)", Level.WRITE),
    "function of a task": ("@task\ndef t(u):\n    return requests.post(u)\n", "t.fn(x)", Level.WRITE),
    "helper is not submitted": (POST, "post.submit(x)", Level.UNKNOWN),
    "task with options": (
        "@task\ndef t(u):\n    return requests.get(u)\n",
        "t.with_options(name='a')(x)",
        Level.READ,
    ),
    "task with options twice": (
        "@task\ndef t(u):\n    return requests.get(u)\n",
        "t.with_options(name='a').with_options(retries=1)(x)",
        Level.READ,
    ),
    "task with options submitted": (
        "@task\ndef t(u):\n    return requests.post(u)\n",
        "t.with_options(name='a').submit(x)",
        Level.WRITE,
    ),
    "task with a hook": (
        "@task\ndef t(u):\n    return u\n",
        "t.with_options(on_failure=[print])(x)",
        Level.UNKNOWN,
    ),
    "task with unpacked options": (
        "@task\ndef t(u):\n    return u\n",
        "t.with_options(**y)(x)",
        Level.UNKNOWN,
    ),
    "options that call": (
        "@task\ndef t(u):\n    return u\n" + POST,
        "t.with_options(name=post(x))(x)",
        Level.WRITE,
    ),
    "helper has no options": (POST, "post.with_options(name='a')(x)", Level.UNKNOWN),
    "options of a parameter": ("", "x.with_options(name='a')(y)", Level.UNKNOWN),
    "subflow": ("@flow\ndef s(u):\n    return requests.delete(u)\n", "s(x)", Level.WRITE),
    "subflow with options": ("@flow\ndef s(u):\n    return u\n", "s.with_options(name='a')(x)", Level.PURE),
    "task that is a generator": ("@task\ndef t(u):\n    yield u\n", "t(x)", Level.UNKNOWN),
}


@pytest.mark.parametrize(("before", "body", "level"), CALLED.values(), ids=CALLED)
def test_effects_are_followed_through_calls(before: str, body: str, level: Level) -> None:
    assert effect_of(before, body).level is level


CLASSES = {
    "method": ("def go(self, u):\n    return requests.get(u)", "a = A()\na.go(x)", Level.READ),
    "method of a new object": ("def go(self, u):\n    return requests.get(u)", "A().go(x)", Level.READ),
    "static method": ("@staticmethod\ndef go(u):\n    return requests.get(u)", "A.go(x)", Level.READ),
    "class method": ("@classmethod\ndef go(cls, u):\n    return requests.put(u)", "A.go(x)", Level.WRITE),
    "through self": (
        "def go(self, u):\n    return self.inner(u)\ndef inner(self, u):\n    return requests.put(u)",
        "A().go(x)",
        Level.WRITE,
    ),
    "through cls": (
        "@classmethod\ndef go(cls):\n    cls.inner()\n@staticmethod\ndef inner():\n    requests.put('u')",
        "A.go()",
        Level.WRITE,
    ),
    "method that is not there": ("def go(self, u):\n    return u", "A().stop(x)", Level.UNKNOWN),
    "method as a value": (
        "def go(self, u):\n    return requests.put(u)",
        "list(map(A().go, x))",
        Level.WRITE,
    ),
    "class as a value": ("def __init__(self, u):\n    requests.put(u)", "list(map(A, x))", Level.WRITE),
    "constructor": ("def __init__(self, u):\n    self.d = requests.get(u)", "A(x)", Level.READ),
    "__new__": ("def __new__(cls, u):\n    requests.put(u)", "A(x)", Level.WRITE),
    "__post_init__": ("def __post_init__(self):\n    requests.put(self.u)", "A(x)", Level.WRITE),
    "property": ("@property\ndef p(self):\n    return requests.put('u')", "return A().p", Level.WRITE),
    "setter": (
        "@property\ndef p(self):\n    return 1\n@p.setter\ndef p(self, v):\n    requests.put(v)",
        "a = A()\na.p = x",
        Level.WRITE,
    ),
    "property with a harmless setter": (
        "@property\ndef p(self):\n    return self._p\n@p.setter\ndef p(self, v):\n    self._p = v",
        "a = A()\na.p = x\nreturn a.p",
        Level.PURE,
    ),
    "with": (
        "def __enter__(self):\n    return self\ndef __exit__(self, *e):\n    requests.put('u')",
        "with A() as a:\n    pass",
        Level.WRITE,
    ),
    "iteration": ("def __iter__(self):\n    yield requests.get('u')", "return list(A())", Level.READ),
    "text": ("def __str__(self):\n    return requests.get('u').text", "return f'{A()}'", Level.READ),
    "operator": ("def __add__(self, o):\n    return requests.put('u')", "return A() + 1", Level.WRITE),
    "item": ("def __getitem__(self, k):\n    return requests.get(k)", "return A()[x]", Level.READ),
    "missing attribute": (
        "def __getattr__(self, k):\n    return requests.get(k)",
        "return A().b",
        Level.READ,
    ),
    "call of an object": ("def __call__(self):\n    return requests.put('u')", "a = A()\na()", Level.UNKNOWN),
    "nothing of all this": ("n = 1\ndef go(self):\n    return self.n", "return A().go()", Level.PURE),
}


@pytest.mark.parametrize(("members", "body", "level"), CLASSES.values(), ids=CLASSES)
def test_what_objects_of_a_class_of_the_file_do(members: str, body: str, level: Level) -> None:
    before = f"class A:\n{textwrap.indent(members, '    ')}\n"
    assert effect_of(before, body).level is level


BASE = """class Base:
    def __init__(self, u):
        requests.put(u)
    def go(self):
        requests.get('u')
"""
BASES = {
    "inherited constructor": (BASE + "class A(Base):\n    pass\n", "A(x)", Level.WRITE),
    "constructor replaced": (
        BASE + "class A(Base):\n    def __init__(self):\n        pass\n",
        "A()",
        Level.PURE,
    ),
    "constructor extended": (
        BASE + "class A(Base):\n    def __init__(self, u):\n        super().__init__(u)\n",
        "A(x)",
        Level.WRITE,
    ),
    "inherited method": (BASE + "class A(Base):\n    def __init__(self): ...\n", "A().go()", Level.READ),
    "method extended": (
        BASE
        + "class A(Base):\n    def __init__(self): ...\n    def go(self):\n        return super().go()\n",
        "A().go()",
        Level.READ,
    ),
    "two steps": (BASE + "class B(Base): ...\nclass A(B): ...\n", "A(x)", Level.WRITE),
    "unknown base": ("class A(mystery.Base): ...\n", "A(x)", Level.UNKNOWN),
    "base that is not there": ("class A(Other): ...\n", "A(x)", Level.UNKNOWN),
    "unknown base of a base": ("class B(mystery.Base): ...\nclass A(B): ...\n", "A(x)", Level.UNKNOWN),
    "unknown metaclass": ("class A(metaclass=mystery.Meta): ...\n", "A()", Level.UNKNOWN),
    "abstract": ("class A(metaclass=abc.ABCMeta): ...\n", "A()", Level.PURE),
    "unknown decorator": ("@mystery.wrap\nclass A: ...\n", "A()", Level.UNKNOWN),
    "data class": ("@dataclasses.dataclass(frozen=True)\nclass A:\n    u: str\n", "A(x).u", Level.PURE),
    "model": ("class A(pydantic.BaseModel):\n    u: str\n", "A(u=x).model_dump()", Level.PURE),
    "model of a model": (
        "class B(pydantic.BaseModel): ...\nclass A(B):\n    u: str\n",
        "A(u=x).model_dump_json()",
        Level.PURE,
    ),
    "error": ("class A(ValueError): ...\n", "raise A(x)", Level.PURE),
    "enumeration": ("class A(enum.Enum):\n    B = 1\n", "return A(x).value", Level.PURE),
    "own circle": ("class A(A): ...\n", "A()", Level.PURE),
}


@pytest.mark.parametrize(("before", "body", "level"), BASES.values(), ids=BASES)
def test_what_comes_from_base_classes(before: str, body: str, level: Level) -> None:
    assert effect_of(before, body).level is level


def test_a_property_of_an_object_of_the_module_is_followed() -> None:
    before = "class A:\n    @property\n    def p(self):\n        return requests.get('u')\nONE = A()\n"
    assert effect_of(before, "return ONE.p").level is Level.READ
    assert effect_of(before, "return y.p").level is Level.PURE


CYCLES = {
    "itself": ("", "requests.get('u')\nreturn f(x - 1)", Level.READ),
    "two": ("def g(n):\n    requests.put('u')\n    return f(n)\n", "return g(x)", Level.WRITE),
    "three": (
        "def a(n):\n    b(n)\ndef b(n):\n    c(n)\ndef c(n):\n    requests.put('u')\n    a(n)\n",
        "return a(x)",
        Level.WRITE,
    ),
    "unknown in the circle": ("def g(n):\n    mystery.go()\n    return f(n)\n", "return g(x)", Level.UNKNOWN),
    "through map": ("", "return list(map(f, x)) or requests.get('u')", Level.READ),
    "without effects": ("def g(n):\n    return f(n)\n", "return g(x)", Level.PURE),
}


@pytest.mark.parametrize(("before", "body", "level"), CYCLES.values(), ids=CYCLES)
def test_circles_end_with_the_effects_of_all_in_them(before: str, body: str, level: Level) -> None:
    effects = function_effects(source_of(before, body))
    assert {one.level for one in effects.values()} == {level}


def test_every_function_of_a_circle_is_right_whoever_is_asked_first() -> None:
    source = source_of(
        "def a(n):\n    return b(n)\ndef b(n):\n    requests.get('u')\n    return c(n)\n"
        "def c(n):\n    requests.put('u')\n    return a(n)\n",
        "return 1",
    )
    for first in "abc":
        reader = EffectReader.of(source)
        assert reader.effect(reader.module.functions[first]).level is Level.WRITE
        for name in "abc":
            assert reader.effect(reader.module.functions[name]).level is Level.WRITE


def test_a_long_chain_of_calls_is_followed() -> None:
    links = "".join(f"def g{n}(x):\n    return g{n + 1}(x)\n\n" for n in range(60))
    effect = effect_of(f"{links}def g60(x):\n    return requests.put(x)\n", "return g0(x)")
    assert effect.level is Level.WRITE


CHANGES = {
    "append": ("x.append(1)", ("x",)),
    "item": ("x['a'] = 1", ("x",)),
    "item of an item": ("x['a']['b'] = 1", ("x",)),
    "attribute": ("x.a = 1", ("x",)),
    "added to": ("x += [1]", ("x",)),
    "deleted": ("del x['a']", ("x",)),
    "sorted": ("x.sort()", ("x",)),
    "setattr": ("setattr(x, 'a', 1)", ("x",)),
    "next": ("next(x)", ("x",)),
    "part": ("part = x['rows']\npart.append(1)", ("x",)),
    "part by get": ("part = x.get('rows')\npart.append(1)", ("x",)),
    "element": ("for r in x:\n    r['a'] = 1", ("x",)),
    "element of a value": ("for r in x.values():\n    r.append(1)", ("x",)),
    "element with its number": ("for i, r in enumerate(x):\n    r.append(i)", ("x",)),
    "elements of two": ("for a, b in zip(x, y):\n    a.append(b)", ("x", "y")),
    "in a comprehension": ("[r.append(1) for r in x]", ("x",)),
    "either": ("z = x if y else []\nz.append(1)", ("x",)),
    "first that is there": ("z = x or y\nz.append(1)", ("x", "y")),
    "unpacked": ("a, *b = x\nb.append(1)", ("x",)),
    "unpacked in order": ("a, b = x, y\nb.append(1)", ("y",)),
    "walrus": ("if (z := x):\n    z.append(1)", ("x",)),
    "several targets": ("x.a = y.b = 1", ("x", "y")),
    "copy": ("z = x.copy()\nz.append(1)", ()),
    "list of it": ("z = list(x)\nz.append(1)", ()),
    "dict of it": ("z = dict(x)\nz['a'] = 1", ()),
    "comprehension": ("z = [r for r in x]\nz.append(1)", ()),
    "sum": ("z = x + [1]\nz.append(1)", ()),
    "text": ("z = str(x)\nz += 'a'", ()),
    "own object": ("z = []\nz.append(x)", ()),
    "a frame's column": ("z = pd.DataFrame(x)\nz['a'] = 1", ()),
    "only read": ("return x['a'], x.get('b'), sorted(x)", ()),
}


@pytest.mark.parametrize(("body", "changed"), CHANGES.values(), ids=CHANGES)
def test_arguments_that_are_changed_in_place_are_named(body: str, changed: tuple[str, ...]) -> None:
    effect = effect_of("", body)
    assert set(changed) == set(effect.mutates)
    assert effect.level is Level.PURE


PASSED = {
    "by position": ("def g(a, b):\n    b.append(a)\n", "g(x, y)", ("y",)),
    "by name": ("def g(a, b):\n    b.append(a)\n", "g(b=x, a=y)", ("x",)),
    "part": ("def g(rows):\n    rows.append(1)\n", "g(x['rows'])", ("x",)),
    "new object": ("def g(rows):\n    rows.append(1)\n", "g([])", ()),
    "copy": ("def g(rows):\n    rows.append(1)\n", "g(list(x))", ()),
    "own variable": ("def g(rows):\n    rows.append(1)\n", "z = []\ng(z)\nreturn z", ()),
    "two steps": ("def g(r):\n    h(r)\ndef h(q):\n    q.append(1)\n", "g(x)", ("x",)),
    "method": ("class A:\n    def go(self, rows):\n        rows.append(1)\n", "A().go(x)", ("x",)),
    "constructor": ("class A:\n    def __init__(self, rows):\n        rows.append(1)\n", "A(x)", ("x",)),
    "own object of a method": ("class A:\n    def go(self):\n        self.n = 1\n", "A().go()", ()),
    "task": ("@task\ndef t(rows):\n    rows.append(1)\n", "t(x)", ("x",)),
    "submitted task": ("@task\ndef t(rows):\n    rows.append(1)\n", "t.submit(x)", ("x",)),
    "task with options": ("@task\ndef t(rows):\n    rows.append(1)\n", "t.with_options(name='a')(x)", ("x",)),
}


@pytest.mark.parametrize(("before", "body", "changed"), PASSED.values(), ids=PASSED)
def test_changes_are_followed_to_the_object_that_was_passed(
    before: str, body: str, changed: tuple[str, ...]
) -> None:
    assert effect_of(before, body).mutates == changed


MEMORY = {
    "append": ("SEEN.append(x)", "SEEN"),
    "item": ("SEEN[0] = x", "SEEN"),
    "rebound": ("global SEEN\nSEEN = [x]", "SEEN"),
    "counted": ("global N\nN += 1", "N"),
    "deleted": ("global N\ndel N", "N"),
    "through a variable": ("rows = SEEN\nrows.append(x)", "SEEN"),
    "through a helper": ("remember(x)", "SEEN"),
    "by a constructor": ("Box(x)", "SEEN"),
    "attribute of a function": ("f.calls = 1", "f"),
    "attribute of a module": ("requests.timeout = 1", "requests"),
}


@pytest.mark.parametrize(("body", "name"), MEMORY.values(), ids=MEMORY)
def test_a_change_of_a_module_variable_is_a_write_to_memory(body: str, name: str) -> None:
    before = (
        "SEEN, N = [], 0\nSEEN = SEEN\ndef remember(v):\n    SEEN.append(v)\n"
        "class Box:\n    def __init__(self, v):\n        SEEN.append(v)\n"
    )
    effect = effect_of(before, body)
    assert effect.level is Level.WRITE
    assert f"memory:{name}" in effect.resources
    assert all(touch.idempotent for touch in effect.touches)  # it is gone with the process


OPERATIONS = {
    ("gmail", "list"): OperationEffect.SAFE,
    ("slack", "post"): OperationEffect.UNSAFE,
    ("google_sheets", "put_row"): OperationEffect.IDEMPOTENT,
    ("google", "put_row"): OperationEffect.UNSAFE,
}
SERVICE_CALLS = {
    "plain": ("call_service('gmail-default', 'list', q=x)", "read"),
    "service alone": ("call_service('gmail', 'list', q=x)", "read"),
    "with options": ("call_service.with_options(name='Read mail')('gmail-a', 'list', q=x)", "read"),
    "with options on lines": (
        "call_service.with_options(name='Read mail')(\n    'gmail-a',\n    'list',\n    **{'a b': x},\n)",
        "read",
    ),
    "with options twice": (
        "call_service.with_options(name='a').with_options(retries=2)('gmail-a', 'list')",
        "read",
    ),
    "unsafe": ("call_service.with_options(name='a')('slack-team', 'post', text=x)", "unsafe"),
    "idempotent": ("call_service.with_options(name='a')('google-sheets-a', 'put_row')", "idempotent"),
    "underscore of the catalogue": ("call_service('google_sheets-a', 'put_row')", "idempotent"),
    "submitted": ("call_service.submit('gmail-a', 'list')", "read"),
    "submitted with options": ("call_service.with_options(name='a').submit('slack', 'post')", "unsafe"),
    "mapped": ("call_service.map(unmapped('slack-a'), unmapped('post'), text=[1, 2])", "unsafe"),
    "under another name": ("call('slack-a', 'post')", "unsafe"),
    "through the package": ("tasks.call_service.with_options(name='a')('slack-a', 'post')", "unsafe"),
    "formatted connection": ("call_service(f'gmail-{x}', 'list')", "read"),
    "connection in a variable": ("c = 'gmail-a'\ncall_service(c, 'list')", "read"),
    "connection in a constant": ("call_service(MAIL, 'list')", "read"),
    "connection of a parameter": ("call_service(x, 'list')", "unknown"),
    "operation of a parameter": ("call_service('gmail-a', x)", "unknown"),
    "operation that is not there": ("call_service('gmail-a', 'purge')", "unknown"),
    "service that is not there": ("call_service('hotmail-a', 'list')", "unknown"),
    "name that begins like a service": ("call_service('gmailer-a', 'list')", "unknown"),
    "operation of another service": ("call_service('gmail-a', 'post')", "unknown"),
    "parameters called like the names": (
        "call_service(x, 'gmail', connection='gmail-a', operation='list')",
        "unknown",
    ),
    "unpacked": ("call_service(*x)", "unknown"),
    "unpacked behind": ("call_service('gmail-a', *x)", "unknown"),
    "nothing": ("call_service()", "unknown"),
    "hook": ("call_service.with_options(on_failure=[print])('gmail-a', 'list')", "unknown"),
    "unpacked options": ("call_service.with_options(**x)('gmail-a', 'list')", "unknown"),
    "only its options": ("return call_service.with_options(name='a')", "pure"),
    "kept under a name": ("post = call_service.with_options(name='a')\npost('slack-a', 'post')", "unknown"),
    "function of that name elsewhere": ("mystery.call_service('gmail-a', 'list')", "unknown"),
}


@pytest.mark.parametrize(("body", "expected"), SERVICE_CALLS.values(), ids=SERVICE_CALLS)
def test_a_service_call_has_the_effect_of_its_operation(body: str, expected: str) -> None:
    before = (
        "from prefect_autopilot import tasks\nfrom prefect_autopilot.tasks import call_service\n"
        "from prefect_autopilot.tasks import call_service as call\nMAIL = 'gmail-a'\n"
    )
    effect = function_effects(source_of(before, body), OPERATIONS)["f"]
    level = {"unsafe": "write", "idempotent": "write"}.get(expected, expected)
    assert effect.level == level, effect.evidence
    if level == "write":
        assert [touch.idempotent for touch in effect.touches if touch.level == "write"] == [
            expected == "idempotent"
        ]


def test_the_evidence_of_a_service_call_names_service_operation_and_effect() -> None:
    source = source_of(
        "from prefect_autopilot.tasks import call_service",
        "call_service.with_options(name='Tell')('slack-a', 'post')",
        "@flow\ndef f(x):",
    )
    (call,) = flow_effects(source, "f", OPERATIONS)
    assert call.function == "call_service"
    assert call.effect.resources == ("service:slack",)
    assert "slack.post" in call.effect.evidence[0]
    assert "unsafe" in call.effect.evidence[0]


def test_the_calls_of_a_flow_are_told_in_order_with_how_they_start() -> None:
    before = "@task\ndef t(u):\n    return requests.get(u)\n" + POST
    body = """
    a = t(x)
    b = t.submit(a)
    c = t.map([a])
    d = t.with_options(name="d")(x)
    e = t.with_options(name="e").submit(x)
    g = t(t(x))
    post(x)
    len(x)
    requests.put(x)
    """
    calls = flow_effects(source_of(before, body, "@flow\ndef f(x):"), "f")
    assert [(one.function, one.how) for one in calls] == [
        ("t", "call"),
        ("t", "submit"),
        ("t", "map"),
        ("t", "call"),
        ("t", "submit"),
        ("t", "call"),
        ("t", "call"),
        ("post", "call"),
        ("requests.put", "call"),
    ]
    assert [one.line for one in calls] == sorted(one.line for one in calls)


@pytest.mark.parametrize("name", ["", "g", "A.go", "F"])
def test_a_flow_that_is_not_in_the_file_is_an_error_that_names_the_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        flow_effects(source_of("", "return 1"), name)
    assert caught.value.kind == "function of this file"
