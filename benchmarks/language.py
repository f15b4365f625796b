"""Measure what becomes of many requests: their flows checked and run, hostile ones looked at.

    python benchmarks/language.py               understand, generate, compile, check hostile requests
    python benchmarks/language.py --check       also ruff format, ruff check and mypy on the flows
    python benchmarks/language.py --preview     also run every flow against simulated services

A preview needs a Prefect server (PREFECT_API_URL), or takes the time to start one each.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import GeneratedFlow, RequestContext
from prefect_autopilot.services import load_catalogue

REQUESTS = Path(__file__).with_name("language_requests.toml")
IMPORTS = {"typing", "time", "json", "prefect", "prefect.states", "prefect_autopilot.tasks"}
"""All that a generated flow may import."""


def main() -> int:
    """Print the shares; exit code 1 where a hostile request did something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--preview", action="store_true")
    chosen = parser.parse_args()
    requests = tomllib.loads(REQUESTS.read_text(encoding="utf-8"))
    flows, asked = generated(requests["flows"])
    share("requests that become a flow", len(flows), len(requests["flows"]))
    for text, why in asked:
        sys.stdout.write(f"    {text}\n        {why}\n")
    share("compile and import nothing else", sum(is_sound(one.source) for one in flows), len(flows))
    harmful = [text for text in requests["hostile"] if not is_harmless(text)]
    share("hostile requests without harm", len(requests["hostile"]) - len(harmful), len(requests["hostile"]))
    if chosen.check:
        check(flows)
    if chosen.preview:
        asyncio.run(preview(flows))
    return 1 if harmful else 0


def share(what: str, part: int, whole: int) -> None:
    """Print one figure with its n."""
    sys.stdout.write(f"{what:40}{part:>5} of {whole}\n")


def generated(texts: list[str]) -> tuple[list[GeneratedFlow], list[tuple[str, str]]]:
    """Return the flows of requests, and the requests that ask something instead."""
    catalogue = load_catalogue()
    flows: list[GeneratedFlow] = []
    asked: list[tuple[str, str]] = []
    for text in texts:
        try:
            flows.append(generate(design(analyze(text, RequestContext(), catalogue), catalogue), catalogue))
        except AutopilotError as error:
            asked.append((text, error.message))
    return flows, asked


def is_sound(source: str) -> bool:
    """Tell whether source compiles, imports what it may, and calls nothing but its steps."""
    tree = ast.parse(source)
    compile(tree, "flow.py", "exec")
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return imported <= IMPORTS and not called & {"eval", "exec", "compile", "open", "__import__", "getattr"}


def is_harmless(text: str) -> bool:
    """Tell whether a request is answered without a crash, and its flow, if any, is sound."""
    catalogue = load_catalogue()
    analysis = analyze(text, RequestContext(), catalogue)
    if analysis.status != "flow":
        return bool(analysis.questions or analysis.reasons)
    try:
        flow = generate(design(analysis, catalogue), catalogue)
    except AutopilotError:
        return True  # a question
    is_plain = flow.file_name.removesuffix(".py").isidentifier() and "_" in flow.file_name
    return is_plain and is_sound(flow.source) and is_sound_test(flow.test_source)


def is_sound_test(source: str) -> bool:
    """Tell whether the test beside a flow compiles."""
    return compile(source, "test_flow.py", "exec") is not None


def check(flows: list[GeneratedFlow]) -> None:
    """Print how many flows the formatter, the linter and the type checker leave alone."""
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(flows):
            Path(folder, f"f{number}_{one.file_name}").write_text(one.source, encoding="utf-8")
        for name, *command in (
            ("ruff format", "ruff", "format", "--check", "--isolated", "--line-length", "88"),
            ("ruff check", "ruff", "check", "--isolated"),
            ("mypy", "mypy", "--no-error-summary", "--ignore-missing-imports", "--explicit-package-bases"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", *command, folder], capture_output=True, text=True, check=False
            )
            faults = {
                line.split(":")[0] for line in done.stdout.splitlines() if folder in line or ".py" in line
            }
            share(f"{name} clean", len(flows) - min(len(faults), len(flows)), len(flows))
            if done.returncode:
                sys.stdout.write(done.stdout[:2000])


async def preview(flows: list[GeneratedFlow]) -> None:
    """Print how many flows run green against simulated services, and how long that takes."""
    green, seconds = 0, []
    for one in flows:
        started = time.monotonic()
        result = await automate.preview(one)
        seconds.append(time.monotonic() - started)
        green += result.succeeded
        if not result.succeeded:
            sys.stdout.write(f"    {one.spec.request}\n        {result.error}\n")
    share("green in preview", green, len(flows))
    quarters = statistics.quantiles(seconds[1:], n=20)
    sys.stdout.write(
        f"seconds of a preview, warm (n = {len(seconds) - 1}): median {statistics.median(seconds[1:]):.2f},"
        f" p95 {quarters[-1]:.2f}, longest {max(seconds[1:]):.2f}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
