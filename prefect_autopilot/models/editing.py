"""Values of changing a flow that exists, and of telling what it does."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefect_autopilot.models.base import Value
from prefect_autopilot.models.workflow import Question, TriggerSpec


class FlowEdit(Value):
    """What a change in plain English comes to: the new source as a diff, or what must be asked first."""

    file: str
    request: str
    status: Literal["changed", "unchanged", "clarify"]
    changes: tuple[str, ...] = ()
    """What is changed, one sentence each."""
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    """What the person should know: new parameters, calls that are never repeated."""
    diff: str = ""
    source: str = ""
    learned: dict[str, str] = Field(default_factory=dict)
    """What the change says of the person: services by kind, places by service and parameter."""
    test_diff: str = ""
    """The change of the test beside the flow, empty where there is none."""
    schedule: TriggerSpec | None = None
    """The new schedule, which belongs to the deployment and not to the file."""


class ExplainedStep(Value):
    """One thing a flow does, in English; ``depth`` counts the conditions and loops around it."""

    line: int
    depth: int
    kind: Literal["call", "task", "flow", "condition", "loop", "stop", "wait", "attempt", "other"]
    text: str
    service: str | None = None
    operation: str | None = None
    effect: str | None = None
    """safe, idempotent or unsafe for a service; pure, read, write or unknown for other code."""


class FlowExplanation(Value):
    """What a flow does, read from its source; nothing of it was run."""

    file: str
    function: str
    name: str
    summary: str = ""
    request: str | None = None
    """The request it was generated from, where its docstring tells it."""
    starts: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    steps: tuple[ExplainedStep, ...] = ()
    connections: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    rerun: str = ""
    """Whether it can be run again after it failed, and why."""


class FaultProposal(Value):
    """What a language model says of a fault in code, for a person to read; nothing applies it."""

    model: str
    host: str
    narrative: str = ""
    patch: str = ""
    """Unified diff of the flow's own file; empty where none was proposed or none passed the checks."""
    file: str = ""
    sha256: str = ""
    """Of the file the patch is for: another file is another fault."""
    verified: tuple[str, ...] = ()
    """What was checked of the patch and held."""
    unverified: tuple[str, ...] = ()
    """What was not checked, and why."""
    reason: str = ""
    """Why there is no proposal; empty where there is one."""
    requests: int = 0
    tokens: int = 0
