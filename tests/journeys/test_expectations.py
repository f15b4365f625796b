"""A run of Prefect's that completed without the data its owner declared is not called resolved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from prefect_autopilot.journeys import resolve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import Expectation, RemedyPolicy, ResolutionStatus


class Server:
    def __init__(self, prefect: Any) -> None:
        self.prefect = prefect
        self.found: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/artifacts/filter"):
            self.asked.append(json.loads(request.content))
            return httpx.Response(200, json=self.found)
        answer: httpx.Response = self.prefect(request)
        return answer


@pytest.fixture
def server(prefect: Any) -> Server:
    return Server(prefect)


@pytest.fixture
def expecting(desk_over: Callable[..., Desk], server: Server) -> Callable[..., Desk]:
    def make(**expected: Any) -> Desk:
        told = {"match": ["orders/prod"]} | expected
        policy = RemedyPolicy.model_validate({"mode": "auto", "expectations": [told]})
        return desk_over(server, policy=policy)

    return make


async def resolved(desk: Desk, prefect: Any, before_the_look: Callable[[datetime], None]) -> Any:
    prefect.fail("run-1")
    session = await resolve.take_up(desk, await desk.api.run("run-1"))
    assert session is not None
    desk.clock.forward(5)  # type: ignore[attr-defined]
    session = await resolve.advance(desk, session.session_id)
    applied = session.attempts[0].applied_at
    assert applied is not None
    prefect.finish("run-1")
    before_the_look(applied)
    desk.clock.forward(600)  # type: ignore[attr-defined]
    return await resolve.advance(desk, session.session_id)


def written(path: Path, text: str, at: datetime) -> None:
    path.write_text(text)
    os.utime(path, (at.timestamp(),) * 2)


@pytest.mark.parametrize(
    ("text", "after_s", "least", "good"),
    [
        ("42", 5, 1, True),
        ("42", 0, 2, True),
        ("", 5, 1, False),
        ("42", 5, 3, False),
        ("42", -60, 1, False),
        (None, 0, 1, False),
    ],
    ids=["anew", "same moment", "empty", "too small", "of before", "missing"],
)
async def test_a_file_must_be_written_anew(
    expecting: Any, prefect: Any, tmp_path: Path, text: str | None, after_s: float, least: int, *, good: bool
) -> None:
    path = tmp_path / "out.json"
    desk = expecting(file=str(path), min_bytes=least)

    def leave(applied: datetime) -> None:
        if text is not None:
            written(path, text, applied + timedelta(seconds=after_s))

    session = await resolved(desk, prefect, leave)
    wanted = ResolutionStatus.AUTO_RESOLVED if good else ResolutionStatus.ESCALATED
    assert session.resolution_status is wanted
    verification = session.attempts[-1].verification
    assert verification.outcome == ("verified" if good else "unverified")
    assert any(one.subject == str(path) and one.ok is good for one in verification.observations)
    assert (str(path) in verification.reason) is not good


@pytest.mark.parametrize(
    ("data", "rows", "good"),
    [
        ([{"a": 1}, {"a": 2}], 2, True),
        ('[{"a": 1}, {"a": 2}]', 2, True),
        ({"a": [1, 2], "b": [3, 4]}, 2, True),
        ([{"a": 1}], 2, False),
        ([], 1, False),
        ("text", 1, False),
        (None, 1, False),
        ([], 0, True),
        ("text", None, True),
    ],
)
async def test_an_artifact_must_be_attached_with_enough_rows(
    expecting: Any, server: Server, prefect: Any, data: Any, rows: int | None, *, good: bool
) -> None:
    desk = expecting(artifact="orders-table", min_rows=rows)

    def leave(applied: datetime) -> None:
        server.found = [{"created": (applied + timedelta(seconds=5)).isoformat(), "data": data}]

    session = await resolved(desk, prefect, leave)
    assert (session.resolution_status is ResolutionStatus.AUTO_RESOLVED) is good
    wanted = server.asked[0]["artifacts"]
    assert wanted == {"key": {"any_": ["orders-table"]}, "flow_run_id": {"any_": ["run-1"]}}


@pytest.mark.parametrize("age_s", [None, -60], ids=["none", "of before the remedy"])
async def test_an_old_artifact_shows_nothing(
    expecting: Any, server: Server, prefect: Any, age_s: float | None
) -> None:
    def leave(applied: datetime) -> None:
        if age_s is not None:
            made = (applied + timedelta(seconds=age_s)).isoformat()
            server.found = [{"created": made, "data": [{"a": 1}]}]

    session = await resolved(expecting(artifact="orders-table"), prefect, leave)
    assert session.resolution_status is ResolutionStatus.ESCALATED


async def test_what_is_expected_of_others_is_not_asked_of_this_run(
    expecting: Any, server: Server, prefect: Any
) -> None:
    session = await resolved(expecting(match=["payroll"], artifact="x"), prefect, lambda _at: None)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    assert server.asked == []


@pytest.mark.parametrize(
    "told",
    [
        {"match": ["x"]},
        {"match": [], "file": "/a/b"},
        {"match": ["x"], "file": "relative"},
        {"match": ["x"], "file": "/a/../b"},
        {"match": ["x"], "file": "/a/b", "min_rows": 1},
        {"match": ["x"], "artifact": "a", "min_rows": -1},
        {"match": ["x"], "artifact": "a", "min_row": 1},
    ],
)
def test_an_expectation_that_says_nothing_or_too_much_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Expectation.model_validate(told)
