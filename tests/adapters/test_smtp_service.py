"""Mail behind the one call: what a server on a loopback socket receives, and what is refused or told."""

from __future__ import annotations

import base64
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.smtp import LARGEST_ATTACHMENT, SMTPClient, compose, mail_server
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.services import load_catalogue

SIGN_IN = base64.b64encode(b"\0me@example.com\0hunter2-secret").decode()
MAIL = {"to": "ann@example.com", "subject": "Ready", "body": "The report is ready."}


@dataclass
class Mailbox:
    """A mail server that keeps what it was handed; ``answers`` replaces its answer to a command."""

    answers: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    url: str = ""

    @property
    def message(self) -> EmailMessage:
        [(_, message)] = self.mails
        return message


class Session(socketserver.StreamRequestHandler):
    """Just enough of RFC 5321 and the PLAIN sign-in of RFC 4954."""

    def handle(self) -> None:
        box = cast("Mailbox", self.server.box)  # type: ignore[attr-defined]
        self.tell("220 mail.example ready")
        receivers: list[str] = []
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            box.said.append(line)
            word = line.split()[0].upper()
            planned = box.answers.get(line) or box.answers.get(word)
            if planned == "hang up":
                return
            if planned:
                self.tell(planned)
            elif word == "EHLO":
                self.tell("250-mail.example")
                self.tell("250 AUTH PLAIN")
            elif word == "AUTH":
                good = line.split()[-1] == SIGN_IN
                self.tell("235 welcome" if good else "535 5.7.8 wrong name or password")
            elif word == "RCPT":
                receivers.append(line.partition("<")[2].rstrip(">"))
                self.tell("250 ok")
            elif word == "DATA":
                self.tell("354 go on")
                box.mails.append((receivers, self.content()))
                receivers = []
                self.tell("250 taken")
            else:
                self.tell("221 bye" if word == "QUIT" else "250 ok")

    def tell(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def content(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline().decode()) != ".\r\n":
            lines.append(line.removeprefix("."))
        return cast("EmailMessage", message_from_string("".join(lines), policy=default))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        box = Mailbox(url=f"smtp://127.0.0.1:{server.server_address[1]}?starttls=off")
        server.box = box  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield box
        server.shutdown()
        thread.join(5)


def client(
    url: str | None, *, password: str = "hunter2-secret", private: bool = True, **credentials: str
) -> SMTPClient:
    held = {"username": "me@example.com", "password": password, **credentials}
    secrets = {name: SecretStr(value) for name, value in held.items()}
    return SMTPClient(
        load_catalogue().get("email"),
        secrets,
        base_url=url,
        connection="email-default",
        allow_private_network=private,
    )


async def test_a_mail_arrives_with_its_headers_and_text(mailbox: Mailbox) -> None:
    async with client(mailbox.url) as mail:
        answer = await mail.call("send_email", {**MAIL, "subject": "Bericht für März"})

    [(receivers, message)] = mailbox.mails
    assert receivers == ["ann@example.com"]
    assert message["From"] == "me@example.com"
    assert message["Subject"] == "Bericht für März"
    assert message.get_content().strip() == MAIL["body"]
    assert answer == {"message_id": message["Message-ID"], "to": ["ann@example.com"]}


async def test_copies_reach_everybody_and_hidden_ones_stay_hidden(mailbox: Mailbox) -> None:
    async with client(mailbox.url) as mail:
        await mail.call(
            "send_email",
            {**MAIL, "to": ["Ann <ann@example.com>", "bob@example.com"], "cc": "c@example.com",
             "bcc": ["boss@example.com", "ann@example.com"], "reply_to": "desk@example.com"},
        )  # fmt: skip

    [(receivers, message)] = mailbox.mails
    assert receivers == ["ann@example.com", "bob@example.com", "c@example.com", "boss@example.com"]
    assert "boss" not in message.as_string()
    assert message["Reply-To"] == "desk@example.com"
    assert message["To"] == "Ann <ann@example.com>, bob@example.com"


async def test_the_sender_can_be_another_than_the_name_signed_in_with(mailbox: Mailbox) -> None:
    async with client(mailbox.url, **{"from": "Reports <reports@example.com>"}) as mail:
        await mail.call("send_email", MAIL)
        await mail.call("send_email", {**MAIL, "from": "once@example.com"})

    assert [message["From"] for _, message in mailbox.mails] == [
        "Reports <reports@example.com>",
        "once@example.com",
    ]


async def test_files_bytes_and_base64_are_attached_under_their_names(
    mailbox: Mailbox, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_bytes(b"id,name\n1,Lamp\n")
    attached = [
        str(tmp_path / "orders.csv"),
        {"path": str(tmp_path / "orders.csv"), "name": "march.csv"},
        {"name": "raw.bin", "content": b"\x00\x01"},
        {"name": "text.txt", "content": base64.b64encode("grün".encode()).decode()},
    ]

    async with client(mailbox.url) as mail:
        await mail.call("send_email", {**MAIL, "attachments": attached})

    parts = list(mailbox.message.iter_attachments())
    assert [part.get_filename() for part in parts] == ["orders.csv", "march.csv", "raw.bin", "text.txt"]
    assert parts[0].get_content_type() == "text/csv"
    assert parts[2].get_payload(decode=True) == b"\x00\x01"
    assert parts[3].get_payload(decode=True) == "grün".encode()


async def test_html_stands_beside_the_text(mailbox: Mailbox) -> None:
    async with client(mailbox.url) as mail:
        await mail.call("send_email", {**MAIL, "html": "<p>The report is <b>ready</b>.</p>"})

    body = mailbox.message.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == MAIL["body"]
    assert mailbox.message.get_content_type() == "multipart/alternative"


async def test_a_repeated_call_carries_the_same_message_id(mailbox: Mailbox) -> None:
    async with client(mailbox.url) as mail:
        for key in ("run-1-a", "run-1-a", "run-1-b", None, None):
            await mail.call("send_email", MAIL, idempotency_key=key)

    ids = [message["Message-ID"] for _, message in mailbox.mails]
    assert ids[0] == ids[1] == "<run-1-a@example.com>"
    assert len(set(ids)) == 4


@pytest.mark.parametrize("name", ["subject", "to", "cc", "bcc", "reply_to", "from"])
@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\0"], ids=["lf", "cr", "crlf", "nul"])
async def test_no_value_starts_a_header_of_its_own(mailbox: Mailbox, name: str, break_: str) -> None:
    hostile = f"ann@example.com{break_}Bcc: eve@example.com"

    async with client(mailbox.url) as mail:
        with pytest.raises(UsageError, match=f"'{name}'"):
            await mail.call("send_email", {**MAIL, name: hostile})

    assert mailbox.said == []


async def test_a_body_with_lines_like_headers_or_dots_stays_a_body(mailbox: Mailbox) -> None:
    text = "Hello\r\n.\r\nBcc: eve@example.com\r\n..\r\nend"

    async with client(mailbox.url) as mail:
        await mail.call("send_email", {**MAIL, "body": text})

    [(receivers, message)] = mailbox.mails
    assert receivers == ["ann@example.com"]
    assert message["Bcc"] is None
    assert message.get_content().replace("\r\n", "\n").strip() == text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"to": "ann"}, "'to'"),
        ({"to": ["ann@example.com", "bob@"]}, "'to'"),
        ({"to": "an n@example.com"}, "'to'"),
        ({"to": []}, "'to'"),
        ({"cc": "@example.com"}, "'cc'"),
        ({"from": "nobody"}, "'from'"),
        ({"to": None}, "'to'"),
        ({"subjekt": "x"}, "subjekt"),
        ({"subject": 3}, "'subject'"),
        ({"attachments": ["/no/such/file.pdf"]}, "Attachment 1.*file.pdf"),
        ({"attachments": [{"name": "x"}]}, "Attachment 1"),
        ({"attachments": [{"name": "x", "path": "a", "content": "b"}]}, "Attachment 1"),
        ({"attachments": [{"name": "x", "content": "no base64!"}]}, "Attachment 1"),
        ({"attachments": [{"content": b"x"}]}, "'name'"),
        ({"attachments": [{"name": "a\nb", "content": b"x"}]}, "'attachments'"),
        ({"attachments": [7]}, "Attachment 1"),
    ],
)
async def test_a_wrong_parameter_is_named_and_nothing_is_sent(
    mailbox: Mailbox, change: dict[str, Any], told: str
) -> None:
    async with client(mailbox.url) as mail:
        with pytest.raises(UsageError, match=told):
            await mail.call("send_email", {**MAIL, **change})

    assert mailbox.said == []


