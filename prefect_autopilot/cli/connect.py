"""``services connect``: ask for what a service needs, test it, and store it as a block."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store
from prefect_autopilot.cli.output import Flag, write_line
from prefect_autopilot.errors import ConflictError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from prefect_autopilot.blocks.connection import ServiceConnection
    from prefect_autopilot.models import Service

_TOKENS = ("access_token", "token")
_RENEWAL = ("refresh_token", "client_id", "client_secret")
_FIELDS_SHOWN = 4

Credential: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        help="KEY=VALUE, or KEY alone to type the value unseen (or pipe it in), which keeps it out of"
        " the shell's history.",
        negative=(),
    ),
]
_VALUE_LENGTH = 60


async def connect(
    service_id: str,
    /,
    *,
    name: Annotated[str, Parameter(help="Name of the connection, where a service has several.")] = "default",
    credential: Credential = (),
    credential_env: Annotated[
        tuple[str, ...],
        Parameter(help="KEY=VARIABLE: take the value from an environment variable.", negative=()),
    ] = (),
    base_url: Annotated[str | None, Parameter(help="Address of a service on a host of your own.")] = None,
    allow_private_network: Annotated[
        Flag, Parameter(help="The service may be on this machine or in a private network.")
    ] = False,
    timeout_s: Annotated[
        float | None,
        Parameter(help="Seconds of silence after which a call is given up, where 30 are too few."),
    ] = None,
    replace: Annotated[Flag, Parameter(help="Replace a connection of this name.")] = False,
    verify: Annotated[
        bool,
        Parameter(
            negative="--no-verify", show_default=False, help="Call the service once; store only what works."
        ),
    ] = True,
) -> int:
    """Store the credentials of a service as a Prefect block; what is not given is asked for at a terminal."""
    from prefect.types import SecretDict

    from prefect_autopilot.blocks.connection import ServiceConnection
    from prefect_autopilot.cli.prefect_server import prefect_server
    from prefect_autopilot.cli.services import find_service
    from prefect_autopilot.services import connection_name

    service = find_service(service_id)
    names = {pair.partition("=")[0] for pair in (*credential, *credential_env)}
    needed, fields = _wanted(service, base_url, names)
    given = from_environment(credential_env) | read_credentials(
        credential,
        needed,
        elsewhere=(*(pair.partition("=")[0] for pair in credential_env),),
        ask=_at_terminal(),
    )
    stored = connection_name(service.id, name)
    async with prefect_server():
        # Before anything is asked or called: what is typed for nothing is typed twice.
        if not replace and await _is_stored(stored):
            msg = f"There is a connection {stored} already; add --replace, or another --name."
            raise ConflictError(msg)
        given |= _asked_for(service, [key for key in needed if not given.get(key)], fields, given)
        block = ServiceConnection(
            service=service.id,
            base_url=base_url,
            credentials=SecretDict(given),
            allow_private_network=allow_private_network,
            timeout_s=_timeout(timeout_s),
        )
        told = await _verified(block, given) if verify else "not verified, as asked"
        await block.asave(stored, overwrite=replace)
    write_line(f"Stored as the connection {stored} ({told}).")
    return 0


async def expect_webhook(
    connection: str,
    /,
    *,
    minutes: Annotated[int, Parameter(help="How long to wait for it.")] = 15,
) -> int:
    """Let a service tell the secret of one new webhook (Asana); create the webhook in that time."""
    from datetime import UTC, datetime, timedelta

    from prefect_autopilot.journeys.hooks import MOST_EXPECTED, expect_secret

    wait = timedelta(minutes=minutes)
    if not timedelta(0) < wait <= MOST_EXPECTED:
        msg = f"--minutes {minutes} is no time to wait; give 1 to {MOST_EXPECTED // timedelta(minutes=1)}."
        raise UsageError(msg)
    until = datetime.now(UTC) + wait
    async with open_store() as store:
        await expect_secret(store, connection, until)
    write_line(f"Until {until:%H:%M} UTC the connection {connection} takes the secret of one new webhook.")
    return 0


def read_credentials(
    pairs: tuple[str, ...],
    needed: tuple[str, ...],
    *,
    elsewhere: tuple[str, ...] = (),
    ask: bool = False,
) -> dict[str, str]:
    """Return the credentials of ``KEY=VALUE`` pairs; a KEY alone is asked for unseen, or read from a pipe.

    With ``ask`` others may be missing. Raises UsageError when one that the service needs is missing, where
    it is not among ``elsewhere`` either, or a name is given twice.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not key or key in given or key in elsewhere:
            msg = f"A credential is KEY=VALUE with each KEY once; needed are {', '.join(needed)}."
            raise UsageError(msg)
        given[key] = value if separator else _ask(key)
    missing = [key for key in needed if not given.get(key) and key not in elsewhere]
    if missing and not ask:
        wanted = " ".join(f"--credential {key}" for key in missing)
        msg = f"Credentials are missing: {', '.join(missing)}; add {wanted}."
        raise UsageError(msg)
    return given


