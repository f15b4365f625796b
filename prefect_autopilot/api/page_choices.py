"""A decision in words: what happens on a yes, what can be taken back, and where Prefect shows the run."""

from __future__ import annotations

import hashlib
import os
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit

from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.models import (
    AskOwner,
    ForgetCachedResult,
    RefreshCredentials,
    ReleaseSlots,
    RemoveStaleLock,
    RetryRun,
    RunRefresher,
    SessionStep,
    TroubleshootingSession,
)
from prefect_autopilot.models.remedies import Remedy
from prefect_autopilot.troubleshooting.session import OPEN

CLOUD_API, CLOUD_UI = "api.prefect.cloud", "https://app.prefect.cloud"
Subject = Literal["run", "deployment"]


class Choice(NamedTuple):
    """What waits for a person: what a yes does, whether one is enough, what is to be made sure of first."""

    happens: str
    mark: str
    """Stands for exactly this proposal."""
    can_approve: bool
    asks_rerun: bool


def choice_of(session: TroubleshootingSession) -> Choice | None:
    """Return what waits for a person's word, None where nothing does."""
    decision = session.decision
    waits = decision is not None and decision.action in {"propose", "wait"}
    if not waits or session.end_time is not None or session.approval is not None:
        return None
    if session.current_step is not SessionStep.RESOLUTION:
        return None
    assert decision is not None
    failed = {check.name for check in decision.checks if not check.passed}
    repeatable = "repeatable" not in failed
    told = f"{session.session_id} {decision.state_id} {decision.remedy.model_dump_json()}"
    return Choice(
        happens=happens(decision.remedy),
        mark=hashlib.sha256(told.encode()).hexdigest()[:32],
        can_approve=not isinstance(decision.remedy, AskOwner) or not repeatable,
        asks_rerun=not repeatable,
    )


def happens(remedy: Remedy) -> str:
    """Return what is done when a remedy is carried out, and whether it can be taken back."""
    match remedy:
        case RetryRun():
            when = "at once" if remedy.delay_s < 1 else f"after {_lasting(remedy.delay_s)}"
            return (
                f"The same run starts again {when}, at the task that failed."
                " Until it begins, this can be undone."
            )
        case RefreshCredentials():
            said = (
                f"A new access token is put into the connection {remedy.connection}; then the run is retried."
            )
        case RemoveStaleLock():
            said = (
                f"The lock file {remedy.path}, whose holder (process {remedy.holder_pid}) is dead, is"
                " removed; then the run is retried."
            )
        case ForgetCachedResult():
            said = "A stored wrong result is removed, so that it is computed again; then the run is retried."
        case RunRefresher():
            name = remedy.deployment_name or remedy.deployment_id
            said = f"The deployment {name}, which renews {remedy.renews}, runs once; then the run is retried."
        case ReleaseSlots():
            said = (
                f"{remedy.slots} slots of the limit {remedy.limit_name}, which nobody alive holds, are given"
                " back; then the run is retried."
            )
        case AskOwner():
            return f"We change nothing. {remedy.advice}"
    return f"{said} This cannot be undone."


def undo_of(session: TroubleshootingSession) -> str | None:
    """Return what undoing the last act does, None where there is nothing to undo."""
    attempt = session.attempts[-1] if session.attempts else None
    if attempt is None or attempt.verification is not None or session.resolution_status not in OPEN:
        return None
    if not isinstance(attempt.remedy, RetryRun):
        return None
    return "The run is set to failed again, if it has not begun; the session is handed to you."


class PrefectUI(NamedTuple):
    """The address of the Prefect UI; empty where no server is known."""

    base: str

    def link(self, subject: Subject, ident: str | None) -> str:
        """Return the address of a run or deployment there, empty where there is none."""
        if not self.base or not ident:
            return ""
        place = "runs/flow-run" if subject == "run" else "deployments/deployment"
        return f"{self.base}/{place}/{quote(ident, safe='')}"


def prefect_ui() -> PrefectUI:
    """Return where the Prefect UI is: Prefect's own setting, else beside the API that is used."""
    if given := os.environ.get("PREFECT_UI_URL"):
        return PrefectUI(_plain_address(given))
    try:
        url = prefect_target().url
    except ConfigurationError:
        return PrefectUI("")
    parts = urlsplit(url)
    if parts.hostname == CLOUD_API:
        path = parts.path.removeprefix("/api").replace("/accounts/", "/account/", 1)
        return PrefectUI(CLOUD_UI + path.replace("/workspaces/", "/workspace/", 1).rstrip("/"))
    return PrefectUI(_plain_address(url.rstrip("/").removesuffix("/api")))


def _plain_address(url: str) -> str:
    """Return an address without credentials, empty unless it is one of the web."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _lasting(seconds: float) -> str:
    minute = 60
    return f"{seconds:.3g} s" if seconds < 2 * minute else f"{seconds / minute:.3g} min"
