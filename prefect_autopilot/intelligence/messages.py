"""What a message says of an event: what happened, its most telling fields, the text and the link."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.models import Argument, Constant, FromTrigger, Service, ServiceTrigger, Text

_Part = Constant | FromTrigger
_OWN_CONTENT = frozenset({"content", "social"})
"""Kinds that publish what they are given: what happened is no part of it."""


def title_of(source: Service, event: ServiceTrigger) -> Argument | None:
    """Return a line that names the thing: its own title, else what happened with the telling fields."""
    own = _first(event, "title")
    return FromTrigger(path=own) if own else _text(_headline(source, event, keys=("whose",)))


def message_of(source: Service, event: ServiceTrigger, target: Service | None = None) -> Argument | None:
    """Return the text that tells of an event, None where none of its fields tells anything.

    Where there is a sum there is no body: what services call a description of it is mostly empty.
    """
    body, link = (FromTrigger(path=one) if one else None for one in (_body(event), _first(event, "link")))
    if target is not None and _OWN_CONTENT & set(target.kinds):
        title = _first(event, "title")
        return _text(_lines([FromTrigger(path=title)] if title else [], body, link))
    headline = _headline(source, event)
    if not any(isinstance(part, FromTrigger) for part in headline) and body is None and link is None:
        return None
    return _text(_lines(headline, body, link))


def label_of(source: Service, event: ServiceTrigger) -> str:
    """Return what happened in words: "New Shopify order", "Stripe payment failed"."""
    told = event.event.replace("_", " ")
    return f"New {source.name} {told[4:]}" if told.startswith("new ") else f"{source.name} {told}"


def _headline(
    source: Service, event: ServiceTrigger, keys: tuple[str, ...] = ("whose", "why")
) -> list[_Part]:
    parts: list[_Part] = [Constant(value=label_of(source, event))]
    if sender := _first(event, "sender"):
        parts += [Constant(value=" from "), FromTrigger(path=sender)]
    before = ": "
    for group in _details(event, keys):
        parts.append(Constant(value=before))
        parts += group
        before = ", "
    return parts


def _details(event: ServiceTrigger, keys: tuple[str, ...]) -> Iterable[list[_Part]]:
    """Return the fields of the headline in order: title, sum with its currency, whose it is, why."""
    title, amount = _first(event, "title"), _first(event, "amount")
    if title:
        yield [FromTrigger(path=title)]
    if amount:
        currency = _first(event, "currency")
        more: list[_Part] = [Constant(value=" "), FromTrigger(path=currency)] if currency else []
        yield [FromTrigger(path=amount), *more]
    for key in keys:
        found = _first(event, key)
        if found and found != title:
            yield [FromTrigger(path=found)]


def _body(event: ServiceTrigger) -> str | None:
    found = _first(event, "text")
    return None if found in {_first(event, "title"), None} or _first(event, "amount") else found


def _lines(headline: list[_Part], *others: FromTrigger | None) -> list[_Part]:
    parts = list(headline)
    for one in others:
        if one is not None:
            parts += [Constant(value="\n"), one] if parts else [one]
    return parts


def _text(parts: list[_Part]) -> Argument | None:
    if len(parts) == 1 and isinstance(parts[0], FromTrigger):
        return parts[0]
    joined: list[_Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Constant) and isinstance(last, Constant):
            joined[-1] = Constant(value=f"{last.value}{part.value}")
        else:
            joined.append(part)
    return Text(parts=tuple(joined)) if joined else None


def _first(event: ServiceTrigger, key: str) -> str | None:
    return next((name for name in table("arguments")["message"][key] if name in event.fields), None)
