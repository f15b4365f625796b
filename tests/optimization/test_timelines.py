"""When tasks are predicted to run, what bounds that, and the picture of it."""

from __future__ import annotations

import textwrap
from xml.etree import ElementTree as ET

import pytest

from prefect_autopilot.models import FlowHistory, Strategy, TaskTiming, Timeline
from prefect_autopilot.optimization import FlowFile, optimize, picture, timeline, timelines

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

@task
def join(a, b):
    return [a, b]

@task
async def aread(k):
    async with httpx.AsyncClient() as client:
        return (await client.get(f"https://x.example/{k}", timeout=3)).json()

"""
HISTORY = FlowHistory(
    tasks={
        "read": TaskTiming(n=5, p50_s=2.0, calls_per_run=8),
        "other": TaskTiming(n=5, p50_s=3.0, calls_per_run=1),
        "join": TaskTiming(n=5, p50_s=1.0, calls_per_run=1),
        "aread": TaskTiming(n=5, p50_s=2.0, calls_per_run=2),
    }
)


def line_of(body: str, how: str = "def", history: FlowHistory | None = HISTORY) -> Timeline | None:
    source = (
        f"{HEAD}@flow\n{how} main(ks=(1, 2)):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    )
    file = FlowFile(source, history)
    return timeline(file, file.module.functions["main"])


CASES: dict[str, tuple[str, str, float, float]] = {
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


@pytest.mark.parametrize(("body", "how", "makespan", "chain"), CASES.values(), ids=CASES)
def test_the_makespan_and_the_longest_chain(body: str, how: str, makespan: float, chain: float) -> None:
    found = line_of(body, how)
    assert found is not None
    assert found.makespan_s == pytest.approx(makespan, abs=0.06), "submitting costs a few milliseconds"
    assert found.critical_path_s == pytest.approx(chain)
    assert found.critical_path_s <= found.makespan_s
    assert found.makespan_s <= found.work_s + 0.06


def test_without_the_duration_of_a_task_nothing_is_predicted() -> None:
    assert line_of("return read(1)", history=FlowHistory()) is None
    assert line_of("return 1") is None, "nothing runs"


def test_a_plan_predicts_both_and_the_bounds() -> None:
    source = f"{HEAD}@flow\ndef main():\n    a = read(1)\n    b = other(2)\n    return join(a, b)\n"
    plan = optimize(source, file="f.py", strategy=Strategy.PERFORMANCE, history=HISTORY)
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


def test_the_picture_is_svg_with_a_bar_for_every_call_and_escapes_names() -> None:
    line = line_of("f = read.submit(1)\ng = other.submit(2)\nreturn join(f.result(), g.result())")
    assert line is not None
    text = picture('a & "b" <script>', line, line)
    root = ET.fromstring(text)
    bars = [part for part in root.iter() if part.tag.endswith("rect")]
    assert len(bars) == 2 * len(line.bars)
    assert "<script" not in text
    assert text == picture('a & "b" <script>', line, line)


def test_bars_that_overlap_stand_in_rows_of_their_own() -> None:
    line = line_of("fs = [read.submit(k) for k in ks]\nreturn [f.result() for f in fs]")
    assert line is not None
    boxes = [
        (float(part.get("x", 0)), float(part.get("width", 0)), part.get("y"))
        for part in ET.fromstring(picture("main", line, line)).iter()
        if part.tag.endswith("rect")
    ]
    for index, (x, width, y) in enumerate(boxes):
        for other_x, other_width, other_y in boxes[index + 1 :]:
            assert y != other_y or x + width <= other_x + 0.2 or other_x + other_width <= x + 0.2
