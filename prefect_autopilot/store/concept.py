"""What every concept of the store shares: the database and the values that must never be written."""

from __future__ import annotations

from prefect_autopilot.store.database import Database


class Concept:
    """Base of the classes that together make the ``Store``."""

    def __init__(self, database: Database, secrets: tuple[str, ...] = ()) -> None:
        self._database = database
        self._secrets = secrets
