"""What a retry would do a second time, by the flow's source, its traceback and its stored results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from prefect_autopilot.adapters.ended_runs import PAGE
from prefect_autopilot.effects import FunctionEffect, Level, RerunVerdict, flow_effects, may_rerun
from prefect_autopilot.errors import InvalidFlowError, UnknownNameError
from prefect_autopilot.journeys.improve import operation_effects
from prefect_autopilot.models import Evidence, SourceFile, TaskRunRecord
from prefect_autopilot.models.names import MARK
from prefect_autopilot.troubleshooting.execution import before, executed, in_loop, own_frames

Repetition = Literal["none", "safe", "idempotent", "unsafe", "unknown"]
"""What doing something a second time does; none: there is nothing that would be done again."""

HARMLESS: frozenset[Repetition] = frozenset({"none", "safe", "idempotent"})
_WORST_LAST: tuple[Repetition, ...] = ("none", "safe", "idempotent", "unknown", "unsafe")
_SERVICE_CALL = "call_service"


class RerunCode:
    """What the calls in a flow's body do when they are done again."""

    def __init__(
        self,
        verdict: RerunVerdict,
        calls: Iterable[tuple[str, FunctionEffect]] = (),
        *,
        once: frozenset[str] = frozenset(),
    ) -> None:
        """Keep the verdict on the whole flow and the calls of its body; ``once``: tasks called but once."""
        self.verdict = verdict
        self._once = once
        self._tasks: dict[str, Repetition] = {}
        self.direct: Repetition = "none"
        self._service_calls: Repetition = "none"
        for name, effect in calls:
            again = repetition(effect)
            if effect.kind == "task":
                self._tasks[name] = _worse(self._tasks.get(name, "none"), again)
            elif _is_service_call(name):
                # Our own task: stored, and skipped by a retry, as its task run shows.
                self._service_calls = _worse(self._service_calls, again)
            else:
                # Code in the flow's own body is never skipped by a retry, persisted or not.
                self.direct = _worse(self.direct, again)

    @classmethod
    def of(cls, evidence: Evidence) -> RerunCode:
        """Judge the source of a failed run; code of its body that it never came to is left out."""
        source, frames = evidence.source, own_frames(evidence)
        if source is None or not frames or _started_by_others(evidence) > 1:
            # An earlier start may have come further than the last one.
            return cls.read(source)
        return cls.read(source, executed(source.text, frames[0].function, frames[0].line))

    @classmethod
    def read(cls, source: SourceFile | None, ran: frozenset[int] | None = None) -> RerunCode:
        """Judge a source; one that cannot be read or understood is unknown.

        ``ran`` are the lines of the flow's body that may have run, None where that is not known.
        """
        if source is None:
            return cls._unknown("the flow's source could not be read")
        function = source.entrypoint.rpartition(":")[2]
        try:
            # The catalogue is read only for flows that call its services.
            operations = operation_effects() if _SERVICE_CALL in source.text else None
            verdict = may_rerun(source.text, function, operations)
            calls = flow_effects(source.text, function, operations)
        except (InvalidFlowError, UnknownNameError) as error:
            return cls._unknown(error.message)
        counted = Counter(call.function for call in calls if call.effect.kind == "task")
        looped = {
            call.function for call in calls if call.how == "map" or in_loop(source.text, function, call.line)
        }
        kept = [call for call in calls if ran is None or call.line in ran or call.effect.kind == "task"]
        once = frozenset(name for name, times in counted.items() if times == 1 and name not in looped)
        return cls(verdict, ((call.function, call.effect) for call in kept), once=once)

    @staticmethod
    def worst_before(text: str, ends: Iterable[tuple[str, int]]) -> Repetition:
        """Return the worst of what functions of a file did before the statements at these lines."""
        worst: Repetition = "none"
        for function, line in ends:
            lines = before(text, function, line)
            if lines is None:
                return "unknown"
            try:
                calls = flow_effects(text, function)
            except (InvalidFlowError, UnknownNameError):
                return "unknown"
            for call in calls:
                if call.line in lines:
                    worst = _worse(worst, repetition(call.effect))
        return worst

    @classmethod
    def _unknown(cls, reason: str) -> RerunCode:
        code = cls(RerunVerdict(level="unknown", evidence=(reason,)))
        code.direct = "unknown"
        return code

    @property
    def direct_is_harmless(self) -> bool:
        """True when the flow's own body does nothing that must not be done twice."""
        return self.direct in HARMLESS

    def of_tasks(self, names: Iterable[str]) -> Repetition:
        """Return the worst of these tasks; one that the source does not show is unknown."""
        worst: Repetition = "none"
        for name in names:
            worst = _worse(worst, self._tasks.get(name, "unknown"))
        return worst

    def may_have_begun(self, evidence: Evidence) -> Repetition:
        """Return the worst of what a killed run may have begun: its last reports may never have been sent.

        Only a task that is called once and whose stored result was reported is certain to be skipped.
        """
        stored = {executed_function(task.task_key) for task in _finished(evidence) if task.persisted}
        open_ = [name for name in self._tasks if name not in stored or name not in self._once]
        return _worse(_worse(self.direct, self._service_calls), self.of_tasks(open_))

    def before(self, evidence: Evidence) -> Repetition:
        """Return the worst of what was done before the failure and would be done again."""
        if not _of_this_attempt(evidence):
            # Nothing is known of its tasks, so each of them may have been done.
            return _worse(self.direct, _worse(self.of_tasks(self._tasks), self._service_calls))
        return _worse(self.direct, self.of_tasks(_done_again(evidence)))


