"""What a request calls things by ("the table Orders", "job nightly-build", "acme/api", "to German")."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from prefect_autopilot.intelligence.data import table, words
from prefect_autopilot.models import Constant, FromParameter, JSONDict, Operation, Parameter, Service

_CALLED = r"(?i:named|called|titled|with (?:the )?(?:id|name|key|number)|id|number|no\.?)"
_QUOTED = r"\"[^\"\n]{1,200}\"|(?<!\w)'[^'\n]{1,200}'(?!\w)"
_CAPITALS = r"[A-Z][\w&.-]*(?: (?:[A-Z][\w&-]*|\d+)(?![\w@./]))*"
_MARKED = r"-?\d[\w-]*|/\w[\w./-]*|\w+(?:[-_./]\w+)+|(?=[a-z]*\d)\w+"
"""Names that no plain word looks like: numbers, paths, joined words, letters with digits."""

_VALUE = rf"{_QUOTED}|{_MARKED}|{_CAPITALS}"
_LOOSE = rf"{_VALUE}|[a-z]\w+"
_NO_NAME = (
    r"(?!(?i:the|an?|my|our|id|and|or|to|in|on|of|for|from|with|by|via|at|is|are|named|called|titled|that)\b)"
)
_LONG_NAME = (
    r"[A-Z0-9][\w&-]*(?: (?!(?:and|in|on|to|with|for|from|when|whenever|every|each|at|by|via|then|or)\b)"
    r"[\w&-]+){0,4}"
)
_ENDS = r"(?=[.,;:]|$| (?:in|on|at|for|from|to|with|and|or|when|whenever|if|every|each|of|via|then|by)\b)"
_OWN_NAME = rf"[A-Z][\w&-]*(?: [a-z]\w+){{1,2}}{_ENDS}"
"""A name that goes on in small letters up to where it must end ("the list Failed payments")."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_SEGMENT = r"/([a-z]+)(?:/\{{{0}\}}|\('?\{{{0}\}})"
_OPAQUE = re.compile(r"^(?:Only those \w+ \w+ \w+ with this id|Ids?\b(?! or (?:e-mail|name))|Number of)")
_LIKE_ID = re.compile(r"-?\d+|(?=\w*\d)(?=\w*[A-Za-z])\w{5,}|[0-9a-f]{8}-[0-9a-f-]{27}", re.ASCII)
_REPOSITORY = re.compile(
    r"(?:in|into|to|on|from|of|for|at|repo|repository|project|our|the) ([A-Za-z][\w-]*)"
    r"/([A-Za-z][\w.-]*\w)(?![\w/@])"
)
_HOW_MANY = re.compile(
    r"\b(?:latest|last|newest|first|top|recent|up to|at most|only) (\d{1,3})\b"
    r"(?! (?:minutes?|hours?|days?|weeks?|months?|quarters?|years?)\b)"
)
_ASKS = re.compile(r"(?i)\b(?:search\w*|find|query|run|execute|look up|matching|about|for|mention\w*)\b")
_LABELLED = re.compile(
    r"(?i:\b(?:with|under|has|having) (?:the |a )?(?:tag|label)s?"
    r"|\b(?:tag|label)(?:ged|led)?(?: (?:it|them|him|her|this|the \w+))?(?: with| as)?) "
    rf"({_QUOTED}|(?!(?i:it|them|the|with|as|to|in)\b)[\w-]+)"
)
_FOLDER = re.compile(
    rf"(?i:\b(?:called|named|titled)) ({_QUOTED}|{_LONG_NAME}|{_MARKED})"
    rf"|(?i:folder) ({_QUOTED}|{_MARKED}|{_CAPITALS})"
)
_WHOLE_TABLE = (
    r"(?i)\W*(?:(?:every|each|on) \w+(?: (?:at|in the) [\w:]+(?: [ap]m)?)?,? )?(?:please )?"
    r"(?:export|back(?:ing)? ?up|copy|dump|sync|send|save|read|load|get|fetch|pull|archive|query|select)s?"
    r"(?: (?:everything|all|the|our|my|whole|entire|full|every|rows?|records?|data|contents?|of|in|from"
    r"|database|{own}))*"
    r" (?:table (?:called |named )?(?P<after>(?!(?:to|in|into|from|of|on|as|and|every|with)\b){name})"
    r"|(?P<before>{name}) table)\b"
    r"(?= ?(?:[,.;]|$|(?:to|into|in|from|of|every|each|daily|weekly|monthly|and)\b))"
)
_TABLE_NAME = r"[a-z_]\w{0,62}"
"""All of a table is read: any other word ("unpaid", "since Monday") would say which rows."""

_LANGUAGE = re.compile(r"(?i)\b(?:to|into|in) ([a-z]+)\b")


def named_value(
    service: Service, operation: Operation, parameter: Parameter, said: str
) -> Constant | FromParameter | None:
    """Return what the words give for one parameter, None where they say nothing of it.

    What only has a name where the service wants an id is asked for by that name.
    """
    own = f"{service.id}.{parameter.name}"
    special = _special(service, operation, parameter, said)
    if special:
        return _typed(service, parameter, special)
    for phrase, value in table("values").get("said", {}).get(own, {}).items():
        if re.search(rf"(?i)\b(?:{phrase})\b", said):
            return Constant(value=value)
    found = _called(service, operation, parameter, said)
    return None if found is None else _typed(service, parameter, found)


def _special(service: Service, operation: Operation, parameter: Parameter, said: str) -> str | None:
    """Return what is said in a form of its own: how many, in which language, which repository, what for."""
    plain = re.sub(r"[^a-z]", "", parameter.name.lower())
    is_read = operation.effect == "safe"
    if parameter.name in words("values", "sizes"):
        many = _HOW_MANY.search(said.lower()) if is_read else None
        return many[1] if many else None
    if plain in {"targetlang", "target", "targetlanguage"}:
        language = _language(said)
        return language.upper() if language and "DE" in parameter.description else language
    names = {p.name for p in operation.parameters}
    if "repo" in names and "owner" in names and parameter.name in {"owner", "repo"}:
        found = _REPOSITORY.search(said)
        return found[1 if parameter.name == "owner" else 2] if found else None
    if plain == "path" and "folder" in operation.id and (folder := _FOLDER.search(said)):
        return "/" + next(one for one in folder.groups() if one).strip("\"'/")
    if plain in words("values", "queries"):
        quoted = re.search(_QUOTED, said) if parameter.required or _ASKS.search(said) else None
        return quoted[0][1:-1] if quoted else _whole_table(service, operation, said)
    label = _LABELLED.search(said) if plain in words("values", "labels") else None
    return label[1].strip("\"'") if label else None


def _whole_table(service: Service, operation: Operation, said: str) -> str | None:
    """Return the statement that reads a table, None where something says which of its rows are meant."""
    if service.protocol != "sql" or operation.id != "query":
        return None
    own = "|".join(re.escape(one) for one in (service.name, service.id, *service.aliases))
    found = re.match(_WHOLE_TABLE.format(own=own, name=_TABLE_NAME), said)
    return f"SELECT * FROM {found['after'] or found['before']}" if found else None  # noqa: S608 - only letters


def _language(said: str) -> str | None:
    codes: JSONDict = table("values")["languages"]
    return next((str(codes[m[1].lower()]) for m in _LANGUAGE.finditer(said) if m[1].lower() in codes), None)


def _called(service: Service, operation: Operation, parameter: Parameter, said: str) -> str | None:
    """Return the name beside the noun of a parameter: "job nightly-build", "the Leads list", "called X"."""
    own = {name.lower() for name in (service.id, service.name, *service.aliases)}
    for noun in nouns_of(service, operation, parameter):
        for pattern in _patterns(noun, is_loose=noun in words("values", "loose")):
            for found in pattern.finditer(said):
                value = found[1].strip("\"'").rstrip(".,:")
                if value and value.lower() not in own and value.lower().split()[0] not in own:
                    return value
    return None


@cache
def _patterns(noun: str, *, is_loose: bool) -> tuple[re.Pattern[str], ...]:
    value = _LOOSE if is_loose else _VALUE
    end = r"(?![\w\"])"
    if " " in noun:  # a phrase that leads to a name ("weather in")
        return (re.compile(rf"\b(?i:{noun}) (?:the |our )?{_NO_NAME}({value}){end}"),)
    last = f"{end}{_ENDS}" if is_loose else end
    return (
        re.compile(rf"\b(?i:{noun}) (?i:named|called|titled) ({_QUOTED}|{_LONG_NAME}|{_MARKED}){end}"),
        re.compile(rf"\b(?i:{noun})(?: {_CALLED})?:? #?{_NO_NAME}({_OWN_NAME}|{value}){last}"),
        re.compile(
            rf"\b(?:in|into|to|on|from|of|the|our|my|and) (?:the |my |our )?{_NO_NAME}({_VALUE}) {noun}\b"
        ),
    )


@lru_cache(maxsize=4096)
def _nouns(name: str, path: str, location: str) -> tuple[str, ...]:
    said = [word.lower() for word in _WORD.findall(name)]
    telling = [word for word in said if word not in words("values", "no_nouns")]
    if not telling and location == "path":
        before = re.search(_SEGMENT.format(re.escape(name)), path.lower().replace(name.lower(), name))
        telling = [before[1].removesuffix("s")] if before else []
    if not telling:
        return ()
    noun = telling[-1].removesuffix("s") if len(telling[-1]) > 3 else telling[-1]  # noqa: PLR2004
    return (noun, *table("values")["also"].get(noun, ()))


def nouns_of(service: Service, operation: Operation, parameter: Parameter) -> tuple[str, ...]:
    """Return the words by which people speak of what a parameter names."""
    own = table("values")["nouns"].get(f"{service.id}.{parameter.name}")
    if own is not None:
        return tuple(own)
    if parameter.type in {"object", "boolean"} or parameter.name.lower() in words("values", "no_names"):
        return ()
    is_name = parameter.location == "path" or parameter.type in {"integer", "any"} or parameter.required
    placed = _nouns(parameter.name, operation.path, parameter.location)
    return placed if is_name or set(placed) & words("values", "places") else ()


def _typed(service: Service, parameter: Parameter, value: str) -> Constant | FromParameter | None:
    if parameter.type == "integer" and value.lstrip("-").isdecimal():
        return Constant(value=int(value))
    if parameter.type in {"integer", "number"} or is_only_a_name(parameter, value):
        return FromParameter(name=parameter_name(service.id, parameter.name, value), said=value)
    if f"{service.id}.{parameter.name}" in words("values", "lower"):
        return Constant(value=value.lower())
    return Constant(value=[value] if parameter.type == "array" else value)


def is_only_a_name(parameter: Parameter, value: str) -> bool:
    """Tell whether a service wants an id where the words give a name."""
    about = parameter.description
    wants_id = _OPAQUE.search(about) is not None and "name" not in about.split(".")[0].lower()
    return wants_id and _LIKE_ID.fullmatch(value) is None


def parameter_name(service: str, parameter: str, called: str = "") -> str:
    """Return the name of the flow parameter that asks for an operation's parameter.

    ``called`` is what the request calls the thing, so that two lists are two parameters.
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter)
    said = "_".join(re.findall(r"[a-z0-9]+", called.lower())[:3])
    own = re.sub(r"[^a-z0-9]+", "_", f"{service}_{said}_{snake}".lower()).strip("_")
    return own if own[:1].isalpha() else f"p_{own}"