def test_attachments_have_a_limit_together() -> None:
    half = {"name": "half.bin", "content": b"x" * (LARGEST_ATTACHMENT // 2 + 1)}

    with pytest.raises(UsageError, match="20 MB"):
        compose({**MAIL, "attachments": [half, half]}, sender="me@example.com", message_id="<1>")


async def test_signing_in_shows_that_a_connection_works(mailbox: Mailbox) -> None:
    async with client(mailbox.url) as mail:
        answer = await mail.call("sign_in")

    assert answer["code"] == 250
    assert f"AUTH PLAIN {SIGN_IN}" in mailbox.said
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("answers", "permanent", "told"),
    [
        pytest.param({"DATA": "554 5.7.1 refused as spam"}, True, "554 5.7.1", id="refused for good"),
        pytest.param({"DATA": "451 4.7.1 try later"}, False, "451", id="refused for now"),
        pytest.param({"MAIL": "530 sign in first"}, True, "530", id="sender refused"),
        pytest.param({"RCPT": "550 no such user"}, True, "ann@example.com", id="nobody there"),
        pytest.param({"RCPT": "450 greylisted"}, False, "ann@example.com", id="greylisted"),
        pytest.param({"AUTH": "454 sign-in not available now"}, False, "credentials", id="no sign-in now"),
        pytest.param({"AUTH": "535 wrong"}, True, "credentials", id="wrong password"),
        pytest.param({"DATA": "hang up"}, False, "broke off", id="hung up"),
        pytest.param({"EHLO": "250 mail.example"}, True, "does not offer", id="no sign-in offered"),
    ],
)
async def test_what_a_server_refuses_is_told_and_whether_later_helps(
    mailbox: Mailbox, answers: dict[str, str], told: str, *, permanent: bool
) -> None:
    mailbox.answers = answers

    async with client(mailbox.url) as mail:
        with pytest.raises(ServiceError, match=told) as caught:
            await mail.call("send_email", MAIL)

    assert caught.value.permanent is permanent
    assert caught.value.effect == "unsafe"
    assert caught.value.connection == "email-default"


async def test_a_mail_that_only_some_got_is_no_success(mailbox: Mailbox) -> None:
    mailbox.answers = {"RCPT TO:<bob@example.com>": "550 no such user", "rcpt TO:<bob@example.com>": "550 no"}

    async with client(mailbox.url) as mail:
        with pytest.raises(ServiceError, match=r"not for bob@example\.com") as caught:
            await mail.call("send_email", {**MAIL, "to": ["ann@example.com", "bob@example.com"]})

    assert caught.value.permanent
    assert [receivers for receivers, _ in mailbox.mails] == [["ann@example.com"]]


async def test_the_password_is_in_no_error(mailbox: Mailbox) -> None:
    mailbox.answers = {"AUTH": "535 no: wrong-secret-7"}

    async with client(mailbox.url, password="wrong-secret-7") as mail:
        with pytest.raises(ServiceError) as caught:
            await mail.call("sign_in")

    assert "wrong-secret-7" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_server_without_encryption_is_not_told_the_password(mailbox: Mailbox) -> None:
    async with client(mailbox.url.partition("?")[0]) as mail:
        with pytest.raises(ServiceError, match="does not offer") as caught:
            await mail.call("send_email", MAIL)

    assert caught.value.permanent
    assert not [line for line in mailbox.said if line.startswith("AUTH")]


def test_a_password_does_not_leave_the_machine_unencrypted() -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        client("smtp://mail.example:25?starttls=off")


async def test_a_server_that_is_not_there_is_a_passing_failure() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Session, bind_and_activate=False) as held:
        held.server_bind()  # bound and not listening
        async with client(f"smtp://127.0.0.1:{held.server_address[1]}?starttls=off") as mail:
            with pytest.raises(ServiceError, match="failed") as caught:
                await mail.call("send_email", MAIL)

    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("address", "host", "port", "security"),
    [
        ("smtp://mail.example", "mail.example", 587, "starttls"),
        ("smtp://mail.example:25", "mail.example", 25, "starttls"),
        ("smtps://mail.example", "mail.example", 465, "ssl"),
        ("smtp://mail.example:25?starttls=off", "mail.example", 25, "none"),
        (None, "held.example", 587, "starttls"),
    ],
)
def test_an_address_tells_host_port_and_encryption(
    address: str | None, host: str, port: int, security: str
) -> None:
    server = mail_server(load_catalogue().get("email"), address, {"host": "held.example"})

    assert (server.host, server.port, server.security) == (host, port, security)


