"""The one way to remove secrets from text and JSON before it is stored, shown, logged or sent.

What is recognised: tokens by the prefix their issuer gives them, values by the keyword they are assigned
to, authorization headers, credentials in URLs, private keys, and values the caller knows to be secret. No
rule looks at randomness alone: run ids and commit hashes look as random as keys do. The marker keeps the
shape (``ghp_…(redacted)``, ``password=…(redacted)``), so that a diagnosis still sees that a token was there.
Every rule is linear in the length of the text: a rule either starts at a rare literal or is bounded.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "…(redacted)"
"""What stands where a secret stood."""

SHORTEST_KNOWN = 4
"""Known values shorter than this are not searched for: they would hit ordinary words."""

_DEEPEST = 64
_PASSES = 8
_SHORTEST_LOOSE = 6
_LONG = 20
_LONGEST_NAME = 256


# --- Tokens their issuer marks with a prefix: (kept prefix, body that is removed), both regular expressions.
_TOKENS: tuple[tuple[str, str, str], ...] = (
    # literal that must occur, kept prefix, removed body
    ("AKIA", "AKIA", r"[A-Z0-9]{16}"),
    ("ASIA", "ASIA", r"[A-Z0-9]{16}"),
    ("gh", "gh[pousr]_", r"[A-Za-z0-9]{16,}"),
    ("github_pat_", "github_pat_", r"\w{16,}"),
    ("gl", "gl(?:pat|ptt|dt|rt|cbt|soat|agent)-", r"[\w-]{16,}"),
    ("xo", r"xox[abeoprs][-.]", r"[\w.-]{8,}"),
    ("xapp-", "xapp-", r"[\w-]{8,}"),
    ("k_", "[sr]k_(?:live|test)_", r"[A-Za-z0-9]{8,}"),
    ("whsec_", "whsec_", r"[A-Za-z0-9+/=]{8,}"),
    ("sk-", "sk-(?:ant-|proj-|or-|svcacct-)?", r"(?=[\w-]{0,64}\d)[\w-]{16,}"),
    ("AIza", "AIza", r"[\w-]{30,}"),
    ("ya29.", r"ya29\.", r"[\w.-]{16,}"),
    ("GOCSPX-", "GOCSPX-", r"[\w-]{16,}"),
    ("1//0", "1//0", r"[\w-]{24,}"),
    ("npm_", "npm_", r"[A-Za-z0-9]{30,}"),
    ("pypi-", "pypi-", r"[\w-]{30,}"),
    ("hf_", "hf_", r"[A-Za-z0-9]{24,}"),
    ("pn", "pn[ub]_", r"[A-Za-z0-9]{24,}"),
    ("dapi", "dapi", r"[0-9a-f]{32}(?:-\d+)?"),
    ("_v1_", "do[opr]_v1_", r"[0-9a-f]{32,}"),
    ("secret_", "secret_", r"(?=\w{0,64}\d)[A-Za-z0-9]{32,}"),
    ("ntn_", "ntn_", r"[A-Za-z0-9]{24,}"),
    ("pat", "pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{32,}"),
    ("pat-", r"pat-(?:na|eu|ap)\d-", r"[0-9a-f-]{24,}"),
    ("lin_", "lin_(?:api|oauth)_", r"[A-Za-z0-9]{16,}"),
    ("shp", "shp(?:at|ca|pa|ss)_", r"[0-9a-fA-F]{24,}"),
    ("sq0", "sq0(?:atp|csp|idp)-", r"[\w-]{20,}"),
    ("EAA", "EAA", r"(?=[A-Za-z]{0,64}\d)[A-Za-z0-9]{40,}"),
    ("ATATT", "ATATT", r"[\w=-]{20,}"),
    ("figd_", "figd_", r"[\w-]{20,}"),
    ("glsa_", "glsa_", r"\w{20,}"),
    ("sntry", "sntry[su]_", r"[\w=-]{20,}"),
    ("hv", r"hv[sbr]\.", r"[\w-]{20,}"),
    ("dckr_", "dckr_(?:pat|oat)_", r"[\w-]{20,}"),
    ("gsk_", "gsk_", r"[A-Za-z0-9]{24,}"),
    ("xai-", "xai-", r"[A-Za-z0-9]{24,}"),
    ("r8_", "r8_", r"[A-Za-z0-9]{24,}"),
    ("pplx-", "pplx-", r"[A-Za-z0-9]{24,}"),
    ("sbp_", "sbp_", r"[0-9a-f]{24,}"),
    ("SK", "SK", r"[0-9a-f]{32}"),
    ("key-", "key-", r"[0-9a-f]{32}"),
    (":AA", r"\d{8,10}:AA", r"[\w-]{30,}"),
    ("AGE-SECRET-KEY-", "AGE-SECRET-KEY-1", r"[A-Z0-9]{20,}"),
    ("SSWS", "SSWS ", r"[\w-]{16,}"),
    ("hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/", r"[\w/]{8,}"),
    ("/webhooks/", r"discord(?:app)?\.com/api/webhooks/\d{1,24}/", r"[\w-]{8,}"),
    ("/webhookb2/", r"webhook\.office\.com/webhookb2/", r"[\w@/-]{8,}"),
    ("api.telegram.org", r"api\.telegram\.org/bot", r"[\w:-]{8,}"),
)

# --- Keywords. A value assigned to a strong one is removed; to a weak one when it looks like a secret.
_STRONG = (
    r"password|passwd|passphrase|(?<![a-z])pwd|client[_-]?secret|secret[_-]?(?:access[_-]?)?key(?:_base)?"
    r"|api[_-]?(?:secret|key|token)|access[_-]?key(?![_-]?id)|private[_-]?key|signing[_-]?(?:key|secret)"
    r"|encryption[_-]?key|account[_-]?key|shared[_-]?access[_-]?(?:key(?!name)|signature)|access[_-]?token"
    r"|refresh[_-]?token|id[_-]?token|auth[_-]?token|session[_-]?token|security[_-]?token|bot[_-]?token"
    r"|webhook[_-]?secret|auth[_-]?string|subscription[_-]?key|x-amz-(?:signature|credential)"
)
_WEAK = r"(?<!page_)(?<!next_)(?<!sync_)(?<!continuation_)token|secret|credentials?|(?<![a-z])otp"
_UNIT = re.escape(MARK)
_ASSIGN = r"\d{0,3}(?:\\*[\"'])?\]?[ \t]{0,3}(?:=>|:=|=|:)[ \t]{0,3}(?:[brfu]?(?=\\*[\"']))?"
_VALUE = (
    r"(?:(?P<quote>\\*[\"'])(?P<quoted>(?:(?!(?P=quote))[^\n])*)"
    rf"|(?P<bare>(?:{_UNIT}|[^\s\"'&,;<>\\)}}\]])+))"
)
_ORDINARY = re.compile(
    r"(?i)(?:none|null|nil|true|false|yes|no|str|string|int|bool|bytes|optional|secretstr|any|required|missing"
    r"|invalid|incorrect|wrong|expired|empty|unset|not|must|is|was|the|a|an|has|should|can|cannot|may|will|does"
    r"|for|of|and|or|in|to|at|be|only|too|with|field|authentication|mismatch|rejected|denied|failed|unknown"
    r"|undefined|revoked|\*+|x{3,}|\.{3,}|-+)[.:!?|(\[]*"
)
_PLACEHOLDER = re.compile(r"\$[A-Z_][A-Z0-9_]*|\$\{[A-Za-z_]\w*\}?|\{\{.*|%\(?\w+\)?s|\{[A-Za-z_][\w.]*\}?")
_REFERENCE = re.compile(r"\$\{\w{1,100}\}|\{\{[^{}]{1,100}\}\}")
_CODE = re.compile(r"[A-Za-z_][\w.]*[(\[]\w*")
_ONE_CASE_WORD = re.compile(r"[A-Z]?[a-z]+[.:!?]?|[A-Z_]+[.:!?]?")


def _is_ordinary(value: str) -> bool:
    """Tell whether an assigned value is a common word or a placeholder rather than a secret."""
    bare = value.strip("[(<")
    return _ORDINARY.fullmatch(bare) is not None or _PLACEHOLDER.fullmatch(bare) is not None


_EXCEPTION = re.compile(
    r"(?:[a-z_]\w{0,40}\.){0,8}[A-Z][A-Za-z]{2,60}(?:Error|Exception|Timeout|Denied|Failure|Fault):?"
)
"""The class of an exception, which follows the words that tell its cause."""


def _looks_secret(value: str) -> bool:
    """Tell whether a value after a word that is common in prose can be a secret, not a word itself."""
    if len(value) < _SHORTEST_LOOSE or " " in value or _EXCEPTION.fullmatch(value):
        return False
    return len(value) >= _LONG or any(sign.isdigit() for sign in value)


def _remove_strong(match: re.Match[str]) -> str:
    head, quoted, bare = match["head"], match["quoted"], match["bare"]
    if bare is None:
        return match[0] if not quoted or _is_ordinary(quoted) else f"{head}{match['quote']}{MARK}"
    is_path = head[:3].lower() == "pwd" and bare.startswith("/")
    # PASSWORD = os.environ["X"] and get_secret() are code: the value stops at the quote or bracket.
    is_code = _CODE.fullmatch(bare) is not None and match.string[match.end() : match.end() + 1] in "\"')]\\"
    return match[0] if is_path or is_code or _is_ordinary(bare) else f"{head}{MARK}"


def _remove_weak(match: re.Match[str]) -> str:
    value = match["quoted"] if match["bare"] is None else match["bare"]
    return f"{match['head']}{match['quote'] or ''}{MARK}" if _looks_secret(value) else match[0]


def _remove_bearer(match: re.Match[str]) -> str:
    return f"{match['head']}{MARK}" if _looks_secret(match["body"]) else match[0]


def _remove_basic(match: re.Match[str]) -> str:
    """Remove what follows ``Basic`` only where it decodes to ``user:password``: prose has the word too."""
    body = match["body"].rstrip("=")
    plain = base64.b64decode(body[: len(body) // 4 * 4])
    return f"{match['head']}{MARK}" if b":" in plain else match[0]


def _remove_header(match: re.Match[str]) -> str:
    body = match["body"]
    if match["scheme"] is None and (_is_ordinary(body) or _ONE_CASE_WORD.fullmatch(body)):
        return match[0]
    return f"{match['head']}{match['scheme'] or ''}{MARK}"


Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[tuple[str, ...] | re.Pattern[str], re.Pattern[str], Replacement]
"""What must occur in lower case (a literal or a cheap pattern), what is looked for, what replaces it."""

_BODY = rf"(?:{_UNIT}|[\w.~+/=|:@-])+"
_DATABASES = r"postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|oracle|snowflake|clickhouse"
# Cheap, on lower-case text and wider than both keyword rules: most lines end here.
_KEYWORDS = re.compile(
    r"(?:pass|pwd|secret|key|token|auth|shared|x-amz|credential|otp)[\w-]{0,24}\\*[\"']?\]?[ \t]{0,3}[=:]"
)

_RULES: tuple[Rule, ...] = (
    (
        ("private key",),
        re.compile(
            r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[^-]*(?:-(?!----)[^-]*)*(?=-----END )"
        ),
        rf"\1{MARK}",
    ),
    (
        ("private key",),  # cut off before its end: only what looks like the body goes
        re.compile(
            r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{20,})+"
        ),
        rf"\1{MARK}",
    ),
    (
        ("authorization",),
        re.compile(
            r"(?i)(?P<head>authorization(?:\\*[\"'])?[ \t]{0,3}[:=,][ \t]{0,3}(?:b?\\*[\"'])?)"
            r"(?P<scheme>(?:digest|oauth|aws4-hmac-sha256|negotiate)[ ]+)(?P<body>[^\n]+)"
        ),
        _remove_header,
    ),
    (
        ("authorization",),
        re.compile(
            r"(?i)(?P<head>authorization(?:\\*[\"'])?[ \t]{0,3}[:=,][ \t]{0,3}(?:b?\\*[\"'])?)"
            r"(?P<scheme>(?:bearer|basic|token|apikey|api-key|bot|ssws|key|hmac|sharedkey|genie-?key)[ =]+)?"
            rf"(?P<body>(?:{_UNIT}|[^\s\"'\\,;)}}\]])+)"
        ),
        _remove_header,
    ),
    (
        ("cookie",),
        re.compile(r"(?i)(cookie(?:\\*[\"'])?[ \t]{0,3}:[ \t]{0,3}(?:\\*[\"'])?[^\s\"'=;:]{1,64}=)[^\n\"']+"),
        rf"\1{MARK}",
    ),
    (("bearer",), re.compile(rf"(?i)(?P<head>\bbearer[ ]{{1,3}})(?P<body>{_BODY})"), _remove_bearer),
    (
        ("basic",),
        re.compile(r"(?i)(?P<head>\bbasic[ ]{1,3})(?P<body>[A-Za-z0-9+/]{6,}={0,2})"),
        _remove_basic,
    ),
    (
        ("://",),  # a password with a raw slash or at sign is common in database URLs only
        re.compile(rf"(?i)((?:{_DATABASES})(?:\+\w{{1,20}})?://[^\s/:@\"']{{0,256}}:)[^\s\"'<>]{{1,256}}@"),
        rf"\1{MARK}@",
    ),
    (("://",), re.compile(r"(?<=://)([^\s/:@\"'<>]*:)[^\s/\"'<>?#]+@"), rf"\1{MARK}@"),
    (("://",), re.compile(r"(?<=://)[A-Za-z0-9_.~-]{16,}(?=@)"), MARK),
    (
        ("sig=", "signature=", "key=", "code=", "hmac=", "auth="),
        re.compile(
            r"(?i)([?&](?:\w{0,24}-)?(?:sig|signature|key|code|hmac|auth)=)(?=\D{0,64}\d)[\w%+/=~.-]{16,}"
        ),
        rf"\1{MARK}",
    ),
    (_KEYWORDS, re.compile(rf"(?i)(?P<head>(?:{_STRONG}){_ASSIGN}){_VALUE}"), _remove_strong),
    (_KEYWORDS, re.compile(rf"(?i)(?P<head>(?:{_WEAK}){_ASSIGN}){_VALUE}"), _remove_weak),
    (
        ("--",),
        re.compile(
            r"(?i)(?P<head>(?<!-)--[\w-]{0,32}(?:password|token|secret|key)[ ]+)"
            r"(?:(?P<quote>[\"'])(?P<quoted>[^\n\"']*)|(?P<bare>[^\s\"']+))"
        ),
        _remove_weak,
    ),
    (
        ("curl", "-u ", "--user "),
        re.compile(r"((?:\s|^)(?:-u|--user)[ =]{1,2}[\"']?[^\s:\"']{1,128}:)[^\s\"']+"),
        rf"\1{MARK}",
    ),
    *(
        ((literal.lower(),), re.compile(rf"(?<![A-Za-z0-9])({prefix}){body}"), rf"\1{MARK}")
        for literal, prefix, body in _TOKENS
    ),
    (
        ("eyj",),
        re.compile(r"(?<![\w-])(eyJ)[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"),
        rf"\1{MARK}",
    ),
    (("sg.",), re.compile(r"(?<![\w-])(SG\.)[\w-]{16,}\.[\w-]{16,}"), rf"\1{MARK}"),
)


# Most texts of a run are ids, times and single words; the shortest secret of the tables has 14 signs.
_HARMLESS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\d:TZ.+-]{0,40}|\w{0,13}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without what is recognised as a secret and without the values given in ``secrets``.

    Idempotent: what was redacted once is left as it is.
    """
    text = _remove_known(text, secrets)
    if _HARMLESS.fullmatch(text):
        return text
    # What a rule leaves may complete a pattern of an earlier one: go on until nothing changes.
    for _ in range(_PASSES):
        before = text
        lowered = text.lower()
        for literals, pattern, replacement in _RULES:
            if _occurs(literals, lowered):
                text = pattern.sub(replacement, text)
        if text == before:
            break
    return text


