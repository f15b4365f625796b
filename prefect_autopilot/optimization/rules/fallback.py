"""Go on with the last good answer where a read fails now and then and old data would do: a proposal.

Before::

    rates = read_rates(day)

After::

    state = read_rates(day, return_state=True)
    if state.is_completed():
        rates = state.result()
        Variable.set("last_good_read_rates", rates, overwrite=True)
    else:
        rates = Variable.get("last_good_read_rates")

Only the owner knows whether old data is better than none, so nothing is edited.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.effects import Level
from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.starts import first_evidence, starts

_NAME = "fallback"
_LEAST_FAILURES = 2
_SHARE = 0.02


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each read over a network whose task failed in some runs although it is retried."""
    seen: set[str] = set()
    for flow in file.flows:
        for start in starts(file, flow):
            task, timing = start.task, file.timing(start.task)
            effect = file.reader.effect(task)
            if task.name in seen or start.many or timing is None or effect.level is not Level.READ:
                continue
            calls = timing.n * (timing.calls_per_run or 1.0)
            often = timing.failures >= max(_LEAST_FAILURES, _SHARE * calls)
            # What failed before it had retries is answered by those first.
            if not (often and effect.waits and timing.retries):
                continue
            seen.add(task.name)
            name = task.node.name
            key = f"last_good_{name}"
            yield Advice(
                rule=_NAME,
                line=start.call.lineno,
                reason=f"{name} failed {timing.failures} times in {calls:.0f} calls although it is retried",
                how=f"state = {name}(…, return_state=True)\n"
                f"if state.is_completed():\n    value = state.result()\n"
                f'    Variable.set("{key}", value, overwrite=True)\n'
                f'else:\n    value = Variable.get("{key}")',
                evidence=(first_evidence(effect),),
                preconditions=("data of the last good run is better than no run", "the value is small JSON"),
                undo=f"call {name} directly again",
            )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY}), find=find, order=81)
"""Old data where new is not to be had."""
