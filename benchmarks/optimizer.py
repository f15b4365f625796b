"""Measure the optimiser: gains on the flows of this folder, processor time, and what real files offer.

    python benchmarks/optimizer.py              plans of all flows, processor time of a 500-line file
    python benchmarks/optimizer.py --measure    also run changed flows; --readme keeps the table of gains
    python benchmarks/optimizer.py PATH...      share of the flow files below PATH with an edit, by rule

A measured flow runs in a process of its own against stand-ins for requests and httpx that answer after
0.5 s. A gain is the share of the original's time that is gone, Prefect's own time included, between the
fastest runs of the two: whatever else the machine does can only add to a run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counts import between

from prefect_autopilot.adapters.embedded import running_server
from prefect_autopilot.adapters.files import read_source
from prefect_autopilot.adapters.project_files import read_project
from prefect_autopilot.adapters.proof import prove
from prefect_autopilot.effects import function_effects
from prefect_autopilot.errors import AutopilotError, InvalidFlowError, UsageError
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import OptimizationPlan, Proof, Strategy
from prefect_autopilot.optimization import optimize

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- gains -->", "<!-- /gains -->"
MEASURED = (
    ("kw_args", "two reads, one after the other"),
    ("nested_calls", "reads as arguments"),
    ("diamond", "two branches, then a join"),
    ("multi_loop", "a loop of several statements"),
    ("genexp_sum", "a sum over a generator expression"),
    ("submit_result_loop", "submit and result in a loop"),
    ("submit_result_pair", "submit and result at once"),
    ("async_two", "two awaits"),
    ("async_comp", "awaits in a comprehension"),
)
MORE = ("optimizer_shared_flows.toml", "optimizer_mixed_flows.toml")
STUBS = """
import asyncio, sys, time, types

class Answer:
    status_code, text, content = 200, "x", b"x"
    def __init__(self, url): self.url = url
    def json(self): return {"day": "mon", "url": self.url}
    def raise_for_status(self): return self

def get(url, *_, **__):
    time.sleep(0.5)
    return Answer(url)

class AsyncClient:
    def __init__(self, *_, **__): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): return None
    async def get(self, url, *_, **__):
        await asyncio.sleep(0.5)
        return Answer(url)

requests = types.ModuleType("requests")
requests.get = get
sys.modules["requests"] = requests
import httpx
httpx.get, httpx.AsyncClient = get, AsyncClient
"""


def own_flows() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, expectation and source of every flow of this folder."""
    for name in ("optimizer_flows.toml", "optimizer_hard_flows.toml", *MORE):
        document = tomllib.loads((HERE / name).read_text(encoding="utf-8"))
        for flow, row in document["flows"].items():
            yield flow, row, f"{document['preludes'].get(row.get('prelude', ''), '')}\n{row['source']}"


def plan_of(source: str, strategy: Strategy = Strategy.PERFORMANCE) -> OptimizationPlan:
    """Return the plan for a source without history."""
    return optimize(source, file="flow.py", strategy=strategy)


def tell_plans() -> None:
    """Print how many flows were changed as predicted by hand."""
    rows = [
        (row.get("expect", []), {edit.rule for edit in plan_of(source).edits})
        for _, row, source in own_flows()
    ]
    legal = [sorted(made) == expected for expected, made in rows if expected]
    kept = [not made for expected, made in rows if not expected]
    print(f"flows with a legal edit: {len(legal)}, edited as predicted: {sum(legal)}")
    print(f"flows without one: {len(kept)}, left alone: {sum(kept)}")


def tell_time(rounds: int = 5) -> None:
    """Print the processor time of planning and rewriting a file of 500 lines, beside libcst's."""
    import libcst

    source = next(source for name, _, source in own_flows() if name == "multi_loop")
    head, flow = source.rsplit("@flow", 1)
    text = head
    while len(text.splitlines()) < 500:
        text += f"\n@flow{flow.replace('def main', f'def main_{len(text)}')}"
    ours, theirs = [], []
    for _ in range(rounds):
        start = time.process_time()
        plan_of(text)
        ours.append(time.process_time() - start)
        start = time.process_time()
        libcst.parse_module(text).visit(libcst.CSTTransformer())
        theirs.append(time.process_time() - start)
    own, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{len(text.splitlines())} lines: {own:.3f} s of processor time (median of {rounds}), "
        f"{own / other:.1f} times libcst's parse and transform ({other:.3f} s)"
    )


