"""Plain English to Prefect flows; runs watched, failures diagnosed, resolved and verified.

The names below are loaded on first use: ``import prefect_autopilot`` alone imports neither Prefect nor
a model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_autopilot.codegen import generate
    from prefect_autopilot.intelligence import analyze
    from prefect_autopilot.journeys.contract import (
        add_monitoring_rule,
        analyze_workflow_metrics,
        generate_recommendations,
        start_monitoring_server,
        start_troubleshooting_session,
    )
    from prefect_autopilot.models import MonitoringRule
    from prefect_autopilot.monitoring import detect
    from prefect_autopilot.optimization import optimize
    from prefect_autopilot.troubleshooting import diagnose_text

    __version__: str

_HOMES = {
    "MonitoringRule": "models",
    "add_monitoring_rule": "journeys.contract",
    "analyze": "intelligence",
    "analyze_workflow_metrics": "journeys.contract",
    "detect": "monitoring",
    "diagnose_text": "troubleshooting",
    "generate": "codegen",
    "generate_recommendations": "journeys.contract",
    "optimize": "optimization",
    "start_monitoring_server": "journeys.contract",
    "start_troubleshooting_session": "journeys.contract",
}

__all__ = [
    "MonitoringRule",
    "__version__",
    "add_monitoring_rule",
    "analyze",
    "analyze_workflow_metrics",
    "detect",
    "diagnose_text",
    "generate",
    "generate_recommendations",
    "optimize",
    "start_monitoring_server",
    "start_troubleshooting_session",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home, once."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("prefect-autopilot")
    elif name in _HOMES:
        value = getattr(import_module(f"prefect_autopilot.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
