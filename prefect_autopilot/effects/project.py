"""The other modules of a project: what a name that is imported from one of them stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prefect_autopilot.effects.module import Function, read_module
from prefect_autopilot.errors import InvalidFlowError

if TYPE_CHECKING:
    from prefect_autopilot.effects.reader import EffectReader
    from prefect_autopilot.effects.values import FunctionEffect, OperationEffects

_DEEPEST = 8
"""Re-exports that are followed, one behind another."""


@dataclass
class Progress:
    """Which functions are being read now, over all modules of a project."""

    open: list[tuple[str, str]] = field(default_factory=list)
    cyclic: bool = False


@dataclass
class Project:
    """Modules of one project by dotted name; each is parsed once, when it is first asked for."""

    sources: Mapping[str, str]
    packages: frozenset[str] = frozenset()
    """Names of those that are packages: the text is that of their ``__init__``."""
    operations: OperationEffects | None = None
    progress: Progress = field(default_factory=Progress)
    _readers: dict[str, EffectReader | None] = field(default_factory=dict)

    def reader(self, name: str) -> EffectReader | None:
        """Return the reader of a module, None where there is none or its text cannot be read."""
        from prefect_autopilot.effects.reader import EffectReader

        if name not in self._readers:
            try:
                module = read_module(self.sources[name]) if name in self.sources else None
            except InvalidFlowError:
                module = None
            self._readers[name] = EffectReader(module, self.operations, self, name) if module else None
        return self._readers[name]

    def absolute(self, qualified: str, inside: str) -> str:
        """Return a qualified name without leading dots, as seen from a module; empty where it leads out."""
        dots = len(qualified) - len(qualified.lstrip("."))
        if not dots:
            return qualified
        parts = inside.split(".") if inside else []
        up = dots - (inside in self.packages)
        if up > len(parts):
            return ""
        return ".".join([*parts[: len(parts) - up], qualified[dots:]])

    def holds(self, qualified: str, inside: str) -> bool:
        """Tell whether a name comes out of a module of the project."""
        name = self.absolute(qualified, inside)
        tops = {one.split(".")[0] for one in self.sources}
        return qualified.startswith(".") or name.split(".")[0] in tops

    def find(self, qualified: str, inside: str, depth: int = 0) -> tuple[EffectReader, Function] | None:
        """Return a function of another module with the reader of that module, None where it is none."""
        name = self.absolute(qualified, inside)
        module, _, rest = name.rpartition(".")
        # A submodule hides nothing here: functions only, no methods.
        reader = self.reader(module) if module and depth < _DEEPEST else None
        if reader is None:
            return None
        origin = reader.module.imports.get(rest)
        own = reader.module.functions.get(rest)
        if own is not None:
            return None if origin or rest in reader.module.variables else (reader, own)
        return self.find(origin, module, depth + 1) if origin else None


def as_foreign(function: Function, module: str) -> Function:
    """Return a function of another module under a name that no function of this one has."""
    return replace(function, name=f"{module}:{function.name}")


def seen_from_outside(effect: FunctionEffect, place: str) -> FunctionEffect:
    """Return the effect of another module's function; what it shares or changes there is named in full."""
    touches = []
    for touch in effect.touches:
        update: dict[str, object] = {
            "what": touch.what if " in " in touch.what else f"{touch.what} in {place}"
        }
        for key in ("mutates", "shares"):
            name = getattr(touch, key)
            if name and name not in effect.parameters and "." not in name:
                update[key] = f"{place}.{name}"
        touches.append(touch.model_copy(update=update))
    return effect.model_copy(update={"touches": tuple(touches)})
