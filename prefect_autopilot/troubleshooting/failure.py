"""What a failure text says, as values: frames, units, the facts of our own errors, and the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["raised", "error", "plain", "warning", "info"]

_LIBRARY = re.compile(
    # Compiled extensions keep the paths of their sources: pandas/_libs/parsers.pyx.
    r"\.(?:pyx|pxi|pxd)$|^(?:asyncio|concurrent|http|urllib|json|encodings|multiprocessing|ssl\.py|socket\.py)\b"
    r"|site-packages|dist-packages|/lib/python\d|/usr/lib/|<frozen|importlib|\bconda\b|/opt/venv/lib"
    r"|/prefect_autopilot/"
)
CAUSED = 1000
"""From this depth on units are causes as the JVM tells them, not members of a group."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback; ``own`` is False for the standard library and installed packages."""

    file: str
    line: int
    function: str
    code: str = ""

    @property
    def own(self) -> bool:
        """Tell whether the file looks like the user's own code."""
        return not _LIBRARY.search(self.file)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the text that says one thing: a raised exception with its message, or one line."""

    role: Role
    text: str
    where: str
    name: str = ""
    frames: tuple[Frame, ...] = ()
    linked: bool = False
    depth: int = 0
    codes: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    """Conditions that the text names without raising them, written as class names."""
    tells: bool = True
    """It speaks of trouble, and of more than that there is some."""

    @property
    def short_name(self) -> str:
        """The class name without its module; of ``Wrapper(Inner)`` the inner one."""
        inner = self.name[self.name.find("(") + 1 : -1] if self.name.endswith(")") else self.name
        return inner.rpartition(".")[2]

    @property
    def own_frame(self) -> Frame | None:
        """The innermost frame of the user's own code."""
        return next((frame for frame in reversed(self.frames) if frame.own), None)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What our own ``ServiceError`` says in its fixed form."""

    reason: str
    service: str
    operation: str
    effect: Literal["safe", "idempotent", "unsafe", "unknown"] = "unknown"
    connection: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    content_type: str | None = None
    request_id: str | None = None
    body: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A parsed failure: ``units`` in the order in which they explain, the root first."""

    text: str
    units: tuple[Unit, ...]
    call: ServiceFacts | None = None
    retry_after_s: float | None = None
    frames: tuple[Frame, ...] = field(default=())
    fingerprint: str = ""

    @property
    def leaves(self) -> tuple[Unit, ...]:
        """What failed side by side in an ExceptionGroup; empty where there is none."""
        return tuple(
            unit
            for unit in self.units
            if unit.role == "raised"
            and 0 < unit.depth < CAUSED
            and not unit.linked
            and not unit.short_name.endswith("Group")
        )

    @property
    def root(self) -> Unit | None:
        """The exception that explains the others, or None where nothing was raised."""
        return next((unit for unit in self.units if unit.role == "raised"), None)
