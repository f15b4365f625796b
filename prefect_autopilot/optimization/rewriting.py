"""Source and history in, a plan with reasons and new source out."""

from __future__ import annotations

import ast
import difflib
import re

from prefect_autopilot.effects import OperationEffects, Project, split_lines
from prefect_autopilot.effects.text import TextEdit, apply_edits, overlap, unified_diff
from prefect_autopilot.errors import InvalidFlowError
from prefect_autopilot.models import (
    Advice,
    FlowHistory,
    OptimizationPlan,
    OptimizerSettings,
    Prediction,
    PriceTable,
    Rejection,
    Rewrite,
    Strategy,
)
from prefect_autopilot.optimization.decorators import add_imports, bound_runner
from prefect_autopilot.optimization.plan import FlowFile, Proposal, RateLimits
from prefect_autopilot.optimization.rules import rules
from prefect_autopilot.optimization.savings import saved
from prefect_autopilot.optimization.timeline import timelines

_ROUNDS = 8
_BOM = "\ufeff"
_NOTEBOOK = re.compile(r"\ufeff?\s*\{\s*\"(cells|metadata|nbformat)\"\s*:")


def optimize(
    source: str,
    *,
    file: str,
    strategy: Strategy,
    history: FlowHistory | None = None,
    unsafe: bool = False,
    operations: OperationEffects | None = None,
    project: Project | None = None,
    place: str = "",
    settings: OptimizerSettings | None = None,
    prices: PriceTable | None = None,
    rates: RateLimits | None = None,
) -> OptimizationPlan:
    """Return what can be made better in a flow file and its new source; nothing is imported or run.

    Expected savings are seconds per run, from ``history``; None without it. ``unsafe`` also makes edits of
    risk opt_in. ``project`` holds the other modules, ``place`` is the file's dotted name there.
    ``settings`` are the project's own, ``prices`` the owner's, without which nothing is said about money;
    ``rates`` are those that services publish.
    Raises InvalidFlowError for text that is not Python or holds no flow.
    """
    if _NOTEBOOK.match(source):
        raise InvalidFlowError(
            f"{file} is a Jupyter notebook; save its flow as a .py file (jupyter nbconvert --to script)."
        )
    mark = _BOM if source.startswith(_BOM) else ""
    current = source.removeprefix(_BOM)
    edits: list[Rewrite] = []
    rejected: tuple[Rejection, ...] = ()
    advice: tuple[Advice, ...] = ()
    chosen = settings or OptimizerSettings()
    for turn in range(_ROUNDS):
        parsed = FlowFile(current, history, operations, project, place, chosen, prices, rates or {})
        if turn == 0 and not any(True for _ in parsed.module.flows()):
            raise InvalidFlowError(
                f"{file} holds no Prefect flow; give a file with a function decorated with @flow."
            )
        changes, made, left, told = _one_round(parsed, strategy, unsafe=unsafe or chosen.unsafe)
        new = apply_edits(current, changes)
        line_of = _line_map(source.removeprefix(_BOM), current)
        edits += [one.model_copy(update={"line": line_of(one.line)}) for one in made]
        rejected = tuple(one.model_copy(update={"line": line_of(one.line)}) for one in left)
        advice = tuple(one.model_copy(update={"line": line_of(one.line)}) for one in told)
        if new == current:
            break
        ast.parse(new)
        current = new
    final = mark + current
    return OptimizationPlan(
        file=file,
        strategy=strategy,
        changed=final != source,
        edits=tuple(edits),
        rejected=rejected,
        advice=advice,
        diff=unified_diff(source, final, file),
        source=final,
        prediction=_predicted(source.removeprefix(_BOM), current, history, chosen.max_workers),
    )


def _predicted(before: str, after: str, history: FlowHistory | None, workers: int) -> Prediction | None:
    pair = timelines(before, after, history) if history is not None and before != after else None
    if pair is None or not pair[0].measured:
        return None
    return Prediction(
        before_s=pair[0].makespan_s,
        after_s=pair[1].makespan_s,
        critical_path_s=pair[0].critical_path_s,
        work_bound_s=round(pair[0].work_s / workers, 3),
    )


def _one_round(
    file: FlowFile, strategy: Strategy, *, unsafe: bool
) -> tuple[list[TextEdit], list[Rewrite], list[Rejection], list[Advice]]:
    """Return the edits of all rules that do not touch one another, what they are, what was left, advice."""
    changes: list[TextEdit] = []
    made: list[Rewrite] = []
    left: list[Rejection] = []
    told: list[Advice] = []
    imports: list[str] = []
    bounded: set[str] = set()
    for rule in rules():
        if strategy not in rule.strategies or rule.name in file.settings.disable:
            continue
        for finding in rule.find(file):
            if isinstance(finding, Advice):
                told.append(finding)
                continue
            if isinstance(finding, Rejection):
                left.append(finding)
                continue
            if finding.risk == "opt_in" and not unsafe:
                reason = f"{finding.reason}; it needs your consent (--unsafe)"
                left.append(Rejection(rule=finding.rule, line=finding.line, reason=reason))
                continue
            extra, needed, refusal = _bound(file, finding, bounded)
            if refusal:
                left.append(Rejection(rule=finding.rule, line=finding.line, reason=refusal))
            elif not overlap([*finding.edits, *extra], changes):  # else: the next round
                changes += [*finding.edits, *extra]
                imports += [*finding.imports, *needed]
                made.append(_rewrite(finding))
                if finding.bounds is not None:
                    bounded.add(finding.bounds.name)
    return [*changes, *add_imports(file, tuple(imports))], made, left, told


def _bound(
    file: FlowFile, finding: Proposal, bounded: set[str]
) -> tuple[tuple[TextEdit, ...], tuple[str, ...], str]:
    if finding.bounds is None or finding.bounds.name in bounded:
        return (), (), ""
    edit, imports, refusal = bound_runner(file, finding.bounds)
    return ((edit,) if edit else ()), imports, refusal


def _rewrite(finding: Proposal) -> Rewrite:
    return Rewrite(
        rule=finding.rule,
        line=finding.line,
        reason=finding.reason,
        risk=finding.risk,
        evidence=finding.evidence,
        preconditions=finding.preconditions,
        **saved(finding.saving),
        undo=finding.undo,
    )


class _line_map:  # noqa: N801 - used like a function
    """Lines of a changed text as lines of the original; compared when the first line is asked for."""

    def __init__(self, original: str, current: str) -> None:
        self._texts = original, current
        self._known: dict[int, int] | None = {} if original == current else None

    def _compare(self) -> dict[int, int]:
        known: dict[int, int] = {}
        original, current = self._texts
        matcher = difflib.SequenceMatcher(None, split_lines(original), split_lines(current), autojunk=False)
        for tag, first, last, start, end in matcher.get_opcodes():
            for offset, line in enumerate(range(start, end)):
                place = first + offset if tag == "equal" else min(first + offset, max(last - 1, first))
                known[line + 1] = place + 1
        return known

    def __call__(self, line: int) -> int:
        if self._known is None:
            self._known = self._compare()
        return self._known.get(line, line)
