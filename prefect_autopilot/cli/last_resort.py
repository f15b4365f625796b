"""The last sentence of a command that met an error nobody foresaw."""

from __future__ import annotations

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

_LOG_BYTES = 1_000_000


def explain(error: Exception) -> str:
    """Log the redacted traceback below the home and return one sentence that says where it is."""
    kind = type(error).__name__
    advice = "prefect-autopilot doctor checks the installation"
    try:
        place = _log(error)
    except OSError as problem:
        return (
            f"Stopped by an unexpected {kind}; its log could not be written ({problem.strerror}); {advice}."
        )
    return f"Stopped by an unexpected {kind}; the details are in {place}; {advice}."


def _log(error: Exception) -> Path:
    from prefect_autopilot.redaction import redact

    # Read without the settings: they may be what is broken.
    home = Path(os.environ.get("PREFECT_AUTOPILOT_HOME") or "~/.prefect-autopilot").expanduser()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = home / "errors.log"
    place.touch(mode=0o600)
    if place.stat().st_size > _LOG_BYTES:
        place.replace(home / "errors.log.1")
    details = redact("".join(traceback.format_exception(error)))
    with place.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{details}\n")
    place.chmod(0o600)
    return place
