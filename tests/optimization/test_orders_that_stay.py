"""Calls whose order, number or moment somebody could notice: each is left where it stands, to the byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import OptimizationPlan

Check = Callable[..., OptimizationPlan]
SYNC = "@flow\ndef main(day='d', days=(), n=3):"
ASYNC = "@flow\nasync def main(day='d', days=(), n=3):"

LEAVING = {
    "a return in a branch": "a = read(1)\nif not a:\n    return None\nb = read(2)\nreturn a, b",
    "a raise in a branch": "a = read(1)\nif not a:\n    raise ValueError(day)\nb = read(2)\nreturn a, b",
    "a match": "a = read(1)\nmatch a:\n    case None:\n        return 0\nb = read(2)\nreturn a, b",
    "an assert": "a = read(1)\nassert a, day\nb = read(2)\nreturn a, b",
    "a while": "a = read(1)\nwhile n > 1:\n    n -= 1\nb = read(2)\nreturn a, b",
    "a call in a return alone": "a = read(1)\nreturn a if a else read(2)",
    "a loop with a return": "a = read(1)\nfor k in days:\n    return k\nb = read(2)\nreturn a, b",
    "an exit": "a = read(1)\nif not a:\n    raise SystemExit(1)\nreturn read(2)",
}


TRIES = {
    "two handlers of their own": (
        "try:\n    a = read(1)\nexcept ValueError:\n    a = 0\n"
        "try:\n    b = read(2)\nexcept ValueError:\n    b = 0\nreturn a, b"
    ),
    "before and inside": "a = read(1)\ntry:\n    b = read(2)\nexcept ValueError:\n    b = 0\nreturn a, b",
    "body and else": "try:\n    a = read(1)\nexcept OSError:\n    a = 0\nelse:\n    n = read(2)\nreturn a, n",
    "body and handler": "try:\n    a = read(1)\nexcept ValueError:\n    a = read(2)\nreturn a",
    "body and finally": "try:\n    a = read(1)\nfinally:\n    n = read(2)\nreturn a, n",
    "handler after handler": (
        "try:\n    n = 1\nexcept ValueError:\n    n = read(1)\nexcept KeyError:\n    n = read(2)\nreturn n"
    ),
    "a fan-out that forgives each item": (
        "out = []\nfor k in days:\n    try:\n        out.append(read(k))\n"
        "    except ValueError:\n        continue\nreturn out"
    ),
}


INSIDE = {
    "handler": "try:\n    n = 1\nexcept ValueError:\n{}\nreturn a, b",
    "finally": "try:\n    n = 1\nfinally:\n{}\nreturn a, b",
    "else of an if": "if day:\n    a = b = 0\nelse:\n{}\nreturn a, b",
    "case": "match day:\n    case 'd':\n{}\nreturn a, b",
    "body of a while": "while n:\n{}\n    n = a - b\nreturn n",
}
PAIR = "{0}a = read(1)\n{0}b = read(2)"
STARTED = "a_future = read.submit(1)\nb_future = read.submit(2)\na = a_future.result()\nb = b_future.result()"


@pytest.mark.parametrize("frame", INSIDE.values(), ids=INSIDE)
def test_two_reads_of_one_block_overlap_inside_that_block(rewrites: Check, frame: str) -> None:
    pad = " " * (8 if "case" in frame else 4)
    started = "\n".join(f"{pad}{line}" for line in STARTED.splitlines())
    rewrites(frame.format(PAIR.format(pad)), frame.format(started))


YIELDS = {
    "between": "a = read(1)\nyield a\nb = read(2)\nyield b",
    "as the value that is sent": "a = read(1)\nn = yield a\nb = read(2)\nyield n, b",
    "in each round": "for k in days:\n    yield read(k)",
    "after the call in each round": "for k in days:\n    a = read(k)\n    yield a",
    "from": "a = read(1)\nyield from days\nb = read(2)\nyield a, b",
}


REBOUND = {
    "the task": "read = write\na = read(1)\nb = read(2)\nreturn a, b",
    "the task by a parameter": "a = n(1)\nb = n(2)\nreturn a, b",
    "the argument by an unpacking": "a = read(n)\n(n, m) = a\nb = read(n)\nreturn b, m",
    "the argument by a star": "a = read(n)\nn, *m = a\nb = read(n)\nreturn b, m",
    "the argument by an addition": "a = read(n)\nn += a\nb = read(n)\nreturn b",
    "the argument by a walrus": "a = read(n)\nx = (n := a)\nb = read(n)\nreturn b, x",
    "the argument by an import": "a = read(n)\nimport os as n\nb = read(n)\nreturn a, b",
    "an item of the argument": "p = {}\na = read(p)\np['a'] = a\nb = read(p)\nreturn b",
    "an attribute of the argument": "a = read(day)\nday.n = a\nb = read(day)\nreturn b",
    "a part that is deleted": "p = dict(days)\na = read(p)\ndel p['a']\nb = read(p)\nreturn a, b",
    "the name that is deleted": "p = 1\na = read(p)\ndel p\nb = read(2)\nreturn a, b",
    "the argument by an alias": "p = {}\nq = p\na = read(p)\nq['x'] = 1\nb = read(p)\nreturn a, b",
    "the argument by a method": "p = set()\na = read(p)\np.add(1)\nb = read(p)\nreturn a, b",
    "a part of the argument by an alias": (
        "p = {'x': []}\nq = p['x']\na = read(p)\nq.append(1)\nb = read(p)\nreturn a, b"
    ),
}


ROUNDS = {
    "a name that the next round reads": "p = 0\nfor k in days:\n    r = read(p)\n    p = r['next']\nreturn p",
    "a sum as the argument": "s = 0\nfor k in days:\n    s += read(s)\nreturn s",
    "a loop of writes around a read": "for k in days:\n    r = read(k)\n    write(k, r)\nreturn n",
    "a post after each read": "out = []\nfor k in days:\n    out.append(read(k))\n    post(k)\nreturn out",
    "items of code that nobody knows": "for k in iter_all(days):\n    r = read(k)\nreturn r",
    "items that the rounds take out": "todo = list(days)\nfor k in todo:\n    r = read(k)\n"
    "    todo.remove(k)\nreturn r",
    "a lock in each round": "for k in days:\n    with mystery.lock():\n        r = read(k)\nreturn r",
    "a break of the outer loop": "for k in days:\n    for j in k:\n        n = j\n    r = read(k)\n"
    "    if r:\n        break\nreturn r",
    "a stamp in each round": "out = []\nfor k in days:\n    out.append(read(time.time()))\nreturn out",
    "a session handed on": "c = httpx.Client()\nreturn [read(k, c) for k in days]",
    "an iterator that rounds share": "it = iter(days)\nreturn [read(it) for k in days]",
    "a comprehension that assigns": "return [(n := read(k)) for k in days], n",
    "two calls for each item": "return [(read(k), other(k)) for k in days]",
    "a while": "out = []\nwhile len(out) < n:\n    out.append(read(len(out)))\nreturn out",
}


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


HELD = {
    "lock of the flow": "import threading\nlock = threading.Lock()\nwith lock:",
    "lock of the module": "with STATE['lock']:",
    "lock of the caller": "with day:",
    "lock of an object": "with day.lock:",
    "limit": "with concurrency('db', occupy=1):",
    "something unknown": "with mystery.session():",
    "one of two": "with open('x') as f, concurrency('db', occupy=1):",
}


STAYING = {
    "behind an exit": LEAVING,
    "its handler": TRIES,
    "behind a yield": YIELDS,
    "its argument": REBOUND,
    "rounds": ROUNDS,
    "not surely made": MAYBE,
    "held": {name: f"{head}\n    a = read(1)\n    b = other(2)\nreturn a, b" for name, head in HELD.items()},
}
BODIES = {f"{why}: {name}": body for why, table in STAYING.items() for name, body in table.items()}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_call_stays_where_its_order_its_number_or_its_moment_could_be_noticed(
    keeps: Check, body: str
) -> None:
    keeps(body)


AWAITS = {
    "a sleep between": "a = await aread(1)\nawait asyncio.sleep(1)\nb = await aread(2)\nreturn a, b",
    "a write between": "a = await aread(1)\nwrite('k', a)\nb = await aread(2)\nreturn a, b",
    "the value of the first": "a = await aread(1)\nb = await aread(a)\nreturn b",
    "a part of the first": "a = await aread(1)\nb = await aread(a['next'])\nreturn b",
    "a branch": "a = await aread(1)\nif a:\n    return a\nreturn await aread(2)",
    "behind an and": "return await aread(1) and await aread(2)",
    "in a lock": "async with mystery.lock():\n    a = await aread(1)\n    b = await aread(2)\nreturn a, b",
    "an await of a sync task": "a = await read(1)\nb = await read(2)\nreturn a, b",
    "a yield between": "a = await aread(1)\nyield a\nb = await aread(2)\nyield b",
    "for its effect": "await aread(1)\nawait aread(2)\nreturn 1",
    "polling": "while not await aread(1):\n    n = 1\nreturn n",
    "an async generator": "return [r async for r in mystery.rows(await aread(1))]",
    "a break": "for k in days:\n    r = await aread(k)\n    if r:\n        break\nreturn r",
    "in a lock of its own": (
        "gate = asyncio.Lock()\nasync with gate:\n    a = await aread(1)\n    b = await aread(2)\nreturn b"
    ),
}


@pytest.mark.parametrize("body", AWAITS.values(), ids=AWAITS)
def test_awaits_that_follow_one_another_for_a_reason_still_do(keeps: Check, body: str) -> None:
    keeps(body, "", ASYNC)


@pytest.mark.parametrize("call", ["aread(1)", "await read(1)"], ids=["not awaited", "awaited for nothing"])
def test_a_coroutine_is_never_taken_for_a_value(keeps: Check, call: str) -> None:
    keeps(f"a = {call}\nb = await aread(2)\nreturn a, b", "", ASYNC)


@pytest.mark.parametrize("word", ["wait_for=[a]", "return_state=True"])
@pytest.mark.parametrize("form", ["read(2, {})", "read.submit(2, {}).result()"], ids=["call", "submit"])
def test_a_call_that_orders_itself_is_not_moved(keeps: Check, word: str, form: str) -> None:
    keeps(f"a = day\nc = other(1)\nb = {form.format(word)}\nreturn a, b, c")


@pytest.mark.parametrize("form", ["read.submit(1)", "read.map(days)", "read.fn(1)", "read.delay(1)"])
def test_what_is_started_already_or_runs_without_prefect_is_not_started_again(
    keeps: Check, form: str
) -> None:
    keeps(f"a = {form}\nb = {form}\nreturn a, b", "", SYNC)
