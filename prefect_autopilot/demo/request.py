"""First act: a sentence becomes a flow that is previewed, deployed and started by its trigger."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from http import HTTPStatus

from rich.syntax import Syntax
from rich.table import Table

from prefect_autopilot.codegen import event_name
from prefect_autopilot.demo.world import SERVICES, World, wait_for
from prefect_autopilot.journeys import automate
from prefect_autopilot.models import Analysis, GeneratedFlow, JSONDict, RequestContext, RunRecord
from prefect_autopilot.services import connection_name

REQUEST = "When I receive important emails, create Asana tasks and notify Slack"
EVENT = event_name("gmail", "new_message")
POLLING = connection_name("gmail", "new_message")


async def request_to_deployment(world: World) -> None:
    """Take the request through understanding, source and preview to a deployment with its trigger."""
    screen = world.screen
    screen.act("A request becomes a flow")
    screen.say(f"“{REQUEST}”")
    with screen.step("Understand the request"):
        analysis = automate.understand(REQUEST, RequestContext(connected_services=SERVICES))
    _show(world, analysis)
    with screen.step("Write the flow"):
        generated = automate.build(analysis)
    screen.show(Syntax(generated.source, "python", background_color="default", word_wrap=True))
    with screen.step("Run it once for a preview, against simulated services of the preview's own"):
        preview = await automate.preview(generated, target=world.target)
    calls = ", ".join(f"{call.service} {call.operation} {call.status}" for call in preview.calls)
    done = {call.service for call in preview.calls if call.status < HTTPStatus.MULTIPLE_CHOICES}
    screen.check(
        "the preview ran and made every call of the flow",
        str(preview.error or calls),
        passed=preview.succeeded and done == {step.service for step in analysis.steps},
    )
    await _deploy(world, generated)


async def _deploy(world: World, generated: GeneratedFlow) -> None:
    screen, deployment = world.screen, generated.deployment
    given = automate.preview_parameters(generated)
    parameters = {one.name: given[one.name] for one in generated.spec.parameters if one.name in given}
    with screen.step("Deploy it with its trigger"):
        world.notes["deployment"] = await automate.deploy(
            generated, world.folder / "flows", target=world.target, parameters=parameters
        )
    screen.say(f"deployment {deployment.flow_name}/{deployment.name} on work pool {deployment.work_pool}")
    screen.say(f"starts on the Prefect event {deployment.event}, found by autopilot-poll/{POLLING}")
    filled = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    screen.say(f"parameters that a person would fill in, here with examples: {filled}")


async def first_run(world: World) -> None:
    """Let the polling flow find a new important email; its event starts the generated flow."""
    with world.screen.step("Look at the mailbox; an important email arrives; look again; the flow starts"):
        await _poll(world)
        world.simulator.seed("gmail", "message", important_mail("Contract to sign by Friday"))
        await _poll(world)
        run = await next_run(world, known=frozenset())
        run = await world.ended(run.id)
    made = made_so_far(world)
    world.screen.check(
        "the email started the flow, and it succeeded",
        f"run {run.name}: {run.state.name} in {run.duration_s or 0:.1f} s",
        passed=run.state.type == "COMPLETED",
    )
    world.screen.check(
        "one Asana task and one Slack message exist", f"{made[0]} and {made[1]}", passed=made == (1, 1)
    )


async def _poll(world: World) -> None:
    deployment = await world.api.request("GET", f"/deployments/name/autopilot-poll/{POLLING}")
    run = await world.api.start_run(deployment["id"], parameters=deployment["parameters"])
    await world.ended(run.id)


async def start_by_event(world: World, subject: str) -> RunRecord:
    """Emit the event of a new important email and return the run it starts."""
    deployment_id = world.notes["deployment"]
    known = frozenset(run.id for run in await world.api.runs_of(deployment_id, limit=50))
    await world.api.emit(
        EVENT,
        resource_id=f"prefect-autopilot.gmail.{uuid.uuid4().hex}",
        payload=_payload(subject),
        occurred=datetime.now(UTC),
        event_id=str(uuid.uuid4()),
    )
    return await next_run(world, known=known)


async def next_run(world: World, *, known: frozenset[str]) -> RunRecord:
    """Wait for a run of the generated flow that is not among ``known``."""

    async def look() -> RunRecord | None:
        runs = await world.api.runs_of(world.notes["deployment"], limit=50)
        return next((run for run in runs if run.id not in known), None)

    return await wait_for(look, within_s=60, what="the trigger has started a run")


def made_so_far(world: World) -> tuple[int, int]:
    """Return how many Asana tasks and Slack messages were really made, seen from the services' side."""
    done = [call for call in world.simulator.calls if call.status < HTTPStatus.MULTIPLE_CHOICES]
    tasks = sum((call.service, call.operation) == ("asana", "create_task") for call in done)
    messages = sum((call.service, call.operation) == ("slack", "post_message") for call in done)
    return tasks, messages


def important_mail(subject: str) -> JSONDict:
    """Return an email as Gmail's API lists it."""
    headers = [
        {"name": "From", "value": "Legal <legal@example.com>"},
        {"name": "To", "value": "me@example.com"},
        {"name": "Subject", "value": subject},
    ]
    return {
        "threadId": uuid.uuid4().hex[:16],
        "labelIds": ["INBOX", "UNREAD", "IMPORTANT"],
        "snippet": f"{subject}: please read.",
        "internalDate": str(int(datetime.now(UTC).timestamp() * 1000)),
        "payload": {"mimeType": "text/plain", "headers": headers},
    }


def _payload(subject: str) -> JSONDict:
    return {
        "id": uuid.uuid4().hex[:16],
        "threadId": uuid.uuid4().hex[:16],
        "from": "Legal <legal@example.com>",
        "to": "me@example.com",
        "subject": subject,
        "snippet": f"{subject}: please read.",
        "labels": ["INBOX", "UNREAD", "IMPORTANT"],
    }


def _show(world: World, analysis: Analysis) -> None:
    table = Table(
        title=f"Understood: {analysis.status}, confidence {analysis.confidence:.2f}", title_justify="left"
    )
    for column in ("part", "service", "what", "confidence"):
        table.add_column(column)
    sure = {match.service: match.confidence for match in analysis.services}
    if trigger := analysis.trigger:
        what = (
            f"{trigger.event or trigger.type}, only if {trigger.filter}" if trigger.filter else trigger.type
        )
        table.add_row("trigger", trigger.service, what, f"{sure.get(trigger.service or '', 0):.2f}")
    for step in analysis.steps:
        table.add_row("step", step.service, step.operation, f"{sure.get(step.service, 0):.2f}")
    world.screen.show(table)
    for question in analysis.questions:
        world.screen.say(f"question: {question.text}")
    if not analysis.questions:
        world.screen.say("no question is open")
    used = {match.service for match in analysis.services if match.role == "used"}
    steps = [f"{step.service}.{step.operation}" for step in analysis.steps]
    world.screen.check(
        "the request was understood without a guess",
        f"{trigger.service if trigger else 'no trigger'} → {', '.join(steps)}",
        passed=analysis.status == "flow"
        and used == set(SERVICES)
        and bool(trigger and trigger.service == "gmail" and trigger.filter)
        and steps == ["asana.create_task", "slack.post_message"]
        and not analysis.questions,
    )
