"""``services``: the catalogue as a table, and storing credentials."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import PrefectError, UsageError

if TYPE_CHECKING:
    from prefect_autopilot.blocks.connection import ServiceConnection
    from prefect_autopilot.models import Service


def list_services(
    *,
    kind: Annotated[str | None, Parameter(help="Only services of this kind (email, chat, …).")] = None,
    as_json: JSONFlag = False,
) -> int:
    """List the services of the catalogue."""
    from prefect_autopilot.services import load_catalogue

    catalogue = load_catalogue()
    if kind is not None and kind not in catalogue.kinds:
        raise UsageError(
            f"There is no kind of service named {kind!r}; there are {', '.join(catalogue.kinds)}."
        )
    services = catalogue.services if kind is None else catalogue.by_kind(kind)
    if as_json:
        write_json([_short(service) for service in services])
    else:
        rows = [(one.id, one.name, one.status, ", ".join(one.kinds), len(one.operations)) for one in services]
        write_table("", ("id", "name", "status", "kinds", "operations"), rows)
    return 0


def _short(service: Service) -> dict[str, object]:
    return {
        "id": service.id,
        "name": service.name,
        "status": service.status,
        "kinds": service.kinds,
        "operations": [operation.id for operation in service.operations],
    }


def show(service_id: str, /, *, as_json: JSONFlag = False) -> int:
    """Show one service with its operations and triggers."""
    service = _find(service_id)
    if as_json:
        write_json(service)
        return 0
    write_line(f"{service.name} ({service.id}), {service.status}")
    write_line(f"address  {service.base_url or 'unknown'}")
    write_line(f"sign-in  {service.auth.scheme}; needs {', '.join(_credentials(service)) or 'nothing'}")
    if service.docs_url:
        write_line(f"docs     {service.docs_url}")
    rows = [
        (
            one.id,
            one.effect,
            f"{one.method} {one.path}",
            ", ".join(p.name for p in one.parameters if p.required),
        )
        for one in service.operations
    ]
    write_table("Operations", ("id", "when repeated", "call", "required"), rows)
    if service.triggers:
        events = [(one.event, one.kind, one.operation or "") for one in service.triggers]
        write_table("Triggers", ("event", "found by", "operation"), events)
    return 0


def stats(*, as_json: JSONFlag = False) -> int:
    """Count the services by status."""
    from prefect_autopilot.services import load_catalogue

    counted = load_catalogue().stats()
    told = {name: getattr(counted, name) for name in type(counted).__annotations__}
    if as_json:
        write_json(told)
    else:
        write_table("", ("what", "number"), [(name.replace("_", " "), count) for name, count in told.items()])
    return 0


async def connect(
    service_id: str,
    /,
    *,
    name: Annotated[str, Parameter(help="Name of the connection, where a service has several.")] = "default",
    credential: Annotated[
        tuple[str, ...],
        Parameter(
            help="KEY=VALUE, or KEY alone to type the value unseen (or pipe it in), which keeps it out of"
            " the shell's history.",
            negative=(),
        ),
    ] = (),
    base_url: Annotated[str | None, Parameter(help="Address of a service on a host of your own.")] = None,
    verify: Annotated[Flag, Parameter(help="Call the service once; store only what works.")] = False,
) -> int:
    """Store the credentials of a service as a Prefect block."""
    service = _find(service_id)
    given = read_credentials(credential, _credentials(service, base_url))
    from prefect_autopilot.blocks.connection import ServiceConnection
    from prefect_autopilot.journeys.desk import prefect_target
    from prefect_autopilot.services import connection_name

    prefect_target()  # without a known server Prefect would start one and store the block there
    block = ServiceConnection.model_validate(
        {"service": service.id, "base_url": base_url, "credentials": given}
    )
    if verify:
        write_line(f"{service.name} answered {await block.verify()}.")
    stored = connection_name(service.id, name)
    await _save(block, stored)
    write_line(f"Stored as the connection {stored}.")
    return 0


async def _save(block: ServiceConnection, name: str) -> None:
    import httpx

    try:
        await block.asave(name, overwrite=True)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise PrefectError(
            f"The Prefect server refused to store the connection (HTTP {status}); "
            "prefect-autopilot doctor checks address and credentials.",
            permanent=True,
            status=status,
        ) from error
    except (httpx.TransportError, RuntimeError) as error:
        # Prefect's client raises RuntimeError where its first look at the server finds nobody.
        raise PrefectError(
            "The Prefect server cannot be reached; start it or set PREFECT_API_URL.", permanent=False
        ) from error


def read_credentials(pairs: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, str]:
    """Return credentials by name, asking for the values that are not on the command line.

    Raises ``UsageError`` when one that the service needs is missing or a name is given twice.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not key or key in given:
            raise UsageError(f"A credential is KEY=VALUE with each KEY once; needed are {', '.join(needed)}.")
        given[key] = value if separator else _ask(key)
    missing = [key for key in needed if not given.get(key)]
    if missing:
        wanted = " ".join(f"--credential {key}" for key in missing)
        raise UsageError(f"Credentials are missing: {', '.join(missing)}; add {wanted}.")
    return given


def _ask(key: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    return getpass(f"{key}: ")


def _find(service_id: str) -> Service:
    from prefect_autopilot.services import load_catalogue

    catalogue = load_catalogue()
    found = catalogue.find(service_id)
    return found[0] if len(found) == 1 else catalogue.get(service_id)


def _credentials(service: Service, base_url: str | None = None) -> tuple[str, ...]:
    from prefect_autopilot.services import address_fields, credential_names

    return (*credential_names(service), *(() if base_url else address_fields(service)))
