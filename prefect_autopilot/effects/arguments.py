"""Readings of call arguments that decide what a library call does: method, mode, SQL text, headers."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from prefect_autopilot.effects import sql
from prefect_autopilot.effects.module import walked
from prefect_autopilot.effects.scope import PLAIN, Scope
from prefect_autopilot.effects.table import Entry
from prefect_autopilot.effects.values import Level, OperationEffects, Touch
from prefect_autopilot.models import OperationEffect

_URL = re.compile(r"^\w+://")
# Addresses that do something although they are only asked for.
_ACTS = re.compile(
    r"/(log[_-]?out|sign[_-]?out|delete|remove|destroy|unsubscribe|trigger|cancel|reset|restart|reboot|shutdown|send|"
    r"enqueue|dequeue|pop|purge|refresh[_-]?token)(?=[/?#]|$)",
    re.IGNORECASE,
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REPEATABLE_METHODS = frozenset({"PUT", "DELETE"})


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument, or None."""
    return next((word.value for word in node.keywords if word.arg == name), None)


def argument(node: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument given by position or by name, or None."""
    if position < len(node.args) and not any(
        isinstance(one, ast.Starred) for one in node.args[: position + 1]
    ):
        return node.args[position]
    return keyword(node, name)


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def special_touch(
    entry: Entry, touch: Touch, node: ast.Call, scope: Scope, operations: OperationEffects | None
) -> Touch:
    """Return a touch sharpened by the arguments of its call, as the table's ``special`` says."""
    if entry.special == "service":
        return _service(touch, node, scope, operations)
    reading = _READINGS.get(entry.special)
    return reading(touch, node, scope) if reading else touch


def locate(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    """Return a touch with its target: the host of a URL, the path of a file, the key of a store."""
    if touch.level is Level.PURE or not touch.resource:
        return touch
    if touch.target:
        target: ast.expr | None = None
    elif touch.resource == "file" and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        on_path = scope.type_of(owner) == "pathlib.Path"
        target = owner if on_path else (node.args[0] if node.args else keyword(node, "path_or_buf"))
    else:
        target = node.args[0] if node.args else None
    text = scope.text_of(target) or ""
    update: dict[str, object] = {
        "stable": not any(scope.by_chance(one) for one in _places(touch, node, target))
    }
    if not touch.target and target is not None:
        update["target"] = ast.unparse(target)
    if touch.resource == "aws":
        named = [
            word for word in node.keywords if word.arg in {"Bucket", "Key", "TableName", "Name", "QueueUrl"}
        ]
        update["target"] = " ".join(ast.unparse(word.value) for word in named)
    if touch.resource in {"http", "file"} and _URL.match(text):
        host = urlsplit(text.replace("?", "", 1) if text.startswith("?") else text).hostname or ""
        update["resource"] = f"http:{host}" if host else "http"
    if touch.resource == "http" and touch.level is Level.READ and (act := _act_in(text)):
        update |= {"level": Level.UNKNOWN, "what": f"{touch.what} of an address that names an act ({act})"}
    return touch.model_copy(update=update)


def _act_in(address: str) -> str:
    """Return the act that the path of an address names, empty where it names none."""
    found = _ACTS.search(address.split("://", 1)[-1].split("?", 1)[0] if "://" in address else address)
    return found.group(1) if found else ""


def _places(touch: Touch, node: ast.Call, target: ast.expr | None) -> list[ast.expr]:
    """Return the arguments that say where something is written, not what."""
    if touch.resource == "aws":
        return [word.value for word in node.keywords if word.arg in {"Bucket", "Key", "TableName", "Item"}]
    if touch.resource == "sql":
        return [*node.args, *(word.value for word in node.keywords)]
    return [target] if target is not None else []


def _http_write(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    headers = keyword(node, "headers")
    if isinstance(headers, ast.Name):
        headers = _dict_of(headers.id, scope)
    if not isinstance(headers, ast.Dict):
        return touch
    for key, value in zip(headers.keys, headers.values, strict=True):
        if isinstance(key, ast.Constant) and str(key.value).lower() in {
            "idempotency-key",
            "x-idempotency-key",
        }:
            # A key made anew on each run protects nothing.
            return touch.model_copy(update={"idempotent": not scope.by_chance(value)})
    return touch


def _dict_of(name: str, scope: Scope) -> ast.expr | None:
    if name not in scope.names:
        return scope.module.constants.get(name)
    if scope.function is None:
        return None
    found = [
        part.value
        for part in walked(scope.function.node)
        if isinstance(part, ast.Assign)
        and any(isinstance(one, ast.Name) and one.id == name for one in part.targets)
    ]
    return found[0] if len(found) == 1 else None


def _http_method(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    method = (scope.text_of(argument(node, 0, "method")) or "").upper()
    shown = argument(node, 1, "url")
    told = {"target": ast.unparse(shown) if shown else "", "what": f"{touch.what} {method}".strip()}
    if method in _SAFE_METHODS:
        return touch.model_copy(update={**told, "level": Level.READ})
    if method in _REPEATABLE_METHODS:
        return touch.model_copy(update={**told, "level": Level.WRITE, "idempotent": True})
    if method in {"POST", "PATCH"}:
        return _http_write(touch.model_copy(update={**told, "level": Level.WRITE}), node, scope)
    return touch


def _urlopen(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    request = scope.value_of(argument(node, 0, "url"))
    if len(node.args) > 1 or keyword(node, "data") is not None:
        return touch.model_copy(update={"level": Level.UNKNOWN})
    if _is_text(request, scope):
        return touch
    made = isinstance(request, ast.Call) and scope.module.qualified(request.func, scope.names)
    if isinstance(request, ast.Call) and made == "urllib.request.Request":
        return _request(touch, request, scope)
    return touch.model_copy(update={"level": Level.UNKNOWN})


def _is_text(node: ast.expr | None, scope: Scope) -> bool:
    """Tell whether a value can only be a text: an address, and no request with a body of its own."""
    if node is None:
        return False
    if isinstance(node, ast.BinOp):
        return _is_text(node.left, scope) or _is_text(node.right, scope)
    return scope.text_of(node) is not None or scope.type_of(node) == PLAIN


def _request(touch: Touch, made: ast.Call, scope: Scope) -> Touch:
    """Judge a ``urllib.request.Request``: without a body and a method it is a GET, with a body a POST."""
    body = argument(made, 1, "data")
    has_body = body is not None and not (isinstance(body, ast.Constant) and body.value is None)
    unsure = any(isinstance(one, ast.Starred) for one in made.args) or any(
        word.arg is None for word in made.keywords
    )
    method = argument(made, 5, "method")
    verb = ("POST" if has_body else "GET") if method is None else (scope.text_of(method) or "").upper()
    told = {"target": ast.unparse(made.args[0]) if made.args else "", "what": f"{touch.what} {verb}".strip()}
    if unsure or not verb:
        return touch.model_copy(update={**told, "level": Level.UNKNOWN})
    if verb in _SAFE_METHODS:
        return touch.model_copy(update=told)
    again = verb in _REPEATABLE_METHODS
    return touch.model_copy(update={**told, "level": Level.WRITE, "idempotent": again})


def _sql(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    return _sql_text(touch, scope.text_of(node.args[0] if node.args else keyword(node, "sql")))


def _sql_second(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    return _sql_text(touch, scope.text_of(argument(node, 1, "sql")))


def _sql_text(touch: Touch, text: str | None) -> Touch:
    level, repeatable = sql.classify(text)
    words = " ".join((text or "of unknown text").split()[:4])
    return touch.model_copy(
        update={"level": level, "idempotent": repeatable, "what": f"{touch.what}: {words}"}
    )


def _open(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    on_path = isinstance(node.func, ast.Attribute) and scope.type_of(node.func.value) == "pathlib.Path"
    given = argument(node, 0 if on_path else 1, "mode")
    mode = "r" if given is None else scope.text_of(given)
    if mode is None:
        return touch
    if set(mode) <= set("rbtU"):
        return touch.model_copy(update={"level": Level.READ, "what": f"{touch.what} for reading"})
    again = "w" in mode
    return touch.model_copy(
        update={"level": Level.WRITE, "idempotent": again, "what": f"{touch.what} with mode {mode!r}"}
    )


def _exist_ok(touch: Touch, node: ast.Call, _: Scope) -> Touch:
    return touch.model_copy(update={"idempotent": _is_true(keyword(node, "exist_ok"))})


def _missing_ok(touch: Touch, node: ast.Call, _: Scope) -> Touch:
    again = _is_true(keyword(node, "missing_ok")) or _is_true(keyword(node, "ignore_errors"))
    return touch.model_copy(update={"idempotent": again})


def _maybe_url(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    text = scope.text_of(node.args[0] if node.args else None) or ""
    far = bool(re.match(r"(https?|s3|gs|abfss?)://", text))
    return touch.model_copy(update={"waits": far, "resource": "http" if far else touch.resource})


def _frame_file(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    if not node.args and keyword(node, "path_or_buf") is None and keyword(node, "path") is None:
        return touch.model_copy(update={"level": Level.PURE, "resource": ""})  # returns the text
    mode = keyword(node, "mode")
    return touch.model_copy(
        update={"idempotent": mode is None or (scope.text_of(mode) or "a").startswith("w")}
    )


def _frame_sql(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    return touch.model_copy(update={"idempotent": scope.text_of(keyword(node, "if_exists")) == "replace"})


def _inplace(touch: Touch, node: ast.Call, scope: Scope) -> Touch:
    if keyword(node, "inplace") is None or not isinstance(node.func, ast.Attribute):
        return touch
    return touch.model_copy(update={"mutates": min(scope.roots(node.func.value), default="")})


def _overwrite(touch: Touch, node: ast.Call, _: Scope) -> Touch:
    return touch.model_copy(update={"idempotent": _is_true(keyword(node, "overwrite"))})


def _unmapped(node: ast.expr, scope: Scope) -> ast.expr:
    """Return what ``unmapped(…)`` holds, other expressions as they are."""
    is_one = isinstance(node, ast.Call) and (scope.module.qualified(node.func) or "").endswith(".unmapped")
    return node.args[0] if is_one and isinstance(node, ast.Call) and node.args else node


def _service(touch: Touch, node: ast.Call, scope: Scope, operations: OperationEffects | None) -> Touch:
    """Read ``call_service(connection, operation, …)``; only a known operation is better than unknown."""
    if len(node.args) < 2 or isinstance(node.args[0], ast.Starred):  # noqa: PLR2004 - its two positional ones
        return touch
    connection, operation = (scope.text_of(_unmapped(one, scope)) for one in node.args[:2])
    # A connection is named after its service: gmail, gmail-default; Prefect takes no underscores there.
    name = f"{connection or ''}-".replace("_", "-")
    pairs = [
        (service, known)
        for service, known in operations or {}
        if known == operation and name.startswith(f"{service}-".replace("_", "-"))
    ]
    if not pairs or operations is None:
        return touch
    service, operation = max(pairs, key=lambda pair: len(pair[0]))
    effect = operations[service, operation]
    level = Level.READ if effect is OperationEffect.SAFE else Level.WRITE
    return touch.model_copy(
        update={
            "level": level,
            "idempotent": effect is OperationEffect.IDEMPOTENT,
            "what": f"{touch.what} {service}.{operation} ({effect})",
            "resource": f"service:{service}",
        }
    )


_READINGS: dict[str, Callable[[Touch, ast.Call, Scope], Touch]] = {
    "http_write": _http_write,
    "http_method": _http_method,
    "urlopen": _urlopen,
    "sql": _sql,
    "sql_second": _sql_second,
    "open": _open,
    "exist_ok": _exist_ok,
    "missing_ok": _missing_ok,
    "maybe_url": _maybe_url,
    "frame_file": _frame_file,
    "frame_sql": _frame_sql,
    "inplace": _inplace,
    "overwrite": _overwrite,
}
