"""Prefect blocks of the product: what a person sets up once and flows load by name."""

from prefect_autopilot.blocks.channel import NotificationChannel
from prefect_autopilot.blocks.connection import ServiceConnection
from prefect_autopilot.blocks.policy import AutopilotPolicy
from prefect_autopilot.blocks.rules import MonitoringRules

BLOCKS = (ServiceConnection, AutopilotPolicy, NotificationChannel, MonitoringRules)
"""Every block type, in the order they are registered."""

__all__ = ["BLOCKS", "AutopilotPolicy", "MonitoringRules", "NotificationChannel", "ServiceConnection"]
