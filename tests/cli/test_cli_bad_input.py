"""Every command's bad input: one sentence, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.cli import main
from prefect_autopilot.cli.commands import COMMANDS, SERVICE_COMMANDS

FLOW = b"from prefect import flow\n\n\n@flow\ndef orders() -> None:\n    pass\n"
REQUEST = "Every Monday at 9:00 post 'hello' to #ops in Slack"
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4
RUN_ID = "12345678-1234-5678-1234-567812345678"


@dataclass
class Place:
    """A folder of its own with a home, and everything that stands in it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def content(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and self.home not in path.parents
        }


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in list(os.environ):
        if name.startswith("PREFECT_API_") or name == "PREFECT_PROFILES_PATH":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@dataclass
class Told:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: Place) -> Run:
    """Run a command as a person does; whatever it says is one sentence and leaves no log of a crash."""

    def command(*arguments: str, stdin: bytes = b"") -> Told:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = main(list(arguments))
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        assert not (place.home / "errors.log").exists(), (place.home / "errors.log").read_text()
        assert shown.err.count("\n") <= 1
        assert "\x1b" not in shown.err
        return Told(code, shown.out, shown.err)

    return command


def refused(told: Told, code: int, said: str = "") -> None:
    assert told.code == code, told
    assert said in told.err
    assert told.err.endswith("\n")
    assert told.out == ""


# --- Words the command line does not know.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing"),
        (["Analyze"], "Analyze"),
        (["services", "nothing"], "nothing"),
        (["analyze", "text", "--nothing"], "--nothing"),
        (["analyze", "--nothing"], "--nothing"),
        (["analyze", "-j"], "-j"),
        (["generate", "--nothing=5"], "--nothing"),
        (["generate", REQUEST, "--deploi"], "--deploi"),
        (["generate", REQUEST, "surplus"], "surplus"),
        (["diagnose", "--last"], "--last"),
        (["diagnose", RUN_ID, "surplus"], "surplus"),
        (["sessions", "--limit", "many"], "many"),
        (["sessions", "--limit"], "--limit"),
        (["detect"], "--batch"),
        (["detect", "--batch", "x"], "--output"),
        (["health", "a", "b"], "b"),
        (["optimize", "a.py", "b.py"], "b.py"),
        (["optimize", "a.py", "--strategy", "speed"], "speed"),
        (["watch", "--mode", "careful"], "careful"),
        (["up", "--port", "http"], "http"),
        (["serve", "--port", "http"], "http"),
        (["install", "surplus"], "surplus"),
        (["uninstall", "--all"], "--all"),
        (["doctor", "--fix"], "--fix"),
        (["demo", "--fast"], "--fast"),
        (["version", "surplus"], "surplus"),
        (["services", "show"], "SERVICE"),
        (["services", "list", "--kind"], "--kind"),
        (["services", "connect"], "SERVICE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_command_line_does_not_know_is_exit_code_2(
    run: Run, arguments: list[str], said: str
) -> None:
    refused(run(*arguments), 2, said)


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS if name not in {"analyze", "generate"}])
def test_every_command_refuses_an_option_nobody_made(run: Run, name: str) -> None:
    told = run(name, "--no-such-option-at-all")
    assert told.code == 2
    assert "See prefect-autopilot --help" in told.err


@pytest.mark.parametrize("name", [name for name, _, _ in SERVICE_COMMANDS])
def test_every_services_command_refuses_an_option_nobody_made(run: Run, name: str) -> None:
    assert run("services", name, "--no-such-option-at-all").code == 2


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_asking_for_help_writes_nothing_anywhere(run: Run, place: Place, name: str) -> None:
    assert run(name, "--help").code == 0
    assert not place.home.exists()


# --- Requests.


