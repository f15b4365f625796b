"""Import OpenAPI documents and tell operations in and out, reasons, seconds and peak memory.

    python benchmarks/openapi_import.py [--markdown] DOCUMENT…

Each document is imported in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_autopilot.models import Operation

_ONE = "--one"
_MEGABYTE = 2**20


def measure(path: Path) -> dict[str, Any]:
    """Return what importing one document comes to: counts, reasons, seconds and peak MB of the process."""
    import resource

    from prefect_autopilot.adapters.documents import LARGEST_DOCUMENT, parse_document
    from prefect_autopilot.errors import UsageError
    from prefect_autopilot.services.openapi import import_document

    content = path.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    told: dict[str, Any] = {"document": path.stem, "mb": round(len(content) / _MEGABYTE, 2)}
    if len(content) > LARGEST_DOCUMENT:
        return told | {"error": "The document is too large."}
    try:
        document = parse_document(content)
        parsed = time.perf_counter()
        report = import_document(document, service_id="measured")
    except UsageError as error:
        return told | {"error": error.message}
    ended = time.perf_counter()
    service = report.service
    return told | {
        "version": service.provenance[0].partition(":")[0],
        "imported": len(service.operations),
        "left_out": len(report.left_out),
        "reasons": report.reasons,
        "sign_in": service.auth.scheme,
        "lists": sum(one.list_at is not None for one in service.operations),
        "paged": sum(one.pagination.kind != "none" for one in service.operations),
        "unpaged": dict(
            Counter(why for one in service.operations if (why := why_unpaged(one))).most_common()
        ),
        "parse_s": round(parsed - started, 2),
        "import_s": round(ended - parsed, 2),
        "processor_s": round(time.process_time() - worked, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "start_mb": before // 1024,
    }


def why_unpaged(operation: Operation) -> str:
    """Return why no further page of a list can be asked for, empty where one can or there is no list."""
    from prefect_autopilot.services.openapi_names import snake_case
    from prefect_autopilot.services.openapi_schema import words

    if operation.list_at is None or operation.pagination.kind != "none":
        return ""
    asked = {snake_case(one.name) for one in operation.parameters if one.location == "query"}
    if asked & {*words("page"), *words("offset"), *words("cursor_asked"), *words("row_asked")}:
        return "the answer does not say how it goes on"
    if any("limit" in name or "size" in name or "top" in name or "count" in name for name in asked):
        return "takes a number of rows only"
    return "takes nothing about pages"


def main() -> int:
    """Measure the documents named on the command line; 1 when one of them could not be imported."""
    options = argparse.ArgumentParser(description="Import OpenAPI documents and measure it.")
    options.add_argument("documents", nargs="+", type=Path)
    options.add_argument("--markdown", action="store_true", help="print a table without times")
    options.add_argument(_ONE, action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(measure(given.documents[0])))
        return 0
    rows = []
    for path in given.documents:
        command = [sys.executable, __file__, _ONE, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        if not given.markdown:
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
    if given.markdown:
        sys.stdout.write(table(rows))
    return int(any("error" in row for row in rows))


def told(counts: dict[str, int]) -> str:
    """Return reasons with their counts."""
    return "; ".join(f"{reason}: {count}" for reason, count in counts.items())


def table(rows: list[dict[str, Any]]) -> str:
    """Return the counts as a Markdown table."""
    lines = [
        "| document | version | MB | imported | left out | why | sign-in | lists | paged | not paged, why |",
        "|---|---|---:|---:|---:|---|---|---:|---:|---|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['document']} | | {row['mb']} | 0 | | {row['error']} | | | | |")
            continue
        cells = (row["document"], row["version"], row["mb"], row["imported"], row["left_out"])
        cells += (told(row["reasons"]),)
        cells += (row["sign_in"], row["lists"], row["paged"], told(row["unpaged"]))
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    good = [row for row in rows if "error" not in row]
    kept, out = sum(row["imported"] for row in good), sum(row["left_out"] for row in good)
    lines.append(f"| **{len(rows)} documents** | | | **{kept}** | **{out}** | | | | | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
