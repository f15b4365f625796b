"""Patterns and trained model as one sum of probabilities, and the forms of texts that both read."""

from __future__ import annotations

import pytest

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import diagnose_text
from prefect_autopilot.troubleshooting.classify import (
    ANSWERED,
    ANSWERED_BRIEF,
    CATEGORIES,
    SUREST,
    Candidate,
    _alternatives,
    _pooled,
)
from prefect_autopilot.troubleshooting.codes import find_codes
from prefect_autopilot.troubleshooting.failure import Unit
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.model import Judgement, judge
from prefect_autopilot.troubleshooting.parse import parse

C = IssueCategory
SAYS = Unit("raised", "LedgerError: no", "line 1", "LedgerError")


def fits(category: IssueCategory, score: float) -> Candidate:
    """Return a pattern of ``category`` that fits so well."""
    return Candidate(next(one for one in load_patterns() if one.category is category), SAYS, score)


def reads(category: IssueCategory, share: float, passes: float = 0.1) -> Judgement:
    """Return an opinion of the trained model; what it leaves falls to the others alike."""
    rest = (1 - share) / (len(CATEGORIES) - 1)
    shares = {one: share if one is category else rest for one in CATEGORIES}
    return Judgement(category=category, confidence=share, passes=passes, shares=shares)


def most(candidates: list[Candidate], learnt: Judgement | None) -> IssueCategory:
    shares = _pooled(candidates, learnt)
    return max(shares, key=shares.__getitem__)


@pytest.mark.parametrize("learnt", [None, reads(C.DATA, 0.6)], ids=["patterns alone", "with an opinion"])
@pytest.mark.parametrize("candidates", [[], [fits(C.LOGIC, 0.5)], [fits(C.TIMEOUT, 0.95)]], ids=len)
def test_the_shares_leave_room_for_another_label(
    candidates: list[Candidate], learnt: Judgement | None
) -> None:
    shares = _pooled(candidates, learnt)
    assert set(shares) == set(C) - {C.UNKNOWN}
    assert sum(shares.values()) == pytest.approx(SUREST)
    assert all(0 < share < 1 for share in shares.values())


def test_opinions_that_agree_are_surer_than_each_alone() -> None:
    pattern, opinion = [fits(C.DATA, 0.6)], reads(C.DATA, 0.6)
    both = _pooled(pattern, opinion)[C.DATA]
    assert both > _pooled(pattern, None)[C.DATA]
    assert both > _pooled([], opinion)[C.DATA]


def test_an_opinion_outweighs_a_pattern_that_hardly_fits_and_never_a_firm_one() -> None:
    opinion = reads(C.CONNECTIVITY, 0.9)
    assert most([fits(C.LOGIC, 0.36)], opinion) is C.CONNECTIVITY
    assert most([fits(C.LOGIC, 0.97)], reads(C.CONNECTIVITY, 0.5)) is C.LOGIC


def test_a_firm_pattern_decides_even_where_the_sum_says_otherwise() -> None:
    text = "xero.RateLimitException: HTTP status code: 429 X-Rate-Limit-Problem: day"
    found = diagnose_text(text)
    assert (found.category, found.transient) == (C.RESOURCE, False)


def test_of_two_patterns_the_better_fit_is_more_probable_and_the_other_is_told() -> None:
    candidates = [fits(C.PERMISSIONS, 0.8), fits(C.DATA, 0.7)]
    shares = _pooled(candidates, None)
    assert shares[C.PERMISSIONS] > shares[C.DATA] > shares[C.TIMEOUT]
    (other,) = _alternatives(C.PERMISSIONS, shares, candidates, None)
    assert other.category is C.DATA
    assert f"{shares[C.DATA]:.2f} against {shares[C.PERMISSIONS]:.2f}" in other.reason


def test_what_the_model_thinks_is_an_alternative_only_where_it_is_sure() -> None:
    candidates = [fits(C.LOGIC, 0.9)]
    for share, told in ((ANSWERED + 0.1, {C.TIMEOUT}), (ANSWERED - 0.1, set())):
        opinion = reads(C.TIMEOUT, share)
        shares = _pooled(candidates, opinion)
        others = _alternatives(C.LOGIC, shares, candidates, opinion)
        assert {one.category for one in others} == told


@pytest.mark.parametrize(
    "text",
    ["We lost the plot", "something odd happened", "pkg.errors.QuuxError: xyzzy 7", "no idea"],
    ids=str,
)
def test_a_few_words_of_no_meaning_stay_unknown(text: str) -> None:
    found = diagnose_text(text)
    assert found.category is C.UNKNOWN
    assert found.confidence < ANSWERED_BRIEF
    assert found.remedy == "none"


