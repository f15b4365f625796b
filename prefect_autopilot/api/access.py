"""Who asks, and whether they may: bearer tokens for programs, a session cookie for the page.

Until the first token is made, only this machine is answered, and may do everything. From then on every
request needs a token, also after the last one ended. Where the settings say so, credentials that the Prefect
server takes stand for a token of a fixed scope.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from prefect_autopilot.api.bounds import Buckets
from prefect_autopilot.api.context import ACTOR, Context, context_of
from prefect_autopilot.api.errors import problem
from prefect_autopilot.api.guard import HARMLESS, SIGNED, is_loopback, without_port
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.store import AccessToken, Scope

COOKIE = "prefect_autopilot_session"
SIGN_IN = "/ui/sign-in"
PAGE_FILES = frozenset({"/ui/style.css", "/ui/live.js", "/ui/typing.js", "/ui/icon.svg"})
OPEN_PATHS = PAGE_FILES | {"/healthz", SIGN_IN}
LONGEST_TOKEN = 200
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Who sends one of these has come through a proxy: the address that is seen is not where they are."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="prefect-autopilot"'}
NEEDED = "A token is needed; send one as 'Authorization: Bearer …' (prefect-autopilot tokens create)."
REFUSED = "The token is unknown, expired or revoked; make a new one with prefect-autopilot tokens create."

_KEY = secrets.token_bytes(32)
"""Seals forms to a session; a restart makes open forms void, never a session."""


@dataclass(frozen=True)
class Principal:
    """Who asks: ``actor`` is what the audit trail tells."""

    actor: str
    scope: Scope
    by: Literal["open", "bearer", "cookie", "prefect"]
    token: AccessToken | None = None
    seal: str = ""
    """What a form of this principal has to bring back."""


def seal_of(secret: str) -> str:
    """Return what ties a form to a session without telling the session's secret."""
    return hmac.digest(_KEY, secret.encode("utf-8", "replace"), "sha256").hex()


ANYBODY = Principal(ACTOR, Scope.ADMIN, "open", seal=seal_of("anybody on this machine"))
NOBODY = Principal("nobody", Scope.VIEWER, "open", seal=seal_of("nobody"))
"""Asks where nothing has to be known of who asks; no call behind those paths reads its scope."""


def principal_of(request: Request) -> Principal:
    """Return who asks."""
    principal: Principal = request.state.principal
    return principal


def actor_of(request: Request) -> str:
    """Return who asks, as the audit trail tells it."""
    return principal_of(request).actor


async def require(request: Request, scope: Scope) -> None:
    """Raise HTTPException 403, and write that down, where the caller's scope does not cover ``scope``."""
    from starlette.exceptions import HTTPException

    principal = principal_of(request)
    if principal.scope.covers(scope):
        return
    context = context_of(request)
    detail = {"needed": scope.value, "held": principal.scope.value, "method": request.method}
    store = await context.store()
    await store.audit(principal.actor, "access.denied", request.url.path[:200], detail, context.clock())
    raise HTTPException(
        HTTPStatus.FORBIDDEN.value,
        f"This needs the scope {scope}; the token has the scope {principal.scope}.",
    )


def check_seal(principal: Principal, given: str) -> None:
    """Raise HTTPException 403 unless a form was made for this session."""
    from starlette.exceptions import HTTPException

    if not hmac.compare_digest(principal.seal.encode(), given.encode("utf-8", "replace")):
        raise HTTPException(
            HTTPStatus.FORBIDDEN.value, "The form is not from this session; load the page again."
        )


class Door:
    """Finds out who asks before anything else is done; what nobody may do anonymously ends here."""

    def __init__(self, app: ASGIApp, context: Context, *, locked: bool = False) -> None:
        self._app = app
        self._context = context
        self._locked = locked or context.settings.api_prefect_auth != "off"
        self._open_at: tuple[int, int] | None = None
        """The mark of the store at which it held no token."""
        self._failures = Buckets(burst=20, per_second=0.2)
        self._requests = Buckets(burst=2000, per_second=1000)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN_PATHS or path.startswith(SIGNED):
            found: Principal | Response = NOBODY
        else:
            found = await self._known(scope, path, Headers(scope=scope))
        if isinstance(found, Principal):
            scope.setdefault("state", {})["principal"] = found
            await self._app(scope, receive, send)
        else:
            await found(scope, receive, send)

    async def _known(self, scope: ASGIScope, path: str, headers: Headers) -> Principal | Response:
        peer = str((scope.get("client") or ("127.0.0.1",))[0])
        if not self._requests.take(peer):
            return _too_many(self._requests)
        secret, by = _credential(headers, may_be_cookie=scope["method"] in HARMLESS or path.startswith("/ui"))
        try:
            if not await self._is_locked():
                is_here = is_loopback(peer) and is_loopback(without_port(headers.get("host", "")))
                is_here = is_here and not any(name in headers for name in FORWARDED)
                return ANYBODY if is_here else _unauthorised(NEEDED)
            token = await self._token(secret)
            if token is None and await self._is_prefects(headers, peer):
                scope_of_prefect = Scope(self._context.settings.api_prefect_auth)
                return Principal("prefect", scope_of_prefect, "prefect", seal=seal_of(secret))
        except AutopilotError as error:
            detail = f"Nobody can be recognised now: {error.message}"
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, kind="access")
        if token is None:
            return self._stranger(scope, path, headers, peer, secret)
        return Principal(f"token:{token.name}", token.scope, by, token, seal_of(secret))

    def _stranger(self, scope: ASGIScope, path: str, headers: Headers, peer: str, secret: str) -> Response:
        secret = secret or headers.get("authorization", "")
        if secret and not self._failures.take(peer):
            return _too_many(self._failures)
        is_page = path == "/" or path.startswith("/ui")
        if is_page and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(scope.get("root_path", "") + SIGN_IN, HTTPStatus.SEE_OTHER.value)
        return _unauthorised(REFUSED if secret else NEEDED)

    async def _is_prefects(self, headers: Headers, peer: str) -> bool:
        given = headers.get("authorization", "")
        if self._context.settings.api_prefect_auth == "off" or not given or not self._failures.has(peer):
            return False
        return await self._context.prefect_auth.accepts(given)

    async def _is_locked(self) -> bool:
        if not self._locked:
            try:
                store = await self._context.store()
                mark = store.mark()
                if mark is None or mark != self._open_at:
                    self._locked, self._open_at = await store.has_tokens(), mark
            except AutopilotError:
                return False  # an API that was never locked works without its store as far as it can
        return self._locked

    async def _token(self, secret: str) -> AccessToken | None:
        if not 0 < len(secret) <= LONGEST_TOKEN:
            return None
        return await (await self._context.store()).token(secret, self._context.clock())


def _credential(headers: Headers, *, may_be_cookie: bool) -> tuple[str, Literal["bearer", "cookie"]]:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip(), "bearer"
    # A cookie comes along unasked: elsewhere than on the page, whose forms are sealed, it only reads.
    return (cookie_of(headers) if may_be_cookie else ""), "cookie"


def cookie_of(headers: Headers) -> str:
    """Return the secret of a browser session, empty where there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _unauthorised(detail: str) -> Response:
    return problem(HTTPStatus.UNAUTHORIZED, detail, kind="unauthorised", headers=CHALLENGE)


def _too_many(buckets: Buckets) -> Response:
    detail = "Too many requests in a short time; wait and try again."
    headers = {"Retry-After": str(buckets.wait_s)}
    return problem(HTTPStatus.TOO_MANY_REQUESTS, detail, kind="too-many-requests", headers=headers)
