"""What all recorders share: plans in, fixtures out, and what a plan claims without proof said aloud.

A recorder is a function from the plan of a service to its fixture. The command reads the plans, writes the
fixtures, names each service whose plan says more than its sources, and marks what is recorded in the
catalogue.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorded_documents import Fact
from recorded_shapes import answer_shape, shape_at

RECORDED = Path(__file__).parent / "recorded"
CATALOG = Path(__file__).parents[2] / "prefect_autopilot" / "services" / "catalog"
CONFIRMED, PARTLY, UNSEEN = "confirmed = true", "partly = true", "rows_unseen = true"

Recorder = Callable[[str, Mapping[str, Any], Mapping[str, Path], str], Fact]
"""From the id of a service, its plan, the folders of the sources and the day to the fixture."""


class WrongPlanError(ValueError):
    """The plan says something its source does not."""


def source_fact(name: str, version: str, file: str, content: bytes, today: str) -> dict[str, str]:
    """Return how a fixture names a file it was recorded from."""
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "version": version, "file": file, "sha256": digest, "recorded": today}


def arguments_of(description: str | None, plans: Sequence[Path]) -> argparse.ArgumentParser:
    """Return the parser of a recorder's arguments; ``plans`` are read where none is named."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=Path, nargs="*", default=list(plans))
    parser.add_argument("--root", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", nargs="*", help="ids of the services to record")
    parser.add_argument("--into", type=Path, default=RECORDED)
    parser.add_argument("--catalog", type=Path, default=CATALOG)
    return parser


def carry_out(told: argparse.Namespace, record: Recorder) -> int:
    """Record what the plans ask for and return 1 where one claims what its sources do not say."""
    roots = {name: Path(folder) for name, _, folder in (root.partition("=") for root in told.root)}
    today, failed = datetime.now(UTC).date().isoformat(), 0
    for plan_file in told.plan:
        for service, plan in tomllib.loads(plan_file.read_text("utf-8")).items():
            if told.only and service not in told.only:
                continue
            try:
                write(record(service, plan, roots, today), told.into)
            except (LookupError, WrongPlanError, OSError) as error:
                failed += 1
                sys.stderr.write(f"{service}: {type(error).__name__}: {error}\n")
    if told.plan and told.into == RECORDED:
        mark(told.into, told.catalog)
    return 1 if failed else 0


def write(fixture: Fact, folder: Path) -> Path:
    """Write a fixture; the day of recording stays where the source is the same as before."""
    file = folder / f"{fixture['service']}.json"
    if file.exists():
        before = {one["sha256"]: one["recorded"] for one in json.loads(file.read_text("utf-8"))["sources"]}
        for source in fixture["sources"]:
            source["recorded"] = before.get(source["sha256"], source["recorded"])
    text = json.dumps(fixture, indent=1, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")
    return file


def marks_of(operation: Mapping[str, Any], fact: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the marks of a recorded operation: that it is recorded, and what its source leaves open."""
    rows = shape_at(answer_shape(fact), operation["list_at"]) if "list_at" in operation else None
    unseen = rows is not None and rows["type"] == "any"
    return (CONFIRMED, *([PARTLY] if fact.get("open") else []), *([UNSEEN] if unseen else []))


def marked(entry: str, marks: Mapping[str, Sequence[str]]) -> str:
    """Return the text of a catalogue entry with exactly these marks at these operations."""
    lines: list[str] = []
    operation = None
    for line in entry.splitlines():
        if line.startswith("["):
            operation = "" if line == "[[operations]]" else None
        if line in (CONFIRMED, PARTLY, UNSEEN):
            continue
        if operation == "" and line.startswith('id = "'):
            operation = line.split('"')[1]
        lines.append(line)
        if line.startswith("path = "):
            lines += marks.get(operation or "", ())
    return "\n".join(lines) + "\n"


def mark(recorded: Path, catalog: Path) -> None:
    """Mark the recorded operations in the entries of the catalogue."""
    for file in sorted(catalog.glob("*.toml")):
        fixture = recorded / file.name.replace(".toml", ".json")
        known = json.loads(fixture.read_text("utf-8"))["operations"] if fixture.exists() else {}
        before = file.read_text("utf-8")
        listed = [one for one in tomllib.loads(before).get("operations", ()) if one["id"] in known]
        marks = {one["id"]: marks_of(one, known[one["id"]]) for one in listed}
        if before != (after := marked(before, marks)):
            file.write_text(after, "utf-8")


def report(folder: Path) -> str:
    """Return a table of the fixtures by source."""
    services: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    confirmed: Counter[str] = Counter()
    for file in sorted(folder.glob("*.json")):
        fixture = json.loads(file.read_text("utf-8"))
        name = fixture["sources"][0]["name"]
        services[name] += 1
        operations[name] += len(fixture["operations"])
        confirmed[name] += bool(fixture["servers"] and fixture["auth"])
    rows = [("source", "services", "with server and auth", "operations")]
    rows += [
        (name, str(services[name]), str(confirmed[name]), str(operations[name])) for name in sorted(services)
    ]
    rows.append(("all", *(str(sum(c.values())) for c in (services, confirmed, operations))))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
