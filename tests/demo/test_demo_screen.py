"""The demonstration's screen and exit code: it succeeds only if every claim was observed."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from prefect_autopilot.adapters.embedded import EmbeddedPrefect
from prefect_autopilot.demo import story
from prefect_autopilot.demo.screen import TIME_LIMIT_S, Check, Screen
from prefect_autopilot.errors import PrefectError

TABLE = "What was claimed and what was observed"


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
    table = shown(screen).partition(TABLE)[2].splitlines()
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
    seen: dict[str, Any] = {"acts": None, "folder": None, "closed": False, "stayed": 0}

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

    async def stay(_stage: Stage) -> None:
        seen["stayed"] += 1
        seen["open while staying"] = not seen["closed"]

    monkeypatch.setattr(story, "Screen", lambda: screen)
    monkeypatch.setattr(story, "open_world", open_stage)
    monkeypatch.setattr(story, "_play", play)
    monkeypatch.setattr(story, "_stay", stay)
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
    table = shown(screen).partition(TABLE)[2]
    assert "in vain until the trigger" in table


async def test_a_mistake_of_ours_stands_in_the_table_and_is_raised_when_all_is_stopped(
    played: dict[str, Any], screen: Screen
) -> None:
    def broken(_screen: Screen) -> None:
        raise ZeroDivisionError("nothing to divide by")

    played["acts"] = broken
    with pytest.raises(ZeroDivisionError):
        await story.tell(keep=False)
    assert played["closed"]
    assert "ZeroDivisionError: nothing to divide by" in shown(screen).partition(TABLE)[2]


async def test_an_interruption_shows_the_table_and_goes_on(played: dict[str, Any], screen: Screen) -> None:
    def interrupted(screen: Screen) -> None:
        screen.check("it began", "yes", passed=True)
        raise asyncio.CancelledError

    played["acts"] = interrupted
    with pytest.raises(asyncio.CancelledError):
        await story.tell(keep=True)
    assert played["closed"]
    assert played["stayed"] == 0
    assert "it began" in shown(screen).partition(TABLE)[2]
    assert not screen.passed


def failed(screen: Screen) -> None:
    screen.check("it ran", "it did not", passed=False)


def mistaken(_screen: Screen) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("acts", [failed, gave_up], ids=["a claim that did not hold", "gave up"])
async def test_keep_leaves_everything_running_when_something_failed(
    played: dict[str, Any], acts: Any
) -> None:
    played["acts"] = acts
    assert await story.tell(keep=True) == 1
    assert played["stayed"] == 1
    assert played["open while staying"]
    assert played["closed"], "once it is left, everything is stopped"


async def test_keep_leaves_everything_running_after_a_mistake_too(played: dict[str, Any]) -> None:
    played["acts"] = mistaken
    with pytest.raises(ZeroDivisionError):
        await story.tell(keep=True)
    assert played["stayed"] == 1


async def test_without_keep_nobody_stays(played: dict[str, Any]) -> None:
    played["acts"] = failed
    await story.tell(keep=False)
    assert played["stayed"] == 0


async def test_a_stage_that_cannot_be_set_up_is_told_in_the_table_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, screen: Screen
) -> None:
    @asynccontextmanager
    async def no_stage(screen: Screen, _folder: Path) -> AsyncIterator[None]:
        with screen.step("Start a Prefect server"):
            raise PrefectError("The Prefect server did not start.", permanent=True)
        yield

    monkeypatch.setattr(story, "Screen", lambda: screen)
    monkeypatch.setattr(story, "open_world", no_stage)
    assert await story.tell(keep=True) == 1
    table = shown(screen).partition(TABLE)[2]
    assert "The Prefect server did not start." in table
    assert "Start a Prefect server" in table, "the step that failed is named"


class Addresses:
    """As much of a stage as staying on it needs."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen, self.folder = screen, folder
        self.prefect = EmbeddedPrefect("http://127.0.0.1:4242/api", folder / "prefect", {})
        self.api_url, self.services_url = "http://127.0.0.1:8643", "http://127.0.0.1:9999"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.timeout(30)
async def test_staying_prints_every_address_and_ends_on_a_signal(
    screen: Screen, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    staying = asyncio.create_task(story._stay(Addresses(screen, tmp_path)))
    while "Ctrl-C" not in shown(screen):  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0)
    assert not staying.done()
    os.kill(os.getpid(), number)
    await staying
    told = shown(screen)
    for address in (
        "http://127.0.0.1:4242\n",
        "http://127.0.0.1:4242/api\n",
        "http://127.0.0.1:8643/healthz\n",
        "http://127.0.0.1:8643/metrics\n",
        "http://127.0.0.1:9999\n",
        f"{tmp_path}\n",
    ):
        assert address in told
    assert signal.getsignal(number) == before, "the signal has its former meaning again"


def test_the_time_is_a_row_of_the_table(screen: Screen) -> None:
    screen.check("it ran", "yes", passed=True)
    screen.summary()
    row = next(line for line in shown(screen).splitlines() if f"{TIME_LIMIT_S} s at most" in line)
    assert "0 s" in row
    assert "✓" in row
    assert "2 of 2 claims held." in shown(screen)


def test_too_long_a_time_is_told_as_a_warning_and_decides_nothing(screen: Screen) -> None:
    screen.check("it ran", "yes", passed=True)
    screen.started -= TIME_LIMIT_S + 7
    screen.summary()
    row = next(line for line in shown(screen).splitlines() if f"{TIME_LIMIT_S} s at most" in line)
    assert f"{TIME_LIMIT_S + 7} s; this machine is slow or busy" in row
    assert "!" in row
    assert "✗" not in shown(screen)
    assert "1 of 2 claims held. The time is only a warning." in shown(screen)
    assert screen.passed


def test_a_warning_alone_is_nothing_that_passed(screen: Screen) -> None:
    screen.checks.append(Check("in time", "yes", passed=True, warning=True))
    assert not screen.passed


def test_what_goes_on_is_said_beside_the_spinner_only_within_a_step(screen: Screen) -> None:
    screen.now("nobody listens")
    with screen.step("Deploy it"):
        screen.now("run [red]x[/] is Running")
        assert "run [red]x[/] is Running" in str(screen._status.renderable.text)  # type: ignore[union-attr]
    screen.now("nobody listens any more")
    assert "nobody" not in shown(screen)


async def test_there_is_a_folder_for_flows(played: dict[str, Any]) -> None:
    there: list[bool] = []
    played["acts"] = lambda _screen: there.append((played["folder"] / "flows").is_dir())
    await story.tell(keep=False)
    assert there == [True]
