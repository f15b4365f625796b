"""Split ``task.submit(…).result()``: it waits at once for what it has just started.

Before::

    a = read.submit(1).result()
    b = read.submit(2).result()

After::

    a_future = read.submit(1)
    b_future = read.submit(2)
    a = a_future.result()
    b = b_future.result()
"""

from __future__ import annotations

from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization.grouping import find_groups
from prefect_autopilot.optimization.plan import Rule

RULE = Rule(
    name="split_submit",
    strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}),
    find=lambda file: find_groups(file, "split_submit", frozenset({"submit"})),
    order=31,
)
