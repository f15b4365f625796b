"""Where people are told, as a block."""

from __future__ import annotations

from typing import Literal

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr


class NotificationChannel(Block):
    """A webhook, or an address Apprise knows (chat, mail, push), that notices are sent to.

    Example:
        Read a channel:
        ```python
        from prefect_autopilot.blocks import NotificationChannel

        channel = NotificationChannel.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Autopilot Notification Channel"
    _block_type_slug = "autopilot-notification-channel"
    _description = "Where people are told of alerts, proposals and resolved runs."
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/webhook.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    kind: Literal["webhook", "apprise", "address"] = Field(
        default="webhook",
        description="Whether the address takes our JSON, belongs to Apprise, or tells it by its scheme.",
    )
    url: SecretStr = Field(description="Address of the channel; it often holds a key, so it is kept secret.")
