"""Documents from a file or an address: bounded, from public addresses only, JSON or YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import httpx

from prefect_autopilot.adapters.decoding import TooLargeError, read_within
from prefect_autopilot.adapters.network import outgoing
from prefect_autopilot.errors import AutopilotError, ConfigurationError, UsageError
from prefect_autopilot.models import JSONDict

LARGEST_DOCUMENT = 50 * 2**20
"""Bytes of a document; a larger one is refused before it is parsed."""

DEEPEST = 200
"""Levels of nesting of a YAML document; JSON's own parser bounds itself."""

_MOST_REDIRECTS = 5
_TIMEOUT_S = 30.0
_ACCEPT = "application/json, application/yaml;q=0.9, text/yaml;q=0.9, */*;q=0.1"
_HEADERS = {"Accept": _ACCEPT, "Accept-Encoding": "gzip, deflate"}
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})(?P<part>\.[0-9]{1,40})?(?P<power>[eE][-+]?[0-9]{1,3})?")
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    text: value
    for value, texts in ((True, ("true", "True", "TRUE")), (False, ("false", "False", "FALSE")))
    for text in texts
}


def is_address(source: str) -> bool:
    """Tell whether a source is a URL and not a file."""
    return source.lower().startswith(("http://", "https://"))


async def read_document(
    source: str,
    *,
    allow_private: bool = False,
    largest: int = LARGEST_DOCUMENT,
    transport: httpx.AsyncBaseTransport | None = None,
) -> JSONDict:
    """Return the object a JSON or YAML file holds, or what stands at a URL, of at most ``largest`` bytes.

    Addresses in a private network, by name, by number or by redirect, are not asked unless allowed.
    Raises UsageError for a document that cannot be used, AutopilotError when it cannot be had.
    """
    if is_address(source):
        content = await _fetched(source, allow_private=allow_private, largest=largest, transport=transport)
    else:
        content = await anyio.to_thread.run_sync(_read_file, source, largest)
    return await anyio.to_thread.run_sync(parse_document, content)


def _read_file(source: str, largest: int) -> bytes:
    path = Path(source).expanduser()
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{source} is no file; name the file of an OpenAPI document.")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name cannot be used"
        raise UsageError(
            f"{source[:200]} cannot be read: {reason}; name a file or the address of a document."
        ) from None
    if len(content) > largest:
        raise _too_large(largest)
    return content


def _too_large(largest: int) -> UsageError:
    return UsageError(f"The document is larger than {largest / 2**20:g} MB; import a part of it.")


async def _fetched(
    address: str, *, allow_private: bool, largest: int, transport: httpx.AsyncBaseTransport | None
) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        answer = await _asked(address, allow_private=allow_private, largest=largest, transport=transport)
        if isinstance(answer, bytes):
            return answer
        if address.startswith("https://") and not answer.startswith("https://"):
            raise UsageError(
                f"{_shown(address)} leads to an address without encryption; it was not followed."
            )
        address = answer
    raise UsageError(f"{_shown(address)} leads on and on; name the address of the document itself.")


async def _asked(
    address: str, *, allow_private: bool, largest: int, transport: httpx.AsyncBaseTransport | None
) -> bytes | str:
    """Return the content at an address, or the address it leads to."""
    shown = _shown(address)
    try:
        way = outgoing(address, transport, allow_private=allow_private)
        async with (
            httpx.AsyncClient(transport=way, timeout=_TIMEOUT_S, follow_redirects=False) as client,
            client.stream("GET", address, headers=_HEADERS) as response,
        ):
            if response.is_redirect:
                return _redirect(address, response)
            if not response.is_success:
                raise AutopilotError(
                    f"{shown} answered with HTTP {response.status_code}; check the address.",
                    permanent=not response.is_server_error,
                )
            return await read_within(response, largest)
    except TooLargeError:
        raise _too_large(largest) from None
    except ConfigurationError:
        raise UsageError(
            f"{shown} is in a private network, so it was not asked; allow that with --allow-private."
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # No cause is chained: httpx puts whole addresses into its texts, and one may hold a password.
        raise AutopilotError(
            f"{shown} cannot be reached ({type(error).__name__}); check the address.", permanent=False
        ) from None


def _redirect(address: str, response: httpx.Response) -> str:
    try:
        there = urljoin(address, response.headers["location"])
    except ValueError:
        there = ""
    if not is_address(there):
        raise UsageError(f"{_shown(address)} leads to what is no web address; it was not followed.")
    return there


def _shown(address: str) -> str:
    """Return an address without user, password and query."""
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "The address"
    return f"{parts.scheme}://{host}{parts.path}"[:200]


def parse_document(content: bytes) -> JSONDict:
    """Return the object a JSON or YAML text holds; raises UsageError in one sentence for anything else."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("The document is no text in UTF-8; save it as UTF-8 JSON or YAML.") from None
    start = text[:1000].lstrip()[:1]
    if start == "<":
        raise UsageError(
            "This is a web page or XML, no OpenAPI document; name the address of the JSON or YAML."
        )
    value = _json(text) if start in ("{", "[") else _MISSING
    if value is _MISSING:
        value = _yaml(text)
    if not isinstance(value, dict):
        raise UsageError("This is no OpenAPI document: it holds no object with openapi or swagger.")
    return value


_MISSING: Any = object()


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise UsageError("The document is nested too deeply to be read.") from None
    except ValueError as error:
        if text.lstrip()[1:50].lstrip()[:1] in ('"', "}", "]", "{", "["):
            where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise UsageError(f"The document is no valid JSON{where}; correct it.") from None
        return _MISSING  # YAML begins with a brace as well


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return _Builder(yaml.parse(text, Loader=yaml.CSafeLoader)).value()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"The document is neither valid JSON nor YAML{where}; correct it.") from None


class _Builder:
    """Builds plain values of YAML events: strings stay strings, and nothing is ever referred to.

    YAML's own loaders turn ``no`` and dates into what an OpenAPI document does not mean, follow aliases
    that make one line a billion, and recurse as deep as the text wants.
    """

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._open: list[Any] = []
        self._keys: list[Any] = []
        self._root: Any = _MISSING

    def value(self) -> Any:
        """Return the value of the first document of the events."""
        import yaml

        for event in self._events:
            if isinstance(event, yaml.ScalarEvent):
                self._put(_scalar(event.value) if event.implicit[0] else event.value)
            elif isinstance(event, yaml.MappingStartEvent):
                self._begin({})
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin([])
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
                self._keys.pop()
            elif isinstance(event, yaml.AliasEvent):
                name = str(event.anchor)[:40]
                raise UsageError(
                    f"The document uses YAML aliases (*{name}), which are not followed; convert it to JSON."
                )
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return None if self._root is _MISSING else self._root

    def _begin(self, container: Any) -> None:
        if len(self._open) >= DEEPEST:
            raise UsageError("The document is nested too deeply to be read.")
        self._put(container)
        self._open.append(container)
        self._keys.append(_MISSING)

    def _put(self, value: Any) -> None:
        if not self._open:
            self._root = value
            return
        holder = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
        elif self._keys[-1] is _MISSING:
            if isinstance(value, dict | list):
                raise UsageError("The document has a list or object as the name of a field; correct it.")
            self._keys[-1] = value if isinstance(value, str) else _name(value)
        else:
            holder[self._keys[-1]] = value
            self._keys[-1] = _MISSING


def _name(value: Any) -> str:
    return json.dumps(value)  # 200 and true are names of fields like any other


def _scalar(text: str) -> Any:
    """Return what an unquoted text means by the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return float(text) if number["part"] or number["power"] else int(text)
