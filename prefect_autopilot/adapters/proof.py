"""Original against rewritten flow, run for real: same result, exception and effects in any order of tasks.

The versions run in one process of their own with an allow-listed environment, a temporary home and limits
on time, memory, processor and file size, without a network where the system can take it away. That keeps
mistakes in; it is no boundary against malicious source.
Services must be stubbed (``setup``), recorded (``recorder``), or reached at a loopback address given as a
parameter: what is called is really called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect_autopilot.errors import ProofError, UsageError
from prefect_autopilot.models import JSONDict, Proof
from prefect_autopilot.redaction import redact

_SESSION = Path(__file__).with_name("proof_session.py")
_RECORDING = Path(__file__).with_name("proof_recording.py")
_SIMULATED = Path(__file__).with_name("proof_simulated.py")
_START = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")
_TOLD = 300
_OUTPUT = 100_000
_OF_ONE_RUN = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|/[\w./-]*autopilot-proof-\w+"
)


async def prove(
    original: str,
    rewritten: str,
    *,
    function: str,
    parameters: JSONDict | None = None,
    setup: str = "",
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    timeout_s: float = 180,
    repeats: int = 3,
    delays: int = 3,
    network: bool = False,
    must_succeed: bool = False,
) -> Proof:
    """Run both versions and return whether they are equal, with the medians of their times in seconds.

    Args:
        original: Source before the rewrite.
        rewritten: Source after it.
        function: Name of the flow function in both.
        parameters: Its arguments, as JSON values.
        setup: Source that is imported first and may replace modules; its ``reset()`` is called before each
            run and its ``effects()`` returns the log to compare, entries with the same first item in order.
        environment: Variables for the process besides the allow-listed ones, PREFECT_API_URL for one;
            without that a temporary server is started, which takes about 15 s.
        python: The interpreter, with prefect.
        timeout_s: Seconds for everything.
        repeats: Timed runs of each version, at least 2.
        delays: Runs of the rewritten version in which every started task begins late by chance.
        network: Leave the network, because ``setup`` needs it.
        must_succeed: Take runs that fail for no proof: they may not have come to what was rewritten.

    Raises:
        ProofError: the versions could not be run, or the original is not equal to itself.
        UsageError: the parameters are no JSON, or there are too few repeats.

    """
    if repeats < 2:  # noqa: PLR2004 - one run cannot show that the original is stable
        raise UsageError("A proof needs at least 2 repeats: one run cannot show that the original is stable.")
    order: list[tuple[str, bool, int | None]] = [
        ("original", False, None),
        ("rewritten", False, None),
    ] * repeats
    order += [("rewritten", False, seed) for seed in range(delays)] + [("rewritten", True, None)]
    if network:
        prefix, reach = list[str](), "the network could be reached: answers were recorded from it"
    else:
        prefix, reach = await asyncio.to_thread(isolation, parameters or {}, environment or {})
    job = {
        "function": function,
        "parameters": parameters or {},
        "setup": bool(setup),
        "order": order,
        "alone": bool(prefix),
    }
    try:
        text = json.dumps(job)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The parameters of a proof must be JSON: {error}.") from error
    if shutil.which(python) is None:
        raise ProofError(f"The interpreter {python} cannot be started: it is not there.")
    with tempfile.TemporaryDirectory(prefix="autopilot-proof-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = {"original.py": original, "rewritten.py": rewritten, "autopilot_stubs.py": setup}
        for file, source in files.items():
            (folder / file).write_bytes(source.encode("utf-8"))
        runs = await _run(text, folder, environment or {}, [*prefix, python], timeout_s)
    failed = next(
        (run for run in runs if must_succeed and run["version"] == "original" and run["error"]), None
    )
    if failed is not None:
        told = redact(f"{failed['error']}: {failed['message']}")[:_TOLD]
        raise ProofError(f"The original fails where it is proved ({told}); the rewrite stays a proposal.")
    proof = judge(runs)
    return proof.model_copy(update={"checks": (*proof.checks, reach)})


def recorder() -> str:
    """Return a ``setup`` that makes each read over HTTP once and answers it from memory then."""
    return _RECORDING.read_text(encoding="utf-8")


def simulated() -> str:
    """Return a ``setup`` that answers ``call_service`` from the simulator; it needs this package."""
    return _SIMULATED.read_text(encoding="utf-8")


def isolation(parameters: JSONDict, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the command that takes the network from a process, none where that cannot be, and what holds."""
    if "PREFECT_API_URL" in environment:
        return [], "the network could be reached: a Prefect server outside was given"
    if "://" in json.dumps(parameters, default=str):
        return [], "the network could be reached: a parameter is an address"
    command = shutil.which("unshare")
    if command is None or not sys.platform.startswith("linux"):
        return [], "the network could be reached: this system has no unshare"
    prefix = [command, "--map-root-user", "--net"]
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return [], "the network could be reached: unshare does not answer"
    if done.returncode:
        return [], "the network could be reached: this system allows no namespaces"
    return prefix, "no network but the process's own loopback"


