"""Do many small computations in one task run: Prefect needs about 10 ms for each task run of its own.

Before::

    scores = [score(row, weights) for row in rows]

After::

    @task
    def score_each(items, weights):
        return [score.fn(item, weights) for item in items]

    scores = score_each(list(rows), weights)

Opt-in: the items no longer show as task runs of their own. Only for tasks that compute from their input
alone and have no retries, caching, timeout or hooks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from prefect_autopilot.effects import Function, walked
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.calls import read_site
from prefect_autopilot.optimization.plan import Durations, Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.starts import computes_alone, in_this_file

_NAME = "chunk_items"
_RUN_COST_S = 0.01
"""What one task run costs when it is called directly (Prefect 3.8, measured: 10.7 to 11.6 ms)."""
_SMALL_S = 0.25
_HARMLESS = frozenset({"name", "description", "version"})


@dataclass(frozen=True)
class _Items:
    node: ast.ListComp
    call: ast.Call
    task: Function


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield one task run for each list comprehension whose elements are calls of one small task."""
    done: set[str] = set()
    for flow in file.flows:
        for node in walked(flow.node):
            if not isinstance(node, ast.ListComp):
                continue
            site = read_site(file.reader, node.elt, flow)
            if site is None or site.flavour != "call" or site.call is not node.elt:
                continue
            items = _Items(node, site.call, site.task)
            reason = _refusal(file, items)
            if reason:
                yield Rejection(rule=_NAME, line=node.lineno, reason=reason)
            elif site.task.name not in done:
                done.add(site.task.name)  # further ones of the same task in the next round
                yield _proposal(file, items)


def _refusal(file: FlowFile, items: _Items) -> str:
    task, node = items.task, items.node
    timing = file.timing(task)
    options = [one for one in task.options if one not in _HARMLESS]
    checks: tuple[tuple[bool, str], ...] = (
        (not in_this_file(file, task), f"{task.node.name} does not stand at module level of this file"),
        (bool(options), f"{task.node.name} has the option {options[0] if options else ''}"),
        (
            timing is not None and (timing.p50_s or 0.0) > _SMALL_S,
            f"{task.node.name} is not small: a task run of its own costs little beside it",
        ),
        (len(node.generators) > 1 or bool(node.generators[0].is_async), "the items come from several loops"),
        (not isinstance(node.generators[0].target, ast.Name), "the items are taken apart"),
        ("#" in file.text.of(node), "a comment stands between"),
    )
    found = next((reason for holds, reason in checks if holds), "")
    return found or computes_alone(file, task) or _of_arguments(items)


def _of_arguments(items: _Items) -> str:
    """Say what of the arguments is neither the item nor the same for all items."""
    target = items.node.generators[0].target
    name = target.id if isinstance(target, ast.Name) else ""
    given: list[ast.expr] = [*items.call.args, *(word.value for word in items.call.keywords)]
    if any(word.arg is None for word in items.call.keywords) or not isinstance(items.call.func, ast.Name):
        return "the call is not a plain one"
    if not all(isinstance(one, ast.Name | ast.Constant) for one in given):
        return "an argument is computed for each item"
    used = [one for one in given if isinstance(one, ast.Name) and one.id == name]
    return "" if len(used) == 1 else "the item is not exactly one argument"


def _proposal(file: FlowFile, items: _Items) -> Proposal:
    task, node = items.task, items.node
    target = node.generators[0].target
    item = target.id if isinstance(target, ast.Name) else "item"
    name = file.new_name(f"{task.node.name.lstrip('_')}_each")
    fixed = sorted({one.id for one in walked(items.call) if isinstance(one, ast.Name)} - {item})
    fixed = [one for one in fixed if one != task.node.name]
    rest = file.text.of(items.call)[len(file.text.of(items.call.func)) :]
    plural = file.new_name("items") if "items" in {item, *fixed} else "items"
    new, pad = file.text.newline, "    "
    made = f"{task.node.name}.fn{rest}"
    lines = [
        "",
        "",
        "",
        f"@{_decorator(file, task)}",
        f"def {name}({', '.join([plural, *fixed])}):",
        f'{pad}"""Call {task.node.name} for each item, in one task run."""',
        f"{pad}return [{made} for {item} in {plural}]",
    ]
    text = new.join(lines)
    end = file.text.end(task.node)
    line_end = file.source.find("\n", end)
    at = len(file.source) if line_end < 0 else line_end - (file.source[line_end - 1] == "\r")
    generator = node.generators[0]
    kept = f"[{item} {file.text.of(node)[1:-1].strip()[len(file.text.of(items.call)) :].strip()}]"
    whole = f"list({file.text.of(generator.iter)})"
    given = kept if generator.ifs or "list" in file.names else whole
    call = TextEdit(file.text.start(node), file.text.end(node), f"{name}({', '.join([given, *fixed])})")
    return Proposal(
        rule=_NAME,
        line=node.lineno,
        reason=f"{task.node.name} is small: one task run for all items instead of one for each",
        edits=tuple(sorted((TextEdit(at, at, text), call))),
        evidence=(f"line {task.node.lineno}: {task.node.name} computes from its input alone",),
        preconditions=(f"nobody needs the task runs of {task.node.name} one by one",),
        saving=file.saving(lambda duration: _saved(file, task, duration)),
        undo=f"call {task.node.name} for each item again and remove {name}",
        risk="opt_in",
    )


def _decorator(file: FlowFile, task: Function) -> str:
    node = task.decorator
    return file.text.of(node.func if isinstance(node, ast.Call) else node) if node is not None else "task"


def _saved(file: FlowFile, task: Function, duration: Durations) -> float | None:
    timing = file.timing(task)
    if timing is None or timing.calls_per_run is None or duration(task) is None:
        return None
    return max(timing.calls_per_run - 1, 0.0) * _RUN_COST_S


RULE = Rule(
    name=_NAME,
    strategies=frozenset({Strategy.PERFORMANCE, Strategy.COST, Strategy.HYBRID}),
    find=find,
    order=38,
)
"""Many small calls become one."""
