"""The operation of a service that the words of a clause ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from prefect_autopilot.intelligence.clauses import verbs
from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.intelligence.deeds import asked, fits, reads
from prefect_autopilot.intelligence.directions import Direction
from prefect_autopilot.intelligence.same_thing import changes_state
from prefect_autopilot.models import Operation, Service

_STOP = frozenset(
    ["a", "an", "the", "to", "of", "in", "on", "for", "from", "or", "and", "with", "by", "new", "all", "one"]
)
_LEAST = 1.0
"""Below this nothing in the words speaks for the operation: it is better none than a wrong one."""

_DECISIVE = frozenset({"upload", "delete", "update", "invite", "comment", "create", "get"})
"""What the words ask for clearly: where no operation does it, none other stands for it."""

_WHERE = re.compile(
    r"\b(?:in|into|to|onto|on|at|inside) (?:(?:the|our|my|this|that) (?:[\w-]+ ){0,2}?|(?=#))"
    r"(?:channel|board|folder|group|workspace|room|space)\b|\b(?:in|into|to|on|at) #[\w-]+"
)
"""Where something happens; it is no thing to be made ("drop it in the finance channel")."""

_BACKED_UP = re.compile(r"\bback(?:s|ed|ing)? up\b")
"""One verb of two words: a copy of it is kept."""

_ONE_TABLE = re.compile(r"\btable\b")
"""Of a database its rows are meant: their list is "the tables"."""

_PAY = re.compile(r"\bpay(?:s|ing)?\b")
"""Who pays an invoice makes none."""

_SAID = re.compile(r"\"[^\"\n]*\"")
_NO_CONTENT = frozenset({"folder", "empty"})
"""What is made without any content."""

_NAMED = re.compile(
    r"\b(?:named|called|titled) [A-Z0-9][\w&-]*(?: (?!(?:and|in|on|to|with|for|from|every|each)\b)[\w&-]+)*"
)
_HEAD = re.compile(
    r"\W*(?:(?:and|then|also|please|just|finally|automatically|instantly|always|to|i want to|let'?s)\b\W*)*"
    r"([a-z]+)"
)
_READS = re.compile(
    r"(?i)\b(?:export|get|fetch|read|pull|list|download|retrieve|collect|grab|take)(?:s|es)?\b"
)
_NO_ORDER = frozenset({"a", "an", "the", "new", "my", "our", "all", "each", "every", "of", "in", "on"})
"""Behind these a verb is a noun."""

_TO_A_CHAT = frozenset({"put", "drop", "push", "write", "copy", "move"})
_READ_TOO = frozenset({"look", "search", "find", "check", "query"})
"""What is done to a service that other things go to as well; who exports to it reads nothing of it."""

_CHANNEL_CLOSED = re.compile(r"\barchives? (?:[\w-]+ ){0,3}?(?:channels?|rooms?|groups?)\b")
_MADE_THING = re.compile(
    r"\b(?:create|add|make|open|insert|log)s? (?:an? |the |new |[\w-]+ ){0,3}?"
    r"(deal|invoice|order|ticket|product)\b"
    r"|^\W*(?:[\w-]+ )(deal|invoice|order|ticket|product)\W*$"
)
"""What is to be made and no other thing stands for."""

_MONEY = frozenset({"payment", "accounting", "shop"})
"""Kinds where a thing that nobody asked for by name costs somebody money."""

_ROWS = frozenset({"database", "spreadsheet"})
"""Kinds that hold rows of anything: orders, invoices, tickets."""

_PLUMBING = frozenset({"webhook", "webhooks", "me", "token", "label", "labels", "user", "users"})

_ALSO = {"message": "send", "comment": "comment", "tweet": "send", "post": "send"}
"""What creating one of these means as well."""


@dataclass(frozen=True, slots=True)
class _Shape:
    meaning: str | None
    nouns: frozenset[str]
    path_parameters: int
    own_verbs: frozenset[str]


def choose_operation(
    service: Service, said: str, direction: Direction, *, is_filled: bool = False
) -> Operation | None:
    """Return the operation nearest to the clause ``said``, None where none fits.

    One that does something else than the verb asks for is never taken: who deletes is given no creating.
    ``is_filled``: the same words say what comes from another service.
    """
    said = _BACKED_UP.sub("backup", _NAMED.sub(" ", _SAID.sub(" ", said)))
    if service.protocol == "sql" and direction == "source":
        said = _ONE_TABLE.sub("rows", said)
    wanted = asked(said)
    head = head_verb(said)
    if is_filled and direction == "sink" and head not in _READ_TOO:
        said = _READS.sub(" ", said)
        wanted = asked(said)
    special = _special(head) if direction != "source" else frozenset()
    is_archived = "archive" in said.lower()  # what is archived is not gone
    is_closed = _CHANNEL_CLOSED.search(said.lower()) is not None
    told = re.findall(r"[a-z]+", said.lower())
    about = re.findall(r"[a-z]+", _WHERE.sub(" ", said.lower()))
    stems = frozenset(stem(word) for word in about)
    stems |= {"record"} if "row" in stems else set()
    open_ = [
        (i, o)
        for i, o in enumerate(service.operations)
        if fits(service, o, wanted, is_source=direction == "source")
        and not (is_archived and destroys(o) and "archive" not in o.id)
        and not (is_closed and not reads(o) and "archive" not in o.id)
        and not (must_be_named(service, o) and stems.isdisjoint(_things(o)))
        and not (_PAY.search(said.lower()) and "invoice" in _things(o) and not reads(o))
        and not (special and special.isdisjoint(_own_words(o)))
        and not (is_filled and direction == "sink" and reads(o) and head not in _READ_TOO)
    ]
    meanings = frozenset(
        m for m, verbs in table("verbs")["meaning"].items() if not set(told).isdisjoint(verbs)
    )
    best = max(
        ((_score(service, o, stems, meanings, direction) + _named(o, head, stems), -i, o) for i, o in open_),
        key=lambda item: item[:2],
        default=None,
    )
    made = _MADE_THING.search(said.lower()) if direction == "sink" else None
    if made and not any((made[1] or made[2]) in _things(o) for _, o in open_):
        return None
    if best and (best[0] >= _LEAST or special):
        return best[2]
    left = [o for _, o in open_]
    if wanted == {"delete"}:
        return None
    if _is_said_clearly(service, said):
        return _statement(left)
    return _usual(service, left, direction) or _statement(left)


def _is_said_clearly(service: Service, said: str) -> bool:
    """Tell whether the words ask clearly for what no operation does; a comment in a chat is a message."""
    told = re.findall(r"[a-z]+", said.lower())
    decisive = _decisive()
    if service.id in table("triggers")["messengers"] or {"chat", "sms"} & set(service.kinds):
        if _WHERE.search(said.lower()) or "#" in said:
            return False
        decisive -= frozenset(table("verbs")["meaning"]["comment"]) | _TO_A_CHAT
    return "llm" not in service.kinds and any(
        word != "new" and word in decisive and (not i or told[i - 1] not in {"new", "the", "a"})
        for i, word in enumerate(told)
    )


def head_verb(said: str) -> str:
    """Return the word an order begins with, behind a time maybe ("every day post …"); empty without one."""
    told = re.findall(r"[a-z]+", said.lower())
    known = verbs() | {word for group in table("verbs")["special"] for word in group}
    orders = (w for i, w in enumerate(told) if w in known and (not i or told[i - 1] not in _NO_ORDER))
    found = _HEAD.match(said.lower())
    return next(orders, found[1] if found else "")


def _special(head: str) -> frozenset[str]:
    """Return the words for a deed that no other one stands for ("block", "merge"), none for other verbs."""
    return next((frozenset(group) for group in table("verbs")["special"] if head in group), frozenset())


def _own_words(operation: Operation) -> frozenset[str]:
    told = " ".join((operation.id.replace("_", " "), *operation.verbs)).lower()
    return frozenset(re.findall(r"[a-z]+", told))


def _named(operation: Operation, head: str, stems: frozenset[str]) -> float:
    """Return what speaks for an operation that is called by its own phrase, or by its thing ("call her")."""
    if not head or reads(operation):
        return 0.0
    own = operation.id.lower().split("_")
    if own[0] in {"create", "make", "send", "add"} and stem(head) in own[1:]:
        return 6.0
    for phrase in operation.verbs:
        first, *rest = phrase.lower().split()
        if stem(first) == stem(head) and any(stem(word) in stems for word in rest if word not in _STOP):
            return 3.0
    return 0.0


def is_special(said: str) -> bool:
    """Tell whether the words order a deed that no other one stands for."""
    return bool(_special(head_verb(said)))


def does_itself(service: Service, said: str) -> bool:
    """Tell whether words order one of a service's own writing operations by its phrase ("move a card")."""
    head = head_verb(said)
    stems = frozenset(stem(word) for word in re.findall(r"[a-z]+", said.lower()))
    return any(
        _named(one, head, stems) > 0 or not _special(head).isdisjoint(_own_words(one))
        for one in service.operations
        if not reads(one)
    )


