"""Measure what loading the service catalogue costs: a fresh process each time, and looking names up after it.

    python benchmarks/catalogue_load.py [--processes 15] [--lookups 20000]

Each process first imports what loading needs (told apart), then loads the packaged catalogue and indexes
its names; the limit is for the median of that. Wall and CPU time are both told: on a machine that does other
work as well the wall time says little. Looking a name up must cost the same in a catalogue twenty times as
large, which shows that nobody searches through it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from prefect_autopilot.services.catalogue import Catalogue, load_catalogue

LIMIT_MS = 150.0
LARGER = 20
SAME = 3.0
"""How many times as long a lookup in the larger catalogue may take and still count as the same."""
FRESH = """
import json, time
def now(): return time.perf_counter(), time.process_time()
marks = [now()]
from prefect_autopilot.services.catalogue import load_catalogue
marks.append(now())
catalogue = load_catalogue()
marks.append(now())
catalogue.names
marks.append(now())
catalogue.find("slack")
marks.append(now())
catalogue.services
marks.append(now())
print(json.dumps([[1e3 * (b[i] - a[i]) for i in (0, 1)] for a, b in zip(marks, marks[1:])]))
"""
STEPS = ("import", "load", "index names", "first service", "all services")


def fresh() -> dict[str, tuple[float, float]]:
    """Return wall and CPU milliseconds of each step in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FRESH], check=True, capture_output=True, text=True)
    return {step: (wall, cpu) for step, (wall, cpu) in zip(STEPS, json.loads(done.stdout), strict=True)}


def lookup_us(catalogue: Catalogue, names: list[str], lookups: int) -> float:
    """Return CPU microseconds of looking one name up."""
    for name in names:
        catalogue.find(name)
    begun = time.process_time()
    for turn in range(lookups):
        catalogue.find(names[turn % len(names)])
    return 1e6 * (time.process_time() - begun) / lookups


def larger(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with many services more, each with a name of its own."""
    more = {
        f"extra_{place}": {"id": f"extra_{place}", "name": f"Extra {place}"}
        for place in range(LARGER * len(catalogue.ids))
    }
    return catalogue.joined(more, catalogue.get)


def main() -> int:
    """Print the figures; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--lookups", type=int, default=20_000)
    chosen = parser.parse_args()
    runs = [fresh() for _ in range(chosen.processes)]
    for step in STEPS:
        wall, cpu = ([run[step][kind] for run in runs] for kind in (0, 1))
        told = f"wall {statistics.median(wall):7.1f} ms (to {max(wall):.1f})"
        print(f"{step:14} n={len(runs)} median {told}, CPU {statistics.median(cpu):7.1f} ms")
    cold = statistics.median([run["load"][1] + run["index names"][1] for run in runs])
    print(f"load and index: CPU median {cold:.1f} ms (limit {LIMIT_MS:.0f}); load {os.getloadavg()[0]:.1f}")
    catalogue = load_catalogue()
    names = ["Slack", "google calendar", "sfdc", "GitHub", "quick books", "nobody knows it"]
    small = lookup_us(catalogue, names, chosen.lookups)
    large = lookup_us(larger(catalogue), names, chosen.lookups)
    count = len(catalogue.ids)
    print(f"lookup by name: {small:.2f} us of {count} services, {large:.2f} us of {(LARGER + 1) * count}")
    return 0 if cold <= LIMIT_MS and large <= SAME * small else 1


if __name__ == "__main__":
    sys.exit(main())
