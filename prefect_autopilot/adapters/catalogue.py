"""The services a person imported, one file each in the home folder, and the catalogue with them in it.

A file is lines of JSON: the service, then one operation a line. So that a catalogue of large services is
read as fast as one of small ones: operations are read when their service is asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from pydantic import ValidationError

from prefect_autopilot.adapters.files import digest_of, replace, write_new
from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import JSONDict, Operation, Service
from prefect_autopilot.services import Catalogue, load_catalogue
from prefect_autopilot.settings import Settings, load_settings

FOLDER = "services"
SUFFIX = ".jsonl"

_LARGEST_HEAD = 2**20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UserServices:
    """What the home folder holds: heads of services by id, and a sentence for each file that is no use."""

    folder: Path
    heads: Mapping[str, JSONDict]
    problems: tuple[str, ...] = ()


def user_catalogue(settings: Settings | None = None) -> Catalogue:
    """Return the packaged catalogue with the services the person imported; a broken file is left out.

    The same value is returned as long as the files are the same.
    """
    found = user_services(settings)
    return _joined(found.folder, _stamp(found.folder)) if found.heads else load_catalogue()


def user_services(settings: Settings | None = None) -> UserServices:
    """Return the imported services of the home folder, and what is wrong with its files."""
    folder = (settings or load_settings()).home / FOLDER
    return _listed(folder, _stamp(folder))


def service_file(settings: Settings, service_id: str) -> Path:
    """Return where the imported service of this id is kept."""
    return settings.home / FOLDER / f"{service_id}{SUFFIX}"


def imported_file(service_id: str) -> Path | None:
    """Return the file of an imported service, None for a service that is not imported."""
    known = user_services()
    return known.folder / f"{service_id}{SUFFIX}" if service_id in known.heads else None


def known_service(service_id: str) -> Service:
    """Return a service of the packaged catalogue, else an imported one; raises UnknownNameError."""
    packaged = load_catalogue()
    return packaged.get(service_id) if service_id in packaged else user_catalogue().get(service_id)


def store_service(settings: Settings, service: Service, *, may_replace: bool = False) -> Path:
    """Write an imported service and return its file; the old one is kept as a backup.

    Raises ConflictError when there is another of this id and ``may_replace`` is False.
    """
    path = service_file(settings, service.id)
    text = _written(service)
    try:
        return write_new(path.parent, path.name, text)
    except ConflictError:
        if not may_replace:
            raise ConflictError(
                f"A service {service.id} was imported before and is kept; replace it with --replace, "
                "or choose another --id."
            ) from None
    replace(path, text, digest_of(path))
    return path


def remove_service(settings: Settings, service_id: str) -> Path:
    """Remove an imported service and return the file that is gone; raises UnknownNameError."""
    known = user_services(settings).folder.glob(f"*{SUFFIX}")
    path = service_file(settings, service_id)
    names = tuple(sorted(one.stem for one in known))
    if service_id not in names:
        raise UnknownNameError("imported service", service_id, names[:3])
    path.unlink()
    return path


def _written(service: Service) -> str:
    head = service.model_dump_json(exclude={"operations"}, exclude_defaults=True)
    rows = (operation.model_dump_json(exclude_defaults=True) for operation in service.operations)
    return "\n".join((head, *rows)) + "\n"


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of the folder does."""
    try:
        files = [path for path in folder.iterdir() if path.suffix == SUFFIX and not path.name.startswith(".")]
        stats = [(path.name, path.stat()) for path in files]
    except OSError:  # there is no folder before the first import
        return ()
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))


@lru_cache(maxsize=8)
def _listed(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> UserServices:
    packaged = load_catalogue()
    heads: dict[str, JSONDict] = {}
    problems: list[str] = []
    for name, _, _ in stamp:
        service_id = name.removesuffix(SUFFIX)
        try:
            head = _head(folder / name)
        except (OSError, ValueError, RecursionError):
            problems.append(f"{folder / name} cannot be read as a service; import its document again.")
            continue
        if head.get("id") != service_id:
            problems.append(f"{folder / name} holds a service of another id; rename or remove it.")
        elif service_id in packaged:
            problems.append(
                f"The imported service {service_id} is in the catalogue now; remove {folder / name}."
            )
        else:
            heads[service_id] = head
    for problem in problems:
        _log.warning(problem)
    return UserServices(folder, heads, tuple(problems))


def _head(path: Path) -> JSONDict:
    with path.open("rb") as file:
        line = file.readline(_LARGEST_HEAD)
    Service.model_validate_json(line)  # a wrong one is said now and not in the midst of a request
    head: JSONDict = json.loads(line)
    return head


@lru_cache(maxsize=8)
def _joined(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> Catalogue:
    heads = _listed(folder, stamp).heads
    return load_catalogue().joined(heads, partial(_service, folder))


def _service(folder: Path, service_id: str) -> Service:
    """Read a service in full; an operation that cannot be read is named and left out."""
    path = folder / f"{service_id}{SUFFIX}"
    with path.open("rb") as file:
        head = Service.model_validate_json(next(file))
        operations = []
        for number, line in enumerate(file, start=2):
            try:
                operations.append(Operation.model_validate_json(line))
            except ValidationError:
                _log.warning("Line %d of %s cannot be read as an operation; import it again.", number, path)
    return head.model_copy(update={"operations": tuple(operations)})
