"""What a service is asked to do and no described operation of it does: asked about, with the nearest ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect_autopilot.intelligence.deeds import reads
from prefect_autopilot.intelligence.left_out import LEAVE_OUT
from prefect_autopilot.intelligence.plain_http import GENERIC
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.models import Operation, Question, Service, StepSpec
from prefect_autopilot.services import Catalogue

_MOST = 4
_KNOWN = 2
"""A service with fewer operations is known by little more than its name."""

_BY_HAND = "by a request of its own"
_ATTACHMENTS = re.compile(
    r"\b(?:save|store|upload|back up|backup|copy|download|move|put|archive|send|forward)s?\b[^.;,\n]{0,60}?"
    r"\b(?P<what>(?:e?-?mail |gmail |outlook |pdf |their |its |the |any |all )*attachments?)\b"
)
"""What is done to files of a mail; "with an attachment" only says which mail."""

_FORMAT = re.compile(
    r"\b(?:convert|turn|transform|export|save|print)\w*\b[^.;,\n]{0,80}?\b(?:in)?(?:to|as) (?:an? )?"
    r"(pdf|docx|epub|mp3|mp4|wav|png|jpe?g|gif|zip)s?\b"
)
_FILES = frozenset({"pdf", "convert", "convertapi", "zip", "zamzar", "cloudconvert", "canva"})


def operation_questions(scene: Scene, steps: Iterable[StepSpec], catalogue: Catalogue) -> list[Question]:
    """Ask about each step whose service is described, but no operation that does what is asked.

    Services known by name only are called by HTTP, as is who is asked to be; the others are not without a
    word.
    """
    if _BY_HAND in scene.document.lower:
        return []
    asked: list[Question] = []
    for step in steps:
        service = catalogue.get(step.service)
        if step.operation != GENERIC or not service.operations or service.protocol == "any_http":
            continue
        said = step.span.text.strip() if step.span else service.name
        nearest = [_phrase(one) for one in _nearest(service, said)]
        if len(service.operations) < _KNOWN:
            continue
        place = f"part_{step.span.start}_{step.span.end}" if step.span else f"operation_{step.id}"
        asked.append(
            Question(
                id=place,
                text=f"No operation known of {service.name} does {said!r}; the nearest are"
                f" {', '.join(nearest)}: which is meant, or is it a request of its own to an address"
                " you give?",
                options=(
                    *(f"{phrase} in {service.name}" for phrase in nearest),
                    f"{said} {_BY_HAND}",
                    LEAVE_OUT,
                ),
            )
        )
    return asked


def file_questions(scene: Scene, steps: Iterable[StepSpec]) -> list[Question]:
    """Ask about attachments that are to be kept, which no operation reads, and about changes of format."""
    kept = _ATTACHMENTS.search(scene.document.lower)
    if kept is None:
        return format_questions(scene, steps)
    part = scene.document.span(*kept.span("what"))
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"No operation reads {part.text!r} of a mail, only its texts: should these be taken, or is"
            " it left out?",
            options=("texts", LEAVE_OUT),
        )
    ]


def format_questions(scene: Scene, steps: Iterable[StepSpec]) -> list[Question]:
    """Ask about a change of format that no operation makes ("convert it to PDF")."""
    found = _FORMAT.search(scene.document.lower)
    if found is None or any(not _FILES.isdisjoint(re.split(r"[^a-z]+", _names(s))) for s in steps):
        return []
    part = scene.document.span(*found.span())
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"Nothing known turns files into {found[1].upper()} ({part.text!r}):"
            " which service does it, or is it left out?",
            options=(LEAVE_OUT,),
        )
    ]


def _names(step: StepSpec) -> str:
    return f"{step.service}_{step.operation}"


def _phrase(operation: Operation) -> str:
    return operation.verbs[0] if operation.verbs else operation.id.replace("_", " ")


def _nearest(service: Service, said: str) -> list[Operation]:
    """Return the operations that share most words with what is said, else the service's first ones."""
    told = {word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", said.lower())}

    def shared(operation: Operation) -> int:
        own = re.findall(r"[a-z]{3,}", " ".join((operation.id.replace("_", " "), *operation.verbs)))
        return len(told & {word.removesuffix("s") for word in own})

    plain = [one for one in service.operations if one.id != service.verification]
    order = sorted(plain, key=lambda one: (-shared(one), reads(one)))
    return order[:_MOST]
