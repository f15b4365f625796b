"""Every recorded operation, called with the real client against what its source describes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import httpx
import pytest
from contract_cases import (
    CATALOGUE,
    PAGES,
    Pages,
    answer_shape,
    base_url,
    client,
    everything,
    first_page,
    recorded_operations,
    required,
    shape_at,
    stub,
    told,
)
from recorded_paging import left_out, told_first, wrong_effect, wrong_paging
from recorded_service import RENEWED, Answer

from prefect_autopilot.adapters.oauth import renewal
from prefect_autopilot.errors import ServiceError
from prefect_autopilot.models import Operation, OperationEffect, Pagination

CASES = recorded_operations()
LISTS = [case for case in CASES if told(case)[3].list_at]


@pytest.mark.parametrize("case", CASES)
async def test_a_call_is_what_the_source_describes(case: str) -> None:
    service = stub(case)
    async with client(case, service) as calls:
        operation = case.partition(".")[2]
        for parameters in (required(case), everything(case)):
            await calls.call(operation, parameters)

            found = service.operation_of(service.received[-1])
            assert found is not None
            assert (
                found[0] == operation
                or told(case)[1]["at"] == told(f"{case.partition('.')[0]}.{found[0]}")[1]["at"]
            )


def grants(case: str) -> list[set[str]]:
    """Return the grants that each source of the sign-in names, none where it says only that there is one."""
    return [set(one.get("grants", ())) for one in told(case)[0]["auth"] if one["type"] == "oauth2"]


def without_grant(case: str) -> set[str]:
    """Name what a connection does not have where tokens are given to machines only."""
    return {"refresh_token"} if all(one == {"client_credentials"} for one in grants(case)) else set()


MACHINES = {told(case)[2].id: case for case in CASES if {"client_credentials"} in grants(case)}
TOKENS = [case for service, case in MACHINES.items() if told(case)[2].auth.token_url]


@pytest.mark.parametrize("case", TOKENS)
async def test_a_machine_gets_and_renews_its_token_where_a_source_says_so(case: str, now: datetime) -> None:
    service = stub(case)
    service.answers.append(Answer(401, {"message": "who are you"}))
    renew = renewal(told(case)[2], clock=lambda: now, transport=httpx.ASGITransport(service))  # type: ignore[arg-type]
    without = {"refresh_token", "access_token", "token"}
    async with client(case, service, renew=renew, without=without) as calls:
        await calls.call(case.partition(".")[2], required(case))

    assert [one["grant_type"] for one in service.renewals] == ["client_credentials"] * 2
    assert service.received[-1].headers["authorization"] == f"Bearer {RENEWED}"


@pytest.mark.parametrize("case", CASES)
async def test_a_limited_or_unproved_call_tells_what_to_do(case: str, now: datetime) -> None:
    service = stub(case)
    operation, parameters = case.partition(".")[2], required(case)
    async with client(case, service) as calls:
        service.answers.append(Answer(429, {"message": "slow down"}, {"retry-after": "17"}))
        with pytest.raises(ServiceError) as limited:
            await calls.call(operation, parameters)
        assert (limited.value.status, limited.value.retry_after_s) == (429, 17)
        assert not limited.value.permanent

    service.answers.append(Answer(401, {"message": "who are you"}))
    entry = told(case)[2]
    if entry.auth.token_url or entry.auth.refresh_url:
        renew = renewal(entry, clock=lambda: now, transport=httpx.ASGITransport(service))  # type: ignore[arg-type]
        async with client(case, service, renew=renew, without=without_grant(case)) as calls:
            await calls.call(operation, parameters)
        assert len(service.renewals) == 1
        assert service.received[-1].headers["authorization"] == f"Bearer {RENEWED}"
        return
    async with client(case, service) as calls:
        with pytest.raises(ServiceError) as refused:
            await calls.call(operation, parameters)
    assert refused.value.status == 401
    assert refused.value.permanent


@pytest.mark.parametrize("case", LISTS)
async def test_a_list_stands_where_the_source_has_it_and_all_its_pages_are_read(case: str) -> None:
    _, fact, _, operation = told(case)
    paging = operation.pagination
    assert wrong_paging(operation, fact) == ""
    rows = shape_at(answer_shape(fact), operation.list_at or "$")
    assert rows is not None, f"the source's answer has nothing at {operation.list_at}"
    assert rows["type"] in ("array", "any")
    if paging.kind == "none" or operation.effect != "safe":
        return

    service = stub(case)
    pages = Pages(operation, fact, service)
    service.paged = pages
    async with client(case, service) as calls:
        read = await calls.call(operation.id, first_page(case), all_pages=True)

    assert [row["row"] for row in read] == [
        f"{page}-{place}" for page in range(1, PAGES + 1) for place in (1, 2)
    ]
    assert pages.asked[1:PAGES] == pages.expected()


NO_LIST = {
    "snowflake.get_statement": "tells how a statement stands; list_rows reads its rows to the end",
    "spotify.search": "has rows at a place of their own for each kind that is asked for (tracks.items)",
    "google_analytics.run_report": "has rows that mean nothing without the headers beside them",
}
"""Operations that page, but are no list that could be read to its end, and why."""


def test_no_list_pages_without_a_place_of_its_rows() -> None:
    paging = {
        f"{service.id}.{operation.id}"
        for service in CATALOGUE.services
        for operation in service.operations
        if operation.pagination.kind != "none" and operation.list_at is None
    }
    assert paging == set()


def test_no_pages_of_a_recorded_list_are_left_out() -> None:
    assert {case for case in CASES if left_out(told(case)[3], told(case)[1])} == set(NO_LIST)


PROVED = 55
"""Lists by page number whose first page a source tells; the others follow the habit of counting from 1."""


def test_the_first_page_is_told_by_a_source_mostly() -> None:
    numbered = [case for case in LISTS if told(case)[3].pagination.kind == "page"]
    proved = [case for case in numbered if told_first(told(case)[3], told(case)[1]) is not None]
    zero = [case for case in numbered if told(case)[3].pagination.first == 0]

    page = (Path(__file__).parents[2] / "docs" / "services.md").read_text("utf-8")
    assert f"{len(numbered) - len(proved)} of {len(numbered)} lists by page number" in " ".join(page.split())
    assert len(proved) >= PROVED
    assert set(zero) - set(proved) == set()


def narrower(case: str) -> list[str]:
    """Name the parameters whose type refuses what the source takes; in an address a text is all."""
    _, fact, _, operation = told(case)
    body = {**fact["body"], "type": fact["body"]["root"]}
    within = shape_at(body, operation.body_at or "$") or {}
    in_body = {name: shape["type"] for name, shape in within.get("properties", {}).items()}
    in_address = {one["name"]: one["type"] for one in fact["parameters"]}
    found = []
    for one in operation.parameters:
        of_body = one.location == "body"
        wanted = (in_body if of_body else in_address).get(one.at or one.name, one.type)
        takes_all = one.type == "any" or (one.type == "string" and not of_body) or one.choices or one.document
        if not takes_all and wanted != one.type and (wanted, one.type) != ("integer", "number"):
            found.append(f"{one.name}: {one.type}, not {wanted}")
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_parameter_takes_whatever_the_source_takes(case: str) -> None:
    assert narrower(case) == []


def test_a_call_is_repeated_only_where_its_source_gives_a_reason() -> None:
    assert [found for case in CASES if (found := wrong_effect(told(case)[3], told(case)[1]))] == []


def by_cursor(parameter: str, field: str) -> Pagination:
    return Pagination(kind="cursor", request_param=parameter, response_field=field)


def changed(case: str, **change: object) -> Operation:
    return told(case)[3].model_copy(update=change)


@pytest.mark.parametrize(
    ("case", "paging"),
    [
        ("github.list_issues", Pagination()),
        (
            "asana.list_tasks",
            Pagination(kind="cursor", request_param="limit", response_field="next_page.offset"),
        ),
        (
            "asana.list_tasks",
            Pagination(kind="cursor", request_param="offset", response_field="next_page.uri"),
        ),
        ("okta.list_users", Pagination(kind="page", request_param="limit")),
        ("salesforce.query", Pagination()),
        ("hetzner.list_servers", Pagination(kind="offset", request_param="page")),
        ("braze.list_campaigns", Pagination(kind="page", request_param="page", first=1)),
        ("clickup.list_tasks", Pagination(kind="page", request_param="page")),
        ("wordpress.list_posts", Pagination(kind="page", request_param="page", first=0)),
    ],
)
def test_a_wrong_way_to_the_next_page_is_seen(case: str, paging: Pagination) -> None:
    assert wrong_paging(told(case)[3], told(case)[1]) == ""
    assert wrong_paging(changed(case, pagination=paging), told(case)[1]) != ""


@pytest.mark.parametrize("effect", [OperationEffect.SAFE, OperationEffect.IDEMPOTENT])
@pytest.mark.parametrize("case", ["trello.create_card", "trello.add_comment", "slack.post_message"])
def test_a_post_that_is_said_to_be_harmless_without_a_reason_is_seen(
    case: str, effect: OperationEffect
) -> None:
    assert wrong_effect(changed(case, effect=effect), told(case)[1]) != ""


@pytest.mark.parametrize("case", ["notion.search", "anthropic.list_models", "klaviyo.list_lists"])
async def test_another_version_than_the_source_sends_is_refused(case: str) -> None:
    version = next(one.name for one in told(case)[3].parameters if one.location == "header" and one.default)
    async with client(case, stub(case)) as calls:
        with pytest.raises(ServiceError, match="must be"):
            await calls.call(told(case)[3].id, {**required(case), version: "1999-01-01"})


def test_the_cases_have_an_address() -> None:
    for case in CASES:
        fixture, _, service, _ = told(case)
        assert base_url(service, fixture).startswith("http")
