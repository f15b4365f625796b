"""Evidence of one failed run: everything that can be read, and the name of everything that cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.evidence import LARGEST_SOURCE, read_evidence, read_source
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.models import Evidence, IssueCategory, JSONDict, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
STATE = {"id": "s1", "type": "FAILED", "name": "Failed", "timestamp": "2026-03-02T02:59:00Z"}
PATHS = {
    "states": "/flow_run_states/",
    "task runs": "/task_runs/filter",
    "logs": "/logs/filter",
    "deployment": "/deployments/d1",
    "recent runs": "/flow_runs/filter",
}
WORDS = {
    "states": "state history",
    "task runs": "task runs",
    "logs": "logs",
    "deployment": "deployment",
    "recent runs": "recent runs",
}


def run(**more: Any) -> RunRecord:
    fields = {"id": "r1", "deployment_id": "d1", "state": StateRecord.model_validate(STATE)}
    return RunRecord.model_validate(fields | more)


class Prefect:
    """Answers the five reads; a test replaces any of them."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        self.answers: dict[str, Any] = {
            PATHS["states"]: [STATE],
            PATHS["task runs"]: [{"id": "t1", "name": "load", "task_key": "load-1a2b"}],
            PATHS["logs"]: [{"timestamp": "2026-03-02T02:59:00Z", "level": 40, "message": "boom"}],
            PATHS["deployment"]: {"id": "d1", "path": str(folder), "entrypoint": "flows/orders.py:orders"},
            PATHS["recent runs"]: [
                {"id": name, "state": STATE, "state_type": "FAILED"} for name in ("r3", "r1", "r2")
            ],
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        self.paths.append(path)
        answer = self.answers.get(path, [])
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def prefect(tmp_path: Path) -> Prefect:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "orders.py").write_text("X = 1\n", encoding="utf-8")
    return Prefect(tmp_path)


@pytest.fixture
def read(prefect: Prefect) -> Callable[..., Any]:
    async def reading(**more: Any) -> Evidence:
        transport = httpx.MockTransport(prefect)
        async with PrefectAPI("http://prefect.test/api", transport=transport, tries=1) as api:
            return await read_evidence(api, run(**more), now=NOW)

    return reading


async def test_with_everything_there_nothing_is_missing(read: Any, tmp_path: Path) -> None:
    evidence = await read()
    assert evidence.missing == ()
    assert evidence.read_at == NOW
    assert [len(part) for part in (evidence.states, evidence.task_runs, evidence.logs)] == [1, 1, 1]
    assert evidence.source is not None
    assert evidence.source.path == str(tmp_path / "flows" / "orders.py")
    assert (evidence.source.entrypoint, evidence.source.text) == ("flows/orders.py:orders", "X = 1\n")


async def test_the_run_itself_is_not_among_its_recent_ones(read: Any) -> None:
    assert [other.id for other in (await read()).recent_runs] == ["r3", "r2"]


async def test_each_part_is_read_once(read: Any, prefect: Prefect) -> None:
    await read()
    assert sorted(set(prefect.paths)) == sorted(PATHS.values())
    assert len(prefect.paths) == len(PATHS)


@pytest.mark.parametrize("part", sorted(PATHS))
@pytest.mark.parametrize(
    ("status", "reason"), [(404, "deleted"), (500, "HTTP 500"), (422, "HTTP 422"), (503, "HTTP 503")]
)
async def test_a_part_that_fails_is_named_and_the_others_are_kept(
    read: Any, prefect: Prefect, part: str, status: int, reason: str
) -> None:
    prefect.answers[PATHS[part]] = httpx.Response(status, json={"detail": "no"})
    evidence = await read()
    assert any(told.startswith(f"{WORDS[part]} (") and reason in told for told in evidence.missing)
    kept = {
        "states": bool(evidence.states),
        "task runs": bool(evidence.task_runs),
        "logs": bool(evidence.logs),
        "deployment": evidence.source is not None,
        "recent runs": bool(evidence.recent_runs),
    }
    assert kept == {name: name != part for name in PATHS}


@pytest.mark.parametrize("part", [*sorted(PATHS), None])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_right_that_lacks_costs_one_part_and_only_a_server_that_refuses_all_is_an_error(
    read: Any, prefect: Prefect, part: str | None, status: int
) -> None:
    prefect.answers |= {
        path: httpx.Response(status) for name, path in PATHS.items() if part is None or name == part
    }
    if part is not None:
        right = f"(HTTP {status}: our credentials lack the right to read it)"
        assert f"{WORDS[part]} {right}" in (await read()).missing
        return
    with pytest.raises(PrefectError) as caught:
        await read()
    assert caught.value.permanent


@pytest.mark.parametrize("part", sorted(PATHS))
async def test_a_server_out_of_reach_is_no_missing_evidence(read: Any, prefect: Prefect, part: str) -> None:
    prefect.answers[PATHS[part]] = httpx.ConnectError("refused")
    with pytest.raises(PrefectError) as caught:
        await read()
    assert not caught.value.permanent


async def test_a_run_without_a_deployment_says_so_and_asks_for_none(read: Any, prefect: Prefect) -> None:
    evidence = await read(deployment_id=None)
    assert evidence.missing == ("deployment (the run has none)",)
    assert (evidence.source, evidence.recent_runs) == (None, ())
    assert PATHS["deployment"] not in prefect.paths
    assert PATHS["recent runs"] not in prefect.paths


