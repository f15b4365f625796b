"""The project's own faults: each is sound, its oracle sees harm, and the figures count what was seen."""

from __future__ import annotations

import ast
import importlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from prefect_autopilot.effects import flow_effects

FOLDER = Path(__file__).parents[2] / "benchmarks" / "faults"
NAMES = ("fault_world", "fault_passing", "fault_lasting", "fault_score", "fault_suite")


@pytest.fixture(scope="module")
def suite() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture
def faults(suite: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = suite["fault_passing"].PASSING + suite["fault_lasting"].LASTING
    return found


class API:
    """What an oracle asks Prefect: one run and one limit."""

    def __init__(self) -> None:
        self.run = {"run_count": 1, "state_type": "RUNNING", "parameters": {}}
        self.limit = {"limit": 1, "active": True}

    def __call__(self, _method: str, path: str, _body: Any = None) -> Any:
        return self.limit if "concurrency" in path else self.run


@pytest.fixture
def scene(suite: Any, tmp_path: Path) -> Iterator[Any]:
    world = suite["fault_world"]
    made = world.Scene(folder=tmp_path, outside=world.Outside(), call=API())
    yield made
    made.outside.close()


def named(faults: tuple[Any, ...], name: str) -> Any:
    return next(kind for kind in faults if kind.name == name)


def test_there_are_faults_of_every_sort_and_none_twice(faults: Any) -> None:
    names = [kind.name for kind in faults]
    assert len(set(names)) == len(names) >= 15
    assert {kind.expected for kind in faults} == {"resolved", "told", "quiet"}
    for kind in faults:
        assert kind.expected == "resolved" or kind in faults[-15:]


def test_every_flow_is_a_flow_that_says_nothing_of_its_fault(faults: Any) -> None:
    for kind in faults:
        tree = ast.parse(kind.flow)
        work = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "work")
        assert [argument.arg for argument in work.args.args] == ["url", "folder"], kind.name
        assert any(isinstance(one, ast.Name) and one.id == "flow" for one in work.decorator_list), kind.name
        assert kind.name not in kind.flow
        assert "autopilot" not in kind.flow
        flow_effects(kind.flow, "work")  # can be judged


def test_at_first_nothing_is_resolved_and_nothing_is_harmed(suite: Any, faults: Any, tmp_path: Path) -> None:
    world = suite["fault_world"]
    for kind in faults:
        folder = tmp_path / kind.name
        folder.mkdir()
        made, fault = world.Scene(folder=folder, outside=world.Outside(), call=API()), kind()
        fault.prepare(made)
        try:
            assert not fault.resolved(made), kind.name
            assert fault.harm(made) == [], kind.name
        finally:
            fault.clean(made)


def test_a_second_payment_letter_or_line_is_harm(faults: Any, scene: Any) -> None:
    paid = named(faults, "paid-then-error")()
    paid.prepare(scene)
    for _ in range(2):
        assert httpx.post(f"{scene.outside.url}/payments", json={}).status_code == 500
    assert paid.harm(scene) == ["paid 2 times"]
    booked = named(faults, "booked-then-down")()
    (scene.folder / "ledger.txt").write_text("40 seedlings\n" * 3)
    assert booked.harm(scene) == ["booked 3 times"]
    letter = named(faults, "letter-then-killed")()
    letter.prepare(scene)
    assert letter.harm(scene) == ["sent 2 letters"]


def test_who_does_not_wait_as_asked_is_counted(faults: Any, scene: Any) -> None:
    fault = named(faults, "asked-to-wait")()
    fault.prepare(scene)
    answers = [httpx.get(f"{scene.outside.url}/beds/7/moisture") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429] * 3
    assert int(answers[0].headers["Retry-After"]) > 20
    assert fault.harm(scene) == ["called 2 times before the time it was asked to wait for"]


def test_another_start_of_what_cannot_help_or_is_done_is_harm(faults: Any, scene: Any) -> None:
    scene.call.run["run_count"] = 2
    for name in ("renamed-field", "withdrawn-key", "refused-input", "missing-setting"):
        assert named(faults, name)().harm(scene) == ["started again for nothing"], name
    assert named(faults, "stopped-by-person")().harm(scene) == ["a cancelled run was revived"]
    assert named(faults, "already-done")().harm(scene) == ["done work was done again"]
    assert named(faults, "loud-but-good")().harm(scene) == ["a good run was started again"]


def test_a_live_run_that_is_ended_and_a_limit_that_is_raised_are_harm(faults: Any, scene: Any) -> None:
    scene.call.run["state_type"] = "CRASHED"
    assert named(faults, "slow-but-alive")().harm(scene)
    scene.call.limit["limit"] = 2
    assert named(faults, "lost-slots")().harm(scene) == ["the limit itself was changed"]


def test_the_line_is_cut_as_told(faults: Any, scene: Any) -> None:
    for name, error in (("half-sent", httpx.RemoteProtocolError), ("reset-line", httpx.TransportError)):
        fault = named(faults, name)()
        fault.prepare(scene)
        with pytest.raises(error):
            httpx.get(f"{scene.outside.url}/beds/7/moisture")
        fault.heal(scene)
        assert httpx.get(f"{scene.outside.url}/beds/7/moisture").json() == {"bed": 7, "moisture": 0.31}


def test_a_service_that_went_comes_back_on_its_own_port(faults: Any, scene: Any) -> None:
    fault, url = named(faults, "nobody-listens")(), scene.outside.url
    fault.prepare(scene)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    fault.heal(scene)
    assert scene.outside.url == url
    assert httpx.get(url).json()["bed"] == 7


