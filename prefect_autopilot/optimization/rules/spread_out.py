"""Run tasks on several machines where their work is too much for one: a proposal.

Before::

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main(parts): ...

After::

    @flow(task_runner=DaskTaskRunner(address="tcp://scheduler:8786"))
    def main(parts): ...

A cluster is the owner's to run; nothing is edited.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Durations, Finding, FlowFile, Rule
from prefect_autopilot.optimization.savings import saved
from prefect_autopilot.optimization.starts import Start, computes_alone, starts

_NAME = "spread_out"
_WORK_S = 3600
_MACHINES = 4


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each flow whose tasks keep processors busy for more than an hour in a run."""
    if file.history is None:
        return
    for flow in file.flows:
        many = {one.task.name: one for one in starts(file, flow) if one.many}
        busy = [one for one in many.values() if not computes_alone(file, one.task)]
        work = _work(file, busy, Durations(file))
        if work < _WORK_S:
            continue
        names = ", ".join(one.task.node.name for one in busy)
        saving = file.saving(lambda duration, busy=busy: _saved(file, busy, duration))  # type: ignore[misc]
        yield Advice(
            rule=_NAME,
            line=busy[0].call.lineno,
            reason=f"{names} keep processors busy for {work / 3600:.1f} hours in each run",
            how="pip install prefect-dask, then @flow(task_runner=DaskTaskRunner(address=…)); "
            "or prefect-ray with RayTaskRunner",
            evidence=tuple(f"line {one.call.lineno}: {one.task.node.name}" for one in busy),
            preconditions=(
                "a cluster is there, with the same packages and the flow's files on every machine",
                "arguments and results can be pickled and are small beside the work",
            ),
            **saved(saving),
            undo="give the flow its task runner back",
        )


def _work(file: FlowFile, busy: list[Start], duration: Durations) -> float:
    total = 0.0
    for one in busy:
        timing, seconds = file.timing(one.task), duration(one.task)
        if timing and seconds is not None and timing.calls_per_run and timing.cpu_share is not None:
            total += seconds * timing.calls_per_run * timing.cpu_share
    return total


def _saved(file: FlowFile, busy: list[Start], duration: Durations) -> float | None:
    work = _work(file, busy, duration) / file.settings.max_workers
    return work * (1 - 1 / _MACHINES)


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.PERFORMANCE}), find=find, order=85)
"""Work for more than one machine."""
