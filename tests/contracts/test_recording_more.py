"""What further sources add to a fixture stands in them, is added once, and leaves the rest as it was."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from recording_command import WrongPlanError
from recording_more import known, main, supplement

TODAY = "2026-11-22"
CODE = """\
const key = '/tasks';
headers['X-Version'] = '2026-01-01';
qs.cursor = answer.meta.next;
if (answer.headers.link) next();
request('GET', '/me');
const base = 'https://eu.example.com';
"""
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.0",
    "servers": [{"url": "https://api.example.com"}],
    "paths": {"/teams": {"get": {"operationId": "teams", "responses": {"200": {}}}}},
}
FIXTURE: dict[str, Any] = {
    "service": "tasks",
    "sources": [
        {
            "name": "npm:tasks",
            "version": "1",
            "file": "api.json",
            "sha256": "0" * 64,
            "recorded": "2026-01-01",
        }
    ],
    "servers": [{"url": "https://api.example.com", "source": 0, "at": "servers[0]"}],
    "auth": [{"type": "http", "scheme": "basic", "source": 0, "at": "basic"}],
    "operations": {
        "list_tasks": {
            "method": "GET",
            "path": "/tasks",
            "source": 0,
            "server": 0,
            "at": "listTasks",
            "parameters": [
                {"name": "X-Version", "in": "header", "required": True, "type": "string", "fixed": None}
            ],
            "body": {"content": [], "root": "none"},
            "responses": {"200": {"content": "application/json", "shape": {"type": "any"}}},
        }
    },
}
SOURCES = [
    {"name": "npm:more", "version": "2", "file": "code.js"},
    {"name": "npm:more", "version": "2", "file": "api.json"},
]


@pytest.fixture(name="roots")
def fixture_roots(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "code.js").write_text(CODE, "utf-8")
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT), "utf-8")
    return {"npm:more": tmp_path}


def added(roots: dict[str, Path], fixture: dict[str, Any] = FIXTURE, **plan: Any) -> dict[str, Any]:
    """Return the fixture with what a plan adds to it."""
    return supplement(copy.deepcopy(fixture), {"sources": SOURCES, **plan}, roots, TODAY)


def operation(roots: dict[str, Path], **asked: Any) -> dict[str, Any]:
    """Return the recorded list with what a plan adds to it."""
    told = added(roots, operations={"list_tasks": asked})["operations"]["list_tasks"]
    assert isinstance(told, dict)
    return told


def test_paging_is_added_with_the_place_it_was_read_from(roots: dict[str, Path]) -> None:
    paging = {"kind": "cursor", "request_param": "cursor", "response_field": "meta.next", "source": 0}
    told = operation(roots, paging=[{**paging, "literals": ["qs.cursor = answer.meta.next"]}])

    assert told["paging"] == [{**paging, "source": 1, "at": "code.js:3"}], (
        "its source is the fixture's second"
    )
    assert told["at"] == "listTasks"


def test_a_query_parameter_and_a_fixed_header_are_added_once(roots: dict[str, Path]) -> None:
    told = operation(roots, query={"cursor": "string"}, fixed={"X-Version": "2026-01-01"}, source=0)

    names = {one["name"]: one for one in told["parameters"]}
    assert len(names) == len(told["parameters"]) == 2
    assert names["X-Version"]["fixed"] == "2026-01-01", "the parameter there was got its value"
    assert (names["cursor"]["in"], names["cursor"]["required"]) == ("query", False)


def test_a_reason_for_repeating_is_added_with_its_place(roots: dict[str, Path]) -> None:
    told = operation(roots, repeatable={"why": "only reads", "source": 0, "literals": ["answer.headers"]})
    assert told["repeatable"] == {"why": "only reads", "source": 1, "at": "code.js:4"}


def test_an_object_around_a_list_is_added_once_with_its_place(roots: dict[str, Path]) -> None:
    plan = {"list_tasks": {"wrapped": {"field": "value", "source": 0, "literals": ["answer.headers"]}}}
    once = added(roots, operations=plan)
    told = once["operations"]["list_tasks"]
    assert told["wrapped"] == {"field": "value", "source": 1, "at": "code.js:4"}
    shape = {"type": "object", "properties": {"value": {"type": "any"}}}
    assert told["responses"]["200"]["shape"] == shape
    assert added(roots, once, operations=plan) == once


def test_an_operation_of_code_or_of_a_document_joins_those_there_are(roots: dict[str, Path]) -> None:
    fixture = added(
        roots,
        operations={
            "get_me": {"source": 0, "method": "GET", "path": "/me"},
            "list_teams": {"source": 1, "operation": "teams"},
        },
    )

    assert list(fixture["operations"]) == ["list_tasks", "get_me", "list_teams"]
    me, teams = fixture["operations"]["get_me"], fixture["operations"]["list_teams"]
    assert (me["path"], me["at"], me["source"]) == ("/me", "code.js:5", 1)
    assert (teams["path"], teams["source"], teams["server"]) == ("/teams", 2, 0)
    assert [one["file"] for one in fixture["sources"]] == ["api.json", "code.js", "api.json"]


def test_addresses_and_proofs_are_added_only_where_they_are_new(roots: dict[str, Path]) -> None:
    plan = {
        "servers": [{"url": "https://eu.example.com", "source": 0}],
        "auth": [{"type": "apiKey", "in": "header", "name": "X-Version", "literals": ["X-Version"]}],
    }
    once = added(roots, **plan)

    assert [one["url"] for one in once["servers"]] == ["https://api.example.com", "https://eu.example.com"]
    assert [one["at"] for one in once["auth"]] == ["basic", "code.js:2"]
    assert added(roots, once, **plan) == once, "what is there already is not added again"


@pytest.mark.parametrize(
    "asked",
    [
        {"paging": [{"kind": "link", "source": 0, "literals": ["rel=next"]}]},
        {"repeatable": {"why": "it says so", "source": 0, "literals": ["idempotent"]}},
        {"query": {"page": "integer"}, "source": 0},
        {"fixed": {"X-Version": "2020-01-01"}, "source": 0},
        {"fixed": {"X-Other": "2026-01-01"}, "source": 0},
        {"method": "GET", "path": "/elsewhere", "source": 0},
        {"paging": [{"kind": "link", "source": 0, "literals": ["headers.link"], "line": 40}]},
    ],
    ids=["paging", "reason", "parameter", "value", "header", "path", "line"],
)
def test_what_the_source_does_not_say_is_refused(asked: dict[str, Any], roots: dict[str, Path]) -> None:
    with pytest.raises(WrongPlanError):
        operation(roots, **asked)


def test_the_command_adds_to_the_fixture_there_is_and_starts_one_where_there_is_none(
    roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, plan = tmp_path / "into", tmp_path / "plan.toml"
    folder.mkdir()
    (folder / "tasks.json").write_text(json.dumps(FIXTURE), "utf-8")
    source = 'sources = [{ name = "npm:more", version = "2", file = "code.js" }]\n'
    link = 'paging = [{ kind = "link", source = 0, literals = ["answer.headers.link"] }]\n'
    plan.write_text(
        f"[tasks]\n{source}[tasks.operations.list_tasks]\n{link}"
        f'[new]\n{source}servers = [{{ url = "https://eu.example.com" }}]\n'
        f"[wrong]\n{source}[wrong.operations.list_tasks]\n{link}",
        "utf-8",
    )
    called = ["--plan", str(plan), "--into", str(folder), "--root", f"npm:more={roots['npm:more']}"]

    assert main(called) == 1, "a service without that operation cannot be added to"

    assert known("tasks", folder)["operations"]["list_tasks"]["paging"][0]["kind"] == "link"
    assert known("new", folder)["servers"][0]["url"] == "https://eu.example.com"
    assert not (folder / "wrong.json").exists()
    assert capsys.readouterr().err == "wrong: KeyError: 'list_tasks'\n"
    assert main([*called, "--only", "tasks"]) == 0
