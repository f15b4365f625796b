"""The inside of a proof: runs versions of a flow in one Prefect session, in a process of its own.

Reads one job from standard input, writes one answer to standard output. Stands alone: the interpreter that
runs it needs prefect, not this package.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import importlib.util
import inspect
import json
import os
import random
import re
import struct
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.task_runners import TaskRunner

_MEMORY = 4 * 2**30
_FILE_SIZE = 256 * 2**20
_CPU_S = 300
_LONGEST_DELAY_S = 0.05
_SET_INTERFACE_FLAGS = 0x8914
"""SIOCSIFFLAGS of Linux (netdevice(7))."""


def limit_resources() -> None:
    """Bound memory, processor time and file size where the system can."""
    try:
        import resource
    except ImportError:  # not on this system; time is bounded from outside
        return
    for kind, limit in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_FSIZE, _FILE_SIZE),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def load(path: Path, name: str) -> ModuleType:
    """Import a source file under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _Pending:
    """Submitted tasks that have not begun."""

    def __init__(self) -> None:
        self.futures: list[_Deferred] = []

    def run_all(self) -> None:
        """Run what waits, the last submitted first."""
        for future in reversed(list(self.futures)):
            future.force()


class _Deferred:
    """A future whose task begins when any result is asked for; mixed into Prefect's own class."""

    def __init__(self, start: Callable[[], Any], upstream: list[_Deferred], pending: _Pending) -> None:
        super().__init__(uuid4())  # type: ignore[call-arg]
        self._start, self._upstream, self._pending = start, upstream, pending
        self._begun: Any = None
        pending.futures.append(self)

    def force(self) -> Any:
        """Run this task, what it depends on first."""
        if self in self._pending.futures:
            self._pending.futures.remove(self)
            for future in self._upstream:
                future.force()
            self._begun = self._start()
            self._begun.wait()
        return self._begun

    @property
    def task_run_id(self) -> Any:
        return self._begun.task_run_id if self._begun else self._task_run_id  # type: ignore[attr-defined]

    @property
    def state(self) -> Any:
        self._pending.run_all()
        return self._begun.state

    def wait(self, timeout: float | None = None) -> None:
        self._pending.run_all()
        self._begun.wait(timeout)

    def result(self, timeout: float | None = None, *arguments: Any, **options: Any) -> Any:
        self._pending.run_all()
        return self._begun.result(timeout, *arguments, **options)

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        self._pending.run_all()
        fn(self)


class _ReverseRunner:
    """A task runner that starts nothing before a result is asked for; mixed into Prefect's own class."""

    def __init__(self, threads: Any, future: type[_Deferred]) -> None:
        super().__init__()
        self._threads, self._future, self._waiting = threads, future, _Pending()

    def duplicate(self) -> Self:
        return type(self)(self._threads.duplicate(), self._future)

    def submit(self, task: Any, parameters: Any, wait_for: Any = None, dependencies: Any = None) -> Any:
        def start() -> Any:
            return self._threads.submit(task, parameters, wait_for, dependencies)

        return self._future(start, _upstream([parameters, list(wait_for or ())]), self._waiting)

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[misc]
        self._threads.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._waiting.run_all()
        self._threads.__exit__(*details)
        super().__exit__(*details)  # type: ignore[misc]


def _upstream(value: Any) -> list[_Deferred]:
    from prefect.utilities.collections import visit_collection

    found: list[_Deferred] = []

    def collect(item: Any) -> Any:
        if isinstance(item, _Deferred):
            found.append(item)
        return item

    visit_collection(value, visit_fn=collect, return_data=False)
    return found


def reverse_runner() -> TaskRunner[Any]:
    """Return a task runner that runs the last submitted task first, one at a time."""
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

    future = type("Deferred", (_Deferred, PrefectFuture), {})
    runner: Any = type("ReverseTaskRunner", (_ReverseRunner, TaskRunner), {})
    made: TaskRunner[Any] = runner(ThreadPoolTaskRunner(max_workers=4), future)
    return made


class ReverseAsyncio:
    """Stands for asyncio in a flow's namespace: what is started together runs one by one, the last first."""

    def __init__(self) -> None:
        self._pending: list[_Started] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def create_task(self, coroutine: Any, **_: Any) -> _Started:
        """Note a coroutine; it begins when any of the noted ones is waited for."""
        started = _Started(coroutine, self._run_all)
        self._pending.append(started)
        return started

    async def gather(self, *awaitables: Any, return_exceptions: bool = False) -> list[Any]:
        """Run the awaitables one by one, the last first; their results keep the order of the arguments."""
        started = [one if isinstance(one, _Started) else self.create_task(_waited(one)) for one in awaitables]
        await self._run_all()
        return await asyncio.gather(
            *(one.task for one in started if one.task), return_exceptions=return_exceptions
        )

    async def _run_all(self) -> None:
        while self._pending:
            last = self._pending.pop()
            last.task = asyncio.ensure_future(last.coroutine)
            await asyncio.wait({last.task})


