"""Every call of the REST API as a value: made by ``client.do(calls.undo(session_id))``, blocking or awaited.

Arguments that are None are not sent; bodies and answers without a model are JSON as the OpenAPI document has
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from prefect_autopilot.client_answers import Call
from prefect_autopilot.models import (
    JSONDict,
    MonitoringRule,
    Silence,
    Strategy,
    TroubleshootingSession,
    WorkflowAlert,
    WorkflowIssue,
)

ENHANCED = "/workflows/enhanced"
MONITORING = f"{ENHANCED}/monitoring"
TROUBLESHOOTING = "/api/workflow-troubleshooting"
SESSIONS = f"{TROUBLESHOOTING}/sessions"
EVENTS = f"{ENHANCED}/events"
PAGE = 100
PROVED_WITHIN_S = 180.0
"""Longer than the API takes for a proof."""


def _given(**body: Any) -> JSONDict:
    return {name: value for name, value in body.items() if value is not None}


def _session(session_id: str, rest: str = "") -> str:
    return f"{SESSIONS}/{quote(session_id, safe='')}{rest}"


def analyze(user_input: str, **context: Any) -> Call[JSONDict]:
    """Say what a request in plain English was understood to mean."""
    body = {"user_input": user_input, "context": context}
    return Call("POST", f"{ENHANCED}/intelligence/analyze", dict[str, Any], body)


def generate(user_input: str, **context: Any) -> Call[JSONDict]:
    """Turn a request into spec, source and deployment of a flow; nothing is written."""
    body = {"user_input": user_input, "context": context}
    return Call("POST", f"{ENHANCED}/intelligence/generate", dict[str, Any], body)


def analyze_optimization(
    workflow: Mapping[str, Any], strategy: Strategy | None = None, history: Mapping[str, Any] | None = None
) -> Call[JSONDict]:
    """Say what of a flow can be made better; ``workflow`` has source, spec, deployment_id or flow_id."""
    body = _given(workflow=dict(workflow), strategy=strategy, history=history)
    return Call("POST", f"{ENHANCED}/optimization/analyze", dict[str, Any], body)


def apply_optimization(
    workflow: Mapping[str, Any],
    strategy: Strategy | None = None,
    *,
    optimizations: Sequence[str] = (),
    history: Mapping[str, Any] | None = None,
    write: bool = False,
    unproved: bool = False,
    expected_sha256: str | None = None,
) -> Call[JSONDict]:
    """Return the rewritten source; ``write`` replaces the deployment's own file once that is proved.

    A proof takes up to two minutes; ``unproved`` writes without it.
    """
    body = _given(
        workflow=dict(workflow),
        strategy=strategy,
        optimizations=list(optimizations),
        history=history,
        write=write,
        unproved=unproved or None,
        expected_sha256=expected_sha256,
    )
    within = PROVED_WITHIN_S if write and not unproved else None
    return Call("POST", f"{ENHANCED}/optimization/apply", dict[str, Any], body, timeout_s=within)


def start_monitoring(workflow_id: str) -> Call[str]:
    """Have a workflow monitored and return the id of that."""
    return Call("POST", f"{MONITORING}/start", str, {"workflow_id": workflow_id}, part="monitoring_id")


def health(workflow_id: str) -> Call[JSONDict]:
    """Return the health of a workflow with its issues and advice."""
    return Call("GET", f"{MONITORING}/health", dict[str, Any], query={"workflow_id": workflow_id})


def workflow_health(workflow_id: str) -> Call[JSONDict]:
    """Return the health of a workflow with the reason."""
    path = f"{TROUBLESHOOTING}/workflows/{quote(workflow_id, safe='')}/health"
    return Call("GET", path, dict[str, Any])


def metrics(workflow_id: str, metric_type: str = "all") -> Call[JSONDict]:
    """Return what was measured of a workflow, its trends and its open alerts."""
    query = {"workflow_id": workflow_id, "metric_type": metric_type}
    return Call("GET", f"{MONITORING}/metrics", dict[str, Any], query=query)


def alerts(
    workflow_id: str | None = None, offset: int = 0, *, open_only: bool = False, limit: int = PAGE
) -> Call[list[WorkflowAlert]]:
    """Return a page of alerts, the latest first."""
    query = {"workflow_id": workflow_id, "open_only": open_only, "limit": limit, "offset": offset}
    return Call("GET", f"{MONITORING}/alerts", list[WorkflowAlert], query=query, part="alerts")


def acknowledge(alert_id: str) -> Call[WorkflowAlert]:
    """Take an alert on."""
    path = f"{MONITORING}/alerts/{quote(alert_id, safe='')}/acknowledge"
    return Call("POST", path, WorkflowAlert)


def rules(workflow_id: str | None = None, offset: int = 0, limit: int = PAGE) -> Call[list[MonitoringRule]]:
    """Return a page of the monitoring rules."""
    query = {"workflow_id": workflow_id, "limit": limit, "offset": offset}
    return Call("GET", f"{MONITORING}/rules", list[MonitoringRule], query=query, part="rules")


def add_rule(rule: MonitoringRule) -> Call[MonitoringRule]:
    """Store a monitoring rule and return it with its id."""
    return Call("POST", f"{MONITORING}/alerts", MonitoringRule, rule.model_dump(mode="json"))


def rehearse_rule(rule: MonitoringRule, days: float = 30) -> Call[JSONDict]:
    """Say how often a rule would have fired; nothing is stored."""
    body = rule.model_dump(mode="json")
    return Call("POST", f"{MONITORING}/alerts/dry-run", dict[str, Any], body, query={"days": days})


def silences(offset: int = 0, limit: int = PAGE) -> Call[list[Silence]]:
    """Return a page of the silences and maintenance windows that have not ended."""
    query = {"limit": limit, "offset": offset}
    return Call("GET", f"{MONITORING}/silences", list[Silence], query=query, part="silences")


def silence(ends_at: datetime, workflow: str = "*", kind: str = "*", reason: str = "") -> Call[Silence]:
    """Tell nobody of alerts that match until then."""
    body = {"workflow": workflow, "kind": kind, "ends_at": ends_at.isoformat(), "reason": reason}
    return Call("POST", f"{MONITORING}/silences", Silence, body)


def end_silence(silence_id: str) -> Call[bool]:
    """End a silence before its time."""
    return Call("POST", f"{MONITORING}/silences/{quote(silence_id, safe='')}/end", bool, part="success")


def analyze_failure(workflow_id: str, error_logs: Sequence[str] = ()) -> Call[JSONDict]:
    """Open a session on log entries and return issues, causes and advice at once."""
    body = {"workflow_id": workflow_id, "error_logs": list(error_logs)}
    return Call("POST", f"{ENHANCED}/troubleshooting/analyze", dict[str, Any], body)


def resolve(workflow_id: str, issues: Sequence[str] = ()) -> Call[JSONDict]:
    """Take a workflow's sessions as far as they go and say what is resolved."""
    body = {"workflow_id": workflow_id, "issues": list(issues)}
    return Call("POST", f"{ENHANCED}/troubleshooting/resolve", dict[str, Any], body)


