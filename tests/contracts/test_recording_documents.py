"""The recorder reads what a document says, in all its kinds, and refuses what it does not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recorded_documents import UnknownOperationError, open_document
from recorded_providers import Provider, UnknownProviderError
from recorded_shapes import (
    LEVELS,
    MOST_NAMES,
    WIDTH,
    Node,
    UnknownReferenceError,
    count_names,
    example_of,
    example_shape,
    shape_of,
)
from recording import main, record
from recording_command import WrongPlanError, report, write

TODAY = "2026-11-22"
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://api.example.com/v1/"}],
    "security": [{"key": [], "token": []}],
    "paths": {
        "/things/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "limit", "in": "query", "schema": {"type": "string"}},
            ],
            "get": {
                "operationId": "getThing",
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": ["integer", "null"]}},
                    {"name": "ids", "in": "query", "explode": False, "schema": {"type": "array"}},
                    {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                    {"name": "version", "in": "query", "required": True, "schema": {"enum": ["2"]}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "headers": {"Link": {}},
                        "content": {"application/json": {"schema": {"$ref": "parts.yaml#/Thing"}}},
                    },
                    "404": {"description": "none"},
                },
            },
            "put": {
                "operationId": "putThing",
                "servers": [{"url": "https://upload.example.com"}],
                "requestBody": {
                    "required": True,
                    "content": {
                        "text/xml": {},
                        "application/json": {"schema": {"$ref": "#/components/schemas/NewThing"}},
                    },
                },
                "responses": {"204": {}},
            },
        }
    },
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "query", "name": "key"},
            "token": {"type": "apiKey", "in": "query", "name": "token"},
            "signed": {
                "type": "apiKey",
                "in": "header",
                "name": "A",
                "x-amazon-apigateway-authtype": "awsSigv4",
            },
            "login": {
                "type": "oauth2",
                "flows": {"authorizationCode": {"tokenUrl": "https://example.com/token", "refreshUrl": None}},
            },
        },
        "schemas": {
            "NewThing": {
                "allOf": [
                    {"$ref": "parts.yaml#/Thing"},
                    {"required": ["colour"], "properties": {"colour": {"type": "string"}}},
                ]
            }
        },
    },
}
PARTS = """
Thing:
  type: object
  required: [name, id]
  properties:
    id: {type: integer, readOnly: true}
    name: {type: string}
    parent: {$ref: '#/Thing'}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "parts.yaml").write_text(PARTS, "utf-8")
    file = tmp_path / "api.json"
    file.write_text(json.dumps(OPENAPI), "utf-8")
    return file


def by_name(facts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in facts}


def test_servers_and_schemes_are_told_with_their_places(document: Path) -> None:
    read = open_document(document)

    assert read.servers() == [{"url": "https://api.example.com/v1", "at": "servers[0]"}]
    key, token, signed, login = read.auth()
    assert (key["name"], key["with"]) == ("key", [1])
    assert (token["name"], token["with"]) == ("token", [0])
    assert signed == {"type": "sigv4", "at": "components.securitySchemes.signed"}
    assert login["token_url"] == "https://example.com/token"


def test_an_operation_is_found_by_id_and_by_method_and_path(document: Path) -> None:
    read = open_document(document)

    by_id, by_path = read.operation("getThing"), read.operation("GET /things/{id}")
    assert {**by_path, "at": "getThing"} == by_id
    with pytest.raises(UnknownOperationError, match="deleteThing"):
        read.operation("deleteThing")


def test_parameters_are_told_with_type_style_and_fixed_value(document: Path) -> None:
    told = by_name(open_document(document).operation("getThing")["parameters"])

    assert told["limit"] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "type": "integer",
        "fixed": None,
    }
    assert told["ids"]["style"] == "csv"
    assert told["filter"]["style"] == "deepObject"
    assert (told["version"]["fixed"], told["version"]["required"]) == ("2", True)
    assert told["id"]["required"] is True
    assert "session" not in told


def test_an_answer_is_told_across_files_with_the_names_of_its_headers(document: Path) -> None:
    answer = open_document(document).operation("getThing")["responses"]

    assert list(answer) == ["200"]
    assert answer["200"]["headers"] == ["Link"]
    assert set(answer["200"]["shape"]["properties"]) == {"id", "name", "parent"}


