"""Loops and comprehensions around a read: start all calls, then go through their values in the same order.

The loop is split in two. Its first part (what computes the arguments, and the calls) runs for all items,
then its second part runs for all items. That is the same as before when the first part sees nothing of what
the second does.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prefect_autopilot.effects import Function, Level, Touch, bound_names, children, is_handle, walked
from prefect_autopilot.models import Rejection
from prefect_autopilot.optimization.calls import CallSite, read_site, unconditional
from prefect_autopilot.optimization.items import fan_out_size, not_at_once
from prefect_autopilot.optimization.plan import SUBMIT_COST_S, Durations, FlowFile, Saving
from prefect_autopilot.optimization.statements import StatementReader, is_effectful

_FRESH_CALLS = frozenset({"builtins.dict", "builtins.list", "builtins.set", "copy.copy", "copy.deepcopy"})


MAX_STARTED = 1000
"""More runs at once than this make a Prefect server refuse or crawl."""


class BlockedError(Exception):
    """A candidate that must be left alone; the text names the edge."""


@dataclass(frozen=True)
class LoopParts:
    """A loop split before its first waiting statement."""

    loop: ast.For
    first: tuple[ast.stmt, ...]
    second: tuple[ast.stmt, ...]
    sites: tuple[CallSite, ...]
    """Calls of the second part that can be started in the first."""
    carried: tuple[str, ...]
    """Names of one round that the second part reads."""


def loaded(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names some nodes read."""
    parts = (part for node in nodes for part in walked(node))
    return {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names some nodes bind."""
    return {name for node in nodes for name in bound_names(node)}


def split_loop(file: FlowFile, flow: Function, loop: ast.For) -> LoopParts | None:
    """Return a loop in two parts, None where no task is called in it; raises BlockedError with the edge."""
    reader, judge = file.statements(flow), file.judge(flow)
    sites = {index: list(reader.sites_of(node)) for index, node in enumerate(loop.body)}
    waiting = [index for index, found in sites.items() if found]
    submitted = _submitted(file, flow, loop)
    if submitted is not None:
        waiting.append(submitted)
    if not waiting:
        return None
    count = fan_out_size(flow, loop.iter)
    if count > MAX_STARTED:
        raise BlockedError(f"{count} calls at once are too many; do them in chunks")
    at = min(waiting)
    first, second = tuple(loop.body[:at]), tuple(loop.body[at:])
    if not isinstance(
        loop.body[at], ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.If | ast.For
    ):
        raise BlockedError(f"line {loop.body[at].lineno} begins a block")
    _check_shape(file, flow, loop, first, second)
    later = stored(second)
    changed = _changes(reader, second)
    early: list[CallSite] = []
    reasons: list[str] = []
    for site in (one for index in sites for one in sites[index]):
        reason = (
            judge.call(site) or _carried(reader, site.names, later, changed) or _reused(reader, site, loop)
        )
        (reasons.append(reason) if reason else early.append(site))
    # What the first part computes must not depend on what the second part does.
    reason = _carried(reader, frozenset(loaded([*first, loop.iter])), later, changed)
    if reason or not (early or submitted is not None):
        raise BlockedError(reason or reasons[0])
    round_names = [*_targets(loop.target), *sorted(stored(first) - set(_targets(loop.target)))]
    rest = _without(second, early)
    carried = tuple(name for name in round_names if name in loaded(rest))
    return LoopParts(loop, first, second, tuple(early), carried)


def _targets(target: ast.expr) -> list[str]:
    return list(bound_names(target))


def _without(nodes: Iterable[ast.AST], sites: list[CallSite]) -> list[ast.AST]:
    """Return the parts of some nodes that lie outside the calls of some sites."""
    skipped = {id(site.replaced) for site in sites}
    found: list[ast.AST] = []
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Name):
            found.append(node)
        pending += list(children(node))
    return found


def _submitted(file: FlowFile, flow: Function, loop: ast.For) -> int | None:
    """Return where the future of an earlier ``name = task.submit(…)`` of the body is first waited for."""
    reader, judge = file.reader, file.judge(flow)
    names: set[str] = set()
    for index, node in enumerate(loop.body):
        for part in walked(node):
            if not (isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)):
                continue
            of = part.func.value
            if part.func.attr == "result" and isinstance(of, ast.Name) and of.id in names:
                return index
        value = getattr(node, "value", None)
        if (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr == "submit"
        ):
            task = reader.called(value, flow)
            if task is not None:
                reason = judge.call(CallSite(value, value, task, "submit"))
                if reason:
                    raise BlockedError(reason)
                names |= stored([node])
    return None


def _check_shape(
    file: FlowFile, flow: Function, loop: ast.For, first: tuple[ast.stmt, ...], second: tuple[ast.stmt, ...]
) -> None:
    _check_exits(loop, first)
    for node in [loop.iter, *loop.body]:
        for touch in file.reader.touches(node, flow):
            _check_touch(touch)
    _check_first(file, flow, loop, first, second)


def _check_exits(loop: ast.For, first: tuple[ast.stmt, ...]) -> None:
    """Refuse loops that may end early, skip items before the call, or hold a block not to be crossed."""
    _check_target(loop.target)
    if loop.orelse:
        raise BlockedError(f"the loop has an else (line {loop.orelse[0].lineno})")
    for part in _own_parts(loop):
        if isinstance(part, ast.Break | ast.Return):
            raise BlockedError(f"line {part.lineno} leaves the loop: later items may never be asked for")
        if isinstance(part, ast.Yield | ast.YieldFrom | ast.Try | ast.With | ast.AsyncWith | ast.AsyncFor):
            raise BlockedError(f"line {part.lineno} ({type(part).__name__.lower()}) must not be crossed")
    plain = [node for node in first if not skips(node)]
    if any(isinstance(part, ast.Continue) for node in plain for part in walked(node)):
        raise BlockedError("some items are skipped before the call, in a way that is not plain")
    if not all(isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr) for node in plain):
        raise BlockedError("a block stands before the call")


def skips(node: ast.stmt) -> bool:
    """Tell whether a statement is ``if …: continue`` and nothing else."""
    is_plain = isinstance(node, ast.If) and not node.orelse and len(node.body) == 1
    return is_plain and isinstance(node, ast.If) and isinstance(node.body[0], ast.Continue)


def _check_target(target: ast.expr) -> None:
    """Refuse items that are put into an object: others see it change."""
    if any(isinstance(part, ast.Attribute | ast.Subscript) for part in walked(target)):
        raise BlockedError(f"each item is put into {ast.unparse(target)}")


def _check_first(
    file: FlowFile, flow: Function, loop: ast.For, first: tuple[ast.stmt, ...], second: tuple[ast.stmt, ...]
) -> None:
    """Refuse first parts that others would see, and items that come out of a connection."""
    reader = file.statements(flow)
    scope = file.reader.scope(flow)
    held = [name for name in scope.roots(loop.iter) if is_handle(scope.type_of(ast.Name(name, ast.Load())))]
    if held:
        raise BlockedError(f"the items come from {held[0]}, a connection or open file")
    _check_items(file, flow, loop.iter)
    for node in first:
        if skips(node):
            if any(is_effectful(touch) for touch in reader.read(node).touches):
                raise BlockedError(f"line {node.lineno} does more than compare")
            continue
        wall = reader.read(node).wall
        if wall and "submit" not in ast.unparse(node):
            raise BlockedError(wall)
    early_changes = _changes(reader, first) & reader.reach(frozenset(loaded(second)))
    for name in sorted(early_changes):
        if not _is_fresh(reader, name, first):
            raise BlockedError(f"{name} is changed in each round and read later in the round")


def _check_items(file: FlowFile, flow: Function, items: ast.expr) -> None:
    reason = not_at_once(file, flow, items)
    if reason:
        raise BlockedError(reason)


def _check_touch(touch: Touch) -> None:
    if touch.level is Level.UNKNOWN:
        raise BlockedError(f"{touch.what} (line {touch.line})")
    if touch.level is Level.WRITE:
        raise BlockedError(f"{touch.what} writes (line {touch.line}): its order must stay")
    if touch.paced:
        raise BlockedError(f"{touch.what} paces the loop (line {touch.line})")


def _own_parts(loop: ast.For) -> Iterator[ast.AST]:
    """Yield the parts of a loop's body; a ``break`` of a loop inside it is not its own."""
    pending: list[ast.AST] = list(loop.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        inner = [part for part in walked(node) if isinstance(part, ast.Return | ast.Yield | ast.YieldFrom)]
        if isinstance(node, ast.For | ast.While):
            yield from inner
        else:
            pending += list(children(node))


def _changes(reader: StatementReader, nodes: Iterable[ast.AST]) -> set[str]:
    touches = (touch for node in nodes for touch in reader.reader.touches(node, reader.flow))
    return {touch.mutates for touch in touches if touch.mutates}


def _carried(reader: StatementReader, names: frozenset[str], later: set[str], changed: set[str]) -> str:
    """Say so when names are bound or changed by the second part of the round."""
    bound = sorted(names & later)
    if bound:
        return f"{bound[0]} comes from the round itself or the one before"
    touched = sorted(reader.reach(names) & changed)
    return f"{touched[0]} is changed in each round" if touched else ""


def _reused(reader: StatementReader, site: CallSite, loop: ast.For) -> str:
    """Say so when rounds would pass one object that each of them changes."""
    reach = reader.reach(site.names)
    for name in sorted(reach & _changes(reader, loop.body)):
        if not _is_fresh(reader, name, loop.body):
            return f"{name} is one object that each round changes"
    return ""


def _is_fresh(reader: StatementReader, name: str, body: Iterable[ast.stmt]) -> bool:
    """Tell whether each round makes a new object under a name before it changes it."""
    for node in body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            value = node.value
            if isinstance(value, ast.Call):
                return reader.reader.module.qualified(value.func) in _FRESH_CALLS
            return isinstance(
                value, ast.Dict | ast.List | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
            )
        if name in loaded([node]):
            return False
    return False


def fan_out_saving(file: FlowFile, sites: Iterable[CallSite]) -> Saving | None:
    """Return the seconds saved when the calls of a fan-out run ``max_workers`` at a time."""
    tasks = [site.task for site in sites]
    return file.saving(lambda duration: _fanned(file, tasks, duration))


def _fanned(file: FlowFile, tasks: Iterable[Function], duration: Durations) -> float | None:
    total = 0.0
    for task in tasks:
        timing, seconds = file.timing(task), duration(task)
        if timing is None or seconds is None or timing.calls_per_run is None:
            return None
        rounds = math.ceil(timing.calls_per_run / file.settings.max_workers)
        total += (timing.calls_per_run - rounds) * seconds - SUBMIT_COST_S * timing.calls_per_run
    return total


def limited_start(file: FlowFile, site: CallSite, names: Iterable[str], unit: str) -> tuple[list[str], str]:
    """Return the lines that bound an async fan-out, and the text that starts one call of it."""
    asyncio, _ = file.imported("asyncio")
    task = site.task.node.name.lstrip("_")
    limit = file.new_name(f"{task}_limit")
    function = file.new_name(f"{task}_limited")
    used = [name for name in names if name in site.names]
    lines = [
        f"{limit} = {asyncio}.Semaphore({file.settings.max_workers})",
        "",
        f"async def {function}({', '.join(used)}):",
        f"{unit}async with {limit}:",
        f"{unit}{unit}return await {file.text.of(site.call)}",
        "",
    ]
    return lines, f"{asyncio}.create_task({function}({', '.join(used)}))"


def comprehension_sites(
    file: FlowFile, flow: Function, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
) -> list[CallSite]:
    """Return the calls in the elements of a comprehension that are made exactly once for each."""
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    found: list[CallSite] = []
    for element in elements:
        for one in [element, *unconditional(element)]:
            site = read_site(file.reader, one, flow)
            if (
                site
                and file.statements(flow).is_placed(site)
                and all(site.call is not other.call for other in found)
            ):
                found.append(site)
    return found


def check_comprehension(
    file: FlowFile,
    flow: Function,
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
    site: CallSite,
) -> None:
    """Raise BlockedError with the edge that keeps a comprehension as it is."""
    reason = file.judge(flow).call(site)
    if reason:
        raise BlockedError(reason)
    for touch in file.reader.touches(node, flow):
        _check_touch(touch)
        if touch.mutates:
            raise BlockedError(f"{touch.mutates} is changed in each round")
    if max(fan_out_size(flow, generator.iter) for generator in node.generators) > MAX_STARTED:
        raise BlockedError("there are too many items to start at once; do them in chunks")
    for generator in node.generators:
        _check_items(file, flow, generator.iter)
        _check_target(generator.target)
        if generator.is_async:
            raise BlockedError("the items come asynchronously")
    if any(isinstance(part, ast.NamedExpr) for part in walked(node)):
        raise BlockedError("the comprehension assigns")


def rejection(rule: str, node: ast.AST, error: BlockedError) -> Rejection:
    """Return a candidate that was left alone, with its edge."""
    return Rejection(rule=rule, line=getattr(node, "lineno", 0), reason=str(error))
