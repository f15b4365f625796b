"""A daily report that reads four lists one after the other and one detail for each open order."""

from typing import Any

import httpx
from prefect import flow, task


@task
def read_list(base_url: str, name: str) -> list[dict[str, Any]]:
    """Read one list of the shop."""
    answer = httpx.get(f"{base_url}/{name}", timeout=10)
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@task
def read_detail(base_url: str, order_id: int) -> dict[str, Any]:
    """Read one order with its positions."""
    answer = httpx.get(f"{base_url}/orders/{order_id}", timeout=10)
    answer.raise_for_status()
    detail: dict[str, Any] = answer.json()
    return detail


@task
def combine(
    orders: list[dict[str, Any]],
    customers: list[dict[str, Any]],
    products: list[dict[str, Any]],
    stock: list[dict[str, Any]],
) -> dict[str, Any]:
    """Count what the report tells."""
    return {
        "orders": len(orders),
        "customers": len(customers),
        "out_of_stock": sorted(p["id"] for p in products if p["id"] not in {s["id"] for s in stock}),
    }


@flow(name="sequential-report")
def sequential_report(base_url: str = "http://127.0.0.1:8080") -> dict[str, Any]:
    """Read everything, then combine it."""
    orders = read_list(base_url, "orders")
    customers = read_list(base_url, "customers")
    products = read_list(base_url, "products")
    stock = read_list(base_url, "stock")  # independent of the others

    total = 0
    for order in orders:
        detail = read_detail(base_url, order["id"])
        total += detail["amount"]

    report = combine(orders, customers, products, stock)
    report["total"] = total
    return report