@pytest.mark.parametrize("command", ["analyze", "generate"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("   \n\t", "empty"),
        ("x" * 100_000, "longer than"),
        ("--jsno", "no option"),
        ("-x", "no option"),
        ("--nothing=here", "no option"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_text_that_is_no_request_is_refused(run: Run, command: str, text: str, said: str) -> None:
    refused(run(command, text), 2, said)


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"x" * 100_000, "longer than"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
    ids=["nothing", "blank", "100 kB", "binary"],
)
@pytest.mark.parametrize("command", ["analyze", "generate"])
def test_a_pipe_that_holds_no_request_is_refused(run: Run, command: str, stdin: bytes, said: str) -> None:
    refused(run(command, "-", stdin=stdin), 2, said)


def test_a_hyphen_reads_the_request_from_the_pipe(run: Run) -> None:
    told = run("analyze", "-", "--json", stdin=REQUEST.encode())
    assert told.code == 0
    assert json.loads(told.out)["text"] == REQUEST


@pytest.mark.parametrize("text", ["- buy milk every day", "-5 degrees outside: mail me"])
def test_a_request_may_begin_with_a_hyphen(run: Run, text: str) -> None:
    told = run("analyze", text, "--json")
    assert told.code == 0
    assert json.loads(told.out)["text"] == text


@pytest.mark.parametrize("command", ["analyze", "generate"])
@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "🚀" * 5_000, "'; DROP TABLE runs", "{{7*7}}", '{"a": 1}', "<script>", "\u202egnp"],
)
def test_odd_texts_are_read_as_texts_and_refused_calmly(run: Run, command: str, text: str) -> None:
    told = run(command, text)
    assert told.code == (0 if command == "analyze" else 1)
    assert told.err == ""


def test_a_request_that_is_no_flow_writes_no_file(run: Run, place: Place) -> None:
    told = run("generate", "What is the weather?", "--output", str(place.folder / "flows"))
    assert told.code == 1
    assert place.content() == {}


# --- Where a flow is written.


def flows_in(folder: Path) -> list[Path]:
    """Return the flows of a folder, the test beside each left out."""
    return [path for path in folder.glob("*.py") if not path.name.startswith("test_")]


def test_a_file_in_place_of_the_folder_is_told(run: Run, place: Place) -> None:
    occupied = place.file("flows", b"mine")
    refused(run("generate", REQUEST, "--output", occupied), 1, "cannot be written")
    assert place.content() == {"flows": b"mine"}


def test_another_file_of_the_name_stays_as_it_is(run: Run, place: Place) -> None:
    folder = place.folder / "flows"
    assert run("generate", REQUEST, "--output", str(folder)).code == 0
    (path,) = flows_in(folder)
    written = place.content()
    path.write_bytes(b"mine")
    refused(run("generate", REQUEST, "--output", str(folder)), 1, "exists with other content")
    assert place.content() == written | {f"flows/{path.name}": b"mine"}


def test_the_same_flow_again_changes_nothing_and_is_no_error(run: Run, place: Place) -> None:
    for _ in range(2):
        assert run("generate", REQUEST, "--output", str(place.folder / "flows")).code == 0
    assert len(flows_in(place.folder / "flows")) == 1
    assert not [name for name in place.content() if name.endswith(".bak")]


