"""The demonstration's screen and exit code: it succeeds only if every claim was observed."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from prefect_autopilot.demo import story
from prefect_autopilot.demo.screen import Check, Screen
from prefect_autopilot.errors import PrefectError


@pytest.fixture
def screen() -> Screen:
    return Screen(console=Console(file=io.StringIO(), width=120, highlight=False))


def shown(screen: Screen) -> str:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue()


@pytest.mark.parametrize(
    ("results", "passed"),
    [([], False), ([True], True), ([True, True], True), ([False], False), ([True, False, True], False)],
    ids=["nothing checked", "one good", "all good", "one bad", "one of three bad"],
)
def test_it_passed_only_if_something_was_checked_and_all_of_it_was_so(
    screen: Screen, results: list[bool], *, passed: bool
) -> None:
    for number, result in enumerate(results):
        screen.check(f"claim {number}", "seen", passed=result)
    assert screen.passed is passed


def test_a_check_keeps_what_was_observed(screen: Screen) -> None:
    screen.check("it ran", "Completed in 2 s", passed=True)
    assert screen.checks == [Check("it ran", "Completed in 2 s", passed=True)]


def test_a_failed_claim_is_shown_at_once_and_a_good_one_waits_for_the_table(screen: Screen) -> None:
    screen.check("good claim", "fine", passed=True)
    assert shown(screen) == ""
    screen.check("bad claim", "nothing came", passed=False)
    assert "✗ bad claim: nothing came" in shown(screen)


def test_the_table_lists_every_claim_with_its_mark(screen: Screen) -> None:
    screen.check("good claim", "fine", passed=True)
    screen.check("bad claim", "nothing came", passed=False)
    screen.summary()
    table = shown(screen).partition("What was observed")[2].splitlines()
    assert any("good claim" in line and "fine" in line and "✓" in line for line in table)
    assert any("bad claim" in line and "nothing came" in line and "✗" in line for line in table)


def test_a_step_is_shown_when_it_is_done(screen: Screen) -> None:
    with screen.step("Deploy it"):
        pass
    assert "✓ Deploy it 0.0 s" in shown(screen)


def test_a_step_that_fails_is_not_shown_as_done(screen: Screen) -> None:
    with pytest.raises(ZeroDivisionError), screen.step("Deploy it"):
        raise ZeroDivisionError
    assert "✓" not in shown(screen)


@pytest.mark.parametrize("text", ["[red]danger[/]", "[/]", "a [link=https://x.test]b[/link]", "\\[x]"])
def test_text_from_outside_is_shown_as_it_is(screen: Screen, text: str) -> None:
    screen.say(text)
    screen.check(text, text, passed=False)
    screen.summary()
    assert f"  {text}\n" in shown(screen)
    assert f"✗ {text}: {text}" in shown(screen)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> dict[str, Any]:
    """A stage without server; a test says what is played on it."""
    seen: dict[str, Any] = {"acts": None, "folder": None, "closed": False}

    class Stage:
        def __init__(self) -> None:
            self.screen = screen

    @asynccontextmanager
    async def open_stage(_screen: Screen, folder: Path) -> AsyncIterator[Stage]:
        seen["folder"] = folder
        try:
            yield Stage()
        finally:
            seen["closed"] = True

    async def play(stage: Stage) -> None:
        seen["acts"](stage.screen)

    monkeypatch.setattr(story, "Screen", lambda: screen)
    monkeypatch.setattr(story, "open_world", open_stage)
    monkeypatch.setattr(story, "_play", play)
    return seen


def gave_up(_screen: Screen) -> None:
    raise PrefectError("Waited 60 s in vain until the trigger has started a run.", permanent=False)


@pytest.mark.parametrize(
    ("acts", "code"),
    [
        (lambda screen: screen.check("a", "b", passed=True), 0),
        (lambda screen: screen.check("a", "b", passed=False), 1),
        (lambda _screen: None, 1),
        (gave_up, 1),
        (lambda screen: (screen.check("a", "b", passed=True), gave_up(screen)), 1),
    ],
    ids=["all observed", "one not observed", "nothing checked", "gave up", "gave up after a good claim"],
)
async def test_the_exit_code_is_zero_only_if_everything_claimed_was_observed(
    played: dict[str, Any], acts: Any, code: int
) -> None:
    played["acts"] = acts
    assert await story.tell(keep=False) == code
    assert played["closed"], "everything that was started is stopped"
    assert not played["folder"].exists(), "nothing is left on disk"


async def test_why_it_gave_up_stands_in_the_table(played: dict[str, Any], screen: Screen) -> None:
    played["acts"] = gave_up
    await story.tell(keep=False)
    table = shown(screen).partition("What was observed")[2]
    assert "in vain until the trigger" in table


async def test_a_mistake_of_ours_is_no_result_of_the_demonstration(played: dict[str, Any]) -> None:
    def broken(_screen: Screen) -> None:
        raise ZeroDivisionError

    played["acts"] = broken
    with pytest.raises(ZeroDivisionError):
        await story.tell(keep=False)
    assert played["closed"]


async def test_there_is_a_folder_for_flows(played: dict[str, Any]) -> None:
    there: list[bool] = []
    played["acts"] = lambda _screen: there.append((played["folder"] / "flows").is_dir())
    await story.tell(keep=False)
    assert there == [True]
