"""From an OpenAPI document, in a file or at an address, to a service of the person's own."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import httpx

from prefect_autopilot.adapters.catalogue import store_service
from prefect_autopilot.adapters.documents import is_address, read_document
from prefect_autopilot.adapters.network import check_host
from prefect_autopilot.errors import ConfigurationError, UsageError
from prefect_autopilot.models import Auth, JSONDict, Service, Value
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.services.openapi import ImportReport, import_document
from prefect_autopilot.services.openapi_names import service_name, snake_case
from prefect_autopilot.services.openapi_schema import mapping, text
from prefect_autopilot.settings import Settings

_LONGEST_ID = 40
_SIGN_IN = re.compile(r"(none|bearer|basic)|(header|query):([!#$%&'*+.^_`|~0-9A-Za-z-]+)")


class Imported(Value):
    """What came of a document, and the file that keeps the service."""

    report: ImportReport
    path: Path


async def import_service(
    settings: Settings,
    source: str,
    *,
    service_id: str | None = None,
    name: str | None = None,
    may_replace: bool = False,
    allow_private: bool = False,
    sign_in: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Imported:
    """Read the document at ``source`` and keep the service it describes in the home folder.

    ``sign_in`` replaces the one the document declares: none, bearer, basic, header:NAME or query:NAME.
    Raises UsageError for a document or id that cannot be used, ConflictError when the id is taken.
    """
    auth = None if sign_in is None else _auth(sign_in)
    if service_id is not None:
        _check_id(service_id)  # nothing is fetched for an id that cannot be used
    document = await read_document(source, allow_private=allow_private, transport=transport)
    wanted = service_id or _id_of(document)
    _check_id(wanted)
    at = source if is_address(source) else None
    report = await anyio.to_thread.run_sync(
        lambda: import_document(document, service_id=wanted, name=name, source=at, auth=auth)
    )
    if not report.service.operations:
        reason = next(iter(report.reasons), "it describes none")
        raise UsageError(f"No operation of the document can be used ({reason}); nothing was imported.")
    report = _told(report)
    return Imported(report=report, path=store_service(settings, report.service, may_replace=may_replace))


def _auth(sign_in: str) -> Auth:
    found = _SIGN_IN.fullmatch(sign_in)
    if found is None:
        raise UsageError(
            f"{sign_in[:40]!r} is no sign-in; use none, bearer, basic, header:NAME or query:NAME."
        )
    match found[1] or found[2]:
        case "bearer":
            return Auth(scheme="bearer", prefix="Bearer ")
        case "basic":
            return Auth(scheme="basic")
        case "header":
            return Auth(scheme="header", name=found[3])
        case "query":
            return Auth(scheme="query", name=found[3])
    return Auth()


def _id_of(document: JSONDict) -> str:
    title = text(mapping(document.get("info")).get("title"))
    found = snake_case(service_name(title))[:_LONGEST_ID].strip("_")
    if not found:
        raise UsageError("The document has no title to make an id of; choose one with --id.")
    return found if found[0].isalpha() else f"api_{found}"


def _check_id(service_id: str) -> None:
    packaged = load_catalogue()
    if service_id in packaged:
        proposed = next(one for one in _proposals(service_id) if one not in packaged)
        raise UsageError(
            f"The catalogue has a service {service_id} already; import this one as --id {proposed}."
        )


def _proposals(service_id: str) -> tuple[str, ...]:
    return (f"{service_id}_api", f"my_{service_id}", *(f"{service_id}_{number}" for number in range(2, 50)))


def _told(report: ImportReport) -> ImportReport:
    """Add what the rest of the catalogue and the network make of the service."""
    service, notes = report.service, list(report.notes)
    packaged = load_catalogue()
    if packaged.find(service.name):
        spoken = service.id.replace("_", " ")
        notes.append(f"{service.name} is a service of the catalogue already; this one is called {spoken}.")
        service = service.model_copy(update={"name": spoken, "aliases": ()})
    if _is_private(service):
        notes.append("Its address is in a private network; the connection has to allow that.")
    return report.model_copy(update={"service": service, "notes": tuple(notes)})


def _is_private(service: Service) -> bool:
    try:
        check_host(httpx.URL(service.base_url or "").host)
    except ConfigurationError:
        return True
    except httpx.InvalidURL:
        return False
    return False
