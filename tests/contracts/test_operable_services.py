"""A service is called operable exactly where a recorded source confirms address, proof and two operations."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from contract_cases import CATALOGUE, FIXTURES, recorded_operations, told
from recorded_service import Fact
from recording import main
from recording_command import CONFIRMED, PARTLY, UNSEEN, marked, marks_of

from prefect_autopilot.models import Auth, Service, ServiceStatus

SLOT = re.compile(r"\{[^}]*\}")
OPERATIONS = 2
"""Confirmed operations that an operable service has at least."""
FEWEST_OPERABLE = 180


def blank(address: str) -> tuple[str, list[str]]:
    """Return host and path of an address with its slots blanked; the port is the person's own business."""
    host, _, path = SLOT.sub("{}", address).partition("://")[2].partition("/")
    return host.lower().partition(":")[0], [step for step in path.split("/") if step]


def same_place(base: str, server: str) -> bool:
    """Tell whether two addresses are one, however the version is split between address and path."""
    (host, path), (other_host, other_path) = blank(base), blank(server)
    shared = min(len(path), len(other_path))
    return host == other_host and path[:shared] == other_path[:shared]


def address_agrees(service: Service, fixture: Fact) -> bool:
    """Tell whether a source names the address of the entry, or leaves the host to the person as it does."""
    if service.base_url is None:
        return any(server["url"].startswith("https://{") for server in fixture["servers"])
    return any(same_place(service.base_url, server["url"]) for server in fixture["servers"])


def proof_agrees(auth: Auth, facts: list[Fact]) -> bool:
    """Tell whether a source proves a caller as the entry does."""
    found = [one for one in facts if _is(auth, one)]
    if auth.scheme in ("query", "header", "body") and "+" in auth.name:
        names = {one["name"] for one in facts if one["type"] == "apiKey" and one["in"] == auth.scheme}
        return set(auth.name.split("+")) <= names
    if auth.token_url:
        told = [url for one in facts for url in (one.get("token_url"), one.get("refresh_url")) if url]
        return bool(found) and any(same_place(auth.token_url, url) for url in told)
    return bool(found)


def _is(auth: Auth, fact: Fact) -> bool:
    kind, where = (fact["type"], fact.get("scheme")), fact.get("in")
    named = kind[0] == "apiKey" and fact["name"].lower() == auth.name.lower()
    in_header = named and where == "header" and fact.get("prefix") in (None, auth.prefix)
    bearer = kind == ("http", "bearer")
    spelt = auth.name.lower() == "authorization" and kind == ("http", auth.prefix.strip().lower())
    agreeing = {
        "oauth2": kind[0] == "oauth2",
        "basic": kind == ("http", "basic")
        and (fact.get("username"), fact.get("password")) == (auth.username, auth.password),
        "body": named and where == "body",
        "bearer": kind[0] == "oauth2" or bearer or in_header,
        "query": named and where == "query",
        "header": in_header or spelt,
        "bot_token": kind[0] == "apiKey" and where == "path" if auth.name == "path" else in_header or spelt,
    }
    return agreeing.get(auth.scheme, kind[0] == auth.scheme)


def what_lacks(service: Service, fixture: Fact | None) -> list[str]:
    """Name what keeps a service from being operable."""
    if fixture is None:
        return ["nothing is recorded"]
    known = {operation.id for operation in service.operations}
    lacking = {
        "no address": not fixture["servers"],
        "no authentication": not fixture["auth"],
        "fewer than two operations": len(known & set(fixture["operations"])) < OPERATIONS,
        "another address": not address_agrees(service, fixture),
        "another authentication": not proof_agrees(service.auth, fixture["auth"]),
    }
    return [what for what, true in lacking.items() if true]


@pytest.mark.parametrize("service", CATALOGUE.services, ids=lambda service: service.id)
def test_a_service_is_operable_exactly_where_its_source_confirms_it(service: Service) -> None:
    lacking = what_lacks(service, FIXTURES.get(service.id))

    if service.status is ServiceStatus.OPERABLE:
        assert lacking == []
    else:
        assert lacking, "everything is confirmed; the entry may say so"


@pytest.mark.parametrize("service_id", FIXTURES)
def test_what_is_recorded_is_in_the_catalogue(service_id: str) -> None:
    operations = {operation.id for operation in CATALOGUE.get(service_id).operations}
    assert set(FIXTURES[service_id]["operations"]) <= operations
    assert FIXTURES[service_id]["service"] == service_id


