"""Whether the kernel of this machine killed a run's process for want of memory.

Prefect sees only signal 9, which anybody may have sent. The kernel's log names the process it killed:
"Out of memory: Killed process 4711 (python3) …", since Linux 5.0 in these words (mm/oom_kill.c); its records
are ``priority,number,microseconds since boot,flags;text`` (Documentation/ABI/testing/dev-kmsg).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from prefect_autopilot.adapters.container_ends import Told
from prefect_autopilot.models import EvidenceLine, RunRecord
from prefect_autopilot.redaction import redact
from prefect_autopilot.troubleshooting.evidence import PROCESS

KERNEL_LOG = Path("/dev/kmsg")
NEAR_S = 120.0
"""Seconds between the kernel's word and the run's end: a number of a process is given again."""
MOST_RECORDS = 20_000
LONGEST_RECORD = 8192
"""Bytes; the kernel refuses to give a record to less room."""
SENT = re.compile(r"(?:-9|\b137|SIGKILL)\b")
"""How the end by signal 9 is told."""
_KILLED = re.compile(rb"\d+,\d+,(\d+),[^;]*;([^\n]*[Oo]ut of memory[^\n]*Killed process (\d+) \([^\n]*)")


def read_kernel(run: RunRecord, booted: float) -> Told:
    """Read whether the kernel killed the process of a run that ended by signal 9; raises nothing.

    ``booted`` is when this machine was started, in seconds since 1970.
    """
    pid = run.infrastructure_pid or ""
    if not pid.isdigit() or not SENT.search(run.state.message or ""):
        return Told()
    try:
        for record in _records():
            found = _KILLED.match(record)
            if found is None or int(found[3]) != int(pid):
                continue
            if abs(booted + int(found[1]) / 1e6 - run.state.timestamp.timestamp()) <= NEAR_S:
                told = redact(found[2].decode("utf-8", "replace"))
                line = EvidenceLine(text=f"ended: OOMKilled by the kernel: {told}", where=f"{PROCESS}{pid}")
                return Told((line,))
    except OSError as error:
        return Told(missing=(f"kernel log of this machine ({error.strerror})",))
    return Told()


def _records() -> Iterator[bytes]:
    """Yield what the kernel has said, oldest first, without waiting for more."""
    log = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(MOST_RECORDS):
            try:
                record = os.read(log, LONGEST_RECORD)
            except BrokenPipeError:  # overwritten while it was read; the next one is there
                continue
            except BlockingIOError:
                return
            yield from record.splitlines()
            if not record:
                return
    finally:
        os.close(log)