def from_environment(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return credentials from environment variables; raises UsageError for one that is not there."""
    given: dict[str, str] = {}
    for pair in pairs:
        key, _, variable = pair.partition("=")
        if not key or not variable or key in given:
            msg = "--credential-env wants KEY=VARIABLE with each KEY once, token=SLACK_TOKEN for one."
            raise UsageError(msg)
        value = os.environ.get(variable)
        if not value:
            msg = f"The environment variable {variable} is not set; set it, or give {key!r} otherwise."
            raise UsageError(msg)
        given[key] = value
    return given


def shown_answer(answer: Any, secrets: tuple[str, ...]) -> str:
    """Return a few words of what a check call answered, without secrets: who we are, or how many rows."""
    from prefect_autopilot.redaction import redact

    if isinstance(answer, list):
        return f"{len(answer)} rows" if len(answer) != 1 else "1 row"
    if not isinstance(answer, Mapping):
        return ""
    flat = {key: value for key, value in answer.items() if isinstance(value, (str, int)) and value != ""}
    told = [f"{key}={str(value)[:_VALUE_LENGTH]}" for key, value in list(flat.items())[:_FIELDS_SHOWN]]
    return redact(", ".join(told), secrets)


def _wanted(
    service: Service, base_url: str | None, told: AbstractSet[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a connection must hold where these are told, and which of it is no secret."""
    from prefect_autopilot.services import tenant_fields

    fields = tuple(dict.fromkeys((*tenant_fields(service), *_address(service, base_url))))
    without = _TOKENS if _renews(service, told) else ()
    return (*(key for key in _credentials(service) if key not in without), *fields), fields


def _renews(service: Service, told: AbstractSet[str]) -> bool:
    """Tell whether an access token can be had with credentials of these names, so that none is needed."""
    enough = "refresh_token" in told or {"client_id", "client_secret"} <= told
    return enough and _token_address(service) is not None


def _token_address(service: Service) -> str | None:
    return service.auth.token_url or service.auth.refresh_url


def renewal_note(service: Service) -> str | None:
    """Return what a person should know of tokens that end, None where that is asked for or none ends."""
    if service.auth.scheme == "oauth2" and _token_address(service) is None:
        return f"The token of {service.name} is fetched by hand and never renewed; connect anew when it ends."
    if service.auth.scheme != "oauth2" and _token_address(service) is not None:
        told = " ".join(f"--credential {key}" for key in _RENEWAL)
        return f"A token of {service.name} that ends is renewed where it is given with {told}."
    return None


def _timeout(told: float | None) -> float | None:
    """Return the seconds; raises UsageError for a number that no connection takes."""
    from prefect_autopilot.blocks.connection import MOST_TIMEOUT_S

    if told is not None and not 0 < told <= MOST_TIMEOUT_S:
        msg = f"--timeout-s {told:g} is no time to wait; give more than 0 and at most {MOST_TIMEOUT_S:g}."
        raise UsageError(msg)
    return told


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _asked_for(
    service: Service, missing: list[str], plain: tuple[str, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """Ask at the terminal for what is missing; parts of the address are typed visibly."""
    if not _at_terminal():
        return {}
    renewed_by_grant = service.auth.scheme == "oauth2" and _token_address(service) is not None
    optional = _RENEWAL if renewed_by_grant and "refresh_token" not in given else ()
    if missing and service.docs_url:
        write_line(f"{service.name} needs {', '.join(missing)}; see {service.docs_url}.")
    if missing and (note := renewal_note(service)):
        write_line(note)
    asked = {key: _visible(key) if key in plain else _ask(key) for key in missing}
    if missing and optional:
        asked |= {key: _ask(f"{key} (to renew the token; empty to leave out)") for key in optional}
    renewed = _renews(service, {key for key, value in asked.items() if value})
    empty = [key for key in missing if not asked[key] and not (renewed and key in _TOKENS)]
    if empty:
        msg = f"Nothing was typed for {', '.join(empty)}; nothing is stored."
        raise UsageError(msg)
    return {key: value for key, value in asked.items() if value}


def _ask(key: str) -> str:
    if not _at_terminal():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    return getpass(f"{key}: ").strip()


def _visible(key: str) -> str:
    sys.stderr.write(f"{key}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


async def _is_stored(name: str) -> bool:
    from prefect_autopilot.blocks.connection import load_connection

    try:
        await load_connection(name)
    except UnknownNameError:
        return False
    return True


async def _verified(block: ServiceConnection, given: Mapping[str, str]) -> str:
    """Return in a few words what the check call showed; raises ServiceError when it failed."""
    service = block.definition()
    if service.verification is None:
        return f"not verified: no call is known that shows whether {service.name} is connected"
    async with block.client() as client:
        answer = await client.call(service.verification, service.verification_parameters)
    shown = shown_answer(answer, tuple(given.values()))
    return f"verified: {service.name} answered {service.verification}{' with ' + shown if shown else ''}"


def _credentials(service: Service) -> tuple[str, ...]:
    from prefect_autopilot.services import credential_names

    return credential_names(service)


def _address(service: Service, base_url: str | None) -> tuple[str, ...]:
    from prefect_autopilot.services import address_fields

    return () if base_url else address_fields(service)
