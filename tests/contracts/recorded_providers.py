"""Base address and authentication as a table of providers (Nango's providers.yaml) states them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recorded_shapes import read_document

Fact = dict[str, Any]
SECRET = re.compile(r"\$\{(?:credentials\.)?(?:apiKey|accessToken)\}")


class UnknownProviderError(LookupError):
    """The table has no such provider."""


class Provider:
    """One provider of the table; what it inherits from another (``alias``) is its own."""

    def __init__(self, file: Path, name: str) -> None:
        table = read_document(file)
        if name not in table:
            raise UnknownProviderError(name)
        self.name = name
        self.value: dict[str, Any] = dict(table[name])
        while "alias" in self.value:
            other = self.value.pop("alias")
            self.value = {**table[other], **self.value, "proxy": _both(table[other], self.value)}
            if "alias" in table[other]:
                self.value["alias"] = table[other]["alias"]

    @property
    def proxy(self) -> Mapping[str, Any]:
        return self.value.get("proxy") or {}

    def servers(self) -> list[Fact]:
        """Return the base address; what only a person knows of it is a slot."""
        told = str(self.proxy.get("base_url", "")).partition(" || ")[0].rstrip("/")
        url = re.sub(r"\$\{(?:connectionConfig\.)?([^}]+)\}", r"{\1}", told)
        return [{"url": url, "at": f"{self.name}.proxy.base_url"}] if "://" in url else []

    def auth(self) -> list[Fact]:
        """Return the ways to prove who asks."""
        found = self._keys()
        mode = self.value.get("auth_mode")
        if mode in ("OAUTH2", "OAUTH2_CC"):
            urls = {key: self._address(key) for key in ("token_url", "refresh_url")}
            machine = {"grants": ["client_credentials"]} if mode == "OAUTH2_CC" else {}
            found.insert(0, {"type": "oauth2", **urls, **machine, "at": f"{self.name}.token_url"})
        elif mode == "BASIC" and not found:
            found.append({"type": "http", "scheme": "basic", "at": f"{self.name}.auth_mode"})
        elif mode == "OAUTH1":
            found.append({"type": "oauth1", "at": f"{self.name}.auth_mode"})
        return found

    def _address(self, key: str) -> str | None:
        told = self.value.get(key)
        told = told.get("OAUTH2") if isinstance(told, Mapping) else told
        return re.sub(r"\$\{(?:connectionConfig\.)?([^}]+)\}", r"{\1}", told) if told else None

    def _keys(self) -> list[Fact]:
        found: list[Fact] = []
        for where, table in (("header", self.proxy.get("headers")), ("query", self.proxy.get("query"))):
            for name, value in (table or {}).items():
                text = str(value)
                at = f"{self.name}.proxy.{where}.{name}"
                if re.fullmatch(r"Bearer " + SECRET.pattern, text):
                    found.append({"type": "http", "scheme": "bearer", "at": at})
                elif text.startswith("Basic ${"):
                    found.append({"type": "http", "scheme": "basic", "at": at})
                elif match := SECRET.search(text):
                    prefix = text[: match.start()]
                    fact = {"type": "apiKey", "in": where, "name": name, "prefix": prefix, "at": at}
                    found += [fact] if match.end() == len(text) else []
        slot = SECRET.search(str(self.proxy.get("base_url", "")))
        if slot:
            name = slot.group()[2:-1]
            at = f"{self.name}.proxy.base_url"
            found.append({"type": "apiKey", "in": "path", "name": name, "prefix": None, "at": at})
        return found


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**(one.get("proxy") or {}), **(other.get("proxy") or {})}
