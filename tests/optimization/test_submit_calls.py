"""Independent reads are submitted; everything else stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import OptimizationPlan, Strategy
from prefect_autopilot.optimization import optimize

CHANGED = {
    "two reads": (
        """
        a = read(1)
        b = other(2)
        return a, b
        """,
        """
        a_future = read.submit(1)
        b_future = other.submit(2)
        a = a_future.result()
        b = b_future.result()
        return a, b
        """,
    ),
    "a log line between them": (
        """
        log = get_run_logger()
        a = read(1)
        log.info("got %s", a)
        b = other(2)
        return a, b
        """,
        """
        log = get_run_logger()
        a_future = read.submit(1)
        b_future = other.submit(2)
        a = a_future.result()
        log.info("got %s", a)
        b = b_future.result()
        return a, b
        """,
    ),
    "a chain beside a read": (
        """
        a = read(1)
        b = other(a)
        c = read(2)
        return b, c
        """,
        """
        a_future = read.submit(1)
        b_future = other.submit(a_future)
        c_future = read.submit(2)
        a = a_future.result()
        b = b_future.result()
        c = c_future.result()
        return b, c
        """,
    ),
    "a value of which a part is passed waits for it": (
        """
        a = read(1)
        b = other(a["id"])
        c = read(2)
        return b, c
        """,
        """
        a_future = read.submit(1)
        c_future = read.submit(2)
        a = a_future.result()
        b_future = other.submit(a["id"])
        b = b_future.result()
        c = c_future.result()
        return b, c
        """,
    ),
    "reads before a write": (
        """
        a = read(1)
        b = read(2)
        write("k", [a, b])
        return b
        """,
        """
        a_future = read.submit(1)
        b_future = read.submit(2)
        a = a_future.result()
        b = b_future.result()
        write("k", [a, b])
        return b
        """,
    ),
    "inside one call": (
        """
        return clean([read(1), other(2)])
        """,
        """
        read_future = read.submit(1)
        other_future = other.submit(2)
        return clean([read_future.result(), other_future.result()])
        """,
    ),
    "as arguments of a write": (
        """
        write(read(1), other(2))
        return day
        """,
        """
        read_future = read.submit(1)
        other_future = other.submit(2)
        write(read_future.result(), other_future.result())
        return day
        """,
    ),
    "inside try": (
        """
        try:
            a = read(1)
            b = read(2)
        except ValueError:
            a = b = None
        return a, b
        """,
        """
        try:
            a_future = read.submit(1)
            b_future = read.submit(2)
            a = a_future.result()
            b = b_future.result()
        except ValueError:
            a = b = None
        return a, b
        """,
    ),
    "with annotations, tuples and a comment": (
        """
        a: dict = read(1)  # first
        b, c = read(2)
        return a, b, c
        """,
        """
        a_future = read.submit(1)
        read_future = read.submit(2)
        a: dict = a_future.result()  # first
        b, c = read_future.result()
        return a, b, c
        """,
    ),
    "in the head of a block": (
        """
        a = read(1)
        if read(2):
            return a
        return None
        """,
        """
        a_future = read.submit(1)
        read_future = read.submit(2)
        a = a_future.result()
        if read_future.result():
            return a
        return None
        """,
    ),
    "with the cache switched off": (
        """
        a = uncached(1)
        b = uncached(2)
        return a, b
        """,
        """
        a_future = uncached.submit(1)
        b_future = uncached.submit(2)
        a = a_future.result()
        b = b_future.result()
        return a, b
        """,
    ),
    "with a name that is taken": (
        """
        a_future = 1
        a = read(1)
        b = read(2)
        return a, b, a_future
        """,
        """
        a_future = 1
        a_future_2 = read.submit(1)
        b_future = read.submit(2)
        a = a_future_2.result()
        b = b_future.result()
        return a, b, a_future
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_independent_reads_wait_at_the_same_time(
    rewrites: Callable[..., OptimizationPlan], before: str, after: str
) -> None:
    rewrites(before, after)


