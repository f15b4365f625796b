"""What may be done unattended: the policy for all or some deployments, and a person's yes."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, Field, field_validator, model_validator

from prefect_autopilot.models.base import Value
from prefect_autopilot.models.means import MeansKind
from prefect_autopilot.models.remedies import RemedyKind

Mode = Literal["propose", "approve", "auto"]
"""propose tells a person; approve asks by a form in the Prefect UI, too; auto does what the gate allows."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

ONLY_BY_NAME: frozenset[str] = frozenset({"pause_deployment", *get_args(MeansKind)})
"""Remedies that change what the owner has set up: no general mode allows them, only their own name does."""
AFTER_A_YES: frozenset[str] = frozenset({"apply_rewrite"})
"""Remedies that write what people have written: ``auto`` asks for them as ``approve`` does."""
BETWEEN_ATTEMPTS_S = 300.0
QUICK_ATTEMPTS = 3
"""Most outages are over within a minute or two: a second try five minutes later comes late for them."""
_STRICTEST_FIRST: tuple[Mode, ...] = ("propose", "approve", "auto")
_Name = Annotated[str, Field(min_length=1, max_length=500)]


class QuietHours(Value):
    """Local hours in which nothing is done unattended; ``end`` before ``start`` is that of the next day."""

    start: time
    end: time
    days: tuple[Weekday, ...] = WEEKDAYS
    """Days on which the hours begin."""
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}; write it as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _not_empty(self) -> QuietHours:
        if self.start == self.end:
            raise ValueError("start and end are the same; leave the hours out, or pause everything")
        if self.start.tzinfo or self.end.tzinfo:
            raise ValueError("hours are those of the timezone; write them without an offset")
        return self

    def until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours around ``now`` end, None where it is not quiet."""
        local = now.astimezone(ZoneInfo(self.timezone))
        for back in (0, 1):
            day = local.date() - timedelta(days=back)
            if WEEKDAYS[day.weekday()] not in self.days:
                continue
            start = datetime.combine(day, self.start, tzinfo=local.tzinfo)
            last = day + timedelta(days=1) if self.end < self.start else day
            end = datetime.combine(last, self.end, tzinfo=local.tzinfo)
            if start <= local < end:
                return end
        return None


class PolicyOverride(Value):
    """What holds for some deployments in place of the general policy."""

    match: Annotated[tuple[_Name, ...], Field(min_length=1)]
    """Names, flow/deployment names, ids or tags of deployments; one that fits is enough."""
    mode: Mode | None = None
    remedies: dict[RemedyKind, Mode] = Field(default_factory=dict)
    max_attempts_per_run: int | None = Field(default=None, ge=0, le=10)


def _absolute(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or len(path.strip("/")) == 0:
        raise ValueError(f"{path!r} is no absolute folder; write it as /data/incoming")
    return path.rstrip("/")


Folder = Annotated[str, AfterValidator(_absolute)]


class Expectation(Value):
    """What a good run of a deployment leaves behind, as its owner declares it."""

    match: Annotated[tuple[_Name, ...], Field(min_length=1)]
    """Names, flow/deployment names, ids or tags of deployments; one that fits is enough."""
    file: Folder | None = None
    """A file on this machine that the run writes anew."""
    min_bytes: int = Field(default=1, ge=0)
    artifact: _Name | None = None
    """Key of an artifact that the run attaches."""
    min_rows: int | None = Field(default=None, ge=0)
    """Rows that the artifact, a table, holds at least."""

    @model_validator(mode="after")
    def _says_something(self) -> Expectation:
        if self.file is None and self.artifact is None:
            raise ValueError("name the file or the artifact that a good run leaves behind")
        if self.min_rows is not None and self.artifact is None:
            raise ValueError("min_rows counts the rows of an artifact; name it")
        return self


class RemedyPolicy(Value):
    """What may be done unattended. The default proposes and never acts."""

    mode: Mode = "propose"
    remedies: dict[RemedyKind, Mode] = Field(default_factory=dict)
    """Modes of single remedies in place of ``mode``."""
    deployments: tuple[PolicyOverride, ...] = ()
    """Where several fit a run, the strictest holds."""
    min_confidence: float = Field(default=0.7, ge=0, le=1)
    max_attempts_per_run: int = Field(default=3, ge=0, le=10)
    min_between_attempts_s: float | None = Field(default=None, ge=0)
    """Seconds between two remedies of a run, each try of a retry too; None: 300, tries in their backoff."""
    quick_attempts: int | None = Field(default=None, ge=1, le=10)
    """Tries of a retry that keep its backoff, or the wait the other side asks for, and count as one remedy.

    Of a cause that passes by itself only. None: three, which are all that a run has by default; one where
    ``min_between_attempts_s`` is said.
    """
    max_remedies_per_minute: int = Field(default=10, ge=0)
    max_share_of_runs: float = Field(default=0.05, ge=0, le=1)
    """Remedies in an hour as a share of the runs that ended in it; looked at beyond ``free_remedies``."""
    free_remedies: int = Field(default=60, ge=0)
    """Remedies in an hour for which the share is not looked at: the share of a few runs says nothing."""
    breaker_failures: int = Field(default=3, ge=1)
    max_wait_s: float = Field(default=3600, ge=0)
    paused: bool = False
    quiet_hours: tuple[QuietHours, ...] = ()
    shadow_until: AwareDatetime | None = None
    """Until then only what would have been done is shown, and what happened then."""
    shadow_days: float = Field(default=7, ge=0, le=3650)
    """How long that is where ``shadow_until`` says nothing, from the first time a file or block lets act."""
    storm_runs: int = Field(default=20, ge=2)
    """Failures of one cause seen at once that make a storm: one session, a canary first."""
    protected_deployments: tuple[str, ...] = ()
    rerun_allowed: tuple[str, ...] = ()
    """Deployments (flow/deployment or id) or tags whose owners say that the flow may be run again."""
    max_memory_mb: float | None = Field(default=None, gt=0)
    """The most memory, in MiB, that a run may be given; None: none may be."""
    max_timeout_s: float | None = Field(default=None, gt=0)
    """The longest timeout that a run may be given; None: none may be."""
    quarantine: dict[Folder, Folder] = Field(default_factory=dict)
    """Folders of input files, and where those that cannot be read are moved to; on one file system each."""
    scratch_folders: tuple[Folder, ...] = ()
    """Folders whose old files may be removed when the disk is full."""
    probe_hosts: tuple[_Name, ...] = ()
    """Hosts of the private network that may be asked whether they answer again."""
    expectations: tuple[Expectation, ...] = ()
    """What a good run of some deployments leaves behind; looked at before a run counts as resolved."""

    def mode_for(self, kind: str, names: frozenset[str]) -> Mode:
        """Return the mode of a remedy for a run with these names, the strictest of what fits it best."""
        mode = self._told_of(kind, names)
        return "approve" if mode == "auto" and kind in AFTER_A_YES else mode

    def _told_of(self, kind: str, names: frozenset[str]) -> Mode:
        told = [one for one in self.deployments if names & set(one.match)]
        named = [mode for one in told for key, mode in one.remedies.items() if key == kind]
        general = [mode for key, mode in self.remedies.items() if key == kind]
        whole = [one.mode for one in told if one.mode is not None]
        if kind in ONLY_BY_NAME:
            whole = [mode for mode in whole if general and mode != "auto"]
        for found in (named, whole, general):
            if found:
                return min(found, key=_STRICTEST_FIRST.index)
        return "propose" if kind in ONLY_BY_NAME else self.mode

    @property
    def pace(self) -> tuple[int, float]:
        """Return how many tries of a retry keep its backoff, and the seconds between remedies of a run."""
        if self.min_between_attempts_s is None:
            return self.quick_attempts or QUICK_ATTEMPTS, BETWEEN_ATTEMPTS_S
        return self.quick_attempts or 1, self.min_between_attempts_s

    @property
    def lets_act(self) -> bool:
        """Tell whether anything may be done unattended."""
        single = (mode for one in self.deployments for mode in (one.mode, *one.remedies.values()))
        return "auto" in {self.mode, *self.remedies.values(), *single}

    def attempts_for(self, names: frozenset[str]) -> int:
        """Return how many remedies a run with these names may have."""
        told = [
            one.max_attempts_per_run
            for one in self.deployments
            if one.max_attempts_per_run is not None and names & set(one.match)
        ]
        return min(told, default=self.max_attempts_per_run)

    def quiet_until(self, now: datetime) -> datetime | None:
        """Return when the last quiet hours around ``now`` end, None where it is not quiet."""
        ends = [end for hours in self.quiet_hours if (end := hours.until(now)) is not None]
        return max(ends, default=None)


class Approval(Value):
    """A person's yes to one proposal, for the state of the run that the person saw."""

    by: str
    at: datetime
    state_id: str
    rerun: bool = False
    """The person has made sure that the work may be done again."""
    changes: dict[str, float] = Field(default_factory=dict)
    """Numbers of the remedy that shall be others than those proposed."""
