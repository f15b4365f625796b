"""Functions of other modules of the same project: followed where sure, unknown where not."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import EffectReader, FunctionEffect, Level, Project

HTTP = """
import requests
SESSION = requests.Session()
LOG = []
def get(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()
def post(k):
    return requests.post("https://x.example", json=k, timeout=3)
def shared(k):
    return SESSION.get(f"https://x.example/{k}", timeout=3).json()
def note(k):
    LOG.append(k)
def grow(items):
    items.append(1)
def pure(k):
    return k + 1
def client():
    return requests.Session()
def strange():
    return mystery()
def thing(k):
    return k.part
"""
SOURCES = {
    "acme": "from .http import get as fetch\nfrom .http import *\n",
    "acme.http": HTTP,
    "acme.deep": "from . import http\ndef load(k):\n    return http.get(k)\ndef send(k):\n    http.post(k)\n",
    "acme.ring": "from acme.other import b\ndef a(n):\n    return b(n)\n",
    "acme.other": "from acme.ring import a\nimport requests\ndef b(n):\n    requests.post('u')\n    a(n)\n",
    "acme.broken": "def f(:\n",
    "acme.twice": "from acme.http import get\ndef get(k):\n    return k\n",
    "requests_toolbelt": "def helper():\n    return 1\n",
}
PACKAGES = frozenset({"acme"})


def effect_of(
    imports: str, body: str, place: str = "flows", extra: dict[str, str] | None = None
) -> FunctionEffect:
    project = Project(SOURCES | (extra or {}), PACKAGES)
    source = f"{imports}\ndef f(x, y=None):\n{textwrap.indent(body, '    ')}\n"
    reader = EffectReader.of(source, None, project, place)
    return reader.effect(reader.module.functions["f"])


LEVELS = {
    "pure": ("from acme.http import pure", "return pure(x)", Level.PURE),
    "read": ("from acme.http import get", "return get(x)", Level.READ),
    "read under another name": ("from acme.http import get as g", "return g(x)", Level.READ),
    "write": ("from acme.http import post", "post(x)", Level.WRITE),
    "module by name": ("import acme.http", "return acme.http.get(x)", Level.READ),
    "module under another name": ("import acme.http as h", "h.post(x)", Level.WRITE),
    "module from its package": ("from acme import http", "return http.get(x)", Level.READ),
    "re-exported by the package": ("from acme import fetch", "return fetch(x)", Level.READ),
    "through two modules": ("from acme.deep import load", "return load(x)", Level.READ),
    "write through two modules": ("from acme.deep import send", "send(x)", Level.WRITE),
    "star re-export is not known": ("from acme import post", "post(x)", Level.UNKNOWN),
    "function that is not there": ("from acme.http import nowhere", "nowhere(x)", Level.UNKNOWN),
    "module that cannot be read": ("from acme.broken import f as g", "g(x)", Level.UNKNOWN),
    "name with two meanings": ("from acme.twice import get", "get(x)", Level.UNKNOWN),
    "changes its module": ("from acme.http import note", "note(x)", Level.WRITE),
    "unknown inside": ("from acme.http import strange", "strange()", Level.UNKNOWN),
    "passed as a function": ("from acme.http import post", "list(map(post, x))", Level.WRITE),
    "client it makes": ("from acme.http import client", "return client().get('https://a.b')", Level.READ),
    "client it makes posts": ("from acme.http import client", "client().post('u')", Level.WRITE),
    "method of what nobody knows": ("from acme.http import thing", "thing(x).get('k')", Level.UNKNOWN),
    "another project": ("from other.http import get", "return get(x)", Level.UNKNOWN),
    "a parameter of that name": ("from acme.http import get as y", "return y(x)", Level.UNKNOWN),
}  # fmt: skip


@pytest.mark.parametrize(("imports", "body", "level"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_call_into_another_module(imports: str, body: str, level: Level) -> None:
    assert effect_of(imports, body).level is level


def test_a_relative_import_is_seen_from_the_file_s_own_place() -> None:
    assert effect_of("from .http import get", "return get(x)", "acme.flows").level is Level.READ
    assert effect_of("from ..http import get", "return get(x)", "acme.sub.flows").level is Level.READ
    assert effect_of("from ...http import get", "return get(x)", "acme.flows").level is Level.UNKNOWN


def test_the_evidence_names_the_other_module() -> None:
    told = effect_of("from acme.http import post", "post(x)").evidence
    assert told == ("line 8: requests.post in acme.http",)


def test_a_client_of_another_module_counts_as_shared() -> None:
    assert effect_of("from acme.http import shared", "return shared(x)").shares == ("acme.http.SESSION",)


def test_a_change_of_what_is_passed_is_seen_in_the_caller() -> None:
    assert effect_of("from acme.http import grow", "grow(x)").mutates == ("x",)
    assert effect_of("from acme.http import grow", "z = []\ngrow(z)").mutates == ()


def test_functions_that_call_one_another_over_modules_end_and_keep_their_writes() -> None:
    project = Project(SOURCES, PACKAGES)
    for first, second in (("acme.ring", "acme.other"), ("acme.other", "acme.ring")):
        for name in (first, second):
            reader = project.reader(name)
            assert reader is not None
            function = reader.module.functions["a" if name == "acme.ring" else "b"]
            assert reader.effect(function).level is Level.WRITE


def test_a_module_of_the_project_hides_the_library_of_its_name() -> None:
    own = {"requests": "def get(url, **_):\n    return open('x', 'w')\n"}
    assert effect_of("import requests", "return requests.get(x)", extra=own).level is Level.WRITE
    assert effect_of("import requests", "return requests.head(x)", extra=own).level is Level.UNKNOWN


def test_without_a_project_an_imported_function_stays_unknown() -> None:
    reader = EffectReader.of("from acme.http import get\ndef f(x):\n    return get(x)\n")
    assert reader.effect(reader.module.functions["f"]).level is Level.UNKNOWN
