"""What the gate has to know beside the diagnosis: what a retry would do again, budgets, people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, TypedDict

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.adapters.prefect_api import OWN_PREFIX
from prefect_autopilot.effects import FunctionEffect, Level, RerunVerdict, flow_effects, may_rerun
from prefect_autopilot.errors import InvalidFlowError, UnknownNameError
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.improve import operation_effects
from prefect_autopilot.journeys.remedies import MARK
from prefect_autopilot.models import Attempt, Evidence, SourceFile, TaskRunRecord, TroubleshootingSession

Repetition = Literal["none", "safe", "idempotent", "unsafe", "unknown"]
"""What doing something a second time does; none: there is nothing that would be done again."""

_WORST_LAST: tuple[Repetition, ...] = ("none", "safe", "idempotent", "unknown", "unsafe")
_SERVICE_CALL = "call_service"


class Circumstances(TypedDict):
    """Keyword arguments of ``troubleshooting.decide``."""

    rerun: RerunVerdict
    persisted_results: bool
    attempts: tuple[Attempt, ...]
    recent_remedies: int
    breaker_open: bool
    own_flow: bool
    human_touched: bool
    refreshable: bool
    failing_effect: Repetition
    earlier_effect: Repetition


async def circumstances_of(desk: Desk, session: TroubleshootingSession, evidence: Evidence) -> Circumstances:
    """Gather what ``decide`` asks for, from the store, the evidence and the flow's source."""
    run = evidence.run
    failed = await desk.store.failed_verifications(session.fingerprint, run.deployment_id)
    code = RerunCode.read(evidence.source)
    return Circumstances(
        rerun=code.verdict,
        persisted_results=code.direct_is_harmless and _all_persisted(evidence),
        attempts=session.attempts,
        recent_remedies=await desk.store.remedies_since(desk.clock() - timedelta(minutes=1)),
        breaker_open=failed >= desk.policy.breaker_failures,
        own_flow=run.flow_name.startswith(OWN_PREFIX),
        human_touched=_human_touched(session, evidence),
        refreshable=_refreshable(session),
        failing_effect=code.of_tasks(_failed_tasks(evidence)) if _failed_tasks(evidence) else code.direct,
        earlier_effect=code.before(evidence),
    )


class RerunCode:
    """What the calls in a flow's body do when they are done again."""

    def __init__(self, verdict: RerunVerdict, calls: Iterable[tuple[str, FunctionEffect]] = ()) -> None:
        """Keep the verdict on the whole flow and the calls of its body."""
        self.verdict = verdict
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
    def read(cls, source: SourceFile | None) -> RerunCode:
        """Judge a source; one that cannot be read or understood is unknown."""
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
        return cls(verdict, ((call.function, call.effect) for call in calls))

    @classmethod
    def _unknown(cls, reason: str) -> RerunCode:
        code = cls(RerunVerdict(level="unknown", evidence=(reason,)))
        code.direct = "unknown"
        return code

    @property
    def direct_is_harmless(self) -> bool:
        """True when the flow's own body does nothing that must not be done twice."""
        return self.direct in {"none", "safe", "idempotent"}

    def of_tasks(self, names: Iterable[str]) -> Repetition:
        """Return the worst of these tasks; one that the source does not show is unknown."""
        worst: Repetition = "none"
        for name in names:
            worst = _worse(worst, self._tasks.get(name, "unknown"))
        return worst

    def before(self, evidence: Evidence) -> Repetition:
        """Return the worst of what was done before the failure and would be done again."""
        if not _of_this_attempt(evidence):
            # Nothing is known of its tasks, so each of them may have been done.
            return _worse(self.direct, _worse(self.of_tasks(self._tasks), self._service_calls))
        return _worse(self.direct, self.of_tasks(_done_again(evidence)))


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


def _worse(one: Repetition, other: Repetition) -> Repetition:
    return max(one, other, key=_WORST_LAST.index)


def _of_this_attempt(evidence: Evidence) -> tuple[TaskRunRecord, ...]:
    count = evidence.run.run_count
    return tuple(task for task in evidence.task_runs if task.flow_run_run_count == count)


def _finished(evidence: Evidence) -> tuple[TaskRunRecord, ...]:
    tasks = _of_this_attempt(evidence)
    return tuple(task for task in tasks if task.state is not None and task.state.type == "COMPLETED")


def _all_persisted(evidence: Evidence) -> bool:
    """Tell whether tasks of this attempt are known and all that finished have stored results."""
    return bool(_of_this_attempt(evidence)) and all(task.persisted for task in _finished(evidence))


def _done_again(evidence: Evidence) -> set[str]:
    """Return the functions of finished tasks whose results are not stored."""
    return {_function(task.task_key) for task in _finished(evidence) if not task.persisted}


def _failed_tasks(evidence: Evidence) -> set[str]:
    """Return the functions of tasks that were begun and not finished."""
    begun = {"FAILED", "CRASHED", "RUNNING"}
    return {
        _function(task.task_key)
        for task in _of_this_attempt(evidence)
        if task.state is not None and task.state.type in begun
    }


def _function(task_key: str) -> str:
    """Return the function of a task key: ``load-844df1d4`` is the key of ``load``."""
    return task_key.rpartition("-")[0] or task_key


def _human_touched(session: TroubleshootingSession, evidence: Evidence) -> bool:
    """Tell whether somebody else moved the run since its first failure: a state without our mark."""
    return any(
        state.timestamp > session.start_time
        and state.type in {"SCHEDULED", "CANCELLING", "CANCELLED", "PAUSED"}
        and not (state.message or "").startswith(MARK)
        for state in evidence.states
    )


def _refreshable(session: TroubleshootingSession) -> bool:
    diagnosis = session.diagnosis
    if diagnosis is None or diagnosis.connection is None or diagnosis.service is None:
        return False
    catalogue = user_catalogue()
    if diagnosis.service not in catalogue:
        return False
    auth = catalogue.get(diagnosis.service).auth
    return bool(auth.refresh_url or auth.token_url)
