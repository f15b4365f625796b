"""Whatever is sent, the API answers with a status below 500 and changes nothing it was not asked to."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_autopilot.api.bodies import DEEPEST, sound
from prefect_autopilot.api.routes import routes

NOBODY = "00000000-0000-4000-8000-000000000000"
POSTS = [route.path.replace("{session_id}", NOBODY) for route in routes() if route.method == "POST"]
JSON_TYPE = {"content-type": "application/json"}


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


HOSTILE: dict[str, str] = {
    "nothing": "",
    "no JSON": "{",
    "null": "null",
    "a list": "[]",
    "a number": "1",
    "a text": '"user_input"',
    "very deep": nested(100_000),
    "deep objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "deep below recursion": '{"user_input":"x","context":' + nested(300) + "}",
    "NaN": '{"workflow_id":"a","metrics":{"x":NaN},"threshold":NaN}',
    "infinite": '{"workflow_id":"a","metrics":{"x":1e999},"threshold":1e999}',
    "huge integer": '{"workflow_id":"a","threshold":' + "9" * 4000 + "}",
    "integer beyond Python's limit": '{"threshold":' + "9" * 6000 + "}",
    "lone surrogate": '{"user_input":"\\ud800","workflow_id":"\\udfff","service":"\\ud800","action":"x"}',
    "surrogate as key": '{"workflow_id":"a","metrics":{"\\ud800":1},"additional_context":{"\\ud800":1}}',
    "NUL": '{"user_input":"a\\u0000b","workflow_id":"a\\u0000b","error_logs":["\\u0000"]}',
    "wrong types": '{"user_input":{},"workflow_id":[],"error_logs":{},"issues":1,"metrics":[],"workflow":3}',
    "null fields": '{"user_input":null,"workflow_id":null,"workflow":null,"service":null,"rule":null}',
    "twice the same key": '{"workflow_id":"a","workflow_id":{"b":1},"user_input":1,"user_input":2}',
    "markup": '{"user_input":"<script>alert(1)</script>","workflow_id":"<b>","error_logs":["<img src=x>"]}',
    "escape codes": '{"workflow_id":"a","error_logs":["\\u001b]0;owned\\u0007\\u001b[31m401 Unauthorized"]}',
    "a template": '{"user_input":"{{ 7*7 }} ${jndi:ldap://x}","workflow_id":"{{ x }}","error_logs":["%s%n"]}',
    "a path": '{"workflow":{"file":"../../etc/passwd","source":"x"},"workflow_id":"../../etc/passwd"}',
    "SQL": '{"workflow_id":"a\\u0027; DROP TABLE autopilot_sessions; --"}',
    "no UTF-8": "\udcff\udcfe",
}  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
async def test_no_hostile_body_is_a_server_error(api: httpx.AsyncClient, path: str) -> None:
    for name, text in HOSTILE.items():
        content = text.encode("utf-8", "surrogateescape")
        answer = await api.post(path, content=content, headers=JSON_TYPE)
        assert answer.status_code < 500, f"{name}: {answer.text}"
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", name
            assert "Traceback" not in answer.text


HOSTILE_QUERIES = ["", "%00", "%ED%A0%80", "a" * 5000, "%27%20OR%201=1", "../..", "%7B%7B7*7%7D%7D"]


@pytest.mark.parametrize("value", HOSTILE_QUERIES)
@pytest.mark.parametrize(
    "path",
    [
        "/workflows/enhanced/monitoring/health?workflow_id={}",
        "/workflows/enhanced/monitoring/metrics?workflow_id=a&metric_type={}",
        "/workflows/enhanced/monitoring/alerts?workflow_id={}",
        "/api/workflow-troubleshooting/sessions?workflow_id={}",
        "/api/workflow-troubleshooting/sessions?limit={}&offset={}",
        "/api/workflow-troubleshooting/sessions/{}",
        "/api/workflow-troubleshooting/workflows/{}/health",
    ],
)
async def test_no_hostile_address_is_a_server_error(api: httpx.AsyncClient, path: str, value: str) -> None:
    answer = await api.get(path.replace("{}", value))
    assert answer.status_code < 500, answer.text


async def test_a_rule_that_could_not_be_read_again_is_never_stored(api: httpx.AsyncClient) -> None:
    path = "/workflows/enhanced/monitoring/alerts"
    body = '{"workflow_id":"a","metric_name":"error_rate","condition":"equal","threshold":1e999}'
    assert (await api.post(path, content=body, headers=JSON_TYPE)).status_code == 422
    assert (await api.get(path)).json()["rules"] == []


async def test_sql_in_a_name_is_only_a_name(api: httpx.AsyncClient) -> None:
    name = "a'; DROP TABLE autopilot_sessions; --"
    path = "/api/workflow-troubleshooting/sessions"
    await api.post(path, json={"workflow_id": name})
    found = (await api.get(path, params={"workflow_id": name})).json()["sessions"]
    assert [one["workflow_id"] for one in found] == [name]


async def test_many_long_logs_are_read_in_time(api: httpx.AsyncClient) -> None:
    body = {
        "workflow_id": "a",
        "error_logs": [f"ValueError: {number} " + "x" * 500 for number in range(999)],
    }
    answer = await api.post("/api/workflow-troubleshooting/sessions", json=body)
    assert answer.status_code == 200


async def test_more_logs_than_allowed_are_refused(api: httpx.AsyncClient) -> None:
    body = {"workflow_id": "a", "error_logs": ["x"] * 1001}
    answer = await api.post("/api/workflow-troubleshooting/sessions", json=body)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("inf"), "finite"),
        ({"a": [float("nan")]}, "finite"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (json.loads(nested(DEEPEST + 2)), "deeper"),
    ],
    ids=["infinite", "not a number", "large", "small", "deep"],
)
def test_an_unsound_value_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sound(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_a_sound_value_can_be_stored_and_answered_and_is_sound_again(value: Any) -> None:
    try:
        once = sound(value)
    except ValueError:
        return
    json.dumps(once, allow_nan=False).encode("utf-8")
    assert sound(once) == once


@given(body=st.dictionaries(st.sampled_from(
    ["user_input", "workflow_id", "error_logs", "issues", "metrics", "workflow", "service", "action",
     "parameters", "context", "strategy", "threshold", "condition", "metric_name", "optimizations"]
), JSON, max_size=6), path=st.sampled_from(POSTS))  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_random_body_is_a_server_error(
    api: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    answer = await api.post(
        path, json=json.loads(json.dumps(body, allow_nan=True)) if sound_enough(body) else {}
    )
    assert answer.status_code < 500, answer.text


def sound_enough(body: Any) -> bool:
    try:
        json.dumps(body, allow_nan=False).encode("utf-8")
    except ValueError:
        return False
    return True
