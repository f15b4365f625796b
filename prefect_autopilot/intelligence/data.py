"""The packaged knowledge of this room, read once."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib.resources import files

from prefect_autopilot.models import JSONDict


@cache
def table(name: str) -> JSONDict:
    """Return the packaged table of this name (``verbs`` is ``verbs.toml``)."""
    return tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


@cache
def english() -> frozenset[str]:
    """Return common English words of 3 to 14 letters (SCOWL, size 35)."""
    packaged = json.loads(files(__package__).joinpath("english.json").read_text(encoding="utf-8"))
    return frozenset(packaged["words"].split())


@cache
def words(name: str, key: str) -> frozenset[str]:
    """Return a word list of a packaged table, or of one table in it ("triggers.things"), as a set."""
    file, _, inner = name.partition(".")
    return frozenset((table(file)[inner] if inner else table(file))[key])
