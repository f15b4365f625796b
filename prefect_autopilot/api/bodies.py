"""What callers send. Unknown fields are ignored, hostile values refused before anything looks at them."""

from __future__ import annotations

import math
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import (
    FlowHistory,
    Foreign,
    JSONDict,
    MonitoringRule,
    RequestContext,
    Strategy,
    WorkflowSpec,
)
from prefect_autopilot.monitoring.measures import UNITS, is_metric
from prefect_autopilot.redaction import redact

DEEPEST = 40
LARGEST_INTEGER = 2**63
MOST_ENTRIES = 1000

Told = Annotated[str, AfterValidator(redact)]
"""Text of a person, without the secrets in it: it is shown, stored and sent."""
Limit = Annotated[int, Field(ge=1, le=500)]
Offset = Annotated[int, Field(ge=0, le=10_000_000)]
WorkflowName = Annotated[
    Told,
    StringConstraints(
        min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    ),
    Field(description="Id or name of a deployment, or name of a flow."),
]


def _session(given: object) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise UnknownNameError("session", str(given)[:100]) from None


SessionId = Annotated[UUID, BeforeValidator(_session), Field(description="Id of a session.")]
"""What is no id at all names no session: 404, as for an id that is not there."""
OTHER_NAMES = {"avg_response_time": "response_time"}
"""Metrics that reports of the same API call otherwise."""
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def sound(value: Any, depth: int = 0) -> Any:
    """Return JSON without what cannot be stored or answered: lone surrogates, NUL; raises ValueError.

    Refused are numbers that are not finite or have no 64 bits, and nesting beyond 40 levels.
    """
    if depth > DEEPEST:
        raise ValueError(f"the body is nested deeper than {DEEPEST} levels")
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    if isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        raise ValueError("an integer has more than 64 bits")
    if isinstance(value, dict):
        return {sound(key): sound(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [sound(inner, depth + 1) for inner in value]
    return value


class Body(Foreign):
    """A body of a request."""

    @model_validator(mode="before")
    @classmethod
    def _sound(cls, data: Any) -> Any:
        return sound(data)


class RequestBody(Body):
    """A request in plain English, and what is known of the person who asks."""

    user_input: Told
    context: RequestContext = RequestContext()
    enhanced_intelligence: bool = True

    @field_validator("context")
    @classmethod
    def _known_zone(cls, context: RequestContext) -> RequestContext:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(context.timezone)
        except (ValueError, KeyError, OSError):
            raise ValueError("timezone must be an IANA name such as Europe/Berlin") from None
        return context


class GenerateBody(RequestBody):
    """A request that is to become a flow."""

    optimization_strategy: Strategy = Strategy.PERFORMANCE


class WorkflowReference(Foreign):
    """A flow by its source, its spec, or the id of a deployment or flow whose source is a file here."""

    source: str | None = None
    file: Annotated[str, StringConstraints(max_length=200)] = "flow.py"
    spec: WorkflowSpec | None = None
    deployment_id: UUID | None = None
    flow_id: UUID | None = None


class OptimizeBody(Body):
    """A flow and what it is to be optimised for; ``history`` stands in for runs we have not seen."""

    workflow: WorkflowReference
    strategy: Strategy = Strategy.PERFORMANCE
    history: FlowHistory | None = None


class ChosenEdit(Foreign):
    """An edit as the analysis told it; its rule is what counts."""

    rule: str


class ApplyBody(OptimizeBody):
    """A flow and the edits to make; with ``write`` the deployment's own file is replaced, after a backup.

    Before that both versions are run and compared, within two minutes; ``unproved`` writes without it.
    """

    optimizations: Annotated[tuple[str | ChosenEdit, ...], Field(max_length=MOST_ENTRIES)] = ()
    write: bool = False
    unproved: bool = False
    expected_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def rules(self) -> frozenset[str]:
        """The rules that were asked for; none means all."""
        return frozenset(one if isinstance(one, str) else one.rule for one in self.optimizations)


class MonitoringBody(Body):
    """The workflow to monitor."""

    workflow_id: WorkflowName


class RuleBody(Body, MonitoringRule):
    """A monitoring rule, bare or as the field ``rule``."""

    workflow_id: WorkflowName
    metric_name: MetricName
    description: Told = ""

    @field_validator("metric_name")
    @classmethod
    def _measured(cls, name: str) -> str:
        known = OTHER_NAMES.get(name, name)
        if not is_metric(known):
            raise ValueError(
                f"nothing measures {redact(name)!r}, so it could never fire; choose {', '.join(UNITS)}"
            )
        return known

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        wrapped = data.get("rule") if isinstance(data, dict) else None
        return wrapped if isinstance(wrapped, dict) else data


class LogsBody(Body):
    """Log entries of a workflow that does not work."""

    workflow_id: WorkflowName
    error_logs: Annotated[tuple[str, ...], Field(max_length=MOST_ENTRIES)] = ()
    additional_context: JSONDict = Field(default_factory=dict)


class IssueReference(Foreign):
    """An issue as a session told it; its id is what counts."""

    issue_id: Told


class ResolveBody(Body):
    """Issues of a workflow; none means all that are open."""

    workflow_id: WorkflowName
    issues: Annotated[tuple[Told | IssueReference, ...], Field(max_length=MOST_ENTRIES)] = ()

    @property
    def issue_ids(self) -> tuple[str, ...] | None:
        """The ids of the issues, None for all that are open."""
        return tuple(one if isinstance(one, str) else one.issue_id for one in self.issues) or None


class MetricsBody(Body):
    """Metrics as measured by the caller; shares from 0 to 1 (or percent), times in seconds."""

    metrics: Annotated[dict[MetricName, float], Field(max_length=100)]


class VerifyBody(Body):
    """What the caller says of its own tests: written down, never believed."""

    test_results: JSONDict | None = None


class StepBody(Body):
    """One call of a service; simulated unless ``live``."""

    service: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    action: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    parameters: JSONDict = Field(default_factory=dict)
    workflow_id: Told | None = None
    step_id: Told | None = None
    live: bool = False
    connection: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,100}$")] | None = None