def test_a_body_prefers_json_and_leaves_out_what_the_service_sets(document: Path) -> None:
    told = open_document(document).operation("putThing")
    body = told["body"]

    assert body["content"] == ["application/json", "text/xml"]
    assert set(body["properties"]) == {"name", "parent", "colour"}
    assert body["required"] == ["colour", "name"]
    assert (body["open"], body["needed"]) == (False, True)
    assert told["servers"] == ["https://upload.example.com"]
    assert told["responses"] == {"204": {"content": None, "shape": {"type": "none"}}}


def test_a_shape_that_holds_itself_ends(document: Path) -> None:
    shape = open_document(document).operation("getThing")["responses"]["200"]["shape"]
    for _ in range(LEVELS):
        shape = shape["properties"]["parent"]
    assert shape == {"type": "object", "open": True}
    assert count_names(shape) < MOST_NAMES


def test_a_reference_that_leads_nowhere_is_an_error(document: Path) -> None:
    with pytest.raises(UnknownReferenceError, match="nothing"):
        Node({"$ref": "#/components/nothing"}, document).follow()


SCHEMAS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a nullable type", {"type": ["string", "null"]}, {"type": "string"}),
    ("two types", {"type": ["string", "integer"]}, {"type": "any"}),
    ("nothing said", {}, {"type": "any"}),
    ("a list of anything", {"type": "array"}, {"type": "array"}),
    (
        "a map",
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "open": True},
    ),
    (
        "properties without a type",
        {"properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    (
        "open by its own words",
        {"properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "open": True, "properties": {"a": {"type": "any"}}},
    ),
    ("choices of different types", {"oneOf": [{"type": "string"}, {"type": "array"}]}, {"type": "any"}),
    ("a choice with null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}),
    (
        "choices of objects",
        {
            "oneOf": [
                {"required": ["a", "b"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                {"required": ["a"], "properties": {"a": {"type": "integer"}, "c": {"type": "string"}}},
            ]
        },
        {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "any"}, "b": {"type": "string"}, "c": {"type": "string"}},
        },
    ),
    (
        "annotations of OData",
        {"required": ["@odata.type"], "properties": {"@odata.type": {"type": "string"}}},
        {"type": "object", "properties": {"@odata.type": {"type": "string"}}},
    ),
    ("texts to choose from", {"enum": ["a", "b"]}, {"type": "string"}),
]


@pytest.mark.parametrize(("schema", "shape"), [row[1:] for row in SCHEMAS], ids=[row[0] for row in SCHEMAS])
def test_a_schema_becomes_names_and_types(schema: dict[str, Any], shape: dict[str, Any]) -> None:
    assert shape_of(Node(schema, Path("none.json"))) == shape


def test_a_wide_object_keeps_what_is_required_and_says_that_there_is_more() -> None:
    names = [f"field{number:03}" for number in range(WIDTH + 20)]
    schema = {"required": [names[-1]], "properties": {name: {"type": "string"} for name in names}}

    shape = shape_of(Node(schema, Path("none.json")))

    assert len(shape["properties"]) == WIDTH
    assert names[-1] in shape["properties"]
    assert shape["open"] is True


SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "host": "api.example.com",
    "basePath": "/v1/",
    "schemes": ["http", "https"],
    "consumes": ["application/json"],
    "securityDefinitions": {
        "plain": {"type": "basic"},
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    },
    "paths": {
        "/things#all?draft=1": {
            "get": {
                "operationId": "list",
                "parameters": [
                    {"name": "ids", "in": "query", "type": "array", "items": {"type": "string"}},
                    {"name": "tags", "in": "query", "type": "array", "collectionFormat": "multi"},
                ],
                "responses": {"200": {"schema": {"type": "array", "items": {"type": "string"}}}},
            },
        },
        "/things?draft=1": {
            "post": {
                "operationId": "add",
                "parameters": [
                    {"name": "thing", "in": "body", "required": True, "schema": {"type": "object"}}
                ],
                "responses": {"200": {}},
            },
        },
        "/files": {
            "post": {
                "operationId": "upload",
                "consumes": ["multipart/form-data"],
                "parameters": [
                    {"name": "file", "in": "formData", "type": "file", "required": True},
                    {"name": "size", "in": "formData", "type": "integer"},
                ],
                "responses": {"default": {"schema": {"type": "string"}}},
            },
        },
    },
}


@pytest.fixture
def swagger(tmp_path: Path) -> Path:
    file = tmp_path / "swagger.json"
    file.write_text(json.dumps(SWAGGER), "utf-8")
    return file


def test_a_swagger_document_is_read_as_its_own_kind(swagger: Path) -> None:
    read = open_document(swagger)

    assert read.servers() == [{"url": "https://api.example.com/v1", "at": "host"}]
    assert [fact["type"] for fact in read.auth()] == ["http", "apiKey"]
    assert read.auth()[0]["at"] == "securityDefinitions.plain"
    listed = by_name(read.operation("list")["parameters"])
    assert (listed["ids"]["style"], listed["tags"]["style"]) == ("csv", "repeat")
    assert read.operation("list")["path"] == "/things"
    upload = read.operation("upload")
    assert upload["body"]["content"] == ["multipart/form-data"]
    assert upload["body"]["required"] == ["file"]
    assert upload["body"]["properties"]["size"] == {"type": "integer"}
    assert upload["responses"]["200"]["shape"] == {"type": "string"}


def test_what_a_path_asks_for_becomes_a_fixed_parameter(swagger: Path) -> None:
    told = open_document(swagger).operation("add")

    assert told["path"] == "/things"
    assert told["parameters"] == [
        {"name": "draft", "in": "query", "required": True, "type": "string", "fixed": "1"}
    ]
    assert told["responses"]["200"]["shape"] == {"type": "any"}
    assert told["body"]["needed"] is True


DISCOVERY: dict[str, Any] = {
    "discoveryVersion": "v1",
    "rootUrl": "https://things.googleapis.com/",
    "servicePath": "v1/",
    "features": ["dataWrapper"],
    "auth": {"oauth2": {"scopes": {}}},
    "parameters": {
        "fields": {"type": "string", "location": "query"},
        "uploadType": {"type": "string", "location": "query"},
    },
    "schemas": {
        "Thing": {
            "properties": {
                "name": {"type": "string", "annotations": {"required": ["things.add"]}},
                "inner": {"$ref": "Thing"},
            }
        }
    },
    "resources": {
        "things": {
            "methods": {
                "add": {
                    "id": "things.add",
                    "httpMethod": "POST",
                    "path": "{+parent}/things",
                    "flatPath": "projects/{projectsId}/things",
                    "parameters": {
                        "parent": {"location": "path", "required": True, "type": "string"},
                        "labels": {"location": "query", "repeated": True, "type": "string"},
                    },
                    "request": {"$ref": "Thing"},
                    "response": {"$ref": "Thing"},
                },
                "put": {
                    "id": "things.put",
                    "httpMethod": "POST",
                    "path": "things",
                    "parameters": {},
                    "request": {"$ref": "Thing"},
                    "supportsMediaUpload": True,
                    "mediaUpload": {
                        "protocols": {"simple": {"multipart": True, "path": "/upload/v1/things"}}
                    },
                },
            }
        }
    },
}


def test_a_discovery_document_is_read_as_its_own_kind(tmp_path: Path) -> None:
    file = tmp_path / "things.v1.json"
    file.write_text(json.dumps(DISCOVERY), "utf-8")
    read = open_document(file)
    told = read.operation("things.add")

    assert read.servers()[0]["url"] == "https://things.googleapis.com/v1"
    assert read.auth()[0]["type"] == "oauth2"
    assert (told["method"], told["path"]) == ("POST", "/projects/{projectsId}/things")
    names = by_name(told["parameters"])
    assert set(names) == {"fields", "uploadType", "labels", "projectsId"}
    assert names["labels"]["style"] == "repeat"
    assert told["body"]["required"] == ["name"]
    assert told["responses"]["200"]["shape"]["properties"]["data"]["properties"]["name"] == {"type": "string"}
    with pytest.raises(UnknownOperationError):
        read.operation("things.remove")


def test_a_discovered_method_that_takes_a_file_has_an_address_for_it(tmp_path: Path) -> None:
    file = tmp_path / "things.v1.json"
    file.write_text(json.dumps(DISCOVERY), "utf-8")
    told = open_document(file).operation("things.put upload")

    assert (told["path"], told["servers"]) == ("/upload/v1/things", ["https://things.googleapis.com"])
    assert told["body"]["content"] == ["multipart/related"]
    assert by_name(told["parameters"])["uploadType"]["fixed"] == "multipart"
    with pytest.raises(UnknownOperationError):
        open_document(file).operation("things.add upload")


PROVIDERS = """
plain:
  auth_mode: API_KEY
  proxy:
    base_url: https://${connectionConfig.site}.example.com/api
    headers: {x-key: 'Token ${apiKey}', accept: application/json}
bearing:
  auth_mode: API_KEY
  proxy: {base_url: 'https://b.example.com', headers: {authorization: 'Bearer ${apiKey}'}}
asked:
  auth_mode: API_KEY
  proxy: {base_url: 'https://q.example.com', query: {key: '${apiKey}'}}
placed:
  auth_mode: API_KEY
  proxy: {base_url: 'https://p.example.com/bot${apiKey}'}
granted:
  auth_mode: OAUTH2
  token_url: https://o.example.com/token
  proxy: {base_url: 'https://o.example.com'}
like-granted:
  alias: granted
  proxy: {base_url: 'https://other.example.com'}
pair:
  auth_mode: BASIC
"""


@pytest.fixture
def providers(tmp_path: Path) -> Path:
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS, "utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "url", "proof"),
    [
        (
            "plain",
            "https://{site}.example.com/api",
            {"type": "apiKey", "in": "header", "name": "x-key", "prefix": "Token "},
        ),
        ("bearing", "https://b.example.com", {"type": "http", "scheme": "bearer"}),
        ("asked", "https://q.example.com", {"type": "apiKey", "in": "query", "name": "key", "prefix": ""}),
        ("placed", "https://p.example.com/bot{apiKey}", {"type": "apiKey", "in": "path", "name": "apiKey"}),
        ("granted", "https://o.example.com", {"type": "oauth2", "token_url": "https://o.example.com/token"}),
        (
            "like-granted",
            "https://other.example.com",
            {"type": "oauth2", "token_url": "https://o.example.com/token"},
        ),
    ],
)
def test_a_provider_tells_its_address_and_its_proof(
    providers: Path, name: str, url: str, proof: dict[str, Any]
) -> None:
    read = Provider(providers, name)

    assert read.servers()[0]["url"] == url
    [told] = read.auth()
    assert proof.items() <= told.items()
    assert told["at"].startswith(f"{name}.")


