"""Renewal of OAuth 2 access tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.service_answers import CallFacts, read_answer
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Service

_LONGEST_S = 10 * 365 * 24 * 3600

OPERATION = "refresh_credentials"
"""What an error of a renewal names as its operation."""


async def refresh(
    service: Service,
    credentials: Mapping[str, SecretStr],
    *,
    now: datetime,
    token_url: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    connection: str | None = None,
    timeout_s: float = 30.0,
) -> dict[str, SecretStr]:
    """Return the credentials with a new access token (RFC 6749, section 6), ``expires_at`` in UTC.

    A rotated refresh token replaces the old one, which is worthless from then on: store the result at
    once. Raises ConfigurationError when nothing can be renewed, ServiceError when the service refuses;
    it is permanent when a person has to reconnect.
    """
    address = token_url or service.auth.refresh_url or service.auth.token_url
    if address is None or "refresh_token" not in credentials:
        lacking = "refresh token" if address else "token address"
        msg = f"The connection to {service.name} has no {lacking}; reconnect it by hand."
        raise ConfigurationError(msg)
    form = {"grant_type": "refresh_token", "refresh_token": credentials["refresh_token"].get_secret_value()}
    for name in ("client_id", "client_secret"):
        if name in credentials:
            form[name] = credentials[name].get_secret_value()
    secrets = tuple(secret.get_secret_value() for secret in credentials.values())
    facts = CallFacts(service, OPERATION, "unsafe", connection, secrets)
    try:
        async with httpx.AsyncClient(
            transport=transport, timeout=timeout_s, follow_redirects=False
        ) as client:
            response = await client.post(address, data=form, headers={"Accept": "application/json"})
    except httpx.HTTPError as error:
        reason = f"{service.name} could not be asked for a new token ({type(error).__name__})"
        raise facts.error(reason, permanent=False) from None
    if response.status_code in (400, 401) and "invalid_grant" in response.text:
        reason = (
            f"{service.name} no longer accepts the refresh token; a person has to reconnect the connection"
        )
        raise facts.error(reason, permanent=True, status=response.status_code, body=response.text)
    return _renewed(read_answer(response, None, facts, now), credentials, facts, now)


def _renewed(
    answer: object, credentials: Mapping[str, SecretStr], facts: CallFacts, now: datetime
) -> dict[str, SecretStr]:
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(token, str) or not token:
        raise _no_token(facts)
    renewed = {**credentials, "access_token": SecretStr(token)}
    renewed.pop("token", None)
    if answer.get("refresh_token"):
        renewed["refresh_token"] = SecretStr(str(answer["refresh_token"]))
    renewed.pop("expires_at", None)
    lifetime = _seconds(answer.get("expires_in"))
    if lifetime is not None:
        renewed["expires_at"] = SecretStr((now + timedelta(seconds=lifetime)).isoformat())
    return renewed


def _seconds(told: object) -> float | None:
    """Return a lifetime as a number; some services write it as text. None where it makes no sense."""
    try:
        seconds = float(told) if isinstance(told, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if 1 <= seconds <= _LONGEST_S and not isinstance(told, bool) else None


def _no_token(facts: CallFacts) -> ServiceError:
    return facts.error(
        f"{facts.service.name} answered the renewal without a token; reconnect it", permanent=True
    )