def judge(runs: Sequence[JSONDict]) -> Proof:
    """Compare the runs of a proof; raises ProofError when the original is not equal to itself."""
    runs = _comparable(runs)
    before = [run for run in runs if run["version"] == "original"]
    after = [run for run in runs if run["version"] == "rewritten" and not run["backwards"]]
    backwards = [run for run in runs if run["backwards"]]
    shaken = [run for run in after if run.get("seed") is not None]
    after = [run for run in after if run.get("seed") is None]
    reference = before[0]
    unstable = next((difference for run in before if (difference := _difference(reference, run))), "")
    if unstable:
        raise ProofError(
            f"The original does not do the same twice ({unstable}); the rewrite stays a proposal."
        )
    differences = [
        *(f"rewritten: {told}" for run in after if (told := _difference(reference, run))),
        *(
            f"with delays by chance (seed {run['seed']}): {told}"
            for run in shaken
            if (told := _difference(reference, run))
        ),
        *(f"in reverse order: {told}" for run in backwards if (told := _difference(reference, run))),
    ]
    checks = [f"original equal to itself in {len(before)} runs"]
    if not differences:
        checks += [
            f"rewritten equal in {len(after)} runs",
            *([f"rewritten equal with delays by chance, {len(shaken)} seeds"] if shaken else []),
            "rewritten equal with submitted tasks in reverse order",
        ]
    ending = "the same result" if reference["error"] is None else f"the same {reference['error']}"
    return Proof(
        equal=not differences,
        n=len(before),
        before_s=round(statistics.median(run["seconds"] for run in before), 3),
        after_s=round(statistics.median(run["seconds"] for run in after), 3),
        before_range_s=_range(before),
        after_range_s=_range(after),
        checks=tuple(checks),
        reason=differences[0] if differences else f"{ending} and effects in every run",
    )


def _range(runs: Sequence[JSONDict]) -> tuple[float, float]:
    seconds = [run["seconds"] for run in runs]
    return round(min(seconds), 3), round(max(seconds), 3)


def _difference(reference: JSONDict, run: JSONDict) -> str:
    """Return what differs between two runs, empty where nothing does."""
    if reference["error"] != run["error"]:
        return f"{run['error'] or 'no exception'} instead of {reference['error'] or 'no exception'}"
    if reference["message"] != run["message"]:
        return f"{run['error']} says {run['message'][:80]!r} instead of {reference['message'][:80]!r}"
    if reference["result"] != run["result"]:
        shown = json.dumps(run["result"])[:80], json.dumps(reference["result"])[:80]
        return f"result {shown[0]} instead of {shown[1]}"
    if _by_resource(reference["effects"]) != _by_resource(run["effects"]):
        return "other effects, or another order of effects on one resource"
    return ""


def _comparable(runs: Sequence[JSONDict]) -> list[JSONDict]:
    """Return the runs with what their exceptions say, without what is new in each run.

    Where the original says something else each time nobody can count on its words: only types are compared.
    """
    said = [_OF_ONE_RUN.sub("…", run.get("message") or "") for run in runs]
    counts = len({words for words, run in zip(said, runs, strict=True) if run["version"] == "original"}) == 1
    return [run | {"message": words if counts else ""} for words, run in zip(said, runs, strict=True)]


def _by_resource(effects: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry in effects:
        key = entry[0] if isinstance(entry, list) and entry else entry
        found.setdefault(json.dumps(key), []).append(entry)
    return found


async def _run(
    job: str, folder: Path, environment: Mapping[str, str], command: list[str], timeout_s: float
) -> list[JSONDict]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            "-c",
            _START,
            str(_SESSION),
            cwd=folder,
            env=proof_environment(folder, environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProofError(f"The interpreter {command[-1]} cannot be started: {error.strerror}.") from error
    try:
        output, errors = await asyncio.wait_for(process.communicate(job.encode()), timeout_s)
    except TimeoutError:
        raise ProofError(
            f"The runs did not end within {timeout_s:g} s; the rewrite stays a proposal."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of it may have ended already
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nobody else is in that group
        await process.wait()
    try:
        runs: list[JSONDict] = json.loads(output)
    except ValueError:
        told = redact(_last_line(errors[-_OUTPUT:].decode("utf-8", "replace")))[:_TOLD]
        raise ProofError(f"The versions could not be run: {told}; the rewrite stays a proposal.") from None
    return runs


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1] if lines else "no message"


def proof_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a proof: nothing of ours but what is listed here."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }
