"""The replay of a flow against its bounds, and the picture drawn from it."""

from __future__ import annotations

import textwrap
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.models import Bar, FlowHistory, Strategy, TaskTiming, Timeline
from prefect_autopilot.optimization import MAX_WORKERS, FlowFile, optimize, picture, timeline, timelines

HEAD = """
import asyncio
import httpx
import requests
from prefect import flow, task

@task
def read(k):
    return requests.get(f"https://x.example/{k}", timeout=3).json()

@task
def other(k):
    return requests.get(f"https://y.example/{k}", timeout=3).json()

@task(name="Join All")
def join(*parts):
    return parts

@task
async def aread(k):
    async with httpx.AsyncClient() as client:
        return (await client.get(f"https://x.example/{k}", timeout=3)).json()

"""
SVG = "{http://www.w3.org/2000/svg}"


def history(**seconds: float) -> FlowHistory:
    named = {name.replace("Join_All", "Join All"): value for name, value in seconds.items()}
    return FlowHistory(tasks={name: TaskTiming(n=5, p50_s=value) for name, value in named.items()})


KNOWN = history(read=2.0, other=3.0, Join_All=1.0)
COUNTED = FlowHistory(
    tasks={
        "read": TaskTiming(n=5, p50_s=2.0, calls_per_run=8),
        "other": TaskTiming(n=5, p50_s=3.0, calls_per_run=1),
        "Join All": TaskTiming(n=5, p50_s=1.0, calls_per_run=1),
        "aread": TaskTiming(n=5, p50_s=2.0, calls_per_run=2),
    }
)


def source_of(body: str, how: str = "def") -> str:
    text = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"{HEAD}@flow\n{how} main(ks=(1, 2)):\n{text}\n"


def line_in(body: str, known: FlowHistory | None, how: str = "def") -> Timeline | None:
    file = FlowFile(source_of(body, how), known)
    return timeline(file, file.module.functions["main"])


def replayed(body: str, known: FlowHistory | None = KNOWN, how: str = "def") -> Timeline:
    found = line_in(body, known, how)
    assert found is not None
    return found


