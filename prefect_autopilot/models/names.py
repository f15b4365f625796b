"""Names that several rooms must agree on, because people, servers and processes read them."""

from __future__ import annotations

from typing import Final

OWN_PREFIX: Final = "autopilot-"
"""What the names of our own flows and deployments begin with; those are never watched or changed."""

WORK_POOL: Final = "autopilot"
"""The work pool that ``install`` makes; generated flows are deployed into it unless another is named."""

MARK: Final = "autopilot"
"""Every state we set begins with this word, so that a run's own history tells who acted."""

CONNECTION_BLOCK: Final = "service-connection"
"""Slug of the block type that holds the credentials of a service."""

SIMULATE: Final = "PREFECT_AUTOPILOT_SIMULATE"
"""Environment variable with the address of a simulator; where it is set no real service is called."""

FAILURE_EVENTS: Final = ("prefect.flow-run.Crashed", "prefect.flow-run.Failed", "prefect.flow-run.TimedOut")
"""Events of Prefect after which a run is looked at."""

MEASURE_EVENT: Final = "prefect-autopilot.metric"
"""Event about a flow run whose payload is a measure: ``name`` and ``value``."""

CALL_EVENT: Final = "prefect-autopilot.call"
"""Event about a flow run for one call of a task: ``task``, ``cpu_share`` and ``inputs``, a digest."""

WATCHER_LOOKS: Final = "watcher.failures"
"""Name of the cursor that says when a watcher last looked at the Prefect server."""
