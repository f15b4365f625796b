"""OAuth 2 access tokens: when a new one is due, and how it is asked for."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from prefect_autopilot.adapters.network import TIMEOUT_S, outgoing
from prefect_autopilot.adapters.service_answers import CallFacts, read_answer
from prefect_autopilot.errors import ConfigurationError, ServiceError
from prefect_autopilot.models import Service
from prefect_autopilot.services import pick

Credentials = Mapping[str, SecretStr]
Renew = Callable[[Credentials], Awaitable[Credentials]]
"""Takes the credentials that ran out and returns those that hold from now on, stored already."""

OPERATION = "refresh_credentials"
"""What an error of a renewal names as its operation."""

EARLY = timedelta(seconds=60)
"""How long before its end a token is no longer used."""

_LONGEST_S = 10 * 365 * 24 * 3600
_TOKENS = ("access_token", "token")
_ASKED_FOR = ("scope", "audience", "resource")


def token_of(credentials: Credentials) -> str | None:
    """Return the access token under either of its names, None where there is none."""
    return next((credentials[name].get_secret_value() for name in _TOKENS if name in credentials), None)


def can_renew(service: Service, credentials: Credentials, token_url: str | None = None) -> bool:
    """Tell whether a new token can be had without a person."""
    return bool(_address(service, token_url) and _grant(credentials))


def is_due(credentials: Credentials, now: datetime) -> bool:
    """Tell whether the token is missing or ends within a minute; one without ``expires_at`` never is."""
    if not token_of(credentials):
        return True
    told = credentials.get("expires_at")
    try:
        end = datetime.fromisoformat(told.get_secret_value()) if told else None
    except ValueError:
        return False
    if end is None:
        return False
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) - now <= EARLY


def renewal(
    service: Service,
    *,
    clock: Callable[[], datetime],
    token_url: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    connection: str | None = None,
    allow_private_network: bool = False,
) -> Renew:
    """Return what a ``ServiceClient`` renews with where credentials are kept in memory only.

    A stored connection brings its own (``ServiceConnection.client``), which stores what it renewed.
    """

    async def renew(spent: Credentials) -> Credentials:
        return await refresh(
            service,
            spent,
            now=clock(),
            token_url=token_url,
            transport=transport,
            connection=connection,
            allow_private_network=allow_private_network,
        )

    return renew


async def refresh(
    service: Service,
    credentials: Credentials,
    *,
    now: datetime,
    token_url: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    connection: str | None = None,
    timeout_s: float = TIMEOUT_S,
    allow_private_network: bool = False,
) -> dict[str, SecretStr]:
    """Return the credentials with a new access token, ``expires_at`` in UTC.

    By the refresh token (RFC 6749, section 6), or without one by client credentials (section 4.4). A
    rotated refresh token replaces the old one, which is worthless from then on: store the result at
    once. Raises ConfigurationError when nothing can be renewed, ServiceError when the service refuses;
    it is permanent when a person has to reconnect.
    """
    address, grant = _address(service, token_url), _grant(credentials, service.auth.scope)
    if address is None or grant is None:
        lacking = "refresh token" if address else "token address"
        msg = f"The connection to {service.name} has no {lacking}; reconnect it by hand."
        raise ConfigurationError(msg)
    address = _filled(address, service, credentials)
    secrets = tuple(secret.get_secret_value() for secret in credentials.values())
    facts = CallFacts(service, OPERATION, "unsafe", connection, secrets)
    try:
        async with httpx.AsyncClient(
            transport=outgoing(address, transport, allow_private=allow_private_network),
            timeout=timeout_s,
            follow_redirects=False,
        ) as client:
            response = await _asked(client, address, grant)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = f"{service.name} could not be asked for a new token ({type(error).__name__})"
        raise facts.error(reason, permanent=False) from None
    if response.status_code in (400, 401) and "invalid_grant" in response.text:
        reason = (
            f"{service.name} no longer accepts the refresh token; a person has to reconnect the connection"
        )
        raise facts.error(reason, permanent=True, status=response.status_code, body=response.text)
    return _renewed(read_answer(response, None, facts, lambda: now), credentials, facts, now)


def _address(service: Service, token_url: str | None) -> str | None:
    return token_url or service.auth.refresh_url or service.auth.token_url


def _filled(address: str, service: Service, credentials: Credentials) -> str:
    """Return the address with its slots filled; a value of the connection stays one step of the path."""
    for slot in re.findall(r"\{(\w+)\}", address):
        secret = credentials.get(slot)
        if secret is None or secret.get_secret_value() in ("", ".", ".."):
            msg = f"The connection to {service.name} holds no {slot!r}; add it to the connection."
            raise ConfigurationError(msg)
        address = address.replace("{" + slot + "}", quote(secret.get_secret_value(), safe=""))
    return address


def _grant(credentials: Credentials, scope: str | None = None) -> dict[str, str] | None:
    """Return the form fields of the grant these credentials allow, None where they allow none."""
    held = {name: secret.get_secret_value() for name, secret in credentials.items()}
    client = {name: held[name] for name in ("client_id", "client_secret") if held.get(name)}
    if held.get("refresh_token"):
        return {"grant_type": "refresh_token", "refresh_token": held["refresh_token"], **client}
    if len(client) < 2:  # noqa: PLR2004  id and secret
        return None
    asked = {name: held[name] for name in _ASKED_FOR if held.get(name)}
    if scope:
        asked.setdefault("scope", scope)
    return {"grant_type": "client_credentials", **asked, **client}


async def _asked(client: httpx.AsyncClient, address: str, form: Mapping[str, str]) -> httpx.Response:
    """Ask with the client's secret in the form; where that is refused, with HTTP Basic (section 2.3.1)."""
    headers = {"Accept": "application/json"}
    response = await client.post(address, data=form, headers=headers)
    # Services name this refusal in many ways; only what they say of the grant itself is no question of it.
    refused = response.status_code in (400, 401) and "invalid_grant" not in response.text
    if not refused or "client_secret" not in form:
        return response
    pair = f"{quote(form['client_id'], safe='')}:{quote(form['client_secret'], safe='')}".encode()
    headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    rest = {name: value for name, value in form.items() if name not in ("client_id", "client_secret")}
    return await client.post(address, data=rest, headers=headers)


def _renewed(
    answer: object, credentials: Credentials, facts: CallFacts, now: datetime
) -> dict[str, SecretStr]:
    at = facts.service.auth.token_at or _TOKENS[0]
    token, told = pick(answer, at), pick(answer, at.rpartition(".")[0])
    if not isinstance(told, dict) or not isinstance(token, str) or not token:
        raise _no_token(facts)
    renewed = {**credentials, "access_token": SecretStr(token)}
    renewed.pop("token", None)
    if told.get("refresh_token"):
        renewed["refresh_token"] = SecretStr(str(told["refresh_token"]))
    renewed.pop("expires_at", None)
    lifetime = _seconds(told.get("expires_in"))
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