def test_a_provider_without_an_address_has_none_and_an_unknown_one_is_an_error(providers: Path) -> None:
    assert Provider(providers, "pair").servers() == []
    assert Provider(providers, "pair").auth()[0]["scheme"] == "basic"
    with pytest.raises(UnknownProviderError):
        Provider(providers, "nobody")


def plan(**more: Any) -> dict[str, Any]:
    listed = [
        {"name": "docs", "version": "1", "file": "api.json"},
        {"name": "docs", "version": "1", "file": "client.js", "kind": "code"},
    ]
    return {"sources": listed, "operations": {"get": "getThing"}, **more}


@pytest.fixture
def roots(document: Path) -> dict[str, Path]:
    (document.parent / "client.js").write_text(
        "const base = 'https://x.example.com';\n\nget('/notes/', {\n text })\n"
    )
    return {"docs": document.parent}


def test_a_fixture_names_its_sources_and_the_place_of_every_fact(roots: dict[str, Path]) -> None:
    fixture = record("made", plan(), roots, TODAY)

    assert [one["file"] for one in fixture["sources"]] == ["api.json", "client.js"]
    assert fixture["sources"][0]["recorded"] == TODAY
    assert fixture["servers"] == [{"url": "https://api.example.com/v1", "at": "servers[0]", "source": 0}]
    assert fixture["operations"]["get"]["at"] == "getThing"
    assert "description" not in json.dumps(fixture)