class _Started:
    def __init__(self, coroutine: Any, run_all: Callable[[], Any]) -> None:
        self.coroutine, self._run_all = coroutine, run_all
        self.task: asyncio.Future[Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self._run_all().__await__()
        assert self.task is not None
        return (yield from self.task.__await__())


async def _waited(awaitable: Any) -> Any:
    return await awaitable


class DelayingAsyncio:
    """Stands for asyncio in a flow's namespace: what is started begins after a delay by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def create_task(self, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Start a coroutine, after a delay."""
        return asyncio.create_task(self._later(coroutine), **options)

    def gather(self, *awaitables: Any, return_exceptions: bool = False) -> Any:
        """Start awaitables, each after its own delay."""
        return asyncio.gather(*(self._later(one) for one in awaitables), return_exceptions=return_exceptions)

    async def _later(self, awaitable: Any) -> Any:
        await asyncio.sleep(self._chance.uniform(0, _LONGEST_DELAY_S))
        return await awaitable


def delayed(task: Any, seconds: float) -> Any:
    """Return a copy of a task whose function begins after a delay."""
    function, copied = task.fn, copy.copy(task)

    @functools.wraps(function)
    def waits(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return function(*arguments, **options)

    @functools.wraps(function)
    async def awaits(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(seconds)
        return await function(*arguments, **options)

    copied.fn = awaits if inspect.iscoroutinefunction(function) else waits
    is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return task if is_generator else copied


def delaying_runner(chance: random.Random) -> TaskRunner[Any]:
    """Return a task runner of four threads in which every task begins after a delay by chance."""
    from prefect.task_runners import ThreadPoolTaskRunner

    class DelayingTaskRunner(ThreadPoolTaskRunner):  # type: ignore[type-arg]
        def duplicate(self) -> Self:
            return type(self)(max_workers=4)

        def submit(self, task: Any, *arguments: Any, **options: Any) -> Any:
            return super().submit(delayed(task, chance.uniform(0, _LONGEST_DELAY_S)), *arguments, **options)

    made: TaskRunner[Any] = DelayingTaskRunner(max_workers=4)
    return made


def raise_loopback() -> None:
    """Switch on the loopback device of a network namespace of our own, where even that is down."""
    import fcntl
    import socket

    up_and_running = 0x1 | 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", up_and_running))


@contextlib.contextmanager
def replaced_asyncio(module: ModuleType, stand_in: Any) -> Iterator[None]:
    """Replace the asyncio module in a module's namespace."""
    names = [name for name, value in vars(module).items() if value is asyncio]
    for name in names:
        setattr(module, name, stand_in)
    try:
        yield
    finally:
        for name in names:
            setattr(module, name, asyncio)


def run_once(
    module: ModuleType, function: str, parameters: dict[str, Any], *, backwards: bool, seed: int | None = None
) -> dict[str, Any]:
    """Run a flow once and return what came of it: result or exception type, and seconds.

    ``seed`` delays each started task by chance, the same each time for one seed.
    """
    flow: Flow[Any, Any] = getattr(module, function)
    stand_in: Any = None
    if backwards:
        flow, stand_in = flow.with_options(task_runner=reverse_runner()), ReverseAsyncio()
    elif seed is not None:
        chance = random.Random(seed)  # noqa: S311 - delays, no secrets
        flow, stand_in = flow.with_options(task_runner=delaying_runner(chance)), DelayingAsyncio(chance)
    start = time.perf_counter()
    with replaced_asyncio(module, stand_in) if stand_in else contextlib.nullcontext():
        state: Any = flow(**parameters, return_state=True)
        if asyncio.iscoroutine(state):
            state = asyncio.run(_waited(state))
    seconds = time.perf_counter() - start
    value = state.result(raise_on_failure=False)
    failed = not state.is_completed()
    return {
        "error": type(value).__name__ if failed else None,
        "message": str(value)[:200] if failed else "",
        "result": None if failed else json.loads(json.dumps(value, default=_shown, sort_keys=True)),
        "seconds": seconds,
    }


def _shown(value: Any) -> str:
    """Return what is compared of a value that JSON does not know: its text, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{type(value).__name__}:{value!r}")


def reach_server() -> str:
    """Have Prefect's server answer, a temporary one where none was given, and return its address.

    Waiting for it is a read over HTTP too: within the first run it would be recorded as the flow's.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.hello()
        return str(client.api_url)


def main() -> None:
    """Read a job, run every version as often as it says, write all outcomes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a flow prints is no answer
    limit_resources()
    job = json.load(sys.stdin)
    if job["alone"]:
        raise_loopback()
    sys.path.insert(0, str(Path.cwd()))
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    server = reach_server()
    setup = load(Path("autopilot_stubs.py"), "autopilot_stubs") if job["setup"] else ModuleType("no_stubs")
    getattr(setup, "leave_out", lambda _: None)(server)
    runs: list[dict[str, Any]] = []
    # The heartbeat of a synchronous flow is joined at its end: it would round every time up to a second.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        for number, (version, backwards, seed) in enumerate(job["order"]):
            getattr(setup, "reset", lambda: None)()
            module = load(Path(f"{version}.py"), f"proof_{version}_{number}")
            given = dict(job["parameters"])
            outcome = run_once(module, job["function"], given, backwards=backwards, seed=seed)
            effects: list[Any] = getattr(setup, "effects", list)()
            told = json.loads(json.dumps(effects, default=_shown))
            runs.append(
                {"version": version, "backwards": backwards, "seed": seed, "effects": told, **outcome}
            )
    print(json.dumps(runs), file=answers, flush=True)


if __name__ == "__main__":
    main()
