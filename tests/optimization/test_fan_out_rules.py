"""Loops and comprehensions around a read: bounded, in order, and only where rounds do not see one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import OptimizationPlan

RUNNER = "task_runner=ThreadPoolTaskRunner(max_workers=4)"

CHANGED = {
    "append": (
        "rows = []\nfor key in days:\n    rows.append(read(key, size=n))\nreturn rows",
        """
        rows = []
        read_futures = [read.submit(key, size=n) for key in days]
        for read_future in read_futures:
            rows.append(read_future.result())
        return rows
        """,
    ),
    "key and value": (
        "out = {}\nfor i, key in enumerate(days):\n    out[key] = read(i)\nreturn out",
        """
        out = {}
        pending = [((i, key), read.submit(i)) for i, key in enumerate(days)]
        for (i, key), read_future in pending:
            out[key] = read_future.result()
        return out
        """,
    ),
    "several statements": (
        """
        total = 0
        for key in days:
            path = f"{key}/{n}"
            # ask
            data = read(path)
            if not data:
                continue
            total += data["n"]  # add up
        return total
        """,
        """
        total = 0
        read_futures = []
        for key in days:
            path = f"{key}/{n}"
            # ask
            read_futures.append(read.submit(path))
        for data_future in read_futures:
            data = data_future.result()
            if not data:
                continue
            total += data["n"]  # add up
        return total
        """,
    ),
    "a new argument object in each round": (
        """
        out = []
        for key in days:
            params = {}
            params["key"] = key
            out.append(read(params))
        return out
        """,
        """
        out = []
        read_futures = []
        for key in days:
            params = {}
            params["key"] = key
            read_futures.append(read.submit(params))
        for read_future in read_futures:
            out.append(read_future.result())
        return out
        """,
    ),
    "the name of the loop is read after it": (
        "rows = []\nfor key in days:\n    rows.append(read(key))\nreturn rows, key",
        """
        rows = []
        pending = [(key, read.submit(key)) for key in days]
        for key, read_future in pending:
            rows.append(read_future.result())
        return rows, key
        """,
    ),
    "submit and result at once": (
        """
        out = []
        for key in days:
            future = read.submit(key)
            out.append(future.result())  # wait
        return out
        """,
        """
        out = []
        pending = []
        for key in days:
            future = read.submit(key)
            pending.append(future)
        for future in pending:
            out.append(future.result())  # wait
        return out
        """,
    ),
    "list": (
        "return [read(key) for key in days if key]",
        """
        read_futures = [read.submit(key) for key in days if key]
        return [read_future.result() for read_future in read_futures]
        """,
    ),
    "dictionary": (
        "out = {key: read(key, n)['v'] for key in days}\nreturn out",
        """
        read_futures = [(key, read.submit(key, n)) for key in days]
        out = {key: read_future.result()['v'] for key, read_future in read_futures}
        return out
        """,
    ),
    "sum over a generator": (
        "return sum(read(key)['n'] for key in days)",
        """
        read_futures = [read.submit(key) for key in days]
        return sum(read_future.result()['n'] for read_future in read_futures)
        """,
    ),
    "inside the arguments of a write": (
        "write('k', [read(key) for key in days])\nreturn n",
        """
        read_futures = [read.submit(key) for key in days]
        write('k', [read_future.result() for read_future in read_futures])
        return n
        """,
    ),
    "submit and result in a comprehension": (
        "return [read.submit(key).result() for key in days]",
        """
        read_futures = [read.submit(key) for key in days]
        return [read_future.result() for read_future in read_futures]
        """,
    ),
    "a long one over several lines": (
        """
        out = [read(f'{day}/{key}/some/longer/path', size=n * 1000) for key in days if key and len(key) > 3]
        return out
        """,
        """
        read_futures = [
            read.submit(f'{day}/{key}/some/longer/path', size=n * 1000)
            for key in days if key and len(key) > 3
        ]
        out = [read_future.result() for read_future in read_futures]
        return out
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_a_fan_out_is_started_first_and_bounded(
    rewrites: Callable[..., OptimizationPlan], before: str, after: str
) -> None:
    plan = rewrites(before, after)
    assert f"@flow({RUNNER})" in plan.source


