"""The text of a rewrite: what is not edited stays byte for byte; refusals say why."""

from __future__ import annotations

import difflib
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.effects.text import TextEdit, apply_edits
from prefect_autopilot.errors import InvalidFlowError
from prefect_autopilot.models import FlowHistory, OptimizationPlan, Strategy, TaskTiming, Timing
from prefect_autopilot.optimization import optimize, rules
from prefect_autopilot.optimization.rules import __path__ as rule_folder

FLOW = '''"""A report."""  # kept

import requests
from prefect import flow , task


@task( )
def read( key ):   # odd spacing
    return requests.get(f"https://a.test/{key}", timeout = 3).json( )


@flow
def main( keys=() ):
    # before
    a = read( 1 )   # first

    b = read("ü—2")
    rows = []
    for key in keys:  # all
        rows.append( read(key) )
    return a, b , rows
# the end'''


def plan_of(source: str, **given_: object) -> OptimizationPlan:
    return optimize(source, file="f.py", strategy=Strategy.HYBRID, **given_)  # type: ignore[arg-type]


def test_the_rules_are_those_whose_files_are_there() -> None:
    files = {module.name for module in pkgutil.iter_modules(rule_folder)}
    assert {rule.name for rule in rules()} == files


def test_what_is_not_edited_stays_byte_for_byte() -> None:
    new = plan_of(FLOW).source
    old_lines, new_lines = FLOW.splitlines(keepends=True), new.splitlines(keepends=True)
    removed = [line for line in difflib.ndiff(old_lines, new_lines) if line.startswith("- ")]
    assert [line[2:].strip() for line in removed] == [
        "@task( )",
        "@flow",
        "a = read( 1 )   # first",
        'b = read("ü—2")',
        "for key in keys:  # all",
        "rows.append( read(key) )",
    ]
    assert 'b_future = read.submit("ü—2")' in new
    assert "a = a_future.result()   # first" in new
    assert new.endswith("# the end")


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("indent", ["\t", " "])
def test_line_ends_and_indentation_are_the_files_own(newline: str, indent: str) -> None:
    source = FLOW.replace("    ", indent).replace("\n", newline)
    new = plan_of(source).source
    assert new != source
    assert new.count("\n") == new.count(newline)
    assert not [line for line in new.split(newline) if line.startswith("    ")]


def test_a_byte_order_mark_stays() -> None:
    plan = plan_of(f"\ufeff{FLOW}")
    assert plan.source.startswith('\ufeff"""A report."""')
    assert plan.source[1:] == plan_of(FLOW).source


def test_a_second_rewrite_finds_nothing() -> None:
    assert not plan_of(plan_of(FLOW).source).changed


def test_a_plan_without_edits_has_the_same_text_and_no_diff() -> None:
    source = "from prefect import flow\n\n\n@flow\ndef main():\n    return 1\n"
    plan = plan_of(source)
    assert (plan.changed, plan.source, plan.diff, plan.edits) == (False, source, "", ())


def test_the_diff_turns_the_old_text_into_the_new_one() -> None:
    plan = plan_of(FLOW)
    added = [
        line[1:] for line in plan.diff.splitlines() if line.startswith("+") and not line.startswith("+++")
    ]
    assert "    a_future = read.submit( 1 )" in added
    assert plan.diff.startswith("--- a/f.py\n+++ b/f.py\n")


def test_edits_name_lines_of_the_original() -> None:
    lines = FLOW.splitlines()
    told = {edit.rule: lines[edit.line - 1].strip() for edit in plan_of(FLOW).edits}
    assert told["submit_calls"].startswith("a = read")
    assert told["map_loop"].startswith("for key in keys")
    assert told["retry_reads"] == "@task( )"


def test_the_import_goes_to_the_others_of_its_package() -> None:
    new = plan_of(FLOW).source
    assert "from prefect import flow , task\nfrom prefect.task_runners import ThreadPoolTaskRunner\n" in new


def test_the_import_does_not_go_before_a_future_import() -> None:
    source = FLOW.replace("\nimport requests", "\nfrom __future__ import annotations\nimport requests")
    new = plan_of(source).source
    assert new.index("__future__") < new.index("ThreadPoolTaskRunner")
    compile(new, "f.py", "exec")


