"""Measure the steps of requests: operations, order, loops, conditions, literals, and what is asked instead.

python benchmarks/language_steps.py              figures of each group
python benchmarks/language_steps.py --misses     also every request that was misread, and how
python benchmarks/language_steps.py --group NAME only one group
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import load_catalogue

CASES = Path(__file__).with_name("language_steps.toml")
STAND_IN = "http_request"


@dataclass(frozen=True)
class Outcome:
    """What became of one request."""

    analysis: Analysis
    written: str
    """Its source, or where something is asked the values of its steps."""
    is_flow: bool

    @property
    def steps(self) -> list[str]:
        """Name the calls in order."""
        named = (f"{s.service}.{s.operation}" for s in self.analysis.steps)
        return ["http.request" if one == f"http.{STAND_IN}" else one for one in named]

    @property
    def told(self) -> str:
        """Join what is asked and told."""
        one = self.analysis
        return " ".join([*(q.text for q in one.questions), *one.unsupported, *one.reasons]).lower()


def main() -> int:
    """Print the shares of each group."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--group")
    chosen = parser.parse_args()
    for group in tomllib.loads(CASES.read_text(encoding="utf-8"))["group"]:
        if chosen.group in {None, group["name"]}:
            score(group["name"], group["cases"], misses=chosen.misses)
    return 0


def outcome_of(text: str) -> Outcome:
    """Understand a request of somebody of whom nothing is known, and write its flow if nothing is asked."""
    catalogue = load_catalogue()
    analysis = analyze(text, RequestContext(), catalogue)
    values = [json.dumps(s.model_dump(mode="json"), ensure_ascii=False) for s in analysis.steps]
    try:
        source = generate(design(analysis, catalogue), catalogue).source
    except AutopilotError:
        return Outcome(analysis, "\n".join(values), is_flow=False)
    return Outcome(analysis, _body_of(source), is_flow=True)


def _body_of(source: str) -> str:
    """Return a source without its first docstring, where the request stands as a whole."""
    return re.sub(r'^""".*?"""', "", source, count=1, flags=re.DOTALL)


def score(name: str, cases: list[dict[str, Any]], *, misses: bool) -> None:
    """Print what of a group is right."""
    right: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for case in cases:
        outcome = outcome_of(case["say"])
        verdicts = judged(case, outcome)
        for what, is_right in verdicts.items():
            whole[what] += 1
            right[what] += is_right
        if misses and not all(verdicts.values()):
            _show(case, outcome, [what for what, is_right in verdicts.items() if not is_right])
    sys.stdout.write(f"{name} (n = {len(cases)})\n")
    for what in whole:
        sys.stdout.write(
            f"    {what:44}{right[what]:>4} of {whole[what]:<4}{right[what] / whole[what]:.3f}\n"
        )


def judged(case: dict[str, Any], outcome: Outcome) -> dict[str, bool]:
    """Judge one request: each question that its expectation answers."""
    if "asks" in case:
        is_told = all(word.lower() in outcome.told for word in case["asks"])
        return {"asked or told instead of a silent stand-in": not outcome.is_flow and is_told}
    wanted = [set(one.split("|")) for one in case["steps"]]
    found = outcome.steps
    same = len(wanted) == len(found) and all(
        "*" in one or f in one for one, f in zip(wanted, found, strict=True)
    )
    verdicts = {
        "operations, in order": same,
        "operations, in any order": _covers(wanted, found),
        "no stand-in": not any(step.endswith(f".{STAND_IN}") for step in found)
        or any("*" in one for one in wanted),
        "becomes a flow": outcome.is_flow,
    }
    looped = [i for i, s in enumerate(outcome.analysis.steps, 1) if s.for_each]
    if "each" in case or looped:
        verdicts["runs for each item, or not"] = looped == case.get("each", [])
    if "when" in case:
        held = [i for i, s in enumerate(outcome.analysis.steps, 1) if s.condition]
        verdicts["conditions of steps"] = held == case["when"]
    for literal in case.get("holds", ()):
        said = _folded(literal)
        verdicts["literals as said"] = verdicts.get("literals as said", True) and said in _folded(
            outcome.written
        )
    verdicts["all of it"] = all(verdicts.values())
    return verdicts


def _covers(wanted: list[set[str]], found: list[str]) -> bool:
    left = list(found)
    for one in sorted(wanted, key=lambda w: "*" in w):
        match = next((f for f in left if "*" in one or f in one), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _folded(text: str) -> str:
    return re.sub(r"\\(['\"])", r"\1", text).casefold()


def _show(case: dict[str, Any], outcome: Outcome, wrong: list[str]) -> None:
    out = sys.stdout
    out.write(f"- {case['say']}\n    wrong: {', '.join(wrong)}\n")
    steps = [
        f"{s.service}.{s.operation}{' each' if s.for_each else ''}{' when' if s.condition else ''}"
        for s in outcome.analysis.steps
    ]
    out.write(f"    steps: {', '.join(steps)}\n    status: {outcome.analysis.status}\n")
    for question in outcome.analysis.questions:
        out.write(f"    asks: {question.text}\n")


if __name__ == "__main__":
    sys.exit(main())