LOOP = "out = []\nfor key in {items}:\n    {body}\nreturn out"
KEPT = {
    "writes": ("for key in days:\n    write(key)\nreturn 1", "writes"),
    "posts": ("for key in days:\n    post(key)\nreturn 1", "writes"),
    "read then write": ("for key in days:\n    write(key, read(key))\nreturn 1", "writes"),
    "break": ("for key in days:\n    r = read(key)\n    if r:\n        break\nreturn r", "leaves the loop"),
    "return": (
        "for key in days:\n    r = read(key)\n    if r:\n        return r\nreturn None",
        "leaves the loop",
    ),
    "else": ("for key in days:\n    r = read(key)\nelse:\n    r = 1\nreturn r", "else"),
    "loop-carried value": (
        "r = 0\nfor key in days:\n    r = read(r)\nreturn r",
        "round itself or the one before",
    ),
    "loop-carried list": (
        "out = []\nfor key in days:\n    out.append(read(out))\nreturn out",
        "is changed in each round",
    ),
    "cursor": (
        "c = 0\nwhile c is not None:\n    p = read(c)\n    c = p['next']\nreturn p",
        "",
    ),
    "one argument object": (
        "p, out = {}, []\nfor key in days:\n    p['k'] = key\n    out.append(read(p))\nreturn out",
        "p is",
    ),
    "items added on the way": (
        "todo = [1]\nfor key in todo:\n    todo.extend(read(key))\nreturn todo",
        "is changed in each round",
    ),
    "pause": (
        "out = []\nfor key in days:\n    out.append(read(key))\n    time.sleep(1)\nreturn out",
        "paces",
    ),
    "unknown code": (
        "out = []\nfor key in days:\n    out.append(read(key))\n    mystery.tick()\nreturn out",
        "not known",
    ),
    "skipped before the call": (
        "for key in days:\n    if not key:\n        print()\n        continue\n    r = read(key)\nreturn r",
        "skipped before",
    ),
    "try": (
        "for key in days:\n    try:\n        r = read(key)\n    except ValueError:\n        r = 0\nreturn r",
        "",
    ),
    "cached": ("return [cached(key) for key in days]", "cache"),
    "shared session": ("return [shared(key) for key in days]", "SESSION"),
    "limited": ("return [limited(key) for key in days]", "limit"),
    "pure": ("return [clean([key]) for key in days]", "does not wait"),
    "any": ("return any(read(key) for key in days)", ""),
    "generator that is not used up": ("g = (read(key) for key in days)\nreturn next(g)", ""),
    "chained calls": ("return [other(read(key)) for key in days]", ""),
    "too many": ("return [read(key) for key in range(5000)]", "too many"),
    "too many by default": (
        "out = []\nfor key in range(n):\n    out.append(read(key))\nreturn out",
        "too many",
    ),
    "items out of a file": (
        "out = []\nwith open('x') as f:\n    for line in f:\n        out.append(read(line))\nreturn out",
        "open file",
    ),
    "on one line": ("out = []\nfor key in days: out.append(read(key))\nreturn out", "one line"),
    "the flow maps without a bound": ("read.map(days)\nreturn [read(key) for key in days]", ""),
}


@pytest.mark.parametrize(("body", "why"), KEPT.values(), ids=KEPT)
def test_rounds_that_may_see_one_another_are_left_alone(
    keeps: Callable[..., OptimizationPlan], body: str, why: str
) -> None:
    keeps(body, why, "@flow\ndef main(day='d', days=(), n=5000):")


