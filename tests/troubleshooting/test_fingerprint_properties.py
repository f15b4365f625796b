"""A fingerprint stays the same over what changes from run to run, and differs where the failure does."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.troubleshooting import diagnose_text, fingerprint

WORDS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=10)
BEGIN = datetime.fromisoformat("1999-12-31T23:59:59")
CLASSES = st.sampled_from(["KeyError", "ValueError", "acme.errors.LoadError", "OSError", "TimeoutError"])
NUMBERS = st.integers(0, 10**9)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=9999)).map(lambda since: BEGIN + since)


def raised(error: str, *, function: str = "load", line: int = 31, folder: str = "/opt/etl") -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "{folder}/nightly.py", line {line}, in {function}\n'
        "    rows = fetch(day)\n"
        f"{error}"
    )


@given(CLASSES, WORDS, NUMBERS, NUMBERS)
def test_numbers_do_not_count(kind: str, word: str, one: int, other: int) -> None:
    assert fingerprint(f"{kind}: {word} {one} of {other}") == fingerprint(f"{kind}: {word} {other} of {one}")


@given(CLASSES, WORDS, st.uuids(), st.uuids())
def test_ids_do_not_count(kind: str, word: str, one: object, other: object) -> None:
    assert fingerprint(f"{kind}: {word} {one}") == fingerprint(f"{kind}: {word} {other}")


@given(CLASSES, WORDS, MOMENTS, MOMENTS)
def test_times_do_not_count(kind: str, word: str, one: object, other: object) -> None:
    said = [f"{kind}: {word} at {moment:%Y-%m-%dT%H:%M:%S}Z" for moment in (one, other)]
    assert fingerprint(said[0]) == fingerprint(said[1])


@given(CLASSES, WORDS, st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_do_not_count(kind: str, word: str, one: object, other: object) -> None:
    assert fingerprint(f"{kind}: {word} {one}:5432") == fingerprint(f"{kind}: {word} {other}:9000")


@given(CLASSES, WORDS, st.lists(WORDS, min_size=2, max_size=4), st.lists(WORDS, min_size=2, max_size=4))
def test_paths_do_not_count(kind: str, word: str, one: list[str], other: list[str]) -> None:
    paths = ["/" + "/".join(steps) for steps in (one, other)]
    assert fingerprint(f"{kind}: {word} '{paths[0]}'") == fingerprint(f"{kind}: {word} '{paths[1]}'")


@given(NUMBERS, NUMBERS)
def test_the_line_number_of_own_code_does_not_count(one: int, other: int) -> None:
    texts = [raised("KeyError: 'net'", line=line) for line in (one, other)]
    assert fingerprint(texts[0]) == fingerprint(texts[1])


@given(WORDS, WORDS)
def test_the_folder_of_own_code_does_not_count(one: str, other: str) -> None:
    texts = [raised("KeyError: 'net'", folder=f"/srv/{name}") for name in (one, other)]
    assert fingerprint(texts[0]) == fingerprint(texts[1])


@given(WORDS, WORDS)
def test_another_function_is_another_failure(one: str, other: str) -> None:
    same = fingerprint(raised("KeyError: 'net'", function=one)) == fingerprint(
        raised("KeyError: 'net'", function=other)
    )
    assert same is (one == other)


@given(CLASSES, CLASSES, WORDS)
def test_another_class_is_another_failure(one: str, other: str, word: str) -> None:
    assert (fingerprint(f"{one}: {word}") == fingerprint(f"{other}: {word}")) is (one == other)


@given(CLASSES, WORDS, WORDS)
def test_another_word_is_another_failure(kind: str, one: str, other: str) -> None:
    assert (fingerprint(f"{kind}: the {one}") == fingerprint(f"{kind}: the {other}")) is (one == other)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=500))
def test_every_text_has_one_fingerprint_and_the_diagnosis_bears_it(text: str) -> None:
    mark = fingerprint(text)
    assert mark == fingerprint(text) == diagnose_text(text).fingerprint
    assert len(mark) == 16
    assert set(mark) <= set("0123456789abcdef")


@given(st.lists(WORDS, max_size=6))
def test_healthy_lines_do_not_count_beside_an_exception(words: list[str]) -> None:
    noise = "\n".join(f"2026-02-11 03:00:00,000 INFO - {word}" for word in words)
    assert fingerprint(f"{noise}\n{raised('KeyError: 1')}") == fingerprint(raised("KeyError: 1"))


DIFFERENT = (
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "HTTPError: 503 Server Error: Service Unavailable",
    "HTTPError: 401 Client Error: Unauthorized",
    "ModuleNotFoundError: No module named 'polars'",
    "ModuleNotFoundError: No module named 'pyarrow'",
    "KeyError: 'net'",
    "KeyError: 'gross'",
    "MemoryError",
    "OSError: disk full",
    "deadlock detected",
    "it went wrong",
    "",
)


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_different_failures_have_different_fingerprints(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_the_way_a_failure_is_wrapped_does_not_hide_its_root() -> None:
    root = raised("ConnectionRefusedError: [Errno 111] Connection refused")
    wrapped = f"{root}\n\nThe above exception was the direct cause of the following exception:\n\n" + raised(
        "acme.LoadError: no day"
    )
    assert fingerprint(wrapped) == fingerprint(root)
