"""The command ``prefect-autopilot``: exit code 0 done, 1 failed, 2 wrongly called, 130 interrupted.

``main`` is the only edge of the command line: whatever goes wrong becomes one sentence on the standard
error stream, never a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from prefect_autopilot.errors import AutopilotError

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, what shells expect
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A lone surrogate or a narrow terminal encoding must not end a command half-way.
            stream.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        return guarded(lambda: _dispatch(given))


def guarded(command: Callable[[], int]) -> int:
    """Run ``command`` and turn whatever goes wrong into one sentence and an exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _give_up_output()  # the reader (head, less) has gone
        return 1
    except AutopilotError as error:
        _say(error.message)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the process edge: people get a sentence, the log the details
        if isinstance(error, OSError) and error.errno in _FULL:
            _give_up_output()
            _say("The disk is full, so that not all could be written; make room and run the command again.")
            return 1
        from prefect_autopilot.cli.last_resort import explain

        _say(explain(error))
        return 1
    return code


def _give_up_output() -> None:
    """Let what is still to be written go nowhere; Python would complain again when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def _say_warning(message: Warning | str, *_place: object, **_more: object) -> None:
    """Tell a library's warning in its words; the line of code that gave it says nothing to people."""
    _say(f"{message}.")
