"""What every remedy has, and what those have that are proved or taken back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field

from prefect_autopilot.models.base import Value


class Act(Value):
    """What every remedy has: the run it is for, and what the gate must know of it."""

    plan: ClassVar[str]
    """What is proposed, in words; fields of the remedy in braces."""
    when: ClassVar[str]
    """When it fits, besides every check of the gate."""
    undo: ClassVar[str]
    """How it is taken back."""
    helped: ClassVar[str]
    """What is seen where it helped."""
    cost: ClassVar[str] = "one more start of the run"
    """What it costs where it does not help."""
    radius: ClassVar[str] = "this run"
    """What else it touches."""
    repeats: ClassVar[bool] = True
    """Whether the run's work is done again, which the gate allows only where that is harmless."""
    once: ClassVar[bool] = True
    """Whether it is out of question for a run that failed again after it."""
    resumes: ClassVar[bool] = True
    """Whether it may be begun anew where a crash left it: proved anew, or the same when done twice."""
    changeable: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Numbers that a person may change when saying yes, with what they mean."""

    flow_run_id: str

    def told(self) -> str:
        """Return the plan with the remedy's own fields filled in."""
        return self.plan.format_map(self.model_dump())


class ProvedRepair(Act):
    """What every repair has: the run it is for, the proof that allows it, and when the retry follows."""

    helped: ClassVar[str] = "the retry completes"
    proof: str = ""
    delay_s: float = Field(default=0, ge=0)


class TakenBack(ProvedRepair):
    """What a repair has that changes something for the retry, and changes it back where that did not help."""

    undo: ClassVar[str] = "done by itself where the retry fails again; `undo`, until the retry begins"
