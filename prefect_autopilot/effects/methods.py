"""Names of methods that tell what they do where the type of their object is not known."""

from __future__ import annotations

import collections
import datetime as dt
import decimal

MUTATE = frozenset({"append", "extend", "sort", "reverse", "setdefault", "popitem"})
# On an object of unknown type these may be a database's or a file's methods as well.
MUTATE_OR_WRITE = frozenset(
    {
        "update",
        "pop",
        "add",
        "insert",
        "remove",
        "discard",
        "clear",
        "difference_update",
        "intersection_update",
        "appendleft",
        "popleft",
    }
)
_DATA_TYPES = (str, bytes, list, dict, set, tuple, int, float, dt.datetime, dt.timedelta)
_MORE_DATA_TYPES = (collections.Counter, collections.deque, decimal.Decimal)
_NOT_COMPUTING = MUTATE | MUTATE_OR_WRITE | {"now", "today", "utcnow"}
COMPUTE = frozenset(name for kind in _DATA_TYPES for name in dir(kind)) - _NOT_COMPUTING
COMPUTE_ON_DATA = (
    COMPUTE | frozenset(name for kind in _MORE_DATA_TYPES for name in dir(kind)) - _NOT_COMPUTING
)
# With keywords, methods of other names are rather those of some client.
TAKE_KEYWORDS = frozenset(
    {"format", "split", "rsplit", "splitlines", "encode", "decode", "replace", "isoformat", "astimezone"}
)
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
LOGGERS = frozenset({"logger", "log", "_logger", "_log"})
MODEL_METHODS = frozenset({"model_dump", "model_dump_json", "model_copy", "dict", "json", "copy"})
FUTURE_METHODS = frozenset({"result", "wait"})