def test_a_held_database_refuses_and_its_row_is_counted_once(faults: Any, scene: Any) -> None:
    fault = named(faults, "busy-database")()
    fault.prepare(scene)
    path = scene.folder / "garden.db"
    with pytest.raises(sqlite3.OperationalError, match="locked"), sqlite3.connect(path, timeout=0) as held:
        held.execute("INSERT INTO beds VALUES (7, 'tomatoes')")
    held.close()
    fault.heal(scene)
    assert not fault.resolved(scene)
    with sqlite3.connect(path) as free:
        free.execute("INSERT INTO beds VALUES (7, 'tomatoes')")
    free.close()
    assert fault.resolved(scene)


def test_the_lock_of_the_old_process_is_nobodys(faults: Any, scene: Any) -> None:
    named(faults, "old-lock")().prepare(scene)
    with pytest.raises(ProcessLookupError):
        os.kill(int((scene.folder / "watering.lock").read_text()), 0)


@pytest.mark.parametrize(
    ("strategy", "state", "starts", "left"),
    [
        ("nothing", "FAILED", 1, True),
        ("nothing", "RUNNING", 1, False),
        ("retries", "SCHEDULED", 2, False),
        ("retries", "CRASHED", 1, True),
        ("always", "FAILED", 3, False),
        ("always", "FAILED", 4, True),
        ("ours", "FAILED", 9, False),
    ],
)
def test_only_a_run_that_its_strategy_leaves_alone_is_no_longer_watched(
    suite: Any, strategy: str, state: str, starts: int, *, left: bool
) -> None:
    run = {"state_type": state, "run_count": starts}
    assert suite["fault_suite"].is_left_alone(strategy, run) is left


def row(suite: Any, **changes: Any) -> Any:
    told = {"fault": "f", "expected": "resolved", "strategy": "ours", "happened": True} | changes
    return suite["fault_score"].Row(**told)


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"resolved": True}, True),
        ({"resolved": True, "harm": ["paid 2 times"]}, False),
        ({"resolved": True, "happened": False}, False),
        ({"resolved": True, "error": "x"}, False),
        ({"resolved": False, "told": ["escalated"]}, False),
        ({"expected": "told", "told": ["proposal"]}, True),
        ({"expected": "told", "told": ["escalated", "info"]}, True),
        ({"expected": "told", "told": []}, False),
        ({"expected": "told", "told": ["info"]}, False),
        ({"expected": "told", "told": ["proposal", "resolved"]}, False),
        ({"expected": "quiet", "told": []}, True),
        ({"expected": "quiet", "told": ["info"]}, True),
        ({"expected": "quiet", "told": ["escalated"]}, False),
    ],
)
def test_what_counts_as_right(suite: Any, changes: dict[str, Any], right: bool) -> None:  # noqa: FBT001
    assert row(suite, **changes).right is right


def test_the_figures_have_their_n_their_interval_and_their_spread(suite: Any) -> None:
    rows = [
        row(suite, resolved=True, seconds=20.0),
        row(suite, resolved=True, seconds=40.0, round=2),
        row(suite, resolved=True, seconds=30.0, harm=["x", "y"], round=2),
        row(suite, expected="told", told=["proposal"]),
        row(suite, expected="quiet", told=["escalated"], round=2),
    ]
    told = suite["fault_score"].summary(rows)
    assert (told["rounds"], told["resolved"], told["recoverable"], told["faults"]) == (2, 2, 3, 5)
    assert told["resolved_each_round"] == [1, 1]
    assert (told["right"], told["harmful_actions"], told["faults_harmed"], told["false_alarms"]) == (
        3,
        2,
        1,
        1,
    )
    assert told["seconds_range"] == [20.0, 40.0]
    low, high = told["resolved_interval"]
    assert 0 < low < 2 / 3 < high < 1
    shown = suite["fault_score"].table({"ours": told, "nothing": suite["fault_score"].summary([])})
    assert "2/3" in shown
    assert "2 (1)" in shown
    assert "30 (20-40)" in shown
    assert json.dumps(told)


@pytest.mark.parametrize(
    ("changes", "mode", "failed"),
    [
        ({}, "auto", False),
        ({"right": 92}, "auto", False),
        ({"right": 91}, "auto", True),
        ({"resolved": 59}, "auto", True),
        ({"harmful_actions": 1}, "auto", True),
        ({"false_alarms": 1}, "auto", True),
        ({"did_not_happen": 1}, "auto", True),
        ({"resolved": 0, "right": 40}, "propose", False),
        ({"resolved": 1, "right": 40}, "propose", True),
    ],
)
def test_the_suite_fails_on_every_figure_that_is_too_bad(
    suite: Any, changes: dict[str, int], mode: str, *, failed: bool
) -> None:
    told = {"recoverable": 60, "resolved": 60, "faults": 100, "right": 100} | changes
    told = {"harmful_actions": 0, "false_alarms": 0, "did_not_happen": 0} | told
    assert suite["fault_score"].fails(told, mode) is failed


def test_the_document_shows_every_strategy_with_its_n_between_the_marks(suite: Any) -> None:
    score = suite["fault_score"]
    figures = {
        "ours": score.summary([row(suite, resolved=True, seconds=20.0)]),
        "always": score.summary([row(suite, harm=["paid 2 times"])]),
    }
    document = (FOLDER.parents[1] / "docs" / "resolve.md").read_text(encoding="utf-8")
    text = score.filled(document, figures)
    assert "| `watch --mode auto` | 1 of 1 (" in text
    assert "| 0 of 1 (0% to" in text
    assert "| 0 of 1 | 1 | 0 |  |" in text
    assert score.filled(text, figures) == text
    with pytest.raises(ValueError, match="no <!-- faults -->"):
        score.filled("# nothing here", figures)