LENGTHS: dict[str, tuple[str, float, float, float]] = {
    "more than the workers can take": (
        "fs = [" + ", ".join(["read.submit(1)"] * (MAX_WORKERS + 1)) + "]\nreturn [f.result() for f in fs]",
        4.0, 2.0, 10.0,
    ),
    "as many as the workers": (
        "fs = [" + ", ".join(["read.submit(1)"] * MAX_WORKERS) + "]\nreturn [f.result() for f in fs]",
        2.0, 2.0, 8.0,
    ),
    "nobody waits": ("f = read.submit(1)\nreturn 1", 2.0, 2.0, 2.0),
    "waited for before the next is started": (
        "f = read.submit(1)\nf.wait()\ng = other.submit(2)\nreturn g.result()", 5.0, 3.0, 5.0,
    ),
    "a direct call beside a started one": (
        "f = other.submit(1)\na = read(2)\nreturn a, f.result()", 3.0, 3.0, 5.0,
    ),
    "a value through two names": ("a = read(1)\nb = [a]\nc = other(b)\nreturn c", 5.0, 5.0, 5.0),
    "a value added to a list": (
        "rows = []\nrows.append(read(1))\nc = other(rows)\nreturn c", 5.0, 5.0, 5.0,
    ),
    "a name bound anew forgets its value": ("a = read(1)\na = 2\nb = other(a)\nreturn b", 5.0, 3.0, 5.0),
    "a name that is added to keeps its value": (
        "a = read(1)\na += [2]\nb = other(a)\nreturn b", 5.0, 5.0, 5.0,
    ),
    "three in a row": ("a = read(1)\nb = other(a)\nreturn join(b)", 6.0, 6.0, 6.0),
    "the longer arm counts": (
        "f = read.submit(1)\ng = other.submit(2)\nh = join.submit(f, g)\nreturn h.result()", 4.0, 4.0, 6.0,
    ),
    "a call in a call": ("return other(read(1))", 5.0, 5.0, 5.0),
    "both branches": ("if ks:\n    a = read(1)\nelse:\n    a = other(1)\nreturn a", 5.0, 3.0, 5.0),
    "a with": ("with open('x') as f:\n    a = read(1)\nreturn a, f", 2.0, 2.0, 2.0),
    "a match": ("match ks:\n    case ():\n        return read(1)\nreturn other(1)", 5.0, 3.0, 5.0),
    "a handler": ("try:\n    n = 1\nexcept ValueError:\n    return read(1)\nreturn n", 2.0, 2.0, 2.0),
    "a lambda that is never called": ("f = lambda: read(1)\nreturn other(1), f", 3.0, 3.0, 3.0),
    "the name of the task at Prefect": ("return join(1)", 1.0, 1.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize(("body", "makespan", "chain", "work"), LENGTHS.values(), ids=LENGTHS)
def test_the_makespan_the_chain_and_the_work(body: str, makespan: float, chain: float, work: float) -> None:
    found = replayed(body)
    assert (found.critical_path_s, found.work_s) == (pytest.approx(chain), pytest.approx(work))
    assert found.makespan_s == pytest.approx(makespan, abs=0.05)
    assert found.measured


COUNTED_LENGTHS: dict[str, tuple[str, str, float, float]] = {
    "one after another": ("a = read(1)\nb = other(2)\nreturn a, b", "def", 5.0, 3.0),
    "at the same time": (
        "f = read.submit(1)\ng = other.submit(2)\nreturn f.result(), g.result()", "def", 3.0, 3.0,
    ),
    "value needed": ("a = read(1)\nb = other(a)\nreturn b", "def", 5.0, 5.0),
    "value of a future": ("f = read.submit(1)\ng = other.submit(f)\nreturn g.result()", "def", 5.0, 5.0),
    "diamond": (
        "f = read.submit(1)\ng = other.submit(1)\nreturn join(f.result(), g.result())", "def", 4.0, 4.0,
    ),
    "loop": ("rows = []\nfor k in ks:\n    rows.append(read(k))\nreturn rows", "def", 16.0, 2.0),
    "comprehension": ("return [read(k) for k in ks]", "def", 16.0, 2.0),
    "bounded fan-out": (
        "fs = [read.submit(k) for k in ks]\nreturn [f.result() for f in fs]", "def", 4.0, 2.0,
    ),
    "map": ("return [f.result() for f in read.map(ks)]", "def", 4.0, 2.0),
    "awaits": ("a = await aread(1)\nb = await aread(2)\nreturn a, b", "async def", 4.0, 2.0),
    "gather": ("return await asyncio.gather(aread(1), aread(2))", "async def", 2.0, 2.0),
    "started and awaited": (
        "a = asyncio.create_task(aread(1))\nb = asyncio.create_task(aread(2))\nreturn await a, await b",
        "async def", 2.0, 2.0,
    ),
    "in a branch": ("if ks:\n    return read(1)\nreturn None", "def", 2.0, 2.0),
    "in a try": ("try:\n    a = read(1)\nexcept ValueError:\n    a = other(1)\nreturn a", "def", 5.0, 3.0),
}  # fmt: skip


@pytest.mark.parametrize(("body", "how", "makespan", "chain"), COUNTED_LENGTHS.values(), ids=COUNTED_LENGTHS)
def test_loops_and_fan_outs_make_as_many_calls_as_their_runs_did(
    body: str, how: str, makespan: float, chain: float
) -> None:
    found = replayed(body, COUNTED, how)
    assert found.makespan_s == pytest.approx(makespan, abs=0.06), "submitting costs a few milliseconds"
    assert found.critical_path_s == pytest.approx(chain)
    assert found.critical_path_s <= found.makespan_s
    assert found.makespan_s <= found.work_s + 0.06


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "other"]), st.booleans(), st.integers(0, 3)),
        min_size=1,
        max_size=9,
    ),
    st.floats(0.1, 50.0),
    st.floats(0.1, 50.0),
)
def test_a_makespan_lies_between_its_bounds(
    calls: list[tuple[str, bool, int]], read_s: float, other_s: float
) -> None:
    lines = []
    for index, (name, started, back) in enumerate(calls):
        taken = f"v{index - back}" if 0 < back <= index else "0"
        lines.append(f"v{index} = {name}{'.submit' if started else ''}({taken})")
    found = replayed("\n".join(lines), history(read=read_s, other=other_s))
    slack = 0.01 * len(calls) + 0.01
    assert len(found.bars) == len(calls)
    assert found.work_s == pytest.approx(
        sum(read_s if name == "read" else other_s for name, *_ in calls), abs=0.01
    )
    assert found.critical_path_s <= found.makespan_s + slack
    assert found.work_s / (MAX_WORKERS + 1) <= found.makespan_s + slack
    assert found.makespan_s <= found.work_s + slack
    assert all(0 <= bar.start_s < bar.end_s <= found.makespan_s + slack for bar in found.bars)


