"""What an operation is called with: literals, fields of the event, earlier results, flow parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.deeds import deeds
from prefect_autopilot.intelligence.messages import message_of, title_of
from prefect_autopilot.intelligence.named_values import named_value, parameter_name
from prefect_autopilot.intelligence.same_thing import id_of_it, new_state
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    Operation,
    Parameter,
    Service,
    ServiceTrigger,
    Text,
)

_TOLD_KINDS = frozenset({"chat", "sms", "email", "social"})
_MESSAGES, CELLS = "messages", "values"
MOST_CELLS = 8
HOLDERS = frozenset({"fields", "properties", "attributes"})
"""Objects a row keeps its own fields in; below others there may be nothing."""

CHANNEL = re.compile(r"#[^\W\d_][\w-]*")
_WHETHER = re.compile(r"(?i)\b(?:if|whether)\s+(.{2,300}\w)")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s\"'<>]+")
_TAKES_ADDRESS = re.compile(
    r"^(?:The )?(?:picture|photo|image|file|video|page|document)\b[^.]*\baddress\b", re.IGNORECASE
)
_URLS = frozenset({"url", "uri", "link", "endpoint", "webhook_url", "webhookurl"})
_PHONE = re.compile(r"(?<![\w+])\+\d[\d ()-]{6,17}\d(?!\w)")
_TITLED = re.compile(
    r"(?i)\b(?:titled|called|named|(?:with )?(?:the )?(?:title|subject|name|summary)) \"([^\"\n]{1,200})\""
)
_TITLED_PLAINLY = re.compile(
    r"\b(?i:titled|called|named) ([A-Z0-9][\w&-]*(?: (?!(?:and|in|on|to|with|for|from|when|whenever|every"
    r"|each|at|by|via|then|or)\b)[\w&-]+){0,6})"
)
_QUOTED = re.compile(
    r"(?i)"
    r"(?:saying|says|with the (?:text|message)|message|text|titled|called|named|group|list|board|folder"
    r"|project|channel|label|tag|table|sheet) \"([^\"\n]{1,200})\""
)
_QUOTED_ALONE = re.compile(r"(?<!\w)(?:\"([^\"\n]{1,200})\"|'([^'\n]{2,200})')(?!\w)")
_THEM = re.compile(
    r"\b(?:them|him|her|the (?:new )?(?:contact|customer|lead|person|subscriber|member|guest|attendee))\b"
)
_PLACE = re.compile(
    r"(?i)"
    r"\b(group|list|board|folder|project|channel|label|tag|table|sheet|titled|called"
    r"|named) \"([^\"\n]{1,200})\""
)


@cache
def role_of(name: str) -> str | None:
    """Return what a parameter is for: title, text, recipient or place; None for anything else."""
    plain = re.sub(r"[_\-.]", "", name.lower())
    return next((role for role, names in table("arguments")["roles"].items() if plain in names), None)


def fill(
    service: Service,
    operation: Operation,
    said: str,
    *,
    event: ServiceTrigger | None,
    has_event: bool,
    earlier: FromStep | None,
    source: Service | None = None,
) -> dict[str, Argument]:
    """Fill the required parameters and the telling optional ones; what nobody said becomes a parameter.

    ``source`` is the service of the event.
    """
    filled: dict[str, Argument] = {}
    state = new_state(service, operation, said)
    is_its_own = source is not None and source.id == service.id and has_event
    for parameter, told in _wanted(service, operation, said):
        known = id_of_it(operation, parameter, event) if is_its_own and event else None
        filled[parameter.name] = (
            known
            or told
            or _argument(
                service, parameter, said, event=event, has_event=has_event, earlier=earlier, source=source
            )
        )
    return filled | state


def _wanted(
    service: Service, operation: Operation, said: str
) -> Iterable[tuple[Parameter, Constant | FromParameter | None]]:
    """Return required parameters without default and those whose values are said, each with that value.

    Where one writes, also one text, one title, one place and one recipient; what is there already keeps its
    texts unless new ones are said.
    """
    told = {p.name: _told(service, operation, p, said) for p in operation.parameters}
    required = [p for p in operation.parameters if p.required and (p.default is None or told[p.name])]
    named = [p for p in operation.parameters if told[p.name] and p not in required]
    if operation.method == "GET":
        return [(p, told[p.name]) for p in (*required, *named)]
    if "llm" in service.kinds and any(p.name == _MESSAGES for p in operation.parameters):
        fixed = table("arguments")["fixed"]
        wanted = {_MESSAGES, "model", *(p.name for p in required)}
        return [
            (p, None) for p in operation.parameters if p.name in wanted or f"{service.id}.{p.name}" in fixed
        ]
    extra = _telling(service, operation, said, required)
    return [(p, told[p.name]) for p in (*required, *extra, *(p for p in named if p not in extra))]


def _told(
    service: Service, operation: Operation, parameter: Parameter, said: str
) -> Constant | FromParameter | None:
    """Return the value of a parameter that the words name; a #channel is the place of a message."""
    channel = CHANNEL.search(said) if "chan" in parameter.name.lower() else None
    if channel and role_of(parameter.name) == "place":
        return Constant(value=channel[0])
    if f"{service.id}.{parameter.name}" in table("arguments")["fixed"]:
        return None
    takes_address = parameter.name.lower() in _URLS or _TAKES_ADDRESS.search(parameter.description)
    if takes_address and (address := written_address(said)):
        return address
    return named_value(service, operation, parameter, said)


