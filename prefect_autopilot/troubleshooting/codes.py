"""The codes in a failure text: HTTP status, SQLSTATE, errno, gRPC status, exit code and signal.

Codes are few, documented and the same in every technology; words are not. Each is a string with its
kind in front: ``http:503``, ``sqlstate:40001``, ``errno:ECONNREFUSED``, ``grpc:UNAVAILABLE``,
``exit:137``, ``signal:SIGKILL``, ``ora:12541``, ``mysql:1213``, ``mssql:1205``, ``db2:911``,
``teradata:2631``. Numbers of other vendors are read by what they mean: ``means:deadlock`` (``vendors.toml``).
Classes that drivers name after such a code count as the code (``codes.toml``).
"""

from __future__ import annotations

import errno
import re
import signal
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources

from prefect_autopilot.troubleshooting.symbols import meanings

_PHRASES = (
    "Bad Request|Unauthorized|Payment Required|Forbidden|Not Found|Method Not Allowed|Not Acceptable|"
    "Request Timeout|Conflict|Gone|Payload Too Large|Request Entity Too Large|Unsupported Media Type|"
    "Unprocessable (?:Entity|Content)|Locked|Too Early|Too Many Requests|Internal Server Error|"
    "Proxy Authentication Required|Length Required|Precondition (?:Failed|Required)|Content Too Large|"
    "URI Too Long|Range Not Satisfiable|Expectation Failed|Misdirected Request|Failed Dependency|"
    "Upgrade Required|Request Header Fields Too Large|Unavailable For Legal Reasons|Insufficient Storage|"
    "Loop Detected|Not Implemented|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out"
)
_HTTP = re.compile(
    rf"\b([45]\d\d) (?:Client|Server) Error\b|\b([45]\d\d),? \(?(?:{_PHRASES})\b"
    r"|\bHTTP(?:/\d(?:\.\d)?)?[\"']?(?: (?:Error|status|code|response))*\s*[:=]?\s*([45]\d\d)\b"
    r"|<Response \[([45]\d\d)|\bResponse: ([45]\d\d)\b"
    r"|\b(?:http_?|response_?|api_?|error_)?(?:status|code)(?:[ _-]?code)?[\"']?"
    r"(?:\s*(?:[:=]|is|of)\s*|\s+)[\"'(]?([45]\d\d)\b"
    r"|(?:HttpError|RequestError|ApiException|ResponseError|APIError|HTTPError)\W{1,3}(?:error )?([45]\d\d)\b"
    r"|: ([45]\d\d) \{[\"']"
    r"|^(?!ftplib|smtplib|imaplib|poplib)(?:[\w.]+: )?\(?([45]\d\d)\)?(?:[ :,]|$)"
    r"|\b(?:returned|answered|responded(?: with)?|got|received|failed with)"
    r"(?: (?:a|an|http|status|code|error))*:? ([45]\d\d)\b"
    r"|\b([45]\d\d) (?:from|on|for|at) (?:/|https?:|(?:GET|POST|PUT|PATCH|DELETE|HEAD) )"
    r"|\b(?:GET|POST|PUT|PATCH|DELETE|HEAD) \S{1,200} (?:-+>|=+>|returned|failed:?|status:?)? ?([45]\d\d)\b",
    re.IGNORECASE,
)
_PHRASE_STATUS = re.compile(
    r"(?<![.,:\d])\b(429|50[0-4]|40[0-9])\b[^\n]{0,40}\b(?:error|response|status)\b", re.IGNORECASE
)
_STATUS_LIKE = re.compile(r"[45]\d\d")
_SQLSTATE = re.compile(
    r"(?:(?i:SQL[ _]?STATE)|Exception\.Code)[\"']?\W{0,4}([0-9A-Z]{5})\b"
    r"|\[([0-9A-Z]{2}[0-9A-Z]\d\d)\]|\('([0-9A-Z]{2}[0-9A-Z]\d\d)',"
    r"|\b(?:pgcode|state)[=: '\"]+([0-9A-Z]{5})\b"
    r"|'(?:C|code)': '([0-9A-Z]{5})'|\bcode: \\?[\"']([0-9A-Z]{5})\\?[\"']"  # Redshift; Node and Rust
    r"|\b\d{6} \(([0-9A-Z]{5})\)"  # Snowflake, behind its own number
)
_ERRNO = re.compile(
    r"\[Errno (-?\d+)\]|\[WinError (1\d{4})\]|\berrno[=: ]+(\d+)\b|\((?:os error|errno) (\d+)\)"
    r"|\bmount error\((\d+)\)"
    # Wrapped in another exception, an OSError is shown with its number first.
    r"|\b(?:OS|IO|Permission|FileNotFound|BlockingIO|BrokenPipe|Timeout|Connection\w*)Error"
    r"\((\d{1,3}), ['\"]",
    re.IGNORECASE,
)
_ERRNO_NAME = re.compile(r"\b(E(?:AI_)?[A-Z]{3,14}\d?)\b")
_GRPC_NAMES = (
    "CANCELLED|UNKNOWN|INVALID_ARGUMENT|DEADLINE_EXCEEDED|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|"
    "RESOURCE_EXHAUSTED|FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|"
    "DATA_LOSS|UNAUTHENTICATED"
)
_GRPC = re.compile(rf"(?:StatusCode\.|status ?[=:] ?[\"']?|Exception: |code ?[=:] ?[\"']?)({_GRPC_NAMES})\b")
_GRPC_CAMEL = re.compile(r"\brpc error: code = ([A-Z][A-Za-z]+)")
_GRPC_NUMBER = re.compile(r"\bgrpc[_-]status[\"']?\s*[:=]\s*[\"']?(\d{1,2})\b", re.IGNORECASE)
_EXIT = re.compile(
    r"\bexit(?:ed|s)?(?: (?:with|by|status|code|non-?zero|return|error|exit|a|the))*"
    r"(?:[ _]?(?:status|code))*[\"']?\s*[:=(\[]?\s*[\"']?(-?\d{1,3})\b"
    r"|\b(?:return(?:ed)?|exit)[ _]?(?:exit )?(?:code|status)[\"']?\s*(?:[:=]|of|is)?\s*(-?\d{1,3})\b"
    r"|\*\*\* \[[^\]\n]{1,80}\] Error (\d{1,3})\b"
    r"|\b(?:ended|finished|stopped|left) with (12[4-7]|13[0-9]|14[0-9]|255|1|-\d{1,2})\b(?! ?\w)"
    r"|\brc[\"']?[=:] ?(\d{1,3})\b"
    r"|\breturned non-zero exit status (-?\d{1,3})\b|\b(?:status|code)(?: code)?(?:: |=)(-\d{1,2})\b",
    re.IGNORECASE,
)
_SIGNAL = re.compile(r"\b(SIG(?:KILL|TERM|SEGV|ABRT|BUS|INT|HUP|ILL|FPE|XCPU|PIPE))\b")
_SIGNAL_WORD = re.compile(
    r"\bsignal: (killed|terminated|aborted|segmentation fault)\b|^(Killed|Terminated)$"
    r"|\b([Ss]egmentation [Ff]ault|[Bb]us error)\b",
    re.MULTILINE,
)
"""How Go and shells name a signal."""
_SIGNAL_WORDS = {
    "killed": "SIGKILL",
    "terminated": "SIGTERM",
    "aborted": "SIGABRT",
    "segmentation fault": "SIGSEGV",
    "bus error": "SIGBUS",
}
_SIGNAL_NUMBER = re.compile(r"\b(?:signal|killed by signal)[ :=]+(\d{1,2})\b", re.IGNORECASE)
_ORACLE = re.compile(r"\b(?:ORA|DPY|DPI|TNS)-(\d{4,5})\b")
_MYSQL = re.compile(
    r"\((\d{4}), [\"']|\b(?:ERROR|Error) (\d{4})(?: \(|: [A-Z])"
    r"|\bmysql[^\n]{0,60}\b(?:error|errno)[ :]+(\d{4})\b"
    r"|^(\d{4}) \(\w{5}\)"
)
_MSSQL = re.compile(
    r"\bMsg (\d{3,5})\b|\[SQL Server\][^\n]{0,400}\((\d{3,5})\)|\bMSSQL error (\d{3,5})", re.IGNORECASE
)
_DB2 = re.compile(r"\bSQLCODE[=: ]+-?(\d{2,5})\b|\bSQL(\d{4,5})[NC]\b")
_TERADATA = re.compile(r"\[Teradata Database\]\s*(?:\[TeraJDBC[^\]]*\]\s*)?\[Error (\d{4,5})\]")
_SMTP = re.compile(
    r"\bSMTP\w*\W{1,3}(?:\{[^}]{0,80}: )?\(?(\d{3})\b|\b(?:smtp|mail)[^\n]{0,40}\b([45]\d\d) [45]\.\d\.\d+",
    re.IGNORECASE,
)