def _occurs(literals: tuple[str, ...] | re.Pattern[str], text: str) -> bool:
    if isinstance(literals, re.Pattern):
        return literals.search(text) is not None
    # A plain loop: a generator costs three times as much, and this runs for every rule and line.
    for literal in literals:  # noqa: SIM110  # see above
        if literal in text:
            return True
    return False


def redact_value(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return nested JSON without secrets: texts go through ``redact``, values under secret names are removed.

    Nothing, booleans and empty texts stay: that a password is missing is no secret. Below 64 levels
    everything is removed.
    """
    return _redact_nested(value, tuple(secrets), hidden=False, level=0)


def _redact_nested(value: Any, secrets: tuple[str, ...], *, hidden: bool, level: int) -> Any:
    if value is None or isinstance(value, bool) or value == "":
        return value
    if level > _DEEPEST:
        return MARK
    if isinstance(value, Mapping):
        pair = any(
            isinstance(name := value.get(field), str) and is_secret_name(redact(name, secrets))
            for field in _PAIR_NAMES
        )
        shown: dict[Any, Any] = {}
        for key, inner in value.items():
            field = _redact_key(key, secrets) if isinstance(key, str) else key
            secret = hidden or is_secret_name(str(field)) or (pair and field in _PAIR_VALUES)
            shown[field] = _redact_nested(inner, secrets, hidden=secret, level=level + 1)
        return shown
    if isinstance(value, list | tuple):
        return [_redact_nested(inner, secrets, hidden=hidden, level=level + 1) for inner in value]
    if isinstance(value, str):
        # A reference (a template, a block) names a secret without holding it.
        return MARK if hidden and not _REFERENCE.fullmatch(value) else redact(value, secrets)
    return MARK if hidden else value


@lru_cache(maxsize=4096)
def _redact_key(key: str, secrets: tuple[str, ...]) -> str:
    # The same few names come with every value.
    return redact(key, secrets)


_SECRET_NAME = re.compile(
    r"(?:.*(?:password|passwd|passphrase|secret|apikey|apitoken|accesskey|privatekey|secretkey|signingkey"
    r"|encryptionkey|accountkey|authorization|credentials?|cookies?|authstring)|(?:db|my|user)?pwd|auth|bearer|otp"
    r"|.*(?<!page)(?<!next)(?<!continuation)(?<!sync)(?<!lease)(?<!fencing)(?<!cancellation)token|xapikey"
    r"|subscriptionkey|sharedaccesssignature|secretid|clientkeydata|privatekeypem)\d{0,2}"
)
_PAIR_NAMES = ("name", "key", "header")  # {"name": "X-Api-Key", "value": …}
_PAIR_VALUES = ("value", "content")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds a secret: password, token, authorization, api_key and the like.

    A name that only speaks about one (``token_type``, ``secret_name``, ``access_key_id``) does not.
    """
    return (
        len(name) <= _LONGEST_NAME
        and _SECRET_NAME.fullmatch(re.sub(r"[^a-z0-9]", "", name.lower())) is not None
    )


def _remove_known(text: str, secrets: Iterable[str]) -> str:
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST_KNOWN and not secret.isspace():
            encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii")
            quoted = (quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace"))
            forms |= {secret, *quoted, json.dumps(secret)[1:-1], encoded}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        if form in text:
            # Never inside a marker, or a secret named "redacted" would grow with every pass.
            text = MARK.join(piece.replace(form, MARK) for piece in text.split(MARK))
    return text
