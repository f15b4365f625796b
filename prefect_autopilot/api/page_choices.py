"""A decision in words: what happens on a yes, what can be taken back, and where Prefect shows the run."""

from __future__ import annotations

import hashlib
import os
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit

from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.journeys.proposals import UNDOABLE
from prefect_autopilot.models import AskOwner, PauseDeployment, SessionStep, TroubleshootingSession
from prefect_autopilot.models.remedies import Remedy
from prefect_autopilot.troubleshooting.session import OPEN

CLOUD_API, CLOUD_UI = "api.prefect.cloud", "https://app.prefect.cloud"
Subject = Literal["run", "deployment"]
_TOLD_ELSEWHERE = {"kind", "flow_run_id", "proof", "because", "delay_s"}


class Number(NamedTuple):
    """A number of a remedy that whoever says yes may change, and what it means."""

    name: str
    value: float
    meaning: str


class Choice(NamedTuple):
    """What waits for a person: what a yes does, whether one is enough, what is to be made sure of first."""

    happens: str
    particulars: dict[str, str]
    mark: str
    """Stands for exactly this proposal."""
    can_approve: bool
    asks_rerun: bool
    changeable: tuple[Number, ...]


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
        particulars=particulars_of(decision.remedy),
        mark=hashlib.sha256(told.encode()).hexdigest()[:32],
        can_approve=not isinstance(decision.remedy, AskOwner) or not repeatable,
        asks_rerun=not repeatable,
        changeable=tuple(
            Number(name, getattr(decision.remedy, name), meaning)
            for name, meaning in decision.remedy.changeable.items()
        ),
    )


def happens(remedy: Remedy) -> str:
    """Return what a yes does, in one sentence."""
    if isinstance(remedy, AskOwner):
        return f"We change nothing. {remedy.advice}"
    return f"{remedy.told()}."


def particulars_of(remedy: Remedy) -> dict[str, str]:
    """Return what a remedy is carried out with, what it touches and costs, and how it is taken back."""
    if isinstance(remedy, AskOwner):
        return {}
    given = remedy.model_dump(mode="json", exclude=_TOLD_ELSEWHERE)
    told = {
        "what shows that it fits": getattr(remedy, "proof", ""),
        "touches": remedy.radius,
        "costs where it does not help": remedy.cost,
        "undo": remedy.undo.replace("`undo`", "by a button here").replace("`", ""),
    }
    known = {name.replace("_", " "): f"{value}" for name, value in given.items() if value not in (None, {})}
    return {name: text for name, text in (known | told).items() if text}


def undo_of(session: TroubleshootingSession) -> str | None:
    """Return what undoing the last act does, None where there is nothing to undo."""
    attempt = session.attempts[-1] if session.attempts else None
    if attempt is None or attempt.verification is not None or session.resolution_status not in OPEN:
        return None
    if not isinstance(attempt.remedy, UNDOABLE):
        return None
    if isinstance(attempt.remedy, PauseDeployment):
        return "What was paused is resumed; the session is handed to you."
    return (
        "The run is set to failed again, if it has not begun, and what was changed for it is changed back;"
        " the session is handed to you."
    )


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