_VENDORS = (
    ("ora", _ORACLE, ("ora-", "dpy-", "dpi-", "tns-")),
    ("mysql", _MYSQL, ("(", "mysql", "error 1", "error 2", "error 3")),
    ("mssql", _MSSQL, ("msg ", "sql")),
    ("smtp", _SMTP, ("smtp", "mail")),
    ("db2", _DB2, ("sqlcode", "sql0", "sql1", "sql3")),
    ("teradata", _TERADATA, ("teradata",)),
)
"""Vendor, expression, and the words without one of which the expression finds nothing."""
_SIGNALS = {number.value: number.name for number in signal.Signals}
# Windows and macOS number the same conditions differently.
_FOREIGN_ERRNO = {
    10061: "ECONNREFUSED", 10060: "ETIMEDOUT", 10054: "ECONNRESET", 10053: "ECONNABORTED",
    10065: "EHOSTUNREACH",
    10051: "ENETUNREACH", 10048: "EADDRINUSE", 10055: "ENOBUFS", 11001: "EAI_NONAME", -2: "EAI_NONAME",
    -3: "EAI_AGAIN", -5: "EAI_NODATA",
}  # fmt: skip
_KNOWN_ERRNO = frozenset(errno.errorcode.values()) | {
    "EAI_NONAME",
    "EAI_AGAIN",
    "EAI_NODATA",
    "ENOTFOUND",
    "ESOCKETTIMEDOUT",
}
_GRPC_BY_NUMBER = dict(enumerate(("OK", *_GRPC_NAMES.split("|"))))
_SQLSTATE_CLASSES = frozenset(
    {"01", "02", "03", "08", "0A", "21", "22", "23", "24", "25", "26", "28", "2B", "34", "39", "3D", "3F"}
    | {"40", "42", "44", "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX", "HY", "IM", "S0"}
)
SHELL_SIGNAL_BASE = 128


