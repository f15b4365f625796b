"""Do the installed versions work together, and if not, how is it mended."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from prefect_autopilot.errors import ConfigurationError

DISTRIBUTION = "prefect-autopilot"

DECISIVE = frozenset({"prefect", "fastapi"})
"""Distributions whose versions decide whether a server starts and answers rightly."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``advice`` says what to do unless it is ok."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class KnownBreakage:
    """Versions of a distribution with which something was seen to fail."""

    distribution: str
    versions: SpecifierSet
    symptom: str


KNOWN_BREAKAGES = (
    KnownBreakage(
        "fastapi",
        SpecifierSet(">=0.155", prereleases=True),
        "the Prefect server does not start with it (TypeError: unexpected keyword argument 'min_items')",
    ),
    KnownBreakage(
        "fastapi",
        SpecifierSet(">=0.151,<0.155", prereleases=True),
        "the Prefect server answers 422 to null fields with it, so Prefect's own client fails",
    ),
)


def requirements() -> tuple[Requirement, ...]:
    """Return what this package requires at run time, as its own metadata says."""
    read = (Requirement(line) for line in metadata.requires(DISTRIBUTION) or ())
    return tuple(one for one in read if one.marker is None or one.marker.evaluate({"extra": ""}))


def installed(names: Iterable[str]) -> dict[str, str | None]:
    """Return the installed version of each distribution, None where it is missing."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def check_installation() -> tuple[Check, ...]:
    """Check this Python and every run-time requirement as they are installed here."""
    wanted = requirements()
    python = ".".join(str(part) for part in sys.version_info[:3])
    needed = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    versions = installed(requirement.name for requirement in wanted)
    return (check_python(python, needed), *check_versions(wanted, versions))


def require_compatible() -> None:
    """Raise ConfigurationError, saying what mends it, where Prefect or FastAPI as installed cannot work."""
    wanted = [one for one in requirements() if one.name in DECISIVE]
    for check in check_versions(wanted, installed(one.name for one in wanted)):
        if check.status == "fail":
            raise ConfigurationError(f"{check.name} {check.detail}. {check.advice}")


def check_python(version: str, needed: str) -> Check:
    """Judge the version of the interpreter."""
    if Version(version) in SpecifierSet(needed):
        return Check("Python", "ok", version)
    return Check(
        "Python", "fail", f"{version}, needed is {needed}", f"Install Python {needed} and start again."
    )


def check_versions(wanted: Iterable[Requirement], versions: Mapping[str, str | None]) -> tuple[Check, ...]:
    """Judge every requirement; those that are met and unremarkable share one line."""
    checks = [_judge(one, versions.get(one.name)) for one in wanted]
    shown = [check for check in checks if check.status != "ok" or check.name in DECISIVE]
    unremarkable = len(checks) - len(shown)
    return (*shown, Check("other requirements", "ok", f"{unremarkable} met"))


def _judge(requirement: Requirement, version: str | None) -> Check:
    name = requirement.name
    allowed = str(requirement.specifier) or "any version"
    mend = f'Run: {sys.executable} -m pip install "{name}{requirement.specifier}"'
    if version is None:
        return Check(name, "fail", f"not installed, needed is {allowed}", mend)
    try:
        parsed = Version(version)
    except InvalidVersion:
        return Check(name, "warn", f"{version} is no version that can be compared with {allowed}", mend)
    for breakage in KNOWN_BREAKAGES:
        if breakage.distribution == name and parsed in breakage.versions:
            return Check(name, "fail", f"{version}: {breakage.symptom}", mend)
    if not requirement.specifier.contains(parsed, prereleases=True):
        return Check(name, "fail", f"{version}, tested is {allowed}", mend)
    return Check(name, "ok", f"{version} ({allowed})")
