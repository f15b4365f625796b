"""What code does to the world, as values: pure < read < write < unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from prefect_autopilot.models import OperationEffect, Value


class Level(StrEnum):
    """The lattice of effects; what is not known counts as the worst."""

    PURE = "pure"
    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """Place in the lattice, 0 for pure."""
        return _ORDER.index(self)


_ORDER = (Level.PURE, Level.READ, Level.WRITE, Level.UNKNOWN)

OperationEffects: TypeAlias = Mapping[tuple[str, str], OperationEffect]
"""Effect of a catalogue operation, by service id and operation id."""


def worst(levels: Iterable[Level]) -> Level:
    """Return the highest of some levels, pure for none."""
    return max(levels, key=lambda level: level.rank, default=Level.PURE)


class Touch(Value):
    """One thing an expression does, with the line it does it in."""

    level: Level
    line: int
    what: str
    resource: str = ""
    waits: bool = False
    """True where the time goes into waiting for another machine."""
    idempotent: bool = False
    """For writes: doing it twice leaves the world as doing it once."""
    target: str = ""
    """The target of a read or write as source text, empty where it is not told."""
    stable: bool = True
    """False where the target is made from the clock or from chance."""
    nondeterministic: bool = False
    paced: bool = False
    mutates: str = ""
    """Name of the parameter or module variable whose object is changed in place."""
    inside: bool = False
    """True where a part of that object may be meant, and so what others put into it."""
    shares: str = ""
    """Name of the client or connection that is used but was made elsewhere."""

    @property
    def told(self) -> str:
        """The evidence as one line of text."""
        return f"line {self.line}: {self.what}"

    def as_marked(self) -> Touch:
        """Take the owner's word: it may run at any time and any number of times; it waits where it waited."""
        waits = self.waits or self.level is Level.UNKNOWN
        level = Level.READ if waits else Level.PURE
        return self.model_copy(update={"level": level, "waits": waits, "what": f"{self.what} (marked pure)"})


class FunctionEffect(Value):
    """What calling one function of a file does, with the lines that show it."""

    name: str
    line: int
    kind: Literal["task", "flow", "function", "call"]
    level: Level
    touches: tuple[Touch, ...] = ()
    parameters: tuple[str, ...] = ()
    marked: Literal["", "pure", "keep"] = ""
    is_async: bool = False
    is_generator: bool = False

    @property
    def evidence(self) -> tuple[str, ...]:
        """The lines that decide the level, in order of the source."""
        decisive = (touch.told for touch in self.touches if touch.level is self.level)
        return tuple(dict.fromkeys(decisive))

    @property
    def resources(self) -> tuple[str, ...]:
        """What is read or written, in order of first use."""
        return tuple(dict.fromkeys(touch.resource for touch in self.touches if touch.resource))

    @property
    def waits(self) -> bool:
        """Whether its time goes into waiting for another machine."""
        return any(touch.waits for touch in self.touches)

    @property
    def nondeterministic(self) -> bool:
        """Whether it reads the clock or chance."""
        return any(touch.nondeterministic for touch in self.touches)

    @property
    def paced(self) -> bool:
        """Whether it pauses on purpose."""
        return any(touch.paced for touch in self.touches)

    @property
    def mutates(self) -> tuple[str, ...]:
        """Parameters and module variables whose objects it changes in place."""
        return tuple(dict.fromkeys(touch.mutates for touch in self.touches if touch.mutates))

    @property
    def shares(self) -> tuple[str, ...]:
        """Clients and connections it uses but does not make."""
        return tuple(dict.fromkeys(touch.shares for touch in self.touches if touch.shares))


class TaskCallEffect(Value):
    """One call in the body of a flow, in the order of the source."""

    function: str
    line: int
    how: Literal["call", "submit", "map"]
    effect: FunctionEffect


class RerunVerdict(Value):
    """Whether a flow may run again after it has run in part, and the lines that say so."""

    level: Literal["safe", "idempotent", "unsafe", "unknown"]
    evidence: tuple[str, ...]
