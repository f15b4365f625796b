"""Calls of tasks in a flow: which may start early and be waited for later, and why others may not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prefect_autopilot.effects import EffectReader, Function, Level, Touch, children, is_handle, walked

_CACHE_OPTIONS = frozenset(
    {"cache_key_fn", "cache_expiration", "result_storage_key", "refresh_cache", "persist_result"}
)
_UNCACHED = ("NO_CACHE", "NONE", "None", "False")
# Words that state a limit or an order; not those that only describe how the flow runs today.
_LIMIT = re.compile(
    r"rate.?limit|throttl|\bquota\b|too many requests|\b429\b|\bper (second|minute|hour)\b|\bpolite|"
    r"\b(one|two|three|four|five|single|few|most|only|\d+)\b[^.\n]{0,25}\bat (a time|once)\b|"
    r"\bmax\w*.{0,6}concurren|\bconcurrency.?limit|\bconcurrent (calls|requests|connections)\b|"
    r"\b(not|never|no)\b (be )?(run |called? )?(in )?(parallel|concurrent)|\bmust not overlap\b|"
    r"\bin (this|that|strict) order\b|\border matters\b|\bnot thread.?safe\b",
    re.IGNORECASE,
)
_LIMIT_TAG = re.compile(r"limit|throttl|serial|one.at.a.time|mutex|lock", re.IGNORECASE)
_ITERATORS = frozenset(
    f"builtins.{name}" for name in ("iter", "zip", "map", "filter", "reversed", "enumerate", "open", "aiter")
)
# One event loop may use them for many requests at once, by their documentation.
_LOOP_CLIENTS = ("httpx.AsyncClient", "aiohttp.ClientSession")
_KEEPING = frozenset({"persist_result", "result_storage", "result_serializer"})
_SPECIAL_ARGUMENTS = frozenset({"wait_for", "return_state"})
_HARMLESS_OPTIONS = frozenset(
    {"name", "description", "retries", "retry_delay_seconds", "retry_jitter_factor", "timeout_seconds"}
    | {"log_prints", "version"}
)


@dataclass(frozen=True)
class CallSite:
    """One call of a task whose start and whose end can be told apart in the source."""

    call: ast.Call
    replaced: ast.expr
    """What ``future.result()`` takes the place of: the call, its await, or ``….submit(…).result()``."""
    task: Function
    flavour: Literal["call", "submit", "await"]

    @property
    def names(self) -> frozenset[str]:
        """Names the call reads."""
        return frozenset(
            part.id
            for part in walked(self.call)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
        )

    @property
    def bare(self) -> frozenset[str]:
        """Names that are an argument as a whole: a future may stand there as well."""
        given = [*self.call.args, *(word.value for word in self.call.keywords if word.arg)]
        whole = [one.id for one in given if isinstance(one, ast.Name)]
        loaded = [part.id for part in walked(self.call) if isinstance(part, ast.Name)]
        return frozenset(name for name in whole if whole.count(name) == loaded.count(name))

    @property
    def options(self) -> dict[str, ast.expr]:
        """Keywords of the ``with_options(…)`` in the call; '**' stands for unpacked ones."""
        found: dict[str, ast.expr] = {}
        node: ast.expr = self.call.func
        while isinstance(node, ast.Attribute | ast.Call):
            if isinstance(node, ast.Call):
                found |= {word.arg or "**": word.value for word in node.keywords}
                node = node.func
            else:
                node = node.value
        return found


_STARTS = frozenset({"submit", "map", "fn", "delay"})


def read_site(reader: EffectReader, node: ast.expr, flow: Function) -> CallSite | None:
    """Return the call of a task that an expression is, or None."""
    flavour: Literal["call", "submit", "await"] = "call"
    call: ast.expr = node
    if isinstance(node, ast.Await):
        call, flavour = node.value, "await"
    elif _method(node) == "result" and isinstance(node, ast.Call) and not node.args and not node.keywords:
        call, flavour = node.func.value if isinstance(node.func, ast.Attribute) else node, "submit"
    if not isinstance(call, ast.Call):
        return None
    task = reader.called(call, flow)
    if task is None or task.kind != "task":
        return None
    if flavour == "submit":
        return CallSite(call, node, task, flavour) if _method(call) == "submit" else None
    # An async task that is called without await has not begun.
    begun = flavour == "await" or not isinstance(task.node, ast.AsyncFunctionDef)
    return CallSite(call, node, task, flavour) if begun and _method(call) not in _STARTS else None


def _in_loop(task: Function, touch: Touch) -> bool:
    """Tell whether a client is used by a coroutine, and is made for many of them."""
    return isinstance(task.node, ast.AsyncFunctionDef) and touch.what.rsplit(".", 1)[0] in _LOOP_CLIENTS


def _method(node: ast.expr) -> str:
    """Return the name of the method that a call calls, empty for other nodes."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


