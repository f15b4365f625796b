"""What every value has in common, and the vocabularies that several rooms share."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

JSONDict: TypeAlias = dict[str, Any]


class Value(BaseModel):
    """A frozen value of our own; unknown fields are a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Foreign(BaseModel):
    """A frozen value read from outside (Prefect, a batch file, a caller); unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def given(told: Any) -> Any:
    """Return a mapping without what is null: that was not given. Anything else stays as it is."""
    return (
        {key: value for key, value in told.items() if value is not None} if isinstance(told, dict) else told
    )


class Severity(StrEnum):
    """How bad, from the run's point of view: critical is platform-wide, info is expected."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class IssueCategory(StrEnum):
    """Where somebody must act so that the next run succeeds; unknown is an answer."""

    CONFIGURATION = "configuration"
    CONNECTIVITY = "connectivity"
    PERMISSIONS = "permissions"
    PERFORMANCE = "performance"
    DATA = "data"
    LOGIC = "logic"
    EXTERNAL_SERVICE = "external_service"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    UNKNOWN = "unknown"


class SessionStep(StrEnum):
    """The five steps of a troubleshooting session, in order; the last two may repeat."""

    IDENTIFICATION = "identification"
    ANALYSIS = "analysis"
    DIAGNOSIS = "diagnosis"
    RESOLUTION = "resolution"
    VERIFICATION = "verification"


class ResolutionStatus(StrEnum):
    """Where a session stands."""

    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    AUTO_RESOLVED = "auto_resolved"
    PARTIAL = "partial"
    ESCALATED = "escalated"
    MANUAL = "manual_intervention_required"
    CLOSED = "closed"


class FindingPattern(StrEnum):
    """How a finding was made."""

    ANOMALY_DETECTION = "anomaly_detection"
    CORRELATION_ANALYSIS = "correlation_analysis"
    TREND_ANALYSIS = "trend_analysis"
    PATTERN_MATCHING = "pattern_matching"
    ROOT_CAUSE_ANALYSIS = "root_cause_analysis"
    TEMPORAL_PATTERN = "temporal_pattern"
    DEPENDENCY_CHAIN = "dependency_chain"


class Strategy(StrEnum):
    """What an optimisation is for."""

    PERFORMANCE = "performance"
    COST = "cost"
    RELIABILITY = "reliability"
    HYBRID = "hybrid"


class AlertCondition(StrEnum):
    """How a monitoring rule compares a metric with its threshold."""

    GREATER_THAN = "greater_than"
    GREATER_THAN_OR_EQUAL = "greater_than_or_equal"
    LESS_THAN = "less_than"
    LESS_THAN_OR_EQUAL = "less_than_or_equal"
    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    CHANGE_PERCENT = "change_percent"
    BASELINE_RATIO = "baseline_ratio"
    TREND = "trend"
    SLO_BURN = "slo_burn"


class AlertType(StrEnum):
    """What an alert is about."""

    PERFORMANCE_DEGRADATION = "performance_degradation"
    ERROR_RATE_INCREASE = "error_rate_increase"
    WORKFLOW_STALLED = "workflow_stalled"
    RESOURCE_EXHAUSTION = "resource_exhaustion"
    CONNECTIVITY_ISSUE = "connectivity_issue"
    DATA_QUALITY_ISSUE = "data_quality_issue"
    SECURITY_ISSUE = "security_issue"
    CUSTOM_METRIC = "custom_metric"
