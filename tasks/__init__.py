"""Prefect tasks of the product; ``call_service`` is what generated flows are made of."""

from prefect_autopilot.tasks.services import call_service

__all__ = ["call_service"]
