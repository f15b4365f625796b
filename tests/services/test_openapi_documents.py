"""What becomes of OpenAPI and Swagger documents: names, types, bodies, sign-ins, addresses, pages."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    Auth,
    Operation,
    OperationEffect,
    Pagination,
    Parameter,
    Returns,
    ServiceStatus,
)
from prefect_autopilot.services import build_request, check_parameters, next_page, takes_key
from prefect_autopilot.services.openapi import ImportReport, import_document

OK: dict[str, Any] = {"200": {"description": "fine"}}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "info": {"title": "Acme Widgets API v2", "version": "1"},
        "servers": [{"url": "https://api.acme.example/v2"}],
        "paths": paths,
        **more,
    }


def imported(paths: dict[str, Any], **more: Any) -> ImportReport:
    return import_document(document(paths, **more), service_id="acme")


def only(told: dict[str, Any], *, method: str = "post", path: str = "/widgets", **more: Any) -> Operation:
    report = imported({path: {method: {"responses": OK, **told}}}, **more)
    assert not report.left_out, report.left_out
    return report.service.operations[0]


def reason(told: dict[str, Any], *, method: str = "post", path: str = "/widgets", **more: Any) -> str:
    other = {"/other": {"get": {"responses": OK, "security": []}}}
    report = imported({path: {method: {"responses": OK, **told}}, **other}, **more)
    assert len(report.left_out) == 1, report
    return report.left_out[0].reason


def json_body(
    schema: dict[str, Any], *, required: bool = True, media: str = "application/json"
) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {media: {"schema": schema}}}}


def answer(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"responses": {"200": {"content": {"application/json": {"schema": schema}}, **more}}}


def by_name(operation: Operation) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in operation.parameters}


class TestTheService:
    def test_is_named_by_the_title_without_api_and_version(self) -> None:
        assert imported({"/a": {"get": {"responses": OK}}}).service.name == "Acme Widgets"

    def test_bears_the_name_it_is_given(self) -> None:
        doc = document({"/a": {"get": {"responses": OK}}})
        assert import_document(doc, service_id="acme", name="Own").service.name == "Own"

    def test_is_declared_and_never_operable(self) -> None:
        assert imported({"/a": {"get": {"responses": OK}}}).service.status is ServiceStatus.DECLARED

    def test_says_which_document_it_is_from(self) -> None:
        assert imported({"/a": {"get": {}}}).service.provenance == ("OpenAPI 3.0.3: Acme Widgets API v2",)

    @pytest.mark.parametrize("wrong", ["", "Acme", "a b", "ä", "../x", "a-b", "x" * 61, "9a"])
    def test_takes_only_plain_ids(self, wrong: str) -> None:
        with pytest.raises(UsageError, match="no id of a service"):
            import_document(document({"/a": {"get": {}}}), service_id=wrong)

    def test_is_checked_by_a_call_that_needs_nothing(self) -> None:
        needs = [{"name": "q", "in": "query", "required": True, "schema": {"type": "string"}}]
        paths = {
            "/search": {"get": {"operationId": "search", "parameters": needs}},
            "/me": {"get": {"operationId": "getMe"}},
            "/all": {"get": {"operationId": "all"}},
        }
        assert imported(paths).service.verification == "get_me"

    def test_is_not_checked_by_a_call_that_changes_something(self) -> None:
        assert imported({"/me": {"post": {}, "delete": {}}}).service.verification is None


class TestNames:
    @pytest.mark.parametrize(
        ("operation_id", "method", "path", "summary", "name"),
        [
            ("createWidget", "post", "/widgets", "", "create_widget"),
            ("list-widgets", "get", "/widgets", "", "list_widgets"),
            ("repos/create-for-org", "post", "/orgs/{org}/repos", "", "create_repos_for_org"),
            ("Widgets_List", "get", "/widgets", "", "list_widgets"),
            ("widgetsCreate", "post", "/widgets", "", "create_widgets"),
            ("chat.postMessage", "post", "/chat.postMessage", "", "post_chat_message"),
            ("PostCustomers", "post", "/v1/customers", "Create a customer", "create_customer"),
            ("PostCustomersCustomer", "post", "/v1/customers/{customer}", "Update it", "update_customer"),
            ("GetCustomers", "get", "/v1/customers", "", "list_customers"),
            ("", "get", "/v1/users/{id}", "", "get_user"),
            ("", "delete", "/boxes/{id}/entries/{entry}", "", "delete_box_entry"),
            ("", "post", "/widgets/{id}/archive", "", "archive_widget"),
            ("", "get", "/", "", "get_root"),
            ("getHTTPServer2Status", "get", "/x", "", "get_http_server2_status"),
            ("créer_objet", "post", "/g", "", "create_creer_objet"),
            ("日本", "get", "/widgets", "", "list_widgets"),
        ],
    )
    def test_begin_with_a_verb(
        self, operation_id: str, method: str, path: str, summary: str, name: str
    ) -> None:
        told = {"operationId": operation_id, "summary": summary}
        found = only(told, method=method, path=path).id
        assert found == name

    def test_are_never_given_twice(self) -> None:
        paths = {
            f"/{n}": {"get": {"operationId": "getIt"}, "post": {"operationId": "getIt"}} for n in range(4)
        }
        ids = [operation.id for operation in imported(paths).service.operations]
        assert len(set(ids)) == len(ids) == 8
        assert ids[0] == "get_it"

    def test_have_an_end(self) -> None:
        assert len(only({"operationId": "create" + "Widget" * 200}).id) <= 80

    @pytest.mark.parametrize(
        ("told", "phrase"),
        [
            ({"operationId": "createWidget"}, "create a widget"),
            ({"operationId": "createOrder"}, "create an order"),
            ({"operationId": "getUser"}, "get a user"),
            (
                {"operationId": "x", "summary": "Creates a new widget in the given project."},
                "create a new widget",
            ),
            ({"operationId": "x", "summary": "<b>Retrieves</b> a `widget`"}, "get a widget"),
        ],
    )
    def test_come_with_phrases_people_say(self, told: dict[str, Any], phrase: str) -> None:
        assert phrase in only(told).verbs


class TestParameters:
    def test_have_place_type_and_need(self) -> None:
        told = [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
            {
                "name": "q",
                "in": "query",
                "schema": {"type": "boolean"},
                "description": "Only <i>red</i>. More.",
            },
            {"name": "X-Shop", "in": "header", "required": True, "schema": {"type": "string"}},
        ]
        found = by_name(only({"parameters": told}, path="/widgets/{id}", method="get"))
        assert found["id"].location == "path"
        assert found["id"].type == "integer"
        assert found["id"].required
        assert (found["q"].type, found["q"].required) == ("boolean", False)
        assert found["q"].description == "Only red."
        assert (found["X-Shop"].location, found["X-Shop"].required) == ("header", True)

    def test_of_the_path_item_hold_for_all_and_are_replaced_by_the_operations_own(self) -> None:
        shared = [{"name": "a", "in": "query", "schema": {"type": "string"}}]
        own = [{"name": "a", "in": "query", "schema": {"type": "integer"}}]
        paths = {"/x": {"parameters": shared, "get": {"parameters": own}, "post": {}}}
        first, second = imported(paths).service.operations
        assert (by_name(first)["a"].type, by_name(second)["a"].type) == ("integer", "string")

    def test_of_the_path_that_nobody_declared_are_added(self) -> None:
        found = by_name(only({}, path="/a/{one}/b/{two}", method="get"))
        assert [(p.name, p.location, p.required) for p in found.values()] == [
            ("one", "path", True),
            ("two", "path", True),
        ]

    def test_declared_for_the_path_but_not_in_it_are_dropped(self) -> None:
        told = [{"name": "ghost", "in": "path", "required": True, "schema": {"type": "string"}}]
        assert by_name(only({"parameters": told})) == {}

    @pytest.mark.parametrize("name", ["Accept", "content-type", "Authorization"])
    def test_that_the_client_writes_itself_are_dropped(self, name: str) -> None:
        told = [{"name": name, "in": "header", "required": True, "schema": {"type": "string"}}]
        paths = {"/x": {"get": {"parameters": told}}}
        assert imported(paths, components={"securitySchemes": {}}).service.operations[0].parameters == ()

    @pytest.mark.parametrize(
        ("schema", "choices"),
        [
            ({"type": "string", "enum": ["a", "b", None]}, ("a", "b")),
            ({"type": "integer", "enum": [1, 2]}, ("1", "2")),
            ({"const": "x"}, ("x",)),
            ({"type": "boolean", "enum": [True]}, ()),
            ({"type": "array", "items": {"enum": ["a"]}}, ()),
            ({"type": "string", "enum": [{"a": 1}]}, ()),
        ],
        ids=["text", "numbers", "const", "boolean", "list", "objects"],
    )
    def test_have_choices(self, schema: dict[str, Any], choices: tuple[str, ...]) -> None:
        told = [{"name": "p", "in": "query", "schema": schema}]
        assert by_name(only({"parameters": told}))["p"].choices == choices

    def test_send_a_default_only_where_a_value_is_needed(self) -> None:
        told = [
            {"name": "needed", "in": "query", "required": True, "schema": {"type": "integer", "default": 5}},
            {"name": "spare", "in": "query", "schema": {"type": "integer", "default": 7}},
        ]
        found = by_name(only({"parameters": told}, method="get"))
        assert found["needed"].default == 5
        assert found["spare"].default is None
        assert "Default: 7." in found["spare"].description

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "integer", "default": "5"},
            {"type": "string", "enum": ["a"], "default": "b"},
            {"type": "integer", "default": True},
            {"type": "array", "default": []},
        ],
        ids=["other type", "no choice", "truth for a number", "list"],
    )
    def test_have_no_default_that_would_be_refused(self, schema: dict[str, Any]) -> None:
        told = [{"name": "p", "in": "query", "required": True, "schema": schema}]
        assert by_name(only({"parameters": told}, method="get"))["p"].default is None

    @pytest.mark.parametrize(
        ("schema", "kind"),
        [
            ({"type": ["string", "null"]}, "string"),
            ({"type": ["string", "integer"]}, "any"),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
            ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "any"),
            ({"type": "string", "nullable": True}, "string"),
            ({"properties": {}}, "object"),
            ({"items": {}}, "array"),
            ({"enum": ["a"]}, "string"),
            ({}, "any"),
            ({"type": "money"}, "any"),
            ({"allOf": [{"type": "number"}, {"description": "x"}]}, "number"),
            (True, "any"),
        ],
        ids=str,
    )
    def test_have_the_type_their_schema_means(self, schema: Any, kind: str) -> None:
        told = [{"name": "p", "in": "query", "schema": schema}]
        assert by_name(only({"parameters": told}))["p"].type == kind

    def test_of_one_name_in_two_places_are_told_apart_and_arrive_in_both(self) -> None:
        told = {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "id", "in": "query", "schema": {"type": "string"}},
            ],
            **json_body({"type": "object", "properties": {"id": {"type": "string"}}}),
        }
        operation = only(told, path="/w/{id}", method="put")
        sent = build_request(operation, {"id": "1", "query_id": "2", "body_id": "3"})
        assert (sent.path, sent.query, sent.body) == ("/w/1", (("id", "2"),), {"id": "3"})

    def test_that_repeat_the_sign_in_are_dropped(self) -> None:
        schemes = {"k": {"type": "apiKey", "in": "query", "name": "key"}}
        told = {
            "parameters": [{"name": "key", "in": "query", "required": True, "schema": {"type": "string"}}]
        }
        operation = only(told, components={"securitySchemes": schemes}, security=[{"k": []}])
        assert operation.parameters == ()

    def test_called_token_are_dropped_only_where_they_are_the_sign_in(self) -> None:
        bearer = {"b": {"type": "http", "scheme": "bearer"}}
        told = [
            {"name": "token", "in": "query", "schema": {}, "description": "Authentication token of the app."},
            {"name": "api_key", "in": "query", "schema": {}, "description": "Key of a cupboard."},
        ]
        operation = only({"parameters": told}, components={"securitySchemes": bearer}, security=[{"b": []}])
        assert list(by_name(operation)) == ["api_key"]

    def test_with_a_key_against_repetition_become_the_services_header(self) -> None:
        told = [{"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}]
        service = imported({"/x": {"post": {"parameters": told}}}).service
        assert service.idempotency_header == "Idempotency-Key"
        assert check_parameters(service, service.operations[0], {}) == {}

    def test_with_a_key_count_for_the_operations_that_declare_it(self) -> None:
        told = [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}]
        service = imported({"/x": {"post": {"parameters": told}}, "/y": {"post": {}}}).service
        assert {one.path: takes_key(service, one) for one in service.operations} == {"/x": True, "/y": False}

    def test_no_operation_is_marked_where_none_knows_a_key(self) -> None:
        assert not imported({"/y": {"post": {}}}).service.operations[0].unkeyed


class TestStyles:
    @pytest.mark.parametrize(
        ("told", "query"),
        [
            ({"schema": {"type": "array"}}, (("p", "1"), ("p", "2"))),
            ({"schema": {"type": "array"}, "explode": False}, (("p", "1,2"),)),
            ({"schema": {"type": "array"}, "style": "pipeDelimited"}, (("p", "1|2"),)),
            ({"schema": {"type": "array"}, "style": "spaceDelimited"}, (("p", "1 2"),)),
            ({"schema": {"type": "array"}, "style": "deepObject"}, (("p[0]", "1"), ("p[1]", "2"))),
            ({"type": "array"}, (("p", "1,2"),)),
            ({"type": "array", "collectionFormat": "multi"}, (("p", "1"), ("p", "2"))),
            ({"type": "array", "collectionFormat": "pipes"}, (("p", "1|2"),)),
        ],
        ids=["default", "joined", "pipes", "spaces", "deep", "swagger", "swagger multi", "swagger pipes"],
    )
    def test_of_lists(self, told: dict[str, Any], query: tuple[tuple[str, str], ...]) -> None:
        operation = only({"parameters": [{"name": "p", "in": "query", **told}]}, method="get")
        assert build_request(operation, {"p": [1, 2]}).query == query

    def test_of_objects(self) -> None:
        schema = {"type": "object"}
        told = [
            {"name": "f", "in": "query", "style": "deepObject", "schema": schema},
            {"name": "g", "in": "query", "schema": schema},
            {"name": "h", "in": "query", "content": {"application/json": {"schema": schema}}},
        ]
        operation = only({"parameters": told}, method="get")
        sent = build_request(operation, {"f": {"a": {"b": 1}}, "g": {"x": "y"}, "h": {"k": 2}})
        assert sent.query == (("f[a][b]", "1"), ("x", "y"), ("h", '{"k": 2}'))

    def test_of_lists_in_path_and_headers(self) -> None:
        schema = {"type": "array"}
        told = [
            {"name": "ids", "in": "path", "required": True, "schema": schema},
            {"name": "X-Ids", "in": "header", "schema": schema},
        ]
        operation = only({"parameters": told}, path="/w/{ids}", method="get")
        sent = build_request(operation, {"ids": ["a", "b/c"], "X-Ids": ["d", "e"]})
        assert (sent.path, sent.headers) == ("/w/a%2Cb%2Fc", {"X-Ids": "d,e"})

    def test_of_forms(self) -> None:
        schema = {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "tags": {"type": "array"},
                "meta": {"type": "object"},
                "items": {"type": "array"},
            },
        }
        deep = {"style": "deepObject", "explode": True}
        content = {"schema": schema, "encoding": {"items": deep}}
        told = {"requestBody": {"content": {"application/x-www-form-urlencoded": content}}}
        given = {"name": "n", "tags": ["a", "b"], "meta": {"k": 1}, "items": [{"price": "p", "n": 2}]}
        assert build_request(only(told), given).body == {
            "name": "n",
            "tags": ["a", "b"],
            "meta": '{"k": 1}',
            "items[0][price]": "p",
            "items[0][n]": "2",
        }


class TestBodies:
    OBJECT: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "size": {"type": "integer"},
            "id": {"type": "string", "readOnly": True},
        },
    }

    def test_give_their_fields(self) -> None:
        operation = only(json_body(self.OBJECT))
        assert operation.body == "json"
        assert {(p.name, p.location, p.required) for p in operation.parameters} == {
            ("name", "body", True),
            ("size", "body", False),
        }
        assert build_request(operation, {"name": "n", "size": 1}).body == {"name": "n", "size": 1}

    def test_that_need_not_be_there_need_no_field(self) -> None:
        assert not by_name(only(json_body(self.OBJECT, required=False)))["name"].required

    def test_wrapped_in_one_object_are_unwrapped(self) -> None:
        operation = only(json_body({"type": "object", "properties": {"data": self.OBJECT}}))
        assert operation.body_at == "data"
        assert build_request(operation, {"name": "n"}).body == {"data": {"name": "n"}}

    def test_with_two_objects_are_not_unwrapped(self) -> None:
        operation = only(json_body({"type": "object", "properties": {"a": self.OBJECT, "b": self.OBJECT}}))
        assert operation.body_at is None
        assert {p.type for p in operation.parameters} == {"object"}

    @pytest.mark.parametrize("kind", ["array", "object", "any", "string"])
    def test_without_fields_are_one_parameter(self, kind: str) -> None:
        operation = only(json_body({} if kind == "any" else {"type": kind}))
        value = [1] if kind == "array" else {"a": 1} if kind == "object" else "t"
        assert build_request(operation, {"body": value}).body == value
        assert by_name(operation)["body"].required

    @pytest.mark.parametrize(
        ("media", "kind"),
        [
            ("application/json; charset=utf-8", "json"),
            ("application/vnd.api+json", "json"),
            ("*/*", "json"),
            ("application/x-www-form-urlencoded", "form"),
            ("multipart/form-data", "multipart"),
            ("text/plain", "raw"),
            ("application/xml", "raw"),
            ("application/octet-stream", "raw"),
        ],
    )
    def test_are_of_the_kind_the_media_type_says(self, media: str, kind: str) -> None:
        operation = only(json_body(self.OBJECT, media=media))
        assert operation.body == kind

    def test_name_a_media_type_of_their_own(self) -> None:
        operation = only(json_body(self.OBJECT, media="application/merge-patch+json"), method="patch")
        service = imported({"/x": {"get": {}}}).service
        checked = check_parameters(service, operation, {"name": "n"})
        assert build_request(operation, checked).headers == {"Content-Type": "application/merge-patch+json"}

    def test_prefer_json(self) -> None:
        content = {media: {"schema": self.OBJECT} for media in ("multipart/form-data", "application/json")}
        assert only({"requestBody": {"content": content}}).body == "json"

    def test_of_files_take_bytes(self) -> None:
        schema = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        operation = only(json_body(schema, media="multipart/form-data"))
        assert build_request(operation, {"file": b"\x00"}).body == {"file": b"\x00"}

    @pytest.mark.parametrize("method", ["get", "delete"])
    def test_nobody_needs_are_not_sent(self, method: str) -> None:
        operation = only(json_body(self.OBJECT, required=False), method=method)
        assert (operation.body, operation.parameters) == ("none", ())

    def test_of_a_deletion_that_needs_one_are_sent(self) -> None:
        assert only(json_body(self.OBJECT), method="delete").body == "json"

    def test_merge_what_all_parts_describe(self) -> None:
        part = {"type": "object", "required": ["b"], "properties": {"b": {"type": "boolean"}}}
        found = by_name(only(json_body({"allOf": [self.OBJECT, part], "properties": {"c": {}}})))
        assert set(found) == {"name", "size", "b", "c"}
        assert [name for name, p in found.items() if p.required] == ["name", "b"]

    @pytest.mark.parametrize("word", ["oneOf", "anyOf"])
    def test_need_only_what_every_choice_needs(self, word: str) -> None:
        one = {"type": "object", "required": ["kind", "a"], "properties": {"kind": {}, "a": {}}}
        two = {"type": "object", "required": ["kind", "b"], "properties": {"kind": {}, "b": {}}}
        found = by_name(only(json_body({word: [one, two]})))
        assert set(found) == {"kind", "a", "b"}
        assert [name for name, p in found.items() if p.required] == ["kind"]

    def test_follow_references(self) -> None:
        told = {"requestBody": {"$ref": "#/components/requestBodies/W"}}
        parts = {
            "requestBodies": {"W": json_body({"$ref": "#/components/schemas/A~1B%20C"})["requestBody"]},
            "schemas": {"A/B C": self.OBJECT},
        }
        assert set(by_name(only(told, components=parts))) == {"name", "size"}


class TestSwagger2:
    def test_comes_through_as_well(self) -> None:
        doc = {
            "swagger": "2.0",
            "info": {"title": "Shop"},
            "host": "shop.example",
            "basePath": "/api/",
            "schemes": ["http", "https"],
            "consumes": ["application/json"],
            "securityDefinitions": {"t": {"type": "apiKey", "in": "header", "name": "X-Token"}},
            "security": [{"t": []}],
            "definitions": {"Order": {"type": "object", "properties": {"sum": {"type": "number"}}}},
            "paths": {
                "/orders": {
                    "post": {"parameters": [{"in": "body", "name": "b", "required": True,
                                             "schema": {"$ref": "#/definitions/Order"}}]},
                    "get": {"responses": {200: {"schema": {"type": "array"}}}},
                },
                "/files": {"post": {"consumes": ["multipart/form-data"], "parameters": [
                    {"in": "formData", "name": "file", "type": "file", "required": True},
                    {"in": "formData", "name": "tags", "type": "array", "collectionFormat": "multi"}]}},
            },
        }  # fmt: skip
        report = import_document(doc, service_id="shop")
        service = report.service
        assert not report.left_out
        assert service.base_url == "https://shop.example/api"
        assert service.auth == Auth(scheme="header", name="X-Token")
        create, orders, upload = (
            service.operation(i) for i in ("create_order", "list_orders", "create_file")
        )
        assert create is not None
        assert orders is not None
        assert upload is not None
        assert build_request(create, {"sum": 1.5}).body == {"sum": 1.5}
        assert orders.list_at == "$"
        assert upload.body == "multipart"
        assert build_request(upload, {"file": b"x", "tags": ["a", "b"]}).body == {
            "file": b"x",
            "tags": ["a", "b"],
        }


class TestSignIn:
    @pytest.mark.parametrize(
        ("scheme", "auth"),
        [
            ({"type": "http", "scheme": "Bearer"}, Auth(scheme="bearer", prefix="Bearer ")),
            ({"type": "http", "scheme": "basic"}, Auth(scheme="basic")),
            ({"type": "apiKey", "in": "header", "name": "X-Key"}, Auth(scheme="header", name="X-Key")),
            ({"type": "apiKey", "in": "query", "name": "key"}, Auth(scheme="query", name="key")),
            (
                {"type": "apiKey", "in": "header", "name": "Authorization", "description": "A bearer token"},
                Auth(scheme="bearer", prefix="Bearer "),
            ),
            (
                {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "https://a.example/t"}}},
                Auth(
                    scheme="oauth2",
                    prefix="Bearer ",
                    token_url="https://a.example/t",
                    refresh_url="https://a.example/t",
                ),
            ),
            (
                {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/t", "refreshUrl": "/r"}}},
                Auth(
                    scheme="oauth2",
                    prefix="Bearer ",
                    token_url="https://api.acme.example/t",
                    refresh_url="https://api.acme.example/r",
                ),
            ),
            (
                {"type": "oauth2", "flow": "implicit", "authorizationUrl": "https://a.example"},
                Auth(scheme="oauth2", prefix="Bearer "),
            ),
        ],
        ids=["bearer", "basic", "header", "query", "header of a bearer", "code", "relative", "implicit"],
    )
    def test_is_the_declared_one(self, scheme: dict[str, Any], auth: Auth) -> None:
        paths = {"/x": {"get": {}}}
        report = imported(paths, components={"securitySchemes": {"s": scheme}}, security=[{"s": []}])
        assert report.service.auth == auth

    @pytest.mark.parametrize(
        ("scheme", "why"),
        [
            ({"type": "apiKey", "in": "cookie", "name": "sid"}, "cookie"),
            ({"type": "openIdConnect", "openIdConnectUrl": "https://a.example"}, "OpenID Connect"),
            ({"type": "mutualTLS"}, "client certificate"),
            ({"type": "http", "scheme": "digest"}, "HTTP digest"),
            ({"type": "oauth2", "flows": {"odd": {}}}, "OAuth flow"),
            ({"type": "magic"}, "no known kind"),
            ({"type": "apiKey", "in": "header", "name": "A\r\nB"}, "no usable name"),
            ({"$ref": "https://elsewhere.example/x"}, "out of the document"),
        ],
        ids=["cookie", "openid", "certificate", "digest", "flow", "unknown", "bad header", "elsewhere"],
    )
    def test_that_cannot_be_used_is_the_reason(self, scheme: dict[str, Any], why: str) -> None:
        assert why in reason({"security": [{"s": []}]}, components={"securitySchemes": {"s": scheme}})

    def test_nobody_declared_is_the_reason(self) -> None:
        assert "does not declare" in reason({"security": [{"ghost": []}]})

    def test_most_operations_use_is_chosen_and_the_others_left_out(self) -> None:
        schemes = {
            "a": {"type": "http", "scheme": "basic"},
            "b": {"type": "http", "scheme": "bearer"},
        }
        paths = {f"/{n}": {"get": {"security": [{"a": []}]}} for n in range(2)}
        paths["/odd"] = {"get": {"security": [{"b": []}]}}
        paths["/both"] = {"get": {"security": [{"b": []}, {"a": []}]}}
        report = imported(paths, components={"securitySchemes": schemes})
        assert report.service.auth.scheme == "basic"
        assert [(one.path, "another sign-in" in one.reason) for one in report.left_out] == [("/odd", True)]

    def test_of_two_keys_in_the_query_is_both(self) -> None:
        schemes = {n: {"type": "apiKey", "in": "query", "name": n} for n in ("key", "token")}
        report = imported(
            {"/x": {"get": {}}}, components={"securitySchemes": schemes}, security=[{"key": [], "token": []}]
        )
        assert report.service.auth == Auth(scheme="query", name="key+token")

    def test_of_two_kinds_at_once_is_the_reason(self) -> None:
        schemes = {
            "a": {"type": "http", "scheme": "basic"},
            "k": {"type": "apiKey", "in": "query", "name": "k"},
        }
        told = {"security": [{"a": [], "k": []}]}
        assert "several sign-ins" in reason(told, components={"securitySchemes": schemes})

    def test_may_be_told_where_the_document_is_silent(self) -> None:
        doc = document({"/x": {"get": {"security": [{"ghost": []}]}}})
        auth = Auth(scheme="basic")
        report = import_document(doc, service_id="acme", auth=auth)
        assert (report.service.auth, report.left_out) == (auth, ())

    def test_is_read_from_an_authorization_header_among_the_parameters(self) -> None:
        told = [{"name": "Authorization", "in": "header", "required": True, "schema": {"type": "string"}}]
        report = imported({"/x": {"get": {"parameters": told}}})
        assert report.service.auth.scheme == "bearer"
        assert report.service.operations[0].parameters == ()
        assert any("Authorization" in note for note in report.notes)


class TestAddresses:
    @pytest.mark.parametrize(
        ("servers", "source", "address"),
        [
            ([{"url": "https://a.example/v1/"}], None, "https://a.example/v1"),
            ([{"url": "http://a.example"}, {"url": "https://b.example"}], None, "https://b.example"),
            ([{"url": "//a.example/v1"}], None, "https://a.example/v1"),
            ([{"url": "/v1"}], "https://docs.example/x/openapi.json", "https://docs.example/v1"),
            ([{"url": "/v1"}], None, None),
            ([], None, None),
            ([], "https://docs.example/openapi.json", "https://docs.example"),
            ([{"url": "ftp://a.example"}], None, None),
            ([{"url": "file:///etc/passwd"}], None, None),
            ([{"url": "https://your-domain.example.net/x"}], None, "https://{your_domain}.example.net/x"),
            (
                [
                    {
                        "url": "https://{site}.a.example/{v}",
                        "variables": {"site": {"default": "x"}, "v": {"default": "v3"}},
                    }
                ],
                None,
                "https://{site}.a.example/v3",
            ),
            ([{"url": "https://{my-site}.a.example"}], None, "https://{my_site}.a.example"),
            ([{"url": "https://a.example/v1?x=1"}], None, "https://a.example/v1"),
            ([7, {"url": 3}], None, None),
        ],
        ids=str,
    )
    def test_are_those_of_the_document(
        self, servers: list[Any], source: str | None, address: str | None
    ) -> None:
        doc = document({"/x": {"get": {}}}, servers=servers)
        assert import_document(doc, service_id="acme", source=source).service.base_url == address

    def test_of_single_operations_are_the_reason(self) -> None:
        assert "another address" in reason({"servers": [{"url": "https://upload.example"}]})

    def test_of_all_operations_are_the_services(self) -> None:
        own = {"get": {"servers": [{"url": "https://own.example"}]}}
        report = imported({"/a": own, "/b": own}, servers=[])
        assert (report.service.base_url, report.left_out) == ("https://own.example", ())

    def test_without_encryption_are_told(self) -> None:
        report = imported({"/x": {"get": {}}}, servers=[{"url": "http://a.example"}])
        assert any("without encryption" in note for note in report.notes)


class TestEffects:
    @pytest.mark.parametrize(
        ("method", "operation_id", "effect"),
        [
            ("get", "getIt", OperationEffect.SAFE),
            ("head", "checkIt", OperationEffect.SAFE),
            ("put", "putIt", OperationEffect.IDEMPOTENT),
            ("delete", "deleteIt", OperationEffect.IDEMPOTENT),
            ("post", "createIt", OperationEffect.UNSAFE),
            ("patch", "patchIt", OperationEffect.UNSAFE),
            ("post", "searchIt", OperationEffect.UNSAFE),
            ("get", "deleteIt", OperationEffect.UNSAFE),
            ("get", "message.send", OperationEffect.UNSAFE),
        ],
    )
    def test_follow_the_method_and_never_trust_a_get_that_says_delete(
        self, method: str, operation_id: str, effect: OperationEffect
    ) -> None:
        assert only({"operationId": operation_id}, method=method).effect is effect


ROW = {"type": "array", "items": {"type": "object"}}
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def query(*names: str, **kinds: Any) -> list[dict[str, Any]]:
    schemas = dict.fromkeys(names, TEXT) | kinds
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


class TestLists:
    @pytest.mark.parametrize(
        ("schema", "path", "rows"),
        [
            (ROW, "/widgets", "$"),
            (obj(data=ROW, next=TEXT), "/widgets", "data"),
            (obj(widgets=ROW, total=NUMBER, owner=TEXT), "/widgets", "widgets"),
            (obj(things=ROW, next_page=TEXT), "/widgets", "things"),
            (obj(data=obj(items=ROW)), "/widgets", "data.items"),
            (obj(errors=ROW), "/widgets", None),
            (obj(id=TEXT, tags=ROW), "/widgets/{id}", None),
            (obj(id=TEXT, name=TEXT, data=ROW), "/widgets/{id}", None),
            (obj(name=TEXT, colour=TEXT, tags=ROW), "/widget", None),
            (obj(name=TEXT), "/widgets", None),
            ({"$ref": "#/nowhere"}, "/widgets", None),
            ({"allOf": [obj(items=ROW), obj(cursor=TEXT)]}, "/widgets", "items"),
        ],
        ids=range(12),
    )
    def test_are_found_in_answers(self, schema: dict[str, Any], path: str, rows: str | None) -> None:
        assert only(answer(schema), method="get", path=path).list_at == rows

    def test_are_no_matter_of_calls_that_change_something(self) -> None:
        assert only(answer(ROW), method="post").list_at is None

    @pytest.mark.parametrize(
        ("asked", "schema", "pagination"),
        [
            (
                query("cursor"),
                obj(data=ROW, meta=obj(next_cursor=TEXT)),
                Pagination(kind="cursor", request_param="cursor", response_field="meta.next_cursor"),
            ),
            (
                query("pageToken"),
                obj(items=ROW, nextPageToken=TEXT),
                Pagination(kind="cursor", request_param="pageToken", response_field="nextPageToken"),
            ),
            (
                query("offset"),
                obj(data=ROW, next_page=obj(offset=TEXT, path=TEXT)),
                Pagination(kind="cursor", request_param="offset", response_field="next_page.offset"),
            ),
            (
                [],
                obj(items=ROW, next={"type": "string", "format": "uri"}),
                Pagination(kind="next_url", response_field="next"),
            ),
            ([], {"type": "object", "properties": {"value": ROW, "@odata.nextLink": TEXT}},
             Pagination(kind="next_url", response_field="@odata.nextLink")),
            (
                [],
                obj(data=ROW, links=obj(next=TEXT)),
                Pagination(kind="next_url", response_field="links.next"),
            ),
            (query(page=NUMBER), obj(data=ROW), Pagination(kind="page", request_param="page")),
            (query(offset=NUMBER), obj(data=ROW), Pagination(kind="offset", request_param="offset")),
            (query(startAt=NUMBER), obj(values=ROW), Pagination(kind="offset", request_param="startAt")),
            (query("offset"), obj(data=ROW), Pagination()),
            (query("cursor"), obj(data=ROW), Pagination()),
            (query("limit"), obj(data=ROW), Pagination()),
            (
                query("starting_after"),
                obj(data={"type": "array", "items": obj(id=TEXT)}, has_more={"type": "boolean"}),
                Pagination(kind="last_row", request_param="starting_after", response_field="has_more"),
            ),
            (query("starting_after"), obj(data={"type": "array", "items": obj(id=TEXT)}), Pagination()),
            (query("starting_after"), obj(data=ROW, has_more={"type": "boolean"}), Pagination()),
            (query("limit"), obj(data={"type": "array", "items": obj(id=TEXT)}, has_more=TEXT), Pagination()),
        ],
        ids=["cursor", "token", "mark", "address", "odata", "links", "page", "offset", "start", "mark alone",
             "cursor alone", "nothing", "last row", "last row, no end", "no row id", "no row asked"],
    )  # fmt: skip
    def test_are_paged_as_question_and_answer_say(
        self, asked: list[dict[str, Any]], schema: dict[str, Any], pagination: Pagination
    ) -> None:
        assert only({"parameters": asked, **answer(schema)}, method="get").pagination == pagination

    def test_are_paged_by_the_link_header(self) -> None:
        told = answer(ROW, headers={"Link": {"schema": TEXT}})
        assert only({"parameters": query(page=NUMBER), **told}, method="get").pagination == Pagination(
            kind="link"
        )

    def test_lead_to_the_next_page(self) -> None:
        told = {"parameters": query("cursor"), **answer(obj(data=ROW, next_cursor=TEXT))}
        operation = only(told, method="get")
        following = next_page(operation, {}, {"data": [1], "next_cursor": "c2"}, url="https://a.example")
        assert following is not None
        assert following.parameters == {"cursor": "c2"}


def described(schema: dict[str, Any], said: str = "OK") -> dict[str, Any]:
    return answer(schema, description=said)


class TestWhatIsAnswered:
    @pytest.mark.parametrize(
        ("told", "method", "path", "returns"),
        [
            (described(obj(name=TEXT, id=TEXT, more=obj(a=TEXT))), "post", "/pets",
             Returns(what="The pet.", fields=("id", "name"))),
            (described(obj(data={"type": "array", "items": obj(createdAt=TEXT, uuid=TEXT)})), "get", "/pets",
             Returns(what="Rows of pets.", fields=("uuid", "createdAt"))),
            (described({"type": "array", "items": obj(id=NUMBER)}, "The pets of a shop. Sorted."),
             "get", "/pets",
             Returns(what="The pets of a shop.", fields=("id",))),
            (described(obj(data=obj(id=TEXT, status=TEXT))), "get", "/pets/{id}",
             Returns(what="The pet.", fields=("data.id", "data.status"))),
            (described(obj(weight=NUMBER), "Weight of the pet in kilograms"), "get", "/pets/{id}",
             Returns(what="Weight of the pet in kilograms")),
            (described(obj(weight=NUMBER), "Successful operation"), "get", "/pets/{id}", None),
            ({"responses": {"204": {"description": "The pet was deleted"}}}, "delete", "/pets/{id}", None),
            ({"responses": {"200": {"description": "<b>ok</b>"}}}, "post", "/pets", None),
            (described(obj(id=TEXT), "HTTP Status Code: `200` OK<br>"), "post", "/pets",
             Returns(what="The pet.", fields=("id",))),
            (described(obj(), "Status code: 200 OK. Rooms of the pet returned"), "post", "/pets",
             Returns(what="Rooms of the pet returned")),
        ],
        ids=["thing", "rows", "the document's words", "wrapped", "words alone", "nothing",
             "no answer", "markup", "status", "after the status"],
    )  # fmt: skip
    def test_is_told_by_what_things_are_known_by(
        self, told: dict[str, Any], method: str, path: str, returns: Returns | None
    ) -> None:
        slots = [{"name": "id", "in": "path", "required": True, "schema": TEXT}] if "{" in path else []
        assert only({"parameters": slots, **told}, method=method, path=path).returns == returns

    def test_names_only_fields_of_the_answer(self) -> None:
        shape = obj(
            id=TEXT, **{"a.b": TEXT, "name": {"$ref": "#/components/schemas/None"}, "status": obj(a=TEXT)}
        )
        told = only({**described(shape)}, path="/pets").returns
        assert told is not None
        assert told.fields == ("id",)

    @pytest.mark.parametrize(
        ("page", "first"),
        [
            ({"schema": {"type": "integer", "default": 0}}, 0),
            ({"schema": {"type": "integer", "default": 1}}, 1),
            ({"schema": NUMBER, "description": "Number of the page, starting at 0."}, 0),
            ({"schema": NUMBER, "description": "Zero-based page index."}, 0),
            ({"schema": NUMBER, "description": "Number of the page."}, None),
            ({"schema": {"type": "integer", "default": 20}}, None),
        ],
        ids=["default 0", "default 1", "in words", "zero-based", "not said", "no first page"],
    )
    def test_begins_with_the_page_the_document_says(self, page: dict[str, Any], first: int | None) -> None:
        asked = [{"name": "page", "in": "query", **page}]
        operation = only({"parameters": asked, **answer(obj(data=ROW))}, method="get")
        assert operation.pagination == Pagination(kind="page", request_param="page", first=first)


class TestLeftOut:
    def test_operations_are_listed_with_method_path_and_reason(self) -> None:
        report = imported({"/a": {"get": {"operationId": "old", "deprecated": True}, "post": {}}})
        (one,) = report.left_out
        assert (one.method, one.path, one.operation_id, one.reason) == ("GET", "/a", "old", "deprecated")
        assert report.reasons == {"deprecated": 1}

    @pytest.mark.parametrize("method", ["options", "trace"])
    def test_methods_are_named(self, method: str) -> None:
        assert method.upper() in reason({}, method=method)

    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ({"parameters": [{"name": "c", "in": "cookie", "required": True}]}, "cookie"),
            ({"parameters": [{"$ref": "other.yaml#/p"}]}, "out of the document"),
            ({"parameters": [{"$ref": "#/nowhere"}]}, "does not hold"),
            ({"requestBody": {"$ref": "file:///etc/passwd"}}, "out of the document"),
            (json_body({"$ref": "http://169.254.169.254/"}), "out of the document"),
            (json_body({"type": "string"}, media="multipart/form-data"), "which fields"),
            (json_body({}, media="chemical/x-pdb"), "format"),
            ({"parameters": [{"name": "a b", "in": "header", "schema": {}}]}, "no usable name"),
        ],
        ids=["cookie", "file", "nothing", "passwd", "metadata", "form", "format", "header"],
    )  # fmt: skip
    def test_operations_have_a_reason(self, told: dict[str, Any], why: str) -> None:
        assert why in reason(told)

    @pytest.mark.parametrize("path", ["/a b", "/a\nb", "/a\\b"])
    def test_paths_that_are_no_part_of_an_address(self, path: str) -> None:
        assert "path" in reason({}, path=path)

    def test_is_no_operation_whose_spare_parts_cannot_be_read(self) -> None:
        told = {
            "parameters": [{"name": "c", "in": "cookie"}],
            **json_body({"type": "object", "properties": {"a": TEXT, "b": {"$ref": "x.json"}}}),
            **answer({"$ref": "y.json"}),
        }
        assert {name: p.type for name, p in by_name(only(told)).items()} == {"a": "string", "b": "any"}

    def test_fragments_of_paths_are_not_sent(self) -> None:
        assert only({}, path="/files#add").path == "/files"
