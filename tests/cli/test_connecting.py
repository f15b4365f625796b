"""``services connect`` against a Prefect server and simulated services: asked, tested, stored or refused."""

from __future__ import annotations

import asyncio
import http.server
import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.blocks import ServiceConnection
from prefect_autopilot.blocks.connection import load_connection
from prefect_autopilot.cli import main
from prefect_autopilot.cli.connect import (
    expect_webhook,
    from_environment,
    read_credentials,
    renewal_note,
    shown_answer,
)
from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.services import load_catalogue

TOKEN = "simulated-slack-token"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_harness: None) -> None:
    from prefect.settings import PREFECT_API_URL

    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    monkeypatch.delenv("PREFECT_API_KEY", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
def services(simulator: Simulator) -> Iterator[str]:
    with serve_simulator(simulator) as url:
        yield url


def stored(name: str) -> ServiceConnection | None:
    try:
        return asyncio.run(load_connection(name))
    except UnknownNameError:
        return None


def connect(services: str, name: str, *words: str, service: str = "slack") -> int:
    place = ("--base-url", f"{services}/{service}", "--allow-private-network")
    return main(["services", "connect", service, "--name", name, *place, *words])


def test_credentials_that_work_are_stored_and_the_answer_is_shown(
    services: str, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(services, "works", "--credential", f"token={TOKEN}") == 0

    told = capsys.readouterr().out
    assert "Stored as the connection slack-works" in told
    assert "verified: Slack answered auth_test" in told
    assert TOKEN not in told
    assert [call.operation for call in simulator.calls] == ["auth_test"]
    block = stored("slack-works")
    assert block is not None
    assert block.credentials.get_secret_value() == {"token": TOKEN}
    assert TOKEN not in repr(block)


def test_credentials_that_are_refused_leave_nothing_behind(
    services: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(services, "refused", "--credential", "token=wrong-secret-value") == 1

    said = capsys.readouterr()
    assert "Slack" in said.err
    assert "wrong-secret-value" not in said.err + said.out
    assert stored("slack-refused") is None


def test_a_refused_replacement_leaves_the_old_connection(services: str) -> None:
    connect(services, "kept", "--credential", f"token={TOKEN}")

    assert connect(services, "kept", "--replace", "--credential", "token=wrong-secret-value") == 1

    block = stored("slack-kept")
    assert block is not None
    assert block.credentials.get_secret_value() == {"token": TOKEN}


def test_a_connection_is_replaced_only_when_asked(
    services: str, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(services, "once", "--credential", f"token={TOKEN}")
    simulator.allow("slack", {"token": "second-token-9"})
    simulator.calls.clear()

    assert connect(services, "once", "--credential", "token=second-token-9") == 1
    assert "--replace" in capsys.readouterr().err
    assert simulator.calls == []
    assert connect(services, "once", "--replace", "--credential", "token=second-token-9") == 0

    block = stored("slack-once")
    assert block is not None
    assert block.credentials.get_secret_value() == {"token": "second-token-9"}


def test_without_verification_the_service_is_not_called_and_that_is_said(
    services: str, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(services, "untested", "--no-verify", "--credential", "token=whatever") == 0

    assert "not verified" in capsys.readouterr().out
    assert simulator.calls == []


def test_a_service_without_a_check_call_is_stored_and_that_is_said(
    services: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(services, "blind", "--credential", "access_token=abc", service="zapier") == 0

    assert "not verified: no call is known" in capsys.readouterr().out


RENEWING = ("client_id=a", "client_secret=b")


@pytest.mark.parametrize(
    "told",
    [RENEWING, ("refresh_token=r",), ("access_token=t",)],
    ids=["client credentials", "refresh token", "access token"],
)
def test_an_access_token_is_needed_only_where_none_can_be_had(told: tuple[str, ...], services: str) -> None:
    tenant = ("tenant=acme", "subscription_id=s-1")
    words = [word for pair in (*told, *tenant) for word in ("--credential", pair)]

    assert connect(services, told[0].partition("=")[0], "--no-verify", *words, service="azure") == 0


@pytest.mark.parametrize(
    "told", [RENEWING[:1], RENEWING[1:], ()], ids=["id alone", "secret alone", "nothing"]
)
def test_half_of_the_client_credentials_is_no_access_token(
    told: tuple[str, ...], services: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for pair in (*told, "tenant=a", "subscription_id=s") for word in ("--credential", pair)]

    assert connect(services, "half", "--no-verify", *words, service="azure") != 0
    assert "access_token" in capsys.readouterr().err
    assert stored("azure-half") is None


@pytest.mark.parametrize(
    ("service", "told"),
    [("facebook", "by hand"), ("dropbox", "--credential refresh_token"), ("gmail", None), ("stripe", None)],
)
def test_what_becomes_of_a_token_that_ends_is_said(service: str, told: str | None) -> None:
    note = renewal_note(load_catalogue().get(service))

    assert (told in note) if told and note else note is told


def test_only_services_without_the_usual_grant_need_a_token_fetched_by_hand() -> None:
    by_hand = {one.id for one in load_catalogue().services if "by hand" in (renewal_note(one) or "")}

    assert by_hand == {"basecamp", "facebook", "facebook_lead_ads", "instagram", "teamwork", "tiktok"}


def test_a_bearer_token_is_not_needed_where_one_can_be_had(services: str) -> None:
    words = [word for pair in (*RENEWING, "refresh_token=r") for word in ("--credential", pair)]

    assert connect(services, "renewed", "--no-verify", *words, service="dropbox") == 0


def test_a_value_comes_from_an_environment_variable(services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SLACK_TOKEN", TOKEN)

    assert connect(services, "from-env", "--credential-env", "token=MY_SLACK_TOKEN") == 0

    assert stored("slack-from-env") is not None


def test_a_value_comes_from_a_pipe(services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))

    assert connect(services, "from-pipe", "--credential", "token") == 0

    assert stored("slack-from-pipe") is not None


def test_a_database_is_tested_before_it_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["services", "connect", "sqlite", "--name", "shop", "--base-url"]
    (tmp_path / "shop.db").touch()

    assert main([*words, f"sqlite:///{tmp_path}/none.db"]) == 1
    assert "no database file" in capsys.readouterr().err
    assert main([*words, f"sqlite:///{tmp_path}/shop.db"]) == 0

    assert "verified: SQLite answered ping with 1 row" in capsys.readouterr().out


def test_nothing_is_asked_where_nobody_sits(services: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert connect(services, "nobody") == 2

    assert "--credential token" in capsys.readouterr().err
    assert stored("slack-nobody") is None


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>A shop</html>")

    do_POST = do_GET  # noqa: N815  the name is the protocol of http.server

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_server_that_is_no_prefect_gets_one_sentence_and_no_credential(
    services: str,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_address[1]}/api")
        code = connect(services, "shop", "--credential", f"token={TOKEN}")
        server.shutdown()
        thread.join(5)

    said = capsys.readouterr().err
    assert code == 1
    assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said
    assert simulator.calls == []


def at_a_terminal(words: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command with a terminal of its own, type the answers, and return code and screen."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect_autopilot", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=os.environ | {"COLUMNS": "80"},
    )
    os.close(slave)
    screen = b""
    waiting = list(answers)
    try:
        while chunk := _read(master):
            screen += chunk
            if waiting and chunk.rstrip(b" ").endswith(b":"):
                os.write(master, f"{waiting.pop(0)}\n".encode())
        return process.wait(30), screen.decode("utf-8", errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _read(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:  # how Linux tells that the other side of a terminal is gone
        return b""


@pytest.mark.timeout(60)
def test_at_a_terminal_what_is_missing_is_asked_for_and_secrets_stay_unseen(services: str) -> None:
    words = ["services", "connect", "slack", "--name", "typed", "--base-url", f"{services}/slack"]

    code, screen = at_a_terminal([*words, "--allow-private-network"], [TOKEN])

    assert code == 0, screen
    assert "Slack needs token" in screen
    assert TOKEN not in screen
    assert stored("slack-typed") is not None


@pytest.mark.timeout(60)
def test_an_empty_answer_stores_nothing(services: str) -> None:
    words = ["services", "connect", "slack", "--name", "empty", "--base-url", f"{services}/slack"]

    code, screen = at_a_terminal(words, [""])

    assert code == 2, screen
    assert "nothing is stored" in screen.replace("\r\n", " ")
    assert stored("slack-empty") is None


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"ok": True, "team": "Shop", "user": "bot"}, "team=Shop, user=bot"),
        ({"nested": {"a": 1}, "id": 7}, "id=7"),
        ({"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}, "a=1, b=2, c=3, d=4"),
        ([{"id": 1}, {"id": 2}], "2 rows"),
        ([{"id": 1}], "1 row"),
        ([], "0 rows"),
        ("pong", ""),
        (None, ""),
        ({"echo": "s3cret-value-1"}, "echo="),
        ({"text": "x" * 500}, "text=" + "x" * 60),
    ],
    ids=["names", "nested", "many", "rows", "row", "no rows", "text", "nothing", "secret", "long"],
)
def test_an_answer_is_shown_in_a_few_words_without_secrets(answer: Any, shown: str) -> None:
    told = shown_answer(answer, ("s3cret-value-1",))

    assert told.removeprefix("ok=True, ").startswith(shown)
    assert "s3cret" not in told
    assert len(told) < 300


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("token",), "KEY=VARIABLE"),
        (("=X",), "KEY=VARIABLE"),
        (("token=",), "KEY=VARIABLE"),
        (("token=HOME", "token=HOME"), "each KEY once"),
        (("token=NO_SUCH_VARIABLE_HERE",), "NO_SUCH_VARIABLE_HERE is not set"),
    ],
)
def test_an_environment_variable_that_is_none_is_told(pairs: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_environment(pairs)


def test_a_credential_given_in_two_ways_is_refused() -> None:
    with pytest.raises(UsageError, match="each KEY once"):
        read_credentials(("token=a",), ("token",), elsewhere=("token",))


def test_at_a_terminal_a_missing_credential_is_no_error_yet() -> None:
    assert read_credentials((), ("token",), ask=True) == {}


@pytest.mark.parametrize("minutes", [0, -5, 1441])
async def test_a_secret_is_not_expected_for_ever_and_not_in_the_past(
    minutes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="--minutes"):
        await expect_webhook("asana-default", minutes=minutes)
    assert not (tmp_path / "autopilot.db").exists()  # nobody waits


async def test_a_secret_is_expected_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    assert await expect_webhook("asana-default", minutes=5) == 0
    assert "asana-default takes the secret of one new webhook" in capsys.readouterr().out
