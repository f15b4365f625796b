"""Monitoring rules, as a block: edited in the Prefect UI, stored by one command."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, field_validator


class MonitoringRules(Block):
    """Rules that alerts are raised by, written as in a YAML file.

    Example:
        Read the rules of a block:
        ```python
        from prefect_autopilot.blocks import MonitoringRules

        rules = MonitoringRules.load("BLOCK_NAME").rules
        ```
    """

    _block_type_name = "Autopilot Monitoring Rules"
    _block_type_slug = "autopilot-monitoring-rules"
    _description = "Rules that say when an alert is raised, as YAML."
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/process.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    rules: str = Field(description="The rules as YAML: a list of them, bare or below 'rules'.")

    @field_validator("rules")
    @classmethod
    def _readable(cls, text: str) -> str:
        """Refuse rules that could not be applied, with the nearest valid name."""
        from prefect_autopilot.errors import UsageError
        from prefect_autopilot.monitoring.rule_check import rules_of_text

        try:
            rules_of_text(text)
        except UsageError as error:
            raise ValueError(error.message) from None
        return text
