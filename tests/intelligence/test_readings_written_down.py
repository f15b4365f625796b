"""Requests whose readings were written down before they were read: no change makes more of them wrong."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import load_catalogue

ROOT = Path(__file__).parents[2] / "benchmarks"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_reading", ROOT / "reading.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "least"),
    [
        (
            "reading_requests.toml",
            {"status": 0.9, "times": 1.0, "kept": 0.9, "trigger": 0.98, "avoided": 1.0},
        ),
        ("reading_requests_later.toml", {"status": 0.95, "times": 0.9, "kept": 0.95, "source": 0.95}),
    ],
    ids=["the first group", "the later group"],
)
def test_most_requests_are_read_as_it_was_written_down(file: str, least: dict[str, float]) -> None:
    reading, catalogue = script(), load_catalogue()
    found: dict[str, list[bool]] = {}
    for row in tomllib.loads((ROOT / file).read_text(encoding="utf-8"))["requests"]:
        context = RequestContext(connected_services=tuple(row.get("connected", ())))
        for name, (right, _) in reading.judged(row, analyze(row["text"], context, catalogue)).items():
            found.setdefault(name, []).append(right)
    shares = {name: sum(rights) / len(rights) for name, rights in found.items()}
    assert {name: share for name, share in shares.items() if share < least.get(name, 0)} == {}
