"""The table's own order."""

from __future__ import annotations

import tomllib
from collections import Counter
from importlib.resources import files

import pytest

from prefect_autopilot.effects import Level, is_handle
from prefect_autopilot.effects.table import Entry, lookup, type_named

FOLDER = files("prefect_autopilot.effects").joinpath("table")
DOCUMENTS = {
    file.name: tomllib.loads(file.read_text(encoding="utf-8"))
    for file in FOLDER.iterdir()
    if file.name.endswith(".toml")
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_entry_can_be_read(name: str) -> None:
    assert all(Entry(**row) for row in DOCUMENTS[name]["entry"])


def test_a_name_is_told_once() -> None:
    names = Counter(name for one in DOCUMENTS.values() for row in one["entry"] for name in row["names"])
    assert {name for name, count in names.items() if count > 1} <= {"urllib.parse.*"}


def test_pure_entries_neither_wait_nor_touch_a_resource() -> None:
    rows = [Entry(**row) for one in DOCUMENTS.values() for row in one["entry"]]
    assert not [row.names for row in rows if row.effect is Level.PURE and (row.waits or row.resource)]


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("requests.get", Level.READ),
        ("json.loads", Level.PURE),
        ("os.path.join", Level.PURE),
        ("os.path.exists", Level.READ),
        ("numpy.random.rand", Level.PURE),
    ],
)
def test_the_nearest_entry_counts(name: str, effect: Level) -> None:
    entry = lookup(name)
    assert entry is not None
    assert entry.effect is effect


@pytest.mark.parametrize("name", ["", "requests", "requests.frobnicate", "builtins.len", "nothing.at.all"])
def test_a_name_without_entry_is_not_guessed(name: str) -> None:
    assert lookup(name) is None


@pytest.mark.parametrize(
    "name", ["requests.Session", "dbapi.Connection", "localdb.Cursor", "boto3.client", "io.File"]
)
def test_clients_connections_and_files_are_handles(name: str) -> None:
    assert is_handle(name)


@pytest.mark.parametrize(
    "name", ["", "plain", "pathlib.Path", "pandas.DataFrame", "logging.Logger", "http.Response"]
)
def test_data_is_no_handle(name: str) -> None:
    assert not is_handle(name)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("sqlite3.Connection", "localdb.Connection"),
        ("requests.Session", "requests.Session"),
        ("builtins.list", "plain"),
        ("mystery.Thing", ""),
    ],
)
def test_annotations_stand_for_types(annotation: str, kind: str) -> None:
    assert type_named(annotation) == kind
