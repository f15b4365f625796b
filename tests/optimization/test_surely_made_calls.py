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