@pytest.mark.parametrize(
    ("decorator", "after"),
    [
        ("@flow", f"@flow({RUNNER})"),
        ("@flow()", f"@flow({RUNNER})"),
        ("@flow(name='x')", f"@flow(name='x', {RUNNER})"),
        ("@flow(name='x',)", f"@flow(name='x', {RUNNER},)"),
        ("@flow(\n    name='x',\n)", f"@flow(\n    name='x',\n    {RUNNER},\n)"),
        ("@flow(task_runner=ThreadPoolTaskRunner())", f"@flow({RUNNER})"),
        ("@flow(task_runner=ThreadPoolTaskRunner)", f"@flow({RUNNER})"),
        (
            "@flow(task_runner=ThreadPoolTaskRunner(max_workers=9))",
            "@flow(task_runner=ThreadPoolTaskRunner(max_workers=9))",
        ),
    ],
)
def test_the_bound_is_added_in_the_layout_of_the_decorator(
    rewrites: Callable[..., OptimizationPlan], decorator: str, after: str
) -> None:
    before, expected = CHANGED["list"]
    plan = rewrites(before, expected, f"{decorator}\ndef main(days=()):")
    assert f"{after}\ndef main" in plan.source


@pytest.mark.parametrize("runner", ["mystery.Runner(2)", "RUNNER"])
def test_a_runner_that_is_not_known_is_left_alone(
    keeps: Callable[..., OptimizationPlan], runner: str
) -> None:
    keeps(
        "return [read(key) for key in days]",
        "not known to be bounded",
        f"@flow(task_runner={runner})\ndef main(days=()):",
    )


def test_an_async_fan_out_is_bounded_by_a_semaphore(rewrites: Callable[..., OptimizationPlan]) -> None:
    rewrites(
        "out = []\nfor key in days:\n    out.append(await aread(key, size=n))\nreturn out",
        """
        out = []
        aread_limit = asyncio.Semaphore(4)

        async def aread_limited(key):
            async with aread_limit:
                return await aread(key, size=n)

        aread_futures = [asyncio.create_task(aread_limited(key)) for key in days]
        for aread_future in aread_futures:
            out.append(await aread_future)
        return out
        """,
        "@flow\nasync def main(days=(), n=1):",
    )


def test_an_async_comprehension_is_bounded_too(rewrites: Callable[..., OptimizationPlan]) -> None:
    plan = rewrites(
        "return {key: await aread(key) for key in days}",
        """
        aread_limit = asyncio.Semaphore(4)

        async def aread_limited(key):
            async with aread_limit:
                return await aread(key)

        aread_futures = [(key, asyncio.create_task(aread_limited(key))) for key in days]
        return {key: await aread_future for key, aread_future in aread_futures}
        """,
        "@flow\nasync def main(days=()):",
    )
    assert "task_runner=" not in plan.source


def test_independent_awaits_overlap_and_fail_in_their_order(
    rewrites: Callable[..., OptimizationPlan],
) -> None:
    rewrites(
        "a = await aread(1)\nb = await aread(2)\nreturn a, b",
        """
        a_started = asyncio.create_task(aread(1))
        b_started = asyncio.create_task(aread(2))
        a = await a_started
        b = await b_started
        return a, b
        """,
        "@flow\nasync def main():",
    )


@pytest.mark.parametrize(
    "body",
    [
        "a = await aread(1)\nb = await aread(a)\nreturn b",
        "a = await aread(1)\nawait asyncio.sleep(1)\nb = await aread(2)\nreturn a, b",
        "a = aread(1)\nb = aread(2)\nreturn await a, await b",
        "async for key in mystery.keys():\n    await aread(key)",
    ],
    ids=["chain", "pause", "coroutines kept in variables", "async for"],
)
def test_awaits_that_depend_on_an_order_are_left_alone(
    keeps: Callable[..., OptimizationPlan], body: str
) -> None:
    keeps(body, "", "@flow\nasync def main():")


def test_submit_and_result_are_taken_apart(rewrites: Callable[..., OptimizationPlan]) -> None:
    plan = rewrites(
        "a = read.submit(1).result()\nb = read.submit(2).result()\nreturn a, b",
        """
        a_future = read.submit(1)
        b_future = read.submit(2)
        a = a_future.result()
        b = b_future.result()
        return a, b
        """,
    )
    assert [edit.rule for edit in plan.edits] == ["split_submit"]


def test_submitted_writes_that_are_waited_for_keep_their_order(
    keeps: Callable[..., OptimizationPlan],
) -> None:
    keeps("a = write.submit(1).result()\nb = write.submit(2).result()\nreturn a, b", "writes")
