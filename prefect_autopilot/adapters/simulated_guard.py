"""What stands before a simulated service: who may call, how tokens are renewed, how often it is called."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.requests import Request

from prefect_autopilot.adapters.signing import is_signed
from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.models import Service
from prefect_autopilot.services import authorise

TOKEN_LIFETIME_S = 3600
_KEPT = ("refresh_token", "client_id", "client_secret")


class Accepted:
    """The credentials one simulated service accepts."""

    def __init__(self, service: Service, held: Mapping[str, str]) -> None:
        self.service = service
        self.rotating = False
        """Whether a refresh token is good for one renewal, and its second use ends the connection."""
        self._held = [dict(held)]
        self._used: set[str] = set()
        self._made = 0

    def allow(self, credentials: Mapping[str, str]) -> None:
        """Accept these as well."""
        self._held.append(dict(credentials))

    def expire(self) -> None:
        """Let access tokens and keys run out; what renews them stays good."""
        kept = [{name: held[name] for name in _KEPT if name in held} for held in self._held]
        self._held = [held for held in kept if held]

    def revoke(self) -> None:
        """Withdraw everything."""
        self._held = []

    def admits(self, request: Request, body: bytes) -> bool:
        """Tell whether a request proves that it may be made."""
        return any(self._proves(request, body, held) for held in self._held)

    def _proves(self, request: Request, body: bytes, held: Mapping[str, str]) -> bool:
        try:
            proof = authorise(self.service, held)
        except ConfigurationError:
            return False  # only what renews a token is left of these
        headed = all(request.headers.get(name) == value for name, value in proof.headers.items())
        if self.service.auth.scheme in ("sigv4", "oauth1", "hmac"):
            return headed and is_signed(
                self.service,
                held,
                method=request.method,
                url=_address(request),
                headers=request.headers,
                body=body,
            )
        if proof.body and not proof.body.items() <= _fields(request, body).items():
            return False
        given = request.query_params.multi_items()
        return headed and all(pair in given for pair in proof.query)

    def renew(self, form: Mapping[str, str], basic: str) -> tuple[int, dict[str, Any]]:
        """Return status and answer of the token address; ``basic`` is the Authorization header."""
        grant = form.get("grant_type")
        if grant == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        if grant != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        client = _client(basic) or (form.get("client_id", ""), form.get("client_secret", ""))
        known = {(held.get("client_id"), held.get("client_secret")) for held in self._held}
        if client not in known:
            return 401, {"error": "invalid_client"}
        return 200, self._token({})

    def _refreshed(self, token: str) -> tuple[int, dict[str, Any]]:
        if self.rotating and token in self._used:
            self.revoke()  # a token used twice is taken for a stolen one
        if not token or token not in {held.get("refresh_token") for held in self._held}:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        if not self.rotating:
            return 200, self._token({"refresh_token": token})
        self._used.add(token)
        for held in self._held:
            if held.get("refresh_token") == token:
                del held["refresh_token"]
        following = f"simulated-{self.service.id}-refresh_token-{self._made + 2}"
        return 200, self._token({"refresh_token": following}, told={"refresh_token": following})

    def _token(self, more: Mapping[str, str], told: Mapping[str, str] | None = None) -> dict[str, Any]:
        self._made += 1
        token = f"simulated-{self.service.id}-access_token-{self._made + 1}"
        self._held.append({"access_token": token, **more})
        *outer, name = (self.service.auth.token_at or "access_token").split(".")
        answer: dict[str, Any] = {
            name: token,
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME_S,
            **(told or {}),
        }
        for step in reversed(outer):
            answer = {step: answer}
        return answer


def _fields(request: Request, body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON body or a form, none of any other."""
    kind = request.headers.get("content-type", "")
    text = body.decode("utf-8", errors="replace")
    if "form-urlencoded" in kind:
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        told = json.loads(text) if "json" in kind else {}
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def proof_names(service: Service) -> list[str]:
    """Return the query parameters that prove who asks, which are none of the operation."""
    how = service.auth.signature
    if how is not None and how.location == "query":
        return [name for name in (how.name, how.timestamp_name, how.nonce_name) if name]
    return service.auth.name.split("+") if service.auth.scheme == "query" else []


def without_proof(service: Service, request: Request, body: bytes) -> bytes:
    """Return the body without the credential in it, which is no parameter of the operation."""
    if service.auth.scheme != "body" or not (fields := _fields(request, body)):
        return body
    names = service.auth.name.split("+")
    if "json" in request.headers.get("content-type", ""):
        left = {name: value for name, value in fields.items() if name not in names}
        return json.dumps(left).encode() if left else b""
    pairs = parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] not in names]).encode()


def _client(header: str) -> tuple[str, str] | None:
    if not header.startswith("Basic "):
        return None
    try:
        name, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote(name), unquote(secret)


def _address(request: Request) -> str:
    """Return the address as it was written: a signature counts every character of it."""
    raw = request.scope.get("raw_path", request.url.path.encode()).decode("ascii").partition("?")[0]
    query = request.scope.get("query_string", b"").decode("ascii")
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}{raw}{'?' if query else ''}{query}"


@dataclass
class Limit:
    """So many calls in a window of time; every answer tells how many remain."""

    calls: int
    window_s: float
    begun: datetime | None = None
    made: int = 0

    def count(self, now: datetime) -> tuple[bool, dict[str, str]]:
        """Count a call; tell whether it is one too many, and the headers of its answer."""
        window = timedelta(seconds=self.window_s)
        if self.begun is None or now - self.begun >= window:
            self.begun, self.made = now, 0
        self.made += 1
        left = (self.begun + window - now).total_seconds()
        headers = {
            "X-RateLimit-Limit": str(self.calls),
            "X-RateLimit-Remaining": str(max(0, self.calls - self.made)),
            "X-RateLimit-Reset": f"{left:g}",
        }
        over = self.made > self.calls
        return over, headers | ({"Retry-After": f"{left:g}"} if over else {})
