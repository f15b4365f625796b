"""What may be done unattended, as a block that can be edited in the Prefect UI."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

if TYPE_CHECKING:
    from prefect_autopilot.models import RemedyPolicy


class AutopilotPolicy(Block):
    """Limits of unattended remedies; the one named `autopilot` holds. The default proposes and never acts.

    Example:
        Read the policy:
        ```python
        from prefect_autopilot.blocks import AutopilotPolicy

        policy = AutopilotPolicy.load("BLOCK_NAME")
        limits = policy.remedy_policy()
        ```
    """

    _block_type_name = "Autopilot Policy"
    _block_type_slug = "autopilot-policy"
    _description = "What may be done about failed runs without asking a person."
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos/process.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    mode: Literal["propose", "approve", "auto"] = Field(
        default="propose",
        description="Whether remedies are only proposed, asked for in the Prefect UI, or carried out.",
    )
    remedies: dict[str, Literal["propose", "approve", "auto"]] = Field(
        default_factory=dict, description="Modes of single remedies such as retry_run or refresh_credentials."
    )
    deployments: list[dict[str, Any]] = Field(
        default_factory=list,
        description="What holds for some deployments or tags: match, mode, remedies, max_attempts_per_run.",
    )
    min_confidence: float = Field(
        default=0.7, ge=0, le=1, description="Confidence below which a diagnosis is never acted upon."
    )
    max_attempts_per_run: int = Field(
        default=3, ge=0, le=10, description="Remedies carried out for one run at most."
    )
    min_between_attempts_s: float | None = Field(
        default=None,
        ge=0,
        description="Seconds between two remedies of a run, each try too; empty: 300, tries in backoff.",
    )
    quick_attempts: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Tries of a retry that count as one remedy; empty: 3, or 1 where seconds are said.",
    )
    max_remedies_per_minute: int = Field(
        default=10, ge=0, description="Remedies carried out in one minute at most, over all runs."
    )
    max_share_of_runs: float = Field(
        default=0.05, ge=0, le=1, description="Remedies in an hour as a share of the runs that ended in it."
    )
    free_remedies: int = Field(
        default=60, ge=0, description="Remedies in an hour for which the share is not looked at."
    )
    breaker_failures: int = Field(
        default=3, ge=1, description="Failed remedies in a row after which nothing is done any more."
    )
    max_wait_s: float = Field(default=3600, ge=0, description="Longest wait before a retry, in seconds.")
    paused: bool = Field(default=False, description="Whether every remedy is held back.")
    quiet_hours: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Hours in which nothing is done: start, end, days (mon to sun), timezone.",
    )
    shadow_until: datetime | None = Field(
        default=None, description="Until then only what would have been done is shown."
    )
    shadow_days: float = Field(
        default=7, ge=0, le=3650, description="How many days that is where no moment is said; 0: none."
    )
    storm_runs: int = Field(
        default=20, ge=2, description="Failures of one cause at once that are handled as one, a canary first."
    )
    protected_deployments: list[str] = Field(
        default_factory=list, description="Deployments whose runs are never touched."
    )
    rerun_allowed: list[str] = Field(
        default_factory=list,
        description="Deployments (flow/deployment or id) or tags whose owners let a run be repeated.",
    )

    max_memory_mb: float | None = Field(
        default=None,
        gt=0,
        description="The most memory, in MiB, that a run may be given; empty: none may be.",
    )
    max_timeout_s: float | None = Field(
        default=None, gt=0, description="The longest timeout that a run may be given; empty: none may be."
    )
    quarantine: dict[str, str] = Field(
        default_factory=dict,
        description="Folders of input files, and where those that cannot be read are moved to.",
    )
    scratch_folders: list[str] = Field(
        default_factory=list, description="Folders whose old files may be removed when the disk is full."
    )
    probe_hosts: list[str] = Field(
        default_factory=list,
        description="Hosts of the private network that may be asked whether they answer again.",
    )
    expectations: list[dict[str, Any]] = Field(
        default_factory=list,
        description="What a good run leaves: match, and file with min_bytes or artifact with min_rows.",
    )

    def remedy_policy(self) -> RemedyPolicy:
        """Return the policy as the value the remedies' gate works with."""
        from prefect_autopilot.models import RemedyPolicy

        return RemedyPolicy.model_validate(
            {
                name: getattr(self, name)
                for name in RemedyPolicy.model_fields
                if name in type(self).model_fields
            }
        )
