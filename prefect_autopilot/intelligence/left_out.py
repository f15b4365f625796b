"""What a request asks for and no step does: said so, or asked, and never dropped in silence."""

from __future__ import annotations

import re

from prefect_autopilot.intelligence.operations import destroys
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.models import Question, StepSpec
from prefect_autopilot.services import Catalogue

_OTHERWISE = re.compile(
    r"(?:^|[,;.]\s*|\b(?:and|or)\s+)(?:otherwise|else|if not),?\s+(?P<what>[^.;\n]{3,120})"
)
_WAIT = re.compile(
    r"\b(?:wait(?:s|ing)?|pause|delay)\s+(?:for |about |at least )?"
    r"(?:\d+|an?|one|two|three|four|five|six|seven|ten|thirty|few|several)\s*"
    r"(?:seconds?|minutes?|mins?|hours?|days?|weeks?|months?)\b"
)
_EVERYTHING = re.compile(r"\b(?:every|all|each|everything|any)\b(?: [\w-]+){0,2}", re.IGNORECASE)
_APPROVAL = re.compile(
    r"\b(?:(?:ask|wait|request|requests|asks|get|needs?)\b[^.;\n]{0,60}?\b(?:approval|approve|sign-off)"
    r"|(?:after|once|until|unless|only if)\b[^.;\n]{0,40}?\bapprove[sd]?)\b"
)


def missing_branch(scene: Scene, steps: tuple[StepSpec, ...]) -> Question | None:
    """Return the question for an "otherwise" that no step does, None where every one is done."""
    found = _OTHERWISE.search(scene.text)
    if found is None or any((step.condition or "").startswith("not ") for step in steps):
        return None
    said = scene.cased(*found.span("what")).strip()
    return Question(
        id="otherwise",
        text=f'When exactly should {said!r} happen, and in which service? Say it as a sentence with "if".',
    )


def sweeping(steps: tuple[StepSpec, ...], catalogue: Catalogue) -> Question | None:
    """Return the question for a step that would take everything away ("delete every record")."""
    for step in steps:
        operation = catalogue.get(step.service).operation(step.operation)
        said = step.span.text if step.span else ""
        found = _EVERYTHING.search(said)
        if operation and found and destroys(operation) and step.for_each is None:
            name = catalogue.get(step.service).name
            return Question(
                id="everything",
                text=f"{operation.verbs[0].capitalize() if operation.verbs else operation.id} takes one at a"
                f" time: which ones in {name} do you mean by {found[0]!r}, and how are they found?",
            )
    return None


def unwritten(scene: Scene) -> tuple[str, ...]:
    """Return what the request asks for that a generated flow does not do."""
    lower = scene.document.lower
    waits = [f"waiting within a flow ({found[0]!r})" for found in _WAIT.finditer(lower)]
    approval = _APPROVAL.search(lower)
    asked = [f"going on only after somebody's approval ({approval[0]!r})"] if approval else []
    return (*dict.fromkeys(waits[:3]), *asked)
