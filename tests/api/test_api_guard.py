"""Who may ask and how much: hosts, origins, sizes, headers, and where the API may listen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from prefect_autopilot.api import check_loopback
from prefect_autopilot.api.guard import MOST_BYTES, is_loopback
from prefect_autopilot.cli.operate import serve
from prefect_autopilot.errors import ConfigurationError

ANALYZE = "/workflows/enhanced/intelligence/analyze"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "localhost.", "::1", "[::1]"]
)
def test_names_of_this_machine_are_known(host: str) -> None:
    assert is_loopback(host)
    check_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "192.168.1.4",
        "10.0.0.1",
        "",
        "example.com",
        "127.0.0.1.example.com",
        "localhost.evil.test",
    ],
)
def test_the_api_refuses_to_listen_elsewhere(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no access token"):
        check_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4"])
def test_the_command_refuses_to_serve_elsewhere(
    host: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="this machine only"):
        serve(host=host, port=0)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "", "0.0.0.0"]
)
async def test_a_foreign_host_is_misdirected(api: httpx.AsyncClient, host: str) -> None:
    answer = await api.get("/healthz", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1", "[::1]:8642", "[::1]"])
async def test_a_loopback_host_is_answered(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/healthz", headers={"host": host})).status_code == 200


async def test_a_host_that_was_allowed_is_answered(start: Any) -> None:
    api = await start(hosts=("autopilot.internal",))
    assert (await api.get("/healthz", headers={"host": "autopilot.internal:80"})).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "https://localhost.evil.example"]
)
async def test_a_page_of_another_site_may_not_write(
    api: httpx.AsyncClient, session_id: str, origin: str
) -> None:
    path = f"/api/workflow-troubleshooting/sessions/{session_id}"
    assert (await api.delete(path, headers={"origin": origin})).status_code == 403
    assert (await api.post(f"{path}/diagnose", headers={"origin": origin})).status_code == 403
    assert (await api.get(path)).json()["current_step"] == "analysis"


async def test_a_page_of_this_machine_may_write(api: httpx.AsyncClient, session_id: str) -> None:
    path = f"/api/workflow-troubleshooting/sessions/{session_id}/diagnose"
    assert (await api.post(path, headers={"origin": "http://localhost:4200"})).status_code == 200


async def test_no_answer_invites_other_sites(api: httpx.AsyncClient) -> None:
    answer = await api.get("/healthz", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/metrics", "/openapi.json", "/docs"])
async def test_every_answer_carries_the_security_headers(api: httpx.AsyncClient, path: str) -> None:
    headers = (await api.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["api-version"] == "1"


async def test_a_body_as_large_as_allowed_is_read(api: httpx.AsyncClient) -> None:
    empty = len('{"user_input":""}')
    body = '{"user_input":"' + "x" * (MOST_BYTES - empty) + '"}'
    answer = await api.post(ANALYZE, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200


async def test_a_larger_body_is_refused_by_its_length(api: httpx.AsyncClient) -> None:
    answer = await api.post(ANALYZE, json={"user_input": "x" * MOST_BYTES})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_does_not_tell_its_length_is_cut_off(api: httpx.AsyncClient) -> None:
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 100_000
            yield b"x" * 100_000

    headers = {"content-type": "application/json"}
    answer = await api.post(ANALYZE, content=stream(), headers=headers)
    assert answer.status_code == 413
    assert sent < 2 * MOST_BYTES


async def test_text_is_not_taken_for_json(api: httpx.AsyncClient) -> None:
    body = '{"user_input": "hello"}'
    answer = await api.post(ANALYZE, content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 422
