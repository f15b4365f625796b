"""A monitor that fails is itself an alert: nobody may take its silence for health."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePath
from traceback import extract_tb

from prefect_autopilot.models import AlertType, Severity, WorkflowAlert
from prefect_autopilot.redaction import redact

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a defect in a detector, or a history nobody thought of, raises; anything else is no fault of its."""
PREFIX = "monitor:"
KIND = "monitor_failed"
LONGEST = 300


def broken(
    workflow_id: str, name: str, error: BaseException, known: Iterable[WorkflowAlert], now: datetime
) -> Iterator[WorkflowAlert]:
    """Yield the alert that a workflow is not judged, unless it is open already."""
    mark = f"{PREFIX}{workflow_id}"
    if any(one.fingerprint == mark and one.status != "resolved" for one in known):
        return
    said = redact(f"{type(error).__name__}: {error}")[:LONGEST]
    yield WorkflowAlert(
        alert_id=hashlib.sha256(f"{mark}@{now.isoformat()}".encode()).hexdigest()[:32],
        fingerprint=mark,
        workflow_id=workflow_id,
        alert_type=AlertType.CUSTOM_METRIC,
        severity=Severity.HIGH,
        title=f"{name or workflow_id}: its monitor failed",
        description=f"Its runs are not judged: {said}{_place(error)}. Report it; the others go on.",
        status="firing",
        trigger_conditions={"kind": KIND},
        labels={"kind": KIND, "workflow": name} if name else {"kind": KIND},
        created_at=now,
    )


def mended(workflow_id: str, known: Iterable[WorkflowAlert], now: datetime) -> Iterator[WorkflowAlert]:
    """Yield the end of the alert that a workflow was not judged, where one is open."""
    for one in known:
        if one.fingerprint == f"{PREFIX}{workflow_id}" and one.status != "resolved":
            note = "Its runs are judged again."
            yield one.model_copy(update={"status": "resolved", "resolved_at": now, "resolution_notes": note})


def _place(error: BaseException) -> str:
    """Return the innermost line of the failure by its file's name only: paths tell who runs it."""
    frames = extract_tb(error.__traceback__)
    return f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
