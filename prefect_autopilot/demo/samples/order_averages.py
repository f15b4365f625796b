"""A flow with a genuine bug: on a day without orders it divides by zero."""

from __future__ import annotations

from prefect import flow, task


@task
def read_orders(day: str) -> list[float]:
    """Return the amounts of one day; the shop is closed on Sundays."""
    return [] if day == "sunday" else [120.0, 80.5]


@task
def average(amounts: list[float]) -> float:
    """Return the mean amount."""
    return sum(amounts) / len(amounts)


@flow(name="order-averages")
def order_averages(day: str = "sunday") -> float:
    """Average the orders of a day."""
    return average(read_orders(day))
