"""Names of methods that tell what they do where the type of their object is not known."""

from __future__ import annotations

import ast
import collections
import datetime as dt
import decimal
import logging
from collections.abc import Mapping

from prefect_autopilot.effects.scope import PLAIN

# Names that pydantic keeps for its models, and its wrapper of secrets: nobody else has them.
_OF_PYDANTIC = frozenset(
    {"model_dump", "model_dump_json", "model_copy", "model_validate", "model_validate_json"}
    | {
        "model_json_schema",
        "get_secret_value",
        "validate_python",
        "validate_json",
        "dump_python",
        "dump_json",
    }
)
MUTATE = frozenset({"append", "extend", "sort", "reverse", "setdefault", "popitem"}) | frozenset(
    {"__setitem__", "__delitem__", "__setattr__", "__delattr__", "__init__"}
    | {f"__i{name}__" for name in ("add", "sub", "mul", "and", "or", "xor", "concat")}
)
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
        "extendleft",
        "rotate",
        "subtract",
        "move_to_end",
        "symmetric_difference_update",
    }
)
_DATA_TYPES = (str, bytes, list, dict, set, tuple, int, float, dt.datetime, dt.timedelta)
_MORE_DATA_TYPES = (collections.Counter, collections.deque, decimal.Decimal)
_NOT_COMPUTING = MUTATE | MUTATE_OR_WRITE | {"now", "today", "utcnow"}
COMPUTE = frozenset(name for kind in _DATA_TYPES for name in dir(kind)) - _NOT_COMPUTING | _OF_PYDANTIC
COMPUTE_ON_DATA = (
    COMPUTE | frozenset(name for kind in _MORE_DATA_TYPES for name in dir(kind)) - _NOT_COMPUTING
)
# With keywords, methods of other names are rather those of some client.
TAKE_KEYWORDS = frozenset(
    {"format", "split", "rsplit", "splitlines", "encode", "decode", "replace", "isoformat", "astimezone"}
    | _OF_PYDANTIC
)
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
LOGGERS = frozenset({"logger", "log", "_logger", "_log"})
"""Names that mean a logger; a longer one (``audit_logger``) may write records that somebody counts."""
LOGGER_CLASSES = frozenset({"Logger", "LoggerAdapter", "PrefectLogAdapter", "BoundLogger", "RootLogger"})
MODEL_METHODS = frozenset({"model_dump", "model_dump_json", "model_copy", "dict", "json", "copy"})
OF_FRAMES = frozenset(
    {"iterrows", "itertuples", "isna", "isnull", "notna", "notnull", "fillna", "dropna", "drop_duplicates"}
    | {"sort_values", "reset_index", "set_index", "value_counts", "nunique", "groupby", "pivot_table", "melt"}
    | {"nlargest", "nsmallest", "idxmax", "idxmin", "ffill", "bfill", "cumsum", "pct_change", "to_pandas"}
)
"""Methods that only data frames have; with ``inplace`` they change their object."""
FUTURE_METHODS = frozenset({"result", "wait"})
# What these are given first, they call.
CALL_THEIR_FIRST = frozenset(
    {"builtins.map", "builtins.filter", "functools.reduce", "functools.partial", "asyncio.to_thread"}
    | {"anyio.to_thread.run_sync"}
    | {f"itertools.{name}" for name in ("starmap", "takewhile", "dropwhile", "filterfalse")}
)
APPLY = frozenset({"apply", "applymap", "map", "map_elements", "pipe", "transform"})


def computes(node: ast.Call, func: ast.Attribute, kind: str) -> bool:
    """Tell whether a method is one of the plain data types' and is used like theirs."""
    if func.attr in FUTURE_METHODS:
        return kind in {"", PLAIN} and not node.args  # of a future
    if func.attr in LOG_METHODS and kind in {"", PLAIN}:
        named = ast.unparse(func.value).rsplit(".", 1)[-1] in LOGGERS
        return named and (func.attr != "log" or _is_level(node.args[0] if node.args else None))
    in_place = any(word.arg in {"inplace", None} for word in node.keywords)
    frame = kind in {"", PLAIN} and func.attr in OF_FRAMES and not in_place
    if kind == PLAIN or frame:
        return frame or func.attr in COMPUTE_ON_DATA | MODEL_METHODS
    if func.attr not in COMPUTE or (node.keywords and func.attr not in TAKE_KEYWORDS):
        return False
    first = ast.unparse(node.args[0]) if node.args else ""
    if func.attr == "get":  # a queue's and a block's take no key
        return bool(first) and "://" not in first and not first.lstrip("f").startswith(("'/", '"/'))
    # A path's replace takes one argument, a database's find a document, an object's copy a target.
    one = {"replace": len(node.args) == 1, "copy": bool(node.args), "translate": True}
    return not (one.get(func.attr, False) or (func.attr in {"find", "count", "index"} and first[:1] == "{"))


def is_other_logger(func: ast.Attribute, made: Mapping[str, str]) -> bool:
    """Tell whether what logs is made of a class that only calls itself a logger: it may write anywhere."""
    if func.attr not in LOG_METHODS:
        return False
    return made.get(ast.unparse(func.value), "Logger") not in LOGGER_CLASSES


def _is_level(node: ast.expr | None) -> bool:
    """Tell whether an argument is a level of logging: a number, or a name such as ``INFO`` or ``level``."""
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if not isinstance(node, ast.Name | ast.Attribute):
        return False
    name = ast.unparse(node).rsplit(".", 1)[-1]
    return name in logging.getLevelNamesMapping() or name.lower().endswith("level")
