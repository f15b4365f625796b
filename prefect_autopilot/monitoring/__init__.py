"""Run records in; metrics, anomalies, trends, health and alerts out."""

from prefect_autopilot.monitoring.alarms import alerts_of
from prefect_autopilot.monitoring.detection import detect
from prefect_autopilot.monitoring.fitness import health
from prefect_autopilot.monitoring.fleet import FleetMetrics
from prefect_autopilot.monitoring.forecasts import trend, trends
from prefect_autopilot.monitoring.measures import baselines, metrics
from prefect_autopilot.monitoring.monitor import Monitor
from prefect_autopilot.monitoring.novelty import novelty
from prefect_autopilot.monitoring.rules import evaluate

__all__ = [
    "FleetMetrics",
    "Monitor",
    "alerts_of",
    "baselines",
    "detect",
    "evaluate",
    "health",
    "metrics",
    "novelty",
    "trend",
    "trends",
]
