"""Addresses that are only asked for and do something all the same."""

from __future__ import annotations

import pytest

from prefect_autopilot.effects import Level, function_effects

ACTS = {
    "logout": "https://x.example/logout?user=1",
    "delete as a part of a path": "https://x.example/v1/delete/",
    "unknown host": "{base}/trigger",
    "hyphen": "https://x.example/log-out",
    "capitals": "https://x.example/Reset#now",
}
READS = {
    "longer word": "https://x.example/updates-and-deletes",
    "in the host": "https://send.example/rows",
    "in the query": "https://x.example/rows?next=/logout",
    "nothing known": "{base}",
}


def level_of(address: str, verb: str = "get") -> Level:
    source = f"import requests\ndef f(base):\n    return requests.{verb}(f'{address}', timeout=3)\n"
    return function_effects(source)["f"].level


@pytest.mark.parametrize("address", ACTS.values(), ids=ACTS)
def test_a_get_of_an_address_that_names_an_act_is_not_known_to_only_read(address: str) -> None:
    assert level_of(address) is Level.UNKNOWN


@pytest.mark.parametrize("address", READS.values(), ids=READS)
def test_other_addresses_are_read(address: str) -> None:
    assert level_of(address) is Level.READ


def test_a_post_stays_a_write_whatever_its_address() -> None:
    assert level_of("https://x.example/delete", "post") is Level.WRITE
