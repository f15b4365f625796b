"""Rate limits and idempotency headers of the catalogue stand on a named source, and are as it says."""

from __future__ import annotations

import re
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from contract_cases import CATALOGUE, FIXTURES

from prefect_autopilot.models import OperationEffect, Service

CATALOG = Path(__file__).parents[2] / "prefect_autopilot" / "services" / "catalog"
RATE = re.compile(r"rate limit: (\d+) (?:a (second|minute)|in (\d+) seconds): \S+")
LONGEST_S = 600
"""Seconds of the longest time that a limit may be spread over; longer quotas are told in answers."""

LIMITED = [service for service in CATALOGUE.services if service.rate_limit_per_s]
KEYED = [service for service in CATALOGUE.services if service.idempotency_header]


def told(service: Service, what: str) -> list[str]:
    """Return what the provenance of a service says of one thing."""
    return [line for line in service.provenance if line.startswith(f"{what}: ")]


def per_second(line: str) -> Fraction:
    """Return the calls a second that a line of provenance allows."""
    found = RATE.fullmatch(line)
    assert found, line
    seconds = {"second": 1, "minute": 60}.get(found[2] or "", int(found[3] or 0))
    assert 0 < seconds <= LONGEST_S
    return Fraction(int(found[1]), seconds)


def test_the_best_known_services_have_a_rate_limit() -> None:
    best_known = {"slack", "github", "notion", "airtable", "hubspot", "shopify", "asana", "stripe", "zendesk"}
    assert best_known <= {service.id for service in LIMITED}


@pytest.mark.parametrize("service", LIMITED, ids=lambda service: service.id)
def test_a_rate_limit_is_what_its_source_allows_and_no_more(service: Service) -> None:
    (line,) = told(service, "rate limit")
    allowed = per_second(line)

    assert service.rate_limit_per_s is not None
    assert 0 < Fraction(str(service.rate_limit_per_s)) <= allowed
    assert Fraction(str(service.rate_limit_per_s)) > allowed * Fraction(98, 100)


def test_no_source_of_a_rate_limit_is_left_without_one() -> None:
    sourced = {service.id for service in CATALOGUE.services if told(service, "rate limit")}
    assert sourced == {service.id for service in LIMITED}


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("rate limit: 3 a second: https://x.example/limits", Fraction(3)),
        ("rate limit: 150 a minute: vendor/api@1:openapi.json", Fraction(5, 2)),
        ("rate limit: 100 in 10 seconds: vendor/api@1:openapi.json", Fraction(10)),
    ],
)
def test_a_line_of_provenance_is_read_as_calls_a_second(line: str, allowed: Fraction) -> None:
    assert per_second(line) == allowed


@pytest.mark.parametrize(
    "line", ["rate limit: some: x", "rate limit: 5 a second: ", "rate limit: 9 in 86400 seconds: x"]
)
def test_a_line_without_source_or_with_a_daily_quota_is_refused(line: str) -> None:
    with pytest.raises(AssertionError):
        per_second(line)


@pytest.mark.parametrize("service", KEYED, ids=lambda service: service.id)
def test_an_idempotency_header_names_its_source_and_has_a_use(service: Service) -> None:
    assert len(told(service, "idempotency")) == 1
    assert OperationEffect.UNSAFE in {operation.effect for operation in service.operations}


@pytest.mark.parametrize("service", KEYED, ids=lambda service: service.id)
def test_where_a_recorded_operation_names_such_a_header_it_is_the_one_of_the_entry(service: Service) -> None:
    recorded = {
        parameter["name"]
        for operation in FIXTURES[service.id]["operations"].values()
        for parameter in operation["parameters"]
        if parameter["in"] == "header" and re.search("(?i)idempoten|request-id", parameter["name"])
    }
    assert recorded <= {service.idempotency_header}


def test_no_recorded_idempotency_header_is_overlooked() -> None:
    named = {
        service_id
        for service_id, fixture in FIXTURES.items()
        for operation in fixture["operations"].values()
        for parameter in operation["parameters"]
        if parameter["in"] == "header" and re.search("(?i)idempoten", parameter["name"])
    }
    assert named <= {service.id for service in KEYED}


def test_what_makes_a_new_thing_each_time_is_not_called_repeatable() -> None:
    xero = CATALOGUE.get("xero")
    for name in ("create_invoice", "create_contact"):
        operation = xero.operation(name)
        assert operation is not None
        assert (operation.method, operation.effect) == ("PUT", OperationEffect.UNSAFE)


@pytest.mark.parametrize("service", LIMITED, ids=lambda service: service.id)
def test_a_rate_limit_stands_in_the_head_that_is_read_at_once(service: Service) -> None:
    head = tomllib.loads((CATALOG / f"{service.id}.toml").read_text("utf-8").partition("\n[")[0])
    assert head["rate_limit_per_s"] == service.rate_limit_per_s