def test_an_aliased_runner_is_used_under_its_name() -> None:
    source = FLOW.replace(
        "import requests", "import requests\nfrom prefect.task_runners import ThreadPoolTaskRunner as T"
    )
    new = plan_of(source).source
    assert "@flow(task_runner=T(max_workers=4))" in new
    assert new.count("ThreadPoolTaskRunner") == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(:\n", "not valid Python at line 1"),
        ("print 'python 2'\n", "not valid Python at line 1"),
        ("", "holds no Prefect flow"),
        ("x = 1\n", "holds no Prefect flow"),
        ('{"cells": []}', "is a Jupyter notebook"),
        ('{\n "metadata": {}, "cells": [], "nbformat": 4}', "nbconvert --to script"),
        ('{"other": 1}', "holds no Prefect flow"),
        ("def flow(f):\n    return f\n\n@flow\ndef main(): ...\n", "holds no Prefect flow"),
        ("x = '\0'", "not valid Python"),
        ("(" * 5000, "not valid Python"),
    ],
    ids=[
        "syntax",
        "python 2",
        "empty",
        "no flow",
        "notebook",
        "notebook of nbformat 4",
        "JSON",
        "another flow",
        "null byte",
        "deep",
    ],
)
def test_what_is_no_flow_file_is_refused_with_the_reason(source: str, reason: str) -> None:
    with pytest.raises(InvalidFlowError, match=reason):
        plan_of(source)


def history(p50: float, **more: float) -> FlowHistory:
    timing = TaskTiming(n=20, p50_s=p50, p95_s=2 * p50, calls_per_run=8, **more)
    return FlowHistory(flow=Timing(n=20, p50_s=4 * p50, p95_s=8 * p50), tasks={"read": timing})


def test_the_expected_saving_comes_from_the_runs() -> None:
    savings = {edit.rule: edit.expected_saving_s for edit in plan_of(FLOW, history=history(2.0)).edits}
    assert savings["submit_calls"] == pytest.approx(2 * 2.0 - 2.0 - 0.01)
    assert savings["map_loop"] == pytest.approx((8 - 2) * 2.0 - 0.04)
    assert savings["retry_reads"] is None


def test_tasks_of_milliseconds_are_not_worth_an_edit() -> None:
    plan = optimize(FLOW, file="f.py", strategy=Strategy.PERFORMANCE, history=history(0.01))
    assert not plan.changed
    assert any("an edit is worth it from 0.25 s on" in one.reason for one in plan.rejected)


def test_tasks_that_compute_are_not_overlapped_on_threads() -> None:
    plan = optimize(FLOW, file="f.py", strategy=Strategy.PERFORMANCE, history=history(9.0, cpu_share=0.9))
    assert not plan.changed
    assert any("computes most of its time" in one.reason for one in plan.rejected)


def test_without_durations_of_the_task_the_saving_is_not_told() -> None:
    plan = optimize(FLOW, file="f.py", strategy=Strategy.PERFORMANCE, history=FlowHistory())
    assert plan.changed
    assert {edit.expected_saving_s for edit in plan.edits} == {None}


def test_the_cost_strategy_does_not_overlap_or_retry() -> None:
    assert not optimize(FLOW, file="f.py", strategy=Strategy.COST).changed


@pytest.mark.timeout(30)  # cubic work would take minutes
def test_a_long_file_is_planned_in_bounded_time() -> None:
    body = FLOW.replace("# the end", "")
    source = body + "".join(
        f"\n\n@flow\ndef flow_{n}(ks):\n    a = read(1)\n    b = read(2)\n    return [read(k) for k in ks]\n"
        for n in range(80)
    )
    assert plan_of(source)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.text(max_size=4)), max_size=5))
@settings(deadline=None)
def test_edits_change_only_their_own_places(spans: list[tuple[int, int, str]]) -> None:
    text = "0123456789" * 5
    edits, reached = [], -1
    for start, length, new in sorted(spans):
        if start > reached:
            edits.append(TextEdit(start, start + length, new))
            reached = start + length
    expected = text
    for edit in reversed(edits):
        expected = expected[: edit.start] + edit.text + expected[edit.end :]
    assert apply_edits(text, edits) == expected


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        apply_edits("abc", [TextEdit(0, 2, "x"), TextEdit(1, 3, "y")])
