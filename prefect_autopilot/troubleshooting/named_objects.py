"""The things that a failure is about, by name: what its text, its run and its source tell of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import PurePath

from prefect_autopilot.models import Diagnosis, Evidence, IssueCategory, PrefectObject
from prefect_autopilot.troubleshooting.source_facts import environment_read, names_read

MOST_BLOCKS = 3
LONGEST_NAME = 160
OF_CREDENTIALS = frozenset({"refresh_credentials", "grant_permission"})
"""Remedies for which the question is which credential the run used."""
_KEY = re.compile(r"KeyError: ['\"]([^'\"\[\]]+)['\"]")
_LINE_OF_CODE = re.compile(r"\.(?:cc?|cpp|h|pyx?|java|scala|kt|[jt]s|go|rb|rs|cs|php)(?::|$)")
_URL = re.compile(r"\b[a-z][a-z0-9+]{1,14}://[^\s'\"<>)\]}]*[\w/]", re.IGNORECASE)
_ADDRESS = (
    re.compile(r"\(['\"]([\w.:-]+)['\"], (\d{1,5})\)"),
    re.compile(r"host=['\"]?([\w.-]+)['\"]?,? *port=['\"]?(\d{1,5})"),
    re.compile(
        r"(?:host|server at|connect to|address) ['\"]?([\w.-]+)['\"]?(?: \([^)\n]*\))?,? "
        r"(?:and |on |at )?port:? ['\"]?(\d{1,5})"
    ),
    re.compile(
        r"(?<![\w/.\"-])(\[[0-9a-f:]+\]|\d{1,3}(?:\.\d{1,3}){3}|localhost|[\w-]+(?:\.[a-z][\w-]*)+)"
        r"[:/](\d{2,5})\b"
    ),
)
_HOST = re.compile(
    r"(?:[Ff]ailed to resolve|host name|[Uu]nknown host:?|resolve host:?|ENOTFOUND|EAI_AGAIN|lookup"
    r"|not valid for|[Cc]onnect to|hostname) ['\"]?([\w-]+(?:\.[\w-]+)+|localhost)"
)
_FILE = re.compile(
    r"['\"`]((?:/|~/|[A-Za-z]:\\)[^'\"`\n]+)['\"`]"
    r"|(?<![\w:/.'\"-])((?:/[\w.=@+-]+){2,}(?:\.[A-Za-z]\w*)?)"
    r"|(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.(?:csv|tsv|jsonl?|parquet|xlsx?|ya?ml|toml|avro|orc|xml|zip|gz|txt|sqlite|db|pem|sql))\b"
)
_FRAME = re.compile(r'File "[^"\n]*", line \d+[^\n]*|\bat [^\n]*\([\w.]+:\d+\)')
_CODE_FILE = re.compile(r"\.(?:py|java|scala|js|ts|go|rb|rs|cs|so(?:\.\d+)*)$|/site-packages/|/lib/python")
_SHELL = "/bin/"
POOL, LIMIT = "work pool ", "concurrency limit "
"""How places begin that tell of a pool or a limit."""
OF_THE_POOL = frozenset(
    {"increase_memory", "install_dependency", "restart_worker", "rerun_on_other_infrastructure"}
)
"""Remedies that are made in the work pool."""
REACHED = frozenset(IssueCategory) - {IssueCategory.LOGIC, IssueCategory.DATA, IssueCategory.RESOURCE}
"""Kinds of failure in which an address is what is to be looked at."""


@lru_cache(maxsize=1)
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return what an object is and how texts write it, as ``named_objects.toml`` lists them."""
    file = resources.files("prefect_autopilot.troubleshooting") / "named_objects.toml"
    listed = tomllib.loads(file.read_text(encoding="utf-8"))["object"]
    return tuple((one["what"], re.compile(one["form"])) for one in listed)


@dataclass(frozen=True, slots=True)
class Named:
    """One object: what it is, its name, and where that was told ("" is the failure itself)."""

    what: str
    name: str
    where: str = ""

    def __str__(self) -> str:
        """Return the name as it stands in a sentence."""
        return f"{self.name}{f', {self.where}' if self.where else ''}"


