"""Foreign text made bearable: escape codes removed, lines and size bounded, ids masked for fingerprints."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import reduce
from itertools import accumulate

EDGE_CHARACTERS = 8 * 1024
"""A longer line keeps its first and last 8 KB."""
EDGE_TEXT = 1024 * 1024
"""A longer text keeps its first and last MB before lines are looked at."""
EDGE_SEARCHED = (3072, 1024)
"""Characters at the head and tail of a message that expressions are tried on; words are looked for in all."""
HEAD_LINES = 300
TAIL_LINES = 900
MARKED_LINES = 600

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_RELAYED = re.compile(
    r"^\[[\d-]{10}[^\]\n]{0,30}\] \{+"
    r"(?:subprocess|process_utils|bash|pod_manager|kubernetes_pod|docker|ssh|logging_mixin)\.py:\d+\}+"
    r" (?:INFO|WARNING|ERROR) - "
)
"""What Airflow writes before each line that a program, a pod or a container said."""
_FOLDED = re.compile(r"Traceback \(most recent call last\):\\n|\\n\\tat [\w$.]+\(|\\n +at [\w$.<>]+ ?\(")
"""A traceback of Python, Java or Node whose line ends are written as characters."""
_THROWN = re.compile(
    r"(?:libc\+\+abi: )?terminat"
    r"(?:e called after throwing an instance of '|ing (?:with|due to) uncaught exception of type )"
    r"(?P<scope>(?:\w+::)*)(?P<name>\w+)'?(?:(?P<end>\n) *what\(\): +(?P<what>.*)|: +(?P<said>.*))?"
)
"""How the C++ runtime tells what nobody caught (libstdc++, libc++)."""
_COMMAND = re.compile(
    r"(\b(?:[Cc]ommand|[Pp]rocess) )(['\"`])\S[^\n]{0,2000}?\2"
    r"(?= (?:in [^\n]{1,80} )?(?:returned|died|did not complete|failed with|exited|terminated))"
)
_FRAME_BEGINS = '  File "'
LONGEST_PREFIX = 120
FAILS = re.compile(
    r"fail|err(?:or|no)|exception|traceback|fatal|denied|refus|time[ds]?.?out|lost|unable|cannot|can't"
    r"|could ?n|not |n't |missing|invalid|unexpected|abort|crash|kill|exceed|exhaust|reject|unavailable"
    r"|forbidden|expire|stuck|stop|closed|reset|broken|corrupt|conflict|wrong|illegal|unknown|unsupported"
    r"|no such|dead|late\b|terminat|interrupt|evict|preempt|limit|lock|too |bad |gone|cancel|slow|behind"
    r"|out of|full|down\b|wait",
    re.IGNORECASE,
)
"""Words of which at least one stands in any text that tells of a failure."""
LONGEST_HOLLOW = 400
_MASKS_OF_PLACES = re.compile(r"(?:[A-Za-z]:)?(?:[\\/]?[\w.@+~-]+)?(?:[\\/][\w.@+~-]+)+")
_LETTERS = re.compile(r"[a-z]+")
_OF_ENDINGS = frozenset(
    _LETTERS.findall(
        " a an and at by for from in is it of on the this that to was were with without has had have"
        " been be flow infrastructure container pod command process program script shell subprocess"
        " child bash sh python step task job rule line run runs exit exits exited exiting return"
        " returned returns end ended ends stop stopped halt halted terminate terminated abort aborted"
        " aborting execute executed executing execution finish finished done code codes status state"
        " signal number zero non nonzero unexpected unexpectedly abnormally error errors errored fail"
        " failed fails failure failures exception exceptions fatal caused cause called"
        " calledprocesserror runtimeexception runtimeerror ruleexception airflowexception see above"
        " below details log logs output following traceback java lang airflow recent call last"
        " encountered during"
    )
)
"""What is said of an end whatever led to it."""
FEWEST_RELAYED = 2
"""Lines that must begin alike before that is taken for a relay's."""
_MARKS = ("error", "exception", "traceback", "caused by", "fatal", "killed", "exit", "denied", "failed")

_LEVEL = re.compile(r"\b(DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE)\b", re.IGNORECASE)
STAMP = re.compile(
    r"^\W{0,3}(?:\d{4}[-/]\d\d[-/]\d\d|\d\d:\d\d:\d\d|\w{3} +\d+ \d\d:\d\d|[IWEF]\d{4} )"
    r"|^\W?(?:DEBUG|INFO|WARN|ERROR|CRITICAL|FATAL)"
)
_FIELD = re.compile(
    r"(?:^|[\s,{])\"?(?:level|levelname|lvl|severity|log\.level)\"?\s*[:=]\s*\"?"
    r"(debug|info|notice|warn(?:ing)?|error|err|critical|crit|fatal|severe)\b",
    re.IGNORECASE,
)
_STRUCTURED = re.compile(r"\{\s*\"|(?:time|ts|timestamp|level|lvl|severity)=", re.IGNORECASE)
"""How a line of JSON or of ``key=value`` pairs begins."""
_SHORT = {"err": "error", "crit": "critical"}
HEAD_OF_FIELDS = 400

# Ordered: what is longer or more specific is masked first (the method of Drain3).
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
        (r"\bhttps?://[^\s'\"<>)\]]+", "<url>"),
        (r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}", "<path>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d{4}-\d\d-\d\d\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
        (r"\b0x[0-9a-fA-F]+\b", "<hex>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", "<hex>"),
        (r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{16,}\b", "<id>"),
        (r"(?<![A-Za-z<])[-+]?\d+(?:[.,]\d+)*(?![A-Za-z>])", "<n>"),
        (r"\d+", "<n>"),
        (r"\s+", " "),
    )
)


