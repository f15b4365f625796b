"""Run tasks that compute in processes instead of threads: Python computes in one thread at a time.

Before::

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main(parts):
        return render.map(parts).result()

After::

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=4))
    def main(parts):
        return render.map(parts).result()

Opt-in, and only where every task the flow starts computes from its input alone and the runs so far show
that it keeps a processor busy. Where such tasks are still called one after the other it is a proposal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Advice, Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords, foreign_runner, runner_name
from prefect_autopilot.optimization.plan import Durations, Finding, FlowFile, Proposal, Rule, Saving
from prefect_autopilot.optimization.savings import UNTOLD, saved
from prefect_autopilot.optimization.starts import Start, computes_alone, in_this_file, starts

_NAME = "process_pool"
_RUNNER = "ProcessPoolTaskRunner"
_BUSY = 0.5
_LEAST_SAVING_S = 5.0
"""A process imports Prefect before its first task, which takes seconds: less is not worth it."""
_PRECONDITIONS = (
    "the file guards its own start by `if __name__ == '__main__':`, because each process imports it",
    "arguments and results can be pickled",
    "the worker has a processor for each process",
)


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield the runner of processes for each flow whose tasks keep a processor busy."""
    if file.history is None:
        return
    for flow in file.flows:
        found = [one for one in starts(file, flow) if one.many]
        busy = [one for one in found if _is_busy(file, one.task)]
        if not busy:
            yield from _untold(file, found)
            continue
        saving = file.saving(lambda duration, busy=busy: _saved(file, busy, duration))  # type: ignore[misc]
        line = busy[0].call.lineno
        if saving is not None and saving.expected_s < _LEAST_SAVING_S:
            reason = f"{max(saving.expected_s, 0):.1f} s are less than starting processes is worth"
            yield Rejection(rule=_NAME, line=line, reason=reason)
            continue
        started = [one for one in starts(file, flow) if one.how != "call"]
        reason = _refusal(file, flow, started or busy)
        if reason:
            yield Rejection(rule=_NAME, line=line, reason=reason)
        elif started:
            yield _proposal(file, flow, busy, saving)
        else:
            yield _advice(file, busy[0], saving)


def _untold(file: FlowFile, found: list[Start]) -> Iterator[Rejection]:
    """Yield what would be worth a process each if it computes, which nobody measured."""
    for one in found:
        timing = file.timing(one.task)
        long = timing and (timing.p50_s or 0.0) * (timing.calls_per_run or 0.0) >= _LEAST_SAVING_S
        pure = file.reader.effect(one.task).level is Level.PURE
        if timing and timing.cpu_share is None and long and pure:
            reason = f"how much of its time {one.task.node.name} computes is not known {UNTOLD}"
            yield Rejection(rule=_NAME, line=one.call.lineno, reason=reason)


def _is_busy(file: FlowFile, task: Function) -> bool:
    timing = file.timing(task)
    return timing is not None and timing.cpu_share is not None and timing.cpu_share >= _BUSY


def _saved(file: FlowFile, busy: list[Start], duration: Durations) -> float | None:
    total = 0.0
    for task in {one.task.name: one.task for one in busy}.values():
        timing, seconds = file.timing(task), duration(task)
        if timing is None or seconds is None or timing.calls_per_run is None or timing.cpu_share is None:
            return None
        total += timing.cpu_share * seconds * timing.calls_per_run
    return total * (1 - 1 / file.settings.max_workers)


def _refusal(file: FlowFile, flow: Function, started: list[Start]) -> str:
    alone = next((reason for one in started if (reason := computes_alone(file, one.task))), "")
    away = next((one.task.node.name for one in started if not in_this_file(file, one.task)), "")
    far = f"{away} does not stand at module level of this file" if away else ""
    return alone or far or foreign_runner(file, flow)


def _proposal(file: FlowFile, flow: Function, busy: list[Start], saving: Saving | None) -> Finding:
    given = flow.options.get("task_runner")
    name, imports = runner_name(file, _RUNNER)
    wanted = f"{name}(max_workers={file.settings.max_workers})"
    edit: TextEdit | None
    if isinstance(given, ast.Call):
        func = given.func
        bounded = bool(given.args or given.keywords)
        edit = TextEdit(
            file.text.start(func if bounded else given),
            file.text.end(func if bounded else given),
            name if bounded else wanted,
        )
    elif given is not None:
        edit = TextEdit(file.text.start(given), file.text.end(given), wanted)
    else:
        edit = add_keywords(file, flow, {"task_runner": wanted})
    if edit is None:
        return Rejection(rule=_NAME, line=flow.node.lineno, reason=f"{flow.node.name} has no decorator")
    return Proposal(
        rule=_NAME,
        line=busy[0].call.lineno,
        reason=_told(file, busy[0]),
        edits=(edit,),
        evidence=tuple(f"line {one.call.lineno}: {one.task.node.name} computes" for one in busy),
        preconditions=_PRECONDITIONS,
        saving=saving,
        undo=f"give {flow.node.name} its task runner back",
        imports=imports,
        risk="opt_in",
    )


def _advice(file: FlowFile, first: Start, saving: Saving | None) -> Advice:
    name = first.task.node.name
    return Advice(
        rule=_NAME,
        line=first.call.lineno,
        reason=f"{_told(file, first)}, and it is called one after the other",
        how=f"@flow(task_runner={_RUNNER}(max_workers={file.settings.max_workers}))\n"
        f"results = {name}.map(items).result()",
        evidence=(f"line {first.call.lineno}: {name} computes",),
        preconditions=_PRECONDITIONS,
        **saved(saving),
        undo=f"call {name} directly again",
    )


def _told(file: FlowFile, start: Start) -> str:
    timing = file.timing(start.task)
    share, n = (timing.cpu_share or 0.0, timing.n) if timing else (0.0, 0)
    return (
        f"{start.task.node.name} computes {share:.0%} of its time (n = {n}), which threads do one at a time"
    )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}), find=find, order=35)
"""What computes runs on several processors."""
