"""Calls over the standard library's client, and answers that are read in one chain."""

from __future__ import annotations

import pytest

from prefect_autopilot.effects import may_rerun

HEAD = """
import json, urllib.request
import httpx
from prefect import flow

@flow
def main(api: str, given):
"""

VERDICTS = {
    "an address that is a text": ("urllib.request.urlopen(api)", "safe"),
    "an address put together": ("urllib.request.urlopen(given + '/stock', timeout=9).read()", "safe"),
    "a formatted address": ("urllib.request.urlopen(f'{given}/stock')", "safe"),
    "anything may be given": ("urllib.request.urlopen(given)", "unknown"),
    "a body": ("urllib.request.urlopen(f'{given}/stock', data=b'1')", "unknown"),
    "a body by place": ("urllib.request.urlopen(api, given)", "unknown"),
    "a request that only reads": ("urllib.request.urlopen(urllib.request.Request(given))", "safe"),
    "a request without a body": ("urllib.request.urlopen(urllib.request.Request(api, None))", "safe"),
    "a request with headers": (
        "r = urllib.request.Request(api, headers={'A': 'b'})\n    urllib.request.urlopen(r)",
        "safe",
    ),
    "a named method": (
        "r = urllib.request.Request(api, method='HEAD')\n    urllib.request.urlopen(r)",
        "safe",
    ),
    "a deletion": (
        "r = urllib.request.Request(api, method='DELETE')\n    urllib.request.urlopen(r)",
        "idempotent",
    ),
    "a body makes it a POST": (
        "r = urllib.request.Request(api, data=b'2')\n    urllib.request.urlopen(r)",
        "unsafe",
    ),
    "a body by place makes it a POST": (
        "urllib.request.urlopen(urllib.request.Request(api, b'2'))",
        "unsafe",
    ),
    "a body that comes later": (
        "r = urllib.request.Request(api)\n    r.data = b'2'\n    urllib.request.urlopen(r)",
        "unknown",
    ),
    "a request made twice": (
        "a = urllib.request.Request\n    r = a(api)\n    r = a(api, b'3')\n    urllib.request.urlopen(r)",
        "unknown",
    ),
    "a method nobody knows": (
        "r = urllib.request.Request(api, method=given)\n    urllib.request.urlopen(r)",
        "unknown",
    ),
    "options nobody knows": ("urllib.request.urlopen(urllib.request.Request(api, **given))", "unknown"),
    "arguments nobody knows": ("urllib.request.urlopen(urllib.request.Request(*given))", "unknown"),
    "httpx read in one chain": ("httpx.get(api, timeout=9).raise_for_status().json()", "safe"),
    "a client's answer read in one chain": (
        "with httpx.Client(base_url=api) as client:\n        client.get('/a').raise_for_status().json()",
        "safe",
    ),
    "a checked POST is a POST": ("httpx.post(api, json=given).raise_for_status().json()", "unsafe"),
}


@pytest.mark.parametrize(("body", "level"), VERDICTS.values(), ids=VERDICTS)
def test_what_a_call_asks_for_decides_whether_it_may_be_repeated(body: str, level: str) -> None:
    assert may_rerun(f"{HEAD}    {body}\n", "main").level == level
