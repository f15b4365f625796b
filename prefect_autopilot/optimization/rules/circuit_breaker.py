"""Stop asking what is down: pause the schedule after failures in a row, and read the last good result.

Before::

    @flow
    def sync(): ...        # fails every ten minutes until somebody looks

After::

    Automation(
        trigger=EventTrigger(expect={"prefect.flow-run.Failed"}, threshold=3, within=3600),
        actions=[PauseDeployment()],
    )

It is a proposal: an automation belongs to the Prefect server, not to the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function
from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule

_NAME = "circuit_breaker"
_FAILURES = 3
_SHARE = 0.2
_AUTOMATION = """name: pause {name} after {count} failures in an hour
trigger:
  type: event
  posture: Reactive
  expect: [prefect.flow-run.Failed, prefect.flow-run.Crashed]
  match: {{prefect.resource.id: "prefect.flow-run.*"}}
  match_related: {{prefect.resource.role: flow, prefect.resource.name: "{name}"}}
  for_each: ["related:deployment:prefect.resource.id"]
  threshold: {count}
  within: 3600
actions:
  - {{type: pause-deployment, source: inferred}}"""


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for the flow of a file that fails often, by its runs."""
    history = file.history
    if history is None or len(file.flows) != 1:
        return
    flow, runs = file.flows[0], history.flow.n + history.failures
    if history.failures < _FAILURES or history.failures < _SHARE * runs:
        return
    calls = file.reader.effect(flow)
    yield Advice(
        rule=_NAME,
        line=flow.node.lineno,
        reason=f"{history.failures} of the last {runs} runs failed, and the schedule goes on",
        how=_AUTOMATION.format(name=_flow_name(flow), count=_FAILURES),
        evidence=(f"{history.failures} of {runs} runs", *calls.evidence[:3]),
        preconditions=("somebody is told, and starts the deployment again when the cause is gone",),
        undo="delete the automation",
    )


def _flow_name(flow: Function) -> str:
    """Return the name Prefect gives a flow: the decorator's, else the function's with dashes."""
    given = flow.options.get("name")
    named = given.value if isinstance(given, ast.Constant) else None
    return named if isinstance(named, str) else flow.node.name.replace("_", "-")


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.RELIABILITY, Strategy.HYBRID}), find=find, order=80)
"""What is down is left alone for a while."""
