"""Write what the catalogue holds into the README, between two marks; ``--check`` only compares.

python benchmarks/counts.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefect_autopilot.services import CatalogueStats, load_catalogue

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- counts -->", "<!-- /counts -->"


def table(counted: CatalogueStats) -> str:
    """Return the counts as a Markdown table, one line for each status."""
    declared = counted.operations - counted.operable_operations
    confirmed = counted.confirmed_operations
    known = counted.operable + counted.declared + counted.recognised
    left_open = (
        f"The source of {counted.partly_confirmed} of them names some of the parameters only;"
        f" that of {counted.unseen_rows} lists does not show where the rows stand."
    )
    return "\n".join(
        (
            "| the catalogue | services | operations | of them confirmed |",
            "|---|---|---|---|",
            f"| operable | {counted.operable} | {counted.operable_operations} | {confirmed} |",
            f"| declared | {counted.declared} | {declared} | {counted.confirmed_elsewhere} |",
            f"| only recognised by name | {counted.recognised} | | |",
            f"| together | {known} | {counted.operations} | {confirmed + counted.confirmed_elsewhere} |",
            "",
            left_open,
        )
    )


def between(text: str, begin: str, end: str, told: str) -> str:
    """Return ``text`` with ``told`` between two marks; raises ValueError where it has none."""
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        msg = f"There is no {begin} … {end} to write between."
        raise ValueError(msg)
    return f"{before}{begin}\n{told}\n{end}{after}"


def filled(text: str, counted: CatalogueStats) -> str:
    """Return ``text`` with the counts between its marks; raises ValueError where it has none."""
    return between(text, BEGIN, END, table(counted))


def main() -> int:
    """Write or compare the counts; 1 when they are stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only say whether they are stale")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    wanted = filled(text, load_catalogue().stats())
    if check and text != wanted:
        sys.stdout.write("The README's counts are stale; run make counts.\n")
        return 1
    if not check:
        README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
