"""Evidence to issues, findings, remedies and verification. Pure: no Prefect, no HTTP, no clock."""

from prefect_autopilot.troubleshooting import session
from prefect_autopilot.troubleshooting.advice import facts, finding_from, issue_from, recommendations
from prefect_autopilot.troubleshooting.classify import diagnose_text
from prefect_autopilot.troubleshooting.correlation import correlate
from prefect_autopilot.troubleshooting.evidence import diagnose
from prefect_autopilot.troubleshooting.gate import decide, recovery
from prefect_autopilot.troubleshooting.in_common import with_what_is_shared
from prefect_autopilot.troubleshooting.metric_issues import issues_from_metrics
from prefect_autopilot.troubleshooting.named_objects import prefect_objects
from prefect_autopilot.troubleshooting.parse import fingerprint
from prefect_autopilot.troubleshooting.remedies import may_repeat
from prefect_autopilot.troubleshooting.report import report
from prefect_autopilot.troubleshooting.verification import verify

__all__ = [
    "correlate",
    "decide",
    "diagnose",
    "diagnose_text",
    "facts",
    "finding_from",
    "fingerprint",
    "issue_from",
    "issues_from_metrics",
    "may_repeat",
    "prefect_objects",
    "recommendations",
    "recovery",
    "report",
    "session",
    "verify",
    "with_what_is_shared",
]
