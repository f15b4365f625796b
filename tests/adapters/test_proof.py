"""Equal or not: judged from runs, and run for real."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.proof import isolation, judge, proof_environment, prove, simulated
from prefect_autopilot.adapters.proof_session import DelayingAsyncio, ReverseAsyncio, delayed
from prefect_autopilot.errors import ProofError, UsageError
from prefect_autopilot.models import JSONDict


def run_of(version: str, *, backwards: bool = False, seconds: float = 1.0, **more: Any) -> JSONDict:
    base = {"error": None, "message": "", "result": 1, "effects": [["PUT", "a"], ["PUT", "b"], ["POST", "c"]]}
    return {"version": version, "backwards": backwards, "seconds": seconds, **base, **more}


def runs_with(**more: Any) -> list[JSONDict]:
    return [
        run_of("original"),
        run_of("original"),
        run_of("rewritten", **more),
        run_of("rewritten", backwards=True),
    ]


def test_equal_runs_are_a_proof_with_medians() -> None:
    runs = [run_of("original", seconds=3), run_of("original", seconds=5), run_of("original", seconds=4)]
    runs += [run_of("rewritten", seconds=2), run_of("rewritten", backwards=True, seconds=9)]
    proof = judge(runs)
    assert proof.equal
    assert (proof.n, proof.before_s, proof.after_s) == (3, 4, 2)
    assert (proof.before_range_s, proof.after_range_s) == ((3, 5), (2, 2)), "the reversed run is not timed"
    assert any("reverse order" in check for check in proof.checks)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"result": 2}, "result 2 instead of 1"),
        ({"error": "ValueError", "result": None}, "ValueError instead of no exception"),
        ({"effects": [["PUT", "b"], ["PUT", "a"], ["POST", "c"]]}, "order of effects"),
        ({"effects": [["PUT", "a"], ["PUT", "b"]]}, "other effects"),
    ],
)
def test_a_difference_is_told(more: JSONDict, reason: str) -> None:
    proof = judge(runs_with(**more))
    assert not proof.equal
    assert reason in proof.reason


def test_a_difference_in_reverse_order_counts() -> None:
    proof = judge([*runs_with()[:3], run_of("rewritten", backwards=True, result=7)])
    assert not proof.equal
    assert proof.reason.startswith("in reverse order")


def test_a_difference_under_delays_counts_and_is_not_timed() -> None:
    runs = [*runs_with(), run_of("rewritten", seed=4, result=7, seconds=99)]
    proof = judge(runs)
    assert not proof.equal
    assert proof.reason.startswith("with delays by chance (seed 4): result 7")
    equal = judge([*runs_with(), run_of("rewritten", seed=4, seconds=99)])
    assert equal.after_s == 1, "the delayed run is not timed"
    assert any("1 seeds" in check for check in equal.checks)


@pytest.mark.parametrize(
    ("parameters", "environment", "why"),
    [
        ({}, {"PREFECT_API_URL": "http://127.0.0.1:1/api"}, "a Prefect server outside"),
        ({"base": "http://127.0.0.1:9"}, {}, "a parameter is an address"),
        ({"deep": [{"url": "https://a.test"}]}, {}, "a parameter is an address"),
    ],
    ids=["server", "address", "address inside"],
)
def test_a_proof_that_needs_the_network_keeps_it_and_says_so(
    parameters: JSONDict, environment: dict[str, str], why: str
) -> None:
    prefix, told = isolation(parameters, environment)
    assert prefix == []
    assert why in told


def test_a_process_without_network_reaches_its_own_loopback_and_nothing_else() -> None:
    prefix, told = isolation({}, {})
    if not prefix:
        pytest.skip(told)
    with socket.socket() as outside:
        outside.bind(("127.0.0.1", 0))
        outside.listen()
        program = (
            "import socket\n"
            "from prefect_autopilot.adapters.proof_session import raise_loopback\n"
            "raise_loopback()\n"
            "own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()\n"
            "socket.create_connection(own.getsockname(), 3).close()\n"
            f"print(socket.socket().connect_ex(('127.0.0.1', {outside.getsockname()[1]})))\n"
        )
        done = subprocess.run(
            [*prefix, sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
        )
    assert int(done.stdout) == errno.ECONNREFUSED


def test_delays_by_chance_are_the_same_for_one_seed_and_change_no_value() -> None:
    async def order(seed: int) -> tuple[list[int], list[int]]:
        begun: list[int] = []
        stand_in = DelayingAsyncio(random.Random(seed))

        async def one(number: int) -> int:
            begun.append(number)
            return number

        first = stand_in.create_task(one(1))
        values = await stand_in.gather(one(2), one(3), one(4))
        return [await first, *values], begun

    for seed in range(3):
        values, begun = asyncio.run(order(seed))
        assert values == [1, 2, 3, 4]
        assert sorted(begun) == [1, 2, 3, 4]
    assert len({tuple(asyncio.run(order(seed))[1]) for seed in range(8)}) > 1


class _Task:
    """As much of a task as a copy with a delay needs."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn


