"""How many calls the diagnosis of one failed run may cost, through all that reads for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from prefect_autopilot.errors import PrefectError

MOST_CALLS = 15
"""Of one failed run, those to its infrastructure included."""


class CallsSpentError(PrefectError):
    """A further call would be one too many; it was not made."""


@dataclass(slots=True)
class CallBudget:
    """What was spent and may be; ``take`` raises ``CallsSpentError`` where that is too little."""

    most: int
    spent: int = 0

    def take(self, calls: int = 1) -> None:
        """Count calls that are about to be made."""
        if self.spent + calls > self.most:
            raise CallsSpentError(f"left out: {self.spent} calls were made for this run", permanent=True)
        self.spent += calls


_CURRENT: ContextVar[CallBudget | None] = ContextVar("call_budget", default=None)


def take(calls: int = 1) -> None:
    """Count calls on the budget that holds here; without one any number may be made."""
    if (budget := _CURRENT.get()) is not None:
        budget.take(calls)


@contextmanager
def one_budget() -> Iterator[CallBudget]:
    """Let all calls within the block count on one budget: the one that holds already, else a new one.

    It holds for this task and those it starts; others that use the same connection have their own.
    """
    known = _CURRENT.get()
    if known is not None:
        yield known
        return
    budget = CallBudget(MOST_CALLS)
    token = _CURRENT.set(budget)
    try:
        yield budget
    finally:
        _CURRENT.reset(token)
