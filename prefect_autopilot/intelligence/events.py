"""Which event of a service a clause speaks of: what it is about, and what happened to it."""

from __future__ import annotations

import re
from functools import cache

from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.models import Service, ServiceTrigger

_NEW = "created"
_CHANGE_WEIGHT = 2.0
_HAPPENS = re.compile(
    r"\b(?P<thing>[a-z]{3,20}?)s?\s+(?:(?:is|are|was|were|gets?|got|has been|have been|being)\s+)?"
    r"(?P<change>[a-z]+)\b(?! up\b)"
)

_LABELLED = re.compile(
    r"\b(?P<thing>[a-z]{3,20}?)s?\s+(?:is|are|was|were|gets?|got|has been|have been|being)\s+"
    r"(?:labell?ed|tagged)\b"
)
"""Being labelled is an event of its own; "an issue labelled bug is opened" says which are meant."""

_NEAR = 80
"""Characters on each side of a name in which its thing stands."""

_CLOSE_AFTER = re.compile(r"(?:'s)?\s+(?:new\s+|latest\s+)?([a-z]+)\b")
_FAR_AFTER = re.compile(r"(?:'s)?\s+(?:new\s+|latest\s+)?(?:[a-z]+\s+)?([a-z]+)\b")
_BEFORE = re.compile(
    r"\b([a-z]+)\s+(?:(?:is|are|gets?|was|has been|being)\s+)?(?:[a-z]+ed\s+)?"
    r"(?:in|on|from|at|of|by|via|to)\s+(?:(?:my|our|the|a|an)\s+)?$"
)
_OF = re.compile(r"\b(?:on|of)\s+(?:\w+\s+)?$")


def stems(text: str) -> set[str]:
    """Return the words that say something, without plural."""
    return {w.removesuffix("s") for w in re.findall(r"[a-z]+", text.lower()) if not is_filler(w)}


def is_filler(word: str) -> bool:
    """Tell whether a word says nothing of the thing an event is about."""
    return word in words("triggers", "filler")


@cache
def _change_of() -> dict[str, str]:
    return {word: change for change, listed in table("triggers")["change"].items() for word in listed}


def changes(text: str) -> frozenset[str]:
    """Return what a text says happened: "failed" for "fails", "declined" and "failed"."""
    known = _change_of()
    return frozenset(known[w] for w in re.findall(r"[a-z]+", text.lower()) if w in known)


@cache
def _alike() -> dict[str, frozenset[str]]:
    groups = table("triggers")["things"]["same"]
    return {
        word: frozenset(w for group in groups if word in group for w in group) for g in groups for word in g
    }


def thing_beside(words_before: str, words_after: str) -> str | None:
    """Return the thing that is spoken of beside the name of a service ("releases of …", "… customers")."""
    known = words("triggers.things", "known")
    before_, after_ = words_before[-_NEAR:], words_after[:_NEAR]
    close, far = _CLOSE_AFTER.match(after_), _FAR_AFTER.match(after_)
    before = _BEFORE.search(before_)
    is_of = before is not None and _OF.search(before_)
    for found in (before, close, far) if is_of else (close, before, far):
        if found is None:
            continue
        word = found[1]
        one = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
        if one in known:
            return one
    return None


def announces(service: Service, thing: str) -> bool:
    """Tell whether some event of a service is about a thing, by this name or one that means the same."""
    if set(service.kinds) & words("triggers.things", "anything") and thing not in words(
        "triggers.things", "parts"
    ):
        return True
    alike = {thing, *_alike().get(thing, ())}
    told = (phrase for t in service.triggers for phrase in (t.event.replace("_", " "), *t.phrases))
    return any(alike & stems(re.split(r"\b(?:in|by|with)\b", phrase)[0]) for phrase in told)


def known_event(service: Service, said: str) -> ServiceTrigger | None:
    """Return the event whose words are nearest to ``said``, None where none shares a word with it.

    What happened decides between events of one thing: a payment that fails is no new payment.
    """
    best: tuple[float, int, ServiceTrigger] | None = None
    told, happened = stems(said), changes(said)
    told |= {one for word in told & _alike().keys() for one in _alike()[word]} - _change_of().keys()
    for place, trigger in enumerate(service.triggers):
        phrases = (trigger.event.replace("_", " "), *trigger.phrases)
        near = max(_nearness(told, phrase) for phrase in phrases)
        if not near:
            continue
        own = frozenset().union(*map(changes, phrases)) or frozenset({_NEW})
        score = near + _agreement(happened, own)
        if best is None or (score, -place) > best[:2]:
            best = (score, -place, trigger)
    return best[2] if best else None


def _nearness(told: set[str], phrase: str) -> float:
    """Return the share of a phrase's words that were said; what happened alone names no thing."""
    meant = stems(phrase)
    nouns = {w for w in meant if w not in _change_of() and f"{w}s" not in _change_of()}
    if not told & (nouns or meant):
        return 0.0
    return len(told & meant) / len(meant)


def _agreement(happened: frozenset[str], own: frozenset[str]) -> float:
    special = happened - {_NEW}
    if special:
        return _CHANGE_WEIGHT if special & own else 0.0
    return _CHANGE_WEIGHT / 2 if _NEW in own else 0.0


def changed_event(service: Service, own: str | None) -> ServiceTrigger | None:
    """Return the event of any change of the thing that an event of one's own ("issue_closed") is about."""
    thing = (own or "").partition("_")[0]
    for trigger in service.triggers if thing else ():
        phrases = (trigger.event.replace("_", " "), *trigger.phrases)
        alike = {thing, *_alike().get(thing, ())}
        if any("updated" in changes(phrase) and alike & stems(phrase) for phrase in phrases):
            return trigger
    return None


def unannounced(trigger: ServiceTrigger | None, said: str) -> str | None:
    """Return the event of one's own that ``said`` needs, where ``trigger`` does not tell of that change."""
    phrases = (trigger.event.replace("_", " "), *trigger.phrases) if trigger else ()
    own = frozenset().union(*map(changes, phrases))
    for found in _HAPPENS.finditer(said):
        change, thing = _change_of().get(found["change"]), found["thing"]
        is_thing = thing not in _change_of() and not is_filler(thing)
        if is_thing and change and change != _NEW and change not in own:
            return f"{thing}_{change}"
    labelled = _LABELLED.search(said)
    return f"{labelled['thing']}_labelled" if labelled else None
