"""``services import`` and ``services remove``: services of the person's own, from OpenAPI documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line, write_table

if TYPE_CHECKING:
    from prefect_autopilot.journeys.import_service import Imported


async def import_service(
    source: str,
    /,
    *,
    service_id: Annotated[
        str | None, Parameter(name="--id", help="Id of the service; made of the title by default.")
    ] = None,
    name: Annotated[str | None, Parameter(help="What requests call the service.")] = None,
    sign_in: Annotated[
        str | None,
        Parameter(help="In place of the declared one: none, bearer, basic, header:NAME, query:NAME."),
    ] = None,
    replace: Annotated[Flag, Parameter(help="Replace the one imported before; it is kept as .bak.")] = False,
    allow_private: Annotated[Flag, Parameter(help="Ask addresses of a private network as well.")] = False,
    every: Annotated[Flag, Parameter(name="--left-out", help="List every operation left out.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """Make a service of an OpenAPI 3 or Swagger 2 document (JSON or YAML, a file or a URL)."""
    from prefect_autopilot.journeys.import_service import import_service as imported_from
    from prefect_autopilot.settings import load_settings

    imported = await imported_from(
        load_settings(),
        source,
        service_id=service_id,
        name=name,
        may_replace=replace,
        allow_private=allow_private,
        sign_in=sign_in,
    )
    if as_json:
        write_json(_summary(imported))
    else:
        _show(imported, every=every)
    return 0


def _summary(imported: Imported) -> dict[str, object]:
    report, service = imported.report, imported.report.service
    return {
        "id": service.id,
        "name": service.name,
        "base_url": service.base_url,
        "auth": service.auth,
        "operations": [operation.id for operation in service.operations],
        "left_out": report.left_out,
        "reasons": report.reasons,
        "notes": report.notes,
        "file": str(imported.path),
    }


def _show(imported: Imported, *, every: bool) -> None:
    from prefect_autopilot.services import address_fields, credential_names

    report, service = imported.report, imported.report.service
    write_line(f"{service.name} ({service.id}): {len(service.operations)} operations imported.")
    for note in report.notes:
        write_line(note)
    if every and report.left_out:
        rows = [(one.method, one.path, one.reason) for one in report.left_out]
        write_table("Left out", ("method", "path", "reason"), rows)
    elif report.left_out:
        write_table("Left out", ("reason", "operations"), list(report.reasons.items()))
    needed = (*credential_names(service), *address_fields(service))
    keys = " ".join(f"--credential {key}" for key in needed)
    write_line(f"Connect it with: prefect-autopilot services connect {service.id} {keys}".rstrip())


def remove(service_id: str, /) -> int:
    """Remove an imported service; its connections stay."""
    from prefect_autopilot.adapters.catalogue import remove_service
    from prefect_autopilot.settings import load_settings

    path = remove_service(load_settings(), service_id)
    write_line(f"Removed {path}.")
    return 0
