"""What a paused run asks in the Prefect UI: answers to questions, and approval of what was generated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from pydantic import Field, create_model

from prefect_autopilot.codegen.markdown import inline
from prefect_autopilot.codegen.names import identifier
from prefect_autopilot.journeys import automate
from prefect_autopilot.journeys.proposals import MOST
from prefect_autopilot.models import (
    GeneratedFlow,
    JSONDict,
    ParameterSpec,
    Question,
    TroubleshootingSession,
)

LOOK_S = 5
"""Seconds between two looks at whether somebody answered."""

_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "dict": dict[str, Any],
    "list": list[Any],
}


@dataclass(frozen=True)
class Form:
    """A form of the UI; ``names`` leads from its fields to what they stand for."""

    model: type[RunInput]
    names: dict[str, str] = field(default_factory=dict)

    def told(self, said: RunInput | None) -> JSONDict:
        """Return what was filled in, by the names it stands for; nothing where nobody answered."""
        filled = said.model_dump() if said is not None else {}
        return {self.names.get(key, key): value for key, value in filled.items() if value not in (None, "")}


async def ask(form: Form, wait_minutes: float) -> RunInput | None:
    """Pause the run until the form is answered; None when nobody does in time."""
    try:
        return await apause_flow_run(
            wait_for_input=form.model, timeout=round(wait_minutes * 60), poll_interval=LOOK_S
        )
    except FlowPauseTimeout:
        return None


def question_form(questions: tuple[Question, ...]) -> Form:
    """Return a form with a field for each question, to choose from where choices are known."""
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for question in questions:
        name = _field_name(question.id, names)
        names[name] = question.id
        kind = Literal[question.options] if question.options else str
        told = Field(default=None, title=question.text, description="Left empty, it stays open.")
        fields[name] = (kind | None, told)
    model = create_model("Answers", __base__=RunInput, **fields)
    asked = "\n".join(f"- {inline(question.text)}" for question in questions)
    return Form(model.with_initial_data(description=f"Before the flow can be written:\n\n{asked}"), names)


def approval_form(generated: GeneratedFlow, missing: list[str], given: JSONDict, problem: str = "") -> Form:
    """Return the form that deploys a flow: a switch, and a field for each value that is still needed."""
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for one in automate.needed_values(generated):
        if given.get(one.name) is None or problem:
            name = _field_name(one.name, {**names, "approve": ""})
            names[name] = one.name
            fields[name] = _value_field(one, given.get(one.name))
    approve = Field(default=False, description="Deploy the flow; its trigger is live afterwards.")
    model = create_model("Approval", __base__=RunInput, approve=(bool, approve), **fields)
    lines = [
        f"Deploy **{inline(generated.spec.name)}**? Its trigger is live afterwards.",
        "The artifacts of this run show what was understood, the code and the preview.",
    ]
    if problem:
        lines.insert(0, f"**{inline(problem)}**")
    if missing:
        lines.append(f"Connections still to be created: {', '.join(map(inline, missing))}.")
    if names:
        lines.append("Nobody is there to fill these in when the flow starts by itself.")
    return Form(model.with_initial_data(description="\n\n".join(lines)), names)


def decision_form(session: TroubleshootingSession) -> Form:
    """Return the form for a session's proposal: yes or no, and what a person may change about it."""
    decision = session.decision
    assert decision is not None
    approve = Field(default=False, description="On: it is done, if every other check still passes. Off: no.")
    fields: dict[str, Any] = {"approve": (bool, approve)}
    for name, told in decision.remedy.changeable.items():
        value = getattr(decision.remedy, name)
        fields[name] = (float, Field(default=value, ge=0, le=MOST, description=told))
    if any(check.name == "repeatable" and not check.passed for check in decision.checks):
        told = "You have made sure, by hand or at the service, that the work may be done again."
        fields["may_be_done_again"] = (bool, Field(default=False, description=told))
    model = create_model("Decision", __base__=RunInput, **fields)
    cause = session.diagnosis.root_cause if session.diagnosis else "The cause is not known."
    lines = [
        f"Flow run `{session.flow_run_id}`: {inline(cause)}",
        f"Proposed: **{inline(decision.reason)}**",
        "\n".join(f"- {inline(check.reason)}" for check in decision.checks if not check.passed),
    ]
    return Form(model.with_initial_data(description="\n\n".join(lines)))


def _value_field(one: ParameterSpec, value: Any) -> tuple[Any, Any]:
    return _TYPES[one.type] | None, Field(
        default=value, title=one.name, description=one.description or one.name
    )


def _field_name(wanted: str, taken: dict[str, str]) -> str:
    """Return a name for a field that no method or field of a form has."""
    return identifier(wanted, {*dir(RunInput), *taken}, "answer")