async def test_a_run_that_shipped_no_logs_says_so(read: Any, prefect: Prefect) -> None:
    prefect.answers[PATHS["logs"]] = []
    assert (await read()).missing == ("log lines (none were shipped)",)


@pytest.mark.parametrize(
    ("length", "at", "calls"),
    [(199, 0, 1), (390, 100, 2), (1_500, 0, 3), (1_500, 700, 4), (50_000, 40_000, 4)],
)
async def test_of_a_long_log_its_errors_what_led_to_them_and_its_beginning_are_read(
    read: Any, prefect: Prefect, length: int, at: int, calls: int
) -> None:
    begun = NOW - timedelta(hours=1)
    log = [
        {
            "timestamp": (begun + timedelta(milliseconds=number)).isoformat(),
            "level": 20,
            "message": f"cleaned up {number}",
        }
        for number in range(length)
    ]
    log[at] |= {"level": 40, "message": "psycopg2.OperationalError: FATAL: too many connections for role"}
    log[-1] |= {"level": 40, "message": "RuntimeError: job aborted, see log"}

    def page(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        wanted, order = asked["logs"], asked["sort"] == "TIMESTAMP_DESC"
        until = wanted.get("timestamp", {}).get("before_", "9")
        least = wanted.get("level", {}).get("ge_", 0)
        found = [one for one in log if one["level"] >= least and one["timestamp"] <= until]
        return httpx.Response(200, json=(found[::-1] if order else found)[: asked["limit"]])

    prefect.answers[PATHS["logs"]] = page
    evidence = await read()
    messages = [record.message for record in evidence.logs]
    assert messages == [one["message"] for one in log if one["message"] in set(messages)], "in order, once"
    assert {log[0]["message"], log[at]["message"], log[-1]["message"]} <= set(messages)
    assert {one["message"] for one in log[max(0, at - 20) : at]} <= set(messages)
    told = "log lines between the first and the newest 200, but for the newest 200 errors"
    assert evidence.missing == ((told,) if length > 400 else ())
    assert len(messages) == length or length > 400
    assert prefect.paths.count(PATHS["logs"]) == calls
    aborted = evidence.run.state.model_copy(update={"message": "RuntimeError: job aborted, see log"})
    run_ = evidence.run.model_copy(update={"state": aborted})
    assert diagnose(evidence.model_copy(update={"run": run_})).category is IssueCategory.RESOURCE


async def test_logs_that_could_not_be_read_are_not_said_to_be_none(read: Any, prefect: Prefect) -> None:
    prefect.answers[PATHS["logs"]] = httpx.Response(500)
    (told,) = (await read()).missing
    assert told.startswith("logs (")


async def test_an_old_run_with_neither_states_nor_tasks_is_no_error(read: Any, prefect: Prefect) -> None:
    prefect.answers |= {PATHS["states"]: [], PATHS["task runs"]: []}
    evidence = await read()
    assert (evidence.states, evidence.task_runs, evidence.missing) == ((), (), ())


@pytest.mark.parametrize(
    "deployment",
    [
        {"entrypoint": "my_flows.orders.orders"},
        {"entrypoint": None},
        {"entrypoint": ""},
        {},
    ],
    ids=["a module", "null", "empty", "none"],
)
async def test_a_deployment_that_names_no_file_says_so(
    read: Any, prefect: Prefect, deployment: JSONDict
) -> None:
    prefect.answers[PATHS["deployment"]] = deployment
    evidence = await read()
    assert evidence.source is None
    assert evidence.missing == ("flow source (the deployment names a module, not a file)",)


@pytest.mark.parametrize(
    "deployment",
    [
        {"path": None, "entrypoint": "nowhere/orders.py:orders"},
        {"path": "/no/such/folder", "entrypoint": "orders.py:orders"},
        {"path": "s3://bucket/flows", "entrypoint": "orders.py:orders"},
    ],
    ids=["here", "another machine", "a bucket"],
)
async def test_a_file_that_is_not_on_this_machine_is_named(
    read: Any, prefect: Prefect, deployment: JSONDict
) -> None:
    prefect.answers[PATHS["deployment"]] = deployment
    evidence = await read()
    assert evidence.source is None
    (told,) = evidence.missing
    assert told.startswith("flow source (")
    assert "cannot be read here" in told
    assert "orders.py" in told


async def test_an_absolute_file_is_read_where_it_is(read: Any, prefect: Prefect, tmp_path: Path) -> None:
    path = tmp_path / "flows" / "orders.py"
    prefect.answers[PATHS["deployment"]] = {"path": "/opt/elsewhere", "entrypoint": f"{path}:orders"}
    source = (await read()).source
    assert source is not None
    assert source.path == str(path)


@pytest.mark.parametrize("text", ["", "x = 'ü'\n", "a\r\nb\r\n", "# no end"])
def test_a_source_is_read_as_its_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flow.py"
    path.write_bytes(text.encode())
    assert read_source(path).splitlines() == text.splitlines()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"x" * (LARGEST_SOURCE + 1), f"is larger than {LARGEST_SOURCE} bytes"),
        (None, "cannot be read here: No such file"),
    ],
    ids=["binary", "huge", "gone"],
)
def test_a_source_that_cannot_be_read_says_why_in_one_sentence(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "flow.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PrefectError, match=reason) as caught:
        read_source(path)
    assert caught.value.permanent
    assert "flow.py" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_source_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "flow.py"
    path.write_bytes(b"#" * LARGEST_SOURCE)
    assert len(read_source(path)) == LARGEST_SOURCE


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(PrefectError, match="cannot be read here"):
        read_source(tmp_path)
