"""Prefect tasks of the product; ``call_service`` is what generated flows are made of."""

from typing import cast

from prefect_autopilot.tasks import services
from prefect_autopilot.tasks.services import ServiceTask

call_service = cast("ServiceTask", services.call_service)

__all__ = ["ServiceTask", "call_service"]
