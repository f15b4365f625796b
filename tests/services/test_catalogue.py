"""The packaged catalogue: every entry valid, consistent and honest about what it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import resources

import pytest
from pydantic import ValidationError

from prefect_autopilot.errors import ConfigurationError, UnknownNameError
from prefect_autopilot.models import Operation, OperationEffect, Service, ServiceStatus
from prefect_autopilot.services import (
    Catalogue,
    check_parameters,
    first_of,
    fold,
    load_catalogue,
    rows_of,
    simulated_credentials,
)
from prefect_autopilot.services.catalogue import RECOGNISED
from prefect_autopilot.services.paths import WHOLE

CATALOGUE = load_catalogue()
WITH_OPERATIONS = [service for service in CATALOGUE.services if service.operations]
HAND_FINISHED = (
    "gmail",
    "asana",
    "slack",
    "google_sheets",
    "google_calendar",
    "notion",
    "jira",
    "github",
    "hubspot",
    "discord",
    "trello",
    "microsoft_teams",
    "microsoft_outlook",
)


def entry(service_id: str, **more: str) -> str:
    keys = {"id": service_id, "name": service_id.title(), **more}
    return "\n".join(f'{key} = "{value}"' for key, value in keys.items()) + "\n"


def test_every_file_is_a_valid_service_named_after_its_id() -> None:
    folder = resources.files("prefect_autopilot.services").joinpath("catalog")
    files = [file for file in folder.iterdir() if file.name.endswith(".toml") and file.name != RECOGNISED]

    for file in files:
        service = Service.model_validate(tomllib.loads(file.read_text("utf-8")))
        assert file.name == f"{service.id}.toml"
    assert len(files) > 300


def test_the_head_of_every_file_holds_what_the_index_reads() -> None:
    for service in CATALOGUE.services:
        for name in (service.id, service.name, *service.aliases):
            assert service in CATALOGUE.find(name), name
        for kind in service.kinds:
            assert service in CATALOGUE.by_kind(kind)


@pytest.mark.parametrize("service", WITH_OPERATIONS, ids=lambda service: service.id)
def test_an_entry_is_consistent(service: Service) -> None:
    ids = [operation.id for operation in service.operations]
    assert re.fullmatch(r"[a-z0-9_]+", service.id)
    assert len(ids) == len(set(ids)), "two operations of one id"
    assert service.verification is None or service.verification in ids
    assert bool(service.english_words) is service.ambiguous
    assert not service.success_field or service.error_field
    for trigger in service.triggers:
        assert trigger.kind == "webhook" or trigger.operation in ids
        assert trigger.detail is None or trigger.detail in ids


def test_what_is_only_recognised_has_a_name_and_nothing_to_call() -> None:
    for service in CATALOGUE.services:
        assert re.fullmatch(r"[a-z0-9_]+", service.id), service.id
        assert (service.status is ServiceStatus.RECOGNISED) is (not service.operations), service.id
        assert bool(service.english_words) is service.ambiguous, service.id
        assert service.operations or service.verification is None, service.id
        assert service.operations or all(one.kind == "webhook" for one in service.triggers), service.id


@pytest.mark.parametrize("service", WITH_OPERATIONS, ids=lambda service: service.id)
def test_every_operation_is_consistent(service: Service) -> None:
    for operation in service.operations:
        assert not faults(operation), operation.id


def faults(operation: Operation) -> list[str]:
    """Name what is wrong with an entry."""
    names = [parameter.name for parameter in operation.parameters]
    in_path = [parameter for parameter in operation.parameters if parameter.location == "path"]
    in_body = [parameter for parameter in operation.parameters if parameter.location == "body"]
    paged = operation.pagination.request_param
    found = {
        "two parameters of one name": len(names) != len(set(names)),
        "the path and its parameters differ": sorted(re.findall(r"\{([^{}]+)\}", operation.path))
        != sorted(parameter.name for parameter in in_path),
        "an optional part of the path": not all(one.required or one.held for one in in_path),
        "a path that does not start at the root": not operation.path.startswith("/"),
        "more parameters than anybody reads": len(names) > 15,
        "no words for it": not operation.verbs,
        "nobody confirms it": not operation.sources,
        "a read with a body": operation.method in ("GET", "HEAD") and operation.body != "none",
        "body fields without a body": operation.body == "none"
        and not operation.json_header
        and bool(in_body),
        "a JSON header beside a body of fields": bool(operation.json_header)
        and operation.body not in ("raw", "none"),
        "pages that cannot be asked for": paged is not None and paged not in names,
        "pages of a call with an effect": paged is not None and operation.effect is not OperationEffect.SAFE,
    }
    return [fault for fault, true in found.items() if true]


MAKES_A_NEW_THING_BY_PUT = {"xero": {"create_invoice", "create_contact"}}
"""Xero creates by PUT and updates by POST, so such a PUT sent twice makes two things."""

WRITES = ("create", "send", "delete", "publish", "post", "remove", "charge", "refund", "cancel", "add")


@pytest.mark.parametrize("service", WITH_OPERATIONS, ids=lambda service: service.id)
def test_what_creates_sends_or_deletes_is_never_called_safe(service: Service) -> None:
    for operation in service.operations:
        if operation.id.partition("_")[0] in WRITES and service.id != "quickchart":
            assert operation.effect is not OperationEffect.SAFE, operation.id
        if operation.id in MAKES_A_NEW_THING_BY_PUT.get(service.id, ()):
            assert operation.effect is OperationEffect.UNSAFE, operation.id
        elif operation.method in ("PUT", "DELETE"):
            assert operation.effect is OperationEffect.IDEMPOTENT, operation.id


@pytest.mark.parametrize(
    "service", [one for one in WITH_OPERATIONS if one.verification], ids=lambda service: service.id
)
def test_a_check_of_a_connection_changes_nothing_and_needs_nothing(service: Service) -> None:
    assert service.verification is not None
    operation = service.operation(service.verification)
    assert operation is not None
    assert operation.effect is OperationEffect.SAFE
    given = service.verification_parameters
    assert set(given) <= {p.name for p in operation.parameters}
    needed = {p.name for p in operation.parameters if p.required and p.default is None}
    assert needed <= set(given)
    check_parameters(service, operation, given, simulated_credentials(service))


DESCRIBED = 0.98
"""Share of the parameters of operable services that say what they are, at least; all needed ones do."""


def test_parameters_of_operable_services_say_what_they_are() -> None:
    known = {
        f"{service.id}.{operation.id}.{one.name}": one
        for service in load_catalogue().services
        if service.status is ServiceStatus.OPERABLE
        for operation in service.operations
        for one in operation.parameters
    }
    silent = {place for place, one in known.items() if one.description.strip(". ") in ("", one.name)}
    assert {place for place in silent if known[place].required} == set()
    assert 1 - len(silent) / len(known) >= DESCRIBED, sorted(silent)
    told = {place: one.description for place, one in known.items() if place not in silent}
    assert [place for place, text in told.items() if not text.endswith(".") or len(text) > 100] == []


def test_only_what_has_operations_and_sources_is_called_operable() -> None:
    """Whether its sources confirm it is for the contract tests to say."""
    for service in WITH_OPERATIONS:
        if service.status is ServiceStatus.OPERABLE:
            assert len(service.operations) > 1, service.id
            assert service.provenance, service.id


def test_the_counts_are_of_this_catalogue() -> None:
    stats = CATALOGUE.stats()
    services = CATALOGUE.services
    operable = [service for service in services if service.status is ServiceStatus.OPERABLE]

    assert stats.operable + stats.declared + stats.recognised == len(services)
    assert stats.operable == len(operable) >= 180
    assert stats.operable + stats.declared >= 250
    assert len(services) >= 400
    assert stats.operable + stats.declared == sum(1 for service in services if service.operations)
    assert stats.operations == sum(len(service.operations) for service in services) > 1000
    assert stats.operable_operations == sum(len(service.operations) for service in operable)


@pytest.mark.parametrize("service_id", HAND_FINISHED)
def test_a_finished_service_has_bodies_and_credentials(service_id: str) -> None:
    service = CATALOGUE.get(service_id)
    creating = [
        op for op in service.operations if op.effect is OperationEffect.UNSAFE and op.method == "POST"
    ]

    assert all(any(p.location == "body" for p in op.parameters) for op in creating)
    assert service.base_url
    assert simulated_credentials(service)
    assert service.provenance


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("Asana", ("asana",)),
        ("  google   SHEETS ", ("google_sheets",)),
        ("google-sheets", ("google_sheets",)),
        ("google_sheets", ("google_sheets",)),
        ("ｓｌａｃｋ", ("slack",)),
        ("postgresql", ("postgres",)),
        ("outlook", ("microsoft_365", "microsoft_outlook")),
        ("no such service", ()),
        ("", ()),
    ],
)
def test_a_name_finds_its_services(name: str, ids: tuple[str, ...]) -> None:
    assert tuple(service.id for service in CATALOGUE.find(name)) == ids


def test_looking_up_a_name_reads_no_other_service() -> None:
    catalogue = Catalogue({"one.toml": entry("one"), "two.toml": entry("two") + '[auth]\nscheme = "wrong"\n'})

    assert [service.id for service in catalogue.find("One")] == ["one"]
    with pytest.raises(ValidationError):
        catalogue.get("two")


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="asana") as caught:
        CATALOGUE.get("asanna")
    assert caught.value.nearest[0] == "asana"
    assert "asana" in CATALOGUE
    assert "asanna" not in CATALOGUE


def test_nothing_near_suggests_nothing() -> None:
    with pytest.raises(UnknownNameError) as caught:
        CATALOGUE.get("qqqqqqqq")
    assert caught.value.nearest == ()


def test_the_usual_services_of_a_kind_come_first() -> None:
    chats = [service.id for service in CATALOGUE.by_kind("chat")]
    assert chats[:3] == ["slack", "microsoft_teams", "discord"]
    assert CATALOGUE.by_kind("no such kind") == ()
    assert {"email", "chat", "crm", "tasks", "calendar", "project_management"} <= set(CATALOGUE.kinds)


def test_one_id_in_two_files_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        Catalogue({"a.toml": entry("one"), "b.toml": entry("one")})


def test_services_known_by_name_only_are_read_from_one_table() -> None:
    table = '[[services]]\nid = "alpha"\nname = "Alpha"\naliases = ["first letter"]\n'
    catalogue = Catalogue({RECOGNISED: table})

    assert catalogue.find("First Letter")[0].status is ServiceStatus.RECOGNISED
    assert catalogue.services[0].operations == ()


@pytest.mark.parametrize("text", ["A-b_c", "a b  C", "Ａ b c"])
def test_folding_ignores_case_width_and_spacing(text: str) -> None:
    assert fold(text) == "a b c"
    assert fold(fold(text)) == fold(text)


def test_a_list_place_is_only_given_for_lists() -> None:
    gmail = CATALOGUE.get("gmail").operation("list_messages")
    assert gmail is not None
    assert rows_of(gmail, {"messages": [1, 2]}) == [1, 2]
    assert rows_of(gmail, {"resultSizeEstimate": 0}) == []
    assert rows_of(gmail, None) == []
    assert gmail.list_at != WHOLE


def test_pages_that_a_service_counts_from_nought_are_asked_for_so() -> None:
    names = {"braze": ["list_campaigns", "list_segments", "list_canvases"], "nytimes": ["search_articles"]}
    found = [CATALOGUE.get(service).operation(name) for service, told in names.items() for name in told]
    assert [one and first_of(one.pagination) for one in found] == [0, 0, 0, 0]


def test_importing_the_room_imports_neither_prefect_nor_a_web_library() -> None:
    code = (
        "import sys, prefect_autopilot.services as s; s.load_catalogue().find('slack');"
        "heavy = {'prefect', 'httpx', 'starlette', 'fastapi', 'sklearn'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