def test_a_replaced_flow_leaves_a_backup(run: Run, place: Place) -> None:
    folder = place.folder / "flows"
    assert run("generate", REQUEST, "--output", str(folder)).code == 0
    (path,) = flows_in(folder)
    path.write_bytes(b"mine")
    assert run("generate", REQUEST, "--output", str(folder), "--replace").code == 0
    assert [name for name, content in place.content().items() if content == b"mine"] != [f"flows/{path.name}"]
    assert b"mine" in place.content().values()
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "denied")]
)
def test_a_disk_that_refuses_leaves_no_part_of_a_flow(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr("prefect_autopilot.adapters.files.os.fsync", refuse)
        refused(run("generate", REQUEST, "--output", str(place.folder / "flows")), 1, said)
    assert place.content() == {}


def test_a_deployment_without_a_server_writes_nothing(run: Run, place: Place) -> None:
    refused(run("generate", REQUEST, "--deploy"), 1, "PREFECT_API_URL")
    assert place.content() == {}


# --- Files that are no flows.

NOT_A_FLOW = {
    "no Python": (b"this is not python(", "not valid Python"),
    "empty": (b"", "no Prefect flow"),
    "no flow": (b"x = 1\n", "no Prefect flow"),
    "null bytes": (b"a\x00b", "binary file"),
    "UTF-16": ("x = 1".encode("utf-16"), "not UTF-8"),
    "Latin-1": (b'x = "\xe9"\n', "not UTF-8"),
    "binary": (bytes(range(256)) * 4, "binary file"),
    "deep": (b"(" * 5_000 + b")" * 5_000, "not valid Python"),
    "long sum": (b"x = " + b"1+" * 20_000 + b"1\n", "not valid Python"),
    "mixed indent": (b"if 1:\n\tx = 1\n        y = 2\n", "not valid Python"),
    "surrogate": (b'x = "\xed\xa0\x80"\n', "not UTF-8"),
    "merge conflict": (b"<<<<<<< ours\nx = 1\n=======\n", "not valid Python"),
}


@pytest.mark.parametrize(("content", "said"), NOT_A_FLOW.values(), ids=NOT_A_FLOW.keys())
@pytest.mark.parametrize("option", ["--json", "--write", "--unsafe"])
def test_a_file_that_is_no_flow_is_told_and_left_alone(
    run: Run, place: Place, content: bytes, said: str, option: str
) -> None:
    path = place.file("flow.py", content)
    refused(run("optimize", path, option), 1, said)
    assert place.content() == {"flow.py": content}


@pytest.mark.parametrize("name", ["missing.py", ".", "", "missing/flow.py"])
def test_a_path_that_is_no_file_is_exit_code_2(run: Run, name: str) -> None:
    refused(run("optimize", name), 2, "cannot be read")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no history"),
        (b"{", "no history"),
        (b"[]", "no history"),
        (b"null", "no history"),
        (b"\xff", "no history"),
        (b'{"tasks": 5}', "tasks"),
        (b"[" * 100_000, "no history"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_history_that_is_none_is_exit_code_2(run: Run, place: Place, content: bytes, said: str) -> None:
    flow, history = place.file("flow.py", FLOW), place.file("history.json", content)
    refused(run("optimize", flow, "--history", history, "--write"), 2, said)
    assert place.content() == {"flow.py": FLOW, "history.json": content}


# --- Logs.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 1_000,
        b"x" * 200_000,
        b"Traceback (most recent call last):\n" * 500,
        b"\n" * 99,
    ],
    ids=["empty", "bytes", "long line", "only heads", "blank lines"],
)
def test_a_log_that_says_nothing_is_unknown_and_no_crash(run: Run, place: Place, content: bytes) -> None:
    told = run("diagnose", "--file", place.file("log", content), "--json")
    assert told.code == 0
    assert json.loads(told.out)["category"] == "unknown"
    assert json.loads(told.out)["confidence"] < 0.5


def test_a_log_that_says_nothing_is_called_neither_passing_nor_lasting(run: Run, place: Place) -> None:
    told = run("diagnose", "--file", place.file("log", b"nothing of note\n"))
    assert "not known" in told.out
    assert not {"lasting", "passing"} & {*told.out.split()}
    told = run("diagnose", "--file", place.file("log", b"KeyError: 'total'\n"))
    assert "lasting" in told.out.split()


@pytest.mark.parametrize("content", [b"\x00" * 100, PICTURE], ids=["nulls", "picture"])
def test_a_binary_file_is_no_log_and_exit_code_2(run: Run, place: Place, content: bytes) -> None:
    refused(run("diagnose", "--file", place.file("log", content)), 2, "binary file; name a log")


@pytest.mark.parametrize(
    "command",
    [("explain",), ("edit",), ("optimize",)],
    ids=lambda words: words[0],
)
def test_a_binary_file_is_no_flow_and_exit_code_1(run: Run, place: Place, command: tuple[str, ...]) -> None:
    flow = place.file("flow.py", PICTURE)
    words = (*command, flow, *(["also post to Slack"] if command == ("edit",) else []))
    refused(run(*words), 1, "binary file, no Python source")
    assert place.content() == {"flow.py": PICTURE}


