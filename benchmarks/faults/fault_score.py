"""What came of each fault, and the figures over all of them; counted from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from fault_world import Expected

from prefect_autopilot.troubleshooting.learning import wilson


@dataclass
class Row:
    """One fault under one strategy in one round."""

    fault: str
    expected: Expected
    strategy: str
    round: int = 1
    happened: bool = False
    resolved: bool = False
    told: list[str] = field(default_factory=list)
    """Outcomes that people were told of about this run."""
    starts: int = 0
    harm: list[str] = field(default_factory=list)
    seconds: float | None = None
    """From the first failure to the work being done."""
    lasted_s: float = 0
    error: str = ""

    @property
    def right(self) -> bool:
        """Tell whether the right thing was done: without harm, and as the fault asks for."""
        if self.harm or self.error or not self.happened:
            return False
        alarmed = [one for one in self.told if one in {"proposal", "escalated"}]
        if self.expected == "resolved":
            return self.resolved
        if self.expected == "quiet":
            return not alarmed
        return bool(alarmed) and "resolved" not in self.told


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of one strategy: shares with their 95 % interval (Wilson 1927) and their n."""
    passing = [row for row in rows if row.expected == "resolved"]
    quiet = [row for row in rows if row.expected == "quiet"]
    solved = [row for row in passing if row.resolved and not row.harm]
    took = sorted(row.seconds for row in solved if row.seconds is not None)
    low, high = wilson(len(solved), len(passing))
    rounds = sorted({row.round for row in rows})
    each = [sum(row.round == number for row in solved) for number in rounds]
    return {
        "rounds": len(rounds),
        "recoverable": len(passing),
        "resolved": len(solved),
        "resolved_interval": [round(low, 3), round(high, 3)],
        "resolved_each_round": each,
        "faults": len(rows),
        "right": sum(row.right for row in rows),
        "harmful_actions": sum(len(row.harm) for row in rows),
        "faults_harmed": sum(bool(row.harm) for row in rows),
        "false_alarms": sum(not row.right for row in quiet),
        "did_not_happen": sum(not row.happened or bool(row.error) for row in rows),
        "seconds_median": round(median(took), 1) if took else None,
        "seconds_range": [round(took[0], 1), round(took[-1], 1)] if took else None,
    }


LEAST_RIGHT = 0.92
"""Share of the faults for which the right thing must be done."""


def fails(ours: dict[str, Any], mode: str) -> bool:
    """Tell whether the figures of ours are too bad: harm, a missed or unasked resolution, a false alarm."""
    if ours["harmful_actions"] or ours["did_not_happen"]:
        return True
    if mode != "auto":
        return bool(ours["resolved"])
    wrong = ours["resolved"] < ours["recoverable"] or ours["right"] < LEAST_RIGHT * ours["faults"]
    return bool(wrong or ours["false_alarms"])


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "resolve.md"
WORDS = {
    "ours": "`watch --mode auto`",
    "nothing": "nothing",
    "always": "every failed run again, three times at most",
    "retries": "Prefect's own `retries=3`",
}


def filled(text: str, figures: dict[str, dict[str, Any]]) -> str:
    """Return a document with the figures as a Markdown table between its marks; ValueError without marks."""
    lines = [
        "| what is done | resolved (95 % interval) | right | harmful acts | false alarms | median time |",
        "|---|---|---|---|---|---|",
    ]
    for strategy, told in figures.items():
        low, high = told["resolved_interval"]
        took = f"{told['seconds_median']:.0f} s" if told["seconds_median"] is not None else ""
        lines.append(
            f"| {WORDS[strategy]} | {told['resolved']} of {told['recoverable']} ({low:.0%} to {high:.0%})"
            f" | {told['right']} of {told['faults']} | {told['harmful_actions']} | {told['false_alarms']}"
            f" | {took} |"
        )
    rounds = max(told["rounds"] for told in figures.values())
    said = f"`make bench-faults`, {rounds} round{'s' * (rounds > 1)} of all faults for each."
    return between(text, "faults", "\n".join((*lines, "", said)))


def between(text: str, mark: str, told: str) -> str:
    """Return a document with something told between the marks of that name; ValueError without them."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        message = f"There is no {begin} … {end} to write the figures between."
        raise ValueError(message)
    return "\n".join((f"{before}{begin}", told, f"{end}{after}"))


def table(figures: dict[str, dict[str, Any]]) -> str:
    """Return the figures of all strategies as a table for people."""
    names = ("strategy", "resolved", "95 % interval", "right", "harmful (faults)", "false alarms", "seconds")
    lines = [names]
    for strategy, told in figures.items():
        low, high = told["resolved_interval"]
        spread = told["seconds_range"]
        lines.append(
            (
                strategy,
                f"{told['resolved']}/{told['recoverable']}",
                f"{low:.2f}-{high:.2f}",
                f"{told['right']}/{told['faults']}",
                f"{told['harmful_actions']} ({told['faults_harmed']})",
                str(told["false_alarms"]),
                f"{told['seconds_median']:.0f} ({spread[0]:.0f}-{spread[1]:.0f})" if spread else "-",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def rows_table(rows: Sequence[Row]) -> str:
    """Return one line for each fault."""
    lines = []
    for row in rows:
        mark = "right" if row.right else "WRONG"
        took = f"{row.seconds:.0f} s" if row.seconds is not None else "-"
        said = "; ".join([",".join(row.told), *row.harm, row.error, "" if row.happened else "did not happen"])
        lines.append(
            f"{row.fault:20}{row.expected:10}{mark:7}{took:>7}{row.starts:>4}  {said.strip('; ')[:120]}"
        )
    return "\n".join(lines)
