"""The example flow of the repository is what the generator makes, byte for byte."""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.codegen import generate
from prefect_autopilot.models import Constant, FromTrigger, StepSpec, Text, TriggerSpec, WorkflowSpec
from prefect_autopilot.services import load_catalogue

GENERATED = Path(__file__).resolve().parents[2] / "flows" / "generated"

EXAMPLE = WorkflowSpec(
    name="important-mail-to-asana",
    request="When I get an important email in Gmail, create a task in Asana and tell #inbox in Slack.",
    trigger=TriggerSpec(type="email", service="gmail", event="new_message", filter="important"),
    steps=(
        StepSpec(
            id="task",
            service="asana",
            operation="create_task",
            connection="asana-default",
            arguments={
                "name": FromTrigger(path="subject"),
                "notes": FromTrigger(path="snippet"),
                "projects": Constant(value=["1200000000000011"]),
            },
        ),
        StepSpec(
            id="message",
            service="slack",
            operation="post_message",
            connection="slack-default",
            arguments={
                "channel": Constant(value="#inbox"),
                "text": Text(
                    parts=(
                        Constant(value="New task from "),
                        FromTrigger(path="from"),
                        Constant(value=": "),
                        FromTrigger(path="subject"),
                    )
                ),
            },
        ),
    ),
)


def test_the_example_is_what_the_generator_makes() -> None:
    generated = generate(EXAMPLE, load_catalogue())
    assert generated.file_name == "important_mail_to_asana.py"
    assert (GENERATED / generated.file_name).read_text("utf-8") == generated.source


def test_there_is_no_other_generated_flow() -> None:
    assert sorted(path.name for path in GENERATED.glob("*.py")) == [
        "__init__.py",
        "important_mail_to_asana.py",
    ]
