"""From a document to a service that requests name, previews know and calls reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.catalogue import service_file, user_catalogue
from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.cli import main
from prefect_autopilot.errors import AutopilotError, ConflictError, UsageError
from prefect_autopilot.journeys.automate import build, understand
from prefect_autopilot.journeys.import_service import import_service
from prefect_autopilot.models import Operation
from prefect_autopilot.services import credential_names, load_catalogue, simulated_credentials
from prefect_autopilot.settings import Settings, load_settings

TEXT = {"type": "string"}
WIDGET = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": TEXT, "colour": {"type": "string", "enum": ["red", "blue"]}},
}


def sized(noun: str) -> dict[str, Any]:
    """Ten operations on one kind of thing."""
    body = {"required": True, "content": {"application/json": {"schema": WIDGET}}}
    form = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": WIDGET}}}
    rows = {"200": {"content": {"application/json": {"schema": {"type": "array", "items": WIDGET}}}}}
    page = [{"name": "page", "in": "query", "schema": {"type": "integer"}}]
    tags = [{"name": "tags", "in": "query", "explode": False, "schema": {"type": "array"}}]
    ok: dict[str, Any] = {"200": {"description": "ok"}}
    return {
        f"/{noun}s": {
            "get": {"parameters": page, "responses": rows},
            "post": {"requestBody": body, "responses": ok},
        },
        f"/{noun}s/{{id}}": {
            "get": {"responses": ok},
            "put": {"requestBody": body, "responses": ok},
            "patch": {"requestBody": body, "responses": ok},
            "delete": {"responses": ok},
        },
        f"/{noun}s/{{id}}/notes": {
            "get": {"parameters": tags, "responses": rows},
            "post": {"requestBody": form, "responses": ok},
        },
        f"/{noun}s/search": {"post": {"requestBody": body, "responses": ok}},
        f"/{noun}s/{{id}}/archive": {"post": {"responses": ok}},
    }


SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
}


def document(title: str = "Acme API", noun: str = "widget", sign_in: str = "bearer") -> dict[str, Any]:
    return {
        "openapi": "3.0.0",
        "info": {"title": title},
        "servers": [{"url": "https://api.acme.example/v1"}],
        "components": {"securitySchemes": {"s": SCHEMES[sign_in]}},
        "security": [{"s": []}],
        "paths": sized(noun),
    }


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    return load_settings()


def written(folder: Path, value: Any, name: str = "openapi.json") -> str:
    path = folder / name
    path.write_text(json.dumps(value), "utf-8")
    return str(path)


pytestmark = pytest.mark.anyio


async def test_a_document_becomes_a_service_of_the_catalogue(settings: Settings, tmp_path: Path) -> None:
    imported = await import_service(settings, written(tmp_path, document()))
    assert imported.path == service_file(settings, "acme")
    assert user_catalogue(settings).get("acme") == imported.report.service
    assert len(imported.report.service.operations) == 10


async def test_a_request_finds_the_service_and_its_operation(settings: Settings, tmp_path: Path) -> None:
    request = "When a new lead comes in from Typeform, create a widget in Acme"
    assert "acme" not in [one.service for one in understand(request).services]
    await import_service(settings, written(tmp_path, document()))
    analysis = understand(request)
    assert [(step.service, step.operation) for step in analysis.steps] == [("acme", "create_widget")]
    assert "create_widget" in build(analysis).source


@pytest.mark.parametrize("sign_in", list(SCHEMES))
async def test_ten_operations_of_a_service_reach_a_stub(
    settings: Settings, tmp_path: Path, sign_in: str
) -> None:
    doc = document(f"Shop {sign_in} API", "order", sign_in)
    service = (await import_service(settings, written(tmp_path, doc))).report.service
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[] if request.method == "GET" else {"ok": True})

    credentials = {name: SecretStr("k1") for name in credential_names(service)}
    async with ServiceClient(service, credentials, transport=httpx.MockTransport(answer)) as client:
        for operation in service.operations:
            await client.call(operation.id, sample(operation))
    assert len(seen) == len(service.operations) == 10
    for request, operation in zip(seen, service.operations, strict=True):
        assert request.method == operation.method
        assert request.url.host == "api.acme.example"
        assert request.url.path == "/v1" + operation.path.replace("{id}", "a/1")
        assert b"a%2F1" in request.url.raw_path or "{id}" not in operation.path
        assert proof(request) == {"bearer": "Bearer k1", "header": "k1", "query": "k1"}[sign_in]
        if operation.body == "json":
            assert json.loads(request.content) == {"name": "n", "colour": "red"}
        if operation.body == "form":
            assert request.content == b"name=n&colour=red"


def proof(request: httpx.Request) -> str | None:
    found = request.headers.get("Authorization") or request.headers.get("X-Key")
    return found or request.url.params.get("key")


def sample(operation: Operation) -> dict[str, Any]:
    values = {"id": "a/1", "name": "n", "colour": "red", "page": 2, "tags": ["x", "y"]}
    return {parameter.name: values[parameter.name] for parameter in operation.parameters}


async def test_the_simulator_stands_in_for_an_imported_service(settings: Settings, tmp_path: Path) -> None:
    await import_service(settings, written(tmp_path, document()))
    service = user_catalogue(settings).get("acme")
    credentials = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    simulator = Simulator(user_catalogue(settings))
    async with ServiceClient(
        service,
        credentials,
        base_url="http://simulated.example/acme",
        transport=httpx.ASGITransport(simulator),
    ) as client:
        await client.call("create_widget", {"name": "n", "colour": "red"})
        notes = next(one.id for one in service.operations if one.body == "form")
        await client.call(notes, {"id": "1", "name": "n"})
    assert [call.parameters for call in simulator.calls] == [
        {"name": "n", "colour": "red"},
        {"id": "1", "name": "n"},
    ]


async def test_an_id_of_the_catalogue_is_refused_with_a_proposal_and_nothing_is_asked(
    settings: Settings,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with pytest.raises(UsageError, match="--id slack_api"):
        await import_service(
            settings, "https://a.example/x", service_id="slack", transport=httpx.MockTransport(answer)
        )
    assert not settings.home.exists()


async def test_a_title_that_is_taken_is_refused_and_the_proposal_works(
    settings: Settings, tmp_path: Path
) -> None:
    source = written(tmp_path, document("Slack API"))
    with pytest.raises(UsageError, match="--id slack_api"):
        await import_service(settings, source)
    imported = await import_service(settings, source, service_id="slack_api")
    assert imported.report.service.name == "slack api"
    assert any("Slack is a service of the catalogue" in note for note in imported.report.notes)
    assert user_catalogue(settings).find("Slack") == load_catalogue().find("Slack")


async def test_a_second_import_keeps_the_first_unless_told(settings: Settings, tmp_path: Path) -> None:
    await import_service(settings, written(tmp_path, document()))
    other = written(tmp_path, document(noun="gadget"), "other.json")
    with pytest.raises(ConflictError, match="--replace"):
        await import_service(settings, other)
    assert user_catalogue(settings).get("acme").operation("create_widget") is not None
    await import_service(settings, other, may_replace=True)
    assert user_catalogue(settings).get("acme").operation("create_gadget") is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"info": {}}, "choose one with --id"),
        ({"info": {"title": "日本"}}, "choose one with --id"),
        ({"paths": {"/a": {"get": {"deprecated": True}}}}, "deprecated.*nothing was imported"),
        ({"paths": {}}, "no operations"),
        ({"openapi": "9"}, "version"),
    ],
    ids=["no title", "title", "all left out", "empty", "version"],
)
async def test_what_cannot_be_imported_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await import_service(settings, written(tmp_path, document() | change))
    assert not settings.home.exists()


@pytest.mark.parametrize("told", ["magic", "header:", "header:a b", "query", "bearer:x"])
async def test_a_sign_in_nobody_knows_is_refused(settings: Settings, tmp_path: Path, told: str) -> None:
    with pytest.raises(UsageError, match="header:NAME"):
        await import_service(settings, written(tmp_path, document()), sign_in=told)


@pytest.mark.parametrize(
    ("told", "scheme", "name"),
    [
        ("none", "none", "Authorization"),
        ("basic", "basic", "Authorization"),
        ("bearer", "bearer", "Authorization"),
        ("header:X-Own", "header", "X-Own"),
        ("query:k", "query", "k"),
    ],
)
async def test_a_sign_in_may_be_told(
    settings: Settings, tmp_path: Path, told: str, scheme: str, name: str
) -> None:
    imported = await import_service(settings, written(tmp_path, document()), sign_in=told)
    assert (imported.report.service.auth.scheme, imported.report.service.auth.name) == (scheme, name)


async def test_an_address_in_a_private_network_is_told_and_calls_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    doc = document() | {"servers": [{"url": "http://169.254.169.254/latest"}]}
    imported = await import_service(settings, written(tmp_path, doc))
    assert any("private network" in note for note in imported.report.notes)
    with pytest.raises(AutopilotError, match="private network"):
        ServiceClient(imported.report.service, {"token": SecretStr("t")})


class TestCommands:
    def test_import_list_show_and_remove(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = written(tmp_path, document())
        assert main(["services", "import", source]) == 0
        told = capsys.readouterr().out
        assert "10 operations imported" in told
        assert "services connect acme --credential token" in told
        assert main(["services", "list", "--search", "acme", "--json"]) == 0
        listed = {one["id"]: one["imported"] for one in json.loads(capsys.readouterr().out)}
        assert listed["acme"] is True
        assert main(["services", "show", "acme"]) == 0
        assert str(service_file(settings, "acme")) in capsys.readouterr().out.replace("\n", "")
        assert main(["services", "remove", "acme"]) == 0
        capsys.readouterr()
        assert main(["services", "show", "acme"]) == 1

    def test_import_tells_what_it_left_out(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        doc = document()
        doc["paths"]["/old"] = {"get": {"deprecated": True, "operationId": "old"}}
        assert main(["services", "import", written(tmp_path, doc), "--left-out"]) == 0
        assert "/old" in capsys.readouterr().out
        assert main(["services", "import", written(tmp_path, doc), "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["reasons"] == {"deprecated": 1}
        assert summary["file"] == str(service_file(settings, "acme"))

    @pytest.mark.parametrize(
        ("content", "code"), [("<html>", 2), ("", 2), ("{", 2), ('{"openapi": "3.0.0"}', 2)]
    )
    def test_import_of_something_else_is_one_sentence(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, code: int
    ) -> None:
        path = tmp_path / "x.json"
        path.write_text(content, "utf-8")
        assert main(["services", "import", str(path)]) == code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert not (settings.home / "services").exists()