def test_a_text_of_few_words_is_marked_as_brief() -> None:
    short, long = (
        judge(parse("the ledger was lost")),
        judge(parse("the ledger server was lost after the last run of today")),
    )
    assert short is not None
    assert long is not None
    assert (short.brief, long.brief) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: time data '31/02' does not match format '%d/%m'",
        "ledger.errors.UnsupportedEngineError: pick another",
        "PermissionError: [Errno 13] Permission denied: '/srv/out'",
    ],
    ids=["a record", "a setting", "a right"],
)
def test_what_needs_a_person_is_not_said_to_pass(text: str) -> None:
    assert not diagnose_text(text).transient


FORMS = {
    "frames after the exception": (
        (
            "KeyError: 'net'\n"
            '  File "/site-packages/pandas/core/frame.py", line 9, in __getitem__\n'
            "    return self._get(key)"
        ),
        "data",
    ),
    "a traceback within one line": (
        (
            "remote.Fault: <Fault 1: 'Traceback (most recent call last): ... AttributeError: type object "
            "Partner has no attribute vat_nr'>"
        ),
        "logic",
    ),
    "a class within a message": (
        "gw.errors.CallError: it went wrong (Caused by ConnectTimeoutError(no answer))",
        "timeout",
    ),
    "a status in brackets after its number": (
        "store.UnexpectedResponse: Unexpected Response: 404 (Not Found)",
        "configuration",
    ),
    "an exit code in square brackets": ("Main class [org.test.Shell], exit code [1]", "logic"),
    "a program by its name": (
        "FileNotFoundError: [Errno 2] No such file or directory: 'pdftk'",
        "configuration",
    ),
    "a file by its path": ("FileNotFoundError: [Errno 2] No such file or directory: '/in/a.csv'", "data"),
    "something not in time": ("RuntimeError: the table could not be sent out in 300 secs", "timeout"),
    "a thing of the settings": ("The market of that name was not found in this project", "configuration"),
    "a partition": ("lake.errors.PartitionNotFoundException: 2026-03-02", "data"),
    "in use": ("pkg.errors.ClusterInUseFault: eu-1", "performance"),
    "too many of something": ("pkg.errors.TooManyDistributionsException: 200", "resource"),
    "a fault of their own": ("pkg.errors.ServiceFailureException: ours", "external_service"),
}


@pytest.mark.parametrize(("text", "category"), FORMS.values(), ids=FORMS)
def test_a_form_is_read_whatever_the_technology(text: str, category: str) -> None:
    assert diagnose_text(text).category.value == category


def test_a_chain_keeps_its_frames_where_each_exception_has_its_own() -> None:
    failure = parse(
        'Traceback (most recent call last):\n  File "/srv/flows/a.py", line 3, in load\n    go()\n'
        "ValueError: no\n"
    )
    (unit,) = (one for one in failure.units if one.role == "raised")
    assert [frame.line for frame in unit.frames] == [3]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Unexpected Response: 503 (Service Unavailable)", "http:503"),
        ("Response: 422", "http:422"),
        ("Shell action ended, exit code [137]", "exit:137"),
    ],
    ids=["phrase in brackets", "after Response", "square brackets"],
)
def test_a_code_is_found_in_brackets(text: str, code: str) -> None:
    assert code in find_codes(text)


@pytest.mark.timeout(30)  # an expression that backtracks would take far longer
def test_long_words_and_half_names_cost_little() -> None:
    for text in ("Aa" * 500_000, "ErrorExceptio" * 50_000, "could not " * 100_000, "not found " * 100_000):
        assert diagnose_text(text)


@pytest.mark.parametrize(
    ("text", "category", "told"),
    [
        (
            "HTTPError: 401 Client Error: Unauthorized for url: https://a.test\n\nWARNING connection refused",
            C.CONNECTIVITY,
            "the words “connection refused”, a line that raises nothing; line 1 by the code http:401 decided",
        ),
        (
            "psycopg.OperationalError: connection timed out; permission denied for table x",
            C.PERMISSIONS,
            "line 1 by the words “permission denied for”, but the words “connection timed out” there says",
        ),
    ],
    ids=["another line", "the same line"],
)
def test_it_is_said_in_words_which_line_and_sign_decided_against_another_cause(
    text: str, category: C, told: str
) -> None:
    (reason,) = [one.reason for one in diagnose_text(text).alternatives if one.category is category]
    assert told in reason


def test_a_service_is_not_taken_from_what_failed_beside() -> None:
    found = diagnose_text(SIDE_BY_SIDE)
    assert (found.category, found.service) == (C.DATA, None)


SIDE_BY_SIDE = """  + Exception Group Traceback (most recent call last):
  |   File "/srv/f.py", line 3, in g
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/f.py", line 9, in h
    |     row["total"]
    | KeyError: 'total'
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/srv/f.py", line 12, in i
    | ValueError: bad url postgresql://db.test:5432/x
    +------------------------------------
"""
