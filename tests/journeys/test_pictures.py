"""Charts for the Prefect UI: which workflows, under which keys, as images that need no server."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.pictures import show_charts
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


async def see(store: Store, name: str, states: str, now: datetime) -> None:
    found = []
    for i, letter in enumerate(states):
        at = now - timedelta(hours=len(states) - i)
        kind = "FAILED" if letter == "F" else "COMPLETED"
        state = StateRecord(id=f"{name}{i}", type=kind, name=kind, timestamp=at)
        start = at - timedelta(seconds=60 + i % 5)
        found.append(
            RunRecord(id=f"{name}-{i}", flow_name=name, state=state, start=start, end=at, run_count=1)
        )
    await store.upsert_runs(found)


class Server:
    """Artifacts as the Prefect server keeps them: the newest of a key is found, and can be replaced."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.written: list[str] = []

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        if path == "/artifacts/latest/filter":
            wanted = body["artifacts"]["key"]["any_"]
            return [one | {"latest_id": one["key"]} for key, one in self.kept.items() if key in wanted]
        self.written.append(method)
        key = body.get("key") or path.removeprefix("/artifacts/")
        self.kept[key] = self.kept.get(key, {}) | body
        return {"id": key}

    def images(self, key: str) -> list[str]:
        coded = re.findall(r"\(data:image/svg\+xml;base64,([^)]+)\)", self.kept[key]["data"])
        return [
            ET.fromstring(base64.b64decode(one)).findtext("{http://www.w3.org/2000/svg}desc") or ""
            for one in coded
        ]


async def test_each_workflow_has_a_page_with_both_charts(store: Store, now: datetime) -> None:
    await see(store, "good", "." * 40, now)
    await see(store, "bad", "." * 20 + "F" * 20, now)
    await see(store, "unknown", "..", now)
    server = Server()
    keys = await show_charts(server, store, await observe.assess(store, now), now)
    assert [server.kept[key]["description"] for key in keys] == ["Runs of bad", "Runs of good"]
    durations, success = server.images(keys[0])
    assert durations.startswith("40 runs, 20 failed")
    assert success.startswith("0 % of the last 20 runs")
    assert await show_charts(server, store, await observe.assess(store, now), now, most=1) == keys[:1]


async def test_a_page_is_replaced_where_it_changed_and_keeps_its_key(store: Store, now: datetime) -> None:
    await see(store, "Größe/[日本](x)", "." * 40, now)
    scores, server = await observe.assess(store, now), Server()
    (key,) = await show_charts(server, store, scores, now)
    assert await show_charts(server, store, scores, now) == (key,)
    assert server.written == ["POST"], "the same page is not written twice"
    await see(store, "Größe/[日本](x)", "." * 39 + "F", now + timedelta(hours=1))
    assert await show_charts(server, store, scores, now + timedelta(hours=1)) == (key,)
    assert server.written == ["POST", "PATCH"]
    assert key == key.lower()
    assert key.replace("-", "").isalnum()
    assert "](x)" not in server.kept[key]["data"].partition("\n")[0].replace("\\]\\(", "")


async def test_without_runs_there_is_no_page(store: Store, now: datetime) -> None:
    assert await show_charts(Server(), store, (), now) == ()
