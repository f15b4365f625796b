"""Only calls that are surely made are started; what is held, run elsewhere or set otherwise is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import OptimizationPlan

Check = Callable[..., OptimizationPlan]
STARTED = (
    "a_future = read.submit(1)\nb_future = other.submit(2)\na = a_future.result()\nb = b_future.result()"
)
PAIR = "a = read(1)\nb = other(2)\nreturn a, b"

EXPRESSIONS = {
    "sum": ("return read(1) + other(2)", "return read_future.result() + other_future.result()"),
    "tuple": ("return read(1), other(2)", "return read_future.result(), other_future.result()"),
    "dictionary": (
        "return {'a': read(1), 'b': other(2)}",
        "return {'a': read_future.result(), 'b': other_future.result()}",
    ),
    "formatted text": (
        "return f'{read(1)} {other(2)}'",
        "return f'{read_future.result()} {other_future.result()}'",
    ),
    "comparison of two": ("return read(1) < other(2)", "return read_future.result() < other_future.result()"),
    "keywords": (
        "return dict(a=read(1), b=other(2))",
        "return dict(a=read_future.result(), b=other_future.result())",
    ),
    "brackets": ("return (read(1)), (other(2))", "return (read_future.result()), (other_future.result())"),
    "head of a loop": (
        "for k in read(1) + other(2):\n    n += k\nreturn n",
        "for k in read_future.result() + other_future.result():\n    n += k\nreturn n",
    ),
}


@pytest.mark.parametrize(("before", "after"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_calls_that_are_both_made_overlap(rewrites: Check, before: str, after: str) -> None:
    rewrites(before, f"read_future = read.submit(1)\nother_future = other.submit(2)\n{after}")


MAYBE = {
    "and": "return read(1) and other(2)",
    "or": "return read(1) or other(2)",
    "and in a condition": "if read(1) and other(2):\n    return 1\nreturn 2",
    "not and": "if not (read(1) and other(2)):\n    return 1\nreturn 2",
    "either": "return read(1) if day else other(2)",
    "either in the head of a loop": "for k in (read(1) if day else other(2)):\n    n = k\nreturn n",
    "chained comparison": "return read(1) < n < other(2)",
    "lambda": "f = lambda: (read(1), other(2))\nreturn f()",
    "head of a while": "while read(1) and other(2):\n    n -= 1\nreturn n",
    "element under a condition": "return [read(k) if k else None for k in days]",
    "element behind an and": "return [k and read(k) for k in days]",
    "element that is a lambda": "return [lambda: read(k) for k in days]",
    "element that is a comprehension": "return [[read(a) for a in row] for row in days]",
    "value under a condition": "return {k: (read(k) if k else 0) for k in days}",
    "comprehension under a condition": "return [read(k) for k in days] if day else []",
    "comprehension behind an and": "return day and [read(k) for k in days]",
    "generator kept for later": "return max(days, default=(read(k) for k in days))",
    "round under a condition": "out = []\nfor k in days:\n    out.append(read(k) if k else 0)\nreturn out",
    "round behind an and": "for k in days:\n    if k and read(k):\n        n += 1\nreturn n",
    "items under an if": "for k in days:\n    for r in (read(k) if k else []):\n        n = r\nreturn n",
}


@pytest.mark.parametrize("body", MAYBE.values(), ids=MAYBE)
def test_calls_that_may_not_be_made_are_never_started(keeps: Check, body: str) -> None:
    keeps(body)


def test_of_a_condition_only_the_first_part_starts_early(rewrites: Check) -> None:
    rewrites(
        "a = read(0)\nif read(1) and other(2):\n    return a\nreturn 0",
        """
        a_future = read.submit(0)
        read_future = read.submit(1)
        a = a_future.result()
        if read_future.result() and other(2):
            return a
        return 0
        """,
    )


ELEMENTS = {
    "brackets": ("[(read(k)) for k in days]", "[(read_future.result()) for read_future in read_futures]", ""),
    "a bracket in a text": (
        "[read(k) for k in days if k != ']']",
        "[read_future.result() for read_future in read_futures]",
        " if k != ']'",
    ),
    "given by name": (
        "dict(a=[read(k) for k in days])",
        "dict(a=[read_future.result() for read_future in read_futures])",
        "",
    ),
    "joined": (
        "','.join(str(read(k)) for k in days)",
        "','.join(str(read_future.result()) for read_future in read_futures)",
        "",
    ),
}


@pytest.mark.parametrize(("before", "after", "condition"), ELEMENTS.values(), ids=ELEMENTS)
def test_elements_keep_their_own_text(rewrites: Check, before: str, after: str, condition: str) -> None:
    rewrites(f"return {before}", f"read_futures = [read.submit(k) for k in days{condition}]\nreturn {after}")


@pytest.mark.parametrize("target", ["STATE['k']", "day.k", "(day.k, n)", "[STATE['k'], n]"])
def test_items_that_are_put_into_an_object_keep_their_rounds(keeps: Check, target: str) -> None:
    keeps(f"for {target} in days:\n    a = read(n)\nreturn a", "is put into")


HELD = {
    "lock of the flow": "import threading\nlock = threading.Lock()\nwith lock:",
    "lock of the module": "with STATE['lock']:",
    "lock of the caller": "with day:",
    "lock of an object": "with day.lock:",
    "limit": "with concurrency('db', occupy=1):",
    "something unknown": "with mystery.session():",
    "one of two": "with open('x') as f, concurrency('db', occupy=1):",
}


@pytest.mark.parametrize("head", HELD.values(), ids=HELD)
def test_what_is_done_while_something_is_held_is_left_alone(keeps: Check, head: str) -> None:
    keeps(f"{head}\n    a = read(1)\n    b = other(2)\nreturn a, b")


def test_what_is_done_while_an_async_gate_is_held_is_left_alone(keeps: Check) -> None:
    keeps(
        "gate = asyncio.Lock()\nasync with gate:\n    a = await aread(1)\n    b = await aread(2)\nreturn b",
        signature="@flow\nasync def main():",
    )


@pytest.mark.parametrize("options", ["name='One'", "retries=2, retry_delay_seconds=1", "timeout_seconds=9"])
def test_harmless_options_of_a_call_stay_with_it(rewrites: Check, options: str) -> None:
    first = f"read.with_options({options})"
    rewrites(PAIR.replace("read(", f"{first}("), f"{STARTED.replace('read.', f'{first}.')}\nreturn a, b")


@pytest.mark.parametrize(
    "options",
    ["tags=['db']", "cache_policy=INPUTS", "on_failure=[print]", "**STATE", "name=str(time.time())"],
)
def test_other_options_keep_the_call_where_it_is(keeps: Check, options: str) -> None:
    keeps(PAIR.replace("read(", f"read.with_options({options})("))


RUNNER_LINES = (
    "from prefect.task_runners import ProcessPoolTaskRunner\nfrom prefect_dask import DaskTaskRunner\n"
    "RUNNER = None\n\n\n"
)


@pytest.mark.parametrize(
    "runner", ["ThreadPoolTaskRunner()", "ThreadPoolTaskRunner", "ThreadPoolTaskRunner(max_workers=2)"]
)
def test_calls_leave_the_flows_thread_for_threads_of_its_process(rewrites: Check, runner: str) -> None:
    signature = f"{RUNNER_LINES}@flow(task_runner={runner})\ndef main():"
    rewrites(PAIR, f"{STARTED}\nreturn a, b", signature)


@pytest.mark.parametrize("given", ["task_runner=ProcessPoolTaskRunner()", "task_runner=RUNNER", "**STATE"])
def test_calls_do_not_leave_the_flows_thread_for_anything_else(keeps: Check, given: str) -> None:
    keeps(PAIR, "flow", f"{RUNNER_LINES}@flow({given})\ndef main():")