def test_what_a_plan_states_must_stand_in_the_source(roots: dict[str, Path]) -> None:
    stated = {"url": "https://x.example.com", "source": 1}

    assert record("made", plan(servers=[stated]), roots, TODAY)["servers"][0]["at"] == "client.js:1"
    with pytest.raises(WrongPlanError, match="does not stand"):
        record("made", plan(servers=[{**stated, "url": "https://y.example.com"}]), roots, TODAY)
    with pytest.raises(WrongPlanError, match="line 30"):
        record("made", plan(servers=[{**stated, "line": 30}]), roots, TODAY)


def test_an_address_of_ones_own_is_a_slot(roots: dict[str, Path]) -> None:
    servers = record("made", plan(self_hosted=True), roots, TODAY)["servers"]
    assert [one["url"] for one in servers] == ["https://{host}/v1"]


def test_an_operation_may_have_a_server_of_its_own(roots: dict[str, Path]) -> None:
    fixture = record("made", plan(operations={"put": "putThing", "get": "getThing"}), roots, TODAY)

    assert [one["url"] for one in fixture["servers"]] == [
        "https://api.example.com/v1",
        "https://upload.example.com",
    ]
    assert (fixture["operations"]["put"]["server"], fixture["operations"]["get"]["server"]) == (1, 0)


