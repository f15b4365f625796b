"""What a person sees while the demonstration runs: steps as they happen, and a table of what was observed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Check:
    """One claim of the demonstration and what was observed of it."""

    claim: str
    observed: str
    passed: bool


@dataclass
class Screen:
    """The console and the claims checked so far."""

    console: Console = field(default_factory=lambda: Console(highlight=False))
    checks: list[Check] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step with a spinner while it runs, and how long it took."""
        begun = time.monotonic()
        with self.console.status(f"{escape(title)} …"):
            yield
        self.console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - begun:.1f} s[/]")

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
        """True when something was checked and all of it was as claimed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def summary(self) -> None:
        """Print the table of all claims."""
        seconds = time.monotonic() - self.started
        table = Table(title=f"What was observed in {seconds:.0f} s", title_justify="left", show_lines=False)
        table.add_column("claim")
        table.add_column("observed")
        table.add_column("", justify="center")
        for check in self.checks:
            mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
            table.add_row(escape(check.claim), escape(check.observed), mark)
        self.console.print(table)
