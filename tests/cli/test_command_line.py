"""Exit codes, one sentence for every mistake, and a start that costs next to nothing."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_autopilot.cli import guarded, main
from prefect_autopilot.cli.commands import COMMANDS, SERVICE_COMMANDS, build_app
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    InvalidFlowError,
    PrefectError,
    StoreError,
    UnknownNameError,
    UsageError,
)

HEAVY = {"prefect", "sklearn", "statsmodels", "scipy", "pandas", "numpy", "libcst", "fastapi", "sqlalchemy"}
NOT_FOR_HELP = HEAVY | {"pydantic", "httpx", "alembic", "uvicorn", "jinja2"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "prefect_autopilot", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []], ids=str)
def test_help_and_version_load_nothing_of_weight(arguments: list[str]) -> None:
    program = (
        "import json, sys\nfrom prefect_autopilot.cli import main\n"
        f"code = main({arguments!r})\n"
        "print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert not NOT_FOR_HELP & set(modules)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name, _, _ in COMMANDS if name not in shown] == []
    assert "services" in shown


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"prefect-autopilot {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, _, _ in SERVICE_COMMANDS])
def test_every_services_command_exists_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["services", name, "--help"]) == 0
    assert f"services {name}" in capsys.readouterr().out


def test_the_version_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    import prefect_autopilot

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == prefect_autopilot.__version__


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analise", "text"], 'Unknown command "analise". Did you mean "analyze"?'),
        (["services", "lsit"], 'Unknown command "lsit". Did you mean "list"?'),
        (["doctor", "--jsno"], "Unknown option"),
        (["doctor", "surplus"], "Unused Tokens"),
        (["optimize"], "requires"),
        (["optimize", "flow.py", "--strategy", "magic"], "performance"),
        (["watch", "--mode", "yolo"], "propose"),
        (["serve", "--port", "http"], "http"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1
    assert "prefect-autopilot --help" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong words"), 2),
        (UnknownNameError("service", "salck", ("slack",)), 1),
        (InvalidFlowError("no flow"), 1),
        (ConfigurationError("bad setting"), 1),
        (StoreError("read-only"), 1),
        (PrefectError("unreachable", permanent=False), 1),
        (AutopilotError("plain"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_expected_error_is_its_sentence_and_its_exit_code(
    error: AutopilotError, code: int, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert guarded(lambda: raising(error)) == code
    assert capsys.readouterr().err == f"{error.message}\n"
    assert not home.exists(), "an expected error is no crash and leaves no log"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize("option", ["", "--json"])
def test_a_full_disk_under_the_output_is_one_sentence_and_no_crash(home: Path, option: str) -> None:
    program = f"{sys.executable} -m prefect_autopilot services stats {option} >/dev/full"
    environment = os.environ | {"PREFECT_AUTOPILOT_HOME": str(home)}
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == (
        "The disk is full, so that not all could be written; make room and run the command again.\n"
    )
    assert not home.exists(), "a full disk is no crash and leaves no log"


def test_another_refusal_of_the_system_is_still_logged(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert guarded(lambda: raising(OSError(errno.EIO, "bad"))) == 1
    assert "unexpected OSError" in capsys.readouterr().err
    assert home.exists()


def test_a_warning_of_a_library_is_told_without_its_code() -> None:
    program = (
        "import sys, warnings\nfrom prefect_autopilot import cli\n"
        "cli._dispatch = lambda _: warnings.warn('Failed to create\\x1b[2J the home') or 0\n"
        "code = cli.main(['version'])\nwarnings.warn('afterwards')\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, *later = done.stderr.splitlines()
    assert first == "Failed to create\ufffd[2J the home."
    assert "UserWarning: afterwards" in later[0], "only the command's own are told so"


def test_an_error_text_cannot_steer_the_terminal_or_span_lines(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: raising(UsageError("first\nsecond \x1b[2J\x07")))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "\x07" not in said


def test_an_error_text_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: raising(ConfigurationError("cannot open postgresql://me:hunter2secret@db/x")))
    assert "hunter2secret" not in capsys.readouterr().err


def test_an_interrupt_ends_quietly_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


def test_an_unforeseen_error_is_one_sentence_that_says_where_the_details_are(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert guarded(lambda: raising(ZeroDivisionError("deep inside"))) == 1
    said = capsys.readouterr().err
    log = home / "errors.log"
    assert "ZeroDivisionError" in said
    assert str(log) in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert "ZeroDivisionError: deep inside" in log.read_text()
    assert "Traceback" in log.read_text()


def test_the_log_of_unforeseen_errors_is_redacted_and_private(home: Path) -> None:
    guarded(lambda: raising(RuntimeError("Authorization: Bearer abcdef0123456789abcdef")))
    log = home / "errors.log"
    assert "abcdef0123456789" not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_log_keeps_earlier_errors_and_does_not_grow_for_ever(home: Path) -> None:
    guarded(lambda: raising(RuntimeError("first")))
    guarded(lambda: raising(RuntimeError("second")))
    log = home / "errors.log"
    assert "first" in log.read_text()
    log.write_text("x" * 1_000_001)
    guarded(lambda: raising(RuntimeError("third")))
    assert "third" in log.read_text()
    assert log.stat().st_size < 100_000
    assert (home / "errors.log.1").stat().st_size > 1_000_000


def test_a_home_that_cannot_be_written_still_gives_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "file" / "home"))
    assert guarded(lambda: raising(RuntimeError("lost"))) == 1
    said = capsys.readouterr().err
    assert "could not be written (Not a directory)" in said
    assert len(said.splitlines()) == 1


def test_a_reader_that_goes_away_causes_no_complaint() -> None:
    program = f"{sys.executable} -m prefect_autopilot services list --json | head -n 1"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.strip() == "["
    assert done.stderr == ""


def test_unreadable_batch_input_is_exit_code_2_and_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    done = run("detect", "--batch", str(tmp_path / "missing.jsonl"), "--output", str(target))
    assert done.returncode == 2
    assert "missing.jsonl" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not target.exists()


def test_commands_are_registered_by_name_only() -> None:
    app = build_app()
    places = [
        f"prefect_autopilot.cli.{place.partition(':')[0]}" for _, place, _ in COMMANDS + SERVICE_COMMANDS
    ]
    assert len({name for name, _, _ in COMMANDS}) == len(COMMANDS)
    assert all(name in app for name, _, _ in COMMANDS)
    assert all(place.count(".") == 2 for place in places)


def test_the_installed_script_is_the_same_command() -> None:
    script = Path(sys.executable).with_name("prefect-autopilot")
    if not script.exists():
        assert os.environ.get("CI") != "true"
        pytest.skip("the package is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == run("--version").stdout
