"""What rules see and what they answer: a flow file with its analysis; proposals and rejections."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from prefect_autopilot.effects import EffectReader, Function, OperationEffects, Project, walked
from prefect_autopilot.effects.text import SourceText, TextEdit
from prefect_autopilot.models import (
    Advice,
    FlowHistory,
    OptimizerSettings,
    PriceTable,
    Rejection,
    Strategy,
    TaskTiming,
)
from prefect_autopilot.optimization.calls import Judge
from prefect_autopilot.optimization.statements import StatementReader

RateLimits: TypeAlias = Mapping[str, tuple[str, float]]
"""Service and calls a second, by host name and by service id."""
MAX_WORKERS = OptimizerSettings().max_workers
"""Calls of one fan-out at a time where the settings say nothing: polite to a service of unknown limit."""
SUBMIT_COST_S = 0.005
"""What submitting one task costs (Prefect 3.8, measured)."""
SAME_TIME = "what is read takes several calls at a time from one client"
_LEAST_SAVING_S = 0.25
_LEAST_SHARE = 0.05
_CPU_BOUND = 0.5


@dataclass(frozen=True)
class Saving:
    """Seconds per run that an edit is expected to save, computed from ``n`` runs."""

    expected_s: float
    low_s: float
    """Where every task takes its 5th percentile; 0 s stands for one that is not known."""
    high_s: float
    """Where every task takes its 95th percentile."""
    n: int


@dataclass
class Durations:
    """Seconds that tasks take at one quantile, and the fewest runs that any of them was measured in."""

    file: FlowFile
    quantile: Literal["p5", "p50", "p95"] = "p50"
    n: int = 0

    def __call__(self, task: Function) -> float | None:
        """Return the seconds of one call, None where no run tells."""
        timing = self.file.timing(task)
        if timing is None or timing.p50_s is None:
            return None
        self.n = min(self.n or timing.n, timing.n)
        if self.quantile == "p5":
            return timing.p5_s or 0.0
        return timing.p50_s if self.quantile == "p50" or timing.p95_s is None else timing.p95_s


@dataclass(frozen=True)
class Proposal:
    """One edit a rule would make."""

    rule: str
    line: int
    reason: str
    edits: tuple[TextEdit, ...]
    evidence: tuple[str, ...] = ()
    preconditions: tuple[str, ...] = ()
    saving: Saving | None = None
    undo: str = ""
    bounds: Function | None = None
    """The flow whose task runner must be bounded for this edit."""
    imports: tuple[str, ...] = ()
    """Import statements the edit needs."""
    risk: Literal["safe", "opt_in"] = "safe"
    """An edit of risk opt_in is made only with the owner's consent."""


@dataclass
class FlowFile:
    """One source file under analysis; everything is read once and shared by the rules."""

    source: str
    history: FlowHistory | None = None
    operations: OperationEffects | None = None
    project: Project | None = None
    """The other modules of the project, for what is imported from them."""
    place: str = ""
    """The dotted name of this file in the project."""
    settings: OptimizerSettings = field(default_factory=OptimizerSettings)
    prices: PriceTable | None = None
    rates: RateLimits = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """Names in use anywhere in the file."""

    def __post_init__(self) -> None:
        self.text = SourceText(self.source)
        self.reader = EffectReader.of(self.source, self.operations, self.project, self.place)
        self.module = self.reader.module
        self._judges: dict[str, Judge] = {}
        self._imported: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._statements: dict[str, StatementReader] = {}
        for node in walked(self.module.tree):
            if isinstance(node, ast.Name):
                self.names.add(node.id)
            elif isinstance(node, ast.arg):
                self.names.add(node.arg)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.names.add(node.name)
        self.names |= set(self.module.imports)

    @property
    def flows(self) -> list[Function]:
        """The flows that may be edited."""
        return [one for one in self.module.flows() if one.marked != "keep" and not one.strange]

    @property
    def tasks(self) -> list[Function]:
        """The tasks that may be edited."""
        kept = ("keep",)
        return [
            one for one in self.module.functions.values() if one.kind == "task" and one.marked not in kept
        ]

    def judge(self, flow: Function) -> Judge:
        """Return the judge of a flow's calls."""
        if flow.name not in self._judges:
            self._judges[flow.name] = Judge(self.reader, flow)
        return self._judges[flow.name]

    def statements(self, flow: Function) -> StatementReader:
        """Return the reader of a flow's statements."""
        if flow.name not in self._statements:
            self._statements[flow.name] = StatementReader(self.reader, flow)
        return self._statements[flow.name]

    def new_name(self, wanted: str) -> str:
        """Return a name that nothing in the file uses, and reserve it."""
        name, count = wanted, 1
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def imported(self, name: str, module: str = "") -> tuple[str, tuple[str, ...]]:
        """Return what edits call a module, or a name of one, and the import that the file lacks for it."""
        origin = f"{module}.{name}" if module else name
        if origin not in self._imported:
            known = next((own for own, of in self.module.bound_imports.items() if of == origin), "")
            self._imported[origin] = (known, ()) if known else self._new_import(name, module, origin)
        return self._imported[origin]

    def _new_import(self, name: str, module: str, origin: str) -> tuple[str, tuple[str, ...]]:
        own = {*self.module.variables, *self.module.functions, *self.module.classes}
        taken = name in own or (name in self.names and self.module.imports.get(name) != origin)
        called = self.new_name(name) if taken else name
        text = f"from {module} import {name}" if module else f"import {name}"
        return called, (text if called == name else f"{text} as {called}",)

    def timing(self, task: Function) -> TaskTiming | None:
        """Return what history knows of a task, by its Prefect name or its function's."""
        if self.history is None:
            return None
        given = task.options.get("name")
        named = given.value if isinstance(given, ast.Constant) else None
        for name in (named, task.node.name, task.node.name.replace("_", "-")):
            if isinstance(name, str) and name in self.history.tasks:
                return self.history.tasks[name]
        return None

    def saving(self, compute: Callable[[Durations], float | None]) -> Saving | None:
        """Return what ``compute`` says is saved at the usual, the fast and the slow durations."""
        usual = Durations(self)
        expected = compute(usual)
        if expected is None:
            return None
        ends = [compute(Durations(self, "p5")) or 0.0, compute(Durations(self, "p95")) or 0.0]
        return Saving(expected, min(expected, *ends), max(expected, *ends), usual.n)

    def too_little(self, saving: Saving | None, tasks: list[Function]) -> str:
        """Say why an expected saving does not justify an edit; empty where it does or nothing is known."""
        shares = [(task, timing.cpu_share) for task in tasks if (timing := self.timing(task))]
        busy = [task.node.name for task, share in shares if share is not None and share >= _CPU_BOUND]
        if busy:
            return f"{busy[0]} computes most of its time: threads would not make it faster"
        if saving is None or self.history is None:
            return ""
        least = max(_LEAST_SAVING_S, _LEAST_SHARE * (self.history.flow.p50_s or 0.0))
        if saving.expected_s >= least:
            return ""
        promised = max(saving.expected_s, 0.0)
        return f"the runs so far promise {promised:.3f} s; an edit is worth it from {least:.2f} s on"


Finding: TypeAlias = Proposal | Rejection | Advice


@dataclass(frozen=True)
class Rule:
    """One kind of edit; ``find`` yields what it would do, what it only advises, and what it leaves alone."""

    name: str
    strategies: frozenset[Strategy]
    find: Callable[[FlowFile], Iterator[Finding]]
    order: int = 50
    """Rules with lower numbers get the lines that two rules want."""