def clean(text: str) -> str:
    """Return ``text`` without escape codes and control characters, bounded in size and line length."""
    if len(text) > 2 * EDGE_TEXT:
        text = f"{text[:EDGE_TEXT]}\n…\n{text[-EDGE_TEXT:]}"
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "\n".join(cut(line) for line in _bounded(text.split("\n")))
    # Looked for in what is kept only: a megabyte takes milliseconds.
    return _CONTROL.sub(" ", kept) if _CONTROL.search(kept) else kept


def unfolded(text: str) -> str:
    """Return ``text`` with tracebacks that JSON or a ``repr`` holds in one line as lines of their own."""
    if "\\n" not in text:
        return text
    return "\n".join(
        line.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"') if _FOLDED.search(line) else line
        for line in text.split("\n")
    )


def thrown(text: str) -> str:
    """Return ``text`` with what a C++ program died of written as other languages write their exceptions.

    Lines keep their numbers: the message stands beside the class, and its own line is left empty.
    """
    return _THROWN.sub(_as_class, text) if "terminat" in text else text


def _as_class(match: re.Match[str]) -> str:
    name = match["name"]
    told = "".join(part.capitalize() for part in name.split("_")) if name.islower() else name
    message = match["what"] or match["said"] or "terminated"
    return f"cpp.{match['scope'].replace('::', '.')}{told}: {message}{match['end'] or ''}"


def without_relay(text: str) -> str:
    """Return ``text`` without what a relay of another program's output wrote before each of its lines.

    A time, a level or the name of a container before the frames of a traceback is no part of them.
    """
    lines = [_RELAYED.sub("", line, count=1) for line in text.split("\n")]
    before = next((shape for shape in map(_before_frame, lines) if shape), None)
    if before is not None and sum(before.match(line) is not None for line in lines) >= FEWEST_RELAYED:
        lines = [before.sub("", line, count=1) for line in lines]
    return "\n".join(lines)


def _before_frame(line: str) -> re.Pattern[str] | None:
    """Return the shape of what stands before a frame of a traceback; None where nothing does."""
    prefix, found, _ = line.partition(_FRAME_BEGINS)
    if not found or len(prefix) > LONGEST_PREFIX or not prefix.strip(" |+-\t"):
        return None
    return re.compile("^" + re.sub(r"\d+", r"\\d+", re.escape(prefix.rstrip())) + " ?")


def cut(line: str) -> str:
    """Return a long line as its head and tail of 8 KB each."""
    if len(line) <= 2 * EDGE_CHARACTERS:
        return line
    return f"{line[:EDGE_CHARACTERS]} … {line[-EDGE_CHARACTERS:]}"


def searched(text: str) -> str:
    """Return what expressions are tried on: of a long text its head and tail."""
    if len(text) <= EDGE_SEARCHED[0] + EDGE_SEARCHED[1]:
        return text
    return f"{text[: EDGE_SEARCHED[0]]} … {text[-EDGE_SEARCHED[1] :]}"


def without_command(text: str) -> str:
    """Return ``text`` without the command whose end it tells: the words of a command say nothing of why."""
    return _COMMAND.sub(r"\1", text) if "ommand " in text or "rocess " in text else text


def is_hollow(text: str) -> bool:
    """Tell whether a line or message says only that something ended: ``Process exited with status 1``."""
    if len(text) > LONGEST_HOLLOW:
        return False
    said = _MASKS_OF_PLACES.sub(" ", without_command(text))
    return not set(_LETTERS.findall(said.lower())) - _OF_ENDINGS


def _bounded(lines: list[str]) -> Iterable[str]:
    """Keep head, tail and, of the middle, the last lines that speak of failure."""
    if len(lines) <= HEAD_LINES + TAIL_LINES + MARKED_LINES:
        return lines
    middle = lines[HEAD_LINES:-TAIL_LINES]
    marked = [middle[place] for place in sorted(_marked(middle))[-MARKED_LINES:]]
    return [*lines[:HEAD_LINES], *marked, *lines[-TAIL_LINES:]]


def _marked(lines: list[str]) -> set[int]:
    """Return the places of the lines that hold a mark; each mark is looked for in all lines at once."""
    lowered = "\n".join(line[:4096] for line in lines).lower()
    ends = list(accumulate(len(line) + 1 for line in lowered.split("\n")))
    found: set[int] = set()
    for mark in _MARKS:
        at = lowered.find(mark)
        while at >= 0:
            place = bisect_right(ends, at)
            found.add(place)
            at = lowered.find(mark, ends[place])
    return found


def template(message: str) -> str:
    """Return a message with ids, times, addresses, paths, hexadecimal and other numbers masked."""
    return reduce(lambda text, mask: mask[0].sub(mask[1], text), _MASKS, cut(message)).strip()


def digest(parts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that stand for ``parts``."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def level(text: str) -> str | None:
    """Return the log level that a line begins with or has as a field, in lower case; None without one."""
    if _STRUCTURED.match(text) is not None:
        field = _FIELD.search(text[:HEAD_OF_FIELDS])
        return _SHORT.get(field[1].lower(), field[1].lower()) if field else None
    head = text[:140]
    if not STAMP.match(head):
        return None
    match = _LEVEL.search(head)
    return match[1].lower() if match else None
