"""The parts of `up`: each ends with its block, none hides the error of another."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from prefect_autopilot.adapters.embedded import EmbeddedPrefect, free_port
from prefect_autopilot.deployments import up as module
from prefect_autopilot.deployments.up import prefect_client, serving, watching
from prefect_autopilot.errors import ConfigurationError, PrefectError, UsageError
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Scope, Store
from prefect_autopilot.watcher import Watcher


@pytest.fixture
def prefect(tmp_path: Path) -> EmbeddedPrefect:
    return EmbeddedPrefect("http://127.0.0.1:9/api", tmp_path / "prefect", {})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, api_port=free_port(), poll_interval_s=0.5)


@pytest.mark.parametrize("before", [None, "http://another.test/api"], ids=["unset", "set"])
def test_within_the_block_everybody_talks_to_our_server_and_afterwards_as_before(
    prefect: EmbeddedPrefect, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
    told = PREFECT_API_URL.value()
    with prefect_client(prefect):
        assert os.environ["PREFECT_API_URL"] == PREFECT_API_URL.value() == prefect.url
        assert os.environ["PREFECT_HOME"] == str(PREFECT_HOME.value()) == str(prefect.home)
    assert os.environ.get("PREFECT_API_URL") == os.environ.get("PREFECT_HOME") == before
    assert PREFECT_API_URL.value() == told


def test_the_environment_is_put_back_after_an_error_too(
    prefect: EmbeddedPrefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://another.test/api")
    with pytest.raises(ZeroDivisionError), prefect_client(prefect):
        raise ZeroDivisionError
    assert os.environ["PREFECT_API_URL"] == "http://another.test/api"


async def test_the_api_answers_within_the_block_and_not_after_it(settings: Settings) -> None:
    url = f"http://127.0.0.1:{settings.api_port}/openapi.json"
    async with httpx.AsyncClient() as http, serving(settings):
        assert (await http.get(url)).status_code == 200
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_with_a_token_made_nobody_is_answered_without_one(settings: Settings) -> None:
    url = f"http://127.0.0.1:{settings.api_port}/api/v1/workflows/health"
    async with Store.open(settings.store_url.get_secret_value()) as store:
        await store.create_token("ops", Scope.VIEWER, timedelta(days=1), datetime.now(UTC), actor="test")
    async with httpx.AsyncClient() as http, serving(settings):
        assert (await http.get(url)).status_code == 401


async def test_the_api_listens_on_the_address_of_the_settings_only(settings: Settings) -> None:
    async with serving(settings):
        with pytest.raises(OSError, match="refused"), socket.socket() as other:
            other.connect(("127.0.0.2", settings.api_port))


async def test_a_taken_port_is_told_in_one_sentence_and_does_not_end_the_process(settings: Settings) -> None:
    async def serve() -> None:
        async with serving(settings):
            pytest.fail("nobody can listen there")

    taken = socket.create_server(("127.0.0.1", settings.api_port))
    with taken, pytest.raises(ConfigurationError, match="set PREFECT_AUTOPILOT_API_PORT") as caught:
        await serve()
    assert f"127.0.0.1:{settings.api_port}" in caught.value.message


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What watcher and event stream did; neither calls a server."""
    done: list[str] = []

    async def tick(self: Watcher) -> int:
        done.append("tick")
        return 0

    async def listen(_target: Any, _hint: asyncio.Event) -> None:
        done.append("listening")
        try:
            await asyncio.Event().wait()
        finally:
            done.append("no longer listening")

    monkeypatch.setattr(Watcher, "tick", tick)
    monkeypatch.setattr(module, "listen", listen)
    return done


async def test_a_watcher_works_within_the_block_and_ends_with_it(
    settings: Settings, prefect: EmbeddedPrefect, watched: list[str]
) -> None:
    stopped = asyncio.Event()
    async with watching(settings, prefect, stopped) as watcher:
        async with asyncio.timeout(5):
            while "tick" not in watched or "listening" not in watched:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)
        assert watcher.desk.api.url == prefect.url
        assert not stopped.is_set()
    assert stopped.is_set()
    assert watched[-1] == "no longer listening"


async def test_the_watcher_is_as_the_settings_say(
    tmp_path: Path, prefect: EmbeddedPrefect, watched: list[str]
) -> None:
    settings = load_settings(home=tmp_path, poll_interval_s=3, lease_ttl_s=9, retention_days=5, mode="auto")
    async with watching(settings, prefect, asyncio.Event()) as watcher:
        assert (watcher.poll_interval_s, watcher.lease_ttl_s, watcher.retention_days) == (3, 9, 5)
        assert watcher.desk.policy.mode == "auto"


async def test_a_watcher_that_gives_up_stops_everything_and_its_error_is_told(
    settings: Settings, prefect: EmbeddedPrefect, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_self: Watcher) -> int:
        raise PrefectError("The Prefect API refused our credentials.", permanent=True, status=401)

    monkeypatch.setattr(Watcher, "tick", refused)
    stopped = asyncio.Event()

    async def until_stopped() -> None:
        async with watching(settings, prefect, stopped):
            await asyncio.wait_for(stopped.wait(), 20)

    with pytest.raises(PrefectError, match="credentials"):
        await until_stopped()


async def test_an_address_that_others_can_reach_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, api_host="0.0.0.0")
    told: list[str] = []
    with pytest.raises(ConfigurationError, match="this machine only"):
        await module.up(settings, tell=told.append)
    assert told == []


@pytest.mark.parametrize("which", ["prefect", "api"])
async def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path, which: str) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        settings = load_settings(home=tmp_path, api_port=port if which == "api" else free_port())
        with pytest.raises(UsageError, match=f"port {port}: .*; (choose|set) .*another") as caught:
            await module.up(settings, port=port if which == "prefect" else free_port(), tell=told.append)
    assert caught.value.exit_code == 2
    assert told == []
