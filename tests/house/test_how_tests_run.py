"""How tests are spread over processes: groups stay together, and rows of a table are told one by one."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Any:
    """The module of what all tests share."""
    return request.config.pluginmanager.get_plugin(str(CONFTEST))


def row(ident: str, work: Any) -> Any:
    """As much of a test as a table needs: its values, its work, and how its failure is told."""
    made = SimpleNamespace(callspec=SimpleNamespace(id=ident, params={"n": ident}), name=f"test[{ident}]")
    made.runtest = lambda: work(made.funcargs)
    made.repr_failure = lambda told: f"{told.typename} with {made.funcargs}"
    return made


def run(shared: Any, *rows: Any) -> None:
    shared.TableRows.runtest(SimpleNamespace(rows=rows, funcargs={"n": "of the first", "now": 1}))


@pytest.mark.xdist_group("named")
def test_a_test_tells_its_group_to_who_hands_tests_out(request: pytest.FixtureRequest) -> None:
    """Without it each process starts the servers that one of them should share with nobody."""
    assert request.node.nodeid.endswith("@named") == hasattr(request.config, "workerinput")


def test_every_row_runs_with_its_own_values_and_each_that_fails_is_told(shared: Any) -> None:
    seen: list[Any] = []

    def fails(given: Any) -> None:
        seen.append(given)
        raise ValueError

    rows = [row("a", seen.append), row("b", fails), row("c", seen.append), row("d", fails)]
    with pytest.raises(pytest.fail.Exception) as caught:
        run(shared, *rows)
    assert seen == [{"n": ident, "now": 1} for ident in "abcd"]
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 4 rows failed: b, d"
    assert lines[2:4] == ["____ test[b] ____", "ValueError with {'n': 'b', 'now': 1}"]
    assert lines[5:7] == ["____ test[d] ____", "ValueError with {'n': 'd', 'now': 1}"]


def test_rows_that_are_skipped_are_told_and_good_ones_are_good(shared: Any) -> None:
    run(shared, row("a", bool), row("b", bool))
    with pytest.raises(pytest.skip.Exception, match="1 of 2 rows: b: not here"):
        run(shared, row("a", bool), row("b", lambda _: pytest.skip("not here")))


def test_after_the_time_is_up_no_further_row_runs(shared: Any) -> None:
    def late(_: Any) -> None:
        pytest.fail("Timeout (>90.0s) from pytest-timeout.")

    with pytest.raises(pytest.fail.Exception, match="1 of 2 rows failed: a"):
        run(shared, row("a", late), row("b", late))


@pytest.mark.parametrize("n", range(8))
def test_a_row_that_asks_for_something_of_its_own_is_a_test(n: int, request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith(f"[{n}]")


@pytest.mark.parametrize("n", range(8))
def test_rows_that_need_nothing_of_their_own_are_one_test_where_tests_are_spread(
    n: int, pytestconfig: pytest.Config
) -> None:
    running = os.environ["PYTEST_CURRENT_TEST"].partition(" (")[0]
    told = running.rpartition("[")[2]
    assert told.startswith("8 rows from ") if hasattr(pytestconfig, "workerinput") else told == f"{n}]"