_LATER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_REPEATED_OR_NESTED = (ast.While, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def evaluated_once(node: ast.AST) -> list[ast.expr]:
    """Return the direct parts of an expression or statement that are evaluated once whenever it is."""
    if isinstance(node, _LATER + _REPEATED_OR_NESTED):
        return []
    if isinstance(node, ast.IfExp | ast.Assert):
        return [node.test]
    if isinstance(node, ast.BoolOp):
        return [node.values[0]]
    if isinstance(node, ast.Compare):
        return [node.left, node.comparators[0]]
    values = (child.value if isinstance(child, ast.keyword) else child for child in children(node))
    return [value for value in values if isinstance(value, ast.expr)]


def unconditional(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions in a node that are evaluated exactly once whenever it is, outermost first."""
    for child in evaluated_once(node):
        if not isinstance(child, _LATER):
            yield child
            yield from unconditional(child)


class Judge:
    """Says why a task, or one call of it, must stay where it is; an empty text means it may start early."""

    def __init__(self, reader: EffectReader, flow: Function) -> None:
        self._reader = reader
        self._flow = flow
        self._scope = reader.scope(flow)
        self._tasks: dict[str, str] = {}

    def task(self, task: Function) -> str:
        """Return what speaks against starting a task early, whatever its arguments."""
        if task.name not in self._tasks:
            self._tasks[task.name] = self._judge_task(task)
        return self._tasks[task.name]

    def _judge_task(self, task: Function) -> str:
        effect = self._reader.effect(task)
        name = task.node.name
        evidence = effect.evidence[0] if effect.evidence else f"line {effect.line}"
        shared = [touch.shares for touch in effect.touches if touch.shares and not _in_loop(task, touch)]
        checks: tuple[tuple[bool, str], ...] = (
            (effect.marked == "keep", f"{name} is marked keep"),
            (effect.level is Level.UNKNOWN, f"what {name} does is not known ({evidence})"),
            (effect.level is Level.WRITE, f"{name} writes ({evidence})"),
            (effect.is_generator, f"{name} is a generator"),
            (effect.paced, f"{name} pauses on purpose or is limited"),
            (effect.nondeterministic, f"{name} reads the clock or chance"),
            (bool(effect.mutates), f"{name} changes {', '.join(effect.mutates)} in place"),
            (
                bool(shared),
                f"{name} uses {', '.join(dict.fromkeys(shared))}, which other threads would share",
            ),
            (self._cached(task), f"{name} is cached: calls at the same time would miss the cache"),
            (
                self._kept_twice(task),
                f"the flow keeps results: the second call of {name} takes the first one's",
            ),
            (not effect.waits, f"{name} does not wait for anything: threads would not make it faster"),
        )
        found = next((reason for holds, reason in checks if holds), "")
        return found or self._limited(task)

    @staticmethod
    def _cached(task: Function) -> bool:
        options = task.options
        policy = options.get("cache_policy")
        if policy is not None and not ast.unparse(policy).endswith(_UNCACHED):
            return True
        return any(
            name in options and not ast.unparse(options[name]).endswith(_UNCACHED) for name in _CACHE_OPTIONS
        )

    def _kept_twice(self, task: Function) -> bool:
        """Tell whether the flow keeps results, a cache within its run, and calls a task twice alike."""
        kept = [self._flow.options.get(name) for name in _KEEPING]
        if all(value is None or ast.unparse(value).endswith(_UNCACHED) for value in kept):
            return False
        calls = (part for part in walked(self._flow.node) if isinstance(part, ast.Call))
        mine = [
            one
            for one in calls
            if (found := self._reader.called(one, self._flow)) and found.name == task.name
        ]
        given = [ast.dump(ast.Call(ast.Name("f"), one.args, one.keywords)) for one in mine]
        return len(set(given)) < len(given)

    def _limited(self, task: Function) -> str:
        """Say so when a comment, docstring, tag or module variable speaks of a limit or an order."""
        texts: list[tuple[int, str]] = []
        for function in (task, self._flow):
            module, node = self._reader.module_of(function), function.node
            texts.append((1, ast.get_docstring(module.tree) or ""))
            texts += [(1, name) for name in sorted(module.variables)]
            texts.append((node.lineno, ast.get_docstring(node) or ""))
            tags = function.options.get("tags")
            told = ast.unparse(tags) if tags else ""
            if _LIMIT_TAG.search(told):
                return f"line {node.lineno} is tagged {told}, which may stand for a limit"
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            while first - 1 in module.comments:
                first -= 1
            last = node.end_lineno or node.lineno
            texts += [(line, text) for line, text in module.comments.items() if first <= line <= last]
        for line, text in texts:
            found = _LIMIT.search(text)
            if found:
                return f"line {line} speaks of a limit or an order ({found.group()!r})"
        return ""

    def call(self, site: CallSite) -> str:
        """Return what speaks against starting this call early."""
        return self.task(site.task) or self.arguments(site)

    def arguments(self, site: CallSite) -> str:
        """Return what is wrong with the arguments and options of a call, for starting it early."""
        special = [word.arg for word in site.call.keywords if word.arg in _SPECIAL_ARGUMENTS]
        if special:
            return f"the call orders itself by {special[0]}"
        options = [name for name in site.options if name not in _HARMLESS_OPTIONS]
        if options:
            return f"the call sets the option {options[0]} of its task"
        awaited = isinstance(site.replaced, ast.Await)
        # ``submit`` starts tasks of both kinds, and its future is waited for without an await.
        if site.flavour != "submit" and awaited != isinstance(site.task.node, ast.AsyncFunctionDef):
            return f"{site.task.node.name} is {'' if site.flavour == 'await' else 'not '}awaited"
        if site.flavour == "submit" and (shared := self._reader.effect(site.task).shares):
            return f"{site.task.node.name} uses {shared[0]}, which other threads would share"
        given = [*site.call.args, *(word.value for word in site.call.keywords), *site.options.values()]
        reasons = (self._value(value, in_loop=site.flavour == "await") for value in given)
        return next((reason for reason in reasons if reason), "")

    def _value(self, value: ast.expr, *, in_loop: bool) -> str:
        for touch in self._reader.touches(value, self._flow):
            if touch.level is not Level.PURE or touch.nondeterministic or touch.mutates or touch.paced:
                return f"an argument does more than compute ({touch.told})"
        if any(
            isinstance(part, ast.Await | ast.NamedExpr | ast.Yield | ast.YieldFrom) for part in walked(value)
        ):
            return "an argument awaits or assigns"
        return self._object(value, in_loop=in_loop)

    def _object(self, value: ast.expr, *, in_loop: bool) -> str:
        names = {value.id} if isinstance(value, ast.Name) else set()
        for name in names | self._scope.roots(value):
            kind = self._scope.type_of(ast.Name(name, ast.Load()))
            if is_handle(kind) and not (in_loop and kind in _LOOP_CLIENTS):
                return f"{name} is a connection, client or open file"
            if name in self._iterators:
                return f"{name} is an iterator: whoever comes first takes its items"
        return ""

    @property
    def _iterators(self) -> frozenset[str]:
        if not hasattr(self, "_found_iterators"):
            self._found_iterators = frozenset(self._find_iterators())
        return self._found_iterators

    def _find_iterators(self) -> Iterator[str]:
        for part in walked(self._flow.node):
            pairs: list[tuple[ast.expr, ast.expr]] = []
            if isinstance(part, ast.Assign):
                pairs = [(target, part.value) for target in part.targets]
            elif isinstance(part, ast.AnnAssign | ast.NamedExpr) and part.value:
                pairs = [(part.target, part.value)]
            for target, value in pairs:
                if isinstance(target, ast.Name) and self._makes_iterator(value):
                    yield target.id
                elif isinstance(target, ast.Tuple) and self._calls(value, "itertools.tee"):
                    yield from (one.id for one in target.elts if isinstance(one, ast.Name))

    def _calls(self, value: ast.expr, name: str) -> bool:
        called = value.func if isinstance(value, ast.Call) else value
        return called is not value and self._reader.module.qualified(called, self._scope.names) == name

    def _makes_iterator(self, value: ast.expr) -> bool:
        if isinstance(value, ast.GeneratorExp):
            return True
        if not isinstance(value, ast.Call):
            return False
        function = self._reader.called(value, self._flow)
        if function is not None:
            return self._reader.effect(function).is_generator
        qualified = self._reader.module.qualified(value.func, self._scope.names) or ""
        return qualified in _ITERATORS or qualified.startswith(("itertools.", "csv."))
