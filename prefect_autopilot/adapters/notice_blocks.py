"""Tell people through a notification block that is stored on the Prefect server already."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import httpx

from prefect_autopilot.adapters.incident_services import WORTH_RETRYING
from prefect_autopilot.errors import DeliveryError

if TYPE_CHECKING:
    from prefect.blocks.core import Block

OWN_TYPE = "autopilot-notification-channel"
"""Slug of our own block type, which holds an address and does not send by itself."""


async def load_block(place: str) -> Block:
    """Return the block stored as ``type-slug/name``; raises DeliveryError."""
    from prefect.blocks.core import Block

    try:
        return await Block.aload(place)
    except ValueError:
        # Both for a name that is not stored and for a stored one that cannot be read any more.
        msg = f"The Prefect server has no usable block {place}; create it, or correct the setting."
        raise DeliveryError(msg) from None
    except (httpx.HTTPError, RuntimeError) as error:
        # Prefect's client raises RuntimeError where its first look at the server finds nobody.
        kind = type(error).__name__
        msg = f"The block {place} could not be read from the Prefect server ({kind}); it is tried again."
        raise DeliveryError(msg, permanent=False) from None


async def notify(block: Any, place: str, title: str, body: str) -> None:
    """Let the block send title and body; raises DeliveryError, which never holds the block's secrets."""
    from prefect.blocks.abstract import NotificationBlock, NotificationError

    if not isinstance(block, NotificationBlock):
        msg = f"The block {place} sends no notifications; name one such as slack-webhook/NAME."
        raise DeliveryError(msg)
    try:
        with block.raise_on_failure():
            told: Any = block.notify(body, title)
            if inspect.isawaitable(told):
                await told
    except NotificationError:
        msg = f"The block {place} did not take the notice; it is tried again."
        raise DeliveryError(msg, permanent=False) from None
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        later = status in WORTH_RETRYING
        advice = "it is tried again" if later else "check its address"
        msg = f"The block {place} was answered {status}; {advice}."
        raise DeliveryError(msg, permanent=not later) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        msg = f"The block {place} has an address that cannot be used; correct it."
        raise DeliveryError(msg) from None
    except httpx.HTTPError as error:
        msg = f"The block {place} could not reach its address ({type(error).__name__}); it is tried again."
        raise DeliveryError(msg, permanent=False) from None
