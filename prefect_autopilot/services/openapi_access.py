"""Where an imported service is, and how a request to it proves who sends it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from prefect_autopilot.models import Auth
from prefect_autopilot.services.openapi_schema import NotImportableError, Schemas, listed, mapping, text

_ORDER = ("bearer", "oauth2", "header", "basic", "query")
_PLACEHOLDER = re.compile(
    r"(?<![\w{])(your[-_]?[a-z0-9_-]*|my[-_](?:domain|company|instance|site|subdomain|tenant))(?=\.)"
)
_FLOWS = ("authorizationCode", "accessCode", "clientCredentials", "application", "password", "implicit")
_MOST_NEEDS = 5_000

Need = frozenset[str]
"""Names of the sign-ins one request needs together."""


def base_url(
    document: Mapping[str, Any], source: str | None = None, others: Iterable[str] = ()
) -> str | None:
    """Return the address calls start with; its unknown parts stand in braces. None where none is told.

    ``others`` are the addresses operations name for themselves, which count where the document has none.
    """
    if "swagger" in document:
        return _finished(_swagger_address(document, source), source)
    servers = [mapping(server) for server in listed(document.get("servers"))]
    addresses = [address for server in servers if (address := _server_address(server))]
    if not addresses:
        addresses = [address for address, _ in Counter(filter(None, others)).most_common(1)]
    safe = [one for one in addresses if one.startswith("https://")]
    return _finished((safe or addresses or [""])[0], source)


def _swagger_address(document: Mapping[str, Any], source: str | None) -> str:
    host = text(document.get("host")) or urlsplit(source or "").netloc
    path = text(document.get("basePath")).strip("/")
    if not host:
        return ""
    schemes = listed(document.get("schemes"))
    scheme = "https" if not schemes or "https" in schemes else "http"
    return f"{scheme}://{host}/{path}".rstrip("/")


def server_of(value: Mapping[str, Any]) -> str:
    """Return the address an operation or path names for itself, empty where it names none."""
    servers = [_server_address(mapping(server)) for server in listed(value.get("servers"))]
    return next((address for address in servers if address), "")


def same_address(one: str, other: str) -> bool:
    """Tell whether two addresses are one but for the scheme, which a request has to have anyway."""
    return one.rpartition("//")[2].rstrip("/") == other.rpartition("//")[2].rstrip("/")


def _server_address(server: Mapping[str, Any]) -> str:
    """Fill in the variables of path, port and scheme; those of the host are for the connection to say."""
    address = text(server.get("url")).strip()
    for name, variable in mapping(server.get("variables")).items():
        default = mapping(variable).get("default")
        slot = "{" + str(name) + "}"
        host = re.match(r"(?:[\w{}]+:)?//([^/]*)", address)
        in_host = host is not None and slot in host[1].partition(":")[0]
        filled = (
            default if isinstance(default, (str, int)) and (not in_host or "://" in str(default)) else None
        )
        address = address.replace(slot, "{" + _field(str(name)) + "}" if filled is None else str(filled))
    return re.sub(r"\{([^{}]*)\}", lambda found: "{" + _field(found[1]) + "}", address)


def _field(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "part"


def _finished(address: str, source: str | None) -> str | None:
    if source and source.startswith(("http://", "https://")) and not re.match(r"\w+://", address):
        # A relative address is below that of the document; without any it is the document's host.
        address = urljoin(source, address or "/")
    elif address.startswith("//"):
        address = "https:" + address
    if not re.match(r"https?://[^/\s]+", address):
        return None
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]  # a password is for the connection to hold, not for an address
    host = _PLACEHOLDER.sub(lambda found: "{" + _field(found[1]) + "}", host)
    return f"{scheme}://{host}{slash}{path}".split("?", maxsplit=1)[0].rstrip("/")


class SignIns:
    """The sign-ins of a document and what each of its operations needs."""

    def __init__(self, document: Mapping[str, Any], schemas: Schemas, address: str | None) -> None:
        """Read the declared schemes; those that cannot be used are kept with the reason."""
        declared = mapping(document.get("securityDefinitions"))
        declared = {**declared, **mapping(mapping(document.get("components")).get("securitySchemes"))}
        self._usable: dict[str, Auth] = {}
        self._unusable: dict[str, str] = {}
        for name, value in declared.items():
            try:
                self._usable[str(name)] = _auth(str(name), schemas.resolve(value), address)
            except NotImportableError as reason:
                self._unusable[str(name)] = reason.message
        self._everywhere = document.get("security")
        self.declared = bool(declared)

    def needs(self, operation: Mapping[str, Any]) -> tuple[Need, ...]:
        """Return the alternatives one operation accepts, none where it needs no sign-in."""
        told = operation.get("security", self._everywhere)
        needs = tuple(frozenset(map(str, mapping(one))) for one in listed(told)[:20])
        return () if frozenset() in needs else needs

    def choose(self, all_needs: Iterable[tuple[Need, ...]]) -> Auth:
        """Return the sign-in that most operations accept, the simpler one where several do."""
        counted: Counter[Auth] = Counter()
        for needs in all_needs:
            counted.update({auth for need in needs if (auth := self._auth_of(need)) is not None})
        if not counted:
            return Auth()
        return min(counted, key=lambda auth: (-counted[auth], _ORDER.index(auth.scheme), auth.name))

    def check(self, needs: tuple[Need, ...], chosen: Auth) -> None:
        """Raise NotImportableError where a request with the ``chosen`` sign-in would not be accepted."""
        if not needs:
            return
        if any(self._auth_of(need) == chosen for need in needs):
            return
        names = sorted({name for need in needs for name in need})
        for name in names:
            if name in self._unusable:
                raise NotImportableError(self._unusable[name])
            if name not in self._usable:
                raise NotImportableError("needs a sign-in the document does not declare")
        if all(self._auth_of(need) is None for need in needs):
            raise NotImportableError("needs several sign-ins at once")
        raise NotImportableError("needs another sign-in than most operations of the service")

    def _auth_of(self, need: Need) -> Auth | None:
        auths = [self._usable.get(name) for name in sorted(need)]
        known = [auth for auth in auths if auth is not None]
        if len(known) < len(auths) or not known:
            return None
        if len(known) == 1 or all(auth == known[0] for auth in known):
            return known[0]
        if all(auth.scheme == "query" for auth in known):
            return Auth(scheme="query", name="+".join(auth.name for auth in known))
        return None


def _auth(name: str, scheme: Mapping[str, Any], address: str | None) -> Auth:
    kind, where = text(scheme.get("type")), text(scheme.get("in"))
    http = text(scheme.get("scheme")).lower()
    told = text(scheme.get("name")) or "Authorization"
    if kind == "basic" or (kind == "http" and http == "basic"):
        return Auth(scheme="basic")
    if kind == "http" and http == "bearer":
        return Auth(scheme="bearer", prefix="Bearer ")
    if kind == "oauth2":
        return _oauth2(scheme, address)
    if kind == "apiKey" and where == "header":
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", told):
            raise NotImportableError("the header of its sign-in has no usable name")
        is_bearer = "bearer" in f"{name} {text(scheme.get('description'))[:500]}".lower()
        if told.lower() == "authorization" and is_bearer:
            return Auth(scheme="bearer", prefix="Bearer ")
        return Auth(scheme="header", name=told)
    if kind == "apiKey" and where == "query":
        return Auth(scheme="query", name=told)
    raise NotImportableError(_why_not(kind, where, http))


def _why_not(kind: str, where: str, http: str) -> str:
    if kind == "apiKey" and where == "cookie":
        return "signs in with a cookie"
    if kind == "openIdConnect":
        return "signs in with OpenID Connect, whose addresses are not in the document"
    if kind == "mutualTLS":
        return "signs in with a client certificate"
    if kind == "http":
        return f"signs in with HTTP {http[:20] or 'authentication of no name'}"
    return "declares a sign-in of no known kind"


def _oauth2(scheme: Mapping[str, Any], address: str | None) -> Auth:
    flows = mapping(scheme.get("flows")) or {text(scheme.get("flow")): scheme}
    for name in _FLOWS:
        if name in flows:
            flow = mapping(flows[name])
            token = _absolute(text(flow.get("tokenUrl")), address)
            refresh = _absolute(text(flow.get("refreshUrl")), address)
            return Auth(scheme="oauth2", prefix="Bearer ", token_url=token, refresh_url=refresh or token)
    raise NotImportableError("signs in with an OAuth flow of no known kind")


def _absolute(url: str, address: str | None) -> str | None:
    if not url:
        return None
    whole = urljoin((address or "") + "/", url)
    return whole if whole.startswith(("https://", "http://")) else None
