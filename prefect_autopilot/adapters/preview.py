"""Run generated source for real, in a process of its own, against simulated services.

The process gets an allow-listed environment, a home of its own, limits on time, memory, processor and
file size. A spare one waits, its imports made, for the next preview. That keeps mistakes in; it is no
boundary against malicious source, which the generator's gate is there for.
"""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

from prefect_autopilot.adapters.files import resolve_below
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.preview_worker import WORKERS, PreviewWorker
from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import GeneratedFlow, JSONDict, PreviewResult
from prefect_autopilot.models.names import SIMULATE
from prefect_autopilot.redaction import redact

PREVIEW_FLOW = "autopilot-preview"
"""Runs are made under a name of ours, so that nothing watches or resolves them."""

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "SSL_CERT_FILE", "PREFECT_API_SSL_CERT_FILE")
_ERROR_LENGTH = 500
_OUTPUT_LENGTH = 1_000_000


async def run_preview(
    generated: GeneratedFlow,
    parameters: JSONDict | None = None,
    *,
    target: PrefectTarget | None = None,
    simulator: Simulator | None = None,
    services: Path | None = None,
    timeout_s: float = 120,
) -> PreviewResult:
    """Run ``generated`` once with ``parameters`` and return the calls that the services saw.

    ``services`` is the folder of imported services, which the run only reads from.
    The run is recorded on ``target``; without one a temporary server is started, which takes about
    15 s. A flow that fails is a result with ``succeeded`` False and the last
    line of its error, never an exception.
    """
    simulated = simulator or Simulator()
    seen = len(simulated.calls)
    started = time.monotonic()
    given = _as_json(parameters or {})
    worker = WORKERS.take(lambda home: preview_environment(target, home, ""))
    with worker, serve_simulator(simulated) as url:
        path = resolve_below(worker.home, generated.file_name)
        path.write_text(generated.source, encoding="utf-8")
        if services is not None:
            _lend(services, worker.home)
        job = {
            "path": str(path),
            "function": generated.function,
            "name": PREVIEW_FLOW,
            "environment": {SIMULATE: url},
            "parameters": given,
        }
        error = await _run(worker, job, timeout_s)
    WORKERS.warm(lambda home: preview_environment(target, home, ""))
    return PreviewResult(
        succeeded=error is None,
        calls=tuple(simulated.calls[seen:]),
        error=error,
        duration_s=round(time.monotonic() - started, 3),
    )


def warm_worker(target: PrefectTarget | None) -> None:
    """Start the process of the next preview, so that the first one need not wait for its imports."""
    WORKERS.warm(lambda home: preview_environment(target, home, ""))


def _lend(services: Path, home: Path) -> None:
    """Let the run find the imported services in its own home."""
    if services.is_dir():
        own = home / "autopilot"
        own.mkdir()
        (own / services.name).symlink_to(services.resolve())


def preview_environment(target: PrefectTarget | None, home: Path, simulator_url: str) -> dict[str, str]:
    """Return the environment of a preview: nothing of ours but what is listed here."""
    inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
    server = {} if target is None else {"PREFECT_API_URL": target.url, **_credentials(target.auth)}
    return {
        **inherited,
        **server,
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_AUTOPILOT_HOME": str(home / "autopilot"),
        SIMULATE: simulator_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _credentials(auth: str | None) -> dict[str, str]:
    scheme, _, secret = (auth or "").partition(" ")
    match scheme:
        case "Bearer":
            return {"PREFECT_API_KEY": secret}
        case "Basic":
            return {"PREFECT_API_AUTH_STRING": base64.b64decode(secret).decode()}
    return {}


def _as_json(parameters: JSONDict) -> JSONDict:
    try:
        json.dumps(parameters)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The preview's parameters are no JSON: {error}.") from error
    return parameters


async def _run(worker: PreviewWorker, job: JSONDict, timeout_s: float) -> str | None:
    """Return None when the flow ended well, else the last line of its error."""
    try:
        returncode, output = await worker.run(job, timeout_s)
    except TimeoutError:
        return f"The flow did not end within {timeout_s:g} s."
    if returncode == 0:
        return None
    return last_error(output[-_OUTPUT_LENGTH:].decode("utf-8", errors="replace"), returncode)


def last_error(output: str, returncode: int | None) -> str:
    """Return the exception line of the last traceback in ``output``, redacted and cut."""
    lines = output.rpartition("Traceback (most recent call last):")[2].splitlines()
    told = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    found = next((line for line in told if "Error" in line or "Exception" in line), told[0] if told else "")
    if not found:
        return f"The flow ended with exit code {returncode} and no message."
    return redact(found.strip())[:_ERROR_LENGTH]
