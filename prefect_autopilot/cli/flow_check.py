"""``python -m prefect_autopilot.cli.flow_check FILE…``: tell the safe edits of flow files; for pre-commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect_autopilot.adapters.project_settings import read_settings
from prefect_autopilot.errors import InvalidFlowError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import Strategy


def check(paths: Sequence[Path], strategy: Strategy | None = None) -> list[str]:
    """Return one line for each safe edit of the files; files without flows and unreadable ones have none.

    Raises UsageError for a file that is not there.
    """
    told: list[str] = []
    for path in paths:
        try:
            plan = improve.plan(path, strategy or _settled(path))
        except InvalidFlowError:
            continue  # no flow, or no Python: other hooks judge that
        told += [f"{path}:{edit.line}: {edit.rule}: {edit.reason}" for edit in plan.edits]
    return told


def _settled(path: Path) -> Strategy:
    """Return the strategy of the project's settings, hybrid where they name none."""
    return read_settings(path.parent)[0].strategy or Strategy.HYBRID


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the safe edits of some files; return 1 where there is any."""
    parser = argparse.ArgumentParser(description="Tell the safe edits of flow files.")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--strategy", type=Strategy, choices=list(Strategy))
    given = parser.parse_args(arguments)
    lines = check(given.files, given.strategy)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