def must_be_named(service: Service, operation: Operation) -> bool:
    """Tell whether an operation is no usual look: who is connected, one thing by its id, a model's name."""
    is_check = (
        operation.id == service.verification
        and not service.verification_parameters
        and not operation.id.startswith(("list", "search"))
    )
    is_one = operation.id.startswith("get") and "{" in operation.path
    return is_check or (is_one and reads(operation)) or ("llm" in service.kinds and reads(operation))


def _things(operation: Operation) -> frozenset[str]:
    return _shape(operation.id, operation.path, operation.verbs).nouns - _PLUMBING


@cache
def _decisive() -> frozenset[str]:
    meaning = table("verbs")["meaning"]
    return frozenset(word for one in _DECISIVE for word in meaning[one])


def _usual(service: Service, operations: list[Operation], direction: Direction) -> Operation | None:
    """Return what is mostly done with a service of its kind, where the words say nothing of it at all."""
    usual = table("arguments")["usual_nouns"]
    is_messenger = service.id in table("triggers")["messengers"]
    kinds = (*service.kinds, "chat") if is_messenger else service.kinds
    nouns = {stem(noun) for kind in kinds for noun in usual.get(kind, ())}
    if not nouns and direction != "source":
        return None
    about = [o for o in operations if _is_about(_shape(o.id, o.path, o.verbs).nouns, nouns)]
    looks = [o for o in about if reads(o) and o.id.startswith(("list", "search", "read"))]
    is_money = not _MONEY.isdisjoint(service.kinds)
    makes = [
        o
        for o in operations
        if _makes(o, service) and not is_money and (o in about or "llm" in service.kinds)
    ]
    makes = [o for o in operations if keeps(service, o)] or makes
    talks = not {"chat", "sms"}.isdisjoint(kinds)
    return next(iter(looks if direction == "source" and not talks else makes), None)


