"""Stand-in for the services in a proof: the simulator, in the process of the proof, anew for each run.

What the flow sends with an effect is its log, in order for each service; what only reads leaves none.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import Any

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.models import OperationEffect
from prefect_autopilot.models.names import SIMULATE

_CATALOGUE = user_catalogue()
_SAFE = {
    (service.id, operation.id)
    for service in _CATALOGUE.services
    for operation in service.operations
    if operation.effect is OperationEffect.SAFE
}
_SIMULATOR = Simulator(_CATALOGUE)
_SERVED = contextlib.ExitStack()
os.environ[SIMULATE] = _SERVED.enter_context(serve_simulator(_SIMULATOR))
atexit.register(_SERVED.close)


def reset() -> None:
    """Forget what the last run did to the services."""
    _SIMULATOR.reset()


def effects() -> list[list[Any]]:
    """Return what the run sent with an effect: service, operation and parameters."""
    return [
        [call.service, call.operation or f"{call.method} {call.path}", call.parameters]
        for call in _SIMULATOR.calls
        if (call.service, call.operation) not in _SAFE
    ]
