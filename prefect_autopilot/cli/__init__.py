"""The command ``prefect-autopilot``: exit code 0 done, 1 failed, 2 wrongly called, 130 interrupted.

``main`` is the only edge of the command line: whatever goes wrong becomes one sentence on the standard
error stream, never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from prefect_autopilot.errors import AutopilotError

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A lone surrogate or a narrow terminal encoding must not end a command half-way.
            stream.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _dispatch(given))


def guarded(command: Callable[[], int]) -> int:
    """Run ``command`` and turn whatever goes wrong into one sentence and an exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AutopilotError as error:
        _say(error.message)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the process edge: people get a sentence, the log the details
        from prefect_autopilot.cli.last_resort import explain

        _say(explain(error))
        return 1
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    from cyclopts import CycloptsError

    from prefect_autopilot.cli.commands import build_app
    from prefect_autopilot.errors import UsageError

    try:
        result: object = build_app()(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sentence = " ".join(str(error).split()).partition(" Available commands:")[0]
        raise UsageError(f"{sentence} See prefect-autopilot --help.") from error
    return result if isinstance(result, int) else 0


def _say(sentence: str) -> None:
    from prefect_autopilot.cli.output import printable
    from prefect_autopilot.redaction import redact

    sys.stderr.write(f"{printable(redact(' '.join(sentence.split())))}\n")
