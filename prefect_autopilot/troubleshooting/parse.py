"""From the text of a failure to its chain of exceptions, log lines, codes and root frame."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Literal

from prefect_autopilot.troubleshooting.codes import find_codes
from prefect_autopilot.troubleshooting.failure import CAUSED, Failure, Frame, Role, ServiceFacts, Unit
from prefect_autopilot.troubleshooting.json_text import named_exception, on_one_line
from prefect_autopilot.troubleshooting.symbols import symbols
from prefect_autopilot.troubleshooting.text import (
    FAILS,
    STAMP,
    clean,
    digest,
    is_hollow,
    level,
    searched,
    template,
    thrown,
    unfolded,
    without_relay,
)

_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)(?:, in (.+))?$')
_HEADER = re.compile(
    r"^(?:: )?(?P<name>(?:[A-Za-z_][\w$]*\.)*[A-Z_][\w$]*(?:\([\w.]+\))?"
    # The standard library's old classes are written small: struct.error, ftplib.error_perm, socket.timeout.
    r"|(?:[A-Za-z_]\w*\.)+(?:error(?:_\w+)?|timeout|gaierror|herror))(?P<colon>:(?: (?P<message>.*))?)?$"
)
_ERRORISH = re.compile(
    r"(?:Error|Exception|Exit|Interrupt|Timeout|TimedOut|Failure|Failed|Fault|Warning|NotFound|Denied|Violation|"
    r"Unavailable|Exhausted|Exceeded|Expired|Refused|Group|Closed|Lost|Died|Violations|Forbidden|Unauthorized|"
    r"Busy|Loss|Locked|Overload(?:ed)?|Unreachable|Mismatch|Aborted|Corrupt(?:ed)?|Rejected|"
    r"Retries|Result|Run|Gone|Conflict|Requests|Iteration|Worker|Skip|OOM|Throwable|ENOENT|Invalid\w*|\.(?:error(?:_\w+)?|timeout|gaierror|herror))$"
)
_DOTTED = re.compile(
    r"^(?:[a-z_]\w*(?:\.[a-z_]\w*)+\.[A-Z]\w*[a-z]\w*(?:: |$)|[a-z_]\w*\.[A-Z]\w*[a-z0-9][A-Z]\w*: )"
)
_INLINE = re.compile(
    r"(?:^|[\s:'\"(\[<>])(?P<name>(?:[A-Za-z_][\w$]*\.)*[A-Z]\w*(?:Error|Exception|Timeout|Failure|Fault|NotFound|"
    r"Violation|Denied|Exceeded|Exhausted|Interrupt|Iteration))(?P<rest>[:(].*)"
)
_WRAPPER_TEXT = re.compile(
    r"^(?:.*?\b(?:encountered (?:an )?exception(?: during execution)?"
    r"|raised an exception|failed with exception))"
    r":? (?P<inner>.+)$",
    re.IGNORECASE,
)
_CAUSES = ("Caused by: ", "---> ")
"""How the JVM and .NET begin the line of a cause."""
_BEFORE_CLASS = re.compile(
    r"^(?:Caused by: |---> |\[(?:error|ERROR|fatal)\] +|Unhandled exception[.:] "
    r"|Exception in thread \"[^\"]{0,80}\" "
    r"|(?:PHP Fatal error: +)?Uncaught )"
)
_ORDINARY = re.compile(
    r"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[.,\dZ]* +[|\[]? *(?:INFO|DEBUG)\b"
    r"(?![^\n]*(?:Traceback|[Ee]xception|Error))"
)
"""A line of information with a time before it that tells of no exception."""
_GROUP_PREFIX = re.compile(r"^(\s*(?:\|\s?|\+-[+-]*[\s\d-]*)+)")
_TRACEBACK = ("Traceback (most recent call last):", "Traceback (most recent call last)")
_LINKS = ("The above exception was the direct cause", "During handling of the above exception")
_SERVICE_ERROR = re.compile(
    r"^(?P<reason>.*?) \[(?P<facts>service=\S+ operation=\S+ [^\]]*effect=[^\]]*)\](?: body=(?P<body>.*))?$",
    re.DOTALL,
)
_RETRY_AFTER = re.compile(
    r"\bRetry-?_?After(?:_s)?[\"']?\s*[:=]?\s*(?:is |of )?[\"']?(\d+(?:\.\d+)?)(?![\d:-])", re.IGNORECASE
)
_RETRY_IN = re.compile(
    r"\b(?:try again|retry|wait|available again|reset(?:s)?)[^\n.]{0,30}?"
    r" (?:in|after|for) (\d+(?:\.\d+)?) ?(s|sec|seconds?|m|min|minutes?)\b",
    re.IGNORECASE,
)
_EFFECTS: dict[str, Literal["safe", "idempotent", "unsafe"]] = {
    "safe": "safe",
    "idempotent": "idempotent",
    "unsafe": "unsafe",
}
_ROLES: dict[str, Role] = {
    "debug": "info",
    "info": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
}
MAX_UNITS = 160
MAX_INFO = 40
"""Lines of information that are looked at: they come last, and say the least."""
MAX_MESSAGE_LINES = 14
MAX_MARKED = 2048
"""Characters of a message that its fingerprint is made of."""


def parse(text: str) -> Failure:
    """Parse the text of a failure; time and memory are bounded whatever the text is."""
    cleaned = on_one_line(without_relay(thrown(unfolded(clean(text)))))
    reader = _Reader()
    for number, line in enumerate(cleaned.split("\n"), start=1):
        reader.read(number, line)
    units = _ordered(reader.finish())
    call = next((found for unit in units if (found := service_facts(unit.text))), None)
    told = [unit for unit in units if unit.role != "info"][:MAX_UNITS]
    rest = [unit for unit in units if unit.role == "info"][: min(MAX_INFO, MAX_UNITS - len(told))]
    units = tuple(coded(unit) for unit in (*told, *rest))
    frames = next((unit.frames for unit in units if unit.frames), ())
    waited = call.retry_after_s if call and call.retry_after_s is not None else retry_after(cleaned)
    return Failure(cleaned, units, call, waited, frames, _mark(units))


def coded(unit: Unit) -> Unit:
    """Return a unit with the codes and the symbolic names that its text holds."""
    text = searched(unit.text)
    codes, named = find_codes(text), symbols(text)
    tells = bool(unit.name or codes or named or FAILS.search(text)) and not is_hollow(text)
    return replace(unit, codes=codes, symbols=named, tells=tells)


def fingerprint(text: str) -> str:
    """Return 16 hexadecimal digits that stay the same over ids, times, paths and numbers."""
    return parse(text).fingerprint


def _mark(units: tuple[Unit, ...]) -> str:
    root = next((unit for unit in units if unit.role == "raised"), None)
    if root is None:
        lines = [unit for unit in units if unit.role in {"error", "plain"}] or list(units)
        return digest(template(unit.text[:MAX_MARKED]) for unit in lines[:3])
    own = root.own_frame
    return digest(
        (root.short_name, template(root.text.split("\n", 1)[0][:MAX_MARKED]), own.function if own else "")
    )


def retry_after(text: str) -> float | None:
    """Return how many seconds the other side asked to wait, or None."""
    if (match := _RETRY_AFTER.search(text)) is not None:
        return float(match[1])
    if (match := _RETRY_IN.search(text)) is not None:
        return float(match[1]) * (60 if match[2].lower().startswith("m") else 1)
    return None


def service_facts(text: str) -> ServiceFacts | None:
    """Return the facts of a ``ServiceError`` text, or None where the text has another form."""
    match = _SERVICE_ERROR.match(text) if "[service=" in text else None
    if match is None:
        return None
    facts = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", match["facts"]))
    return ServiceFacts(
        reason=match["reason"],
        service=facts["service"],
        operation=facts["operation"],
        effect=_EFFECTS.get(facts.get("effect", ""), "unknown"),
        connection=facts.get("connection"),
        status=int(facts["status"]) if facts.get("status", "").isdigit() else None,
        retry_after_s=_number(facts.get("retry_after_s")),
        content_type=facts.get("content_type"),
        request_id=facts.get("request_id"),
        body=_unquoted(match["body"] or ""),
    )


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    try:
        value = ast.literal_eval(text) if text else ""
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, str) else text


class _Reader:
    """Reads line by line; frames wait for the exception they belong to."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.frames: list[Frame] = []
        self.in_traceback = False
        self.linked = False
        self.open_message = 0

    def read(self, number: int, line: str) -> None:
        """Take one line."""
        if not self.open_message and not self.in_traceback and _ORDINARY.match(line):
            # Most lines of a log are these.
            self.units.append(Unit("info", line.strip(), f"line {number}"))
            return
        depth, body = _depth(line)
        stripped = body.strip()
        if not stripped:
            self.open_message = 0
        elif any(link in stripped for link in _LINKS):
            self.linked, self.in_traceback, self.open_message = True, False, 0
        elif stripped.endswith(_TRACEBACK):
            self._before_traceback(number, stripped)
        elif frame := _FRAME.match(body):
            self.frames.append(Frame(frame[1], int(frame[2]), (frame[3] or "").strip()))
            self.in_traceback, self.open_message = True, 0
        elif self.in_traceback and body[:1].isspace() and self.frames:
            self._code(stripped)
        else:
            self._statement(number, stripped, body, depth)

    def _before_traceback(self, number: int, stripped: str) -> None:
        self.frames, self.in_traceback, self.open_message = [], True, 0
        before = stripped.partition("Traceback (most recent call last)")[0].strip()
        if level(before) and len(before) > len("ERROR"):
            self._line(number, before)

    def _code(self, stripped: str) -> None:
        if not self.frames[-1].code and not set(stripped) <= set("^~ "):
            self.frames[-1] = replace(self.frames[-1], code=stripped)

    def _statement(self, number: int, stripped: str, body: str, depth: int) -> None:
        cause = _BEFORE_CLASS.sub("", stripped)
        header = _HEADER.match(cause)
        raised = header is not None and (
            (self.in_traceback and not body[:1].isspace())
            or (
                _ERRORISH.search(header["name"].rstrip(")")) is not None
                and bool(header["colon"] or "." in header["name"])
            )
            or (_ERRORISH.search(header["name"]) is not None and not self.units)
            or (_DOTTED.match(cause) is not None)
        )
        if raised and header is not None and level(header["name"]) is None:
            role_depth = CAUSED + len(self.units) if stripped.startswith(_CAUSES) else depth
            self._raised(number, header["name"], header["message"] or "", role_depth)
        elif self.open_message and not STAMP.match(stripped) and level(stripped) is None:
            self._extend(stripped)
        else:
            self._line(number, stripped)
        self.in_traceback = False

    def _raised(self, number: int, name: str, message: str, depth: int) -> None:
        text = f"{name}: {message}" if message else name
        self.units.append(
            Unit("raised", text, f"line {number}", name, tuple(self.frames), self.linked, depth)
        )
        self.frames, self.linked, self.open_message = [], False, MAX_MESSAGE_LINES

    def _extend(self, stripped: str) -> None:
        self.open_message -= 1
        if re.match(r"at [\w.$<>]+\(|\.\.\. \d+ more", stripped):
            return
        last = self.units[-1]
        self.units[-1] = replace(last, text=f"{last.text}\n{stripped}")

    def _line(self, number: int, stripped: str) -> None:
        if (told := named_exception(stripped)) is not None:
            self._raised(number, told[0], told[1], 0)
            self.open_message = 0
        said = level(stripped)
        role: Role = _ROLES.get(said or "", "error" if said else "plain")
        wrapped = _WRAPPER_TEXT.match(stripped)
        inner = wrapped["inner"] if wrapped else stripped
        named = _INLINE.search(inner) if role != "info" else None
        if wrapped and not named:
            # The class alone, or one whose name does not sound like an error.
            header = _HEADER.match(inner)
            named = header if header and ("." in header["name"] or _ERRORISH.search(header["name"])) else None
        name = named["name"] if named else ""
        if wrapped and named:
            role = "raised"
        self.units.append(Unit(role, inner if wrapped else stripped, f"line {number}", name))
        # Rust writes where it stopped on one line and at what on the next.
        goes_on = role == "raised" or ("panicked at" in stripped and stripped.endswith(":"))
        self.open_message = MAX_MESSAGE_LINES if goes_on else 0

    def finish(self) -> list[Unit]:
        """Return what was read, in the order of the text."""
        last = self.units[-1] if self.units else None
        if self.frames and last is not None and last.role == "raised" and not last.frames:
            # Shortened texts tell the exception first and its frames after it.
            self.units[-1] = replace(last, frames=tuple(self.frames))
        return self.units


