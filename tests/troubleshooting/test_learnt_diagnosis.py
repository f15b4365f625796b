"""What no code and no pattern decides goes to the trained model, and stays unknown where that is unsure."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory, Severity
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.classify import (
    ANSWERED,
    Candidate,
    _of_the_words_alone,
)
from prefect_autopilot.troubleshooting.failure import Unit
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.model import (
    BUCKETS,
    Weights,
    features,
    first_remedy,
    judge,
    load_weights,
)
from prefect_autopilot.troubleshooting.parse import parse

TINY = Weights(
    categories=(IssueCategory.DATA, IssueCategory.LOGIC),
    bias=(0.0, 0.0, -1.0),
    rows=dict.fromkeys(features(parse("Torn: page of ledger")), (2.0, -2.0, 0.5)),
    slope=1.0,
    offset=0.0,
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Strange: thing", id="words of no meaning"),
        pytest.param("", id="nothing"),
        pytest.param("####", id="only signs"),
    ],
)
def test_what_nobody_knows_stays_unknown(text: str) -> None:
    diagnosis = diagnose_text(text)
    assert diagnosis.category is IssueCategory.UNKNOWN
    assert diagnosis.remedy == "none"


@pytest.mark.parametrize("pattern", load_patterns(), ids=lambda pattern: pattern.name)
def test_a_pattern_that_decides_is_not_overruled(pattern: object) -> None:
    for text in pattern.examples:  # type: ignore[attr-defined]
        assert diagnose_text(text).pattern != "learnt", text


def test_the_weights_cover_every_category_and_one_verdict_of_passing() -> None:
    weights = load_weights()
    assert set(weights.categories) == set(IssueCategory) - {IssueCategory.UNKNOWN}
    assert {len(row) for row in weights.rows.values()} == {len(weights.categories) + 1}
    assert len(weights.bias) == len(weights.categories) + 1


def test_features_are_a_vector_of_length_one_in_the_buckets() -> None:
    found = features(parse("ValueError: 17 rows differ"))
    assert sum(value * value for value in found.values()) == pytest.approx(1.0)
    assert all(0 <= bucket < BUCKETS for bucket in found)


def test_features_do_not_depend_on_numbers_ids_and_paths() -> None:
    first = features(parse("LedgerError: row 1 of /data/a/one.csv at 2026-01-01"))
    assert first == features(parse("LedgerError: row 992 of /data/b/two.csv at 2026-11-30"))


def test_a_judgement_follows_the_weights_and_keeps_its_bounds() -> None:
    judged = judge(parse("Torn: page of ledger"), TINY)
    assert judged is not None
    assert judged.category is IssueCategory.DATA
    assert 0.5 < judged.confidence <= 1.0
    assert 0.0 <= judged.passes <= 1.0


def test_a_lower_slope_makes_it_less_sure() -> None:
    doubtful = Weights(TINY.categories, TINY.bias, TINY.rows, slope=0.2, offset=0.0)
    sure, unsure = judge(parse("Torn: page of ledger"), TINY), judge(parse("Torn: page of ledger"), doubtful)
    assert sure is not None
    assert unsure is not None
    assert unsure.confidence < sure.confidence


def test_a_text_without_any_known_feature_is_not_judged() -> None:
    empty = Weights(TINY.categories, TINY.bias, {}, slope=1.0, offset=0.0)
    assert judge(parse("Torn: page of ledger"), empty) is None


def test_what_was_learnt_says_so_and_is_never_surer_than_its_training() -> None:
    diagnosis = diagnose_text("The nightly export was not delivered because its columns have another type")
    if diagnosis.pattern == "learnt":
        assert diagnosis.confidence >= ANSWERED
        assert diagnosis.root_cause.startswith("It reads like")
        assert diagnosis.severity in {Severity.MEDIUM, Severity.HIGH}
    else:
        assert diagnosis.category is not None


@pytest.mark.parametrize(
    ("text", "category", "name"),
    [
        pytest.param(
            "Flow run encountered an exception: TimeoutError", "timeout", "TimeoutError", id="class alone"
        ),
        pytest.param(
            "Flow run encountered an exception: StopIteration", "logic", "StopIteration", id="no error word"
        ),
        pytest.param(
            "Flow run encountered an exception: pymongo.errors.InvalidName: names must not be empty",
            "configuration",
            "pymongo.errors.InvalidName",
            id="class with its module",
        ),
        pytest.param(
            "struct.error: unpack requires a buffer of 8 bytes", "data", "struct.error", id="written small"
        ),
        pytest.param(
            "Flow run encountered an exception: zlib.error: Error -5 while decompressing data: truncated",
            "data",
            "zlib.error",
            id="written small in a state",
        ),
    ],
)
def test_a_class_is_read_whatever_it_looks_like(text: str, category: str, name: str) -> None:
    diagnosis = diagnose_text(text)
    assert (diagnosis.category.value, diagnosis.exception) == (category, name)


def test_a_missing_program_is_no_missing_input() -> None:
    frames = (
        'Traceback (most recent call last):\n  File "/srv/flows/maps.py", line 4, in cut\n    {call}\n'
        '  File "/usr/lib/python3.11/{file}", line 9, in inner\n    raise\n'
        "FileNotFoundError: [Errno 2] No such file or directory: '{name}'"
    )
    started = diagnose_text(frames.format(call="run(['ogrinfo'])", file="subprocess.py", name="ogrinfo"))
    opened = diagnose_text(frames.format(call="open('a.csv')", file="pathlib.py", name="/data/a.csv"))
    assert (started.category.value, started.remedy) == ("configuration", "install_dependency")
    assert opened.category.value == "data"


@pytest.mark.parametrize(
    ("key", "category"),
    [("LEDGER_DSN", "configuration"), ("customer_id", "logic")],
    ids=["capitals", "small"],
)
def test_only_a_key_in_capitals_looks_like_a_setting(key: str, category: str) -> None:
    assert diagnose_text(f"Flow run encountered an exception: KeyError: '{key}'").category.value == category


@pytest.mark.parametrize(
    ("category", "said", "passing", "remedy"),
    [
        ("permissions", "the passphrase opens nothing", False, "refresh_credentials"),
        ("permissions", "the passphrase opens nothing", True, "retry_backoff"),
        ("permissions", "no entry for the night shift", False, "grant_permission"),
        ("resource", "the heap of the loader is at its end", True, "increase_memory"),
        ("resource", "the volume has no room", False, "free_disk"),
        ("external_service", "more than allowed per minute", True, "wait_rate_limit"),
    ],
)
def test_a_word_tells_the_remedies_of_a_learnt_kind_apart(
    category: str, said: str, *, passing: bool, remedy: str
) -> None:
    assert first_remedy(Unit("plain", said, "log 1"), IssueCategory(category), passing=passing) == remedy


@pytest.mark.parametrize(
    ("pattern", "said", "category"),
    [
        ("own-exception", "RuntimeError: the worker ran out of memory and died", "resource"),
        ("value-error", "ValueError: the worker ran out of memory and died", "resource"),
        ("type-error", "TypeError: the worker ran out of memory and died", None),
        ("own-exception", "RuntimeError: boom", None),
        ("own-exception", "RuntimeError: division by zero in the margin", None),
    ],
)
def test_the_words_alone_are_read_where_a_class_says_nothing(
    pattern: str, said: str, category: str | None
) -> None:
    known = next(one for one in load_patterns() if one.name == pattern)
    opinion = _of_the_words_alone([Candidate(known, Unit("raised", said, "log 1"), known.confidence)])
    assert (opinion and opinion.category.value) == category
