"""The catalogue's side of a contract: what it would send for an operation, and what it expects back."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from recorded_service import MARK, Answer, Fact, Received, RecordedService, good_answer, sample
from recorded_shapes import answer_shape, shape_at

from prefect_autopilot.adapters.oauth import Renew
from prefect_autopilot.adapters.rates import RateGate
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.models import Operation, Parameter, Service
from prefect_autopilot.services import (
    address_fields,
    first_of,
    load_catalogue,
    pick,
    simulated_credentials,
)

RECORDED = Path(__file__).parent / "recorded"
FIXTURES: Mapping[str, Fact] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted(RECORDED.glob("*.json"))
}
CATALOGUE = load_catalogue()
SLOT = re.compile(r"\{[^}]*\}")
PAGES = 3


def recorded_operations() -> list[str]:
    """Return every recorded operation of the catalogue as ``service.operation``."""
    return [
        f"{service}.{operation}"
        for service, fixture in FIXTURES.items()
        for operation in fixture["operations"]
    ]


@cache
def told(case: str) -> tuple[Fact, Fact, Service, Operation]:
    """Return fixture and entry of a case, the service and the operation of each."""
    service_id, _, operation_id = case.partition(".")
    fixture = FIXTURES[service_id]
    service = CATALOGUE.get(service_id)
    operation = service.operation(operation_id)
    assert operation is not None, f"the catalogue has no operation {case}"
    return fixture, fixture["operations"][operation_id], service, operation


def base_url(service: Service, fixture: Fact) -> str:
    """Return the address of the entry with its slots filled; that of the fixture for one's own hosts."""
    servers = fixture["servers"]
    address = service.base_url or (servers[0]["url"] if servers else "https://example.com")
    known = address_fields(service) if service.base_url else ()
    names = known or [slot[1:-1] for slot in SLOT.findall(address) if not service.base_url]
    for name in names:
        address = address.replace("{" + name + "}", "acme")
    return address


def stub(case: str) -> RecordedService:
    """Return the recorded service of a case, which knows the credentials of the tests."""
    fixture, _, service, _ = told(case)
    return RecordedService(fixture, simulated_credentials(service).values())


def client(
    case: str, transport: RecordedService, renew: Renew | None = None, without: Collection[str] = ()
) -> ServiceClient:
    """Return the real client of the entry, connected to the recorded service."""
    fixture, _, service, operation = told(case)
    known = simulated_credentials(service)
    held = {name: SecretStr(value) for name, value in known.items() if name not in without}
    return ServiceClient(
        service,
        held,
        base_url=None if operation.base_url else base_url(service, fixture),
        transport=httpx.ASGITransport(transport),  # type: ignore[arg-type]
        gate=RateGate(None),
        renew=renew,
    )


def first_page(case: str) -> dict[str, Any]:
    """Return the required parameters, counted from the first page."""
    parameters, paging = required(case), told(case)[3].pagination
    if paging.request_param in parameters and paging.kind in ("page", "offset"):
        parameters[paging.request_param] = first_of(paging)
    return parameters


def required(case: str) -> dict[str, Any]:
    """Return values for the parameters that have to be given."""
    _, fact, _, operation = told(case)
    wanted = [one for one in operation.parameters if one.required and one.default is None]
    return {one.name: value_of(one, operation, fact) for one in wanted}


def everything(case: str) -> dict[str, Any]:
    """Return values for every parameter the entry knows."""
    _, fact, _, operation = told(case)
    return {one.name: value_of(one, operation, fact) for one in operation.parameters}


def value_of(parameter: Parameter, operation: Operation, fact: Fact) -> Any:
    """Return a value of the type the entry claims, filled as the source wants the inside of it."""
    given = parameter.example if parameter.held else parameter.default
    if given is not None:
        return given
    if parameter.choices:
        first = parameter.choices[0]
        return int(first) if parameter.type == "integer" else first
    shape = shape_of(parameter, operation, fact)
    if parameter.type == "any":
        return sample(shape)
    if parameter.type == "array":
        items = shape.get("items", {"type": "any"})
        return [sample(items), sample(items)]
    if parameter.type == "object":
        filled = sample(shape)
        return filled if isinstance(filled, dict) and filled else {"name": "text"}
    return {"string": "text", "integer": 7, "number": 1.5, "boolean": True}[parameter.type]


