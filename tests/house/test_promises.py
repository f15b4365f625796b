"""Each row of "What it will never do" has a test of its own, which is still there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELD_BY = {
    "act because a log": "test_hostile_text_arrives_as_text_and_does_nothing",
    "act unattended without": "test_acting_unattended_is_nobodys_default",
    "touch a run that completed": "test_a_person_who_was_first_wins",
    "apply the same remedy twice": "test_a_crash_between_act_and_result_does_not_act_twice",
    "repeat work that may": "test_work_that_may_have_had_an_effect_needs_a_word_of_its_own",
    "take its own word": "test_a_callers_word_is_recorded_and_not_believed",
    "look at, or repair": "test_our_own_flows_are_never_taken_up",
    "put your words": "test_hostile_text_stays_a_constant_and_the_file_stays_formatted",
    "keep, show, log or send": "test_a_notice_is_stored_without_secrets",
    "run your code to read it": "test_reading_a_flow_file_runs_nothing_of_it",
    "change a flow file that changed": "test_a_file_changed_since_the_plan_is_neither_written_nor_watched",
    "make up a figure": "test_without_history_no_saving_is_claimed",
    "call a workflow healthy": "test_a_workflow_never_seen_is_of_unknown_health",
    "call home": "test_nothing_is_sent_unless_it_is_switched_on",
}


def promises() -> list[str]:
    text = (ROOT / "docs" / "never.md").read_text(encoding="utf-8")
    return [row.split("|")[1].strip() for row in re.findall(r"^\| (?!never \||-).*$", text, re.MULTILINE)]


@cache
def test_names() -> frozenset[str]:
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"def (test_\w+)", text))


test_names.__test__ = False  # type: ignore[attr-defined]  # it names tests and is none


def test_every_promise_is_held_by_a_test() -> None:
    without = [one for one in promises() if not any(one.startswith(start) for start in HELD_BY)]

    assert without == []
    assert len(promises()) == len(HELD_BY)


@pytest.mark.parametrize("start", HELD_BY)
def test_the_test_of_a_promise_is_there(start: str) -> None:
    assert HELD_BY[start] in test_names()


def test_reading_a_flow_file_runs_nothing_of_it(tmp_path: Path) -> None:
    from prefect_autopilot.journeys import explain, improve
    from prefect_autopilot.models import Strategy

    mark = tmp_path / "ran"
    file = tmp_path / "my_flow.py"
    file.write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from prefect import flow\n\n@flow\ndef main() -> int:\n    return 1\n",
        encoding="utf-8",
    )

    improve.plan(file, Strategy.HYBRID)
    explain.explain_file(file)

    assert not mark.exists()