def test_writing_twice_keeps_the_day_of_an_unchanged_source(roots: dict[str, Path], tmp_path: Path) -> None:
    write(record("made", plan(), roots, TODAY), tmp_path)
    file = write(record("made", plan(), roots, "2027-01-01"), tmp_path)

    kept = json.loads(file.read_text("utf-8"))
    assert [one["recorded"] for one in kept["sources"]] == [TODAY, TODAY]
    (roots["docs"] / "client.js").write_text("changed")
    file = write(record("made", plan(), roots, "2027-01-01"), tmp_path)
    assert json.loads(file.read_text("utf-8"))["sources"][1]["recorded"] == "2027-01-01"


def test_the_command_records_reports_and_fails_with_the_name_of_what_went_wrong(
    roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "plan.toml"
    source = 'sources = [{ name = "docs", version = "1", file = "api.json" }]'
    written.write_text(f'[good]\n{source}\noperations = {{ get = "getThing" }}\n', "utf-8")
    folder = tmp_path / "recorded"
    folder.mkdir()
    place = ["--into", str(folder), "--root", f"docs={roots['docs']}"]

    assert main(["--plan", str(written), *place]) == 0
    assert main(["--report", "--into", str(folder)]) == 0
    assert "docs" in capsys.readouterr().out
    written.write_text(f'[bad]\n{source}\noperations = {{ get = "nothing" }}\n', "utf-8")
    assert main(["--plan", str(written), *place]) == 1
    assert "bad" in capsys.readouterr().err
    assert not (folder / "bad.json").exists()


def test_the_report_counts_services_and_operations_by_source(roots: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    folder.mkdir()
    write(record("made", plan(), roots, TODAY), folder)
    last = report(folder).splitlines()[-1].split()
    assert last == ["all", "1", "1", "1"]


@pytest.mark.parametrize(
    ("media", "shape"),
    [
        ({"example": {"rows": [{"id": 1}]}}, {"rows": {"type": "array", "items": {"type": "object"}}}),
        ({"example": '{"rows": ["a"]}'}, {"rows": {"type": "array", "items": {"type": "string"}}}),
        ({"examples": {"one": {"value": {"ok": True, "n": None}}}}, {"ok": {"type": "boolean"}, "n": {}}),
        ({"schema": {"type": "object", "example": {"at": 1.5}}}, {"at": {"type": "number"}}),
        ({"example": {"7": {"id": 1}, "12": {"id": 2}}}, {}),
        ({"example": "no JSON"}, {}),
        ({"schema": {"properties": {"a": {"type": "string"}}}, "example": {"b": 1}}, {}),
        ({"schema": {"type": "object"}, "example": [1]}, {}),
    ],
    ids=["example", "as text", "named", "in the schema", "by ids", "no JSON", "schema says", "other type"],
)
def test_an_example_is_read_where_no_schema_says_what_is_answered(
    tmp_path: Path, media: dict[str, Any], shape: dict[str, Any]
) -> None:
    shown = example_shape(shape_of(Node(media, tmp_path).get("schema")), example_of(Node(media, tmp_path)))

    properties = (shown or {}).get("properties", {})
    assert properties.keys() == shape.keys()
    for name, told in shape.items():
        assert told.items() <= properties[name].items() or told["items"]["type"] == "object"


@pytest.mark.parametrize(
    ("parameter", "first"),
    [
        ({"name": "page", "schema": {"type": "integer", "default": 1}}, 1),
        ({"name": "page", "schema": {"type": "integer", "minimum": 0, "default": 1}}, 1),
        ({"name": "pageNum", "schema": {"type": "integer", "minimum": 1}}, 1),
        ({"name": "page", "description": "Page of rows, defaults to `0`.", "schema": {"type": "string"}}, 0),
        ({"name": "page", "description": "Zero-based number.", "schema": {"minimum": 1}}, 0),
        ({"name": "start", "description": "Pages start at 1."}, 1),
        ({"name": "page", "example": 0, "schema": {}}, 0),
        ({"name": "page", "example": 1, "schema": {}}, None),
        ({"name": "page", "description": "Defaults to 10.", "schema": {"default": 10}}, None),
        ({"name": "page_size", "schema": {"default": 1}}, None),
        ({"name": "limit", "schema": {"default": 1}}, None),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else str(value),
)
def test_what_pages_are_counted_from_is_read_where_it_is_said(
    tmp_path: Path, parameter: dict[str, Any], first: int | None
) -> None:
    file = tmp_path / "api.json"
    told = {"in": "query", **parameter}
    file.write_text(
        json.dumps({"openapi": "3.0.0", "paths": {"/a": {"get": {"parameters": [told]}}}}), "utf-8"
    )

    (found,) = open_document(file).operation("GET /a")["parameters"]

    assert found.get("first") == first
