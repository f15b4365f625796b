"""Whether a literal value comes from the request or was made up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prefect_autopilot.models import Parameter
from prefect_autopilot.redaction import MARK, redact

_DEEPEST = 8
_LONGEST = 4_000
_POINTS = re.compile(
    r"(?:https?|ftp|wss?|file)://[^\s\"'<>]+"  # an address
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # a mailbox
    r"|(?<!\w)[#@][\w-]{2,}"  # a channel or person
    r"|(?<![\w.])\+?\d[\d ().-]{5,}\d"  # a telephone number or long id
    r"|\b(?:[\w-]+\.)+(?:com|org|net|io|dev|app|co|ai|de|uk|eu|internal|local)\b[^\s\"'<>]*"  # a host
)
"""What decides where something goes."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str, int, float),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (Mapping,),
    "array": (list, tuple),
}
_FREE_TEXT = frozenset(
    {
        "text",
        "message",
        "body",
        "content",
        "subject",
        "title",
        "summary",
        "description",
        "name",
        "comment",
        "note",
    }
)


class Literals:
    """The words of one request, compared without regard to case and spacing."""

    def __init__(self, request: str) -> None:
        """Read ``request`` and what is left of it without its secrets."""
        self._text = request
        self._folded = _folded(request)
        self._redacted = _folded(redact(request))

    def cites(self, words: str) -> bool:
        """Tell whether words stand in the request, with or without its secrets removed."""
        wanted = _folded(words)
        has_letter = any(sign.isalnum() for sign in wanted)
        return has_letter and (wanted in self._folded or wanted in self._redacted)

    def place(self, words: str) -> tuple[int, int] | None:
        """Return start and end of words in the request, None where they stand only in its redacted form."""
        pattern = r"\s+".join(map(re.escape, words.split()))
        found = re.search(pattern, self._text, re.IGNORECASE)
        return found.span() if found else None

    def objection(self, value: Any, parameter: Parameter | None, *, plain: bool) -> str | None:
        """Return why a literal may not stand, None where it may.

        ``plain`` is False for a service that takes addresses or statements of any kind: every text for it
        must be in the request, not only what points somewhere.
        """
        if parameter is not None and (wrong := _misfit(value, parameter)):
            return wrong
        problems = (self._objection(one, parameter, plain=plain) for one in _leaves(value))
        return next((problem for problem in problems if problem), None)

    def _objection(self, one: Any, parameter: Parameter | None, *, plain: bool) -> str | None:
        if isinstance(one, bool) or one is None:
            return None
        if isinstance(one, int | float):
            is_said = str(one) in re.findall(r"\d+(?:\.\d+)?", self._text)
            return None if is_said else f"the number {one} is not in the request"
        if not isinstance(one, str) or len(one) > _LONGEST or MARK in one:
            return "no text that can be used"
        is_said = self.cites(one) or _is_choice(one, parameter)
        must_be_said = not plain or (parameter is not None and not _is_free(parameter))
        if must_be_said and not is_said and one.strip():
            return "the text is not in the request"
        if any(_folded(found) not in self._folded for found in _POINTS.findall(one)):
            return "the address or recipient is not in the request"
        return None


def _is_free(parameter: Parameter) -> bool:
    """Tell whether a parameter is prose, where words that join values may be new."""
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parameter.name).lower())
    return parameter.type in {"string", "object", "array", "any"} and not _FREE_TEXT.isdisjoint(words)


def _is_choice(text: str, parameter: Parameter | None) -> bool:
    return parameter is not None and text in parameter.choices


def _misfit(value: Any, parameter: Parameter) -> str | None:
    wanted = _TYPES.get(parameter.type)
    wrong = wanted is not None and not isinstance(value, wanted)
    if wrong or (isinstance(value, bool) and parameter.type in {"integer", "number", "string"}):
        return f"it must be of type {parameter.type}"
    if parameter.choices and str(value) not in parameter.choices:
        return f"it must be one of {', '.join(parameter.choices[:8])}"
    return None


def _leaves(value: Any, level: int = 0) -> Iterator[Any]:
    if level > _DEEPEST:
        yield object()  # too deep to be looked through: nothing that can be used
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key) if _POINTS.search(str(key)) else None
            yield from _leaves(inner, level + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, level + 1)
    else:
        yield value


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
