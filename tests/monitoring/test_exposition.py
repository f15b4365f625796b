"""Metrics of many deployments as text: the same as prometheus_client writes, whatever changed since."""

from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from prefect_autopilot.monitoring.exposition import Exposition

ODD = ["plain", 'quo"ted', "back\\slash", "new\nline", "Ünïcödé 🐢", ""]


class Pair:
    """The same metrics in an exposition and in a registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shown = Exposition()
        names = ("flow", "deployment")
        self.runs = self.shown.add(Counter("runs", "Runs.", names, registry=self.registry), names)
        self.score = self.shown.add(Gauge("score", "Health.", names, registry=self.registry), names)
        took = Histogram("took_seconds", "Duration.", names, registry=self.registry, buckets=(1, 5, 60))
        self.took = self.shown.add(took, names)

    def lines(self) -> set[str]:
        text = self.shown.render().decode()
        assert text.count("# TYPE runs_total counter") == 1
        found = text.splitlines()
        assert len(found) == len(set(found))
        return set(found)

    def expected(self) -> set[str]:
        every = generate_latest(self.registry).decode().splitlines()
        return {one for one in every if "_created" not in one}


@pytest.mark.parametrize("name", ODD)
def test_any_label_is_written_as_prometheus_client_does(name: str) -> None:
    pair = Pair()
    pair.shown.child(pair.runs, name, "prod").inc()
    pair.shown.child(pair.took, name, name).observe(3)
    assert pair.lines() == pair.expected()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_changes_between_scrapes_is_in_the_next_one(seed: int) -> None:
    pair, chance = Pair(), random.Random(seed)
    there: set[str] = set()
    for _ in range(60):
        name = str(chance.randrange(8))
        match chance.randrange(5):
            case 0:
                pair.shown.child(pair.runs, name, "d").inc(chance.randrange(3))
            case 1:
                pair.shown.child(pair.score, name, "d").set(
                    chance.choice([0.5, float("nan"), float("inf"), -1])
                )
                there.add(name)
            case 2:
                pair.shown.child(pair.took, name, "d").observe(chance.lognormvariate(1, 2))
            case 3 if name in there:
                pair.shown.remove(pair.score, name, "d")
                there.remove(name)
            case _:
                assert pair.lines() == pair.expected()
    assert pair.lines() == pair.expected()


def test_what_is_gone_and_comes_back_is_shown_once() -> None:
    pair = Pair()
    for value in (1.0, 2.0):
        pair.shown.child(pair.score, "orders", "prod").set(value)
        assert f'score{{deployment="prod",flow="orders"}} {value}' in pair.lines()
        pair.shown.remove(pair.score, "orders", "prod")
        assert not any(line.startswith("score{") for line in pair.lines())