def tell_files(paths: list[Path], diffs: Path | None = None) -> None:
    """Print what the flow files below some paths offer, rule by rule; nothing is written but ``diffs``.

    Each file is judged with the modules that it imports from its own project.
    """
    files = sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))
    counts, rules, refused = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    levels = {"with its project": Counter[str](), "alone": Counter[str]()}
    for file in files:
        try:
            source = read_source(file)
            plans = {strategy: improve.plan(file, strategy) for strategy in Strategy}
        except (InvalidFlowError, UsageError) as error:
            refused["holds no flow" if "holds no" in str(error) else "cannot be read"] += 1
            continue
        counts["files"] += 1
        levels["with its project"].update(_task_levels(source, file))
        levels["alone"].update(_task_levels(source, None))
        changed = {strategy: plan for strategy, plan in plans.items() if plan.changed}
        counts["changed by any strategy"] += bool(changed)
        for strategy, plan in plans.items():
            counts["changed without an edit"] += plan.source != source and not plan.edits
            counts[f"{strategy} changed"] += plan.changed
        for strategy, plan in changed.items():
            compile(plan.source, str(file), "exec", dont_inherit=True)
            again = improve.plan_source(plan.source, file.name, strategy, path=file)
            counts["not the same twice"] += again.source != plan.source
            rules.update((strategy.value, rule) for rule in {edit.rule for edit in plan.edits})
            if diffs is not None:
                with diffs.open("a", encoding="utf-8") as log:
                    log.write(f"===== {strategy} {file}\n{plan.diff}\n")
    _tell_counts(len(files), refused, counts, rules)
    for name, found in levels.items():
        shares = (f"{level} {count} ({count / max(found.total(), 1):.0%})" for level, count in found.items())
        print(f"  effects of {found.total()} tasks, each file {name}: {', '.join(shares)}")


def _task_levels(source: str, file: Path | None) -> Iterator[str]:
    """Yield the effect level of each task of a file, judged with its project or alone."""
    operations = improve.operation_effects()
    project, place = read_project(file, operations) if file else (None, "")
    for effect in function_effects(source, operations, project, place).values():
        if effect.kind == "task":
            yield effect.level.value


def _tell_counts(
    seen: int, refused: Counter[str], counts: Counter[str], rules: Counter[tuple[str, str]]
) -> None:
    print(f"{seen} files, {dict(refused)}, judged: {counts['files']}")
    for name, count in counts.items():
        print(f"  {name}: {count} ({count / max(counts['files'], 1):.0%})")
    for (strategy, rule), count in sorted(rules.items()):
        print(f"  {strategy:12} {rule:20} {count:4} files ({count / max(counts['files'], 1):.1%})")


async def measure(repeats: int) -> list[tuple[str, Proof]]:
    """Run the flows of ``MEASURED`` before and after; a flow that cannot be run is told and left out."""
    sources = {name: source for name, _, source in own_flows()}
    done: list[tuple[str, Proof]] = []
    with tempfile.TemporaryDirectory() as home:
        async with running_server(Path(home)) as prefect:
            for name, told in MEASURED:
                plan = plan_of(sources[name])
                try:
                    proof = await prove(
                        sources[name],
                        plan.source,
                        function="main",
                        setup=STUBS,
                        environment={"PREFECT_API_URL": prefect.url},
                        repeats=repeats,
                        delays=1,
                    )
                except AutopilotError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                if not proof.reason.startswith("the same result"):
                    print(f"{name}: {proof.reason}", file=sys.stderr)
                    continue
                print(f"{name}: {proof.before_s:.2f} s, {proof.after_s:.2f} s, equal: {proof.equal}")
                done.append((told, proof))
    return done


def table(done: list[tuple[str, Proof]], repeats: int) -> str:
    """Return the gains as markdown, with median and spread."""
    lines = ["| flow | before | after | gain |", "|---|---|---|---|"]
    gains = []
    for name, proof in done:
        gain = 1 - _fastest(proof.after_s, proof.after_range_s) / _fastest(
            proof.before_s, proof.before_range_s
        )
        gains.append(gain)
        lines.append(f"| {name} | {_span(proof.before_s, proof.before_range_s)} "
                     f"| {_span(proof.after_s, proof.after_range_s)} | {gain:.0%} |")  # fmt: skip
    equal = sum(one.equal for _, one in done)
    told = (
        f"Seconds, median (fastest to slowest) of {repeats} runs each on a busy machine with two cores, the "
        f"gain between the fastest; stand-ins answer after 0.5 s. "
        f"Median gain {statistics.median(gains):.0%}, from {min(gains):.0%} to "
        f"{max(gains):.0%} (n = {len(gains)}); results and effects were equal in {equal} of {len(done)}."
    )
    lines += ["", told]
    return "\n".join(lines)


def _fastest(median: float, ends: tuple[float, float] | None) -> float:
    return median if ends is None else ends[0]


def _span(median: float, ends: tuple[float, float] | None) -> str:
    return f"{median:.2f}" if ends is None else f"{median:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--diffs", type=Path, help="append every diff to this file")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if given.paths:
        tell_files(given.paths, given.diffs)
        return
    tell_plans()
    tell_time()
    if given.measure:
        text = table(asyncio.run(measure(given.repeats)), given.repeats)
        print(text)
        if given.readme:
            page = README.read_text(encoding="utf-8")
            README.write_text(between(page, BEGIN, END, text), encoding="utf-8")


if __name__ == "__main__":
    main()