def test_exactly_what_is_recorded_is_called_confirmed() -> None:
    said = {
        f"{service.id}.{operation.id}"
        for service in CATALOGUE.services
        for operation in service.operations
        if operation.confirmed
    }
    assert said == set(recorded_operations()), "run tests/contracts/recording.py --mark"


def test_what_the_sources_leave_open_is_said_of_each_operation() -> None:
    for case in recorded_operations():
        _, fact, _, operation = told(case)
        entry = {"list_at": operation.list_at} if operation.list_at else {}
        said = [CONFIRMED, *([PARTLY] * operation.partly), *([UNSEEN] * operation.rows_unseen)]
        assert list(marks_of(entry, fact)) == said, f"{case}: run tests/contracts/recording.py --mark"


ENTRY = """id = "asana"

[auth]
scheme = "bearer"

[[operations]]
id = "get_task"
path = "/tasks/{id}"
confirmed = true
effect = "safe"

[[operations]]
id = "create_task"
path = "/tasks"

[[triggers]]
id = "get_task"
path = "/none"
"""


def test_the_recorder_marks_operations_and_nothing_else() -> None:
    once = marked(ENTRY, {"create_task": [CONFIRMED]})

    operations = tomllib.loads(once)["operations"]
    assert [one.get("confirmed") for one in operations] == [None, True]
    assert once.count("confirmed") == 1
    assert marked(once, {"create_task": [CONFIRMED]}) == once
    assert marked(once, {"get_task": [CONFIRMED]}) == ENTRY
    assert "confirmed" not in marked(once, {})


ROWS = {"200": {"shape": {"type": "object", "properties": {"rows": {"type": "array"}}}}}


@pytest.mark.parametrize(
    ("entry", "fact", "marks"),
    [
        ({"list_at": "rows"}, {"responses": ROWS}, (CONFIRMED,)),
        ({"list_at": "rows"}, {"responses": ROWS, "open": True}, (CONFIRMED, PARTLY)),
        ({"list_at": "rows"}, {"responses": {"200": {"shape": {"type": "any"}}}}, (CONFIRMED, UNSEEN)),
        ({}, {"responses": {}, "open": True}, (CONFIRMED, PARTLY)),
    ],
    ids=["all told", "some parameters", "no rows shown", "no list"],
)
def test_what_a_source_leaves_open_is_marked(entry: Fact, fact: Fact, marks: tuple[str, ...]) -> None:
    assert marks_of(entry, fact) == marks


def test_a_catalogue_is_marked_by_the_files_of_the_recordings(tmp_path: Path) -> None:
    (tmp_path / "asana.toml").write_text(ENTRY, "utf-8")
    (tmp_path / "asana.json").write_text(
        json.dumps({"operations": {"create_task": {"responses": {}}}}), "utf-8"
    )
    (tmp_path / "other.toml").write_text(ENTRY.replace("asana", "other"), "utf-8")

    assert main(["--mark", "--into", str(tmp_path), "--catalog", str(tmp_path)]) == 0

    assert "confirmed" not in (tmp_path / "other.toml").read_text("utf-8")
    assert (tmp_path / "asana.toml").read_text("utf-8") == marked(ENTRY, {"create_task": [CONFIRMED]})


@pytest.mark.parametrize("service_id", FIXTURES)
def test_every_fact_names_its_source(service_id: str) -> None:
    fixture = FIXTURES[service_id]
    for source in fixture["sources"]:
        assert set(source) == {"name", "version", "file", "sha256", "recorded"}
        assert re.fullmatch(r"[0-9a-f]{64}", source["sha256"])
    for fact in (*fixture["servers"], *fixture["auth"], *fixture["operations"].values()):
        assert 0 <= fact["source"] < len(fixture["sources"])
        assert fact["at"]
    for operation in fixture["operations"].values():
        assert not fixture["servers"] or operation["server"] < len(fixture["servers"])


def test_no_operation_of_an_operable_service_is_without_a_recorded_contract() -> None:
    operable = [one for one in CATALOGUE.services if one.status is ServiceStatus.OPERABLE]
    wanted = {f"{service.id}.{operation.id}" for service in operable for operation in service.operations}

    assert len(operable) >= FEWEST_OPERABLE
    assert wanted - set(recorded_operations()) == set()


