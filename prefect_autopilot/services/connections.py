"""Names of connections, and what one must hold for its service."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import Auth, Service
from prefect_autopilot.services.catalogue import Catalogue

_FIELD = re.compile(r"\{(\w+)\}")
_BY_SCHEME: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "bearer": ("token",),
    "oauth2": ("access_token",),
    "header": ("api_key",),
    "basic": ("username", "password"),
    "bot_token": ("token",),
    "sigv4": ("access_key_id", "secret_access_key"),
    "hmac": ("api_key", "api_secret"),
    "oauth1": ("consumer_key", "consumer_secret", "token", "token_secret"),
}


def connection_name(service_id: str, name: str = "default") -> str:
    """Return the name of a connection block, ``<service>-<name>``: Prefect allows a-z, 0-9 and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{service_id}-{name}".lower())
    return slug.strip("-")


def service_of_connection(connection: str, catalogue: Catalogue) -> Service:
    """Return the service a connection's name begins with; raises UnknownNameError when none does."""
    words = connection.split("-")
    for end in range(len(words), 0, -1):
        for service_id in ("_".join(words[:end]), "-".join(words[:end])):
            if service_id in catalogue:
                return catalogue.get(service_id)
    raise UnknownNameError("service for the connection", connection, catalogue.nearest(words[0]))


def credential_names(service: Service) -> tuple[str, ...]:
    """Return the credentials a connection of the service must hold, as the client looks them up."""
    auth = service.auth
    if auth.scheme in ("query", "header", "body") and "+" in auth.name:
        return tuple(auth.name.split("+"))
    if auth.scheme in ("query", "body") or open_half(auth):
        return ("api_key",)
    return _BY_SCHEME[auth.scheme]


def open_half(auth: Auth) -> str | None:
    """Return the half of basic auth that is the key where the other is the same for everybody, else None."""
    if auth.scheme != "basic" or (auth.username is None and auth.password is None):
        return None
    return "password" if auth.password is None else "username"


def address_fields(service: Service) -> tuple[str, ...]:
    """Return the parts of the base URL that only the person knows (``site`` in ``https://{site}.…``)."""
    fields = _FIELD.findall(service.base_url or "")
    return tuple(dict.fromkeys(field for field in fields if field not in credential_names(service)))


def tenant_fields(service: Service) -> tuple[str, ...]:
    """Return what a connection holds beside credentials and address: the tenant or account of its calls."""
    of_sign_in = _FIELD.findall(f"{service.auth.token_url} {service.auth.refresh_url}")
    of_calls = (one.held for operation in service.operations for one in operation.parameters)
    return tuple(dict.fromkeys((*of_sign_in, *(name for name in of_calls if name is not None))))


def simulated_credentials(service: Service) -> dict[str, str]:
    """Return the credentials the simulator accepts for the service."""
    names = (*credential_names(service), *tenant_fields(service))
    credentials = {name: f"simulated-{service.id}-{name}" for name in names}
    for operation in service.operations:
        for one in operation.parameters:
            if one.held and one.example is not None:  # a number, for one
                credentials[one.held] = str(one.example)
    if service.auth.scheme == "oauth2" or service.auth.token_url:
        credentials["refresh_token"] = f"simulated-{service.id}-refresh_token"
        credentials["client_id"] = "simulated-client"
        credentials["client_secret"] = f"simulated-{service.id}-client_secret"
    return credentials
