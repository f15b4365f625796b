"""Which product a failing call went to, read from the modules, hosts and words of ``technologies.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from prefect_autopilot.troubleshooting.failure import Failure, Frame, Unit
from prefect_autopilot.troubleshooting.literals import Literals
from prefect_autopilot.troubleshooting.text import searched

LONGEST_READ = 8192
"""Characters of a text in which a product is looked for by its paths and words."""
MOST_UNITS = 12
BY_HOST, BY_MODULE, BY_WORD, BY_FILE = 4, 3, 2, 1
_HOST = re.compile(r"(?:https?://|host=['\"]?|@|server at \"|host \")([\w-]+(?:\.[\w-]+)+)", re.IGNORECASE)
_WRAPPED = re.compile(r"\(([A-Za-z_][\w.]*)\.")
_OURS = frozenset({"prefect", "http api", "git"})
"""What stands in nearly every text, whatever failed."""


@dataclass(frozen=True, slots=True)
class Technology:
    """A product and how texts name it: modules of its client, hosts, words."""

    name: str
    modules: tuple[str, ...]
    hosts: tuple[str, ...]
    words: tuple[tuple[str, re.Pattern[str]], ...]
    """Each with the lower-case literal it begins with, which is looked for first."""
    generic: bool = False
    """True for a vendor or protocol that counts only where no product of it is named."""


@lru_cache(maxsize=1)
def load_technologies() -> tuple[Technology, ...]:
    """Return the known technologies, the more specific first."""
    file = resources.files("prefect_autopilot.troubleshooting") / "technologies.toml"
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(
        Technology(
            name=name,
            modules=tuple(entry.get("modules", ())),
            hosts=tuple(entry.get("hosts", ())),
            words=tuple(
                (_beginning(word), re.compile(rf"\b{word}\b", re.IGNORECASE))
                for word in entry.get("words", ())
            ),
            generic=bool(entry.get("generic", False)),
        )
        for name, entry in document.items()
    )


def _beginning(word: str) -> str:
    """Return the literal that every match of the expression begins with."""
    literal = re.match(r"(?:[\w -](?![?*{]))*", word)
    return literal[0].lower() if literal and "|" not in re.sub(r"\(.*?\)", "", word) else ""


def find_service(failure: Failure) -> str | None:
    """Return the product that the failing call went to, None where the text names none."""
    if failure.call is not None:
        return failure.call.service
    units = [unit for unit in failure.units if unit.role != "info"] or list(failure.units)
    known = load_technologies()
    for unit in units[:MOST_UNITS]:
        found = _strengths(unit)
        if found:
            # Of those named equally well the more specific, which stands first.
            return known[max(found, key=lambda place: (found[place], -place))].name
    return _by_path_or_word(failure.text)


def _strengths(unit: Unit) -> dict[int, int]:
    """Return the places of the technologies that a unit names, and how well it names each."""
    index = _index()
    files = " ".join(frame.file for frame in _called(unit))
    modules = _prefixes(unit.name.split("(", 1)[0])
    for wrapped in _WRAPPED.findall(unit.text):
        modules |= {wrapped} | _prefixes(wrapped)
    hosts = {end for host in _HOST.findall(unit.text) for end in _suffixes(host.lower())}
    found: dict[int, int] = {}
    for strength, places in (
        (BY_FILE, index.in_files(files)),
        (BY_WORD, index.spoken_of(searched(unit.text))),
        (BY_MODULE, _of(index.modules, modules)),
        (BY_HOST, _of(index.hosts, hosts)),
    ):
        found |= dict.fromkeys(places, strength)
    known = load_technologies()
    return {place: 1 if known[place].generic else strength for place, strength in found.items()}


def _by_path_or_word(text: str) -> str | None:
    """Return the first technology whose package or name stands anywhere in the text, never our own host."""
    head = text[:LONGEST_READ]
    paths = " ".join(word for word in re.findall(r"[\w./-]+", head) if "/" in word[1:-1])
    index, known = _index(), load_technologies()
    places = {*index.spoken_of(head), *index.in_files(paths)}
    return next((known[place].name for place in sorted(places) if known[place].name not in _OURS), None)


def _called(unit: Unit) -> tuple[Frame, ...]:
    """Return the frames that the user's code called; those before it are what runs the user's code."""
    last = max((number for number, frame in enumerate(unit.frames) if frame.own), default=-1)
    return unit.frames[last + 1 :]


def _prefixes(dotted: str) -> set[str]:
    """Return the packages that a dotted name lies in: of ``a.b.C`` these are a and a.b."""
    parts = dotted.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def _suffixes(host: str) -> Iterator[str]:
    parts = host.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def _of(index: dict[str, list[int]], keys: Iterable[str]) -> set[int]:
    return {place for key in keys for place in index.get(key, ())}


class _Index:
    """The technologies by what names them: a text costs as much as it holds, not as much as we know."""

    def __init__(self, technologies: tuple[Technology, ...]) -> None:
        self.modules: dict[str, list[int]] = {}
        self.hosts: dict[str, list[int]] = {}
        self._paths: dict[str, list[tuple[str, int]]] = {}
        self._words: dict[str, list[tuple[re.Pattern[str], int]]] = {}
        for place, one in enumerate(technologies):
            for module in one.modules:
                self.modules.setdefault(module, []).append(place)
                path = f"/{module.replace('.', '/')}/"
                self._paths.setdefault(path.split("/")[1], []).append((path, place))
            for host in one.hosts:
                self.hosts.setdefault(host, []).append(place)
            for literal, word in one.words:
                self._words.setdefault(literal, []).append((word, place))
        self._literals = Literals(self._words)

    def spoken_of(self, text: str) -> set[int]:
        """Return the technologies whose words stand in ``text``."""
        return {
            place
            for literal in self._literals.found_in(text.lower())
            for word, place in self._words[literal]
            if word.search(text)
        }

    def in_files(self, files: str) -> set[int]:
        """Return the technologies that have a package among the folders of some paths."""
        return {
            place
            for folder in set(files.split("/")) & self._paths.keys()
            for path, place in self._paths[folder]
            if path in files
        }


@cache
def _index() -> _Index:
    return _Index(load_technologies())
