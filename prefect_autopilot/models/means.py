"""Remedies that change what the owner has set up, done only where the policy names them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field

from prefect_autopilot.models.acts import ProvedRepair, TakenBack
from prefect_autopilot.models.base import JSONDict

MeansKind = Literal[
    "more_memory",
    "longer_timeout",
    "lower_concurrency",
    "rerun_elsewhere",
    "quarantine_input",
    "free_scratch",
    "roll_back",
    "apply_rewrite",
]
"""Remedies that change what the owner has set up for runs."""


class ChangeRun(TakenBack):
    """What a remedy has that changes one value of a run before its retry: the value, and what it was."""

    place: Literal["parameters", "job_variables"]
    name: str
    amount: float = Field(gt=0)
    unit: str = ""
    """What is written behind the amount; nothing where the value is a number."""
    most: float
    """The largest amount that the policy allows, in the same unit."""
    before: str | float | None = None
    """What the run itself said before, None where it said nothing."""

    def value(self) -> str | float:
        """Return the new value as it is written."""
        whole = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{whole}{self.unit}" if self.unit else whole


class MoreMemory(ChangeRun):
    """Give the run more memory through a job variable of its own, then retry it."""

    plan: ClassVar[str] = "Give the run {amount:.0f}{unit} in job variable {name}, then retry"
    when: ClassVar[str] = (
        "memory ran out, the pool has one job variable for it, and the policy names this and `max_memory_mb`;"
        " set while the run waits for its retry, for Prefect changes job variables only then"
    )
    undo: ClassVar[str] = "`undo`, until the retry begins; afterwards it stays with this run"
    cost: ClassVar[str] = "the larger machine, for this run"
    changeable: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"amount": "Memory in the unit of the job variable; never more than the policy allows."}
    )
    kind: Literal["more_memory"] = "more_memory"


class LongerTimeout(ChangeRun):
    """Raise the one timeout among the run's parameters or job variables, then retry it."""

    plan: ClassVar[str] = "Raise {name} of the run to {amount:.0f} s, then retry"
    when: ClassVar[str] = (
        "a limit of time was met, the run has one number for it among parameters or job variables, and the"
        " policy names this and `max_timeout_s`"
    )
    cost: ClassVar[str] = "a run that hangs is noticed later"
    changeable: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"amount": "Seconds; never more than the policy allows."}
    )
    kind: Literal["longer_timeout"] = "longer_timeout"


class LowerConcurrency(TakenBack):
    """Lower a concurrency limit that the run is under already, then retry the run."""

    plan: ClassVar[str] = "Let {limit:.0f} at once of {limited} instead of {before}, then retry"
    when: ClassVar[str] = (
        "too much went on at once, the policy names this remedy, and a limit above one holds: of the"
        " deployment, else the one tag or global limit that the source names, else of the work queue"
    )
    helped: ClassVar[str] = "the retry completes; the lower limit stays"
    cost: ClassVar[str] = "what is under the limit waits longer from now on"
    radius: ClassVar[str] = "all that is under the same limit"
    changeable: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"limit": "How many at once; lower than now, at least one."}
    )
    kind: Literal["lower_concurrency"] = "lower_concurrency"
    limited: str = "the deployment"
    """What the limit is of."""
    path: str
    """Where the server keeps it."""
    limit: float = Field(ge=1)
    before: int


class RerunElsewhere(ProvedRepair):
    """Run the same flow once by its other deployment, in another work pool, with the same parameters."""

    plan: ClassVar[str] = "Run it once by deployment {deployment_name}, in work pool {work_pool}"
    when: ClassVar[str] = (
        "the infrastructure failed before the run began, one other deployment of the flow is in a pool"
        " that is ready, and the policy names this remedy"
    )
    undo: ClassVar[str] = "cancel the run that was started"
    helped: ClassVar[str] = "that run completes"
    cost: ClassVar[str] = "one run in the other pool"
    kind: Literal["rerun_elsewhere"] = "rerun_elsewhere"
    deployment_id: str
    deployment_name: str
    work_pool: str
    parameters: JSONDict = Field(default_factory=dict)


class QuarantineInput(TakenBack):
    """Move the one input file that a run cannot read to the folder its owner named, then retry the run."""

    plan: ClassVar[str] = "Move {path} to {target}, then retry without it"
    when: ClassVar[str] = (
        "the failure names one file below a folder of the policy's `quarantine`, on this machine"
    )
    helped: ClassVar[str] = "the retry completes without it; people are told of the file"
    cost: ClassVar[str] = "the data of that file is missing until somebody looks"
    radius: ClassVar[str] = "one file"
    kind: Literal["quarantine_input"] = "quarantine_input"
    path: str
    target: str


class FreeScratch(ProvedRepair):
    """Remove old files from folders that their owner has marked as scratch, then retry the run."""

    plan: ClassVar[str] = "Remove {megabytes:.0f} MB of scratch files older than a day, then retry"
    when: ClassVar[str] = (
        "the disk is full, the policy names `scratch_folders`, and each holds the file `.autopilot-scratch`"
    )
    undo: ClassVar[str] = "cannot be: scratch files are made to be removed"
    radius: ClassVar[str] = "files older than a day that nobody has open, in those folders"
    kind: Literal["free_scratch"] = "free_scratch"
    folders: tuple[str, ...]
    megabytes: float


class RollBack(TakenBack):
    """Give the deployment back the code with which a run of it last completed, then retry the run."""

    plan: ClassVar[str] = "Set deployment {deployment_name} back to version {good_version}, then retry"
    when: ClassVar[str] = (
        "the code or its setting failed, no run has completed since the deployment was changed, its"
        " entrypoint, path, pull steps or image were others when a run last did, and the policy names this"
        " remedy"
    )
    cost: ClassVar[str] = "what the newer version brought is missing until it is deployed again"
    radius: ClassVar[str] = "the deployment"
    kind: Literal["roll_back"] = "roll_back"
    deployment_id: str
    deployment_name: str
    good_version: str
    before: JSONDict
    """Version, entrypoint, path, pull steps and image that the deployment has."""
    after: JSONDict
    """What they were when a run of it last completed."""


class ApplyRewrite(TakenBack):
    """Write the optimiser's rewriting into the flow's file once it is proved to do the same, then retry."""

    plan: ClassVar[str] = "Rewrite {path} ({what}) once it is proved to do the same, then retry"
    when: ClassVar[str] = (
        "the cause does not pass, or two retries did not help, the optimiser has a rewriting that answers"
        " it, all that the flow does may be done twice, its file is here and in no repository, and the policy"
        " names this remedy; only ever after a yes"
    )
    cost: ClassVar[str] = "a few runs of the flow, to prove it"
    radius: ClassVar[str] = "the flow's file, and every later run of it"
    resumes: ClassVar[bool] = False  # how far the writing came is not known
    kind: Literal["apply_rewrite"] = "apply_rewrite"
    path: str
    what: str
    """Rule, line and reason."""
    deployment_id: str
    before_sha256: str
    after_sha256: str