def never_began(evidence: Evidence) -> bool:
    """Tell whether the flow's own code was never come to, on any start."""
    never_ran = all(state.type != "RUNNING" for state in evidence.states)
    return bool(evidence.states) and never_ran and not evidence.task_runs


def _is_service_call(name: str) -> bool:
    """Tell whether a call's source is one of our task: ``call_service``, ``tasks.call_service.submit``."""
    return _SERVICE_CALL in name.partition("(")[0].split(".")


def repetition(effect: FunctionEffect) -> Repetition:
    """Return what doing this a second time does."""
    if effect.level is Level.PURE:
        return "none"
    if effect.level is Level.READ:
        return "safe"
    if effect.level is Level.UNKNOWN:
        return "unknown"
    writes = [touch for touch in effect.touches if touch.level is Level.WRITE]
    return "idempotent" if all(touch.idempotent and touch.stable for touch in writes) else "unsafe"


def _started_by_others(evidence: Evidence) -> int:
    ours = sum((state.message or "").startswith(MARK) for state in evidence.states)
    return evidence.run.run_count - ours


def _worse(one: Repetition, other: Repetition) -> Repetition:
    return max(one, other, key=_WORST_LAST.index)


def _of_this_attempt(evidence: Evidence) -> tuple[TaskRunRecord, ...]:
    """Return the tasks of the last start; none where a page is full, for then more may have been done."""
    if len(evidence.task_runs) >= PAGE:
        return ()
    count = evidence.run.run_count
    return tuple(task for task in evidence.task_runs if task.flow_run_run_count == count)


def _finished(evidence: Evidence) -> tuple[TaskRunRecord, ...]:
    tasks = _of_this_attempt(evidence)
    return tuple(task for task in tasks if task.state is not None and task.state.type == "COMPLETED")


def all_persisted(evidence: Evidence) -> bool:
    """Tell whether tasks of this attempt are known and all that finished have stored results."""
    return bool(_of_this_attempt(evidence)) and all(task.persisted for task in _finished(evidence))


def _done_again(evidence: Evidence) -> set[str]:
    """Return the functions of finished tasks whose results are not stored."""
    return {executed_function(task.task_key) for task in _finished(evidence) if not task.persisted}


def failed_tasks(evidence: Evidence) -> set[str]:
    """Return the functions of tasks that were begun and not finished."""
    begun = {"FAILED", "CRASHED", "RUNNING"}
    return {
        executed_function(task.task_key)
        for task in _of_this_attempt(evidence)
        if task.state is not None and task.state.type in begun
    }


def executed_function(task_key: str) -> str:
    """Return the function of a task key: ``load-844df1d4`` is the key of ``load``."""
    return task_key.rpartition("-")[0] or task_key