def _statement(operations: list[Operation]) -> Operation | None:
    """Return what runs any statement of SQL: it does what no operation of its own does."""
    return next((o for o in operations if "run sql" in o.verbs), None)


def _is_about(own: frozenset[str], usual: set[str]) -> bool:
    """Tell whether an operation is about the usual thing; a service of no kind is about its first."""
    return bool(own & usual) if usual else not own & _PLUMBING


def keeps(service: Service, operation: Operation) -> bool:
    """Tell whether an operation gives a storage the content of a file."""
    meaning = table("verbs")["operations"].get(operation.id.lower().split("_")[0])
    return "storage" in service.kinds and meaning == "upload"


def _makes(operation: Operation, service: Service) -> bool:
    meaning = _shape(operation.id, operation.path, operation.verbs).meaning
    return not reads(operation) and (
        meaning in {"create", "send"} or ("llm" in service.kinds and meaning == "complete")
    )


def stem(word: str) -> str:
    """Return a noun without its plural."""
    if word.endswith("ies") and len(word) > 4:  # noqa: PLR2004 - "ties" stays
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=4096)
def _shape(operation_id: str, path: str, verbs: tuple[str, ...]) -> _Shape:
    parts = operation_id.lower().split("_")
    meaning = table("verbs")["operations"].get(parts[0])
    bare = parts[1:] if meaning else parts
    nouns = {stem(p) for p in bare}
    for phrase in verbs:
        nouns |= {stem(w) for w in re.findall(r"[a-z]+", phrase.lower())[1:] if w not in _STOP}
    return _Shape(
        meaning, frozenset(nouns), path.count("{"), frozenset(phrase.split()[0] for phrase in verbs)
    )


def _score(
    service: Service,
    operation: Operation,
    stems: frozenset[str],
    meanings: frozenset[str],
    direction: Direction,
) -> float:
    shape = _shape(operation.id, operation.path, operation.verbs)
    score = 2.0 * min(len(stems & shape.nouns), 2)
    is_read = reads(operation)
    meaning = shape.meaning or ("get" if is_read else None)
    says = {meaning, *(_ALSO[n] for n in shape.nouns & _ALSO.keys() if shape.meaning == "create")}
    if keeps(service, operation):
        says |= {"create", "send"} if stems.isdisjoint(_NO_CONTENT) else set()
        score += 1  # who gives a storage something gives it the content, no empty file
    if says & meanings:
        score += 3
    elif shape.meaning and meanings and not is_read:
        score -= 3
    usual = table("arguments")["usual_nouns"]
    is_usual = any(stem(noun) in shape.nouns for kind in service.kinds for noun in usual.get(kind, ()))
    if is_usual:
        score += 1.5
    elif service.kinds and not is_read and not stems & shape.nouns and shape.meaning != "complete":
        score -= 2.5  # "new cards to Slack" makes no channel
    if direction == "source":
        score += 2.5 if is_read else -2
        score -= 1.0 * shape.path_parameters if is_read and not operation.id.startswith("list") else 0
    elif is_read:
        score -= 1.5 if "get" in meanings else 6
    distinct = stems & words("arguments", "distinct")
    if direction == "source" and is_read and distinct and not distinct & shape.nouns:
        score -= 0 if _ROWS.intersection(service.kinds) else 7
    if not is_read and changes_state(" ".join(stems), operation):
        score += 2
    return score - _unsaid(shape, stems, meanings, is_read=is_read) - 0.3 * shape.path_parameters


def _unsaid(shape: _Shape, stems: frozenset[str], meanings: frozenset[str], *, is_read: bool) -> float:
    """Return what speaks against an operation whose own verb or thing nobody said."""
    against = 0.0
    if shape.meaning is None and not is_read and not stems & shape.own_verbs:
        against += 1  # "tweet it" likes no tweet
    if shape.meaning == "delete" and "delete" not in meanings:
        against += 5
    if shape.nouns & _PLUMBING and not (shape.nouns & _PLUMBING & stems):
        against += 4
    return against


def destroys(operation: Operation) -> bool:
    """Tell whether an operation takes something away: by its method, or by what its name says."""
    return (
        operation.method == "DELETE"
        or table("verbs")["operations"].get(operation.id.lower().split("_")[0]) == "delete"
    )