@pytest.mark.parametrize("name", [".", "missing", "missing/log"])
def test_a_log_that_cannot_be_read_is_exit_code_2(run: Run, name: str) -> None:
    refused(run("diagnose", "--file", name), 2, "Cannot read")


def test_a_log_cannot_steer_the_terminal(run: Run, place: Place) -> None:
    log = place.file("log", b"ValueError: \x1b[2J\x1b]0;owned\x07 bad\n")
    told = run("diagnose", "--file", log)
    assert "\x1b" not in told.out
    assert "\x07" not in told.out


def test_a_secret_in_a_log_is_not_shown(run: Run, place: Place) -> None:
    line = "psycopg.OperationalError: postgresql://app:hunter2secret@db/x refused"
    log = place.file("log", f"{line}\n".encode())
    for option in ((), ("--json",)):
        assert "hunter2secret" not in run("diagnose", "--file", log, *option).out
    row = json.dumps({"id": 1, "text": line}).encode()
    assert "hunter2secret" not in run("diagnose", "--batch", "-", "--output", "-", stdin=row).out


# --- Ids.


@pytest.mark.parametrize(
    "run_id", ["x", "../admin", "12345678", f"{RUN_ID}0", f"{RUN_ID}/state", "", "\x00", "' OR 1=1", "🚀"]
)
def test_a_run_id_that_is_none_is_told_before_anybody_is_asked(run: Run, run_id: str) -> None:
    refused(run("diagnose", run_id), 2, "no flow run id")


@pytest.mark.parametrize("session_id", ["nobody", "\x00", "' OR 1=1 --", "../x", "🚀", "x" * 1_000])
def test_a_session_nobody_has_is_told(run: Run, session_id: str) -> None:
    refused(run("sessions", session_id), 1, "There is no session")


def test_an_id_no_database_takes_is_told(run: Run) -> None:
    refused(run("sessions", "\ud800"), 1, "UTF-8")


@pytest.mark.parametrize("limit", ["0", "-5", "1", "10000", "99999999999999999999"])
def test_any_limit_of_sessions_is_bounded(run: Run, limit: str) -> None:
    told = run("sessions", "--limit", limit, "--json")
    assert (told.code, json.loads(told.out)) == (0, [])


@pytest.mark.parametrize(
    ("name", "nearest"), [("slakc", "slack"), ("gmial", "gmail"), ("asanna", "asana"), ("", ""), ("\x00", "")]
)
def test_a_service_nobody_knows_is_told_with_the_nearest(run: Run, name: str, nearest: str) -> None:
    for command in (["show", name], ["connect", name, "--credential", "token=x"]):
        refused(run("services", *command), 1, nearest)


# --- Settings and the store.


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MODE", "careless", "MODE"),
        ("API_PORT", "0", "API_PORT"),
        ("API_PORT", "http", "API_PORT"),
        ("POLL_INTERVAL_S", "nan", "POLL_INTERVAL_S"),
        ("POLL_INTERVAL_S", "0", "POLL_INTERVAL_S"),
        ("RETENTION_DAYS", "-1", "RETENTION_DAYS"),
        ("POLICY_FILE", "/no/such/policy", "POLICY_FILE"),
        ("NOTIFY_WEBHOOK", "hunter2secret", "NOTIFY_WEBHOOK"),
        ("NOTIFY_APPRISE", "hunter2secret", "notify_apprise"),
        ("STORE_URL", "mysql://me:hunter2secret@db/x", "STORE_URL"),
        ("STORE_URL", "postgresql://me:hunter2secret@[::/x", "database URL"),
        ("STORE_URL", "hunter2secret", "STORE_URL"),
    ],
)
@pytest.mark.parametrize("command", ["health", "sessions"])
def test_a_wrong_setting_is_named_without_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"PREFECT_AUTOPILOT_{name}", value)
    told = run(command)
    refused(told, 1, said)
    assert "hunter2secret" not in told.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"mode = ", "not valid TOML"),
        (b"\xff", "not valid TOML"),
        (b"nothing = 1", "no such setting"),
        (b"mode = 5", "MODE"),
        (b"retention_days = 'many'", "RETENTION_DAYS"),
    ],
    ids=repr,
)
def test_a_settings_file_that_is_wrong_is_told(run: Run, place: Place, content: bytes, said: str) -> None:
    place.home.mkdir()
    (place.home / "settings.toml").write_bytes(content)
    refused(run("health"), 1, said)


