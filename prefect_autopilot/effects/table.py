"""The table of library calls: TOML files beside this module, one entry for names that behave alike."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from prefect_autopilot.effects.values import Level, Touch
from prefect_autopilot.models import JSONDict, Value

Special = Literal[
    "",
    "http_write",
    "http_method",
    "urlopen",
    "sql",
    "sql_second",
    "open",
    "exist_ok",
    "missing_ok",
    "maybe_url",
    "frame_file",
    "frame_sql",
    "inplace",
    "overwrite",
    "service",
    "engine",
]


class Entry(Value):
    """What calling any of ``names`` does; ``special`` names the reading of its arguments that decides."""

    names: tuple[str, ...]
    effect: Level
    resource: str = ""
    waits: bool = False
    idempotent: bool = False
    returns: str = ""
    special: Special = ""
    nondeterministic: bool = False
    paced: bool = False
    mutates: Literal["", "receiver", "first"] = ""
    attribute: bool = False
    """``names`` are no calls: reading the attribute asks outside, as objects do that load themselves late."""

    def told(self, line: int, what: str) -> Touch:
        """Return what a line does that calls one of the names, before its arguments are looked at."""
        return Touch(
            level=self.effect,
            line=line,
            what=what,
            resource=self.resource,
            waits=self.waits,
            idempotent=self.idempotent,
            nondeterministic=self.nondeterministic,
            paced=self.paced,
        )


@cache
def _documents() -> tuple[JSONDict, ...]:
    folder = files("prefect_autopilot.effects").joinpath("table")
    found = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name
    )
    return tuple(tomllib.loads(file.read_text(encoding="utf-8")) for file in found)


@cache
def _entries() -> dict[str, Entry]:
    entries = [Entry(**row) for document in _documents() for row in document["entry"]]
    return {name: entry for entry in entries for name in entry.names}


@cache
def _beginnings() -> dict[str, tuple[tuple[str, Entry], ...]]:
    """Entries for all names of an owner that begin alike (``boto3.client.list_*``), by the owner."""
    found: dict[str, tuple[tuple[str, Entry], ...]] = {}
    for name, entry in _entries().items():
        owner, _, last = name.rpartition(".")
        if last.endswith("*") and last != "*":
            found[owner] = (*found.get(owner, ()), (last.removesuffix("*"), entry))
    return found


@cache
def _types() -> dict[str, str]:
    return {name: kind for document in _documents() for name, kind in document.get("types", {}).items()}


@cache
def _handles() -> frozenset[str]:
    """Types with methods that reach outside: clients, connections, cursors."""
    outside = (name for name, entry in _entries().items() if entry.effect is not Level.PURE)
    owners = {name.rsplit(".", 1)[0] for name in outside}
    made = {entry.returns for entry in _entries().values() if entry.returns}
    by_value = {"pathlib.Path", "pandas.DataFrame", "polars.DataFrame", "numpy.Array"}
    return frozenset(
        (made & owners | {"cloud.Client", "openai.OpenAI", "io.File", "dbapi.Cursor"}) - by_value
    )


def table_version() -> str:
    """Return the newest version of the table's files, by which two readings of one flow can be compared."""
    return max(str(document["version"]) for document in _documents())


def lookup(name: str) -> Entry | None:
    """Return the entry of a name, else that of names that begin alike, else the nearest ``prefix.*``."""
    entries = _entries()
    if name in entries:
        return entries[name]
    owner, _, last = name.rpartition(".")
    for beginning, entry in _beginnings().get(owner, ()):
        if last.startswith(beginning):
            return entry
    while "." in name:
        name = name.rsplit(".", 1)[0]
        if f"{name}.*" in entries:
            return entries[f"{name}.*"]
    return None


def is_handle(type_name: str) -> bool:
    """Tell whether a type is a client, connection or open file: not to be shared by threads."""
    return type_name in _handles()


def type_named(name: str) -> str:
    """Return the type an annotation stands for, empty where the table does not tell."""
    entry = _entries().get(name)
    return _types().get(name) or (entry.returns if entry else "")
