"""Requests that are signed: AWS Signature Version 4 by botocore, OAuth 1 by oauthlib, HMAC by template."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit
from uuid import uuid4

import httpx

from prefect_autopilot.adapters.bodies import FileStream
from prefect_autopilot.errors import ConfigurationError, UsageError
from prefect_autopilot.models import RequestSignature, Service
from prefect_autopilot.services import sign as hmac_of

if TYPE_CHECKING:
    from botocore.auth import SigV4Auth

Sign = Callable[[httpx.Request], None]
Clock = Callable[[], datetime]

DEFAULT_REGION = "us-east-1"
"""The region of a connection that names none, as AWS's own tools and S3-compatible services have it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNING_NAMES = {"email": "ses"}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def signer(service: Service, credentials: Mapping[str, str], clock: Clock) -> Sign | None:
    """Return what signs requests of the service, None where requests are not signed.

    Raises ConfigurationError when the library for it is not installed.
    """
    if service.auth.signature is not None:
        return _hmac(service.auth.signature, credentials, clock)
    if service.auth.scheme == "sigv4":
        return _sigv4(service, credentials)
    if service.auth.scheme == "oauth1":
        return _oauth1(credentials)
    return None


def signing_name(service: Service) -> str:
    """Return the name a service of AWS is signed for: the part of its host before the region."""
    host = urlsplit(service.base_url or "").netloc
    before = host.partition(".{region}")[0].rpartition(".")[2] or service.id.removeprefix("aws_")
    return _SIGNING_NAMES.get(before, before)


def _auth(service: Service, credentials: Mapping[str, str]) -> SigV4Auth:
    try:
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.credentials import Credentials
    except ImportError as error:
        raise _missing(service.name, "aws") from error
    name = signing_name(service)
    held = Credentials(
        credentials["access_key_id"],
        credentials["secret_access_key"],
        credentials.get("session_token") or None,
    )
    kind = S3SigV4Auth if name == "s3" else SigV4Auth
    auth: SigV4Auth = kind(held, name, credentials.get("region") or DEFAULT_REGION)
    return auth


def _sigv4(service: Service, credentials: Mapping[str, str]) -> Sign:
    auth = _auth(service, credentials)
    from botocore.awsrequest import AWSRequest
    from botocore.config import Config

    # Over TLS S3 takes a file without its digest, as Amazon's own tools send it: it is read once, not twice.
    unsigned = Config(s3={"payload_signing_enabled": False})

    def sign(request: httpx.Request) -> None:
        signed = {
            n: v for n, v in request.headers.items() if n in ("host", "content-type") or n[:6] == "x-amz-"
        }
        # A signature counts every character, and a space of the query has two ways to be written.
        request.url = httpx.URL(str(request.url).replace("+", "%20"))
        with ExitStack() as files:
            stream = request.stream
            path = stream.path if isinstance(stream, FileStream) else None
            body: Any = _read(request) if path is None else files.enter_context(path.open("rb"))
            aws = AWSRequest(method=request.method, url=str(request.url), data=body, headers=signed)
            if path is not None and request.url.scheme == "https":
                aws.context["client_config"] = unsigned
            auth.add_auth(aws)
        for name, value in aws.headers.items():
            request.headers[name] = value

    return sign