@pytest.mark.parametrize("calls", [1, MAX_WORKERS, MAX_WORKERS + 1, 4 * MAX_WORKERS])
def test_never_more_calls_run_at_once_than_there_are_workers(calls: int) -> None:
    known = FlowHistory(tasks={"read": TaskTiming(n=5, p50_s=2.0, calls_per_run=calls)})
    found = replayed("return [f.result() for f in [read.submit(k) for k in ks]]", known)
    assert len(found.bars) == calls
    for moment in {bar.start_s for bar in found.bars}:
        assert sum(bar.start_s <= moment < bar.end_s for bar in found.bars) <= MAX_WORKERS
    assert found.makespan_s >= found.work_s / MAX_WORKERS


def test_calls_of_a_task_are_shared_among_the_places_that_make_them() -> None:
    known = FlowHistory(tasks={"read": TaskTiming(n=5, p50_s=1.0, calls_per_run=8)})
    found = replayed("a = [read(k) for k in ks]\nb = [read(k) for k in ks]\nreturn a, b", known)
    assert len(found.bars) == 8


def test_more_calls_than_anybody_could_see_are_cut() -> None:
    known = FlowHistory(tasks={"read": TaskTiming(n=5, p50_s=1.0, calls_per_run=5000)})
    assert len(replayed("return [read(k) for k in ks]", known).bars) == 200


@pytest.mark.parametrize(
    "known", [None, FlowHistory(), history(read=2.0)], ids=["none", "empty", "one of two"]
)
def test_a_task_of_unknown_duration_leaves_the_whole_flow_unknown(known: FlowHistory | None) -> None:
    file = FlowFile(source_of("return read(1), other(2)"), known)
    assert timeline(file, file.module.functions["main"]) is None
    drawn = timeline(file, file.module.functions["main"], unit_s=1.0)
    assert drawn is not None
    assert (drawn.makespan_s, drawn.measured) == (2.0, False)


def test_a_flow_without_tasks_has_no_timeline() -> None:
    assert line_in("return 1", KNOWN) is None


PREDICTED = {
    "two reads": ("a = read(1)\nb = other(2)\nreturn a, b", 5.0, 3.0),
    "a loop": ("rows = []\nfor k in ks:\n    rows.append(read(k))\nreturn rows", 8.0, 2.0),
    "a comprehension": ("return [read(k) for k in ks]", 8.0, 2.0),
}


@pytest.mark.parametrize(("body", "before", "after"), PREDICTED.values(), ids=PREDICTED)
def test_a_prediction_never_beats_what_bounds_it(body: str, before: float, after: float) -> None:
    known = FlowHistory(
        tasks={"read": TaskTiming(n=5, p50_s=2.0, calls_per_run=4), "other": TaskTiming(n=5, p50_s=3.0)}
    )
    told = optimize(source_of(body), file="f.py", strategy=Strategy.PERFORMANCE, history=known).prediction
    assert told is not None
    assert told.before_s == pytest.approx(before)
    assert told.after_s == pytest.approx(after, abs=0.05)
    assert told.after_s >= max(told.critical_path_s, told.work_bound_s)


@pytest.mark.parametrize("body", ["return read(1)", "a = read(1)\nreturn other(a)"], ids=["one", "chain"])
def test_a_plan_that_changes_nothing_predicts_nothing(body: str) -> None:
    plan = optimize(source_of(body), file="f.py", strategy=Strategy.PERFORMANCE, history=KNOWN)
    assert (plan.changed, plan.prediction) == (False, None)


def test_of_two_flows_the_one_that_changed_is_shown() -> None:
    head = source_of("return read(1)").replace("main", "first")
    before = f"{head}\n@flow\ndef second():\n    return read(1), other(2)\n"
    after = before.replace("return read(1), other(2)", "f = read.submit(1)\n    return other(2), f.result()")
    pair = timelines(before, after, KNOWN)
    assert pair is not None
    assert [round(line.makespan_s, 1) for line in pair] == [5.0, 3.0]


def test_a_flow_that_is_gone_has_no_pair() -> None:
    assert timelines(source_of("return read(1)"), HEAD, KNOWN) is None


def test_a_plan_predicts_both_and_the_bounds() -> None:
    source = f"{HEAD}@flow\ndef main():\n    a = read(1)\n    b = other(2)\n    return join(a, b)\n"
    plan = optimize(source, file="f.py", strategy=Strategy.PERFORMANCE, history=COUNTED)
    told = plan.prediction
    assert plan.changed
    assert told is not None
    assert told.before_s == pytest.approx(6.0)
    assert told.after_s == pytest.approx(4.0, abs=0.05)
    assert told.critical_path_s == pytest.approx(4.0)
    assert told.work_bound_s == pytest.approx(1.5)


