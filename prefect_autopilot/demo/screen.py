"""What a person sees while the demonstration runs: steps as they happen, and a table of what was observed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from prefect_autopilot.errors import AutopilotError

TIME_LIMIT_S = 120
"""What the demonstration is meant to take; a loaded machine takes longer, and that is told, not punished."""

_MARKS = {True: "[green]✓[/]", False: "[red]✗[/]"}
_WARNING = "[yellow]![/]"


@dataclass(frozen=True)
class Check:
    """One claim of the demonstration and what was observed of it; a mere ``warning`` decides nothing."""

    claim: str
    observed: str
    passed: bool
    warning: bool = False


@dataclass
class Screen:
    """The console and the claims checked so far.

    As a context manager it shows the table at the end of the block whatever happened in it: a failure of
    ours, of Prefect or a mistake becomes a claim that did not hold, and ends there. A mistake is kept in
    ``mistake`` for whoever has nothing left to do but raise it; an interruption goes on.
    """

    console: Console = field(default_factory=lambda: Console(highlight=False))
    checks: list[Check] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    mistake: Exception | None = None
    _title: str = ""
    _status: Status | None = None

    def __enter__(self) -> Self:
        """Begin what the table will tell of."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Show the table; what went wrong stands in it."""
        if error is not None:
            told = error.message if isinstance(error, AutopilotError) else f"{type(error).__name__}: {error}"
            what = f"“{self._title}” and all that follows" if self._title else "everything was played"
            self.check(what, told.rstrip(": "), passed=False)
        if isinstance(error, Exception) and not isinstance(error, AutopilotError):
            self.mistake = error
        self.summary()
        return error is None or isinstance(error, Exception)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step with a spinner while it runs, and how long it took."""
        begun = time.monotonic()
        self._title = title
        with self.console.status(f"{escape(title)} …") as self._status:
            yield
        self._status = None
        self._title = ""
        self.console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - begun:.1f} s[/]")

    def now(self, text: str) -> None:
        """Say beside the spinner what is going on in the step."""
        if self._status is not None:
            self._status.update(f"{escape(self._title)} … [dim]{escape(text)}[/]")

    def act(self, title: str) -> None:
        """Print the heading of an act."""
        self.console.print()
        self.console.rule(f"[bold]{escape(title)}[/]", align="left", style="dim")

    def show(self, what: RenderableType) -> None:
        """Print something below the current step."""
        self.console.print(what)

    def say(self, text: str) -> None:
        """Print one indented line of plain text."""
        self.console.print(f"  {escape(text)}")

    def check(self, claim: str, observed: str, *, passed: bool) -> None:
        """Record one claim; a failed one is shown at once."""
        self.checks.append(Check(claim, observed, passed))
        if not passed:
            self.console.print(f"  [red]✗ {escape(claim)}:[/] {escape(observed)}")

    @property
    def passed(self) -> bool:
        """True when something was checked and all of it was as claimed; warnings do not count."""
        found = [check.passed for check in self.checks if not check.warning]
        return bool(found) and all(found)

    def summary(self) -> None:
        """Print the table of all claims, the time among them."""
        self.console.print()
        table = Table(title="What was claimed and what was observed", title_justify="left")
        table.add_column("claim")
        table.add_column("observed")
        table.add_column("", justify="center")
        checks = (*self.checks, self._time())
        for check in checks:
            mark = _WARNING if check.warning and not check.passed else _MARKS[check.passed]
            table.add_row(escape(check.claim), escape(check.observed), mark)
        self.console.print(table)
        held = sum(check.passed for check in checks)
        colour = "green" if self.passed else "red"
        late = "" if checks[-1].passed else " The time is only a warning."
        self.console.print(f"[bold {colour}]{held} of {len(checks)} claims held.{late}[/]")

    def _time(self) -> Check:
        seconds = time.monotonic() - self.started
        passed = seconds <= TIME_LIMIT_S
        observed = f"{seconds:.0f} s" + ("" if passed else "; this machine is slow or busy")
        return Check(f"all of it takes {TIME_LIMIT_S} s at most", observed, passed, warning=True)
