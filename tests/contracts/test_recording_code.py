"""What is recorded from code stands in the code: a plan that invents a line is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from recording_code import blanked, main, record
from recording_command import WrongPlanError

TODAY = "2026-11-22"
REQUEST = """\
async function call(method, resource, body, query) {
    const endpoint = 'example.com/api/v2';
    const options = {
        headers: { Authorization: `Token ${key}`, 'X-Account': account },
        uri: `https://${credentials.domain}.${endpoint}${resource}`,
    };
    query.cursor = responseData.meta.next_cursor;
    rows.push(...responseData.items);
    if (responseData.headers.link) {}
}
"""
NODE = """\
body.title = this.getNodeParameter('title', i);
body.owner = { id: this.getNodeParameter('owner', i) };
await call.call(this, 'POST', `/lists/${listId}/tasks`, body);
await call.call(this, 'GET', '/tasks', {}, qs);
const paths = '/tasks/%s';
"""
PLAN: dict[str, Any] = {
    "name": "npm:tasks",
    "version": "1.0.0",
    "files": ["call.js", "node.js"],
    "servers": [
        {
            "url": "https://{account}.example.com/api/v2",
            "code": [
                "0:5 https://${credentials.domain}.${endpoint}${resource}",
                "0:2 endpoint := example.com/api/v2",
            ],
        }
    ],
    "auth": [
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "prefix": "Token ",
            "code": ["0:4 Authorization: `Token ${key}`"],
        }
    ],
    "operations": {
        "create_task": {
            "method": "POST",
            "path": "/lists/{list_id}/tasks",
            "code": ["1:3 /lists/${listId}/tasks"],
            "verb": "1:3 'POST'",
            "header": ["X-Account string 0:4 required"],
            "content": "application/json",
            "body": ["title string 1:1 required", "owner>id integer 1:2"],
        },
        "list_tasks": {
            "method": "GET",
            "path": "/tasks",
            "code": ["1:4 /tasks"],
            "verb": "1:4 'GET'",
            "query": ["cursor string 0:7"],
            "answer": ["items array 0:8", "meta>next_cursor string 0:7"],
            "answer_headers": ["link 0:9"],
        },
    },
}


@pytest.fixture(name="roots")
def fixture_roots(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "call.js").write_text(REQUEST, "utf-8")
    (tmp_path / "node.js").write_text(NODE, "utf-8")
    return {"npm:tasks": tmp_path}


def changed(place: str, value: object) -> dict[str, Any]:
    """Return the plan with another value at a dotted place."""
    plan = copy.deepcopy(PLAN)
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    spot: Any = plan
    for step in steps:
        spot = spot[step]
    spot[last] = value
    return plan


def test_what_stands_in_the_code_is_recorded_with_its_file_and_line(roots: dict[str, Path]) -> None:
    fixture = record("tasks", PLAN, roots, TODAY)

    assert fixture["servers"] == [
        {"url": "https://{account}.example.com/api/v2", "source": 0, "at": "call.js:5, call.js:2"}
    ]
    assert fixture["auth"][0]["at"] == "call.js:4"
    assert "code" not in fixture["auth"][0]
    task = fixture["operations"]["create_task"]
    assert (task["method"], task["path"], task["at"]) == ("POST", "/lists/{list_id}/tasks", "node.js:3")
    assert [(one["name"], one["in"], one["required"]) for one in task["parameters"]] == [
        ("list_id", "path", True),
        ("X-Account", "header", True),
    ]
    assert task["body"]["required"] == ["title"]
    assert task["body"]["properties"]["owner"]["properties"] == {"id": {"type": "integer"}}
    assert task["body"]["open"], "code does not list every field"
    answer = fixture["operations"]["list_tasks"]["responses"]["200"]
    assert answer["headers"] == ["link"]
    assert answer["shape"]["properties"]["items"] == {"type": "array", "items": {"type": "any"}}
    assert "next_cursor" in answer["shape"]["properties"]["meta"]["properties"]


def test_an_answer_that_is_the_list_itself_is_a_list(roots: dict[str, Path]) -> None:
    fixture = record("tasks", changed("operations.list_tasks.answer", ["$ array 0:8"]), roots, TODAY)

    assert fixture["operations"]["list_tasks"]["responses"]["200"]["shape"]["type"] == "array"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("servers.0.url", "https://{account}.example.com/api/v3", id="another version"),
        pytest.param("servers.0.url", "https://example.com/api/v2", id="a host without its slot"),
        pytest.param("servers.0.code.1", "0:2 endpoint := example.com/api", id="half of the address"),
        pytest.param("servers.0.code.1", "0:5 endpoint := example.com/api/v2", id="another line"),
        pytest.param("servers.0.code.1", "0:2 elsewhere := example.com/api/v2", id="a name nobody fills"),
        pytest.param("auth.0.name", "X-Api-Key", id="another header"),
        pytest.param("auth.0.prefix", "Bearer ", id="another word before the key"),
        pytest.param("auth.0.code.0", "0:4 Authorization: `Bearer ${key}`", id="a literal that is not there"),
        pytest.param("auth.0", {"type": "http", "scheme": "bearer", "code": ["0:4 Token"]}, id="no bearer"),
        pytest.param("auth.0", {"type": "http", "scheme": "basic", "code": ["0:2 api/v2"]}, id="no pair"),
        pytest.param(
            "auth.0",
            {
                "type": "http",
                "scheme": "basic",
                "password": "",
                "code": ["0:4 Authorization: `Token ${key}`"],
            },
            id="a half nobody leaves empty",
        ),
        pytest.param("operations.list_tasks.answer", ["items array=ok 0:8"], id="a value that is not there"),
        pytest.param(
            "auth.0",
            {"type": "oauth2", "token_url": "https://example.com/token", "code": ["0:2 example.com"]},
            id="a token address that is not there",
        ),
        pytest.param("operations.list_tasks.path", "/things", id="another path"),
        pytest.param("operations.list_tasks.method", "DELETE", id="another method"),
        pytest.param("operations.list_tasks.verb", "1:3 'GET'", id="the method of another call"),
        pytest.param("operations.list_tasks.query", ["page integer 0:7"], id="a query field nobody sets"),
        pytest.param("operations.list_tasks.query", ["curs string 0:7"], id="half of a name"),
        pytest.param("operations.list_tasks.answer", ["things array 0:8"], id="an answer nobody reads"),
        pytest.param("operations.list_tasks.answer", ["$ array 0:99"], id="a line after the last"),
        pytest.param("operations.list_tasks.answer_headers", ["etag 0:9"], id="a header nobody reads"),
        pytest.param("operations.create_task.header", ["X-Other string 0:4"], id="a header nobody sends"),
        pytest.param("operations.create_task.body", ["name string 1:1"], id="a body field nobody sets"),
        pytest.param("operations.create_task.body", ["title string 1:2"], id="a field of another line"),
    ],
)
def test_what_the_code_does_not_say_is_refused(place: str, value: object, roots: dict[str, Path]) -> None:
    record("tasks", PLAN, roots, TODAY)

    with pytest.raises(WrongPlanError):
        record("tasks", changed(place, value), roots, TODAY)


@pytest.mark.parametrize(
    ("half", "code"),
    [
        ("username", "Basic ${btoa(`:${apiKey}`)}"),
        ("username", "Basic ${btoa(':' + apiKey)}"),
        ("password", "Basic ${btoa(`${apiKey}:`)}"),
        ("password", "user: apiKey, pass: ''"),
    ],
    ids=["before the key", "added before it", "after the key", "a field of its own"],
)
def test_an_empty_half_of_a_pair_is_recorded_where_the_code_shows_it(
    half: str, code: str, roots: dict[str, Path]
) -> None:
    (roots["npm:tasks"] / "pair.js").write_text(code + "\n", "utf-8")
    told = {"type": "http", "scheme": "basic", half: "", "code": [f"2:1 {code}"]}
    plan = changed("auth.0", told) | {"files": ["call.js", "node.js", "pair.js"]}

    assert record("tasks", plan, roots, TODAY)["auth"][0][half] == ""

    other = {"username": "password", "password": "username"}[half]
    swapped = {key: value for key, value in told.items() if key != half} | {other: ""}
    with pytest.raises(WrongPlanError):
        record("tasks", plan | {"auth": [swapped]}, roots, TODAY)


def test_a_value_that_never_changes_is_recorded_with_it(roots: dict[str, Path]) -> None:
    (roots["npm:tasks"] / "said.js").write_text("if (answer.stat !== 'ok') throw 1;\n", "utf-8")
    plan = changed("operations.list_tasks.answer", ["stat string=ok 2:1"])
    plan["files"] = ["call.js", "node.js", "said.js"]

    shape = record("tasks", plan, roots, TODAY)["operations"]["list_tasks"]["responses"]["200"]["shape"]
    assert shape["properties"]["stat"] == {"type": "string", "value": "ok"}


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("={{$credentials.url}}/api", "{}/api"),
        ("https://${credentials.domain}/x/${id}", "{}/x/{}"),
        ("${ssl ? 'https' : 'http'}://${host}/api", "{}/api"),
        ("/a/${format({ id })}/b", "/a/{}/b"),
        ("/a/%s/b", "/a/{}/b"),
        ("https://example.com/a", "https://example.com/a"),
    ],
    ids=["credential", "host", "scheme chosen", "call in a slot", "percent", "nothing to fill"],
)
def test_what_is_filled_in_is_blanked(text: str, blank: str) -> None:
    assert blanked(text) == blank


def test_a_file_of_another_package_is_named_with_its_version(roots: dict[str, Path], tmp_path: Path) -> None:
    plan = changed("files", ["call.js", "pypi:other@2.0//node.js"])

    fixture = record("tasks", plan, {**roots, "pypi:other": tmp_path}, TODAY)

    assert [(one["name"], one["version"]) for one in fixture["sources"]] == [
        ("npm:tasks", "1.0.0"),
        ("pypi:other", "2.0"),
    ]


def test_the_command_writes_what_is_proved_and_says_what_is_not(
    roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.toml"
    wrong = "[wrong]\nname = 'npm:tasks'\nversion = '1'\nfiles = ['call.js']\nauth = []\noperations = {}\n"
    plan.write_text(
        f"{wrong}servers = [{{ url = 'https://x.org', code = ['0:1 nothing'] }}]\n"
        + wrong.replace("wrong", "right")
        + "servers = [{ url = 'example.com/api/v2', code = ['0:2 example.com/api/v2'] }]\n",
        "utf-8",
    )
    into = tmp_path / "into"
    into.mkdir()

    status = main(["--plan", str(plan), "--root", f"npm:tasks={roots['npm:tasks']}", "--into", str(into)])

    assert status == 1
    assert [file.name for file in into.iterdir()] == ["right.json"]
    assert json.loads((into / "right.json").read_text("utf-8"))["service"] == "right"
    assert capsys.readouterr().err.startswith("wrong: WrongPlanError: 'nothing' does not stand in call.js:1")