KEPT = {
    "one needs the other": ("a = read(1)\nb = other(a)\nreturn b", ""),
    "writes": ("a = write(1)\nb = write(2)\nreturn a, b", "writes"),
    "posts": ("a = post(1)\nb = post(2)\nreturn a, b", "writes"),
    "a write between": ("a = read(1)\nwrite('k')\nb = read(2)\nreturn a, b", "for its effect"),
    "a write whose value is used": ("a = read(1)\nk = write('k')\nb = read(2)\nreturn a, b, k", ""),
    "calls for their effect": ("read(1)\nread(2)\nreturn 1", "for its effect"),
    "a value that nobody uses": ("ok = read(1)\nb = read(2)\nreturn b", "does not use its value"),
    "what is not known": ("a = strange(1)\nb = strange(2)\nreturn a, b", "is not known"),
    "unknown code between": ("a = read(1)\nmystery.lock()\nb = read(2)\nreturn a, b", ""),
    "pure": ("a = clean([1])\nb = clean([2])\nreturn a, b", "does not wait for anything"),
    "cached": ("a = cached(1)\nb = cached(1)\nreturn a, b", "miss the cache"),
    "clock": ("a = stamped(1)\nb = stamped(2)\nreturn a, b", "clock or chance"),
    "pauses in the task": ("a = paced(1)\nb = paced(2)\nreturn a, b", "pauses"),
    "pause in the flow": ("a = read(1)\ntime.sleep(1)\nb = read(2)\nreturn a, b", ""),
    "a limit in the docstring": ("a = limited(1)\nb = limited(2)\nreturn a, b", "speaks of a limit"),
    "an order in a comment": ("a = read(1)  # one at a time, please\nb = read(2)\nreturn a, b", "at a time"),
    "a shared session": ("a = shared(1)\nb = shared(2)\nreturn a, b", "SESSION"),
    "a changed argument": ("rows = []\na = changing(rows)\nb = changing(rows)\nreturn a, b", "changes rows"),
    "generators": ("a = stream(1)\nb = stream(2)\nreturn a, b", "generator"),
    "marked keep": ("a = kept(1)\nb = kept(2)\nreturn a, b", "marked keep"),
    "a line marked keep": ("a = read(1)  # autopilot: keep\nb = read(2)\nreturn a, b", "keep"),
    "an iterator": ("rows = iter(days)\na = read(rows)\nb = read(rows)\nreturn a, b", "iterator"),
    "a connection": ("c = httpx.Client()\na = read(c)\nb = read(c)\nreturn a, b", "connection"),
    "an order by wait_for": ("a = read(1)\nb = read(2, wait_for=[a])\nreturn a, b", ""),
    "an if between": ("a = read(1)\nif a:\n    return a\nb = read(2)\nreturn b", ""),
    "inside an expression that may not be evaluated": ("a = read(1)\nreturn a or read(2)", ""),
    "in a conditional expression": ("return read(1) if day else read(2)", ""),
    "an assert between": ("a = read(1)\nassert a\nb = read(2)\nreturn b", ""),
    "different branches": ("if day:\n    a = read(1)\nelse:\n    a = read(2)\nreturn a", ""),
    "in and after a try": ("try:\n    a = read(1)\nfinally:\n    n = 1\nb = read(2)\nreturn a, b, n", ""),
    "inside a limit": (
        "with concurrency('db', occupy=1):\n    a = read(1)\n    b = read(2)\nreturn a, b",
        "",
    ),
    "inside something unknown": ("with mystery.lock():\n    a = read(1)\n    b = read(2)\nreturn a, b", ""),
    "behind a rate limit": ("a = read(1)\nrate_limit('api')\nb = read(2)\nreturn a, b", ""),
    "a changed environment": ("a = read(1)\nos.environ['A'] = '1'\nb = read(2)\nreturn a, b", ""),
    "changed state": ("a = read(1)\nSTATE['a'] = 1\nb = read(2)\nreturn a, b", ""),
    "an argument that reads the clock": ("a = read(1)\nb = read(time.time())\nreturn a, b", ""),
    "two statements on a line": ("a = read(1); b = read(2)\nreturn a, b", "one line"),
}


@pytest.mark.parametrize(("body", "why"), KEPT.values(), ids=KEPT)
def test_what_must_keep_its_order_is_left_alone(
    keeps: Callable[..., OptimizationPlan], body: str, why: str
) -> None:
    keeps(body, why)


def test_an_object_that_is_changed_between_two_calls_is_passed_as_it_was(
    keeps: Callable[..., OptimizationPlan],
) -> None:
    keeps("p = {'n': 1}\na = read(p)\np['n'] = 2\nb = read(p)\nreturn a, b")


def test_an_object_changed_through_another_name_counts_as_changed(
    keeps: Callable[..., OptimizationPlan],
) -> None:
    keeps("rows = []\np = {'rows': rows}\na = read(p)\nrows.append(1)\nb = read(p)\nreturn a, b")


def test_an_object_that_no_call_sees_may_be_changed(rewrites: Callable[..., OptimizationPlan]) -> None:
    rewrites(
        "rows = []\na = read(1)\nrows.append(a)\nb = read(2)\nrows.append(b)\nreturn rows",
        """
        rows = []
        a_future = read.submit(1)
        b_future = read.submit(2)
        a = a_future.result()
        rows.append(a)
        b = b_future.result()
        rows.append(b)
        return rows
        """,
    )


