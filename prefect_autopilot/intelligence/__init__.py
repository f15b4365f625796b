"""From a request in plain English to a plan: what was understood, what must be asked, and the workflow."""

from prefect_autopilot.intelligence.analysis import analyze
from prefect_autopilot.intelligence.design import design

__all__ = ["analyze", "design"]
