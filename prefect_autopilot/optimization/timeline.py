"""When the tasks of a flow run: a source replayed with known durations, one worker for each direct call.

The replay knows one main thread, ``MAX_WORKERS`` workers for started tasks (first come, first served) and
the values that tasks hand to one another. Branches count as taken, loops once for each expected call.
"""

from __future__ import annotations

import ast
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from prefect_autopilot.effects import Function, children, walked
from prefect_autopilot.models import Bar, FlowHistory, Timeline
from prefect_autopilot.optimization.plan import MAX_WORKERS, SUBMIT_COST_S, FlowFile

_STARTS = frozenset({"submit", "map", "create_task", "gather"})
_WAITS = frozenset({"result", "wait"})
_ROUNDS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MOST_CALLS = 200
"""More bars than this nobody can see."""


def timeline(file: FlowFile, flow: Function, *, unit_s: float | None = None) -> Timeline | None:
    """Return when the tasks of a flow would run, in seconds; None where a duration is not known.

    ``unit_s`` stands for durations that are not known.
    """
    replay = _Replay(file, flow, unit_s)
    replay.block(flow.node.body)
    if replay.unknown or not replay.bars:
        return None
    work = sum(bar.end_s - bar.start_s for bar in replay.bars)
    makespan = max([replay.now, *(bar.end_s for bar in replay.bars)])
    return Timeline(
        bars=tuple(replay.bars),
        makespan_s=round(makespan, 3),
        work_s=round(work, 3),
        critical_path_s=round(max(replay.depth.values()), 3),
        measured=unit_s is None,
    )


def timelines(source: str, changed: str, history: FlowHistory | None) -> tuple[Timeline, Timeline] | None:
    """Return the first flow that a rewrite changes, before and after; None where none can be replayed.

    Without history each call lasts one unit: the order is then right, the lengths are not.
    """
    before, after = FlowFile(source, history), FlowFile(changed, history)
    found: tuple[Timeline, Timeline] | None = None
    for flow in before.module.flows():
        other = after.module.functions.get(flow.name)
        if other is None:
            continue
        for unit in (None, 1.0):
            pair = timeline(before, flow, unit_s=unit), timeline(after, other, unit_s=unit)
            if pair[0] and pair[1]:
                if ast.dump(flow.node) != ast.dump(other.node):
                    return pair[0], pair[1]
                found = found or (pair[0], pair[1])
                break
    return found


