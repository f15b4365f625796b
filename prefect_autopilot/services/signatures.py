"""Tell whether a webhook comes from who it says: signatures over the raw body, times and delivery ids."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from prefect_autopilot.errors import ConfigurationError, SignatureError
from prefect_autopilot.models import WebhookSignature
from prefect_autopilot.services.paths import pick

TOLERANCE = timedelta(minutes=5)
"""How old, or how far ahead of our clock, a signed time may be."""

STANDARD = WebhookSignature(
    header="webhook-signature",
    prefix="v1,",
    template="{id}.{timestamp}.{body}",
    encoding="base64",
    key="base64",
    timestamp_header="webhook-timestamp",
    delivery_id_header="webhook-id",
    sources=("standard-webhooks/standard-webhooks: spec/standard-webhooks.md", "standardwebhooks 1.1.0"),
)
"""How a service signs of which nothing else is known."""

_DIGESTS: Mapping[str, Callable[..., Any]] = {
    "sha256": hashlib.sha256,
    "sha1": hashlib.sha1,
    "sha512": hashlib.sha512,
}
_SECRET_MARK = "whsec_"  # noqa: S105  # the mark that stands before a secret, no secret
_MOST_SIGNATURES = 20
_LONGEST_ID = 200
_ISO_DIGITS = 32


class Delivery(NamedTuple):
    """One verified delivery. Whatever of ``id`` and ``digest`` was seen before makes it a repetition.

    Most headers with an id are not signed: who repeats a delivery can change the id, but not the digest of
    what was signed; who sends it again signs again, with another time and the same id.
    """

    id: str
    digest: str
    at: datetime | None
    """The time the service signed, None where it signs none."""
    signed: bool = True
    """False where a token stands in place of a signature and the delivery has an id: equal bodies are two
    deliveries then, and who knows the token can make any."""


class _Parts(NamedTuple):
    signatures: tuple[str, ...]
    timestamp: str | None
    id: str | None


def verify(
    signature: WebhookSignature,
    *,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
    method: str = "POST",
) -> Delivery:
    """Return the delivery when one of ``secrets`` signed it; all of them are tried, so that keys can rotate.

    ``url`` is the address as the service knows it. Raises SignatureError (``reason`` missing, malformed,
    mismatch, old or future), or ConfigurationError when no secret is known or one cannot be a key.
    """
    known = [secret for secret in secrets if secret]
    if not known:
        raise ConfigurationError("The connection holds no webhook_secret; add the one the service shows.")
    folded = {name.lower(): value for name, value in headers.items()}
    parts = _parts(signature, folded, body)
    signed = _signed(signature, parts, body, url, method)
    matches = [_matches(signature, secret, signed, one) for secret in known for one in parts.signatures]
    if not any(matches):
        raise SignatureError(
            f"The signature in {signature.header} fits no secret of the connection; compare webhook_secret"
            f"{' and public_url' if '{url}' in signature.template else ''} with what the service shows.",
            reason="mismatch",
        )
    _check_form_body(signature, body, url)
    # Only now: a time that nobody signed says nothing.
    at = _check_time(signature, parts.timestamp, now, tolerance)
    digest = hashlib.sha256(signed if signature.algorithm != "token" else body).hexdigest()
    signs_body = signature.algorithm != "token" or parts.id is None
    return Delivery(parts.id or digest, digest, at, signs_body)


def signs_url(signature: WebhookSignature) -> bool:
    """Tell whether the service signs the address, so that ``public_url`` must be known."""
    return "{url}" in signature.template


def sign(
    secret: str, content: bytes, *, algorithm: str = "sha256", encoding: str = "hex", key: str = "text"
) -> str:
    """Return the HMAC of ``content`` as text; raises ConfigurationError for a secret that is no ``key``."""
    made = hmac.new(_key(key, secret, "secret"), content, _DIGESTS[algorithm])
    return made.hexdigest() if encoding == "hex" else base64.b64encode(made.digest()).decode()


def _parts(signature: WebhookSignature, headers: Mapping[str, str], body: bytes) -> _Parts:
    header = headers.get(signature.header.lower(), "").strip()
    if not header:
        raise SignatureError(
            f"The webhook has no {signature.header}; it must be signed with the secret of the connection.",
            reason="missing",
        )
    timestamp = headers.get((signature.timestamp_header or "").lower())
    if signature.signature_key is not None:
        pairs = [pair.strip().partition("=") for pair in header.replace(";", ",").split(",")]
        values = tuple(value for key, _, value in pairs if key == signature.signature_key)
        timestamp = next((value for key, _, value in pairs if key == signature.timestamp_key), timestamp)
    elif signature.algorithm == "token":
        values = (header,)
    else:
        words = header.split() if signature.prefix.endswith(",") else header.replace(",", " ").split()
        begun = (word for word in words if word.startswith(signature.prefix))
        values = tuple(word[len(signature.prefix) :] for word in begun)
    if not values or len(values) > _MOST_SIGNATURES:
        shown = f"{signature.signature_key}=" if signature.signature_key else signature.prefix or "one value"
        raise SignatureError(
            f"{signature.header} cannot be read; it should hold {shown!r} and a signature.",
            reason="malformed",
        )
    return _Parts(values, timestamp, _delivery_id(signature, headers, body))


def _delivery_id(signature: WebhookSignature, headers: Mapping[str, str], body: bytes) -> str | None:
    found: Any = headers.get((signature.delivery_id_header or "").lower())
    if found is None and signature.delivery_id_at is not None:
        try:
            found = pick(json.loads(body), signature.delivery_id_at)
        except (ValueError, RecursionError):
            return None
    if not isinstance(found, str | int) or isinstance(found, bool) or not str(found):
        return None
    text = str(found)
    return text if len(text) <= _LONGEST_ID else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _signed(signature: WebhookSignature, parts: _Parts, body: bytes, url: str, method: str) -> bytes:
    needs = {"timestamp": parts.timestamp, "id": parts.id}
    for name, value in needs.items():
        if "{" + name + "}" in signature.template and not value:
            where = signature.timestamp_header or signature.header
            said = signature.delivery_id_header if name == "id" else where
            raise SignatureError(
                f"The webhook has no {name} in {said}; it must be sent as the service sends it.",
                reason="missing",
            )
    values: dict[str, bytes] = {
        "body": body,
        "timestamp": (parts.timestamp or "").encode("utf-8", "replace"),
        "id": (parts.id or "").encode("utf-8", "replace"),
        "url": url.encode("utf-8", "replace"),
        "method": method.upper().encode(),
        "form": b"",
    }
    if "{form}" in signature.template and not _body_digest(url):
        values["form"] = _sorted_form(body)
    # One pass: what a value holds is never taken for a placeholder.
    pieces = signature.template.replace("}", "{").split("{")
    return b"".join(values[piece] if place % 2 else piece.encode() for place, piece in enumerate(pieces))


def _sorted_form(body: bytes) -> bytes:
    fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return "".join(name + value for name, value in sorted(set(fields))).encode()


def _body_digest(url: str) -> str | None:
    """Return what the address says of the body: Twilio signs JSON by its digest in the query."""
    query = parse_qsl(urlsplit(url).query)
    return next((value for name, value in query if name == "bodySHA256"), None)


def _check_form_body(signature: WebhookSignature, body: bytes, url: str) -> None:
    told = _body_digest(url) if "{form}" in signature.template else None
    if told is not None and not hmac.compare_digest(told.encode(), hashlib.sha256(body).hexdigest().encode()):
        raise SignatureError(
            "The body is not the one whose digest the signed address holds; send it unchanged.",
            reason="mismatch",
        )


def _matches(signature: WebhookSignature, secret: str, signed: bytes, given: str) -> bool:
    if signature.algorithm == "token":
        return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
    if signature.algorithm == "ed25519":
        return _matches_public_key(secret, signed, given)
    if signature.algorithm == "ecdsa":
        return _matches_curve_key(secret, signed, given)
    key = _key(signature.key, secret, "webhook_secret")
    made = hmac.new(key, signed, _DIGESTS[signature.algorithm])
    expected = made.hexdigest() if signature.encoding == "hex" else base64.b64encode(made.digest()).decode()
    shown = given.lower() if signature.encoding == "hex" else given
    return hmac.compare_digest(shown.encode("utf-8", "replace"), expected.encode())


def _key(kind: str, secret: str, name: str) -> bytes:
    if kind == "text":
        return secret.encode()
    try:
        if kind == "hex":
            return bytes.fromhex(secret)
        return base64.b64decode(secret.removeprefix(_SECRET_MARK), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            f"The {name} of the connection is not {kind}; copy it again from the service."
        ) from None


def _matches_public_key(public_key: str, signed: bytes, given: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError:
        raise ConfigurationError(
            "The webhook_secret of the connection is no Ed25519 public key; copy it again from the service."
        ) from None
    try:
        key.verify(bytes.fromhex(given), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _matches_curve_key(public_key: str, signed: bytes, given: str) -> bool:
    """Tell whether an ECDSA signature over SHA-256 fits a key that is base64 of its DER form (SendGrid)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise ConfigurationError(
            "The webhook_secret of the connection is no ECDSA public key; copy it again from the service."
        )
    try:
        key.verify(base64.b64decode(given, validate=True), signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_time(
    signature: WebhookSignature, text: str | None, now: datetime, tolerance: timedelta
) -> datetime | None:
    if "{timestamp}" not in signature.template or text is None:
        return None
    at = _read_time(signature, text)
    if at is None:
        raise SignatureError(
            "The time of the webhook cannot be read; it must be sent as the service sends it.",
            reason="malformed",
        )
    if abs(now - at) > tolerance:
        minutes = tolerance.total_seconds() / 60
        side = "old" if at < now else "future"
        told = "older than" if side == "old" else "ahead of our clock by more than"
        raise SignatureError(
            f"The webhook is {told} {minutes:g} minutes; check the clocks, or let the service send it again.",
            reason=side,
        )
    return at


def _read_time(signature: WebhookSignature, text: str) -> datetime | None:
    try:
        if signature.timestamp_unit == "iso":
            read = datetime.fromisoformat(text[:_ISO_DIGITS])
            return read if read.tzinfo else read.replace(tzinfo=UTC)
        seconds = int(text) / (1000 if signature.timestamp_unit == "ms" else 1)
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
