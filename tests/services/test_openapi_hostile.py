"""Documents that are broken, endless or meant to do harm: an error in words or a reason, never more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import UsageError
from prefect_autopilot.services import build_request
from prefect_autopilot.services.openapi import import_document
from prefect_autopilot.services.openapi_parameters import MOST_PARAMETERS


def document(paths: Any, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "T"}, "paths": paths, **more}


def with_schemas(schemas: dict[str, Any], name: str = "A") -> dict[str, Any]:
    body = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
    return document({"/a": {"post": {"requestBody": body}}}, components={"schemas": schemas})


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "names no version"),
        ({"openapi": "4.0.0", "paths": {}}, "'4.0.0'"),
        ({"swagger": "1.2", "paths": {}}, "'1.2'"),
        ({"openapi": None, "paths": {}}, "names no version"),
        ({"openapi": ["3.0.0"], "paths": {}}, "names no version"),
        ({"openapi": "3.0.0"}, "no paths"),
        ({"openapi": "3.0.0", "paths": []}, "no paths"),
        ({"openapi": "3.0.0", "paths": {}}, "no operations"),
        ({"openapi": "3.0.0", "paths": {"/a": None, "/b": [], 7: {}, "x-y": {"get": {}}}}, "no operations"),
        ({"openapi": "3.1.0", "webhooks": {"w": {"post": {}}}}, "no paths"),
        ({"asyncapi": "2.0.0"}, "names no version"),
    ],
    ids=[
        "empty",
        "version 4",
        "swagger 1",
        "null",
        "list",
        "no paths",
        "paths list",
        "none",
        "odd",
        "hooks",
        "async",
    ],
)
def test_what_is_no_document_is_refused_in_a_sentence(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        import_document(told, service_id="t")


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": ref("A")},
        {"A": {"allOf": [ref("B")]}, "B": {"oneOf": [ref("A")]}},
        {"A": {"type": "object", "properties": {"a": ref("A"), "b": {"items": ref("A")}}}},
        {"A": {"allOf": [ref("A"), {"type": "object", "properties": {"x": {}}}]}},
    ],
    ids=["itself", "two", "child", "part"],
)
@pytest.mark.timeout(30)
def test_a_schema_that_holds_itself_is_cut(schemas: dict[str, Any]) -> None:
    report = import_document(with_schemas(schemas), service_id="t")
    assert len(report.service.operations) == 1


def test_a_parameter_that_refers_to_itself_is_the_reason() -> None:
    parts = {"parameters": {"P": {"$ref": "#/components/parameters/P"}}}
    doc = document(
        {"/a": {"get": {"parameters": [{"$ref": "#/components/parameters/P"}]}, "put": {}}}, components=parts
    )
    (one,) = import_document(doc, service_id="t").left_out
    assert one.reason == "a reference leads to itself"


def test_a_path_that_refers_to_itself_is_the_reason() -> None:
    doc = document({"/a": {"$ref": "#/paths/~1a"}, "/b": {"get": {}}})
    (one,) = import_document(doc, service_id="t").left_out
    assert one.path == "/a"


@pytest.mark.parametrize("word", ["allOf", "oneOf", "anyOf"])
@pytest.mark.timeout(30)
def test_laughs_by_the_billion_are_worked_out_once_each(word: str) -> None:
    schemas: dict[str, Any] = {f"S{n}": {word: [ref(f"S{n + 1}")] * 10} for n in range(18)}
    schemas["S18"] = {"type": "object", "properties": {"x": {"type": "string"}}}
    report = import_document(with_schemas(schemas, "S0"), service_id="t")
    assert [p.name for p in report.service.operations[0].parameters] == ["x"]


@pytest.mark.timeout(30)
def test_a_chain_without_end_is_the_reason() -> None:
    schemas: dict[str, Any] = {f"S{n}": ref(f"S{n + 1}") for n in range(5_000)}
    doc = with_schemas(schemas, "S0")
    doc["paths"]["/b"] = {"get": {}}
    (one,) = import_document(doc, service_id="t").left_out
    assert "levels" in one.reason


@pytest.mark.timeout(30)
def test_ten_thousand_levels_are_not_followed() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(10_000):
        schema = {"allOf": [schema]}
    doc = with_schemas({"A": schema})
    doc["paths"]["/b"] = {"get": {}}
    (one,) = import_document(doc, service_id="t").left_out
    assert "levels" in one.reason


@pytest.mark.timeout(30)
def test_ten_thousand_levels_of_properties_are_one_parameter() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(10_000):
        schema = {"type": "object", "properties": {"a": schema, "b": {}}}
    report = import_document(with_schemas({"A": schema}), service_id="t")
    assert [p.name for p in report.service.operations[0].parameters] == ["a", "b"]


@pytest.mark.timeout(30)
def test_a_request_with_more_fields_than_anybody_fills_in_is_the_reason() -> None:
    properties = {f"f{n}": {} for n in range(MOST_PARAMETERS + 1)}
    doc = with_schemas({"A": {"type": "object", "properties": properties}})
    doc["paths"]["/b"] = {"get": {}}
    (one,) = import_document(doc, service_id="t").left_out
    assert str(MOST_PARAMETERS) in one.reason


@pytest.mark.parametrize(
    "reference",
    [
        "other.yaml#/x",
        "file:///etc/passwd", "/etc/passwd", "http://127.0.0.1/x", "https://a.example/x#/y",
        "//a.example", "\\\\host\\share", "", "#anchor", "#/paths/99", "#/info/title/x",
    ],
)  # fmt: skip
def test_references_out_of_the_document_or_to_nothing_are_never_followed(reference: str) -> None:
    doc = document({"/a": {"post": {"requestBody": {"$ref": reference}}}, "/b": {"get": {}}}, servers=[{}])
    report = import_document(doc, service_id="t")
    if reference == "#anchor":  # points at the document itself, which has no content
        assert not report.left_out
    else:
        assert [one.path for one in report.left_out] == ["/a"]
        assert report.left_out[0].reason.startswith("a reference")


def test_what_is_written_into_the_path_stays_in_the_path() -> None:
    doc = document({"/a/{x}/{y}": {"get": {}}}, servers=[{"url": "https://a.example"}])
    operation = import_document(doc, service_id="t").service.operations[0]
    sent = build_request(operation, {"x": "../../{y}", "y": "@evil.example/?q#f"})
    assert sent.path == "/a/..%2F..%2F%7By%7D/%40evil.example%2F%3Fq%23f"


@pytest.mark.parametrize("path", ["@evil.example/x", ".evil.example", ":80@evil.example"])
def test_a_path_cannot_change_the_host(path: str) -> None:
    doc = document({path: {"get": {}}}, servers=[{"url": "https://a.example"}])
    assert import_document(doc, service_id="t").service.operations[0].path == f"/{path}"


def test_a_long_text_is_cut() -> None:
    told = {"operationId": "x" * 100_000, "summary": "s" * 100_000, "description": "d" * 100_000}
    doc = document({"/a": {"get": told}}, info={"title": "t" * 100_000})
    service = import_document(doc, service_id="t").service
    assert len(service.model_dump_json()) < 3_000


KEYS = (
    "get", "post", "parameters", "requestBody", "content", "application/json", "schema", "type",
    "items", "properties", "allOf", "oneOf", "required", "enum", "default", "name", "in", "$ref",
    "responses", "200", "servers", "url", "variables", "security", "deprecated", "operationId",
    "summary", "/a",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
WORDS = st.sampled_from(("path", "query", "header", "body", "object", "array", "string", "#/paths", "bearer"))
MORE = ("servers", "security", "components", "info", "tags")


@given(
    paths=st.dictionaries(st.sampled_from(["/a", "/b/{c}", "x", "/{"]), JSON, max_size=3),
    more=st.dictionaries(
        st.sampled_from(["servers", "security", "components", "info", "tags"]), JSON, max_size=3
    ),
    word=WORDS,
)
def test_any_other_value_is_imported_or_refused_in_words(paths: Any, more: Any, word: str) -> None:
    paths = {**paths, "/last": {"get": {"parameters": [{"name": "n", "in": word, "schema": {"type": word}}]}}}
    try:
        report = import_document({**document(paths), **more}, service_id="t")
    except UsageError as error:
        said = error.message
    else:
        said = "imported."
        assert report.service.operations or report.left_out
    assert said.endswith(".")


def small(paths: dict[str, Any], server: str = "https://api.example.com/v1") -> dict[str, Any]:
    told = {"title": "Small", "version": "1"}
    return {"openapi": "3.0.0", "info": told, "servers": [{"url": server}], "paths": paths}


GOOD = {"get": {"operationId": "listRows", "responses": {"200": {"description": "ok"}}}}


def test_a_password_in_a_server_address_is_not_kept() -> None:
    report = import_document(small({"/rows": GOOD}, "https://user:pw@api.example.com/v1"), service_id="small")
    assert report.service.base_url == "https://api.example.com/v1"


@pytest.mark.parametrize("path", ["/../../admin", "/rows/../admin", "/./rows", "/rows/.."])
def test_a_path_that_leaves_the_address_is_left_out(path: str) -> None:
    report = import_document(small({path: GOOD, "/good": GOOD}), service_id="small")
    assert [one.path for one in report.service.operations] == ["/good"]
    assert "cannot be part of an address" in report.left_out[0].reason


@pytest.mark.parametrize("place", ["https://evil.example/x.yaml#/get", "file:///etc/passwd", "#/none"])
def test_an_operation_that_stands_elsewhere_is_left_out_and_not_an_empty_one(place: str) -> None:
    report = import_document(small({"/a": {"get": {"$ref": place}}, "/good": GOOD}), service_id="small")
    assert [one.path for one in report.service.operations] == ["/good"]
    assert [one.path for one in report.left_out] == ["/a"]
