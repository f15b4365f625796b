"""Readable names of imported operations: a verb first, then what it is about."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from prefect_autopilot.services.openapi_schema import vocabulary, words

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*|[A-Z]+\d*|\d+")
_GROUP = re.compile(r"[^0-9A-Za-z]+")
_VERSION = re.compile(r"v?\d+(?:[._]\d+)*|api|rest|json|latest|v\d+\w*", re.IGNORECASE)
_MARKUP = re.compile(r"<[^>]{0,200}>|[`*\[\]]")
_TAIL = re.compile(r"\s+(?:for|in|by|with|using|that|from|which|where|when|based|via|on|to)\b.*", re.DOTALL)
_LONGEST_ID = 80
_LONGEST_NAME = 60
_MOST_WORDS = 7
_SHOWN_TEXT = 160
_LEAST_NOUN = 4
_LIKE_YOU = ("use", "uni", "eu", "one", "ur")

_BY_METHOD: Mapping[str, str] = {
    "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete", "GET": "get", "HEAD": "check",
}  # fmt: skip


def snake_case(name: str) -> str:
    """Return a name in small ASCII letters, digits and underscores; empty where nothing is left of it."""
    return "_".join(_words(name))


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name[:400]).encode("ascii", "ignore").decode("ascii")
    return [word.lower() for word in _WORD.findall(plain)]


def plain_text(value: str) -> str:
    """Return the first sentence of a description without markup, at most 160 characters."""
    told = " ".join(_MARKUP.sub("", value[:600]).split())
    sentence = re.split(r"(?<=[.!?])\s", told, maxsplit=1)[0]
    return sentence if len(sentence) <= _SHOWN_TEXT else sentence[: _SHOWN_TEXT - 1].rstrip() + "…"


def service_name(title: str) -> str:
    """Return what people call the service a document describes: its title without "API" and version."""
    kept = [
        word
        for word in plain_text(title).split()
        if not re.fullmatch(
            r"\(?(?:rest|web|http|api|apis|openapi|swagger|v?\d[\w.]*)\)?[,.:]?", word, re.IGNORECASE
        )
    ]
    return " ".join(kept)[:_LONGEST_NAME].strip(" -–—:,.|") or plain_text(title)[:_LONGEST_NAME].strip()


def operation_name(operation_id: str, summary: str, method: str, path: str) -> str:
    """Return the name of an operation, its verb in front.

    An id that only repeats method and path says less than the path itself and the summary's verb.
    """
    said = _summary_verb(summary)
    if not snake_case(operation_id) or _repeats_path(operation_id, method, path):
        return _cut(_of_path(method, path, said))
    return _cut(_verb_first(operation_id) or "_".join([said or _BY_METHOD[method], *_words(operation_id)]))


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_ID else name[:_LONGEST_ID].rpartition("_")[0] or name[:_LONGEST_ID]


def _base(word: str) -> str | None:
    """Return the verb a word is a form of: "Creates" and "creating" are "create"."""
    same = vocabulary()["same"]
    stems = [word]
    if word.endswith("ing"):
        stems += [word[:-3], word[:-3] + "e"]
    elif word.endswith("s"):
        stems += [word[:-1], word[:-2], word[:-3] + "y" if word.endswith("ies") else word[:-1]]
    return next((same.get(stem, stem) for stem in stems if stem in words("verbs") or stem in same), None)


def _summary_verb(summary: str) -> str | None:
    first = re.match(r"[A-Za-z]+", summary.strip())
    return _base(first[0].lower()) if first else None


def _repeats_path(operation_id: str, method: str, path: str) -> bool:
    told = snake_case(operation_id).replace("_", "")
    if not told.startswith(method.lower()):
        return False
    parts = [part for part in path.split("/") if part and not _VERSION.fullmatch(part)]
    told_paths = (path, "/".join(parts), "/".join(_segments(path)))
    return told[len(method) :] in {snake_case(one).replace("_", "") for one in told_paths}


def _segments(path: str) -> list[str]:
    plain = (part for part in path.split("/") if part and not _VERSION.fullmatch(part))
    return [part for part in plain if not part.startswith("{")]


def _of_path(method: str, path: str, said: str | None) -> str:
    one = path.rstrip("/").endswith("}")
    nouns = [snake_case(part) for part in _segments(path)][-3:]
    nouns = [noun for noun in nouns if noun] or ["root"]
    many = method == "GET" and not one and nouns[-1] != _singular(nouns[-1])
    verb = "list" if many and said in (None, "get") else said or _BY_METHOD[method]
    if nouns[-1] in words("verbs") and len(nouns) > 1:
        verb, nouns = nouns[-1], nouns[:-1]
    singular = [_singular(noun) for noun in nouns[:-1]]
    last = nouns[-1] if verb == "list" else _singular(nouns[-1])
    return "_".join([verb, *singular, last])


def _singular(noun: str) -> str:
    if noun.endswith("ies") and len(noun) > _LEAST_NOUN:
        return noun[:-3] + "y"
    if noun.endswith(("sses", "xes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun


def _verb_first(operation_id: str) -> str | None:
    """Return the id in snake case with its verb moved to the front; None where it has no verb."""
    groups = [group for group in map(_words, _GROUP.split(operation_id[:400])) if group]
    flat = [word for group in groups for word in group]
    if flat[0] in words("verbs"):
        return "_".join(flat)
    for group in reversed(groups):
        if group[0] in words("verbs"):
            before = [w for g in groups[: groups.index(group)] for w in g]
            after = [w for g in groups[groups.index(group) + 1 :] for w in g]
            return "_".join([group[0], *before, *group[1:], *after])
    return "_".join([flat[-1], *flat[:-1]]) if flat[-1] in words("verbs") else None


def phrases(name: str, summary: str) -> tuple[str, ...]:
    """Return how people say the operation, the most readable first: "create a widget", "create widget"."""
    verb, _, nouns = name.partition("_")
    about = nouns.replace("_", " ").partition(" by ")[0]
    found = [f"{verb} {about}".strip()]
    if about and verb in words("verbs") and verb != "list" and not about.endswith("s"):
        article = "an" if about[0] in "aeiou" and not about.startswith(_LIKE_YOU) else "a"
        found.insert(0, f"{verb} {article} {about}")
    told = _TAIL.sub("", plain_text(summary)).rstrip(".").split()
    said = _base(told[0].lower()) if told else None
    if said and 1 < len(told) <= _MOST_WORDS:
        found.insert(0, " ".join([said, *(word.lower() for word in told[1:])]))
    return tuple(dict.fromkeys(found))


def changes_something(name: str) -> bool:
    """Tell whether the verb of a name says that the call changes something, whatever its method."""
    return name.partition("_")[0] in words("changing")


def unique(name: str, method: str, taken: Mapping[str, object]) -> str:
    """Return ``name``, or with the method or a number behind it where it is taken."""
    if name not in taken:
        return name
    base = f"{name}_{method.lower()}"
    candidate, number = base, 2
    while candidate in taken:
        candidate, number = f"{base}_{number}", number + 1
    return candidate
