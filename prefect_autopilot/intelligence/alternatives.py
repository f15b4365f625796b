"""Services that are named as alternatives ("Slack or Teams")."""

from __future__ import annotations

import re
from dataclasses import replace

from prefect_autopilot.intelligence.scene import SERVICE, Scene
from prefect_autopilot.models import RequestContext
from prefect_autopilot.services import Catalogue

_EITHER = re.compile(rf"({SERVICE}),? or (?:(?:in|on|to|via|maybe|even|with|the|use|my|our) )*({SERVICE})")


def settle_alternatives(
    scene: Scene, context: RequestContext, catalogue: Catalogue
) -> tuple[Scene, tuple[tuple[str, ...], ...]]:
    """Settle "Slack or Teams" by what is connected; otherwise leave both to a question."""
    by_place = {part.at: part for part in scene.parts if part.role == "used"}
    dropped: dict[int, str] = {}
    choices: list[tuple[str, ...]] = []
    for found in _EITHER.finditer(scene.text):
        pair = [by_place.get(found.start(1)), by_place.get(found.start(2))]
        if pair[0] is None or pair[1] is None:
            continue
        ids = (pair[0].mention.services[0], pair[1].mention.services[0])
        if ids[0] == ids[1] or not set(catalogue.get(ids[0]).kinds) & set(catalogue.get(ids[1]).kinds):
            continue
        connected = [i for i in ids if i in context.connected_services]
        if len(connected) != 1:
            choices.append(ids)
        for part in (pair[0], pair[1]):
            if part.mention.service not in connected or len(connected) != 1:
                dropped[part.at] = "one of two alternatives"
    parts = tuple(
        replace(p, role="mentioned", reason=dropped[p.at]) if p.at in dropped else p for p in scene.parts
    )
    return scene.with_parts(parts), tuple(choices)
