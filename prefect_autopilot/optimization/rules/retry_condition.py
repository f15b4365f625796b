"""Do not repeat what cannot come out otherwise: a 404 or a refused key stays one. A proposal.

Before::

    @task(retries=3, retry_delay_seconds=[2, 4, 8])
    def read_rates(day):
        answer = httpx.get(...)
        answer.raise_for_status()

After::

    @task(retries=3, retry_delay_seconds=[2, 4, 8], retry_condition_fn=worth_retrying)
    def read_rates(day): ...

Which answers pass is the service's to say, so nothing is edited.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.retries import has_retries

_NAME = "retry_condition"
_RAISES = "raise_for_status"
_HOW = """def worth_retrying(task, run, state):
    answer = getattr(state.data, "response", state.data)
    status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
    return status is None or status in (408, 425, 429) or status >= 500"""


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each retried task that raises for whatever status it is answered."""
    for task in file.tasks:
        raising = [one for one in file.reader.effect(task).touches if one.what.endswith(_RAISES)]
        decided = "retry_condition_fn" in task.options or "**" in task.options
        if not raising or decided or not has_retries(task):
            continue
        yield Advice(
            rule=_NAME,
            line=task.decorator.lineno if task.decorator else task.node.lineno,
            reason=f"{task.node.name} is retried whatever it was answered: a 404 waits and comes again",
            how=f"{_HOW}\n\n\n@task(…, retry_condition_fn=worth_retrying)",
            evidence=(raising[0].told,),
            preconditions=("what is answered with another 4xx stays so",),
            undo=f"remove retry_condition_fn from the decorator of {task.node.name}",
        )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=69)
"""Only what may pass is repeated."""
