"""Keep the results of deterministic tasks that touch nothing outside, for an hour, by input and source.

Before::

    @task
    def score(rows): ...

After::

    @task(cache_policy=INPUTS + TASK_SOURCE, cache_expiration=timedelta(hours=1), persist_result=True)
    def score(rows): ...

Opt-in: a stored result takes room, and a cached task shows as Cached instead of Completed.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.effects import Function, Level
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.decorators import add_keywords
from prefect_autopilot.optimization.plan import Finding, FlowFile, Proposal, Rule, Saving
from prefect_autopilot.optimization.savings import UNTOLD

_NAME = "cache_pure"
_POLICIES = "prefect.cache_policies"
_WORDS = ("cache_policy", "cache_expiration", "persist_result")
_WORTH_ASKING_S = 0.25
_DECIDED = ("cache_", "result_", "persist_", "refresh_")


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a cache for each task that history shows to repeat itself."""
    for task in file.tasks:
        timing = file.timing(task)
        if timing is None or timing.p50_s is None or timing.calls_per_run is None:
            continue
        line = task.decorator.lineno if task.decorator else task.node.lineno
        reason = _refusal(file, task)
        if not timing.repeat_share:
            if timing.repeat_share is None and not reason and timing.p50_s >= _WORTH_ASKING_S:
                told = f"how often {task.node.name} is given the same is not known {UNTOLD}"
                yield Rejection(rule=_NAME, line=line, reason=told)
            continue
        words, imports = _options(file)
        edit = None if reason else add_keywords(file, task, words)
        if edit is None:
            yield Rejection(rule=_NAME, line=line, reason=reason or f"{task.node.name} has no decorator")
            continue
        yield Proposal(
            rule=_NAME,
            line=line,
            reason=f"{task.node.name} computes the same again in {timing.repeat_share:.0%} of its calls "
            f"(n = {timing.n})",
            edits=(edit,),
            evidence=file.reader.effect(task).evidence,
            preconditions=(
                "the storage of results is one that all workers reach",
                "two runs at once may both compute (else: isolation_level=SERIALIZABLE and a lock_manager)",
            ),
            saving=_saving(file, task, timing.repeat_share * timing.calls_per_run),
            undo=f"remove {', '.join(_WORDS)} from the decorator of {task.node.name}",
            imports=imports,
            risk="opt_in",
        )


def _options(file: FlowFile) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the decorator's new options, and the imports that they need."""
    inputs, source = (file.imported(name, _POLICIES) for name in ("INPUTS", "TASK_SOURCE"))
    span = file.imported("timedelta", "datetime")
    values = (f"{inputs[0]} + {source[0]}", f"{span[0]}(hours=1)", "True")
    return dict(zip(_WORDS, values, strict=True)), (*inputs[1], *source[1], *span[1])


def _saving(file: FlowFile, task: Function, repeats: float) -> Saving | None:
    return file.saving(lambda duration: None if (seconds := duration(task)) is None else repeats * seconds)


def _refusal(file: FlowFile, task: Function) -> str:
    """Return why a task must not be cached; empty where it may."""
    name, effect = task.node.name, file.reader.effect(task)
    evidence = effect.evidence[0] if effect.evidence else f"line {effect.line}"
    checks: tuple[tuple[bool, str], ...] = (
        (effect.level is not Level.PURE, f"{name} does more than compute ({evidence})"),
        (effect.nondeterministic or effect.paced, f"{name} reads the clock or chance, or pauses"),
        (bool(effect.mutates) or effect.is_generator, f"{name} changes or consumes what it is given"),
        (not task.parameters, f"{name} takes nothing its result could depend on"),
        (
            any(one.startswith(_DECIDED) or one == "**" for one in task.options),
            f"{name} decides on its cache",
        ),
    )
    return next((reason for holds, reason in checks if holds), "")


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST}), find=find, order=60)
