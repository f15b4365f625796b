"""Mail by SMTP behind the same call as every service: encrypted, and no header but those meant."""

from __future__ import annotations

import asyncio
import base64
import binascii
import mimetypes
import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from prefect_autopilot.adapters.network import public_addresses
from prefect_autopilot.adapters.service_answers import CallByCall, CallFacts
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.models import JSONDict, Service, Value
from prefect_autopilot.services import check_parameters, find_operation

LARGEST_ATTACHMENT = 20 * 2**20
"""Bytes of all attachments together; most servers refuse more."""

_TIMEOUT_S = 60.0
_PORTS = {"smtp": 587, "smtps": 465}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LATER = range(400, 500)


class MailServer(Value):
    """Where mail is handed in, and whether the way there is encrypted."""

    host: str
    port: int
    security: str
    """``starttls`` (the default), ``ssl`` from the first byte, or ``none``."""


class SMTPClient(CallByCall):
    """Hands mail to one server with one connection's credentials; use it as an async context manager."""

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        connection: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
        allow_private_network: bool = False,
    ) -> None:
        """Prepare calls; ``trust`` replaces the machine's certificates. Raises ConfigurationError.

        Without ``allow_private_network`` a server on this machine or in a private network is refused, each
        time a session is opened.
        """
        self._plain = {name: secret.get_secret_value() for name, secret in credentials.items()}
        self.service = service
        self.connection = connection
        self._server = mail_server(service, base_url, self._plain)
        self._timeout_s = timeout_s
        self._trust = trust
        self._allow_private = allow_private_network
        exposed = self._server.security == "none" and self._server.host not in _LOOPBACK
        if exposed and self._plain.get("password"):
            msg = f"The password would go to {self._server.host} unencrypted; use starttls or smtps."
            raise ConfigurationError(msg)

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,  # noqa: ARG002  there are no pages
        idempotency_key: str | None = None,
    ) -> Any:
        """Send a message, or sign in and out; returns what the server took.

        The Message-ID is made from ``idempotency_key``, so that a second copy can be told from another
        mail. Raises UsageError for parameters, ConfigurationError for a private address that is not allowed,
        ServiceError for what the server says.
        """
        operation = find_operation(self.service, operation_id)
        given = check_parameters(self.service, operation, parameters or {})
        facts = CallFacts(
            self.service, operation.id, operation.effect.value, self.connection, tuple(self._plain.values())
        )
        message = None
        if operation.id == "send_email":
            sender = str(given.get("from") or self._plain.get("from") or self._plain.get("username") or "")
            domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
            mark = f"<{idempotency_key}@{domain}>" if idempotency_key else make_msgid(domain=domain)
            message = compose(given, sender=sender, message_id=mark)
        try:
            addresses = await self._addresses()
            return await asyncio.to_thread(self._session, message, facts, addresses)
        # No cause is chained: smtplib keeps what was sent in its errors.
        except smtplib.SMTPException as error:
            raise _told(error, facts) from None
        except ssl.SSLError as error:
            reason = f"The encrypted connection to {self.service.name} failed ({error.reason})"
            raise facts.error(reason, permanent=True) from None
        except OSError as error:
            reason = f"The connection to {self.service.name} failed ({type(error).__name__}: {error})"
            raise facts.error(reason, permanent=False) from None

    async def _addresses(self) -> list[str]:
        """Return what to connect to: the addresses that were checked, or the name where any is allowed."""
        server = self._server
        if self._allow_private:
            return [server.host]
        return await public_addresses(server.host, server.port, self._timeout_s)

    def _session(self, message: EmailMessage | None, facts: CallFacts, addresses: Sequence[str]) -> JSONDict:
        server, trust = self._server, self._trust or ssl.create_default_context()
        session: _Session | _TLSSession
        if server.security == "ssl":
            session = _TLSSession(addresses, server, self._timeout_s, trust)
        else:
            session = _Session(addresses, server, self._timeout_s)
        with session:
            if server.security == "starttls":
                session.starttls(context=trust)
            user, password = self._plain.get("username"), self._plain.get("password")
            if user and password:
                session.login(user, password)
            if message is None:
                code, words = session.noop()
                return {"code": code, "answer": words.decode("utf-8", errors="replace")}
            to = _recipients(message)
            del message["Bcc"]
            refused = session.send_message(message, to_addrs=to)
        if refused:
            told = ", ".join(sorted(refused))
            reason = f"{self.service.name} took the message, but not for {told}; send it to them again"
            raise facts.error(reason, permanent=True)
        return {"message_id": str(message["Message-ID"]), "to": to}


