"""The words that narrow an event: "important", "from my boss", "over $500"."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.events import changes, stems
from prefect_autopilot.intelligence.scene import ANY, Scene


def event_filter(scene: Scene, clause: Clause | None, event: str | None) -> str | None:
    """Return the words that narrow the event, in the person's words; what its name says needs no filter."""
    announced = stems((event or "").replace("_", " "))
    if clause is None:
        return None
    text = scene.words(clause.start, clause.end)
    found: list[tuple[int, str]] = []
    for adjective in table("triggers")["adjectives"]:
        match = re.search(rf"(?<![\w#-]){re.escape(adjective)}(?![\w-])", text)
        if match:
            found.append((match.start(), match[0]))
    for pattern in table("triggers")["phrases"]:
        match = re.search(pattern, text)
        if match and not re.search(ANY, match[0]):
            found.append((match.start(), match[0].strip()))
    kept = [
        w
        for i, (at, w) in enumerate(found)
        if not any(j != i and o <= at < o + len(x) and len(x) > len(w) for j, (o, x) in enumerate(found))
    ]
    told = changes((event or "").replace("_", " "))
    ordered = [
        w
        for _, w in sorted(found)
        if w in kept and not stems(w) <= announced and not (changes(w) and changes(w) <= told)
    ]
    return " and ".join(dict.fromkeys(ordered)) or None