def _read(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        raise UsageError("A signed request cannot send a file piece by piece; send its content.") from None


def _hmac(how: RequestSignature, credentials: Mapping[str, str], clock: Clock) -> Sign:
    def sign(request: httpx.Request) -> None:
        now = clock().astimezone(UTC)
        moment = {
            "s": str((now - _EPOCH) // timedelta(seconds=1)),
            "ms": str((now - _EPOCH) // timedelta(milliseconds=1)),
            "iso": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }[how.timestamp_unit]
        values = {"timestamp": moment, "nonce": uuid4().hex}
        _tell(request, how, {how.timestamp_name: values["timestamp"], how.nonce_name: values["nonce"]})
        body = _read(request) if "{body}" in how.template else b""
        made = _hmac_over(how, credentials, values, request.method, str(request.url), body)
        _tell(request, how, {how.name: how.prefix + made})

    return sign


def _tell(request: httpx.Request, how: RequestSignature, told: Mapping[str | None, str]) -> None:
    """Write these values to where the service looks for them, as they are: every character is signed."""
    named = {name: value for name, value in told.items() if name is not None}
    if how.location == "header":
        request.headers.update(named)
        return
    query = "&".join(filter(None, (request.url.query.decode(), urlencode(named, quote_via=quote))))
    request.url = request.url.copy_with(query=query.replace("+", "%20").encode())


def _hmac_over(
    how: RequestSignature,
    credentials: Mapping[str, str],
    values: Mapping[str, str],
    method: str,
    url: str,
    body: bytes,
) -> str:
    parts = urlsplit(url)
    texts = {
        **values,
        "api_key": credentials["api_key"],
        "method": method.upper(),
        "host": parts.netloc,
        "path": parts.path,
        "query": parts.query,
        "target": parts.path + ("?" + parts.query if parts.query else ""),
    }
    # One pass: what a value holds is never taken for a placeholder.
    pieces = how.template.replace("}", "{").split("{")
    known = {**{name: text.encode() for name, text in texts.items()}, "body": body}
    signed = b"".join(known[piece] if place % 2 else piece.encode() for place, piece in enumerate(pieces))
    return hmac_of(
        credentials["api_secret"], signed, algorithm=how.algorithm, encoding=how.encoding, key=how.key
    )


def _is_signed_hmac(
    how: RequestSignature,
    credentials: Mapping[str, str],
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    told = {name: value for name, value in headers.items() if how.location == "header"}
    if how.location == "query":
        bare, _, query = url.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")]
        told = {name.lower(): unquote(value) for name, _, value in pairs}
        url = f"{bare}?{'&'.join(name + sign + value for name, sign, value in pairs if name != how.name)}"
    values = {
        "timestamp": told.get((how.timestamp_name or "").lower(), ""),
        "nonce": told.get((how.nonce_name or "").lower(), ""),
    }
    made = how.prefix + _hmac_over(how, credentials, values, method, url, body)
    return hmac.compare_digest(told.get(how.name.lower(), "").encode("utf-8", "replace"), made.encode())


def _oauth1(credentials: Mapping[str, str]) -> Sign:
    try:
        from oauthlib.oauth1 import Client
    except ImportError as error:
        raise _missing("A service with OAuth 1", "oauth1") from error
    client = Client(
        credentials["consumer_key"],
        client_secret=credentials["consumer_secret"],
        resource_owner_key=credentials["token"],
        resource_owner_secret=credentials["token_secret"],
    )

    def sign(request: httpx.Request) -> None:
        is_form = "form-urlencoded" in request.headers.get("content-type", "")
        body = _read(request).decode() if is_form else None
        given = {"Content-Type": request.headers["content-type"]} if is_form else None
        _, headers, _ = client.sign(str(request.url), request.method, body, given)
        request.headers["Authorization"] = headers["Authorization"]

    return sign


def _missing(name: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} wants signed requests, and the library for them is missing;"
        f" install it with: pip install 'prefect-autopilot[{extra}]'."
    )


def is_signed(
    service: Service,
    credentials: Mapping[str, str],
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    """Tell whether a request is signed with these credentials, as the service itself would find out."""
    if service.auth.signature is not None:
        return _is_signed_hmac(service.auth.signature, credentials, method, url, headers, body)
    if service.auth.scheme == "oauth1":
        return _is_signed_oauth1(credentials, method, url, headers, body)
    told = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    digest = headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    whole = digest in (hashlib.sha256(body).hexdigest(), "UNSIGNED-PAYLOAD")
    if told is None or not whole or told["id"] != credentials["access_key_id"]:
        return False
    from botocore.awsrequest import AWSRequest

    auth = _auth(service, credentials)
    signed = {name: headers.get(name, "") for name in told["headers"].split(";")}
    if not {"host", "x-amz-date"} <= signed.keys():
        return False
    request = AWSRequest(method=method, url=url, data=body, headers=signed)
    request.context["timestamp"] = signed["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    same_scope = told["scope"] == auth.credential_scope(request)
    return same_scope and hmac.compare_digest(auth.signature(text, request), told["signature"])


def _is_signed_oauth1(
    credentials: Mapping[str, str], method: str, url: str, headers: Mapping[str, str], body: bytes
) -> bool:
    from oauthlib.common import Request
    from oauthlib.oauth1.rfc5849 import signature

    if not headers.get("authorization", "").startswith("OAuth oauth_"):
        return False
    form = body.decode("utf-8", errors="replace") if "form" in headers.get("content-type", "") else None
    request = Request(url, method, form, {"Authorization": headers.get("authorization", "")})
    told = dict(
        signature.collect_parameters(headers=request.headers, exclude_oauth_signature=False, with_realm=False)
    )
    if told.get("oauth_consumer_key") != credentials["consumer_key"]:
        return False
    request.params = signature.collect_parameters(
        uri_query=request.uri_query, body=form or [], headers=request.headers
    )
    request.signature = told.get("oauth_signature", "")
    good: bool = signature.verify_hmac_sha1(
        request, credentials["consumer_secret"], credentials["token_secret"]
    )
    return good and told.get("oauth_token") == credentials["token"]