@pytest.mark.parametrize(
    "signature",
    [
        "@flow  # autopilot: keep\ndef main():",
        "@mystery.wrap\n@flow\ndef main():",
        '@flow\ndef main():\n    """Read; at most three per second."""',
        "# the shop throttles us\n@flow\ndef main():",
    ],
    ids=["marked", "decorated", "docstring", "comment"],
)
def test_a_flow_that_asks_for_it_is_left_alone(
    keeps: Callable[..., OptimizationPlan], signature: str
) -> None:
    keeps("a = read(1)\nb = read(2)\nreturn a, b", "", signature)


def test_a_single_call_is_not_even_mentioned(keeps: Callable[..., OptimizationPlan]) -> None:
    plan = keeps("return read(1)")
    assert plan.rejected == ()


def test_every_edit_says_why_with_evidence_and_how_to_undo_it(
    rewrites: Callable[..., OptimizationPlan],
) -> None:
    before, after = CHANGED["two reads"]
    plan = rewrites(before, after)
    (edit,) = plan.edits
    assert edit.rule == "submit_calls"
    assert "read, other" in edit.reason
    assert any("requests.get" in line for line in edit.evidence)
    assert edit.undo
    assert edit.expected_saving_s is None


@pytest.mark.parametrize(
    "comment",
    [
        "# at most two calls at a time",
        "# only 3 at once",
        "# rate limited: 5 per minute",
        "# must not be called in parallel",
        "# order matters here",
        "# MAX_CONCURRENT is 2",
        "# not thread-safe",
    ],
)
def test_a_comment_that_states_a_limit_or_an_order_is_respected(
    keeps: Callable[..., OptimizationPlan], comment: str
) -> None:
    keeps(f"a = read(1)  {comment}\nb = read(2)\nreturn a, b", "speaks of a limit")


@pytest.mark.parametrize(
    "comment",
    [
        "# one by one today",
        "# these could run at once",
        "# independent of the orders",
        "# could be concurrent",
    ],
)
def test_a_comment_that_describes_the_flow_is_no_limit(
    rewrites: Callable[..., OptimizationPlan], comment: str
) -> None:
    rewrites(
        f"a = read(1)  {comment}\nb = read(2)\nreturn a, b",
        f"""
        a_future = read.submit(1)
        b_future = read.submit(2)
        a = a_future.result()  {comment}
        b = b_future.result()
        return a, b
        """,
    )


GIVEN = {
    "a connection": ("psycopg2.connect('x')", "pd.read_sql('SELECT 1', CONN)", False),
    "a connection by keyword": ("psycopg2.connect('x')", "pd.read_sql('SELECT 1', con=CONN)", False),
    "an engine": ("create_engine('postgresql://x')", "pd.read_sql('SELECT 1', CONN)", True),
}


@pytest.mark.parametrize(("made", "used", "changed"), GIVEN.values(), ids=GIVEN)
def test_a_connection_that_a_library_is_given_is_not_shared_by_threads(
    made: str, used: str, *, changed: bool
) -> None:
    source = (
        "import pandas as pd, psycopg2\nfrom prefect import flow, task\n"
        "from sqlalchemy import create_engine\n"
        f"CONN = {made}\n\n@task\ndef a(key):\n    return {used}\n\n"
        "@flow\ndef main():\n    x = a(1)\n    y = a(2)\n    return x, y\n"
    )
    plan = optimize(source, file="flow.py", strategy=Strategy.PERFORMANCE)
    assert plan.changed is changed


@pytest.mark.parametrize(("count", "bounded"), [(2, False), (4, False), (5, True), (12, True)])
def test_more_calls_than_workers_are_bounded(count: int, *, bounded: bool) -> None:
    body = "\n".join(f"    v{n} = read({n})" for n in range(count))
    source = (
        "import requests\nfrom prefect import flow, task\n\n\n@task(retries=1, retry_delay_seconds=1)\n"
        'def read(key):\n    return requests.get(f"https://a.test/{key}", timeout=3).json()\n\n\n'
        f"@flow\ndef main():\n{body}\n    return [{', '.join(f'v{n}' for n in range(count))}]\n"
    )
    plan = optimize(source, file="f.py", strategy=Strategy.PERFORMANCE)
    assert plan.source.count("read.submit(") == count
    assert ("@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))" in plan.source) is bounded
    assert optimize(plan.source, file="f.py", strategy=Strategy.PERFORMANCE).source == plan.source
