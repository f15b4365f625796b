"""The share of failures, or of retries: when it has risen above its own usual one, and when it is chance."""

from __future__ import annotations

import math
import random

import pytest

from prefect_autopilot.monitoring.retries import RetriesChannel
from prefect_autopilot.monitoring.sample import Finding, Sample
from prefect_autopilot.monitoring.shares import LAG, PRIOR_SHARE, RisenShare
from prefect_autopilot.monitoring.state import StateChannel

RUNS = 1000
HISTORIES = 20


def coin(seed: int, shares: list[float]) -> list[bool]:
    chance = random.Random(seed)
    return [chance.random() < share for share in shares]


def findings(failed: list[bool]) -> list[tuple[int, Finding]]:
    channel = StateChannel()
    return [
        (i, found)
        for i, bad in enumerate(failed)
        for found in channel.observe(
            Sample(index=i, start=3600.0 * i, state="FAILED" if bad else "COMPLETED", duration=60.0)
        )
    ]


def test_the_statistic_rises_with_frequent_hits_and_rests_otherwise() -> None:
    share = RisenShare(least=0.12)
    quiet = max(share.update(hit=i % 50 == 0) for i in range(500))
    risen = max(share.update(hit=i % 3 == 0) for i in range(30))
    assert quiet < 6
    assert risen > 12


def test_the_usual_share_is_learned_late() -> None:
    share = RisenShare(least=0.12)
    for _ in range(LAG):
        share.update(hit=True)
    assert share.usual == pytest.approx(PRIOR_SHARE)
    for _ in range(LAG):
        share.update(hit=True)
    assert share.usual > 0.4


def test_a_share_that_cannot_rise_any_more_is_no_news() -> None:
    share = RisenShare(least=0.12)
    late = [share.update(hit=True) for _ in range(5000)][-10:]
    assert all(math.isfinite(score) for score in late)
    assert late == [0.0] * 10


def test_what_was_reset_counts_anew() -> None:
    share = RisenShare(least=0.12)
    for _ in range(3):
        share.update(hit=True)
    share.reset()
    fresh = RisenShare(least=0.12)
    assert share.update(hit=True) == pytest.approx(fresh.update(hit=True))


@pytest.mark.parametrize(
    ("usual", "most"),
    [
        (0.0, 0),
        (0.01, 1),
        (0.02, 1),
        (0.03, 1),
        (0.05, 2),
        (0.08, 2),
        (0.1, 2),
        (0.15, 2),
        (0.2, 2),
        (0.3, 2),
    ],
    ids=str,
)
def test_a_steady_share_of_failures_is_no_news_whatever_it_is(usual: float, most: int) -> None:
    """Twenty histories of a thousand runs; the first 150 runs may still have to learn what is usual."""
    late = sum(index >= 150 for seed in range(HISTORIES) for index, _ in findings(coin(seed, [usual] * RUNS)))
    assert late <= most


@pytest.mark.parametrize(
    ("usual", "risen", "runs", "least"),
    [
        (0.0, 0.15, 60, 17),
        (0.0, 0.3, 40, 19),
        (0.02, 0.3, 40, 18),
        (0.02, 0.5, 30, 20),
        (0.05, 0.5, 40, 19),
        (0.1, 0.7, 40, 19),
        (0.2, 0.9, 40, 18),
    ],
)
def test_a_risen_share_of_failures_is_found(usual: float, risen: float, runs: int, least: int) -> None:
    found = 0
    for seed in range(HISTORIES):
        told = findings(coin(seed, [usual] * 300 + [risen] * runs))
        found += any(index >= 300 for index, _ in told)
    assert found >= least


@pytest.mark.parametrize(("risen", "least"), [(0.25, 11), (0.4, 18), (0.6, 20)])
def test_a_share_that_creeps_up_does_not_become_the_usual_one(risen: float, least: int) -> None:
    found = 0
    for seed in range(HISTORIES):
        creeping = [0.05 + (risen - 0.05) * i / 80 for i in range(80)]
        told = findings(coin(seed, [0.02] * 250 + creeping))
        found += any(index >= 250 for index, _ in told)
    assert found >= least


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        ([True] * 4, "consecutive_failures"),
        ([True, True, False] * 8, "error_rate"),
        ([False, False, False, True] * 12, "error_rate"),
        ([True, False] * 10, "flapping_state"),
    ],
    ids=["in a row", "two of three", "every fourth", "every second"],
)
def test_the_first_finding_names_the_pattern(tail: list[bool], kind: str) -> None:
    told = findings([False] * 200 + tail)
    assert told[0][0] >= 200
    kinds = {found.kind for _, found in told}
    assert kind in kinds
    assert told[0][1].kind in {kind, "error_rate"}


@pytest.mark.parametrize(
    ("every", "told"),
    [(10**9, 1), (100, 1), (20, 0), (10, 0), (5, 0)],
    ids=["never", "1 %", "5 %", "10 %", "20 %"],
)
def test_three_failures_in_a_row_are_news_only_where_chance_does_not_make_them(every: int, told: int) -> None:
    history = [i % every == every - 1 for i in range(500)]
    history[-3:] = [False] * 3
    assert len([index for index, _ in findings([*history, True, True, True]) if index >= 500]) == told


@pytest.mark.parametrize(
    ("history", "row"),
    [
        ("", 3),
        ("." * 5, 5),
        ("." * 15, 5),
        ("." * 20, 3),
        ("." * 30 + "F" + "." * 30, 4),
        ("F" + "." * 300, 3),
    ],
    ids=["none", "five good", "fifteen good", "twenty good", "one of 61", "one of 301"],
)
def test_the_less_is_known_the_longer_a_row_must_be(history: str, row: int) -> None:
    told = findings([letter == "F" for letter in history] + [True] * 6)
    assert told[0][0] == len(history) + row - 1
    assert told[0][1].kind == "consecutive_failures"


def test_a_finding_tells_the_usual_share() -> None:
    told = findings([i % 100 == 7 for i in range(300)] + [i % 3 == 0 for i in range(30)])
    reason = told[0][1].reason
    assert "of the last 20 runs failed" in reason
    assert "usual are" in reason


@pytest.mark.parametrize("usual", [0.0, 0.02, 0.05, 0.1])
def test_a_steady_share_of_retried_runs_is_no_news(usual: float) -> None:
    late = 0
    for seed in range(HISTORIES):
        channel = RetriesChannel()
        for i, again in enumerate(coin(seed, [usual] * 500)):
            run = Sample(index=i, start=3600.0 * i, state="COMPLETED", duration=60.0, retries=float(again))
            late += sum(i >= 150 for _ in channel.observe(run))
    assert late <= 1
