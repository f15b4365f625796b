"""A small trained model for failures that no code and no pattern decides.

Logistic regression, trained with scikit-learn by ``make train`` on failures we raised ourselves and on the
examples of the patterns. Its weights are data (``model.json``), so that nothing heavy is imported here.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from prefect_autopilot.models import IssueCategory, RemedyClass
from prefect_autopilot.troubleshooting.failure import Failure, Unit
from prefect_autopilot.troubleshooting.text import searched, template

BUCKETS = 4096
MAX_UNITS = 3
MAX_CHARACTERS = 300
LONGEST_GRAM = 5
FEWEST_WORDS = 3
"""Less than that is no text to read a kind of failure from, whatever the weights make of it."""
FEW_WORDS = 6
LESS_SURE = 0.85
"""What is left of the confidence where a text has few words: a name nobody knows looks like any other."""
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORD = re.compile(r"[a-z]{3,}")


LASTING = frozenset(
    {
        IssueCategory.CONFIGURATION,
        IssueCategory.PERMISSIONS,
        IssueCategory.DATA,
        IssueCategory.LOGIC,
    }
)
REMEDY_OF: dict[tuple[IssueCategory, bool], RemedyClass] = {
    (IssueCategory.LOGIC, False): "fix_code",
    (IssueCategory.DATA, False): "fix_data",
    (IssueCategory.CONFIGURATION, False): "fix_configuration",
    (IssueCategory.CONNECTIVITY, False): "fix_configuration",
    (IssueCategory.PERMISSIONS, False): "grant_permission",
    (IssueCategory.TIMEOUT, False): "raise_timeout",
}
"""What to do first about a kind of failure of which no more is known; what passes is tried again."""
_WORDS_OF_REMEDIES: tuple[tuple[IssueCategory, str, RemedyClass], ...] = (
    (IssueCategory.PERMISSIONS, r"tokens?\b|credential|pass(?:word|phrase|code)", "refresh_credentials"),
    (IssueCategory.PERMISSIONS, r"(?:api|access|wrong|invalid)[ _]?key|signature", "refresh_credentials"),
    (IssueCategory.PERMISSIONS, r"log-?in\b|sign-?in\b|authentic|invalidcred", "refresh_credentials"),
    (IssueCategory.RESOURCE, r"memory|heap|oom|rss\b|ram\b", "increase_memory"),
    (IssueCategory.RESOURCE, r"disk|volume|inode|file ?system|free space", "free_disk"),
    (IssueCategory.RESOURCE, r"pool|concurren|threads?\b|slots?\b|sessions?\b", "reduce_concurrency"),
    (IssueCategory.EXTERNAL_SERVICE, r"rate\b|per (?:second|minute|hour)|throttl", "wait_rate_limit"),
)
_REMEDY_BY_WORD = tuple(
    (category, re.compile(rf"\b(?:{words})", re.IGNORECASE), remedy)
    for category, words, remedy in _WORDS_OF_REMEDIES
)
"""A word of a failure that no pattern knows, which tells the remedies of its kind apart."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model makes of a failure: ``confidence`` is how often it is right when it says so."""

    category: IssueCategory
    confidence: float
    passes: float
    """The probability that the same run would succeed later."""
    shares: dict[IssueCategory, float] = field(default_factory=dict)
    """What the weights give each category; together 1."""
    brief: bool = False
    """The text has few words: a name nobody knows looks like any other."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights for each bucket: one for each category, and one for "it passes"."""

    categories: tuple[IssueCategory, ...]
    bias: tuple[float, ...]
    rows: dict[int, tuple[float, ...]]
    slope: float
    offset: float


def features(failure: Failure) -> dict[int, float]:
    """Return the hashed features of a failure's leading units, as one vector of length 1."""
    counts: dict[int, float] = {}
    for step, unit in enumerate(_leading(failure)):
        for name in _of(unit):
            bucket = zlib.crc32(name.encode()) % BUCKETS
            counts[bucket] = counts.get(bucket, 0.0) + 1.0 / (1 + step)
    squeezed = {bucket: math.sqrt(count) for bucket, count in counts.items()}
    length = math.sqrt(sum(value * value for value in squeezed.values())) or 1.0
    return {bucket: value / length for bucket, value in squeezed.items()}


def judge(failure: Failure, weights: Weights | None = None) -> Judgement | None:
    """Return what the trained weights say; None where the text has nothing to go by."""
    known = weights or load_weights()
    found = features(failure)
    said = sum(len(_WORD.findall(unit.text.lower())) for unit in _leading(failure))
    wordless = said < FEWEST_WORDS and not any(unit.codes for unit in _leading(failure))
    if wordless or not any(bucket in known.rows for bucket in found):
        return None
    sums = list(known.bias)
    for bucket, value in found.items():
        for place, weight in enumerate(known.rows.get(bucket, ())):
            sums[place] += value * weight
    *scores, passes = sums
    highest = max(scores)
    shares = [math.exp(score - highest) for score in scores]
    share = 1.0 / sum(shares)
    # Platt scaling of the leading category's log-odds, fitted on technologies that were held out.
    odds = math.log(share / max(1.0 - share, 1e-9))
    sure = _logistic(known.slope * odds + known.offset)
    return Judgement(
        category=known.categories[scores.index(highest)],
        confidence=sure if said >= FEW_WORDS else LESS_SURE * sure,
        passes=_logistic(passes),
        brief=said < FEW_WORDS,
        shares={one: part * share for one, part in zip(known.categories, shares, strict=True)},
    )


def first_remedy(unit: Unit, category: IssueCategory, *, passing: bool) -> RemedyClass:
    """Return what to do first about a failure that only the trained model knows."""
    if not passing or category not in LASTING:
        for kind, words, remedy in _REMEDY_BY_WORD:
            if kind is category and words.search(searched(unit.text)):
                return remedy
    return "retry_backoff" if passing else REMEDY_OF.get((category, False), "none")


@lru_cache(maxsize=1)
def load_weights() -> Weights:
    """Return the packaged weights."""
    file = resources.files("prefect_autopilot.troubleshooting") / "model.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    return Weights(
        categories=tuple(IssueCategory(name) for name in document["categories"]),
        bias=tuple(document["bias"]),
        rows={int(bucket): tuple(row) for bucket, row in document["rows"].items()},
        slope=document["slope"],
        offset=document["offset"],
    )


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(value, 60.0), -60.0)))


def _leading(failure: Failure) -> Iterable[Unit]:
    told = [unit for unit in failure.units if unit.text and unit.role != "info"]
    return ([unit for unit in told if unit.tells] or told)[:MAX_UNITS]


def _of(unit: Unit) -> Iterator[str]:
    yield f"role:{unit.role}"
    for piece in _CAMEL.findall(unit.short_name):
        yield f"class:{piece.lower()}"
    for code in unit.codes:
        kind, _, value = code.partition(":")
        yield f"code:{code}"
        # The class of a code says most of what the code says: 5xx, SQLSTATE 23.
        yield f"code:{kind}:{value[:2] if kind == 'sqlstate' else value[:1]}"
    if unit.frames:
        yield "raised by own code" if unit.frames[-1].own else "raised by a library"
    said = template(unit.text[:MAX_CHARACTERS]).lower()
    words = _WORD.findall(said)
    for word in words:
        yield f"word:{word}"
        if len(word) > LONGEST_GRAM:
            for start in range(len(word) - LONGEST_GRAM + 1):
                yield f"gram:{word[start : start + LONGEST_GRAM]}"
    for first, second in itertools.pairwise(words):
        yield f"pair:{first} {second}"
