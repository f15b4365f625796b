"""Imported services in the home folder: kept whole, found at once, never in the way of the others."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from prefect_autopilot.adapters.catalogue import (
    imported_file,
    known_service,
    remove_service,
    service_file,
    store_service,
    user_catalogue,
    user_services,
)
from prefect_autopilot.errors import ConfigurationError, ConflictError, UnknownNameError
from prefect_autopilot.models import Auth, Operation, Parameter, Service
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    return load_settings()


def service(service_id: str = "acme", operations: int = 2) -> Service:
    made = tuple(
        Operation(
            id=f"get_{n}", method="GET", path=f"/{n}", parameters=(Parameter(name="q", location="query"),)
        )
        for n in range(operations)
    )
    auth = Auth(scheme="bearer", prefix="Bearer ")
    return Service(
        id=service_id, name="Acme Widgets", base_url="https://a.example", auth=auth, operations=made
    )


def test_without_imports_the_catalogue_is_the_packaged_one(settings: Settings) -> None:
    assert user_catalogue(settings) is load_catalogue()
    assert not settings.home.exists()


def test_an_imported_service_is_read_as_it_was_written(settings: Settings) -> None:
    path = store_service(settings, service())
    catalogue = user_catalogue(settings)
    assert path == settings.home / "services" / "acme.jsonl"
    assert catalogue.get("acme") == service()
    assert catalogue.find("acme widgets") == (service(),)
    assert catalogue.get("slack") == load_catalogue().get("slack")
    assert service() in catalogue.services
    assert catalogue.stats().operations == load_catalogue().stats().operations + 2


def test_the_packaged_catalogue_never_learns_of_imports(settings: Settings) -> None:
    store_service(settings, service())
    user_catalogue(settings)
    assert "acme" not in load_catalogue()
    assert load_catalogue().find("Acme Widgets") == ()


def test_the_same_files_give_the_same_catalogue_and_others_another(settings: Settings) -> None:
    store_service(settings, service())
    first = user_catalogue(settings)
    assert user_catalogue(settings) is first
    store_service(settings, service("other"))
    assert "other" in user_catalogue(settings)
    assert "other" not in first


def test_a_second_import_is_refused_and_the_first_kept(settings: Settings) -> None:
    path = store_service(settings, service())
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="--replace"):
        store_service(settings, service(operations=3))
    assert path.read_bytes() == before


def test_the_same_import_again_is_no_conflict(settings: Settings) -> None:
    assert store_service(settings, service()) == store_service(settings, service())


def test_a_replaced_import_stays_as_a_backup(settings: Settings) -> None:
    path = store_service(settings, service())
    before = path.read_bytes()
    store_service(settings, service(operations=3), may_replace=True)
    (backup,) = path.parent.glob("*.bak")
    assert backup.read_bytes() == before
    assert len(user_catalogue(settings).get("acme").operations) == 3


def test_a_removed_import_is_gone_and_others_are_not(settings: Settings) -> None:
    store_service(settings, service())
    store_service(settings, service("other"))
    remove_service(settings, "acme")
    assert "acme" not in user_catalogue(settings)
    assert "other" in user_catalogue(settings)


@pytest.mark.parametrize("name", ["ghost", "slack", "../settings", ""])
def test_only_imported_services_are_removed(settings: Settings, name: str) -> None:
    store_service(settings, service())
    with pytest.raises(UnknownNameError, match="imported service"):
        remove_service(settings, name)
    assert "acme" in user_catalogue(settings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": "bad"}',
        b'{"id": "bad", "name": "B", "odd": 1}',
        b"\xff\xfe",
        b"[" * 9_000,
    ],
    ids=["empty", "cut", "list", "null", "no name", "odd field", "bytes", "deep"],
)
def test_a_broken_file_is_named_and_left_out(
    settings: Settings, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store_service(settings, service())
    service_file(settings, "bad").write_bytes(content + b"\n")
    with caplog.at_level(logging.WARNING):
        found = user_services(settings)
    assert list(found.heads) == ["acme"]
    (problem,) = found.problems
    assert "bad.jsonl" in problem
    assert problem in caplog.text
    assert user_catalogue(settings).get("acme") == service()


def test_a_file_of_another_id_is_left_out(settings: Settings) -> None:
    path = store_service(settings, service())
    path.rename(path.with_name("renamed.jsonl"))
    found = user_services(settings)
    assert not found.heads
    assert "another id" in found.problems[0]


def test_an_import_the_catalogue_has_learned_since_gives_way(settings: Settings) -> None:
    store_service(settings, service("slack"))
    assert user_catalogue(settings).get("slack") == load_catalogue().get("slack")
    assert "in the catalogue now" in user_services(settings).problems[0]


def test_a_broken_operation_is_named_and_the_others_stay(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = store_service(settings, service(operations=3))
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([lines[0], lines[1], '{"id": 1}', lines[3]]) + "\n", "utf-8")
    with caplog.at_level(logging.WARNING):
        found = user_catalogue(settings).get("acme")
    assert [one.id for one in found.operations] == ["get_0", "get_2"]
    assert "Line 3" in caplog.text


def test_a_backup_and_a_temporary_file_are_no_services(settings: Settings) -> None:
    path = store_service(settings, service())
    for name in ("acme.jsonl.0123.bak", ".other.jsonl.x.tmp", ".hidden.jsonl", "notes.txt"):
        path.with_name(name).write_text("x", "utf-8")
    assert (list(user_services(settings).heads), user_services(settings).problems) == (["acme"], ())


def test_a_file_holds_one_line_an_operation_without_what_goes_without_saying(settings: Settings) -> None:
    lines = store_service(settings, service()).read_text("utf-8").splitlines()
    assert [set(json.loads(line)) for line in lines] == [
        {"id", "name", "base_url", "auth"},
        {"id", "method", "path", "parameters"},
        {"id", "method", "path", "parameters"},
    ]


def test_a_service_is_looked_for_among_the_packaged_and_the_imported(settings: Settings) -> None:
    store_service(settings, service())
    assert known_service("acme") == service()
    assert known_service("slack").name == "Slack"
    assert imported_file("acme") == service_file(settings, "acme")
    assert imported_file("slack") is None
    with pytest.raises(UnknownNameError):
        known_service("no_such_service")


def test_an_id_joined_twice_is_refused(settings: Settings) -> None:
    store_service(settings, service())
    heads = user_services(settings).heads
    with pytest.raises(ConfigurationError, match="twice"):
        user_catalogue(settings).joined(heads, lambda _: service())


def test_of_two_imports_at_once_one_is_kept_whole(settings: Settings) -> None:
    refused = []

    def keep(count: int) -> None:
        try:
            store_service(settings, service(operations=count))
        except ConflictError:
            refused.append(count)

    threads = [threading.Thread(target=keep, args=(count,)) for count in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert len(user_catalogue(settings).get("acme").operations) not in refused
    assert [path.name for path in (settings.home / "services").iterdir()] == ["acme.jsonl"]
