"""How services ask whether an address is ours before they post to it, and what they want to hear."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from prefect_autopilot.errors import SignatureError
from prefect_autopilot.models import Value, WebhookSignature
from prefect_autopilot.services.paths import pick
from prefect_autopilot.services.signatures import sign

HANDSHAKE = "X-Hook-Secret"
"""Asana sends the secret of a new webhook in this header and wants it back in the same."""

_LONGEST = 1000
_PING, _PONG = 1, {"type": 1}


class Answer(Value):
    """What the service wants to hear: JSON, a plain text, or a header."""

    content: Any = None
    text: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)


def open_question(
    signature: WebhookSignature,
    *,
    method: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    verify_token: str | None = None,
) -> Answer | None:
    """Answer a question that is not signed, None where nothing is asked.

    Raises SignatureError where the question must hold a token of ours (Meta) and does not.
    """
    match signature.challenge:
        case "hub.challenge" if method == "GET" and "hub.challenge" in query:
            _check_token(query.get("hub.verify_token", ""), verify_token)
            return Answer(text=query["hub.challenge"][:_LONGEST])
        case "challenge" if method == "GET" and "challenge" in query:
            return Answer(text=query["challenge"][:_LONGEST])
        case str(name) if name.startswith("header:") and method == "GET":
            asked = headers.get(name.removeprefix("header:").lower())
            return Answer(content={"verification": asked[:_LONGEST]}) if asked else None
    return None


def signed_question(signature: WebhookSignature, body: bytes, secrets: Sequence[str]) -> Answer | None:
    """Answer a question in a body whose signature was verified before, None where it is an event."""
    if signature.challenge not in {"url_verification", "endpoint.url_validation", "ping"}:
        return None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    match signature.challenge:
        case "url_verification" if pick(asked, "type") == "url_verification":
            return Answer(content={"challenge": str(pick(asked, "challenge"))[:_LONGEST]})
        case "endpoint.url_validation" if pick(asked, "event") == "endpoint.url_validation":
            plain = str(pick(asked, "payload.plainToken"))[:_LONGEST]
            return Answer(content={"plainToken": plain, "encryptedToken": sign(secrets[0], plain.encode())})
        case "ping" if pick(asked, "type") == _PING:
            return Answer(content=_PONG)
    return None


def handshake_secret(signature: WebhookSignature, headers: Mapping[str, str]) -> str | None:
    """Return the secret the service tells us at the creation of a webhook, None where it tells none."""
    if signature.challenge != HANDSHAKE:
        return None
    told = headers.get(HANDSHAKE.lower(), "")
    return told if 0 < len(told) <= _LONGEST and told.isascii() and told.isprintable() else None


def _check_token(given: str, expected: str | None) -> None:
    if not expected or not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise SignatureError(
            "The verify token is not the webhook_verify_token of the connection; use the same at both ends.",
            reason="mismatch",
        )