def find_codes(text: str) -> frozenset[str]:
    """Return every code that ``text`` names, each as ``kind:value``."""
    return frozenset(code for finder in _FINDERS for code in finder(text))


def http_status(codes: frozenset[str]) -> int | None:
    """Return the HTTP status among ``codes``; of several the one that is most telling."""
    found = sorted(int(code[5:]) for code in codes if code.startswith("http:"))
    for telling in (429, 401, 403):
        if telling in found:
            return telling
    return found[-1] if found else None


def _groups(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        value = next((group for group in match.groups() if group), None)
        if value is not None:
            yield value


def _http(text: str) -> Iterator[str]:
    if not _STATUS_LIKE.search(text):
        return
    for status in (*_groups(_HTTP, text), *_groups(_PHRASE_STATUS, text)):
        yield f"http:{status}"


def _sqlstate(text: str) -> Iterator[str]:
    for state in _groups(_SQLSTATE, text):
        if state[:2] in _SQLSTATE_CLASSES:
            yield f"sqlstate:{state}"


def _errno(text: str) -> Iterator[str]:
    for value in _groups(_ERRNO, text):
        number = int(value)
        name = _FOREIGN_ERRNO.get(number) or errno.errorcode.get(number)
        if name:
            yield f"errno:{name}"
    for name in _ERRNO_NAME.findall(text):
        if name in _KNOWN_ERRNO:
            yield f"errno:{name}"


def _grpc(text: str) -> Iterator[str]:
    for name in _GRPC.findall(text):
        yield f"grpc:{name}"
    for name in _GRPC_CAMEL.findall(text):
        yield "grpc:" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
    for number in _GRPC_NUMBER.findall(text):
        name = _GRPC_BY_NUMBER.get(int(number), "OK")
        if name != "OK":
            yield f"grpc:{name}"


def _process(text: str) -> Iterator[str]:
    for value in _groups(_EXIT, text):
        code = int(value)
        # A shell reports 128 + n for a death by signal n, Python reports -n.
        name = _SIGNALS.get(-code if code < 0 else code - SHELL_SIGNAL_BASE)
        yield f"exit:{code}"
        if name:
            yield f"signal:{name}"
    for name in _SIGNAL.findall(text):
        yield f"signal:{name}"
    for word in _groups(_SIGNAL_WORD, text):
        yield f"signal:{_SIGNAL_WORDS[word.lower()]}"
    for value in _SIGNAL_NUMBER.findall(text):
        if int(value) in _SIGNALS:
            yield f"signal:{_SIGNALS[int(value)]}"


def _vendors(text: str) -> Iterator[str]:
    lowered = text.lower()
    for kind, pattern, words in _VENDORS:
        if any(word in lowered for word in words):
            for value in _groups(pattern, text):
                yield f"{kind}:{int(value)}"


@cache
def _named() -> tuple[tuple[str, tuple[str, ...], re.Pattern[str], dict[str, str]], ...]:
    """Return for each kind its modules, what finds a class below them, and the codes of the classes."""
    file = resources.files("prefect_autopilot.troubleshooting") / "codes.toml"
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(
        (
            kind,
            tuple(table["modules"]),
            re.compile(rf"\b(?:{_longest_first(table['modules'])})\.(\w+?)(?:Error)?\b"),
            table["classes"],
        )
        for kind, table in document.items()
    )


def _longest_first(modules: list[str]) -> str:
    """Return an expression for any of the modules, a package within another before the other."""
    return "|".join(map(re.escape, sorted(modules, key=len, reverse=True)))


def _classes(text: str) -> Iterator[str]:
    for kind, modules, pattern, codes in _named():
        if any(module in text for module in modules):
            for name in pattern.findall(text):
                if name in codes:
                    yield f"{kind}:{codes[name]}"


_FINDERS: tuple[Callable[[str], Iterator[str]], ...] = (
    _http, _sqlstate, _errno, _grpc, _process, _vendors, _classes, meanings,
)  # fmt: skip
