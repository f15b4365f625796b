"""Source and history in, a plan with reasons and new source out."""

from __future__ import annotations

import ast
import difflib

from prefect_autopilot.effects import OperationEffects, Project, split_lines
from prefect_autopilot.effects.text import TextEdit, apply_edits, overlap, unified_diff
from prefect_autopilot.errors import InvalidFlowError
from prefect_autopilot.models import FlowHistory, OptimizationPlan, Prediction, Rejection, Rewrite, Strategy
from prefect_autopilot.optimization.decorators import add_imports, bound_runner
from prefect_autopilot.optimization.plan import MAX_WORKERS, FlowFile, Proposal
from prefect_autopilot.optimization.rules import rules
from prefect_autopilot.optimization.timeline import timelines

_ROUNDS = 8
_BOM = "\ufeff"


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
) -> OptimizationPlan:
    """Return what can be made better in a flow file and its new source; nothing is imported or run.

    Expected savings are seconds per run, from ``history``; None without it. ``unsafe`` also makes edits of
    risk opt_in. ``project`` holds the other modules, ``place`` is the file's dotted name there.
    Raises InvalidFlowError for text that is not Python or holds no flow.
    """
    mark = _BOM if source.startswith(_BOM) else ""
    current = source.removeprefix(_BOM)
    edits: list[Rewrite] = []
    rejected: tuple[Rejection, ...] = ()
    for turn in range(_ROUNDS):
        parsed = FlowFile(current, history, operations, project, place)
        if turn == 0 and not any(True for _ in parsed.module.flows()):
            raise InvalidFlowError(
                f"{file} holds no Prefect flow; give a file with a function decorated with @flow."
            )
        changes, made, left = _one_round(parsed, strategy, unsafe=unsafe)
        new = apply_edits(current, changes)
        line_of = _line_map(source.removeprefix(_BOM), current)
        edits += [one.model_copy(update={"line": line_of(one.line)}) for one in made]
        rejected = tuple(one.model_copy(update={"line": line_of(one.line)}) for one in left)
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
        diff=unified_diff(source, final, file),
        source=final,
        prediction=_predicted(source.removeprefix(_BOM), current, history),
    )


def _predicted(before: str, after: str, history: FlowHistory | None) -> Prediction | None:
    pair = timelines(before, after, history) if history is not None and before != after else None
    if pair is None or not pair[0].measured:
        return None
    return Prediction(
        before_s=pair[0].makespan_s,
        after_s=pair[1].makespan_s,
        critical_path_s=pair[0].critical_path_s,
        work_bound_s=round(pair[0].work_s / MAX_WORKERS, 3),
    )


def _one_round(
    file: FlowFile, strategy: Strategy, *, unsafe: bool
) -> tuple[list[TextEdit], list[Rewrite], list[Rejection]]:
    """Return the edits of all rules that do not touch one another, what they are, and what was left alone."""
    changes: list[TextEdit] = []
    made: list[Rewrite] = []
    left: list[Rejection] = []
    imports: list[str] = []
    bounded: set[str] = set()
    for rule in rules():
        if strategy not in rule.strategies:
            continue
        for finding in rule.find(file):
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
    return [*changes, *add_imports(file, tuple(imports))], made, left


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
        expected_saving_s=None if finding.saving_s is None else round(finding.saving_s, 3),
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
