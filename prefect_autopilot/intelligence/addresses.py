"""Web addresses a request writes out: what is to be called, and which of them nothing may call."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.scene import ANY, Scene
from prefect_autopilot.models import Question

URL = re.compile(r"https?://[^\s\"'<>]{1,2000}")
_READ = (
    r"fetch|get|call|ping|check|request|hit|poll|read|download|query|load|scrape|open|pull|retrieve|monitor"
)
_WRITTEN = r"post|send|put|push|submit|forward|upload"
_CALLED = re.compile(
    rf"\b(?P<verb>{_READ}|{_WRITTEN})(?:s|es|ing)?\b(?P<between>[^.;\n]{{0,60}}?)(?P<url>https?://\S+)"
)
_LOCAL_NAMES = re.compile(r"(?:.*\.)?(?:localhost|internal|local|lan|home|corp)\.?")
_METADATA = ipaddress.ip_network("169.254.0.0/16")


def called_addresses(scene: Scene, clauses: tuple[Clause, ...]) -> list[tuple[Clause, int, bool]]:
    """Return clause, place and whether it is read, for each address that is to be called by itself.

    An address beside the name of a service belongs to that service.
    """
    found: list[tuple[Clause, int, bool]] = []
    for clause in clauses:
        call = _CALLED.search(scene.text, clause.start, clause.end)
        if call is None or clause.lead is not None or re.search(ANY, call["between"]):
            continue
        found.append((clause, call.start("url"), re.match(rf"(?:{_READ})", call["verb"]) is not None))
    return found


def refused_address(text: str) -> str | None:
    """Say why a request is refused that reads where clouds keep the credentials of their machines."""
    found = next((url for url in URL.findall(text) if _is_metadata(_host(url))), None)
    return (
        found and f"{found} is where a cloud keeps credentials of its machines: no flow made here calls it."
    )


def address_questions(text: str) -> list[Question]:
    """Ask for another address where one is of this machine or a private network."""
    found = next((url for url in URL.findall(text) if _is_private(_host(url))), None)
    told = f"{found} is of this machine or a private network, which a plain request does not reach"
    return [Question(id="address", text=f"{told}: which public address is meant?")] if found else []


def _host(url: str) -> str:
    try:
        return (urlsplit(url.rstrip(".,;:!?)")).hostname or "").lower()
    except ValueError:
        return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address a host is written as; 2852039166 and 0xA9FEA9FE are addresses, too."""
    try:
        if re.fullmatch(r"\d{1,10}|0x[0-9a-f]{1,8}", host):
            return ipaddress.ip_address(int(host, 0) if host.startswith("0x") else int(host))
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_metadata(host: str) -> bool:
    address = _address(host)
    is_v4 = isinstance(address, ipaddress.IPv4Address)
    return (is_v4 and address in _METADATA) or host in {
        "metadata.google.internal",
        "instance-data",
        "fd00:ec2::254",
    }


def _is_private(host: str) -> bool:
    address = _address(host)
    return not address.is_global if address else _LOCAL_NAMES.fullmatch(host) is not None
