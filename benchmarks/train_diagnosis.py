"""Train the model for failures that no pattern decides, and write its weights as data.

    python benchmarks/train_diagnosis.py [--check]

The same corpus and patterns give the same weights. ``--check`` only compares with the packaged ones.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "corpus"))
from provoke import read

from prefect_autopilot.models import IssueCategory
from prefect_autopilot.troubleshooting import model
from prefect_autopilot.troubleshooting.failure import Failure
from prefect_autopilot.troubleshooting.knowledge import load_patterns
from prefect_autopilot.troubleshooting.parse import parse

TARGET = Path(model.__file__).with_name("model.json")
FOLDS = 5
STRENGTH = 5.0
DIGITS = 3
SHORTEST = 6
"""Characters that a word of a pattern must have to be a text of its own."""
CATEGORIES = tuple(category for category in IssueCategory if category is not IssueCategory.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Sample:
    """A failure with its label; samples of one technology are held out together."""

    technology: str
    failure: Failure
    category: IssueCategory
    transient: bool


def samples() -> list[Sample]:
    """Return the provoked failures, the examples of the patterns, and what the patterns look for."""
    provoked = [
        Sample(row["technology"], parse(row["text"]), IssueCategory(row["category"]), row["transient"])
        for row in read().values()
    ]
    written = [
        Sample(f"pattern {pattern.name}", parse(text), pattern.category, pattern.transient)
        for pattern in load_patterns()
        for text in pattern.examples
    ]
    return [*provoked, *written, *looked_for()]


def looked_for() -> Iterator[Sample]:
    """Yield each phrase and each class that alone makes a pattern fit, as a failure of its own."""
    for pattern in load_patterns():
        if pattern.codes or pattern.context or pattern.regex or pattern.frame or pattern.files:
            continue
        classes = (glob.replace("*", "") for glob in pattern.exceptions if "[" not in glob)
        phrases = (phrase for phrase in pattern.any if len(phrase) >= SHORTEST)
        for text in (*phrases, *(f"x.{name}Error: x" for name in classes)):
            yield Sample(f"pattern {pattern.name}", parse(text), pattern.category, pattern.transient)


def fit(chosen: list[Sample], slope: float = 1.0, offset: float = 0.0) -> model.Weights:
    """Return weights fitted to ``chosen`` by logistic regression."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    vectors = [model.features(sample.failure) for sample in chosen]
    places = [(row, bucket) for row, vector in enumerate(vectors) for bucket in vector]
    values = [value for vector in vectors for value in vector.values()]
    matrix = csr_array((values, tuple(zip(*places, strict=True))), shape=(len(chosen), model.BUCKETS))
    kind = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3)
    kind.fit(matrix, [CATEGORIES.index(sample.category) for sample in chosen])
    passing = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3)
    passing.fit(matrix, [sample.transient for sample in chosen])
    table = np.vstack([kind.coef_, passing.coef_]).T
    used = {bucket for _, bucket in places}
    return model.Weights(
        categories=tuple(CATEGORIES[place] for place in kind.classes_),
        bias=tuple(round(float(v), DIGITS) for v in (*kind.intercept_, *passing.intercept_)),
        rows={bucket: tuple(round(float(v), DIGITS) for v in table[bucket]) for bucket in sorted(used)},
        slope=slope,
        offset=offset,
    )


def held_out(chosen: list[Sample]) -> list[tuple[Sample, model.Judgement]]:
    """Return what the model says of each provoked technology when it was trained on the others."""
    technologies = sorted({sample.technology for sample in chosen})
    judged = []
    for fold in range(FOLDS):
        out = set(technologies[fold::FOLDS])
        weights = fit([sample for sample in chosen if sample.technology not in out])
        for sample in chosen:
            judgement = model.judge(sample.failure, weights) if sample.technology in out else None
            if judgement is not None and not sample.technology.startswith("pattern "):
                judged.append((sample, judgement))
    return judged


def calibrated(judged: list[tuple[Sample, model.Judgement]]) -> tuple[float, float]:
    """Return slope and offset that turn the model's odds into how often it was right (Platt)."""
    from sklearn.linear_model import LogisticRegression

    odds = [[math.log(j.confidence / max(1 - j.confidence, 1e-9))] for _, j in judged]
    right = [sample.category is judgement.category for sample, judgement in judged]
    scale = LogisticRegression().fit(odds, right)
    return round(float(scale.coef_[0][0]), DIGITS), round(float(scale.intercept_[0]), DIGITS)


def document(weights: model.Weights) -> dict[str, Any]:
    """Return the weights as they are packaged."""
    return {
        "categories": [category.value for category in weights.categories],
        "bias": weights.bias,
        "slope": weights.slope,
        "offset": weights.offset,
        "rows": weights.rows,
    }


def main() -> int:
    """Train, tell how the model does on technologies it was not trained on, write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare with the packaged weights")
    check = parser.parse_args().check
    chosen = samples()
    judged = held_out(chosen)
    right = sum(sample.category is judgement.category for sample, judgement in judged)
    passing = sum(sample.transient == (judgement.passes >= 1 / 2) for sample, judgement in judged)
    sys.stdout.write(
        f"held out by technology: n={len(judged)} category={right / len(judged):.3f} "
        f"transient={passing / len(judged):.3f}\n"
    )
    text = json.dumps(document(fit(chosen, *calibrated(judged))), separators=(",", ":")) + "\n"
    if check:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
