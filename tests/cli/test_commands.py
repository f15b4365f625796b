"""What the commands ask for, refuse and print; what they call is tested in its own room."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefect_autopilot.adapters.embedded import check_address
from prefect_autopilot.cli import main
from prefect_autopilot.cli.automate import read_parameters, request_context
from prefect_autopilot.cli.connect import read_credentials
from prefect_autopilot.cli.services import find_service
from prefect_autopilot.cli.text_input import LONGEST_REQUEST, comma_separated, read_file, request_text
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Recurrence, TroubleshootingSession
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"], ids=repr)
def test_an_empty_request_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        request_text(text)


def test_a_missing_request_is_told_with_an_example() -> None:
    with pytest.raises(UsageError, match="prefect-autopilot analyze"):
        request_text(None)


@pytest.mark.parametrize(
    ("length", "accepted"), [(LONGEST_REQUEST, True), (LONGEST_REQUEST + 1, False), (100_000, False)]
)
def test_a_request_has_a_length_it_cannot_exceed(length: int, accepted: bool) -> None:  # noqa: FBT001 - a column
    if accepted:
        assert len(request_text("x" * length)) == length
    else:
        with pytest.raises(UsageError, match="longer than 20,000 characters"):
            request_text("x" * length)


def test_a_request_may_come_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("every monday post the report\n"))
    assert request_text("-") == "every monday post the report\n"


def test_an_endless_pipe_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 1_000_000))
    with pytest.raises(UsageError, match="longer than"):
        request_text("-")


@pytest.mark.parametrize(
    ("text", "parts"),
    [(None, ()), ("", ()), ("a", ("a",)), ("a, b ,c", ("a", "b", "c")), (",,a,", ("a",))],
)
def test_a_list_is_written_with_commas(text: str | None, parts: tuple[str, ...]) -> None:
    assert comma_separated(text) == parts


def test_a_log_is_read_even_where_it_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"caf\xe9 ConnectionRefusedError")
    assert "ConnectionRefusedError" in read_file(tmp_path / "log", "a log")


def test_a_log_in_utf_16_is_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes("Größe: ValueError\r\n".encode("utf-16"))
    assert read_file(tmp_path / "log", "a log") == "Größe: ValueError\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xef\xbb\xbfTypeError",
        "Ошибка соединения с сервером: время ожидания истекло".encode("cp1251"),
        b"\x1b[31mTimeoutError\x1b[0m\tafter 30 s\r\n",
        b"\0" * 4096 + b"ConnectionError: refused",
    ],
    ids=["empty", "mark", "cp1251", "colours", "cut log"],
)
def test_a_log_is_no_binary_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    assert not read_file(tmp_path / "log", "a log").startswith("\ufeff")


@pytest.mark.parametrize(
    "content",
    [bytes(range(256)) * 8, zlib.compress(bytes(i * i % 251 for i in range(4096))), b"\0" * 64],
    ids=["every byte", "compressed", "zeros"],
)
def test_a_binary_file_is_no_log(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(UsageError, match="binary file; name a log"):
        read_file(tmp_path / "picture.png", "a log")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read .*; name a log"):
        read_file(tmp_path / name, "a log")


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "a" * 5000])
def test_an_unknown_time_zone_is_told(timezone: str) -> None:
    with pytest.raises(UsageError, match="IANA name"):
        request_context(None, timezone)


def test_the_context_holds_what_was_said() -> None:
    context = request_context("gmail, slack", "Europe/Berlin")
    assert context.connected_services == ("gmail", "slack")
    assert context.timezone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("channel=#ops", "channel", "#ops"),
        ("limit=3", "limit", 3),
        ("active=true", "active", True),
        ('tags=["a", "b"]', "tags", ["a", "b"]),
        ("text=a=b", "text", "a=b"),
        ("text=", "text", ""),
        ("id=007", "id", "007"),
    ],
)
def test_a_flow_parameter_is_json_or_text(pair: str, name: str, value: object) -> None:
    assert read_parameters((pair,)) == {name: value}


@pytest.mark.parametrize("pairs", [("channel",), ("=x",), ("a=1", "a=2")], ids=str)
def test_a_flow_parameter_that_is_none_is_told(pairs: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="NAME=VALUE"):
        read_parameters(pairs)


@pytest.mark.parametrize(
    ("pairs", "needed", "given"),
    [
        (("token=abc",), ("token",), {"token": "abc"}),
        (("token=a=b==",), ("token",), {"token": "a=b=="}),
        (("user=me", "password=x y"), ("user", "password"), {"user": "me", "password": "x y"}),
        (("token=abc", "refresh_token=def"), ("token",), {"token": "abc", "refresh_token": "def"}),
        ((), (), {}),
    ],
    ids=["one", "equal signs", "two", "more than needed", "none needed"],
)
def test_credentials_are_read_by_name(
    pairs: tuple[str, ...], needed: tuple[str, ...], given: dict[str, str]
) -> None:
    assert read_credentials(pairs, needed) == given


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ((), "Credentials are missing: token; add --credential token"),
        (("token=",), "Credentials are missing: token"),
        (("tokne=abc",), "Credentials are missing: token"),
        (("=abc",), "KEY=VALUE"),
        (("token=a", "token=b"), "each KEY once"),
    ],
    ids=["none", "empty", "misspelt", "no name", "twice"],
)
def test_credentials_that_are_missing_or_odd_are_told(pairs: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_credentials(pairs, ("token",))


def test_an_error_about_credentials_never_shows_a_value() -> None:
    with pytest.raises(UsageError) as caught:
        read_credentials(("token=hunter2secret", "token=hunter2secret"), ("token",))
    assert "hunter2secret" not in caught.value.message


def test_a_credential_without_a_value_is_read_from_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("me\ns3cret value\n"))
    assert read_credentials(("user", "password"), ("user", "password")) == {
        "user": "me",
        "password": "s3cret value",
    }


def test_a_port_in_use_is_told_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"Cannot listen on 127\.0\.0\.1 port"):
            check_address("127.0.0.1", taken.getsockname()[1], advice="choose another")


def test_a_free_port_is_fine() -> None:
    check_address("127.0.0.1", 0, advice="choose another")


@pytest.mark.parametrize(
    ("host", "port"), [("no.such.host.invalid", 80), ("127.0.0.1", 70_000), ("127.0.0.1", -1)]
)
def test_an_address_that_cannot_be_is_told(host: str, port: int) -> None:
    with pytest.raises(UsageError, match="choose another"):
        check_address(host, port, advice="choose another")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyze"], "either a request or --batch"),
        (["analyze", "text", "--batch", "in.jsonl"], "either a request or --batch"),
        (["analyze", "text", "--output", "out.jsonl"], "--output belongs to --batch"),
        (["analyze", "  "], "request is empty"),
        (["analyze", "x" * 100_000], "longer than"),
        (["analyze", "text", "--timezone", "Mars/Olympus"], "IANA name"),
        (["analyze", "--batch", "missing.jsonl"], "both --batch IN and --output OUT"),
        (["generate", ""], "request is empty"),
        (["generate", "text", "--parameter", "a=1"], "add --deploy"),
        (["generate", "text", "--deploy", "--parameter", "a"], "NAME=VALUE"),
        (["services", "connect", "slack"], "Credentials are missing"),
        (["diagnose"], "Name one thing to diagnose"),
        (["diagnose", "--last-failed", "--file", "log"], "Name one thing to diagnose"),
        (["diagnose", "--file", "missing.log"], "Cannot read missing.log"),
        (["diagnose", "--file", "missing.log", "--output", "x"], "--output belongs to --batch"),
        (["diagnose", "--file", "missing.log", "--propose-fix"], "--propose-fix belongs to a run"),
        (["services", "list", "--kind", "telepathy"], "no kind of service named 'telepathy'"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_a_call_that_cannot_be_meant_is_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


@pytest.mark.parametrize("arguments", [["diagnose", "--last-failed"], ["watch"]], ids=" ".join)
def test_without_a_known_server_the_variable_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "PREFECT_API_URL" in said
    assert len(said.splitlines()) == 1


def test_an_unreachable_server_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    assert main(["diagnose", "--last-failed"]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert len(said.splitlines()) == 1


def test_a_run_id_that_is_none_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main(["diagnose", "../admin"]) == 2
    assert "no flow run id" in capsys.readouterr().err


def test_services_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "list", "--json"]) == 0
    services = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"gmail", "slack", "asana"} <= set(services)
    assert services["slack"]["operations"]


def test_services_of_a_kind_are_fewer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "list", "--kind", "email", "--json"]) == 0
    ids = {one["id"] for one in json.loads(capsys.readouterr().out)}
    assert "gmail" in ids
    assert "asana" not in ids


@pytest.mark.parametrize("name", ["slack", "Slack", "SLACK"])
def test_a_service_is_shown_with_its_operations(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "show", name]) == 0
    shown = capsys.readouterr().out
    assert "Slack (slack)" in shown
    assert "Operations" in shown


@pytest.mark.parametrize(
    ("name", "service"), [("Outlook", "microsoft_outlook"), ("Microsoft Teams", "microsoft_teams")]
)
def test_a_shared_name_is_that_of_the_only_service_that_can_be_called(name: str, service: str) -> None:
    assert find_service(name).id == service


def test_the_limit_of_a_service_is_told_with_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "show", "telegram"]) == 0
    assert "30 calls a second, of each process" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (("clickup", "list_tasks"), "a source that tells some of its parameters only"),
        (("notion", "search"), "not where the rows of its answer stand"),
        (("asana", "list_tasks"), None),
    ],
)
def test_what_a_source_leaves_open_is_told_of_an_operation(
    operation: tuple[str, str], told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["services", "show", *operation]) == 0
    shown = capsys.readouterr().out
    assert told in shown if told else "confirmed  " not in shown


def test_an_unknown_service_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "show", "slakc"]) == 1
    assert "did you mean" in capsys.readouterr().err


def test_the_counts_of_the_catalogue_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "stats", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert main(["services", "list", "--json"]) == 0
    services = json.loads(capsys.readouterr().out)
    assert counts["operable"] + counts["declared"] + counts["recognised"] == len(services)
    assert counts["operations"] == sum(len(one["operations"]) for one in services)


@pytest.mark.parametrize(("command", "nothing"), [("sessions", []), ("health", [])])
def test_a_fresh_store_has_nothing_to_show(
    command: str, nothing: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == nothing


def test_health_without_runs_says_where_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 0
    assert "prefect-autopilot watch" in capsys.readouterr().out


def test_a_list_of_sessions_keeps_each_id_on_one_line_of_any_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["sessions"]) == 0
    assert "No troubleshooting session yet" in capsys.readouterr().out
    now = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
    ident = "0b9f3c1e-5a0d-4a53-9c66-1d5f0a7b8c9d"
    session = TroubleshootingSession(
        session_id=ident,
        workflow_id="d",
        flow_run_id="r",
        run_count=1,
        fingerprint="f",
        recurrence=Recurrence(times=4, last_at=now, remedy="retry_run", held=3, tried=3),
        start_time=now,
        due_at=now,
    )

    async def keep() -> None:
        async with Store.open(load_settings().store_url.get_secret_value()) as store:
            await store.save_session(session, None)

    asyncio.run(keep())
    assert main(["sessions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{ident}  2026-03-02 03:00 UTC"
    assert lines[1].startswith("  ")
    assert lines[1].endswith("0 attempts")
    assert lines[2].endswith("last fixed by retry run, 3 of 3 held.")


def test_an_unknown_session_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "nobody"]) == 1
    assert "no session named 'nobody'" in capsys.readouterr().err


def test_an_unknown_workflow_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "nobody"]) == 1
    assert "no workflow named 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["sessions"], ["health"]], ids=" ".join)
def test_a_damaged_store_is_one_sentence(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "autopilot.db").write_bytes(b"this is no database" * 1000)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "unexpected" not in said


def test_a_wrong_setting_is_one_sentence_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_STORE_URL", "mysql://me:hunter2secret@db/x")
    assert main(["sessions"]) == 1
    said = capsys.readouterr().err
    assert "hunter2secret" not in said
    assert len(said.splitlines()) == 1