def test_a_confirmed_service_stops_being_one_when_its_entry_says_something_else() -> None:
    service, fixture = CATALOGUE.get("slack"), FIXTURES["slack"]
    assert what_lacks(service, fixture) == []

    moved = service.model_copy(update={"base_url": "https://slack.example/api"})
    assert what_lacks(moved, fixture) == ["another address"]
    keyed = service.model_copy(update={"auth": Auth(scheme="query", name="key")})
    assert what_lacks(keyed, fixture) == ["another authentication"]
    short = service.model_copy(update={"operations": service.operations[:1]})
    assert what_lacks(short, fixture) == ["fewer than two operations"]
    assert what_lacks(service, None) == ["nothing is recorded"]
    silent = {**fixture, "servers": [], "auth": []}
    assert what_lacks(service, silent)[:2] == ["no address", "no authentication"]


@pytest.mark.parametrize(
    ("base", "server", "same"),
    [
        ("https://api.x.com/v1", "https://api.x.com/v1", True),
        ("https://api.x.com", "https://api.x.com/v1", True),
        ("https://api.x.com/v1/me", "https://api.x.com/v1", True),
        ("https://{site}.x.com", "https://{subdomain}.x.com", True),
        ("https://api.x.com/v1", "https://api.x.com/v2", False),
        ("https://api.x.com", "https://www.x.com", False),
        ("https://{site}.x.com", "https://{site}.y.com", False),
    ],
)
def test_addresses_are_compared_without_their_slots(base: str, server: str, same: bool) -> None:  # noqa: FBT001
    assert same_place(base, server) is same


@pytest.mark.parametrize(
    ("auth", "fact", "agrees"),
    [
        (Auth(scheme="bearer"), {"type": "http", "scheme": "bearer"}, True),
        (Auth(scheme="bearer"), {"type": "http", "scheme": "basic"}, False),
        (Auth(scheme="basic"), {"type": "http", "scheme": "basic"}, True),
        (Auth(scheme="header", name="X-Key"), {"type": "apiKey", "in": "header", "name": "x-key"}, True),
        (Auth(scheme="header", name="X-Key"), {"type": "apiKey", "in": "query", "name": "X-Key"}, False),
        (Auth(scheme="header", name="X-Key"), {"type": "apiKey", "in": "header", "name": "X-Token"}, False),
        (
            Auth(scheme="header", prefix="Token "),
            {"type": "apiKey", "in": "header", "name": "Authorization", "prefix": "token "},
            False,
        ),
        (Auth(scheme="query", name="key"), {"type": "apiKey", "in": "query", "name": "key"}, True),
        (Auth(scheme="query", name="key+token"), {"type": "apiKey", "in": "query", "name": "key"}, False),
        (Auth(scheme="header", name="id+key"), {"type": "apiKey", "in": "header", "name": "id"}, False),
        (Auth(scheme="basic", password=""), {"type": "http", "scheme": "basic"}, False),
        (Auth(scheme="basic"), {"type": "http", "scheme": "basic", "password": ""}, False),
        (Auth(scheme="basic", password=""), {"type": "http", "scheme": "basic", "password": ""}, True),
        (Auth(scheme="basic", username=""), {"type": "http", "scheme": "basic", "password": ""}, False),
        (Auth(scheme="body", name="key"), {"type": "apiKey", "in": "body", "name": "key"}, True),
        (Auth(scheme="body", name="key"), {"type": "apiKey", "in": "query", "name": "key"}, False),
        (Auth(scheme="sigv4"), {"type": "sigv4"}, True),
        (Auth(scheme="none"), {"type": "http", "scheme": "bearer"}, False),
        (
            Auth(scheme="oauth2", token_url="https://x.com/token"),
            {"type": "oauth2", "token_url": "https://y.com/token", "refresh_url": None},
            False,
        ),
        (
            Auth(scheme="oauth2", token_url="https://x.com/token"),
            {"type": "oauth2", "token_url": None, "refresh_url": None},
            False,
        ),
    ],
)
def test_a_proof_agrees_only_with_its_own_kind_and_place(auth: Auth, fact: Fact, agrees: bool) -> None:  # noqa: FBT001
    assert proof_agrees(auth, [fact]) is agrees