def test_a_plan_without_history_predicts_nothing_and_can_be_drawn_in_units() -> None:
    source = f"{HEAD}@flow\ndef main():\n    a = read(1)\n    b = other(2)\n    return a, b\n"
    plan = optimize(source, file="f.py", strategy=Strategy.PERFORMANCE)
    assert plan.prediction is None
    pair = timelines(source, plan.source, None)
    assert pair is not None
    assert [line.makespan_s for line in pair] == [2.0, 1.0]
    assert not pair[0].measured
    assert "2 units before, 1 units after" in picture("main", *pair)


def drawn(line: Timeline, title: str = "main") -> ET.Element:
    return ET.fromstring(picture(title, line, line))


@pytest.mark.parametrize("title", ["main", "a & b", "<b>", '"quoted"', "it's", "größe 表", ""])
def test_a_picture_is_well_formed_and_told_in_words_whatever_the_title(title: str) -> None:
    root = drawn(replayed("return read(1), other(2)"), title)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == f"{title}: 5.00 s before, 5.00 s after"
    assert next(root.iter(f"{SVG}text")).text == root.get("aria-label")


def test_every_bar_says_what_ran_and_when() -> None:
    titles = [part.text for part in drawn(replayed("return read(1), other(2)")).iter(f"{SVG}title")]
    assert titles == ["read: 0.00 to 2.00 s", "other: 2.00 to 5.00 s"] * 2


def test_a_picture_holds_no_script_no_link_and_nothing_from_elsewhere() -> None:
    root = drawn(replayed("return read(1), other(2)"), "<script>alert(1)</script>")
    assert {part.tag.removeprefix(SVG) for part in root.iter()} == {
        "svg",
        "style",
        "text",
        "rect",
        "title",
        "line",
    }
    assert not [
        name for part in root.iter() for name in part.attrib if name.startswith("on") or "href" in name
    ]


def line_of(bars: list[Bar]) -> Timeline:
    end = max((bar.end_s for bar in bars), default=0.0)
    return Timeline(bars=tuple(bars), makespan_s=end, work_s=end, critical_path_s=end, measured=True)


@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 200])
def test_at_most_forty_rows_are_drawn_and_all_stand_inside(count: int) -> None:
    root = drawn(line_of([Bar(name="read", start_s=0.0, end_s=1.0)] * count))
    boxes = list(root.iter(f"{SVG}rect"))
    assert len(boxes) == 2 * min(count, 40)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for box in boxes:
        assert float(box.get("x", -1)) + float(box.get("width", 0)) <= width
        assert float(box.get("y", -1)) + float(box.get("height", 0)) <= height


def test_both_timelines_stand_on_one_scale() -> None:
    short, long = (line_of([Bar(name="read", start_s=0.0, end_s=end)]) for end in (1.0, 4.0))
    boxes = list(ET.fromstring(picture("main", long, short)).iter(f"{SVG}rect"))
    assert [float(box.get("width", 0)) for box in boxes] == pytest.approx([728.0, 182.0])
    assert boxes[0].get("fill") == boxes[1].get("fill"), "one task has one colour"


def test_a_call_too_short_to_see_still_has_a_bar_and_no_words_on_it() -> None:
    line = line_of([Bar(name="read", start_s=0.0, end_s=0.0001), Bar(name="other", start_s=1.0, end_s=900.0)])
    root = drawn(line)
    assert min(float(box.get("width", 0)) for box in root.iter(f"{SVG}rect")) == 1.0
    assert [part.text for part in root.iter(f"{SVG}text") if part.get("class") == "on"] == ["other"] * 2


def test_bars_that_overlap_stand_in_rows_of_their_own() -> None:
    line = replayed("fs = [read.submit(k) for k in ks]\nreturn [f.result() for f in fs]", COUNTED)
    boxes = [
        (float(part.get("x", 0)), float(part.get("width", 0)), part.get("y"))
        for part in ET.fromstring(picture("main", line, line)).iter()
        if part.tag.endswith("rect")
    ]
    for index, (x, width, y) in enumerate(boxes):
        for other_x, other_width, other_y in boxes[index + 1 :]:
            assert y != other_y or x + width <= other_x + 0.2 or other_x + other_width <= x + 0.2
