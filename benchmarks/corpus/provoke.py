"""Raise real exceptions here and write them down as Prefect logs them, each with its label.

    python benchmarks/corpus/provoke.py [--only TECHNOLOGY] [--output FILE]

Each case of ``cases/*.toml`` is a few lines of Python, run in a process of its own. Nothing leaves the
loopback. A client library that is not installed leaves its cases as they were written last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import linecache
import logging
import os
import select
import signal
import sys
import sysconfig
import tempfile
import textwrap
import tomllib
import traceback
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "provoked.jsonl"
SECONDS = 8
# Imported once before the cases fork; libraries with threads of their own do not survive that.
PRELOADED = (
    "requests",
    "httpx",
    "aiohttp",
    "boto3",
    "pandas",
    "sqlalchemy",
    "pydantic",
    "asyncpg",
    "psycopg",
)
LIBRARY_FRAMES = 2
FORMS = (
    "Encountered exception during execution: {shown}\n{traceback}",
    "Flow run encountered an exception: {last}",
    "Task run failed with exception: {shown}\n{traceback}",
    "Finished in state Failed('Flow run encountered an exception: {last}')\n{traceback}",
)
OUR_FILES = ("provoke.py", "stubs.py", "<string>")
OWN_FILE = "/srv/flows/nightly.py"


def cases(only: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield all cases with their labels; the technology is the table they stand in."""
    labels = tomllib.loads((HERE / "labels.toml").read_text(encoding="utf-8"))
    for file in sorted((HERE / "cases").glob("*.toml")):
        for technology, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if only not in {None, technology}:
                continue
            setup = entry.get("setup", "")
            for number, (kind, code, *also) in enumerate(entry["cases"]):
                category, alternatives, transient, remedy = labels[kind]
                yield {
                    "id": f"{technology}-{number:02}",
                    "technology": technology,
                    "kind": kind,
                    "code": textwrap.dedent(setup) + textwrap.dedent(code),
                    "say": entry.get("say", False),
                    "category": category,
                    "alternatives": [*alternatives, *(also[0] if also else ())],
                    "transient": transient,
                    "remedy": remedy,
                }


def provoked(case: dict[str, Any]) -> str | None:
    """Return what a run of the case leaves in the log; None where its library is missing."""
    if case["say"]:
        return str(case["code"]).strip()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(case, writer)
    os.close(writer)
    told = _read(reader, child)
    _, status = os.waitpid(child, 0)
    if told:
        return None if told.startswith("MISSING") else _without_paths(told)
    code = os.waitstatus_to_exitcode(status)
    return f"Process exited with status code: {code}" if code else None


def _read(reader: int, child: int) -> str:
    pieces: list[bytes] = []
    while select.select([reader], [], [], SECONDS)[0]:
        piece = os.read(reader, 65536)
        if not piece:
            return b"".join(pieces).decode("utf-8", "replace")
        pieces.append(piece)
    os.kill(child, signal.SIGKILL)
    return "MISSING (took too long)"


def _run(case: dict[str, Any], writer: int) -> None:
    """Run the case in this forked process, write what it raised, and leave."""
    stubs = import_module("stubs")
    stubs.name_hosts()
    source = "def nightly():\n" + textwrap.indent(case["code"], "    ") + "\n"
    linecache.cache[OWN_FILE] = (len(source), None, source.splitlines(keepends=True), OWN_FILE)
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    os.chdir(tempfile.mkdtemp())
    # Whatever a case needs of the stubs, it calls by its name.
    space = {name: getattr(stubs, name) for name in dir(stubs) if not name.startswith("_")}
    try:
        exec(compile(source, OWN_FILE, "exec"), space)
        space["nightly"]()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what we came for
        os.write(writer, _written(case, error).encode("utf-8", "replace")[:60_000])
    os._exit(0)


def _written(case: dict[str, Any], error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and case["kind"] != "missing_module":
        return f"MISSING {error}"
    told = traceback.TracebackException.from_exception(error)
    _shorten(told)
    form = FORMS[zlib.crc32(case["id"].encode()) % len(FORMS)]
    last = "".join(told.format_exception_only()).strip().splitlines()
    shown = repr(error) if not isinstance(error, BaseExceptionGroup) else type(error).__name__
    # In a message alone no cause is shown; what was chained keeps its traceback.
    if error.__cause__ or error.__context__ or isinstance(error, BaseExceptionGroup):
        form = FORMS[0]
    return form.format(shown=shown, last="\n".join(last), traceback="".join(told.format()))


def _shorten(told: traceback.TracebackException | None) -> None:
    """Keep the frames of the case itself, and the innermost of the libraries."""
    if told is None:
        return
    frames = [frame for frame in told.stack if not frame.filename.endswith(OUR_FILES)]
    own = [frame for frame in frames if frame.filename == OWN_FILE]
    kept = [*own, *[frame for frame in frames if frame.filename != OWN_FILE][-LIBRARY_FRAMES:]]
    told.stack = traceback.StackSummary.from_list(kept)
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        _shorten(other)


def _without_paths(text: str) -> str:
    site = sysconfig.get_paths()["purelib"]
    standard = sysconfig.get_paths()["stdlib"]
    text = text.replace(site, "/usr/local/lib/python3.11/site-packages")
    text = text.replace(standard, "/usr/local/lib/python3.11").replace(sys.prefix, "/usr/local")
    return text.replace(tempfile.gettempdir(), "/data")


def main() -> int:
    """Provoke all cases and write the corpus; cases that could not be provoked here keep their text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", help="one technology")
    parser.add_argument("--output", type=Path, default=CORPUS)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    for name in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):
            import_module(name)
    known = read(options.output) if options.output.exists() else {}
    rows = dict(known) if options.only else {}
    missing = []
    for case in cases(options.only):
        text = provoked(case)
        if text is None and case["id"] in known:
            text = known[case["id"]]["text"]
        if text is None:
            missing.append(case["id"])
            continue
        rows[case["id"]] = {key: value for key, value in case.items() if key not in {"code", "say"}} | {
            "text": text
        }
    options.output.write_text(
        "".join(json.dumps(rows[name], ensure_ascii=False) + "\n" for name in sorted(rows)), encoding="utf-8"
    )
    sys.stdout.write(
        f"{len(rows)} failures of {len({row['technology'] for row in rows.values()})} technologies\n"
    )
    if missing:
        sys.stdout.write(f"not provoked here: {', '.join(missing)}\n")
    return 0


def read(file: Path = CORPUS) -> dict[str, dict[str, Any]]:
    """Return the corpus by the ids of its failures."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


if __name__ == "__main__":
    raise SystemExit(main())
