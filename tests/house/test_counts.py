"""The README's counts are those of the catalogue: written by a command, compared here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prefect_autopilot.models import ServiceStatus
from prefect_autopilot.services import CatalogueStats, load_catalogue

ROOT = Path(__file__).resolve().parents[2]
COUNTED = CatalogueStats(
    operable=2,
    declared=3,
    recognised=5,
    operations=40,
    operable_operations=11,
    confirmed_operations=7,
    confirmed_elsewhere=1,
    partly_confirmed=4,
    unseen_rows=6,
)


@pytest.fixture(scope="module")
def counts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("counts", ROOT / "benchmarks" / "counts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["counts"] = module
    spec.loader.exec_module(module)
    return module


def test_the_readme_tells_what_the_catalogue_holds(counts: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert counts.filled(text, load_catalogue().stats()) == text, "run make counts"


def test_every_status_is_counted_by_itself(counts: ModuleType) -> None:
    lines = counts.table(COUNTED).splitlines()

    assert lines[2:6] == [
        "| operable | 2 | 11 | 7 |",
        "| declared | 3 | 29 | 1 |",
        "| only recognised by name | 5 | | |",
        "| together | 10 | 40 | 8 |",
    ]
    assert "source of 4" in lines[7]
    assert "6 lists" in lines[7]


def test_only_the_text_between_the_marks_is_written(counts: ModuleType) -> None:
    text = f"before\n{counts.BEGIN}\nold\n{counts.END}\nafter\n"

    once = counts.filled(text, COUNTED)

    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert counts.filled(once, COUNTED) == once


@pytest.mark.parametrize("text", ["", "no marks", "<!-- counts --> no end", "no begin <!-- /counts -->"])
def test_a_document_without_marks_is_refused(counts: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="no <!-- counts -->"):
        counts.filled(text, COUNTED)


def test_the_stats_are_those_of_the_services_themselves() -> None:
    catalogue = load_catalogue()
    counted = catalogue.stats()
    by_status = {
        status: [one for one in catalogue.services if one.status is status] for status in ServiceStatus
    }

    assert counted.operable == len(by_status[ServiceStatus.OPERABLE])
    assert counted.declared == len(by_status[ServiceStatus.DECLARED])
    assert counted.recognised == len(by_status[ServiceStatus.RECOGNISED])
    assert counted.operable_operations == sum(
        len(one.operations) for one in by_status[ServiceStatus.OPERABLE]
    )
    assert counted.operations == sum(len(one.operations) for one in catalogue.services)
    assert counted.confirmed_operations == sum(
        operation.confirmed for one in by_status[ServiceStatus.OPERABLE] for operation in one.operations
    )
    assert 0 < counted.confirmed_operations <= counted.operable_operations
    told = [one for service in catalogue.services for one in service.operations]
    assert counted.partly_confirmed == sum(one.partly for one in told) < counted.confirmed_operations
    assert (
        counted.unseen_rows == sum(one.rows_unseen for one in told) < sum(bool(one.list_at) for one in told)
    )


def test_the_catalogue_is_as_wide_as_promised() -> None:
    counted = load_catalogue().stats()

    assert counted.operable + counted.declared >= 250
    assert counted.operable + counted.declared + counted.recognised >= 400
