"""Let an event start the flow where it now asks again and again and waits in between: a proposal.

Before::

    while not is_ready(job):
        time.sleep(30)

After::

    @flow
    def when_ready(job): ...        # started by an automation, on the event that the job is ready

Waiting holds a worker and asks for nothing most of the time. Only the owner knows what tells of the event.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level, Touch, walked
from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.starts import LOOPS

_NAME = "drop_polling"
_LONG_S = 60
_SLEEPS = ("time.sleep", "asyncio.sleep")


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each loop that reads and sleeps until something is there, and for long sleeps."""
    for function in [*file.tasks, *file.flows]:
        inside: set[int] = set()
        for loop in walked(function.node):
            if not isinstance(loop, LOOPS):
                continue
            found = _polling(file, function, loop)
            if found and id(loop) not in inside:
                inside |= {id(part) for part in walked(loop)}
                yield _advice(function, loop, *found)
        for call in walked(function.node):
            if (
                isinstance(call, ast.Call)
                and id(call) not in inside
                and (seconds := _sleeps(file, function, call))
            ):
                yield _long(function, call, seconds)


def _polling(file: FlowFile, function: Function, loop: ast.stmt) -> tuple[Touch, Touch] | None:
    """Return the pause and the read of a loop that can end before its items do."""
    leaves = any(isinstance(part, ast.Break | ast.Return) for part in walked(loop))
    if not isinstance(loop, ast.While) and not leaves:
        return None  # a pause between items keeps a rate
    touches = file.reader.touches(loop, function)
    pause = next((one for one in touches if one.paced and one.what.endswith("sleep")), None)
    reads = [one for one in touches if one.level is Level.READ and one.waits]
    writes = any(one.level is Level.WRITE for one in touches)
    return (pause, reads[0]) if pause and reads and not writes else None


def _sleeps(file: FlowFile, function: Function, call: ast.Call) -> float:
    name = file.module.qualified(call.func, file.reader.scope(function).names)
    given = call.args[0] if call.args else None
    seconds = given.value if isinstance(given, ast.Constant) else None
    is_long = name in _SLEEPS and isinstance(seconds, int | float) and seconds >= _LONG_S
    return float(seconds) if is_long and isinstance(seconds, int | float) else 0.0


def _advice(function: Function, loop: ast.stmt, pause: Touch, read: Touch) -> Advice:
    return Advice(
        rule=_NAME,
        line=loop.lineno,
        reason=f"{function.node.name} asks again and again until something is there and holds a worker",
        how="let a webhook of the service, or an event in Prefect, start a flow for what follows; where the "
        "service tells nothing, run a short flow on a schedule that ends when nothing is there",
        evidence=(pause.told, read.told),
        preconditions=("an event tells of it, or it may be found a schedule's interval late",),
        undo="put the loop back",
    )


def _long(function: Function, call: ast.Call, seconds: float) -> Advice:
    return Advice(
        rule=_NAME,
        line=call.lineno,
        reason=f"{function.node.name} sleeps for {seconds:g} s and holds a worker meanwhile",
        how="end the run; a schedule, an event or run_deployment(…, scheduled_time=…) starts what follows",
        evidence=(f"line {call.lineno}: {ast.unparse(call)}",),
        preconditions=("what follows needs nothing of this run but its parameters and stored results",),
        expected_saving_s=seconds,
        undo="put the pause back",
    )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST, Strategy.HYBRID}), find=find, order=84)
"""No worker that only waits."""