def named_objects(diagnosis: Diagnosis, evidence: Evidence | None = None) -> tuple[Named, ...]:
    """Return what a failure names, the most telling first: nothing is guessed, and no object twice."""
    found = [*_credentials(diagnosis, evidence)]
    text = "\n".join(line.text for line in diagnosis.evidence[:1])
    found += _of_key(diagnosis, text)
    text = _FRAME.sub("", text)
    for what, form in _forms():
        for match in form.finditer(text):
            found.append(Named(what, next(filter(None, match.groups()))[:LONGEST_NAME].strip()))
    found += _places(diagnosis, text)
    for line in diagnosis.evidence[1:]:
        if ".py:" in line.where:
            found.append(Named("line", line.where))
    seen: dict[str, Named] = {}
    for one in found:
        seen.setdefault(one.name, one)
    return tuple(seen.values())


def _credentials(diagnosis: Diagnosis, evidence: Evidence | None) -> Iterator[Named]:
    """Yield the block whose credential was refused: as the call, the run's events or its source tell it."""
    if diagnosis.connection:
        yield Named("block", diagnosis.connection)
        return
    if evidence is None or not (
        diagnosis.remedy in OF_CREDENTIALS or diagnosis.category is IssueCategory.PERMISSIONS
    ):
        return
    if evidence.run.blocks:
        loaded = evidence.run.blocks[:MOST_BLOCKS]
        yield from (Named("block", name, "which the run loaded") for name in loaded)
        return
    source = evidence.source
    if source is None:
        return
    file, function = PurePath(source.path).name, source.entrypoint.rpartition(":")[2]
    for kind, name in sorted(names_read(source.text, function))[:MOST_BLOCKS]:
        what = "block" if kind == "block" else "Prefect variable"
        yield Named(what, name, f"which {file} reads")
    for name in sorted(environment_read(source.text, function))[:MOST_BLOCKS]:
        yield Named("variable", name, f"which {file} reads")


def _of_key(diagnosis: Diagnosis, text: str) -> Iterator[Named]:
    key = _KEY.search(text)
    if key is not None:
        environment = "environ" in "".join(line.text for line in diagnosis.evidence) or key[1].isupper()
        configured = environment and diagnosis.category is IssueCategory.CONFIGURATION
        yield Named("variable" if configured else "key", key[1])


def _places(diagnosis: Diagnosis, text: str) -> Iterator[Named]:
    """Yield the addresses and files of a text, of each kind only where failures of that kind are about it."""
    urls = [url[0] for url in _URL.finditer(text) if "developer.mozilla.org" not in url[0]]
    if diagnosis.category in REACHED:
        yield from (Named("address", url) for url in urls)
        rest = _URL.sub(" ", text)
        for form in _ADDRESS:
            found = (f"{match[1]}:{match[2]}" for match in form.finditer(rest))
            yield from (Named("address", one) for one in found if not _LINE_OF_CODE.search(one))
        yield from (Named("host", match[1]) for match in _HOST.finditer(rest))
    else:
        yield from (Named("file", url) for url in urls if not url.startswith("http"))
    if diagnosis.category is not IssueCategory.CONNECTIVITY:
        for match in _FILE.finditer(_URL.sub(" ", text)):
            name = next(filter(None, match.groups()))
            if not _CODE_FILE.search(name) and _SHELL not in name:
                yield Named("file", name[:LONGEST_NAME])


def prefect_objects(diagnosis: Diagnosis, evidence: Evidence) -> tuple[PrefectObject, ...]:
    """Return what of the Prefect server a failure is about, so that a person is led to it and no list."""
    run, places = evidence.run, [line.where for line in evidence.surroundings]
    found = list(evidence.objects)
    asked = any(place.startswith(POOL) for place in places)
    if run.work_pool and (asked or diagnosis.remedy in OF_THE_POOL):
        found.append(PrefectObject(kind="work pool", name=run.work_pool))
    limits = (place.removeprefix(LIMIT) for place in places if place.startswith(LIMIT))
    found += [PrefectObject(kind="concurrency limit", name=name) for name in limits]
    known = {one.name for one in found}
    found += [
        PrefectObject(kind="variable", name=one.name)
        for one in named_objects(diagnosis, evidence)
        if one.what == "Prefect variable" and one.name not in known
    ]
    return tuple(found)
