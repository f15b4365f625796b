"""The catalogue of services: one TOML file a service, read in full only when the service is asked for."""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from prefect_autopilot.errors import ConfigurationError, UnknownNameError
from prefect_autopilot.models import Service, ServiceStatus, Value

RECOGNISED = "recognised.toml"
"""The file of services known by name only."""


class CatalogueStats(Value):
    """What the catalogue holds; never one number for all of it."""

    operable: int
    declared: int
    recognised: int
    operations: int
    """Operations of operable and declared services together."""
    operable_operations: int
    confirmed_operations: int
    """Those operations of operable services that a recorded source describes and contract tests call."""
    confirmed_elsewhere: int = 0
    """Such operations of services that are not operable, because something else is not confirmed."""
    partly_confirmed: int = 0
    """Those confirmed operations whose source names some of their parameters only."""
    unseen_rows: int = 0
    """Those confirmed lists whose source does not show where the rows stand."""


def fold(name: str) -> str:
    """Return the form in which names are compared: case, width, hyphens and spacing do not count."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_\-]+", " ", plain).strip()


def _head(text: str) -> dict[str, Any]:
    # The keys of the service itself stand before the first table. Parsing only them takes a tenth of
    # the time, and most services of a catalogue are never asked for.
    return tomllib.loads(text.partition("\n[")[0])


class Catalogue:
    """Services by id, name and kind. Heads are read at once, operations on first use."""

    def __init__(self, files: Mapping[str, str], kinds: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """Index ``files`` (name to TOML text); ``kinds`` orders the services of a kind."""
        self._kinds = dict(kinds or {})
        self._texts: dict[str, str] = {}
        self._heads: dict[str, dict[str, Any]] = {}
        self._loaded: dict[str, Service] = {}
        self._readers: dict[str, Callable[[str], Service]] = {}
        for file, text in sorted(files.items()):
            if file == RECOGNISED:
                for head in tomllib.loads(text)["services"]:
                    self._add(head, None)
            else:
                self._add(_head(text), text)

    def _add(self, head: dict[str, Any], text: str | None) -> None:
        service_id = head["id"]
        if service_id in self._heads:
            msg = f"The catalogue holds the service {service_id!r} twice; remove one of its entries."
            raise ConfigurationError(msg)
        self._heads[service_id] = head
        if text is not None:
            self._texts[service_id] = text

    def joined(self, heads: Mapping[str, Mapping[str, Any]], read: Callable[[str], Service]) -> Catalogue:
        """Return this catalogue with further services; ``read`` gives one in full when it is asked for.

        Raises ConfigurationError for an id that is known already.
        """
        whole = Catalogue({}, self._kinds)
        whole._texts, whole._loaded = self._texts, dict(self._loaded)
        whole._heads, whole._readers = dict(self._heads), dict(self._readers)
        for head in heads.values():
            whole._add(dict(head), None)
            whole._readers[head["id"]] = read
        return whole

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of all services, sorted."""
        return tuple(sorted(self._heads))

    @cached_property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Every folded id, name and alias with the ids of the services that bear it."""
        index: defaultdict[str, list[str]] = defaultdict(list)
        for service_id in self.ids:
            head = self._heads[service_id]
            for name in dict.fromkeys(map(fold, (service_id, head["name"], *head.get("aliases", ())))):
                index[name].append(service_id)
        return {name: tuple(ids) for name, ids in index.items()}

    def get(self, service_id: str) -> Service:
        """Return the service of this id; raises UnknownNameError with the nearest ids and names."""
        if service_id not in self._loaded:
            if service_id not in self._heads:
                raise UnknownNameError("service", service_id, self.nearest(service_id))
            if service_id in self._readers:
                self._loaded[service_id] = self._readers[service_id](service_id)
                return self._loaded[service_id]
            text = self._texts.get(service_id)
            table = self._heads[service_id] if text is None else tomllib.loads(text)
            self._loaded[service_id] = Service.model_validate(table)
        return self._loaded[service_id]

    def __contains__(self, service_id: object) -> bool:
        return service_id in self._heads

    def describes(self, service_id: str) -> bool:
        """Tell whether more is known of a service than its name."""
        return service_id in self._texts or service_id in self._readers

    def find(self, name: str) -> tuple[Service, ...]:
        """Return the services that bear this name or alias, none when nobody does."""
        return tuple(self.get(service_id) for service_id in self.names.get(fold(name), ()))

    def nearest(self, name: str, count: int = 3) -> tuple[str, ...]:
        """Return the ids whose id, name or alias is closest to ``name``, the closest first."""
        close = difflib.get_close_matches(fold(name), self.names, n=count, cutoff=0.7)
        return tuple(dict.fromkeys(service_id for match in close for service_id in self.names[match]))[:count]

    def by_kind(self, kind: str) -> tuple[Service, ...]:
        """Return the services of a kind (email, chat, tasks …), the likelier first."""
        order = {service_id: place for place, service_id in enumerate(self._kinds.get(kind, ()))}
        ids = [i for i in self.ids if kind in self._heads[i].get("kinds", ())]
        return tuple(self.get(i) for i in sorted(ids, key=lambda i: (order.get(i, len(order)), i)))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Every kind some service stands for, sorted."""
        return tuple(sorted({kind for head in self._heads.values() for kind in head.get("kinds", ())}))

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """All services in full, by id. Reads every file the first time."""
        return tuple(self.get(service_id) for service_id in self.ids)

    def stats(self) -> CatalogueStats:
        """Count services by status, and operations."""
        by_status: defaultdict[ServiceStatus, list[Service]] = defaultdict(list)
        for service in self.services:
            by_status[service.status].append(service)
        confirmed = {
            status: sum(operation.confirmed for service in held for operation in service.operations)
            for status, held in by_status.items()
        }
        of_operable = confirmed.pop(ServiceStatus.OPERABLE, 0)
        return CatalogueStats(
            operable=len(by_status[ServiceStatus.OPERABLE]),
            declared=len(by_status[ServiceStatus.DECLARED]),
            recognised=len(by_status[ServiceStatus.RECOGNISED]),
            operations=sum(len(service.operations) for service in self.services),
            operable_operations=sum(len(service.operations) for service in by_status[ServiceStatus.OPERABLE]),
            confirmed_operations=of_operable,
            confirmed_elsewhere=sum(confirmed.values()),
            partly_confirmed=sum(one.partly for service in self.services for one in service.operations),
            unseen_rows=sum(one.rows_unseen for service in self.services for one in service.operations),
        )


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """Return the packaged catalogue; read once a process."""
    room = resources.files("prefect_autopilot.services")
    files = {
        entry.name: entry.read_text("utf-8")
        for entry in room.joinpath("catalog").iterdir()
        if entry.name.endswith(".toml")
    }
    kinds = tomllib.loads(room.joinpath("kinds.toml").read_text("utf-8"))
    return Catalogue(files, {kind: tuple(ids) for kind, ids in kinds.items()})
