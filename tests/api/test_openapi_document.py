"""The OpenAPI document: every call described, with an example that is true."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from prefect_autopilot.api import create_app
from prefect_autopilot.api.routes import Route, examples, routes
from prefect_autopilot.settings import load_settings

NAMES = [route.endpoint.__name__ for route in routes()]
WITHOUT_BODY = {"diagnose_session", "recommend_for_session"}
DECIDED = {"approve_session", "deny_session", "undo_session"}
"""They need a proposal or an act under way, which the session of the examples has not."""
OF_A_SESSION = [
    route for route in routes() if "{session_id}" in route.path and route.endpoint.__name__ not in DECIDED
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    told: dict[str, Any] = create_app(load_settings(home=tmp_path_factory.mktemp("home"))).openapi()
    return told


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole).validate(value)


async def test_the_document_is_openapi_3_1(document: dict[str, Any], api: httpx.AsyncClient) -> None:
    assert (await api.get("/openapi.json")).json() == json.loads(json.dumps(document))
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "prefect-autopilot"


def test_every_call_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len(set(NAMES)) == 40
    assert set(examples()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_has_an_example_that_fits_its_schema(document: dict[str, Any], name: str) -> None:
    operation = operations(document)[name]
    answer = operation["responses"]["200"]["content"]
    [content] = answer.values()
    check(document, content["schema"], content["example"])
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        check(document, body["schema"], body["example"])
    assert operation["summary"]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_tells_its_errors_as_problem_details(document: dict[str, Any], name: str) -> None:
    responses = operations(document)[name]["responses"]
    assert set(responses) == {"200", "default"}
    assert "application/problem+json" in responses["default"]["content"]


def test_no_reference_leads_nowhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    known = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= known
    assert "HTTPValidationError" not in known


def without_session(route: Route) -> bool:
    """Tell whether the call is about nothing that has to exist before."""
    if route.endpoint.__name__ == "stream_events":
        return False  # it never ends; tests/api/test_streams.py
    return not {"{session_id}", "{alert_id}", "{silence_id}"} & set(route.path.split("/"))


@pytest.mark.parametrize(
    "route", [r for r in routes() if without_session(r)], ids=lambda r: r.endpoint.__name__
)
async def test_an_example_request_is_answered_in_the_shape_of_its_example(
    api_with_prefect: httpx.AsyncClient, route: Route
) -> None:
    example = examples()[route.endpoint.__name__]
    path = route.path.replace(":path", "")
    for name, value in example.get("parameters", {}).items():
        path = path.replace(f"{{{name}}}", str(value))
    query = {k: v for k, v in example.get("parameters", {}).items() if f"{{{k}" not in route.path}
    answer = await api_with_prefect.request(route.method, path, json=example.get("request"), params=query)
    assert answer.status_code == 200, answer.text
    if "response" in example:
        assert set(answer.json()) == set(example["response"])


@pytest.mark.parametrize("route", OF_A_SESSION, ids=lambda r: r.endpoint.__name__)
async def test_an_example_of_a_session_is_answered_in_its_shape(
    api: httpx.AsyncClient, session_id: str, route: Route
) -> None:
    example = examples()[route.endpoint.__name__]
    path = route.path.format(session_id=session_id)
    answer = await api.request(route.method, path, json=example.get("request"))
    assert answer.status_code == 200, answer.text
    told, shown = answer.json(), example["response"]
    assert type(told) is type(shown)
    assert not isinstance(told, dict) or set(told) == set(shown)


async def test_the_page_of_the_calls_needs_neither_scripts_nor_the_network(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert page.text.count("<details>") == len(NAMES)
    assert "script-src" not in page.headers["content-security-policy"]
    assert "style-src 'sha256-" in page.headers["content-security-policy"]
