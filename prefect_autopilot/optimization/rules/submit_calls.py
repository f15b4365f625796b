"""Submit independent calls: reads that do not need one another wait at the same time.

Before::

    orders = read_orders(day)
    customers = read_customers(day)

After::

    orders_future = read_orders.submit(day)
    customers_future = read_customers.submit(day)
    orders = orders_future.result()
    customers = customers_future.result()
"""

from __future__ import annotations

from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization.grouping import find_groups
from prefect_autopilot.optimization.plan import Rule

RULE = Rule(
    name="submit_calls",
    strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}),
    find=lambda file: find_groups(file, "submit_calls", frozenset({"call"})),
    order=30,
)