def _telling(service: Service, operation: Operation, said: str, required: list[Parameter]) -> list[Parameter]:
    """Return the optional parameters worth filling: one for each of text, title, place and recipient."""
    optional = table("arguments")["optional"]
    roles = {role_of(p.name) for p in required}
    keeps = deeds(operation) == {"update"} and not _TOLD_KINDS & set(service.kinds)
    extra: list[Parameter] = []
    for parameter in operation.parameters:
        role = role_of(parameter.name)
        if parameter in required or parameter.location == "header" or role is None or role in roles:
            continue
        is_said = _literal(role, parameter, said) is not None
        if keeps and not is_said:
            continue
        names = optional["place"] if role == "place" else optional["fill"]
        is_mailed = (
            role == "recipient" and "email" in service.kinds and parameter.name in optional["recipient"]
        )
        is_usual = parameter.name.lower() in names and (
            role == "place" or parameter.type in {"string", "any"}
        )
        if is_usual or is_mailed:
            extra.append(parameter)
            roles.add(role)
    return extra


def _argument(
    service: Service,
    parameter: Parameter,
    said: str,
    *,
    event: ServiceTrigger | None,
    has_event: bool,
    earlier: FromStep | None,
    source: Service | None,
) -> Argument:
    fixed = table("arguments")["fixed"].get(f"{service.id}.{parameter.name}")
    if fixed is None and len(parameter.choices) == 1:
        fixed = parameter.choices[0]
    if fixed is not None:
        return Constant(value=fixed)
    role = role_of(parameter.name)
    if parameter.name == _MESSAGES and "llm" in service.kinds:
        return _conversation(service, said, source=source, event=event, has_event=has_event, earlier=earlier)
    literal = _literal(role, parameter, said) or _cells(service, parameter, None if earlier else event)
    if literal is not None:
        return literal
    if role == "recipient" and event and "email" in event.fields and _wants_address(service, parameter, said):
        return FromTrigger(path="email")
    if parameter.type in {"string", "any"} and role in {"title", "text"}:
        given = _given(role, service, source=source, event=event, has_event=has_event, earlier=earlier)
        if given is not None:
            return given
    return FromParameter(name=parameter_name(service.id, parameter.name))


def _wants_address(service: Service, parameter: Parameter, said: str) -> bool:
    """Tell whether a recipient is the address of the event: its name says so, or a mail goes "to them"."""
    if "email" in parameter.name.lower():
        return True
    return "email" in service.kinds and _THEM.search(said) is not None