@pytest.mark.parametrize(
    "address",
    [
        "mail.example",
        "https://mail.example",
        "smtp://",
        "smtp://mail.example:port",
        "smtp://me:pw@mail.example",
        None,
    ],
)
def test_an_address_that_is_no_mail_server_is_refused(address: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        mail_server(load_catalogue().get("email"), address, {})

    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("security", ["starttls", "starttls=off", "smtps"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.7", "[::1]", "127.1"])
async def test_mail_is_not_handed_to_a_private_address(host: str, security: str) -> None:
    url = f"smtps://{host}" if security == "smtps" else f"smtp://{host}:2525?{security}"
    async with client(url, private=False, password="") as mail:
        with pytest.raises(ConfigurationError, match="allow_private_network"):
            await mail.call("send_email", MAIL)


async def test_a_private_mail_server_hears_nothing_unless_it_is_allowed(mailbox: Mailbox) -> None:
    async with client(mailbox.url, private=False) as mail:
        for operation, given in (("sign_in", {}), ("send_email", MAIL)):
            with pytest.raises(ConfigurationError, match="nothing was sent"):
                await mail.call(operation, given)
    assert mailbox.said == []
    async with client(mailbox.url) as mail:
        await mail.call("sign_in")
    assert mailbox.said


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names mean; a test changes it as whoever owns a name may."""
    table: dict[str, list[str]] = {}

    async def look_up(host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in table[host]]

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    return table


@pytest.mark.parametrize("found", [["10.0.0.7"], ["8.8.8.8", "10.0.0.7"], ["::1"]], ids=str)
async def test_a_name_that_means_a_private_mail_server_is_refused_at_every_session(
    names: dict[str, list[str]], found: list[str]
) -> None:
    names["mail.example"] = found
    async with client("smtp://mail.example", private=False) as mail:
        with pytest.raises(ConfigurationError, match=r"mail\.example is an address of a private network"):
            await mail.call("send_email", MAIL)


@pytest.mark.parametrize("security", ["starttls=off", "smtps"])
async def test_the_session_goes_to_the_checked_address_and_trusts_the_name(
    names: dict[str, list[str]], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    names["mail.example"] = ["192.88.98.1", "8.8.8.8"]
    tried: list[tuple[str, int]] = []
    port = int(mailbox.url.rpartition(":")[2].partition("?")[0])
    real = socket.create_connection

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address)
        if address[0] != "8.8.8.8":
            raise ConnectionRefusedError(111, "refused")
        return real(("127.0.0.1", port), timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    url = "smtps://mail.example" if security == "smtps" else f"smtp://mail.example:{port}?{security}"
    async with client(url, private=False, password="") as mail:
        if security == "smtps":
            with pytest.raises(ServiceError, match="encrypted"):  # the server speaks no TLS
                await mail.call("send_email", MAIL)
        else:
            await mail.call("send_email", MAIL | {"from": "me@example.com"})
            assert len(mailbox.mails) == 1
    assert [host for host, _ in tried] == ["192.88.98.1", "8.8.8.8"]


async def test_a_mail_server_without_an_address_is_a_passing_failure(names: dict[str, list[str]]) -> None:
    names["mail.example"] = []
    async with client("smtp://mail.example", private=False) as mail:
        with pytest.raises(ServiceError, match="no address") as caught:
            await mail.call("send_email", MAIL)
    assert not caught.value.permanent
