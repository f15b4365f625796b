"""What every concept of the store shares: the database and the values that must never be written."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func

from prefect_autopilot.store.database import Database


class Concept:
    """Base of the classes that together make the ``Store``."""

    def __init__(self, database: Database, secrets: tuple[str, ...] = ()) -> None:
        self._database = database
        self._secrets = secrets


def begins(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that a text begins so, letter for letter: LIKE of SQLite takes a for A."""
    return func.substr(column, 1, len(text)) == text
