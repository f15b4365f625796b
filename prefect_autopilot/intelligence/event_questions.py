"""Events that a service announces to nobody: asked about, as a flow that waits for one would never run."""

from __future__ import annotations

from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.models import Question
from prefect_autopilot.services import Catalogue


def event_questions(scene: Scene, start: Start, catalogue: Catalogue) -> list[Question]:
    """Ask which event is meant where the one that is said is none of those a service is known to announce.

    A title ("releases of X to Y") says no more than where things come from, and is answered with a remark.
    """
    spec, source = start.spec, start.source
    if spec is None or source is None or spec.service is None or not source.clause.lead:
        return []
    service = catalogue.get(spec.service)
    if spec.type == "schedule" or not service.triggers or spec.event in {t.event for t in service.triggers}:
        return []
    part = clause_span(scene, source.clause)
    offered = [trigger.event.replace("_", " ") for trigger in service.triggers]
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"Nothing tells of {part.text!r}: {service.name} announces {', '.join(offered)}."
            " Which of these is to start it, or at which times should it be looked for?",
            options=tuple(f"when there is a {one} in {service.name}" for one in offered if "new" in one),
        )
    ]
