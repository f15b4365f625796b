"""Evidence to issues, findings, remedies and verification. Pure: no Prefect, no HTTP, no clock."""

from prefect_autopilot.troubleshooting.classify import diagnose_text
from prefect_autopilot.troubleshooting.correlation import correlate
from prefect_autopilot.troubleshooting.parse import fingerprint

__all__ = ["correlate", "diagnose_text", "fingerprint"]