def spoil_with_text(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def spoil_pages(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * path.stat().st_size)


def spoil_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE autopilot_schema_version SET version_num = '0999'")
    connection.close()


def spoil_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        for table in ("autopilot_runs", "autopilot_sessions"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()


@pytest.mark.parametrize("command", [["sessions"], ["sessions", "x"], ["health"]], ids=" ".join)
@pytest.mark.parametrize("spoil", [spoil_with_text, spoil_pages, spoil_version, spoil_tables])
def test_a_store_that_is_damaged_is_one_sentence_and_left_as_it_is(
    run: Run, place: Place, command: list[str], spoil: Callable[[Path], None]
) -> None:
    assert run("sessions").code == 0
    database = place.home / "autopilot.db"
    for leftover in place.home.glob("*.db-*"):
        leftover.unlink()
    spoil(database)
    before = database.read_bytes()
    refused(run(*command), 1, "database")
    assert database.read_bytes() == before


@pytest.mark.parametrize("command", ["sessions", "health"])
def test_a_store_that_cannot_be_made_is_one_sentence(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", place.file("file", b"") + "/home")
    refused(run(command), 1, "cannot be created")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////proc/nothing/x.db", "cannot be created"),
        ("sqlite:////dev/full", "make room"),
        ("postgresql://me:hunter2secret@127.0.0.1:1/x", "cannot be reached"),
    ],
    ids=["read-only", "full disk", "no server"],
)
def test_a_place_that_takes_no_store_says_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_STORE_URL", url)
    told = run("sessions")
    Path("/dev/full-journal").unlink(missing_ok=True)  # what SQLite leaves beside a device it took for a file
    refused(told, 1, said)
    assert "hunter2secret" not in told.err


# --- Batches.

ODD_ROWS = [
    b'{"id": 1}',
    b'{"id": 1, "text": 5}',
    b'{"id": 1, "text": ""}',
    b'{"id": [1], "text": "x"}',
    b'{"id": {"a": 1}, "runs": []}',
    b'{"id": 1, "runs": "x"}',
    b'{"id": 1, "runs": [5]}',
    b'{"id": 1, "runs": [{"start": "yesterday"}]}',
    b'{"id": 1, "text": "x", "context": 5}',
    b'{"id": 1, "text": "x", "context": {"timezone": 5}}',
    b'{"id": 1, "text": "x", "context": {"timezone": "Mars/Base"}}',
    b'{"id": 1, "schedule": 5}',
    b'{"id": 1, "schedule": {"cron": "x"}}',
    b'{"id": 1, "schedule": {"rrule": "FREQ=NEVER"}}',
    b'{"id": 1, "now": "x"}',
    b'{"id": 1, "limits": {"a": "x"}}',
    b'{"id": 1, "text": "\\ud800"}',
    b'{"id": 1, "text": "\\u0000"}',
    b'{"id": 1, "runs": [{"start": "2026-03-02T00:00:00", "state": "COMPLETED", "duration_s": 1e308}]}',
    b'{"id": 1, "runs": [{"start": "2026-03-02T00:00:00Z", "state": "X", "duration_s": -1}]}',
    b"[]",
    b"5",
    b"null",
    b"{",
    b"\xff",
    b"[" * 50_000,
    b'{"id": NaN}',
]


@pytest.mark.parametrize("command", ["analyze", "diagnose", "detect"])
def test_odd_rows_are_answered_one_by_one_and_never_end_a_batch(run: Run, place: Place, command: str) -> None:
    source = place.file("in.jsonl", b"\n".join(ODD_ROWS))
    target = place.folder / "out.jsonl"
    assert run(command, "--batch", source, "--output", str(target)).code == 0
    answers = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert len(answers) == len(ODD_ROWS)
    assert all("id" in answer for answer in answers)


@pytest.mark.parametrize("row", ODD_ROWS, ids=lambda row: row[:40].decode("latin-1"))
@pytest.mark.parametrize("command", ["analyze", "diagnose", "detect"])
def test_a_row_beside_an_odd_one_is_answered_as_if_it_were_alone(
    run: Run, place: Place, command: str, row: bytes
) -> None:
    sound = json.dumps({"id": "sound", "text": "ConnectionRefusedError: refused", "runs": None}).encode()
    if command == "detect":
        sound = b'{"id": "sound", "runs": []}'
    alone = run(command, "--batch", "-", "--output", "-", stdin=sound)
    beside = run(command, "--batch", "-", "--output", "-", stdin=row + b"\n" + sound)
    assert (alone.code, beside.code) == (0, 0)
    assert beside.out.splitlines()[-1] == alone.out.splitlines()[0]


@pytest.mark.parametrize("command", ["analyze", "diagnose", "detect"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch", "missing.jsonl", "--output", "out.jsonl"], "missing.jsonl"),
        (["--batch", ".", "--output", "out.jsonl"], "Cannot read"),
        (["--batch", "program.bin", "--output", "out.jsonl"], "binary file"),
        (["--batch", "in.jsonl", "--output", "missing/out.jsonl"], "does not exist"),
        (["--batch", "in.jsonl", "--output", "."], "Cannot write"),
        (["--batch", "--output", "out.jsonl"], ""),
        (["--batch", "in.jsonl", "--output", "--json"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_batch_without_its_files_is_exit_code_2_and_writes_nothing(
    run: Run, place: Place, command: str, arguments: list[str], said: str
) -> None:
    place.file("in.jsonl", b'{"id": 1, "text": "x"}\n')
    place.file("program.bin", b"\x7fELF\x02\0\0\n\xff\0\n")
    refused(run(command, *arguments), 2, said)
    assert set(place.content()) == {"in.jsonl", "program.bin"}


@pytest.mark.parametrize("command", ["analyze", "diagnose", "detect"])
def test_a_full_disk_keeps_the_old_answers(run: Run, place: Place, command: str, monkeypatch: Any) -> None:
    source = place.file("in.jsonl", b'{"id": 1, "text": "x"}\n')
    target = place.file("out.jsonl", b"old\n")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("prefect_autopilot.cli.batch.Path.replace", refuse)
        refused(run(command, "--batch", source, "--output", target), 1, "No space left")
    assert place.content() == {"in.jsonl": b'{"id": 1, "text": "x"}\n', "out.jsonl": b"old\n"}


@pytest.mark.parametrize("command", ["analyze", "generate"])
def test_a_connected_service_nobody_knows_is_told_with_the_nearest(
    run: Run, place: Place, command: str
) -> None:
    refused(run(command, "Post 'x' to #ops in Slack", "--connected", "slack,gmial"), 1, "did you mean gmail")
    assert place.content() == {}


@pytest.mark.parametrize("command", ["analyze", "diagnose", "detect"])
def test_an_empty_batch_is_an_empty_answer(run: Run, place: Place, command: str) -> None:
    told = run(command, "--batch", "-", "--output", "-", stdin=b"\n\n")
    assert (told.code, told.out, told.err) == (0, "", "")
    assert place.content() == {}


def test_a_webhook_that_is_no_address_is_refused_before_anything_is_watched(run: Run) -> None:
    refused(run("watch", "--notify-webhook", "notaurl"), 1, "NOTIFY_WEBHOOK")
