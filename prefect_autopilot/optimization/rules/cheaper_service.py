"""Use a cheaper service that does the same and is connected already: a proposal, by the owner's prices.

Before::

    text = call_service("sms-a", "send_message", to=to)        # 75.00 for a thousand

After::

    text = call_service("sms-b", "send_message", to=to)        # 45.00 for a thousand

The price table says which services do the same job; nothing is said without one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, Touch
from prefect_autopilot.models import Advice, PriceTable, ServicePrice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.starts import monthly_runs

_NAME = "cheaper_service"


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each task or flow that calls a service where a cheaper connected one does the same."""
    if file.prices is None:
        return
    for task, touches in _callers(file):
        found = _used(touches, file.prices)
        if found is None:
            continue
        now, line = found
        others = [
            one
            for one in file.prices.services
            if one.job == now.job and one.connected and one.price < now.price
        ]
        if not others:
            continue
        best = min(others, key=lambda one: (one.price, one.service))
        timing = file.timing(task) if task.kind == "task" else None
        runs = monthly_runs(file)
        calls = (
            None
            if timing is None or runs is None or timing.calls_per_run is None
            else timing.calls_per_run * runs
        )
        saving = None if calls is None else round(calls * (now.price - best.price) / 1000, 2)
        yield Advice(
            rule=_NAME,
            line=line,
            reason=f"{best.service} does {now.job} for {best.price:g} instead of {now.price:g} "
            f"{file.prices.currency} a thousand, and is connected",
            how=f"call {best.service} in {task.node.name} instead of {now.service}",
            evidence=(
                f"line {line}: {now.service}",
                f"price table as of {file.prices.as_of or 'an unknown day'}",
            ),
            preconditions=(f"{best.service} does all that {task.node.name} needs of {now.service}",),
            saving_n=timing.n if timing and saving is not None else 0,
            saving_per_month=saving,
            currency=file.prices.currency,
            undo=f"call {now.service} again",
        )


def _callers(file: FlowFile) -> Iterator[tuple[Function, tuple[Touch, ...]]]:
    """Yield each task with what it does, and each flow with what it does itself, not through others."""
    for task in file.tasks:
        yield task, file.reader.effect(task).touches
    for flow in file.flows:
        calls = [node for node in ast.walk(flow.node) if isinstance(node, ast.Call)]
        own = [node for node in calls if file.reader.called(node, flow) is None]
        yield flow, tuple(touch for node in own for touch in file.reader.own_touches(node, flow))


def _used(touches: tuple[Touch, ...], prices: PriceTable) -> tuple[ServicePrice, int] | None:
    """Return the dearest priced service that is called, with the line."""
    found = [
        (row, touch.line)
        for touch in touches
        for row in prices.services
        if touch.resource and _is_called(row.service, touch.resource)
    ]
    return max(found, key=lambda pair: pair[0].price, default=None)


def _is_called(service: str, resource: str) -> bool:
    """Tell whether a resource (``service:twilio``, ``http:api.twilio.com``, ``llm``) is one of a service."""
    kind, _, place = resource.partition(":")
    labels = place.split(".")
    return service in {resource, place} or (kind == "http" and service in labels[-2:-1])


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST}), find=find, order=82)
"""The same for less."""
