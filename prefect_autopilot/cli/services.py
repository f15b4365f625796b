"""``services``: the catalogue as tables; ``connect`` is next door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import ServiceStatus

if TYPE_CHECKING:
    from prefect_autopilot.models import Operation, Service
    from prefect_autopilot.services import Catalogue


def list_services(
    *,
    kind: Annotated[str | None, Parameter(help="Only services of this kind (email, chat, …).")] = None,
    status: Annotated[
        ServiceStatus | None, Parameter(help="Only operable, declared or recognised services.")
    ] = None,
    search: Annotated[
        str | None, Parameter(help="Only services with this in their id, name, aliases or operations.")
    ] = None,
    as_json: JSONFlag = False,
) -> int:
    """List the services of the catalogue."""
    from prefect_autopilot.adapters.catalogue import user_catalogue, user_services

    imported = user_services()
    found = _chosen(user_catalogue(), kind, status, search)
    if as_json:
        write_json([_short(service) | {"imported": service.id in imported.heads} for service in found])
        return 0
    if not found:
        write_line("No service of the catalogue is like that.")
        return 0
    own = imported.heads
    rows = [
        (
            one.id,
            one.name,
            "imported" if one.id in own else one.status,
            ", ".join(one.kinds),
            len(one.operations),
        )
        for one in found
    ]
    write_table("", ("id", "name", "status", "kinds", "calls"), rows)
    write_line(f"{len(found)} service{'s' if len(found) > 1 else ''}")
    return 0


def _chosen(
    catalogue: Catalogue, kind: str | None, status: ServiceStatus | None, search: str | None
) -> list[Service]:
    if kind is not None and kind not in catalogue.kinds:
        msg = f"There is no kind of service named {kind!r}; there are {', '.join(catalogue.kinds)}."
        raise UsageError(msg)
    services = catalogue.services if kind is None else catalogue.by_kind(kind)
    return [
        one
        for one in services
        if (status is None or one.status is status) and (search is None or _mentions(one, search))
    ]


def _mentions(service: Service, words: str) -> bool:
    from prefect_autopilot.services import fold

    names = (service.id, service.name, *service.aliases, *service.keywords)
    verbs = (text for operation in service.operations for text in (operation.id, *operation.verbs))
    return any(fold(words) in fold(text) for text in (*names, *verbs))


def _short(service: Service) -> dict[str, object]:
    return {
        "id": service.id,
        "name": service.name,
        "status": service.status,
        "kinds": service.kinds,
        "operations": [operation.id for operation in service.operations],
    }


def show(
    service_id: str,
    operation_id: Annotated[str | None, Parameter(help="One operation, with all its parameters.")] = None,
    /,
    *,
    as_json: JSONFlag = False,
) -> int:
    """Show a service with its operations and triggers, or one operation with its parameters."""
    from prefect_autopilot.services import find_operation

    service = find_service(service_id)
    operation = None if operation_id is None else find_operation(service, operation_id)
    if as_json:
        write_json(operation or service)
    elif operation is not None:
        _show_operation(service, operation)
    else:
        _show_service(service)
    return 0


def _show_service(service: Service) -> None:
    from prefect_autopilot.adapters.catalogue import imported_file
    from prefect_autopilot.services import address_fields, credential_names, tenant_fields

    needed = (*credential_names(service), *tenant_fields(service), *address_fields(service))
    file = imported_file(service.id)
    write_line(f"{service.name} ({service.id}), {f'imported into {file}' if file else service.status}")
    write_line(f"address      {service.base_url or 'unknown'}")
    write_line(f"sign-in      {service.auth.scheme}; needs {', '.join(needed) or 'nothing'}")
    if service.rate_limit_per_s is not None:
        write_line(f"limit        {service.rate_limit_per_s:g} calls a second, of each process for itself")
    write_line(f"tested by    {service.verification or 'no known call'}")
    if service.docs_url:
        write_line(f"docs         {service.docs_url}")
    _list_sources("confirmed by", service.provenance)
    if not service.operations:
        write_line("It is known by name only: no flow that calls it is generated.")
    else:
        rows = [
            (one.id, one.effect, ", ".join(p.name for p in one.parameters if p.required))
            for one in service.operations
        ]
        write_line()
        write_table("Operations", ("id", "if repeated", "required"), rows)
        write_line(
            f"prefect-autopilot services show {service.id} {service.operations[0].id} shows one in full."
        )
    if service.triggers:
        events = [(one.event, one.kind, one.operation or "") for one in service.triggers]
        write_line()
        write_table("Triggers", ("event", "found by", "operation"), events)


def _show_operation(service: Service, operation: Operation) -> None:
    repeated = {
        "safe": "reads only; tried again after a failure",
        "idempotent": "the same once or twice; tried again after a failure",
        "unsafe": "may do harm twice; never tried again by itself",
    }
    write_line(f"{service.id}.{operation.id}: {'; '.join(operation.verbs) or operation.id}")
    if service.protocol == "http":
        write_line(f"call         {operation.method} {operation.path}")
    if service.status is ServiceStatus.OPERABLE and not operation.confirmed:
        write_line("confirmed    by no recorded source: nothing has compared it with what the vendor says")
    open_ends: tuple[str, ...] = ("some of its parameters only",) if operation.partly else ()
    open_ends += ("not where the rows of its answer stand",) if operation.rows_unseen else ()
    if open_ends:
        write_line(f"confirmed    by a source that tells {' and '.join(open_ends)}")
    write_line(f"repeated     {operation.effect}: {repeated[operation.effect]}")
    _list_sources("from", operation.sources)
    if told := operation.returns:
        of_row = ", each with" if operation.list_at else ", with"
        fields = f"{of_row} {', '.join(told.fields)}" if told.fields else ""
        write_line(f"answers      {told.what.rstrip('.')}{fields}")
    if operation.parameters:
        rows = [
            (one.name, one.type, "yes" if one.required else "", _default(one.default), one.description)
            for one in operation.parameters
        ]
        write_line()
        write_table("Parameters", ("name", "type", "required", "default", "what"), rows)
    else:
        write_line("It takes no parameters.")


def _default(value: object) -> str:
    return "" if value is None else str(value)


def _list_sources(title: str, sources: Sequence[str]) -> None:
    for number, source in enumerate(sources):
        write_line(f"{title if number == 0 else '':<13}{source}")


def stats(*, as_json: JSONFlag = False) -> int:
    """Count the services by status, and their operations."""
    from prefect_autopilot.adapters.catalogue import user_catalogue

    counted = user_catalogue().stats()
    told = {name: getattr(counted, name) for name in type(counted).__annotations__}
    if as_json:
        write_json(told)
    else:
        write_table("", ("what", "number"), [(name.replace("_", " "), count) for name, count in told.items()])
    return 0


def find_service(service_id: str) -> Service:
    """Return the service of this id, name or alias; raises UnknownNameError, UsageError for a shared name.

    Of several, the only one that has operations.
    """
    from prefect_autopilot.adapters.catalogue import user_catalogue

    catalogue = user_catalogue()
    if service_id in catalogue:
        return catalogue.get(service_id)
    found = catalogue.find(service_id)
    callable_ones = tuple(one for one in found if one.operations)
    found = callable_ones if len(callable_ones) == 1 else found
    if len(found) > 1:
        ids = " or ".join(one.id for one in found)
        msg = f"Several services are called {service_id!r}; say {ids}."
        raise UsageError(msg)
    return found[0] if found else catalogue.get(service_id)
