"""The text of metrics with many labels: what did not change since the last scrape is not written anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

Metric = TypeVar("Metric", Counter, Gauge, Histogram)
Labels = tuple[str, ...]
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Exposition:
    """Keeps the lines of every labelled child of its metrics until the child is asked for to be changed."""

    def __init__(self) -> None:
        self._metrics: list[tuple[Counter | Gauge | Histogram, Labels]] = []
        self._lines: list[dict[Labels, str]] = []
        self._changed: list[dict[Labels, None]] = []
        self._places: dict[int, int] = {}

    def add(self, metric: Metric, names: Labels) -> Metric:
        """Take a metric with these label names and return it."""
        self._places[id(metric)] = len(self._metrics)
        self._metrics.append((metric, names))
        self._lines.append({})
        self._changed.append({})
        return metric

    def child(self, metric: Metric, *labels: str) -> Metric:
        """Return the child with these label values, which is about to change."""
        self._changed[self._places[id(metric)]][labels] = None
        return metric.labels(*labels)

    def remove(self, metric: Counter | Gauge | Histogram, *labels: str) -> None:
        """Take a child away."""
        place = self._places[id(metric)]
        metric.remove(*labels)
        self._lines[place].pop(labels, None)
        self._changed[place].pop(labels, None)

    def render(self) -> bytes:
        """Return the text exposition format (version 0.0.4)."""
        parts: list[str] = []
        for (metric, names), lines, changed in zip(self._metrics, self._lines, self._changed, strict=True):
            for labels in changed:
                lines[labels] = "".join(_lines(metric.labels(*labels), names, labels))
            changed.clear()
            parts += (_head(metric), *lines.values())
        return "".join(parts).encode()


def _head(metric: Counter | Gauge | Histogram) -> str:
    (told,) = metric.describe()
    name = f"{told.name}_total" if told.type == "counter" else told.name
    return f"# HELP {name} {told.documentation}\n# TYPE {name} {told.type}\n"


def _lines(child: Counter | Gauge | Histogram, names: Labels, labels: Labels) -> Iterator[str]:
    given = dict(zip(names, labels, strict=True))
    for family in child.collect():
        for sample in family.samples:
            # When a series was first seen is OpenMetrics' alone; it would be half as many series again.
            if not sample.name.endswith("_created"):
                every = sorted((given | sample.labels).items())
                shown = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in every)
                yield f"{sample.name}{{{shown}}} {_number(sample.value)}\n"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
