"""What a test of a flow needs: a temporary Prefect server and services that are simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.models import ServiceCall
from prefect_autopilot.models.names import SIMULATE


def _no_wait(_seconds: float) -> None:
    """Pass in a test what a flow waits for."""


class SimulatedServices:
    """The services as a flow meets them in a test; ``simulator`` can be told to fail."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def calls_of(self, flow: Callable[..., Any], /, **parameters: Any) -> tuple[ServiceCall, ...]:
        """Run ``flow`` and return the calls that the services saw, in order."""
        seen = len(self.simulator.calls)
        known = getattr(flow, "fn", flow).__globals__
        waits = known.get("sleep")
        try:
            if waits is not None:
                known["sleep"] = _no_wait  # a test has no two hours
            flow(**parameters)
        finally:
            if waits is not None:
                known["sleep"] = waits
        return tuple(self.simulator.calls[seen:])

    def run(self, flow: Callable[..., Any], /, **parameters: Any) -> list[str]:
        """Run ``flow`` and return what it called, as ``service.operation``, in order."""
        calls = self.calls_of(flow, **parameters)
        return [f"{call.service}.{call.operation or call.path}" for call in calls]


@contextmanager
def simulated_services() -> Iterator[SimulatedServices]:
    """Start a temporary Prefect server and simulated services; flows reach nothing else meanwhile.

    The server takes about 15 s to start: share it between the tests of a module.
    """
    from prefect.testing.utilities import prefect_test_harness
    from pytest import MonkeyPatch  # noqa: PT013 - one name, of the library whose users call this

    simulator = Simulator(user_catalogue())
    with (
        prefect_test_harness(server_startup_timeout=90),
        serve_simulator(simulator) as url,
        MonkeyPatch.context() as patch,
    ):
        patch.setenv(SIMULATE, url)
        yield SimulatedServices(simulator)
