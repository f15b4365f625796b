"""Conditions in a person's words to checks on the event, where the words leave no doubt.

What is not understood is None, and the generator then asks: a condition is never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any

from prefect_autopilot.codegen.events import Amount, Operator, Shape, sample_event, write
from prefect_autopilot.codegen.names import slug
from prefect_autopilot.models import JSONDict, Value
from prefect_autopilot.services import pick

_MAX_LITERAL = 200
_BOUNDS: tuple[tuple[str, Operator], ...] = (
    (r"at least|no less than|from|>=", "from"),
    (r"at most|no more than|up to|<=", "to"),
    (r"over|above|more than|greater than|larger than|bigger than|exceeds|exceeding|>", "over"),
    (r"under|below|less than|smaller than|cheaper than|<", "under"),
)
_CURRENCIES = {"$": "usd", "€": "eur", "£": "gbp", "usd": "usd", "eur": "eur", "gbp": "gbp",
               "dollars": "usd", "euros": "eur", "euro": "eur", "pounds": "gbp"}  # fmt: skip
_CURRENCY = r"(?P<{}>\$|€|£|usd|eur|gbp|dollars|euros?|pounds)"
_SUM = re.compile(
    r"(?:(?P<field>[a-z][a-z _]*?) )?(?:(?:is|are|was|of|worth|costs?) )?"
    rf"(?:{'|'.join(f'(?P<{operator}_>{words})' for words, operator in _BOUNDS)}) ?"
    rf"{_CURRENCY.format('before')}? ?(?P<number>\d[\d,]*(?:\.\d+)?)(?P<unit>k|m)? ?"
    rf"{_CURRENCY.format('after')}?",
)
_OR_MORE = re.compile(
    r"(?P<sum>[$€£]?\d[\d.,]*[km]?)(?P<sign>\+| or (?:more|higher|greater|above|older))(?!\w)"
)
_OR_LESS = re.compile(r"(?P<sum>[$€£]?\d[\d.,]*[km]?) or (?:less|lower|fewer|below|smaller|younger)\b")
_SENDER = re.compile(r"(?:is |sent |comes |coming )?(?:from|by) (?P<address>@?[\w.+-]*@?[\w-]+(?:\.[\w-]+)+)")
_TEXT = re.compile(
    r"(?:(?P<head>[a-z][a-z _]*?) )?"
    r"(?:that |which )?(?:contain(?:s|ing)?|mention(?:s|ing)?|includ(?:es|ing)|with|says|saying|about) "
    r"(?:the )?(?:word |words |phrase |text )?(?P<literal>\"[^\"]+\"|'[^']+'|[^\"']+?)"
    r"(?: in (?:the |its |their )?(?P<tail>[a-z][a-z _]*))?",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:with (?:the |a )?(?:label|tag)|labell?ed(?: as)?|tagged(?: as| with)?) "
    r"(?P<literal>\"[^\"]+\"|'[^']+'|[\w-]+)",
    re.IGNORECASE,
)
_EQUAL = re.compile(
    r"(?P<field>[a-z][a-z0-9 _]*?) (?:is|=|==|equals|equal to)"
    r" (?P<value>\"[^\"]+\"|'[^']+'|\w+(?: (?!and\b|or\b)\w+)?)",
    re.IGNORECASE,
)
_WITH_FIELD = re.compile(
    r"with (?:an? |the )?(?P<field>[a-z][a-z0-9_]*) (?P<value>\"[^\"]+\"|'[^']+'|\w+)", re.IGNORECASE
)
_CONTAINS = re.compile(r"\b(?:contain|mention|includ)(?:s|es|ing)\b", re.IGNORECASE)
_WHOLE_ANSWER = frozenset({"answer", "answers", "form", "response", "submission", "entry", "it"})
_NO_NAME = frozenset({"and", "or", "not", "over", "under", "above", "below", "than", "is", "are", "contains"})
_MOST_WORDS = 5
"""Of the name of a question; what is longer or compares something is a sentence."""

_NO_VALUE = re.compile(r"(?:in|on|at|from|to|of|for|not|no|the|an?|my|our|too|very|so)\b", re.IGNORECASE)
"""What begins a remark and no value that somebody gave as an answer ("the customer is in Germany")."""

_NEGATION = re.compile(r"^(?:is |are )?(?:not|isn't|aren't|never|unless)\b\s*", re.IGNORECASE)
_GROUP = re.compile(r"\bnot \(")
"""The opposite of several conditions together, which no list of checks is."""

_FILLER = re.compile(
    r"^(?:only |if |when |where |it |it's |they |they're |their |his |her |its |the |an? |is |are )+"
    r"|(?:^|\s)(?:is|are)$",
    re.IGNORECASE,
)
_NOUNS = re.compile(
    r"\s(?:e-?mails?|messages?|mails?|ones?|items?|issues?|tasks?|payments?|orders?|charges?)$"
)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {"over": gt, "from": ge, "under": lt, "to": le}
_NEGATIVE_BOUND: dict[Operator, Operator] = {"over": "to", "to": "over", "under": "from", "from": "under"}


class Check(Value):
    """One test on the event, or the answer of a step: the field at ``path``, compared with ``value``."""

    paths: tuple[str, ...]
    operator: Operator
    step: str | None = None
    """The earlier step whose answer is looked at; None where it is the event."""
    value: Any = None
    negated: bool = False
    scale: int = 1
    number_from_text: bool = False
    missing: str | int | None = None
    """What stands for a field that may be missing; None where every event has it."""

    @property
    def path(self) -> str:
        """Return the first field looked at."""
        return self.paths[0]


def read_condition(text: str, shape: Shape) -> tuple[Check, ...] | None:
    """Return the checks that ``text`` means for an event of ``shape``, None when it is not understood.

    All checks of the answer must hold.
    """
    if _GROUP.search(text):
        return None
    whole = _read_one(text, shape)
    if whole is not None:
        return whole
    checks: list[Check] = []
    parts = re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)
    for part in parts if len(parts) > 1 else ():
        one = _read_one(part, shape)
        if one is None:
            return None
        checks += one
    return tuple(checks) or None


def _read_one(text: str, shape: Shape) -> tuple[Check, ...] | None:
    said = " ".join(text.split())
    negation = _NEGATION.match(said)
    said = _FILLER.sub("", said[negation.end() :] if negation else said).strip(" .,;!")
    if not said or len(said) > _MAX_LITERAL:
        return None
    readings = (_as_word(said, shape), _as_sum(said, shape), _as_label(said, shape),
        _as_sender(said, shape), _as_text(said, shape),
                _as_equal(said, shape))  # fmt: skip
    checks = next((one for one in readings if one), None)
    if checks is None or not negation:
        return checks
    # "not (over $500 in dollars)" is no plain pair of checks: only single ones are turned round.
    return tuple(negate(one) for one in checks) if len(checks) == 1 else None


def negate(check: Check) -> Check:
    """Return the check that holds exactly where ``check`` does not."""
    if check.operator in _NEGATIVE_BOUND:
        return check.model_copy(update={"operator": _NEGATIVE_BOUND[check.operator]})
    return check.model_copy(update={"negated": not check.negated})


def _as_word(said: str, shape: Shape) -> tuple[Check, ...] | None:
    plain = said.casefold()
    forms = {plain, _NOUNS.sub("", plain)}
    for word in shape.words:
        offered = [path for path in word.paths if path in shape.sample]
        if offered and forms & set(word.words):
            return (Check(paths=(offered[0],), operator=word.operator, value=word.value),)
    return None


def _as_sum(said: str, shape: Shape) -> tuple[Check, ...] | None:
    plain = _OR_LESS.sub(r"at most \g<sum>", _OR_MORE.sub(r"at least \g<sum>", said.casefold()))
    match = _SUM.fullmatch(plain)
    if not match:
        return None
    operator = next(operator for _, operator in _BOUNDS if match[f"{operator}_"])
    number = float(match["number"].replace(",", "")) * {"k": 1000, "m": 1_000_000}.get(match["unit"], 1)
    bound: int | float = int(number) if number.is_integer() else number
    currency = match["before"] or match["after"]
    field = slug(match["field"] or "")
    if shape.amount and (
        currency or field in {"", "amount", "total", "value", "price", slug(shape.amount.path)}
    ):
        return _sum_checks(shape.amount, operator, bound, _CURRENCIES[currency] if currency else None, shape)
    if said_by_person := _answer(field, shape):
        return (
            Check(paths=(said_by_person,), operator=operator, value=bound, number_from_text=True, missing=0),
        )
    number_fields = [key for key, one in shape.sample.items() if _is_number(one) and slug(key) == field]
    if currency or not number_fields:
        return None
    return (Check(paths=(number_fields[0],), operator=operator, value=bound),)


def _answer(field: str, shape: Shape) -> str | None:
    """Return where the answer to a question stands, or a field of an event that nobody has described."""
    said = field.split("_")
    if not field or len(said) > _MOST_WORDS or not _NO_NAME.isdisjoint(said):
        return None
    if field in {slug(key) for key in shape.sample}:
        return None
    if shape.answers:
        return f"{shape.answers}.{field}"
    return field if shape.is_open else None


def _sum_checks(
    amount: Amount, operator: Operator, bound: float, currency: str | None, shape: Shape
) -> tuple[Check, ...]:
    checks = [
        Check(
            paths=(amount.path,),
            operator=operator,
            value=bound,
            scale=amount.scale,
            number_from_text=amount.text,
        )
    ]
    if currency and amount.currency:
        upper = str(shape.sample.get(amount.currency, "")).isupper()
        code = currency.upper() if upper else currency
        checks.insert(0, Check(paths=(amount.currency,), operator="equals", value=code))
    return tuple(checks)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_label(said: str, shape: Shape) -> tuple[Check, ...] | None:
    match = _LABEL.fullmatch(said)
    if not match or not shape.labels:
        return None
    return (Check(paths=(shape.labels[0],), operator="includes", value=match["literal"].strip("\"'")),)


def _as_sender(said: str, shape: Shape) -> tuple[Check, ...] | None:
    match = _SENDER.fullmatch(said)
    if not match or not shape.sender:
        return None
    return (Check(paths=(shape.sender[0],), operator="mentions", value=match["address"].casefold()),)


def _as_text(said: str, shape: Shape) -> tuple[Check, ...] | None:
    match = _TEXT.fullmatch(said)
    if not match:
        return None
    if match["head"] and re.search(r"\b(?:and|or|not)\b", match["head"], re.IGNORECASE):
        return None  # several conditions
    literal = match["literal"]
    is_quoted = literal[0] in "\"'"
    if not is_quoted and re.search(r"\b(?:and|or)\b", literal, re.IGNORECASE):
        return None  # two conditions, or words to look for: only quotes tell
    words = literal[1:-1] if is_quoted else literal
    field = slug(match["tail"] or match["head"] or "")
    by_slug = {slug(key): key for key, one in shape.sample.items() if isinstance(one, str)}
    answer = _answer(field, shape) if _CONTAINS.search(said) else None
    if answer and field not in _WHOLE_ANSWER:
        return (Check(paths=(answer,), operator="mentions", value=words.casefold(), missing=""),)
    if field in by_slug:
        paths: tuple[str, ...] = (by_slug[field],)
    elif match["tail"] or not shape.text or (" with " in f" {said.casefold()} " and not is_quoted):
        # "with attachments", "with a budget": no words to look for unless they are quoted or placed.
        return None
    else:
        paths = shape.text
    return (Check(paths=paths, operator="mentions", value=words.casefold()),)


def _as_equal(said: str, shape: Shape) -> tuple[Check, ...] | None:
    match = _EQUAL.fullmatch(said) or _WITH_FIELD.fullmatch(said)
    if not match:
        return None
    by_slug = {slug(key): key for key, one in shape.sample.items() if isinstance(one, str)}
    field, value = slug(match["field"]), match["value"].strip("\"'")
    if field not in by_slug and match.re is _WITH_FIELD:
        field, value = slug(value), match["field"]  # "with high priority"
    answer = None if _NO_VALUE.match(value) else _answer(field, shape)
    # What is said of an event that nobody has described may be its state: only a quoted text is a value.
    if answer and (shape.answers or match["value"][0] in "\"'"):
        return (Check(paths=(answer,), operator="is", value=value.casefold(), missing=""),)
    if field not in by_slug:
        return None
    return (Check(paths=(by_slug[field],), operator="is", value=value.casefold()),)


def satisfy(sample: JSONDict, checks: tuple[Check, ...]) -> None:
    """Change ``sample`` so that every one of ``checks`` holds for it."""
    for check in checks:
        value = _satisfying(sample.get(check.path), check)
        write(sample, check.path, value)
        if check.negated and check.operator == "mentions":
            for path in check.paths[1:]:
                write(sample, path, _satisfying(sample.get(path), check))


def _satisfying(present: Any, check: Check) -> Any:  # noqa: PLR0911 - one case an operator
    match check.operator:
        case "includes":
            listed = list(present or [])
            others = [one for one in listed if one != check.value]
            return others if check.negated else listed if check.value in listed else [*listed, check.value]
        case "present":
            return [] if check.negated else (present or [{"filename": "contract.pdf"}])
        case "equals" | "is":
            return f"not {check.value}" if check.negated else check.value
        case "mentions":
            text = str(present or "")
            if check.negated:
                return re.sub(re.escape(str(check.value)), "", text, flags=re.IGNORECASE)
            return text if str(check.value) in text.casefold() else f"{text} {check.value}".strip()
        case "over" | "from":
            return _scaled(check, check.value + 1)
        case "under" | "to":
            return _scaled(check, check.value - 1)


def _scaled(check: Check, value: float) -> int | float | str:
    scaled = value * check.scale
    whole: int | float = int(scaled) if float(scaled).is_integer() else scaled
    return f"{whole:.2f}" if check.number_from_text else whole


def sample_for(shape: Shape, paths: tuple[str, ...], checks: tuple[Check, ...]) -> JSONDict:
    """Return a sample event with every path of ``paths`` in it and for which ``checks`` hold."""
    sample = sample_event(shape, (*paths, *(path for check in checks for path in check.paths)))
    satisfy(sample, checks)
    return sample


def holds(check: Check, sample: JSONDict) -> bool:
    """Return whether ``sample`` meets ``check``, as the generated source decides it."""
    value = pick(sample, check.path)
    match check.operator:
        case "present":
            met = bool(value)
        case "includes":
            met = check.value in (value or [])
        case "equals":
            met = value == check.value
        case "is":
            met = str(value).casefold() == check.value
        case "mentions":
            text = " ".join(str(pick(sample, path)) for path in check.paths)
            met = str(check.value) in text.casefold()
        case _:
            met = _COMPARED[check.operator](float(value or 0) / check.scale, check.value)
    return met != check.negated
