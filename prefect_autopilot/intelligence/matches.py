"""The services of a request: each once, with its surest role, its places and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.kinds import Slot
from prefect_autopilot.intelligence.scene import Part, Scene
from prefect_autopilot.models import ServiceMatch, Span

_ORDER = ("used", "excluded", "background", "mentioned")


def matches(scene: Scene, slots: Sequence[Slot]) -> tuple[ServiceMatch, ...]:
    """Return each service once: its surest role, all its places, the alternatives of a shared name.

    A kind that is a protocol (mail, SMS) is told as such with the role "asked" while nobody has said which
    service brings it.
    """
    grouped: dict[str, list[Part]] = {}
    for part in scene.parts:
        if part.mention.service:
            grouped.setdefault(part.mention.service, []).append(part)
    found = [_match(scene, service, parts) for service, parts in grouped.items()]
    return (*found, *_asked(scene, slots, known=frozenset(grouped)))


def _match(scene: Scene, service: str, parts: list[Part]) -> ServiceMatch:
    best = min(parts, key=lambda p: _ORDER.index(p.role))
    spans = [_span(scene, p) for p in parts[:20]]
    measured = table("confidence")["mention"]
    return ServiceMatch(
        service=service,
        confidence=max(measured[p.mention.form] for p in parts if p.role == best.role),
        spans=tuple(span for span in spans if span.text),
        role=best.role if best.role != "background" else "mentioned",
        reason=best.reason or f"named as {_span(scene, best).text!r}",
        alternatives=best.mention.services[1:],
    )


def _asked(scene: Scene, slots: Sequence[Slot], *, known: frozenset[str]) -> tuple[ServiceMatch, ...]:
    told: dict[str, ServiceMatch] = {}
    for slot in slots:
        protocol = table("kinds")[slot.kind].get("protocol")
        if protocol is None or protocol in known or protocol in told or slot.optional:
            continue
        span = scene.document.span(slot.start, slot.end)
        told[protocol] = ServiceMatch(
            service=protocol,
            confidence=table("confidence")["mention"]["asked"],
            spans=(span,) if span.text else (),
            role="asked",
            reason=f"{span.text!r} names no service: which {slot.label} is asked",
            alternatives=slot.options,
        )
    return tuple(told.values())


def _span(scene: Scene, part: Part) -> Span:
    return scene.document.span(part.mention.start, part.mention.end)