def test_a_delayed_task_is_a_copy_that_gives_the_same() -> None:
    async def later(n: int) -> int:
        return n + 1

    def items(n: int) -> Any:
        yield n

    plain, generator = _Task(lambda n: n + 1), _Task(items)
    copied = delayed(plain, 0)
    assert copied is not plain
    assert copied.fn(1) == 2
    assert asyncio.run(delayed(_Task(later), 0).fn(1)) == 2
    assert delayed(generator, 0) is generator, "a generator is not delayed: it begins when it is read"


def test_effects_on_different_resources_may_change_places() -> None:
    assert judge(runs_with(effects=[["POST", "c"], ["PUT", "a"], ["PUT", "b"]])).equal


def test_the_same_exception_is_equal() -> None:
    runs = [{**run, "error": "KeyError", "result": None} for run in runs_with()]
    assert judge(runs).reason == "the same KeyError and effects in every run"


def test_an_original_that_is_not_equal_to_itself_proves_nothing() -> None:
    with pytest.raises(ProofError, match="does not do the same twice"):
        judge([run_of("original"), run_of("original", result=2), *runs_with()[2:]])


def test_nothing_of_the_environment_goes_along_but_what_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("PREFECT_API_KEY", "s3cret")
    environment = proof_environment(tmp_path, {"EXTRA": "1"})
    assert "s3cret" not in environment.values()
    assert environment["HOME"] == str(tmp_path)
    assert environment["EXTRA"] == "1"


def test_a_flow_that_removes_its_home_removes_only_what_was_made_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    persons, made = tmp_path / "person", tmp_path / "made"
    for folder in (persons, made):
        folder.mkdir()
        (folder / "letter").touch()
    monkeypatch.setenv("HOME", str(persons))
    removes = "import shutil, pathlib; shutil.rmtree(pathlib.Path.home())"
    subprocess.run([sys.executable, "-c", removes], env=proof_environment(made, {}), check=True)
    assert not made.exists()
    assert (persons / "letter").exists()