def shape_of(parameter: Parameter, operation: Operation, fact: Fact) -> Fact:
    """Return what the source says of a parameter of the entry, anything where it says nothing."""
    if parameter.location != "body":
        wire = parameter.at or parameter.name
        known = (one for one in fact["parameters"] if one["name"] == wire)
        return next(({"type": one["type"]} for one in known), {"type": "any"})
    body = {**fact["body"], "type": fact["body"]["root"]}
    place = parameter.at or parameter.name
    if place == "$" and operation.body in ("raw", "related"):
        return {"type": "string"}
    if place != "$" and operation.body_at:
        place = f"{operation.body_at}.{place}"
    if parameter.at is None and parameter.name in body.get("properties", {}):
        return body["properties"][parameter.name]  # type: ignore[no-any-return]
    return shape_at(body, place) or {"type": "any"}


def with_value(answer: Any, path: str, value: Any) -> Any:
    """Return the answer with a value at a dotted path, making the objects on the way."""
    if path in ("", "$"):
        return value
    answer = answer if isinstance(answer, dict) else {}
    if path in answer:
        return {**answer, path: value}
    if "@" in path:
        return {**answer, path: value}  # OData writes dots into its names
    step, _, rest = path.partition(".")
    return {**answer, step: with_value(answer.get(step), rest, value) if rest else value}


class Pages:
    """Answers the pages of a list one after the other, as the entry says the source does."""

    def __init__(self, operation: Operation, fact: Fact, service: RecordedService) -> None:
        self.operation = operation
        self.fact = fact
        self.service = service
        self.asked: list[str] = []

    def __call__(self, request: Received) -> Answer:
        self.asked.append(self._mark_of(request))
        number = len(self.asked)
        rows: list[dict[str, Any]] = (
            [{"row": f"{number}-{place}"} for place in (1, 2)] if number <= PAGES else []
        )
        if self.operation.pagination.kind == "last_row" and rows:
            rows[-1] |= {self.operation.pagination.row_field: f"p{number + 1}"}
        answer = good_answer(self.fact)
        content = with_value(answer.content, self.operation.list_at or "$", rows)
        mark = None if number >= PAGES else self._mark(number + 1)
        paging = self.operation.pagination
        if paging.kind in ("link", "next_url") and mark is not None:
            self.service.handed_out.add(str(mark))
            mark = f"{request.url}?{paging.request_param or MARK}={mark}"
        headers = {"link": f'<{mark}>; rel="next"'} if mark and paging.kind == "link" else {}
        in_header = (paging.response_field or "").startswith("header:")
        if in_header and mark is not None:
            headers = {str(paging.response_field).removeprefix("header:"): str(mark)}
        elif paging.kind in ("cursor", "next_url") and paging.response_field and not in_header:
            content = with_value(content, paging.response_field, mark)
        if paging.more_field:
            content = with_value(content, paging.more_field, mark is not None)
        if paging.kind == "last_row" and paging.response_field:
            content = with_value(content, paging.response_field, mark is not None)
        return Answer(answer.status, content, headers)

    def _mark_of(self, request: Received) -> str:
        paging = self.operation.pagination
        name = paging.request_param or (MARK if paging.kind in ("link", "next_url") else "")
        told = {**dict(request.query), **(json.loads(request.body) if "json" in request.content_type else {})}
        places = {one.name: one.at for one in self.operation.parameters if one.location == "body"}
        at = places.get(name) or name
        return str(pick(told, at) if at != name else told.get(name, ""))

    def _mark(self, number: int) -> Any:
        paging = self.operation.pagination
        if paging.kind != "cursor":
            return f"p{number}"
        shape = shape_at(answer_shape(self.fact), paging.response_field or "$") or {}
        if shape.get("type") == "object":
            return {"row": {"S": f"p{number}"}}
        return number if shape.get("type") in ("integer", "number") else f"p{number}"

    def _first(self) -> int:
        """Return the number of the first page, or the default that the entry gives."""
        name = self.operation.pagination.request_param
        told = [one.default for one in self.operation.parameters if one.name == name]
        return next(
            (int(number) for number in told if number is not None), first_of(self.operation.pagination)
        )

    def expected(self) -> list[str]:
        """Return what the pages after the first have to be asked with."""
        kind = self.operation.pagination.kind
        if kind == "page":
            return [str(self._first() + number) for number in range(1, PAGES)]
        if kind == "offset":
            return [str(2 * number) for number in range(1, PAGES)]
        return [str(self._mark(number)) for number in range(2, PAGES + 1)]
