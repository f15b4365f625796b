"""Measure the diagnosis on the provoked corpus, and whether its confidence can be believed.

    python benchmarks/diagnosis.py [--misses]

The packaged model has seen these failures. Those of ``corpus/held_out.toml`` come from technologies that
neither the model nor the patterns were made from: their figures stand for what is unseen.
The reliability curve compares what the diagnosis is sure of with how often it is exactly right.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "corpus"))
from provoke import read

from prefect_autopilot.models import Diagnosis
from prefect_autopilot.troubleshooting import diagnose_text

BINS = 10
SURE = 0.7
CALLS = 21
HELD_OUT = Path(__file__).resolve().parent / "corpus" / "held_out.toml"


def judged() -> Iterator[tuple[dict[str, Any], Diagnosis]]:
    """Yield each failure of the corpus with its diagnosis."""
    for row in read().values():
        yield row, diagnose_text(row["text"])


def unseen() -> Iterator[tuple[dict[str, Any], Diagnosis]]:
    """Yield each failure that was held out with its diagnosis."""
    labels = tomllib.loads(HELD_OUT.with_name("labels.toml").read_text(encoding="utf-8"))
    for technology, entry in tomllib.loads(HELD_OUT.read_text(encoding="utf-8")).items():
        for number, (kind, text, *also) in enumerate(entry["cases"]):
            label = dict(zip(("category", "alternatives", "transient", "remedy"), labels[kind], strict=True))
            label["alternatives"] = [*label["alternatives"], *(also[0] if also else ())]
            yield {"id": f"{technology}-{number:02}", **label}, diagnose_text(text.strip())


def accepted(row: dict[str, Any], diagnosis: Diagnosis) -> bool:
    """Tell whether a category is the label or one that a person on call would accept, too."""
    return diagnosis.category.value in {row["category"], *row["alternatives"]}


def share(marks: list[bool]) -> str:
    """Return how many of ``marks`` are set, and of how many."""
    return f"{sum(marks) / len(marks):.3f} (n={len(marks)})" if marks else "- (n=0)"


def reliability(rows: list[tuple[dict[str, Any], Diagnosis]]) -> tuple[list[str], float]:
    """Return the lines of the curve and the expected calibration error over all answers."""
    lines, error = [], 0.0
    answered = [pair for pair in rows if pair[1].category.value != "unknown"]
    for step in range(BINS):
        inside = [pair for pair in answered if min(int(pair[1].confidence * BINS), BINS - 1) == step]
        if inside:
            sure = sum(diagnosis.confidence for _, diagnosis in inside) / len(inside)
            right = sum(d.category.value == row["category"] for row, d in inside) / len(inside)
            error += abs(sure - right) * len(inside) / len(answered)
            lines.append(f"  says {sure:.2f}  right {right:.2f}  n={len(inside)}")
    return lines, error


def figures(rows: list[tuple[dict[str, Any], Diagnosis]]) -> list[str]:
    """Return the lines that tell how right the diagnosis is, and how well it knows."""
    curve, error = reliability(rows)
    sure = [pair for pair in rows if pair[1].confidence >= SURE]
    return [
        f"category        {share([d.category.value == row['category'] for row, d in rows])}",
        f"  or accepted   {share([accepted(*pair) for pair in rows])}",
        f"transient       {share([d.transient == row['transient'] for row, d in rows])}",
        f"no-retry right  {share([not row['transient'] for row, d in rows if not d.transient])}",
        f"remedy          {share([d.remedy == row['remedy'] for row, d in rows])}",
        f"sure (>= {SURE})   {share([d.confidence >= SURE for _, d in rows])}",
        f"  of it right   {share([d.category.value == row['category'] for row, d in sure])}",
        f"  or accepted   {share([accepted(*pair) for pair in sure])}",
        "what it says and how often it is right:",
        *curve,
        f"expected calibration error {error:.3f}",
    ]


def speed() -> list[str]:
    """Return what long texts cost in CPU time: median and range of the calls after the first."""
    log = [
        f"03:{n // 60 % 60:02}:{n % 60:02}.1 | INFO    | part {n} of the export is written"
        for n in range(10_000)
    ]
    log[7_000] = "03:56:40.1 | ERROR   | ConnectionRefusedError: [Errno 111] Connection refused"
    texts = {
        "10,000 lines": "\n".join(log),
        "one line of 16 KB": "Error: " + "ab cd " * 2_700,
        "one line of 1 MB": "x" * 1_000_000,
    }
    lines = []
    for name, text in texts.items():
        spent = []
        for _ in range(CALLS + 1):
            began = time.process_time()
            diagnose_text(text)
            spent.append((time.process_time() - began) * 1000)
        told = sorted(spent[1:])
        lines.append(f"{name:18} {told[CALLS // 2]:6.1f} ms ({told[0]:.1f} to {told[-1]:.1f}, n={CALLS})")
    return lines


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--misses", action="store_true", help="list what was answered wrongly")
    misses = parser.parse_args().misses
    began = time.perf_counter()
    rows = list(judged())
    lasted = (time.perf_counter() - began) * 1000 / len(rows)
    told = [
        *figures(rows),
        f"ms a case       {lasted:.1f}",
        "",
        "technologies never seen:",
        *figures(list(unseen())),
        "",
        "CPU time of long texts:",
        *speed(),
    ]
    if misses:
        told += [
            f"{row['id']}: {row['category']}, answered {d.category} by {d.pattern}"
            for row, d in rows
            if not accepted(row, d)
        ]
    sys.stdout.write("\n".join(told) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
