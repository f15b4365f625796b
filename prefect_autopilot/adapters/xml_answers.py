"""Lists that a service answers as XML (object stores), as the values other services answer as JSON."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from prefect_autopilot.services import pick, place

DEEPEST = 50
_DECLARES = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_TRUTH = {"true": True, "false": False}


def from_xml(text: str, list_at: str) -> Any:
    """Return what stands in the outermost element, or the text where it is no plain XML.

    Names lose their namespace, attributes are left out, what stands more than once becomes a list, as does
    what stands once at ``list_at`` or in the one element there that holds the rows; ``true`` and ``false``
    become truth values. A text that declares entities is not parsed.
    """
    if _DECLARES.search(text):
        return text
    try:
        value = _value(ET.fromstring(text.lstrip("\ufeff")), 0)  # noqa: S314  no entities, and a bounded size
    except (ET.ParseError, RecursionError):
        return text
    found = pick(value, list_at)
    if isinstance(value, dict) and found is not None and not isinstance(found, list):
        place(value, list_at, _rows(found))
    return value


def _rows(found: Any) -> list[Any]:
    inner = next(iter(found.values())) if isinstance(found, dict) and len(found) == 1 else None
    if isinstance(inner, (dict, list)):
        return inner if isinstance(inner, list) else [inner]
    return [found]


def _value(element: ET.Element, depth: int) -> Any:
    if depth > DEEPEST:
        raise RecursionError
    inner: dict[str, list[Any]] = {}
    for child in element:
        inner.setdefault(_NAMESPACE.sub("", child.tag), []).append(_value(child, depth + 1))
    text = (element.text or "").strip()
    if not inner:
        return _TRUTH.get(text, text or None)
    return {name: held if len(held) > 1 else held[0] for name, held in inner.items()}