@dataclass
class _Replay:
    file: FlowFile
    flow: Function
    unit_s: float | None
    now: float = 0.0
    unknown: bool = False
    bars: list[Bar] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    depth: dict[int, float] = field(default_factory=dict)
    """For each call the end it would have if only values had to be waited for."""
    held: dict[str, set[int]] = field(default_factory=dict)
    """Calls whose values a name holds, or waits for."""
    inner: dict[str, Function] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workers = [0.0] * MAX_WORKERS
        calls = [part for part in walked(self.flow.node) if isinstance(part, ast.Call)]
        tasks = [task.name for call in calls if (task := self._task(call))]
        self.sites = {name: tasks.count(name) for name in tasks}

    def _task(self, call: ast.Call) -> Function | None:
        if isinstance(call.func, ast.Name) and call.func.id in self.inner:
            return self.inner[call.func.id]
        found = self.file.reader.called(call, self.flow)
        return found if found is not None and found.kind == "task" else None

    def block(self, body: Iterable[ast.stmt], rounds: int = 0) -> None:
        """Replay statements in order."""
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = [part for part in walked(node) if isinstance(part, ast.Call)]
                called = [task for call in inside if (task := self._task(call))]
                self.inner |= {node.name: called[0]} if called else {}
                continue
            looped = rounds + isinstance(node, ast.For | ast.AsyncFor | ast.While)
            # What is added to keeps what it held; what is bound anew does not.
            kept = node.target if isinstance(node, ast.AugAssign) else None
            used = set(self.held.get(kept.id, ())) if isinstance(kept, ast.Name) else set[int]()
            for name, value in ast.iter_fields(node):
                parts = value if isinstance(value, list) else [value]
                if name not in {"body", "orelse", "finalbody", "handlers", "cases"}:
                    for part in parts:
                        if isinstance(part, ast.AST):
                            used |= self.expression(part, looped if isinstance(node, ast.While) else rounds)
            self._bind(node, used)
            for name in ("body", "orelse", "finalbody"):
                self.block(getattr(node, name, []), looped if name == "body" else rounds)
            for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                self.block(part.body, rounds)

    def _bind(self, node: ast.stmt, used: set[int]) -> None:
        for part in walked(node) if not hasattr(node, "body") else self._targets(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self.held[part.id] = set(used)
        value = getattr(node, "value", None)
        if (
            isinstance(node, ast.Expr)
            and isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
        ):
            owner = value.func.value
            if isinstance(owner, ast.Name):
                self.held.setdefault(owner.id, set()).update(used)

    @staticmethod
    def _targets(node: ast.stmt) -> list[ast.AST]:
        target = getattr(node, "target", None)
        return list(walked(target)) if target is not None else []

    def expression(self, node: ast.AST, rounds: int, *, starts: bool = False) -> set[int]:
        """Replay an expression and return the calls its value comes from."""
        if isinstance(node, ast.Lambda):
            return set()
        if isinstance(node, ast.Name):
            return set() if isinstance(node.ctx, ast.Store) else set(self.held.get(node.id, ()))
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return self._comprehension(node, rounds, starts=starts)
        if isinstance(node, ast.Call):
            return self._call(node, rounds, starts=starts)
        used = set[int]()
        for child in children(node):
            used |= self.expression(child, rounds, starts=starts and isinstance(node, ast.Starred))
        if isinstance(node, ast.Await):
            self._wait(used)
        return used

    def _comprehension(self, node: ast.AST, rounds: int, *, starts: bool) -> set[int]:
        used = set[int]()
        for generator in getattr(node, "generators", []):
            items = self.expression(generator.iter, rounds)
            used |= items
            for part in walked(generator.target):
                if isinstance(part, ast.Name):
                    self.held[part.id] = items
        for name in ("key", "value", "elt"):
            element = getattr(node, name, None)
            if element is not None:
                used |= self.expression(element, rounds + 1, starts=starts)
        return used

    def _call(self, node: ast.Call, rounds: int, *, starts: bool) -> set[int]:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        task = self._task(node)
        begins = starts or (method in _STARTS)
        used = self.expression(node.func, rounds) if isinstance(node.func, ast.Attribute) else set()
        for value in [*node.args, *(word.value for word in node.keywords)]:
            used |= self.expression(value, rounds, starts=begins and task is None)
        if method in _WAITS:
            self._wait(used)
        if task is None:
            return used
        many = bool(rounds) or method == "map"
        return self._run(task, used, many=many, started=begins)

    def _wait(self, calls: set[int]) -> None:
        self.now = max([self.now, *(self.ends[one] for one in calls)])

    def _run(self, task: Function, used: set[int], *, many: bool, started: bool) -> set[int]:
        timing = self.file.timing(task)
        duration = (timing.p50_s if timing else None) if self.unit_s is None else self.unit_s
        if duration is None:
            self.unknown = True
            return set()
        per_run = (timing.calls_per_run if timing else None) or MAX_WORKERS
        count = max(1, round(per_run / self.sites.get(task.name, 1))) if many else 1
        ready = max([0.0, *(self.ends[one] for one in used)])
        begin_by_values = max([0.0, *(self.depth[one] for one in used)])
        made = set[int]()
        for _ in range(min(count, _MOST_CALLS)):
            if started:
                self.now += SUBMIT_COST_S if self.unit_s is None else 0.0
                start = max(self.now, ready, heapq.heappop(self.workers))
                heapq.heappush(self.workers, start + duration)
            else:
                start = self.now = max(self.now, ready)
                self.now += duration
            self.bars.append(
                Bar(name=task.node.name, start_s=round(start, 4), end_s=round(start + duration, 4))
            )
            self.ends.append(start + duration)
            self.depth[len(self.ends) - 1] = begin_by_values + duration
            made.add(len(self.ends) - 1)
        return made
