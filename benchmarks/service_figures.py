"""Measure what services promise and write the table into the documents, between two marks.

    python benchmarks/service_figures.py [--print]

What a call costs beside bare httpx, what loading the catalogue costs, what importing a large OpenAPI document
of YAML costs, and how long all contract tests take one after the other. 1 when a limit is missed; seconds
are those of the wall, so that the machine must do nothing else while it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import catalogue_load
import client_overhead
import openapi_import
from counts import between

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "services.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
CALLS, WARM, PROCESSES, LOOKUPS = 400, 50, 15, 20_000
MEGABYTES = 10
CONTRACTS = "tests/contracts/test_contracts.py"
CONTRACTS_S, IMPORT_S = 60.0, 5.0
OPERATION = """  /things{n}/{{thing_id}}:
    get:
      operationId: getThing{n}
      summary: Read a thing of kind {n}
      parameters:
        - {{name: thing_id, in: path, required: true, description: Id of the thing, schema: {{type: string}}}}
        - {{name: limit, in: query, description: Rows of a page, schema: {{type: integer, maximum: 100}}}}
        - name: filter
          in: query
          description: Which of the things of kind {n} are answered, by the fields they have
          schema: {{type: array, items: {{type: string, enum: [new, open, closed, archived]}}}}
      responses:
        '200':
          description: The thing
          content:
            application/json:
              schema:
                type: object
                properties:
                  id: {{type: string, format: uuid}}
                  name: {{type: string, maxLength: 200}}
                  owner: {{type: object, properties: {{id: {{type: string}}, email: {{type: string}}}}}}
                  tags: {{type: array, items: {{type: string}}}}
                  created_at: {{type: string, format: date-time}}
"""


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    value: str
    limit: str
    count: str
    good: bool


def calls() -> list[Figure]:
    """Return what a call costs beside bare httpx on the same stub."""
    places = ("in process", "over loopback")
    found = zip(places, client_overhead.ratios(CALLS, WARM), strict=True)
    limit = client_overhead.LIMIT
    return [
        Figure(f"a call, {where}, of bare httpx", f"{ratio:.2f} ×", f"{limit} ×", f"{CALLS}", ratio <= limit)
        for where, ratio in found
    ]


def catalogue() -> list[Figure]:
    """Return what loading costs in a fresh process, and a lookup in a catalogue of any size."""
    runs = [catalogue_load.fresh() for _ in range(PROCESSES)]
    cold = statistics.median(run["load"][1] + run["index names"][1] for run in runs)
    known = catalogue_load.load_catalogue()
    names = ["Slack", "google calendar", "GitHub", "nobody knows it"]
    small = catalogue_load.lookup_us(known, names, LOOKUPS)
    large = catalogue_load.lookup_us(catalogue_load.larger(known), names, LOOKUPS)
    limit, times = catalogue_load.LIMIT_MS, catalogue_load.LARGER + 1
    told = f"{small:.2f} and {large:.2f} µs"
    most = catalogue_load.SAME
    return [
        Figure(
            "loading the catalogue, processor time, median",
            f"{cold:.0f} ms",
            f"{limit:.0f} ms",
            str(PROCESSES),
            cold <= limit,
        ),
        Figure(
            f"a lookup by name, in it and in one of {times} × as many",
            told,
            f"<= {most:g} ×",
            f"{LOOKUPS:,}",
            large <= most * small,
        ),
    ]


def document() -> str:
    """Return an OpenAPI document of YAML of the size that the limit is for."""
    one = len(OPERATION.format(n=10_000))
    paths = "".join(OPERATION.format(n=n) for n in range(10_000, 10_000 + MEGABYTES * 2**20 // one))
    head = "openapi: 3.0.3\ninfo: {title: Things, version: '1'}\nservers: [{url: 'https://things.example'}]\n"
    return f"{head}paths:\n{paths}"


def importing() -> list[Figure]:
    """Return what importing that document costs, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "things.yaml"
        file.write_text(document(), encoding="utf-8")
        command = [sys.executable, openapi_import.__file__, "--one", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    took = told["parse_s"] + told["import_s"]
    value = f"{took:.1f} s, processor {told['processor_s']:.1f} s, peak {told['peak_mb']} MB"
    what = f"importing {told['mb']:.0f} MB of YAML, {told['imported']:,} operations"
    return [Figure(what, value, f"{IMPORT_S:.0f} s", "1", took <= IMPORT_S)]


def contracts() -> list[Figure]:
    """Return how long the contract tests of all recorded operations take one after the other."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", CONTRACTS]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    passed = re.search(r"(\d+) passed", done.stdout)
    count = passed[1] if passed else "0"
    good = done.returncode == 0 and took < CONTRACTS_S
    value = f"{took:.1f} s, processor {worked:.1f} s" + ("" if done.returncode == 0 else ", some failed")
    return [Figure("all contract tests, one process", value, f"{CONTRACTS_S:.0f} s", f"{int(count):,}", good)]


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table with the machine they are of."""
    lines = ["| what | measured | limit | n |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.value} | {one.limit} | {one.count} |" for one in figures]
    busy = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    return "\n".join([*lines, "", f"Python {platform.python_version()}, {busy} while it was measured."])


def main() -> int:
    """Measure, write and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--print", action="store_true", dest="only", help="leave the page as it is")
    only = parser.parse_args().only
    figures = [*contracts(), *calls(), *catalogue(), *importing()]
    told = table(figures)
    sys.stdout.write(told + "\n")
    if not only:
        PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), BEGIN, END, told), encoding="utf-8")
    return 0 if all(one.good for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
