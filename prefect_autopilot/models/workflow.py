"""From a request to a generated flow: the values of the first journey."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from prefect_autopilot.models.base import Foreign, JSONDict, Value
from prefect_autopilot.models.names import WORK_POOL

TriggerType = Literal["schedule", "webhook", "app_event", "email", "form", "chat", "manual", "other"]
AnalysisStatus = Literal["flow", "clarify", "unsupported", "reject"]


class RequestContext(Foreign):
    """What is known of the person who asks."""

    user_id: str | None = None
    timezone: str = "UTC"
    connected_services: tuple[str, ...] = ()
    recent_services: tuple[str, ...] = ()
    """Services of the flows deployed for this person, the last used first."""
    preferences: JSONDict = Field(default_factory=dict)


class Span(Value):
    """Characters ``start`` to ``end`` (exclusive) of the request, and the text that stands there."""

    start: int
    end: int
    text: str


class ServiceMatch(Value):
    """A service found in a request, with the words that gave it."""

    service: str
    confidence: float = Field(ge=0, le=1)
    spans: tuple[Span, ...] = ()
    role: Literal["used", "asked", "mentioned", "excluded"] = "used"
    """``asked``: mail or SMS is used, and which service brings it is still a question."""
    reason: str = ""
    alternatives: tuple[str, ...] = ()


class TriggerSpec(Value):
    """What starts the automation; exactly one of cron, rrule and interval for a schedule."""

    type: TriggerType
    service: str | None = None
    event: str | None = None
    filter: str | None = None
    """The condition in the person's words ("important"), None when every event counts."""
    cron: str | None = None
    rrule: str | None = None
    interval_s: int | None = None
    anchor: str | None = None
    timezone: str | None = None
    span: Span | None = None


class Constant(Value):
    """A literal argument."""

    kind: Literal["constant"] = "constant"
    value: Any


class FromTrigger(Value):
    """An argument taken from the event that started the run (dotted path)."""

    kind: Literal["trigger"] = "trigger"
    path: str


class FromStep(Value):
    """An argument taken from an earlier step's result (dotted path, empty: the whole result)."""

    kind: Literal["step"] = "step"
    step: str
    path: str = ""


class FromParameter(Value):
    """An argument the person fills in as a flow parameter."""

    kind: Literal["parameter"] = "parameter"
    name: str
    said: str | None = None
    """What the request calls the thing whose id is asked for."""


class Text(Value):
    """Constants and references joined into one text."""

    kind: Literal["text"] = "text"
    parts: tuple[Constant | FromTrigger | FromStep | FromParameter, ...]
    form: Literal["text", "messages", "row", "rows", "lines"] = "text"
    """Given as text, as the one message of a conversation with a language model, as a row of cells, as one
    such row or as one line of text for each item of the list that the parts read.
    """


Argument = Annotated[Constant | FromTrigger | FromStep | FromParameter | Text, Field(discriminator="kind")]


class StepSpec(Value):
    """One call of the automation; ``span`` are the words that asked for it."""

    id: str
    service: str
    operation: str
    connection: str
    arguments: dict[str, Argument] = Field(default_factory=dict)
    condition: str | None = None
    """In the person's words, evaluated by code only where it could be understood, or on the answer of an
    earlier step: "<id> finds something", "<id> finds nothing", "<id> says yes", "<id> says no"."""
    for_each: str | None = None
    """Step or trigger path whose items the step is repeated for."""
    wait_s: int | None = Field(default=None, ge=1, le=86_400)
    """Seconds the run waits before the step."""
    summary: str = ""
    span: Span | None = None


class Question(Value):
    """Something only the person can say; ``options`` are offered, never assumed."""

    id: str
    text: str
    options: tuple[str, ...] = ()


class LanguageModelUse(Value):
    """What a language model had to do with an analysis: its plan was taken, or why the offline one stands."""

    model: str
    host: str
    """Where the request was sent, or would have been."""
    used: bool
    reason: str = ""
    """Why its plan was not taken; empty where it was."""
    requests: int = 0
    tokens: int = 0
    """Tokens of questions and answers, counted by the server or estimated from their length."""
    left_out: tuple[str, ...] = ()
    """What of its plan was not taken over, each with the reason."""


class Analysis(Value):
    """What a request was understood to say, and why."""

    text: str
    status: AnalysisStatus
    language: str = "en"
    confidence: float = Field(ge=0, le=1)
    services: tuple[ServiceMatch, ...] = ()
    trigger: TriggerSpec | None = None
    steps: tuple[StepSpec, ...] = ()
    questions: tuple[Question, ...] = ()
    unsupported: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    """What nobody said and the plan takes for granted: a zone, a time, an event."""
    open_parameters: tuple[str, ...] = ()
    """What is filled in when the flow is deployed, in the order of the steps."""
    unused: tuple[Span, ...] = ()
    """Words that nothing in the plan stands for; every other word is used, asked about or told."""
    language_model: LanguageModelUse | None = None
    """None: no language model was asked, and nothing was sent."""


class ParameterSpec(Value):
    """A parameter of the generated flow, shown as a form field in the Prefect UI."""

    name: str
    type: Literal["str", "int", "float", "bool", "dict", "list"] = "str"
    default: Any = None
    required: bool = False
    description: str = ""
    example: Any = None
    """A value to try the flow with, where not every one of the type will do."""


class WorkflowSpec(Value):
    """The plan of an automation, validated against the catalogue; version 1 of its schema."""

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{2,62}$")
    request: str
    trigger: TriggerSpec
    parameters: tuple[ParameterSpec, ...] = ()
    steps: tuple[StepSpec, ...] = Field(min_length=1)

    @property
    def connections(self) -> tuple[str, ...]:
        """Names of the connection blocks the flow loads, in order of first use."""
        return tuple(dict.fromkeys(step.connection for step in self.steps))


class DeploymentSpec(Value):
    """How the flow is deployed; ``entrypoint`` is ``file.py:function`` below the project folder."""

    name: str
    flow_name: str
    entrypoint: str
    work_pool: str = WORK_POOL
    tags: tuple[str, ...] = ()
    cron: str | None = None
    rrule: str | None = None
    interval_s: int | None = None
    anchor: str | None = None
    timezone: str | None = None
    event: str | None = None
    """Prefect event that starts a run; its payload arrives as the parameter ``event``."""
    parameters: JSONDict = Field(default_factory=dict)
    description: str = ""


class GeneratedFlow(Value):
    """Source and deployment of an automation, not yet on disk."""

    spec: WorkflowSpec
    file_name: str
    function: str
    source: str
    deployment: DeploymentSpec
    sample_event: JSONDict = Field(default_factory=dict)
    """An event the preview may start it with."""
    test_file_name: str = ""
    test_source: str = ""
    """A pytest file that runs the flow against simulated services; it stands beside the flow."""


class ServiceCall(Value):
    """One call a simulated or recorded service received."""

    service: str
    operation: str | None
    method: str
    path: str
    status: int
    parameters: JSONDict = Field(default_factory=dict)
    answer_head: str = ""


class PreviewResult(Value):
    """What happened when the flow was run for real against simulated services."""

    succeeded: bool
    calls: tuple[ServiceCall, ...] = ()
    error: str | None = None
    duration_s: float