def _depth(line: str) -> tuple[int, str]:
    """Return how deep in an ExceptionGroup a line stands, and the line without its margin."""
    match = _GROUP_PREFIX.match(line)
    if match is None or not ("|" in match[1] or "+-" in match[1]):
        return 0, line
    return match[1].rfind("|") + 1, line[match.end() :]


def _ordered(units: list[Unit]) -> tuple[Unit, ...]:
    """Put the root first: of linked chains the last, its first exception; deepest in groups; last in Java."""
    chains: list[list[Unit]] = []
    others: list[Unit] = []
    for unit in units:
        if unit.role != "raised":
            others.append(unit)
        elif chains and (unit.linked or unit.depth or chains[-1][-1].depth > 0):
            chains[-1].append(unit)
        else:
            chains.append([unit])
    ordered = [
        unit for chain in reversed(chains) for unit in _own_led(sorted(chain, key=lambda unit: -unit.depth))
    ]
    # A retried step tells the same thing again and again: once is enough.
    unique = list({(unit.role, unit.text): unit for unit in reversed(ordered)}.values())[::-1]
    rank = {"error": 0, "plain": 1, "warning": 2, "info": 3}
    placed = sorted(enumerate(others), key=lambda item: (rank[item[1].role], -item[0]))
    return (*unique, *{(unit.role, unit.text): unit for _, unit in placed}.values())


def _own_led(chain: list[Unit]) -> list[Unit]:
    """Give an exception that a library caught and raised anew the frames of the code that called it.

    Python tells them of the last exception of a chain only.
    """
    led: tuple[Frame, ...] = ()
    known = []
    for unit in reversed(chain):
        if unit.own_frame is not None:
            led = tuple(frame for frame in unit.frames if frame.own)
            known.append(unit)
        else:
            known.append(replace(unit, frames=(*led, *unit.frames)) if unit.frames else unit)
    return known[::-1]
