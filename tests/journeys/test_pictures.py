"""Charts for the Prefect UI: which workflows, under which keys, as images that need no server."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from prefect_autopilot.journeys import observe
from prefect_autopilot.journeys.pictures import pictures
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


async def test_the_worst_workflows_have_a_picture_each(store: Store, now: datetime) -> None:
    await see(store, "good", "." * 40, now)
    await see(store, "bad", "." * 20 + "F" * 20, now)
    await see(store, "unknown", "..", now)
    scores = await observe.assess(store, now)
    drawn = await pictures(store, scores, now)
    assert [one.name for one in drawn] == ["bad", "good"]
    assert [one.name for one in await pictures(store, scores, now, most=1)] == ["bad"]
    kind, _, data = drawn[0].url.partition(",")
    assert kind == "data:image/svg+xml;base64"
    root = ET.fromstring(base64.b64decode(data))
    assert "40 runs, 20 failed" in (root.findtext("{http://www.w3.org/2000/svg}desc") or "")


async def test_a_workflow_keeps_its_key(store: Store, now: datetime) -> None:
    await see(store, "Größe/日本", "." * 40, now)
    scores = await observe.assess(store, now)
    first, second = [(await pictures(store, scores, now + timedelta(hours=n)))[0].key for n in (0, 9)]
    assert first == second
    assert first.replace("-", "").isalnum()
    assert first == first.lower()


async def test_without_runs_there_is_no_picture(store: Store, now: datetime) -> None:
    assert await pictures(store, (), now) == ()