def _literal(role: str | None, parameter: Parameter, said: str) -> Argument | None:
    """Return a value the person wrote: a #channel, an address, words in quotation marks."""
    if role == "recipient":
        return _recipient(parameter, said)
    if parameter.name.lower() in _URLS and (address := written_address(said)):
        return address
    if role == "title" and (titled := _TITLED.search(said) or _TITLED_PLAINLY.search(said)):
        return Constant(value=titled[1])
    return quoted_text(said) if role == "text" else None


def written_address(said: str) -> Constant | None:
    """Return the web address that is written out."""
    url = _URL.search(said)
    return Constant(value=url[0].rstrip(".,;)")) if url else None


def quoted_text(said: str) -> Constant | None:
    """Return the text in quotation marks; a title or the name of a place is none."""
    rest = _TITLED.sub(" ", said)
    quoted = _QUOTED.search(rest) or _QUOTED_ALONE.search(rest)
    if quoted is None or _PLACE.search(rest):
        return None
    return Constant(value=next(group for group in quoted.groups() if group is not None))


def _recipient(parameter: Parameter, said: str) -> Constant | None:
    """Return the address said, or the telephone number with its country where none is meant by mail."""
    addresses = list(dict.fromkeys(_ADDRESS.findall(said)))
    if addresses:
        several = parameter.name.lower() in {"to", "recipient", "recipients", "toemail"}
        if parameter.type == "array":
            return Constant(value=addresses)
        return Constant(value=", ".join(addresses) if several else addresses[0])
    phone = None if "mail" in parameter.name.lower() else _PHONE.search(said)
    return Constant(value=re.sub(r"[ ()-]", "", phone[0])) if phone else None


def _cells(service: Service, parameter: Parameter, event: ServiceTrigger | None) -> Text | None:
    """Return the fields of the event as the cells of a new row."""
    if parameter.name != CELLS or "spreadsheet" not in service.kinds or event is None or not event.fields:
        return None
    plain = [name for name, path in event.fields.items() if path not in HOLDERS]
    cells = tuple(FromTrigger(path=name) for name in plain[:MOST_CELLS])
    return Text(parts=cells, form="row") if cells else None


def _conversation(
    service: Service,
    said: str,
    *,
    source: Service | None,
    event: ServiceTrigger | None,
    has_event: bool,
    earlier: FromStep | None,
) -> Text:
    """Return what a language model is told: the order in the person's words, and what it works on."""
    quoted = quoted_text(said)
    names = "|".join(re.escape(one) for one in (service.name, service.id, *service.aliases) if one)
    order = re.sub(
        rf"(?i)[ ,]*\b(?:with|using|via|by|through|use|let|have|ask|in)?\s*\b(?:{names})\b", "", said
    )
    told = str(quoted.value) if quoted else " ".join(order.split()).strip(" ,.;:-")
    told = f"{told[:1].upper()}{told[1:]}" or "Answer"
    if not quoted and (asked := _WHETHER.search(order)):
        told = f"Answer with yes or no only, is it so that {asked[1].strip(' ,.;:-?')}"
    given: Argument | None = earlier
    if given is None and has_event:
        given = _given("text", service, source=source, event=event, has_event=True, earlier=None)
    parts = given.parts if isinstance(given, Text) else (given,) if given else ()
    end = "?" if told.startswith("Answer with yes or no") else "."
    order_part = Constant(value=f"{told}{':' if end == '.' else end}\n\n" if parts else f"{told}{end}")
    return Text(parts=(order_part, *parts), form="messages")


def _given(
    role: str,
    target: Service,
    *,
    source: Service | None,
    event: ServiceTrigger | None,
    has_event: bool,
    earlier: FromStep | None,
) -> Argument | None:
    """Return what is known when the step runs: an earlier result, else what the event tells."""
    if earlier is not None:
        return earlier if role == "text" else None
    if not has_event:
        return None
    if source is None or event is None or not event.fields:
        return FromTrigger(path="") if role == "text" else None
    if role == "title":
        return title_of(source, event)
    return message_of(source, event, target) or FromTrigger(path="")