class _Session(smtplib.SMTP):
    """A session with the first address that answers; certificates are those of the name."""

    def __init__(self, addresses: Sequence[str], server: MailServer, timeout_s: float) -> None:
        self._addresses = addresses
        super().__init__(server.host, server.port, timeout=timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  smtplib's
        return _opened(self._addresses, port, timeout)


class _TLSSession(smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""

    def __init__(
        self, addresses: Sequence[str], server: MailServer, timeout_s: float, trust: ssl.SSLContext
    ) -> None:
        self._addresses, self._name, self._trust = addresses, server.host, trust
        super().__init__(server.host, server.port, timeout=timeout_s, context=trust)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  smtplib's
        return self._trust.wrap_socket(_opened(self._addresses, port, timeout), server_hostname=self._name)


def _opened(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    refused: OSError = OSError("the host has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            refused = error
    raise refused


def mail_server(service: Service, base_url: str | None, credentials: Mapping[str, str]) -> MailServer:
    """Read ``smtp://host:587``, ``smtps://host`` or ``smtp://host:25?starttls=off``.

    Raises ConfigurationError for anything else.
    """
    address = base_url or service.base_url or ""
    if "{host}" in address:
        if not credentials.get("host"):
            msg = f"The address of {service.name} needs 'host'; set the base URL of the connection."
            raise ConfigurationError(msg)
        address = address.replace("{host}", credentials["host"])
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    if not port or not parts.hostname or parts.password:
        msg = (
            f"The address of {service.name} must be smtp://host:587 or smtps://host:465, without a password."
        )
        raise ConfigurationError(msg)
    plain = parse_qs(parts.query).get("starttls") == ["off"]
    security = "ssl" if parts.scheme == "smtps" else "none" if plain else "starttls"
    return MailServer(host=parts.hostname, port=port, security=security)


def compose(given: Mapping[str, Any], *, sender: str, message_id: str) -> EmailMessage:
    """Return the message of checked parameters; raises UsageError that names the parameter."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _addresses("from", sender)
    for name, header in (("to", "To"), ("cc", "Cc"), ("bcc", "Bcc"), ("reply_to", "Reply-To")):
        if name == "to" or given.get(name):
            message[header] = _addresses(name, given[name])
    message["Subject"] = _line("subject", given.get("subject", ""))
    message["Date"] = formatdate()
    message["Message-ID"] = message_id
    message.set_content(str(given.get("body", "")))
    if given.get("html"):
        message.add_alternative(str(given["html"]), subtype="html")
    left = LARGEST_ATTACHMENT
    for number, attachment in enumerate(given.get("attachments") or (), start=1):
        name, content = _attachment(number, attachment)
        left -= len(content)
        if left < 0:
            msg = f"The parameter 'attachments' holds more than {LARGEST_ATTACHMENT // 2**20} MB."
            raise UsageError(msg)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        main, _, sub = kind.partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message


def _line(name: str, value: Any) -> str:
    text = str(value)
    if any(sign in text for sign in "\r\n\0"):
        msg = f"The parameter {name!r} must be one line; a line break would start a header of its own."
        raise UsageError(msg)
    return text


def _addresses(name: str, value: str | Sequence[str]) -> str:
    listed = [value] if isinstance(value, str) else [str(one) for one in value]
    text = ", ".join(_line(name, one) for one in listed)
    found = getaddresses([text])
    if not found or not all(_is_address(address) for _, address in found):
        msg = f"The parameter {name!r} must hold e-mail addresses, 'Ann <ann@example.com>' for one."
        raise UsageError(msg)
    return text


def _is_address(address: str) -> bool:
    person, at, domain = address.rpartition("@")
    return bool(person and at and domain) and not any(sign.isspace() for sign in address)


def _attachment(number: int, attachment: Any) -> tuple[str, bytes]:
    where = f"Attachment {number} of the parameter 'attachments'"
    if isinstance(attachment, (str, Path)):
        attachment = {"path": attachment}
    if not isinstance(attachment, Mapping) or ("path" in attachment) == ("content" in attachment):
        msg = f"{where} must be a path, or an object with 'path', or with 'name' and 'content'."
        raise UsageError(msg)
    if "path" in attachment:
        path = Path(attachment["path"])
        try:
            if path.stat().st_size > LARGEST_ATTACHMENT:
                msg = f"{where} is larger than {LARGEST_ATTACHMENT // 2**20} MB."
                raise UsageError(msg)
            return _line("attachments", attachment.get("name") or path.name), path.read_bytes()
        except OSError as error:
            msg = f"{where} cannot be read ({error.strerror}): {path.name}."
            raise UsageError(msg) from None
    content = attachment["content"]
    if isinstance(content, str):
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            msg = f"{where} holds content that is neither bytes nor base64."
            raise UsageError(msg) from None
    name = _line("attachments", attachment.get("name") or "")
    if not isinstance(content, (bytes, bytearray)) or not name:
        msg = f"{where} needs a 'name', and 'content' in bytes or base64."
        raise UsageError(msg)
    return name, bytes(content)


def _recipients(message: EmailMessage) -> list[str]:
    fields = [str(message[header]) for header in ("To", "Cc", "Bcc") if message[header]]
    return list(dict.fromkeys(address for _, address in getaddresses(fields)))


def _told(error: smtplib.SMTPException, facts: CallFacts) -> ServiceError:
    name = facts.service.name
    match error:
        case smtplib.SMTPAuthenticationError():
            later = error.smtp_code in _LATER
            reason = f"{name} did not accept the credentials; correct them in the connection"
        case smtplib.SMTPRecipientsRefused():
            later = all(code in _LATER for code, _ in error.recipients.values())
            reason = f"{name} refused every recipient ({', '.join(sorted(error.recipients))})"
        case smtplib.SMTPResponseException():
            later = error.smtp_code in _LATER
            words = error.smtp_error
            told = words.decode("utf-8", errors="replace") if isinstance(words, bytes) else str(words)
            reason = f"{name} refused the message ({error.smtp_code} {told})"
        case smtplib.SMTPNotSupportedError():
            later = False
            reason = f"{name} does not offer what is needed ({error}); correct the address of the connection"
        case _:
            later = True
            reason = f"{name} broke off ({type(error).__name__}: {error})"
    return facts.error(reason, permanent=not later)