def troubleshoot(workflow_id: str, error_logs: Sequence[str] = ()) -> Call[str]:
    """Begin a session whose work goes on behind the scenes, and return its id."""
    body = {"workflow_id": workflow_id, "error_logs": list(error_logs)}
    return Call("POST", f"{TROUBLESHOOTING}/automated-troubleshooting", str, body, part="session_id")


def start_session(workflow_id: str, error_logs: Sequence[str] = ()) -> Call[str]:
    """Open a troubleshooting session and return its id."""
    body = {"workflow_id": workflow_id, "error_logs": list(error_logs)}
    return Call("POST", SESSIONS, str, body, part="session_id")


def sessions(
    workflow_id: str | None = None, offset: int = 0, *, status: str | None = None, limit: int = PAGE
) -> Call[list[TroubleshootingSession]]:
    """Return a page of sessions, the latest first."""
    query = {"workflow_id": workflow_id, "status": status, "limit": limit, "offset": offset}
    return Call("GET", SESSIONS, list[TroubleshootingSession], query=query, part="sessions")


def session(session_id: str) -> Call[TroubleshootingSession]:
    """Return a session."""
    return Call("GET", _session(session_id), TroubleshootingSession)


def delete_session(session_id: str) -> Call[bool]:
    """Delete a session; its audit entries stay."""
    return Call("DELETE", _session(session_id), bool, part="success")


def issues(session_id: str) -> Call[list[WorkflowIssue]]:
    """Return the issues of a session."""
    return Call("GET", _session(session_id, "/issues"), list[WorkflowIssue])


def summary(session_id: str) -> Call[JSONDict]:
    """Return the figures and the trail of a session."""
    return Call("GET", _session(session_id, "/summary"), dict[str, Any])


def analyze_metrics(session_id: str, measured: Mapping[str, float]) -> Call[list[WorkflowIssue]]:
    """Add the issues that metrics show."""
    path = _session(session_id, "/analyze-metrics")
    return Call("POST", path, list[WorkflowIssue], {"metrics": dict(measured)}, part="issues")


def diagnose(session_id: str) -> Call[JSONDict]:
    """Return the causes of the issues of a session, with confidence and evidence."""
    return Call("POST", _session(session_id, "/diagnose"), dict[str, Any])


def recommendations(session_id: str) -> Call[list[JSONDict]]:
    """Return what to do, each with its evidence."""
    path = _session(session_id, "/recommendations")
    return Call("POST", path, list[dict[str, Any]], part="recommendations")


def verify(session_id: str) -> Call[JSONDict]:
    """Say what was observed since the last act of a session."""
    return Call("POST", _session(session_id, "/verify"), dict[str, Any], {})


def approve(
    session_id: str, *, rerun: bool = False, changes: Mapping[str, float] | None = None
) -> Call[JSONDict]:
    """Say yes to a proposal; ``rerun``: the work may be done again; ``changes``: other numbers."""
    body = {"rerun": rerun, "changes": dict(changes or {})}
    return Call("POST", _session(session_id, "/approve"), dict[str, Any], body)


def deny(session_id: str, reason: str = "") -> Call[JSONDict]:
    """Say no to a proposal."""
    return Call("POST", _session(session_id, "/deny"), dict[str, Any], {"reason": reason})


def undo(session_id: str) -> Call[JSONDict]:
    """Take back the last act of a session."""
    return Call("POST", _session(session_id, "/undo"), dict[str, Any])


def pause_remedies() -> Call[bool]:
    """Hold every remedy of every process on the store; true where they are held."""
    return Call("POST", f"{TROUBLESHOOTING}/remedies/pause", bool, part="paused")


def resume_remedies() -> Call[bool]:
    """End the pause; false where nothing is held any more."""
    return Call("POST", f"{TROUBLESHOOTING}/remedies/resume", bool, part="paused")


def status() -> Call[JSONDict]:
    """Say what can be relied on now."""
    return Call("GET", f"{ENHANCED}/status", dict[str, Any])


def try_step(
    service: str,
    action: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    live: bool = False,
    connection: str | None = None,
) -> Call[JSONDict]:
    """Call one operation of a service: of the simulated one, or the live one with ``live``."""
    told = {"service": service, "action": action, "parameters": dict(parameters or {}), "live": live}
    return Call("POST", "/workflows/test-step", dict[str, Any], told | _given(connection=connection))
