"""Processes that run one preview each; a spare one has its imports made before it is needed.

Importing Prefect takes longer than most previews. A process serves one preview and is ended with all it
started; nothing of one preview is seen by the next.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from prefect_autopilot.models import JSONDict

IDLE_S = 600
"""Seconds after which a spare process that nobody needed ends by itself."""

_RUNNER = """
import json, os, runpy, select, sys
try:
    import resource
except ImportError:
    pass
else:
    for kind, limit in ((resource.RLIMIT_CPU, 120), (resource.RLIMIT_FSIZE, 256 * 2**20)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
import prefect.client.orchestration, prefect.flow_engine, prefect.task_engine, prefect.states
import prefect_autopilot.adapters.services, prefect_autopilot.tasks
from prefect_autopilot.services import load_catalogue
load_catalogue()
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    sys.exit(0)
line = sys.stdin.readline()
if line:
    job = json.loads(line)
    os.environ.update(job["environment"])
    flow = runpy.run_path(job["path"], run_name="preview")[job["function"]]
    if "sleep" in flow.fn.__globals__:
        flow.fn.__globals__["sleep"] = lambda seconds: None
    flow.with_options(name=job["name"])(**job["parameters"])
"""


class PreviewWorker:
    """One process with a home of its own, in a session of its own; used once, as a context."""

    def __init__(self, environment: Callable[[Path], Mapping[str, str]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="autopilot-preview-")
        self.home = Path(self._folder.name)
        self.environment = dict(environment(self.home))
        self._killed = False
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own text
            [sys.executable, "-c", _RUNNER, str(IDLE_S)],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def is_alive(self) -> bool:
        """Whether the process can still take its preview."""
        return self._process.poll() is None

    async def run(self, job: JSONDict, timeout_s: float) -> tuple[int, bytes]:
        """Run one preview and return exit code and error output; raises TimeoutError."""
        given = json.dumps(job).encode() + b"\n"
        try:
            _, output = await asyncio.to_thread(self._process.communicate, given, timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            self._kill()
        return self._process.returncode, output

    def end(self) -> None:
        """End the process and what it started (a temporary Prefect server is its child); remove its home."""
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was not sent yet has no reader left
                    pipe.close()
        self._folder.cleanup()

    def _kill(self) -> None:
        if self._killed:
            return
        self._killed = True  # once it is reaped, its id may be somebody else's
        with contextlib.suppress(ProcessLookupError):  # all of it may have ended already
            # Its own session makes the group's id its own: nobody else is in it.
            os.killpg(self._process.pid, signal.SIGKILL)


class PreviewWorkers:
    """At most one spare process, for the environment the last preview had."""

    def __init__(self) -> None:
        self._spare: PreviewWorker | None = None
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def take(self, environment: Callable[[Path], Mapping[str, str]]) -> PreviewWorker:
        """Return the spare process where it fits the environment, else a new one."""
        with self._lock:
            spare, self._spare = self._mine(), None
        if spare is not None and spare.is_alive and spare.environment == environment(spare.home):
            return spare
        if spare is not None:
            spare.end()
        return PreviewWorker(environment)

    def warm(self, environment: Callable[[Path], Mapping[str, str]]) -> None:
        """Start a spare process unless there is one; it is ended with this process."""
        with self._lock:
            spare = self._mine()
            if spare is not None and spare.is_alive:
                return
            if spare is not None:
                spare.end()
            self._spare, self._owner = PreviewWorker(environment), os.getpid()
        atexit.unregister(self.close)
        atexit.register(self.close)

    def close(self) -> None:
        """End the spare process."""
        with self._lock:
            spare, self._spare = self._mine(), None
        if spare is not None:
            spare.end()

    def _mine(self) -> PreviewWorker | None:
        """Return the spare process; a forked child leaves its parent's alone."""
        return self._spare if self._owner == os.getpid() else None


WORKERS = PreviewWorkers()
"""The spare process of this process."""
