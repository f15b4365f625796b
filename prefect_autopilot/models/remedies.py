"""What may be done about a failure: each remedy with its data, its plan in words and what it repeats.

All that is known of a remedy but its act stands in its class; the act is a case of ``journeys.remedies``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from prefect_autopilot.models.acts import Act, ProvedRepair
from prefect_autopilot.models.base import JSONDict
from prefect_autopilot.models.means import (
    ApplyRewrite,
    FreeScratch,
    LongerTimeout,
    LowerConcurrency,
    MeansKind,
    MoreMemory,
    QuarantineInput,
    RerunElsewhere,
    RollBack,
)

RemedyClass = Literal[
    "retry_backoff",
    "wait_rate_limit",
    "refresh_credentials",
    "raise_timeout",
    "reduce_concurrency",
    "increase_memory",
    "free_disk",
    "fix_configuration",
    "fix_code",
    "fix_data",
    "install_dependency",
    "grant_permission",
    "wait_for_service",
    "rerun_on_other_infrastructure",
    "restart_worker",
    "none",
]
"""The first action that helps, as in the batch contract."""

RemedyKind = Literal[
    "retry_run",
    "refresh_credentials",
    "remove_stale_lock",
    "forget_cached_result",
    "run_refresher",
    "release_slots",
    "end_stuck_run",
    "run_missed",
    "pause_deployment",
    MeansKind,
]
"""What a policy may name: every remedy but asking a person. A test compares it with the classes."""


class RetryRun(Act):
    """Set the same run to AwaitingRetry, so that it resumes at the failed task, after ``delay_s``."""

    plan: ClassVar[str] = "Retry the same run in {delay_s:.0f} s"
    when: ClassVar[str] = "the cause passes by itself and nothing is done twice that must not be"
    undo: ClassVar[str] = "`undo`, until the retry begins"
    helped: ClassVar[str] = "the run completes on a later start"
    once: ClassVar[bool] = False
    changeable: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"delay_s": "Seconds to wait before the retry; never less than the other side asked for."}
    )
    kind: Literal["retry_run"] = "retry_run"
    delay_s: float = Field(ge=0)
    because: RemedyClass = "retry_backoff"


class RefreshCredentials(Act):
    """Get a new access token into the connection, then retry the run."""

    plan: ClassVar[str] = "Get a new token into connection {connection}, then retry"
    when: ClassVar[str] = "the token has expired and the connection can be renewed"
    undo: ClassVar[str] = "cannot be: the old token has expired"
    helped: ClassVar[str] = "the retry completes"
    resumes: ClassVar[bool] = False  # a second refresh may find the first one's token used up
    radius: ClassVar[str] = "the connection, for all that use it"
    kind: Literal["refresh_credentials"] = "refresh_credentials"
    connection: str
    delay_s: float = Field(default=0, ge=0)


class RemoveStaleLock(ProvedRepair):
    """Remove a lock file whose holder is proved to be dead, then retry the run."""

    plan: ClassVar[str] = "Remove the lock file, then retry"
    when: ClassVar[str] = "the flow stopped at its own lock, whose holder is no process of this machine"
    undo: ClassVar[str] = "cannot be: the flow makes its lock again"
    radius: ClassVar[str] = "one file"
    kind: Literal["remove_stale_lock"] = "remove_stale_lock"
    path: str
    holder_pid: int


class ForgetCachedResult(ProvedRepair):
    """Remove the stored result that a task took from the cache, so that it is computed again, then retry."""

    plan: ClassVar[str] = "Remove this one cached result, then retry"
    when: ClassVar[str] = "a task took a stored result that the failure came from"
    undo: ClassVar[str] = "cannot be: the task computes its result again"
    cost: ClassVar[str] = "the result is computed again"
    radius: ClassVar[str] = "one stored result"
    kind: Literal["forget_cached_result"] = "forget_cached_result"
    task_run_id: str
    storage_key: str
    """Path of the record on this machine, as the task run's own state names it."""


class RunRefresher(ProvedRepair):
    """Run once the deployment that renews what the failed flow reads; a retry follows when it is done."""

    plan: ClassVar[str] = "Run the deployment that renews the credentials, then retry"
    when: ClassVar[str] = "one deployment is known to renew what the flow reads"
    undo: ClassVar[str] = "cancel the run that was started"
    helped: ClassVar[str] = "its run completes, then the retry"
    cost: ClassVar[str] = "one run of that deployment, one more start of this"
    radius: ClassVar[str] = "what that deployment renews"
    kind: Literal["run_refresher"] = "run_refresher"
    deployment_id: str
    deployment_name: str = ""
    renews: str