async def _fails(given: JSONDict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        await prove("", "", function="main", **given)


CASES: list[tuple[JSONDict, type[Exception], str]] = [
    ({"repeats": 1}, UsageError, "at least 2"),
    ({"parameters": {"a": object()}}, UsageError, "must be JSON"),
    ({"python": "/nowhere/python"}, ProofError, "cannot be started"),
    ({"timeout_s": 0.01}, ProofError, "did not end within"),
    ({"python": "/bin/false"}, ProofError, "could not be run"),
]


@pytest.mark.parametrize(("given", "error", "words"), CASES, ids=[case[2] for case in CASES])
def test_what_cannot_be_run_is_no_proof(given: JSONDict, error: type[Exception], words: str) -> None:
    asyncio.run(_fails(given, error, words))


def test_what_asyncio_starts_together_runs_backwards() -> None:
    async def check() -> tuple[list[int], list[int]]:
        done: list[int] = []

        async def work(number: int) -> int:
            await asyncio.sleep(0)
            done.append(number)
            return number

        reverse = ReverseAsyncio()
        first, second = reverse.create_task(work(1)), reverse.create_task(work(2))
        values = [await first, await second]
        values += await reverse.gather(work(3), work(4))
        return done, values

    done, values = asyncio.run(check())
    assert done == [2, 1, 4, 3]
    assert values == [1, 2, 3, 4]


FLOW = """
import time
from prefect import flow, task
from autopilot_stubs import slow_read, slow_write

@task
def read(key):
    return slow_read(key)

@task
def write(key):
    slow_write(key)
    return key

@flow
def main(last):
{body}
"""
STUBS = """
import time
LOG = []

def reset():
    LOG.clear()

def effects():
    return list(LOG)

def slow_read(key):
    time.sleep(0.5)
    if key == "bad":
        raise LookupError(key)
    return key * 2

def slow_write(key):
    time.sleep(0.05)
    LOG.append(["store", key])
"""


def flow_with(body: str) -> str:
    return FLOW.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


@pytest.mark.live
def test_a_right_rewrite_is_proven_with_its_gain_and_a_wrong_one_is_not(live_prefect: Any) -> None:
    async def check(before: str, after: str, last: str) -> Any:
        return await prove(
            flow_with(before),
            flow_with(after),
            function="main",
            parameters={"last": last},
            setup=STUBS,
            environment={"PREFECT_API_URL": live_prefect.url},
            python=sys.executable,
            repeats=2,
            timeout_s=50,
        )

    reads = "return [read('a'), read('b'), read(last)]"
    futures = "fs = [read.submit(k) for k in ('a', 'b', last)]\nreturn [f.result() for f in fs]"
    right = asyncio.run(check(reads, futures, "c"))
    assert right.equal, right.reason
    assert right.before_s - right.after_s > 0.2
    writes = "write('a')\nwrite('b')\nreturn last"
    raced = "fs = [write.submit('a'), write.submit('b')]\n[f.result() for f in fs]\nreturn last"
    wrong = asyncio.run(check(writes, raced, "c"))
    assert not wrong.equal
    assert "order of effects" in wrong.reason


FAILS = {"error": "ValueError", "result": None}


def failing(*said: str) -> list[JSONDict]:
    """Return runs that fail with these words, the first two of the original."""
    versions = ("original", "original", "rewritten")
    runs = [run_of(one, message=words, **FAILS) for one, words in zip(versions, said, strict=True)]
    return [*runs, run_of("rewritten", backwards=True, message=said[2], **FAILS)]


@pytest.mark.parametrize(
    ("said", "equal"),
    [
        pytest.param(("no rows", "no rows", "no rows"), True, id="the same words"),
        pytest.param(("no rows", "no rows", "no columns"), False, id="other words"),
        pytest.param(("<R at 0x7f1>", "<R at 0x7f2>", "<R at 0x7f3>"), True, id="addresses in memory"),
        pytest.param(
            ("after 0.31 s", "after 0.32 s", "after 0.11 s"), True, id="words that change each time"
        ),
    ],
)
def test_what_an_exception_says_is_compared_where_it_stays_the_same(
    said: tuple[str, str, str],
    equal: bool,  # noqa: FBT001  # a column
) -> None:
    proof = judge(failing(*said))
    assert proof.equal is equal
    assert equal or "'no columns' instead of 'no rows'" in proof.reason


SERVICES = """
from prefect import flow, task
from prefect_autopilot.tasks import call_service

@task
def issues(owner):
    return call_service.fn("github-default", "list_issues", repo="b", owner=owner)

@flow
def main():
    found = [{reads}]
    call_service("slack-default", "post_message", channel="#x", text={text})
    return len(found)
"""


@pytest.mark.live
def test_a_flow_that_calls_services_is_proven_against_simulated_ones(live_prefect: Any) -> None:
    def version(reads: str, text: str = "str(len(found))") -> str:
        return SERVICES.format(reads=reads, text=text)

    async def check(after: str) -> Any:
        return await prove(
            version("issues('a'), issues('c')"),
            after,
            function="main",
            setup=simulated(),
            environment={"PREFECT_API_URL": live_prefect.url},
            python=sys.executable,
            repeats=2,
            delays=1,
            timeout_s=50,
            must_succeed=True,
        )

    right = asyncio.run(check(version("f.result() for f in (issues.submit('a'), issues.submit('c'))")))
    assert right.equal, right.reason
    wrong = asyncio.run(check(version("issues('a'), issues('c')", "'two'")))
    assert not wrong.equal
    assert "effects" in wrong.reason
