"""Names of services, found by their squeezed form so that "google-sheets" and "Google Sheets" are one."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from prefect_autopilot.intelligence.data import english, table, words
from prefect_autopilot.services import Catalogue

_SEPARATORS = re.compile(r"[\W_]+")
MAX_TOKENS = 7
_SHORTEST_TYPO = 4
_LONG_WORD = 7


@dataclass(frozen=True, slots=True)
class Entry:
    """What a squeezed name stands for; ``doubtful`` names are ordinary words too and need evidence."""

    services: tuple[str, ...]
    name: str
    doubtful: bool
    spaced: bool = False
    """Whether the name is written in several words."""


@dataclass(frozen=True)
class Lexicon:
    """All names of a catalogue; ``starts`` holds every beginning of a name."""

    catalogue: Catalogue
    entries: dict[str, Entry]
    starts: frozenset[str]
    by_first: dict[str, tuple[str, ...]]
    by_skeleton: dict[str, tuple[str, ...]]
    leads: frozenset[str]
    """First words of the names written in several words."""

    def nearest(self, word: str) -> Entry | None:
        """Return the one name that ``word`` misspells, or None where none or several are as near."""
        if len(word) < _SHORTEST_TYPO or not word.isalpha():
            return None
        found = self._alike(word)
        if len(found) != 1:
            return None
        name, distance = found[0]
        return None if _is_near_english(word, name, distance) else self.entries[name]

    def _alike(self, word: str) -> list[tuple[str, int]]:
        limit = 1 if len(word) < _LONG_WORD else 2
        best: list[tuple[str, int, int]] = []
        letters = set(word)
        twins = self.by_skeleton.get(skeleton(word), ())
        for name in dict.fromkeys((*twins, *self.by_first.get(word[0], ()))):
            if abs(len(name) - len(word)) > limit:
                continue
            if name not in twins and len(letters.symmetric_difference(name)) > 2 * limit:
                continue  # one edit changes two letters at most
            edits = edit_distance(word, name, limit)
            distance = 1 if name in twins else edits
            if distance <= limit:
                best.append((name, distance, edits))
        least = min(((d, e) for _, d, e in best), default=(0, 0))
        nearest = [(n, d) for n, d, e in best if (d, e) == least]
        ids = {self.entries[name].services for name, _ in nearest}
        return nearest[:1] if len(ids) == 1 else []


def squeeze(name: str) -> str:
    """Return letters and digits of a name, in lower case."""
    return _SEPARATORS.sub("", name.casefold())


@lru_cache(maxsize=4096)
def skeleton(word: str) -> str:
    """Return the consonants as they sound, the first letter kept: misspellings by ear share it."""
    sound = word.replace("ck", "k").replace("ph", "f").replace("c", "k").replace("z", "s").replace("x", "ks")
    sound = re.sub(r"(.)\1+", r"\1", sound)
    return sound[:1] + re.sub(r"[aeiouy]", "", sound[1:])


def edit_distance(left: str, right: str, limit: int) -> int:
    """Return the number of edits (swap of neighbours counts one), at most ``limit`` + 1.

    Optimal string alignment, see Boytsov 2011, "Indexing methods for approximate dictionary searching".
    """
    before: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return min(last[-1], limit + 1)


def _is_near_english(word: str, name: str, distance: int) -> bool:
    """Tell whether a common word is nearer than the service, or as near and of the same letters."""
    common = english()
    if distance > 1 and any(w in common for w in _one_edit(word)):
        return True
    swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    return bool((swapped & common) - {name})


def _one_edit(word: str) -> set[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    return {
        *(a + b[1:] for a, b in cuts if b),
        *(a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1),
        *(a + c + b[1:] for a, b in cuts if b for c in letters),
        *(a + c + b for a, b in cuts for c in letters),
    }


@lru_cache(maxsize=4)
def lexicon(catalogue: Catalogue) -> Lexicon:
    """Return the names of a catalogue, indexed once for each."""
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    spaced: set[str] = set()
    extra = [(name, (service,)) for name, service in table("names")["extra"].items() if service in catalogue]
    for name, ids in (*catalogue.names.items(), *extra):
        key = squeeze(name)
        if key and not key.isdigit() and key not in words("names", "unnamed"):
            owners[key].update(dict.fromkeys(ids, name))
            if not name.isalnum():
                spaced.add(key)
    entries = {key: _entry(key, own, spaced=key in spaced) for key, own in owners.items()}
    return _indexed(catalogue, entries)


def _indexed(catalogue: Catalogue, entries: dict[str, Entry]) -> Lexicon:
    by_first: dict[str, list[str]] = defaultdict(list)
    by_skeleton: dict[str, list[str]] = defaultdict(list)
    for key, entry in entries.items():
        if not _can_be_misspelt(key, entry, catalogue):
            continue
        by_first[key[0]].append(key)
        if len(skeleton(key)) >= _SHORTEST_TYPO:
            by_skeleton[skeleton(key)].append(key)
    return Lexicon(
        catalogue=catalogue,
        entries=entries,
        starts=frozenset(key[:n] for key in entries for n in range(1, len(key) + 1)),
        by_first={letter: tuple(keys) for letter, keys in by_first.items()},
        by_skeleton={sound: tuple(keys) for sound, keys in by_skeleton.items()},
        leads=frozenset(_SEPARATORS.split(e.name.casefold())[0] for e in entries.values() if e.spaced),
    )


def _entry(key: str, owners: dict[str, str], *, spaced: bool) -> Entry:
    """Order the owners of a name: whose id it is, whose id has it, then the shorter id."""
    preferred = table("names")["preferred"].get(key)
    order = sorted(
        owners, key=lambda s: (s != preferred, squeeze(s) != key, key not in squeeze(s), len(s), s)
    )
    return Entry(tuple(order), owners[order[0]], _is_doubtful(key, owners[order[0]]), spaced)


def _is_doubtful(key: str, name: str) -> bool:
    """Tell whether a name is an ordinary word too, unless the packaged list vouches for it."""
    if key in words("names", "plain"):
        return False
    return key in words("names", "doubtful") or (
        name.isalnum() and (key in english() or len(key) < _SHORTEST_TYPO)
    )


def _can_be_misspelt(key: str, entry: Entry, catalogue: Catalogue) -> bool:
    # A short name known by nothing else is nearer to words of other languages than to misspelt services, and
    # one of several parts nearer to other words: "tommorow" is no "tomorrow.io".
    owner = entry.services[0]
    if catalogue.describes(owner):
        long_enough = len(key) >= _LONG_WORD or key == squeeze(owner)
    else:
        long_enough = len(key) >= _LONG_WORD and (not entry.spaced or owner.isalpha())
    return key.isalpha() and len(key) > _SHORTEST_TYPO and long_enough and not entry.doubtful
