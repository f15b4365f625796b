"""Run records in; metrics, anomalies, trends, health and alerts out."""

from prefect_autopilot.monitoring.detection import detect

__all__ = ["detect"]