class ReleaseSlots(ProvedRepair):
    """Give back slots of a concurrency limit that nobody alive holds; the limit itself stays as it is."""

    plan: ClassVar[str] = "Release the slots that nobody holds"
    when: ClassVar[str] = "a run waits for slots that nobody alive can hold"
    undo: ClassVar[str] = "cannot be: the slots were nobody's"
    helped: ClassVar[str] = "the waiting run goes on and completes"
    repeats: ClassVar[bool] = False
    cost: ClassVar[str] = "nothing"
    radius: ClassVar[str] = "the slots of one limit"
    kind: Literal["release_slots"] = "release_slots"
    limit_name: str
    slots: int = Field(ge=1)
    active_slots: int
    """Slots in use when the proof was made; any other number stops the act."""


class EndStuckRun(ProvedRepair):
    """Set a run to Crashed whose process is proved to be gone; a retry follows when nothing forbids it."""

    plan: ClassVar[str] = "End the run, then retry it"
    when: ClassVar[str] = (
        "the run has been silent for nine minutes and lasts half as long again as any of its last "
        "completed runs; and its process is gone, in a process pool whose workers are all on this "
        "machine, or its worker has told that its pod or container ended"
    )
    undo: ClassVar[str] = "cannot be: its process is gone"
    helped: ClassVar[str] = "it is Crashed, and then retried as any killed run"
    repeats: ClassVar[bool] = False
    cost: ClassVar[str] = "nothing"
    kind: Literal["end_stuck_run"] = "end_stuck_run"


class RunMissed(ProvedRepair):
    """Run a deployment once for a scheduled time at which no run came."""

    plan: ClassVar[str] = "Run the deployment once"
    when: ClassVar[str] = (
        "a schedule was seen active before its last time, is unchanged since, no run was planned, "
        "started or cancelled for that time, and the next is not near"
    )
    undo: ClassVar[str] = "cancel the run that was started"
    helped: ClassVar[str] = "that run completes"
    repeats: ClassVar[bool] = False
    cost: ClassVar[str] = "one run of the deployment"
    radius: ClassVar[str] = "one further run"
    kind: Literal["run_missed"] = "run_missed"
    deployment_id: str
    due: datetime
    parameters: JSONDict = Field(default_factory=dict)
    """Parameters of the schedule itself, in place of the deployment's."""


class PauseDeployment(ProvedRepair):
    """Pause a deployment, or one schedule of it, whose runs keep failing, until one completes again."""

    plan: ClassVar[str] = "Pause {paused} until a run of it completes"
    when: ClassVar[str] = (
        "as many verifications failed as `breaker_failures` says, and the policy names this remedy; only the"
        " schedule that the run came from where the last run of another one completed"
    )
    undo: ClassVar[str] = "`undo`, or the next completed run"
    helped: ClassVar[str] = "a run of it completes"
    repeats: ClassVar[bool] = False
    resumes: ClassVar[bool] = False  # who paused it would not be known
    cost: ClassVar[str] = "its scheduled runs do not come meanwhile"
    radius: ClassVar[str] = "the deployment, or one schedule of it"
    kind: Literal["pause_deployment"] = "pause_deployment"
    deployment_id: str
    paused: str = "the deployment"
    schedule_id: str | None = None
    """The schedule that is paused, None for the whole deployment."""
    parameters: JSONDict = Field(default_factory=dict)
    """Of the failed run: a run of another schedule with others says nothing about this one."""


class AskOwner(Act):
    """Tell a person what was found and what to do; nothing is changed."""

    plan: ClassVar[str] = "Ask the owner"
    when: ClassVar[str] = "no other remedy fits, or the gate forbids it"
    undo: ClassVar[str] = "nothing was done"
    helped: ClassVar[str] = "a person acts; the session closes when a later run completes"
    once: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    cost: ClassVar[str] = "a person's time"
    radius: ClassVar[str] = "nothing is changed"
    kind: Literal["ask_owner"] = "ask_owner"
    advice: str


Repair = (
    RemoveStaleLock
    | ForgetCachedResult
    | RunRefresher
    | ReleaseSlots
    | EndStuckRun
    | RunMissed
    | PauseDeployment
    | MoreMemory
    | LongerTimeout
    | LowerConcurrency
    | RerunElsewhere
    | QuarantineInput
    | FreeScratch
    | RollBack
    | ApplyRewrite
)
"""Remedies that remove what stands in the way; each carries its proof. A new one is added here."""

Remedy = Annotated[RetryRun | RefreshCredentials | Repair | AskOwner, Field(discriminator="kind")]
